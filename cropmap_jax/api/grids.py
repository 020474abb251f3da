"""Grid and periods of a user's Dataset, checked."""

import datetime as dt
from collections.abc import Sequence

import numpy as np
import odc.geo.xr  # noqa: F401  # gives Datasets the accessor `odc`
import xarray as xr
from odc.geo.geobox import GeoBox

from cropmap_jax.api.convention import BOUNDS, TIME
from cropmap_jax.geo import cube, grid, periods
from cropmap_jax.geo.periods import Period

COMPOSITES = {"month": periods.month_periods, "dekad": periods.dekad_periods}
"""Periods that observations of any dates can be composited into."""
Span = tuple[dt.date | str, dt.date | str]


def upright(value: xr.Dataset, where: str) -> xr.Dataset:
    """The same with dimensions `y`, `x` and, if any, `time`, north above.

    Raises:
      ValueError: other dimensions, or dates that do not ascend.
    """
    renamed = {
        old: new
        for old, new in (("latitude", "y"), ("longitude", "x"), ("t", TIME), ("lat", "y"),
                         ("lon", "x"))
        if old in value.dims and new not in value.dims
    }  # fmt: skip
    value = value.rename(renamed)
    for axis in ("y", "x"):
        if axis not in value.coords or value[axis].dims != (axis,):
            raise ValueError(
                f"{where}: expected dimensions time, y and x with coordinates, found "
                f"{', '.join(map(str, value.dims)) or 'none'}"
            )
    if TIME in value.dims:
        own = np.asarray(value[TIME].values)
        if own.dtype.kind != "M":
            raise ValueError(f"{where}: expected dates as time, found {own.dtype}")
        late = np.flatnonzero(own[1:] < own[:-1])
        if len(late):
            first, second = (str(own[late[0] + i])[:10] for i in (0, 1))
            raise ValueError(
                f"{where}: expected ascending time, found {first} before {second}; "
                f".sortby('time') puts it in order"
            )
    if value.sizes["y"] > 1 and float(value.y[0]) < float(value.y[-1]):
        value = value.isel(y=slice(None, None, -1))
    return value


def geobox(value: xr.Dataset, where: str) -> GeoBox:
    """The grid of a Dataset, of true, square, north-up pixels.

    Raises:
      ValueError: none, no CRS, or another grid.
    """
    found = value.odc.geobox
    if found is None or found.crs is None:
        raise ValueError(
            f"{where}: expected a CRS (coordinate spatial_ref), found none; "
            f".rio.write_crs('EPSG:32639') of rioxarray or .odc.assign_crs('EPSG:32639') names it"
        )
    code = found.crs.to_epsg()
    out = GeoBox(found.shape, found.affine, f"EPSG:{code}" if code else found.crs)
    grid.check_true_pixels(out, where)
    cube.check_size(out, where)
    return out


def target_periods(
    value: xr.Dataset,
    composite: str | None,
    given: Sequence[Span] | None,
    where: str,
) -> tuple[Period, ...]:
    """Periods that a Dataset's values are of, or are to be composited into.

    Args:
      value: its `time` is in order.
      composite: a key of COMPOSITES; None: each date is a composite of a period already.
      given: (first day, day after the last one) of each period; None: from `time_bounds`, or the
        months or dekads that the dates lie in.
      where: what to name in an error.

    Raises:
      ValueError: dates that do not say which periods they are of.
    """
    dates = [dt.date.fromisoformat(str(day)) for day in value[TIME].values.astype("datetime64[D]")]
    if not dates:
        raise ValueError(f"{where}: expected at least one date, found none")
    if given is not None:
        spans = tuple(
            Period(*(periods.parse_date(str(day), f"{where}: periods") for day in span))
            for span in given
        )
        if composite is None and len(spans) != len(dates):
            raise ValueError(
                f"{where}: expected a period for each of {len(dates)} dates, found {len(spans)}"
            )
    elif composite is not None:
        if composite not in COMPOSITES:
            raise ValueError(
                f"{where}: composite: expected 'month', 'dekad' or None, found {composite!r}"
            )
        spans = COMPOSITES[composite](dates[0], dates[-1])
    elif BOUNDS in value:
        pairs = value[BOUNDS].values.astype("datetime64[D]").astype(np.int64)
        spans = periods.from_days(pairs)
    else:
        spans = _of_dates(dates, where)
    periods.check_contiguous(spans, where)
    return spans


def _of_dates(dates: list[dt.date], where: str) -> tuple[Period, ...]:
    """The months or dekads that dates are of, one each and none left out."""
    for make in COMPOSITES.values():
        spans = make(dates[0], dates[-1])
        if len(spans) == len(dates) and all(
            span.start <= date < span.end for span, date in zip(spans, dates, strict=True)
        ):
            return spans
    raise ValueError(
        f"{where}: expected a composite of each month or dekad from {dates[0]} to {dates[-1]}, or "
        f"time_bounds, found {len(dates)} dates; composite='month' makes monthly composites of "
        f"observations, and periods=[...] names other periods"
    )
