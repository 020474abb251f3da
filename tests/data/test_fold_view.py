"""One dataset, a view per fold: labels are never shared, tables count what a view shows."""

import dataclasses
import importlib
import json
import pathlib
import shutil
import sys

import making
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cropmap_jax.data import cube_builder, dataset, dataset_files
from cropmap_jax.geo import cube_io
from cropmap_jax.geo.folds import Rule
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.inference.dataset_source import DatasetSource
from cropmap_jax.inference.tiling import Box

CHIP = 16
SIZE = (40, 24)
RULES = (Rule(2, "field"), Rule(4, "field"), Rule(3, "block"), Rule(2, "checkerboard", 5),
         Rule(4, "checkerboard", 7))  # fmt: skip

sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))


def build(cubes_dir, data_dir, rule, name="small", kind="cubes", **more):
    builder = importlib.import_module(f"{kind}.{kind}_dataset_builder").Builder
    more = {"chip": CHIP} | more
    return cube_builder.build(builder, name, cubes_dir, data_dir, folds=rule, **more)


def name_of(rule, overlap):
    return f"{rule.by}-{rule.count}-{overlap}"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """(cubes, datasets): three cubes, one of them without fields, by every rule."""
    root = tmp_path_factory.mktemp("folds")
    making.make_cubes(root / "cubes", size=SIZE)
    one = making.make_cube("bare", SIZE, tile=(500, 3000), seed=9, fields=False)
    cube_io.write_cube(one, root / "cubes")
    for rule in RULES:
        for overlap in (0, 6):
            name = name_of(rule, overlap)
            _, new = build(root / "cubes", root / "data", rule, name, overlap=overlap)
            assert new
    return root / "cubes", root / "data"


def views(data_dir, rule, overlap):
    name = f"cubes/{name_of(rule, overlap)}"
    return [dataset.open_dataset(data_dir, name, fold) for fold in range(rule.count)]


def stacked(data, split, what):
    """What every chip of a split shows, put into whole cubes; chips that overlap must agree."""
    source, table = data.source(split), data.split(split)
    nothing = IGNORE if what == "label" else 0
    out = [np.full([n + CHIP for n in cube["shape"]], -1, np.int64) for cube in data.cubes]
    for i, (cube, row, col) in enumerate(table.places.tolist()):
        here = out[cube][row : row + CHIP, col : col + CHIP]
        shown = getattr(source, what)(i)
        assert ((here == -1) | (here == shown)).all()
        here[...] = shown
    return [np.where(one == -1, nothing, one)[:h, :w] for one, (h, w) in zip(
        out, (cube["shape"] for cube in data.cubes), strict=True)]  # fmt: skip


@pytest.mark.parametrize("overlap", [0, 6])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_no_pixel_and_no_field_is_in_two_splits_and_folds_make_the_whole(folders, rule, overlap):
    cubes_dir, data_dir = folders
    tested = []
    for fold, data in enumerate(views(data_dir, rule, overlap)):
        expected = ["train", "test"] if rule.count == 2 else ["train", "validation", "test"]
        assert list(data.chips) == expected and data.fold == fold
        labels = {split: stacked(data, split, "label") for split in data.chips}
        fields = {split: stacked(data, split, "fields") for split in data.chips}
        for cube in range(len(data.cubes)):
            known = [labels[split][cube] != IGNORE for split in data.chips]
            assert np.sum(known, 0).max() <= 1
            ids = [set(np.unique(fields[split][cube])) - {0} for split in data.chips]
            assert sum(map(len, ids)) == len(set().union(*ids))
            for split in data.chips:
                assert (fields[split][cube][labels[split][cube] == IGNORE] == 0).all()
        tested.append(labels["test"])
        assert all(data.split(split).annotated.sum() for split in data.chips)
    # Every annotated pixel is tested once, but remainders of fields that cross squares.
    for cube, info in enumerate(cube_io.list_cubes(cubes_dir)):
        raw = cube_io.read_raw(info.path)
        each = np.stack([labels[cube] for labels in tested])
        assert ((each == IGNORE) | (each == raw.label)).all()
        lost = ((each == IGNORE).all(0) & (raw.label != IGNORE)).sum()
        crossing = rule.by == "checkerboard" and info.has_fields
        assert (each != IGNORE).sum(0).max() == 1 and (lost > 0) == crossing


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_tables_count_what_a_view_shows(folders, rule):
    for data in views(folders[1], rule, 6):
        for split, table in data.chips.items():
            source = data.source(split)
            assert len(source) == len(table)
            for i in range(len(table)):
                label, record = source.label(i), source[i]
                counts = np.bincount(label.ravel(), minlength=256)
                classes = [*range(len(data.legend)), NONE_OF_THESE]
                assert table.pixels[i].tolist() == counts[classes].tolist()
                np.testing.assert_array_equal(record["label"], label)
                np.testing.assert_array_equal(record["fields"], source.fields(i))
                place = [record[key] for key in ("cube_index", "row", "col")]
                assert place == table.places[i].tolist()
            # Whole cubes, so that each may be predicted as one.
            places = [tuple(place) for place in table.places.tolist()]
            every = [tuple(place) for place in data.chips["train"].places.tolist()]
            assert places == [p for p in every if p[0] in set(table.cube.tolist())]


def test_pixels_are_shared_and_windows_are_masked(folders):
    rule = RULES[1]
    first, second = views(folders[1], rule, 0)[:2]
    shape = (2, CHIP, CHIP)
    for data in (first, second):
        source, table = data.source("test"), data.split("test")
        for i in np.flatnonzero(table.annotated)[:3]:
            pixels = {s.name: np.empty((*shape, len(s.bands)), s.dtype) for s in data.sensors}
            label = np.empty(shape[1:], np.uint8)
            source.read_window(int(i), np.array([3, 4]), pixels, label)
            record = source[int(i)]
            np.testing.assert_array_equal(label, record["label"])
            for name, values in pixels.items():
                np.testing.assert_array_equal(values, record[name][3:5])
    with pytest.raises(IndexError, match="found 99"):
        first.source("test")[99]


def test_a_gather_is_handed_on_with_the_numbers_of_the_whole(folders):
    data = views(folders[1], RULES[2], 0)[0]
    source = data.source("test")
    asked = []
    source._whole = type("Whole", (), {"gather": lambda self, *given: asked.append(given)})()
    source.gather(np.array([1, 0]), "rows", "cols")
    every = data.chips["train"].places.tolist()
    places = [every[i] for i in asked[0][0]]
    assert places == data.split("test").places[[1, 0]].tolist() and asked[0][1:] == ("rows", "cols")


def test_a_cube_is_put_together_from_the_labels_of_one_split(folders):
    data = views(folders[1], RULES[0], 6)[0]
    for split in data.chips:
        source = DatasetSource(data, split)
        for cube in np.unique(data.split(split).cube):
            np.testing.assert_array_equal(
                source.label(cube), stacked(data, split, "label")[cube].astype(np.uint8)
            )
            np.testing.assert_array_equal(source.fields(cube), stacked(data, split, "fields")[cube])
    # Pixels of a cube are there whether it is tested or not.
    one = data.cubes[0]
    box = Box(0, 0, *one["shape"])
    read = source.read(one["id"], np.array([4]), box, data.sensors)
    raw = cube_io.read_raw(folders[0] / one["id"])
    for name, values in read.items():
        np.testing.assert_array_equal(values, raw.pixels[name][4:5])


def test_ground_says_which_folds_a_split_holds(folders):
    data = views(folders[1], RULES[2], 0)[2]
    rows = [row for row in data.ground if row["split"] == "test"]
    assert {tuple(row["folds"]["numbers"]) for row in rows} == {(2,)}
    assert {row["id"] for row in rows} == {
        data.cubes[i]["id"] for i in np.unique(data.split("test").cube)
    }
    train = [row["folds"]["numbers"] for row in data.ground if row["split"] == "train"]
    assert train and all(numbers == [1] for numbers in train)
    # The same division under another cut, another division under the same.
    other = views(folders[1], RULES[2], 6)[0]
    assert other.folds.digest == data.folds.digest != views(folders[1], RULES[0], 0)[0].folds.digest
    assert other.fingerprint != data.fingerprint


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(RULES), st.integers(0, 9), st.integers(0, 10**4), st.integers(17, 40))
def test_any_cubes_any_cut(tmp_path_factory, rule, overlap, seed, side):
    root = tmp_path_factory.mktemp("any")
    making.make_cubes(root / "cubes", ("train", "train", "test"), size=side, seed=seed % 1000)
    build(root / "cubes", root / "data", rule, overlap=overlap)
    for fold in range(rule.count):
        data = dataset.open_dataset(root / "data", "cubes/small", fold)
        labels = {split: stacked(data, split, "label") for split in data.chips}
        fields = {split: stacked(data, split, "fields") for split in data.chips}
        for cube in range(3):
            assert np.sum([one[cube] != IGNORE for one in labels.values()], 0).max() <= 1
            ids = [set(np.unique(one[cube])) - {0} for one in fields.values()]
            assert sum(map(len, ids)) == len(set().union(*ids))


# What is wrong.


def test_a_fold_must_be_named_and_exist(folders, tmp_path):
    cubes_dir, data_dir = folders
    with pytest.raises(
        ValueError, match=r"field-2-0/1.0.0: expected a fold, 0 to 1 .*found none; python -m"
    ):
        dataset.open_dataset(data_dir, "cubes/field-2-0")
    for fold in (2, -1, True):
        with pytest.raises(ValueError, match=f"expected fold 0 to 1 .*found {fold}"):
            dataset.open_dataset(data_dir, "cubes/field-2-0", fold)
    build(cubes_dir, tmp_path, None)
    with pytest.raises(ValueError, match="small/1.0.0: expected no fold, .*found fold 0"):
        dataset.open_dataset(tmp_path, "cubes/small", 0)
    assert "folds" not in json.loads(
        (tmp_path / "cubes/small/1.0.0" / dataset_files.METADATA).read_text()
    )


def test_another_rule_is_another_dataset(folders):
    cubes_dir, data_dir = folders
    _, new = build(cubes_dir, data_dir, RULES[0], name_of(RULES[0], 0))
    assert not new
    for rule in (None, Rule(3, "field")):
        with pytest.raises(ValueError, match="built from other cubes or settings"):
            build(cubes_dir, data_dir, rule, name_of(RULES[0], 0))


def test_a_map_of_the_land_has_no_fields_to_divide_by(tmp_path):
    from cropmap_jax.geo import legend

    making.make_cubes(tmp_path / "cubes", legend=legend.EUCROPMAP, fields=False, size=(48, 40))
    with pytest.raises(ValueError, match="--by field: expected cubes with fields, found none"):
        build(tmp_path / "cubes", tmp_path / "data", Rule(2, "field"), kind="eucropmap")
    assert not (tmp_path / "data").exists()
    rule = Rule(2, "checkerboard", 8)
    build(tmp_path / "cubes", tmp_path / "data", rule, kind="eucropmap")
    data = dataset.open_dataset(tmp_path / "data", "eucropmap/small", 1)
    assert all((one == 0).all() for one in stacked(data, "test", "fields"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folds: folds.update(count=1), "folds/count: expected 2 to 100"),
        (lambda folds: folds.update(count=3), "folds/pixels: expected 3 x"),
        (lambda folds: folds.update(side=4), "--side: expected none with --by field, found 4"),
        (lambda folds: folds.update(maps=folds["maps"][1:]), "folds/maps: expected 4, one of each"),
        (lambda folds: folds["pixels"][0][0].__setitem__(0, 999), "pixels of chip 0 in all folds"),
        (lambda folds: folds["pixels"].pop(), "folds/pixels: expected 2 x"),
        (lambda folds: folds["maps"].__setitem__(0, folds["maps"][1]), "damaged: expected SHA-256"),
    ],
)
def test_folds_that_were_edited_are_refused(folders, tmp_path, change, says):
    shutil.copytree(folders[1] / "cubes" / "field-2-0", tmp_path / "cubes" / "edited")
    file = tmp_path / "cubes/edited/1.0.0" / dataset_files.METADATA
    meta = json.loads(file.read_text())
    change(meta["folds"])
    file.write_text(json.dumps(meta))
    with pytest.raises(ValueError, match="metadata.json") as raised:
        dataset.open_dataset(tmp_path, "cubes/edited", 0)
    assert says in str(raised.value) and "\n" not in str(raised.value)


def test_the_description_lists_folds(folders):
    data = dataset.open_folder(dataset.newest(folders[1], "cubes/block-3-0"))
    lines = dataset.describe(data).splitlines()
    assert lines[0].split() == ["class", "fold", "0", "fold", "1", "fold", "2"]
    total = sum(int(n.replace(",", "")) for line in lines[2:6] for n in line[26:].split())
    assert total == data.chips["train"].annotated.sum()
    assert dataclasses.replace(data).folds is data.folds
