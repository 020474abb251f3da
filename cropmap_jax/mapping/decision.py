"""From probabilities to the class that the map shows, and its confidence."""

import dataclasses

import numpy as np

from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

PERCENT = 100
"""Confidence is stored in percent: finer steps would be noise, and a byte is enough."""
THRESHOLD = 0.5
"""Least probability of what is shown, of classes that do not exclude each other."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """Which class is shown.

    Classes that do not exclude each other (a sigmoid head's) answer one by one: the most probable
    one is shown if its probability p reaches the threshold, with confidence p; else none of these,
    with confidence 1 - p. Of those that do (a softmax head's) the most probable one is shown, with
    its share among the possible ones; where none of these is one of them, it may be that.

    Args:
      exclusive: whether classes exclude each other, see `training.losses.Loss`.
      threshold: at which a class is shown that does not exclude others, from 0 to 1.
      none_of_these: whether what exclusive probabilities lack to 1 is that of none of these.
    """

    exclusive: bool
    threshold: float
    none_of_these: bool = False

    @property
    def has_none(self) -> bool:
        """Whether none of these has a probability of its own."""
        return self.exclusive and self.none_of_these


def shares(probability: np.ndarray, possible: np.ndarray, rule: Rule) -> np.ndarray:
    """What counts of probabilities: those of possible classes, and of none of these.

    Args:
      probability: float32 [..., classes], NaN where nothing was seen.
      possible: bool [classes], at least one True; a class that cannot be there is never shown.
      rule: of the network.

    Returns:
      float32 [..., classes + 1], none of these last (0 where it has none of its own), 0 where a
      class cannot be there and where nothing was seen; exclusive ones add up to 1.
    """
    nothing = np.isnan(probability).any(-1)
    allowed = np.where(possible & ~nothing[..., None], probability, 0.0)
    tiny = np.finfo(np.float32).tiny
    none = np.zeros(nothing.shape, allowed.dtype)
    if rule.has_none:
        none = np.maximum(1 - np.where(nothing, 0, probability.sum(-1)), 0)
        whole = np.maximum(allowed.sum(-1) + none, tiny)
        allowed, none = allowed / whole[..., None], none / whole
    elif rule.exclusive:
        allowed = allowed / np.maximum(allowed.sum(-1, keepdims=True), tiny)
    return np.concatenate([allowed, none[..., None]], -1)


def choose(
    found: np.ndarray, possible: np.ndarray, rule: Rule
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The class to show, and the probability of what is shown.

    Args:
      found: float [..., classes + 1], from `shares` or a mean of such.
      possible: bool [..., classes].
      rule: of the network.

    Returns:
      int [...] most probable class; bool [...] whether it is shown, else none of these; float [...]
      probability of what is shown.
    """
    allowed, none = found[..., :-1], found[..., -1]
    # Never an impossible class, even where all possible ones have probability 0.
    best = np.where(possible, allowed, -1.0).argmax(-1)
    highest = np.take_along_axis(allowed, best[..., None], -1)[..., 0]
    if rule.has_none:
        shown, other = highest >= none, none
    else:
        shown, other = highest >= (0.0 if rule.exclusive else rule.threshold), 1 - highest
    return best, shown, np.where(shown, highest, other)


def decide(
    probability: np.ndarray,
    possible: np.ndarray,
    exclusive: bool,
    threshold: float,
    none_of_these: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """The class of each pixel, and the probability of what is shown.

    Args:
      probability: float32 [H, W, classes], NaN where nothing was seen.
      possible: bool [classes], at least one True; a class that cannot be there is never shown.
      exclusive, threshold, none_of_these: see `Rule`.

    Returns:
      uint8 [H, W] class index, NONE_OF_THESE or IGNORE; uint8 [H, W] confidence in percent, or
      IGNORE.
    """
    rule = Rule(exclusive, threshold, none_of_these)
    return shown(shares(probability, possible, rule), np.isnan(probability).any(-1), possible, rule)


def shown(
    found: np.ndarray, nothing: np.ndarray, possible: np.ndarray, rule: Rule
) -> tuple[np.ndarray, np.ndarray]:
    """`decide`, from what `shares` found.

    Args:
      found: float32 [H, W, classes + 1].
      nothing: bool [H, W], where nothing is to be shown.
      possible: bool [classes].
      rule: of the network.
    """
    best, there, value = choose(found, possible, rule)
    crop = np.where(there, best, NONE_OF_THESE).astype(np.uint8)
    confidence = np.rint(PERCENT * value).astype(np.uint8)
    crop[nothing] = confidence[nothing] = IGNORE
    return crop, confidence
