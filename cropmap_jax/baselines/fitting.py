"""A baseline learns from drawn pixels."""

import warnings
from typing import Any

import numpy as np

from cropmap_jax.baselines import methods
from cropmap_jax.baselines.drawing import TrainingPixels
from cropmap_jax.baselines.settings import Settings
from cropmap_jax.geo.legend import Legend


def fit(settings: Settings, pixels: TrainingPixels, seed: int, where: str) -> Any:
    """A classifier that has learnt.

    Args:
      settings: which method, from which arguments.
      pixels: what it learns from.
      seed: of the method.
      where: the dataset, for the message.

    Raises:
      ValueError: fewer classes than the method needs.
    """
    from sklearn.exceptions import ConvergenceWarning  # slow to import, see `methods`

    method = methods.METHODS[settings.method]
    found = np.unique(pixels.labels)
    if len(found) < method.least_classes:
        raise ValueError(
            f"{where}: expected training pixels of at least {method.least_classes} classes for "
            f"{method.title} (none of these counts as one), found {len(found)}"
        )
    model = method.make(settings.arguments, seed)
    values: np.ndarray = pixels.features.astype(method.dtype, copy=False)
    never = np.isnan(values).all(axis=0)
    if never.any():
        # What is missing throughout tells nothing: as a constant it is left out of every rule.
        values = np.where(never, 0, values)
    with warnings.catch_warnings():
        # How many rounds logistic regression takes is a setting; it need not have converged.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(values, pixels.labels, **_weights(model, pixels))
    # Threads help while it learns; `BaselinePredictor` has threads of its own.
    return model.set_params(n_jobs=1) if "n_jobs" in model.get_params() else model


def _weights(model: Any, pixels: TrainingPixels) -> dict[str, np.ndarray]:
    """What tells a classifier how much each pixel counts."""
    if pixels.weights is None:
        return {}
    from sklearn.pipeline import Pipeline

    name = (
        f"{model.steps[-1][0]}__sample_weight" if isinstance(model, Pipeline) else "sample_weight"
    )
    return {name: pixels.weights}


def counted(pixels: TrainingPixels, classes: Legend) -> dict[str, int]:
    """How many pixels of each class, and of none of these, were learnt from."""
    counts = np.bincount(pixels.labels, minlength=256)
    named = dict(enumerate(classes.names))
    return {name: int(counts[i]) for i, name in named.items()} | {
        "none_of_these": int(counts[len(named) :].sum())
    }
