"""Weights from PyTorch give PyTorch's logits; anything amiss in a state dict is named."""

from functools import partial

import in_float64
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cropmap_jax.models import HEAD, DualUNet3D
from cropmap_jax.models.torch_import import BANDS, convert, describe

torch = pytest.importorskip("torch")
from benchmarks import torch_twin  # noqa: E402

# Small networks take longer to compile than to run.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
jit = partial(jax.jit, compiler_options=QUICK)


def randomise(network, seed=0):
    """Draws norms' parameters and statistics too, which PyTorch starts at 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias.data, module.running_mean):
                tensor.uniform_(-0.5, 0.5, generator=generator)
    return network


def european(**settings):
    torch.manual_seed(0)
    return randomise(torch_twin.DualUNet3D(**settings))


def fine_tuned(**settings):
    torch.manual_seed(0)
    return randomise(torch_twin.FineTuned(torch_twin.DualUNet3D(**settings)))


def arrays(network):
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def inputs(batch=1, periods=6, size=32):
    rng = np.random.default_rng(1)
    return [rng.random((batch, periods, size, size, c), dtype=np.float32) for c in (2, 10)]


def called(s1, s2):
    """What our network is called with."""
    return {"s1": s1, "s2": s2}, None, None


def to_torch(x):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def test_logits_equal_torch():
    # In float64: how far apart float32 ends hangs on the order of its sums.
    s1, s2 = (x.astype(np.float64) for x in inputs())
    for make, settings in (
        (european, {"num_classes": 21, "head": "linear", "width": 4}),
        # The one at full width: 62 million parameters, of which the trunk is that of both.
        (fine_tuned, {"num_classes": 8, "head": "conv", "head_width": 32, "width": 32}),
    ):
        twin = make(width=settings["width"]).eval()  # weights that float32 holds
        state_dict = arrays(twin)
        expected = {**settings, "bands": BANDS, "num_periods": 6}
        assert describe(state_dict) == expected
        with torch.no_grad():
            expected = twin.double()(to_torch(s1), to_torch(s2)).numpy().transpose(0, 2, 3, 1)
        assert expected.std() > 0.01
        network = DualUNet3D(**describe(state_dict), dtype=np.float64)
        with jax.enable_x64(True):
            found = jit(network.apply)(in_float64.doubled(convert(state_dict)), *called(s1, s2))
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_gradients_and_statistics_equal_torch_in_training():
    # In float64: in float32 a value near the kink of a ReLU falls on either side of it.
    twin = fine_tuned(width=2)
    before = {name: array.copy() for name, array in arrays(twin).items()}
    twin = twin.double().train()
    s1, s2 = (x.astype(np.float64) for x in inputs(batch=2))
    label = (np.random.default_rng(2).random((2, 32, 32, 8)) < 0.2).astype(np.float64)
    torch_loss = torch.nn.functional.binary_cross_entropy_with_logits(
        twin(to_torch(s1), to_torch(s2)), to_torch(label)
    )
    torch_loss.backward()
    # The gradients go through the same conversion as the weights.
    gradients = before | {name: p.grad.numpy() for name, p in twin.named_parameters()}
    expected = convert(gradients)["params"]

    network = DualUNet3D(**describe(before), dtype=np.float64)
    variables = convert(before)

    def loss(params):
        apply = partial(network.apply, train=True, mutable="batch_stats")
        logits, updates = apply({**variables, "params": params}, *called(s1, s2))
        return (jnp.logaddexp(0, logits) - label * logits).mean(), updates

    # Compiled without optimisation, this once showed a max-pool whose gradient was 0/0.
    with jax.enable_x64(True):
        step = jit(jax.value_and_grad(loss, has_aux=True))
        (found_loss, updates), found = jax.device_get(step(variables["params"]))
    np.testing.assert_allclose(found_loss, torch_loss.item(), rtol=1e-6)
    scale = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6 * scale), found, expected)

    after = convert(arrays(twin))["batch_stats"]
    norm, torch_norm = (s[HEAD]["hidden"]["norm"] for s in (updates["batch_stats"], after))
    np.testing.assert_allclose(norm["mean"], torch_norm["mean"], rtol=1e-5, atol=1e-7)
    # Of the variance PyTorch keeps the unbiased estimate, Flax the biased one.
    old = 0.9 * variables["batch_stats"][HEAD]["hidden"]["norm"]["var"]
    n = 2 * 32 * 32
    np.testing.assert_allclose((norm["var"] - old) * n / (n - 1), torch_norm["var"] - old, 1e-4)


@pytest.fixture(scope="module")
def small():
    return arrays(european(num_classes=3, width=2, num_periods=4))


@pytest.fixture(scope="module")
def small_fine_tuned():
    return arrays(fine_tuned(width=2, num_periods=4))


def test_sizes_are_read_off(small, small_fine_tuned):
    sizes = {"num_classes": 3, "head": "linear", "width": 2, "num_periods": 4}
    assert describe(small) == {"bands": BANDS, **sizes}
    assert describe(small_fine_tuned) == {
        "bands": BANDS,
        "num_classes": 8,
        "head": "conv",
        "head_width": 32,
        "width": 2,
        "num_periods": 4,
    }


def test_variables_are_those_of_the_network(small_fine_tuned):
    network = DualUNet3D(**describe(small_fine_tuned))
    expected = jax.eval_shape(network.init, jax.random.key(0), *called(*inputs(periods=4, size=16)))
    found = convert(small_fine_tuned)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(lambda leaf: leaf.shape, expected)
    for leaf in jax.tree.leaves(found):
        assert type(leaf) is np.ndarray and leaf.dtype == np.float32
        assert leaf.flags.owndata and leaf.flags.c_contiguous


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_what_is_ignored(small, small_fine_tuned):
    assert any(name.endswith("num_batches_tracked") for name in small)
    same(convert({f"module.{name}": array for name, array in small.items()}), convert(small))
    old_head = {
        "dualunet3d.final_conv.weight": np.zeros((21, 8, 1, 1)),
        "dualunet3d.final_conv.bias": np.zeros(21),
    }
    same(convert(small_fine_tuned | old_head), convert(small_fine_tuned))
    half = {name: array.astype(np.float16) for name, array in small.items()}
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(convert(half)))


@pytest.mark.parametrize(
    "name",
    [
        "unet3d_s1.conv3d.conv.3.weight",  # read by describe
        "unet3d_s2.unet.ups.6.bias",
        "unet3d_s2.unet.bottleneck.conv.4.running_var",
        "final_conv.weight",
    ],
)
def test_missing_array_is_named(small, name):
    rest = {key: array for key, array in small.items() if key != name}
    with pytest.raises(ValueError, match=rf"{name} is missing, found \d+ arrays"):
        convert(rest)


def test_empty_state_dict():
    with pytest.raises(ValueError, match="is missing, found 0 arrays"):
        describe({})


def test_wrong_shape_is_named(small):
    name = "unet3d_s1.unet.ups.0.weight"
    assert small[name].shape == (64, 32, 2, 2)
    wrong = small | {name: small[name].swapaxes(0, 1)}
    with pytest.raises(
        ValueError, match=rf"{name} has shape \(32, 64, 2, 2\), expected \(64, 32, 2, 2\)"
    ):
        convert(wrong)
    name = "final_conv.weight"
    with pytest.raises(ValueError, match=rf"{name} has shape .* expected 4 axes"):
        describe(small | {name: small[name][..., 0]})


def test_unknown_array_is_named(small):
    with pytest.raises(ValueError, match=r"unknown unet3d_s3\.weight \(of 1 unknown\), expected"):
        convert(small | {"unet3d_s3.weight": np.zeros(3)})
