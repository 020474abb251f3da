"""The building blocks as XLA's own operations, as one would first write them: to compare with."""

import jax
import jax.numpy as jnp
from jax import lax

NHWC = ("NHWC", "HWIO", "NHWC")
NDHWC = ("NDHWC", "DHWIO", "NDHWC")


def conv2d(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """As `blocks.conv2d`."""
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NHWC)


def conv3d(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """As `blocks.conv3d`."""
    return lax.conv_general_dilated(x, kernel, (1, 1, 1), "SAME", dimension_numbers=NDHWC)


def time_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """As `blocks.time_conv`."""
    y = lax.conv_general_dilated(x, kernel, (1, 1, 1), "VALID", dimension_numbers=NDHWC)
    return y[:, 0]


def upsample(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """As `blocks.upsample`."""
    # `conv_transpose` without `transpose_kernel` applies the window mirrored.
    return lax.conv_transpose(x, kernel[::-1, ::-1], (2, 2), "SAME", dimension_numbers=NHWC)


def max_pool(x: jax.Array) -> jax.Array:
    """As `blocks.max_pool`, but for ties."""
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
