"""Which periods cubes have: calendar months that windows need, or windows before harvest."""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from cropmap_jax.geo.periods import Period, month_periods, parse_date

ANCHORS = ("months", "harvest")
MOST_PERIODS, MOST_DAYS = 120, 3660
"""Ten years: longer than the Sentinels have been there."""


@dataclasses.dataclass(frozen=True)
class Archive:
    """What a provider of pixels has.

    Args:
      name: of the provider, for messages.
      begins: {sensor: first day}.
    """

    name: str
    begins: Mapping[str, dt.date]


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


@dataclasses.dataclass(frozen=True)
class Timing:
    """Which periods cubes have.

    Args:
      anchor: "months", calendar months over the span that windows need; or "harvest", the windows
        of the original system, [h-7, h-6] ... [h-2, h-1] months around the day h harvest starts.
        They end 28 to 31 days before h, so that a model trained on them with lead_days above 28
        may miss the last one.
      num_periods: periods of a window.
      lead_days: (least, most) days before harvest that predictions will be made. Only with
        "months", and for regions: labelled tiles bring their months with them.
      months: dates in the first and the last month, e.g. ("2017-10-01", "2018-09-30"), for all
        cubes alike; () to find them from the harvest dates.

    Raises:
      ValueError: names what is wrong.
    """

    anchor: str = "months"
    num_periods: int = 6
    lead_days: tuple[int, int] = (30, 60)
    months: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.anchor not in ANCHORS:
            raise ValueError(f"anchor: expected one of {', '.join(ANCHORS)}, found {self.anchor!r}")
        if not _whole(self.num_periods, 1, MOST_PERIODS):
            raise ValueError(
                f"num_periods: expected 1 or more, {MOST_PERIODS} at most, found "
                f"{self.num_periods!r}"
            )
        pair = self.lead_days if isinstance(self.lead_days, tuple) else ()
        if len(pair) != 2 or not all(_whole(n, 0, MOST_DAYS) for n in pair) or pair[0] > pair[1]:
            raise ValueError(
                f"lead_days: expected (least, most) days, {MOST_DAYS} at most, found "
                f"{self.lead_days!r}"
            )
        if not isinstance(self.months, tuple):
            raise ValueError(f"months: expected (first, last) dates, found {self.months!r}")
        if self.months and self.anchor == "harvest":
            raise ValueError("months: expected none with anchor 'harvest', found both")
        if self.months and len(self.months) != 2:
            raise ValueError(f"months: expected (first, last) dates, found {self.months}")

    def fixed(self) -> tuple[Period, ...]:
        """The periods that `months` names; () if it names none.

        Raises:
          ValueError: dates that cannot be read, or the last before the first.
        """
        return months_between(self.months, "months") if self.months else ()

    def periods_of(self, harvest: dt.date) -> tuple[Period, ...]:
        """Periods of a cube whose crops have one harvest date.

        Raises:
          ValueError: see `fixed`.
        """
        if self.anchor == "harvest":
            return harvest_periods(harvest, self.num_periods)
        return self.fixed() or months_needed([harvest], self.num_periods, self.lead_days)


def months_needed(
    harvests: Iterable[dt.date], num_periods: int, lead_days: tuple[int, int]
) -> tuple[Period, ...]:
    """Calendar months that windows see whose as-of date lies `lead_days` before a harvest.

    Args:
      harvests: days on which harvests start; at least one.
      num_periods: months of a window.
      lead_days: (least, most) days from the as-of date to harvest.

    Returns:
      Months from the first that the earliest window sees to the last that the latest sees.
    """
    harvests = list(harvests)
    least, most = lead_days
    # The month in which an as-of date lies has not ended by then.
    first = _add_months((min(harvests) - dt.timedelta(days=most)).replace(day=1), -num_periods)
    last = (max(harvests) - dt.timedelta(days=least)).replace(day=1) - dt.timedelta(days=1)
    return month_periods(first, last)


def harvest_periods(harvest: dt.date, num_periods: int) -> tuple[Period, ...]:
    """The original system's windows: [h-7, h-6] ... [h-2, h-1] months for six periods, half open.

    For a day that a month does not have stands its last one.
    """
    edges = [_add_months(harvest, -k) for k in range(num_periods + 1, 0, -1)]
    return tuple(Period(a, b) for a, b in zip(edges, edges[1:], strict=False))


def _add_months(date: dt.date, count: int) -> dt.date:
    month = np.datetime64(date, "M") + count
    first: dt.date = month.astype("M8[D]").astype(dt.date)
    last: dt.date = (month + 1).astype("M8[D]").astype(dt.date) - dt.timedelta(days=1)
    return min(first + dt.timedelta(days=date.day - 1), last)


def months_between(pair: Sequence[str], where: str) -> tuple[Period, ...]:
    """Calendar months from the one that holds the first ISO date to the one that holds the last.

    Raises:
      ValueError: names `where`: dates that cannot be read, or the last before the first.
    """
    first, last = (parse_date(text, where) for text in pair)
    if last < first:
        raise ValueError(f"{where}: expected a last date from {first} on, found {last}")
    if (last - first).days > MOST_DAYS:
        raise ValueError(f"{where}: expected {MOST_DAYS} days at most, found {first} to {last}")
    return month_periods(first, last)


def check_dates(
    spans: Sequence[Period], archive: Archive, where: str, today: dt.date | None = None
) -> None:
    """Requires periods that are over and that all sensors were there for.

    Args:
      spans: periods, in order.
      archive: where the pixels come from.
      where: what to name in an error.
      today: the present day, UTC, if None.

    Raises:
      ValueError: names `where` and the first period that is wrong.
    """
    today = today or dt.datetime.now(dt.UTC).date()
    early = [
        f"{k.upper()} (from {day})" for k, day in archive.begins.items() if spans[0].start < day
    ]
    if early:
        raise ValueError(
            f"{where}: expected periods since {archive.name} has {' and '.join(early)}, found "
            f"{spans[0].start} to {spans[0].end}"
        )
    if spans[-1].end > today:
        raise ValueError(
            f"{where}: expected periods that have ended by today, {today}, found "
            f"{spans[-1].start} to {spans[-1].end}"
        )
