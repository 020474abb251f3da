"""The whole way from field data to labelled tiles."""

import collections
import contextlib
import dataclasses
import datetime as dt
import errno
import glob
import os
import pathlib
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import geopandas
import numpy as np
import shapely

from cropmap_jax.geo import antimeridian, files, grid
from cropmap_jax.geo import calendars as calendars_lib
from cropmap_jax.geo.text import plain
from cropmap_jax.geo.tiles import Tile, write_tiles
from cropmap_jax.ground_truth import (
    crop_calendar,
    labels,
    layers,
    maps,
    placement,
    provinces,
    report,
    reviews,
)
from cropmap_jax.ground_truth.audit_log import AuditLog
from cropmap_jax.ground_truth.names import UNKNOWN
from cropmap_jax.ground_truth.settings import Settings


@dataclasses.dataclass(frozen=True)
class FieldData:
    """The field data, as read.

    Args:
      fields: the table of fields and points, each in its province.
      provinces: polygons of provinces, or None.
      calendars: of the workbook, or None.
    """

    fields: geopandas.GeoDataFrame
    provinces: geopandas.GeoDataFrame | None
    calendars: crop_calendar.Calendars | None


def read(settings: Settings, log: AuditLog) -> FieldData:
    """Reads and checks field data; nothing is written.

    Raises:
      ValueError: nothing could be read, or there was a problem and the settings are strict.
    """
    fields = reviews.apply(layers.read_layers(settings, log), settings, log)
    calendars = crop_calendar.read_calendars(settings, log)
    outlines = provinces.read_provinces(settings, log)
    reach = settings.provinces.reach_km if settings.provinces else 0.0
    fields = provinces.assign(fields, outlines, reach, log)
    crop_calendar.note_undated(fields, calendars, log)
    if settings.strict and log.problems:
        raise ValueError(f"config.strict: {len(log.problems)} problems: {log.problems[0]}")
    if fields.empty:
        raise ValueError(f"{settings.source}: expected fields or points, found none that is usable")
    return FieldData(fields, outlines, calendars)


def prepare(
    settings: Settings,
    out: pathlib.Path,
    log: AuditLog,
    progress: Callable[..., Iterable[Any]] = lambda iterable, **_: iterable,
) -> dict[str, Any]:
    """Reads field data, writes their tiles, labels, fields, report and maps, and returns a summary.

    Args:
      settings: how to prepare it.
      out: folder to write; what an earlier run wrote there is replaced.
      log: empty.
      progress: wraps an iterable, called with `total` and `unit`.

    Raises:
      ValueError: nothing usable, see `read`; or a folder that is not this command's to write.
      OSError: no space or no permission; names the file.
    """
    check_folders(settings, out)
    data = read(settings, log)
    fields, places = placement.tile_fields(data.fields, settings, log)
    if not any(places.values()):
        raise ValueError(
            f"{settings.source}: expected a field of a known class, found none among "
            f"{len(data.fields):,d}{_why(log)}"
        )
    with files.Lock(out, "--out"):
        files.tidy(out)
        written = files.Written(out, "prepare")
        written.claim(*_PICTURES, *_FILES)
        # An old list next to new rasters would pass for whole, should this run be interrupted.
        written.remove("tiles.geojson")
        written.remove(report.DROPS)
        fields, tiles = labels.label_tiles(fields, places, settings, out, log, progress, written)
        if not tiles:
            raise ValueError(
                f"{settings.source}: expected a field that labels a pixel, found none among "
                f"{len(fields):,d}{_why(log)}"
            )
        return _write(data, fields, tiles, settings, out, log)


_PICTURES = ("map_crops.png", "map_detail.png", "map_splits.png")
_FILES = ("fields.gpkg", "report.json", "report.md", report.DROPS, "tiles.geojson")


def _write(
    data: FieldData,
    fields: geopandas.GeoDataFrame,
    tiles: list[Tile],
    settings: Settings,
    out: pathlib.Path,
    log: AuditLog,
) -> dict[str, Any]:
    """Writes what describes the labels, and returns the summary."""
    tiles = add_calendars(tiles, fields, data.calendars)
    spans = month_spans(tiles, settings)
    legend = settings.classes_of
    write_fields(fields, out / "fields.gpkg")
    summary = report.summarise(fields, tiles, settings, log, spans)
    maps.by_crop(fields, tiles, data.provinces, legend, out / "map_crops.png")
    maps.by_split(fields, tiles, data.provinces, legend, out / "map_splits.png")
    maps.detail(fields, tiles, out, legend, out / "map_detail.png")
    report.write(summary, log, out, _PICTURES)
    # Last: a folder with tiles.geojson is whole.
    about = {"months": spans, "seed": settings.seed, "lead_days": list(settings.lead_days)}
    write_tiles(tiles, out / "tiles.geojson", legend, about)
    return summary


def _why(log: AuditLog) -> str:
    """What was dropped, and which names are not listed, as the end of a message."""
    dropped = collections.Counter(drop.reason for drop in log.drops)
    parts = [f"{count:,d} {reason}" for reason, count in dropped.most_common(3)]
    parts += [note[:200] for note in log.notes if "not listed" in note][:1]
    return f"; {'; '.join(parts)}" if parts else ""


def check_folders(settings: Settings, out: pathlib.Path) -> None:
    """Requires folders of this machine, and no file that is read inside of the one to write.

    Raises:
      ValueError: names the flag or the key of the config, and the path.
    """
    source = files.local("config.source", settings.source)
    files.local("--out", out)
    globs = {f"config.layers.{key}.files": layer.files for key, layer in settings.layers.items()}
    if settings.reviews:
        files.check_apart({"--out": out}, {"config.reviews": reviews.path_of(settings)})
    if settings.provinces:
        globs["config.provinces.files"] = settings.provinces.files
    if settings.calendar and settings.calendar.file:
        globs["config.calendar.file"] = glob.escape(settings.calendar.file)
    for key, pattern in globs.items():
        # A path from the root is no pattern below the folder: reported where it is read.
        found = []
        with contextlib.suppress(ValueError, NotImplementedError):
            found = list(source.glob(pattern))
        for path in found:
            files.check_apart({"--out": out}, {key: path})


def add_calendars(
    tiles: list[Tile],
    fields: geopandas.GeoDataFrame,
    calendars: crop_calendar.Calendars | None,
) -> list[Tile]:
    """Tiles with their province, that of most of the annotated ground, and its candidate seasons.

    Where an attribute decided the season of all fields of a crop in a tile, only their seasons are
    candidates there.
    """
    known = fields[fields.crop != UNKNOWN]
    tree = shapely.STRtree(known.geometry.representative_point().values)
    groups = known.groupby(["season", "tile"]).indices
    # Plain arrays: thousands of tiles each look at a few rows.
    columns = {name: known[name].to_numpy() for name in ("crop", "sheets", "province", "area_ha")}
    out = []
    for tile in tiles:
        rows = groups.get((tile.season, tile.tile_id.removeprefix(f"{tile.season}_")))
        if rows is None:
            # Only a part of a field whose larger part lies in another tile.
            centre = shapely.Point(grid.to_lonlat(tile.geobox))
            rows = [int(tree.nearest(centre))]
        own = {name: values[rows] for name, values in columns.items()}
        province = largest_share(own["province"], own["area_ha"])
        harvest: calendars_lib.Calendar = {}
        if calendars is not None:
            chosen = chosen_sheets(own["crop"], own["sheets"])
            harvest = calendars.calendar(province, tile.season, chosen)
        out.append(dataclasses.replace(tile, province=province, harvest=harvest))
    return out


def largest_share(names: np.ndarray, weights: np.ndarray) -> str:
    """The name with the largest sum of weights; where weights are 0 (points), the most frequent."""
    total: dict[str, float] = collections.defaultdict(float)
    for name, weight in zip(names, weights, strict=True):
        total[name] += float(weight) + 1e-3
    return min(total, key=lambda name: (-total[name], name))


def chosen_sheets(crops: Iterable[str], sheets: Iterable[str]) -> dict[str, set[str]]:
    """{crop: sheets} of the crops all of whose fields have sheets chosen by an attribute.

    Args:
      crops: of fields.
      sheets: of the same fields, ";" between several, "" for none chosen.
    """
    chosen: dict[str, set[str]] = collections.defaultdict(set)
    open_: set[str] = set()
    for crop, own in zip(crops, sheets, strict=True):
        if own:
            chosen[crop] |= set(own.split(";"))
        else:
            open_.add(crop)
    return {crop: own for crop, own in chosen.items() if crop not in open_}


def month_spans(tiles: list[Tile], settings: Settings) -> dict[str, tuple[str, str]]:
    """{season: (first, last) month to export, as ISO dates of first and last day}.

    From the first month of the window that ends the largest lead before the earliest candidate
    harvest, to the last that has ended the smallest lead before the latest.
    """
    dates: dict[str, list[dt.date]] = collections.defaultdict(list)
    for tile in tiles:
        for seasons in tile.harvest.values():
            dates[tile.season] += [s.harvest_start for s in seasons]
    least, most = settings.lead_days
    spans = {}
    for season, found in sorted(dates.items()):
        first, last = (
            np.datetime64(day - dt.timedelta(days=lead), "M")
            for day, lead in ((min(found), most), (max(found), least))
        )
        # The month in which the as-of date lies has not ended by then.
        first, end = first - settings.num_periods, last
        spans[season] = str(first.astype("M8[D]")), str(end.astype("M8[D]") - 1)
    return spans


def write_fields(fields: geopandas.GeoDataFrame, path: pathlib.Path) -> None:
    """Writes every field and point, as two layers of a GeoPackage, cut at 180 degrees.

    Raises:
      OSError: no space or no permission; the file that was there stays.
    """
    fields = fields.set_geometry(antimeridian.cut(fields.geometry.values), crs=fields.crs)
    kinds = {"fields": "polygon", "points": "point"}
    tables = {layer: fields[fields.kind == kind] for layer, kind in kinds.items()}
    tables = {layer: own for layer, own in tables.items() if len(own)}
    try:
        with files.replacing(path, alone=True) as part:
            for layer, own in tables.items():
                own.to_file(part, layer=layer, driver="GPKG", engine="pyogrio")
            _check_whole(part, {layer: len(own) for layer, own in tables.items()})
    except (RuntimeError, sqlite3.Error) as error:
        full = shutil.disk_usage(path.parent).free < _FULL
        code = errno.ENOSPC if full else errno.EIO
        reason = OSError(code, os.strerror(code) if full else plain(error, 200))
        raise files.not_written(path, reason) from error


_FULL = 2**20
"""Bytes: with less left than this, it is the disk that is full when GDAL cannot write."""


def _check_whole(path: pathlib.Path, rows: dict[str, int]) -> None:
    """Requires a GeoPackage that holds what was written into it: GDAL may fail without a word.

    Raises:
      RuntimeError, sqlite3.Error: it does not.
    """
    with contextlib.closing(sqlite3.connect(path)) as database:
        (state,) = database.execute("PRAGMA quick_check").fetchone()
        found = {
            name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in rows
        }
    if state != "ok" or found != rows:
        raise RuntimeError(f"expected {rows} rows, found {found}, {state}")
