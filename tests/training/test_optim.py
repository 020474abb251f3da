"""Two rates: which parameter has which, and what they are at each step."""

import pathlib
import runpy

import jax
import numpy as np
import optax
import pytest

from cropmap_jax.models import DualUNet3D, variable_shapes
from cropmap_jax.training import optim


@pytest.mark.parametrize("head", ["linear", "conv"])
def test_every_parameter_of_the_network_has_its_label(head):
    bands = {"s1": 2, "s2": 10}
    params = variable_shapes(DualUNet3D(bands, head=head), bands)["params"]
    labels = optim.param_labels(params)
    assert jax.tree.structure(labels) == jax.tree.structure(params)
    for path, label in jax.tree_util.tree_leaves_with_path(labels):
        assert label == ("head" if path[0].key == "head" else "trunk")
    assert set(jax.tree.leaves(labels)) == {"trunk", "head"}


def test_what_is_not_under_head_is_trunk():
    params = {name: {"kernel": np.ones(2)} for name in ("encoder", "header", "s3", "head")}
    labels = optim.param_labels(params)
    assert {name: one["kernel"] for name, one in labels.items()} == {
        "encoder": "trunk",
        "header": "trunk",
        "s3": "trunk",
        "head": "head",
    }


def test_parameters_without_a_head_are_refused():
    params = {name: {"kernel": np.ones(2)} for name in ("s1", "s2", "haed")}
    message = r"parameters: expected 'head' among them, found \['haed', 's1', 's2'\]"
    with pytest.raises(ValueError, match=message):
        optim.param_labels(params)
    rate = optax.constant_schedule(1.0)
    with pytest.raises(ValueError, match=message):
        optim.make_optimizer("adam", rate, rate).init(params)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_trunk_and_head_move_by_exactly_their_own_rate(name):
    # Adam's first step is the rate itself, whatever the gradient: m / sqrt(v) = g / |g|.
    params = {n: {"kernel": np.zeros(3, np.float32)} for n in ("s1", "s2", "head")}
    grads = {n: {"kernel": np.ones(3, np.float32)} for n in params}
    trunk, head = optax.constant_schedule(1e-5), optax.constant_schedule(1e-4)
    optimizer = optim.make_optimizer(name, trunk, head)
    changes, _ = optimizer.update(grads, optimizer.init(params), params)
    new = optax.apply_updates(params, changes)
    rtol = 0 if name == "sgd" else 1e-5
    for group, rate in (("s1", 1e-5), ("s2", 1e-5), ("head", 1e-4)):
        expected = np.full(3, -np.float32(rate))
        np.testing.assert_allclose(new[group]["kernel"], expected, rtol=rtol, atol=0)


def test_the_configs_have_the_rates_and_epochs_that_they_promise():
    folder = pathlib.Path(__file__).parents[2] / "configs"
    pretrain, finetune = (
        runpy.run_path(str(folder / f"{name}.py"))["get_config"]()
        for name in ("pretrain", "finetune")
    )
    assert finetune.learning_rate.to_dict() == {"trunk": 1e-5, "head": 1e-4}
    assert (pretrain.epochs, finetune.epochs) == (11, 5)
    assert finetune.freeze_trunk_statistics and not pretrain.freeze_trunk_statistics
    assert pretrain.optimizer == finetune.optimizer == "adam"


def test_rates_follow_the_schedule():
    params = {n: {"kernel": np.zeros(1, np.float32)} for n in ("s1", "s2", "head")}
    grads = {n: {"kernel": np.ones(1, np.float32)} for n in params}
    optimizer = optim.make_optimizer(
        "sgd", optim.schedule("constant", 1.0, 4, 2), optim.schedule("constant", 8.0, 4, 2)
    )
    state, moved = optimizer.init(params), []
    for _ in range(4):
        changes, state = optimizer.update(grads, state, params)
        moved.append([float(-changes[g]["kernel"][0]) for g in ("s1", "head")])
    # The warm-up takes two steps: 0, a half, then the whole rate.
    assert moved == [[0, 0], [0.5, 4], [1, 8], [1, 8]]


def test_schedule_values_by_hand():
    constant = optim.schedule("constant", 0.2, 10)
    assert [float(constant(i)) for i in (0, 9)] == pytest.approx([0.2, 0.2])
    cosine = optim.schedule("cosine", 1.0, 8)
    # (1 + cos(pi i / 8)) / 2 at 0, a quarter, half and the end.
    found = [float(cosine(i)) for i in (0, 2, 4, 8)]
    assert found == pytest.approx([1, (1 + 0.5**0.5) / 2, 0.5, 0], abs=1e-7)
    warm = optim.schedule("cosine", 1.0, 10, warmup=2)
    # A straight line over 2 steps, then the cosine over the 8 that are left.
    found = [float(warm(i)) for i in (0, 1, 2, 6, 10)]
    assert found == pytest.approx([0, 0.5, 1, 0.5, 0], abs=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.schedule("linear", 1.0, 5), "config.schedule: .* found 'linear'"),
        (lambda: optim.schedule("cosine", 1.0, 5, 5), "config.warmup_steps: expected 0 to 4, .* 5"),
        (lambda: optim.schedule("cosine", 1.0, 5, -1), "config.warmup_steps: .* found -1"),
        (
            lambda: optim.make_optimizer("adagrad", None, None),
            "config.optimizer: .* found 'adagrad'",
        ),
    ],
)
def test_settings_that_do_not_exist_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
