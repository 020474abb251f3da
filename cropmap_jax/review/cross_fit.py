"""Predictions of every annotated field by models that have seen nothing of its block.

The models look back on the whole season: a review needs no lead, and sees more without.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cropmap_jax.baselines import drawing, fitting, methods
from cropmap_jax.baselines.predictor import BaselinePredictor
from cropmap_jax.baselines.settings import Settings
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation import cube_predictions
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.mapping import decision
from cropmap_jax.mapping.decision import Rule
from cropmap_jax.review import pieces
from cropmap_jax.review.pieces import Piece

NEAR_PX = 4
"""Around a field that are predicted too."""
RULE = Rule(exclusive=True, threshold=0.5, none_of_these=True)
"""Of baselines: classes exclude each other, and none of these is one of them."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """What the models of all folds share.

    Args:
      settings: of the baseline.
      sensors: whose pixels it takes.
      num_periods: periods of the window.
      dates: int [cubes], as-of date of each cube, days since 1970-01-01.
      seed: of draws and models.
    """

    settings: Settings
    sensors: tuple[Sensor, ...]
    num_periods: int
    dates: np.ndarray
    seed: int = 0


def whole_season(data: Dataset) -> tuple[int, np.ndarray]:
    """Periods of a window that holds every cube's, and as of when it is seen: their ends."""
    spans = [data.periods(cube) for cube in range(len(data.cubes))]
    return max(map(len, spans)), np.array([own[-1, 1] for own in spans], np.int64)


def train(data: Dataset, what: str, setup: Setup, split: str = "train") -> BaselinePredictor:
    """A model of the annotation of a split.

    Args:
      data: the dataset, or a view of a fold, of which it then has seen nothing.
      what: of the dataset it learns from, for messages.
      setup: how.
      split: whose annotation it learns from.

    Raises:
      ValueError: too few classes, or nothing to see.
    """
    features = setup.settings.features(setup.sensors, setup.num_periods)
    learnt = drawing.training_pixels(
        data,
        split,
        features,
        drawing.fixed_dates(setup.dates),
        setup.settings.draw_by,
        setup.settings.most_pixels,
        setup.seed,
    )
    model = fitting.fit(setup.settings, learnt, setup.seed, f"{data.path}: {what}")
    dtype = methods.METHODS[setup.settings.method].dtype
    return BaselinePredictor(features, [model], len(data.legend), setup.sensors, dtype)


def predict(
    data: Dataset,
    fold: int,
    setup: Setup,
    near: int = NEAR_PX,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda cubes, total: cubes,
) -> list[Piece]:
    """What the model of a fold says in and around the fold's fields.

    Args:
      data: a dataset with folds.
      fold: which one.
      setup: how.
      near: pixels around each field.
      progress: wraps the cubes, of which there are that many.

    Raises:
      ValueError: as `train`; a damaged file.
    """
    view = data.view(fold)
    predictor = train(view, f"all but fold {fold}", setup)
    classes = list(range(len(data.legend)))
    dates = np.repeat(setup.dates[:, None], len(classes), 1)
    cubes = np.unique(view.split("test").cube)
    found = cube_predictions.predict_dataset(
        predictor,
        "test",
        view,
        setup.num_periods,
        classes,
        dates,
        shown=lambda index, label: False,
        near=near,
    )
    out: list[Piece] = []
    for one in progress(found, len(cubes)):
        shares = decision.shares(one.probability, np.ones(len(classes), bool), RULE)
        shares[np.isnan(one.probability).any(-1)] = np.nan
        out += pieces.cut(one.index, fold, one.label, one.fields, shares, near)
    return out
