"""One training step against the same arithmetic written out on one device."""

import in_float64
import jax
import numpy as np
import optax
import pytest
from training import small_runs

from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.training import losses, optim, parallel, steps


def make_batch() -> dict:
    rng = np.random.default_rng(0)
    size = 2 * jax.local_device_count()
    shape = (size, 2, 4, 4)
    states = np.array([0, 1, 2, 254, IGNORE], np.uint8)
    return {
        "pixels": {
            "s1": rng.integers(-2500, 1000, (*shape, 2)).astype(np.int16),
            "s2": rng.integers(0, 10_000, (*shape, 10)).astype(np.int16),
        },
        "day_of_year": np.full((size, 2), 100, np.int32),
        "label": rng.choice(states, (size, 4, 4)),
        "planted": np.tile(np.array([1, 1, 0], np.float32), (size, 1)),
    }


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("norm", "loss"), [("batch", "softmax"), ("group", "sigmoid")])
def test_a_step_follows_the_gradient_of_the_weighted_mean_at_two_rates(norm, loss):
    recipe = small_runs.make_recipe(loss, norm=norm)
    weights = np.array([0.5, 2, 1], np.float32)
    trunk, head = 0.125, 0.5  # powers of two: the product with a gradient is exact
    optimizer = optim.make_optimizer("sgd", lambda _: trunk, lambda _: head)
    variables, batch = steps.init_variables(recipe, 1), make_batch()
    opt_state = jax.device_get(optimizer.init(variables["params"]))
    state = {"step": np.zeros((), np.int32), "opt_state": opt_state} | variables
    step = parallel.data_parallel(steps.make_train_step(recipe, optimizer, weights))
    state, metrics = step(parallel.replicate(state), parallel.shard(batch))
    state = parallel.unreplicate(state)

    network = recipe.network().clone(axis_name=None)

    @jax.jit
    @jax.value_and_grad
    def mean_loss(params, batch):
        scaled = in_float64.doubled(steps.inputs(batch, recipe))
        inputs = steps._arguments(scaled)
        logits, _ = network.apply(
            {"params": params, "batch_stats": variables["batch_stats"]},
            *inputs,
            train=True,
            mutable=["batch_stats"],
        )
        total, count = losses.LOSSES[loss].function(
            logits, batch["label"], batch["planted"], weights
        )
        return total / count

    value, gradient = mean_loss(variables["params"], batch)
    np.testing.assert_allclose(metrics["loss"], float(value), rtol=1e-10)
    np.testing.assert_allclose(metrics["grad_norm"], float(optax.tree.norm(gradient)), rtol=1e-10)
    assert state["step"] == 1
    before, after = small_runs.leaves(variables["params"]), small_runs.leaves(state["params"])
    moves = small_runs.leaves(gradient)
    for name in before:
        rate = head if "['head']" in name else trunk
        expected = before[name] - rate * moves[name]
        np.testing.assert_allclose(after[name], expected, rtol=1e-10, atol=1e-10, err_msg=name)
    assert max(np.abs(m).max() for n, m in moves.items() if "head" not in n) > 1e-3
    assert bool(state["batch_stats"]) == (norm == "batch")


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("form", [{"accumulate": 2}, {"remat": True}])
def test_a_step_that_needs_less_memory_is_the_same(form):
    # Group norm, because batch norm sees one part at a time.
    norm = "batch" if "remat" in form else "group"
    recipe = small_runs.make_recipe(norm=norm, levels=1)
    optimizer = optim.make_optimizer("sgd", lambda _: 0.125, lambda _: 0.5)
    variables, batch = steps.init_variables(recipe, 1), make_batch()
    # The parts have as unevenly many known pixels as can be.
    batch["label"][::2] = IGNORE
    opt_state = jax.device_get(optimizer.init(variables["params"]))
    state = {"step": np.zeros((), np.int32), "opt_state": opt_state} | variables
    found = []
    for settings in ({}, form):
        step = parallel.data_parallel(steps.make_train_step(recipe, optimizer, **settings))
        new, metrics = step(parallel.replicate(state), parallel.shard(batch))
        kept = {k: new[k] for k in ("params", "batch_stats")}
        found.append(small_runs.leaves(parallel.unreplicate([kept, metrics])))
    assert found[0].keys() == found[1].keys()
    for name, expected in found[0].items():
        np.testing.assert_allclose(found[1][name], expected, rtol=1e-10, atol=1e-10, err_msg=name)


def test_probabilities_are_those_of_the_loss():
    logits = np.array([[[[0, np.log(3)]]]], np.float32)

    class Network:
        def apply(self, *_, train):
            assert not train
            return logits

    for loss, expected in (("sigmoid", [0.5, 0.75]), ("softmax", [0.25, 0.75])):
        recipe = small_runs.make_recipe(loss)
        object.__setattr__(recipe, "network", Network)
        pixels = {k: np.zeros((1, 1, 1, 1, c), np.int16) for k, c in (("s1", 2), ("s2", 10))}
        batch = {"pixels": pixels, "day_of_year": np.ones((1, 1), np.int32)}
        found = steps.make_predict_step(recipe)({}, batch)
        np.testing.assert_allclose(found[0, 0, 0], expected, rtol=1e-6)


def test_bands_of_a_sensor_that_the_network_does_not_take_do_not_matter():
    recipe = small_runs.make_recipe(width=2, levels=0)
    expected = steps.init_variables(recipe, 0, {"s2": [3]})
    found = steps.init_variables(recipe, 0, {"s2": [3], "temperature": [], "other": [0]})
    jax.tree.map(np.testing.assert_array_equal, found, expected)
