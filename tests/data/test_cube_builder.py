"""From a folder of cubes to a dataset and back: every pixel, and nothing that is half done."""

import dataclasses
import datetime as dt
import errno
import importlib
import json
import os
import pathlib
import shutil
import sys

import making
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.data import (
    cube_builder,
    cube_set,
    dataset,
    input_pipeline,
    read_plan,
    shard_tasks,
)
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo import calendars, cube, cube_io, splits
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.geo.periods import dekad_periods, to_day, to_days
from cropmap_jax.geo.sensors import SENTINEL

CHIP = 16
LAST_END = making.PERIODS[-1].end
SIZE = (40, 24)
"""Two and a half chips by one and a half."""
SPLITS = ("train", "train", "validation", "test")


# As a checkout finds its builders: none of them is importable as part of a package.
sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))


def build(cubes_dir, data_dir, name="small", chip=CHIP, **settings):
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    return cube_builder.build(builder, name, cubes_dir, data_dir, chip=chip, **settings)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """(cubes, datasets), built once; tests that change something copy them."""
    root = tmp_path_factory.mktemp("built")
    first, *_ = making.make_cubes(root / "cubes", SPLITS, size=SIZE)
    # Cubes with counts of clear observations and cubes without are built alike.
    one = cube_io.read_cube(first)
    info = dataclasses.replace(one.info, has_clear=True)
    counts = np.isfinite(one.s2).any(-1).astype(np.uint8)
    cube_io.write_cube(dataclasses.replace(one, info=info, clear=counts), root / "cubes", True)
    _, new = build(root / "cubes", root / "data")
    assert new
    return root / "cubes", root / "data"


@pytest.fixture
def copies(folders, tmp_path):
    for name, folder in zip(("cubes", "data"), folders, strict=True):
        shutil.copytree(folder, tmp_path / name)
    return tmp_path / "cubes", tmp_path / "data"


def opened(data_dir, name="small") -> dataset.Dataset:
    return dataset.open_dataset(data_dir, f"cubes/{name}")


def padded(array, row, col, fill, axis):
    """A chip cut the slow way: pixel by pixel, `fill` outside."""
    array = np.moveaxis(array, (axis, axis + 1), (0, 1))
    out = np.full((CHIP, CHIP, *array.shape[2:]), fill, array.dtype)
    for i in range(CHIP):
        for j in range(CHIP):
            if row + i < array.shape[0] and col + j < array.shape[1]:
                out[i, j] = array[row + i, col + j]
    return np.moveaxis(out, (0, 1), (axis, axis + 1))


# Records, chip table, metadata.


def test_every_record_holds_the_pixels_of_its_cube_at_its_place(folders):
    cubes_dir, data_dir = folders
    data = opened(data_dir)
    places = []
    for split, table in data.chips.items():
        source = data.source(split)
        assert len(source) == len(table) == 6 * SPLITS.count(split)
        for i in range(len(table)):
            record = source[i]
            row, col, index = (int(record[k]) for k in ("row", "col", "cube_index"))
            assert (index, row, col) == (table.cube[i], table.row[i], table.col[i])
            raw = cube_io.read_raw(cubes_dir / record["cube"].decode())
            assert raw.info.cube_id == data.cubes[index]["id"]
            assert raw.info.split == data.cubes[index]["split"] == split
            for key, fill, axis in (
                ("s1", -32768, 1),
                ("s2", -32768, 1),
                ("label", IGNORE, 0),
                ("fields", 0, 0),
            ):
                expected = padded(getattr(raw, key), row, col, fill, axis)
                assert record[key].dtype == expected.dtype
                np.testing.assert_array_equal(record[key], expected, err_msg=f"{split} {i} {key}")
            np.testing.assert_array_equal(record["periods"], to_days(making.PERIODS))
            np.testing.assert_array_equal(data.periods(index), to_days(making.PERIODS))
            states = [*range(len(making.LEGEND)), NONE_OF_THESE]
            counts = [(record["label"] == state).sum() for state in states]
            assert table.pixels[i].tolist() == counts
            assert table.annotated[i] == sum(counts)
            places.append((index, row, col))
    # Four cubes, each cut into 3 x 2 chips that touch.
    assert sorted(places) == [
        (n, row, col) for n in range(4) for row in (0, 16, 32) for col in (0, 16)
    ]


CHIP_BYTES = CHIP**2 * (24 * len(making.PERIODS) + 6)


def test_shards_hold_the_chips_in_order_and_no_more_than_there_may_be(folders, monkeypatch):
    numbered = list(enumerate(cube_io.list_cubes(folders[0])))
    every = [(n, row, col) for n in range(4) for row in (0, 16, 32) for col in (0, 16)]

    def sizes(shard_bytes: int, most: int = 500) -> list[int]:
        monkeypatch.setattr(read_plan, "SHARD_BYTES", shard_bytes)
        monkeypatch.setattr(read_plan, "MAX_SHARDS", most)
        found = read_plan.shards(numbered, CHIP, 0)
        assert [(p.index, *c) for shard in found for p in shard for c in p.chips] == every
        assert [p.index for shard in found for p in shard if p.last] == [0, 1, 2, 3]
        return [sum(len(p.chips) for p in shard) for shard in found]

    assert sizes(1) == [1] * 24
    # Padding counts: a cube of 40 x 24 pixels is cut into six chips of 16 x 16.
    assert sizes(6 * CHIP_BYTES) == [6, 6, 6, 6]
    assert sizes(4 * CHIP_BYTES) == [4] * 6
    assert sizes(100 * CHIP_BYTES) == [24]
    assert sizes(1, most=2) == [12, 12]


@pytest.mark.parametrize("overlap", [0, 6])
def test_a_large_cube_is_read_in_parts_and_gives_the_same(folders, tmp_path, monkeypatch, overlap):
    cubes_dir, _ = folders
    build(cubes_dir, tmp_path / "whole", overlap=overlap)
    # Two chips at once, three to a file.
    monkeypatch.setattr(read_plan, "READ_BYTES", 2 * CHIP**2 * 24 * len(making.PERIODS))
    monkeypatch.setattr(read_plan, "SHARD_BYTES", 3 * CHIP_BYTES)
    read, sizes = cube_io.CubeReader.read, []

    def read_part(self, rows, cols):
        found = read(self, rows, cols)
        sizes.append(found.s2.nbytes)
        return found

    monkeypatch.setattr(cube_io.CubeReader, "read", read_part)
    build(cubes_dir, tmp_path / "parts", overlap=overlap)
    assert max(sizes) <= 2 * CHIP**2 * 20 * len(making.PERIODS)
    whole, parts = opened(tmp_path / "whole"), opened(tmp_path / "parts")
    assert same_records(whole, parts)
    assert whole.statistics == parts.statistics
    for split in whole.chips:
        np.testing.assert_array_equal(whole.chips[split].pixels, parts.chips[split].pixels)
    files = list(parts.path.glob("*train*"))
    assert len(files) == -(-len(parts.chips["train"]) // 3)


def test_chips_too_large_for_a_record_are_refused(folders, tmp_path):
    with pytest.raises(
        ValueError, match=r"--chip 3000: expected chips of at most 1\.1 GB, found 2"
    ):
        build(folders[0], tmp_path / "new", chip=3000)
    assert not (tmp_path / "new").exists()


def test_metadata_says_what_the_cubes_say(folders):
    cubes_dir, data_dir = folders
    data, infos = opened(data_dir), cube_io.list_cubes(cubes_dir)
    assert data.name == "cubes/small"
    assert data.legend == making.LEGEND
    assert (data.chip, data.period_kind) == (CHIP, "month")
    assert list(data.chips) == ["train", "validation", "test"]
    for info, row in zip(infos, data.cubes, strict=True):
        assert row["id"] == info.cube_id
        assert (row["split"], row["block"], row["season"]) == (info.split, info.block, info.season)
        assert row["crs"] == str(info.geobox.crs) == "EPSG:32639"
        assert row["transform"] == list(info.geobox.affine)[:6]
        assert row["shape"] == list(SIZE)
    seasons = making.harvest_dates(making.LEGEND, 2022).values()
    harvest = [to_day(s[0].harvest_start) for s in seasons]
    planting = [to_day(s[0].planting) if s[0].planting else 0 for s in seasons]
    assert data.harvest.tolist() == [harvest] * 4
    assert data.planting.tolist() == [planting] * 4
    assert planting[0] == 0 < planting[1]


def test_chips_that_overlap_are_full_and_cover_the_cube(folders, tmp_path):
    cubes_dir, _ = folders
    build(cubes_dir, tmp_path, overlap=8)
    table = opened(tmp_path).chips["test"]
    # Every 8 pixels: the last rows 24 to 40, the last columns 8 to 24.
    found = sorted(zip(table.row.tolist(), table.col.tolist(), strict=True))
    assert found == [(row, col) for row in (0, 8, 16, 24) for col in (0, 8)]


def test_fields_without_ids_are_the_connected_parts_of_the_label(tmp_path):
    (path,) = making.make_cubes(tmp_path / "cubes", ("train",), size=CHIP, fields=False)
    expected = splits.connected_fields(cube_io.read_raw(path).label)
    build(tmp_path / "cubes", tmp_path / "data")
    found = opened(tmp_path / "data").source("train")[0]["fields"]
    assert expected.max() > 1
    np.testing.assert_array_equal(found, expected)


def test_statistics_by_hand(tmp_path):
    def write(name, split, column, vv, b2):
        made = making.make_cube(
            name, CHIP, split=split, tile=(making.TILE[0] + 8 * column, making.TILE[1]), seed=column
        )
        s1, s2 = np.full_like(made.s1, np.nan), np.full_like(made.s2, 0.5)
        s1[..., 0], s2[..., 0], s2[..., 7] = vv, b2, np.nan
        cube_io.write_cube(dataclasses.replace(made, s1=s1, s2=s2), tmp_path / "cubes")

    halves = np.repeat([1.0, 3.0], CHIP // 2)
    quarter = np.where(np.arange(CHIP) < CHIP // 2, np.nan, 0.4)
    write("a", "train", 0, vv=halves, b2=quarter)
    write("b", "train", 1, vv=-6.0, b2=0.1)
    write("c", "test", 2, vv=-20.0, b2=0.9)
    build(tmp_path / "cubes", tmp_path / "data")
    data = opened(tmp_path / "data")
    # VV over the training cubes: a quarter at 1, a quarter at 3, half at -6 dB. The mean is
    # (1 + 3 - 12) / 4 = -2, the variance (9 + 25 + 2 x 16) / 4 = 16.5.
    assert data.statistics["s1"]["VV"] == pytest.approx(
        {"mean": -2, "std": 16.5**0.5, "min": -6, "max": 3, "missing": 0}
    )
    # B2: a quarter missing, a quarter at 0.4, half at 0.1: the mean of what is there is 0.2, the
    # variance (0.04 + 2 x 0.01) / 3 = 0.02.
    assert data.statistics["s2"]["B2"] == pytest.approx(
        {"mean": 0.2, "std": 0.02**0.5, "min": 0.1, "max": 0.4, "missing": 0.25}
    )
    empty = {"mean": None, "std": None, "min": None, "max": None, "missing": 1}
    assert data.statistics["s1"]["VH"] == data.statistics["s2"]["B8A"] == empty
    # In the order of the channels, on which the numbers of the unseen bands rely.
    assert {s: tuple(bands) for s, bands in data.statistics.items()} == {
        s.name: s.bands for s in SENTINEL
    }
    assert data.unseen_bands == {"s1": [1], "s2": [7]}
    # Missing on average: (0 + 1) / 2, and (0.25 + 1) / 10.
    assert "s1: 50.0% missing in training cubes" in dataset.describe(data)
    assert "s2: 12.5% missing in training cubes" in dataset.describe(data)


def test_describe_tells_of_splits_and_classes_without_a_pixel(folders):
    data = opened(folders[1])
    assert "no labelled pixel" not in dataset.describe(data)
    chips = dict(data.chips)
    for split, lost in (("validation", slice(2, 3)), ("test", slice(None))):
        pixels = chips[split].pixels.copy()
        pixels[:, lost] = 0
        chips[split] = dataclasses.replace(chips[split], pixels=pixels)
    text = dataset.describe(dataclasses.replace(data, chips=chips))
    assert "note: validation has no labelled pixel of maize\n" in text
    assert "note: test has no labelled pixel: " in text and "train has no" not in text


def test_describe_counts_chips_and_pixels(folders):
    cubes_dir, data_dir = folders
    lines = dataset.describe(opened(data_dir)).splitlines()
    assert lines[0].split() == ["class", "train", "validation", "test"]
    assert lines[1].split() == ["chips", "12", "6", "6"]
    labels = [cube_io.read_raw(cubes_dir / name).label for name in ("train_0", "train_1")]
    maize = sum(int((label == 2).sum()) for label in labels)
    assert lines[4].split()[:2] == ["maize", f"{maize:,d}"]
    assert "4 cubes, periods of a month from 2021-12-01 to 2022-09-01" in lines[6]


def test_describe_notes_pixels_of_another_size(folders, tmp_path):
    assert "pixel size" not in dataset.describe(opened(folders[1]))
    cube_io.write_cube(coarse("a", 0), tmp_path / "cubes")
    build(tmp_path / "cubes", tmp_path / "data")
    data = opened(tmp_path / "data")
    assert data.pixel_m == 30
    assert "note: pixel size 30 m, not 10 m" in dataset.describe(data)


# Cubes that do not belong together.


def infos(*cubes: cube.Cube) -> list[cube.CubeInfo]:
    return [c.info for c in cubes]


def make(cube_id, column=0, **settings) -> cube.Cube:
    return making.make_cube(cube_id, 16, tile=(making.TILE[0] + column, making.TILE[1]), **settings)


def coarse(cube_id, column) -> cube.Cube:
    made = make(cube_id, column)
    a = made.info.geobox.affine
    geobox = GeoBox((16, 16), Affine(30, 0, a.c, 0, -30, a.f), made.info.geobox.crs)
    return dataclasses.replace(made, info=dataclasses.replace(made.info, geobox=geobox))


def rescaled(cube_id, column) -> cube.Cube:
    made = make(cube_id, column)
    s1, s2 = made.info.sensors
    both = (s1, dataclasses.replace(s2, scale=5000.0))
    return dataclasses.replace(made, info=dataclasses.replace(made.info, sensors=both))


def terrain_corrected(cube_id, column) -> cube.Cube:
    made = make(cube_id, column)
    source = {"options": {"s1": {"backscatter": "gamma0_rtc"}}}
    return dataclasses.replace(made, info=dataclasses.replace(made.info, source=source))


def from_earth_engine(cube_id) -> cube.Cube:
    made = make(cube_id)
    source = {"made_by": "cropmap_jax.sources.earthengine"}
    return dataclasses.replace(made, info=dataclasses.replace(made.info, source=source))


FAR = 8  # tiles: another block
OTHER_LEGEND = dataclasses.replace(making.LEGEND, name="other")


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (
            (make("a"), make("b", FAR, legend=OTHER_LEGEND)),
            r"cubes a and b: expected one legend, found 'making' \(wheat, .* and 'other' \(wheat",
        ),
        (
            (
                make("a"),
                make("b", FAR, periods=dekad_periods(dt.date(2022, 1, 1), dt.date(2022, 3, 1))),
            ),
            "cubes a and b: expected periods of one kind, found month and dekad",
        ),
        (
            (make("a"), coarse("b", FAR)),
            "cubes a and b: expected one pixel size, found 10 m and 30 m; build a dataset of each",
        ),
        (
            (from_earth_engine("a"), terrain_corrected("b", FAR)),
            "cubes a and b: expected radar backscatter of one kind, found sigma0 and gamma0_rtc, ",
        ),
        (
            (make("a"), rescaled("b", FAR)),
            "cubes a and b: expected the same sensors, found s2 .B2 .* as int16 x 10000, no "
            "data -32768. and s2 .B2 .* as int16 x 5000, no data -32768.$",
        ),
        # The same ground twice: 16 x 16 pixels of 100 m².
        (
            (make("a"), make("b")),
            "cubes a and b of season '2021-2022': expected no shared ground, found 25[56]..? m²",
        ),
        (
            (make("a", block="x"), make("b", 1, block="x", split="test")),
            "cubes a and b: one block x is in two splits, train and test",
        ),
        (
            (make("a"), make("b", FAR, split="dev")),
            "cube b: expected a split of train, validation, test, found dev",
        ),
    ],
    ids=["legends", "periods", "pixels", "backscatter", "sensors", "overlap", "block", "split"],
)
def test_cubes_that_do_not_belong_together_are_named(pair, message):
    with pytest.raises(ValueError, match=message):
        cube_set.check(infos(*pair))


def test_the_same_ground_in_another_season_is_welcome():
    later = tuple(
        dataclasses.replace(
            p, start=p.start.replace(year=p.start.year + 1), end=p.end.replace(year=p.end.year + 1)
        )
        for p in making.PERIODS
    )
    cube_set.check(infos(make("a"), make("b", periods=later)))
    cube_set.check(infos(make("a"), make("b", 1), make("c", FAR, split="test")))


def test_a_folder_without_cubes_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: expected cubes"):
        build(tmp_path / "empty", tmp_path / "data")
    assert not (tmp_path / "data").exists()


# Whole or not at all.


def nothing_is_taken_for_whole(data_dir, name="small"):
    with pytest.raises(ValueError, match=f"cubes/{name}: expected a dataset, found none; build"):
        opened(data_dir, name)
    return True


def same_records(a: dataset.Dataset, b: dataset.Dataset) -> bool:
    for split in a.chips:
        one, other = a.source(split), b.source(split)
        assert len(one) == len(other)
        for i in range(len(one)):
            assert one[i].keys() == other[i].keys()
            assert all(np.array_equal(one[i][k], other[i][k]) for k in one[i])
    return True


def test_a_damaged_raster_is_named_and_the_next_try_succeeds(copies, folders, tmp_path):
    cubes_dir, _ = copies
    file = cubes_dir / "validation_2" / "s2.tif"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match=f"{file}: damaged: expected checksum 1220.*, found 1220"):
        build(cubes_dir, tmp_path / "new")
    assert nothing_is_taken_for_whole(tmp_path / "new")
    file.unlink()
    with pytest.raises(ValueError, match=f"{file}: expected the cube's s2, found no file"):
        build(cubes_dir, tmp_path / "new")
    assert nothing_is_taken_for_whole(tmp_path / "new")
    file.write_bytes(whole)
    assert build(cubes_dir, tmp_path / "new")[1]
    assert same_records(opened(tmp_path / "new"), opened(folders[1]))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["cubes"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_after_a_crash_in_the_middle_nothing_remains_and_the_next_try_succeeds(
    folders, tmp_path, monkeypatch, error
):
    read, calls = cube_io.open_cube, []

    def crash(*args, **kwargs):
        calls.append(args)
        if len(calls) == 3:
            raise error("in the middle")
        return read(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(cube_io, "open_cube", crash)
        with pytest.raises(error, match="in the middle"):
            build(folders[0], tmp_path)
    assert nothing_is_taken_for_whole(tmp_path)
    assert build(folders[0], tmp_path)[1]
    assert same_records(opened(tmp_path), opened(folders[1]))


def test_what_a_killed_build_left_is_never_opened_and_is_cleared_away(copies):
    cubes_dir, data_dir = copies
    folder = data_dir / "cubes" / "small"
    # Everything is there but the renaming, which marks a dataset as whole.
    left = folder / "incomplete.ABCDEF_1.0.0"
    (folder / "1.0.0").rename(left)
    assert nothing_is_taken_for_whole(data_dir)
    assert build(cubes_dir, data_dir)[1]
    assert [p.name for p in folder.iterdir()] == ["1.0.0"]
    assert opened(data_dir).path == folder / "1.0.0"


def test_what_only_looks_like_a_killed_build_stays(copies):
    cubes_dir, data_dir = copies
    folder = data_dir / "cubes" / "small"
    for name in ("incomplete.photos", "incomplete.deep/cubes", ".1.0.0.7.part", ".x.7.part"):
        (folder / name).mkdir(parents=True)
        (folder / name / "mine.jpg").write_text("x")
    build(cubes_dir, data_dir, overwrite=True)
    names = sorted(p.name for p in folder.iterdir())
    assert names == [".1.0.0.7.part", ".x.7.part", "1.0.0", "incomplete.deep", "incomplete.photos"]


def test_the_old_dataset_comes_back_after_a_kill_between_two_renames(copies, folders):
    cubes_dir, data_dir = copies
    folder = data_dir / "cubes" / "small"
    shutil.copytree(folder / "1.0.0", folder / ".1.0.0.7.part")
    (folder / "1.0.0").rename(folder / ".1.0.0.7.old")
    _, new = build(cubes_dir, data_dir)
    assert not new
    assert [p.name for p in folder.iterdir()] == ["1.0.0"]
    assert same_records(opened(data_dir), opened(folders[1]))


def test_a_name_may_be_of_any_script(folders, tmp_path):
    name = "\u06af\u0646\u062f\u0645"  # wheat
    assert build(folders[0], tmp_path, name=name)[1]
    assert len(opened(tmp_path, name).source("train")) == 12


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", ["a file more", "another folder", "a file", "a link"])
def test_a_folder_that_is_not_of_build_stays(copies, overwrite, kind):
    cubes_dir, data_dir = copies
    final = data_dir / "cubes" / "small" / "1.0.0"
    name = "1.0.0"
    if kind == "a file more":
        (final / (name := "notes.txt")).write_text("mine")
    else:
        moved = final.rename(data_dir / "moved")
        if kind == "another folder":
            (final / (name := "photos")).mkdir(parents=True)
        elif kind == "a file":
            final.write_text("mine")
        else:
            final.symlink_to(moved)
    before = sorted(data_dir.rglob("*"))
    message = f"{final}: found {name}, which build did not write; expected another --name"
    with pytest.raises(ValueError, match=message) as caught:
        build(cubes_dir, data_dir, overwrite=overwrite)
    assert "overwrite" not in str(caught.value)
    assert sorted(data_dir.rglob("*")) == before


def test_a_damaged_dataset_of_build_is_named_and_overwritten(copies, folders):
    cubes_dir, data_dir = copies
    for file in ("dataset_info.json", "metadata.json", "features.json"):
        damaged = data_dir / "cubes" / "small" / "1.0.0" / file
        damaged.write_text("{")
        with pytest.raises(ValueError, match=f"{damaged}: expected .*, found .*--overwrite"):
            build(cubes_dir, data_dir)
        assert build(cubes_dir, data_dir, overwrite=True)[1]
        assert same_records(opened(data_dir), opened(folders[1]))


def test_records_cut_short_never_pass_for_built(copies):
    cubes_dir, data_dir = copies
    (file,) = (data_dir / "cubes" / "small" / "1.0.0").glob("*validation*")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"{file}: record . is damaged: .*--overwrite"):
        build(cubes_dir, data_dir)


def test_one_build_of_a_name_at_a_time(folders, tmp_path, monkeypatch):
    read, errors = cube_io.open_cube, []

    def another_build(*args, **kwargs):
        monkeypatch.setattr(cube_io, "open_cube", read)
        with pytest.raises(ValueError) as caught:
            build(folders[0], tmp_path / "data")
        errors.append(str(caught.value))
        assert build(folders[0], tmp_path / "data", name="other")[1]
        return read(*args, **kwargs)

    monkeypatch.setattr(cube_io, "open_cube", another_build)
    assert build(folders[0], tmp_path / "data")[1]
    assert f"dataset {tmp_path}/data/cubes/small: in use by " in errors[0]
    assert same_records(opened(tmp_path / "data"), opened(tmp_path / "data", "other"))


def test_a_dataset_that_cannot_be_opened_never_gets_its_name(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(cube_set, "FORMAT", 2)
    for _ in range(2):
        with pytest.raises(ValueError, match="expected format 1, found 2"):
            build(folders[0], tmp_path / "data")
        assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("where", ["records", "metadata"])
def test_a_full_disk_is_one_line_and_nothing_stays(copies, tmp_path, monkeypatch, where):
    cubes_dir, data_dir = copies

    class Full(shard_tasks.array_record_module.ArrayRecordWriter):
        def close(self):
            raise RuntimeError("write() failed: No space left on device; writing x; at byte 3")

    def write_to_directory(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if where == "records":
        monkeypatch.setattr(shard_tasks.array_record_module, "ArrayRecordWriter", Full)
    else:
        target = cube_builder.tfds.core.DatasetInfo
        monkeypatch.setattr(target, "write_to_directory", write_to_directory)
    final = tmp_path / "new" / "cubes" / "small" / "1.0.0"
    message = f"{final}: could not be written \\(No space left on device\\); nothing was kept; free"
    with pytest.raises(OSError, match=message) as caught:
        build(cubes_dir, tmp_path / "new")
    assert caught.value.errno == errno.ENOSPC
    assert not (tmp_path / "new").exists()
    # One that is there already stays.
    with pytest.raises(OSError, match="No space left on device"):
        build(cubes_dir, data_dir, overwrite=True)
    assert [p.name for p in (data_dir / "cubes" / "small").iterdir()] == ["1.0.0"]
    assert len(opened(data_dir).source("train")) == 12


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\n", ".hidden", "x" * 101])
def test_a_name_that_leads_elsewhere_is_refused(folders, tmp_path, name):
    with pytest.raises(ValueError, match="--name: expected letters, digits, "):
        build(folders[0], tmp_path / "data", name=name)
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_and_its_cubes_lie_apart(copies, tmp_path):
    cubes_dir, _ = copies
    for data_dir, relation in (
        (cubes_dir, "is"),
        (cubes_dir / "data", "lies in"),
        # <data_dir>/cubes/<name> would lie among the cubes.
        (tmp_path, "holds"),
    ):
        with pytest.raises(ValueError, match=f"--data_dir {data_dir}: {relation} --cubes"):
            build(cubes_dir, data_dir, name="test_3")
    assert len(cube_io.list_cubes(cubes_dir)) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cubes", "data"]


@pytest.mark.parametrize("url", ["gs://bucket/x", "s3://bucket/x", "http://host/x", "/vsimem/x"])
def test_urls_are_no_folders(folders, tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"--data_dir '{url}': expected a path on this machine"):
        build(folders[0], url)
    with pytest.raises(ValueError, match=f"--cubes '{url}': expected a path on this machine"):
        build(url, tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_lost_a_file_is_refused_with_its_name(copies):
    _, data_dir = copies
    (file,) = (data_dir / "cubes" / "small" / "1.0.0").glob("*validation*")
    file.unlink()
    with pytest.raises(ValueError, match=f"{file}: expected a file of the dataset, .*--overwrite"):
        opened(data_dir)


def test_a_dataset_of_another_format_is_refused(copies):
    _, data_dir = copies
    file = data_dir / "cubes" / "small" / "1.0.0" / "metadata.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 0}))
    with pytest.raises(ValueError, match=r"1.0.0: expected format 1, found 0; build it again"):
        opened(data_dir)


def test_the_newest_version_is_opened(copies):
    _, data_dir = copies
    folder = data_dir / "cubes" / "small"
    for version in ("1.9.0", "1.10.0"):
        shutil.copytree(folder / "1.0.0", folder / version)
        info = folder / version / "dataset_info.json"
        info.write_text(info.read_text().replace("1.0.0", version))
    assert opened(data_dir).path.name == "1.10.0"


# The same name twice.


def test_the_same_cubes_are_built_once(folders):
    cubes_dir, data_dir = folders
    (file,) = (data_dir / "cubes" / "small" / "1.0.0").glob("*train*")
    before = file.stat().st_mtime_ns
    builder, new = build(cubes_dir, data_dir)
    assert not new
    assert file.stat().st_mtime_ns == before
    assert builder.info.splits["train"].num_examples == 12


def change(cubes_dir):
    info = cube_io.read_info(cubes_dir / "test_3")
    value = cube_io.read_cube(info.path)
    label = np.where(value.label == 0, IGNORE, value.label).astype(np.uint8)
    cube_io.write_cube(dataclasses.replace(value, label=label), cubes_dir, overwrite=True)


def test_changed_cubes_or_another_cut_need_another_name_or_overwrite(copies):
    cubes_dir, data_dir = copies
    message = "1.0.0: found a dataset built from other cubes or settings; .*--name, or --overwrite"
    with pytest.raises(ValueError, match=message):
        build(cubes_dir, data_dir, chip=8)
    with pytest.raises(ValueError, match=message):
        build(cubes_dir, data_dir, overlap=4)
    change(cubes_dir)
    with pytest.raises(ValueError, match=message):
        build(cubes_dir, data_dir)
    assert opened(data_dir).chips["test"].pixels[:, 0].sum() > 0
    assert build(cubes_dir, data_dir, name="changed")[1]
    assert opened(data_dir, "changed").chips["test"].pixels[:, 0].sum() == 0
    assert build(cubes_dir, data_dir, overwrite=True)[1]
    assert opened(data_dir).chips["test"].pixels[:, 0].sum() == 0
    assert same_records(opened(data_dir), opened(data_dir, "changed"))
    assert not build(cubes_dir, data_dir)[1]
    assert [p.name for p in (data_dir / "cubes" / "small").iterdir()] == ["1.0.0"]


def test_an_overwrite_that_fails_leaves_the_old_dataset(copies, folders):
    cubes_dir, data_dir = copies
    (cubes_dir / "test_3" / "s1.tif").unlink()
    with pytest.raises(ValueError, match="s1.tif: expected the cube's s1, found no file"):
        build(cubes_dir, data_dir, overwrite=True)
    assert same_records(opened(data_dir), opened(folders[1]))
    assert [p.name for p in (data_dir / "cubes" / "small").iterdir()] == ["1.0.0"]


def test_cubes_of_different_lengths_make_batches_together(tmp_path):
    for i, count in enumerate((4, 9)):
        made = make(f"cube{i}", FAR * i, seed=i, periods=making.PERIODS[-count:])
        cube_io.write_cube(made, tmp_path / "cubes")
    build(tmp_path / "cubes", tmp_path / "data")
    data = opened(tmp_path / "data")
    assert [len(data.periods(i)) for i in (0, 1)] == [4, 9]
    config = SamplingConfig(num_periods=6, augment=False, as_of=(to_day(LAST_END),) * 2)
    (batch,) = input_pipeline.training_input(data, config, 2, 1, 0).batches
    assert batch["pixels"]["s2"].shape == (2, 6, 16, 16, 10)
    # The longer cube has all six periods; of the shorter one, two are from before it begins.
    missing = (batch["pixels"]["s1"] == -32768).all((2, 3, 4)) & (
        batch["pixels"]["s2"] == -32768
    ).all((2, 3, 4))
    assert sorted(missing.tolist()) == [[False] * 6, [True, True, *[False] * 4]]


def test_calendars_reach_places_without_one(tmp_path):
    # Two provinces have dates for wheat, 1 July and 11 July; the third gets the median, 6 July.
    dates = {"a": dt.date(2022, 7, 1), "b": dt.date(2022, 7, 11), "c": None}
    for i, (name, date) in enumerate(dates.items()):
        made = make(name, FAR * i, seed=i)
        season = {"wheat": (calendars.Season(date),)} if date else {}
        info = dataclasses.replace(made.info, province=f"province {name}", harvest=season)
        cube_io.write_cube(dataclasses.replace(made, info=info), tmp_path / "cubes")
    build(tmp_path / "cubes", tmp_path / "data")
    harvest = opened(tmp_path / "data").harvest
    expected = [to_day(dt.date(2022, 7, d)) for d in (1, 11, 6)]
    assert harvest.tolist() == [[day, 0, 0] for day in expected]


def test_a_dataset_records_the_backscatter_of_its_radar(tmp_path):
    cube_io.write_cube(terrain_corrected("a", 0), tmp_path / "cubes")
    cube_io.write_cube(make("b", FAR), tmp_path / "cubes")  # nothing is known of it
    builder, _ = build(tmp_path / "cubes", tmp_path / "data")
    data = dataset.open_folder(pathlib.Path(builder.data_path))
    assert data.backscatter == "gamma0_rtc"
    assert "radar backscatter: gamma0_rtc" in dataset.describe(data)
