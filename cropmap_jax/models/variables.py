"""What any network takes, and how many parameters it has, without allocating either."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from cropmap_jax.models import registry


def cpu() -> jax.Device | None:
    """The CPU of this process; None where JAX_PLATFORMS names only other devices."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


class Inputs(NamedTuple):
    """A network's inputs: see `registry`."""

    pixels: dict[str, Any]
    valid: dict[str, Any]
    day_of_year: Any


def input_shapes(
    network: nn.Module, bands: Mapping[str, int], height: int = 0, width: int = 0, batch: int = 1
) -> Inputs:
    """Shapes of the inputs of a network, each a `jax.ShapeDtypeStruct`.

    Args:
        network: the network.
        bands: number of bands and indices by sensor.
        height: of the images in pixels; 0 for the smallest that the network takes.
        width: the same.
        batch: number of chips.
    """
    periods: int = network.num_periods
    least = registry.size_multiple(network)
    shape = (batch, periods, height or least, width or least)
    squares = len(registry.neighbourhood(network) or (1,))
    pixels = {s: jax.ShapeDtypeStruct((*shape, squares * c), jnp.float32) for s, c in bands.items()}
    return Inputs(pixels, dict(pixels), jax.ShapeDtypeStruct((batch, periods), jnp.int32))


def count_parameters(params: Mapping[str, Any]) -> int:
    """Counts the trainable values in a tree of parameters.

    Args:
        params: nested mapping whose leaves have a shape: arrays, or `jax.ShapeDtypeStruct`.

    Returns:
        The number of values.
    """
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
