"""As of which date the whole legend is mapped for a report: one date for all classes of a place."""

import numpy as np

from cropmap_jax.geo import periods

RULE = (
    "the latest date on which most crops of the legend are planted and at least {lead} days before "
    "their harvest"
)


def choose(harvest: np.ndarray, planting: np.ndarray, lead: int) -> np.ndarray:
    """Of each cube, the latest date on which most crops stand with their harvest ahead.

    A map shows all crops as of one date, and no crop has its best date on every date: winter crops
    are harvested when summer crops are sown. What is planted and still `lead` days or more before
    its harvest counts; of several dates with as many crops, the latest shows most.

    Args:
      harvest: int [cubes, classes], harvest start, days since 1970-01-01.
      planting: int [cubes, classes], when each class is planted; 0 unknown: it may be there.
      lead: days.

    Returns:
      int32 [cubes].
    """
    last = np.asarray(harvest) - lead
    first = np.where(np.asarray(planting) > 0, planting, np.iinfo(np.int32).min)
    # The number of crops only falls after some crop's last date: one of these is the best.
    there = (first[:, None, :] <= last[:, :, None]) & (last[:, :, None] <= last[:, None, :])
    count = there.sum(-1)
    most = count == count.max(1, keepdims=True)
    found: np.ndarray = np.where(most, last, np.iinfo(np.int32).min).max(1)
    return found.astype(np.int32)


def words(dates: np.ndarray) -> list[str]:
    """First and last of some dates, ISO."""
    return [periods.from_day(int(day)).isoformat() for day in (dates.min(), dates.max())]
