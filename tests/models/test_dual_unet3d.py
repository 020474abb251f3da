"""The whole network: sizes, shapes, errors, batch statistics."""

from functools import partial

import in_float64
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import print_saved_residuals

from cropmap_jax.models import (
    HEAD,
    TRUNK,
    DualUNet3D,
    count_parameters,
    initial_variables,
    variable_shapes,
)

# Small networks take longer to compile than to run.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
jit = partial(jax.jit, compiler_options=QUICK)

Small = partial(DualUNet3D, num_classes=3, width=2, num_periods=2, head_width=4)
Double = partial(Small, dtype=np.float64)


def inputs(batch=1, periods=2, height=16, width=16, seed=0):
    rng = np.random.default_rng(seed)
    shape = (batch, periods, height, width)
    return tuple(rng.random((*shape, c), dtype=np.float32) for c in (2, 10))


def trace(network, *args):
    """Shapes of the variables; runs nothing, but raises what `init` raises."""
    return jax.eval_shape(network.init, jax.random.key(0), *args)


def train_step(network, variables, *args):
    apply = partial(network.apply, train=True, mutable="batch_stats")
    return jit(apply)(variables, *args)


# The counts of the original PyTorch network.
@pytest.mark.parametrize(
    ("settings", "head", "total"),
    [
        ({}, 2_709, 62_134_293),
        ({"num_classes": 8, "head": "conv"}, 37_224, 62_168_808),
    ],
)
def test_parameter_counts(settings, head, total):
    params = trace(DualUNet3D(**settings), *inputs(periods=6))["params"]
    assert count_parameters(params["s1"]) == 31_062_336
    assert count_parameters(params["s2"]) == 31_069_248
    assert count_parameters(params[HEAD]) == head
    assert count_parameters(params) == total
    assert set(params) == {*TRUNK, HEAD}


def test_top_level_names():
    assert set(trace(Small(), *inputs())["batch_stats"]) == set(TRUNK)
    assert set(trace(Small(head="conv"), *inputs())["batch_stats"]) == {*TRUNK, HEAD}
    assert "batch_stats" not in trace(Small(head="conv", norm="group"), *inputs())


def test_parameter_shapes_are_natural():
    params = trace(DualUNet3D(), *inputs(periods=6))["params"]["s2"]
    assert params["conv3d"]["conv"]["kernel"].shape == (3, 3, 3, 10, 32)
    assert params["time_conv"]["conv"]["kernel"].shape == (6, 1, 1, 32, 32)
    assert params["unet"]["down3"]["second"]["conv"]["kernel"].shape == (3, 3, 512, 512)
    assert params["unet"]["upsample3"]["kernel"].shape == (2, 2, 1024, 512)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


def test_logits_do_not_depend_on_the_image_size():
    network = Small()
    variables = initial_variables(network, seed=0)
    logits = jit(network.apply)(variables, *inputs(batch=2, height=32, width=48))
    assert logits.shape == (2, 32, 48, 3)
    assert logits.dtype == jnp.float32
    assert logits.min() < 0  # no sigmoid
    assert jax.eval_shape(network.apply, variables, *inputs()).shape == (1, 16, 16, 3)


@pytest.fixture(scope="module")
def evaluated():
    """The variables of `Small()`, and its logits of `inputs()`."""
    variables = initial_variables(Small(), seed=0)
    return variables, jit(Small().apply)(variables, *inputs())


def test_bfloat16_is_close_to_float32(evaluated):
    variables, logits = evaluated
    found = jit(Small(dtype=jnp.bfloat16).apply)(variables, *inputs())
    np.testing.assert_allclose(found, logits, atol=0.05)
    assert (found != logits).any()


@pytest.mark.parametrize(("head", "norm"), [("conv", "batch"), ("linear", "group")])
def test_bfloat16_leaves_variables_and_logits_float32(head, norm):
    network = Small(head=head, norm=norm, dtype="bfloat16")
    variables = variable_shapes(network)
    apply = partial(network.apply, train=True, mutable="batch_stats")
    logits, updates = jax.eval_shape(apply, variables, *inputs())
    for leaf in jax.tree.leaves((variables, logits, updates)):
        assert leaf.dtype == jnp.float32


def test_validity_is_read_and_adds_channels():
    s1, s2 = inputs()
    masks = [np.ones(x.shape, bool) for x in (s1, s2)]
    network = Small(use_validity=True)
    variables = initial_variables(network, seed=0)
    for sensor, channels in (("s1", 4), ("s2", 20)):
        kernel = variables["params"][sensor]["conv3d"]["conv"]["kernel"]
        assert kernel.shape == (3, 3, 3, channels, 2)
    apply = jit(network.apply)
    logits = apply(variables, s1, s2, *masks)
    for i in range(2):
        changed = [m.copy() for m in masks]
        changed[i][..., -1] = False
        assert (apply(variables, s1, s2, *changed) != logits).any()
    floats = [m.astype(np.float32) for m in masks]
    assert jax.eval_shape(network.apply, variables, s1, s2, *floats).shape == logits.shape


def test_masks_are_ignored_unless_asked_for():
    s1, s2 = inputs()
    params = trace(Small(), s1, s2, s1 > 0, s2 > 0)["params"]
    assert params["s1"]["conv3d"]["conv"]["kernel"].shape == (3, 3, 3, 2, 2)


S1, S2 = (1, 2, 16, 16, 2), (1, 2, 16, 16, 10)


@pytest.mark.parametrize(
    ("s1", "s2", "message"),
    [
        ((1, 6, 16, 16, 2), (1, 6, 16, 16, 10), r"s1 has shape \(1, 6, .*expected \[B, 2, H, W, 2"),
        ((1, 2, 16, 16, 3), S2, r"s1 has shape .* 3\), expected .* 2\]"),
        ((2, 16, 16, 2), S2, r"s1 has shape \(2, 16, 16, 2\), expected"),
        ((1, 2, 24, 16, 2), (1, 2, 24, 16, 10), "24 x 16, expected multiples of 16"),
        ((1, 2, 16, 0, 2), (1, 2, 16, 0, 10), "16 x 0, expected multiples of 16"),
        (S1, (1, 2, 16, 16, 9), r"s2 has shape .* 9\), expected \(1, 2, 16, 16, 10\)"),
        (S1, (1, 2, 32, 16, 10), r"s2 has shape .*expected \(1, 2, 16, 16, 10\)"),
        (S1, (2, 2, 16, 16, 10), r"s2 has shape .*expected \(1, 2, 16, 16, 10\)"),
    ],
)
def test_wrong_inputs_are_named(s1, s2, message):
    with pytest.raises(ValueError, match=message):
        trace(Small(), jnp.zeros(s1), jnp.zeros(s2))


def test_missing_and_wrong_masks_are_named():
    s1, s2 = inputs()
    network = Small(use_validity=True)
    with pytest.raises(ValueError, match=r"s1_valid is missing, expected \(1, 2, 16, 16, 2\)"):
        trace(network, s1, s2)
    with pytest.raises(ValueError, match=r"s2_valid is of shape .* expected .* 10\)"):
        trace(network, s1, s2, s1 > 0, s1 > 0)


@pytest.mark.parametrize("settings", [{"head": "mlp"}, {"norm": "layer"}])
def test_unknown_choices_are_named(settings):
    (field, value), *_ = settings.items()
    with pytest.raises(ValueError, match=f"{field} is '{value}', expected one of"):
        Small(**settings)


def differs(before, after):
    """Whether they differ, leaf by leaf."""
    pairs = zip(*map(jax.tree.leaves, (before, after)), strict=True)
    return [bool((a != b).any()) for a, b in pairs]


@pytest.fixture(scope="module")
def trained():
    """A batch whose chips differ, the variables, and a training step's logits and updates.

    In float64, like all that is compared with it.
    """
    args = [x * np.arange(1.0, 5)[:, *4 * [None]] for x in inputs(batch=4)]
    network = Double(head="conv")
    variables = in_float64.doubled(initial_variables(Small(head="conv"), seed=0))
    with in_float64.float64():
        return args, variables, *train_step(network, variables, *args)


@pytest.mark.usefixtures("float64")
def test_training_updates_all_statistics(trained):
    _, variables, _, updates = trained
    assert all(differs(variables["batch_stats"], updates["batch_stats"]))


@pytest.mark.usefixtures("float64")
def test_frozen_trunk_keeps_its_statistics_while_the_head_learns(trained):
    args, variables, *_ = trained
    frozen = Double(head="conv", freeze_trunk_statistics=True)
    _, updates = train_step(frozen, variables, *args)
    before, after = variables["batch_stats"], updates["batch_stats"]
    for branch in TRUNK:
        assert not any(differs(before[branch], after[branch]))
    assert all(differs(before[HEAD], after[HEAD]))


@pytest.mark.usefixtures("float64")
def test_frozen_trunk_normalises_by_its_statistics(evaluated):
    # With a linear head nothing but the trunk has statistics: training equals evaluation.
    variables = in_float64.doubled(evaluated[0])
    expected = jit(Double().apply)(variables, *inputs())
    logits, _ = train_step(Double(freeze_trunk_statistics=True), variables, *inputs())
    assert logits.dtype == np.float64
    np.testing.assert_allclose(logits, expected, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_batch_norm_is_averaged_over_the_mapped_axis(trained):
    # The halves of the batch, each on its own device, give the statistics of the whole.
    args, variables, logits, updates = trained
    network = Double(head="conv", axis_name="devices")
    halves = [x.reshape(2, 2, *x.shape[1:]) for x in args]
    step = jax.vmap(partial(train_step, network, variables), axis_name="devices")
    mapped_logits, mapped = step(*halves)
    for one, both in zip(*map(jax.tree.leaves, (updates, mapped)), strict=True):
        np.testing.assert_allclose(both[0], one, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(both[1], one, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(mapped_logits.reshape(logits.shape), logits, atol=1e-8)


@pytest.mark.parametrize(
    "settings", [{}, {"head": "conv", "use_validity": True}, {"norm": "group"}]
)
def test_initial_variables_have_the_shapes_of_init(settings):
    network = Small(**settings)
    masks = inputs() if network.use_validity else ()
    expected = trace(network, *inputs(), *masks)
    assert variable_shapes(network) == expected
    found = initial_variables(network, seed=0)
    as_shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), found)
    assert as_shapes == expected


def test_initial_variables_are_drawn_as_torch_draws_them():
    params = initial_variables(Small(width=16), seed=0)["params"]
    unet = params["s1"]["unet"]
    layers = (
        (params["s2"]["conv3d"]["conv"], 27 * 10),
        (unet["bottleneck"]["first"]["conv"], 9 * 256),
        (unet["upsample3"], 4 * 256),  # PyTorch's fan-in is that of the output channels
    )
    for layer, inputs_of_one in layers:
        bound = inputs_of_one**-0.5
        for leaf in jax.tree.leaves(layer):
            assert bound * 0.75 < np.abs(leaf).max() <= bound * (1 + 1e-6)
        np.testing.assert_allclose(layer["kernel"].std(), bound / 3**0.5, rtol=0.05)
    norm = unet["down0"]["first"]["norm"]
    assert (norm["scale"] == 1).all() and (norm["bias"] == 0).all()


def test_initial_trunk_does_not_depend_on_the_head():
    one = initial_variables(Small(), seed=1)["params"]
    same = initial_variables(Small(head="conv", num_classes=8), seed=1)["params"]
    other = initial_variables(Small(), seed=2)["params"]
    for branch in TRUNK:
        jax.tree.map(np.testing.assert_array_equal, one[branch], same[branch])
    kernels = [p["s1"]["conv3d"]["conv"]["kernel"] for p in (one, other)]
    assert (kernels[0] != kernels[1]).all()


def test_rematerialising_keeps_nothing_large(capsys):
    """Of a level, and of what comes before the U-Net, only what it begins with is kept."""
    chips = inputs(batch=2)
    variables = initial_variables(Small(levels=1), seed=0)

    def kept(remat: bool) -> int:
        def loss(params):
            network = Small(levels=1, remat=remat)
            state = {"params": params, "batch_stats": variables["batch_stats"]}
            return network.apply(state, *chips, train=True, mutable=["batch_stats"])[0].sum()

        print_saved_residuals(loss, variables["params"])
        lines = capsys.readouterr().out.splitlines()
        # Images of the chips' full size: [B, H, W, C], [B, T, H, W, C] or [B T, H, W, C].
        return sum("16,16," in line and "from the argument" not in line for line in lines)

    assert kept(remat=True) < 10 < 50 < kept(remat=False)
