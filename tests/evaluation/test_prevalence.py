"""Shares of classes on all ground: files, and what probabilities alone tell."""

import dataclasses

import numpy as np
import pytest
from evaluation import samples

from cropmap_jax.evaluation import calibrating, landscape, prevalence
from cropmap_jax.geo.legend import Legend, make_class
from cropmap_jax.inference.calibrated import Calibration

LEGEND = Legend("three", tuple(make_class(i, i, name) for i, name in enumerate("abc")))


def write(tmp_path, text):
    file = tmp_path / "shares.csv"
    file.write_text(text)
    return file


def test_shares_are_read_by_name_and_what_is_not_named_is_not_there(tmp_path):
    file = write(tmp_path, "class,share\nnone_of_these,0.6\n\nb,0.3\na, 0.1\n")
    np.testing.assert_allclose(prevalence.read(file, LEGEND, True), [0.1, 0.3, 0, 0.6])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class,share\na,0.5\nb,0.4\n", "add up to 1 .none_of_these included., found 0.9"),
        ("class,share\na,0.5\nrice,0.5\n", "line 3: expected one of a, b, c, none_of_these"),
        ("class,share\na,0.5\na,0.5\n", "line 3: expected each class once, found a twice"),
        ("class,share\na,half\n", "line 2: expected a share from 0 to 1, found 'half'"),
        ("class,share\na,nan\n", "line 2: expected a share from 0 to 1, found 'nan'"),
        ("class,share\na,0.5,1\n", "line 2: expected one of"),
        ("a,0.5\n", "expected a first line class,share, found 'a,0.5'"),
        ("", "expected a first line class,share, found 'nothing'"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_line(tmp_path, text, said):
    with pytest.raises(ValueError, match=said) as raised:
        prevalence.read(write(tmp_path, text), LEGEND, True)
    assert "shares.csv" in str(raised.value) and "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.csv: expected a CSV file, found none"):
        prevalence.read(tmp_path / "none.csv", LEGEND, True)


def elsewhere(shares, seed=1, count=20_000):
    """What a calibrated network says of ground where classes have other shares than annotated.

    What it sees of a class is a point of a normal distribution about a corner of its own.
    """
    rng = np.random.default_rng(seed)
    truth = rng.choice(4, count, p=shares)
    seen = 1.5 * np.eye(4)[truth] + rng.normal(size=(count, 4))
    likely = np.exp(1.5 * seen)  # each class's density, up to a factor that all share
    known = np.array([0.3, 0.3, 0.2, 0.2])
    said = likely * known
    return said / said.sum(1, keepdims=True), known, truth


def test_shares_are_found_from_probabilities_alone():
    wanted = np.array([0.05, 0.15, 0.1, 0.7])
    said, known, truth = elsewhere(wanted)
    found = prevalence.estimate(said, known)
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(found, wanted, atol=0.02)
    made = Calibration("temperature", True, True, 1.0, ratios=prevalence.ratios(found, known, True))
    after = made.columns(said)
    np.testing.assert_allclose(after.mean(0), wanted, atol=0.02)

    def loss(p):
        return -np.log(p[np.arange(len(p)), truth]).mean()

    assert loss(after) < loss(said) - 0.1


def test_where_shares_are_the_same_nothing_changes():
    said, known, _ = elsewhere(np.array([0.3, 0.3, 0.2, 0.2]))
    np.testing.assert_allclose(prevalence.estimate(said, known), known, atol=0.02)


def test_a_class_that_nobody_annotated_does_not_take_over():
    wanted = np.array([0.1, 0.15, 0.05, 0.7])
    said, known, truth = elsewhere(wanted)
    known = np.where([True, True, False, True], known, 0) / (1 - known[2])
    shown = (said.argmax(1) == 2).mean()
    for shares in (prevalence.estimate(said, known), wanted):
        found = prevalence.ratios(shares, known, True)
        assert found[2] == 1 and found[3] > 1
        made = Calibration("temperature", True, True, 1.0, ratios=found)
        after = made.columns(said).argmax(1)
        assert (after == 2).mean() < 1.5 * shown
        assert (after == truth).mean() > (said.argmax(1) == truth).mean()
    # What the statistics of a province say is nowhere, is not mapped.
    assert prevalence.ratios(np.array([0.5, 0.5, 0, 0]), known, True)[2] == 0
    (alone,) = prevalence.ratios(np.array([0.1]), np.array([0.0]), exclusive=False)
    assert alone == 1


def test_shares_are_asked_of_a_date_that_something_annotated_has():
    sample = dataclasses.replace(samples.make(fields=60), groups=((0,), (1,), (2,)))
    # Of the first date there is no row: nothing that is annotated is planted by then.
    sure = np.arange(len(sample)) % 2
    sample = dataclasses.replace(sample, group=1 + sure)
    right = np.eye(4, dtype=np.float32)[sample.truth]
    whole = np.where(sure[:, None], right, 0.25).astype(np.float32)
    found = calibrating.Found(calibrating.raw(sample.outputs), whole, {})
    assert landscape.best_date(found, sample) == 2
    early = np.where(sure[:, None] > 0, [True, False, False], True)
    assert landscape.best_date(found, dataclasses.replace(sample, possible=early)) == 1


def test_shares_among_annotated_ground_are_those_of_its_weight():
    sample = samples.make(fields=100)
    found = prevalence.annotated(sample)
    expected = [sample.weight[sample.truth == i].sum() for i in range(4)]
    np.testing.assert_allclose(found, expected / sample.weight.sum())
    alone = samples.make(fields=100, exclusive=False)
    assert prevalence.annotated(alone).sum() < 1  # the rest is none of these


def test_one_by_one_odds_are_those_against_all_others():
    (found,) = prevalence.ratios(np.array([0.1]), np.array([0.5]), exclusive=False)
    assert found == pytest.approx(1 / 9)
    made = Calibration("temperature", False, False, 1.0, ratios=(found,))
    assert made(np.array([[0.5]], np.float32))[0, 0] == pytest.approx(0.1, rel=1e-5)


def test_a_calibration_with_ratios_is_rescaled_in_columns_too():
    sample = samples.make(fields=50)
    made = Calibration("temperature", True, True, 1.0, ratios=(1.0, 1.0, 1.0, 3.0))
    found = calibrating.rescaled(made, sample)
    assert (found[:, 3] >= sample.probability[:, 3] - 1e-6).all()
