"""A split from predictions to rows of the table."""

import numpy as np
import pytest
from training import small_data
from training.small_data import Ground, day

from cropmap_jax.evaluation import evaluate
from cropmap_jax.evaluation.metrics import Counts, CropTally
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

JUNE = day("2022-06-01")


def half_right(examples, group=0):
    """Says 0.9 for class 0 in even columns, 0.2 elsewhere; class 1 is 0.35 everywhere."""
    said = []
    for example in examples:
        number = example["s1"][-1, ..., small_data.NUMBER]
        first = np.where(number % 2 == 0, 0.9, 0.2)
        said.append(np.stack([first, 0 * first + 0.35, 0 * first], -1).astype(np.float32))
    return said


@pytest.mark.parametrize("overlap", [0, 3])
def test_a_split_is_tallied_pixel_by_pixel_whatever_the_chips(overlap):
    # Two cubes of 10 x 14 pixels, of which 3 x 14 are known: rows of class 0, class 1, none.
    label = np.full((10, 14), IGNORE, np.uint8)
    label[2], label[5], label[9] = 0, 1, NONE_OF_THESE
    fields = np.zeros(label.shape, np.uint32)
    fields[2], fields[5] = 1, 2
    grounds = [Ground("test", label, fields), Ground("train", label), Ground("test", label, fields)]
    data = small_data.make_dataset(grounds, overlap=overlap)
    dates = np.full((3, 2), JUNE)
    dates[2] = day("2022-05-31")  # one period less
    seen = []
    tallies, leads = evaluate.tally_split(
        half_right, "test", data, 2, [0, 1], dates, lambda p: seen.append(p.cube_id)
    )
    assert seen == ["cube0", "cube2"]
    # Half of each row of 14 is said to be class 0: of class 0, of class 1 and none of these.
    assert tallies[0].pixels.counts(0.5) == Counts(tp=14, fn=14, fp=28, tn=28)
    # Everything is class 1 at 0.35, and nothing above.
    assert tallies[1].pixels.counts(0.35) == Counts(tp=28, fn=0, fp=56, tn=0)
    assert tallies[1].pixels.counts(0.36) == Counts(tp=0, fn=28, fp=0, tn=56)
    # Two fields a cube, whose means are (0.9 + 0.2) / 2 = 0.55 for class 0.
    assert tallies[0].fields.counts(0.54) == Counts(tp=2, fn=0, fp=2, tn=0)
    assert tallies[0].fields.counts(0.56) == Counts(tp=0, fn=2, fp=0, tn=2)
    # From 1 June, and from 1 May, to the harvests on 1 July and 1 August.
    assert leads == [(30, 30 + 31), (30 + 31, 30 + 31 + 31)]


def test_without_harvest_dates_there_is_no_lead():
    data = small_data.make_dataset(
        [Ground("test", np.zeros((8, 8), np.uint8))], harvest=(0, day("2022-08-01"), 0)
    )
    _, leads = evaluate.tally_split(half_right, "test", data, 2, [0, 1], np.full((1, 2), JUNE))
    assert leads == [None, (61, 61)]


def tallied(probability, label, crop=0) -> CropTally:
    made = CropTally()
    shape = (1, len(label))
    made.add(
        np.array([probability], np.float32),
        np.array([label], np.uint8),
        np.arange(1, len(label) + 1, dtype=np.uint32).reshape(shape),
        crop,
    )
    return made


def test_thresholds_come_from_the_pixels_and_only_where_there_are_positives():
    tallies = [tallied([0.8, 0.2], [0, 1]), tallied([0.8, 0.2], [1, 2])]
    # Right from 0.21 to 0.80; the middle is 0.5.
    assert evaluate.choose_thresholds(tallies) == [0.5, None]


def test_rows_are_per_crop_unit_and_threshold():
    tallies = [tallied([0.8, 0.4], [0, 1]), tallied([0.8, 0.4], [1, 1]), CropTally()]
    rows = evaluate.score_rows(
        "network", ["rye", "pea", "oats"], tallies, [(30, 31), None, None], [0.5, None, 0.5]
    )
    found = [(r["crop"], r["unit"], r["rule"], r["threshold"]) for r in rows]
    # Pea has no chosen threshold, oats nothing that was annotated.
    assert found == [
        ("rye", "pixels", "fixed", 0.35),
        ("rye", "pixels", "chosen", 0.5),
        ("rye", "fields", "fixed", 0.35),
        ("rye", "fields", "chosen", 0.5),
        ("pea", "pixels", "fixed", 0.35),
        ("pea", "fields", "fixed", 0.35),
    ]
    assert [r["f1"] for r in rows] == [2 / 3, 1, 2 / 3, 1, 0, 0]
    assert rows[0] == {
        "crop": "rye",
        "method": "network",
        "unit": "pixels",
        "rule": "fixed",
        "threshold": 0.35,
        "lead_days": (30, 31),
        "accuracy": 0.5,
        "recall": 1,
        "true_negative_rate": 0,
        "precision": 0.5,
        "f1": 2 / 3,
        "tp": 1,
        "fp": 1,
        "fn": 0,
        "tn": 0,
    }
