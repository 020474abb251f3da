"""Which pixels a baseline learns from: known ones, none twice, fields by the root of their size."""

import dataclasses
import importlib
import pathlib
import sys

import making
import numpy as np
import pytest
from scheduling.pickling import Pickling
from training import small_data
from training.small_data import Ground, day

from cropmap_jax.baselines import drawing, keeping, looking
from cropmap_jax.baselines.features import Features
from cropmap_jax.data import cube_builder, dataset, pixel_index
from cropmap_jax.geo import indices
from cropmap_jax.geo.folds import Rule
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, WEAK_NONE
from cropmap_jax.geo.sensors import SENTINEL

JUNE, MARCH = day("2022-06-01"), day("2022-03-01")
RAW = Features(SENTINEL, 2, dates=False)


def pixels_of(data, dates, features=RAW, draw_by="all", most=10**6, seed=0, **rest):
    one = drawing.fixed_dates(np.asarray(dates))
    return drawing.training_pixels(data, "train", features, one, draw_by, most, seed, **rest)


@pytest.mark.parametrize("draw_by", ["all", "field"])
@pytest.mark.parametrize("overlap", [0, 3])
def test_they_are_the_known_pixels_once_each_as_of_the_date(overlap, draw_by):
    rng = np.random.default_rng(1)
    labels = rng.choice(np.array([0, 2, NONE_OF_THESE, IGNORE], np.uint8), (2, 13, 9))
    data = small_data.make_dataset([Ground("train", label) for label in labels], overlap=overlap)
    found = pixels_of(data, [JUNE, MARCH], draw_by=draw_by)
    # The number of a pixel (its cube and place) in dB, first band; the period is the second.
    number = np.rint(found.features[:, 0] * 100).astype(int)
    assert sorted(number) == sorted(np.flatnonzero(labels != IGNORE))
    np.testing.assert_array_equal(found.labels, labels.ravel()[number])
    # In June April and May are seen (periods 3 and 4), in March January and February.
    second = number >= 13 * 9
    for column, (june, march) in enumerate(((3, 0), (4, 1))):
        period = np.rint(found.features[:, 1 + 2 * column] * 100)
        np.testing.assert_array_equal(period, np.where(second, march, june))


def test_features_are_those_of_the_whole_cube_across_chips():
    rng = np.random.default_rng(2)
    label = rng.choice(np.array([0, 1, IGNORE], np.uint8), (19, 21))
    data = small_data.make_dataset([Ground("train", label)])
    spec = Features(SENTINEL, 2, tuple(indices.INDICES.values()), (3, 7))
    found = pixels_of(data, [JUNE], spec)
    s1, s2 = small_data.coordinates(0, len(small_data.MONTHS), label.shape)
    window = {"s1": s1[3:5], "s2": s2[3:5]}
    # The middle of May.
    expected = spec.compute(window, np.array([106, 136]), label != IGNORE)
    order, other = (np.lexsort(np.rint(x[:, :1] * 100).T) for x in (found.features, expected))
    np.testing.assert_array_equal(found.features[order][:, :-2], expected[other][:, :-2])


@pytest.mark.parametrize("draw_by", ["all", "field", "place"])
def test_a_large_split_is_drawn_from_by_seed_and_no_pixel_twice(draw_by):
    data = small_data.make_dataset([Ground("train", np.zeros((64, 64), np.uint8))], chip=32)
    draws = [pixels_of(data, [JUNE], draw_by=draw_by, most=500, seed=s).features for s in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0][:100], draws[2][:100])
    number = np.rint(draws[0][:, 0] * 100).astype(int)
    assert len(np.unique(number)) == len(number)
    # 500 of 4,096, exactly or each alike: four standard deviations are 4 sqrt(500 x 0.88) = 84.
    assert abs(len(number) - 500) <= (84 if draw_by == "all" else 0)
    assert (number // 64 < 32).sum() > 150 and (number // 64 >= 32).sum() > 150


def test_fields_count_as_the_root_of_their_pixels():
    # A field of 2,500 pixels, and 25 of 100: alike they would have half each; by the root of their
    # pixels the large one has 50 of 300.
    label, fields = np.zeros((100, 50), np.uint8), np.ones((100, 50), np.uint32)
    label[50:] = 1
    rows, cols = np.divmod(np.arange(2500), 50)
    fields[50:] = (2 + rows // 10 * 5 + cols // 10).reshape(50, 50)
    data = small_data.make_dataset([Ground("train", label, fields)], chip=50)
    rng = np.random.default_rng(0)
    drawn = drawing.draw_pixels(data, "train", "field", 600, rng)
    assert len(drawn.label) == 600
    # Of 600 a sixth, less what was drawn twice: the small fields lose some, too. 4 sd are 4 x 9.1.
    assert abs((drawn.label == 0).sum() - 100) < 40
    alike = drawing.draw_pixels(data, "train", "all", 600, rng)
    assert (alike.label == 0).mean() > 0.4


def test_where_all_pixels_are_taken_fields_count_as_the_root_by_weight():
    label = np.zeros((12, 10), np.uint8)
    fields = np.ones((12, 10), np.uint32)
    # Fields of 64 (across chips) and 16 pixels; ground without one, of two classes in a chip.
    label[8:], fields[8:] = 2, 0
    label[8:10, 4:8] = 1
    label[:8, 8:], fields[:8, 8:] = IGNORE, 0
    fields[10:, :8], label[10:, :8] = 2, 1
    label[8:, 8:] = IGNORE
    data = small_data.make_dataset([Ground("train", label, fields)], chip=6)
    drawn = drawing.draw_pixels(data, "train", "field", 10**6, np.random.default_rng(0))
    assert len(drawn.label) == (label != IGNORE).sum() == 96
    found = drawing.draw_weights(data, "train", "field", drawn)
    table = data.split("train")
    place = table.row[drawn.chip] + drawn.row, table.col[drawn.chip] + drawn.col
    of, chip = fields[place], drawn.chip
    # Without a field: as many as the class has in the chip.
    sizes = [
        (of == f).sum() if f else ((of == 0) & (chip == c) & (drawn.label == k)).sum()
        for f, c, k in zip(of, chip, drawn.label, strict=True)
    ]
    assert len(set(sizes)) > 3
    expected = 1 / np.sqrt(sizes)
    np.testing.assert_allclose(found, expected / expected.mean(), rtol=1e-6)
    assert pixels_of(data, [JUNE]).weights is None
    assert pixels_of(data, [JUNE], draw_by="field", most=50).weights is None
    kept = pixels_of(data, [JUNE], draw_by="field").weights
    np.testing.assert_array_equal(kept, found)
    by_chip = drawing.draw_weights(data, "train", "place", drawn)
    expected = 1 / np.sqrt(np.bincount(chip)[chip])
    np.testing.assert_allclose(by_chip, expected / expected.mean(), rtol=1e-6)


def test_too_many_pixels_to_list_are_drawn_by_place(monkeypatch):
    data = small_data.make_dataset([Ground("train", np.zeros((16, 16), np.uint8))])
    asked = []
    real = pixel_index.PlaceIndex.draw
    monkeypatch.setattr(pixel_index, "MOST_LISTED", 100)
    monkeypatch.setattr(
        pixel_index.PlaceIndex, "draw", lambda *args: asked.append(1) or real(*args)
    )
    drawn = drawing.draw_pixels(data, "train", "field", 50, np.random.default_rng(0))
    assert asked and len(drawn.label) == 50


def test_pixels_without_any_value_are_not_learnt_from():
    data = small_data.make_dataset([Ground("train", np.zeros((8, 8), np.uint8))])
    (record,) = data.records["train"]
    record["s1"][3:5, :3], record["s2"][3:5, :3] = -32768, -32768
    assert len(pixels_of(data, [JUNE]).labels) == 40
    record["s1"][...], record["s2"][...] = -32768, -32768
    with pytest.raises(ValueError, match="pixels with a value in their window in split train"):
        pixels_of(data, [JUNE])


def test_a_split_without_annotation_is_one_line():
    data = small_data.make_dataset([Ground("train", np.full((8, 8), IGNORE, np.uint8))])
    with pytest.raises(ValueError, match="small: expected annotated pixels in split train, found"):
        pixels_of(data, [JUNE])


def test_dates_are_those_of_all_harvests_and_a_pixel_has_each_window_once():
    data = small_data.make_dataset([Ground("train", np.zeros((20, 20), np.uint8))])
    dates = drawing.drawn_dates(data, 30, None)
    drawn = dates(np.zeros(300, int), np.random.default_rng(0))
    expected = {h - 30 for h in small_data.HARVEST}
    assert set(drawn.tolist()) == expected
    assert min(np.bincount(drawn - min(expected))[[d - min(expected) for d in expected]]) > 60
    found = drawing.training_pixels(data, "train", RAW, dates, "field", 4000, 0, copies=True)
    pairs = np.rint(found.features[:, [0, 3]] * 100).astype(int)
    # Number of the pixel, last period of the window: three windows, as of 1 June, 2 July, 2 August.
    assert len(np.unique(pairs, axis=0)) == len(pairs) and len(pairs) > 1000
    assert set(pairs[:, 1]) == {4, 5, 6}
    given = drawing.drawn_dates(data, 30, (MARCH, MARCH + 2))(
        np.zeros(99, int), np.random.default_rng(0)
    )
    assert set(given.tolist()) == {MARCH, MARCH + 1, MARCH + 2}


def test_dates_come_before_by_up_to_the_longest_lead_and_not_before_the_first_image():
    data = small_data.make_dataset([Ground("train", np.zeros((8, 8), np.uint8))])
    first, cubes = int(data.periods(0)[0, 1]), np.zeros(2000, int)
    alone = set(drawing.drawn_dates(data, 30, None, 30)(cubes, np.random.default_rng(0)).tolist())
    assert alone == {h - 30 for h in small_data.HARVEST}
    drawn = drawing.drawn_dates(data, 30, None, 40)(cubes, np.random.default_rng(0))
    assert set(drawn.tolist()) == {h - d for h in small_data.HARVEST for d in range(30, 41)}
    drawn = drawing.drawn_dates(data, 30, None, 366)(cubes, np.random.default_rng(0))
    assert drawn.min() == first


def test_dates_that_cannot_be_are_refused_before_anything_is_read():
    data = small_data.make_dataset([Ground("train", np.zeros((8, 8), np.uint8))])
    drawing.check_dates(data, "train", 2, 30, None)
    with pytest.raises(ValueError, match="cube cube0: as-of 2021-07-01 lies before"):
        drawing.check_dates(data, "train", 2, 365, None)
    none = small_data.make_dataset([Ground("train", np.zeros((8, 8), np.uint8))], harvest=(0, 0, 0))
    with pytest.raises(ValueError, match="cube cube0: found no harvest date"):
        drawing.check_dates(none, "train", 2, 30, None)


def weak_data():
    rng = np.random.default_rng(4)
    states = np.array([0, 1, NONE_OF_THESE, IGNORE, WEAK_NONE, WEAK_NONE], np.uint8)
    labels = rng.choice(states, (2, 16, 24))
    return labels, small_data.make_dataset([Ground("train", label) for label in labels])


@pytest.mark.parametrize(("draw_by", "most"), [("field", 10**6), ("field", 100), ("all", 100)])
def test_a_share_is_of_pixels_that_only_a_map_knows(draw_by, most):
    labels, data = weak_data()
    found = pixels_of(data, [JUNE, JUNE], draw_by=draw_by, most=most, weak=(0.25, 0.5))
    number = np.rint(found.features[:, 0] * 100).astype(int)
    true = labels.ravel()[number]
    weak = true == WEAK_NONE
    if draw_by == "all":  # each alike: 75 and four deviations
        assert 40 < (~weak).sum() < 110 and 0 < weak.sum() <= (~weak).sum() / 3 + 1
    elif most == 100:
        assert (~weak).sum() == 75 and 0 < weak.sum() <= 25
    else:
        assert sorted(number[~weak]) == sorted(
            np.flatnonzero((labels < WEAK_NONE) | (labels == 254))
        )
        # Drawn with replacement, each kept once.
        assert 0.6 < weak.sum() / ((~weak).sum() / 3) <= 1
    assert len(set(number.tolist())) == len(number)
    np.testing.assert_array_equal(found.labels, np.where(weak, NONE_OF_THESE, true))
    assert found.weights.mean() == pytest.approx(1, rel=1e-5)
    # Each counts half of what annotated pixels count on average.
    assert found.weights[weak].max() == pytest.approx(found.weights[~weak].mean() / 2, rel=1e-4)


def test_without_a_share_or_a_map_nothing_changes():
    labels, data = weak_data()
    unknown = [np.where(x == WEAK_NONE, np.uint8(IGNORE), x) for x in labels]
    plain = small_data.make_dataset([Ground("train", x) for x in unknown])
    one = pixels_of(plain, [JUNE, JUNE], draw_by="field", most=50)
    for other in (
        pixels_of(data, [JUNE, JUNE], draw_by="field", most=50),
        pixels_of(plain, [JUNE, JUNE], draw_by="field", most=50, weak=(0.5, 1.0)),
    ):
        np.testing.assert_array_equal(one.features, other.features)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_a_config_that_asks_for_none_is_as_before_there_were_any():
    data, config = weak_data()[1], {"seed": 0}
    asked = config | {"weak_share": 0.1, "weak_weight": 1.0}
    plain = keeping.describe(config, data)
    assert keeping.describe(asked | {"weak_share": 0.0}, data) == plain
    assert keeping.describe(asked, data)["config"] == asked


@pytest.mark.parametrize("last_first", [False, True])
def test_workers_see_what_one_process_sees(tmp_path, monkeypatch, last_first):
    making.make_cubes(tmp_path / "cubes", ("train", "train"), size=40)
    sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    rule = Rule(2, "checkerboard", 8)
    cube_builder.build(builder, "a", tmp_path / "cubes", tmp_path / "data", chip=16, folds=rule)
    monkeypatch.chdir(tmp_path)
    data = dataset.open_dataset("data", "cubes/a", fold=1)
    spec = Features(SENTINEL, 3, tuple(indices.INDICES.values()), (3,))
    monkeypatch.setattr(looking, "TOGETHER", 3)
    scheduler, reached = Pickling(last_first), []
    here, there = (
        drawing.training_pixels(
            data, "train", spec, drawing.drawn_dates(data, 30, None), "field", 3000, 7,
            copies=True, progress=lambda done, total: reached.append(done / total), scheduler=one,
        )
        for one in (None, scheduler)
    )  # fmt: skip
    for field in ("features", "labels", "weights"):
        np.testing.assert_array_equal(getattr(there, field), getattr(here, field))
    assert len(scheduler.tasks) > 5 and list(scheduler.required) == ["--data_dir"]
    assert reached.count(1.0) == 2
    task = dataclasses.replace(scheduler.tasks[0], fingerprint="another")
    with pytest.raises(ValueError, match="expected the dataset that the command opened, found"):
        looking.look_at_all(task)
