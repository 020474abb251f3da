"""The per-pixel network: what each logit depends on, means of what is there, and dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cropmap_jax import models
from cropmap_jax.models import initial_variables
from cropmap_jax.models.dropout import Dropout
from cropmap_jax.models.flops import count_flops

BANDS = {"s1": 3, "s2": 4}
T = 2


def make(**model):
    settings = {"name": "pixel_series", "num_periods": T, "width": 8, "depth": 2}
    return models.make(settings | model, 5, BANDS)


def inputs(rng, height=9, width=11, batch=2, sides=1):
    shape = (batch, T, height, width)
    valid = {
        s: (rng.random((*shape, sides * c)) < 0.7).astype(np.float32) for s, c in BANDS.items()
    }
    pixels = {s: rng.normal(size=v.shape).astype(np.float32) * v for s, v in valid.items()}
    return pixels, valid, np.full((batch, T), 100, np.int32)


def variables(network, seed=0):
    drawn = initial_variables(network, BANDS, seed)
    # Biases of 0 would hide which is whose.
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + 0.1 * rng.normal(size=x.shape).astype(np.float32), drawn)


def test_the_recipe_of_the_design_has_98_thousand_parameters():
    network = models.make({"name": "pixel_series", "num_periods": 6}, 9, {"s1": 3, "s2": 15})
    params = models.variable_shapes(network, {"s1": 3, "s2": 15})["params"]
    first = (6 * 18 + 6 * 2) * 256 + 256  # periods x (bands and indices), and flags of two sensors
    assert models.count_parameters(params) == first + 256 * 256 + 256 + 256 * 9 + 9


@pytest.mark.parametrize("embed", [0, 3])
@pytest.mark.parametrize("sides", [(1,), (1, 5)])
def test_a_pixel_is_dense_layers_over_its_values_and_flags(embed, sides):
    network, rng = make(embed=embed, neighbourhood=sides), np.random.default_rng(0)
    v, (pixels, valid, days) = variables(network), inputs(rng, sides=len(sides))
    logits = np.asarray(network.apply(v, pixels, valid, days))
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), v["params"])
    for b, y, x in ((0, 0, 0), (1, 8, 10), (0, 4, 7)):
        # A flag is of the pixel itself, the first side.
        flags = [valid[s][b, :, y, x, :c].max(-1, keepdims=True) for s, c in BANDS.items()]
        hidden = np.concatenate([pixels[s][b, :, y, x] for s in BANDS] + flags, -1)
        if embed:  # period by period
            hidden = jax.nn.relu(hidden @ p["embed"]["kernel"] + p["embed"]["bias"])
        hidden = np.asarray(hidden).ravel()
        for name in ("layer_0", "layer_1"):
            hidden = jax.nn.relu(hidden @ p[name]["kernel"] + p[name]["bias"])
        expected = hidden @ p["head"]["kernel"] + p["head"]["bias"]
        np.testing.assert_allclose(logits[b, y, x], expected, rtol=2e-4, atol=2e-5)


def test_it_sees_the_largest_of_its_squares():
    network = make(neighbourhood=(1, 5, 3))
    assert models.neighbourhood(network) == (1, 5, 3) and models.halo(network) == 2
    assert models.variable_shapes(network, BANDS)["params"]["layer_0"]["kernel"].shape[0] == T * (
        3 * 7 + 2
    )


def test_dates_matter_only_where_they_are_inputs():
    pixels, valid, days = inputs(np.random.default_rng(3))
    for dates in (False, True):
        network = make(dates=dates)
        v = variables(network)
        a, b = (np.asarray(network.apply(v, pixels, valid, d)) for d in (days, days + 90))
        assert np.array_equal(a, b) != dates
        # A period before the cube begins has none; the last one always has.
        days[:, 0] = 0
        np.testing.assert_array_equal(network.apply(v, pixels, valid, days), a)


@pytest.mark.parametrize("embed", [0, 3])
def test_bands_that_training_never_sees_are_not_answered_to(embed):
    network = make(neighbourhood=(1, 3), embed=embed, dates=True)
    silent = network.without_bands(variables(network)["params"], {"s2": [1, 3]})
    pixels, valid, days = inputs(np.random.default_rng(4), sides=2)
    other = pixels | {"s2": pixels["s2"].copy()}
    other["s2"][..., [1, 3, 4 + 1, 4 + 3]] = 7  # of both sides
    a, b = (np.asarray(network.apply({"params": silent}, p, valid, days)) for p in (pixels, other))
    np.testing.assert_array_equal(a, b)
    other["s2"][..., 0] = 7
    assert not np.array_equal(a, network.apply({"params": silent}, other, valid, days))


def test_a_batch_spread_over_devices_drops_the_same_units():
    x, key = jnp.ones((8, 3, 40)), jax.random.key(5)
    whole = Dropout(0.3).apply({}, x, True, rngs={"dropout": key})
    spread = jax.vmap(
        lambda part: Dropout(0.3, "devices").apply({}, part, True, rngs={"dropout": key}),
        axis_name="devices",
    )(x.reshape(4, 2, 3, 40))
    np.testing.assert_array_equal(whole, spread.reshape(whole.shape))
    # Five standard errors; what stays is scaled up.
    dropped = np.asarray(whole == 0)
    assert abs(dropped.mean() - 0.3) < 5 * (0.21 / dropped.size) ** 0.5
    np.testing.assert_allclose(np.asarray(whole)[~dropped], 1 / 0.7, rtol=1e-6)
    assert not np.array_equal(whole[0], whole[1])
    np.testing.assert_array_equal(Dropout(0.3).apply({}, x, False), x)


def test_its_arithmetic_is_that_of_its_layers():
    products = 2 * ((T * 7 + T * 2) * 8 + 8 * 8 + 8 * 5)
    found = count_flops(make(dropout=0.0), BANDS, 4, 4)
    assert products * 16 < found < 1.3 * products * 16 + 16 * 40 * 16


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"neighbourhood": (2,)}, "neighbourhood: expected odd numbers of pixels from 1 to 101"),
        ({"neighbourhood": (3, 3)}, "neighbourhood: .* each once, found"),
        ({"neighbourhood": ()}, "neighbourhood: expected odd numbers"),
        ({"dropout": 1.0}, "dropout: expected a number from 0 to below 1, found 1.0"),
        ({"width": 0}, "width: expected a whole number from 1"),
        ({"depth": 0}, "depth: expected a whole number from 1"),
    ],
)
def test_arguments_out_of_range_cost_one_line(model, message):
    with pytest.raises(ValueError, match=f"^model.{message}"):
        make(**model)
