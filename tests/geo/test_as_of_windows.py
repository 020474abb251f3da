"""As-of windows: never a period that has not ended."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropmap_jax.geo import as_of_windows, periods

# Six months from January 2022: day numbers of their starts and ends.
HALF_YEAR = periods.to_days(periods.month_periods(dt.date(2022, 1, 1), dt.date(2022, 6, 1)))


def day(text: str) -> int:
    return periods.to_day(dt.date.fromisoformat(text))


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        ("2022-05-15", [-1, -1, 0, 1, 2, 3]),  # January to April have ended
        ("2022-05-01", [-1, -1, 0, 1, 2, 3]),  # April ends, exclusively, on 1 May: usable
        ("2022-04-30", [-1, -1, -1, 0, 1, 2]),  # a day earlier it is not
        ("2022-02-01", [-1, -1, -1, -1, -1, 0]),
        ("2023-01-01", [0, 1, 2, 3, 4, 5]),  # long after, the window stays with the last ones
    ],
)
def test_windows_by_hand(as_of, expected):
    found = as_of_windows.window_indices(HALF_YEAR, day(as_of), 6)
    assert found.dtype == np.int32 and found.tolist() == expected


def test_short_window_keeps_the_latest():
    assert as_of_windows.window_indices(HALF_YEAR, day("2022-05-15"), 2).tolist() == [2, 3]


def test_no_usable_period_is_an_error():
    message = r"cube a: as-of 2022-01-31 .*\(2022-01-01 to 2022-02-01\); expected 2022-02-01"
    with pytest.raises(ValueError, match=message):
        as_of_windows.window_indices(HALF_YEAR, day("2022-01-31"), 6, "cube a")


@st.composite
def spans(draw):
    """int32 [T, 2] contiguous periods of any lengths."""
    lengths = draw(st.lists(st.integers(1, 60), min_size=1, max_size=40))
    edges = draw(st.integers(-5000, 30000)) + np.cumsum([0, *lengths])
    return np.stack([edges[:-1], edges[1:]], 1).astype(np.int32)


@given(spans(), st.integers(-10, 3000), st.integers(1, 12))
def test_no_window_sees_past_its_as_of_date(days, offset, length):
    as_of = int(days[0, 0]) + offset
    usable = [i for i, (_, end) in enumerate(days) if end <= as_of]
    if not usable:
        with pytest.raises(ValueError, match="as-of"):
            as_of_windows.window_indices(days, as_of, length)
        return
    found = as_of_windows.window_indices(days, as_of, length)
    assert len(found) == length
    assert all(days[i, 1] <= as_of for i in found if i != as_of_windows.MISSING)
    # The last `length` usable ones, in order, with what is missing in front.
    newest = usable[-length:]
    assert found.tolist() == [as_of_windows.MISSING] * (length - len(newest)) + newest


def test_a_window_is_its_indices_dates_and_spans():
    found = as_of_windows.as_of_window(HALF_YEAR, day("2022-03-15"), 4)
    # January and February have ended; their middles are 16 January and 15 February.
    assert found.indices.tolist() == [as_of_windows.MISSING, as_of_windows.MISSING, 0, 1]
    assert found.day_of_year.tolist() == [0, 0, 16, 46]
    np.testing.assert_array_equal(found.spans, HALF_YEAR[:2])
    assert (found.end, found.missing) == (day("2022-03-01"), 2)
    short = as_of_windows.as_of_window(HALF_YEAR, day("2022-07-01"), 2)
    assert short.indices.tolist() == [4, 5] and short.missing == 0
    np.testing.assert_array_equal(short.spans, HALF_YEAR[4:])
    with pytest.raises(ValueError, match="cube a: as-of 2022-01-31 lies before"):
        as_of_windows.as_of_window(HALF_YEAR, day("2022-01-31"), 2, "cube a")


def test_the_last_period_that_has_ended():
    dates = ("2022-01-31", "2022-02-01", "2022-06-30", "2023-01-01")
    assert [as_of_windows.last_period(HALF_YEAR, day(date)) for date in dates] == [-1, 0, 4, 5]


def test_take_window_fills_what_is_missing_and_copies():
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    window = as_of_windows.take_window(values, np.array([-1, 0, 1]), np.nan)
    np.testing.assert_array_equal(window, [[np.nan, np.nan], [0, 1], [2, 3]])
    window[:] = 7
    assert values[0, 0] == 0
    stored = as_of_windows.take_window(values.astype(np.int16), np.array([-1, 2]), -32768)
    assert stored.tolist() == [[-32768, -32768], [4, 5]]


def test_effective_lead():
    # Window to the end of May (exclusively 1 June), harvest on 10 July: 30 + 9 days.
    assert as_of_windows.effective_lead(dt.date(2022, 7, 10), dt.date(2022, 6, 1)) == 39


@pytest.mark.parametrize(
    ("lead", "words"),
    [
        ((58, 58), "58 days before harvest"),
        ((20, 45), "20 to 45 days before harvest"),
        ((1, 1), "1 day before harvest"),
        ((0, 0), "on the day harvest began"),
        ((0, 9), "0 to 9 days before harvest"),
        ((-91, -91), "91 days after harvest began"),
        ((-45, -20), "20 to 45 days after harvest began"),
        ((-91, 58), "58 days before harvest to 91 days after it began"),
        ((-1, 1), "1 day before harvest to 1 day after it began"),
    ],
)
def test_leads_in_words(lead, words):
    assert as_of_windows.describe_lead(*lead) == words


def test_leads_in_a_table():
    leads = (None, (0, 0), (30, 30), (30, 61), (-91, 58), (-91, -91), (-91, -20), (-9, 0))
    assert [as_of_windows.format_lead(lead) for lead in leads] == [
        "-", "0 d", "30 d", "30 to 61 d", "58 d before to 91 d after", "91 d after",
        "20 to 91 d after", "0 to 9 d after",
    ]  # fmt: skip
