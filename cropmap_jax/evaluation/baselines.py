"""Baselines that `evaluate` trains on the spot, on the windows that the network sees."""

from collections.abc import Sequence

import numpy as np

from cropmap_jax.baselines import drawing, fitting, methods
from cropmap_jax.baselines.predictor import BaselinePredictor
from cropmap_jax.baselines.settings import Settings
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation.as_of_groups import window_groups
from cropmap_jax.geo.sensors import Sensor


def train(
    settings: Settings,
    data: Dataset,
    split: str,
    num_periods: int,
    dates: np.ndarray,
    seed: int = 0,
    sensors: Sequence[Sensor] | None = None,
) -> BaselinePredictor:
    """A model per group of as-of dates, each from pixels as of one date per cube.

    Args:
      settings: method, features and pixels.
      data: the dataset.
      split: which split to learn from.
      num_periods: periods of the window.
      dates: int [cubes, crops], as-of date of each cube and crop.
      seed: of the draw of pixels and of the methods.
      sensors: whose pixels are used; those of the dataset if None.

    Raises:
      ValueError: no pixel of the split is annotated, too few classes are, or an index whose bands
        are missing.
    """
    sensors = tuple(data.sensors if sensors is None else sensors)
    features = settings.features(sensors, num_periods)
    models = []
    for group in window_groups(data, dates):
        own = drawing.fixed_dates(dates[:, group[0]])
        pixels = drawing.training_pixels(
            data,
            split,
            features,
            own,
            settings.draw_by,
            settings.most_pixels,
            seed,
            weak=(settings.weak_share, settings.weak_weight),
        )
        models.append(fitting.fit(settings, pixels, seed, str(data.path)))
    dtype = methods.METHODS[settings.method].dtype
    return BaselinePredictor(features, models, len(data.legend), sensors, dtype, per_group=True)
