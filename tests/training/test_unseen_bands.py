"""A band that training never saw changes nothing when it turns up later."""

import jax
import numpy as np
import pytest

from cropmap_jax.geo.legend import Legend, make_class
from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.training import scaling, steps
from cropmap_jax.training.recipe import Recipe

B8A, VV = 7, 0


def recipe(use_validity):
    model = {"width": 2, "levels": 1, "num_periods": 2, "use_validity": use_validity}
    model |= {"norm": "batch", "head": "linear", "head_width": 2, "dtype": "float32"}
    legend = Legend("one", (make_class(0, 0, "potato"),))
    return Recipe(model, legend, scaling.default(SENTINEL), "month", "sigmoid", 30)


@pytest.mark.parametrize("use_validity", [True, False])
def test_an_unseen_band_starts_without_weight(use_validity):
    made = recipe(use_validity)
    variables = steps.init_variables(made, 0, {"s1": [], "s2": [B8A]})
    rng = np.random.default_rng(0)
    s1, s2 = (rng.random((1, 2, 4, 4, c), np.float32) for c in (2, 10))
    network, days = made.network(), np.ones((1, 2), np.int32)
    ones = np.ones_like(s1), np.ones_like(s2)

    def apply(variables, s1, s2, s1_valid, s2_valid):
        pixels, valid = {"s1": s1, "s2": s2}, {"s1": s1_valid, "s2": s2_valid}
        return network.apply(variables, pixels, valid, days)

    without, other = s2.copy(), s2.copy()
    mask = np.ones_like(s2)
    without[..., B8A], mask[..., B8A] = 0, 0
    other[..., B8A - 1] = 0
    there = apply(variables, s1, s2, *ones)
    np.testing.assert_array_equal(apply(variables, s1, without, ones[0], mask), there)
    assert np.abs(apply(variables, s1, other, *ones) - there).max() > 0


def test_all_other_weights_are_drawn_as_ever():
    made = recipe(True)
    plain, silent = steps.init_variables(made, 3), steps.init_variables(made, 3, {"s1": [VV]})
    a, b = (v["params"]["s1"]["conv3d"]["conv"]["kernel"] for v in (plain, silent))
    # VV is channel 0, its mask channel 2.
    np.testing.assert_array_equal(b[..., [0, 2], :], 0)
    np.testing.assert_array_equal(b[..., [1, 3], :], a[..., [1, 3], :])


def test_a_network_that_cannot_silence_bands_is_drawn_all_the_same(monkeypatch):
    made = recipe(True)
    expected = steps.init_variables(made, 3)
    monkeypatch.delattr(type(made.network()), "without_bands")
    found = steps.init_variables(made, 3, {"s1": [VV]})
    jax.tree.map(np.testing.assert_array_equal, found, expected)
