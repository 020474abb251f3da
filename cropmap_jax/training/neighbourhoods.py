"""Means over squares around each pixel, of what is there in them.

Sums are of the stored whole numbers, and so exact: the same whatever the order in which they are
taken, in one piece of a raster or in another.
"""

import jax
import jax.numpy as jnp
import numpy as np

from cropmap_jax.geo.sensors import Sensor

Array = jax.Array


def inner(x: Array, margin: int) -> Array:
    """[B, T, H, W, C] without a margin on each side."""
    if not margin:
        return x
    return x[:, :, margin : x.shape[2] - margin, margin : x.shape[3] - margin]


def means(stored: Array, sensor: Sensor, side: int, margin: int) -> tuple[Array, Array]:
    """Mean of each band over the square around each pixel.

    Args:
      stored: [B, T, H, W, bands] as stored, whole numbers of at most 16 bits.
      sensor: whose they are.
      side: of the square in pixels, odd, at most `models.registry.MOST_SIDE`.
      margin: pixels at each edge whose means are not wanted.

    Returns:
      valid, bool, whether anything is there in the square, and the means in the sensor's unit,
      float32, 0 where nothing is; both [B, T, H - 2 margin, W - 2 margin, bands].
    """
    there = stored != sensor.nodata
    count = _sums(there.astype(jnp.int32), side, margin)
    total = _sums(jnp.where(there, stored, 0).astype(jnp.int32), side, margin)
    number = jnp.maximum(count, 1).astype(jnp.float32)
    return count > 0, total.astype(jnp.float32) / (number * sensor.scale)


def _sums(x: Array, side: int, margin: int) -> Array:
    """Sums over the square around each pixel of [B, T, H, W, C]; beyond the edges, of nothing."""
    reach = side // 2
    x = inner(x, max(margin - reach, 0))
    beyond = max(reach - margin, 0)
    if not beyond and x.shape[2:4] == (side, side):
        return x.sum((2, 3), keepdims=True)  # one square each: windows would be slow
    # One axis after the other: a window of two takes as many additions as it has pixels.
    for axis in (2, 3):
        window, padding = [1] * 5, [(0, 0)] * 5
        window[axis], padding[axis] = side, (beyond, beyond)
        x = jax.lax.reduce_window(x, np.zeros((), x.dtype), jax.lax.add, window, (1,) * 5, padding)
    return x
