"""A program answers what its run does, and what numpy makes of raw values in float64."""

import dataclasses

import jax
import numpy as np
import pytest
from product import made_runs

from cropmap_jax.geo import indices
from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.inference.calibrated import Calibration
from cropmap_jax.product import comparing, program
from cropmap_jax.training import scaling

# Float32 rounds each of some hundred sums of numbers up to 10 by 6e-8 of them at most; a softmax
# passes on no more than its logits' error.
ROUNDING = 1e-5


def own_in_float64(run, arrays):
    """`pixel_series` of one hidden layer, from values in their units."""
    *values, _ = arrays
    inputs, flags = [], []
    for sensor, x in zip(SENTINEL, values, strict=True):
        exact = np.rint(x.astype(np.float64) * sensor.scale) / sensor.scale
        found = indices.compute(exact, sensor, run.recipe.found_indices)
        mean, std = (np.array(one)[:, None, None] for one in run.recipe.statistics[sensor.name])
        unit = np.clip((found - mean) / std, -scaling.CLIP, scaling.CLIP)
        inputs.append(np.nan_to_num(unit))
        flags.append(np.isfinite(found).any(-1, keepdims=True).astype(np.float64))
    x = np.concatenate([*inputs, *flags], -1)
    x = np.moveaxis(x, 1, 3).reshape(*x.shape[:1], *x.shape[2:4], -1)
    for name in ("layer_0", "head"):
        dense = run.params[name]
        x = x @ np.float64(dense["kernel"]) + np.float64(dense["bias"])
        x = np.maximum(x, 0) if name != "head" else x
    power = np.exp(x - x.max(-1, keepdims=True))
    return (power / power.sum(-1, keepdims=True))[..., :-1]


def test_raw_values_become_the_probabilities_that_numpy_makes_in_float64():
    run = made_runs.make_run(made_runs.PIXELS)
    made = program.of_run(run, None)
    arrays = comparing.sample(made, (2, 5, 4), 0)
    found = np.asarray(jax.jit(made)(*arrays))
    never = np.isnan(found)
    assert never[:, 0, 0].all() and never.sum() == 2 * len(made_runs.LEGEND)
    expected = own_in_float64(run, arrays)
    np.testing.assert_allclose(found[~never], expected[~never], atol=ROUNDING)


@pytest.mark.parametrize(
    "model, loss", [(made_runs.SQUARES, "softmax_none"), (made_runs.IMAGES, "sigmoid")]
)
def test_it_answers_what_its_run_does(model, loss):
    run = made_runs.make_run(model, loss, standardise=model is made_runs.SQUARES)
    made = program.of_run(run, None)

    def runner(arrays):
        return np.asarray(jax.jit(made)(*arrays))

    found = comparing.compare(run, None, made, runner)
    assert found.largest == found.counted < ROUNDING


def test_another_order_of_bands_is_seen():
    run = made_runs.make_run(made_runs.PIXELS)
    made = program.of_run(run, None)

    def runner(arrays):
        return np.asarray(jax.jit(made)(arrays[0], arrays[1][..., ::-1], arrays[2]))

    found = comparing.compare(run, None, made, runner)
    assert found.counted > 100 * found.bound


KNOTS = ((0.0, 0.5, 1.0), (0.1, 0.4, 0.9))
SHARES = (2.0, 0.5, 1.0)
CALIBRATIONS = [
    Calibration("temperature", True, True, 1.5, ratios=SHARES),
    Calibration("temperature", True, False, 0.7),
    Calibration("isotonic", True, True, 0.8, knots=(KNOTS, None, KNOTS), ratios=SHARES),
    Calibration("platt", False, False, 2.0, platt=((0.5, -1.0), None), ratios=(2.0, 0.0)),
    Calibration("isotonic", False, False, 2.0, knots=(None, KNOTS)),
]


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_a_calibration_on_the_device_is_the_calibration(calibration):
    # Away from where the step function is rounded to either side.
    at = (np.arange(1, 40) * 100 + 0.2) / 4096
    first, second = (x.ravel() for x in np.meshgrid(at, at[::-1]))
    keep = first + second < 0.99
    given = np.stack([first[keep], second[keep]], -1).astype(np.float32)
    given = np.concatenate([given, np.array([[0, 0], [1, 0], [0, 1]], np.float32)])
    found = np.asarray(program.rescale(calibration, given))
    np.testing.assert_allclose(found, calibration(given), atol=1e-3 * _step(calibration) + 1e-5)


def _step(calibration):
    """Of step functions, what is left of none of these may lie on the edge of a step."""
    return float(bool(calibration.knots) and calibration.has_none)


def test_values_are_what_a_cube_would_store():
    values = np.array([0.12345, 1e9, -1e9, np.nan, np.inf], np.float32)
    for sensor in SENTINEL:
        found = np.asarray(program.stored(sensor, values))
        assert found.tolist() == sensor.encode(values).tolist()


def test_half_precision_is_left_to_training():
    run = made_runs.make_run(made_runs.PIXELS | {"dtype": "bfloat16"})
    made = program.of_run(run, None)
    assert made.recipe.model["dtype"] == "float32"
    assert dataclasses.replace(made.recipe, model=run.recipe.model) == run.recipe
