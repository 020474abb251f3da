"""Scores of the map that probabilities make: what `predict` shows of all classes and none of these.

Of each pixel, and of each field, whose class is that of its mean probability, as `predict --fields`
writes it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.evaluation.metrics import Counts
from cropmap_jax.evaluation.whole_fields import WholeFields
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

RULE = "map"
"""What `rule` is in the rows of these scores, beside "fixed" and "chosen"."""
NONE = "none_of_these"
"""What `crop` is in the row of what is none of the classes."""
THRESHOLD = 0.5
"""From where on classes that do not exclude each other are shown, as `predict` does by default."""


def shown(probability: np.ndarray, possible: np.ndarray, exclusive: bool) -> np.ndarray:
    """What a map shows, as `mapping.decision` decides it: a class, or none of these.

    Args:
      probability: float [..., classes].
      possible: bool [..., classes]; what is not planted yet is never shown.
      exclusive: of classes that exclude each other, the most probable one is shown or, if that is
        more probable, none of these, which is what the classes leave, 1 - sum. Of others the most
        probable one is shown from THRESHOLD on.

    Returns:
      int64 [...], the number of classes standing for none of these.
    """
    allowed = np.where(possible, probability, -1)
    best = allowed.argmax(-1)
    highest = np.take_along_axis(allowed, best[..., None], -1)[..., 0]
    least = np.maximum(1 - probability.sum(-1), 0) if exclusive else THRESHOLD
    out: np.ndarray = np.where(highest >= least, best, probability.shape[-1])
    return out


class MapTally:
    """Confusion of all classes over annotated pixels, and fields, that were seen.

    Args:
      classes: number of classes, all of the legend.
      exclusive: see `shown`.
      planting: int [cubes, classes], `Dataset.planting`: when each class is planted, 0 unknown;
        None: every class may be anywhere.

    Attributes:
      classes, exclusive: as given.
      unseen: {"pixels": n, "fields": n}, annotated ones of which there is no image.
    """

    def __init__(self, classes: int, exclusive: bool = True, planting: np.ndarray | None = None):
        self.classes, self.exclusive, self._planting = classes, exclusive, planting
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []
        self._as_of: dict[int, int] = {}
        self._fields = np.zeros((0, 3), np.int64)
        self.unseen = {"pixels": 0, "fields": 0}

    def add(self, prediction: CubePrediction, group: np.ndarray | None = None) -> None:
        """Adds the pixels of a cube, predicted as of one date for all classes.

        Args:
          prediction: of all classes.
          group: int64 [H, W], the group of each pixel, from `Groups.add`; None: all are of one.
        """
        self._as_of[prediction.index] = int(prediction.as_of[0]) if len(prediction.as_of) else 0
        annotated = prediction.label != IGNORE
        known = annotated & prediction.seen.all(-1)
        truth = prediction.label[known].astype(np.int64)
        truth[truth == NONE_OF_THESE] = self.classes
        possible = self._possible(np.array([prediction.index]))
        found = shown(prediction.probability[known], possible, self.exclusive)
        of = np.zeros(len(truth), np.int64) if group is None else group[known]
        self._parts.append(self._table(of, truth, found))
        self.unseen["pixels"] += int((annotated & ~known).sum())

    def finish(self, whole: WholeFields, cube: np.ndarray, group: np.ndarray) -> None:
        """Adds whole fields, after all cubes.

        Args:
          whole: as all classes see them.
          cube: int [fields], a cube of each.
          group: int64 [fields].
        """
        there = (whole.size > 0).all(1)
        hits = whole.hits[there]
        hits = np.concatenate([hits, whole.size[there][:, :1] - hits.sum(1, keepdims=True)], 1)
        possible = self._possible(cube[there])
        found = shown(whole.mean[there].astype(np.float32), possible, self.exclusive)
        self._fields = np.stack([group[there], hits.argmax(1), found], 1)
        self.unseen["fields"] += int((~there).sum())

    def confusion(self, unit: str, member: np.ndarray | None = None, groups: int = 1) -> np.ndarray:
        """int64 [groups, classes + 1, classes + 1]: truth, shown; none of these last.

        Args:
          unit: "pixels" or "fields".
          member: the group of each number that pixels were added with; None: all are of one.
          groups: how many groups there are.
        """
        out = np.zeros((groups, self.classes + 1, self.classes + 1), np.int64)
        if unit == "fields":
            of = self._fields[:, 0] if groups > 1 else 0 * self._fields[:, 0]
            np.add.at(out, (of, self._fields[:, 1], self._fields[:, 2]), 1)
            return out
        for kept, table in self._parts:
            np.add.at(out, 0 * kept if member is None else member[kept], table)
        return out

    def _possible(self, cubes: np.ndarray) -> np.ndarray:
        """bool [cubes, classes], what may have been planted by the date of the prediction."""
        if self._planting is None:
            return np.ones((len(cubes), self.classes), bool)
        dates = np.array([self._as_of[int(i)] for i in cubes], np.int64)
        planted: np.ndarray = self._planting[cubes] <= dates[:, None]
        return planted

    def _table(
        self, of: np.ndarray, truth: np.ndarray, found: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        kept, dense = np.unique(of, return_inverse=True)
        side = self.classes + 1
        codes = (dense.ravel() * side + truth) * side + found
        return kept, np.bincount(codes, minlength=len(kept) * side**2).reshape(-1, side, side)

    def rows(
        self, method: str, names: Sequence[str], leads: Sequence[tuple[int, int] | None]
    ) -> list[dict[str, Any]]:
        """Rows like those of `evaluate.score_rows`: of each class, and of none of these if any.

        Args:
          method: the method's name.
          names: of the classes.
          leads: of each class, smallest and largest effective lead in days, None without a
            harvest date.
        """
        rows = []
        for unit in ("pixels", "fields"):
            (confusion,) = self.confusion(unit)
            if unit == "fields" and not confusion.sum() + self.unseen["fields"]:
                continue
            rows += self._rows(unit, confusion, method, names, leads)
        return rows

    def _rows(
        self,
        unit: str,
        confusion: np.ndarray,
        method: str,
        names: Sequence[str],
        leads: Sequence[tuple[int, int] | None],
    ) -> list[dict[str, Any]]:
        rows, total = [], int(confusion.sum())
        for index, name in enumerate((*names, NONE)):
            true, found = int(confusion[index].sum()), int(confusion[:, index].sum())
            if name == NONE and not true:
                continue
            tp = int(confusion[index, index])
            counts = Counts(tp=tp, fp=found - tp, fn=true - tp, tn=total - true - found + tp)
            rows.append(
                {
                    "crop": name,
                    "method": method,
                    "unit": unit,
                    "rule": RULE,
                    "threshold": None,
                    "threshold_reason": None,
                    "lead_days": leads[index] if index < len(leads) else None,
                }
                | counts.scores()
                | {"without_image": self.unseen[unit], "reason": None}
            )
        return rows


def tally_for(
    exclusive: bool, data: Dataset, crops: Sequence[int], dates: np.ndarray
) -> MapTally | None:
    """A tally of the map of a method; None where there is no one map.

    Args:
      exclusive: whether the method's classes exclude each other, see `Recipe.exclusive`; those of a
        baseline do: none of these is one of them.
      data: the dataset.
      crops: class indices that are scored.
      dates: int [cubes, crops], as-of date of each.
    """
    whole = list(crops) == list(range(len(data.legend)))
    if not whole or (dates != dates[:, :1]).any():
        return None
    return MapTally(len(crops), exclusive, data.planting)
