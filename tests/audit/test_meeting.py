"""Pixels of two cubes that share ground, or touch."""

import making
import numpy as np
import planted
import pytest

from cropmap_jax.audit import meeting, opening
from cropmap_jax.geo import cube_io
from cropmap_jax.geo.legend import IGNORE

ROWS = slice(0, 32)


def met(folder, *cubes):
    """What two cubes have in common."""
    for one in cubes:
        cube_io.write_cube(one, folder)
    material = opening.of_cubes(folder)
    found = meeting.pairs(material.places)
    return [meeting.meeting(material, i, j) for i, j in found]


@pytest.fixture(scope="module")
def whole():
    return making.make_cube("whole", (32, 64), seed=3, missing=False)


@pytest.mark.parametrize("columns", [1, 2, 5, 24])
def test_pixels_that_both_know_are_counted_exactly(whole, tmp_path, columns):
    one = planted.part(whole, "one", "train", ROWS, slice(0, 40))
    two = planted.part(whole, "two", "test", ROWS, slice(40 - columns, 64))
    (found,) = met(tmp_path, one, two)
    shared = whole.label[:, 40 - columns : 40]
    assert found.annotated == {(0, 2): np.count_nonzero(shared != IGNORE)}
    assert found.contradicting == 0
    ids = np.unique(whole.fields[:, 40 - columns : 40])
    assert found.fields == {(0, 2): {(int(i), int(i)) for i in ids if i}}


def test_neighbours_share_nothing_and_touch(whole, tmp_path):
    one = planted.part(whole, "one", "train", ROWS, slice(0, 28))
    two = planted.part(whole, "two", "test", ROWS, slice(28, 64))
    (found,) = met(tmp_path, one, two)
    assert found.annotated == {} and found.inside == 0
    # Column 28 lies within fields of 8 x 8 pixels: 8 pixels of each touch its other half; and the
    # next but one field in the column beside, at corners, is another one.
    same = {f: n for (f, g), n in found.touching[0, 2].items() if f == g}
    ids = np.unique(whole.fields[:, 28])
    assert same == {int(i): 8 for i in ids if i}


def test_cubes_apart_do_not_meet(whole, tmp_path):
    one = planted.part(whole, "one", "train", ROWS, slice(0, 20))
    two = planted.part(whole, "two", "test", ROWS, slice(40, 64))
    assert met(tmp_path, one, two) == []


@pytest.mark.parametrize("epsg", [32638, 32640])
def test_a_copy_on_a_grid_of_another_zone_lies_on_the_same_pixels(whole, tmp_path, epsg):
    copy = planted.reprojected(whole, "copy", "test", epsg)
    (found,) = met(tmp_path, whole, copy)
    known = np.count_nonzero(whole.label != IGNORE)
    # Pixels half a pixel apart: each of the copy's lies in the one that it was taken from, but for
    # those on its lines.
    assert 0.8 * known < sum(found.annotated.values()) <= 1.1 * known
    assert found.contradicting < 0.05 * known
