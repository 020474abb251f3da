"""Counts by hand, at thresholds that values hit exactly."""

import numpy as np
import pytest

from cropmap_jax.evaluation.metrics import DEFAULT_THRESHOLD, THRESHOLDS, Counts, CropTally, Tally
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE


def tally(positives=(), negatives=(), dtype=np.float32) -> Tally:
    made = Tally()
    for values, truth in ((positives, True), (negatives, False)):
        made.add(np.array(values, dtype), np.full(len(values), truth))
    return made


def test_counts_by_hand():
    made = tally(positives=(0.9, 0.4, 0.1), negatives=(0.5, 0.3, 0.0, 1.0))
    # At 0.35: of the true ones 0.9 and 0.4 reach it, of the others 0.5 and 1.
    assert made.counts(0.35) == Counts(tp=2, fp=2, fn=1, tn=2)
    assert made.counts(0.01) == Counts(tp=3, fp=3, fn=0, tn=1)
    assert made.counts(0.99) == Counts(tp=0, fp=1, fn=3, tn=3)
    assert (made.positives, made.total) == (3, 7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_value_equal_to_a_threshold_reaches_it(dtype):
    assert DEFAULT_THRESHOLD in THRESHOLDS
    for i, threshold in enumerate(THRESHOLDS):
        made = tally(positives=[threshold], dtype=dtype)
        assert made.counts(threshold).tp == 1
        below = np.nextafter(np.array(threshold, dtype), np.array(0, dtype))
        made = tally(positives=[below], dtype=dtype)
        assert made.counts(threshold).tp == 0
        assert i == 0 or made.counts(THRESHOLDS[i - 1]).tp == 1


def test_every_threshold_counts_every_value():
    rng = np.random.default_rng(0)
    values, truth = rng.random(500).astype(np.float32), rng.random(500) < 0.3
    made = Tally()
    made.add(values[:200], truth[:200])
    made.add(values[200:], truth[200:])
    for threshold in THRESHOLDS:
        reached = values >= np.float32(threshold)
        assert made.counts(threshold) == Counts(
            tp=(reached & truth).sum(),
            fp=(reached & ~truth).sum(),
            fn=(~reached & truth).sum(),
            tn=(~reached & ~truth).sum(),
        )


def test_scores_by_hand():
    assert Counts(tp=6, fp=2, fn=3, tn=9).scores() == {
        "accuracy": 15 / 20,
        "recall": 6 / 9,
        "true_negative_rate": 9 / 11,
        "precision": 6 / 8,
        "f1": 12 / 17,
        "tp": 6,
        "fp": 2,
        "fn": 3,
        "tn": 9,
    }


def test_a_score_of_nothing_is_none():
    scores = Counts(tp=0, fp=0, fn=0, tn=4).scores()
    assert (scores["accuracy"], scores["true_negative_rate"]) == (1, 1)
    assert (scores["recall"], scores["precision"], scores["f1"]) == (None, None, None)
    assert Counts(0, 0, 0, 0).scores()["accuracy"] is None
    scores = Counts(tp=3, fp=0, fn=1, tn=0).scores()
    # Without negatives there are no false positives; what was missed is still known.
    assert scores.pop("recall") == 0.75
    assert set(scores.values()) == {None, 3, 0, 1}
    # Without positives a false alarm makes no F1 of 0.
    scores = Counts(tp=0, fp=1, fn=0, tn=3).scores()
    assert (scores["accuracy"], scores["true_negative_rate"]) == (0.75, 0.75)
    assert (scores["recall"], scores["precision"], scores["f1"]) == (None, None, None)


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"),
    [
        # Right from 0.21 to 0.80, 60 thresholds: the 30th of them.
        ((0.8,), (0.2,), 0.5),
        # Two true, two false: F1 is 4/6 up to 0.5, 2/5 up to 0.7 and 2/3 up to 0.9. The first
        # stretch is longer, 0.01 to 0.50: its 25th.
        ((0.5, 0.9), (0.7, 0.7), 0.25),
        # The same, but the first stretch ends at 0.1: now 0.71 to 0.90 is longer: its 10th.
        ((0.1, 0.9), (0.7, 0.7), 0.8),
        # One threshold alone.
        ((0.5,), (0.49,), 0.5),
        # Never right: every threshold is as good.
        ((0.0,), (1.0,), 0.5),
    ],
)
def test_on_a_tie_the_middle_of_the_longest_stretch_is_best(positives, negatives, expected):
    assert tally(positives, negatives).best_threshold() == pytest.approx(expected)


def test_without_positives_or_negatives_there_is_no_best_threshold():
    with pytest.raises(ValueError, match="threshold: expected at least one positive, found none"):
        tally(negatives=(0.5,)).best_threshold()
    with pytest.raises(ValueError, match="threshold: expected at least one negative, found none"):
        tally(positives=(0.5,)).best_threshold()


# Pixels and fields of a crop.


def test_only_annotated_pixels_count():
    label = np.array([[2, 0, NONE_OF_THESE, IGNORE, IGNORE]], np.uint8)
    probability = np.array([[0.9, 0.9, 0.1, 0.9, np.nan]], np.float32)
    made = CropTally()
    made.add(probability, label, np.zeros((1, 5), np.uint32), crop=2)
    # Another class and none of these are negatives; unknown pixels do not count.
    assert made.pixels.counts(0.5) == Counts(tp=1, fp=1, fn=0, tn=1)
    assert made.fields.total == 0


def test_an_annotated_pixel_without_a_probability_is_never_skipped():
    label = np.array([[2, 0]], np.uint8)
    probability = np.array([[0.9, np.nan]], np.float32)
    with pytest.raises(ValueError, match="found 1 annotated pixels without one"):
        CropTally().add(probability, label, np.zeros((1, 2), np.uint32), crop=2)


def test_a_field_has_the_mean_probability_and_the_truth_of_its_majority():
    label = np.array([[0, 0, 0, 1, 1, 1, 0, NONE_OF_THESE, IGNORE, 0, 1]], np.uint8)
    fields = np.array([[7, 7, 7, 9, 9, 9, 9, 11, 9, 0, 13]], np.uint32)
    probability = np.array([[1, 0.5, 0, 0.8, 0.8, 0.8, 0, 0.3, 1, 1, 0.35]], np.float32)
    made = CropTally()
    made.add(probability, label, fields, crop=1)
    # 7 is no field of class 1 and has 0.5. Of 9, three of four known pixels are class 1, with a
    # mean of 0.6; its unknown pixel does not count. 11 is none of these. 13 is one pixel.
    assert (made.fields.positives, made.fields.total) == (2, 4)
    assert made.fields.counts(0.35) == Counts(tp=2, fp=1, fn=0, tn=1)
    assert made.fields.counts(0.5) == Counts(tp=1, fp=1, fn=1, tn=1)
    assert made.fields.counts(0.6).tp == 1 and made.fields.counts(0.61).tp == 0


def test_half_a_field_is_no_majority():
    made = CropTally()
    label = np.array([[1, 0]], np.uint8)
    made.add(np.ones((1, 2), np.float32), label, np.ones((1, 2), np.uint32), crop=1)
    assert made.fields.counts(0.5) == Counts(tp=0, fp=1, fn=0, tn=0)


def test_fields_of_two_cubes_are_apart():
    made = CropTally()
    for value in (0.2, 0.9):
        probability = np.full((1, 2), value, np.float32)
        made.add(probability, np.ones((1, 2), np.uint8), np.ones((1, 2), np.uint32), crop=1)
    assert made.fields.counts(0.5) == Counts(tp=1, fp=0, fn=1, tn=0)
    assert made.pixels.counts(0.5) == Counts(tp=2, fp=0, fn=2, tn=0)
