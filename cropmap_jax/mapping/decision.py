"""From probabilities to the class that the map shows, and its confidence."""

import numpy as np

from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

PERCENT = 100
"""Confidence is stored in percent: finer steps would be noise, and a byte is enough."""


def decide(
    probability: np.ndarray,
    possible: np.ndarray,
    exclusive: bool,
    threshold: float,
    none_of_these: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The class of each pixel, and the probability of what is shown.

    Classes that do not exclude each other (a sigmoid head's) answer one by one: the most probable
    one is shown if its probability p reaches the threshold, with confidence p; else none of these,
    with confidence 1 - p. Of those that do (a softmax head's) the most probable one is shown, with
    its share among the possible ones; where none of these is one of them, it may be that.

    Args:
      probability: float32 [H, W, classes], NaN where nothing was seen.
      possible: bool [classes], at least one True; a class that cannot be there is never shown.
      exclusive: whether classes exclude each other, see `training.losses.Loss`.
      threshold: at which a class is shown that does not exclude others, from 0 to 1.
      none_of_these: whether what exclusive probabilities lack to 1 is that of none of these.

    Returns:
      uint8 [H, W] class index, NONE_OF_THESE or IGNORE; uint8 [H, W] confidence in percent, or
      IGNORE.
    """
    nothing = np.isnan(probability).any(-1)
    allowed = np.where(possible & ~nothing[..., None], probability, 0.0)
    if exclusive and none_of_these:
        none = np.maximum(1 - np.where(nothing, 0, probability.sum(-1)), 0)
        whole = np.maximum(allowed.sum(-1) + none, np.finfo(np.float32).tiny)
        allowed, none = allowed / whole[..., None], none / whole
    elif exclusive:
        allowed = allowed / np.maximum(allowed.sum(-1, keepdims=True), np.finfo(np.float32).tiny)
    # Never an impossible class, even where all possible ones have probability 0.
    best = np.where(possible, allowed, -1.0).argmax(-1)
    highest = np.take_along_axis(allowed, best[..., None], -1)[..., 0]
    if exclusive and none_of_these:
        shown, other = highest >= none, none
    else:
        shown, other = highest >= (0.0 if exclusive else threshold), 1 - highest
    crop = np.where(shown, best, NONE_OF_THESE).astype(np.uint8)
    confidence = np.rint(PERCENT * np.where(shown, highest, other)).astype(np.uint8)
    crop[nothing] = confidence[nothing] = IGNORE
    return crop, confidence
