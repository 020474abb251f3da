"""What is known of annotated ground, and what remains open of all ground."""

import numpy as np
import pytest

from cropmap_jax.evaluation import partial
from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.evaluation.metrics import Counts
from cropmap_jax.geo.legend import IGNORE


def test_bounds_are_those_of_all_wrong_and_all_right():
    # 10 annotated pixels, 90 unknown; 6 + 2 and 12 are mapped as the crop.
    found = partial.describe(Counts(tp=6, fp=2, fn=1, tn=1), 90, 12, 5)
    assert found == {
        "recall": 6 / 7,
        "precision": 0.75,
        "annotated": 10,
        "unknown": 90,
        "annotated_share": 0.1,
        "unknown_mapped": 12,
        "unknown_mapped_share": 12 / 90,
        "unknown_without_image": 5,
        "precision_bounds": [6 / 20, 18 / 20],
        "reason": None,
    }


@pytest.mark.parametrize("seed", range(20))
def test_whatever_grows_there_the_precision_lies_within_the_bounds(seed):
    rng = np.random.default_rng(seed)
    known, shown, truth = rng.random((3, 500)) < np.array([[0.2], [0.3], [0.4]])
    tp, fp = (known & shown & truth).sum(), (known & shown & ~truth).sum()
    counts = Counts(int(tp), int(fp), int((known & ~shown & truth).sum()), 1)
    found = partial.describe(counts, int((~known).sum()), int((~known & shown).sum()), 0)
    low, high = found["precision_bounds"]
    assert low <= (shown & truth).sum() / shown.sum() <= high
    # Each bound is reached: by no unknown pixel that is right, or by all.
    assert low == (known & shown & truth).sum() / shown.sum()
    assert high == (shown & (truth | ~known)).sum() / shown.sum()


@pytest.mark.parametrize(
    ("counts", "unknown", "missing", "reason"),
    [
        ((0, 0, 0, 0), (9, 2, 0), ("recall", "precision"), "no annotated pixel was seen"),
        ((0, 1, 0, 4), (9, 2, 0), ("recall", "precision"), "no annotated pixel is of this crop"),
        ((0, 0, 3, 4), (9, 2, 0), ("precision",), "no annotated pixel is mapped as it"),
        ((3, 0, 0, 0), (9, 2, 0), ("precision",), "every annotated pixel is of this crop"),
        ((3, 0, 0, 4), (0, 0, 7), ("unknown_mapped_share",), "no unknown pixel was seen"),
        ((0, 0, 3, 4), (9, 0, 0), ("precision", "precision_bounds"), "nothing is mapped as it"),
        ((0, 0, 0, 0), (0, 0, 0), ("annotated_share",), "no annotated pixel was seen"),
    ],
)
def test_what_has_no_value_has_a_reason(counts, unknown, missing, reason):
    found = partial.describe(Counts(*counts), *unknown)
    assert all(found[name] is None for name in missing) and reason in found["reason"]
    row = found | {"crop": "rye", "method": "network"}
    assert "-" in partial.table([row]).splitlines()[1]


def test_unknown_pixels_are_counted_where_they_were_seen():
    label = np.array([[0, IGNORE, IGNORE], [IGNORE, IGNORE, 1]], np.uint8)
    probability = np.array([[0.9, 0.9, 0.35], [0.2, np.nan, 0.9]], np.float32)[..., None]
    probability = np.concatenate([probability, 1 - probability], -1)
    nothing = np.zeros(0)
    one = CubePrediction(
        0, "c", probability, nothing, nothing, label, label * 0, [], np.isfinite(probability),
        [], [],
    )  # fmt: skip
    found = partial.Unknown(np.array([0.35, 0.7]))
    found.add(one)
    found.add(one)
    # A threshold is reached by what is as large, in float32, too.
    assert found.mapped.tolist() == [4, 2] and found.seen.tolist() == [6, 6]
    assert found.unseen.tolist() == [2, 2]
