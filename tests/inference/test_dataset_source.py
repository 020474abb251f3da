"""Cubes of a dataset, put together again from chips: what a raster holds, a chip holds."""

import importlib
import pathlib
import sys

import making
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training import small_data
from training.small_data import Ground

from cropmap_jax.data import cube_builder, dataset
from cropmap_jax.geo import as_of_windows, cube_io
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.periods import to_day, to_days
from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.inference.dataset_source import DatasetSource
from cropmap_jax.inference.raster_source import RasterSource
from cropmap_jax.inference.tiling import Box

sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folders of cubes by id, and a dataset of them in files."""
    root = tmp_path_factory.mktemp("built")
    paths = making.make_cubes(root / "cubes", ("train", "test"), size=(50, 34))
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    cube_builder.build(builder, "small", root / "cubes", root / "data", chip=16, overlap=3)
    data = dataset.open_dataset(str(root / "data"), "cubes/small")
    return {path.name: path for path in paths}, data


@pytest.mark.parametrize("box", [Box(0, 0, 50, 34), Box(7, 13, 33, 34), Box(49, 0, 50, 1)])
def test_records_and_rasters_hold_the_same(built, box):
    folders, data = built
    rasters, records = RasterSource(folders), DatasetSource(data)
    for cube_id, path in folders.items():
        days = to_days(cube_io.read_info(path).periods)
        # Four periods as of 1 March 2022: one from before the cube begins, December to February.
        as_of = to_day(making.PERIODS[3].start)
        indices = as_of_windows.as_of_window(days, as_of, 4).indices
        assert indices.tolist() == [as_of_windows.MISSING, 0, 1, 2]
        for sensors in (SENTINEL, SENTINEL[1:]):
            expected = rasters.read(cube_id, indices, box, sensors)
            found = records.read(cube_id, indices, box, sensors)
            assert list(found) == list(expected) == [one.name for one in sensors]
            for name, values in expected.items():
                np.testing.assert_array_equal(found[name], values)


def test_annotation_is_that_of_the_cubes(built):
    folders, data = built
    for index, row in enumerate(data.cubes):
        made = cube_io.read_raw(folders[row["id"]])
        np.testing.assert_array_equal(DatasetSource(data).label(index), made.label)
        np.testing.assert_array_equal(DatasetSource(data).fields(index), made.fields)


def test_only_chips_that_a_box_touches_are_read(monkeypatch):
    data = small_data.make_dataset([Ground("train", np.zeros((24, 24), np.uint8))] * 2)
    source = data.source("train")
    read = []
    real = type(source).read_window

    def read_window(self, index, *rest):
        read.append(index)
        real(self, index, *rest)

    monkeypatch.setattr(type(source), "read_window", read_window)
    DatasetSource(data).read("cube1", np.array([3]), Box(7, 8, 9, 16), SENTINEL)
    # Chips of 8 pixels, nine of each cube: the middle ones of the first and of the second row.
    assert read == [9 + 1, 9 + 4]


@given(st.data())
def test_every_pixel_comes_from_its_place_however_it_was_cut(data):
    height, width = data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    chip = data.draw(st.integers(1, 24))
    overlap = data.draw(st.integers(0, min(chip - 1, 5)))
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([0, 1, IGNORE], np.uint8), (2, height, width))
    fields = rng.integers(0, 9, (height, width)).astype(np.uint32)
    grounds = [Ground("train", labels[0]), Ground("test", labels[1], fields)]
    found = DatasetSource(small_data.make_dataset(grounds, chip, overlap))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    box = Box(
        top, left, data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    )
    indices = np.array([as_of_windows.MISSING, 0, 1])
    s1, s2 = small_data.coordinates(1, 8, (height, width))
    read = found.read("cube1", indices, box, SENTINEL)
    for name, values in (("s1", s1), ("s2", s2)):
        whole = as_of_windows.take_window(values, indices, -32768)
        np.testing.assert_array_equal(read[name], whole[:, top : box.bottom, left : box.right])
    np.testing.assert_array_equal(found.label(1), labels[1])
    np.testing.assert_array_equal(found.fields(1), fields)
