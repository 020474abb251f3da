"""Since when the class that a series of maps shows last has held, per pixel and per parcel.

The answer is the earliest date of the series from which on every map shows the same class as the
last one. What holds since the first date may have held before it. Ground that some map has no data
of is no class there, so that nothing holds across it.
"""

import dataclasses
import datetime as dt
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from cropmap_jax.geo import cube, files, geotiffs, periods
from cropmap_jax.geo.legend import IGNORE, Legend
from cropmap_jax.mapping import map_rasters, metadata, mosaics

RASTER, RECORD = "since.tif", "since.json"
NODATA = 0
KIND = mosaics.Kind("UInt16", NODATA, "days since 1970-01-01")
"""Of the raster: the as-of date; 0 where the last map has no data."""
_FORMAT = 1


def since(maps: Sequence[np.ndarray], dates: Sequence[dt.date]) -> np.ndarray:
    """The date from which on the last class has held.

    Args:
      maps: of each date, oldest first, uint8 [H, W]: class, NONE_OF_THESE or IGNORE.
      dates: their as-of dates, ascending.

    Returns:
      uint16 [H, W], days since 1970-01-01; NODATA where the last map has no data.

    Example:
      Wheat, maize, wheat, wheat as of four dates: wheat has held since the third.
    """
    last = maps[-1]
    out = np.full(last.shape, NODATA, np.uint16)
    holds = last != IGNORE
    for image, date in zip(reversed(maps), reversed(dates), strict=True):
        holds = holds & (image == last)
        out[holds] = periods.to_day(date)
    return out


@dataclasses.dataclass(frozen=True)
class CubeSince:
    """What was found in a cube.

    Args:
      pixels: {ISO date: {name of a value of the last map: pixels that have it since then}}.
      pixel_m: side of a pixel in metres.
    """

    pixels: dict[str, dict[str, int]]
    pixel_m: float


def make_cube(
    out: pathlib.Path,
    info: cube.CubeInfo,
    folders: Sequence[pathlib.Path],
    dates: Sequence[dt.date],
    classes: Legend,
) -> CubeSince:
    """Writes `<out>/<cube_id>/` with `since.tif`, unless it is there and of the same maps.

    Args:
      out: folder of all cubes.
      info: the cube, for its grid.
      folders: of its map, as of each date.
      dates: as-of dates, ascending.
      classes: the legend.

    Raises:
      ValueError: names a map that is damaged.
      OSError: names what cannot be written.
    """
    inputs = _inputs(folders)
    known = _known(out / info.cube_id, inputs)
    if known is not None:
        return known
    maps = [_read(folder / metadata.CROP, info.shape) for folder in folders]
    days = since(maps, dates)
    found = CubeSince(_count(maps[-1], days, dates, classes), float(info.geobox.affine.a))
    data = map_rasters.encode(
        days,
        info,
        description(classes, dates[-1].isoformat()),
        "mode",
        tags={f"DATE_{periods.to_day(date)}": date.isoformat() for date in dates},
        nodata=NODATA,
        unit=KIND.unit,
    )
    record = {"format": _FORMAT, "inputs": inputs, **dataclasses.asdict(found)}
    with files.replacing(out / info.cube_id) as part:
        part.mkdir()
        files.write_synced(part / RASTER, data)
        files.write_synced(part / RECORD, json.dumps(record, indent=1).encode() + b"\n")
    return found


def description(classes: Legend, as_of: str) -> str:
    """Band description of the raster."""
    crop = map_rasters.crop_name(classes, as_of)
    return f"as-of date from which on the class has held ({crop}), {KIND.unit}"


def _inputs(folders: Sequence[pathlib.Path]) -> str:
    """Hash of all that decides what is found: maps of one description are the same."""
    digest = hashlib.sha256()
    for folder in folders:
        digest.update(hashlib.sha256((folder / metadata.METADATA).read_bytes()).digest())
    return digest.hexdigest()[:32]


def _known(folder: pathlib.Path, inputs: str) -> CubeSince | None:
    try:
        found: Any = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if found["format"] != _FORMAT or found["inputs"] != inputs:
            return None
        known = CubeSince(found["pixels"], found["pixel_m"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return known if (folder / RASTER).is_file() else None


def _read(path: pathlib.Path, shape: tuple[int, int]) -> np.ndarray:
    with geotiffs.open_geotiff(path) as raster:
        image: np.ndarray = raster.read(1)
    if image.shape != shape or image.dtype != np.uint8:
        raise ValueError(
            f"{path}: expected uint8 {list(shape)}, found {image.dtype} {list(image.shape)}; "
            f"remove that folder, and run the same command again"
        )
    return image


def _count(
    last: np.ndarray, days: np.ndarray, dates: Sequence[dt.date], classes: Legend
) -> dict[str, dict[str, int]]:
    names = metadata.values(classes)
    out = {}
    for date in dates:
        counts = np.bincount(last[days == periods.to_day(date)], minlength=256)
        out[date.isoformat()] = {names[v]: int(counts[v]) for v in names if counts[v]}
    return out


# Parcels ------------------------------------------------------------------------------------------


def of_parcels(columns: Sequence[Sequence[Any]], dates: Sequence[dt.date]) -> dict[str, np.ndarray]:
    """The same of parcels.

    Args:
      columns: classes of N parcels as of each date, oldest first; None or NaN where there is none.
      dates: as-of dates, ascending.

    Returns:
      since: ISO dates, None where there is no class; before: the class that was shown before that
      date, None where there was none; changes: int, how often the class is another one than as of
      the date before.
    """
    # NaN, as tables have it where nothing is, differs from itself.
    found = [np.array([v if v == v else None for v in own], object) for own in columns]
    last = found[-1]
    count = len(last)
    out, before = np.full(count, None, object), np.full(count, None, object)
    holds = np.array([value is not None for value in last], bool)
    was = holds.copy()
    for own, date in zip(reversed(found), reversed(dates), strict=True):
        holds = was & (own == last)
        out[holds] = date.isoformat()
        ends = was & ~holds
        before[ends] = own[ends]
        was = holds
    changes = np.zeros(count, int)
    for a, b in zip(found, found[1:], strict=False):
        changes += a != b
    return {"since": out, "before": before, "changes": changes}
