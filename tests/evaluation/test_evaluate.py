"""A split from predictions to rows of the table."""

import numpy as np
import pytest
from inference.stand_ins import StandIn
from training import small_data
from training.small_data import Ground, day

from cropmap_jax.baselines import settings
from cropmap_jax.evaluation import baselines, evaluate
from cropmap_jax.evaluation.evaluate import Chosen
from cropmap_jax.evaluation.metrics import Counts, CropTally
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

JUNE = day("2022-06-01")


def half_right(examples):
    """Says 0.9 for class 0 in even columns, 0.2 elsewhere; class 1 is 0.35 everywhere."""
    answers = []
    for example in examples:
        number = example["pixels"]["s1"][-1, ..., small_data.NUMBER]
        first = np.where(number % 2 == 0, 0.9, 0.2)
        answers.append(np.stack([first, 0 * first + 0.35, 0 * first], -1).astype(np.float32))
    return answers


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
        StandIn(half_right), "test", data, 2, [0, 1], dates, lambda p: seen.append(p.cube_id)
    )
    assert seen == ["cube0", "cube2"]
    # Half of each row of 14 is taken for class 0: of class 0, of class 1 and none of these.
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
    _, leads = evaluate.tally_split(
        StandIn(half_right), "test", data, 2, [0, 1], np.full((1, 2), JUNE)
    )
    assert leads == [None, (61, 61)]


def tallied(probability, label, crop=0, seen=None) -> CropTally:
    made = CropTally()
    shape = (1, len(label))
    made.add(
        np.array([probability], np.float32),
        np.array([label], np.uint8),
        np.arange(1, len(label) + 1, dtype=np.uint32).reshape(shape),
        crop,
        None if seen is None else np.array([seen]),
    )
    return made


def test_thresholds_come_from_the_pixels_and_only_where_something_can_be_chosen():
    unseen = tallied([0.8, 0.2], [0, 1], seen=[False, False])
    tallies = [tallied([0.8, 0.2], [0, 1]), tallied([0.8, 0.2], [1, 2]), tallied([0.8], [0])]
    found = evaluate.choose_thresholds([*tallies, unseen], "validation")
    # Right from 0.21 to 0.80; the middle is 0.5.
    assert found == [
        Chosen(0.5),
        Chosen(0.35, "no annotated pixel is of this crop in validation"),
        Chosen(0.35, "every annotated pixel is of this crop in validation"),
        Chosen(0.35, "no annotated pixel with an image in validation"),
    ]
    assert [c.value for c in evaluate.no_thresholds([0, 1])] == [0.35, 0.35]


def test_rows_are_per_crop_unit_and_threshold():
    tallies = [tallied([0.8, 0.4], [0, 1]), tallied([0.8, 0.4], [1, 1]), CropTally()]
    chosen = [Chosen(0.5), Chosen(0.35, "none"), Chosen(0.5)]
    rows = evaluate.score_rows(
        "network", ["rye", "pea", "oats"], tallies, [(30, 31), None, None], chosen
    )
    found = [(r["crop"], r["unit"], r["rule"], r["threshold"]) for r in rows]
    # Of oats nothing was annotated, so there are no fields.
    assert found == [
        ("rye", "pixels", "fixed", 0.35),
        ("rye", "pixels", "chosen", 0.5),
        ("rye", "fields", "fixed", 0.35),
        ("rye", "fields", "chosen", 0.5),
        ("pea", "pixels", "fixed", 0.35),
        ("pea", "pixels", "chosen", 0.35),
        ("pea", "fields", "fixed", 0.35),
        ("pea", "fields", "chosen", 0.35),
        ("oats", "pixels", "fixed", 0.35),
        ("oats", "pixels", "chosen", 0.5),
    ]
    assert [r["f1"] for r in rows] == [2 / 3, 1, 2 / 3, 1, *6 * [None]]
    reasons = [r["reason"] for r in rows[::2]]
    assert reasons[:2] == [None, None] and reasons[4] == "no annotated pixel"
    assert reasons[2:4] == [f"no annotated {unit} is of this crop" for unit in ("pixel", "field")]
    assert [r["threshold_reason"] for r in rows[4:6]] == [None, "none"]
    assert rows[0] == {
        "crop": "rye",
        "method": "network",
        "unit": "pixels",
        "rule": "fixed",
        "threshold": 0.35,
        "threshold_reason": None,
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
        "without_image": 0,
        "reason": None,
    }


def test_ground_that_was_not_seen_is_counted_apart():
    label, fields = [0, 0, 1, 1, 0], np.array([1, 1, 2, 2, 3])
    made = CropTally()
    made.add(
        np.array([[0.9, np.nan, 0.2, 0.2, np.nan]], np.float32),
        np.array([label], np.uint8),
        fields[None].astype(np.uint32),
        0,
        np.array([[True, False, True, True, False]]),
    )
    # Field 1 was seen in part and counts with that part, field 3 was not seen at all.
    assert made.pixels.counts(0.5) == Counts(tp=1, fp=0, fn=0, tn=2)
    assert made.fields.counts(0.5) == Counts(tp=1, fp=0, fn=0, tn=1)
    assert made.unseen == {"pixels": 2, "fields": 1}


def hidden(label, fields, missing):
    """A dataset of one test cube of 8 x 8 pixels; `missing(record)` takes its images away."""
    data = small_data.make_dataset([Ground("test", label, fields)])
    for record in data.records["test"]:
        missing(record)
    return data


def hide(*sensors, rows=slice(None), periods=slice(None)):
    def missing(record):
        for sensor in sensors:
            record[sensor][periods, rows] = -32768

    return missing


def count_unseen(missing):
    """Tally of class 0 (four rows of class 0, four of class 1) from the last two periods."""
    label = np.repeat(np.array([0, 1], np.uint8), 4)[:, None] * np.ones((1, 8), np.uint8)
    data = hidden(label, (label + 1).astype(np.uint32), missing)
    dates = np.full((1, 1), JUNE)  # April and May: periods 3 and 4
    ((tally,), _) = evaluate.tally_split(StandIn(half_right), "test", data, 2, [0], dates)
    return tally


@pytest.mark.parametrize(
    ("missing", "unseen", "sensors"),
    [
        (hide(), 0, {"s1", "s2"}),
        # One sensor is enough to have seen a pixel.
        (hide("s2"), 0, {"s1"}),
        (hide("s1"), 0, {"s2"}),
        (hide("s1", "s2", rows=slice(0, 3)), 24, {"s1", "s2"}),
        # Seen outside the window only.
        (hide("s1", "s2", rows=slice(0, 3), periods=slice(3, 5)), 24, {"s1", "s2"}),
        # Seen once in the window.
        (hide("s1", "s2", periods=slice(4, 5)), 0, {"s1", "s2"}),
        (hide("s1", "s2"), 64, set()),
    ],
)
def test_a_pixel_is_scored_if_any_sensor_has_a_value_in_the_window(missing, unseen, sensors):
    tally = count_unseen(missing)
    assert tally.unseen == {"pixels": unseen, "fields": {64: 2}.get(unseen, 0)}
    assert tally.pixels.total == 64 - unseen and tally.sensors == sensors


def test_sensors_that_some_cubes_lack_and_empty_periods_at_the_end_are_kept():
    assert count_unseen(hide()).lacking == count_unseen(hide("s1", "s2")).lacking == {}
    assert count_unseen(hide("s1")).lacking == {"s1": ["cube0"]}
    assert count_unseen(hide("s2", periods=slice(4, 5))).gaps == {}
    assert count_unseen(hide("s1", "s2", periods=slice(4, 5))).gaps == {"cube0": 31}  # May
    assert count_unseen(hide("s1", "s2")).gaps == {}


def test_a_single_band_of_a_single_period_is_seen():
    def missing(record):
        hide("s1", "s2")(record)
        record["s2"][4, 2, :, 9] = 7

    tally = count_unseen(missing)
    assert tally.unseen == {"pixels": 56, "fields": 1} and tally.sensors == {"s2"}


def test_each_crop_has_its_own_window_and_so_its_own_unseen_ground():
    label = np.zeros((8, 8), np.uint8)
    data = hidden(label, None, hide("s1", "s2", periods=slice(3, 5)))
    dates = np.array([[JUNE, day("2022-07-01")]])
    tallies, _ = evaluate.tally_split(StandIn(half_right), "test", data, 2, [0, 1], dates)
    # As of 1 July, June is in the window and was seen.
    assert [t.unseen["pixels"] for t in tallies] == [64, 0]


def test_the_forest_is_not_scored_where_nothing_was_seen():
    label = np.tile(np.array([0, 1], np.uint8), (8, 4))
    data = small_data.make_dataset([Ground("train", label), Ground("test", label)])
    hide("s1", "s2", rows=slice(0, 5))(data.records["test"][0])
    dates = np.full((2, 1), JUNE)
    few = settings.find(["forest"], "", {"trees": 3})["forest"]
    forests = baselines.train(few, data, "train", 2, dates)
    ((tally,), _) = evaluate.tally_split(forests, "test", data, 2, [0], dates)
    assert (tally.pixels.total, tally.unseen["pixels"]) == (24, 40)


def test_dates_without_images_are_refused_or_said():
    label = np.zeros((8, 8), np.uint8)
    data = small_data.make_dataset([Ground("train", label), Ground("test", label)])

    def check(date, flag="--as_of", splits=("test",)):
        return evaluate.check_windows(data, splits, np.full((2, 1), day(date)), 2, flag)

    # The cubes end on 31 August; up to a period after it, nothing needs a note.
    assert check("2022-09-01") == check("2022-10-01") == []
    with pytest.raises(ValueError, match="cube cube1: as-of 2022-01-31 lies before .*2022-02-01"):
        check("2022-01-31")
    (note,) = check("2022-11-01", splits=("test", "train"))
    assert "2 cubes" in note and "2022-09-01, 61 days before" in note
    with pytest.raises(ValueError, match="--as_of: expected .*2022-09-01.*found 2099-01-01"):
        check("2099-01-01")
    assert "cube1" in check("2024-01-01", flag="")[0]
