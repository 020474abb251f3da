"""Sums of reliability against scikit-learn and against arithmetic by hand."""

import numpy as np
import pytest
from sklearn import metrics

from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.evaluation.dated import Outputs
from cropmap_jax.evaluation.histograms import Histogram
from cropmap_jax.evaluation.reliability import CropReliability, MapReliability
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

THREE = Outputs(3, exclusive=True, none_of_these=True)


def cube(rng, index=0, size=24, classes=3):
    """A cube of fields of 4 x 4 pixels, some without a label, some not seen."""
    cells = rng.choice([*range(classes), NONE_OF_THESE, IGNORE], (size // 4, size // 4))
    label = np.kron(cells, np.ones((4, 4))).astype(np.uint8)
    number = np.kron(np.arange(cells.size).reshape(cells.shape) + 1, np.ones((4, 4)))
    p = rng.dirichlet(np.ones(classes + 1), (size, size))[..., :classes].astype(np.float32)
    seen = np.ones((size, size, classes), bool)
    seen[:2] = False
    p[~seen] = np.nan
    nothing = np.zeros(classes, np.int64)
    return CubePrediction(
        index, f"cube_{index}", p, nothing, nothing, label,
        np.where(label == IGNORE, 0, number).astype(np.uint32), [], seen,
        [frozenset[str]()] * classes, [0] * classes,
    )  # fmt: skip


def rows_of(one):
    """Probability of three classes and the rest, truth, of what counts."""
    there = (one.label != IGNORE) & one.seen.any(-1)
    p = one.probability[there]
    whole = np.concatenate([p, 1 - p.sum(1, keepdims=True)], 1)
    return whole, np.where(one.label[there] == NONE_OF_THESE, 3, one.label[there])


def test_the_error_is_the_weighted_gap_of_bins():
    found = Histogram()
    # In bins [0, 1/15) and [14/15, 1]: gaps of |0 - 0.05| and |0.5 - 0.95|.
    found.add(np.array([0.05, 0.95, 0.95]), np.array([False, True, False]), np.array([2.0, 1, 1]))
    assert found.error() == pytest.approx((2 * 0.05 + 2 * 0.45) / 4)


def test_a_perfect_forecast_has_no_error_and_bins_count_all_weight():
    rng = np.random.default_rng(0)
    p = rng.random(200_000)
    found = Histogram()
    found.add(p, rng.random(len(p)) < p, np.ones(len(p)))
    assert found.error() < 0.01
    rows = found.diagram()
    assert len(rows) == 10 and sum(row["weight"] for row in rows) == pytest.approx(len(p))
    assert max(abs(row["said"] - row["true"]) for row in rows) < 0.02


def test_precision_and_recall_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    truth = rng.random(3000) < 0.3
    # Numbers with a bin of their own each: ties are ties for both.
    p = np.round(np.clip(0.4 * truth + rng.random(3000) * 0.6, 0, 0.999) * 1000) / 1000
    weight = rng.random(3000)
    found = Histogram()
    found.add(p + 1e-4, truth, weight)
    _, area = found.precision_recall()
    expected = metrics.average_precision_score(truth, p, sample_weight=weight)
    assert area == pytest.approx(expected, abs=1e-9)


def test_abstention_orders_by_how_sure_it_is():
    found = Histogram()
    p = np.array([0.9, 0.8, 0.7, 0.6])
    found.add(p, np.array([True, True, False, True]), np.ones(4))
    curve, area = found.abstention()
    kept = [(row["kept"], row["accuracy"]) for row in curve]
    assert kept == [(0.25, 1), (0.5, 1), (0.75, pytest.approx(2 / 3)), (1, 0.75)]
    assert area == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)


def test_scores_of_a_map_are_those_of_scikit_learn():
    one = cube(np.random.default_rng(2))
    found = MapReliability(THREE)
    found.add(one, "block")
    whole, truth = rows_of(one)
    weight = np.full(len(truth), np.nan)
    there = (one.label != IGNORE) & one.seen.any(-1)
    ids = one.fields[there]
    for field in np.unique(ids):
        own = ids == field
        weight[own] = 1 / np.sqrt(own.sum())
    made = found.to_json()
    expected = metrics.log_loss(truth, whole, sample_weight=weight, labels=range(4))
    assert made["log_loss"] == pytest.approx(expected, rel=1e-5)
    right = np.average(whole.argmax(1) == truth, weights=weight)
    assert made["accuracy"] == pytest.approx(right)
    square = ((whole - np.eye(4)[truth]) ** 2).sum(1)
    assert made["brier"] == pytest.approx(np.average(square, weights=weight), rel=1e-5)
    assert made["aurc"] > 0 and made["abstention"][-1]["kept"] == pytest.approx(1)


def test_scores_of_crops_are_those_of_scikit_learn():
    one = cube(np.random.default_rng(3))
    found = CropReliability(["a", "b", "c"])
    found.add(one, [0, 1, 2])
    whole, truth = rows_of(one)
    ids = one.fields[(one.label != IGNORE) & one.seen.any(-1)]
    _, dense, sizes = np.unique(ids, return_inverse=True, return_counts=True)
    weight = 1 / np.sqrt(sizes)[dense]
    for i, name in enumerate("abc"):
        row = found.to_json()["crops"][name]
        common = (truth == i, whole[:, i])
        expected = metrics.brier_score_loss(*common, sample_weight=weight)
        assert row["brier"] == pytest.approx(expected, rel=1e-5)
        expected = metrics.log_loss(*common, sample_weight=weight)
        assert row["log_loss"] == pytest.approx(expected, rel=1e-5)


def test_sums_of_cubes_can_be_added_up():
    rng = np.random.default_rng(4)
    cubes = [cube(rng, i) for i in range(3)]
    together = MapReliability(THREE, {0.9: 0.5})
    for i, one in enumerate(cubes):
        together.add(one, f"block {i % 2}")
    parts = [MapReliability(THREE, {0.9: 0.5}) for _ in cubes]
    for i, (part, one) in enumerate(zip(parts, cubes, strict=True)):
        part.add(one, f"block {i % 2}")
    parts[0].merge(parts[1])
    parts[0].merge(parts[2])
    first, second = together.to_json(), parts[0].to_json()
    assert first["ece"] == pytest.approx(second["ece"])
    assert first["sets"][0]["covered"] == pytest.approx(second["sets"][0]["covered"])
    assert set(first["ece_of_blocks"]) == {"block 0", "block 1"}


def test_sets_hold_the_truth_as_often_as_counted_by_hand():
    one = cube(np.random.default_rng(5))
    found = MapReliability(THREE, {0.9: 0.6, 0.5: None})
    found.add(one, "block", np.array([True, True, False]))
    rows = {row["stated"]: row for row in found.to_json()["sets"]}
    # Every class that is possible: two, and none of these.
    assert rows[0.5]["covered"] == 1 and rows[0.5]["size"] == 3
    assert 0 < rows[0.9]["covered"] < 1 and rows[0.9]["size"] < 3


def test_without_a_pixel_there_is_no_number():
    found = MapReliability(THREE, {0.9: 0.5}).to_json()
    assert found["ece"] is None and found["aurc"] is None and found["abstention"] == []
    assert found["sets"][0]["covered"] is None
    row = CropReliability(["a"]).to_json()
    assert row["ece"] is None and row["crops"]["a"]["average_precision"] is None


def test_classes_that_do_not_exclude_each_other_have_no_map():
    with pytest.raises(ValueError, match="exclusive"):
        MapReliability(Outputs(3, exclusive=False, none_of_these=False))
