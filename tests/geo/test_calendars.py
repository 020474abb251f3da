"""Calendars: candidate seasons, and the table of harvest dates that evaluation uses."""

import datetime as dt

import numpy as np
import pytest

from cropmap_jax.geo import calendars
from cropmap_jax.geo.calendars import Season, harvest_table, planting_table
from cropmap_jax.geo.periods import from_day

D = dt.date


def harvest(month: int, day: int, planting: dt.date | None = None) -> tuple[Season, ...]:
    return (Season(harvest_start=D(2022, month, day), planting=planting),)


def dates(row: np.ndarray) -> list[str]:
    return [calendars.describe(int(v)) for v in row]


def test_season_refuses_what_cannot_be():
    with pytest.raises(ValueError, match="'spring'.*after planting 2022-07-01, found 2022-07-01"):
        Season(D(2022, 7, 1), planting=D(2022, 7, 1), season="spring")
    with pytest.raises(ValueError, match="end on or after 2022-07-01, found 2022-06-30"):
        Season(D(2022, 7, 1), harvest_end=D(2022, 6, 30))


def test_earliest_candidate_season_counts():
    calendar = {
        "onion": (
            Season(D(2022, 9, 1), planting=D(2022, 4, 1), season="spring"),
            Season(D(2022, 5, 1), planting=D(2021, 10, 1), season="winter"),
        )
    }
    assert calendars.harvest_start(calendar, "onion") == D(2022, 5, 1)
    assert calendars.planting(calendar, "onion") == D(2021, 10, 1)
    assert calendars.harvest_start(calendar, "maize") is None


def test_planting_is_unknown_if_any_candidate_is():
    calendar = {"onion": (*harvest(9, 1, D(2022, 4, 1)), *harvest(5, 1))}
    assert calendars.planting(calendar, "onion") is None
    assert calendars.planting({}, "onion") is None


def test_star_stands_for_crops_without_a_calendar_of_their_own():
    calendar = {"*": harvest(8, 1, D(2022, 3, 1)), "maize": harvest(9, 1)}
    assert calendars.harvest_start(calendar, "wheat") == D(2022, 8, 1)
    assert calendars.planting(calendar, "wheat") == D(2022, 3, 1)
    assert calendars.harvest_start(calendar, "maize") == D(2022, 9, 1)


def test_json_round_trip():
    calendar = {
        "onion": (
            Season(D(2022, 9, 1), D(2022, 9, 20), D(2022, 4, 1), "spring"),
            Season(D(2022, 5, 1)),
        ),
        "maize": (),
    }
    value = calendars.to_json(calendar)
    assert value["onion"][1] == {
        "season": "",
        "planting": None,
        "harvest_start": "2022-05-01",
        "harvest_end": None,
    }
    assert calendars.from_json(value, "item.json") == calendar


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, r"expected 'harvest_start', found \{\}"),
        ({"harvest_start": None}, "expected 'harvest_start', found"),
        ({"harvest_start": "soon"}, "expected a date like .* found 'soon'"),
        ({"harvest_start": "2022-05-01", "planting": "?"}, "found '?'"),
        ({"harvest_start": "2022-05-01", "planting": "2022-06-01"}, "after planting 2022-06-01"),
    ],
)
def test_from_json_names_file_and_crop(row, message):
    with pytest.raises(ValueError, match=rf"item\.json: harvest of 'maize': .*{message}"):
        calendars.from_json({"maize": [row]}, "item.json")


def test_harvest_table_takes_the_median_over_provinces():
    # Maize is dated 1, 5 and 25 August in three provinces; the fourth gets the middle one.
    dated = [{"maize": harvest(8, d)} for d in (1, 5, 25)]
    table = harvest_table([*dated, {}], ["a", "b", "c", "d"], ["22"] * 4, ["maize"])
    assert dates(table[:, 0]) == ["2022-08-01", "2022-08-05", "2022-08-25", "2022-08-05"]
    assert table.dtype == np.int32


def test_a_province_with_many_cubes_counts_once():
    # Five cubes of province a on 1 August, one each of b and c on 11 and 21 August: over cubes the
    # median is 1 August, over provinces it is 11 August.
    dated = [{"maize": harvest(8, d)} for d in (1, 1, 1, 1, 1, 11, 21)]
    table = harvest_table([*dated, {}], [*"aaaaabc", "d"], ["22"] * 8, ["maize"])
    assert dates(table[-1]) == ["2022-08-11"]


def test_a_cube_takes_its_own_province_before_the_median():
    # Province a is dated by three of its cubes, of which the earliest counts; b is far off.
    own = [*({"maize": harvest(8, d)} for d in (11, 1, 21)), {}, {"maize": harvest(10, 30)}]
    table = harvest_table(own, [*"aaaab"], ["22"] * 5, ["maize"])
    assert dates(table[:4, 0]) == ["2022-08-11", "2022-08-01", "2022-08-21", "2022-08-01"]
    assert dates(table[4:, 0]) == ["2022-10-30"]


def test_even_median_is_rounded_down_to_a_day():
    # Between 1 and 4 August lies 2.5 August.
    two = [{"maize": harvest(8, 1)}, {"maize": harvest(8, 4)}]
    assert dates(harvest_table([*two, {}], [*"abc"], ["22"] * 3, ["maize"])[2]) == ["2022-08-02"]


def test_medians_stay_within_a_season_and_a_crop():
    cubes = [{"maize": harvest(8, 1)}, {"pea": harvest(6, 1)}, {}]
    table = harvest_table(cubes, [*"abc"], ["2022", "2022", "2023"], ["maize", "pea", "onion"])
    assert dates(table[0]) == ["2022-08-01", "2022-06-01", "unknown"]
    assert dates(table[1]) == ["2022-08-01", "2022-06-01", "unknown"]
    assert dates(table[2]) == ["unknown", "unknown", "unknown"]


def test_star_dates_every_crop():
    table = harvest_table([{"*": harvest(8, 1)}], ["a"], ["22"], ["maize", "pea"])
    assert dates(table[0]) == ["2022-08-01", "2022-08-01"]


def test_planting_table_has_zero_where_unknown():
    cubes = [{"maize": harvest(8, 1, D(2022, 5, 1)), "pea": harvest(6, 1)}, {}]
    table = planting_table(cubes, ["maize", "pea"])
    assert from_day(table[0, 0]) == D(2022, 5, 1)
    assert table.tolist() == [[table[0, 0], 0], [0, 0]]
    # Zero is long past: a crop is never left out because its planting is unknown.
    assert planting_table([], ["maize"]).shape == (0, 1)
