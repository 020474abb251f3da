"""Probabilities of all ground that was seen, annotated or not, for the shares of classes on it."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation import calibrating, cube_predictions
from cropmap_jax.evaluation.calibrating import Found
from cropmap_jax.evaluation.dated import Outputs, Sample
from cropmap_jax.inference.calibrated import Calibration
from cropmap_jax.inference.predictors import Predictor

MOST_PIXELS = 400_000
"""Pixels that are looked at; of more, every second, third, ... of each cube."""


@dataclasses.dataclass(frozen=True)
class Ground:
    """Pixels of all cubes.

    Args:
      outputs: what the columns are.
      probability: float32 [N, columns], see `Outputs.whole`.
      possible: bool [N, classes].
    """

    outputs: Outputs
    probability: np.ndarray
    possible: np.ndarray


def best_date(found: Found, sample: Sample) -> int:
    """Number of the date at which the calibrated run tells classes apart best.

    What grows in a pixel is the same at all dates, so the shares are asked of the best one: that of
    the least log loss among those at which the most is planted.
    """
    loss = calibrating.losses(sample.outputs, found.held_out, sample)
    numbers = np.unique(sample.group)  # at another date nothing that is annotated is planted
    planted = np.array([sample.possible[sample.group == g].mean() for g in numbers])
    means = np.array([np.average(loss[sample.group == g]) for g in numbers])
    means[planted < planted.max()] = np.inf
    return int(numbers[means.argmin()])


def gather(
    predictor: Predictor,
    outputs: Outputs,
    data: Dataset,
    num_periods: int,
    dates: np.ndarray,
    crops: Sequence[int],
    progress: Callable[[], None] = lambda: None,
) -> Ground:
    """Probabilities of every seen pixel of all cubes, as of the date that some crops have.

    Args:
      predictor, outputs: of the run.
      data: the dataset.
      num_periods: periods of the window.
      dates: int [cubes, classes], as-of date of each class.
      crops: class indices; the date is that of the first.
      progress: called after each cube.
    """
    classes = len(data.legend)
    wide = np.repeat(dates[:, [crops[0]]], classes, 1)
    area = sum(cube["shape"][0] * cube["shape"][1] for cube in data.cubes)
    every, done = max(1, -(-area // MOST_PIXELS)), set()
    parts, possible = [], []
    for split in data.chips:
        found = cube_predictions.predict_dataset(
            predictor, split, data, num_periods, list(range(classes)), wide
        )
        for one in found:
            if one.index in done:
                continue
            done.add(one.index)
            planting = data.planting[one.index]
            there = (planting == 0) | (planting <= one.as_of[0])
            given = one.probability[one.seen.any(-1)][::every]
            parts.append(outputs.whole(given, there))
            possible.append(np.broadcast_to(there, (len(given), classes)))
            progress()
    return Ground(outputs, np.concatenate(parts), np.concatenate(possible))


def rescaled(calibration: Calibration, ground: Ground) -> np.ndarray:
    """Probabilities after a calibration, float32 [N, columns]."""
    found = calibration.columns(ground.probability)
    classes = ground.outputs.classes
    found[:, :classes] = np.where(ground.possible, found[:, :classes], 0)
    found /= np.maximum(found.sum(-1, keepdims=True), np.finfo(np.float32).tiny)
    return found
