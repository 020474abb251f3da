"""NetCDF files of one sensor, read window by window, with their numbers as they are stored."""

import contextlib
import datetime as dt
import pathlib
from collections.abc import Hashable, Iterator, Sequence

import h5py
import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from cropmap_jax.geo.periods import Period
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.sources.ingest import band_names
from cropmap_jax.sources.ingest.bands import Bands
from cropmap_jax.sources.ingest.geotiff_files import make_geobox

_NETCDF_ERRORS = (OSError, ValueError, KeyError, RuntimeError, TypeError)
# Engines by a file's first bytes: netCDF-4 is HDF5, and xarray would try any engine there is, some
# of which fetch from servers.
_ENGINES = {b"\x89HDF": "h5netcdf", b"CDF\x01": "scipy", b"CDF\x02": "scipy"}


def open_netcdf(
    file: pathlib.Path,
    sensor: Sensor,
    dates: Sequence[Period] | None,
    offsets: tuple[float, ...] | None = None,
) -> tuple[Bands, GeoBox]:
    """One sensor of a netCDF file: a variable per band [t, y, x], or one of [t, band, y, x].

    Args:
      dates: periods from dates.csv; None takes single days from the time coordinate.
      offsets: of each observation, see `bands.Bands`.

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
        found = band_names.name_bands(labels, sensor, str(file))
        chosen = [data[variables["all" if band_dim else labels[i]]] for i in found.values()]
        scale, offset = (
            np.array([_number(file, v, key, default) for v in chosen])
            for key, default in (("scale_factor", 1.0), ("add_offset", 0.0))
        )
        packed = (scale != 1).any() or (offset != 0).any()
        integer = all(np.dtype(v.dtype).kind in "iu" for v in chosen) and not packed
        ys, xs = (_spaced(file, data, dim) for dim in ("y", "x"))
        affine = _affine(ys, xs)
        flip = ys[1] > ys[0]
        geobox = make_geobox((len(ys), len(xs)), affine, _netcdf_crs(data), str(file))
        spans = _netcdf_dates(file, data, names["t"], dates)

    def read(rows: slice, cols: slice) -> np.ma.MaskedArray:
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
        out = np.ma.stack(pixels, -1)
        return out[:, ::-1] if flip else out

    unused = tuple(n for n in labels if not band_names.band_of(n, sensor))
    out = Bands(
        sensor,
        str(file),
        spans,
        tuple(found),
        read,
        integer=bool(integer),
        unused=unused,
        scale=scale if packed else 1.0,
        offset=offset if packed else 0.0,
        date_offsets=offsets,
    )
    return out, geobox


@contextlib.contextmanager
def _open(file: pathlib.Path) -> Iterator[xr.Dataset]:
    """Opens a netCDF file with its numbers as they are stored; only dates are decoded."""
    with open(file, "rb") as stream:
        engine = _ENGINES.get(stream.read(4))
    if engine is None:
        raise ValueError(f"{file}: damaged or not a netCDF file (of HDF5, or classic)")
    try:
        if engine == "h5netcdf":
            _check_own_bytes(file)
        data = xr.open_dataset(file, engine=engine, mask_and_scale=False)
    except _NETCDF_ERRORS as error:
        named = str(error).startswith(str(file))
        raise ValueError(
            str(error) if named else f"{file}: damaged or not a netCDF file ({_reason(error)})"
        ) from error
    with data:
        yield data


def _check_own_bytes(file: pathlib.Path) -> None:
    """Refuses variables of HDF5 whose numbers lie in other files.

    Raises:
      ValueError: names the variable.
    """
    with h5py.File(file, "r") as data:
        for name in data:
            link = data.get(name, getlink=True)
            away = isinstance(link, h5py.ExternalLink)
            if not away and isinstance(data[name], h5py.Dataset):
                away = bool(data[name].external) or data[name].is_virtual
            if away:
                raise ValueError(
                    f"{file}: variable {name!r} refers to another file; expected a netCDF file "
                    f"that holds its own numbers"
                )


def _number(file: pathlib.Path, variable: xr.DataArray, key: str, default: float) -> float:
    try:
        value = float(np.ravel(variable.attrs.get(key, default))[0])
    except (ValueError, TypeError, IndexError):
        value = np.nan
    if not np.isfinite(value) or (key == "scale_factor" and value == 0):
        raise ValueError(
            f"{file}: {variable.name}: expected a number as {key}, found {variable.attrs[key]!r}"
        )
    return value


def _read_variable(
    file: pathlib.Path,
    variable: xr.DataArray,
    choose: dict[str, int],
    order: Sequence[str],
    rows: slice,
    cols: slice,
) -> np.ma.MaskedArray:
    """Numbers as they are stored, masked where they are `_FillValue` or `missing_value`."""
    try:
        window = variable.isel({**choose, "y": rows, "x": cols})
        stored = window.transpose(*order).values
    except _NETCDF_ERRORS as error:
        raise ValueError(f"{file}: damaged, could not be read ({_reason(error)})") from error
    if stored.dtype.kind not in "fiu":
        raise ValueError(f"{file}: {variable.name}: expected numbers, found {stored.dtype}")
    # Classic netCDF has no unsigned integers: an attribute declares the same bits as such.
    other = {("i", "true"): "u", ("u", "false"): "i"}
    kind = other.get((stored.dtype.kind, str(variable.attrs.get("_Unsigned", "")).lower()))
    if kind:
        stored = stored.view(stored.dtype.str.replace(stored.dtype.kind, kind))
    mask = np.zeros(stored.shape, bool)
    for key in ("_FillValue", "missing_value"):
        for value in np.ravel(variable.attrs.get(key, ())):
            try:
                with np.errstate(invalid="ignore", over="ignore"):
                    mask |= stored == np.asarray(value).astype(stored.dtype)
            except (ValueError, TypeError, OverflowError) as error:
                raise ValueError(
                    f"{file}: {variable.name}: expected a number as {key}, found {value!r}"
                ) from error
    low, high = _valid_range(variable, stored.dtype)
    with np.errstate(invalid="ignore"):
        mask |= (stored < low) | (stored > high)
    return np.ma.masked_array(stored, mask)


def _valid_range(variable: xr.DataArray, dtype: np.dtype) -> tuple[float, float]:
    """Least and largest number that is not missing, as the file declares them.

    Source: CF conventions 1.11, section 2.5.1; of another type than the numbers they may be meant
    in unpacked units, and count for nothing here.
    """
    both = variable.attrs.get("valid_range", (None, None))
    ends = [variable.attrs.get("valid_min", both[0]), variable.attrs.get("valid_max", both[-1])]
    out: list[float] = []
    for end, otherwise in zip(ends, (-np.inf, np.inf), strict=True):
        value = np.ravel(np.asarray(otherwise if end is None else end))
        usable = value.size and value.dtype.kind in "fiu" and np.isfinite(value[0])
        packed = {"scale_factor", "add_offset"} & set(variable.attrs)
        alike = value.dtype == dtype or (value.dtype.kind == dtype.kind and not packed)
        out.append(value[0] if usable and alike else otherwise)
    return out[0], out[1]


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


def _band_variables(
    file: pathlib.Path, data: xr.Dataset, sensor: Sensor, names: dict[str, str]
) -> tuple[dict[str, Hashable], str]:
    """({label: variable}, "") with a variable per band, or ({"all": variable}, band dimension)."""
    base = set(names.values())
    flat: dict[str, Hashable] = {str(v): v for v in data.data_vars if set(data[v].dims) == base}
    deep = [v for v in data.data_vars if len(data[v].dims) == 4 and base < set(data[v].dims)]
    if any(band_names.band_of(name, sensor) for name in flat) or not deep:
        if not flat:
            raise ValueError(
                f"{file}: expected variables with dimensions {', '.join(sorted(base))}, found "
                f"{', '.join(map(str, data.data_vars)) or 'none'}"
            )
        return flat, ""
    if len(deep) > 1:
        raise ValueError(f"{file}: expected one variable of four dimensions, found {deep}")
    return {"all": deep[0]}, str(next(iter(set(data[deep[0]].dims) - base)))


def _band_labels(file: pathlib.Path, data: xr.Dataset, sensor: Sensor, band_dim: str) -> list[str]:
    count = data.sizes[band_dim]
    if band_dim in data.coords and data[band_dim].dtype.kind in "OUST":
        return [str(v) for v in data[band_dim].values]
    bands = sensor.bands
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
    values = values * _number(file, data[dim], "scale_factor", 1.0)
    values += _number(file, data[dim], "add_offset", 0.0)
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


def _netcdf_dates(
    file: pathlib.Path, data: xr.Dataset, dim: str, dates: Sequence[Period] | None
) -> tuple[Period, ...]:
    count = data.sizes[dim]
    if dates is not None:
        if len(dates) != count:
            raise ValueError(
                f"{file}: expected {count} rows in dates.csv, one per {dim}, found {len(dates)}"
            )
        return tuple(dates)
    if dim not in data.coords or data[dim].dtype.kind != "M" or data[dim].isnull().any():
        raise ValueError(
            f"{file}: expected dates along {dim!r}, or a dates.csv next to it; found "
            f"{data[dim].dtype if dim in data.coords else 'no coordinate'}"
        )
    days = [dt.date.fromisoformat(str(v)[:10]) for v in data[dim].values.astype("datetime64[D]")]
    return tuple(Period(day, day + dt.timedelta(days=1)) for day in days)
