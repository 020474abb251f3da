"""Data parallelism over local devices: the only place that says pmap.

The state is replicated, the batch is split along its first axis. `jax.pmap` runs on jit and
shard_map underneath; one device takes the same path, with an axis of length one.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

AXIS = "devices"


def local_devices() -> int:
    """Number of devices of this process: a batch is a multiple of it."""
    return jax.local_device_count()


def data_parallel(function: Callable, donate: bool = False) -> Callable:
    """Maps `function(state, batch)` over local devices, under the axis name AXIS.

    Args:
      function: uses `jax.lax.psum(..., AXIS)` to agree with its peers.
      donate: give up the old state's buffers (it must not be used again).
    """
    return jax.pmap(function, axis_name=AXIS, donate_argnums=(0,) if donate else ())


def replicate(tree):
    """Puts a copy of every leaf on each local device: leaves gain a leading device axis."""
    index = jnp.arange(local_devices())
    # The same axis name as the steps: a state sharded under another one compiles them twice.
    return jax.pmap(lambda _, x: x, axis_name=AXIS, in_axes=(0, None))(index, tree)


def unreplicate(tree):
    """The first device's copy, on the host."""
    return jax.device_get(jax.tree.map(lambda x: x[0], tree))


def shard(batch: dict) -> dict:
    """Splits the leading axis over local devices: [B, ...] to [devices, B / devices, ...].

    Raises:
      ValueError: a batch that the devices do not divide.
    """
    count = local_devices()
    size = len(next(iter(batch.values())))
    if size % count:
        raise ValueError(
            f"config.batch_size: expected a multiple of {count} (local devices), found {size}"
        )
    return {k: v.reshape(count, size // count, *v.shape[1:]) for k, v in batch.items()}


def unshard(values: jax.Array) -> np.ndarray:
    """[devices, B / devices, ...] back to [B, ...], on the host."""
    values = jax.device_get(values)
    return values.reshape(-1, *values.shape[2:])
