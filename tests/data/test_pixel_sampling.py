"""Batches of sampled pixels: what is read is what lies there, and follows from seed and number."""

import dataclasses

import numpy as np
import pytest
from training import small_data
from training.small_data import NUMBER, PERIOD, Ground

from cropmap_jax.data import input_pipeline, pixel_sampling
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo.legend import IGNORE

CONFIG = SamplingConfig(
    num_periods=3, unit="pixels", context=0, steps_per_epoch=4, augment=False, lead_days=0
)
MISSING = -32768


def data():
    rng = np.random.default_rng(0)
    grounds = [
        Ground("train", rng.choice(np.array([0, 1, 2, 254, 255], np.uint8), (12, 20)))
        for _ in range(3)
    ]
    return small_data.make_dataset(grounds)


def made(config=CONFIG, size=64, seed=0, shard=(0, 1)):
    return pixel_sampling.make_pixel_batches(data(), "train", config, size, seed, shard)


@pytest.mark.parametrize("context", [0, 1, 3])
def test_a_pixel_comes_with_its_own_series_label_and_surroundings(context):
    found = data()
    batch = made(dataclasses.replace(CONFIG, context=context)).map(0)
    side = 2 * context + 1
    assert batch["pixels"]["s1"].shape == (64, 3, side, side, 2)
    assert batch["pixels"]["s2"].shape == (64, 3, side, side, 10)
    assert batch["label"].shape == (64, 1, 1)
    for i in range(64):
        series = batch["pixels"]["s1"][i, :, context, context]
        # small_data numbers pixels: i size^2 + row size + col, the same in each period.
        number = int(series[0, NUMBER])
        assert (series[:, NUMBER] == number).all()
        assert (np.diff(series[:, PERIOD]) == 1).all()
        cube, rest = divmod(number, 12 * 20)
        row, col = divmod(rest, 20)
        record = next(
            r
            for r in found.records["train"]
            if r["cube_index"] == cube and 0 <= row - r["row"] < 8 and 0 <= col - r["col"] < 8
        )
        top, left = row - record["row"], col - record["col"]
        assert batch["label"][i, 0, 0] == record["label"][top, left] != IGNORE
        # Beyond the chip nothing is known.
        padded = np.pad(
            record["s2"][series[:, PERIOD]],
            [(0, 0), (context, context), (context, context), (0, 0)],
            constant_values=MISSING,
        )
        np.testing.assert_array_equal(
            batch["pixels"]["s2"][i], padded[:, top : top + side, left : left + side]
        )


def test_a_batch_follows_from_seed_and_number_and_from_no_share():
    config = dataclasses.replace(CONFIG, period_dropout=0.3, mixup=0.5, as_of_jitter=20)
    whole, again, next_, other = (
        made(config, seed=seed).map(number) for seed, number in ((0, 5), (0, 5), (0, 6), (1, 5))
    )
    shares = [made(config, shard=(i, 4)).map(5) for i in range(4)]
    for name in ("label", "mix", "lead", "planted", "day_of_year"):
        np.testing.assert_array_equal(whole[name], again[name])
        np.testing.assert_array_equal(whole[name], np.concatenate([s[name] for s in shares]))
    pixels = np.concatenate([s["pixels"]["s2"] for s in shares])
    np.testing.assert_array_equal(whole["pixels"]["s2"], pixels)
    assert not np.array_equal(whole["pixels"]["s2"], next_["pixels"]["s2"])
    assert not np.array_equal(whole["pixels"]["s2"], other["pixels"]["s2"])


def test_dropped_periods_are_missing_and_no_example_loses_all():
    config = dataclasses.replace(CONFIG, period_dropout=0.9, sensor_dropout=0.5)
    batches = [made(config).map(i) for i in range(20)]
    there = np.concatenate(
        [
            np.stack([(b["pixels"][s] != MISSING).all((2, 3, 4)) for s in ("s1", "s2")], 1)
            for b in batches
        ]
    )
    lost = np.concatenate(
        [
            np.stack([(b["pixels"][s] == MISSING).all((2, 3, 4)) for s in ("s1", "s2")], 1)
            for b in batches
        ]
    )
    assert (there ^ lost).all()  # a period of a sensor goes whole or stays whole
    assert there.any((1, 2)).all()
    kept = there[there.any((1, 2)) & ~there.all((1, 2))].mean()
    assert 0.05 < kept < 0.35


def test_as_of_dates_are_those_of_the_legend_and_move_by_the_jitter():
    seen = {b for i in range(20) for b in made().map(i)["lead"].tolist()}
    assert seen == {0}  # harvests fall on the ends of months, and the lead is 0 days
    moved = dataclasses.replace(CONFIG, as_of_jitter=15)
    leads = {b for i in range(20) for b in made(moved).map(i)["lead"].tolist()}
    # A day before the end of a month, that month is not seen; a few after, it is.
    assert leads == {0, 30, 31}


def test_leads_are_drawn_up_to_the_longest():
    longest = dataclasses.replace(CONFIG, max_lead_days=60)
    drawn = [made(longest).map(i) for i in range(20)]
    # Composites are of whole months: ends of the months from the harvest to 60 days before it.
    assert {b for batch in drawn for b in batch["lead"].tolist()} == {0, 30, 31, 61, 62}
    # A lead beyond the first image sees the first image.
    endless = dataclasses.replace(CONFIG, max_lead_days=366)
    batch = made(endless).map(0)
    assert (batch["pixels"]["s1"] != -32768).any((1, 2, 3, 4)).all()
    with pytest.raises(ValueError, match="config.max_lead_days: expected 0, or at least config.le"):
        dataclasses.replace(CONFIG, lead_days=30, max_lead_days=20)
    with pytest.raises(ValueError, match="config.max_lead_days: expected 0 where config.as_of giv"):
        dataclasses.replace(CONFIG, as_of=(10, 20), max_lead_days=20)


@pytest.mark.parametrize("side", [4, 8])
def test_a_network_of_wide_sight_gets_labelled_crops_that_hold_the_pixel(side):
    found = data()
    batch = made(dataclasses.replace(CONFIG, context=None, crop=side, augment=True)).map(0)
    assert batch["label"].shape == (64, side, side)
    assert (batch["label"] != IGNORE).any((1, 2)).all()
    assert set(batch["turn"].tolist()) <= set(range(8))
    for i in range(64):
        number = batch["pixels"]["s1"][i, 0, 0, 0, NUMBER]
        cube, rest = divmod(int(number), 12 * 20)
        row, col = divmod(rest, 20)
        record = next(
            r
            for r in found.records["train"]
            if r["cube_index"] == cube and 0 <= row - r["row"] < 8 and 0 <= col - r["col"] < 8
        )
        top, left = row - record["row"], col - record["col"]
        np.testing.assert_array_equal(
            batch["label"][i], record["label"][top : top + side, left : left + side]
        )


def test_an_epoch_is_as_many_batches_as_the_config_says():
    source = input_pipeline.training_input(data(), CONFIG, 64, epochs=3, seed=0)
    assert (source.steps, source.steps_per_epoch) == (12, 4)
    first, later = list(source.after(0)), list(source.after(10))
    assert len(first) == 12 and len(later) == 2
    np.testing.assert_array_equal(first[10]["pixels"]["s2"], later[0]["pixels"]["s2"])


def test_a_batch_may_be_larger_than_a_split():
    total = int(data().split("train").annotated.sum())
    batch = made(size=2 * total).map(0)
    assert len(batch["label"]) == 2 * total and (batch["label"] != 255).all()
