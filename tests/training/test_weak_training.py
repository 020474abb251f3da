"""Training with pixels that only a land-cover map knows: what they weigh, and that validation
never sees them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import small_data, small_runs
from training.small_data import Ground
from training.test_sampled_pixels import MODEL, make_config

from cropmap_jax.data.augment import augment
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, WEAK_NONE
from cropmap_jax.training import loop, losses, objectives, optim, parallel, steps
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.stopping import Stopped
from cropmap_jax.training.validation import Validation

RECIPE = Recipe(
    model=MODEL | {"neighbourhood": (1,)}, legend=small_data.LEGEND, period_kind="month",
    scaling={"s1": (-25.0, 10.0), "s2": (0.0, 1.0)}, loss="softmax_none", lead_days=30,
)  # fmt: skip
SAMPLING = SamplingConfig(
    num_periods=2, unit="pixels", context=0, steps_per_epoch=3, mixup=0.4, weak_share=0.3
)
STATES = np.array([0, 1, 2, NONE_OF_THESE, IGNORE, WEAK_NONE], np.uint8)


def make_data(known=True):
    rng = np.random.default_rng(0)
    labels = [rng.choice(STATES, (8, 8)) for _ in range(3)]
    if not known:
        labels = [np.where(label == WEAK_NONE, np.uint8(IGNORE), label) for label in labels]
    splits = ("train", "train", "validation")
    return small_data.make_dataset([Ground(s, x) for s, x in zip(splits, labels, strict=True)])


@pytest.mark.parametrize("name", ["sigmoid", "softmax_none"])
def test_a_weak_pixel_weighs_its_weight(name):
    rng = np.random.default_rng(1)
    outputs = 3 if name == "softmax_none" else 2
    logits = jnp.asarray(rng.normal(size=(2, 1, 2, outputs)), jnp.float32)
    label = np.array([[[0, NONE_OF_THESE]], [[1, IGNORE]]], np.uint8)
    planted, function = np.ones((2, 2), np.float32), losses.LOSSES[name].function
    weak = np.array([[[False, True]], [[False, False]]])

    def of(label, share=None):
        return np.array(function(logits, label, planted, None, 0.1, share))

    known = of(np.where(weak, np.uint8(IGNORE), label))
    for weight in (0.25, 1.0):
        share = objectives.weighted(None, jnp.asarray(weak), weight)
        np.testing.assert_allclose(
            of(label, share) - known, weight * (of(label) - known), rtol=1e-5
        )
    # Times the share of its example, where examples are mixed.
    mix = jnp.array([0.5, 1.0], jnp.float32)
    share = objectives.weighted(mix, jnp.asarray(weak), 0.5)
    np.testing.assert_array_equal(share, [[[0.5, 0.25]], [[1, 1]]])
    # An example's share is that of each of its pixels.
    whole = jnp.broadcast_to(mix[:, None, None], label.shape)
    np.testing.assert_array_equal(of(label, mix), of(label, whole))
    assert objectives.weighted(mix, None, 0.5) is mix


def test_they_are_turned_and_mixed_with_their_labels():
    label = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    batch = {
        "pixels": {"s1": np.zeros((2, 1, 2, 2, 2), np.int16)},
        "label": label,
        "weak": label % 3 == 0,
        "turn": np.array([1, 6], np.int32),
    }  # fmt: skip
    turned = augment(jax.tree.map(jnp.asarray, batch))
    np.testing.assert_array_equal(turned["weak"], np.asarray(turned["label"]) % 3 == 0)
    assert (np.asarray(turned["label"]) != label).any()
    more = {"planted": np.ones((2, 3)), "valid": {}, "mix": np.array([0.3, 0.6])}
    others = steps.mixed({**turned, **more, "pixels": {}})["others"]
    np.testing.assert_array_equal(others["weak"], np.asarray(others["label"]) % 3 == 0)
    np.testing.assert_array_equal(others["label"], np.asarray(turned["label"])[::-1])


def gradient_norm(batch, weak_weight=1.0):
    optimizer = optim.make_optimizer("sgd", lambda _: 0.1, lambda _: 0.1)
    variables = steps.init_variables(RECIPE, 0)
    state = {"step": np.zeros((), np.int32), "opt_state": optimizer.init(variables["params"])}
    step = steps.make_train_step(RECIPE, optimizer, label_smoothing=0.1, weak_weight=weak_weight)
    _, metrics = parallel.data_parallel(step)(
        parallel.replicate(state | variables), parallel.shard(batch)
    )
    return {k: float(v) for k, v in parallel.unreplicate(metrics).items()}


def test_a_step_counts_them_by_their_weight():
    from cropmap_jax.data import pixel_sampling

    config = dataclasses.replace(SAMPLING, mixup=0.0, augment=False)
    made = pixel_sampling.make_pixel_batches(make_data(), "train", config, 32, 0)
    batch = made.map(0)
    weak = int(batch["weak"].sum())
    assert 0 < weak < 32
    found = {w: gradient_norm(batch, w) for w in (1.0, 0.5, 1e-7)}
    planted = gradient_norm({k: v for k, v in batch.items() if k != "weak"})
    # None-of-these is always possible; a class must be planted, as all are here.
    assert planted["weight"] == found[1.0]["weight"] == 32
    assert found[0.5]["weight"] == 32 - weak / 2
    assert planted["loss"] == found[1.0]["loss"] != found[0.5]["loss"]
    label = np.where(batch["weak"], np.uint8(IGNORE), batch["label"])
    without = gradient_norm({**{k: v for k, v in batch.items() if k != "weak"}, "label": label})
    assert found[1e-7]["loss"] == pytest.approx(without["loss"], rel=1e-5)
    assert found[1e-7]["grad_norm"] == pytest.approx(without["grad_norm"], rel=1e-4)


def train(workdir, data, **changes):
    variables = steps.init_variables(RECIPE, 0)
    settings = {"sampling": SAMPLING, "weak_weight": 0.5} | changes
    return loop.train(data, RECIPE, make_config(**settings), variables, workdir)


def test_a_run_that_is_interrupted_learns_the_same(tmp_path, monkeypatch):
    data = make_data()
    train(tmp_path / "whole", data, epochs=2)
    made, end = loop.StopSignal, iter([False] * 3 + [True] * 10)

    class Stops(made):
        number = property(lambda self: 15 if next(end) else None, lambda self, value: None)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "StopSignal", Stops)
        with pytest.raises(Stopped):
            train(tmp_path / "cut", data, epochs=2)
    train(tmp_path / "cut", data, epochs=2)
    found = (small_runs.saved(tmp_path / name, 6) for name in ("whole", "cut"))
    small_runs.assert_equal(*found)


def test_without_a_share_training_is_bit_for_bit_as_without_a_map(tmp_path):
    off = dataclasses.replace(SAMPLING, weak_share=0.0)
    train(tmp_path / "map", make_data(), sampling=off, epochs=1)
    train(tmp_path / "plain", make_data(known=False), sampling=off, epochs=1, weak_weight=1.0)
    # And with a share where there is no map.
    train(tmp_path / "none", make_data(known=False), epochs=1, weak_weight=1.0)
    train(tmp_path / "used", make_data(), epochs=1)
    plain = small_runs.saved(tmp_path / "plain", 3)
    small_runs.assert_equal(small_runs.saved(tmp_path / "map", 3), plain)
    small_runs.assert_equal(small_runs.saved(tmp_path / "none", 3), plain)
    used = small_runs.saved(tmp_path / "used", 3)
    assert any((used[k] != plain[k]).any() for k in plain if "kernel" in k)


def test_validation_never_sees_them():
    variables = steps.init_variables(RECIPE, 0)
    scores = []
    for known in (True, False):
        made = Validation(make_data(known), RECIPE, SAMPLING, 8)
        scores.append(made(parallel.replicate(variables)))
    assert scores[0] == scores[1] and "validation/loss" in scores[0]


def test_it_says_that_there_are_none_and_refuses_a_loss_without_a_place_for_them(tmp_path, capsys):
    train(tmp_path / "none", make_data(known=False), epochs=1)
    assert "note: config.weak_share 0.3: no pixel of a land-cover map" in capsys.readouterr().out
    recipe = dataclasses.replace(RECIPE, loss="softmax")
    variables = steps.init_variables(recipe, 0)
    with pytest.raises(
        ValueError, match="^config.weak_share: expected 0 with config.loss 'softmax'"
    ):
        loop.train(make_data(), recipe, make_config(sampling=SAMPLING), variables, tmp_path / "a")
    with pytest.raises(ValueError, match="^config.weak_weight: expected a number above 0"):
        make_config(weak_weight=0.0)
