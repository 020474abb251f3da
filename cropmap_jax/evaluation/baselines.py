"""Baselines that `evaluate` trains on the spot, on the windows that the network sees."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cropmap_jax.baselines import drawing, fitting, methods
from cropmap_jax.baselines.predictor import BaselinePredictor
from cropmap_jax.baselines.settings import Settings
from cropmap_jax.data import input_pipeline, sampling
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation.as_of_groups import window_groups
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.scheduling import Scheduler


def train(
    settings: Settings,
    data: Dataset,
    split: str,
    num_periods: int,
    dates: np.ndarray,
    seed: int = 0,
    sensors: Sequence[Sensor] | None = None,
    scheduler: Scheduler | None = None,
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
      scheduler: whose workers compute the features; None for this process.

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
            scheduler=scheduler,
        )
        models.append(fitting.fit(settings, pixels, seed, str(data.path)))
    dtype = methods.METHODS[settings.method].dtype
    return BaselinePredictor(features, models, len(data.legend), sensors, dtype, per_group=True)


def train_for_all_dates(
    settings: Settings,
    data: Dataset,
    split: str,
    num_periods: int,
    dates: drawing.Dates,
    seed: int = 0,
    sensors: Sequence[Sensor] | None = None,
    scheduler: Scheduler | None = None,
) -> BaselinePredictor:
    """One model, from pixels as of several dates, as `keeping.train` makes one that is kept.

    Args:
      settings, data, split, num_periods, seed, sensors, scheduler: as for `train`.
      dates: draws as of which dates pixels are seen.

    Raises:
      ValueError: as `train`.
    """
    sensors = tuple(data.sensors if sensors is None else sensors)
    features = settings.features(sensors, num_periods)
    weak = settings.weak_share, settings.weak_weight
    pixels = drawing.training_pixels(
        data, split, features, dates, settings.draw_by, settings.most_pixels, seed,
        copies=True, weak=weak, scheduler=scheduler,
    )  # fmt: skip
    model = fitting.fit(settings, pixels, seed, str(data.path))
    dtype = methods.METHODS[settings.method].dtype
    return BaselinePredictor(features, [model], len(data.legend), sensors, dtype)


def dates_of_training(
    data: Dataset, config: Mapping[str, Any], lead_days: int, otherwise: int | None = None
) -> drawing.Dates:
    """As-of dates as the training of a run drew them, of another or the same dataset.

    Args:
      data: the dataset, with a "train" split.
      config: of the run: "as_of", "as_of_jitter" and "max_lead_days", if it has them.
      lead_days: of the run.
      otherwise: the date for all where neither the run nor the calendar has one.

    Raises:
      ValueError: a cube of "train" without a harvest date, or without a period by then.
    """
    given = input_pipeline.parse_as_of(tuple(config.get("as_of") or ()), "config.as_of")
    jitter = int(config.get("as_of_jitter") or 0)
    cubes = np.unique(data.split("train").cube)
    if given is None and otherwise is not None and not data.harvest[cubes].any():
        given = (otherwise, otherwise)
    longest = int(config.get("max_lead_days") or 0)
    drawn = drawing.drawn_dates(data, lead_days, given, longest)
    drawing.check_dates(data, "train", 1, lead_days, given)
    first = sampling.first_dates(data)

    def draw(cubes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        found = drawn(cubes, rng)
        if jitter:
            # No date moves to where nothing could be seen yet.
            moved = found + rng.integers(-jitter, jitter + 1, len(found))
            found = np.maximum(moved, np.minimum(first[cubes], found))
        return found

    return draw
