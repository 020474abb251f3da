"""Splits of blocks that hold their share of every crop."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cropmap_jax.geo import balance_splits, splits

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}
HALVES = {"train": 0.5, "test": 0.5}


def shares(amounts: np.ndarray, assigned: list[str]) -> dict[str, np.ndarray]:
    """Share of each split in each kind."""
    own = {name: np.array([s == name for s in assigned]) for name in splits.SPLITS}
    return {name: amounts[rows].sum(0) / amounts.sum(0) for name, rows in own.items()}


def objective(amounts: np.ndarray, fractions: dict, assigned) -> float:
    found = shares(amounts, assigned)
    return sum(float(((found[s] - f) ** 2 / f).sum()) for s, f in fractions.items() if f)


@pytest.mark.parametrize("seed", range(8))
def test_the_only_perfect_assignment_is_found(seed):
    # 6 + 4 = 5 + 5 and 1 + 3 = 2 + 2: only the first two against the last two halve both kinds.
    # From every other assignment one move or swap leads there.
    amounts = np.array([[6.0, 1.0], [4.0, 3.0], [5.0, 2.0], [5.0, 2.0]])
    a, b, c, d = balance_splits.balance_blocks(amounts, HALVES, seed)
    assert a == b != c == d


@pytest.mark.parametrize("seed", range(5))
def test_twelve_blocks_come_near_the_best_of_all_assignments(seed):
    rng = np.random.default_rng(seed)
    amounts = rng.lognormal(0, 1, (12, 2))
    best = min(
        objective(amounts, HALVES, ["train" if bit else "test" for bit in bits])
        for bits in itertools.product((0, 1), repeat=12)
        if 0 < sum(bits) < 12
    )
    found = objective(amounts, HALVES, balance_splits.balance_blocks(amounts, HALVES, seed))
    # A local minimum, of which the worst share is off by less than 3 % here.
    assert best <= found + 1e-12
    assert found <= best + 2 * 2 * 0.03**2 / 0.5


def test_many_blocks_of_uneven_crops_come_out_as_requested():
    rng = np.random.default_rng(1)
    # Eight crops, each in its own third of 400 blocks, fields of very different size.
    amounts = rng.lognormal(0, 1.5, (400, 8)) * (rng.random((400, 8)) < 0.3)
    found = shares(amounts, balance_splits.balance_blocks(amounts, FRACTIONS, 0))
    for name, fraction in FRACTIONS.items():
        np.testing.assert_allclose(found[name], fraction, atol=0.002)


def test_the_seed_decides_and_nothing_else():
    amounts = np.random.default_rng(2).random((60, 3))
    one, again, other = (balance_splits.balance_blocks(amounts, FRACTIONS, s) for s in (3, 3, 4))
    assert one == again != other
    # The unit of a kind does not matter.
    assert balance_splits.balance_blocks(amounts * [4.0, 0.5, 64.0], FRACTIONS, 3) == one


def test_no_move_and_no_swap_is_left_that_would_help():
    amounts = np.random.default_rng(5).lognormal(0, 1, (25, 3))
    assigned = balance_splits.balance_blocks(amounts, FRACTIONS, 0)
    reached = objective(amounts, FRACTIONS, assigned)
    for i, name in itertools.product(range(25), FRACTIONS):
        moved = [*assigned]
        moved[i] = name
        if set(moved) == set(FRACTIONS):
            assert objective(amounts, FRACTIONS, moved) >= reached - 1e-9
    for i, j in itertools.combinations(range(25), 2):
        swapped = [*assigned]
        swapped[i], swapped[j] = assigned[j], assigned[i]
        assert objective(amounts, FRACTIONS, swapped) >= reached - 1e-9


amounts_of = hnp.arrays(float, st.tuples(st.integers(0, 12), st.integers(0, 4)),
                        elements=st.sampled_from([0.0, 1e-3, 1.0, 2.0, 1e6]))  # fmt: skip


@given(amounts_of, st.sampled_from([FRACTIONS, HALVES, {"test": 1.0}]), st.integers(0, 9))
def test_every_split_gets_a_block_where_there_are_enough(amounts, fractions, seed):
    assigned = balance_splits.balance_blocks(amounts, fractions, seed)
    assert len(assigned) == len(amounts) and set(assigned) <= set(fractions)
    assert len(set(assigned)) == min(len(fractions), len(amounts))


def test_no_split_is_emptied_for_the_sake_of_the_others():
    # Both blocks in train would be nearer to 85 %, yet test would have none.
    assigned = balance_splits.balance_blocks(
        np.array([[0.4], [0.6]]), {"train": 0.85, "test": 0.15}, 0
    )
    assert assigned == ["test", "train"]


def test_a_split_without_a_share_gets_nothing():
    fractions = {"train": 0.8, "validation": 0.0, "test": 0.2}
    assigned = balance_splits.balance_blocks(np.ones((10, 1)), fractions, 0)
    assert sorted(assigned) == ["test"] * 2 + ["train"] * 8


@pytest.mark.parametrize("wrong", [[[-1.0]], [[np.nan]], [1.0, 2.0]])
def test_amounts_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="amounts: expected finite numbers of 0 or more"):
        balance_splits.balance_blocks(np.array(wrong), FRACTIONS, 0)


def test_fractions_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="fractions: expected shares"):
        balance_splits.balance_blocks(np.ones((4, 1)), {"train": 0.7}, 0)
