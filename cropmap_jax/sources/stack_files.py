"""GeoTIFF and netCDF files of one sensor, read window by window."""

import datetime as dt
import pathlib
import re
from collections.abc import Sequence

import numpy as np
import rasterio
import rasterio.windows
import xarray as xr
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube
from cropmap_jax.geo.periods import Period
from cropmap_jax.sources import layers

_DATED = re.compile(r"^(\d{4}-\d{2}-\d{2})[/_ ](.+)$")
_NETCDF_ERRORS = (OSError, ValueError, KeyError, RuntimeError, TypeError)


def make_geobox(shape: Sequence[int], affine: Sequence[float], crs: object, where: str) -> GeoBox:
    """GeoBox of an input; a CRS with a code is known by its code.

    Raises:
      ValueError: a CRS or affine that cannot be read.
    """
    text = str(crs).strip() if crs is not None else ""
    if not text:
        raise ValueError(f"{where}: expected a CRS such as EPSG:32631, found none")
    try:
        known = CRS(f"EPSG:{text}" if text.isdigit() else text)
        code = known.to_epsg()
    except RuntimeError as error:
        found = text if len(text) < 40 else text[:40] + "..."
        raise ValueError(f"{where}: expected a CRS such as EPSG:32631, found {found!r}") from error
    if not np.isfinite(list(affine)[:6]).all():
        raise ValueError(f"{where}: expected six finite coefficients, found {list(affine)[:6]}")
    return GeoBox(tuple(shape), Affine(*list(affine)[:6]), f"EPSG:{code}" if code else known)


# GeoTIFF ------------------------------------------------------------------------------------------


def read_tif_grid(file: pathlib.Path) -> GeoBox:
    """The grid of a raster.

    Raises:
      ValueError: not a raster, or one without a CRS.
    """
    try:
        with rasterio.open(file) as raster:
            crs = raster.crs.to_wkt() if raster.crs else None
            return make_geobox(raster.shape, raster.transform, crs, str(file))
    except rasterio.errors.RasterioError as error:
        raise ValueError(f"{file}: damaged or not a GeoTIFF ({error})") from error


def read_tif_band(file: pathlib.Path) -> np.ma.MaskedArray:
    """The only band of a raster of integers, masked where it is nodata.

    Raises:
      ValueError: several bands, or values that are not integers.
    """
    try:
        with rasterio.open(file) as raster:
            if raster.count != 1 or np.dtype(raster.dtypes[0]).kind not in "iu":
                raise ValueError(
                    f"{file}: expected one band of integers, found {raster.count} of "
                    f"{raster.dtypes[0]}"
                )
            return raster.read(1, masked=True)
    except rasterio.errors.RasterioError as error:
        raise ValueError(f"{file}: damaged or not a GeoTIFF ({error})") from error


def open_tif(file: pathlib.Path, sensor: str, dates: Sequence[Period]) -> layers.Layers:
    """One sensor of a GeoTIFF whose bands come period by period.

    Raises:
      ValueError: bands that do not fit the dates.
    """
    try:
        with rasterio.open(file) as raster:
            names = list(raster.descriptions)
            scaled = any(s != 1 for s in raster.scales) or any(raster.offsets)
            integer = np.dtype(raster.dtypes[0]).kind in "iu" and not scaled
    except rasterio.errors.RasterioError as error:
        raise ValueError(f"{file}: damaged or not a GeoTIFF ({error})") from error
    bands, table, unused = _band_table(file, sensor, names, dates)

    def read(rows: slice, cols: slice) -> np.ndarray:
        window = rasterio.windows.Window.from_slices(rows, cols)
        wanted = table[table > 0]
        try:
            with rasterio.open(file) as raster:
                stored = raster.read(wanted.tolist(), window=window, masked=True)
                scales, offsets = np.array(raster.scales), np.array(raster.offsets)
        except rasterio.errors.RasterioError as error:
            raise ValueError(f"{file}: damaged, could not be read ({error})") from error
        values = layers.missing_to_nan(np.ma.getdata(stored))
        values[np.ma.getmaskarray(stored)] = np.nan
        if scaled:
            factor = scales[wanted - 1].reshape(-1, 1, 1)
            values = (values * factor + offsets[wanted - 1].reshape(-1, 1, 1)).astype(np.float32)
        out = np.full((*table.shape, *values.shape[1:]), np.nan, np.float32)
        out[table > 0] = values
        return np.moveaxis(out, 1, -1)

    return layers.Layers(sensor, str(file), tuple(dates), bands, read, integer, unused)


def _band_table(file: pathlib.Path, sensor: str, names: list, dates: Sequence[Period]):
    """(bands, int [T, bands] with the raster's band numbers, 0 where it has none, unused names)."""
    if not any(names):
        bands = cube.BANDS[sensor]
        if len(names) != len(dates) * len(bands):
            raise ValueError(
                f"{file}: expected {len(dates) * len(bands)} bands, {len(bands)} for each of "
                f"{len(dates)} rows of dates.csv, or bands with names; found {len(names)}"
            )
        return bands, np.arange(1, len(names) + 1).reshape(len(dates), -1), ()
    if not all(names):
        raise ValueError(f"{file}: band {names.index(None) + 1} has no name, though others do")
    dated = [_DATED.match(name) for name in names]
    if all(dated):
        starts = [p.name for p in dates]
        strange = sorted({m[1] for m in dated} - set(starts))
        if strange:
            raise ValueError(f"{file}: found bands of {strange[0]}, expected it in dates.csv too")
        if len(set(starts)) < len(starts):
            raise ValueError(f"{file}: bands are named by date; expected each date once per sensor")
        keys = [(starts.index(m[1]), m[2]) for m in dated]
    else:
        if len(names) % len(dates):
            raise ValueError(
                f"{file}: expected the same number of bands for each of {len(dates)} rows of "
                f"dates.csv, found {len(names)} in all"
            )
        keys = [(i // (len(names) // len(dates)), name) for i, name in enumerate(names)]
    columns, unused = {}, {}
    for t in range(len(dates)):
        numbers = [i for i, key in enumerate(keys) if key[0] == t]
        own = [keys[i][1] for i in numbers]
        if own:
            found = layers.name_bands(own, sensor, f"{file} ({dates[t].name})")
            columns |= {(t, band): numbers[i] + 1 for band, i in found.items()}
            unused |= {name: None for name in own if not layers.band_of(name, sensor)}
    order = (*cube.BANDS[sensor], layers.SCL)
    bands = tuple(b for b in order if any(band == b for _, band in columns))
    table = np.array([[columns.get((t, b), 0) for b in bands] for t in range(len(dates))])
    return bands, table, tuple(unused)


# netCDF -------------------------------------------------------------------------------------------


def open_netcdf(
    file: pathlib.Path, sensor: str, dates: Sequence[Period] | None
) -> tuple[layers.Layers, GeoBox]:
    """One sensor of a netCDF file: a variable per band [t, y, x], or one of [t, band, y, x].

    Args:
      dates: periods from dates.csv; None takes single days from the time coordinate.

    Raises:
      ValueError: dimensions, bands, times or a CRS that cannot be found.
    """
    with _open(file) as data:
        names = {"t": _dimension(file, data, ("t", "time")), "y": "y", "x": "x"}
        for dim in ("y", "x"):
            _dimension(file, data, (dim,))
        variables, band_dim = _band_variables(file, data, sensor, names)
        labels = list(variables)
        if band_dim:
            labels = _band_labels(file, data, sensor, band_dim)
        found = layers.name_bands(labels, sensor, str(file))
        sample = data[variables["all" if band_dim else labels[next(iter(found.values()))]]]
        integer = np.dtype(sample.encoding.get("dtype", sample.dtype)).kind in "iu"
        integer &= not {"scale_factor", "add_offset"} & set(sample.encoding)
        ys, xs = (_spaced(file, data, dim) for dim in ("y", "x"))
        affine = _affine(ys, xs)
        flip = ys[1] > ys[0]
        geobox = make_geobox((len(ys), len(xs)), affine, _netcdf_crs(data), str(file))
        spans = _netcdf_dates(file, data, names["t"], dates)

    def read(rows: slice, cols: slice) -> np.ndarray:
        height = len(ys)
        lines = slice(height - rows.stop, height - rows.start) if flip else rows
        with _open(file) as data:
            pixels = [
                _read_variable(
                    file,
                    data[variables[labels[i]]] if not band_dim else data[variables["all"]],
                    {band_dim: i} if band_dim else {},
                    [names["t"], "y", "x"],
                    lines,
                    cols,
                )
                for i in found.values()
            ]
        out = np.stack(pixels, -1)
        return out[:, ::-1] if flip else out

    unused = tuple(n for n in labels if not layers.band_of(n, sensor))
    out = layers.Layers(sensor, str(file), spans, tuple(found), read, bool(integer), unused)
    return out, geobox


def _open(file: pathlib.Path) -> xr.Dataset:
    try:
        return xr.open_dataset(file)
    except _NETCDF_ERRORS as error:
        raise ValueError(f"{file}: damaged or not a netCDF file ({_reason(error)})") from error


def _read_variable(file, variable, choose, order, rows, cols) -> np.ndarray:
    try:
        window = variable.isel({**choose, "y": rows, "x": cols})
        return layers.missing_to_nan(window.transpose(*order).values)
    except _NETCDF_ERRORS as error:
        raise ValueError(f"{file}: damaged, could not be read ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """The first sentence of a library's error, which may run over several lines."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].split(". ")[0].split(" [")[0]


def _dimension(file: pathlib.Path, data: xr.Dataset, names: tuple[str, ...]) -> str:
    for name in names:
        if name in data.dims:
            return name
    raise ValueError(
        f"{file}: expected a dimension {' or '.join(names)}, found {', '.join(map(str, data.dims))}"
    )


def _band_variables(file, data: xr.Dataset, sensor: str, names: dict) -> tuple[dict, str]:
    """({label: variable}, "") with a variable per band, or ({"all": variable}, band dimension)."""
    base = set(names.values())
    flat = {str(v): v for v in data.data_vars if set(data[v].dims) == base}
    deep = [v for v in data.data_vars if len(data[v].dims) == 4 and base < set(data[v].dims)]
    if any(layers.band_of(name, sensor) for name in flat) or not deep:
        if not flat:
            raise ValueError(
                f"{file}: expected variables with dimensions {', '.join(sorted(base))}, found "
                f"{', '.join(map(str, data.data_vars)) or 'none'}"
            )
        return flat, ""
    if len(deep) > 1:
        raise ValueError(f"{file}: expected one variable of four dimensions, found {deep}")
    return {"all": deep[0]}, str(next(iter(set(data[deep[0]].dims) - base)))


def _band_labels(file, data: xr.Dataset, sensor: str, band_dim: str) -> list[str]:
    count = data.sizes[band_dim]
    if band_dim in data.coords and data[band_dim].dtype.kind in "OUST":
        return [str(v) for v in data[band_dim].values]
    bands = cube.BANDS[sensor]
    if count != len(bands):
        raise ValueError(
            f"{file}: dimension {band_dim!r} has no names; expected {len(bands)} bands "
            f"({', '.join(bands)}), found {count}"
        )
    return list(bands)


def _spaced(file: pathlib.Path, data: xr.Dataset, dim: str) -> np.ndarray:
    """Pixel centres along a dimension, checked to be evenly spaced."""
    if dim not in data.coords or data.sizes[dim] < 2:
        raise ValueError(f"{file}: expected coordinates of two or more pixels along {dim!r}")
    values = np.asarray(data[dim].values, np.float64)
    steps = np.diff(values)
    if not np.isfinite(values).all() or np.abs(steps - steps.mean()).max() > 1e-3 * abs(steps[0]):
        raise ValueError(f"{file}: expected evenly spaced coordinates along {dim!r}")
    return values


def _affine(ys: np.ndarray, xs: np.ndarray) -> tuple[float, ...]:
    """North-up affine from pixel centres; rows that run northwards are read backwards."""
    dx = round((xs[-1] - xs[0]) / (len(xs) - 1), 6)
    dy = round(abs(ys[-1] - ys[0]) / (len(ys) - 1), 6)
    return (dx, 0.0, xs[0] - dx / 2, 0.0, -dy, max(ys[0], ys[-1]) + dy / 2)


def _netcdf_crs(data: xr.Dataset) -> str | None:
    named = [data[v].attrs.get("grid_mapping") for v in data.data_vars]
    for name in [*named, "crs", "spatial_ref"]:
        if name in data.variables:
            attrs = data[name].attrs
            for key in ("crs_wkt", "spatial_ref", "epsg_code"):
                if attrs.get(key):
                    return str(attrs[key])
    return None


def _netcdf_dates(file, data: xr.Dataset, dim: str, dates) -> tuple[Period, ...]:
    count = data.sizes[dim]
    if dates is not None:
        if len(dates) != count:
            raise ValueError(
                f"{file}: expected {count} rows in dates.csv, one per {dim}, found {len(dates)}"
            )
        return tuple(dates)
    if dim not in data.coords or data[dim].dtype.kind != "M" or data[dim].isnull().any():
        raise ValueError(
            f"{file}: expected dates along {dim!r}, or a dates.csv beside it; found "
            f"{data[dim].dtype if dim in data.coords else 'no coordinate'}"
        )
    days = [dt.date.fromisoformat(str(v)[:10]) for v in data[dim].values.astype("datetime64[D]")]
    return tuple(Period(day, day + dt.timedelta(days=1)) for day in days)
