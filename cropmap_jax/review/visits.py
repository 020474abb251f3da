"""Which parcels of a map are worth a visit before harvest.

    value = entropy(p) / log(classes + 1) * a / (a + median of a) * urgency

with p the mean of a parcel's probabilities, a its hectares (what a larger field teaches and changes
in the map is more, but not in proportion), and urgency 1 at first and up to 1.5 towards harvest.
Parcels are then taken one by one, each with the largest

    value * (1 - max over those taken of (closeness + likeness) / 2)

so that the list is not the same question asked twenty times: closeness falls with distance by a
factor of e in NEAR_M, likeness is the Bhattacharyya coefficient of two parcels' probabilities.
Source of the idea: uncertainty sampling, Lewis & Gale 1994, doi:10.1007/978-1-4471-2099-5_1; of
taking both into account, Zhdanov 2019, Diverse mini-batch active learning, arXiv:1901.05954.
"""

import dataclasses

import numpy as np

NEAR_M = 2000.0
"""Distance over which closeness falls by a factor of e."""
_HURRY_DAYS = 30.0
_MOST_HURRY = 0.5


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Parcels that may be visited.

    Args:
      probability: float64 [N, classes + 1], none of these last, adding up to 1.
      hectares: float64 [N].
      days_left: float64 [N], until the harvest of its most probable class begins; NaN without a
        date.
      places: float64 [N, 2], x and y in metres, of one plane.
    """

    probability: np.ndarray
    hectares: np.ndarray
    days_left: np.ndarray
    places: np.ndarray


def uncertainty(probability: np.ndarray) -> np.ndarray:
    """float64 [N], entropy from 0 to 1, where all classes are as probable."""
    logs = np.log(np.maximum(probability, 1e-12))
    found: np.ndarray = -(probability * logs).sum(1) / np.log(probability.shape[1])
    return found


def value(found: Candidates) -> np.ndarray:
    """float64 [N], what a visit of each is worth by itself."""
    middle = max(float(np.median(found.hectares)), 1e-6) if len(found.hectares) else 1.0
    area = found.hectares / (found.hectares + middle)
    days = np.where(np.isnan(found.days_left), np.inf, np.maximum(found.days_left, 0))
    urgency = 1 + _MOST_HURRY * np.exp(-days / _HURRY_DAYS)
    worth: np.ndarray = uncertainty(found.probability) * area * urgency
    return worth


def choose(found: Candidates, count: int) -> np.ndarray:
    """int [up to count], which parcels to visit, the most worth a visit first."""
    worth, roots = value(found), np.sqrt(np.maximum(found.probability, 0))
    alike = np.zeros(len(worth))
    left = np.ones(len(worth), bool)
    taken = []
    for _ in range(min(count, len(worth))):
        score = np.where(left, worth * (1 - alike), -1.0)
        best = int(score.argmax())
        taken.append(best)
        left[best] = False
        distance = np.hypot(*(found.places - found.places[best]).T)
        closeness = np.exp(-np.where(np.isnan(distance), np.inf, distance) / NEAR_M)
        alike = np.maximum(alike, (closeness + roots @ roots[best]) / 2)
    return np.array(taken, np.int64)
