"""Each rearranged form equals the plain one, in values and in gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import plain
from cropmap_jax.models import blocks

FORMS = {
    "conv2d, more pixels": (blocks.conv2d, plain.conv2d, (2, 4, 6, 3), (3, 3, 3, 5)),
    "conv2d, large": (blocks.conv2d, plain.conv2d, (2, 32, 40, 32), (3, 3, 32, 5)),
    "conv2d, more features": (blocks.conv2d, plain.conv2d, (1, 2, 3, 4), (3, 3, 4, 9)),
    "conv2d, one pixel": (blocks.conv2d, plain.conv2d, (1, 1, 1, 4), (3, 3, 4, 9)),
    "conv3d": (blocks.conv3d, plain.conv3d, (2, 4, 5, 6, 3), (3, 3, 3, 3, 4)),
    "conv3d, one period": (blocks.conv3d, plain.conv3d, (1, 1, 5, 6, 3), (3, 3, 3, 3, 4)),
    "time_conv": (blocks.time_conv, plain.time_conv, (2, 4, 3, 5, 3), (4, 1, 1, 3, 6)),
    "upsample": (blocks.upsample, plain.upsample, (2, 3, 4, 5), (2, 2, 5, 3)),
    "max_pool": (lambda x, _: blocks.max_pool(x), lambda x, _: plain.max_pool(x), (2, 4, 6, 3), ()),
}


@pytest.mark.parametrize("form", FORMS)
def test_form_equals_plain(form):
    fast, slow, x_shape, kernel_shape = FORMS[form]
    rng = np.random.default_rng(0)
    x, kernel = (rng.standard_normal(s).astype(np.float32) for s in (x_shape, kernel_shape))
    expected, slow_vjp = jax.vjp(slow, x, kernel)
    found, fast_vjp = jax.vjp(fast, x, kernel)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    cotangent = rng.standard_normal(expected.shape).astype(np.float32)
    for a, b in zip(fast_vjp(cotangent), slow_vjp(cotangent), strict=True):
        # A gradient to a kernel is a sum over pixels: of thousands, in the large form.
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6 * max(5, np.abs(b).max(initial=0)))


@pytest.mark.parametrize("features", [8, 64])
def test_large_convolutions_in_bfloat16(features):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 32, 32, 32)).astype(np.float32)
    kernel = rng.standard_normal((3, 3, 32, features)).astype(np.float32)
    cotangent = rng.standard_normal((2, 32, 32, features)).astype(np.float32)
    expected = jax.vjp(plain.conv2d, x, kernel)[1](cotangent)
    half = (jnp.asarray(v, jnp.bfloat16) for v in (x, kernel, cotangent))

    @jax.jit
    def gradients(x, kernel, cotangent):
        return jax.vjp(blocks.conv2d, x, kernel)[1](cotangent)

    for a, b in zip(gradients(*half), expected, strict=True):
        assert a.dtype == jnp.bfloat16
        # Eight bits of mantissa.
        np.testing.assert_allclose(a.astype(np.float32), b, atol=0.01 * np.abs(b).max())


@pytest.mark.parametrize("window", [(3, 3), (1, 5), (5, 1), (1, 1)])
def test_kernel_gradient_is_that_of_the_convolution(window):
    rng = np.random.default_rng(0)
    x, gradient = (rng.standard_normal((2, 5, 7, c)).astype(np.float32) for c in (3, 4))
    kernel = jnp.zeros((*window, 3, 4))
    expected = jax.vjp(lambda k: plain.conv2d(x, k), kernel)[1](gradient)[0]
    found = blocks.kernel_gradient(x, gradient, window)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_large_convolutions_choose_the_product_on_the_cpu_alone():
    def gradient(kernel):
        x = jnp.ones((1, 32, 32, blocks.PRODUCT_CHANNELS))
        return jax.grad(lambda k: blocks.conv2d(x, k).sum())(kernel)

    kernel = jnp.zeros((3, 3, blocks.PRODUCT_CHANNELS, 2))
    for platform, product in (("cpu", True), ("cuda", False)):
        lowered = jax.jit(gradient).trace(kernel).lower(lowering_platforms=(platform,)).as_text()
        assert ("stablehlo.dot_general" in lowered) == product


def test_upsample_puts_the_window_where_it_says():
    kernel = jnp.arange(4.0).reshape(2, 2, 1, 1)
    y = blocks.upsample(jnp.ones((1, 2, 3, 1)), kernel)
    for i in range(2):
        for j in range(2):
            assert (y[:, i::2, j::2] == kernel[i, j]).all()


def test_max_pool_gives_the_gradient_to_the_first_maximum():
    # Every pattern of four values out of three, ties included, one in each channel.
    x = np.stack(np.meshgrid(*4 * [np.arange(3.0)])).reshape(1, 2, 2, 81)
    gradient = jax.grad(lambda x: blocks.max_pool(x).sum())(x)
    first = x.reshape(4, 81).argmax(axis=0)
    np.testing.assert_array_equal(gradient.reshape(4, 81), np.eye(4)[first].T)


@pytest.mark.parametrize(
    ("function", "kernel_size", "fan_in"),
    [
        (blocks.conv2d, (3, 3), 9 * 25),
        # PyTorch's fan-in of a transposed convolution is that of its output channels.
        (blocks.upsample, (2, 2), 4 * 64),
    ],
)
def test_initialisation_is_uniform_within_torch_bound(function, kernel_size, fan_in):
    layer = blocks.Conv(64, kernel_size, function)
    params = layer.init(jax.random.key(0), np.ones((1, 2, 2, 25), np.float32))["params"]
    bound = fan_in**-0.5
    for leaf, slack in ((params["kernel"], 0.01), (params["bias"], 0.2)):
        assert bound * (1 - slack) < np.abs(leaf).max() <= bound
    np.testing.assert_allclose(np.std(params["kernel"]), bound / 3**0.5, rtol=0.05)


@pytest.mark.parametrize(("features", "groups"), [(64, 8), (12, 6), (11, 1)])
def test_group_norm_takes_the_largest_divisor_up_to_8(features, groups):
    rng = np.random.default_rng(0)
    x, kernel, scale, bias = (
        rng.standard_normal(shape, np.float32)
        for shape in ((1, 4, 4, 3), (3, 3, 3, features), features, features)
    )
    params = {"conv": {"kernel": kernel}, "norm": {"scale": scale, "bias": bias}}
    found = blocks.ConvNormRelu(features, norm="group").apply({"params": params}, x)
    y = np.asarray(blocks.conv2d(x, kernel)).reshape(16, groups, features // groups)
    mean, var = (f(y, axis=(0, 2), keepdims=True) for f in (np.mean, np.var))
    y = ((y - mean) / np.sqrt(var + 1e-5)).reshape(found.shape) * scale + bias
    np.testing.assert_allclose(found, np.maximum(y, 0), rtol=1e-4, atol=1e-5)
