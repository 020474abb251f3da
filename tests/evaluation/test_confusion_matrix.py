"""Figures of a confusion matrix equal scikit-learn's, empty classes included."""

import json

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from cropmap_jax.evaluation import confusion, figure_pictures


def drawn(seed: int, classes: int = 4, size: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Truth and map of `size` pixels, with classes that are not there and some never mapped."""
    rng = np.random.default_rng(seed)
    there = rng.permutation(classes + 1)[: rng.integers(1, classes + 2)]
    mapped = rng.permutation(classes + 1)[: rng.integers(1, classes + 2)]
    truth = rng.choice(there, size)
    shown = np.where(rng.random(size) < 0.6, truth, rng.choice(mapped, size))
    return truth, shown


@pytest.mark.parametrize("seed", range(25))
def test_figures_equal_those_of_scikit_learn(seed):
    truth, shown = drawn(seed)
    labels = list(range(5))
    matrix = sklearn_metrics.confusion_matrix(truth, shown, labels=labels)
    found = confusion.scores(matrix)
    assert found["overall_accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(truth, shown))
    if len(set(truth) | set(shown)) > 1:
        kappa = sklearn_metrics.cohen_kappa_score(truth, shown)
        assert found["kappa"] == pytest.approx(kappa, abs=1e-12)
    else:
        assert np.isnan(found["kappa"])
    precision, recall, f1, support = sklearn_metrics.precision_recall_fscore_support(
        truth, shown, labels=labels, zero_division=np.nan
    )
    assert found["precision"] == pytest.approx(precision, nan_ok=True)
    assert found["recall"] == pytest.approx(recall, nan_ok=True)
    known = support > 0
    assert found["f1"][known] == pytest.approx(f1[known]) and np.isnan(found["f1"][~known]).all()
    own = known[:-1]
    if own.any():
        assert found["macro_f1"] == pytest.approx(f1[:-1][own].mean())
    else:
        assert np.isnan(found["macro_f1"])


def summary(matrix, groups=3, **more):
    by_group = np.array([matrix] * groups)
    by_group[0, 0, 0] += 2
    found = confusion.summary(by_group, ["rye", "pea"], "block", True)
    return found | {"method": "network", "unit": "pixels"} | more


def test_a_class_without_pixels_has_words_and_no_number():
    found = summary([[8, 0, 1], [0, 0, 0], [2, 0, 5]])
    assert json.dumps(found, allow_nan=False)
    pea = found["per_class"][1]
    assert pea["f1"] is pea["producers_accuracy"] is pea["users_accuracy"] is None
    assert pea["reason"] == "nothing annotated is of it; nothing annotated is mapped as it"
    assert found["macro_f1"]["value"] == found["per_class"][0]["f1"]
    table = confusion.table(found)
    assert table.splitlines()[3].split() == ["2", "pea", "0", "0", "0", "-", "-", "-"]
    assert found["overall_accuracy"]["low"] < 41 / 50 < found["overall_accuracy"]["high"]


def test_without_anything_there_is_a_reason():
    found = confusion.summary(np.zeros((2, 3, 3), int), ["rye", "pea"], "block", False)
    assert json.dumps(found, allow_nan=False) and found["reason"] == found["kappa"]["reason"]
    assert found["reason"] == "nothing that is annotated was seen" and "0.5" in found["rule"]


def test_all_of_one_class_has_no_kappa():
    found = confusion.summary(np.array([[[4, 0], [0, 0]]] * 2), ["rye"], "field", True)
    assert found["kappa"]["value"] is None and "one class" in found["kappa"]["reason"]
    assert found["overall_accuracy"]["value"] == 1 and found["overall_accuracy"]["low"] is None
    assert "1.000 (no interval: every field says the same)" in confusion.table(
        found | {"method": "network", "unit": "fields"}
    )


def test_the_picture_is_written_whatever_the_names(tmp_path):
    found = summary([[8, 0, 1], [0, 0, 0], [2, 0, 5]])
    found["classes"] = ["$x_1$ <script>", "_" + "long" * 20, "none_of_these"]
    figure_pictures.confusion(found, "100 %: $title$", tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").stat().st_size > 5000
