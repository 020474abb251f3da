"""The methods by name: how each is made, from which arguments, and what it takes.

Another method is another row of the table: any classifier of scikit-learn with `predict_proba`.
Each imports what it needs when it is made: scikit-learn takes a second to import, and scoring a
network does without it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cropmap_jax.data import checks

Make = Callable[[Mapping[str, Any], int], Any]
"""From arguments and a seed to a classifier that has not learnt yet."""


@dataclasses.dataclass(frozen=True)
class Method:
    """One method.

    Args:
      title: as people write it.
      make: makes its classifier.
      arguments: names and defaults of its arguments.
      check: requires values of arguments that can be; takes what to name them by, and all of them.
      sees_pixels: whether it takes bands, or dates alone.
      least_classes: how many classes it needs to learn anything.
      dtype: of the features that it takes.
    """

    title: str
    make: Make
    arguments: dict[str, Any]
    check: Callable[[str, Mapping[str, Any]], None]
    sees_pixels: bool = True
    least_classes: int = 1
    dtype: type = np.float32


def _forest(arguments: Mapping[str, Any], seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=arguments["trees"],
        min_samples_leaf=arguments["least_in_leaf"],
        max_features=arguments["share_of_features"] or "sqrt",
        n_jobs=-1,
        random_state=seed,
    )


def _check_forest(where: str, arguments: Mapping[str, Any]) -> None:
    checks.whole(f"{where}.trees", arguments["trees"], 1, 100_000)
    checks.whole(f"{where}.least_in_leaf", arguments["least_in_leaf"], 1, 10**6)
    checks.real(f"{where}.share_of_features", arguments["share_of_features"], 0, 1)


def _boosting(arguments: Mapping[str, Any], seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=arguments["rounds"],
        learning_rate=arguments["learning_rate"],
        max_leaf_nodes=arguments["leaves"],
        min_samples_leaf=arguments["least_in_leaf"],
        l2_regularization=arguments["l2"],
        max_features=arguments["share_of_features"],
        # Pixels of a field are alike: a share of the pixels held back would never say stop.
        early_stopping=False,
        random_state=seed,
    )


def _check_boosting(where: str, arguments: Mapping[str, Any]) -> None:
    checks.whole(f"{where}.rounds", arguments["rounds"], 1, 100_000)
    checks.real(f"{where}.learning_rate", arguments["learning_rate"], 0, 1, above=True)
    checks.whole(f"{where}.leaves", arguments["leaves"], 2, 10_000)
    checks.whole(f"{where}.least_in_leaf", arguments["least_in_leaf"], 1, 10**6)
    checks.real(f"{where}.l2", arguments["l2"], 0, 1e6)
    checks.real(f"{where}.share_of_features", arguments["share_of_features"], 0, 1, above=True)


def _logistic(arguments: Mapping[str, Any], seed: int) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        StandardScaler(),
        # After standardising, 0 is the mean; a flag per feature says that it was missing.
        SimpleImputer(
            strategy="constant", fill_value=0.0, add_indicator=True, keep_empty_features=True
        ),
        LogisticRegression(
            C=arguments["inverse_penalty"], max_iter=arguments["rounds"], random_state=seed
        ),
    )


def _check_logistic(where: str, arguments: Mapping[str, Any]) -> None:
    checks.whole(f"{where}.rounds", arguments["rounds"], 1, 100_000)
    checks.real(f"{where}.inverse_penalty", arguments["inverse_penalty"], 0, 1e6, above=True)


def _dates(arguments: Mapping[str, Any], seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    # Its features are cosine and sine of a date: a leaf is a date, its values shares of classes.
    return DecisionTreeClassifier(min_samples_leaf=arguments["least_in_leaf"], random_state=seed)


def _check_dates(where: str, arguments: Mapping[str, Any]) -> None:
    checks.whole(f"{where}.least_in_leaf", arguments["least_in_leaf"], 1, 10**6)


METHODS: dict[str, Method] = {
    "forest": Method(
        "random forest",
        _forest,
        {"trees": 300, "least_in_leaf": 1, "share_of_features": 0.0},
        _check_forest,
    ),
    "boosting": Method(
        "gradient boosting",
        _boosting,
        {
            "rounds": 150,
            "learning_rate": 0.1,
            "leaves": 31,
            "least_in_leaf": 20,
            "l2": 0.0,
            "share_of_features": 0.1,
        },
        _check_boosting,
        least_classes=2,
    ),
    "logistic": Method(
        "logistic regression",
        _logistic,
        {"rounds": 300, "inverse_penalty": 0.01},
        _check_logistic,
        least_classes=2,
        # In float32 the last digits depend on how many pixels are multiplied at once.
        dtype=np.float64,
    ),
    "dates": Method(
        "shares of classes by date, without pixels",
        _dates,
        {"least_in_leaf": 1},
        _check_dates,
        sees_pixels=False,
    ),
}
"""The methods that are known by name."""


def find(name: Any, where: str) -> Method:
    """A method by name.

    Raises:
      ValueError: begins with `where`, and suggests the nearest name.
    """
    if not isinstance(name, str) or name not in METHODS:
        raise ValueError(f"{where}: found {checks.shown(name)}; {checks.nearest(name, METHODS)}")
    return METHODS[name]


def complete(method: str, arguments: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A method's arguments, those that are left out at their defaults.

    Raises:
      ValueError: names the argument that is not known or cannot be.
    """
    found = find(method, where)
    checks.keys(where, arguments, (), found.arguments)
    completed = {**found.arguments, **arguments}
    found.check(where, completed)
    return completed
