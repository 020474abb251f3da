"""What a report adds to the curve: reliability with and without a calibration, comparisons."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.inference.calibrated import TEMPERATURE, Calibration
from cropmap_jax.reporting import watching
from cropmap_jax.runs.calibration import Stored
from experiments import _report

SETTINGS = {
    "digest": "d", "step": 3, "fingerprint": "f", "fold": None,
    "split": "test", "threshold_split": "validation", "smooth": None, "calibrated": None,
}  # fmt: skip


def prediction():
    """Four known pixels of two classes: three are right, all with 0.8; one unknown."""
    label = np.array([[0, 0, 1, NONE_OF_THESE, IGNORE]], np.uint8)
    probability = np.full((1, 5, 2), 0.1, np.float32)
    probability[0, [0, 1, 2], [0, 0, 0]] = 0.8
    return CubePrediction(
        index=0, cube_id="a", probability=probability, as_of=np.array([100, 100]),
        window_end=np.array([90, 90]), label=label, fields=np.array([[1, 2, 3, 4, 0]], np.uint32),
        rgb=[], seen=np.ones((1, 5, 2), bool), sensors=[frozenset()] * 2, gap=[0, 0],
    )  # fmt: skip


def watcher(stored=None, planting=(0, 0), exclusive=True):
    recipe = SimpleNamespace(legend=["a", "b"], exclusive=exclusive, none_of_these=True)
    data = SimpleNamespace(planting=np.array([planting]), cubes=[{"block": "b0"}])
    return watching.Watcher(SimpleNamespace(recipe=recipe), data, stored)


def test_reliability_is_shown_before_and_after_calibration():
    calibration = Calibration(TEMPERATURE, True, True, 2.0, ratios=(9.0, 1.0, 1.0))
    fitted = {"fields": 30, "split": "validation", "dataset": "isrc/x"}
    sets = [{"stated": 0.9, "threshold": 1.0}]
    stored = Stored(calibration, {"fitted": fitted, "sets": sets, "prevalence": None})
    watch = watcher(stored)
    watch.of_map(prediction())
    found = watch.to_json()
    before, after = found["map"]["before"], found["map"]["after"]
    assert before["accuracy"] == after["accuracy"] == pytest.approx(0.75)
    assert before["confidence"] == pytest.approx(0.8) and before["sets"] == []
    # sqrt(0.8) among sqrt(0.1) twice; shares of classes are not corrected here.
    assert after["confidence"] == pytest.approx(0.8**0.5 / (0.8**0.5 + 2 * 0.1**0.5), abs=1e-4)
    said = "temperature 2.00, fitted on 30 fields of validation of isrc/x"
    assert after["sets"][0]["covered"] == 1.0 and found["calibration"] == said


def test_what_is_not_planted_yet_counts_in_no_map():
    watch = watcher(planting=(0, 200))
    watch.of_map(prediction())
    # The pixel of class b is left out, and none of these takes its share.
    assert watch.to_json()["map"]["before"]["accuracy"] == 1.0


def test_classes_that_do_not_exclude_each_other_have_no_map_reliability():
    watch = watcher(exclusive=False)
    watch.of_map(prediction())
    assert watch.to_json() == {"calibration": None, "map": None, "crops": None}


@pytest.mark.parametrize(
    "text, note",
    [
        (json.dumps({"settings": SETTINGS, "compare": {"schema": "compare/1", "x": 1}}), None),
        (json.dumps({"settings": SETTINGS | {"step": 4}, "compare": {"schema": "compare/1"}}),
         "is of another run"),
        (json.dumps({"settings": SETTINGS | {"digest": "e"}, "compare": {"schema": "compare/1"}}),
         "is of another run"),
        (json.dumps({"settings": SETTINGS | {"smooth": 5}, "compare": {"schema": "compare/1"}}),
         "is of another run"),
        (json.dumps({"settings": SETTINGS, "compare": {"schema": "compare/2"}}), "another run"),
        ("{", "could not be read"),
        ("[]", "could not be read"),
    ],
)  # fmt: skip
def test_a_comparison_is_taken_where_it_is_of_the_same_scores(tmp_path, text, note):
    file, notes = tmp_path / "compare.json", []
    assert _report._compare(file, SETTINGS, notes) == {} and notes == []
    file.write_text(text)
    found = _report._compare(file, SETTINGS, notes)
    if note is None:
        assert found == {"compare": {"schema": "compare/1", "x": 1}} and notes == []
    else:
        assert found == {} and note in notes[0]
