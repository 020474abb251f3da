"""Pixels that only a land-cover map says are none of the classes: drawn where a config asks for
them, and unknown to everybody else."""

import dataclasses
import importlib
import json
import pathlib
import sys

import making
import numpy as np
import pytest
from training import small_data
from training.small_data import NUMBER, Ground

from cropmap_jax.data import cube_builder, dataset, input_pipeline, pixel_index, pixel_sampling
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo import cube_io, landcover
from cropmap_jax.geo.folds import UNUSED, Rule
from cropmap_jax.geo.landcover import WORLDCOVER, Choice
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, WEAK_NONE, Legend, make_class

sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))
CHIP, SIZE = 16, (40, 24)
RULES = (Rule(2, "field"), Rule(3, "block"), Rule(2, "checkerboard", 5))


def build(cubes_dir, data_dir, name, **settings):
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    settings = {"chip": CHIP, "overlap": 6} | settings
    cube_builder.build(builder, name, cubes_dir, data_dir, **settings)
    return f"cubes/{name}"


def cover_of(i):
    codes = np.full(SIZE, 40, np.uint8)
    codes[:, 6:18] = 50
    codes[20 + i :] = 80
    return codes


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Cubes with and, but for that the same, without land cover, and datasets of both."""
    root = tmp_path_factory.mktemp("weak")
    for i, path in enumerate(making.make_cubes(root / "plain", size=SIZE)):
        one = cube_io.read_cube(path)
        info = dataclasses.replace(one.info, landcover=WORLDCOVER)
        with_map = dataclasses.replace(one, info=info, landcover=cover_of(i))
        cube_io.write_cube(with_map, root / "covered")
    build(root / "plain", root / "data", "plain")
    build(root / "covered", root / "data", "covered")
    for rule in RULES:
        build(root / "covered", root / "data", rule.by, folds=rule)
        build(root / "plain", root / "data", f"plain-{rule.by}", folds=rule)
    return root


def opened(root, name, fold=None):
    return dataset.open_dataset(str(root / "data"), f"cubes/{name}", fold)


def expected_weak(cube):
    return landcover.none_by_map(cube.landcover, cube.label, WORLDCOVER.none_of_these)


def test_records_hold_a_fourth_state_that_nobody_sees_who_does_not_ask(root):
    plain, covered = opened(root, "plain"), opened(root, "covered")
    assert covered.statistics == plain.statistics and covered.ground == plain.ground
    for split, table in covered.chips.items():
        other = plain.chips[split]
        np.testing.assert_array_equal(table.pixels, other.pixels)
        np.testing.assert_array_equal(table.annotated, other.annotated)
        assert table.has_weak and not other.has_weak and other.weak is None
        source, theirs = covered.source(split), plain.source(split)
        stored = 0
        for i in range(len(table)):
            cube = cube_io.read_cube(root / "covered" / covered.cubes[table.cube[i]]["id"])
            place = (
                slice(table.row[i], table.row[i] + CHIP),
                slice(table.col[i], table.col[i] + CHIP),
            )
            weak = np.zeros((CHIP, CHIP), bool)
            inside = expected_weak(cube)[place]
            weak[: inside.shape[0], : inside.shape[1]] = inside
            np.testing.assert_array_equal(source.weak(i), weak)
            assert table.weak[i] == weak.sum() and (source.label(i)[weak] == IGNORE).all()
            np.testing.assert_array_equal(source.label(i), theirs.label(i))
            np.testing.assert_array_equal(source[i]["label"], theirs[i]["label"])
            np.testing.assert_array_equal(source.fields(i), theirs.fields(i))
            label = np.empty((CHIP, CHIP), np.uint8)
            source.read_window(i, np.arange(2), {}, label)
            np.testing.assert_array_equal(label, theirs.label(i))
            assert not theirs.weak(i).any()
            stored += (source._stored_label(i) == WEAK_NONE).sum()
        assert stored == table.weak.sum() > 0
    text = dataset.describe(covered)
    assert "by land cover, not counted" in text
    assert dataset.describe(plain) == "\n".join(
        line for line in text.splitlines() if "by land cover" not in line
    )


def test_without_a_map_nothing_is_written_of_it(root):
    text = (opened(root, "plain").path / "metadata.json").read_text()
    assert "weak" not in text and "landcover" not in text
    text = (opened(root, "covered").path / "metadata.json").read_text()
    assert json.loads(text)["landcover"] == {"none_of_these": None, "erosion": 1}


def test_codes_and_erosion_are_chosen_when_it_is_built(root, tmp_path):
    few = build(root / "covered", tmp_path, "few", landcover=Choice((80,)))
    wide = build(root / "covered", tmp_path, "wide", landcover=Choice(erosion=0))
    none = build(root / "covered", tmp_path, "none", landcover=Choice(()))
    few, wide, none = (dataset.open_dataset(str(tmp_path), name) for name in (few, wide, none))
    usual = opened(root, "covered")
    counts = [d.split("train").weak.sum() for d in (few, usual, wide)]
    assert 0 < counts[0] < counts[1] < counts[2]
    assert none.split("train").weak is None
    assert len({d.fingerprint for d in (few, wide, none, usual)}) == 4
    with pytest.raises(ValueError, match="found a dataset built from other cubes or settings"):
        build(root / "covered", tmp_path, "few")
    with pytest.raises(ValueError, match="^--landcover_none: found code 55"):
        build(root / "covered", tmp_path, "wrong", landcover=Choice((55,)))
    assert not (tmp_path / "cubes" / "wrong").exists()


def test_a_legend_that_needs_the_code_is_refused(tmp_path):
    legend = Legend("many", tuple(make_class(i, i, f"c{i}") for i in range(254)))
    one = making.make_cube(size=16)
    info = dataclasses.replace(one.info, legend=legend, landcover=WORLDCOVER, harvest={})
    cover = np.full((16, 16), 50, np.uint8)
    cube_io.write_cube(dataclasses.replace(one, info=info, landcover=cover), tmp_path / "cubes")
    with pytest.raises(ValueError, match="expected a legend of at most 253 classes next to a land"):
        build(tmp_path / "cubes", tmp_path / "data", "many")


def test_a_table_that_counts_others_is_refused(root):
    data = opened(root, "covered")
    table = data.split("train")
    wrong = dataclasses.replace(table, weak=table.weak + 1)
    source = dataclasses.replace(data, chips={"train": wrong}).source("train")
    with pytest.raises(ValueError, match="pixels that only the land-cover map knows, found"):
        source.label(0)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.by)
def test_in_a_view_each_goes_with_the_nearest_annotated_pixel(root, rule):
    found = [opened(root, rule.by, k) for k in range(rule.count)]
    plain = [opened(root, f"plain-{rule.by}", k) for k in range(rule.count)]
    whole, never = dataset.open_folder(found[0].path), 0
    for k, (view, other) in enumerate(zip(found, plain, strict=True)):
        seen = {}
        for split, table in view.chips.items():
            np.testing.assert_array_equal(table.pixels, other.chips[split].pixels)
            source, theirs = view.source(split), other.source(split)
            for i in range(len(table)):
                weak, label = source.weak(i), source.label(i)
                np.testing.assert_array_equal(label, theirs.label(i))
                assert weak.sum() == table.weak[i] and (label[weak] == IGNORE).all()
                for row, col in np.argwhere(weak):
                    at = (int(table.cube[i]), table.row[i] + row, table.col[i] + col)
                    # In one split of a view, wherever chips overlap.
                    assert seen.setdefault(at, split) == split
                    assert view.folds.map(at[0])[at[1:]] in view.folds.splits(k)[split]
        never += len(seen)
    for cube, row in enumerate(whole.cubes):
        one = cube_io.read_cube(root / "covered" / row["id"])
        folds, weak = whole.folds.map(cube), expected_weak(one)
        known = np.argwhere((folds != UNUSED) & ~weak)
        for at in np.argwhere(weak)[::7]:
            away = ((known - at) ** 2).sum(1)
            nearest = {int(folds[tuple(p)]) for p in known[away == away.min()]}
            assert int(folds[tuple(at)]) in nearest
    assert never > 0


# Drawing

SHARED = SamplingConfig(
    num_periods=3, unit="pixels", context=0, steps_per_epoch=4, augment=False, lead_days=0,
    mixup=0.3, period_dropout=0.2,
)  # fmt: skip
STATES = np.array([0, 1, 2, NONE_OF_THESE, IGNORE, WEAK_NONE, WEAK_NONE], np.uint8)


def small(known=True):
    """Three cubes; `known`: with their weak pixels, else with unknown ones in their place."""
    rng = np.random.default_rng(0)
    labels = rng.choice(STATES, (3, 12, 20))
    # One cube of which nothing is annotated.
    labels[2][labels[2] < WEAK_NONE] = IGNORE
    if not known:
        labels[labels == WEAK_NONE] = IGNORE
    return labels, small_data.make_dataset([Ground("train", label) for label in labels])


def batch_of(data, config, number=0, size=256, shard=(0, 1), seed=0):
    made = pixel_sampling.make_pixel_batches(data, "train", config, size, seed, shard)
    return made.map(number)


def same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        for name, value in a[key].items() if isinstance(a[key], dict) else [("", a[key])]:
            np.testing.assert_array_equal(value, b[key][name] if name else b[key])


@pytest.mark.parametrize("draw_by", pixel_index.INDEXES)
def test_a_share_is_drawn_and_all_else_stays_as_it_was(draw_by):
    labels, data = small()
    config = dataclasses.replace(SHARED, draw_by=draw_by)
    plain = batch_of(data, config)
    # Without a share, or without such pixels, it is as if there were none.
    same(plain, batch_of(small(known=False)[1], config))
    with_share = dataclasses.replace(config, weak_share=0.25)
    same(plain, batch_of(small(known=False)[1], with_share))
    found = batch_of(data, with_share)
    weak = found.pop("weak")
    assert weak.shape == found["label"].shape == (256, 1, 1) and weak.dtype == bool
    # 256 draws at 1/4: 64 and four deviations.
    assert 36 < weak.sum() < 92
    weak = weak.ravel()
    assert (found["label"].ravel()[weak] == NONE_OF_THESE).all()
    # Some periods of a sensor are dropped, -32768, but never all of both.
    number = np.maximum(*(found["pixels"][s][..., 0, 0, NUMBER].max(1) for s in ("s1", "s2")))
    assert (labels.ravel()[number[weak]] == WEAK_NONE).all()
    np.testing.assert_array_equal(labels.ravel()[number[~weak]], found["label"].ravel()[~weak])
    # All others are as without, from the dates to the mixing.
    for name in ("day_of_year", "planted", "lead", "mix", "label"):
        np.testing.assert_array_equal(found[name][~weak], plain[name][~weak])
    # Cubes without annotation teach, too.
    assert (number[weak] >= 2 * 12 * 20).any()


def test_batches_follow_from_seed_and_number_however_many_processes_there_are():
    data, config = small()[1], dataclasses.replace(SHARED, weak_share=0.25)
    whole = batch_of(data, config, 3)
    parts = [batch_of(data, config, 3, shard=(i, 2)) for i in range(2)]
    for name in ("label", "weak", "mix"):
        np.testing.assert_array_equal(np.concatenate([p[name] for p in parts]), whole[name])
    same(whole, batch_of(data, config, 3))
    assert (batch_of(data, config, 4)["weak"] != whole["weak"]).any()


def test_statistics_are_of_annotated_pixels():
    data = small()[1]
    config = dataclasses.replace(SHARED, weak_share=0.25)
    made = [pixel_sampling.make_pixel_batches(data, "train", c, 8, 0) for c in (SHARED, config)]
    one, other = (m.statistics_pixels(500) for m in made)
    np.testing.assert_array_equal(one["s1"], other["s1"])


@pytest.mark.parametrize("unit", ["chips", "pixels"])
def test_in_chips_and_crops_all_of_them_are_labelled(unit):
    labels, data = small()
    config = SamplingConfig(
        num_periods=3, unit=unit, crop=6, steps_per_epoch=2, lead_days=0, augment=False
    )

    def batch(**change):
        changed = dataclasses.replace(config, **change)
        return input_pipeline.training_input(data, changed, 4, 2, 0).make.map(1)

    plain, found = batch(), batch(weak_share=0.01)
    if unit == "chips":
        np.testing.assert_array_equal(plain["pixels"]["s1"], found["pixels"]["s1"])
    number = found["pixels"]["s1"][:, -1, ..., NUMBER]
    true = np.where(number < 0, IGNORE, labels.ravel()[np.maximum(number, 0)])
    assert found["weak"].any() and (found["weak"] == (true == WEAK_NONE)).all()
    expected = np.where(found["weak"], NONE_OF_THESE, true)
    np.testing.assert_array_equal(found["label"], expected)
    assert "weak" not in plain and (plain["label"] != WEAK_NONE).all()


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, "a", True])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match="^config.weak_share: expected a number"):
        SamplingConfig(weak_share=share)


def test_weak_pixels_alone_are_no_training_data():
    label = np.full((8, 8), WEAK_NONE, np.uint8)
    data = small_data.make_dataset([Ground("train", label)])
    for unit in ("chips", "pixels"):
        config = dataclasses.replace(SHARED, unit=unit, weak_share=0.5)
        with pytest.raises(ValueError, match="expected annotated"):
            input_pipeline.training_input(data, config, 2, 1, 0)
