"""As-of windows: which periods a prediction made on a given date may see.

A composite is usable on the as-of date only if its period has ended by then (`end <= as_of`:
periods are half open and the as-of date is exclusive). The window is the `num_periods` contiguous
periods that end with the last usable one.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence

import numpy as np

from cropmap_jax.geo.periods import from_day, to_day

MISSING = -1
"""Index of a period from before the cube begins."""


@dataclasses.dataclass(frozen=True)
class Window:
    """The periods that a prediction sees, oldest first.

    Args:
      indices: int32 [N], of the cube's periods; MISSING where they lie before the cube begins.
      day_of_year: int32 [N], the middle of each period from 1 to 366; 0 where it is MISSING.
      spans: int [M, 2], (start, end) in days since 1970-01-01 of the M <= N that are there.
    """

    indices: np.ndarray
    day_of_year: np.ndarray
    spans: np.ndarray

    @property
    def end(self) -> int:
        """End of the last period, exclusive, days since 1970-01-01."""
        return int(self.spans[-1, 1])

    @property
    def missing(self) -> int:
        """How many periods lie before the cube begins."""
        return len(self.indices) - len(self.spans)


def as_of_window(periods: np.ndarray, as_of: int, num_periods: int, where: str = "cube") -> Window:
    """What a prediction on `as_of` sees: the only place where that is decided.

    Args:
      periods: int [T, 2], contiguous (start, end) in days since 1970-01-01.
      as_of: exclusive date of the prediction, days since 1970-01-01.
      num_periods: length of the window.
      where: what to name in an error.

    Raises:
      ValueError: no period has ended by the as-of date.
    """
    indices = window_indices(periods, as_of, num_periods, where)
    last = int(indices[-1])
    spans = periods[max(last - num_periods + 1, 0) : last + 1]
    middle = spans.astype("int64").sum(1) // 2
    year_start = middle.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]")
    day_of_year = np.zeros(num_periods, np.int32)
    day_of_year[num_periods - len(spans) :] = middle - year_start.astype("int64") + 1
    return Window(indices, day_of_year, spans)


def last_period(periods: np.ndarray, as_of: int) -> int:
    """Index of the last period that has ended by a date, -1 if none has.

    Args:
      periods: int [T, 2], contiguous (start, end) in days since 1970-01-01.
      as_of: exclusive date, days since 1970-01-01.
    """
    return int(np.searchsorted(periods[:, 1], as_of, side="right")) - 1


def window_indices(
    periods: np.ndarray, as_of: int, num_periods: int, where: str = "cube"
) -> np.ndarray:
    """Indices of the periods that a prediction on `as_of` sees, oldest first.

    Args:
      periods: int [T, 2], contiguous (start, end) in days since 1970-01-01.
      as_of: exclusive date of the prediction, days since 1970-01-01.
      num_periods: length of the window.
      where: what to name in an error.

    Returns:
      int32 [num_periods]; MISSING where the window reaches back before the first period.

    Raises:
      ValueError: no period has ended by the as-of date.

    Example:
      Six monthly periods from January: on 15 May, January to April have ended, so a window of
      six is (MISSING, MISSING, 0, 1, 2, 3).
    """
    last = last_period(periods, as_of)
    if last < 0:
        raise ValueError(
            f"{where}: as-of {from_day(as_of)} lies before the end of the first period "
            f"({from_day(periods[0, 0])} to {from_day(periods[0, 1])}); expected "
            f"{from_day(periods[0, 1])} or later"
        )
    indices = np.arange(last - num_periods + 1, last + 1, dtype=np.int32)
    return np.maximum(indices, MISSING)


def take_window(values: np.ndarray, indices: np.ndarray, fill: float) -> np.ndarray:
    """Selects periods along the first axis; missing ones are filled.

    Args:
      values: [T, ...] array.
      indices: int [N] from `window_indices`.
      fill: value for periods before the cube begins (the nodata value, or NaN).

    Returns:
      [N, ...] array, a copy.
    """
    window: np.ndarray = values[np.maximum(indices, 0)]
    window[indices == MISSING] = fill
    return window


def effective_lead(harvest_start: dt.date, window_end: dt.date) -> int:
    """Days between the end of the last usable period and the harvest start."""
    return to_day(harvest_start) - to_day(window_end)


def describe_lead(low: int, high: int) -> str:
    """When the last image was taken, in words.

    Args:
      low, high: smallest and largest days from the last image to harvest; negative after harvest
        began.

    Example:
      (20, 45) is "20 to 45 days before harvest", (-91, -91) "91 days after harvest began" and
      (-91, 58) "58 days before harvest to 91 days after it began".
    """
    if low == high == 0:
        return "on the day harvest began"
    if low >= 0:
        return f"{_days(low, high)} before harvest"
    if high <= 0:
        return f"{_days(-high, -low)} after harvest began"
    return f"{_days(high, high)} before harvest to {_days(-low, -low)} after it began"


def _days(low: int, high: int) -> str:
    return f"{low} day{'s' if low != 1 else ''}" if low == high else f"{low} to {high} days"


def format_lead(span: Sequence[int] | None) -> str:
    """A range of leads for a table; "-" where there is none.

    Example:
      (30, 61) is "30 to 61 d", (-91, -91) "91 d after" and (-91, 58) "58 d before to 91 d after".
    """
    if not span:
        return "-"
    low, high = span
    if low >= 0:
        return f"{low} d" if low == high else f"{low} to {high} d"
    if high <= 0:
        return f"{-low} d after" if low == high else f"{-high} to {-low} d after"
    return f"{high} d before to {-low} d after"
