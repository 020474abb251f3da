"""Days of the year become dates: Jalali and Gregorian years, and seasons that cross them."""

import datetime as dt

import hypothesis.strategies as st
import jdatetime
import pytest
from hypothesis import event, example, given, settings

from cropmap_jax.geo.calendars import Season
from cropmap_jax.ground_truth import seasons
from cropmap_jax.ground_truth.seasons import AgriculturalYear, MonthDay, parse_month_day, parse_year

D = dt.date
WHERE = "book.xlsx, sheet 'Maize', row 4"


def resolve(*texts: str, season: str = "1400-1401", system: str = "jalali", start: str = "07-01"):
    """Season of planting start, planting end, harvest start and harvest end."""
    days = (parse_month_day(text, system, WHERE) for text in texts)
    year = parse_year(season, system, start, "season")
    return seasons.resolve(*days, year, system, "Maize", WHERE)


# Days of the year.


@pytest.mark.parametrize(
    ("cell", "system", "expected"),
    [
        ("07-15", "jalali", (7, 15)),
        (" 7/5 ", "gregorian", (7, 5)),
        ("۰۷-۱۵", "jalali", (7, 15)),  # Persian digits
        ("04-31", "jalali", (4, 31)),  # the first six months have 31 days
        ("12-30", "jalali", (12, 30)),
        ("02-29", "gregorian", (2, 29)),
        (D(2022, 7, 15), "gregorian", (7, 15)),
        (dt.datetime(1999, 7, 15, 12), "gregorian", (7, 15)),
        (None, "jalali", None),
        ("", "jalali", None),
        (" - ", "jalali", None),
        ("–", "gregorian", None),
    ],
)
def test_cells_that_are_read(cell, system, expected):
    assert parse_month_day(cell, system, WHERE) == expected


@pytest.mark.parametrize(
    ("cell", "system", "message"),
    [
        ("13-05", "jalali", "expected a month from 01 to 12, found '13-05'"),
        ("00-10", "jalali", "expected a month from 01 to 12, found '00-10'"),
        ("04-00", "jalali", r"expected a day from 01 to 31 in month 04 \(jalali\), found '04-00'"),
        ("12-31", "jalali", r"expected a day from 01 to 30 in month 12 \(jalali\), found '12-31'"),
        ("07-31", "jalali", "expected a day from 01 to 30 in month 07 .*, found '07-31'"),
        ("04-31", "gregorian", "expected a day from 01 to 30 in month 04 .*, found '04-31'"),
        ("02-30", "gregorian", "expected a day from 01 to 29 in month 02 .*, found '02-30'"),
        ("summer", "jalali", r"expected text such as 07-15 \(month, day\), found 'summer'"),
        ("1401-07-15-3", "jalali", "expected text such as .* found '1401-07-15-3'"),
        (7.15, "jalali", r"expected text such as .* found 7.15 \(float\)"),
        # Jalali days that a spreadsheet took for Gregorian ones.
        (dt.datetime(2022, 7, 15), "jalali", r"found 2022-07-15 00:00:00 \(datetime\)"),
    ],
)
def test_cells_that_are_refused(cell, system, message):
    with pytest.raises(ValueError, match=f"^{WHERE}: .*{message}$"):
        parse_month_day(cell, system, WHERE)


def test_month_days_sort_and_print_like_the_calendar():
    assert str(MonthDay(7, 1)) == "07-01"
    assert MonthDay(7, 31) < MonthDay(8, 1) < MonthDay(12, 1)


# Dates. 1 Farvardin is 2021-03-21 in 1400, 2022-03-21 in 1401 and 2025-03-21 in 1404.


@pytest.mark.parametrize(
    ("day", "year", "expected"),
    [
        # 1 Mehr is day 187: 2021-03-21 and 186 days, 10 to the end of March, 153 to the end of
        # August (30 + 31 + 30 + 31 + 31), 23 more.
        ((7, 1), 1400, D(2021, 9, 23)),
        # 31 Shahrivar is day 186: 185 days after 2022-03-21.
        ((6, 31), 1401, D(2022, 9, 22)),
        # 31 Tir is day 124: 123 days after 2022-03-21: 10, 30, 31, 30 and 22.
        ((4, 31), 1401, D(2022, 7, 22)),
        # The last days of a leap year (1399, 1403) and of a common one (1400).
        ((12, 30), 1399, D(2021, 3, 20)),
        ((12, 30), 1403, D(2025, 3, 20)),
        ((12, 29), 1400, D(2022, 3, 20)),
    ],
)
def test_jalali_dates(day, year, expected):
    assert seasons.to_date(MonthDay(*day), year, "jalali", WHERE) == expected


def test_leap_years_of_the_jalali_calendar():
    leap = []
    for year in range(1396, 1412):
        try:
            seasons.to_date(MonthDay(12, 30), year, "jalali", WHERE)
            leap.append(year)
        except ValueError as error:
            expected = f"{WHERE}: expected a day up to 29 in month 12 of {year} (jalali), found "
            assert str(error) == expected + "12-30"
    # Four years apart but for one gap of five (after 1403).
    assert leap == [1399, 1403, 1408]


def test_leap_day_of_the_gregorian_calendar():
    assert seasons.to_date(MonthDay(2, 29), 2020, "gregorian", WHERE) == D(2020, 2, 29)
    with pytest.raises(ValueError, match=f"{WHERE}: expected a day up to 28 in month 02 of 2022"):
        seasons.to_date(MonthDay(2, 29), 2022, "gregorian", WHERE)


# Agricultural years.


@pytest.mark.parametrize(
    ("text", "system", "start", "first", "last"),
    [
        ("1400-1401", "jalali", "07-01", D(2021, 9, 23), D(2022, 9, 22)),
        ("1401-1402", "jalali", "07-01", D(2022, 9, 23), D(2023, 9, 22)),
        # From a leap year on: 30 Esfand 1403 lies in it, and 1 Mehr 1403 is 2024-09-22.
        ("1403-1404", "jalali", "07-01", D(2024, 9, 22), D(2025, 9, 22)),
        ("1400", "jalali", "01-01", D(2021, 3, 21), D(2022, 3, 20)),
        ("2021-2022", "gregorian", "10-01", D(2021, 10, 1), D(2022, 9, 30)),
        ("2023-2024", "gregorian", "03-01", D(2023, 3, 1), D(2024, 2, 29)),
        ("2022", "gregorian", "01-01", D(2022, 1, 1), D(2022, 12, 31)),
    ],
)
def test_agricultural_years(text, system, start, first, last):
    assert parse_year(text, system, start, "season") == AgriculturalYear(first, last)


@pytest.mark.parametrize(
    ("text", "system", "start", "message"),
    [
        ("1400-1402", "jalali", "07-01", "expected two years in turn .* found '1400-1402'"),
        ("1401-1400", "jalali", "07-01", "expected two years in turn .* found '1401-1400'"),
        ("2022", "gregorian", "10-01", r"expected two years .*start on 10-01\), found '2022'"),
        # Which of the two would it be?
        ("2021-2022", "gregorian", "01-01", "expected one year such as 2022 .* '2021-2022'"),
        ("this year", "gregorian", "01-01", "found 'this year'"),
        ("1400/1401", "jalali", "07-01", "found '1400/1401'"),
        # A year of the other calendar.
        ("1400-1401", "gregorian", "10-01", "expected years of the gregorian .* '1400-1401'"),
        ("2021-2022", "jalali", "07-01", "expected years of the jalali .* found '2021-2022'"),
        ("1400-1401", "jalali", "13-01", "start of the year: expected a month .* found '13-01'"),
        ("1400-1401", "jalali", "-", "expected a start of the year such as 07-01, found none"),
        ("1399-1400", "jalali", "12-30", "start of the year: .* month 12 of 1400 .* found 12-30"),
    ],
)
def test_years_that_are_refused(text, system, start, message):
    with pytest.raises(ValueError, match=f"^config.layers.maize.season: .*{message}"):
        parse_year(text, system, start, "config.layers.maize.season")


# Seasons.


def test_planting_and_harvest_of_one_spring():
    # 1 Khordad 1401 is 62 days after 2022-03-21; 31 Tir see above; 1 Mehr 1401 is the day after
    # the year's last, 2022-09-22; 29 Mehr is 28 days later.
    assert resolve("03-01", "04-31", "07-01", "07-29") == Season(
        D(2022, 9, 23), D(2022, 10, 21), D(2022, 7, 22), "Maize"
    )


def test_planting_may_start_before_the_year_and_harvest_end_after_new_year():
    # Planting ends on 20 Aban 1400, 49 days after 2021-09-23; harvest starts on 1 Dey, 90 days
    # after it, and ends on 10 Ordibehesht 1401, 40 days after 2022-03-21.
    assert resolve("06-11", "08-20", "10-01", "02-10") == Season(
        D(2021, 12, 22), D(2022, 4, 30), D(2021, 11, 11), "Maize"
    )


def test_planting_that_goes_on_over_new_year():
    # From 1 Esfand 1400 to 20 Farvardin 1401; harvest on 1 Tir 1401, day 94, of the same year.
    found = resolve("12-01", "01-20", "04-01", "-")
    assert found == Season(D(2022, 6, 22), None, D(2022, 4, 9), "Maize")


def test_harvest_falls_in_the_next_year():
    # Planted from 2022-08-01 to 2022-09-30, the last day of the year; harvested next June.
    found = resolve(
        "08-01", "09-30", "06-01", "06-20",
        season="2021-2022", system="gregorian", start="10-01",
    )  # fmt: skip
    assert found == Season(D(2023, 6, 1), D(2023, 6, 20), D(2022, 9, 30), "Maize")


def test_harvest_ends_on_the_day_it_starts():
    assert resolve("03-01", "03-31", "07-01", "07-01").harvest_end == D(2022, 9, 23)


def test_harvest_on_the_day_that_planting_started_is_next_year():
    # Planted once a year: sugar cane.
    found = resolve(
        "04-01", "05-01", "04-01", "-", season="2022", system="gregorian", start="01-01"
    )
    assert found == Season(D(2023, 4, 1), None, D(2022, 5, 1), "Maize")


def test_without_planting_start_harvest_follows_planting_end():
    assert resolve("-", "03-01", "07-01", "-").harvest_start == D(2022, 9, 23)
    # Of two equal days, the second is a year later.
    assert resolve("-", "07-01", "07-01", "-").harvest_start == D(2022, 9, 23)
    assert resolve("-", "07-01", "07-01", "-").planting == D(2021, 9, 23)


@pytest.mark.parametrize("days", [("03-01", "04-01", "-", "-"), ("03-01", "-", "07-01", "08-01")])
def test_what_is_not_known_is_no_season(days):
    assert resolve(*days) is None


def test_a_day_that_its_year_lacks():
    for days in ("01-01 12-30 03-01 -", "12-30 01-20 04-01 -", "07-01 08-01 12-30 -"):
        with pytest.raises(ValueError, match=rf"^{WHERE}: .* of 1400 \(jalali\), found 12-30$"):
            resolve(*days.split())
    with pytest.raises(ValueError, match=f"^{WHERE}: harvest end: .* of 1400 .*found 12-30$"):
        resolve("07-01", "08-01", "11-01", "12-30")
    # The same in 1399-1400, in which a leap year ends.
    found = resolve("07-01", "08-01", "12-30", "-", season="1399-1400")
    assert found.harvest_start == D(2021, 3, 20)


def test_harvest_before_planting_ended_is_refused():
    message = r"expected a harvest that starts after planting \(03-01 to 05-01\), found 04-01"
    with pytest.raises(ValueError, match=f"^{WHERE}: {message}$"):
        resolve("03-01", "05-01", "04-01", "06-01")


def day_of(date: dt.date, system: str) -> tuple[int, int]:
    own = date if system == "gregorian" else jdatetime.date.fromgregorian(date=date)
    return own.month, own.day


def walk(date: dt.date, step: int, day: MonthDay, system: str) -> dt.date | None:
    """The first such day from `date` on; None if a year goes by without one."""
    for i in range(366):
        if day_of(date + dt.timedelta(days=i * step), system) == day:
            return date + dt.timedelta(days=i * step)
    return None


MONTH_DAYS = st.builds(MonthDay, st.integers(1, 12), st.integers(1, 31))


@settings(max_examples=200)
@given(
    system=st.sampled_from(["gregorian", "jalali"]),
    number=st.integers(0, 40),
    start=st.sampled_from(["01-01", "07-01", "10-01"]),
    days=st.tuples(st.none() | MONTH_DAYS, MONTH_DAYS, MONTH_DAYS, st.none() | MONTH_DAYS),
)
@example("jalali", 3, "07-01", (MonthDay(12, 30), MonthDay(1, 20), MonthDay(4, 1), None))
def test_resolved_dates_are_in_order(system, number, start, days):
    """Against a walk over the days, one by one."""
    for day in days:
        try:
            day and parse_month_day(str(day), system, WHERE)
        except ValueError:
            return
    number += 1400 if system == "jalali" else 2021
    text = f"{number}" if start == "01-01" else f"{number}-{number + 1}"
    year = parse_year(text, system, start, "season")
    one = dt.timedelta(days=1)
    planting = walk(year.first, 1, days[1], system)
    began = planting and (walk(planting, -1, days[0], system) if days[0] else planting)
    harvest = began and walk(began + one, 1, days[2], system)
    end = harvest and (walk(harvest, 1, days[3], system) if days[3] else harvest)
    try:
        found = seasons.resolve(*days, year, system, "name", WHERE)
    except ValueError as error:
        event("refused")
        assert str(error).startswith(f"{WHERE}: ")
        # Only where a day is missing from its year or harvest starts while planting continues.
        assert not end or harvest <= planting
        return
    event("resolved")
    assert year.first <= planting <= year.last
    assert began <= planting < harvest <= end
    assert found == Season(harvest, end if days[3] else None, planting, "name")


# --- longer than a year ---------------------------------------------------------------------------

YEAR_OF_CANE = seasons.parse_year("2023-2024", "gregorian", "07-01", "here")


def resolved(*days, system="gregorian", year=YEAR_OF_CANE):
    own = [seasons.parse_month_day(day, system, "here") for day in days]
    return seasons.resolve(*own, year, system, "cane", "here")


@pytest.mark.parametrize(
    "days",
    [
        ("09-01", "10-31", "12-01+1", "03-31"),
        ("2001-09-01", "2001-10-31", "2002-12-01", "2003-03-31"),
        (dt.date(2001, 9, 1), dt.date(2001, 10, 31), dt.date(2002, 12, 1), None),
        ("-", "10-31", " 12/1 + 1", "-"),
    ],
)
def test_thirteen_months(days):
    found = resolved(*days)
    assert (found.planting, found.harvest_start) == (dt.date(2023, 10, 31), dt.date(2024, 12, 1))
    assert found.harvest_end in (None, dt.date(2025, 3, 31))


def test_a_second_harvest_and_two_years():
    # Ratoon: from harvest to harvest. Pineapple: planted in March, picked 26 months later.
    assert resolved("12-01", "03-31", "12-01", "-").harvest_start == dt.date(2024, 12, 1)
    assert resolved("03-01", "03-31", "06-01+2", "-").harvest_start == dt.date(2026, 6, 1)


def test_a_jalali_season_of_eighteen_months():
    year = seasons.parse_year("1400-1401", "jalali", "07-01", "here")
    for harvest in ("01-15+1", "1402-01-15"):
        planting = "07-30" if "+" in harvest else "1400-07-30"
        found = resolved("-", planting, harvest, "-", system="jalali", year=year)
        # 15 Farvardin 1402, day 15 of a year that begins on 2023-03-21.
        assert found.harvest_start == dt.date(2023, 4, 4)


def test_dates_that_were_all_typed_in_one_year_say_nothing_of_years():
    days = [dt.date(2024, *day) for day in ((9, 1), (10, 31), (5, 1), (6, 1))]
    assert resolved(*days) == resolved("09-01", "10-31", "05-01", "06-01")


@pytest.mark.parametrize(
    ("days", "message"),
    [
        (("09-01", "10-31+1", "12-01", "-"), "here: expected the end of planting without a year"),
        (("09-01", "10-31", "12-01", "03-31+1"), r"end of harvest .* found 03-31\+1"),
        (("-", "2002-10-31", "2001-12-01", "-"), "found 2001-12-01 after .* ends 2002-10-31"),
        (("-", "10-31", "2002-12-01+1", "-"), "expected a year or years to add, found both"),
    ],
)
def test_years_that_are_refused_with_days(days, message):
    with pytest.raises(ValueError, match=message):
        resolved(*days)


@pytest.mark.parametrize(
    ("days", "odd"),
    [
        (("09-01", "10-31", "12-01", "-"), "31 days after planting ends, which is short"),
        (("09-01", "10-31", "12-31+1", "-"), "427 days after planting ends, which is long"),
        (("09-01", "10-31", "12-30", "-"), ""),  # 60 days
        (("09-01", "10-31", "12-04+1", "-"), ""),  # 400 days, 2024 being a leap year
    ],
)
def test_odd_seasons(days, odd):
    found = seasons.describe_odd(resolved(*days), "here")
    assert odd in found and bool(odd) == bool(found)


@pytest.mark.parametrize("cell, system", [("1402-07-01", "gregorian"), ("2023-07-15", "jalali")])
def test_a_date_of_the_other_calendar_is_refused(cell, system):
    with pytest.raises(ValueError, match=f"x: expected a year of the {system} calendar, found"):
        parse_month_day(cell, system, "x")
