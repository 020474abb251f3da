"""Which block goes to which split, so that every split gets its share of every crop."""

from collections.abc import Mapping

import numpy as np

from cropmap_jax.geo import splits

_SWEEPS = 100
_LEAST_GAIN = 1e-12
"""Gains below this are rounding errors, which could go round in circles."""


def balance_blocks(amounts: np.ndarray, fractions: Mapping[str, float], seed: int) -> list[str]:
    """Splits of blocks such that each split's share of each kind is near its fraction.

    With p[s, k] the share of split s in kind k, and f[s] its fraction, the sum over splits and
    kinds of (p - f)^2 / f is made small (as in a chi-square test: a tenth off weighs more where a
    tenth is all that was requested): blocks are dealt out in a random order, each to the split that
    lowers the sum most, then moved and swapped while that lowers it. The result is a local minimum.

    Args:
      amounts: float [blocks, kinds], 0 or more: how much of each kind a block holds, in any unit.
      fractions: {split: share}; they add up to 1. A split without a share gets nothing, every
        other one at least one block, if there are blocks enough.
      seed: another seed deals in another order, and ends in another minimum.

    Returns:
      Split of each block.

    Raises:
      ValueError: fractions that do not add up, or amounts that are negative or not finite.
    """
    splits.assign_split("", fractions)
    amounts = np.asarray(amounts, float)
    if amounts.ndim != 2 or not np.isfinite(amounts).all() or (amounts < 0).any():
        raise ValueError("amounts: expected finite numbers of 0 or more [blocks, kinds]")
    names = [name for name in splits.SPLITS if fractions.get(name, 0) > 0]
    target = np.array([fractions[name] for name in names])
    total = amounts.sum(0)
    share = amounts[:, total > 0] / total[total > 0]
    rng = np.random.default_rng(seed)
    home = _deal(share, target, rng)
    _improve(share, target, home, rng)
    return [names[h] for h in home]


def _deal(share: np.ndarray, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int [blocks]: in a random order, each block to the split that lacks most of what it holds."""
    home = np.zeros(len(share), int)
    gap = np.repeat(-target[:, None], share.shape[1], 1)
    order = rng.permutation(len(share))
    for turn, block in enumerate(order):
        x = share[block]
        cost = (2 * gap @ x + x @ x) / target
        left = len(order) - turn
        empty = np.setdiff1d(np.arange(len(target)), home[order[:turn]])
        # The last blocks go to splits that have none.
        home[block] = empty[0] if len(empty) >= left else cost.argmin()
        gap[home[block]] += x
    return home


def _improve(
    share: np.ndarray, target: np.ndarray, home: np.ndarray, rng: np.random.Generator
) -> None:
    """Moves and swaps blocks, in place, while that lowers the sum of `balance_blocks`."""
    count = np.bincount(home, minlength=len(target))
    gap = np.zeros((len(target), share.shape[1]))
    np.add.at(gap, home, share)
    gap -= target[:, None]
    # A move is a swap with nothing: one block of nothing at the end for every split.
    goods = np.vstack([share, np.zeros_like(gap)])
    where = np.concatenate([home, np.arange(len(target))])
    norm = (goods**2).sum(1)
    for _ in range(_SWEEPS):
        before = where.copy()
        for i in rng.permutation(len(share)):
            mine = where[i]
            # What this block's split gains and the other one loses, squared and against the gaps.
            lean = gap / target[:, None]
            gain = goods @ lean[mine] - goods[i] @ lean[mine]
            loss = np.einsum("bk,bk->b", goods, lean[where]) - lean[where] @ goods[i]
            squared = norm + norm[i] - 2 * goods @ goods[i]
            cost = 2 * (gain - loss) + squared * (1 / target[mine] + 1 / target[where])
            cost[where == mine] = 0.0
            if count[mine] == 1:
                cost[len(share) :] = 0.0
            j = cost.argmin()
            if cost[j] > -_LEAST_GAIN:
                continue
            change = goods[j] - goods[i]
            gap[mine] += change
            gap[where[j]] -= change
            if j < len(share):
                where[i], where[j] = where[j], mine
            else:
                where[i] = where[j]
                count[mine] -= 1
                count[where[j]] += 1
        if (where == before).all():
            break
    home[:] = where[: len(share)]
