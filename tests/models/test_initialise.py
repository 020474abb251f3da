"""First values of variables: those of any network, from seed and path alone."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cropmap_jax.models import DualUNet3D, initial_variables
from cropmap_jax.models.initialise import _fold_in

BANDS = {"s1": 2, "s2": 10}


class Other(nn.Module):
    """A network of other layers, other initializers and a parameter of its own."""

    num_classes: int = 3
    num_periods: int = 2

    @nn.compact
    def __call__(self, pixels, valid, day_of_year, train=False):
        x = jnp.concatenate([pixels[s] for s in sorted(pixels)], -1).mean(1)
        for width in (16, 16):
            x = nn.Dense(width, kernel_init=nn.initializers.orthogonal())(x)
        x = x + self.param("table", nn.initializers.truncated_normal(0.02), (400, 16))[:1]
        return nn.Dense(self.num_classes, name="head")(x)


def test_any_layer_and_initializer_is_drawn():
    params = initial_variables(Other(), BANDS, 0)["params"]
    kernel = params["Dense_1"]["kernel"]
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(16), atol=1e-5)
    table = params["table"]
    # A normal distribution cut at two deviations has 0.880 of its own: sqrt(1 - 4 phi(2) / 0.9545).
    assert 0.038 < np.abs(table).max() <= 0.04 and abs(table.std() - 0.0176) < 0.0005
    assert abs(table.mean()) < 0.02 * 4 / table.size**0.5
    assert len(np.unique(table)) > 0.99 * table.size
    assert all(
        type(leaf) is np.ndarray and leaf.flags.writeable for leaf in jax.tree.leaves(params)
    )


def test_layers_of_one_shape_are_drawn_apart():
    params = initial_variables(Other(), {"s1": 16}, 0)["params"]
    assert np.abs(params["Dense_0"]["kernel"] - params["Dense_1"]["kernel"]).max() > 0.01


@pytest.mark.parametrize("seed", [1, 2**32, 2**63 - 1])
def test_all_of_the_seed_counts_and_nothing_else(seed):
    one, again = (initial_variables(Other(), BANDS, seed)["params"] for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, one, again)
    for other in (0, seed - 1, seed ^ 2**40):
        found = initial_variables(Other(), BANDS, other)["params"]
        assert (found["table"] != one["table"]).mean() > 0.99


def test_keys_stay_apart():
    """Of ten thousand keys with 64 bits each, no two are the same."""
    numbers = np.random.default_rng(0).integers(0, 2**32, (10_000, 2), np.uint32)
    numbers[: len(numbers) // 2] = np.arange(len(numbers)).reshape(-1, 2)

    def fold(pair):
        return _fold_in(_fold_in(jnp.array([0, 7], jnp.uint32), pair[0]), pair[1])

    keys = np.asarray(jax.jit(jax.vmap(fold))(numbers))
    assert len(np.unique(keys, axis=0)) == len(np.unique(numbers, axis=0))


def test_a_trunk_does_not_depend_on_the_head_or_on_other_sensors():
    settings = {"width": 2, "levels": 1, "num_periods": 2}
    one = initial_variables(DualUNet3D(BANDS, 3, **settings), BANDS, 1)["params"]
    same = initial_variables(DualUNet3D(BANDS, 8, "conv", **settings), BANDS, 1)["params"]
    alone = initial_variables(DualUNet3D({"s2": 10}, 3, **settings), {"s2": 10}, 1)["params"]
    for sensor in BANDS:
        jax.tree.map(np.testing.assert_array_equal, one[sensor], same[sensor])
    jax.tree.map(np.testing.assert_array_equal, one["s2"], alone["s2"])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be chosen")
def test_one_processor_is_enough():
    """The bits come from Python while XLA waits: with one thread, neither may block the other."""
    script = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from cropmap_jax.models import DualUNet3D, initial_variables
network = DualUNet3D({"s1": 2}, width=8, levels=2)
print(initial_variables(network, {"s1": 2}, 0)["params"]["s1"]["conv3d"]["conv"]["bias"].shape)
"""
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300
    )
    assert found.stdout.strip() == "(8,)", found.stderr
