"""What is wrong with the original system's regions, counted, next to what the fixes make of it."""

import collections
import json
import pathlib
from collections.abc import Iterable, Sequence

import geopandas
import numpy as np
import shapely

from cropmap_jax.geo import files
from cropmap_jax.geo.text import markdown_cell
from cropmap_jax.ground_truth import seasons
from cropmap_jax.ground_truth.crop_calendar import Calendars
from cropmap_jax.ground_truth.polygons import ground_area_ha, project
from cropmap_jax.ground_truth.settings import NONE, UNKNOWN, Settings

PIXEL_M = 10.0
"""Side of a pixel in the units of the regions' CRS."""
WORLD = "EPSG:4326"
FILES = ("rois.geojson", "seed_table.md")
Finding = tuple[str, str, str]
"""What is wrong, how much of it the original system has here, and what the fix makes of it."""


def compare(
    rois: geopandas.GeoDataFrame,
    fields: geopandas.GeoDataFrame,
    settings: Settings,
    calendars: Calendars,
) -> list[Finding]:
    """Counts the defects of the original ground truth on field data.

    Args:
      rois: of `original_rois.make_rois`, at least one.
      fields: the table of fields and points, with `province`.
      settings: of the field data.
      calendars: of their workbook.
    """
    polygons = fields[(fields.kind == "polygon") & ~fields.crop.isin([NONE, UNKNOWN])]
    regions = f"of {len(rois):,d} regions"
    clusters = rois.drop_duplicates(["crop", "cluster"])
    repeated = rois.fields.sum() / clusters.fields.sum()
    torn = conflicting(rois)[clusters.index]
    several = count_candidates(polygons, calendars) > 1
    area, ground = shapely.area(rois.geometry.values), ground_m2(rois)
    side = PIXEL_M * np.sqrt(ground / area)
    known = np.average(annotated(rois, polygons), weights=area)
    foreign = count_foreign(rois, polygons)
    alone, all_of = shared(clusters), shared(rois)
    return [
        (
            "a region per crop, cluster and calendar",
            f"{len(rois):,d} regions of {len(clusters):,d} clusters; a field lies in "
            f"{repeated:.2f} regions of its own crop",
            f"each of {len(polygons):,d} fields counts once, in tiles that all crops share",
        ),
        (
            "a field has the dates of every calendar of its crop",
            f"{torn.sum():,d} of {len(clusters):,d} clusters have conflicting harvest dates"
            f"{_by_crop(clusters.crop[torn])}, in {conflicting(rois).sum():,d} {regions}",
            f"{several.sum():,d} of {len(polygons):,d} fields keep several candidate seasons, "
            "with one label",
        ),
        _years(rois, settings, calendars),
        (
            "what is not annotated counts as negative",
            f"{known:.1%} of the regions' pixels are annotated as their crop; the other "
            f"{1 - known:.1%} are taken for negative",
            "they are unknown: in no loss and no score",
        ),
        (
            "negatives that are fields of another crop",
            f"{(foreign > 0).sum():,d} {regions} hold ground of another crop's fields"
            f"{_by_crop(rois.crop[foreign > 0])}",
            "every field in a tile has its own class",
        ),
        (
            "pixels of the map projection",
            f"a side of {side.min():.1f} to {side.max():.1f} m on the ground; "
            f"{area.sum() / ground.sum():.2f} times the pixels of a true {PIXEL_M:.0f} m grid",
            f"{PIXEL_M:.1f} m, UTM",
        ),
        (
            "ground that lies in more than one region",
            f"{all_of:.1%} of the pixels; {alone:.1%} where each cluster counts once",
            "none: tiles of a season do not overlap",
        ),
        _points(fields, settings),
    ]  # fmt: skip


def conflicting(rois: geopandas.GeoDataFrame) -> np.ndarray:
    """bool [N]: whether a region of the same crop and cluster has another harvest date."""
    return (rois.groupby(["crop", "cluster"]).harvest_date.transform("nunique") > 1).to_numpy()


def count_candidates(polygons: geopandas.GeoDataFrame, calendars: Calendars) -> np.ndarray:
    """int [N]: candidate seasons of each field, by the fixed rule."""
    counts = np.zeros(len(polygons), int)
    groups = polygons.groupby(["crop", "province", "season", "sheets"]).indices
    for (crop, province, season, sheets), own in groups.items():
        counts[own] = len(calendars.candidates(crop, province, season, sheets.split(";")))
    return counts


def annotated(rois: geopandas.GeoDataFrame, polygons: geopandas.GeoDataFrame) -> np.ndarray:
    """float [N]: share of each region that polygons of its crop and season cover."""
    boxes, shapes, roi, field = _meet(rois, polygons)
    same = _same(rois, polygons, roi, field)
    roi, field = roi[same], field[same]
    covered = np.zeros(len(boxes))
    pieces = shapely.intersection(boxes[roi], shapes[field])
    for i in np.unique(roi):
        covered[i] = shapely.union_all(pieces[roi == i]).area
    return covered / shapely.area(boxes)


def count_foreign(rois: geopandas.GeoDataFrame, polygons: geopandas.GeoDataFrame) -> np.ndarray:
    """int [N]: polygons of other crops of the same season that reach into each region."""
    boxes, _, roi, field = _meet(rois, polygons)
    other = ~_same(rois, polygons, roi, field)
    season = rois.season.to_numpy()[roi] == polygons.season.to_numpy()[field]
    return np.bincount(roi[other & season], minlength=len(boxes))


def _meet(rois: geopandas.GeoDataFrame, polygons: geopandas.GeoDataFrame) -> tuple:
    """Boxes, polygons in their CRS, and the pairs (box, polygon) that share ground."""
    boxes = np.asarray(rois.geometry.values)
    shapes = project(polygons.geometry.values, polygons.crs, rois.crs)
    return boxes, shapes, *shapely.STRtree(shapes).query(boxes, predicate="intersects")


def _same(rois, polygons, roi: np.ndarray, field: np.ndarray) -> np.ndarray:
    """bool [pairs]: whether region and field are of one crop and season."""
    pairs = (
        rois[key].to_numpy()[roi] == polygons[key].to_numpy()[field] for key in ("crop", "season")
    )
    return np.logical_and(*pairs)


def ground_m2(rois: geopandas.GeoDataFrame) -> np.ndarray:
    """float [N]: square metres of each region on the ellipsoid."""
    return ground_area_ha(project(rois.geometry.values, rois.crs, WORLD)) * 1e4


def shared(rois: geopandas.GeoDataFrame) -> float:
    """Share of the regions' area that lies in another region too, each region counted in full."""
    boxes = np.asarray(rois.geometry.values)
    i, j = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    i, j = i[i != j], j[i != j]
    common = np.zeros(len(boxes))
    pieces = shapely.intersection(boxes[i], boxes[j])
    for own in np.unique(i):
        common[own] = shapely.union_all(pieces[i == own]).area
    return float(common.sum() / shapely.area(boxes).sum())


def _years(rois: geopandas.GeoDataFrame, settings: Settings, calendars: Calendars) -> Finding:
    """How many regions have dates of the wrong year."""
    calendar = settings.calendar
    first = {
        season: seasons.parse_year(
            season, calendar.system, calendar.year_start, "config.layers"
        ).first
        for season in rois.season.unique()
    }
    start = rois.season.map(first)
    early, sown = rois.harvest_date < start, rois.planting_end < start
    keys = zip(rois.crop, rois.province, rois.season, rois.sheet, strict=True)
    dates = [{s.harvest_start for s in calendars.candidates(*k[:3], k[3:])} for k in keys]
    other = np.array([d not in new for d, new in zip(rois.harvest_date, dates, strict=True)])
    still = sum(min(new, default=day) < day for new, day in zip(dates, start, strict=True))
    return (
        "calendars within one year are put in the first year",
        f"{early.sum():,d} of {len(rois):,d} regions are harvested before the season's first day, "
        f"{', '.join(str(d) for d in first.values())}{_by_crop(rois.crop[early])}; {sown.sum():,d} "
        f"are planted before it{_by_crop(rois.crop[sown])}",
        f"{other.sum():,d} of the regions get another harvest date; {still:,d} are harvested "
        "before the first day",
    )


def _points(fields: geopandas.GeoDataFrame, settings: Settings) -> Finding:
    """How many points are not used."""
    points = fields[fields.kind == "point"]
    named = points.layer.map(lambda key: not settings.layers[key].crop).astype(bool)
    states = collections.Counter(c if c in (NONE, UNKNOWN) else "a class" for c in points.crop)
    new = ", ".join(f"{n:,d} {state}" for state, n in states.most_common())
    return (
        "points are not used",
        f"{len(points):,d} distinct points: {(~named).sum():,d} of the crops, {named.sum():,d} of "
        "others",
        f"all are small discs: {new}" if new else "there are none",
    )


def _by_crop(crops: Iterable[str]) -> str:
    counts = collections.Counter(crops)
    return f" ({', '.join(f'{crop} {n:,d}' for crop, n in counts.items())})" if counts else ""


def write(rois: geopandas.GeoDataFrame, table: Sequence[Finding], out: pathlib.Path) -> str:
    """Writes `rois.geojson` (WGS 84) and `seed_table.md`, each whole or not at all.

    Args:
      rois: of `original_rois.make_rois`.
      table: of `compare`.
      out: folder, made if there is none.

    Returns:
      The text of seed_table.md.
    """
    out.mkdir(parents=True, exist_ok=True)
    dates = {key: rois[key].map(str) for key in ("planting_end", "harvest_date")}
    world = rois.assign(**dates).set_geometry(
        project(rois.geometry.values, rois.crs, WORLD), crs=WORLD
    )
    text = render(rois, table)
    for name, content in zip(FILES, (_geojson(world), text), strict=True):
        files.write_bytes(out / name, content.encode())
    return text


def _geojson(world: geopandas.GeoDataFrame) -> str:
    return json.dumps(world.to_geo_dict(drop_id=True, show_bbox=True), ensure_ascii=False)


def render(rois: geopandas.GeoDataFrame, table: Sequence[Finding]) -> str:
    """Both tables in Markdown."""
    rows, clusters = [], rois.drop_duplicates(["crop", "cluster"])
    torn = rois.index[conflicting(rois)]
    for crop, own in [*rois.groupby("crop", sort=False), ("all", rois)]:
        places = clusters.loc[clusters.index.isin(own.index)]
        counts = (places.fields.sum(), len(places), places.index.isin(torn).sum(), len(own))
        sheets = own.sheet.value_counts(sort=False).items() if crop != "all" else ()
        rows.append(
            (crop, *(f"{n:,d}" for n in counts), ", ".join(f"{s} {n:,d}" for s, n in sheets))
        )
    title = ("crop", "polygons", "clusters", "of conflicting dates", "regions", "by calendar")
    return "\n".join([
        "Regions of the original system. Clusters whose province has no dates have none.",
        "",
        *_table(title, "lrrrrl", rows),
        "",
        *_table(("defect", "the original system here", "fixed"), "lll", table),
        "",
    ])  # fmt: skip


def _table(title: Sequence[str], sides: str, rows: Iterable[Sequence[str]]) -> list[str]:
    rules = ["---:" if side == "r" else "---" for side in sides]
    cells = [title, rules, *([markdown_cell(cell, 1000) for cell in row] for row in rows)]
    return [f"| {' | '.join(row)} |" for row in cells]
