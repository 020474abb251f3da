"""Dropout that does not depend on how a batch is spread over devices."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


class Dropout(nn.Module):
    """Sets values to 0 at random while training, and scales the others up.

    Each example draws from a key of its own, which follows from the step's key and the example's
    place in the whole batch: one device and several draw the same. (`nn.Dropout`, given the step's
    key, draws the same on each device.)

    Attributes:
        rate: probability that a value becomes 0.
        axis_name: mapped axis that the batch is spread over, or None.

    Source: Srivastava et al. 2014, Journal of Machine Learning Research 15, 1929-1958.
    """

    rate: float
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Drops values of x [B, ...]; while training, needs `rngs={"dropout": key}`."""
        if not train or self.rate == 0:
            return x
        first = 0 if self.axis_name is None else jax.lax.axis_index(self.axis_name) * x.shape[0]
        key = self.make_rng("dropout")

        def kept(row: jax.Array) -> Any:
            return jax.random.bernoulli(jax.random.fold_in(key, row), 1 - self.rate, x.shape[1:])

        mask = jax.vmap(kept)(first + jnp.arange(x.shape[0]))
        return jnp.where(mask, x / (1 - self.rate), 0)
