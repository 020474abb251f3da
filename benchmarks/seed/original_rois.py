"""The original system's regions of interest, reproduced, and what fixing each defect changes.

It clustered the polygons of each crop by their centroids, took each cluster's bounding box, and
made a region of it for every calendar that the box's province has for the crop.
"""

import dataclasses
import datetime as dt
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import geopandas
import numpy as np
import pandas as pd
import shapely
from sklearn.cluster import DBSCAN

from benchmarks.seed.original_table import FILES, compare, write
from cropmap_jax.geo import files
from cropmap_jax.geo.text import plain
from cropmap_jax.ground_truth import crop_calendar, layers, provinces, seasons
from cropmap_jax.ground_truth.audit_log import AuditLog
from cropmap_jax.ground_truth.polygons import project
from cropmap_jax.ground_truth.provinces import place_key
from cropmap_jax.ground_truth.settings import COLUMNS, NONE, UNKNOWN, Settings

DATES = COLUMNS[1:]
ROI_COLUMNS = (
    "crop", "roi", "cluster", "province", "sheet", "season", "planting_end", "harvest_date",
    "fields",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Numbers:
    """What the original system's regions were made with.

    Args:
      crs: of the regions and their pixels.
      cluster_m: centroids no further apart than this are of one cluster, in units of `crs`.
      least_m: least side of a region, in units of `crs`.
    """

    crs: str = "EPSG:3857"
    cluster_m: float = 2000.0
    least_m: float = 640.0


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a calendar sheet that has all four dates.

    Args:
      sheet: its name.
      place: `place_key` of the province; "" without provinces.
      days: start and end of planting, start and end of harvest.
      where: file, sheet and row, for messages.
    """

    sheet: str
    place: str
    days: tuple[seasons.MonthDay, seasons.MonthDay, seasons.MonthDay, seasons.MonthDay]
    where: str


def run(settings: Settings, numbers: Mapping, out: pathlib.Path, log: AuditLog) -> str:
    """Reads field data, writes `rois.geojson` and `seed_table.md`, and returns what to print.

    Args:
      settings: how to read them.
      numbers: see `Numbers`; what is missing has the original system's value.
      out: folder to write.
      log: records what could not be read.

    Returns:
      The tables, and a line for everything that was left out.

    Raises:
      ValueError: an unknown number, nothing usable in the field data, or no region.
    """
    known = [f.name for f in dataclasses.fields(Numbers)]
    for key in sorted(set(numbers) - set(known)):
        raise ValueError(f"config.original: expected keys among {', '.join(known)}, found {key!r}")
    fields = layers.read_layers(settings, log)
    calendars = crop_calendar.read_calendars(settings, log)
    outlines = provinces.read_provinces(settings, log)
    rows = read_rows(settings) if calendars else []
    rois = make_rois(fields, outlines, rows, settings, Numbers(**numbers), log)
    if rois.empty:
        why = f" ({log.problems[-1]})" if log.problems else ""
        raise ValueError(f"{settings.source}: expected polygons of a crop in a province for which "
                         f"its calendar has dates, found none{why}")  # fmt: skip
    reach = settings.provinces.reach_km if settings.provinces else 0.0
    placed = provinces.assign(fields, outlines, reach, AuditLog())
    with files.Lock(out, "--out"):
        files.Written(out, "seed").claim(*FILES)
        text = write(rois, compare(rois, placed, settings, calendars), out)
    return "\n".join(plain(line) for line in (
        *text.split("\n"), *(f"left out: {problem}" for problem in log.problems)
    ))  # fmt: skip


def read_rows(settings: Settings) -> list[Row]:
    """Rows with all four dates, of the workbook's sheets that the layers name.

    Sheets and rows that cannot be read are left out; `crop_calendar.read_calendars` reports them.
    """
    calendar = settings.calendar
    path = pathlib.Path(settings.source) / calendar.file
    wanted = {name for layer in settings.layers.values() for name in layer.sheets}
    found = []
    for sheet, cells in pd.read_excel(path, sheet_name=None, header=None, dtype=object).items():
        cells = cells.astype(object).where(cells.notna(), None).dropna(how="all")
        titles = [_folded(title) for title in cells.iloc[0]] if len(cells) else []
        at = [
            titles.index(t)
            for t in (_folded(calendar.columns[c]) for c in DATES)
            if t and t in titles
        ]
        if sheet.strip() not in wanted or len(at) < len(DATES):
            continue
        place = _folded(calendar.columns["province"]) if settings.provinces else ""
        for number, row in zip(cells.index[1:], cells.values[1:], strict=True):
            where = f"{calendar.file}, sheet {sheet!r}, row {number + 1}"
            try:
                days = tuple(seasons.parse_month_day(row[i], calendar.system, where) for i in at)
            except ValueError:
                continue
            if None not in days:
                key = place_key(row[titles.index(place)]) if place in titles else ""
                found.append(Row(sheet.strip(), key, days, where))
    return found


def _folded(title: object) -> str:
    return " ".join(str(title or "").split()).casefold()


def old_dates(
    days: Sequence[seasons.MonthDay], season: str, system: str, where: str
) -> list[dt.date]:
    """Dates by the original system's rule of years.

    They lie in the first year of the season; where the month decreases, that date and the later
    ones lie in the second. So 02-15, 03-31, 07-15 of "1400-1401" are all in 1400, although that
    season starts on 1400-07-01.

    Args:
      days: start and end of planting, start of harvest.
      season: agricultural year, e.g. "1400-1401".
      system: "gregorian" or "jalali".
      where: for messages.

    Raises:
      ValueError: names `where`: a day that its year does not have.
    """
    year, dates = int(season[:4]), []
    for before, day in zip((days[0], *days), days, strict=False):
        if day.month < before.month:
            year = int(season[:4]) + 1
        dates.append(seasons.to_date(day, year, system, where))
    return dates


def make_rois(
    fields: geopandas.GeoDataFrame,
    outlines: geopandas.GeoDataFrame | None,
    rows: Iterable[Row],
    settings: Settings,
    numbers: Numbers,
    log: AuditLog,
) -> geopandas.GeoDataFrame:
    """The regions of interest of the polygons of each crop and season; points make none.

    Args:
      fields: the table of fields, EPSG:4326.
      outlines: provinces, EPSG:4326, or None: every row holds everywhere.
      rows: of the calendar.
      settings: of the field data.
      numbers: of the original system.
      log: counts clusters and those without a province or calendar, and records days that a
        year does not have.

    Returns:
      A row per cluster and calendar, with the columns ROI_COLUMNS and the box in `numbers.crs`:
      `roi` numbers the regions of a crop from 1, `cluster` its clusters, so that regions of one
      cluster cover the same ground; `fields` is how many features are in the cluster; dates are
      `datetime.date`.
    """
    by_place: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_place.setdefault((row.sheet, row.place), []).append(row)
    sheets = _crop_sheets(settings)
    clusters = make_clusters(fields[fields.crop.isin(list(sheets))], numbers)
    clusters["province"] = find_provinces(clusters.geometry, outlines)
    found, geometry, unusable = [], [], set()
    for own in clusters.itertuples():
        log.counts[f"original: clusters {own.crop}"] += 1
        if outlines is not None and not own.province:
            log.counts[f"original: clusters {own.crop} outside all provinces"] += 1
            continue
        names = own.sheets.split(";") if own.sheets else sheets[own.crop]
        place = place_key(own.province)
        dated = []
        for row in (r for name in names for r in by_place.get((name, place), ())):
            try:
                dates = old_dates(row.days[:3], own.season, settings.calendar.system, row.where)
            except ValueError as error:
                unusable.add(str(error))
                continue
            dated.append((row.sheet, own.season, *dates[1:], own.fields))
        if not dated:
            log.counts[f"original: clusters {own.crop} without a dated calendar"] += 1
        found += [(own.crop, 0, own.cluster, own.province, *row) for row in dated]
        geometry += [own.geometry] * len(dated)
    log.problems += sorted(unusable)
    frame = pd.DataFrame(found, columns=list(ROI_COLUMNS))
    frame["roi"] = frame.groupby("crop").cumcount() + 1
    return geopandas.GeoDataFrame(frame, geometry=geometry, crs=numbers.crs)


def _crop_sheets(settings: Settings) -> dict[str, tuple[str, ...]]:
    """{crop: sheets of its layers}."""
    found: dict[str, dict[str, None]] = {}
    for layer in settings.layers.values():
        if layer.crop not in ("", NONE, UNKNOWN):
            found.setdefault(layer.crop, {}).update(dict.fromkeys(layer.sheets))
    return {crop: tuple(own) for crop, own in found.items()}


def make_clusters(fields: geopandas.GeoDataFrame, numbers: Numbers) -> geopandas.GeoDataFrame:
    """Clusters of the polygons of each crop, season and choice of sheets, by their centroids.

    Parts of a feature count as one again, as in the files.

    Returns:
      `crop`, `season`, `sheets`, `cluster` (from 1 in each crop), `fields` (features) and
      `geometry`: the box around the cluster's polygons, grown about its centre to
      `numbers.least_m`, in `numbers.crs`.
    """
    polygons = _features(fields)
    shapes = project(polygons.geometry.values, fields.crs, numbers.crs)
    centres = shapely.get_coordinates(shapely.centroid(shapes))
    rows, boxes, count = [], [], {}
    keys = ["crop", "season", "sheets"]
    for group, own in polygons.groupby(keys, sort=False).indices.items():
        dbscan = DBSCAN(eps=numbers.cluster_m, min_samples=1)
        labels = dbscan.fit_predict(centres[own])
        bounds = shapely.bounds(shapes[own])
        for label in range(labels.max() + 1):
            corners = bounds[labels == label]
            low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
            half = np.maximum(high - low, numbers.least_m) / 2
            boxes.append(shapely.box(*((low + high) / 2 - half), *((low + high) / 2 + half)))
            number = count[group[0]] = count.get(group[0], 0) + 1
            rows.append((*group, number, len(corners)))
    frame = pd.DataFrame(rows, columns=[*keys, "cluster", "fields"])
    return geopandas.GeoDataFrame(frame, geometry=boxes, crs=numbers.crs)


def _features(fields: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The polygons, the parts of a feature put together."""
    polygons = fields[fields.kind == "polygon"].reset_index(drop=True)
    keys = ["layer", "file", "row"]
    split = polygons.duplicated(keys, keep=False)
    shapes = np.asarray(polygons.geometry.values).copy()
    for own in polygons[split].groupby(keys).groups.values():
        shapes[own[0]] = shapely.union_all(shapes[own])
    return polygons.set_geometry(shapes, crs=fields.crs)[~polygons.duplicated(keys)]


def find_provinces(
    boxes: geopandas.GeoSeries, outlines: geopandas.GeoDataFrame | None
) -> list[str]:
    """Province that holds each box, else the one that shares most with it, else ""."""
    names = [""] * len(boxes)
    if outlines is None or not len(boxes):
        return names
    shapes, regions = (
        np.asarray(boxes.values),
        project(outlines.geometry.values, outlines.crs, boxes.crs),
    )
    shapely.prepare(regions)
    box, region = shapely.STRtree(regions).query(shapes)
    # Prepared provinces show at once what lies inside, which is most.
    area = np.where(shapely.contains(regions[region], shapes[box]), shapely.area(shapes[box]), 0.0)
    rest = np.flatnonzero((area == 0) & shapely.intersects(regions[region], shapes[box]))
    area[rest] = shapely.area(shapely.intersection(regions[region[rest]], shapes[box[rest]]))
    most = np.zeros(len(boxes))
    for b, r, a in zip(box, region, area, strict=True):
        if a > most[b]:
            most[b], names[b] = a, outlines.province.iloc[r]
    return names
