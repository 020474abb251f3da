"""The whole network: sizes, shapes, errors, batch statistics."""

from functools import partial

import in_float64
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import print_saved_residuals

from cropmap_jax import models
from cropmap_jax.models import HEAD, DualUNet3D, count_parameters

# Small networks take longer to compile than to run.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
jit = partial(jax.jit, compiler_options=QUICK)

BANDS = {"s1": 2, "s2": 10}
Small = partial(DualUNet3D, BANDS, num_classes=3, width=2, num_periods=2, head_width=4)
Double = partial(Small, dtype=np.float64)


initial_variables = partial(models.initial_variables, bands=BANDS)
variable_shapes = partial(models.variable_shapes, bands=BANDS)


def inputs(batch=1, periods=2, height=16, width=16, seed=0):
    """pixels, valid and day_of_year: what a network is called with."""
    rng = np.random.default_rng(seed)
    shape = (batch, periods, height, width)
    pixels = {s: rng.random((*shape, c), dtype=np.float32) for s, c in BANDS.items()}
    valid = {s: np.ones(x.shape, np.float32) for s, x in pixels.items()}
    return pixels, valid, np.tile(np.arange(periods, dtype=np.int32), (batch, 1))


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
    params = trace(DualUNet3D(BANDS, **settings), *inputs(periods=6))["params"]
    assert count_parameters(params["s1"]) == 31_062_336
    assert count_parameters(params["s2"]) == 31_069_248
    assert count_parameters(params[HEAD]) == head
    assert count_parameters(params) == total
    assert set(params) == {*BANDS, HEAD}


def test_top_level_names():
    assert set(trace(Small(), *inputs())["batch_stats"]) == set(BANDS)
    assert set(trace(Small(head="conv"), *inputs())["batch_stats"]) == {*BANDS, HEAD}
    assert "batch_stats" not in trace(Small(head="conv", norm="group"), *inputs())


def test_parameter_shapes_are_natural():
    params = trace(DualUNet3D(BANDS), *inputs(periods=6))["params"]["s2"]
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
    pixels, masks, days = inputs()
    network = Small(use_validity=True)
    variables = initial_variables(network, seed=0)
    for sensor, channels in (("s1", 4), ("s2", 20)):
        kernel = variables["params"][sensor]["conv3d"]["conv"]["kernel"]
        assert kernel.shape == (3, 3, 3, channels, 2)
    apply = jit(network.apply)
    logits = apply(variables, pixels, masks, days)
    for sensor in BANDS:
        changed = jax.tree.map(np.copy, masks)
        changed[sensor][..., -1] = 0
        assert (apply(variables, pixels, changed, days) != logits).any()
    switches = jax.tree.map(lambda m: m > 0, masks)
    assert jax.eval_shape(network.apply, variables, pixels, switches, days).shape == logits.shape


def test_masks_are_ignored_unless_requested():
    params = trace(Small(), *inputs())["params"]
    assert params["s1"]["conv3d"]["conv"]["kernel"].shape == (3, 3, 3, 2, 2)


def test_sensors_are_read_in_their_order_whatever_the_order_of_the_pixels():
    pixels, *rest = inputs()
    network = DualUNet3D({"s2": 10, "s1": 2}, num_classes=3, width=2, num_periods=2)
    assert network == DualUNet3D((("s2", 10), ("s1", 2)), num_classes=3, width=2, num_periods=2)
    assert hash(network) and network.bands == (("s2", 10), ("s1", 2))
    variables = initial_variables(network, seed=0)
    # The head reads s2's features first; the other way round, each finds the other's weights.
    turned = jax.tree.map(lambda leaf: leaf, variables)
    kernel = variables["params"]["head"]["logits"]["kernel"]
    turned["params"]["head"]["logits"]["kernel"] = np.concatenate(np.split(kernel, 2, 2)[::-1], 2)
    found = jit(network.apply)(variables, dict(reversed(pixels.items())), *rest)
    expected = jit(Small().apply)(turned, pixels, *rest)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bands", [{"temperature": 1}, {"a": 3, "b": 1, "c": 2}])
def test_any_number_of_sensors(bands):
    network = DualUNet3D(bands, num_classes=2, width=2, levels=1, num_periods=3)
    shapes = models.variable_shapes(network, bands)
    assert shapes["params"].keys() == {*bands, HEAD}
    for sensor, count in bands.items():
        assert shapes["params"][sensor]["conv3d"]["conv"]["kernel"].shape == (3, 3, 3, count, 2)


@pytest.mark.parametrize("bands", [{}, {"head": 3}])
def test_sensors_that_cannot_be_are_refused(bands):
    with pytest.raises(ValueError, match="expected sensors, none of them 'head'"):
        DualUNet3D(bands)


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
        trace(Small(), {"s1": jnp.zeros(s1), "s2": jnp.zeros(s2)}, None, None)


def test_missing_and_wrong_masks_are_named():
    pixels, masks, days = inputs()
    network = Small(use_validity=True)
    message = r"valid\['s1'\] is missing, expected \(1, 2, 16, 16, 2\)"
    for nothing in (None, {}):
        with pytest.raises(ValueError, match=message):
            trace(network, pixels, nothing, days)
    with pytest.raises(ValueError, match=r"valid\['s2'\] is of shape .* expected .* 10\)"):
        trace(network, pixels, {"s1": masks["s1"], "s2": masks["s1"]}, days)
    for wrong in ({"s1": pixels["s1"]}, pixels | {"s3": pixels["s1"]}):
        with pytest.raises(ValueError, match=r"pixels are of \['s1'.*expected \['s1', 's2'\]"):
            trace(Small(), wrong, masks, days)


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
    pixels, valid, days = inputs(batch=4)
    args = {s: x * np.arange(1.0, 5)[:, *4 * [None]] for s, x in pixels.items()}, valid, days
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
    for branch in BANDS:
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
    halves = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), args)
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
    expected = trace(network, *inputs())
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


def test_what_a_tile_and_its_surroundings_have_to_be():
    assert (DualUNet3D(BANDS).size_multiple, DualUNet3D(BANDS).halo) == (16, 16)
    flat = Small(levels=0)
    assert (flat.size_multiple, flat.halo) == (1, 16)
    # Four convolutions of 3 x 3 and that over time: conv3d, bottleneck's two; and the conv head's.
    assert (flat.reach, Small(levels=0, head="conv").reach) == (3, 4)
    # What the docstring says.
    assert DualUNet3D(BANDS).reach == 108


@pytest.mark.parametrize("head", ["linear", "conv"])
def test_a_pixel_depends_on_none_beyond_the_reach(head):
    network = Small(levels=1, head=head)
    variables = initial_variables(network, seed=0)
    pixels, *rest = inputs(height=48, width=48)
    reach, seen = network.reach, []

    def one(pixels, row, col):
        return network.apply(variables, pixels, *rest)[0, row, col].sum()

    gradient = jit(jax.grad(one))
    for row, col in ((24, 24), (25, 25)):
        found = sum(np.abs(g).sum((0, 1, 4)) for g in gradient(pixels, row, col).values())
        rows, cols = np.nonzero(found)
        seen += [np.abs(rows - row).max(), np.abs(cols - col).max()]
    assert reach - 2 <= max(seen) <= reach


def test_bands_that_are_never_seen_have_no_weight():
    network = Small(use_validity=True)
    before = initial_variables(network, seed=0)["params"]
    after = network.without_bands(before, {"s1": [], "s2": [3]})
    kernels = [p["s2"]["conv3d"]["conv"]["kernel"] for p in (before, after)]
    np.testing.assert_array_equal(kernels[1][..., [3, 13], :], 0)
    rest = [b for b in range(20) if b not in (3, 13)]
    np.testing.assert_array_equal(kernels[1][..., rest, :], kernels[0][..., rest, :])
    assert (kernels[0][..., 3, :] != 0).all()  # what was given stays
    after["s2"]["conv3d"]["conv"]["kernel"] = kernels[0]
    jax.tree.map(np.testing.assert_array_equal, before, after)
