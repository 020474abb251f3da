"""Which zone, tiles, block and split every field goes to.

A field is rasterised in one UTM zone, and tiles of two zones never share ground: near the border
of two zones, fields whose tiles would overlap all go to one of them. A block, and with it every
tile and pixel in it, has one split, whatever the season.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import geopandas
import numpy as np
import pandas as pd
import scipy.sparse
import shapely
from scipy.sparse.csgraph import connected_components

from cropmap_jax.geo import antimeridian, balance, grid, splits
from cropmap_jax.geo.tiles import outlines
from cropmap_jax.ground_truth import polygons
from cropmap_jax.ground_truth.audit_log import NOT_FINITE, TOO_LARGE, AuditLog
from cropmap_jax.ground_truth.names import UNKNOWN
from cropmap_jax.ground_truth.settings import Settings

_DEGREES = "EPSG:4326"
_NEAR_DEG = 1e-7
"""Tiles of two zones that are nearer than this, a centimetre, count as overlapping."""
_WIDEST_DEG = 2.0
"""Degrees that a field may be wide: more reaches too far from the middle of its UTM zone."""
_KEY = ["epsg", "col", "row"]
_Key = tuple[int, int, int]


class Place(NamedTuple):
    """A tile of the grid, and where it belongs."""

    epsg: int
    col: int
    row: int
    block: str
    split: str


def tile_fields(
    fields: geopandas.GeoDataFrame, settings: Settings, log: AuditLog
) -> tuple[geopandas.GeoDataFrame, dict[str, list[Place]]]:
    """Gives every field its zone, tile, block and split.

    A field that lies in several splits belongs to the one that holds most of its area, and there
    to the block and the tile that hold most of it. Fields of crop "unknown" keep no tile: they have
    a tile where others keep it in their season, else "".

    Args:
      fields: the table of fields, with columns layer, file, row, season, crop, kind, geometry.
      settings: radius of points, fractions and seed of the splits, how many tiles at most.
      log: takes the fields that lie where the UTM grid has no zones, and counts.

    Returns:
      The table with columns epsg (int), tile (without season), block, split, less the dropped; and
      {season: tiles that hold annotated ground, sorted}.

    Raises:
      ValueError: a season that no file can be named by, or more tiles than `settings` allow.
    """
    for season in fields.season.unique():
        # Tiles and their files are named by it.
        if not re.fullmatch(r"[\w.-]+", season):
            raise ValueError(
                f"config.layers: expected seasons of letters, digits, '-', '_' and '.', like "
                f"'2021-2022', found {season!r}"
            )
    fields = _on_grid(fields, log)
    known = np.flatnonzero(fields.crop != UNKNOWN)
    zone = _zones(fields.geometry.values)
    labelled = fields.iloc[known]
    zone[known], parts = _settle(labelled, zone[known], settings, log)
    tiles = parts[_KEY].drop_duplicates()
    if len(tiles) > settings.max_tiles:
        raise ValueError(f"{settings.source}: expected fields in at most {settings.max_tiles:,d} "
                         f"tiles (config.max_tiles), found {len(tiles):,d}")  # fmt: skip
    _check_zones(tiles.itertuples(index=False, name=None))
    parts["at"] = known[parts["at"]]
    parts["block"] = _blocks(parts)
    assigned = _assign_blocks(parts, fields, settings)
    parts["split"] = parts.block.map(assigned)
    parts["season"] = fields.season.to_numpy()[parts["at"]]
    kept = parts.drop_duplicates(["season", *_KEY])
    parts = pd.concat([parts, _unknown_parts(fields, zone, kept, settings)], ignore_index=True)
    home = _homes(parts)
    out = fields.assign(epsg=zone, tile="", block="", split="")
    names = [grid.tile_id(*key) for key in home[_KEY].itertuples(index=False)]
    for name, values in (("tile", names), ("block", home.block), ("split", home.split)):
        out.iloc[home["at"], out.columns.get_loc(name)] = np.asarray(values, object)
    out.iloc[home["at"], out.columns.get_loc("epsg")] = home.epsg.to_numpy()
    places = {
        season: [Place(*row) for row in own[[*_KEY, "block", "split"]].itertuples(index=False)]
        for season, own in kept.sort_values(["season", *_KEY]).groupby("season")
    }
    return out, places


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


def _on_grid(fields: geopandas.GeoDataFrame, log: AuditLog) -> geopandas.GeoDataFrame:
    """Leaves out fields where the UTM grid has no zones, and those too wide for one zone."""
    west, south, east, north = shapely.bounds(fields.geometry.values).T
    off = (south < -80) | (north > 84)
    wide = ~off & (east - west > _WIDEST_DEG)
    for i in np.flatnonzero(off | wide):
        row = fields.iloc[i]
        detail = f"latitude {south[i]:.4f} to {north[i]:.4f}, expected -80 to 84"
        if wide[i]:
            detail = f"{east[i] - west[i]:.1f} degrees wide, expected at most {_WIDEST_DEG:g}"
        log.drop(row.layer, row.file, row.row, TOO_LARGE if wide[i] else NOT_FINITE, detail)
    return fields[~(off | wide)].reset_index(drop=True)


def _check_zones(tiles: Iterable[_Key]) -> None:
    """Requires tiles in their zones, or not far outside, where UTM is still true.

    Raises:
      ValueError: names the tile.
    """
    tiles = list(tiles)
    shapes = outlines(grid.tile_geobox(*tile) for tile in tiles)
    lon, lat = shapely.get_coordinates(shapely.centroid(shapes)).T
    zone = np.array([epsg for epsg, *_ in tiles], int)
    middle = zone % 100 * 6 - 183
    off = np.abs(antimeridian.wrap(lon - middle)) > 3 + _WIDEST_DEG
    # A degree, for fields that cross the equator.
    off |= np.where(zone < 32700, lat < -1, lat > 1)
    for i in np.flatnonzero(off)[:1]:
        raise ValueError(
            f"tile {grid.tile_id(*tiles[i])}: expected ground of UTM zone EPSG:{zone[i]}, found "
            f"{antimeridian.wrap(lon[i]):.3f}, {lat[i]:.3f} degrees: is the coordinate system of "
            f"the fields there the right one?"
        )


def _zones(shapes: polygons.Shapes) -> np.ndarray:
    """int [n]: UTM zone of a point inside each polygon."""
    lon, lat = shapely.get_coordinates(shapely.point_on_surface(shapes)).T
    lon = antimeridian.wrap(lon)
    return np.array([grid.utm_epsg(*place) for place in zip(lon, lat, strict=True)], int)


def _settle(
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
    known: dict[_Key, shapely.Polygon] = {}
    while True:
        tiles, tile = _number(parts)
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


def _number(parts: pd.DataFrame) -> tuple[list[_Key], np.ndarray]:
    """Keys of the tiles of `cut`, and the position among them of each row's tile."""
    keys, tile = np.unique(parts[_KEY].to_numpy(), axis=0, return_inverse=True)
    return [(epsg, col, row) for epsg, col, row in keys.tolist()], tile.ravel()


def _overlaps(
    tiles: list[_Key], known: dict[_Key, shapely.Polygon]
) -> tuple[np.ndarray, np.ndarray]:
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


def _blocks(parts: pd.DataFrame) -> pd.Series:
    tiles, tile = _number(parts)
    names = np.array([grid.block_id(grid.tile_geobox(*key)) for key in tiles], object)
    return pd.Series(names[tile], parts.index)


def _assign_blocks(
    parts: pd.DataFrame, fields: geopandas.GeoDataFrame, settings: Settings
) -> Mapping[str, str]:
    """{block: split}, one for all seasons.

    Balanced are, at once: the area of every crop; the fields of every crop in every season, or else
    the largest fields would decide, and the points of a season nothing; and the number of blocks.
    """
    share = parts.area / parts.groupby("at").area.transform("sum")
    own = fields[["season", "crop"]].iloc[parts["at"]].reset_index(drop=True)
    table = parts[["block", "area"]].assign(share=share, season=own.season, crop=own.crop)
    kinds = (("area", ["crop"]), ("share", ["season", "crop"]))
    sums = [table.pivot_table(v, "block", k, aggfunc="sum", fill_value=0.0) for v, k in kinds]
    amounts = np.hstack([*sums, np.ones((len(sums[0]), 1))])
    found = balance.balance_blocks(amounts, settings.fractions, settings.seed)
    return dict(zip(sums[0].index, found, strict=True))


def _unknown_parts(
    fields: geopandas.GeoDataFrame, zone: np.ndarray, kept: pd.DataFrame, settings: Settings
) -> pd.DataFrame:
    """Parts, like those of known fields, of fields of unknown crop in tiles that others keep."""
    unknown = np.flatnonzero(fields.crop == UNKNOWN)
    found = []
    # Others may have put the ground of a field into the next zone.
    for code in np.unique(kept.epsg) if len(unknown) else ():
        near = unknown[_is_near(zone[unknown], code)]
        there = np.full(len(near), code)
        own = cut(footprints(fields.iloc[near], there, settings.point_radius_m), there)
        own["at"] = near[own["at"]]
        own["season"] = fields.season.to_numpy()[own["at"]]
        found.append(own.merge(kept[["season", *_KEY, "block", "split"]], on=["season", *_KEY]))
    return pd.concat(found) if found else kept.iloc[:0]


def _is_near(zone: np.ndarray, code: int) -> np.ndarray:
    """Whether zones are the same one or neighbours, in either hemisphere."""
    return np.isin((zone % 100 - code % 100) % 60, (0, 1, 59))


def _homes(parts: pd.DataFrame) -> pd.DataFrame:
    """The part that is the home of each field."""
    order = parts.split.map(splits.SPLITS.index)
    totals = parts.groupby(["at", "split"]).area.transform("sum")
    in_block = parts.groupby(["at", "block"]).area.transform("sum")
    table = parts.assign(order=order, totals=totals, in_block=in_block)
    by = ["at", "totals", "order", "in_block", "block", "area", "row", "col"]
    up = [True, False, True, False, True, False, True, True]
    return table.sort_values(by, ascending=up).drop_duplicates("at")
