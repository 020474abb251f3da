"""Weights of a mixture: solved by hand where that can be, else known by the mark of an optimum."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from cropmap_jax.evaluation import cube_predictions, mixtures, weighing
from cropmap_jax.evaluation.mixtures import Answers
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.inference import pools


def answers(truth, weights=None, fields=None) -> Answers:
    truth = np.asarray(truth, float)
    count = len(truth)
    return Answers(
        truth,
        np.ones(count) if weights is None else np.asarray(weights, float),
        np.arange(count) if fields is None else np.asarray(fields),
    )


def test_two_methods_are_weighed_as_on_paper():
    # Under w and 1 - w the log-odds of the truth are x = log 4 (2 w - 1) in three questions and
    # -x in one: 3 log s(x) + log s(-x) is highest at s(x) = 3 / 4, which is x = log 3.
    asked = answers([[0.8, 0.2], [0.2, 0.8]], weights=[3, 1])
    expected = (1 + np.log(3) / np.log(4)) / 2
    found = mixtures.fit(asked, [0, 1])
    np.testing.assert_allclose(found, [expected, 1 - expected], atol=1e-5)
    likely = (3 * np.log(3 / 4) + np.log(1 / 4)) / 4
    assert mixtures.log_likelihood(asked, found) == pytest.approx(likely, abs=1e-9)


def test_what_another_does_better_everywhere_weighs_nothing():
    better = answers([[0.9, 0.6], [0.8, 0.7], [0.9, 0.0]])
    assert mixtures.fit(better, [0, 1]).tolist() == [1, 0]


def test_members_of_one_kind_weigh_the_same():
    # The first two together are as the first of `test_two_methods...`.
    odds = np.log(4) + np.array([1.5, -1.5])
    pair = 1 / (1 + np.exp(-odds))
    asked = answers([[*pair, 0.2], [*(1 - pair), 0.8]], weights=[3, 1])
    both = (1 + np.log(3) / np.log(4)) / 2
    found = mixtures.fit(asked, [0, 0, 1])
    np.testing.assert_allclose(found, [both / 2, both / 2, 1 - both], atol=1e-5)


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_no_method_would_gain_by_more_weight(seed, methods):
    rng = np.random.default_rng(seed)
    truth = rng.beta(2, 1, (40, methods))
    asked = answers(truth, rng.uniform(0.1, 1, 40))
    weights = mixtures.fit(asked, range(methods))
    assert weights.min() >= 0 and weights.sum() == pytest.approx(1)
    # The mark of the optimum: the slope is the same for all that weigh something, and no larger
    # for any other.
    odds = special.logit(np.clip(truth, pools.SURELY, 1 - pools.SURELY))
    rest = asked.weights / asked.weights.sum() * special.expit(-odds @ weights)
    slope = odds.T @ rest
    assert slope.max() < weights @ slope + 2e-3
    np.testing.assert_allclose(slope[weights > 0.01], weights @ slope, atol=2e-3)


def test_the_gain_is_of_fields_that_the_weights_have_not_seen():
    rng = np.random.default_rng(0)
    fields = np.repeat(np.arange(40), 5)
    noise = rng.uniform(-0.05, 0.05, (200, 2))
    better = mixtures.gain(answers(np.array([0.9, 0.5]) + noise, fields=fields), [0, 1])
    # Weights end at the first method alone; both have odds of 9 ** 0.5 = 3: a p of .75.
    assert better.low > 0.1 and better.low < better.mean < better.high
    assert better.mean == pytest.approx(np.log(0.9 / 0.75), abs=0.01)
    alike = mixtures.gain(answers(np.array([0.7, 0.7]) + noise, fields=fields), [0, 1])
    assert alike.low <= 0 and abs(alike.mean) < 0.01
    # One field that says otherwise decides nothing.
    odd = np.tile([0.7, 0.7], (200, 1))
    odd[:5] = [0.99, 0.1]
    assert mixtures.gain(answers(odd, fields=fields), [0, 1]).low <= 0


def prediction(given, label, fields, seen=None) -> cube_predictions.CubePrediction:
    given = np.asarray(given, np.float32)
    crops = given.shape[-1]
    return cube_predictions.CubePrediction(
        index=0,
        cube_id="cube",
        probability=given,
        as_of=np.zeros(crops, int),
        window_end=np.zeros(crops, int),
        label=np.asarray(label, np.uint8),
        fields=np.asarray(fields, np.uint32),
        rgb=[],
        seen=np.isfinite(given) if seen is None else seen,
        sensors=[frozenset()] * crops,
        gap=[0] * crops,
    )


def test_each_pixel_is_asked_about_each_class_and_fields_count_as_their_root():
    # Two members, two classes; a field of four pixels, one of one, and a pixel of none of these.
    label = [[0, 0, 0, 0, 1, NONE_OF_THESE, IGNORE]]
    fields = [[7, 7, 7, 7, 9, 0, 0]]
    given = np.tile([0.9, 0.2, 0.6, 0.3], (1, 7, 1)).astype(np.float32)
    given[0, 4, [1, 3]] = np.nan  # nothing was seen in the second class's window
    asked, classes = weighing._of_cube(prediction(given, label, fields), 2, 2, 1)
    assert classes == {0, 1}
    by_field = {}
    for truth, weight, field in zip(asked.truth, asked.weights, asked.fields, strict=True):
        by_field.setdefault(int(field), []).append((*truth.round(4).tolist(), weight))
    found = sorted(by_field.values(), key=len)
    assert found == [
        [(pytest.approx(0.1), pytest.approx(0.4), 1)],
        [(pytest.approx(0.1), pytest.approx(0.4), 1), (pytest.approx(0.8), pytest.approx(0.7), 1)],
        [
            (pytest.approx(0.9), pytest.approx(0.6), 0.5),
            (pytest.approx(0.8), pytest.approx(0.7), 0.5),
        ]
        * 4,
    ]
    # Of every second pixel of a field the root is the same.
    some, _ = weighing._of_cube(prediction(given, label, fields), 2, 2, 2)
    assert len(some.weights) == 4 + 1 + 2
    assert (
        np.bincount(some.fields, some.weights).tolist()
        == np.bincount(asked.fields, asked.weights).tolist()
    )
