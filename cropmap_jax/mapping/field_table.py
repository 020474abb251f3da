"""The parcels of a map with what was found: one class each, how sure, and on how many pixels."""

import contextlib
import errno
import pathlib
import shutil
import sqlite3
from collections.abc import Iterable, Iterator

import geopandas
import numpy as np
import pyogrio

from cropmap_jax.geo import files
from cropmap_jax.geo.legend import Legend
from cropmap_jax.mapping import decision, field_votes, metadata
from cropmap_jax.mapping.decision import Rule
from cropmap_jax.mapping.field_votes import Tallies
from cropmap_jax.mapping.parcels import Parcels

_NONE = "none_of_these"
OUTSIDE, NO_SHAPE, NARROW = "outside the map", "no polygon", "narrow: one pixel, within it"
UNSEEN, MASKED = "no image", "masked"
"""What the remark says of a parcel."""


def judge(
    found: Tallies, possible: np.ndarray, classes: Legend, rule: Rule
) -> dict[str, np.ndarray]:
    """The class of each parcel by the mean of its pixels' probabilities, and the runner-up.

    Args:
      found: sums, see `field_votes.merge`.
      possible: bool [N, classes].
      classes: the legend.
      rule: of the network, as for pixels.

    Returns:
      Columns crop, confidence, second, second_confidence: names as objects, None where no pixel
      counted, and float64, NaN there.
    """
    count = found.pixels
    mean = found.sums / (field_votes.UNIT * np.maximum(count, 1)[:, None])
    names = np.array([*classes.names, _NONE], object)
    none, rows = len(classes), np.arange(len(count))
    best, shown, value = decision.choose(mean, possible, rule)
    crop = np.where(shown, best, none)
    # Of classes that do not exclude each other, none of these has no probability of its own.
    others = np.where(np.column_stack([possible, np.full(len(count), rule.has_none)]), mean, -1.0)
    others[rows, crop] = -1.0
    second = others.argmax(1)
    there = count > 0
    runner_up = there & (others[rows, second] >= 0)
    return {
        "crop": _where(there, names[crop]),
        "confidence": np.where(there, np.round(value, 4), np.nan),
        "second": _where(runner_up, names[second]),
        "second_confidence": np.where(runner_up, np.round(others[rows, second], 4), np.nan),
    }


def _where(there: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Objects, None where there is none."""
    out = values.copy()
    out[~there] = None
    return out


def table(
    parcels: Parcels,
    found: Tallies,
    judged: dict[str, np.ndarray],
    narrow: np.ndarray,
    pixel_m: float,
) -> geopandas.GeoDataFrame:
    """The parcels as they were given, and a column for each thing that was found.

    Args:
      parcels: the parcels.
      found: sums of their pixels.
      judged: see `judge`.
      narrow: bool [N], those without a pixel centre inside.
      pixel_m: side of a pixel in metres.
    """
    share = np.divide(
        found.unseen, found.inside, out=np.full(len(narrow), np.nan), where=found.inside > 0
    )
    columns = {
        **judged,
        "pixels": found.pixels,
        "hectares": np.round(parcels.hectares, 4),
        "mapped_hectares": np.round(found.pixels * pixel_m**2 / 1e4, 4),
        "unseen": np.round(share, 4),
        "remark": remarks(parcels, found, narrow),
    }
    frame = parcels.frame.copy()
    taken = {str(name).lower() for name in frame.columns}
    for name, values in columns.items():
        frame[free_name(f"map_{name}", taken)] = values
    return frame


def free_name(name: str, taken: set[str]) -> str:
    """A name that no column has, whatever its capitals: name, name_2, name_3, ..."""
    number, found = 1, name
    while found.lower() in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found.lower())
    return found


def remarks(parcels: Parcels, found: Tallies, narrow: np.ndarray) -> np.ndarray:
    """Why a parcel has no class, or one of a single pixel; None of all others. Objects [N]."""
    out = np.full(len(parcels), None, object)
    out[narrow] = NARROW
    empty = found.pixels == 0
    out[empty & (found.masked > 0)] = MASKED
    out[empty & (found.unseen > 0)] = UNSEEN
    out[found.inside == 0] = OUTSIDE
    out[(found.inside == 0) & (parcels.hectares == 0)] = NO_SHAPE
    return out


def notes(found: Tallies, remarked: np.ndarray) -> list[str]:
    """What nobody would see in the table, a line each.

    Args:
      found: sums.
      remarked: from `remarks`.
    """
    every = len(remarked)
    cases = [
        (int((remarked == OUTSIDE).sum()), "lie outside of the map: no class"),
        (int((remarked == NO_SHAPE).sum()), "are no polygons: no class"),
        (int((remarked == UNSEEN).sum()), "were seen on no image: no class"),
        (int((remarked == MASKED).sum()), "are left out by the mask: no class"),
        (
            int((remarked == NARROW).sum()),
            "hold no pixel centre: the pixel at a point within decides",
        ),
        (int((found.shared > 0).sum()), "overlap: each counts the pixels that they share"),
    ]
    return [f"--fields: {count} of {every} parcels {what}" for count, what in cases if count]


def write(path: pathlib.Path, frame: geopandas.GeoDataFrame, as_of: str) -> None:
    """Writes parcels, in the format that the file's ending says: the same bytes for the same table.

    Args:
      path: .gpkg, .parquet, .geoparquet or .fgb.
      frame: the parcels.
      as_of: exclusive ISO date of the prediction, which stands in for the time of writing.

    Raises:
      OSError: names the file; one that was there stays.
    """
    try:
        with files.replacing(path, alone=True) as part:
            if path.suffix in (".parquet", ".geoparquet"):
                frame.to_parquet(part, index=False)
            else:
                driver = {".gpkg": "GPKG", ".fgb": "FlatGeobuf"}[path.suffix]
                with _dated(as_of):
                    frame.to_file(
                        part, layer=path.stem, driver=driver, engine="pyogrio", index=False
                    )
            if path.suffix == ".gpkg":
                _check_whole(part, path.stem, len(frame))
    except (RuntimeError, sqlite3.Error) as error:
        full = shutil.disk_usage(path.parent).free < _FULL
        reason = OSError(errno.ENOSPC if full else errno.EIO, str(error)[:200])
        raise files.not_written(path, reason) from error


_FULL = 2**20
"""Bytes: with less left than this, it is the disk that is full when GDAL cannot write."""


@contextlib.contextmanager
def _dated(as_of: str) -> Iterator[None]:
    """Lets a GeoPackage carry this date: that of writing would make each file another one."""
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": f"{as_of}T00:00:00.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _check_whole(path: pathlib.Path, layer: str, rows: int) -> None:
    """Requires a GeoPackage that holds all rows: GDAL may fail without a word."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        (found,) = database.execute(f'SELECT count(*) FROM "{layer}"').fetchone()
    if found != rows:
        raise RuntimeError(f"expected {rows} rows, found {found}")


def make(
    path: pathlib.Path,
    parcels: Parcels,
    folders: Iterable[tuple[pathlib.Path, np.ndarray]],
    classes: Legend,
    rule: Rule,
) -> list[str]:
    """Writes the parcels of a map that is whole, and returns the notes on them.

    Args:
      path: file to write.
      parcels: the parcels.
      folders: of each cube's map, and bool [classes], which can be there.
      classes: the legend.
      rule: of the network.

    Raises:
      ValueError: names a file of sums or metadata that cannot be read.
      OSError: names the file that cannot be written.
    """
    folders = list(folders)
    described = metadata.read_metadata(folders[0][0])
    found, possible, narrow = field_votes.merge(folders, len(parcels), len(classes))
    judged = judge(found, possible, classes, rule)
    frame = table(parcels, found, judged, narrow, described["pixel_m"])
    write(path, frame, described["settings"]["as_of"])
    return notes(found, remarks(parcels, found, narrow))
