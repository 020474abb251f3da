"""Unknown ground in training: which pixels take part, what they weigh, what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import small_data, small_runs
from training.small_data import Ground
from training.test_sampled_pixels import MODEL, make_config

from cropmap_jax.data import pixel_sampling
from cropmap_jax.data.augment import augment
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.training import loop, optim, parallel, steps
from cropmap_jax.training.objectives import Objective
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.unknown import TREATMENTS, Unknown

RECIPE = Recipe(
    model=MODEL | {"neighbourhood": (1,)}, legend=small_data.LEGEND, period_kind="month",
    scaling={"s1": (-25.0, 10.0), "s2": (0.0, 1.0)}, loss="sigmoid", lead_days=30,
)  # fmt: skip
SAMPLING = SamplingConfig(
    num_periods=2, unit="pixels", context=0, steps_per_epoch=3, mixup=0.4, unknown_share=0.4
)
STATES = np.array([0, 1, 2, NONE_OF_THESE, IGNORE, IGNORE], np.uint8)
PRIORS = np.array([0.2, 0.1, 0.3], np.float32)
PU = Unknown("pu", priors="rye=0.2,pea=0.1,oats=0.3")


def make_data(states=STATES):
    rng = np.random.default_rng(0)
    splits = ("train", "train", "validation")
    return small_data.make_dataset([Ground(s, rng.choice(states, (8, 8))) for s in splits])


# Which pixels take part. --------------------------------------------------------------------------


def stored(side=4, label=2):
    """A batch of two squares of `side` pixels, of which the middle ones are labelled."""
    s1 = np.full((2, 2, side, side, 2), -32768, np.int16)
    s2 = np.full((2, 2, side, side, 10), -32768, np.int16)
    found = np.full((2, label, label), IGNORE, np.uint8)
    found[0, 0, 0] = 1
    return {"pixels": {"s1": s1, "s2": s2}, "label": found, "planted": np.ones((2, 3), np.float32)}


@pytest.mark.parametrize("treatment", TREATMENTS)
def test_what_no_sensor_has_seen_is_nothing_to_learn_from(treatment):
    batch = stored()
    batch["pixels"]["s1"][0, 1, 1, 1, 0] = 5  # annotated
    batch["pixels"]["s1"][0, 0, 1, 2, 1] = 5  # one band of one period
    batch["pixels"]["s2"][1, 1, 2, 1, 9] = 0  # 0 is a value
    batch["pixels"]["s2"][1, 1, 0, 0] = 7  # around the label
    found = Objective(RECIPE, treated=Unknown(treatment)).marked(batch)
    if treatment == "masked":
        assert found is batch
        return
    expected = np.zeros((2, 2, 2), bool)
    expected[0, 0, 1] = expected[1, 1, 0] = True
    np.testing.assert_array_equal(found["unknown"], expected)
    label = batch["label"].copy()
    if treatment == "negative":
        label[expected] = NONE_OF_THESE
    np.testing.assert_array_equal(found["label"], label)
    assert found["label"].dtype == np.uint8


def test_they_are_turned_and_mixed_with_their_labels():
    label = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    turn = np.array([1, 6], np.int32)
    batch = {"pixels": {}, "label": label, "unknown": label % 3 == 0, "turn": turn}
    turned = augment(jax.tree.map(jnp.asarray, batch))
    np.testing.assert_array_equal(turned["unknown"], np.asarray(turned["label"]) % 3 == 0)
    more = {"planted": np.ones((2, 3)), "valid": {}, "mix": np.array([0.3, 0.6])}
    others = steps.mixed({**turned, **more})["others"]
    np.testing.assert_array_equal(others["unknown"], np.asarray(others["label"]) % 3 == 0)


# What they weigh. ---------------------------------------------------------------------------------


def metrics_of(batch, recipe=RECIPE, **settings):
    optimizer = optim.make_optimizer("sgd", lambda _: 0.1, lambda _: 0.1)
    variables = steps.init_variables(recipe, 0)
    state = {"step": np.zeros((), np.int32), "opt_state": optimizer.init(variables["params"])}
    step = steps.make_train_step(recipe, optimizer, **settings)
    found = parallel.data_parallel(step)(
        parallel.replicate(state | variables), parallel.shard(batch)
    )
    return {k: float(v) for k, v in parallel.unreplicate(found[1]).items()}


def batch_of(size=32, mixup=0.0):
    config = dataclasses.replace(SAMPLING, mixup=mixup, augment=False)
    return pixel_sampling.make_pixel_batches(make_data(), "train", config, size, 0).map(0)


@pytest.mark.parametrize("loss", ["sigmoid", "softmax_none"])
def test_negatives_by_a_weight_are_none_of_these_by_that_weight(loss):
    recipe, batch = dataclasses.replace(RECIPE, loss=loss), batch_of()
    unknown = batch["label"] == IGNORE
    assert 0 < unknown.sum() < 32
    label = np.where(unknown, np.uint8(NONE_OF_THESE), batch["label"])
    found = metrics_of(batch, recipe, treated=Unknown("negative", 0.25))
    weak = {**batch, "label": label, "weak": unknown}
    expected = metrics_of(weak, recipe, weak_weight=0.25)
    for name in ("loss", "weight", "grad_norm"):
        assert found[name] == pytest.approx(expected[name], rel=1e-6)
    outputs, known = 3 if loss == "sigmoid" else 1, 32 - unknown.sum()
    assert found["weight"] == pytest.approx(outputs * (known + unknown.sum() / 4), rel=1e-6)


def test_a_mixed_pixel_counts_in_both_of_its_examples():
    """What a step says that its batch weighs is what its pixels weigh when they are mixed."""
    batch = batch_of(mixup=0.4)
    for treated in (PU, Unknown("pnu"), Unknown("negative", 0.5)):
        objective = Objective(
            RECIPE, treated=treated, priors=PRIORS if treated.estimates_risk else None
        )
        marked = objective.marked(jax.tree.map(jnp.asarray, batch))
        shares = steps.mixed(marked | {"valid": {}})
        logits = jnp.zeros((*batch["label"].shape, 3))
        own = objective._of(logits, shares, shares["mix"], 0.0)[1]
        other = objective._of(logits, shares["others"], 1 - shares["mix"], 0.0)[1]
        both = jax.tree.map(jnp.add, own, other)
        for a, b in zip(
            jax.tree.leaves(objective.weights(marked)), jax.tree.leaves(both), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5)


def test_masked_ignores_all_other_settings():
    batch = batch_of(mixup=0.4)
    assert metrics_of(batch) == metrics_of(batch, treated=Unknown(weight=3.0, eta=-1.0))


# Runs. --------------------------------------------------------------------------------------------


def train(workdir, data=None, recipe=RECIPE, **changes):
    variables = steps.init_variables(recipe, 0)
    settings = {"sampling": SAMPLING, "unknown": PU} | changes
    return loop.train(data or make_data(), recipe, make_config(**settings), variables, workdir)


@pytest.mark.parametrize("treated", [PU, Unknown("negative")])
def test_a_run_says_what_unknown_ground_is_and_ends(tmp_path, capsys, treated):
    assert np.isfinite(train(tmp_path, unknown=treated, epochs=1)["loss"])
    said = capsys.readouterr().out
    if treated.treatment == "negative":
        assert "unknown pixels are negatives of every class, of weight 1" in said
    else:
        shares = "rye 0.200, pea 0.100, oats 0.300"
        assert f"note: config.unknown: pu; shares of all ground: {shares}" in said


def test_chips_hold_their_unknown_pixels(tmp_path):
    data, recipe = small_runs.make_data(), small_runs.make_recipe()
    changes = {"sampling": SamplingConfig(num_periods=2), "epochs": 1, "batch_size": 2}
    treated = Unknown("pnu", priors="annotated", cropland=0.5)
    found = train(tmp_path, data, recipe, unknown=treated, **changes)
    assert np.isfinite(found["loss"])


def test_shares_are_estimated_from_what_is_annotated():
    data = make_data()
    pixels = data.split("train").pixels.sum(0)
    found = Unknown("pu", priors="annotated", cropland=0.5).class_priors(data)
    np.testing.assert_allclose(found, 0.5 * pixels[:3] / pixels.sum(), rtol=1e-6)
    given = PU.class_priors(data)
    np.testing.assert_allclose(given, PRIORS, rtol=1e-6)
    assert given.dtype == np.float32 and Unknown("negative").class_priors(data) is None


# What is refused: one line each. ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"treatment": "ignored"}, "treatment: expected one of masked, negative, pu, pnu"),
        ({"weight": 0.0}, "weight: expected a number above 0"),
        ({"share": 1.0}, "share: expected a number below 1"),
        ({"share": 0.0}, "share: expected a number above 0"),
        ({"cropland": 0.0}, "cropland: expected a number above 0"),
        ({"eta": 1.5}, "eta: expected a number from -1 to 1"),
        ({"beta": -1.0}, "beta: expected a number from 0"),
        ({"gamma": 1.5}, "gamma: expected a number from 0 to 1"),
        ({"priors": 0.3}, "priors: expected text"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=f"^config.unknown.{message}"):
        Unknown(**settings)


def test_settings_that_there_are_not():
    whole = dataclasses.asdict(Unknown())
    assert Unknown.of(whole) == Unknown()
    with pytest.raises(ValueError, match=r"^config.unknown.wieght: no such setting; did you mean"):
        Unknown.of(whole | {"wieght": 1.0})


@pytest.mark.parametrize(
    ("priors", "message"),
    [
        ("rye=0.5,pea=0.4,oats=0.2", "add up to at most 1, found 1.1"),
        ("rye=0.5,pea=0.4,wheat=0.05", "found 'wheat=0.05'; .*expected one of oats, pea, rye"),
        ("rye=0.5,pea=0.4", "expected a share of every class, found none for oats"),
        ("rye=0.5,pea=0.4,oats=0", "above 0 and below 1 for oats, found '0'"),
        ("rye=0.5,pea=0.4,oats=nan", "above 0 and below 1 for oats, found 'nan'"),
        ("rye=0.5,pea=x,oats=0.1", "above 0 and below 1 for pea, found 'x'"),
        ("rye=0.1,pea=0.1,oats=0.1,rye=0.2", "every class once, found rye twice"),
        ("estimated", "expected 'best_bin', 'annotated', or name=share of .* found 'estimated'"),
        ("", "expected 'best_bin', 'annotated', or name=share of every class, found ''"),
    ],
)
def test_shares_that_cannot_be(tmp_path, priors, message):
    with pytest.raises(ValueError, match=f"^config.unknown.priors: .*{message}") as error:
        train(tmp_path / "run", unknown=Unknown("pu", priors=priors))
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_shares_that_cannot_be_estimated():
    never = make_data(np.array([0, 1, NONE_OF_THESE, IGNORE], np.uint8))
    with pytest.raises(ValueError, match="^config.unknown.priors: .*since oats is not annotated"):
        Unknown("pu").class_priors(never)
    whole = make_data(np.array([0, 1, 2, IGNORE], np.uint8))
    with pytest.raises(ValueError, match="^config.unknown.cropland: expected below 1 with"):
        Unknown("pu", priors="annotated").class_priors(whole)
    found = Unknown("pu", priors="annotated", cropland=0.6).class_priors(whole)
    assert found.sum() == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("changes", "loss", "message"),
    [
        ({}, "softmax", "config.loss: expected 'sigmoid' with config.unknown.treatment 'pu'"),
        ({}, "softmax_none", "config.loss: expected 'sigmoid' with config.unknown.treatment 'pu'"),
        (
            {"unknown": Unknown("negative")},
            "softmax",
            "config.loss: expected sigmoid or softmax_none with .* 'negative'",
        ),
        ({"class_weights": "balanced"}, "sigmoid", "config.class_weights: expected 'none' with"),
        ({"accumulate": 2}, "sigmoid", "config.accumulate: expected 1 with"),
    ],
)
def test_losses_and_settings_that_do_not_fit(tmp_path, changes, loss, message):
    recipe = dataclasses.replace(RECIPE, loss=loss)
    with pytest.raises(ValueError, match=f"^{message}") as error:
        train(tmp_path / "run", recipe=recipe, **changes)
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("treated", [PU, Unknown("negative")])
def test_ground_that_is_annotated_everywhere(tmp_path, treated):
    data = make_data(np.array([0, 1, 2, NONE_OF_THESE], np.uint8))
    with pytest.raises(ValueError, match="split train: expected unknown pixels for config.unknown"):
        train(tmp_path / "run", data, unknown=treated)
    assert not (tmp_path / "run").exists()
