"""How many points a sample of a map needs, and how many of them in each stratum.

Source: Cochran, Sampling techniques (1977), equation 5.25 (size) and section 5.5 (Neyman's
allocation); Olofsson et al., Remote Sensing of Environment 148 (2014) 42-57, equation 13 and
section 5.1.1 (allocation between equal and proportional).
"""

import math

import numpy as np

COMPROMISE, PROPORTIONAL, EQUAL, NEYMAN = ALLOCATIONS = (
    "compromise",
    "proportional",
    "equal",
    "neyman",
)
"""How points are divided among strata; see `allocate`."""
FEWEST = 2
"""Points of a stratum without which it has no variance."""


def size(
    weights: np.ndarray, users: np.ndarray, standard_error: float, pixels: float | None = None
) -> int:
    """Points for a standard error of overall accuracy, strata drawn in proportion to their area.

        n = (sum_h W_h S_h)^2 / (S(O)^2 + sum_h W_h S_h^2 / N)      S_h = sqrt(U_h (1 - U_h))

    Args:
      weights: float [H], share of the area in each stratum.
      users: float [H], the user's accuracy that is expected there.
      standard_error: of overall accuracy, S(O).
      pixels: N of all strata; None: endlessly many.

    Raises:
      ValueError: a standard error that is none.
    """
    if not 0 < standard_error < 0.5:
        raise ValueError(
            f"--standard_error: expected one above 0 and below 0.5, such as 0.01, found "
            f"{standard_error}"
        )
    variance = users * (1 - users)
    finite = float((weights * variance).sum()) / pixels if pixels else 0.0
    needed = float((weights * np.sqrt(variance)).sum()) ** 2 / (standard_error**2 + finite)
    return max(1, math.ceil(needed - 1e-9))


def expected_shares(weights: np.ndarray, users: np.ndarray) -> np.ndarray:
    """What share of each class of a map is expected to be which class, float [H, H].

    The share that is not right is spread over the other classes by their area: where the map errs
    is not known before the sample is.

    Args:
      weights: float [H], share of the area of each class on the map.
      users: float [H], expected user's accuracy of each.
    """
    others = np.tile(weights, (len(weights), 1))
    np.fill_diagonal(others, 0.0)
    others /= np.maximum(others.sum(1, keepdims=True), np.finfo(float).tiny)
    found: np.ndarray = (1 - users)[:, None] * others + np.diag(users)
    return found


def allocate(
    total: int,
    weights: np.ndarray,
    pixels: np.ndarray,
    method: str = COMPROMISE,
    minimum: int = 50,
    target: np.ndarray | None = None,
) -> np.ndarray:
    """How many points each stratum gets.

    "proportional" follows the area; "equal" gives every stratum the same. "compromise" gives strata
    that would have fewer than the minimum the minimum, and divides the rest by area. "neyman" does
    so with A_h sqrt(p_h (1 - p_h)), which makes the variance of one class's area least. No stratum
    gets more than its pixels, or fewer than 2 of them. Minimums come first: the sum may be larger
    than the total.

    Args:
      total: points of all strata.
      weights: float [H], share of the area in each stratum.
      pixels: int [H], N_h, 1 or more.
      method: one of ALLOCATIONS.
      minimum: points of a stratum; without effect on "proportional" and "equal".
      target: float [H], expected share of the class that "neyman" is for.

    Returns:
      int [H].

    Raises:
      ValueError: an unknown method, or "neyman" without a target.
    """
    if method not in ALLOCATIONS:
        raise ValueError(
            f"--allocation: expected one of {', '.join(ALLOCATIONS)}, found {method!r}"
        )
    if method == NEYMAN:
        if target is None:
            raise ValueError("--allocation neyman: expected --target with a class, found none")
        weights = weights * np.sqrt(target * (1 - target))
    if method == EQUAL:
        weights = np.ones(len(weights))
    least = np.minimum(FEWEST if method in (EQUAL, PROPORTIONAL) else max(minimum, FEWEST), pixels)
    return _divide(total, weights, least, pixels)


def _divide(total: int, weights: np.ndarray, least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Whole numbers in proportion to weights, between bounds."""
    out = np.zeros(len(weights), int)
    free = np.ones(len(weights), bool)
    while free.any():
        left = max(total - int(out[~free].sum()), 0)
        part = weights * free
        whole = part.sum()
        ideal = left * part / whole if whole > 0 else part
        low, high = free & (ideal < least), free & (ideal > most)
        if not (low.any() or high.any()):
            out[free] = _round(ideal[free], left)
            break
        # Bounds from below first: what they take is then missing elsewhere.
        fixed = low if low.any() else high
        out[fixed] = least[fixed] if low.any() else most[fixed]
        free &= ~fixed
    return np.clip(out, least, most)


def _round(ideal: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers that add up to the total: the largest remainders are rounded up."""
    out = np.floor(ideal + 1e-9).astype(int)
    missing = total - int(out.sum())
    if missing > 0:
        out[np.argsort(out - ideal, kind="stable")[:missing]] += 1
    return out
