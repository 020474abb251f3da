"""Periods of time: half-open [start, end) spans of days, as lists and as day numbers."""

import calendar
import dataclasses
import datetime as dt
from collections.abc import Sequence

import numpy as np

EPOCH = dt.date(1970, 1, 1)


@dataclasses.dataclass(frozen=True, order=True)
class Period:
    """Half-open span of days [start, end).

    Raises:
      ValueError: the end is not after the start.
    """

    start: dt.date
    end: dt.date

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"period: expected an end after {self.start}, found {self.end}")

    @property
    def name(self) -> str:
        """ISO date of the start, the name used in band descriptions."""
        return self.start.isoformat()


def to_day(date: dt.date) -> int:
    """Days since 1970-01-01."""
    return (date - EPOCH).days


def from_day(day: int) -> dt.date:
    """Date of a number of days since 1970-01-01."""
    return EPOCH + dt.timedelta(days=int(day))


def parse_date(text: str, where: str) -> dt.date:
    """Reads an ISO date.

    Raises:
      ValueError: names `where` (a flag or file) and what was found.
    """
    try:
        return dt.date.fromisoformat(str(text).strip())
    except ValueError:
        raise ValueError(f"{where}: expected a date like 2022-09-01, found {str(text)!r}") from None


def to_days(periods: Sequence[Period]) -> np.ndarray:
    """int32 [T, 2] array of (start, end) in days since 1970-01-01."""
    return np.array([[to_day(p.start), to_day(p.end)] for p in periods], np.int32).reshape(-1, 2)


def from_days(days: np.ndarray) -> tuple[Period, ...]:
    """The inverse of `to_days`."""
    return tuple(Period(from_day(a), from_day(b)) for a, b in np.asarray(days))


def check_contiguous(periods: Sequence[Period], where: str) -> None:
    """Requires at least one period, in order, each starting where the one before ends.

    A gap would make "the last six periods" span more time in one cube than in another.

    Raises:
      ValueError: names `where` and the first break.
    """
    if not periods:
        raise ValueError(f"{where}: expected at least one period, found none")
    for a, b in zip(periods, periods[1:], strict=False):
        if a.end != b.start:
            raise ValueError(
                f"{where}: expected contiguous periods, found {a.start}..{a.end} followed by "
                f"{b.start}..{b.end}"
            )


def month_periods(first: dt.date, last: dt.date) -> tuple[Period, ...]:
    """Calendar months from the one that holds `first` to the one that holds `last`."""
    periods, start = [], first.replace(day=1)
    while start <= last:
        end = start + dt.timedelta(days=calendar.monthrange(start.year, start.month)[1])
        periods.append(Period(start, end))
        start = end
    return tuple(periods)


def dekad_periods(first: dt.date, last: dt.date) -> tuple[Period, ...]:
    """Dekads (days 1-10, 11-20, 21-end of each month) from `first`'s to `last`'s."""
    periods = []
    for month in month_periods(first, last):
        cuts = [month.start, month.start.replace(day=11), month.start.replace(day=21), month.end]
        periods += [Period(a, b) for a, b in zip(cuts, cuts[1:], strict=False)]
    return tuple(p for p in periods if p.end > first and p.start <= last)


def period_kind(periods: Sequence[Period]) -> str:
    """What one period is: "month", "dekad" or "N days" (the median length)."""
    days = to_days(periods)
    median = int(np.median(days[:, 1] - days[:, 0]))
    if 28 <= median <= 31:
        return "month"
    return "dekad" if 8 <= median <= 11 else f"{median} days"
