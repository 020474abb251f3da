"""Masked losses, listed in `LOSSES`: unknown pixels and crops not yet planted weigh nothing.

Losses are returned as (sum, count): devices add both up before they divide, so that the mean is
the same however many devices share the batch.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE


def _pixel_weights(
    label: jax.Array, class_weights: np.ndarray | None, share: jax.Array | None
) -> jax.Array:
    """float32, shape of label: the weight of its class, 1 for none-of-these, 0 for unknown; times
    its own share or that of its example."""
    known = (label != IGNORE).astype(jnp.float32)
    if share is not None:
        known = known * share.reshape(*share.shape, *(1,) * (label.ndim - share.ndim))
    if class_weights is None:
        return known
    num_classes = class_weights.shape[0]
    of_class = jnp.asarray(class_weights)[jnp.minimum(label, num_classes - 1).astype(jnp.int32)]
    return known * jnp.where(label < num_classes, of_class, 1.0)


def sigmoid_loss(
    logits: jax.Array,
    label: jax.Array,
    planted: jax.Array,
    class_weights: np.ndarray | None = None,
    smoothing: float = 0.0,
    share: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Binary cross-entropy per class, over what is known.

    A pixel annotated as class k is positive for k and negative for the others; none-of-these is
    negative for all; unknown pixels, and classes not planted on the as-of date, are left out.

        sum = sum_{pixels, classes} m w BCE(sigmoid(logit), label == class),  count = sum m w

    Args:
      logits: float32 [B, H, W, C].
      label: uint8 [B, H, W], class index, 254 none of these, 255 unknown.
      planted: float32 [B, C], 1 where the class can be in the ground.
      class_weights: float32 [C], weight of pixels annotated as each class.
      smoothing: share of the target that is spread over the alternatives: of each class its two
        answers; of a softmax its classes.
      share: float32 [B] or [B, H, W], weight of each example or pixel; 1 if None.

    Returns:
      Sum of the weighted losses and sum of the weights, float32 scalars.
    """
    classes = jnp.arange(logits.shape[-1])
    target = (label[..., None].astype(jnp.int32) == classes).astype(jnp.float32)
    if smoothing:
        target = target * (1 - smoothing) + smoothing / 2
    weight = _pixel_weights(label, class_weights, share)[..., None] * planted[:, None, None, :]
    loss = optax.sigmoid_binary_cross_entropy(logits, target)
    return jnp.sum(weight * loss), jnp.sum(weight)


def softmax_loss(
    logits: jax.Array,
    label: jax.Array,
    planted: jax.Array,
    class_weights: np.ndarray | None = None,
    smoothing: float = 0.0,
    share: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy over exclusive classes, over pixels annotated as a class.

    None-of-these has no place among exclusive classes and is left out, like unknown; classes not
    planted on the as-of date are taken out of the softmax, and pixels of such a class out of the
    loss.

    Args and returns: as `sigmoid_loss`.
    """
    num_classes = logits.shape[-1]
    index = jnp.minimum(label, num_classes - 1).astype(jnp.int32)
    present = jnp.broadcast_to(planted[:, None, None, :] > 0, logits.shape)
    weight = _pixel_weights(label, class_weights, share) * (label < NONE_OF_THESE)
    return _cross_entropy(logits, index, present, weight, smoothing)


def softmax_none_loss(
    logits: jax.Array,
    label: jax.Array,
    planted: jax.Array,
    class_weights: np.ndarray | None = None,
    smoothing: float = 0.0,
    share: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy over exclusive classes and none-of-these, over known pixels.

    As `softmax_loss`, but for one more logit, the last one: of none-of-these, which is always
    possible.

    Args and returns: as `sigmoid_loss`, with logits float32 [B, H, W, C + 1].
    """
    num_classes = logits.shape[-1] - 1
    index = jnp.minimum(label, num_classes).astype(jnp.int32)
    always = jnp.ones((len(planted), 1), planted.dtype)
    possible = jnp.concatenate([planted, always], axis=-1)[:, None, None, :] > 0
    present = jnp.broadcast_to(possible, logits.shape)
    weight = _pixel_weights(label, class_weights, share)
    return _cross_entropy(logits, index, present, weight, smoothing)


def _cross_entropy(
    logits: jax.Array, index: jax.Array, present: jax.Array, weight: jax.Array, smoothing: float
) -> tuple[jax.Array, jax.Array]:
    """Sums of weighted losses and of weights, over the outputs that are present."""
    of_label = jnp.take_along_axis(present, index[..., None], axis=-1)[..., 0]
    weight = weight * of_label
    # The label's own logit stays finite where its pixel is left out, so that 0 x inf cannot occur.
    keep = present | jax.nn.one_hot(index, logits.shape[-1], dtype=bool)
    logits = jnp.where(keep, logits, jnp.finfo(jnp.float32).min / 2)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, index)
    if smoothing:
        each = jnp.where(keep, -jax.nn.log_softmax(logits), 0.0)
        loss = (1 - smoothing) * loss + smoothing * each.sum(-1) / keep.sum(-1)
    return jnp.sum(weight * loss), jnp.sum(weight)


def _without_none(logits: jax.Array) -> jax.Array:
    """Probabilities of the classes, from logits with none-of-these as the last one."""
    return jax.nn.softmax(logits)[..., :-1]


@dataclasses.dataclass(frozen=True)
class Loss:
    """A loss, and how the logits of a network that was trained with it are read.

    Args:
      function: as `sigmoid_loss`.
      activation: from logits [..., outputs] to probabilities [..., C] of the classes.
      exclusive: whether classes exclude each other. A map then shows the most probable one; else
        only one that reaches a threshold.
      none_of_these: whether the last output is that of none-of-these, so that the probabilities of
        the classes add up to less than 1.
    """

    function: Callable[..., tuple[jax.Array, jax.Array]]
    activation: Callable[[jax.Array], jax.Array]
    exclusive: bool
    none_of_these: bool = False

    @property
    def learns_none(self) -> bool:
        """Whether pixels of none-of-these have a part in it."""
        return not self.exclusive or self.none_of_these


LOSSES = {
    "sigmoid": Loss(sigmoid_loss, jax.nn.sigmoid, exclusive=False),
    "softmax": Loss(softmax_loss, jax.nn.softmax, exclusive=True),
    "softmax_none": Loss(softmax_none_loss, _without_none, exclusive=True, none_of_these=True),
}
"""What `config.loss` may name."""


def balanced_weights(pixels: np.ndarray, power: float = 0.5) -> np.ndarray:
    """Class weights from annotated pixel counts: (mean count / count) ** power, at most 10.

    Args:
      pixels: [C] annotated pixels per class in the training split.
      power: 1 balances fully, 0 not at all.

    Returns:
      float32 [C]; 1 for a class without pixels.
    """
    pixels = np.asarray(pixels, np.float64)
    present = pixels > 0
    mean = pixels[present].mean() if present.any() else 1.0
    weights = np.where(present, (mean / np.maximum(pixels, 1)) ** power, 1.0)
    return np.minimum(weights, 10.0).astype(np.float32)
