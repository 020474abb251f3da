"""A calibration finds what was done to probabilities, and says what it is worth."""

import dataclasses

import numpy as np
import pytest
from evaluation import samples

from cropmap_jax.evaluation import calibrating, calibration_scores
from cropmap_jax.evaluation.histograms import Histogram


def error(sample, whole):
    found = Histogram()
    most = whole.argmax(1)
    found.add(whole[np.arange(len(whole)), most], most == sample.truth, sample.weight)
    return found.error()


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_temperature_that_is_lacking_is_found(temperature):
    sample = samples.make(temperature, fields=2000)
    found = calibrating.fit_temperature(sample)
    assert found.temperature == pytest.approx(temperature, rel=0.1)
    assert error(sample, calibrating.rescaled(found, sample)) < 0.03
    assert error(sample, sample.probability) > 0.06


def test_of_classes_one_by_one_too():
    sample = samples.make(3.0, fields=2000, exclusive=False)
    assert calibrating.fit_temperature(sample).temperature == pytest.approx(3.0, rel=0.1)


def test_an_offset_is_found_class_by_class():
    def shifted(right):
        odds = right / (1 - right) * np.array([4.0, 1, 0.25, 1])
        return odds / (1 + odds)

    sample = samples.make(fields=3000, exclusive=False, distort=shifted)
    offsets = [pair[1] for pair in calibrating.fit_platt(sample).platt]
    np.testing.assert_allclose(offsets, [-np.log(4), 0, np.log(4)], atol=0.25)
    found = calibrating.calibrate(sample)
    assert found.calibration.method != "temperature"
    assert found.how["gain_over_temperature"][found.calibration.method]["low"] > 0


def test_what_is_right_already_is_left_alone():
    found = calibrating.calibrate(samples.make(fields=400))
    assert found.calibration.method == "temperature"
    assert found.calibration.temperature == pytest.approx(1, abs=0.2)
    gain = found.how["gain_over_temperature"]["none"]
    assert gain["low"] < 0 < gain["high"] or abs(gain["mean"]) < 0.01
    assert len(found.how["temperature_of_blocks"]) == 6


def test_a_step_function_is_chosen_where_no_temperature_will_do():
    def bent(right):
        said = right.copy()
        said[:, 0] = 0.05 + 0.4 * right[:, 0] ** 3  # hardly ever said, however likely
        return said / said.sum(1, keepdims=True)

    sample = samples.make(fields=2000, distort=bent)
    found = calibrating.calibrate(sample)
    assert found.calibration.method == "isotonic"
    losses = found.how["log_loss"]
    assert losses["isotonic"] < losses["temperature"] < losses["none"]
    assert error(sample, found.held_out) < 0.05


def test_a_class_of_few_fields_has_no_step_function():
    sample = samples.make(fields=200, shares=(0.05, 0.35, 0.35, 0.25))
    assert sample.fields_of()[0] < calibrating.ENOUGH_FIELDS
    knots = calibrating.fit_isotonic(sample).knots
    assert knots[0] is None and all(one is not None for one in knots[1:])
    one_block = dataclasses.replace(sample, block=np.zeros_like(sample.block))
    assert set(calibrating.fit_isotonic(one_block).knots) == {None}


def test_no_row_is_judged_by_what_it_taught():
    sample = samples.make(fields=100, blocks=3)
    fold, kind = calibrating.folds(sample)
    assert kind == "fields"
    for field in np.unique(sample.field):
        assert len(np.unique(fold[sample.field == field])) == 1
    fold, kind = calibrating.folds(samples.make(fields=100, blocks=7))
    assert kind == "blocks" and len(np.unique(fold)) == 7


def test_impossible_classes_stay_impossible():
    sample = samples.make(fields=400)
    possible = sample.possible.copy()
    possible[:, 1] = False
    kept = sample.truth != 1
    sample = dataclasses.replace(sample, possible=possible).of(kept)
    found = calibrating.calibrate(sample, "isotonic")
    assert found.calibration.knots[1] is None
    assert (found.held_out[:, 1] == 0).all()
    np.testing.assert_allclose(found.held_out.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "method", "said"),
    [
        ({"fields": 12}, "auto", "expected 20 annotated fields or more that were seen, found 12"),
        ({}, "platt", "--method: expected temperature, isotonic or auto for this run, found"),
        ({"fields": 40, "blocks": 2}, "isotonic", "expected a class with 30 fields in 3 blocks"),
    ],
)
def test_what_cannot_be_fitted_is_said_in_one_line(change, method, said):
    with pytest.raises(ValueError, match=said) as raised:
        calibrating.calibrate(samples.make(**change), method)
    assert "\n" not in str(raised.value)


def test_sets_of_a_calibrated_run_hold_the_truth_as_often_as_is_said():
    sample = samples.make(2.0, fields=600)
    found = calibrating.calibrate(sample, "temperature")
    thresholds = calibration_scores.thresholds_of(found, sample)
    later = samples.make(2.0, fields=1500, seed=5)
    whole = calibrating.rescaled(found.calibration, later)
    made = calibration_scores.score(later, whole, ["a", "b", "c"], list("uvwxyz"), thresholds)
    for row in made["map"]["sets"]:
        # Standard deviation of about sqrt(0.2 * 0.8 / 600) = 0.016 of either half.
        assert row["covered"] == pytest.approx(row["stated"], abs=0.06)


def test_a_table_and_a_picture_of_scores(tmp_path):
    for exclusive in (True, False):
        sample = samples.make(2.0, fields=60, exclusive=exclusive)
        found = calibrating.calibrate(sample)
        thresholds = calibration_scores.thresholds_of(found, sample)
        common = (["a", "b", "$c_"], list("uvwxyz"))
        before = calibration_scores.score(sample, sample.probability, *common, thresholds)
        after = calibration_scores.score(sample, found.held_out, *common, thresholds)
        text = calibration_scores.table(before, after)
        assert ("class shown" in text) == exclusive and "$c_" in text and "nan" not in text
        file = tmp_path / "picture.png"
        calibration_scores.draw(file, {"a": "A $ of _"}, "test", before, after)
        assert file.read_bytes().startswith(b"\x89PNG")
