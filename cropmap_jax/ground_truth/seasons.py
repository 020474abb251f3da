"""From days of the year to dates: the seasons of an agricultural year, Jalali or Gregorian.

A calendar of crops says "07-15", not in which year. The rule: planting ends in the agricultural
year; it started at the last such day on or before that; harvest starts at the first such day after
planting started, which may be in the next year, and ends at the first such day from then on.

A crop that stands longer (sugarcane, cassava, pineapple) says so: a harvest of "12-01+1" starts a
year later than that. Or its days are dates, "2022-10-31" and "2023-12-01": then the years between
them count, whichever years they are.
"""

import calendar
import datetime as dt
import re
from typing import NamedTuple

import jdatetime

from cropmap_jax.geo.calendars import LONGEST_DAYS, SHORTEST_DAYS, Season

GREGORIAN, JALALI = "gregorian", "jalali"
DASHES = ("", "-", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212")
"""What stands for "no date": nothing, a hyphen, or one of its typographic kin."""
# Digits of any script, as int() reads them: a Persian workbook may hold Persian ones.
_MONTH_DAY = re.compile(
    r"\s*(?:(?P<year>\d{4})\s*[-/]\s*)?(?P<month>\d{1,2})\s*[-/]\s*(?P<day>\d{1,2})"
    r"\s*(?:\+\s*(?P<later>\d))?\s*"
)
# The season becomes part of file names: plain digits.
_YEAR = re.compile(r"([1-9][0-9]{3})(?:-([1-9][0-9]{3}))?")
# Gregorian years that field data may name: a number outside is one of the other calendar.
_YEARS = range(1900, 2200)
# The Jalali year n starts in March of the Gregorian year n + 621.
_OFFSET = {GREGORIAN: 0, JALALI: 621}


class _Day(NamedTuple):
    month: int
    day: int


class MonthDay(_Day):
    """A day of no year in particular, e.g. 1 Mehr: MonthDay(7, 1)."""

    # Of a `YearsDay`.
    later: int = 0
    year: int = 0

    def __str__(self) -> str:
        return f"{self.month:02d}-{self.day:02d}"


class YearsDay(MonthDay):
    """A day with something known about its year; equal to the day itself.

    Args:
      month, day: from 1.
      later: years that it comes later than the rule says.
      year: of a whole date, which only counts together with another one; 0 where there was none.
    """

    def __new__(cls, month: int, day: int, later: int = 0, year: int = 0) -> "YearsDay":
        self = super().__new__(cls, month, day)
        self.later, self.year = later, year
        return self

    def __str__(self) -> str:
        year = f"{self.year}-" if self.year else ""
        return f"{year}{super().__str__()}{f'+{self.later}' if self.later else ''}"


class AgriculturalYear(NamedTuple):
    """The days of an agricultural year, the last one included."""

    first: dt.date
    last: dt.date


def parse_month_day(cell: object, system: str, where: str) -> MonthDay | None:
    """Reads a cell such as "07-15", "7/15", "07-15+1" or "2023-07-15"; a dash or nothing is None.

    Args:
      cell: text; in the Gregorian system also a date. A Jalali day that a spreadsheet took for a
        Gregorian date may have been changed, and is refused.
      system: "gregorian" or "jalali".
      where: file, sheet, row and column, for messages.

    Raises:
      ValueError: names `where`, what was found and what was expected. 12-30 (jalali) and 02-29
        (gregorian) are read here, and refused by `to_date` in years that lack them.
    """
    if cell is None or (isinstance(cell, str) and cell.strip() in DASHES):
        return None
    if isinstance(cell, dt.date) and system == GREGORIAN:
        return YearsDay(cell.month, cell.day, year=cell.year)
    match = _MONTH_DAY.fullmatch(cell) if isinstance(cell, str) else None
    if not match:
        found = repr(cell) if isinstance(cell, str) else f"{cell} ({type(cell).__name__})"
        raise ValueError(f"{where}: expected text such as 07-15 (month, day), found {found}")
    month, day, later, year = (int(match[k] or 0) for k in ("month", "day", "later", "year"))
    if year and year + _OFFSET[system] not in _YEARS:
        raise ValueError(f"{where}: expected a year of the {system} calendar, found {cell!r}")
    if later and year:
        raise ValueError(f"{where}: expected a year or years to add, found both in {cell!r}")
    if not 1 <= month <= 12:
        raise ValueError(f"{where}: expected a month from 01 to 12, found {cell!r}")
    # The most days that the month ever has; 1399 and 2000 are leap years.
    most = _days_in_month(month, 2000 if system == GREGORIAN else 1399, system)
    if not 1 <= day <= most:
        raise ValueError(
            f"{where}: expected a day from 01 to {most} in month {month:02d} ({system}), "
            f"found {cell!r}"
        )
    return YearsDay(month, day, later, year)


def to_date(month_day: MonthDay, year: int, system: str, where: str) -> dt.date:
    """Date of a day of a calendar year.

    Raises:
      ValueError: names `where`: that year has no such day.
    """
    most = _days_in_month(month_day.month, year, system)
    if month_day.day > most:
        raise ValueError(
            f"{where}: expected a day up to {most} in month {month_day.month:02d} of {year} "
            f"({system}), found {month_day}"
        )
    if system == GREGORIAN:
        return dt.date(year, month_day.month, month_day.day)
    date: dt.date = jdatetime.date(year, month_day.month, month_day.day).togregorian()
    return date


def parse_year(text: str, system: str, year_start: str, where: str) -> AgriculturalYear:
    """The agricultural year "1400-1401" that starts in 1400, on the day `year_start`.

    Args:
      text: two numbers that follow each other; or one, if the year starts on 01-01.
      system: "gregorian" or "jalali".
      year_start: month and day, e.g. "07-01" for 1 Mehr.
      where: for messages.

    Returns:
      E.g. 2021-09-23 to 2022-09-22.

    Raises:
      ValueError: names `where`, what was found and what was expected.
    """
    start = parse_month_day(year_start, system, f"{where}: start of the year")
    if start is None:
        raise ValueError(f"{where}: expected a start of the year such as 07-01, found none")
    single = tuple(start) == (1, 1)
    match = _YEAR.fullmatch(str(text))
    numbers = [int(n) for n in match.groups() if n] if match else []
    if len(numbers) != (1 if single else 2) or numbers[-1] - numbers[0] != len(numbers) - 1:
        form = "one year such as 2022" if single else "two years in turn such as 2021-2022"
        raise ValueError(f"{where}: expected {form} (they start on {start}), found {text!r}")
    if numbers[0] + _OFFSET[system] not in _YEARS:
        raise ValueError(f"{where}: expected years of the {system} calendar, found {text!r}")
    first, end = (
        to_date(start, n, system, f"{where}: start of the year")
        for n in (numbers[0], numbers[0] + 1)
    )
    return AgriculturalYear(first, end - dt.timedelta(days=1))


def resolve(
    planting_start: MonthDay | None,
    planting_end: MonthDay | None,
    harvest_start: MonthDay | None,
    harvest_end: MonthDay | None,
    year: AgriculturalYear,
    system: str,
    name: str,
    where: str,
) -> Season | None:
    """Dates of a season of an agricultural year, by the rule at the top of this module.

    Args:
      planting_start: if it is unknown, harvest starts at the first such day after planting ended.
      planting_end: lies in the year.
      harvest_start: may lie in the next year, or years later.
      harvest_end: may be unknown.
      year: agricultural year of the fields.
      system: "gregorian" or "jalali".
      name: of the season.
      where: file, sheet and row, for messages.

    Returns:
      The season, or None if it is not known when planting ends or harvest starts.

    Raises:
      ValueError: names `where`: a day that its year does not have, a harvest that starts while
        planting continues, or years where none can be.
    """
    if planting_end is None or harvest_start is None:
        return None
    later = _years_later(planting_start, planting_end, harvest_start, harvest_end, where)

    def date(month_day: MonthDay, in_year: int, what: str) -> dt.date:
        return to_date(month_day, in_year, system, f"{where}: {what}")

    # Years are counted on days of the year, not on dates: a 12-30 that a year lacks is then an
    # error, and not a day four years away.
    start, number = _split(year.first, system)
    planted = number + (planting_end < start)
    planting = date(planting_end, planted, "planting end")
    since, after = planting_end, planted
    if planting_start is not None:
        since, after = planting_start, planted - (planting_start > planting_end)
        date(planting_start, after, "planting start")
    first = after + (harvest_start <= since) + (later.rule or 0)
    first = first if later.apart is None else planted + later.apart
    begin = date(harvest_start, first, "harvest start")
    end = None
    if harvest_end is not None:
        end = date(harvest_end, first + (harvest_end < harvest_start), "harvest end")
    if begin <= planting:
        raise ValueError(
            f"{where}: expected a harvest that starts after planting ({planting_start or '-'} to "
            f"{planting_end}), found {harvest_start}"
        )
    return Season(begin, end, planting, name)


class _Later(NamedTuple):
    """When harvest starts: years after what the rule says, or years after planting ends."""

    rule: int
    apart: int | None


def _years_later(
    planting_start: MonthDay | None,
    planting_end: MonthDay,
    harvest_start: MonthDay,
    harvest_end: MonthDay | None,
    where: str,
) -> _Later:
    """When harvest starts, by the years that are given with days.

    Raises:
      ValueError: years to add where none can be, or dates in the wrong order.
    """
    for what, day in (("start of planting", planting_start), ("end of planting", planting_end),
                      ("end of harvest", harvest_end)):  # fmt: skip
        if day is not None and day.later:
            raise ValueError(f"{where}: expected the {what} without a year to add, which only the "
                             f"start of harvest takes, found {day}")  # fmt: skip
    apart = harvest_start.year - planting_end.year
    if not (harvest_start.year and planting_end.year):
        return _Later(harvest_start.later, None)
    if apart < 0:
        raise ValueError(f"{where}: expected a harvest that starts after planting, found "
                         f"{harvest_start} after a planting that ends {planting_end}")  # fmt: skip
    # Days that a spreadsheet took for dates are all of the year in which they were typed.
    return _Later(0, apart or None)


def describe_odd(season: Season, where: str) -> str:
    """What is odd about the length of a season, or "" if nothing is."""
    if season.planting is None:
        return ""
    days = (season.harvest_start - season.planting).days
    start = f"{where}: harvest starts {days} days after planting ends"
    if days < SHORTEST_DAYS:
        return (f"{start}, which is short (expected {SHORTEST_DAYS} or more): if it starts a year "
                f'later, write "+1" after its day')  # fmt: skip
    if days > LONGEST_DAYS:
        return f"{start}, which is long (expected {LONGEST_DAYS} or fewer): are its years right?"
    return ""


def _split(date: dt.date, system: str) -> tuple[MonthDay, int]:
    """Day of the year and year of a date."""
    own = date if system == GREGORIAN else jdatetime.date.fromgregorian(date=date)
    return MonthDay(own.month, own.day), own.year


def _days_in_month(month: int, year: int, system: str) -> int:
    if system == GREGORIAN:
        return calendar.monthrange(year, month)[1]
    # Months of the Jalali calendar: six of 31 days, five of 30, and one of 29, or 30 in leap years.
    if month == 12:
        return 30 if jdatetime.date(year, 1, 1).isleap() else 29
    return 31 if month <= 6 else 30
