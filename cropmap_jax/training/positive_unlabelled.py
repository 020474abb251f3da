"""Losses that learn from unknown ground without calling it negative: nnPU and PNU, class by class.

Unknown ground is a mixture: of it a share p (the class's prior) is the class, the rest is not. With
l+ and l- the losses of calling a pixel the class and not the class (binary cross-entropy of a
logit), and means over pixels annotated as the class (P), as another class or none of these (N) and
unknown (U), the risk of all ground is

    PN = p P[l+] + (1 - p) N[l-]                       as if annotated negatives were typical
    PU = p P[l+] + (U[l-] - p P[l-])                   without negatives
    NU = (1 - p) N[l-] + (U[l+] - (1 - p) N[l+])       without positives

since U[l-] = p P[l-] + (1 - p) N[l-], if what is annotated of a class is typical of it. PNU mixes
two of them by eta from -1 to 1:

    PNU = (1 - eta) PN + eta PU   (eta >= 0),   (1 + eta) PN - eta NU   (eta < 0)

so that eta = 0 is PN and eta = 1 is PU. The brackets are risks and cannot be negative; a network
that learns annotated pixels by heart makes their estimates so. Where a bracket is below -beta, it
counts as -beta, and the step goes up along it, -gamma times its gradient, in place of down along
its PU or NU (nnPU).

Source: PU and its non-negative form: Kiryo et al. 2017, arXiv:1703.00593, equations 2 and 6 and
algorithm 1. PNU: Sakai et al. 2017, arXiv:1605.06955, section 3.1, whose brackets are not clipped.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cropmap_jax.geo.legend import IGNORE


class Parts(NamedTuple):
    """What each kind of pixel has, [classes]: sums of losses, or the weights that these count by.

    Args:
      positive, negative, unknown: of l+ of P, of l- of N and of l- of U; or of weights.
      turned: of l- of P, l+ of N and l+ of U, in this order, [3, classes]; empty for weights.
    """

    positive: jax.Array
    negative: jax.Array
    unknown: jax.Array
    turned: jax.Array


def sums(
    logits: jax.Array,
    label: jax.Array,
    unknown: jax.Array,
    planted: jax.Array,
    smoothing: float = 0.0,
    share: jax.Array | None = None,
) -> tuple[Parts, Parts]:
    """Sums of losses over the pixels of each kind, and of the weights of these pixels.

    Args:
      logits: float32 [B, H, W, C].
      label: uint8 [B, H, W], class index, 254 none of these, 255 unknown.
      unknown: bool [B, H, W], which unknown pixels take part.
      planted: float32 [B, C], 1 where the class can be in the ground.
      smoothing: l+ and l- are those of targets 1 - smoothing / 2 and smoothing / 2.
      share: float32 [B] or [B, H, W], weight of each example or pixel; 1 if None.

    Returns:
      Losses and weights; of one device, to be added up over all of them.
    """
    num_classes = logits.shape[-1]
    of_class = label[..., None].astype(jnp.int32) == jnp.arange(num_classes)
    weight = jnp.broadcast_to(planted[:, None, None, :], logits.shape).astype(logits.dtype)
    if share is not None:
        weight = weight * share.reshape(*share.shape, *(1,) * (logits.ndim - share.ndim))
    known = (label != IGNORE)[..., None]
    kinds = (of_class, known & ~of_class, (unknown & (label == IGNORE))[..., None])
    yes, no = (
        optax.sigmoid_binary_cross_entropy(logits, jnp.full_like(logits, target))
        for target in (1 - smoothing / 2, smoothing / 2)
    )

    def add(values: jax.Array) -> jax.Array:
        return jnp.sum(values, axis=(0, 1, 2))

    weights = [jnp.where(kind, weight, 0) for kind in kinds]
    own = [add(w * loss) for w, loss in zip(weights, (yes, no, no), strict=True)]
    turned = [add(w * loss) for w, loss in zip(weights, (no, yes, yes), strict=True)]
    totals = [add(w) for w in weights]
    nothing = jnp.zeros((0, num_classes), logits.dtype)
    losses = Parts(own[0], own[1], own[2], jnp.stack(turned))
    return losses, Parts(totals[0], totals[1], totals[2], nothing)


def risk(
    found: Parts,
    weights: Parts,
    priors: np.ndarray,
    eta: float = 1.0,
    beta: float = 0.0,
    gamma: float = 1.0,
    total: Any = lambda tree: tree,
) -> jax.Array:
    """One device's share of the risk, the mean over classes; its gradient is that of nnPU.

    A class counts only if all kinds of pixels that it needs are in the batch.

    Args:
      found: sums of losses of this device.
      weights: of all devices.
      priors: [C], the share of all ground that each class has.
      eta: from -1 to 1; 1 is PU, 0 is PN.
      beta, gamma: see above.
      total: sums over devices; with it a bracket is clipped where that of all devices together is
        negative, whatever that of one is.

    Returns:
      Scalar. Of all devices together, the risk with brackets no lower than -beta.
    """
    p = jnp.asarray(priors, found.positive.dtype)
    positive, negative, unknown = (
        one / jnp.maximum(w, 1e-6) for one, w in zip(found[:3], weights[:3], strict=True)
    )
    turned = found.turned / jnp.maximum(jnp.stack(weights[:3]), 1e-6)
    there = [w > 0 for w in weights[:3]]
    if eta >= 0:
        plain, bracket = p * positive, unknown - p * turned[0]
    else:
        plain, bracket = (1 - p) * negative, turned[2] - (1 - p) * turned[1]
    needed = [abs(eta) < 1 or eta > 0, abs(eta) < 1 or eta < 0, eta != 0]
    counts = jnp.all(jnp.stack([t for t, n in zip(there, needed, strict=True) if n]), axis=0)
    # The decision is that of all devices, and no gradient passes through it.
    whole, devices = total((jax.lax.stop_gradient(bracket), jnp.ones((), p.dtype)))
    clipped = whole < -beta
    value = plain + jnp.where(clipped, -beta / devices, bracket)
    slope = jnp.where(clipped, -gamma * bracket, plain + bracket)
    partly = slope + jax.lax.stop_gradient(value - slope)
    both = p * positive + (1 - p) * negative
    each = (1 - abs(eta)) * both + abs(eta) * partly
    return jnp.sum(jnp.where(counts, each, 0)) / jnp.maximum(jnp.sum(counts), 1)
