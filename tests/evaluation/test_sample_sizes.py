"""Sizes of samples: the published example, and what allocations promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropmap_jax.evaluation import sample_sizes

# Olofsson et al. 2014, section 5.1.1.
WEIGHTS = np.array([0.020, 0.015, 0.320, 0.645])
USERS = np.array([0.70, 0.60, 0.90, 0.95])
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])


def test_the_worked_example_needs_641_points():
    assert sample_sizes.size(WEIGHTS, USERS, 0.01) == 641
    assert sample_sizes.size(WEIGHTS, USERS, 0.01, PIXELS.sum()) == 641


def test_a_small_map_needs_fewer():
    # (0.5 x 0.4)^2 x 2 terms: n = 0.16 / (0.0001 + 0.16 / 800) by hand.
    halves = np.array([0.5, 0.5])
    assert sample_sizes.size(halves, np.array([0.8, 0.8]), 0.01, 800) == 534


@pytest.mark.parametrize("wrong", [0.0, -0.1, 0.5, float("nan")])
def test_a_standard_error_that_is_none(wrong):
    with pytest.raises(ValueError, match="--standard_error: expected one above 0"):
        sample_sizes.size(WEIGHTS, USERS, wrong)


@pytest.mark.parametrize(
    "method, expected",
    [
        ("proportional", [13, 10, 205, 413]),  # printed as 13, 10, 205, 413
        ("equal", [161, 160, 160, 160]),  # printed as 160 each
        ("compromise", [75, 75, 163, 328]),  # printed, rounded to fives, as 75, 75, 165, 325
    ],
)
def test_allocations_of_the_worked_example(method, expected):
    found = sample_sizes.allocate(641, WEIGHTS, PIXELS, method, minimum=75)
    assert found.tolist() == expected


def test_neyman_makes_the_variance_of_the_target_least():
    shares = sample_sizes.expected_shares(WEIGHTS, USERS)
    target = shares[:, 0]
    found = sample_sizes.allocate(1000, WEIGHTS, PIXELS, "neyman", 2, target)

    def variance(n):
        return (WEIGHTS**2 * target * (1 - target) / n).sum()

    assert found.sum() == 1000
    for i in range(4):
        for j in range(4):
            if i != j and found[i] > 2:
                moved = found.copy()
                moved[i], moved[j] = moved[i] - 1, moved[j] + 1
                assert variance(moved) >= variance(found) * (1 - 1e-6)


def test_expected_shares_are_shares():
    found = sample_sizes.expected_shares(WEIGHTS, USERS)
    assert found.sum(1) == pytest.approx(1) and np.diag(found) == pytest.approx(USERS)
    assert found[0, 3] == pytest.approx(0.3 * 0.645 / 0.98)


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=8),
    st.integers(1, 3000),
    st.integers(2, 80),
    st.sampled_from(("compromise", "proportional", "equal")),
)
def test_no_stratum_gets_too_few_or_more_than_it_has(pixels, total, minimum, method):
    pixels = np.array(pixels)
    found = sample_sizes.allocate(total, pixels / pixels.sum(), pixels, method, minimum)
    least = np.minimum(minimum if method == "compromise" else 2, pixels)
    assert (found >= least).all() and (found <= pixels).all()
    if least.sum() <= total <= pixels.sum():
        assert found.sum() == total


def test_wrong_names():
    with pytest.raises(ValueError, match="--allocation: expected one of compromise"):
        sample_sizes.allocate(9, WEIGHTS, PIXELS, "optimal")
    with pytest.raises(ValueError, match="--allocation neyman: expected --target"):
        sample_sizes.allocate(9, WEIGHTS, PIXELS, "neyman")
