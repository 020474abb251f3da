"""Forms of the prediction step that compute the same from pixels as they lie in a raster.

A network of dense layers makes hundreds of numbers of each pixel: those of a chip are far larger
than a processor's caches, and with a whole batch at once most of the time goes into moving them. So
on a CPU, a network that says how few pixels around a pixel its logits depend on (its `context`,
see `models.registry`) sees some rows of a chip at a time, and chips are steps of their own, which
run side by side. Other networks and other devices take the batch whole.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

PIECE_PX = 4096
"""Pixels at a time: 4 MB of a layer of 256 numbers; 1,024 to 8,192 differ little."""

Step = Callable[[Any, Any], jax.Array]
"""(variables, batch) to probabilities [B, H, W, classes], see `training.steps`."""


def applies(context: int | None) -> bool:
    """Whether a network of such a context is to see some rows at a time."""
    return context is not None and jax.default_backend() == "cpu"


def from_bands(step: Step) -> Step:
    """The step, of a batch whose pixels are [B, T, bands, H, W] by sensor.

    Probabilities are those of the step to the last bit: what is turned around stays apart from it.
    """

    def turned(variables: Any, batch: Mapping[str, Any]) -> jax.Array:
        pixels = {name: jnp.moveaxis(values, 2, -1) for name, values in batch["pixels"].items()}
        pixels = jax.lax.optimization_barrier(pixels)
        probabilities: jax.Array = step(variables, {**batch, "pixels": pixels})
        return probabilities

    return turned


def in_strips(
    step: Step, nodata: Mapping[str, int], context: int, piece_px: int = PIECE_PX
) -> Step:
    """The step of a network whose logits depend on few pixels, some rows of a chip at a time.

    Args:
      step: that answers all but `context` pixels at each edge.
      nodata: of each sensor.
      context: pixels around a pixel that its logits depend on.
      piece_px: pixels of a strip, at most, but for its context and that it is one row at least.

    Returns:
      The step, of a batch whose pixels are [B, T, bands, H, W] by sensor.
    """

    def in_strips(variables: Any, batch: Mapping[str, Any]) -> jax.Array:
        chips, _, _, height, width = next(iter(batch["pixels"].values())).shape
        strips = -(-height // max(1, piece_px // width))
        rows = -(-height // strips)
        # Beyond a chip's edges there is nothing, and that is what these rows and columns hold.
        around = (context, context + strips * rows - height)
        padding = ((0, 0), (0, 0), (0, 0), around, (context, context))
        padded = {
            name: jnp.pad(values, padding, constant_values=nodata[name])
            for name, values in batch["pixels"].items()
        }
        rest = {name: values for name, values in batch.items() if name != "pixels"}

        def one(number: jax.Array) -> jax.Array:
            chip, top = number // strips, number % strips * rows
            strip = {
                name: jax.lax.dynamic_slice(
                    values,
                    (chip, 0, 0, top, 0),
                    (1, *values.shape[1:3], rows + 2 * context, values.shape[4]),
                )
                for name, values in padded.items()
            }
            own = {n: jax.lax.dynamic_slice_in_dim(v, chip, 1) for n, v in rest.items()}
            pixels = {name: jnp.moveaxis(values, 2, -1) for name, values in strip.items()}
            answer: jax.Array = step(variables, {**own, "pixels": pixels})
            return answer[0]

        found: jax.Array = jax.lax.map(one, jnp.arange(chips * strips))
        whole = found.reshape(chips, strips * rows, *found.shape[2:])
        return whole[:, :height]

    return in_strips
