"""Counts of folds add up; scores are of the sums, and the spread is of the folds."""

import dataclasses
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropmap_jax.evaluation import map_scores, pooling, whole_fields
from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.evaluation.metrics import Counts
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.mapping import decision

CUBE = {"season": "2022", "crs": "EPSG:32631", "transform": [10.0, 0.0, 0.0, 0.0, -10.0, 0.0]}


def row(counts, crop="rye", method="network", unit="pixels", rule="chosen", **more):
    names = {"crop": crop, "method": method, "unit": unit, "rule": rule, "threshold": 0.4}
    names |= {"threshold_reason": None, "lead_days": [30, 40], "without_image": 1, "reason": None}
    return names | Counts(*counts).scores() | more


@given(st.lists(st.tuples(*[st.integers(0, 1000)] * 4), min_size=1, max_size=6))
def test_pooled_counts_equal_the_sum_of_the_folds(each):
    (found,) = pooling.pool([[row(counts)] for counts in each])
    total = np.sum(each, 0).tolist()
    assert [found[name] for name in pooling.COUNTS] == total
    expected = Counts(*total).scores()
    assert {name: found[name] for name in expected} == expected
    assert found["without_image"] == len(each) == len(found["folds"]["f1"]["each"])
    there = [f1 for f1 in (Counts(*c).scores()["f1"] for c in each) if f1 is not None]
    assert found["folds"]["f1"]["mean"] == (statistics.mean(there) if there else None)


def test_a_pooled_score_is_no_mean_of_scores():
    # One fold of 2 pixels, all right; one of 198 of which half are wrong.
    (found,) = pooling.pool([[row((1, 0, 0, 1))], [row((50, 50, 49, 49), lead_days=[20, 31])]])
    assert found["f1"] == 102 / (102 + 50 + 49)
    assert found["folds"]["f1"]["each"] == [1.0, 100 / 199]
    assert math.isclose(found["folds"]["f1"]["sd"], (1 - 100 / 199) / math.sqrt(2))
    assert found["lead_days"] == [20, 40] and found["thresholds"] == [0.4, 0.4]


def test_a_crop_that_a_fold_lacks_counts_where_it_is():
    rows = [[row((1, 2, 3, 4)), row((5, 0, 0, 5), crop="pea")], [row((0, 0, 0, 9))]]
    rye, pea = pooling.pool(rows)
    assert rye["folds"]["recall"]["each"] == [0.25, None]
    assert rye["folds"]["recall"]["sd"] is None and rye["tn"] == 13
    assert pea["folds"]["f1"]["each"] == [1.0, None] and pea["thresholds"] == [0.4, None]
    (mean,) = pooling.macro([rye, pea])
    assert mean["macro_f1"] == (rye["f1"] + 1) / 2 and mean["crops"] == 2
    assert mean["folds"]["each"] == [(2 / 7 + 1) / 2, None]
    table = pooling.table([rye, pea], [mean])
    assert all(len(line) < 120 for line in table.splitlines()) and "mean of 2" in table


def prediction(probability, label, seen=None, fields=0):
    label = np.array(label, np.uint8)
    probability = np.array(probability, np.float32)
    seen = np.ones(probability.shape, bool) if seen is None else seen
    nothing = np.zeros(0)
    fields = np.broadcast_to(np.array(fields, np.uint32), label.shape)
    return CubePrediction(0, "c", probability, nothing, nothing, label, fields, [], seen, [], [])


def test_the_map_shows_the_most_probable_of_classes_and_none_of_these():
    probability = [[[0.6, 0.3], [0.2, 0.1], [0.4, 0.45]], [[0.1, 0.8], [0.3, 0.3], [0.9, 0.0]]]
    label = [[0, NONE_OF_THESE, 0], [1, 1, IGNORE]]
    tally = map_scores.MapTally(2)
    tally.add(prediction(probability, label))
    # Shown: 0, none, 1; 1, none, -.
    assert tally.confusion("pixels").tolist() == [[[1, 1, 0], [0, 1, 1], [0, 0, 1]]]
    rows = tally.rows("forest", ("rye", "pea"), [(30, 30), (60, 61)])
    counts = [[one[name] for name in pooling.COUNTS] for one in rows]
    assert counts == [[1, 0, 1, 3], [1, 1, 1, 2], [1, 1, 0, 3]]
    assert [one["crop"] for one in rows] == ["rye", "pea", "none_of_these"]
    assert [one["lead_days"] for one in rows] == [(30, 30), (60, 61), None]
    (mean,) = pooling.macro(pooling.pool([rows]))
    assert mean["macro_f1"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert mean["macro_f1_with_none"] == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)


def test_ground_that_nobody_saw_is_not_in_the_map():
    seen = np.ones((1, 2, 2), bool)
    seen[0, 1] = False
    tally = map_scores.MapTally(2)
    tally.add(prediction([[[0.9, 0.1], [np.nan, np.nan]]], [[0, 1]], seen))
    rows = tally.rows("network", ("rye", "pea"), [None, None])
    assert tally.confusion("pixels").sum() == 1 and [one["without_image"] for one in rows] == [1, 1]


def test_a_field_is_shown_as_its_mean_probability_says():
    probability = [[[0.6, 0.3], [0.2, 0.7], [0.1, 0.2]], [[0.3, 0.4], [np.nan] * 2, [np.nan] * 2]]
    label = [[0, 0, NONE_OF_THESE], [1, 1, 1]]
    seen = ~np.isnan(probability)
    one = prediction(probability, label, seen, [[7, 7, 0], [8, 8, 9]])
    pieces = whole_fields.Pieces([CUBE])
    sums = whole_fields.Sums([0, 1])
    sums.add(pieces.add(0, one.label, one.fields), one.label, one.probability, one.seen)
    tally = map_scores.MapTally(2)
    tally.add(one)
    tally.finish(sums.whole(pieces.members()), np.zeros(3, int), np.zeros(3, int))
    # Field 7: 0.4, 0.5, 0.1 of two pixels; of field 8 one pixel was seen, of field 9 none.
    assert tally.confusion("fields").tolist() == [[[0, 1, 0], [0, 1, 0], [0, 0, 0]]]
    rows = tally.rows("forest", ("rye", "pea"), [None, None])
    assert [(one["unit"], one["crop"]) for one in rows[3:]] == [
        ("fields", "rye"),
        ("fields", "pea"),
    ]
    assert [[one[name] for name in pooling.COUNTS] for one in rows[3:]] == [
        [0, 0, 1, 1],
        [1, 1, 0, 0],
    ]
    assert [one["without_image"] for one in rows] == [2, 2, 2, 1, 1]


@given(
    st.integers(1, 4),
    st.booleans(),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_what_is_scored_is_what_predict_would_show(classes, exclusive, possible, seed):
    possible = np.array(possible[:classes])
    possible[seed % classes] = True
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(classes + 1), (5, 6))[..., :-1].astype(np.float32)
    if not exclusive:
        probability = rng.random((5, 6, classes), np.float32)
    expected, _ = decision.decide(probability, possible, exclusive, map_scores.THRESHOLD, True)
    found = map_scores.shown(probability, possible, exclusive)
    assert (np.where(found == classes, NONE_OF_THESE, found) == expected).all()


def test_what_is_not_planted_yet_is_not_in_the_map():
    one = prediction([[[0.6, 0.3]]], [[1]])
    one = dataclasses.replace(one, as_of=np.array([99, 99]))
    for planted, expected in ((99, 0), (100, 1)):
        tally = map_scores.MapTally(2, True, np.array([[planted, 0]]))
        tally.add(one)
        assert np.argwhere(tally.confusion("pixels")[0]).tolist() == [[1, expected]]
