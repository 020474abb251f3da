"""Weighs the members of combined runs by what they say about a split that none has learnt from."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation import cube_predictions, dated, held_out, mixtures
from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.evaluation.mixtures import Answers
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.runs import combined
from cropmap_jax.runs.combined import Combined

MOST_PIXELS = 300_000
"""Annotated pixels that are weighed on; of more, every second, third, ... of each field."""


@dataclasses.dataclass(frozen=True)
class Weighing:
    """Weights, and how they came about.

    Args:
      weights: of each member, of sum 1.
      how: JSON-ready: what was compared, on how much ground.
      note: why weights are equal; None where they are fitted.
    """

    weights: tuple[float, ...]
    how: dict[str, Any]
    note: str | None = None


def equal(count: int, why: str, how: dict[str, Any] | None = None) -> Weighing:
    """Equal weights.

    Args:
      count: how many members there are.
      why: for the note.
      how: what was compared, if anything was.
    """
    found = {"weights": "equal", "reason": why} | (how or {})
    return Weighing((1 / count,) * count, found, f"equal weights: {why}")


def weigh(
    run: Combined,
    predictor: Predictor,
    split: str,
    data: Dataset,
    dates: np.ndarray,
    progress: Callable[[], None] = lambda: None,
) -> Weighing:
    """Finds the weights of the members.

    A question is whether a pixel is of a class, as of the class's own date, as `evaluate` asks it:
    of every annotated pixel that some sensor has seen, about every class. Members answer with the
    probability that they give to what is true. A pixel counts as 1 / sqrt(pixels of its field).

    Args:
      run: the combined runs, of whatever weights.
      predictor: of these, members apart.
      split: which split.
      data: the dataset.
      dates: int [cubes, classes], as-of date of each.
      progress: called after each cube.
    """
    names, num_periods = list(run.members), run.recipe.num_periods
    kinds = combined.kinds(run.members)
    if len(set(kinds)) == 1:
        return equal(len(names), "all members are of one kind, and differ in their seed alone")
    for name, one in run.members.items():
        if held_out.trained_on(one, data, split):
            why = f"{name} was trained on ground of the {split} split of {data.name}"
            return equal(len(names), why)
    answers, classes = _ask(predictor, len(names), split, data, num_periods, dates, progress)
    count = len(np.unique(answers.fields))
    how: dict[str, Any] = {"split": split, "fields": count, "questions": len(answers.weights)}
    never = data.never_annotated("train") if "train" in data.chips else []
    lacking = [
        name
        for index, name in enumerate(data.legend.names)
        if index not in classes and name not in never
    ]
    if lacking:
        why = f"{split} has no field of {', '.join(lacking)}"
        return equal(len(names), why, how)
    if count < mixtures.MIN_FIELDS:
        why = f"{split} has {count} fields, and fewer than {mixtures.MIN_FIELDS} tell too little"
        return equal(len(names), why, how)
    weights, flat = mixtures.fit(answers, kinds), np.full(len(names), 1 / len(names))
    found = mixtures.gain(answers, kinds)
    how |= {
        "fitted": dict(zip(names, map(_rounded, weights), strict=True)),
        "log_likelihood": {
            "fitted": mixtures.log_likelihood(answers, weights),
            "equal": mixtures.log_likelihood(answers, flat),
        }
        | {
            name: mixtures.log_likelihood(answers, own)
            for name, own in zip(names, np.eye(len(names)), strict=True)
        },
        "gain": dataclasses.asdict(found) | {"level": mixtures.LEVEL},
    }
    return Weighing(tuple(map(float, weights)), {"weights": "fitted"} | how)


def _rounded(weight: float) -> float:
    return round(float(weight), 4)


def _ask(
    predictor: Predictor,
    members: int,
    split: str,
    data: Dataset,
    num_periods: int,
    dates: np.ndarray,
    progress: Callable[[], None],
) -> tuple[Answers, set[int]]:
    """All answers, and the classes that some field is of."""
    classes = len(data.legend)
    columns = list(range(classes, (1 + members) * classes))
    wide = np.tile(dates, (1, members))
    every = -(-int(data.split(split).annotated.sum()) // MOST_PIXELS)
    parts: list[Answers] = []
    there: set[int] = set()
    fields = 0
    found = cube_predictions.predict_dataset(
        predictor, split, data, num_periods, columns, wide, lambda index, label: False
    )
    for prediction in found:
        answers, own = _of_cube(prediction, members, classes, max(1, every))
        parts.append(dataclasses.replace(answers, fields=answers.fields + fields))
        fields += int(answers.fields.max(initial=-1)) + 1
        there |= own
        progress()
    whole = [np.concatenate(column) for column in zip(*map(_columns, parts), strict=True)]
    return Answers(*whole), there


def _columns(answers: Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return answers.truth, answers.weights, answers.fields


def _of_cube(
    prediction: CubePrediction, members: int, classes: int, every: int
) -> tuple[Answers, set[int]]:
    """Answers about a cube, and the classes that some field in it is of.

    Annotated ground without a field is, class by class, as good as one.
    """
    pixels = dated.pixels_of(prediction, every)
    shape = (len(pixels.label), members, classes)
    given = prediction.probability[pixels.rows, pixels.cols].reshape(shape)
    seen = prediction.seen[pixels.rows, pixels.cols].reshape(shape)[:, 0]
    is_class = pixels.label[:, None] == np.arange(classes)
    truth = np.where(is_class[:, None], given, 1 - given)
    row, crop = np.nonzero(seen)
    answers = Answers(truth[row, :, crop].astype(np.float64), pixels.weight[row], pixels.field[row])
    return answers, set(pixels.label[pixels.label < classes].tolist())
