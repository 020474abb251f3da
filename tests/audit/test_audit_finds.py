"""Each planted fault is found, and nothing is found where there is none."""

import dataclasses
import importlib
import pathlib
import sys

import making
import numpy as np
import planted
import pytest

from cropmap_jax.audit import opening, run
from cropmap_jax.data import cube_builder, dataset
from cropmap_jax.geo import cube, cube_io
from cropmap_jax.geo.folds import Rule
from cropmap_jax.geo.legend import IGNORE

sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))


def audit_of(folder, **settings):
    return run.audit(opening.of_cubes(folder), **settings)


def built(cubes_dir, data_dir, **settings):
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    made, _ = cube_builder.build(builder, "small", cubes_dir, data_dir, **settings)
    return dataset.open_folder(pathlib.Path(made.data_path))


def of_severity(found, severity):
    return [(one.check, one.what) for one in found.findings if one.severity == severity]


def only_error(found, check):
    ((name, what),) = of_severity(found, "error")
    assert name == check
    return what


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder of six clean cubes, the cubes)."""
    folder = tmp_path_factory.mktemp("clean")
    return folder, planted.clean(folder)


@pytest.fixture
def cubes(made, tmp_path):
    """A folder of links to clean cubes, to which a test adds its fault."""
    for path in made[0].iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def test_nothing_is_found_in_clean_cubes(made):
    found = audit_of(made[0])
    assert of_severity(found, "error") == of_severity(found, "warning") == []
    assert found.dates.score == found.dates.place  # the same windows everywhere


@pytest.mark.parametrize("chip, overlap", [(16, 0), (32, 16), (48, 0)])
def test_a_dataset_is_audited_as_its_cubes_are(made, tmp_path, chip, overlap):
    found = run.audit(opening.of_dataset(built(made[0], tmp_path, chip=chip, overlap=overlap)))
    expected = audit_of(made[0])
    assert of_severity(found, "error") == of_severity(found, "warning") == []
    assert np.array_equal(found.balance.pixels, expected.balance.pixels)
    assert np.array_equal(found.balance.fields, expected.balance.fields)
    assert found.missing == expected.missing


@pytest.mark.parametrize("by, side", [("field", 0), ("block", 0)])
def test_folds_by_field_and_by_block_are_clean(made, tmp_path, by, side):
    data = built(made[0], tmp_path, chip=32, folds=Rule(3, by, side))
    found = run.audit(opening.of_dataset(data))
    assert of_severity(found, "error") == of_severity(found, "warning") == []
    assert found.balance.parts == ("fold 0", "fold 1", "fold 2")


def test_a_checkerboard_cuts_fields_that_have_no_ids(tmp_path):
    one = making.make_cube("one", 64, fields=False, missing=False)
    cube_io.write_cube(one, tmp_path / "cubes")
    data = built(tmp_path / "cubes", tmp_path / "data", folds=Rule(2, "checkerboard", 20))
    found = run.audit(opening.of_dataset(data))
    ((_, what),) = of_severity(found, "warning")
    assert "touch a piece in another fold" in what and not found.count("error")


# Ground --------------------------------------------------------------------------------------


def test_overlapping_cubes_of_two_splits(cubes):
    whole = making.make_cube("whole", (64, 96), tile=(800, 3000), seed=7)
    rows = slice(0, 64)
    one = planted.part(whole, "one", "train", rows, slice(0, 56))
    two = planted.part(whole, "two", "test", rows, slice(40, 96))
    for part in (one, two):
        cube_io.write_cube(part, cubes)
    found = audit_of(cubes)
    shared = np.count_nonzero(whole.label[:, 40:56] != IGNORE)
    what = only_error(found, "ground")
    assert f"{shared:,d} annotated pixels" in what
    assert "one (train) and two (test)" in what
    assert set(found.findings[0].cubes) == {"one", "two"}


def test_a_reprojected_copy_on_its_ground(made, cubes):
    copy = planted.reprojected(made[1][0], "copy", "test", 32638, season="2021/22")
    cube_io.write_cube(copy, cubes)
    what = only_error(audit_of(cubes), "ground")
    assert "train_0 (train)" in what and "copy (test)" in what
    # `build` looks for shared ground within a season, so another name of it gets past.
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    data, _ = cube_builder.build(builder, "small", cubes, cubes.parent / f"{cubes.name}-data")
    found = run.audit(opening.of_dataset(dataset.open_folder(pathlib.Path(data.data_path))))
    assert only_error(found, "ground") == what


def test_ground_of_another_year_in_another_split_is_a_warning(made, cubes):
    one = made[1][0]
    year = making.month_periods(*(p.start.replace(year=p.start.year + 2) for p in
                                  (one.info.periods[0], one.info.periods[-1])))  # fmt: skip
    again = making.make_cube("again", 64, periods=year, split="test", block="other", seed=11)
    cube_io.write_cube(again, cubes)
    found = audit_of(cubes)
    assert not found.count("error")
    assert "in other seasons: again (test) and train_0 (train)" in str(
        of_severity(found, "warning")
    )


def test_ground_twice_in_one_split_with_other_labels(made, cubes):
    one = made[1][0]
    label = np.where(one.label < 3, (one.label + 1) % 3, one.label).astype(np.uint8)
    info = dataclasses.replace(one.info, cube_id="twice", season="second")
    cube_io.write_cube(cube.Cube(info, one.pixels, label, one.fields), cubes)
    found = audit_of(cubes)
    wrong, known = np.count_nonzero(one.label < 3), np.count_nonzero(one.label != IGNORE)
    ((check, what),) = of_severity(found, "warning")
    assert check == "ground" and not found.count("error")
    assert f"{known:,d} pixels are annotated in two cubes" in what
    assert f"{wrong:,d} of them as different things" in what


# Fields --------------------------------------------------------------------------------------


@pytest.fixture
def halves():
    """Cuts a cube in two at column 28, through half of its fields; gives the second other ids."""
    whole = making.make_cube("whole", (64, 64), tile=(800, 3000), seed=7)

    def cut(ids, fields=True):
        left = planted.part(whole, "left", "train", slice(0, 64), slice(0, 28))
        right = planted.part(whole, "right", "test", slice(0, 64), slice(28, 64))
        info = [dataclasses.replace(half.info, has_fields=fields) for half in (left, right)]
        other = np.where(right.fields > 0, right.fields + ids, 0).astype(np.uint32)
        return (
            cube.Cube(info[0], left.pixels, left.label, left.fields if fields else None),
            cube.Cube(info[1], right.pixels, right.label, other if fields else None),
        )

    cut.count = len(np.unique(whole.fields[:, 28][whole.fields[:, 28] > 0]))
    return cut


@pytest.mark.parametrize("ids, words", [(0, "cut by the edge"), (100_000, "under two ids")])
def test_a_field_in_two_splits(cubes, halves, ids, words):
    for half in halves(ids):
        cube_io.write_cube(half, cubes)
    found = audit_of(cubes)
    what = only_error(found, "ground")
    assert words in what and "left (train) and right (test)" in what
    assert found.findings[0].figures["fields"] == halves.count


def test_two_fields_that_touch_are_not_one(cubes, halves):
    left, right = halves(100_000)
    # A crop that was sown early: four deviations of a pixel in all images.
    s2 = right.pixels["s2"] + 4 * making.S2_NOISE
    right = cube.Cube(right.info, {**right.pixels, "s2": s2}, right.label, right.fields)
    for half in (left, right):
        cube_io.write_cube(half, cubes)
    found = audit_of(cubes)
    assert not found.count("error")
    assert "touch across two splits" in str(of_severity(found, "note"))


def test_connected_ground_in_two_splits_is_a_warning(cubes, halves):
    for half in halves(0, fields=False):
        cube_io.write_cube(half, cubes)
    found = audit_of(cubes)
    assert not found.count("error")
    assert "connected ground of one class" in str(of_severity(found, "warning"))


# Copies --------------------------------------------------------------------------------------


def test_a_duplicated_cube_elsewhere(made, cubes):
    cube_io.write_cube(planted.changed(made[1][1], "copy", "test", (40_000, 250)), cubes)
    what = only_error(audit_of(cubes), "copies")
    assert "the very same pixel values" in what and "copy (test) and train_1 (train)" in what


def test_a_part_of_a_cube_elsewhere_in_a_built_dataset(made, cubes, tmp_path_factory):
    # 40 pixels of it, which begin anywhere.
    some = planted.part(made[1][1], "some", "validation", slice(7, 47), slice(13, 53))
    some = planted.changed(some, "some", "validation", (30_000, 0))
    cube_io.write_cube(some, cubes)
    data = built(cubes, tmp_path_factory.mktemp("data"), chip=32)
    what = only_error(run.audit(opening.of_dataset(data)), "copies")
    assert "some (validation) and train_1 (train)" in what


def test_a_duplicated_cube_in_one_split_counts_twice(made, cubes):
    cube_io.write_cube(planted.changed(made[1][1], "copy", "train", (40_000, 0)), cubes)
    found = audit_of(cubes)
    ((check, what),) = of_severity(found, "warning")
    assert check == "copies" and "in one split" in what and not found.count("error")


@pytest.mark.parametrize("number", range(3))
def test_a_reprojected_copy_elsewhere(made, cubes, number):
    copy = planted.reprojected(made[1][number], "copy", "test", 32638, (50_000, 20_000))
    cube_io.write_cube(copy, cubes)
    what = only_error(audit_of(cubes), "copies")
    assert "the same images, resampled" in what and f"train_{number} (train)" in what


# Dates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("one_date, of", [(True, "windows"), (False, "cubes")])
def test_windows_that_give_the_crop_away(tmp_path, one_date, of):
    planted.windows_of_the_crop(tmp_path, one_date)
    found = audit_of(tmp_path)
    assert f"the dates of {of} give the crop away" in only_error(found, "dates")
    assert found.dates.score > 0.9 and found.dates.place < 0.6 and found.dates.of == of


def test_places_with_calendars_of_their_own_are_no_leak(tmp_path):
    # Of one province crops are one and dates another: the dates say which place it is, no more.
    for i in range(12):
        tile = (making.TILE[0] + 8 * i, making.TILE[1])
        province = "north" if i % 2 else "south"
        one = making.make_cube(
            f"cube_{i:02d}", 32, tile=tile, seed=i, split=planted.SPLITS[i % 6], province=province
        )
        dates = planted.later(one, 93 * (i % 2))
        label = np.where(one.label == i % 2, np.uint8(IGNORE), one.label)
        info = dataclasses.replace(one.info, harvest=dates)
        cube_io.write_cube(cube.Cube(info, one.pixels, label, one.fields), tmp_path)
    found = audit_of(tmp_path)
    assert not found.count("error") and found.dates.score > 0.5
    assert found.dates.score == pytest.approx(found.dates.place)


@pytest.mark.parametrize(
    "days, severity, words",
    [
        (-290, "warning", "harvest before planting"),
        (-200, "warning", "no image 30 days before harvest"),
        (300, "note", "more than 400 days"),
        (120, "warning", "images that end more than 62 days before"),
    ],
)
def test_calendars_that_cannot_be(made, days, severity, words):
    material = opening.of_cubes(made[0])
    material = dataclasses.replace(material, harvest=material.harvest + days)
    found = run.dates.check_calendars(material, 6, 30)
    assert any(words in one.what for one in found if one.severity == severity)
    assert not any(words in one.what for one in run.dates.check_calendars(
        opening.of_cubes(made[0]), 6, 30))  # fmt: skip


# Missing values and balance ------------------------------------------------------------------


def test_gaps_that_give_a_class_away(tmp_path):
    for i, one in enumerate(planted.clean(tmp_path, missing=False)):
        if i < 6:
            s2 = one.pixels["s2"].copy()
            # A mask of water that takes wheat for water in one period.
            s2[3][one.label == 0] = np.nan
            cube_io.write_cube(
                cube.Cube(one.info, {**one.pixels, "s2": s2}, one.label, one.fields), tmp_path, True
            )
    found = audit_of(tmp_path)
    warnings = of_severity(found, "warning")
    assert not found.count("error") and {check for check, _ in warnings} == {"missing"}
    assert any("wheat lacks Sentinel-2" in what and "2022-03-01" in what for _, what in warnings)
    assert found.missing["s2"]["wheat"]["2022-03"] == 1


def test_a_class_that_a_split_lacks(made, tmp_path):
    for one in made[1]:
        label = one.label.copy()
        if one.info.split == "test":
            label[label == 2] = IGNORE
        cube_io.write_cube(cube.Cube(one.info, one.pixels, label, one.fields), tmp_path)
    found = audit_of(tmp_path)
    assert of_severity(found, "warning") == [
        ("balance", "test has no annotated pixel of maize, which other splits have")
    ]
