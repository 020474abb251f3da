"""Scores of columns with their intervals, from counts by group."""

from collections.abc import Mapping, Sequence

import numpy as np

from cropmap_jax.evaluation import intervals
from cropmap_jax.evaluation.groups import SQUARE_PX
from cropmap_jax.evaluation.intervals import Figure
from cropmap_jax.evaluation.metrics import Counts

NAMES = ("f1", "recall", "precision")
_TP, _FP, _FN = range(3)


class Resampled:
    """Scores of all groups, and of draws of them; the same draws for every column and method.

    So columns can be compared draw by draw: what a place makes better or worse for all drops out.

    Args:
      counts: int64 [groups, columns, 4], see `groups.Counts`.
      unit: what a group is, "block" or "field".
    """

    def __init__(self, counts: np.ndarray, unit: str):
        self._counts, self.unit = counts, unit
        self.groups = len(counts)
        flat = intervals.weights(self.groups) @ counts.reshape(self.groups, -1).astype(float)
        self._drawn = intervals.scores(flat.reshape(-1, *counts.shape[1:]))
        positive = counts[..., _TP] + counts[..., _FN] > 0
        shown = counts[..., _TP] + counts[..., _FP] > 0
        self._positive = positive
        # In how many groups there is anything that a score is of.
        self._having = {"f1": positive, "recall": positive, "precision": positive | shown}

    def by_group(self) -> np.ndarray:
        """int64 [groups, columns, 4], as given."""
        return self._counts

    def counts(self, column: int) -> Counts:
        """Of all groups together."""
        tp, fp, fn, tn = (int(n) for n in self._counts[:, column].sum(0))
        return Counts(tp=tp, fp=fp, fn=fn, tn=tn)

    def figures(self, column: int, why: str | None) -> dict[str, Figure]:
        """F1, recall and precision of a column.

        Args:
          column: which.
          why: why some of them have no value, from `evaluate.undefined`.
        """
        found = self.counts(column).scores()
        return {
            name: intervals.figure(
                found[name],
                self._drawn[name][:, column],
                self.groups,
                int(self._having[name][:, column].sum()),
                self.unit,
                why or "nothing is mapped as it",
            )
            for name in NAMES
        }

    def change(self, before: int, after: int) -> Figure:
        """F1 of one column minus that of another, draw by draw."""
        first, last = (self.counts(column).scores()["f1"] for column in (before, after))
        if first is None or last is None:
            return Figure(None, reason="there is no F1 of both")
        both = self._positive[:, before] & self._positive[:, after]
        drawn = self._drawn["f1"][:, after] - self._drawn["f1"][:, before]
        value = float(last - first)
        return intervals.figure(
            value, drawn, self.groups, int(both.sum()), self.unit, span=(-1.0, 1.0)
        )

    def macro(self, columns: Sequence[int]) -> tuple[dict[str, Figure], list[int]]:
        """Means over the columns that have an F1, and which these are."""
        each = {column: self.counts(column).scores() for column in columns}
        kept = [column for column, own in each.items() if own["f1"] is not None]
        having = int(self._positive[:, kept].any(1).sum())
        out = {}
        for name in NAMES:
            values = [value for c in kept if (value := each[c][name]) is not None]
            value = sum(values) / len(values) if values else None
            why = "nothing is mapped as any of them" if kept else "no crop has an F1"
            common = (self._mean(name, kept), self.groups, having, self.unit, why)
            out[name] = intervals.figure(value, *common)
        return out, kept

    def macro_change(self, before: Sequence[int], after: Sequence[int]) -> Figure:
        """Mean F1 of some columns minus that of others, of the same crops, draw by draw."""
        first, last = (self.macro(columns)[0]["f1"].value for columns in (before, after))
        if first is None or last is None:
            return Figure(None, reason="there is no F1 of both")
        drawn = self._mean("f1", after) - self._mean("f1", before)
        having = int((self._positive[:, before].any(1) & self._positive[:, after].any(1)).sum())
        common = (drawn, self.groups, having, self.unit)
        return intervals.figure(last - first, *common, span=(-1.0, 1.0))

    def _mean(self, name: str, columns: Sequence[int]) -> np.ndarray:
        """float [draws], the mean of a score over columns; NaN where none has one."""
        drawn = self._drawn[name][:, list(columns)]
        there = np.isfinite(drawn)
        total, count = np.where(there, drawn, 0).sum(1), there.sum(1)
        out = np.full(len(total), np.nan)
        np.divide(total, count, out=out, where=count > 0)
        return out


def to_json(found: Mapping[str, Figure]) -> dict[str, dict[str, float | str | None]]:
    """JSON-ready, by name of the score."""
    return {name: one.to_json() for name, one in found.items()}


def describe(unit: str, groups: int) -> dict[str, object]:
    """How the intervals of a split are made, JSON-ready, with `words` for people."""
    many = f"{groups} {unit}{'s' * (groups != 1)}"
    if unit == "field":
        many = "1 field or square" if groups == 1 else f"{groups} fields and squares"
        many += f" of {SQUARE_PX} x {SQUARE_PX} pixels outside fields"
    words = f"95 % intervals: {many} of the split drawn again with replacement"
    if unit == "field":
        words += "; the split has one block, so they are about other fields of this place only"
    elif groups < 10:
        words += "; so few say little about other places, and intervals are wide"
    return {
        "level": intervals.LEVEL,
        "unit": unit,
        "groups": groups,
        "draws": intervals.DRAWS,
        "seed": intervals.SEED,
        "method": "bootstrap standard error, t with one degree of freedom fewer than groups that "
        "hold what is scored, arcsine scale",
        "words": words,
    }
