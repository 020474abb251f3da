"""Which months windows need, and which dates are refused."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropmap_jax.geo import as_of_windows
from cropmap_jax.geo.periods import month_periods, to_day, to_days
from cropmap_jax.sources import timing
from cropmap_jax.sources.earthengine.service import ARCHIVE


def months(first, last, count):
    found = month_periods(dt.date.fromisoformat(first), dt.date.fromisoformat(last))
    assert len(found) == count
    return found


def test_months_that_windows_need():
    # 60 days before 1 August is 2 June: the last month that has ended is May, the window starts
    # in December. 30 days before it is 2 July, after June.
    august = dt.date(2018, 8, 1)
    assert timing.months_needed([august], 6, (30, 60)) == months("2017-12-01", "2018-06-30", 7)
    assert timing.months_needed([august], 6, (30, 30)) == months("2018-01-01", "2018-06-30", 6)
    # 31 days before it is 1 July, on which June has just ended.
    assert timing.months_needed([august], 6, (31, 31)) == months("2018-01-01", "2018-06-30", 6)
    both = timing.months_needed([august, dt.date(2018, 6, 1)], 6, (30, 60))
    assert both == months("2017-10-01", "2018-06-30", 9)


@given(
    st.lists(st.dates(dt.date(2018, 1, 1), dt.date(2020, 12, 31)), min_size=1, max_size=3),
    st.integers(1, 13),
    st.tuples(st.integers(0, 200), st.integers(0, 200)).map(sorted),
)
def test_no_window_reaches_beyond_the_months_and_no_month_is_spare(harvests, count, leads):
    found = timing.months_needed(harvests, count, tuple(leads))
    days = to_days(found)
    seen = set()
    for harvest in harvests:
        for lead in range(leads[0], leads[1] + 1):
            seen |= set(as_of_windows.window_indices(days, to_day(harvest) - lead, count).tolist())
    assert as_of_windows.MISSING not in seen
    assert {0, len(found) - 1} <= seen


def test_windows_before_harvest_are_those_of_the_original():
    found = timing.harvest_periods(dt.date(2018, 8, 1), 6)
    assert found == months("2018-01-01", "2018-06-30", 6)
    found = timing.harvest_periods(dt.date(2022, 3, 15), 6)
    assert [p.start.isoformat() for p in found] == [
        "2021-08-15", "2021-09-15", "2021-10-15", "2021-11-15", "2021-12-15", "2022-01-15",
    ]  # fmt: skip
    assert found[-1].end == dt.date(2022, 2, 15)
    # Days that a month does not have: April and June have 30, February 28.
    found = timing.harvest_periods(dt.date(2022, 8, 31), 6)
    assert [p.start.day for p in found] == [31, 28, 31, 30, 31, 30] and found[-1].end.day == 31


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"anchor": "dekads"}, "anchor: expected one of months, harvest"),
        ({"num_periods": 0}, "num_periods"),
        ({"num_periods": 10**9}, "num_periods: expected 1 or more, 120 at most, found 1000000000"),
        ({"num_periods": "6"}, "num_periods"),
        ({"num_periods": 6.5}, "num_periods"),
        ({"lead_days": (30, 10**9)}, "lead_days"),
        ({"lead_days": (30, "60")}, "lead_days"),
        ({"lead_days": 30}, "lead_days"),
        ({"months": "2018-01-01"}, "months"),
        ({"lead_days": (60, 30)}, "lead_days"),
        ({"lead_days": (30,)}, "lead_days"),
        ({"months": ("2017-10-01",)}, "months: expected"),
        ({"months": ("2017-10-01", "2018-09-30"), "anchor": "harvest"}, "found both"),
    ],
)
def test_wrong_timings(values, message):
    with pytest.raises(ValueError, match=message):
        timing.Timing(**values)


def test_months_in_the_wrong_order_or_format():
    with pytest.raises(ValueError, match="months: expected a last date from 2018-09-30 on"):
        timing.Timing(months=("2018-09-30", "2017-10-01")).fixed()
    with pytest.raises(ValueError, match="months: expected a date like"):
        timing.Timing(months=("10/2017", "2018-09-30")).fixed()


def test_the_month_in_which_sentinel_2_begins_is_refused():
    march, april = months("2017-03-01", "2017-04-30", 2)
    with pytest.raises(
        ValueError, match=r"since Earth Engine has S2 \(from 2017-03-28\), found 2017-03-01"
    ):
        timing.check_dates((march, april), ARCHIVE, "x", dt.date(2026, 1, 1))
    timing.check_dates((april,), ARCHIVE, "x", dt.date(2026, 1, 1))


def test_the_present_day_is_the_default():
    today = dt.datetime.now(dt.UTC).date()
    ahead = month_periods(today, today)
    with pytest.raises(ValueError, match=f"ended by today, {today}"):
        timing.check_dates(ahead, ARCHIVE, "x")
