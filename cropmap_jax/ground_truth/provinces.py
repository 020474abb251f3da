"""Provinces: the polygons that calendars speak of, and which of them a field lies in."""

import pathlib
import re
import tempfile

import geopandas
import numpy as np
import pyproj
import shapely

from cropmap_jax.geo import antimeridian
from cropmap_jax.ground_truth import coordinates, finding, polygons, vectors
from cropmap_jax.ground_truth.audit_log import OUTSIDE, AuditLog
from cropmap_jax.ground_truth.names import normalise
from cropmap_jax.ground_truth.settings import Provinces, Settings

_WGS84 = pyproj.Geod(ellps="WGS84")


def place_key(name: object) -> str:
    """What two spellings of a place have in common: no case, and "_", "-" and spaces alike."""
    return re.sub(r"[\s_-]+", " ", normalise(name)).strip().casefold()


def read_provinces(settings: Settings, log: AuditLog) -> geopandas.GeoDataFrame | None:
    """Outlines of the provinces, in EPSG:4326.

    Args:
      settings: of the field data.
      log: takes files that are left out.

    Returns:
      A row per province: `province` (str) and `geometry` (Polygon or MultiPolygon, valid, 2-D);
      several features of one name are one province. None without provinces, or if no file of them
      can be read.
    """
    if settings.provinces is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        files = _list_files(settings, settings.provinces, pathlib.Path(scratch), log)
        return _read_all(settings, settings.provinces, files, log)


def _read_all(
    settings: Settings, own: Provinces, files: list[vectors.File], log: AuditLog
) -> geopandas.GeoDataFrame | None:
    if not files:
        log.problems.append(
            f"config.provinces.files: expected files that match {own.files!r} below "
            f"{settings.source}, found none"
        )
    names: dict[str, str] = {}
    parts: dict[str, list[shapely.Geometry]] = {}
    for file in files:
        try:
            features = vectors.read(file, vectors.inspect(file))
        except ValueError as error:
            log.problems.append(str(error))
            continue
        outlines = antimeridian.cut(polygons.repair(_areas(features))[0])
        for row, (name, shape) in enumerate(zip(_names(features), outlines, strict=True)):
            if name and not shape.is_empty:
                names.setdefault(place_key(name), name)
                parts.setdefault(place_key(name), []).append(shape)
                continue
            found = f"expected a name in {own.column!r}, found none"
            if name:
                found = f"expected a polygon, found {features.strays.get(row, 'none')}"
            log.problems.append(f"{file.name}, feature {row}: {found}")
    if not parts:
        return None
    shapes = [shapely.union_all(of) if len(of) > 1 else of[0] for of in parts.values()]
    table = {"province": list(names.values())}
    return geopandas.GeoDataFrame(table, geometry=shapes, crs=coordinates.WORLD)


def known_places(settings: Settings) -> dict[str, str] | None:
    """{place_key: name} of the provinces; None without any.

    What is wrong with their files is for `read_provinces` to report.
    """
    found = read_provinces(settings, AuditLog())
    return None if found is None else {place_key(name): name for name in found.province}


def assign(
    fields: geopandas.GeoDataFrame,
    provinces: geopandas.GeoDataFrame | None,
    reach_km: float,
    log: AuditLog,
) -> geopandas.GeoDataFrame:
    """Which province each field lies in.

    It is the one that holds the field's representative point, which lies inside the field; else the
    one that shares most ground with it; else the nearest one, on the ground, up to `reach_km`.
    Fields further off are dropped: their coordinates are wrong.

    Args:
      fields: the table of fields and points, EPSG:4326.
      provinces: of `read_provinces`; None: all fields lie in one place without a name.
      reach_km: kilometres.
      log: takes the fields outside.

    Returns:
      The fields that stay, with the column `province` (str).
    """
    fields = fields.reset_index(drop=True)
    if provinces is None:
        return fields.assign(province="")
    shapes = antimeridian.cut(fields.geometry.values)  # as the outlines are
    outlines = np.asarray(provinces.geometry.values)
    home = _containing(shapes, outlines)
    stray = np.flatnonzero(home < 0)
    home[stray] = _sharing_most(shapes[stray], outlines)
    stray = stray[home[stray] < 0]
    home[stray], km = _nearest(shapes[stray], outlines)
    names = provinces.province.to_numpy()[home]
    far = stray[km > reach_km]
    for i, distance in zip(far, km[km > reach_km], strict=True):
        row = fields.iloc[i]
        log.drop(row.layer, row.file, row.row, OUTSIDE, f"{distance:.1f} km from {names[i]}")
    if len(far) < len(stray):
        log.counts["fields just outside all provinces"] += len(stray) - len(far)
    return fields.assign(province=names).drop(index=far).reset_index(drop=True)


def _containing(shapes: np.ndarray, outlines: np.ndarray) -> np.ndarray:
    """Index of the first outline that holds the representative point of each shape, or -1."""
    home = np.full(len(shapes), -1)
    # The tree holds the points, since the query prepares what it is given: the outlines, which have
    # thousands of vertices.
    tree = shapely.STRtree(shapely.point_on_surface(shapes))
    outline, shape = tree.query(outlines, predicate="contains")
    home[shape[::-1]] = outline[::-1]  # the last one written is the first one found
    return home


def _sharing_most(shapes: np.ndarray, outlines: np.ndarray) -> np.ndarray:
    """Index of the outline that shares the largest area with each shape, or -1."""
    home = np.full(len(shapes), -1)
    shape, outline = shapely.STRtree(outlines).query(shapes, predicate="intersects")
    shared = shapely.area(shapely.intersection(shapes[shape], outlines[outline]))
    order = np.lexsort((-outline, shared))
    home[shape[order]] = outline[order]  # of a shape, the last one written stays
    return home


def _nearest(shapes: np.ndarray, outlines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the outline nearest to each shape outside, and how many kilometres lie between."""
    home, km = np.zeros(len(shapes), int), np.zeros(len(shapes))
    bands = np.round(shapely.get_y(shapely.centroid(shapes)))
    for band in np.unique(bands):
        own = np.flatnonzero(bands == band)
        # A degree of longitude is shorter than one of latitude; in this plane both are as long.
        scale = np.array([max(np.cos(np.radians(band)), 0.01), 1.0])
        near = shapely.transform(shapes[own], lambda xy, scale=scale: xy * scale)
        edges, outline = _edges(outlines, scale)
        # Looked up edge by edge: the distance to a whole province takes all of its vertices.
        shape, edge = shapely.STRtree(edges).query_nearest(near)
        order = np.argsort(-outline[edge], kind="stable")
        best = np.zeros(len(own), int)
        best[shape[order]] = edge[order]  # of equals, the edge of the first province stays
        home[own] = outline[best]
        lines = shapely.get_coordinates(shapely.shortest_line(near, edges[best]))
        km[own] = _WGS84.inv(*(lines / scale).reshape(-1, 4).T)[2] / 1000
    return home, km


def _edges(outlines: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every edge of the outlines as a line, coordinates times `scale`, and whose edge it is."""
    rings, owner = shapely.get_parts(shapely.boundary(outlines), return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    whole = ring[1:] == ring[:-1]
    pairs = np.stack([xy[:-1][whole], xy[1:][whole]], 1)
    return shapely.linestrings(pairs * scale), owner[ring[1:][whole]]


def _list_files(
    settings: Settings, own: Provinces, scratch: pathlib.Path, log: AuditLog
) -> list[vectors.File]:
    """The files that the glob matches, less those that lie next to a .shp as parts of it."""
    source = pathlib.Path(settings.source)
    try:
        matching = finding.find(source, own.files, scratch, log.problems.append)
    except (ValueError, NotImplementedError):  # a path from the root, for instance
        return []
    columns = {"config.provinces.column": own.column}
    return [
        vectors.File(*one, "config.provinces", columns, own.crs, own.encoding)
        for one in matching
        if one.path.suffix.lower() == ".shp" or not one.path.with_suffix(".shp").is_file()
    ]


def _names(features: vectors.Features) -> list[str]:
    (column,) = features.values.values()
    return [normalise(name) for name in column]


def _areas(features: vectors.Features) -> np.ndarray:
    """The polygons; what is none, or lies nowhere on Earth, is missing."""
    shapes = features.geometry.copy()
    shapes[shapely.get_dimensions(shapes) != 2] = None
    shapes[list(features.strays)] = None
    return shapes
