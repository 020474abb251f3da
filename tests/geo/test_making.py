"""The made cubes: whole, apart, and with something to learn."""

import making
import numpy as np
import pytest

from cropmap_jax.geo import cube, cube_io, splits
from cropmap_jax.geo.legend import ISRC, NONE_OF_THESE


@pytest.mark.parametrize("settings", [{}, {"fields": False, "size": (20, 50)}, {"legend": ISRC}])
def test_made_cubes_are_cubes_with_every_state(settings):
    made = making.make_cube(**settings)
    cube.validate(made)
    states = {*range(len(made.info.legend)), 254, 255}
    # 20 x 50 pixels hold 3 x 7 fields, 32 x 32 hold 16: room for 3 + 2 and 8 + 2.
    assert set(np.unique(made.label).tolist()) == states
    assert 0.05 < np.isnan(made.s2).mean() < 0.4
    assert 0 < np.isnan(made.s1).mean() < 0.1


def test_fields_are_rectangles_of_one_class():
    made = making.make_cube(seed=3)
    for field in np.unique(made.fields[made.fields > 0]):
        rows, cols = np.nonzero(made.fields == field)
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(cols) + 1) == 64
        assert len(np.unique(made.label[rows, cols])) == 1
    np.testing.assert_array_equal(made.fields > 0, made.label < NONE_OF_THESE)


def test_trio_lies_apart(tmp_path):
    paths = making.make_cubes(tmp_path, size=24)
    infos = cube_io.list_cubes(tmp_path)
    assert {i.cube_id: i.split for i in infos} == {p.name: p.name.split("_")[0] for p in paths}
    assert {i.split for i in infos} == set(splits.SPLITS)
    assert len({i.block for i in infos}) == 3
    splits.check_blocks([(i.cube_id, i.block, i.split) for i in infos])
    assert splits.find_overlap([i.cube_id for i in infos], [i.geobox for i in infos]) is None
    ids = [np.unique(cube_io.read_cube(p).fields) for p in paths]
    assert not set(ids[0][1:]) & set(ids[1][1:]) and not set(ids[1][1:]) & set(ids[2][1:])


def test_same_seed_same_cube():
    a, b, c = (making.make_cube(seed=s) for s in (5, 5, 6))
    np.testing.assert_array_equal(a.s2, b.s2)
    assert not np.array_equal(a.label, c.label)


@pytest.mark.parametrize("sensor", ["s1", "s2"])
def test_classes_can_be_told_apart_elsewhere(sensor):
    """The nearest class mean of one cube, pixel by pixel, names the pixels of another."""
    here, there = making.make_cube(seed=0, missing=False), making.make_cube(seed=1, missing=False)

    def table(made):
        known = made.label != 255
        series = np.moveaxis(getattr(made, sensor), 0, 2)[known]
        return series.reshape(len(series), -1), made.label[known]

    x, y = table(here)
    means = {k: x[y == k].mean(0) for k in np.unique(y)}
    x, y = table(there)
    nearest = np.argmin([((x - m) ** 2).sum(1) for m in means.values()], 0)
    assert (np.array(list(means))[nearest] == y).mean() > 0.95
