"""Binary scores of one crop, from summed counts over annotated pixels or fields.

Counts add up over chips, cubes and machines; averages of batch averages do not.
"""

import dataclasses

import numpy as np

from cropmap_jax.geo.legend import IGNORE

THRESHOLDS = np.arange(1, 100) / 100
"""Thresholds that a validation split may choose from."""
DEFAULT_THRESHOLD = 0.35
"""The original system's: scored as the fixed threshold, and used where none can be chosen."""


@dataclasses.dataclass(frozen=True)
class Counts:
    """Confusion counts of one crop at one threshold.

    Args:
      tp, fp, fn, tn: true positives, false positives, false negatives, true negatives.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    def scores(self) -> dict[str, float | int | None]:
        """Accuracy, recall, true-negative rate, precision, F1 and the counts.

            accuracy = (tp + tn) / n            recall = tp / (tp + fn)
            true_negative_rate = tn / (tn + fp) precision = tp / (tp + fp)
            f1 = 2 tp / (2 tp + fp + fn)

        None where the denominator is 0, and where the score could only be perfect or 0: accuracy,
        precision and F1 need negatives, precision and F1 need positives.
        """

        def ratio(a: int, b: int) -> float | None:
            return a / b if b else None

        tp, fp, fn, tn = self.tp, self.fp, self.fn, self.tn
        positives, negatives = tp + fn, tn + fp
        both = positives and negatives
        return {
            "accuracy": ratio(tp + tn, positives + negatives) if negatives else None,
            "recall": ratio(tp, positives),
            "true_negative_rate": ratio(tn, negatives),
            "precision": ratio(tp, tp + fp) if both else None,
            "f1": ratio(2 * tp, 2 * tp + fp + fn) if both else None,
            **dataclasses.asdict(self),
        }


class Tally:
    """Counts of one crop at every threshold at once, in constant memory.

    A value is positive at a threshold when it is at least as large.
    """

    def __init__(self) -> None:
        # [negative or positive, number of thresholds reached]
        self._histogram = np.zeros((2, len(THRESHOLDS) + 1), np.int64)

    def add(self, probability: np.ndarray, positive: np.ndarray) -> None:
        """Adds values.

        Args:
          probability: float [N] in [0, 1].
          positive: bool [N], the truth.
        """
        # In float32, 0.35 is a little more than 0.35: compare in the precision of the values.
        reached = np.searchsorted(THRESHOLDS.astype(probability.dtype), probability, side="right")
        np.add.at(self._histogram, (positive.astype(np.intp), reached), 1)

    def counts(self, threshold: float) -> Counts:
        """Counts at one of THRESHOLDS.

        Raises:
          IndexError: another threshold.
        """
        index = int(np.flatnonzero(np.isclose(THRESHOLDS, threshold))[0])
        below, above = (
            self._histogram[:, : index + 1].sum(1),
            self._histogram[:, index + 1 :].sum(1),
        )
        return Counts(tp=int(above[1]), fp=int(above[0]), fn=int(below[1]), tn=int(below[0]))

    @property
    def positives(self) -> int:
        """Number of positive values added."""
        return int(self._histogram[1].sum())

    @property
    def total(self) -> int:
        """Number of values added."""
        return int(self._histogram.sum())

    @property
    def negatives(self) -> int:
        """Number of negative values added."""
        return self.total - self.positives

    def best_threshold(self) -> float:
        """The threshold with the largest F1; on a tie, the middle of the longest such stretch.

        Raises:
          ValueError: no positive or no negative was added: every threshold is as good.
        """
        for what, count in (("positive", self.positives), ("negative", self.negatives)):
            if not count:
                raise ValueError(f"threshold: expected at least one {what}, found none")
        f1 = np.array([self.counts(t).scores()["f1"] for t in THRESHOLDS])
        best = np.flatnonzero(f1 == f1.max())
        runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
        longest = max(runs, key=len)
        return float(THRESHOLDS[longest[(len(longest) - 1) // 2]])


class CropTally:
    """Pixel and field tallies of one crop.

    Attributes:
      pixels, fields: tallies of what is annotated and some sensor has seen.
      unseen: {"pixels": n, "fields": n}, annotated ones of which there is no image.
      sensors: names of those that have seen some of the annotated pixels.
      lacking: by sensor the cubes whose annotated pixels only another sensor has seen.
      gaps: by cube the days between its last image and the end of the window, where periods at
        the end are empty.
    """

    def __init__(self) -> None:
        self.pixels, self.fields = Tally(), Tally()
        self.unseen = {"pixels": 0, "fields": 0}
        self.sensors: set[str] = set()
        self.lacking: dict[str, list[str]] = {}
        self.gaps: dict[str, int] = {}

    def add(
        self,
        probability: np.ndarray,
        label: np.ndarray,
        fields: np.ndarray,
        crop: int,
        seen: np.ndarray | None = None,
    ) -> None:
        """Adds a cube, or any piece of one that no field crosses: a field must come whole.

        A field's probability is the mean over its annotated pixels, its truth their majority. Of a
        field that was seen in part, the part that was seen counts.

        Args:
          probability: float32 [H, W] of the crop.
          label: uint8 [H, W]; unknown pixels count nowhere.
          fields: uint32 [H, W], 0 none.
          crop: class index.
          seen: bool [H, W], where any sensor has any value; None: everywhere.

        Raises:
          ValueError: an annotated pixel that was seen, without a finite probability.
        """
        self.add_pixels(probability, label, crop, seen)
        annotated = label != IGNORE
        inside = (annotated if seen is None else annotated & seen) & (fields > 0)
        ids, dense = np.unique(fields[inside], return_inverse=True)
        every = len(np.unique(fields[annotated & (fields > 0)]))
        size = np.bincount(dense, minlength=len(ids)).astype(float)
        mean = np.bincount(dense, probability[inside], len(ids)) / size
        share = np.bincount(dense, label[inside] == crop, len(ids)) / size
        self.add_fields(mean, share > 0.5, every - len(ids))

    def add_pixels(
        self, probability: np.ndarray, label: np.ndarray, crop: int, seen: np.ndarray | None = None
    ) -> None:
        """Adds the pixels of any piece of a cube; arguments and errors as for `add`."""
        annotated = label != IGNORE
        known = annotated if seen is None else annotated & seen
        lost = int((~np.isfinite(probability[known])).sum())
        if lost:
            raise ValueError(
                f"probability: expected finite values, found {lost} annotated pixels without one"
            )
        self.pixels.add(probability[known], label[known] == crop)
        self.unseen["pixels"] += int((annotated & ~known).sum())

    def add_fields(self, mean: np.ndarray, positive: np.ndarray, unseen: int = 0) -> None:
        """Adds whole fields.

        Args:
          mean: float [N], mean probability over the pixels that were seen.
          positive: bool [N], whether most of these are of the crop.
          unseen: how many more fields no sensor has seen.
        """
        self.fields.add(mean.astype(np.float32), positive)
        self.unseen["fields"] += unseen
