"""From probabilities to the class that the map shows, and its confidence."""

import numpy as np

from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

PERCENT = 100
"""Confidence is stored in percent: finer steps would be noise, and a byte is enough."""


def decide(
    probability: np.ndarray, possible: np.ndarray, exclusive: bool, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """The class of each pixel, and the probability of what is shown.

    Classes that do not exclude each other (a sigmoid head's) answer one by one: the most probable
    one is shown if its probability p reaches the threshold, with confidence p; else none of these,
    with confidence 1 - p. Of those that do (a softmax head's) the most probable one is shown, with
    its share among the possible ones.

    Args:
      probability: float32 [H, W, classes], NaN where nothing was seen.
      possible: bool [classes], at least one True; a class that cannot be there is never shown.
      exclusive: whether classes exclude each other, see `training.losses.Loss`.
      threshold: at which a class is shown that does not exclude others, from 0 to 1.

    Returns:
      uint8 [H, W] class index, NONE_OF_THESE or IGNORE; uint8 [H, W] confidence in percent, or
      IGNORE.
    """
    nothing = np.isnan(probability).any(-1)
    allowed = np.where(possible & ~nothing[..., None], probability, 0.0)
    if exclusive:
        allowed = allowed / np.maximum(allowed.sum(-1, keepdims=True), np.finfo(np.float32).tiny)
    # Never an impossible class, even where all possible ones have probability 0.
    best = np.where(possible, allowed, -1.0).argmax(-1)
    highest = np.take_along_axis(allowed, best[..., None], -1)[..., 0]
    shown = highest >= (0.0 if exclusive else threshold)
    crop = np.where(shown, best, NONE_OF_THESE).astype(np.uint8)
    confidence = np.rint(PERCENT * np.where(shown, highest, 1 - highest)).astype(np.uint8)
    crop[nothing] = confidence[nothing] = IGNORE
    return crop, confidence
