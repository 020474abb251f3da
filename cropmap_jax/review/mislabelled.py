"""Which fields are labelled as another class than they look like, by field and not by pixel.

A field's class by models that have not seen it, the geometric mean of its pixels' probabilities p,
is compared with its label y:

    odds = max over k other than y of p(k) / p(y)

Confident learning (Northcutt, Jiang & Chuang 2021, Confident Learning: Estimating Uncertainty in
Dataset Labels, doi:10.1613/jair.1.12125) was tried first, by field as well: class by class it asks
whether p(k) reaches the mean of p(k) over the fields labelled k. Of planted errors it finds fewer
with as many suspects: docs/label_review.md has the figures, and benchmarks/label_review the method.
(Its reference implementation, cleanlab, is under the AGPL and no dependency.)
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from cropmap_jax.review.reviewed import Field

LIMIT = 4.0
"""Odds from which a label is suspect."""
_LEAST = 1e-4
"""Of the probability of a label: odds stay finite."""


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the labels of fields look like.

    Args:
      odds: float64 [fields], how many times as probable as the label the most probable other class
        is.
      suggested: int [fields], that class.
    """

    odds: np.ndarray
    suggested: np.ndarray

    @property
    def suspect(self) -> np.ndarray:
        """bool [fields], whether a label is suspect."""
        found: np.ndarray = self.odds > LIMIT
        return found


def find(fields: Sequence[Field]) -> Findings:
    """Compares the labels of fields with what models that have not seen them say."""
    values = np.stack([field.geometric for field in fields])
    labels = np.array([field.label for field in fields])
    rows = np.arange(len(fields))
    own = np.maximum(values[rows, labels], _LEAST)
    values[rows, labels] = -1.0
    suggested = values.argmax(1)
    return Findings(values[rows, suggested] / own, suggested)
