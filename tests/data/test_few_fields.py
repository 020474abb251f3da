"""Few fields: nested, drawn by block, the same everywhere; what is not known is never seen."""

import dataclasses
import importlib
import pathlib
import sys

import making
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training import small_data
from training.small_data import LEGEND, Ground

from cropmap_jax.baselines import drawing, keeping
from cropmap_jax.data import cube_builder, dataset, few_fields, pixel_index
from cropmap_jax.geo.folds import Rule
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, WEAK_NONE
from cropmap_jax.training import losses, train_config

sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))
NAMES = (*LEGEND.names, "none of these")
LABELS = (0, 1, 2, NONE_OF_THESE)


def patchwork(rng, split):
    """A cube of 4 x 4 plots of 4 pixels: fields of all classes, some ground without an id, weak and
    unknown ground."""
    plots = rng.choice([*LABELS, IGNORE, WEAK_NONE], (4, 4), p=[0.2, 0.2, 0.1, 0.2, 0.2, 0.1])
    ids = rng.permutation(16).reshape(4, 4) + 1
    ids[rng.random((4, 4)) < 0.1] = 0
    label = np.kron(plots, np.ones((4, 4))).astype(np.uint8)
    fields = np.kron(ids, np.ones((4, 4))).astype(np.uint32)
    fields[(label == IGNORE) | (label == WEAK_NONE)] = 0
    return Ground(split, label, fields)


def world(seed, overlap=0):
    """Cubes of three splits; two each in a block, far apart."""
    rng = np.random.default_rng(seed)
    parts = ("train",) * 6 + ("validation",) * 4 + ("test",) * 2
    data = small_data.make_dataset([patchwork(rng, split) for split in parts], 8, overlap)
    cubes = [row | {"block": f"block{i // 2}"} for i, row in enumerate(data.cubes)]
    return dataclasses.replace(data, cubes=cubes)


def shown(data, split):
    """{(cube, row, col): (label, field)} of all that a split says is known."""
    table, source, found = data.split(split), data.source(split), {}
    for i, (cube, row, col) in enumerate(table.places.tolist()):
        label, fields = source.label(i), source.fields(i)
        assert (fields[label == IGNORE] == 0).all()
        for y, x in zip(*np.nonzero(label != IGNORE), strict=True):
            here = int(label[y, x]), int(fields[y, x])
            assert found.setdefault((cube, row + int(y), col + int(x)), here) == here
    return found


def known_fields(data, split):
    """(cube, id, label) of all fields that are known; ground without an id has id 0."""
    return {(cube, field, label) for (cube, _, _), (label, field) in shown(data, split).items()}


seeds = st.integers(0, 10**6)


@given(seed=seeds, draw=st.integers(0, 50), few=st.integers(1, 6), more=st.integers(0, 6))
@settings(max_examples=10, deadline=None)
def test_few_fields_are_among_more_and_are_as_they_are(seed, draw, few, more):
    data = world(seed)
    small, large = (few_fields.thin(data, n, draw) for n in (few, few + more))
    for split in ("train", "validation"):
        everything, a, b = (shown(one, split) for one in (data, small, large))
        assert a.items() <= b.items() <= everything.items()
        # A field is known or it is not.
        for view in (a, b):
            fields = {(cube, *what) for (cube, _, _), what in view.items()}
            whole = {k: v for k, v in everything.items() if (k[0], *v) in fields}
            assert view == whole
    assert shown(small, "test") == shown(data, "test")
    assert small.split("test") is data.split("test")


@given(
    seed=seeds, draw=st.integers(0, 50), count=st.integers(1, 8), overlap=st.sampled_from((0, 3))
)
@settings(max_examples=10, deadline=None)
def test_tables_count_what_is_shown_and_nothing_else_is_drawn(seed, draw, count, overlap):
    data = world(seed, overlap)
    few = few_fields.thin(data, count, draw)
    for split in data.chips:
        table, source = few.split(split), few.source(split)
        np.testing.assert_array_equal(table.places, data.split(split).places)
        window = np.empty((8, 8), np.uint8)
        for i in range(len(table)):
            label = source.label(i)
            expected = [(label == one).sum() for one in LABELS]
            np.testing.assert_array_equal(table.pixels[i], expected)
            np.testing.assert_array_equal(source[i]["label"], label)
            np.testing.assert_array_equal(source[i]["fields"], source.fields(i))
            source.read_window(i, np.arange(2), {}, window)
            np.testing.assert_array_equal(window, label)
            np.testing.assert_array_equal(source.weak(i), data.source(split).weak(i))
            np.testing.assert_array_equal(table.weak[i], data.split(split).weak[i])
    known = shown(few, "train")
    if not known:
        return
    table, rng = few.split("train"), np.random.default_rng(0)
    draws = [
        pixel_index.make(kind, few, "train", few.source("train")) for kind in ("field", "place")
    ]
    drawn = [index.draw(rng, 300) for index in draws]
    drawn += [drawing.draw_pixels(few, "train", how, 10**6, rng) for how in drawing.DRAWN_BY]
    for one in drawn:
        rows, cols = table.row[one.chip] + one.row, table.col[one.chip] + one.col
        places = zip(table.cube[one.chip].tolist(), rows.tolist(), cols.tolist(), strict=True)
        for place, label in zip(places, one.label.tolist(), strict=True):
            assert known[place][0] == label
    assert len(drawn[-1].label) == len(known)


@given(seed=seeds, draw=st.integers(0, 50), count=st.integers(1, 8))
@settings(max_examples=10, deadline=None)
def test_each_class_keeps_so_many_and_validation_in_proportion(seed, draw, count):
    data = world(seed)
    few = few_fields.thin(data, count, draw)
    there = {s: known_fields(data, s) for s in data.chips}
    kept = {s: known_fields(few, s) for s in data.chips}
    for number, label in enumerate(LABELS):
        of = {s: sum(one == label for _, _, one in found) for s, found in there.items()}
        own = {s: sum(one == label for _, _, one in found) for s, found in kept.items()}
        assert own["train"] == min(count, of["train"])
        share = int(count * of["validation"] / max(of["train"], 1) + 0.5)
        assert own["validation"] == min(max(1, share), of["validation"])
        for split in ("train", "validation"):
            np.testing.assert_array_equal(few.few.counts[split][number], [own[split], of[split]])


@given(seed=seeds, draw=st.integers(0, 50), count=st.integers(1, 8))
@settings(max_examples=10, deadline=None)
def test_a_block_is_left_for_the_next_when_its_fields_of_a_class_are_known(seed, draw, count):
    data = world(seed)
    few = few_fields.thin(data, count, draw)
    there, kept = known_fields(data, "train"), known_fields(few, "train")
    block = {i: row["block"] for i, row in enumerate(data.cubes)}
    for label in LABELS:
        of = {b: {f for f in there if f[2] == label and block[f[0]] == b} for b in block.values()}
        begun = [b for b, own in of.items() if own & kept]
        assert sum(not own <= kept for b, own in of.items() if b in begun) <= 1


def plots(labels_by_cube, split="train"):
    """Cubes of one field of 4 x 4 pixels for each label, from left to right."""
    grounds = []
    for labels in labels_by_cube:
        label = np.kron(np.array(labels, np.uint8)[None], np.ones((4, 4), np.uint8))
        fields = np.kron(np.arange(1, len(labels) + 1, dtype=np.uint32)[None], np.ones((4, 4)))
        grounds.append(Ground(split, label, fields.astype(np.uint32)))
    return grounds


def test_the_order_of_a_draw_is_the_same_on_every_machine():
    """By SHA-256 of "draw/block" and "draw/block/class/season/cube/id"."""
    data = small_data.make_dataset(plots([[0] * 4] * 3))
    found = []
    for draw in range(3):
        orders, before = [], set()
        for count in range(1, 13):
            now = known_fields(few_fields.thin(data, count, draw), "train")
            orders += [(cube, field) for cube, field, _ in now - before]
            before = now
        found.append(orders)
    assert [[cube for cube, _ in one[::4]] for one in found] == GOLDEN_BLOCKS
    assert found[0] == GOLDEN_FIRST


GOLDEN_BLOCKS = [[0, 1, 2], [0, 2, 1], [1, 2, 0]]
# Cube and id, draw 0.
GOLDEN_FIRST = [
    (0, 4),
    (0, 2),
    (0, 3),
    (0, 1),
    (1, 1),
    (1, 4),
    (1, 3),
    (1, 2),
    (2, 3),
    (2, 4),
    (2, 1),
    (2, 2),
]


@pytest.mark.parametrize(("apart_px", "fields"), [(16, 2), (17, 2), (18, 4)])
def test_a_field_that_two_cubes_cut_counts_once(apart_px, fields):
    """Cubes of 16 pixels in one block: the last field of one and the first of the next, same id."""
    label = np.full((8, 16), IGNORE, np.uint8)
    ids = np.zeros((8, 16), np.uint32)
    label[:4, :4], ids[:4, :4] = 1, 5
    label[:4, 12:], ids[:4, 12:] = 1, 6
    other, turned = label.copy(), np.where(ids == 5, 6, np.where(ids == 6, 5, 0)).astype(np.uint32)
    data = small_data.make_dataset([Ground("train", label, ids), Ground("train", other, turned)])
    data.cubes[1]["transform"][2] = data.cubes[0]["transform"][2] + 10 * apart_px
    for row in data.cubes:
        row["block"] = "one"
    few = few_fields.thin(data, 10, 0)
    # 6 ends where the other's 6 begins; both 5 are at the outer ends, far from each other.
    assert few.few.counts["train"][1].tolist() == [fields + 1 if fields == 2 else 4] * 2
    if fields == 2:
        for draw in range(8):
            one = known_fields(few_fields.thin(data, 1, draw), "train")
            assert one in ({(0, 6, 1), (1, 6, 1)}, {(0, 5, 1)}, {(1, 5, 1)})
    seasons = [row | {"season": str(i)} for i, row in enumerate(data.cubes)]
    twice = few_fields.thin(dataclasses.replace(data, cubes=seasons), 10, 0)
    assert twice.few.counts["train"][1].tolist() == [4, 4]


def test_weights_of_classes_are_of_the_known_fields():
    data = small_data.make_dataset(plots([[0, 0, 0, 1], [2, 2, 1, 0]]))
    few = few_fields.thin(data, 1, 0)
    np.testing.assert_array_equal(few.split("train").pixels.sum(0), [16, 16, 16, 0])
    weights = losses.balanced_weights(few.split("train").pixels.sum(0)[:3])
    np.testing.assert_allclose(weights, 1)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two datasets of the same cubes: by their splits, and with three folds by field."""
    root = tmp_path_factory.mktemp("few")
    making.make_cubes(root / "cubes", ("train", "validation", "test"), size=(40, 24))
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    for name, rule in (("plain", None), ("folds", Rule(3, "field"))):
        cube_builder.build(builder, name, root / "cubes", root / "data", folds=rule, chip=16)
    return str(root / "data")


@pytest.mark.parametrize(("name", "fold"), [("cubes/plain", None), ("cubes/folds", 1)])
def test_a_dataset_is_opened_with_few_fields(built, name, fold):
    data = dataset.open_dataset(built, name, fold)
    config = {"fold": fold, "fields_per_class": 1, "fields_draw": 3, "seed": 0}
    few = dataset.open_dataset(built, name, **dataset.view_of(config))
    assert few.ground == data.ground and few.fingerprint == data.fingerprint
    assert shown(few, "test") == shown(data, "test")
    assert 0 < len(shown(few, "train")) < len(shown(data, "train"))
    assert shown(few, "train").items() <= shown(data, "train").items()
    (note,) = few_fields.notes(few)
    assert note.startswith("config.fields_per_class 1, draw 3: fields known in train: ")
    assert few_fields.notes(data) == []


def test_settings_that_cannot_be_are_named(built):
    for name, value in (("fields_per_class", -1), ("fields_per_class", "8"), ("fields_draw", -1)):
        with pytest.raises(ValueError, match=f"^config.{name}: expected"):
            dataset.open_dataset(built, "cubes/plain", **{name: value})
    assert dataset.view_of({"fold": None, "fields_per_class": 0, "fields_draw": 2}) == {}
    assert dataset.view_of({}) == {}


def test_a_baseline_of_all_fields_is_described_as_before_there_were_few(built):
    data = dataset.open_dataset(built, "cubes/plain")
    old = dict.fromkeys(keeping.CONFIG, 0)
    new = old | {"fields_per_class": 0, "fields_draw": 0}
    assert keeping.describe(new, data) == keeping.describe(old, data)
    few = keeping.describe(new | {"fields_per_class": 8}, data)
    assert few["config"]["fields_per_class"] == 8 and few["config"]["fields_draw"] == 0


def test_runs_of_before_there_were_such_settings_knew_all_fields():
    old = {"config": {"model": {"name": "pixel_series"}, "seed": 0}}
    now = {"config": old["config"] | {"fields_per_class": 0, "fields_draw": 0}}
    train_config.check_same_config(old, now, "W")
    now["config"]["fields_per_class"] = 8
    with pytest.raises(ValueError, match="config.fields_per_class: was 0, now 8"):
        train_config.check_same_config(old, now, "W")


def test_fields_that_are_visited_are_known_too():
    data = world(3)
    thin = few_fields.thin(data, 1, 0)
    known = few_fields.known(thin, "train")
    table, source = data.split("train"), data.source("train")
    ids = {
        (int(table.cube[i]), int(field))
        for i in range(len(table))
        for field in np.unique(source.fields(i)[source.label(i) != IGNORE])
        if field
    }
    cube, field = sorted(ids - known)[0]
    more = few_fields.with_more(thin, "train", {cube: np.array([field])})
    assert few_fields.known(more, "train") == known | {(cube, field)}
    before, after = shown(thin, "train"), shown(more, "train")
    assert before.items() < after.items()
    added = {place: value for place, value in after.items() if place not in before}
    assert {(place[0], value[1]) for place, value in added.items()} == {(cube, field)}
    # The table counts what is shown, and the other splits are as they were.
    assert more.chips["train"].pixels.sum() == len(after)
    assert more.chips["test"] is thin.chips["test"]
    with pytest.raises(ValueError, match="expected a view with few fields in train, found none"):
        few_fields.with_more(data, "train", {})
