"""How often what was said with some probability was so: counts in fine bins, and what they tell.

Sources: expected calibration error: Naeini, Cooper & Hauskrecht 2015 (AAAI), with 15 bins of equal
width as by Guo et al. 2017 (ICML). Risk over coverage and the area under it: Geifman & El-Yaniv
2017 (NeurIPS), Geifman, Uziel & El-Yaniv 2019 (ICLR).
"""

import dataclasses
from typing import Any

import numpy as np

FINE = 3000
"""Bins that are counted in; the diagram's and those of the error are made of them."""
BINS = 15
"""Of equal width, for the expected calibration error; a divisor of FINE."""
POINTS = 10
"""Bins of equal weight in a diagram."""
STEPS = 50
"""Points of a curve in JSON, at most."""

Row = dict[str, Any]


@dataclasses.dataclass
class Histogram:
    """How often what was said with some probability was so.

    Attributes:
      weight, true, said: float64 [FINE], sums of weights, of weights of what was so, and of weight
        times probability, over pixels with a probability in the bin.
    """

    weight: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(FINE))
    true: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(FINE))
    said: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(FINE))

    def add(self, probability: np.ndarray, so: np.ndarray, weight: np.ndarray) -> None:
        """Adds pixels.

        Args:
          probability: float [N], from 0 to 1.
          so: bool [N].
          weight: float [N].
        """
        given = np.clip(probability.astype(np.float64), 0, 1)
        at = np.minimum((given * FINE).astype(np.int64), FINE - 1)
        self.weight += np.bincount(at, weight, FINE)
        self.true += np.bincount(at, weight * so, FINE)
        self.said += np.bincount(at, weight * given, FINE)

    def merge(self, other: "Histogram") -> None:
        """Adds another's sums."""
        self.weight += other.weight
        self.true += other.true
        self.said += other.said

    @property
    def total(self) -> float:
        """Of all weights."""
        return float(self.weight.sum())

    def error(self) -> float | None:
        """Expected calibration error: sum over bins of weight |share that was so - mean said|."""
        if not self.total:
            return None
        gap = (self.true - self.said).reshape(BINS, -1).sum(1)
        return float(np.abs(gap).sum() / self.total)

    def diagram(self) -> list[Row]:
        """Bins of about equal weight, lowest first; fewer where many pixels share a probability.

        Returns:
          Rows of `low` and `high`, bounds of the probabilities, `weight`, mean `said` and share
          that was so, `true`.
        """
        if not self.total:
            return []
        before = np.cumsum(self.weight) - self.weight / 2
        number = np.minimum((before / self.total * POINTS).astype(int), POINTS - 1)
        rows = []
        for own in (number == k for k in range(POINTS)):
            there = np.flatnonzero(own & (self.weight > 0))
            if len(there):
                weight = float(self.weight[there].sum())
                rows.append(
                    {
                        "low": float(there[0] / FINE),
                        "high": float((there[-1] + 1) / FINE),
                        "weight": weight,
                        "said": float(self.said[there].sum() / weight),
                        "true": float(self.true[there].sum() / weight),
                    }
                )
        return rows

    def kept(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What is left as the least sure pixels are left out.

        Returns:
          Least probability that is kept, share of the weight that is, and share of that which was
          so: float64 [bins with pixels], from few to all.
        """
        there = np.flatnonzero(self.weight)[::-1]
        weight, true = np.cumsum(self.weight[there]), np.cumsum(self.true[there])
        return there / FINE, weight / max(self.total, 1e-300), true / np.maximum(weight, 1e-300)

    def abstention(self) -> tuple[list[Row], float | None]:
        """Accuracy against the share of pixels kept, and the area under 1 - accuracy (AURC).

        The area is a sum over shares kept: 0 is perfect, and the error of all pixels is what
        probabilities in no order give.
        """
        least, share, right = self.kept()
        if not len(share):
            return [], None
        area = float(((1 - right) * np.diff(share, prepend=0)).sum())
        rows = [
            {"kept": float(share[i]), "accuracy": float(right[i]), "least": float(least[i])}
            for i in _spread(share)
        ]
        return rows, area

    def precision_recall(self) -> tuple[list[Row], float | None]:
        """Precision and recall at thresholds, high ones first, and average precision.

        Average precision is sum_n (R_n - R_(n-1)) P_n, as scikit-learn's; None without a positive.
        """
        least, share, precision = self.kept()
        positives = self.true.sum()
        if not positives:
            return [], None
        recall = precision * share * self.total / positives
        area = float((precision * np.diff(recall, prepend=0)).sum())
        rows = [
            {
                "threshold": float(least[i]),
                "precision": float(precision[i]),
                "recall": float(recall[i]),
            }
            for i in _spread(recall)
        ]
        return rows, area


def _spread(along: np.ndarray) -> np.ndarray:
    """Indices of at most STEPS + 1 points that lie about evenly along a rising axis; the last."""
    wanted = np.linspace(along[0], along[-1], STEPS + 1)
    return np.unique(np.minimum(np.searchsorted(along, wanted), len(along) - 1))
