"""Rescaled probabilities: formulas by hand, what never changes, what nobody has seen."""

import dataclasses

import numpy as np
import pytest
from inference.stand_ins import StandIn

from cropmap_jax.inference.calibrated import CalibratedPredictor, Calibration

COOL = Calibration("temperature", True, True, 0.5)
ONE_BY_ONE = Calibration("temperature", False, False, 2.0)


def draws(count=500, classes=3, seed=0):
    """float32 [count, classes], what none of these leaves."""
    found = np.random.default_rng(seed).dirichlet(np.ones(classes + 1), count)
    return found[:, :classes].astype(np.float32)


def test_a_temperature_of_one_half_squares_what_is_exclusive():
    p = np.array([[0.5, 0.25, 0.0]], np.float32)  # and 0.25 of none of these
    whole = 0.5**2 + 0.25**2 + 0.25**2
    expected = [[0.25 / whole, 0.0625 / whole, 0.0]]
    np.testing.assert_allclose(COOL(p), expected, rtol=1e-6)


def test_without_none_of_these_the_classes_add_up_to_one():
    p = np.array([[0.6, 0.3, 0.1]], np.float32)
    found = dataclasses.replace(COOL, none_of_these=False)(p)
    np.testing.assert_allclose(found, [[0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46]], rtol=1e-6)


def test_one_by_one_the_logit_is_divided_by_the_temperature():
    # logit(0.8) = log 4; half of it is log 2, of probability 2/3.
    found = ONE_BY_ONE(np.array([[0.8, 0.5, 0.2]], np.float32))
    np.testing.assert_allclose(found, [[2 / 3, 0.5, 1 / 3]], rtol=1e-6)
    shifted = dataclasses.replace(
        ONE_BY_ONE, method="platt", platt=((1.0, float(np.log(3))), None, None)
    )
    found = shifted(np.array([[0.5, 0.8, 0.2]], np.float32))  # odds 1 times 3
    np.testing.assert_allclose(found, [[0.75, 2 / 3, 1 / 3]], rtol=1e-6)


def test_ratios_multiply_odds():
    exclusive = Calibration("temperature", True, True, 1.0, ratios=(2.0, 1.0, 1.0, 0.5))
    p = np.array([[0.4, 0.2, 0.0]], np.float32)  # 0.4 of none of these
    np.testing.assert_allclose(exclusive(p), [[0.8 / 1.2, 0.2 / 1.2, 0.0]], rtol=1e-6)
    alone = Calibration("temperature", False, False, 1.0, ratios=(3.0, 1.0, 0.0))
    found = alone(np.array([[0.5, 0.3, 0.9]], np.float32))
    np.testing.assert_allclose(found, [[0.75, 0.3, 0.0]], rtol=1e-5)


def test_a_step_function_is_looked_up_and_normalised():
    half = ((0.0, 1.0), (0.0, 0.5))
    same = ((0.0, 1.0), (0.0, 1.0))
    made = Calibration("isotonic", True, True, 1.0, knots=(half, same, same, same))
    p = np.array([[0.5, 0.25, 0.125]], np.float32)
    # 0.25, 0.25, 0.125 and 0.125 of none of these, of sum 0.75
    np.testing.assert_allclose(made(p), [[1 / 3, 1 / 3, 1 / 6]], rtol=1e-3)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_a_temperature_keeps_the_order_of_classes_and_of_none_of_these(temperature):
    p = draws()
    q = dataclasses.replace(COOL, temperature=temperature)(p)

    def whole(values):
        return np.concatenate([values, 1 - values.sum(1, keepdims=True)], 1)

    assert (whole(p).argmax(1) == whole(q).argmax(1)).all()
    assert (q >= 0).all() and (q.sum(1) <= 1 + 1e-5).all()


@pytest.mark.parametrize(
    "made",
    [
        COOL,
        ONE_BY_ONE,
        Calibration("isotonic", True, True, 1.0, knots=(((0.0, 1.0), (0.1, 0.9)),) * 4),
        Calibration("isotonic", False, False, 1.0, knots=(((0.0, 1.0), (0.1, 0.9)),) * 3),
    ],
)
def test_columns_say_what_the_call_says_and_nan_stays_nan(made):
    p = draws()
    whole = p
    if made.has_none:
        whole = np.concatenate([p, np.maximum(1 - p.sum(1, keepdims=True), 0)], 1)
    np.testing.assert_allclose(made(p), made.columns(whole)[:, :3], atol=2e-6)
    p[7] = np.nan
    found = made(p.reshape(20, 25, 3))
    assert found.shape == (20, 25, 3) and found.dtype == np.float32
    assert np.isnan(found[0, 7]).all() and np.isnan(found).sum() == 3


def test_of_combined_runs_only_the_mean_is_rescaled():
    p = draws(64).reshape(8, 8, 3)
    both = np.concatenate([p, p], -1)
    bare = StandIn(lambda examples: [both] * len(examples), halo=5, batch_size=3)
    made = CalibratedPredictor(bare, COOL, 3)
    example = {"wanted": np.ones((8, 8), bool)}
    (found,) = made.predict([example])
    np.testing.assert_array_equal(found[..., :3], COOL(p))
    np.testing.assert_array_equal(found[..., 3:], p)
    assert (made.halo, made.batch_size, made.per_group) == (5, 3, False)
