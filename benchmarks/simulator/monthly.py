"""Class means by month: the table in which real and simulated landscapes meet.

Months are counted from the harvest: month 1 is January of the harvest year, 12 its December, 0 the
December before and -3 the September before. Winter crops of two different years thus line up, and
an autumn before sowing is never compared with the autumn after harvest.

A parcel is the unit: its pixels are averaged first, then parcels with equal weight, since the
spread that matters is the one between parcels.
"""

import calendar
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cropmap_jax.geo import composites
from cropmap_jax.geo.periods import Period
from cropmap_jax.geo.sensors import SENSORS

COLUMNS = ("crop", "month", "variable", "mean", "sd_between", "n")
POWER = ("VV", "VH")
"""Variables that are averaged in linear power and tabulated in dB."""
_S1, _S2 = SENSORS["s1"].bands, SENSORS["s2"].bands


def season_months(spans: Sequence[Period], harvest_year: int) -> np.ndarray:
    """int [T]: month of each period's last day, counted as above.

    The last day decides, as it does in `composites.assign`.
    """
    last = [np.datetime64(span.end).astype("datetime64[D]") - 1 for span in spans]
    months = np.array(last, "datetime64[M]").astype(int)
    return months - (harvest_year - 1970) * 12 + 1


def month_name(month: int) -> str:
    """Name of a month counted from the harvest year: -3 is "Sep-1", 5 "May", 13 "Jan+1"."""
    years, index = divmod(month - 1, 12)
    return calendar.month_abbr[index + 1] + (f"{years:+d}" if years else "")


def ndvi(s2: np.ndarray) -> np.ndarray:
    """Normalised difference vegetation index (B8 - B4) / (B8 + B4) of S2 [..., 10].

    NaN where a band is missing or both are 0 or less (over-corrected haze).

    Source: Tucker (1979), Remote Sensing of Environment 8, 127-150.
    """
    red, nir = s2[..., _S2.index("B4")], s2[..., _S2.index("B8")]
    total = nir + red
    return np.divide(nir - red, total, out=np.full_like(total, np.nan), where=total > 0)


def tabulate(values: Mapping[str, np.ndarray], months: np.ndarray, crops: Sequence[str]):
    """Class means and the spread between parcels.

    Args:
      values: variable -> float [T, P], one value per period and parcel, NaN missing; VV and VH in
        linear power, all else as it is tabulated.
      months: int [T], from `season_months`. Periods of one month are averaged per parcel.
      crops: P class names.

    Returns:
      Table with COLUMNS: mean over the parcels (of VV and VH in power, then dB; "VH-VV" is the
      difference of these), standard deviation between parcels (ddof 1, of VV and VH in dB; NaN for
      one parcel), and the number of parcels with a value.

    Raises:
      ValueError: shapes that do not agree.
    """
    names = np.asarray(crops)
    rows = []
    for variable, array in values.items():
        if array.shape != (len(months), len(names)):
            raise ValueError(
                f"{variable}: expected [{len(months)} periods, {len(names)} parcels], "
                f"found {list(array.shape)}"
            )
    for month in np.unique(months):
        merged = {name: mean_there(array[months == month]) for name, array in values.items()}
        for crop in np.unique(names):
            chosen = {name: array[names == crop] for name, array in merged.items()}
            rows += _rows(str(crop), int(month), chosen)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(crop: str, month: int, values: Mapping[str, np.ndarray]) -> list[tuple]:
    """Rows of one crop and month; values are [P] per variable."""
    db, rows = {}, []
    for variable, array in values.items():
        spread = array
        mean = mean_there(array)
        if variable in POWER:
            spread, mean = composites.linear_to_db(array), float(composites.linear_to_db(mean))
            db[variable] = (mean, spread)
        rows.append((crop, month, variable, float(mean), *_spread(spread)))
    if len(db) == len(POWER):
        (vv, vv_parcels), (vh, vh_parcels) = db["VV"], db["VH"]
        rows.append((crop, month, "VH-VV", vh - vv, *_spread(vh_parcels - vv_parcels)))
    return rows


def mean_there(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is not NaN; NaN where nothing is there."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty", RuntimeWarning)
        return np.nanmean(values, axis=0)


def _spread(values: np.ndarray) -> tuple[float, int]:
    there = values[np.isfinite(values)]
    return (float(there.std(ddof=1)) if len(there) > 1 else float("nan"), len(there))


def features(s1_db: np.ndarray | None, s2: np.ndarray | None) -> dict[str, np.ndarray]:
    """The variables of `tabulate` from S1 [..., 2] in dB and S2 [..., 10] reflectance."""
    values = {}
    if s2 is not None:
        values["NDVI"] = ndvi(s2)
        values |= {band: s2[..., i] for i, band in enumerate(_S2)}
    if s1_db is not None:
        power = composites.db_to_linear(s1_db)
        values |= {band: power[..., i] for i, band in enumerate(_S1)}
    return values
