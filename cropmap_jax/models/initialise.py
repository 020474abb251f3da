"""Shapes and first values of a network's variables, without compiling anything."""

import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cropmap_jax.models.blocks import fan_in
from cropmap_jax.models.dual_unet3d import (
    S1_CHANNELS,
    S2_CHANNELS,
    DualUNet3D,
)

# Values of the variables that are not drawn: batch norm's, and its running statistics.
CONSTANTS = {"scale": 1, "bias": 0, "mean": 0, "var": 1}


def variable_shapes(network: DualUNet3D) -> dict[str, Any]:
    """Shapes of the network's variables, computed without allocating them.

    Args:
        network: the network.

    Returns:
        {"params": ..., "batch_stats": ...}, nested dicts of `jax.ShapeDtypeStruct`; no
        "batch_stats" where no layer has any.
    """
    shape = (1, network.num_periods, 2**network.levels, 2**network.levels)
    s1, s2 = (jax.ShapeDtypeStruct((*shape, c), jnp.float32) for c in (S1_CHANNELS, S2_CHANNELS))
    masks = (s1, s2) if network.use_validity else ()
    return jax.eval_shape(network.init, jax.random.key(0), s1, s2, *masks)


def initial_variables(network: DualUNet3D, seed: int) -> dict[str, Any]:
    """Draws what `network.init` draws, from the same distributions, with numpy.

    XLA compiles a generator for every array, which takes longer than the first training step.
    Each array is seeded by its name as well, so networks that differ in their heads start from the
    same trunk.

    Args:
        network: the network.
        seed: not negative.

    Returns:
        {"params": ..., "batch_stats": ...}, nested dicts of float32 numpy arrays; no "batch_stats"
        where no layer has any.
    """
    shapes = {path: leaf.shape for path, leaf in flatten_dict(variable_shapes(network)).items()}
    variables = {}
    for path, shape in shapes.items():
        *layer, leaf = path
        kernel = shapes.get((*layer, "kernel"))
        if kernel is None:
            variables[path] = np.full(shape, CONSTANTS[leaf], np.float32)
            continue
        bound = np.float32(fan_in(kernel, transposed=layer[-1].startswith("upsample")) ** -0.5)
        rng = np.random.default_rng((seed, zlib.crc32("/".join(path).encode())))
        variables[path] = bound * (2 * rng.random(shape, np.float32) - 1)
    return unflatten_dict(variables)
