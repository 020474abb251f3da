"""Each rearranged form equals the plain one, in values and in gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import plain
from cropmap_jax.models import blocks

FORMS = {
    "conv2d, more pixels": (blocks.conv2d, plain.conv2d, (2, 4, 6, 3), (3, 3, 3, 5)),
    "conv2d, more features": (blocks.conv2d, plain.conv2d, (1, 2, 3, 4), (3, 3, 4, 24)),
    "conv2d, another window": (blocks.conv2d, plain.conv2d, (1, 2, 3, 4), (5, 1, 4, 24)),
    "conv2d, one pixel": (blocks.conv2d, plain.conv2d, (1, 1, 1, 4), (3, 3, 4, 9)),
    "conv3d": (blocks.conv3d, plain.conv3d, (2, 4, 5, 6, 3), (3, 3, 3, 3, 4)),
    "conv3d, one period": (blocks.conv3d, plain.conv3d, (1, 1, 5, 6, 3), (3, 3, 3, 3, 4)),
    "time_conv": (blocks.time_conv, plain.time_conv, (2, 4, 3, 5, 3), (4, 1, 1, 3, 6)),
    "upsample": (blocks.upsample, plain.upsample, (2, 3, 4, 5), (2, 2, 5, 3)),
    "max_pool": (lambda x, _: blocks.max_pool(x), lambda x, _: plain.max_pool(x), (2, 4, 6, 3), ()),
}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("form", FORMS)
def test_form_equals_plain(form):
    fast, slow, x_shape, kernel_shape = FORMS[form]
    rng = np.random.default_rng(0)
    x, kernel = (rng.standard_normal(s) for s in (x_shape, kernel_shape))
    expected, slow_vjp = jax.vjp(slow, x, kernel)
    found, fast_vjp = jax.vjp(fast, x, kernel)
    assert found.shape == expected.shape and found.dtype == expected.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    cotangent = rng.standard_normal(expected.shape)
    for a, b in zip(fast_vjp(cotangent), slow_vjp(cotangent), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("size", "features"), [(16, 8), (2, 32)])
def test_convolutions_in_bfloat16(size, features):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, size, size, 32)).astype(np.float32)
    kernel = rng.standard_normal((3, 3, 32, features)).astype(np.float32)
    cotangent = rng.standard_normal((2, size, size, features)).astype(np.float32)
    expected = jax.vjp(plain.conv2d, x, kernel)[1](cotangent)
    half = (jnp.asarray(v, jnp.bfloat16) for v in (x, kernel, cotangent))

    @jax.jit
    def gradients(x, kernel, cotangent):
        return jax.vjp(blocks.conv2d, x, kernel)[1](cotangent)

    for a, b in zip(gradients(*half), expected, strict=True):
        assert a.dtype == jnp.bfloat16
        # Eight bits of mantissa.
        np.testing.assert_allclose(a.astype(np.float32), b, atol=0.01 * np.abs(b).max())


def test_convolutions_of_few_pixels_are_products():
    for size, product in ((2, True), (3, False)):
        x, kernel = jnp.ones((1, size, size, 2)), jnp.ones((3, 3, 2, 16))
        lowered = jax.jit(blocks.conv2d).lower(x, kernel).as_text()
        assert ("stablehlo.dot_general" in lowered) == product, size


@pytest.mark.parametrize("function", ["conv2d", "upsample"])
def test_gradients_to_biases_add_up_in_float32(function):
    """In bfloat16 a sum stands still from 256 times its terms on."""
    window = {"conv2d": (3, 3), "upsample": (2, 2)}[function]
    layer = blocks.Conv(2, window, getattr(blocks, function), dtype=jnp.bfloat16)
    x = np.ones((2, 64, 64, 2), np.float32)
    params = layer.init(jax.random.key(0), x)

    def total(params):
        y = layer.apply(params, x)
        assert y.dtype == jnp.bfloat16
        return y.astype(jnp.float32).sum()

    pixels = 2 * 64 * 64 * (4 if function == "upsample" else 1)
    assert jax.jit(jax.grad(total))(params)["params"]["bias"].tolist() == [pixels, pixels]


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


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("features", "groups"), [(64, 8), (12, 6), (11, 1)])
def test_group_norm_takes_the_largest_divisor_up_to_8(features, groups):
    rng = np.random.default_rng(0)
    x, kernel, scale, bias = (
        rng.standard_normal(shape)
        for shape in ((1, 4, 4, 3), (3, 3, 3, features), features, features)
    )
    params = {"conv": {"kernel": kernel}, "norm": {"scale": scale, "bias": bias}}
    layer = blocks.ConvNormRelu(features, norm="group", dtype=np.float64)
    found = layer.apply({"params": params}, x)
    y = np.asarray(blocks.conv2d(x, kernel)).reshape(16, groups, features // groups)
    mean, var = (f(y, axis=(0, 2), keepdims=True) for f in (np.mean, np.var))
    y = ((y - mean) / np.sqrt(var + 1e-5)).reshape(found.shape) * scale + bias
    np.testing.assert_allclose(found, np.maximum(y, 0), rtol=1e-10, atol=1e-10)
