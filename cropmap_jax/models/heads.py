"""Segmentation heads: from the trunk's features to one logit per class and pixel."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cropmap_jax.models.blocks import Conv


class LinearHead(nn.Module):
    """A 1 x 1 convolution: the head of pretraining.

    Attributes:
        num_classes: number of classes.
        dtype: compute dtype.
    """

    num_classes: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps features [B, H, W, C] to logits [B, H, W, num_classes]."""
        return Conv(self.num_classes, (1, 1), dtype=self.dtype, name="logits")(x)


class ConvHead(nn.Module):
    """A 3 x 3 convolution, normalisation and ReLU, then a 1 x 1: the head of fine-tuning.

    Attributes:
        num_classes: number of classes.
        features: channels between the two convolutions.
        layer: makes a `ConvNormRelu`, with its normalisation and dtype settled.
        dtype: compute dtype.
    """

    num_classes: int
    features: int
    layer: Callable[..., nn.Module]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps features [B, H, W, C] to logits [B, H, W, num_classes]."""
        x = self.layer(self.features, use_bias=True, name="hidden")(x)
        return Conv(self.num_classes, (1, 1), dtype=self.dtype, name="logits")(x)
