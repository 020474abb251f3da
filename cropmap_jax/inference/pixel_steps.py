"""Forms of the prediction step that compute the same from pixels as they lie in a raster.

A network that looks at each pixel alone makes hundreds of numbers of each: those of a chip are far
larger than a processor's caches, and with a whole batch at once most of the time goes into moving
them. So on a CPU such a network sees a few thousand pixels at a time, and chips are steps of their
own, which run side by side; twice to three times as fast. Other devices take the batch whole.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

PIECE_PX = 4096
"""Pixels at a time: 4 MB of a layer of 256 numbers. 1,024 to 8,192 differ little."""

Step = Callable[[Any, Any], jax.Array]
"""(variables, batch) to probabilities [B, H, W, classes], see `training.steps`."""


def applies(network: Any) -> bool:
    """Whether a network says that it is `pointwise`, and the device is a CPU."""
    return bool(getattr(network, "pointwise", False)) and jax.default_backend() == "cpu"


def from_bands(step: Step) -> Step:
    """The step, of a batch whose pixels are [B, T, bands, H, W] by sensor.

    Probabilities are those of the step to the last bit: what is turned around stays apart from it.
    """

    def turned(variables: Any, batch: Mapping[str, Any]) -> jax.Array:
        pixels = {name: jnp.moveaxis(values, 2, -1) for name, values in batch["pixels"].items()}
        pixels = jax.lax.optimization_barrier(pixels)
        return step(variables, {**batch, "pixels": pixels})

    return turned


def in_pieces(step: Step, piece_px: int = PIECE_PX) -> Step:
    """The step of a network that looks at each pixel alone, a piece of a chip at a time.

    Args:
      step: as it is.
      piece_px: pixels of a piece, at most.

    Returns:
      The step, of a batch whose pixels are [B, T, bands, H, W] by sensor.
    """

    def step_in_pieces(variables: Any, batch: Mapping[str, Any]) -> jax.Array:
        first = next(iter(batch["pixels"].values()))
        chips, _, _, height, width = first.shape
        total = height * width
        each = -(-total // piece_px)
        size = -(-total // each)
        flat = {
            # A last piece that reached beyond the chip would begin early: it gets more to read.
            name: jnp.pad(
                values.reshape(*values.shape[:3], total), ((0, 0),) * 3 + ((0, each * size - total),)
            )
            for name, values in batch["pixels"].items()
        }

        def one(number: jax.Array) -> jax.Array:
            chip, start = number // each, number % each * size
            pixels = {}
            for name, values in flat.items():
                piece = jax.lax.dynamic_slice(
                    values, (chip, 0, 0, start), (1, *values.shape[1:3], size)
                )
                pixels[name] = jnp.moveaxis(piece, 2, -1)[:, :, None]
            rest = {k: v for k, v in batch.items() if k != "pixels"}
            rest = {k: jax.lax.dynamic_slice_in_dim(v, chip, 1) for k, v in rest.items()}
            return step(variables, {**rest, "pixels": pixels})[0, 0]

        found = jax.lax.map(one, jnp.arange(chips * each))
        return found.reshape(chips, each * size, -1)[:, :total].reshape(chips, height, width, -1)

    return step_in_pieces
