"""Fields in metres of a UTM zone, cut at the tiles of its grid; which zone each is assigned to.

Tiles of two zones never share ground: near the border of two zones, fields whose tiles would
overlap all go to one of them.
"""

from collections.abc import Iterable

import geopandas
import numpy as np
import pandas as pd
import scipy.sparse
import shapely
from scipy.sparse.csgraph import connected_components

from cropmap_jax.geo import antimeridian, grid
from cropmap_jax.geo.tiles import outlines
from cropmap_jax.ground_truth import polygons
from cropmap_jax.ground_truth.audit_log import AuditLog
from cropmap_jax.ground_truth.settings import Settings

KEY = ["epsg", "col", "row"]
"""Columns that name a tile of the grid."""
Key = tuple[int, int, int]
WIDEST_DEG = 2.0
"""Degrees that a field may be wide: more reaches too far from the middle of its UTM zone."""
_DEGREES = "EPSG:4326"
_NEAR_DEG = 1e-7
"""Tiles of two zones that are nearer than this, a centimetre, count as overlapping."""


def footprints(fields: geopandas.GeoDataFrame, zone: np.ndarray, radius_m: float) -> np.ndarray:
    """Fields in metres of their zone, valid; points as discs.

    Args:
      fields: table with columns kind and geometry, in degrees.
      zone: int [n], EPSG code of each field's zone.
      radius_m: of the discs.

    Returns:
      object [n] of polygons.
    """
    shapes, points = fields.geometry.to_numpy(), (fields.kind == "point").to_numpy()
    out = np.empty(len(fields), object)
    for code in np.unique(zone):
        own = zone == code
        flat = polygons.project(shapes[own], _DEGREES, f"EPSG:{code}")
        flat[points[own]] = polygons.disc(flat[points[own]], radius_m)
        # Rounding can make edges that nearly touch cross.
        broken = ~shapely.is_valid(flat)
        flat[broken] = polygons.repair(flat[broken])[0]
        out[own] = flat
    return out


def cut(shapes: polygons.Shapes, zone: np.ndarray) -> pd.DataFrame:
    """Cuts footprints at the edges of tiles.

    Args:
      shapes: n polygons in metres.
      zone: int [n].

    Returns:
      A row per field and tile that share ground: at (position of the field), epsg, col, row, area
      (m2 of the field in the tile); sorted by field, then row and column of the tile.
    """
    whole = np.asarray(shapes, object)
    bounds = shapely.bounds(whole)
    has = np.flatnonzero(np.isfinite(bounds).all(1) & (shapely.area(whole) > 0))
    low = np.floor(bounds[has, :2] / grid.TILE_M).astype(int)
    size = np.maximum(np.ceil(bounds[has, 2:] / grid.TILE_M).astype(int) - low, 1)
    count = size.prod(1)
    at = np.repeat(has, count)
    # Position of a tile among those that its field's rectangle touches.
    turn = np.arange(len(at)) - np.repeat(np.cumsum(count) - count, count)
    wide = np.repeat(size[:, 0], count)
    col = np.repeat(low[:, 0], count) + turn % wide
    row = np.repeat(low[:, 1], count) + turn // wide
    area = shapely.area(whole)[at]
    many = np.repeat(count > 1, count)
    x, y = col[many] * grid.TILE_M, row[many] * grid.TILE_M
    squares = shapely.box(x, y, x + grid.TILE_M, y + grid.TILE_M)
    area[many] = shapely.area(shapely.intersection(whole[at[many]], squares))
    parts = pd.DataFrame({"at": at, "epsg": zone[at], "col": col, "row": row, "area": area})
    return parts[parts.area > 0].reset_index(drop=True)


def is_near(zone: np.ndarray, code: int) -> np.ndarray:
    """Whether zones are the same one or neighbours, in either hemisphere."""
    return np.isin((zone % 100 - code % 100) % 60, (0, 1, 59))


def check(tiles: Iterable[Key]) -> None:
    """Requires tiles in their zones, or not far outside, where UTM is still true.

    Raises:
      ValueError: names the tile.
    """
    tiles = list(tiles)
    shapes = outlines(grid.tile_geobox(*tile) for tile in tiles)
    lon, lat = shapely.get_coordinates(shapely.centroid(shapes)).T
    zone = np.array([epsg for epsg, *_ in tiles], int)
    middle = zone % 100 * 6 - 183
    off = np.abs(antimeridian.wrap(lon - middle)) > 3 + WIDEST_DEG
    # A degree, for fields that cross the equator.
    off |= np.where(zone < 32700, lat < -1, lat > 1)
    for i in np.flatnonzero(off)[:1]:
        raise ValueError(
            f"tile {grid.tile_id(*tiles[i])}: expected ground of UTM zone EPSG:{zone[i]}, found "
            f"{antimeridian.wrap(lon[i]):.3f}, {lat[i]:.3f} degrees: is the coordinate system of "
            f"the fields there the right one?"
        )


def find(shapes: polygons.Shapes) -> np.ndarray:
    """int [n]: UTM zone of a point inside each polygon."""
    lon, lat = shapely.get_coordinates(shapely.point_on_surface(shapes)).T
    lon = antimeridian.wrap(lon)
    return np.array([grid.utm_epsg(*place) for place in zip(lon, lat, strict=True)], int)


def settle(
    fields: geopandas.GeoDataFrame, home: np.ndarray, settings: Settings, log: AuditLog
) -> tuple[np.ndarray, pd.DataFrame]:
    """Moves fields between zones until tiles of two zones share no ground.

    Fields that touch tiles which overlap become one group, for good, and go to the zone in which
    more of the group's area is at home. Every round joins groups, so there is an end to it.

    Returns:
      int [n] the zones, and the parts in tiles, as of `cut`.
    """
    zone, group = home.copy(), np.arange(len(home))
    parts = cut(footprints(fields, zone, settings.point_radius_m), zone)
    area = np.bincount(parts["at"], parts.area, minlength=len(home))
    known: dict[Key, shapely.Polygon] = {}
    while True:
        tiles, tile = number(parts)
        left, right = _overlaps(tiles, known)
        if not len(left):
            break
        touched = np.isin(tile, np.concatenate([left, right]))
        edges = (
            np.concatenate([group[parts["at"][touched]], len(home) + left]),
            np.concatenate([len(home) + tile[touched], len(home) + right]),
        )
        nodes = len(home) + len(tiles)
        graph = scipy.sparse.coo_array((np.ones(len(edges[0]), bool), edges), (nodes, nodes))
        group = connected_components(graph, directed=False)[1][group]
        group = np.unique(group, return_inverse=True)[1]
        votes = pd.DataFrame({"group": group, "zone": home, "area": area})
        votes = votes.groupby(["group", "zone"], as_index=False).area.sum()
        # On a tie the zone of the lower number.
        votes = votes.sort_values(["group", "area", "zone"], ascending=[True, False, True])
        elected = votes.drop_duplicates("group").zone.to_numpy()[group]
        moved = np.flatnonzero(elected != zone)
        zone = elected
        own = fields.iloc[moved]
        again = cut(footprints(own, zone[moved], settings.point_radius_m), zone[moved])
        again["at"] = moved[again["at"]]
        parts = pd.concat([parts[~parts["at"].isin(moved)], again], ignore_index=True)
    mixed = pd.Series(home).groupby(group).nunique() > 1
    if mixed.any():
        log.counts["places where tiles of two UTM zones would overlap"] += int(mixed.sum())
        log.counts["fields moved to the neighbouring UTM zone"] += int((zone != home).sum())
    return zone, parts


def number(parts: pd.DataFrame) -> tuple[list[Key], np.ndarray]:
    """Keys of the tiles of `cut`, and the position among them of each row's tile."""
    keys, tile = np.unique(parts[KEY].to_numpy(), axis=0, return_inverse=True)
    return [(epsg, col, row) for epsg, col, row in keys.tolist()], tile.ravel()


def _overlaps(tiles: list[Key], known: dict[Key, shapely.Polygon]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of tiles of different zones that share ground, each once, as two arrays of positions.

    Args:
      tiles: keys.
      known: {key: polygon in degrees}, filled as needed.
    """
    zone = np.array([epsg for epsg, _, _ in tiles], int)
    if len(np.unique(zone)) < 2:
        return np.zeros(0, int), np.zeros(0, int)
    new = [key for key in tiles if key not in known]
    known.update(zip(new, outlines((grid.tile_geobox(*k) for k in new), steps=8), strict=True))
    shapes = np.array([known[key] for key in tiles], object)
    at = np.arange(len(tiles))
    # West of the antimeridian is east of it.
    wrapped = np.flatnonzero(shapely.bounds(shapes)[:, 0] < -179)
    shapes = np.concatenate([shapes, shapely.transform(shapes[wrapped], lambda xy: xy + [360, 0])])
    at = np.concatenate([at, wrapped])
    pairs = []
    for code in np.unique(zone):
        # Within a zone tiles only touch; looking at the later zones finds each pair once.
        own, others = np.flatnonzero(zone[at] == code), np.flatnonzero(zone[at] > code)
        tree = shapely.STRtree(shapes[others])
        i, j = tree.query(shapes[own], predicate="dwithin", distance=_NEAR_DEG)
        pairs.append(np.stack([at[own[i]], at[others[j]]]))
    left, right = np.unique(np.concatenate(pairs, 1), axis=1)
    return left, right
