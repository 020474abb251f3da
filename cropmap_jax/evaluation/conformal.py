"""Sets of classes that hold the truth as often as is said: split conformal prediction.

A set holds every class whose probability is at least 1 - t, with t the quantile of 1 - p(truth)
over annotated pixels that the calibration has not learnt from (least ambiguous sets: Sadinle, Lei &
Wasserman 2019, JASA 114, 223-234; Vovk, Gammerman & Shafer 2005). Of all sets that hold the truth
as often they are the smallest on average; one may be empty, where no class is likely.

Pixels of a field know of each other. What is drawn is a field, and of it a pixel, as by Dunn,
Wasserman & Ramdas 2022 (Distribution-free prediction sets for two-layer hierarchical models, JASA):
the field to come counts as one more of average weight, whose score is as bad as can be. The
promise holds for fields drawn from where validation lies, not for another place.
"""

import numpy as np

COVERAGES = (0.8, 0.9, 0.95)
"""How often sets are to hold the truth."""


def threshold(
    scores: np.ndarray, weights: np.ndarray, fields: np.ndarray, coverage: float
) -> float | None:
    """The least t that is enough.

        t = min { s : sum_{i: s_i <= s} w_i >= coverage (W + W / fields) },   W = sum_i w_i

    Args:
      scores: float [N], 1 - p(truth).
      weights: float [N], how much each pixel counts.
      fields: int [N], the field of each.
      coverage: from 0 to 1.

    Returns:
      t; None where there are too few fields for any t: sets then hold every class.
    """
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order])
    total = reached[-1]
    wanted = coverage * (total + total / len(np.unique(fields)))
    at = int(np.searchsorted(reached, wanted * (1 - 1e-12)))
    return float(scores[order[at]]) if at < len(scores) else None


def sets(probability: np.ndarray, t: float | None, possible: np.ndarray) -> np.ndarray:
    """The classes in the set of each pixel.

    Args:
      probability: float [N, columns].
      t: from `threshold`; None for sets of all that is possible.
      possible: bool [N, columns] or [columns].

    Returns:
      bool [N, columns].
    """
    if t is None:
        return np.broadcast_to(possible, probability.shape)
    # In float64, as the scores were taken: the pixel that made t is in its own set.
    found: np.ndarray = (1 - probability.astype(np.float64) <= t) & possible
    return found
