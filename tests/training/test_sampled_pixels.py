"""Training on sampled pixels: mixup, smoothing, averaged weights, statistics, resuming."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training import small_data, small_runs
from training.small_data import Ground

from cropmap_jax.data import pixel_sampling
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo import indices
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.training import checkpoints, loop, losses, optim, statistics, steps
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.stopping import Stopped

INDICES = ("cross_ratio", "ndvi")
MODEL = {"name": "pixel_series", "num_periods": 2, "width": 4, "depth": 1, "neighbourhood": (1, 3)}
SAMPLING = SamplingConfig(
    num_periods=2, unit="pixels", context=1, steps_per_epoch=3, mixup=0.4, period_dropout=0.2
)


def make_data():
    """Pixels with values as they are in nature, unlike small_data's numbers."""
    rng = np.random.default_rng(0)
    states = np.array([0, 1, 2, NONE_OF_THESE, IGNORE], np.uint8)
    data = small_data.make_dataset(
        [Ground(s, rng.choice(states, (8, 8))) for s in ["train"] * 3 + ["validation"]]
    )
    for record in (r for split in data.records.values() for r in split):
        for name, low, high in (("s1", -2500, 0), ("s2", 100, 6000)):
            values = rng.integers(low, high, record[name].shape).astype(np.int16)
            values[rng.random(values.shape) < 0.1] = -32768
            record[name] = values
    return data


def make_recipe(data, **changes):
    made = pixel_sampling.make_pixel_batches(data, "train", SAMPLING, 1, 0)
    found = statistics.compute(
        made.statistics_pixels(2000), SENTINEL, indices.find(INDICES, SENTINEL, "c")
    )
    settings = {
        "model": MODEL,
        "legend": small_data.LEGEND,
        "scaling": {"s1": (-25.0, 10.0), "s2": (0.0, 1.0)},
        "period_kind": "month",
        "loss": "softmax_none",
        "lead_days": 30,
        "indices": INDICES,
        "statistics": found,
    }
    return Recipe(**(settings | changes))


def make_config(**changes):
    settings = {
        "batch_size": 8,
        "sampling": SAMPLING,
        "optimizer": "adamw",
        "weight_decay": 0.02,
        "label_smoothing": 0.05,
        "ema": 0.9,
        "freeze_trunk_statistics": False,
        "learning_rates": {"trunk": 0.01, "head": 0.01},
    }
    return small_runs.make_train_config(**(settings | changes))


DATA = make_data()
RECIPE = make_recipe(DATA)


def train(workdir, recipe=RECIPE, data=DATA, **changes):
    variables = steps.init_variables(recipe, 0)
    return loop.train(data, recipe, make_config(**changes), variables, workdir)


def test_inputs_are_standardised_and_missing_ones_are_0():
    made = pixel_sampling.make_pixel_batches(DATA, "train", SAMPLING, 1, 0)
    batch = {"pixels": made.statistics_pixels(4000)}
    # Not the draw that the statistics are of.
    assert len(batch["pixels"]["s1"]) != 2000
    scaled = steps.inputs(batch, RECIPE)
    # Of the pixel, and of the square around it, in which here nothing else is.
    assert scaled["pixels"]["s1"].shape == (4000, 2, 1, 1, 2 * 3)
    assert scaled["pixels"]["s2"].shape == (4000, 2, 1, 1, 2 * 11)
    for name, values in scaled["pixels"].items():
        there = np.asarray(scaled["valid"][name]) > 0
        values = np.asarray(values)
        own, around = np.split(values, 2, axis=-1)
        np.testing.assert_allclose(own, around, atol=1e-4)
        assert (values[~there] == 0).all() and (~there).any()
        for t in range(2):
            for band in range(values.shape[-1]):
                own = values[:, t, ..., band][there[:, t, ..., band]]
                # Of a few hundred different pixels, drawn twice.
                assert abs(own.mean()) < 0.15 and 0.85 < own.std() < 1.15


def test_statistics_are_those_of_a_hand():
    stored = np.array([-1000, -2000, -32768], np.int16).reshape(3, 1, 1, 1, 1)
    s1 = np.concatenate([stored, np.full_like(stored, -32768)], -1)
    s2 = np.full((3, 1, 1, 1, 10), -32768, np.int16)
    found = statistics.compute({"s1": s1, "s2": s2}, SENTINEL, ())
    assert found["s1"] == (((-15.0, None),), ((5.0, None),))
    assert found["s2"][0] == ((None,) * 10,)
    assert statistics.missing(found, SENTINEL) == {"s1": ["VH"], "s2": list(SENTINEL[1].bands)}


def test_a_band_without_statistics_counts_as_missing():
    means, stds = RECIPE.statistics["s2"]
    blind = tuple(tuple(None if i == 6 else v for i, v in enumerate(row)) for row in means)
    deviations = tuple(tuple(None if i == 6 else v for i, v in enumerate(row)) for row in stds)
    recipe = make_recipe(DATA, statistics=RECIPE.statistics | {"s2": (blind, deviations)})
    made = pixel_sampling.make_pixel_batches(DATA, "train", SAMPLING, 1, 0)
    scaled = steps.inputs({"pixels": made.statistics_pixels(50)}, recipe)
    assert not np.asarray(scaled["valid"]["s2"][..., 6]).any()
    assert not np.asarray(scaled["pixels"]["s2"][..., 6]).any()
    assert np.asarray(scaled["valid"]["s2"][..., 5]).any()


def test_a_recipe_survives_json_and_names_what_is_wrong():
    value = RECIPE.to_json()
    assert Recipe.from_json(value) == RECIPE
    assert RECIPE.bands == {"s1": 3, "s2": 11} and RECIPE.outputs == 4
    for change, message in (
        ({"indices": ["nvdi"]}, "recipe.indices: expected indices among"),
        ({"statistics": {"s1": value["statistics"]["s1"]}}, "statistics"),
        (
            {"statistics": value["statistics"] | {"s1": [[[1.0]] * 2, [[1.0]] * 2]}},
            "statistics.s1: expected a list of 3 values",
        ),
        (
            {
                "statistics": value["statistics"]
                | {"s1": [[[1.0, 1.0, None]] * 2, [[1.0, 0.0, None]] * 2]}
            },
            "statistics.s1: expected a positive deviation",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            Recipe.from_json(value | change)
    # Without either it is what earlier versions wrote.
    plain = make_recipe(DATA, indices=(), statistics=None, loss="sigmoid").to_json()
    assert "indices" not in plain and "statistics" not in plain


def test_mixed_examples_are_shares_of_two_and_so_is_their_loss():
    rng = np.random.default_rng(1)
    batch = {
        "pixels": {"s1": jnp.asarray(rng.normal(size=(4, 2, 1, 1, 3)))},
        "valid": {"s1": jnp.asarray(rng.integers(0, 2, (4, 2, 1, 1, 3)).astype(float))},
        "label": jnp.asarray(np.array([0, 2, NONE_OF_THESE, IGNORE], np.uint8)[:, None, None]),
        "planted": jnp.ones((4, 3)),
        "mix": jnp.array([1.0, 0.25, 0.5, 0.8]),
    }
    mixed = steps.mixed(batch)
    for name in ("pixels", "valid"):
        old, new = batch[name]["s1"], mixed[name]["s1"]
        np.testing.assert_allclose(new[0], old[0])
        np.testing.assert_allclose(new[1], 0.25 * old[1] + 0.75 * old[0])
        np.testing.assert_allclose(new[2], 0.5 * old[2] + 0.5 * old[3])
    assert mixed["others"]["label"].ravel().tolist() == [2, 0, IGNORE, NONE_OF_THESE]


def test_the_loss_of_a_step_is_that_of_both_labels():
    batch = pixel_sampling.make_pixel_batches(DATA, "train", SAMPLING, 8, 0).map(0)
    batch = jax.tree.map(jnp.asarray, batch)
    recipe = make_recipe(DATA, model=MODEL | {"dropout": 0.0})
    variables = steps.init_variables(recipe, 0)
    optimizer = optax.sgd(0.0)
    state = {"step": jnp.zeros((), jnp.int32), **variables, "opt_state": optimizer.init(variables["params"])}  # fmt: skip  # noqa: E501
    step = steps.make_train_step(recipe, optimizer, label_smoothing=0.1)
    _, metrics = step(state, batch)
    # By hand, example by example, from the same logits.
    scaled = steps.mixed(steps.inputs(batch, recipe, margin=1))
    network = recipe.network()
    logits = network.apply(variables, scaled["pixels"], scaled["valid"], scaled["day_of_year"])
    logits = np.asarray(logits, np.float64)[:, 0, 0]
    total = weight = 0.0
    for i in range(8):
        for j, share in ((i, batch["mix"][i]), (i ^ 1, 1 - batch["mix"][i])):
            label, planted = int(batch["label"][j, 0, 0]), np.asarray(batch["planted"][j]) > 0
            present = np.array([*planted, True])
            index = 3 if label == NONE_OF_THESE else label
            if label == IGNORE or not present[index]:
                continue
            log = logits[i] - np.log(np.exp(logits[i][present]).sum())
            total -= float(share) * (0.9 * log[index] + 0.1 * log[present].mean())
            weight += float(share)
    np.testing.assert_allclose(float(metrics["weight"]), weight, rtol=1e-5)
    np.testing.assert_allclose(float(metrics["loss"]), total / weight, rtol=1e-4)


def test_softmax_with_none_is_a_softmax_over_one_more_class():
    rng = np.random.default_rng(2)
    logits = jnp.asarray(rng.normal(size=(1, 2, 2, 4)))
    label = jnp.asarray(np.array([[[1, NONE_OF_THESE], [IGNORE, 0]]], np.uint8))
    planted = jnp.array([[0.0, 1.0, 1.0]])  # class 0 is not in the ground
    found, weight = losses.softmax_none_loss(logits, label, planted)
    p = np.exp(np.asarray(logits))[..., 1:]
    p /= p.sum(-1, keepdims=True)
    assert float(weight) == 2  # unknown, and the class that cannot be, are left out
    np.testing.assert_allclose(float(found), -np.log(p[0, 0, 0, 0]) - np.log(p[0, 0, 1, 2]), 1e-5)
    probability = losses.LOSSES["softmax_none"].activation(logits)
    assert probability.shape == (1, 2, 2, 3) and (probability.sum(-1) < 1).all()


def test_smoothing_spreads_a_share_over_what_is_possible():
    logits = jnp.asarray(np.random.default_rng(3).normal(size=(1, 1, 1, 3)))
    label, planted = jnp.ones((1, 1, 1), jnp.uint8), jnp.ones((1, 3))
    p = np.asarray(jax.nn.log_softmax(logits))[0, 0, 0]
    found, _ = losses.softmax_loss(logits, label, planted, smoothing=0.3)
    np.testing.assert_allclose(float(found), -0.7 * p[1] - 0.3 * p.mean(), rtol=1e-5)
    found, _ = losses.sigmoid_loss(logits, label, planted, smoothing=0.3)
    x, target = np.asarray(logits)[0, 0, 0], np.array([0.15, 0.85, 0.15])
    expected = -(target * np.log(1 / (1 + np.exp(-x))) + (1 - target) * np.log(1 / (1 + np.exp(x))))
    np.testing.assert_allclose(float(found), expected.sum(), rtol=1e-5)


def test_decay_is_of_kernels_alone():
    params = {"head": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
    optimizer = optim.make_optimizer(
        "adamw", *[optim.schedule("constant", 0.1, 5)] * 2, weight_decay=0.5
    )
    none = jax.tree.map(jnp.zeros_like, params)
    changes, _ = optimizer.update(none, optimizer.init(params), params)
    np.testing.assert_allclose(changes["head"]["kernel"], -0.05, rtol=1e-6)
    np.testing.assert_array_equal(changes["head"]["bias"], 0)
    with pytest.raises(ValueError, match="config.weight_decay: expected 0 with .*'adam'"):
        optim.make_optimizer("adam", *[optim.schedule("constant", 0.1, 5)] * 2, weight_decay=0.5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("sampled") / "run"
    train(workdir)
    return workdir


@pytest.mark.parametrize("unit", ["pixels", "chips"])
def test_a_run_that_is_stopped_resumes_bit_for_bit(tmp_path, monkeypatch, unit):
    sampling = dataclasses.replace(SAMPLING, unit=unit, crop=4 if unit == "chips" else None)
    changes = {"sampling": sampling, "checkpoint_every": 1, "batch_size": 2, "epochs": 3}
    train(tmp_path / "whole", **changes)
    before = loop._Run._keep_pace

    def stop_at(self, metrics, step):
        before(self, metrics, step)
        if step == 2:
            self._signal.number = 15

    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "_keep_pace", stop_at)
        with pytest.raises(Stopped):
            train(tmp_path / "parts", **changes)
    assert checkpoints.load(tmp_path / "parts").step == 2
    train(tmp_path / "parts", **changes)
    last = checkpoints.load(tmp_path / "whole").step
    assert last == checkpoints.load(tmp_path / "parts").step > 2
    one, other = (small_runs.saved(tmp_path / name, last) for name in ("whole", "parts"))
    small_runs.assert_equal(one, other)
    assert any("ema" in name for name in one)


def test_what_is_used_is_the_moving_average(whole):
    step = checkpoints.load(whole).step
    saved = small_runs.saved(whole, step)
    loaded = small_runs.leaves(checkpoints.load(whole).params)
    assert loaded
    for name, value in loaded.items():
        np.testing.assert_array_equal(value, saved[f"['ema']['params']{name}"])
        assert not np.array_equal(value, saved[f"['params']{name}"])


def test_the_average_is_that_of_a_hand():
    average = steps._averaged(jnp.array(1.0), jnp.array(2.0), 0.9, jnp.array(0))
    np.testing.assert_allclose(average, 0.1 * 1 + 0.9 * 2, rtol=1e-6)  # 1/10 at first
    average = steps._averaged(jnp.array(1.0), jnp.array(2.0), 0.9, jnp.array(1000))
    np.testing.assert_allclose(average, 0.9 * 1 + 0.1 * 2, rtol=1e-6)


def test_pairs_stay_together_on_every_device():
    config = make_config(batch_size=12)
    config.check_devices(1, 2)
    with pytest.raises(ValueError, match="config.batch_size: expected a multiple of 8, since"):
        config.check_devices(1, 4)
