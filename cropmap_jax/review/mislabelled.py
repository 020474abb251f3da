"""Which fields are labelled as another class than they look like: confident learning, by field.

Source: Northcutt, Jiang & Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset
Labels, doi:10.1613/jair.1.12125 (the thresholds and the confident joint); the order by normalised
margin is that of Kuan & Mueller 2022, Model-agnostic label quality scoring to detect real-world
label errors. Written out here: the reference implementation (cleanlab) is under the AGPL.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from cropmap_jax.review.reviewed import Field


@dataclasses.dataclass(frozen=True)
class Findings:
    """What the labels of fields look like.

    Args:
      margin: float64 [fields], probability of the most probable other class minus that of the
        label, from -1 to 1; the larger, the more suspect.
      suggested: int [fields], the most probable other class.
      suspect: bool [fields], whether the field counts as one of another class.
    """

    margin: np.ndarray
    suggested: np.ndarray
    suspect: np.ndarray


def find(fields: Sequence[Field]) -> Findings:
    """Compares labels with what models that have not seen them say.

    With p(k) the probability of class k of a field labelled y, and t(k) the mean of p(k) over the
    fields labelled k, a field is suspect if the most probable class among those with
    p(k) >= t(k) is not y: it looks like k as much as fields of k do.

    Args:
      fields: all of the dataset.
    """
    values = np.stack([field.geometric for field in fields])
    labels = np.array([field.label for field in fields])
    rows = np.arange(len(fields))
    thresholds = np.ones(values.shape[1])
    for kind in np.unique(labels):
        thresholds[kind] = values[labels == kind, kind].mean()
    confident = np.where(values >= thresholds, values, -1.0)
    looks = confident.argmax(1)
    suspect = (confident.max(1) >= 0) & (looks != labels)
    others = values.copy()
    others[rows, labels] = -1.0
    suggested = others.argmax(1)
    margin = others[rows, suggested] - values[rows, labels]
    return Findings(margin, suggested, suspect)
