"""Missing Sentinel-2: how much, when, and in how large pieces."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cropmap_jax.geo.periods import Period

CLEAR, FULL = 0.01, 0.99
"""Shares of missing pixels below and above which a composite counts as whole or as lost."""


def missing_share(s2: np.ndarray, periods: Sequence[Period]) -> pd.DataFrame:
    """Share of pixels without any valid band, per period.

    Clouds are large: real composites are mostly whole or lost and seldom in between, which a mean
    over images cannot show. "state" says which.

    Args:
      s2: float [T, H, W, B], NaN missing.
      periods: T periods.

    Returns:
      One row per period: start (ISO), month (1 to 12, of the last day), share, state ("whole",
      "partly" or "lost").

    Raises:
      ValueError: lengths that do not agree.
    """
    if s2.ndim != 4 or len(s2) != len(periods):
        raise ValueError(f"s2: expected [{len(periods)}, H, W, B], found {list(s2.shape)}")
    share = (~np.isfinite(s2).any(-1)).mean((1, 2))
    last = [np.datetime64(p.end).astype("datetime64[D]") - 1 for p in periods]
    state = np.where(share < CLEAR, "whole", np.where(share > FULL, "lost", "partly"))
    return pd.DataFrame(
        {
            "start": [p.name for p in periods],
            "month": [int(d.astype("datetime64[M]").astype(int) % 12 + 1) for d in last],
            "share": share,
            "state": state,
        }
    )


def by_month(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of `missing_share` over all images of a calendar month.

    Returns:
      Indexed by month: share, whole, partly, lost (shares of the images), n (images).
    """
    states = pd.get_dummies(rows.state).reindex(columns=["whole", "partly", "lost"], fill_value=0)
    groups = states.astype(float).assign(share=rows.share).groupby(rows.month)
    return groups.mean()[["share", "whole", "partly", "lost"]].assign(n=groups.size())
