"""Whether simulated class means follow real ones: the comparison and its rules."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmarks.simulator import monthly, speckle

VARIABLES = ("NDVI", "VV", "VH")
MIN_R = 0.8
MAX_NDVI_DIFFERENCE = 0.12
MAX_BIAS_DB = 2.5
SEASONAL_DB = 3.0
"""Radar curves flatter than this have no season that a correlation could find."""
MIN_MONTHS = 6
ENL_FACTOR = 2.0
MAX_LAG1_DIFFERENCE = 0.15
MAX_MISSING_DIFFERENCE = 0.15
PASS, FAIL, NO_DATA = "pass", "fail", "no data"


def compare_monthly(
    real: pd.DataFrame,
    simulated: pd.DataFrame,
    crops: Sequence[str] | None = None,
    min_parcels: int = 5,
) -> pd.DataFrame:
    """Compares class means month by month, over the months that both tables have.

    NDVI passes with r >= 0.8 and a mean absolute difference <= 0.12; VV and VH with a bias within
    2.5 dB and, where the real curve spans 3 dB or more over those months, r >= 0.8.

    Args:
      real, simulated: tables of `monthly.tabulate`.
      crops: classes to compare; those of `real` if None. "no data" where either has none.
      min_parcels: months with fewer real parcels are left out.

    Returns:
      A row per crop and variable of VARIABLES: months (compared), real_parcels and
      simulated_parcels (medians), r, difference (mean absolute), bias (simulated minus real),
      amplitude (real maximum minus minimum), verdict. Fewer than 6 months are "no data".

    Raises:
      ValueError: a table without the columns of `monthly.COLUMNS`, or a month given twice.
    """
    keys = ["crop", "month", "variable"]
    for name, table in (("real", real), ("simulated", simulated)):
        absent = [column for column in monthly.COLUMNS if column not in table.columns]
        if absent:
            raise ValueError(f"{name}: expected the columns {monthly.COLUMNS}, found no {absent}")
        if (twice := table.duplicated(keys)).any():
            first = table.loc[twice, keys].iloc[0]
            raise ValueError(
                f"{name}: expected one row per crop, month and variable, found {first.crop}, "
                f"month {first.month}, {first.variable} twice"
            )
    both = real[real.n >= min_parcels].merge(simulated, on=keys, suffixes=("_real", "_simulated"))
    both = both[np.isfinite(both.mean_real) & np.isfinite(both.mean_simulated)]
    rows = []
    for crop in sorted(real.crop.unique()) if crops is None else crops:
        for variable in VARIABLES:
            pairs = both[(both.crop == crop) & (both.variable == variable)]
            rows.append({"crop": crop, "variable": variable} | _compare(pairs, variable))
    return pd.DataFrame(rows)


def _compare(pairs: pd.DataFrame, variable: str) -> dict:
    a, b = pairs.mean_real.to_numpy(), pairs.mean_simulated.to_numpy()
    row = {"months": len(a)} | dict.fromkeys(
        ("real_parcels", "simulated_parcels", "r", "difference", "bias", "amplitude"), np.nan
    )
    if len(a) < MIN_MONTHS:
        return row | {"verdict": NO_DATA}
    row["real_parcels"] = pairs.n_real.median()
    row["simulated_parcels"] = pairs.n_simulated.median()
    # A constant curve has no correlation: it fails where one is required.
    row["r"] = np.corrcoef(a, b)[0, 1] if a.std() > 0 and b.std() > 0 else np.nan
    row["difference"], row["bias"] = np.abs(b - a).mean(), (b - a).mean()
    row["amplitude"] = a.max() - a.min()
    return row | {"verdict": PASS if passes(variable, row) else FAIL}


def passes(variable: str, row: dict) -> bool:
    """Whether one row of `compare_monthly` keeps the rules of its variable."""
    if variable == "NDVI":
        return bool(row["r"] >= MIN_R and row["difference"] <= MAX_NDVI_DIFFERENCE)
    seasonal = row["amplitude"] >= SEASONAL_DB
    return bool(abs(row["bias"]) <= MAX_BIAS_DB and (not seasonal or row["r"] >= MIN_R))


def verdicts(rows: pd.DataFrame) -> pd.DataFrame:
    """One verdict per crop and variable from the rows of several references.

    A curve passes if it passes against one reference as a whole, which is then named; bias from one
    and correlation from another do not add up. Where any reference shows a season in VV or VH, a
    flat one (of places that ripen at different times) cannot excuse the lack of one.

    Args:
      rows: of `compare_monthly`, with a column `reference`, in order of preference.

    Returns:
      A row per crop and variable: crop, variable, verdict, reference ("" where there is none).
    """
    out = []
    for (crop, variable), group in rows.groupby(["crop", "variable"], sort=False):
        seasonal = group[group.amplitude >= SEASONAL_DB]
        if variable != "NDVI" and len(seasonal):
            group = seasonal
        order = [(PASS, FAIL, NO_DATA).index(verdict) for verdict in group.verdict]
        best = group.iloc[int(np.argmin(order))]
        reference = "" if best.verdict == NO_DATA else best.reference
        out.append((crop, variable, best.verdict, reference))
    return pd.DataFrame(out, columns=["crop", "variable", "verdict", "reference"])


def speckle_verdict(simulated: speckle.Speckle, real: Sequence[speckle.Speckle]) -> str:
    """Whether simulated speckle lies among real ones of the same kind (dates, or composites).

    ENL depends on the number of dates in a month and on texture, which differ between the real
    images by a factor of two to three, so it may lie a factor of 2 outside the real range; the
    correlation of neighbours belongs to the sensor and may differ by 0.15.
    """
    enl, lag1 = [r.enl for r in real], [r.lag1 for r in real]
    near = min(enl) / ENL_FACTOR <= simulated.enl <= max(enl) * ENL_FACTOR
    below, above = min(lag1) - MAX_LAG1_DIFFERENCE, max(lag1) + MAX_LAG1_DIFFERENCE
    return PASS if near and below <= simulated.lag1 <= above else FAIL


def missing_comparison(real: pd.DataFrame, simulated: pd.DataFrame) -> dict:
    """Compares missing S2 by calendar month, over the months that both have.

    Args:
      real, simulated: tables of `missing.by_month`.

    Returns:
      months, the mean shares over these months (real, simulated), r, and the verdict: "pass" where
      these means differ by at most 0.15.
    """
    both = real.merge(
        simulated, left_index=True, right_index=True, suffixes=("_real", "_simulated")
    )
    a, b = both.share_real.to_numpy(), both.share_simulated.to_numpy()
    row = {"months": len(a), "real": np.nan, "simulated": np.nan, "r": np.nan}
    if not len(a):
        return row | {"verdict": NO_DATA}
    row["real"], row["simulated"] = a.mean(), b.mean()
    row["r"] = np.corrcoef(a, b)[0, 1] if a.std() > 0 and b.std() > 0 else np.nan
    return row | {"verdict": PASS if abs(b.mean() - a.mean()) <= MAX_MISSING_DIFFERENCE else FAIL}
