"""Scores of the map that probabilities make: the most probable of all classes and none of these.

Of each pixel, and of each field, whose class is that of its mean probability, as `predict --fields`
writes it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.evaluation.evaluate import OnCube
from cropmap_jax.evaluation.metrics import Counts
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

RULE = "map"
"""What `rule` is in the rows of these scores, beside "fixed" and "chosen"."""
NONE = "none_of_these"
"""What `crop` is in the row of what is none of the classes."""


class MapTally:
    """Confusion of exclusive classes over annotated pixels, and fields, that were seen.

    The probability of none of these is what the classes leave, 1 - sum.

    Args:
      classes: number of classes, all of the legend.
    """

    def __init__(self, classes: int):
        self._classes = classes
        # [truth, shown], none of these last.
        self.confusion = np.zeros((classes + 1, classes + 1), np.int64)
        self.fields = np.zeros((classes + 1, classes + 1), np.int64)
        self._unseen = {"pixels": 0, "fields": 0}

    def add(self, prediction: CubePrediction) -> None:
        """Adds a cube, predicted as of one date for all classes; a field must come whole."""
        label = np.where(prediction.label == NONE_OF_THESE, self._classes, prediction.label)
        annotated = prediction.label != IGNORE
        known = annotated & prediction.seen.all(-1)
        values = prediction.probability[known]
        rest = np.maximum(1 - values.sum(-1, keepdims=True), 0)
        whole = np.concatenate([values, rest], -1)
        np.add.at(self.confusion, (label[known], whole.argmax(-1)), 1)
        self._unseen["pixels"] += int((annotated & ~known).sum())
        fields = prediction.fields
        inside = fields[known] > 0
        ids, dense = np.unique(fields[known][inside], return_inverse=True)
        every = np.unique(fields[annotated & (fields > 0)])
        self._unseen["fields"] += len(every) - len(ids)
        means, truth = np.zeros((len(ids), whole.shape[1])), np.zeros((len(ids), whole.shape[1]))
        np.add.at(means, dense, whole[inside])
        np.add.at(truth, (dense, label[known][inside]), 1)
        np.add.at(self.fields, (truth.argmax(-1), means.argmax(-1)), 1)

    def rows(
        self, method: str, names: Sequence[str], lead: tuple[int, int] | None
    ) -> list[dict[str, Any]]:
        """Rows like those of `evaluate.score_rows`: of each class, and of none of these if any.

        Args:
          method: the method's name.
          names: of the classes.
          lead: smallest and largest effective lead in days, None without a harvest date.
        """
        rows = self._rows("pixels", self.confusion, method, names, lead)
        if self.fields.sum() + self._unseen["fields"]:
            rows += self._rows("fields", self.fields, method, names, lead)
        return rows

    def _rows(
        self,
        unit: str,
        confusion: np.ndarray,
        method: str,
        names: Sequence[str],
        lead: tuple[int, int] | None,
    ) -> list[dict[str, Any]]:
        rows, total = [], int(confusion.sum())
        for index, name in enumerate((*names, NONE)):
            true, shown = int(confusion[index].sum()), int(confusion[:, index].sum())
            if name == NONE and not true:
                continue
            tp = int(confusion[index, index])
            counts = Counts(tp=tp, fp=shown - tp, fn=true - tp, tn=total - true - shown + tp)
            rows.append(
                {
                    "crop": name,
                    "method": method,
                    "unit": unit,
                    "rule": RULE,
                    "threshold": None,
                    "threshold_reason": None,
                    "lead_days": lead,
                }
                | counts.scores()
                | {"without_image": self._unseen[unit], "reason": None}
            )
        return rows


def tally_for(
    exclusive: bool, data: Dataset, crops: Sequence[int], dates: np.ndarray
) -> MapTally | None:
    """A tally of the map of a method; None where there is no one map, or classes overlap.

    Args:
      exclusive: whether the method's classes exclude each other, see `Recipe.exclusive`; those of a
        baseline do: none of these is one of them.
      data: the dataset.
      crops: class indices that are scored.
      dates: int [cubes, crops], as-of date of each.
    """
    whole = list(crops) == list(range(len(data.legend)))
    if not exclusive or not whole or (dates != dates[:, :1]).any():
        return None
    return MapTally(len(crops))


def watching(*watchers: Callable[[CubePrediction], None] | None) -> OnCube:
    """What `evaluate.tally_methods` is to call for a method: each of these that is there."""

    def call(prediction: CubePrediction) -> None:
        for one in watchers:
            if one:
                one(prediction)

    return call
