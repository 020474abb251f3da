"""Which cubes of a folder a checkpoint can map, and what is refused."""

import dataclasses
import datetime as dt

import making
import pytest
from mapping import small_maps

from cropmap_jax.geo import calendars
from cropmap_jax.geo.periods import dekad_periods
from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.mapping import cubes as mapped

RECIPE = small_maps.make_recipe()
JUNE = dt.date(2022, 6, 1)


def find(cubes_dir, *cubes, as_of=JUNE, season=None) -> list[str]:
    small_maps.write(cubes_dir, *cubes)
    return [info.cube_id for info in mapped.find_cubes(cubes_dir, RECIPE, as_of, season)]


def test_a_sensor_that_the_network_takes_must_be_there_as_in_training(tmp_path):
    small_maps.write(tmp_path, making.make_cube("a", 16))
    for change, message in (
        ({"scale": 10.0}, "'s1' .* as int16 x 10, .* as in training, found .* as int16 x 100, "),
        ({"range": (-30.0, 9.0)}, "dB from -30 to 9, .* in training, found .* dB from -25 to 10, "),
    ):
        other = dataclasses.replace(SENSORS["s1"], **change)
        recipe = dataclasses.replace(RECIPE, sensors=(other, SENSORS["s2"]))
        with pytest.raises(ValueError, match=f"cube a: expected sensor .*{message}"):
            mapped.find_cubes(tmp_path, recipe, JUNE)


def test_the_season_must_be_named_where_there_are_several(tmp_path):
    other = small_maps.changed(making.make_cube("b", 16), season="2022-2023")
    with pytest.raises(
        ValueError, match="--season: expected one of '2021-2022', '2022-2023' .*none"
    ):
        find(tmp_path, making.make_cube("a", 16), other)
    assert find(tmp_path, season="2022-2023") == ["b"]
    with pytest.raises(ValueError, match="found '2020'"):
        find(tmp_path, season="2020")


def test_shared_ground_is_refused(tmp_path):
    cubes = making.make_cube("a", 16), small_maps.moved(making.make_cube("b", 16), 150)
    with pytest.raises(ValueError, match="cubes a and b: expected no shared ground, found 1597 m²"):
        find(tmp_path, *cubes)


def test_periods_of_another_kind_are_refused(tmp_path):
    dekads = dekad_periods(dt.date(2022, 1, 1), dt.date(2022, 8, 1))
    with pytest.raises(ValueError, match="cube a: expected periods of a month .*, found dekad"):
        find(tmp_path, making.make_cube("a", 16, dekads))


def test_an_as_of_date_before_the_first_period_has_ended_is_refused(tmp_path):
    bare = small_maps.changed(making.make_cube("a", 16), harvest={})
    with pytest.raises(
        ValueError, match="cube a: as-of 2021-12-31 .* expected 2022-01-01 or later"
    ):
        find(tmp_path, bare, as_of=dt.date(2021, 12, 31))


def test_an_as_of_date_before_all_planting_is_refused(tmp_path):
    season = calendars.Season(dt.date(2022, 9, 1), planting=dt.date(2022, 6, 2))
    made = small_maps.changed(making.make_cube("a", 16), harvest={calendars.ANY_CROP: (season,)})
    with pytest.raises(ValueError, match="cube a: as-of 2022-06-01 lies before .* 2022-06-02 or"):
        find(tmp_path, made)
    assert find(tmp_path, as_of=dt.date(2022, 6, 2)) == ["a"]


def test_unplanted_classes_and_their_dates():
    info = making.make_cube("a", 16).info
    # Harvests on 1 July, 1 August and 1 September; planting 120 days before, unknown for the first.
    august, september = dt.date(2022, 4, 3), dt.date(2022, 5, 4)
    assert mapped.unplanted(info, RECIPE, august) == {"maize": september}
    day = dt.timedelta(days=1)
    both = {"rapeseed": august, "maize": september}
    assert mapped.unplanted(info, RECIPE, august - day) == both
    assert mapped.unplanted(info, RECIPE, september) == {}
