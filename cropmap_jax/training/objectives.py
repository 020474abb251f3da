"""What a training step makes smaller: a loss over annotated pixels, and what unknown ones add."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cropmap_jax.data.examples import Batch
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.training import losses, positive_unlabelled, unknown
from cropmap_jax.training.parallel import total
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.unknown import Unknown


@dataclasses.dataclass(frozen=True)
class Objective:
    """The loss of a batch in three steps, of which the first needs no network.

    `weights` of a batch are added up over devices before anything is learnt; `share` is then one
    device's share of the loss, whose sum over devices is the loss, and its gradient likewise.

    Args:
      recipe: network and loss.
      class_weights: float32 [classes], see `losses`.
      smoothing: see `losses`.
      weak_weight: of pixels that only a land-cover map says are none of the classes: those of
        batch["weak"].
      treated: what becomes of unknown pixels.
      priors: float32 [classes], the share of all ground that each class has, where they need it.
    """

    recipe: Recipe
    class_weights: np.ndarray | None = None
    smoothing: float = 0.0
    weak_weight: float = 1.0
    treated: Unknown = Unknown()
    priors: np.ndarray | None = None

    def marked(self, batch: Batch) -> Batch:
        """A batch as stored, with "unknown" bool [B, H, W]: which unknown pixels take part.

        Those are that some sensor has seen in the window: what lies outside of all images, or of
        the cube, is nothing to learn from.
        """
        if not self.treated.used:
            return batch
        label = batch["label"]
        side = label.shape[2]
        seen = jnp.zeros(label.shape, bool)
        for sensor in self.recipe.sensors:
            stored = batch["pixels"][sensor.name]
            margin = (stored.shape[3] - side) // 2
            own = stored[:, :, margin : margin + side, margin : margin + side]
            seen = seen | (own != sensor.nodata).any((1, 4))
        found = (label == IGNORE) & seen
        if self.treated.treatment == unknown.NEGATIVE:
            label = jnp.where(found, np.uint8(NONE_OF_THESE), label)
        return {**batch, "label": label, "unknown": found}

    def weights(self, batch: Batch) -> Any:
        """What this device's pixels weigh: a scalar, or `positive_unlabelled.Parts`."""
        label, share = batch["label"], batch.get("mix")
        if share is not None:
            # A label counts in its own example and in its neighbour's: as it does in the loss.
            pairs = share.reshape(-1, 2)
            share = (pairs + 1 - pairs[:, ::-1]).reshape(-1)
        logits = jnp.zeros((*label.shape, self.recipe.outputs))
        return self._of(logits, batch, share, 0.0)[1]

    def share(self, logits: jax.Array, batch: Batch, weights: Any) -> jax.Array:
        """This device's share of the loss.

        Args:
          logits: of the network, for the inputs of the batch.
          batch: after `steps.mixed`.
          weights: of all devices.
        """
        share = batch.get("mix")
        found = self._of(logits, batch, share, self.smoothing)[0]
        if share is not None:
            other = self._of(logits, batch["others"], 1 - share, self.smoothing)[0]
            found = jax.tree.map(jnp.add, found, other)
        if self.priors is None:
            mean: jax.Array = found / jnp.maximum(weights, 1e-6)
            return mean
        treated = self.treated
        settings = treated.weight_of_unknown, treated.beta, treated.gamma, total
        return positive_unlabelled.risk(found, weights, self.priors, *settings)

    def weight(self, weights: Any) -> jax.Array:
        """The weight of a batch among others, a scalar: annotated pixels times their outputs."""
        if self.priors is None:
            summed: jax.Array = weights
            return summed
        return jnp.sum(weights.positive + weights.negative + weights.unknown)

    def _of(
        self, logits: jax.Array, labelled: Batch, share: jax.Array | None, smoothing: float
    ) -> tuple[Any, Any]:
        """Sums of losses and of weights."""
        share = weighted(share, labelled.get("weak"), self.weak_weight)
        label, planted = labelled["label"], labelled["planted"]
        if self.priors is not None:
            marked = labelled["unknown"]
            return positive_unlabelled.sums(logits, label, marked, planted, smoothing, share)
        share = weighted(share, labelled.get("unknown"), self.treated.weight)
        function = losses.LOSSES[self.recipe.loss].function
        return function(logits, label, planted, self.class_weights, smoothing, share)


def weighted(share: jax.Array | None, chosen: jax.Array | None, weight: float) -> jax.Array | None:
    """Weights of examples [B] or pixels [B, H, W] as those of pixels, of which some weigh less.

    Args:
      share: weights so far; None: all weigh 1.
      chosen: bool [B, H, W], which pixels; None: none.
      weight: theirs, where the others weigh 1.
    """
    if chosen is None:
        return share
    weights = jnp.where(chosen, jnp.float32(weight), jnp.float32(1))
    if share is None:
        return weights
    return weights * share.reshape(*share.shape, *(1,) * (weights.ndim - share.ndim))
