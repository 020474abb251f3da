"""Which fields are green when their crop cannot be: the season, or the calendar, looks wrong."""

from typing import NamedTuple

import numpy as np

from cropmap_jax.review.patches import Patch

SLACK_DAYS = 45
"""How long before planting ends or after harvest begins a field may be greenest: fields differ from
the calendar by weeks, and a month's composite by two more."""
_LEAST_SWING = 0.2
"""Of NDVI over the year: what is as green all the time has no peak."""


class Peak(NamedTuple):
    """When a field is greenest.

    Args:
      curve: float64 [T], median NDVI over the field's pixels, NaN missing.
      day: middle of the period of the maximum, days since 1970-01-01; 0 where there is no peak.
      outside: days before planting or after harvest, less SLACK_DAYS; 0 within, and where the
        calendar has no date.
    """

    curve: np.ndarray
    day: int
    outside: int


def judge(patch: Patch, own: np.ndarray, planting: int, harvest: int) -> Peak:
    """Compares a field's curve with the calendar.

    Args:
      patch: of exactly the ground of `own`.
      own: bool [h, w], the field's pixels.
      planting, harvest: end of planting and start of harvest, days since 1970-01-01; 0 unknown.
    """
    if patch.greenness is None or not own.any():
        return Peak(np.full(len(patch.spans), np.nan), 0, 0)
    values = patch.greenness[:, own]
    there = ~np.isnan(values).all(1)
    curve = np.full(len(values), np.nan)
    curve[there] = np.nanmedian(values[there], 1)
    if not there.any() or np.nanmax(curve) - np.nanmin(curve) < _LEAST_SWING:
        return Peak(curve, 0, 0)
    day = int(patch.days[int(np.nanargmax(curve))])
    early = planting - day if planting else 0
    late = day - harvest if harvest else 0
    return Peak(curve, day, max(early - SLACK_DAYS, late - SLACK_DAYS, 0))
