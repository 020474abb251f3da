"""Which outlines lie beside their fields: would a shifted one hold more even ground?

A field is one crop, sown and managed as one: within its outline, pixels of a season are alike up to
noise. Where the outline was drawn some pixels off, a strip along one side belongs to the neighbour
or to a road. So the outline is moved by a few pixels in every direction, and the strip that it
gains is compared with the strip that it gives up:

    gain(s) = [sum of d(i) over pixels given up - sum of d(i) over pixels gained] / pixels

where d(i) is the mean over all bands and periods of min(|x - m| / spread, 6) squared, m the field's
median and spread the median over fields of the standard deviation within a field. Predicted
classes are no help: neighbours often grow the same crop (see docs/label_review.md for figures).
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

LIMIT = 0.4
"""Gain from which an outline is suspect, at least: of simulated fields that were drawn rightly, one
of a hundred has as much."""
_SIGMAS, _MAD = 3.0, 1.4826
"""Standard deviations above the median gain, where that is more; and those in a median absolute
deviation. Fields that a map shows, or hilly ones, are less even, and none of them stands out."""
REACH_PX = 3
"""How far an outline is moved, along rows and columns."""
_LEAST_PX = 20
"""Of a field whose spread counts."""
_MOST = 6.0
"""Spreads that one value may lie away; clouds that the mask overlooked lie farther."""
_KEPT = 0.95
"""Share of its pixels that must stay within the patch when an outline is moved."""
_SPREAD_FIELDS = 300
"""Fields that the spread is taken from, at most."""


class Shift(NamedTuple):
    """The best place of an outline.

    Args:
      gain: how much more even the ground in it is, see above; 0 where none is better.
      rows, cols: how far from where it was drawn, pixels down and to the right.
    """

    gain: float
    rows: int
    cols: int


def spread(
    patches: Iterable[tuple[np.ndarray, np.ndarray]], most: int = _SPREAD_FIELDS
) -> np.ndarray:
    """Standard deviation within fields of each feature, the median over fields.

    Args:
      patches: (float32 [h, w, features], bool [h, w] the field's pixels).
      most: fields that are looked at.

    Returns:
      float64 [features]; NaN of a feature that no field has, infinite where it never varies.
    """
    found = []
    for values, own in patches:
        if own.sum() >= _LEAST_PX:
            with np.errstate(invalid="ignore"):
                found.append(_deviation(values[own]))
        if len(found) == most:
            break
    if not found:
        return np.zeros(0)
    out = _median(np.stack(found))
    return np.where(out > 0, out, np.inf)


def judge(values: np.ndarray, own: np.ndarray, spread: np.ndarray) -> Shift:
    """Where the outline of a field fits best.

    Args:
      values: float32 [h, w, features], NaN missing.
      own: bool [h, w], the pixels within the outline.
      spread: from `spread`.
    """
    if not len(spread) or not own.any():
        return Shift(0.0, 0, 0)
    away = np.abs(values - _median(values[own])) / spread
    distance = _mean(np.minimum(away, _MOST) ** 2)
    seen, pixels = ~np.isnan(distance), own.sum()
    cost = np.where(seen, distance, 0.0)
    best = Shift(0.0, 0, 0)
    for rows, cols in _shifts():
        there = move(own, rows, cols)
        if there.sum() < _KEPT * pixels:
            continue
        gain = float(cost[own & ~there].sum() - cost[there & ~own].sum()) / float(pixels)
        if gain > best.gain:
            best = Shift(gain, rows, cols)
    return best


def limit(gains: Sequence[float]) -> float:
    """The gain from which an outline is suspect: far above what most fields have."""
    values = np.asarray(gains, np.float64)
    if not len(values):
        return LIMIT
    middle = float(np.median(values))
    return max(LIMIT, middle + _SIGMAS * _MAD * float(np.median(np.abs(values - middle))))


def move(own: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """A mask, bool [h, w], moved down and to the right; what leaves the patch is lost."""
    height, width = own.shape
    out = np.zeros_like(own)
    to = _range(rows, height), _range(cols, width)
    out[to] = own[_range(-rows, height), _range(-cols, width)]
    return out


def _range(offset: int, length: int) -> slice:
    return slice(max(offset, 0), max(length + min(offset, 0), 0))


def _shifts() -> Sequence[tuple[int, int]]:
    reach = range(-REACH_PX, REACH_PX + 1)
    # The nearest first: of several as good, the outline moves least.
    return sorted(
        ((r, c) for r in reach for c in reach if r or c), key=lambda s: s[0] ** 2 + s[1] ** 2
    )


def _median(values: np.ndarray) -> np.ndarray:
    """Over the first axis, NaN left out; NaN where all are."""
    return _quiet(np.nanmedian, values, 0)


def _deviation(values: np.ndarray) -> np.ndarray:
    return _quiet(np.nanstd, values, 0)


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    return _quiet(np.nanmean, values, -1)


def _quiet(function: Callable[..., Any], values: np.ndarray, axis: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # what is missing throughout
        return np.asarray(function(values, axis=axis), np.float64)
