"""An excerpt of a mosaic group: what decides on some of its maps, and no other cube."""

import itertools

import hypothesis.strategies as st
import numpy as np
from affine import Affine
from hypothesis import given
from odc.geo.geobox import GeoBox

from cropmap_jax.inference import mosaic_groups

SPAN = ((18_900, 18_930), (18_930, 18_960))


def grid(row: int, col: int, height: int, width: int) -> GeoBox:
    return GeoBox((height, width), Affine(10, 0, 10.0 * col, 0, -10, -10.0 * row), "EPSG:32639")


@st.composite
def layouts(draw):
    """Cubes that touch, with holes, of several sizes, as a group; some of them; what is around."""
    rows = np.cumsum([0, *draw(st.lists(st.integers(3, 300), min_size=1, max_size=4))])
    cols = np.cumsum([0, *draw(st.lists(st.integers(3, 300), min_size=2, max_size=5))])
    cells = list(itertools.product(itertools.pairwise(rows), itertools.pairwise(cols)))
    kept = draw(st.lists(st.sampled_from(cells), min_size=1, unique=True))
    cubes = [
        mosaic_groups.CubeGrid(f"c{i}", grid(top, left, bottom - top, right - left), SPAN)
        for i, ((top, bottom), (left, right)) in enumerate(kept)
    ]
    group = mosaic_groups.join(cubes, 2, 18_960, draw(st.sampled_from([0, 5, 64])))[0]
    chosen = draw(st.lists(st.sampled_from(range(len(group.cubes))), min_size=1, unique=True))
    return group, chosen, draw(st.sampled_from([0, 7]))


@given(layouts())
def test_cubes_are_cut_and_seen_as_in_the_whole_group(layout):
    group, chosen, around = layout
    made = group.excerpt(chosen, around)
    number = {cube.cube_id: i for i, cube in enumerate(made.cubes)}
    for whole in chosen:
        own = number[group.cubes[whole].cube_id]
        assert made.inputs(own, around) == group.inputs(whole, around)
        assert list(made.pieces(own)) == list(group.pieces(whole))
        box = group.tiling.boxes[whole].grow(around)
        assert made.tiling.covering(box) == group.tiling.covering(box)
        for part in group.tiling.covering(box):
            chip = group.tiling.chip(part)
            assert made.tiling.chip(part) == chip
            names = [[g.cubes[n].cube_id for n in g.tiling.cubes(chip)] for g in (group, made)]
            assert sorted(names[0]) == sorted(names[1])


def test_what_lies_far_away_is_left_out():
    cubes = [mosaic_groups.CubeGrid(f"c{i}", grid(0, 128 * i, 128, 128), SPAN) for i in range(100)]
    (group,) = mosaic_groups.join(cubes, 2, 18_960, 32)
    made = group.excerpt([50], 3)
    assert 3 <= len(made.cubes) <= 9
    assert (made.top, made.left, made.window) == (group.top, group.left, group.window)
