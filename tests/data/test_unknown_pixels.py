"""Unknown pixels as examples, and as-of dates of the annotated class: drawn where it is asked."""

import dataclasses

import numpy as np
import pytest
from training import small_data
from training.small_data import NUMBER, Ground

from cropmap_jax.data import few_fields, input_pipeline, pixel_index, pixel_sampling
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

STATES = np.array([0, 1, 2, NONE_OF_THESE, IGNORE, IGNORE], np.uint8)
PIXELS = SamplingConfig(
    num_periods=3, unit="pixels", context=0, steps_per_epoch=2, lead_days=0, mixup=0.4,
    period_dropout=0.2, as_of_jitter=5,
)  # fmt: skip


def small(shape=(12, 20)):
    rng = np.random.default_rng(0)
    labels = rng.choice(STATES, (3, *shape))
    labels[2] = IGNORE  # one cube of which nothing is annotated
    return labels, small_data.make_dataset([Ground("train", label) for label in labels])


def batch_of(data, config, number=0, size=256, shard=(0, 1)):
    return pixel_sampling.make_pixel_batches(data, "train", config, size, 7, shard).map(number)


def numbers(batch):
    """Which pixel each example shows; some periods are dropped, but never all of both sensors."""
    return np.maximum(*(batch["pixels"][s][..., 0, 0, NUMBER].max(1) for s in ("s1", "s2")))


def test_a_share_is_unknown_and_all_else_stays_as_it_was():
    labels, data = small()
    plain = batch_of(data, PIXELS)
    found = batch_of(data, dataclasses.replace(PIXELS, unknown_share=0.25))
    chosen = found["label"].ravel() == IGNORE
    # 256 draws at 1/4: 64 and four deviations.
    assert 36 < chosen.sum() < 92 and (plain["label"] != IGNORE).all()
    number = numbers(found)
    assert (labels.ravel()[number[chosen]] == IGNORE).all()
    for name in ("day_of_year", "planted", "lead", "mix", "label"):
        np.testing.assert_array_equal(found[name][~chosen], plain[name][~chosen])
    np.testing.assert_array_equal(number[~chosen], numbers(plain)[~chosen])
    assert "weak" not in found
    # A cube of which nothing is annotated is ground all the same.
    assert (number[chosen] >= 2 * 12 * 20).any()


def test_batches_follow_from_seed_and_number_however_many_processes_there_are():
    data, config = small()[1], dataclasses.replace(PIXELS, unknown_share=0.5)
    whole = batch_of(data, config, 3)
    parts = [batch_of(data, config, 3, shard=(i, 2)) for i in range(2)]
    for name in ("label", "mix", "lead"):
        np.testing.assert_array_equal(np.concatenate([p[name] for p in parts]), whole[name])
    np.testing.assert_array_equal(batch_of(data, config, 3)["label"], whole["label"])
    assert (batch_of(data, config, 4)["label"] != whole["label"]).any()


def test_padding_is_no_ground_and_every_unknown_pixel_is_as_likely():
    labels, data = small()  # 12 x 20 pixels in chips of 8: padding below and at the right
    unknown = data.unknown_pixels("train")
    assert unknown.sum() == (labels == IGNORE).sum()
    index = pixel_index.UnknownIndex(data, "train", data.source("train"))
    drawn = index.draw(np.random.default_rng(0), 40_000)
    table = data.split("train")
    row, col = table.row[drawn.chip] + drawn.row, table.col[drawn.chip] + drawn.col
    assert row.max() < 12 and col.max() < 20 and (drawn.label == IGNORE).all()
    number = (table.cube[drawn.chip] * 12 + row) * 20 + col
    counts = np.bincount(number, minlength=labels.size).astype(float)
    assert (counts[labels.ravel() != IGNORE] == 0).all()
    counts = counts[labels.ravel() == IGNORE]
    # Pixels of a chip come by eights: the deviation of a count is below that of 8 x Poisson.
    mean = counts.mean()
    assert abs(counts / mean - 1).max() < 5 * (8 / mean) ** 0.5


def test_fields_that_a_view_hides_are_unknown():
    label = np.full((8, 8), IGNORE, np.uint8)
    label[:2, :2], label[4:6, 4:6] = 0, 0
    fields = np.zeros((8, 8), np.uint32)
    fields[:2, :2], fields[4:6, 4:6] = 1, 2
    data = small_data.make_dataset([Ground("train", label, fields)])
    view = few_fields.thin(data, 1, 0)
    assert data.unknown_pixels("train").sum() == 56 and view.unknown_pixels("train").sum() == 60
    drawn = pixel_index.UnknownIndex(view, "train", view.source("train")).draw(
        np.random.default_rng(0), 2000
    )
    hidden = label[drawn.row, drawn.col] == 0
    assert hidden.any() and len(set(fields[drawn.row, drawn.col][hidden].tolist())) == 1


def test_a_split_without_unknown_ground_is_refused():
    label = np.zeros((8, 8), np.uint8)
    data = small_data.make_dataset([Ground("train", label)])
    with pytest.raises(ValueError, match="split train: expected unknown pixels, found none"):
        batch_of(data, dataclasses.replace(PIXELS, unknown_share=0.5))


def test_crops_hold_unknown_pixels_as_they_are():
    data = small()[1]
    config = dataclasses.replace(PIXELS, context=None, crop=4, augment=False)
    plain = batch_of(data, config, size=16)
    found = batch_of(data, dataclasses.replace(config, unknown_share=0.5), size=16)
    np.testing.assert_array_equal(plain["label"], found["label"])
    assert (plain["label"] == IGNORE).any()


# Whose harvest the window goes by. ----------------------------------------------------------------


def test_dates_of_the_annotated_class():
    labels, data = small()
    config = dataclasses.replace(PIXELS, dates_of="annotated", as_of_jitter=0)
    found = batch_of(data, config)
    # Harvests of the classes begin on 1 July, August and September: windows of three months end
    # then, with days of the year of their last month.
    last = found["day_of_year"][:, -1]
    label = found["label"].ravel()
    for index in range(3):
        assert len(set(last[label == index].tolist())) == 1
    assert len({int(last[label == i][0]) for i in range(3)}) == 3
    assert len(set(last[label == NONE_OF_THESE].tolist())) == 3
    legends = batch_of(data, dataclasses.replace(config, dates_of="legend"))
    assert len(set(legends["day_of_year"][:, -1][label == 0].tolist())) == 3
    np.testing.assert_array_equal(legends["label"], found["label"])


@pytest.mark.parametrize("crop", [None, 2])
def test_dates_of_a_class_that_is_annotated_in_an_example(crop):
    label = np.full((8, 16), IGNORE, np.uint8)
    label[:, :8], label[0, 8] = 1, 2
    data = small_data.make_dataset([Ground("train", label)])
    config = SamplingConfig(
        num_periods=2, lead_days=0, crop=crop, augment=False, dates_of="annotated",
        crops_per_chip=8,
    )  # fmt: skip
    made = input_pipeline.training_input(data, config, 4, 4, 0).make
    ends = {1: set(), 2: set()}
    for number in range(8):
        batch = made.map(number)
        for one, day in zip(batch["label"], batch["day_of_year"][:, -1], strict=True):
            (own,) = set(one[one < 3].tolist())
            ends[own].add(int(day))
    assert len(ends[1]) == len(ends[2]) == 1 and ends[1] != ends[2]


def test_dates_of_no_class_have_no_owner():
    with pytest.raises(ValueError, match="^config.dates_of: expected 'legend' with config.as_of"):
        SamplingConfig(as_of=(1, 2), dates_of="annotated")
    with pytest.raises(ValueError, match="^config.dates_of: expected one of legend, annotated"):
        SamplingConfig(dates_of="own")
