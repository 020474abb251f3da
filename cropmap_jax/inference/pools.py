"""What several say about one pixel as one answer: the weighted mean of their log-probabilities."""

import numpy as np
from scipy import special

SURELY = 1e-3
"""What a smaller probability counts as: a forest's 0 says that none of its trees agreed, and is not
to overrule all others."""


class Pool:
    """The logarithmic opinion pool, over the outcomes that probabilities tell apart.

        log p_k = sum_m w_m log p_mk + a constant that makes their sum 1

    Outcomes k are the classes, and none of these where it is one; where each class is asked about
    alone, that it is the class and that it is not. Next to the mean of the probabilities
    themselves, what all know counts for more than what one is unsure of.
    Source: Genest & Zidek, Combining probability distributions, Statistical Science 1 (1986).

    Args:
      exclusive: whether classes exclude each other.
      none_of_these: of such, whether what their probabilities leave of 1 is none of these.
    """

    def __init__(self, exclusive: bool = False, none_of_these: bool = False):
        self._exclusive, self._none = exclusive, exclusive and none_of_these

    def evidence(self, probability: np.ndarray) -> np.ndarray:
        """float64 [..., outcomes], what adds up, of probabilities float [..., classes]."""
        given = probability.astype(np.float64)
        if not self._exclusive:
            odds: np.ndarray = special.logit(np.clip(given, SURELY, 1 - SURELY))
            return odds
        if self._none:
            given = np.concatenate([given, 1 - given.sum(-1, keepdims=True)], -1)
        found: np.ndarray = np.log(np.clip(given, SURELY, 1))
        return found

    def probability(self, evidence: np.ndarray) -> np.ndarray:
        """float64 [..., classes] of the weighted mean of evidence."""
        if not self._exclusive:
            alone: np.ndarray = special.expit(evidence)
            return alone
        each: np.ndarray = special.softmax(evidence, axis=-1)
        return each[..., :-1] if self._none else each
