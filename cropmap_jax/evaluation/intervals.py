"""Intervals of scores: places are drawn again, since pixels of one place say little about another.

Numbers only. What is drawn is a *group*: a block of the split, or a field (see `groups`). Of each
group the counts that a score is made of are known; a draw adds up the counts of as many groups as
there are, taken with replacement, and the score of the sum is one value.

The spread of these values gives the standard error. It is taken on the scale of the arcsine, where
scores of 0 to 1 vary about as much wherever they lie, and the interval is as wide as Student's t
with H - 1 degrees of freedom asks for G groups, H of which hold anything that the score is of:

    x(v) = arcsin sqrt(v)       x(v) ± t(H - 1) sqrt(G / (G - 1)) sd(x of the draws)

The percentiles of the draws themselves are too narrow where groups are few: with 5 groups, 81 % of
them hold the truth, and 93 to 94 % of these (docs/evaluation.md; tests/evaluation/test_intervals.py
simulates it). Standard errors on the scale of the logit do as well, but for scores near 0 or 1
from few groups, where their intervals grow to anything between 0 and 1.

Source: Efron & Tibshirani, An introduction to the bootstrap (1993), chapters 6 and 12, of standard
errors and t; Hesterberg, What teachers should know about the bootstrap, The American Statistician
69 (2015), of percentiles that are too narrow and the factor sqrt(G / (G - 1)); Anscombe, The
transformation of Poisson, binomial and negative-binomial data, Biometrika 35 (1948), of the
arcsine.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from scipy import special

LEVEL = 0.95
DRAWS = 1000
SEED = 0


@dataclasses.dataclass(frozen=True)
class Figure:
    """A score and how sure it is.

    Args:
      value: of all counts; None where it has none.
      low, high: its interval; None where there is none.
      reason: in words, why there is no value or no interval; None where there are both.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready: value, low, high, reason."""
        return dataclasses.asdict(self)


def weights(groups: int, draws: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """How often each group is in each draw, float64 [draws, groups]; the same for the same seed."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, groups, (draws, groups))
    flat = drawn + groups * np.arange(draws)[:, None]
    return np.bincount(flat.ravel(), minlength=draws * groups).reshape(draws, groups).astype(float)


def figure(
    value: float | None,
    drawn: np.ndarray,
    groups: int,
    having: int,
    unit: str,
    why: str | None = None,
    span: tuple[float, float] = (0.0, 1.0),
) -> Figure:
    """A score with its interval.

    Args:
      value: the score of all counts; None where it has none.
      drawn: float [draws], the score of each draw, NaN where it has none.
      groups: how many were drawn from.
      having: in how many of them there is anything that the score is of: the others tell nothing,
        so that t has having - 1 degrees of freedom.
      unit: what a group is, for the reason: "block" or "field".
      why: the reason where there is no value.
      span: the smallest and largest score.
    """
    if value is None:
        return Figure(None, reason=why or "no value")
    if having < 2:
        return Figure(value, reason=f"no interval: it is of one {unit} alone")
    low, high = span

    def scale(values: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.arcsin(np.sqrt(np.clip((values - low) / (high - low), 0, 1)))
        return found

    there = scale(drawn[np.isfinite(drawn)])
    spread = float(there.std(ddof=1)) if len(there) > 1 else 0.0
    if spread <= 1e-9:
        return Figure(value, reason=f"no interval: every {unit} says the same")
    t = float(special.stdtrit(having - 1, (1 + LEVEL) / 2))  # without scipy.stats, a slow import
    half = t * math.sqrt(groups / (groups - 1)) * spread
    ends = np.clip(scale(np.array([value])) + np.array([-half, half]), 0, math.pi / 2)
    below, above = (low + (high - low) * math.sin(end) ** 2 for end in ends.tolist())
    return Figure(value, below, above)


def scores(counts: np.ndarray) -> dict[str, np.ndarray]:
    """F1, recall and precision of counts, as `metrics.Counts.scores`; NaN where they have none.

    Args:
      counts: float [..., 4], true positives, false positives, false negatives, true negatives.
    """
    tp, fp, fn, tn = np.moveaxis(counts, -1, 0)
    both = (tp + fn > 0) & (fp + tn > 0)

    def ratio(a: np.ndarray, b: np.ndarray, there: np.ndarray) -> np.ndarray:
        out = np.full(np.shape(a), np.nan)
        np.divide(a, b, out=out, where=there & (b > 0))
        return out

    return {
        "f1": ratio(2 * tp, 2 * tp + fp + fn, both),
        "recall": ratio(tp, tp + fn, tp + fn > 0),
        "precision": ratio(tp, tp + fp, both),
    }
