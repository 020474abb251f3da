"""Which cubes make a map, and which of them belong together."""

import datetime as dt

import making
import numpy as np
import pytest
from mapping import small_maps

from cropmap_jax.geo import calendars
from cropmap_jax.geo.periods import dekad_periods, month_periods
from cropmap_jax.inference import mosaic_groups

RECIPE = small_maps.make_recipe()
JUNE = dt.date(2022, 6, 1)


def tile(cube_id, col=0, row=0, size=16, **settings):
    """A cube in a corner of a tile, counted eastwards and southwards from the first one."""
    place = (making.TILE[0] + col, making.TILE[1] - row)
    return making.make_cube(cube_id, size, tile=place, **settings)


def survey(cubes_dir, *cubes, as_of=JUNE, season=None, recipe=RECIPE):
    small_maps.write(cubes_dir, *cubes)
    return mosaic_groups.survey(cubes_dir, recipe, as_of, season)


def ids(grounds) -> list[list[str]]:
    return sorted(sorted(cube.cube_id for cube in found.cubes) for found in grounds)


def test_cubes_that_touch_on_one_grid_make_one_sheet(tmp_path):
    first = making.make_cube("a", 16)
    cubes = [
        first,
        small_maps.moved(making.make_cube("b", 16), 160),  # beside it
        small_maps.moved(making.make_cube("c", 16), 320, 160),  # at b's corner
        small_maps.moved(making.make_cube("d", 16), 640),  # a gap of 16 pixels
        small_maps.moved(making.make_cube("e", 16), -164),  # not on the pixel grid
        small_maps.moved(making.make_cube("g", 16), epsg=32640),  # another zone
    ]
    found = survey(tmp_path, *cubes)
    assert ids(found) == [["a", "b", "c"], ["d"], ["e"], ["g"]]
    sheet = next(f for f in found if len(f.cubes) == 3)
    assert [c.cube_id for c in sheet.cubes] == ["a", "b", "c"]
    assert sheet.sheet.boxes == ((0, 0, 16, 16), (0, 16, 16, 32), (16, 32, 32, 48))
    assert (sheet.lattice.x, sheet.lattice.y) == small_maps.CORNER


def test_cubes_of_other_windows_are_not_neighbours_but_late_beginners_are(tmp_path):
    spring = month_periods(dt.date(2022, 4, 1), dt.date(2022, 8, 1))
    until_april = month_periods(dt.date(2021, 12, 1), dt.date(2022, 4, 1))
    recipe = small_maps.make_recipe(num_periods=4)
    cubes = [
        making.make_cube("a", 16),  # February to May
        small_maps.changed(
            small_maps.moved(making.make_cube("b", 16, spring), 160), season="2021-2022"
        ),  # April and May
        small_maps.moved(making.make_cube("c", 16, until_april), 320),  # January to April
    ]
    assert ids(survey(tmp_path, *cubes, recipe=recipe)) == [["a", "b"], ["c"]]


def test_the_season_must_be_named_where_there_are_several(tmp_path):
    other = small_maps.changed(making.make_cube("b", 16), season="2022-2023")
    with pytest.raises(
        ValueError, match="--season: expected one of '2021-2022', '2022-2023' .*none"
    ):
        survey(tmp_path, making.make_cube("a", 16), other)
    assert ids(mosaic_groups.survey(tmp_path, RECIPE, JUNE, "2022-2023")) == [["b"]]
    with pytest.raises(ValueError, match="found '2020'"):
        mosaic_groups.survey(tmp_path, RECIPE, JUNE, "2020")


def test_shared_ground_is_refused(tmp_path):
    cubes = making.make_cube("a", 16), small_maps.moved(making.make_cube("b", 16), 150)
    with pytest.raises(ValueError, match="cubes a and b: expected no shared ground, found 1597 m²"):
        survey(tmp_path, *cubes)


def test_periods_of_another_kind_are_refused(tmp_path):
    dekads = dekad_periods(dt.date(2022, 1, 1), dt.date(2022, 8, 1))
    with pytest.raises(ValueError, match="cube a: expected periods of a month .*, found dekad"):
        survey(tmp_path, making.make_cube("a", 16, dekads))


def test_an_as_of_date_before_the_first_period_has_ended_is_refused(tmp_path):
    bare = small_maps.changed(making.make_cube("a", 16), harvest={})
    with pytest.raises(
        ValueError, match="cube a: as-of 2021-12-31 .* expected 2022-01-01 or later"
    ):
        survey(tmp_path, bare, as_of=dt.date(2021, 12, 31))


def test_an_as_of_date_before_all_planting_is_refused(tmp_path):
    season = calendars.Season(dt.date(2022, 9, 1), planting=dt.date(2022, 6, 2))
    made = small_maps.changed(making.make_cube("a", 16), harvest={calendars.ANY_CROP: (season,)})
    with pytest.raises(ValueError, match="cube a: as-of 2022-06-01 lies before .* 2022-06-02 or"):
        survey(tmp_path, made)
    (found,) = mosaic_groups.survey(tmp_path, RECIPE, dt.date(2022, 6, 2))
    assert len(found.cubes) == 1


def test_unplanted_classes_and_their_dates():
    info = making.make_cube("a", 16).info
    # Harvests on 1 July, 1 August and 1 September; planting 120 days before, unknown for the first.
    august, september = dt.date(2022, 4, 3), dt.date(2022, 5, 4)
    assert mosaic_groups.unplanted(info, RECIPE, august) == {"maize": september}
    day = dt.timedelta(days=1)
    both = {"rapeseed": august, "maize": september}
    assert mosaic_groups.unplanted(info, RECIPE, august - day) == both
    assert mosaic_groups.unplanted(info, RECIPE, september) == {}


def test_inputs_change_with_the_cube_and_with_what_its_chips_reach(tmp_path):
    places = [(0, 0), (0, 1), (0, 2), (0, 3)]
    cubes = [tile(f"c{col}", col, row, size=128, missing=False) for row, col in places]

    def inputs(*chosen):
        folder = tmp_path / "-".join(c.info.cube_id + str(c.info.province) for c in chosen)
        (found,) = survey(folder, *chosen)
        return {c.cube_id: found.inputs(i) for i, c in enumerate(found.cubes)}

    before = inputs(*cubes)
    assert before == inputs(*cubes) and len(set(before.values())) == 4
    other = inputs(*cubes[:3], small_maps.changed(cubes[3], province="elsewhere"))
    # The chip of c2 reaches into c3, and 16 pixels of c1 are blended with the chip of c2.
    assert [name for name in before if before[name] != other[name]] == ["c1", "c2", "c3"]
    fewer = inputs(*cubes[:3])
    assert [name for name in fewer if before[name] != fewer[name]] == ["c1", "c2"]


def test_strips_keep_neighbours_together(tmp_path):
    cubes = [tile(f"r{r}c{c}", c, r, size=128, missing=False) for r in range(2) for c in range(3)]
    (found,) = survey(tmp_path, *cubes)
    names = [found.cubes[i].cube_id for i in found.ordered(2)]
    assert names == ["r0c0", "r0c1", "r1c0", "r1c1", "r0c2", "r1c2"]
    assert sorted(found.ordered(1)) == list(range(6))
    assert np.ptp([len(list(found.pieces(i))) for i in range(6)]) == 0
