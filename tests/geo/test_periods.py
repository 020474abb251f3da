"""Periods: half-open spans, months, dekads and day numbers."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropmap_jax.geo import periods
from cropmap_jax.geo.periods import Period

D = dt.date


def test_days_count_from_1970():
    # 1970 is a common year and 1972 the first leap year: 365 + 365 + 366.
    assert periods.to_day(D(1970, 1, 1)) == 0
    assert periods.to_day(D(1973, 1, 1)) == 1096
    assert periods.from_day(1096) == D(1973, 1, 1)


@given(st.dates(D(1900, 1, 1), D(2200, 1, 1)))
def test_days_invert(date):
    assert periods.from_day(periods.to_day(date)) == date


def test_to_days_and_back():
    spans = (Period(D(1970, 1, 1), D(1970, 1, 11)), Period(D(1970, 1, 11), D(1970, 2, 1)))
    days = periods.to_days(spans)
    assert days.dtype == np.int32 and days.tolist() == [[0, 10], [10, 31]]
    assert periods.from_days(days) == spans
    assert periods.to_days([]).shape == (0, 2)


@pytest.mark.parametrize("end", [D(2022, 1, 1), D(2021, 12, 31)])
def test_period_needs_at_least_a_day(end):
    with pytest.raises(ValueError, match=f"end after 2022-01-01, found {end}"):
        Period(D(2022, 1, 1), end)


def test_months_span_a_leap_february_and_a_new_year():
    found = periods.month_periods(D(2023, 12, 31), D(2024, 3, 1))
    assert [(str(p.start), str(p.end)) for p in found] == [
        ("2023-12-01", "2024-01-01"),
        ("2024-01-01", "2024-02-01"),
        ("2024-02-01", "2024-03-01"),
        ("2024-03-01", "2024-04-01"),
    ]
    assert found[2].name == "2024-02-01"


def test_dekads_keep_only_those_that_are_requested():
    # From the dekad that holds 20 February to the one that holds 1 March; the last one of
    # February 2023 ends with the month.
    found = periods.dekad_periods(D(2023, 2, 20), D(2023, 3, 1))
    assert [(str(p.start), str(p.end)) for p in found] == [
        ("2023-02-11", "2023-02-21"),
        ("2023-02-21", "2023-03-01"),
        ("2023-03-01", "2023-03-11"),
    ]


@given(st.dates(D(1980, 1, 1), D(2080, 1, 1)), st.integers(0, 800))
def test_months_and_dekads_are_contiguous_and_hold_both_dates(first, length):
    last = first + dt.timedelta(days=length)
    for spans in (periods.month_periods(first, last), periods.dekad_periods(first, last)):
        periods.check_contiguous(spans, "made")
        assert spans[0].start <= first < spans[0].end
        assert spans[-1].start <= last < spans[-1].end


def test_check_contiguous_names_the_gap():
    a, b = Period(D(2022, 1, 1), D(2022, 2, 1)), Period(D(2022, 2, 2), D(2022, 3, 1))
    with pytest.raises(ValueError, match=r"item\.json: .*2022-02-01 followed by 2022-02-02\.\."):
        periods.check_contiguous((a, b), "item.json")
    with pytest.raises(ValueError, match="contiguous"):
        periods.check_contiguous((b, a), "backwards")
    with pytest.raises(ValueError, match="empty: expected at least one period, found none"):
        periods.check_contiguous((), "empty")


@pytest.mark.parametrize("text", ["2022-13-01", "1 May 2022", "", "2022-09-01T00:00"])
def test_parse_date_names_place_and_text(text):
    assert periods.parse_date(" 2022-09-01 ", "--as_of") == D(2022, 9, 1)
    with pytest.raises(ValueError, match=f"--as_of: expected a date like .* found '{text}'"):
        periods.parse_date(text, "--as_of")


def test_period_kind():
    year = D(2022, 1, 1), D(2022, 12, 31)
    assert periods.period_kind(periods.month_periods(*year)) == "month"
    assert periods.period_kind(periods.dekad_periods(*year)) == "dekad"
    assert periods.period_kind([Period(D(2022, 1, 1), D(2022, 1, 15))]) == "14 days"
