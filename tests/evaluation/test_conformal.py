"""Sets of stated coverage: the threshold by hand, and how often sets hold the truth."""

import numpy as np

from cropmap_jax.evaluation import conformal


def test_the_threshold_is_the_quantile_of_one_more_field():
    scores = np.arange(1, 20) / 20  # 19 fields of a pixel each
    alike, fields = np.ones(19), np.arange(19)
    # ceil(0.9 * 20) = the 18th of 19, and 0.96 * 20 > 19: no score is enough.
    assert conformal.threshold(scores, alike, fields, 0.9) == 0.9
    assert conformal.threshold(scores, alike, fields, 0.96) is None


def test_weights_count():
    scores, fields = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 2, 3])
    weights = np.array([10.0, 1, 1, 1])
    # 0.5 (13 + 13 / 4) = 8.1, which the first alone reaches.
    assert conformal.threshold(scores, weights, fields, 0.5) == 0.1


def test_sets_hold_what_is_likely_enough_and_possible():
    p = np.array([[0.7, 0.2, 0.1], [0.4, 0.3, 0.3]], np.float32)
    possible = np.array([True, True, False])
    found = conformal.sets(p, 0.7, possible)
    # 1 - 0.3 as float32 stores it lies below 0.7 by 1e-8.
    np.testing.assert_array_equal(found, [[True, False, False], [True, True, False]])
    np.testing.assert_array_equal(conformal.sets(p, None, possible), [possible, possible])


def drawn(rng, fields):
    """Scores of pixels that are alike within their field, their weights and fields."""
    sizes = rng.integers(1, 15, fields)
    field = np.repeat(np.arange(fields), sizes)
    level = rng.normal(size=fields)[field] + 0.3 * rng.normal(size=len(field))
    return 1 / (1 + np.exp(-level)), 1 / sizes[field], field


def test_of_200_draws_sets_of_95_percent_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(200):
        scores, weights, field = drawn(rng, 100)
        t = conformal.threshold(scores, weights, field, 0.95)
        later, weight, _ = drawn(rng, 200)
        covered.append(np.average(later <= (1 if t is None else t), weights=weight))
    # The mean of 200 shares whose standard deviation is about 0.03 is known to 0.002.
    assert 0.92 < np.mean(covered) < 0.98
    assert np.mean(covered) > 0.945  # and no less than what is said, but for chance
