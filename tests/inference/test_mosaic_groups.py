"""Which cubes belong together."""

import dataclasses
import datetime as dt

import making
import numpy as np
from mapping import small_maps

from cropmap_jax.geo import cube_io
from cropmap_jax.geo.periods import month_periods
from cropmap_jax.mapping.cubes import join

JUNE = dt.date(2022, 6, 1)


def tile(cube_id, col=0, row=0, size=16, **settings):
    """A cube in a corner of a tile, counted eastwards and southwards from the first one."""
    place = (making.TILE[0] + col, making.TILE[1] - row)
    return making.make_cube(cube_id, size, tile=place, **settings)


def survey(cubes_dir, *cubes, num_periods=2):
    infos = cube_io.list_cubes(small_maps.write(cubes_dir, *cubes))
    return join(infos, num_periods, JUNE, 16)


def ids(groups) -> list[list[str]]:
    return sorted(sorted(cube.cube_id for cube in found.cubes) for found in groups)


def test_cubes_that_touch_on_one_grid_make_one_group(tmp_path):
    first = making.make_cube("a", 16)
    cubes = [
        first,
        small_maps.moved(making.make_cube("b", 16), 160),  # next to it
        small_maps.moved(making.make_cube("c", 16), 320, 160),  # at b's corner
        small_maps.moved(making.make_cube("d", 16), 640),  # a gap of 16 pixels
        small_maps.moved(making.make_cube("e", 16), -164),  # not on the pixel grid
        small_maps.moved(making.make_cube("g", 16), epsg=32640),  # another zone
    ]
    found = survey(tmp_path, *cubes)
    assert ids(found) == [["a", "b", "c"], ["d"], ["e"], ["g"]]
    group = next(f for f in found if len(f.cubes) == 3)
    assert [c.cube_id for c in group.cubes] == ["a", "b", "c"]
    assert group.tiling.boxes == ((0, 0, 16, 16), (0, 16, 16, 32), (16, 32, 32, 48))
    assert (group.lattice.x, group.lattice.y) == small_maps.CORNER


def test_cubes_of_other_windows_are_not_neighbours_but_late_beginners_are(tmp_path):
    spring = month_periods(dt.date(2022, 4, 1), dt.date(2022, 8, 1))
    until_april = month_periods(dt.date(2021, 12, 1), dt.date(2022, 4, 1))
    cubes = [
        making.make_cube("a", 16),  # February to May
        small_maps.changed(
            small_maps.moved(making.make_cube("b", 16, spring), 160), season="2021-2022"
        ),  # April and May
        small_maps.moved(making.make_cube("c", 16, until_april), 320),  # January to April
    ]
    found = survey(tmp_path, *cubes, num_periods=4)
    assert ids(found) == [["a", "b"], ["c"]]
    # The group's window is the longest; each cube has indices of its own.
    both = next(f for f in found if len(f.cubes) == 2)
    assert [one.window.indices.tolist() for one in both.cubes] == [[2, 3, 4, 5], [-1, -1, 0, 1]]
    assert both.window.missing == 0 and (both.window.day_of_year > 0).all()


def test_inputs_change_with_the_cube_and_with_what_its_chips_reach(tmp_path):
    places = [(0, 0), (0, 1), (0, 2), (0, 3)]
    cubes = [tile(f"c{col}", col, row, size=128, missing=False) for row, col in places]

    def inputs(*chosen):
        folder = tmp_path / str(len(list(tmp_path.glob("*"))))
        (found,) = survey(folder, *chosen)
        return {c.cube_id: found.inputs(i) for i, c in enumerate(found.cubes)}

    before = inputs(*cubes)
    assert before == inputs(*cubes) and len(set(before.values())) == 4
    # What no map is made from changes none.
    assert before == inputs(*cubes[:3], small_maps.changed(cubes[3], province="elsewhere"))
    brighter = {name: pixels + 0.01 for name, pixels in cubes[3].pixels.items()}
    other = inputs(*cubes[:3], dataclasses.replace(cubes[3], pixels=brighter))
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
