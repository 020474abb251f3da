"""A whole map: in its place, interrupted, resumed, and refused."""

import dataclasses
import datetime as dt
import json
import re
import shutil

import making
import numpy as np
import pytest
import rasterio
from mapping import small_maps
from mapping.small_maps import make_map, read

from cropmap_jax.inference.predictors import NetworkPredictor
from cropmap_jax.mapping import metadata
from cropmap_jax.training import checkpoints


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    recipe = small_maps.make_recipe(norm="group")
    return small_maps.save_checkpoint(tmp_path_factory.mktemp("run"), recipe)


@pytest.fixture(scope="module")
def row_of_three(tmp_path_factory):
    """Three tiles side by side, with clouds."""
    whole = making.make_cube("whole", (128, 384), fields=False)
    return small_maps.write(tmp_path_factory.mktemp("cubes"), *small_maps.quarters(whole))


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
    """Three of four tiles of coded ground, with a hole in it."""
    whole = small_maps.coded_ground(256, 256)
    # April and May, all that two periods as of 1 June see.
    whole.s1[4:6, 5:9, 120:140] = whole.s2[4:6, 5:9, 120:140] = np.nan
    cubes = tmp_path_factory.mktemp("coded")
    return small_maps.write(cubes, *small_maps.quarters(whole)[:3])


@pytest.fixture(scope="module")
def world(workdir, coded, tmp_path_factory):
    """The map of the coded ground."""
    out = tmp_path_factory.mktemp("map")
    return out, *make_map(workdir, coded, out, small_maps.say_where)


def coordinates(raster):
    """Row and column of each pixel from the corner of the ground, by the raster's own affine."""
    x, y = small_maps.CORNER
    rows, cols = np.mgrid[: raster.height, : raster.width]
    a = raster.transform
    return np.int64((y - (a.f + a.e * rows)) / 10), np.int64((a.c + a.a * cols - x) / 10)


def check_coded(raster, kind: str):
    row, col = coordinates(raster)
    expected = {"crop": small_maps.expected_class, "confidence": small_maps.expected_percent}[kind]
    seen = ~((row >= 5) & (row < 9) & (col >= 120) & (col < 140))
    seen &= (row < 128) | (col < 128)  # the fourth tile is not there
    np.testing.assert_array_equal(raster.read(1), np.where(seen, expected(row, col), 255))
    assert seen.any() and raster.nodata == 255


@pytest.mark.parametrize("kind", ["crop", "confidence"])
def test_every_pixel_lies_where_it_says(world, kind):
    out = world[0]
    for name in ("c00", "c01", "c10"):
        with rasterio.open(out / name / f"{kind}.tif") as raster:
            assert raster.shape == (128, 128)
            check_coded(raster, kind)
    with rasterio.open(out / f"{kind}_32639.vrt") as raster:
        assert raster.shape == (256, 256)
        check_coded(raster, kind)


def test_what_a_map_consists_of(world):
    out, maker, result, done = world
    assert small_maps.shown(out) == [
        "c00", "c01", "c10", "confidence_32639.vrt", "crop.qml", "crop_32639.png",
        "crop_32639.qml", "crop_32639.vrt", "summary.csv", "summary.txt",
    ]  # fmt: skip
    assert (out / "summary.txt").read_text() == f"{result.table}\n"
    assert maker.notes == result.notes == []
    assert (maker.cubes, maker.parts, done, maker.finished, maker.stale) == (3, 3, 3, set(), set())
    assert result.crops == [out / "crop_32639.vrt"] and result.summary == out / "summary.csv"
    # Four rows of twenty pixels were not seen: 8 columns of them lie in the first tile.
    for name, lost in (("c00", 32), ("c01", 48), ("c10", 0)):
        described = json.loads((out / name / "map.json").read_text())
        crop = read(out / name / "crop.tif")
        for value, what in metadata.values(making.LEGEND).items():
            assert described["area"][what]["pixels"] == (crop == value).sum()
        assert described["area"]["no_data"]["pixels"] == lost
    assert "No data" in result.table and "3 cubes" in result.table


def test_the_same_ground_in_one_cube_or_three_gives_the_same_map(workdir, row_of_three, tmp_path):
    whole = making.make_cube("whole", (128, 384), fields=False)
    one = small_maps.write(
        tmp_path / "one", small_maps.piece(whole, "w", slice(0, 128), slice(0, 384))
    )
    make_map(workdir, one, tmp_path / "a")
    make_map(workdir, row_of_three, tmp_path / "b")
    for kind in ("crop", "confidence"):
        a, b = (read(tmp_path / name / f"{kind}_32639.vrt") for name in "ab")
        np.testing.assert_array_equal(a, b)
        assert len(np.unique(a)) > 1


def test_what_cubes_share_is_predicted_once(workdir, row_of_three, tmp_path):
    chips = []

    def count(examples):
        chips.extend(examples)
        return small_maps.say_where(examples)

    maker, *_ = make_map(workdir, row_of_three, tmp_path / "map", count)
    parts = {(g, p) for g in maker.groups for box in g.tiling.boxes for p in g.tiling.parts(box)}
    assert len(chips) == len(parts) == 3 and len(maker.groups) == 1


class Fragile:
    """A network that is interrupted after some batches."""

    def __init__(self, workdir, batches):
        self._network = NetworkPredictor(checkpoints.load(workdir), 2, True)
        self._left = batches

    def __call__(self, examples):
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return self._network.predict(examples)


def test_an_interrupted_map_goes_on_to_the_same_end(workdir, row_of_three, tmp_path):
    make_map(workdir, row_of_three, tmp_path / "whole", Fragile(workdir, 9))
    out = tmp_path / "map"
    # Four chips, of which the first two are predicted: enough for the first cube alone.
    with pytest.raises(KeyboardInterrupt):
        make_map(workdir, row_of_three, out, Fragile(workdir, 1))
    assert small_maps.shown(out) == ["c00"]
    # A process that was killed leaves a folder half written, and one half replaced.
    shutil.copytree(out / "c00", out / ".c01.4711.part")
    (out / ".c02.4711.old").mkdir()
    maker, _, done = make_map(workdir, row_of_three, out, Fragile(workdir, 9))
    assert maker.finished == {"c00"} and maker.stale == set() and done == 2
    assert sorted(p.name for p in out.glob(".*")) == small_maps.HIDDEN
    files = [p.relative_to(out) for p in out.rglob("*") if p.suffix in (".tif", ".vrt", ".csv")]
    assert len(files) == 9
    for file in files:
        assert (out / file).read_bytes() == (tmp_path / "whole" / file).read_bytes(), file
    # Nothing is left to do, but what spans the cubes is made again.
    (out / "crop_32639.vrt").unlink()
    maker, _, done = make_map(workdir, row_of_three, out, Fragile(workdir, 0))
    assert done == 0 and len(maker.finished) == 3 and (out / "crop_32639.vrt").is_file()


def test_a_region_that_is_not_finished_has_no_summary(workdir, coded, world, tmp_path):
    def interrupted(examples):
        raise KeyboardInterrupt

    out = shutil.copytree(world[0], tmp_path / "map")
    (out / "c01" / "crop.tif").unlink()
    with pytest.raises(KeyboardInterrupt):
        make_map(workdir, coded, out, interrupted)
    assert not (out / "summary.csv").exists() and not list(out.glob("*.vrt"))
    maker, _, done = make_map(workdir, coded, out, small_maps.say_where)
    assert maker.stale == {"c01"} and done == 1 and (out / "c01" / "crop.tif").is_file()


def test_other_settings_are_refused_and_named(workdir, coded, world, tmp_path):
    out = shutil.copytree(world[0], tmp_path / "map")

    def line(run=workdir, **options):
        with pytest.raises(ValueError, match=re.escape(str(out / "c00" / "map.json"))) as raised:
            make_map(run, coded, out, small_maps.say_where, **options)
        assert "--overwrite" in str(raised.value)
        return str(raised.value)

    text = line(as_of="2022-07-01")
    assert "(as_of: was 2022-06-01, now 2022-07-01)" in text
    assert "(threshold: was 0.5, now 0.6)" in line(threshold=0.6)
    other = small_maps.save_checkpoint(
        tmp_path / "other", small_maps.make_recipe(norm="group"), seed=2, step=4
    )
    text = line(other)
    assert "checkpoint: was " in text and "step: was 3, now 4" in text
    # Refused means untouched.
    assert read(out / "c00" / "crop.tif").shape == (128, 128) and (out / "summary.csv").is_file()
    maker, _, done = make_map(
        workdir, coded, out, small_maps.say_where, threshold=0.6, overwrite=True
    )
    assert maker.stale == {"c00", "c01", "c10"} and done == 3
    assert json.loads((out / "c00" / "map.json").read_text())["settings"]["threshold"] == 0.6
    assert (read(out / "c00" / "crop.tif") == 254).any()


def test_a_neighbour_that_changes_makes_the_map_stale(workdir, row_of_three, tmp_path):
    def stubborn(examples):
        """Each chip has its own answer, which follows from all that it sees."""
        answers = [1 + int(e["pixels"]["s2"].astype(np.int64).sum()) % 97 for e in examples]
        shapes = [(*e["wanted"].shape, 3) for e in examples]
        return [np.full(s, a / 100) for s, a in zip(shapes, answers, strict=True)]

    cubes = shutil.copytree(row_of_three, tmp_path / "cubes")
    shutil.move(cubes / "c02", tmp_path / "c02")
    make_map(workdir, cubes, tmp_path / "map", stubborn)
    before = read(tmp_path / "map" / "c01" / "confidence.tif")
    shutil.move(tmp_path / "c02", cubes / "c02")
    maker, _, done = make_map(workdir, cubes, tmp_path / "map", stubborn)
    # 16 pixels of the first cube are blended with the chip of the second, which is another now.
    assert maker.stale == {"c00", "c01"} and maker.finished == set() and done == 3
    make_map(workdir, row_of_three, tmp_path / "whole", stubborn)
    for name in ("c00", "c01", "c02"):
        a, b = (read(tmp_path / folder / name / "confidence.tif") for folder in ("map", "whole"))
        np.testing.assert_array_equal(a, b)
    assert (before != read(tmp_path / "map" / "c01" / "confidence.tif")).any()


def test_a_softmax_head_names_a_class_everywhere(coded, tmp_path):
    recipe = small_maps.make_recipe("softmax")
    run = small_maps.save_checkpoint(tmp_path / "run", recipe)
    maker, _, _ = make_map(run, coded, tmp_path / "map", threshold=0.99)
    assert set(np.unique(read(tmp_path / "map" / "crop_32639.vrt"))) <= {0, 1, 2, 255}
    described = json.loads((tmp_path / "map" / "c00" / "map.json").read_text())
    assert described["settings"]["threshold"] is None
    assert described["area"]["none_of_these"]["pixels"] == 0
    assert maker.notes == ["--threshold has no effect: classes exclude each other"]
    # Another threshold is no other map.
    maker, _, done = make_map(run, coded, tmp_path / "map", threshold=0.1)
    assert done == 0 and len(maker.finished) == 3


def test_a_class_that_is_not_planted_yet_is_not_claimed(workdir, tmp_path):
    whole = small_maps.coded_ground(128, 256)
    cubes = small_maps.quarters(whole)
    early = dict(whole.info.harvest)
    (season,) = early["maize"]
    early["maize"] = (dataclasses.replace(season, planting=dt.date(2022, 4, 1)),)
    info = dataclasses.replace(cubes[1].info, harvest=early)
    cubes[1] = dataclasses.replace(cubes[1], info=info)
    folder = small_maps.write(tmp_path / "cubes", *cubes)
    out = tmp_path / "map"
    _, result, _ = make_map(workdir, folder, out, small_maps.say_where, as_of="2022-05-01")
    first, second = (json.loads((out / n / "map.json").read_text()) for n in ("c00", "c01"))
    # Harvest on 1 September, planted 120 days before.
    assert first["excluded"] == {"maize": "2022-05-04"} and second["excluded"] == {}
    assert first["lead_days"] == {"wheat": 61, "rapeseed": 92, "maize": 123}
    with rasterio.open(out / "c00" / "crop.tif") as raster:
        expected = small_maps.expected_class(*coordinates(raster))
        np.testing.assert_array_equal(raster.read(1), np.where(expected == 2, 254, expected))
    with rasterio.open(out / "c01" / "crop.tif") as raster:
        expected = small_maps.expected_class(*coordinates(raster))
        np.testing.assert_array_equal(raster.read(1), expected)
    assert "maize: not mapped in 1 cube, where" in result.table


def test_folders_that_do_not_belong_are_refused(workdir, coded, world, tmp_path):
    def refuse(out, match, cubes=coded):
        with pytest.raises(ValueError, match=match):
            make_map(workdir, cubes, out, small_maps.say_where)

    cubes = shutil.copytree(coded, tmp_path / "cubes")
    refuse(cubes, "--out .*: is --cubes .*", cubes)
    refuse(shutil.copytree(coded, tmp_path / "copy"), "c00: expected a cube's map or no folder")
    assert (tmp_path / "copy" / "c00" / "s1.tif").is_file()
    shutil.rmtree(cubes / "c01")
    refuse(world[0], "c01: found the map of a cube that is not among those to map", cubes)
    file = tmp_path / "file"
    file.touch()
    refuse(file, "--out .*file: expected a folder, found a file")
    refuse(file / "below", "--out: expected a folder")
    out = shutil.copytree(world[0], tmp_path / "map")
    (out / "c10" / "map.json").write_text("{")
    refuse(out, r"c10.map\.json: expected the metadata of the map of cube c10, found")


def test_mistakes_are_found_before_anything_is_written(workdir, coded, tmp_path):
    out = tmp_path / "out"
    for options, match in (
        ({"as_of": "soon"}, "--as_of: expected a date like 2022-09-01, found 'soon'"),
        ({"as_of": "2021-12-31"}, "as-of 2021-12-31 lies before"),
        ({"season": "1999"}, "--season: expected one of '2021-2022'"),
    ):
        with pytest.raises(ValueError, match=match):
            make_map(workdir, coded, out, **options)
    with pytest.raises(ValueError, match="expected a run's workdir with checkpoints/, found none"):
        make_map(tmp_path / "no_run", coded, out)
    with pytest.raises(ValueError, match="none: expected a folder of cubes, found none"):
        make_map(workdir, tmp_path / "none", out)
    assert not out.exists()
