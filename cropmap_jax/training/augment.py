"""Augmentation of stored pixels on the device, before they are scaled.

What is done to an example is drawn on the host, from (seed, epoch, index), and comes with the batch
as a few small numbers; the pixels are moved here, where that costs next to nothing.
"""

import jax
import jax.numpy as jnp

_NODATA = -32768


def augment(batch: dict) -> dict:
    """Turns each example and drops what was drawn to be dropped.

    Args:
      batch: s1 int16 [B, T, H, W, 2] and s2 int16 [B, T, H, W, 10], label uint8 [B, H, W]; and, or
        not: turn int32 [B] from 0 to 7, the low two bits are quarter turns to the left, the third
        then mirrors left to right (H = W); s1_keep and s2_keep bool [B, T], the periods of a sensor
        that stay. Whatever else is passed on.

    Returns:
      The batch without turn, s1_keep and s2_keep. A period that does not stay is missing. An
      example of which nothing would be left stays as it is.
    """
    batch = dict(batch)
    turns = batch.pop("turn", None)
    if turns is not None:
        for key, axes in (("s1", (2, 3)), ("s2", (2, 3)), ("label", (1, 2))):
            batch[key] = turn(batch[key], turns, axes)
    kept = [batch.pop(f"{sensor}_keep", None) for sensor in ("s1", "s2")]
    if kept[0] is None:
        return batch
    return batch | dict(zip(("s1", "s2"), _drop(batch["s1"], batch["s2"], *kept), strict=True))


def turn(values: jax.Array, turns: jax.Array, axes: tuple[int, int]) -> jax.Array:
    """One of the eight flips and rotations of the square for each example.

    Args:
      values: [B, ...].
      turns: int [B], as in `augment`.
      axes: rows and columns, of equal length.

    Returns:
      Array like `values`.
    """
    quarters, mirrored = turns % 4, turns >= 4
    # A quarter turn to the left is a transposition, then a flip of rows. Three choices between two
    # arrays take a third of the time of one among eight, and less than a gather.
    transposed = quarters % 2 == 1
    rows = (quarters == 1) | (quarters == 2)
    columns = (quarters >= 2) ^ mirrored
    for chosen, other in (
        (transposed, lambda x: x.swapaxes(*axes)),
        (rows, lambda x: jnp.flip(x, axes[0])),
        (columns, lambda x: jnp.flip(x, axes[1])),
    ):
        chosen = chosen.reshape(-1, *(1,) * (values.ndim - 1))
        values = jnp.where(chosen, other(values), values)
    return values


def _drop(s1: jax.Array, s2: jax.Array, keep_s1: jax.Array, keep_s2: jax.Array) -> tuple:
    seen = jnp.zeros(len(s1), bool)
    for values, keep in ((s1, keep_s1), (s2, keep_s2)):
        seen |= ((values != _NODATA).any((2, 3, 4)) & keep).any(1)

    def drop(values: jax.Array, keep: jax.Array) -> jax.Array:
        keep = (keep | ~seen[:, None])[:, :, None, None, None]
        return jnp.where(keep, values, jnp.int16(_NODATA))

    return drop(s1, keep_s1), drop(s2, keep_s2)
