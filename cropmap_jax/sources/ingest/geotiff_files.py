"""A user's GeoTIFF files of one sensor, read window by window."""

import pathlib
import re
from collections.abc import Sequence

import numpy as np
import rasterio.windows
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from cropmap_jax.geo.geotiffs import open_geotiff
from cropmap_jax.geo.periods import Period
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.sources.ingest import band_names
from cropmap_jax.sources.ingest.bands import Bands

_DATED = re.compile(r"(?<!\d)((?:19|20)\d\d)(-?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")


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
    height, width = shape
    return GeoBox((height, width), Affine(*list(affine)[:6]), f"EPSG:{code}" if code else known)


def read_tif_grid(file: pathlib.Path) -> GeoBox:
    """The grid of a raster.

    Raises:
      ValueError: not a GeoTIFF, or one without a CRS.
    """
    with open_geotiff(file, sidecars=True) as raster:
        crs = raster.crs.to_wkt() if raster.crs else None
        return make_geobox(raster.shape, raster.transform, crs, str(file))


def read_tif_band(file: pathlib.Path) -> tuple[np.ma.MaskedArray, float | None]:
    """The only band of a raster of integers, masked where it is nodata, and its nodata value.

    Raises:
      ValueError: several bands, or values that are not integers.
    """
    with open_geotiff(file, sidecars=True) as raster:
        if raster.count != 1 or np.dtype(raster.dtypes[0]).kind not in "iu":
            raise ValueError(
                f"{file}: expected one band of integers, found {raster.count} of {raster.dtypes[0]}"
            )
        return raster.read(1, masked=True), raster.nodata


def open_tif(
    file: pathlib.Path,
    sensor: Sensor,
    dates: Sequence[Period],
    offsets: tuple[float, ...] | None = None,
) -> Bands:
    """One sensor of a GeoTIFF whose bands come period by period.

    Args:
      dates: periods from dates.csv.
      offsets: of each observation, see `bands.Bands`.

    Raises:
      ValueError: bands that do not fit the dates.
    """
    with open_geotiff(file, sidecars=True) as raster:
        names = list(raster.descriptions)
        own_scales, own_offsets = np.array(raster.scales), np.array(raster.offsets)
        kind = np.dtype(raster.dtypes[0]).kind
    if kind not in "fiu":
        raise ValueError(f"{file}: expected real numbers, found {raster.dtypes[0]}")
    for what, own, odd in (
        ("scales", own_scales, ~np.isfinite(own_scales) | (own_scales == 0)),
        ("offsets", own_offsets, ~np.isfinite(own_offsets)),
    ):
        if odd.any():
            raise ValueError(
                f"{file}: expected usable {what} of its bands, found {own[odd][0]:g} for band "
                f"{int(odd.argmax()) + 1} (gdal_edit.py -scale 1 -offset 0 removes them)"
            )
    bands, table, unused = _band_table(file, sensor, names, dates)
    wanted = table[table > 0]

    def read(rows: slice, cols: slice) -> np.ma.MaskedArray:
        window = rasterio.windows.Window.from_slices(rows, cols)
        with open_geotiff(file, sidecars=True) as raster:
            stored = raster.read(wanted.tolist(), window=window, masked=True)
        out = np.ma.masked_all((*table.shape, *stored.shape[1:]), stored.dtype)
        out[table > 0] = stored
        return np.ma.masked_array(
            np.moveaxis(out.data, 1, -1), np.moveaxis(np.ma.getmaskarray(out), 1, -1)
        )

    def in_table(values: np.ndarray, absent: float) -> np.ndarray:
        out = np.full(table.shape, absent)
        out[table > 0] = values[wanted - 1]
        return out[:, None, None, :]

    scale, offset = in_table(own_scales, 1.0), in_table(own_offsets, 0.0)
    packed = (scale != 1).any() or (offset != 0).any()
    return Bands(
        sensor,
        str(file),
        tuple(dates),
        bands,
        read,
        integer=kind in "iu" and not packed,
        unused=unused,
        scale=scale if packed else 1.0,
        offset=offset if packed else 0.0,
        date_offsets=offsets,
    )


def _band_table(
    file: pathlib.Path, sensor: Sensor, names: list[str | None], dates: Sequence[Period]
) -> tuple[tuple[str, ...], np.ndarray, tuple[str, ...]]:
    """(bands, int [T, bands] with the raster's band numbers, 0 where it has none, unused names)."""
    if not any(names):
        bands = sensor.bands
        if len(names) != len(dates) * len(bands):
            raise ValueError(
                f"{file}: expected {len(dates) * len(bands)} bands, {len(bands)} for each of "
                f"{len(dates)} rows of dates.csv, or bands with names; found {len(names)}"
            )
        return bands, np.arange(1, len(names) + 1).reshape(len(dates), -1), ()
    known = [name for name in names if name]
    if len(known) < len(names):
        first = next(i for i, name in enumerate(names) if not name)
        raise ValueError(f"{file}: band {first + 1} has no name, though others do")
    keys = _band_keys(file, known, dates)
    columns: dict[tuple[int, str], int] = {}
    unused: dict[str, None] = {}
    for t in range(len(dates)):
        numbers = [i for i, key in enumerate(keys) if key[0] == t]
        own = [keys[i][1] for i in numbers]
        if own:
            found = band_names.name_bands(own, sensor, f"{file} ({dates[t].name})")
            columns |= {(t, band): numbers[i] + 1 for band, i in found.items()}
            unused |= {name: None for name in own if not band_names.band_of(name, sensor)}
    bands = tuple(
        b for b in band_names.known_bands(sensor) if any(band == b for _, band in columns)
    )
    table = np.array([[columns.get((t, b), 0) for b in bands] for t in range(len(dates))])
    return bands, table, tuple(unused)


def _band_keys(
    file: pathlib.Path, names: Sequence[str], dates: Sequence[Period]
) -> list[tuple[int, str]]:
    """(which of the dates, name without a date) of each band of a raster."""
    dated = [match for name in names if (match := _DATED.search(name))]
    if len(dated) < len(names):
        if len(names) % len(dates):
            raise ValueError(
                f"{file}: expected the same number of bands for each of {len(dates)} rows of "
                f"dates.csv, found {len(names)} in all"
            )
        return [(i // (len(names) // len(dates)), name) for i, name in enumerate(names)]
    starts = [p.start.isoformat() for p in dates]
    days = ["-".join(m.group(1, 3, 4)) for m in dated]
    strange = sorted(set(days) - set(starts))
    if strange:
        raise ValueError(f"{file}: found bands of {strange[0]}, expected it in dates.csv too")
    if len(set(starts)) < len(starts):
        raise ValueError(f"{file}: bands are named by date; expected each date once per sensor")
    place = {day: i for i, day in enumerate(starts)}
    rests = [m.string[: m.start()] + m.string[m.end() :] for m in dated]
    return [(place[day], rest.strip("/_ ")) for day, rest in zip(days, rests, strict=True)]
