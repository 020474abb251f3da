"""Steps from pixels as rasters hold them: the same probabilities as those of the plain step."""

import dataclasses

import jax
import making
import numpy as np
import pytest
from training import small_runs

from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.inference import pixel_steps
from cropmap_jax.training import steps

NODATA = {sensor.name: sensor.nodata for sensor in SENTINEL}


def make_batch(chips, height, width, periods):
    draw = np.random.default_rng(0)
    pixels = {}
    for sensor in SENTINEL:
        shape = chips, periods, height, width, len(sensor.bands)
        values = draw.integers(-2000, 3000, shape).astype(sensor.dtype)
        pixels[sensor.name] = np.where(draw.random(shape) < 0.2, sensor.nodata, values)
    days = np.tile(np.arange(periods, dtype=np.int32) * 30 + 15, (chips, 1))
    return {"pixels": {k: v.astype("int16") for k, v in pixels.items()}, "day_of_year": days}


def turned(batch):
    pixels = {k: np.ascontiguousarray(np.moveaxis(v, -1, 2)) for k, v in batch["pixels"].items()}
    return {**batch, "pixels": pixels}


def both(recipe, form, batch):
    step = steps.make_predict_step(recipe)
    variables = steps.init_variables(recipe, 1)
    plain = np.asarray(jax.jit(step)(variables, batch))
    return plain, np.asarray(jax.jit(form(step))(variables, turned(batch)))


def test_turned_around_nothing_changes():
    recipe = small_runs.make_recipe("sigmoid", making.LEGEND, levels=1)
    plain, found = both(recipe, pixel_steps.from_bands, make_batch(2, 16, 16, recipe.num_periods))
    np.testing.assert_array_equal(found, plain)
    assert np.ptp(plain) > 1e-3


@pytest.mark.parametrize("sides", [(1,), (1, 3), (5,)])
@pytest.mark.parametrize("piece_px", [1, 30, 10_000])
def test_some_rows_at_a_time(sides, piece_px):
    """Strips know their neighbours, and chips their edges; 13 rows are no multiple of any."""
    recipe = small_runs.make_recipe("sigmoid", making.LEGEND, levels=1)
    model = {"name": "pixel_series", "num_periods": 2, "width": 5, "neighbourhood": sides}
    recipe = dataclasses.replace(recipe, model=model)
    assert recipe.context == max(sides) // 2

    def form(_):
        within = steps.make_predict_step(recipe, recipe.context)
        return pixel_steps.in_strips(within, NODATA, recipe.context, piece_px)

    plain, found = both(recipe, form, make_batch(3, 13, 7, 2))
    assert found.shape == plain.shape == (3, 13, 7, len(making.LEGEND))
    # Sums of neighbours are of whole numbers; products of matrices of other shapes round otherwise.
    np.testing.assert_allclose(found, plain, rtol=0, atol=1e-6)
    assert np.ptp(plain) > 1e-3


def test_only_networks_that_say_what_they_see_are_cut():
    assert pixel_steps.applies(0) and pixel_steps.applies(3)
    assert not pixel_steps.applies(None)
