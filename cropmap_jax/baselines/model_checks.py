"""Reads a classifier that skops wrote, and trusts nothing in it.

skops makes objects of types that it knows to be harmless, and of those named here. Trees are walked
by compiled code that follows their links without looking: so every link is checked before one is.
"""

import pathlib
import zipfile
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from cropmap_jax.baselines.recipe import BaselineRecipe
from cropmap_jax.baselines.skops_io import skops
from cropmap_jax.geo.legend import NONE_OF_THESE

TRUSTED = (
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)
"""Types that skops asks about: holders of arrays, which run nothing when they are made."""
MOST_BYTES = 64 * 2**30
"""Of a model once it is unpacked: a zip can promise more than any disk holds."""

_TYPES = {
    "forest": RandomForestClassifier,
    "boosting": HistGradientBoostingClassifier,
    "logistic": Pipeline,
    "dates": DecisionTreeClassifier,
}


def read(file: pathlib.Path, recipe: BaselineRecipe, versions: str = "") -> Any:
    """Reads the classifier of a baseline.

    Args:
      file: that skops wrote.
      recipe: of the baseline.
      versions: what it was written with, if that is not what reads it.

    Raises:
      ValueError: names the file, and says what is wrong with it.
    """
    hint = f"; it was {versions}" if versions else ""
    try:
        with zipfile.ZipFile(file) as opened:
            size = sum(member.file_size for member in opened.infolist())
        if size > MOST_BYTES:
            raise ValueError(f"{size:,} bytes once unpacked")
        untrusted = set(skops.io.get_untrusted_types(file=file)) - set(TRUSTED)
        if untrusted:
            raise ValueError(f"objects of {', '.join(sorted(untrusted))[:200]}")
        model = skops.io.load(file, trusted=list(TRUSTED))
        _check(model, recipe)
    except Exception as error:  # what a damaged archive makes of the readers may be anything
        reason = (str(error).splitlines() or [repr(error)])[0][:200]
        raise ValueError(
            f"{file}: expected a {recipe.model['name']} that `baseline` wrote, found another "
            f"({reason}){hint}"
        ) from error
    return model


def _check(model: Any, recipe: BaselineRecipe) -> None:
    """Requires a classifier that can answer for the recipe."""
    name = recipe.model["name"]
    if type(model) is not _TYPES[name]:
        raise ValueError(f"a {type(model).__name__}")
    count = len(recipe.features().names)
    if model.n_features_in_ != count:
        raise ValueError(f"one of {model.n_features_in_} features instead of {count}")
    classes = np.asarray(model.classes_)
    known = {*range(len(recipe.legend)), NONE_OF_THESE}
    if classes.ndim != 1 or not len(classes) or not set(classes.tolist()) <= known:
        raise ValueError("one of other classes")
    if name == "forest":
        for tree in model.estimators_:
            _check_tree(tree, count, len(classes))
    elif name == "dates":
        _check_tree(model, count, len(classes))
    elif name == "boosting":
        for trees in model._predictors:
            for tree in trees:
                _check_nodes(tree.nodes, count)
    probability = model.predict_proba(np.zeros((1, count), np.float32))
    if probability.shape != (1, len(classes)) or not np.isfinite(probability).all():
        raise ValueError("one whose answers are not probabilities")


def _check_tree(classifier: Any, features: int, classes: int) -> None:
    """Requires links of a tree that lead on, and never back or beyond its end."""
    if type(classifier) is not DecisionTreeClassifier:
        raise ValueError(f"a {type(classifier).__name__} among its trees")
    tree = classifier.tree_
    _check_links(
        tree.children_left, tree.children_right, tree.children_left < 0, tree.feature, features
    )
    if tree.value.shape != (tree.node_count, 1, classes):
        raise ValueError("a tree of other classes")


def _check_nodes(nodes: np.ndarray, features: int) -> None:
    """The same of a tree of boosting."""
    leaf = nodes["is_leaf"] > 0
    _check_links(nodes["left"], nodes["right"], leaf, nodes["feature_idx"], features)
    if nodes["is_categorical"].any():
        raise ValueError("a tree with categories")


def _check_links(
    left: np.ndarray, right: np.ndarray, leaf: np.ndarray, feature: np.ndarray, features: int
) -> None:
    inner = np.flatnonzero(~leaf)
    if not len(leaf):
        raise ValueError("a tree without nodes")
    for child in (left[inner].astype(np.int64), right[inner].astype(np.int64)):
        if (child <= inner).any() or (child >= len(leaf)).any():
            raise ValueError("a tree whose links lead nowhere")
    if (feature[inner] < 0).any() or (feature[inner] >= features).any():
        raise ValueError("a tree that asks for other features")
