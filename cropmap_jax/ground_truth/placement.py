"""Assigns every field to a zone, tiles, a block and one split.

A field is rasterised in one UTM zone (`zones`). A block, and with it every tile and pixel in it,
has one split, whatever the season.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import geopandas
import numpy as np
import pandas as pd
import shapely

from cropmap_jax.geo import balance_splits, grid, splits
from cropmap_jax.ground_truth import zones
from cropmap_jax.ground_truth.audit_log import NOT_FINITE, TOO_LARGE, AuditLog
from cropmap_jax.ground_truth.names import UNKNOWN
from cropmap_jax.ground_truth.settings import Settings


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
    zone = zones.find(fields.geometry.values)
    labelled = fields.iloc[known]
    zone[known], parts = zones.settle(labelled, zone[known], settings, log)
    tiles = parts[zones.KEY].drop_duplicates()
    if len(tiles) > settings.max_tiles:
        raise ValueError(f"{settings.source}: expected fields in at most {settings.max_tiles:,d} "
                         f"tiles (config.max_tiles), found {len(tiles):,d}")  # fmt: skip
    zones.check(tiles.itertuples(index=False, name=None))
    parts["at"] = known[parts["at"]]
    parts["block"] = _blocks(parts)
    assigned = _assign_blocks(parts, fields, settings)
    parts["split"] = parts.block.map(assigned)
    parts["season"] = fields.season.to_numpy()[parts["at"]]
    kept = parts.drop_duplicates(["season", *zones.KEY])
    parts = pd.concat([parts, _unknown_parts(fields, zone, kept, settings)], ignore_index=True)
    home = _homes(parts)
    out = fields.assign(epsg=zone, tile="", block="", split="")
    names = [grid.tile_id(*key) for key in home[zones.KEY].itertuples(index=False)]
    for name, values in (("tile", names), ("block", home.block), ("split", home.split)):
        out.iloc[home["at"], out.columns.get_loc(name)] = np.asarray(values, object)
    out.iloc[home["at"], out.columns.get_loc("epsg")] = home.epsg.to_numpy()
    places = {
        season: [Place(*row) for row in own[[*zones.KEY, "block", "split"]].itertuples(index=False)]
        for season, own in kept.sort_values(["season", *zones.KEY]).groupby("season")
    }
    return out, places


def _on_grid(fields: geopandas.GeoDataFrame, log: AuditLog) -> geopandas.GeoDataFrame:
    """Leaves out fields where the UTM grid has no zones, and those too wide for one zone."""
    west, south, east, north = shapely.bounds(fields.geometry.values).T
    off = (south < -80) | (north > 84)
    wide = ~off & (east - west > zones.WIDEST_DEG)
    for i in np.flatnonzero(off | wide):
        row = fields.iloc[i]
        detail = f"latitude {south[i]:.4f} to {north[i]:.4f}, expected -80 to 84"
        if wide[i]:
            detail = f"{east[i] - west[i]:.1f} degrees wide, expected at most {zones.WIDEST_DEG:g}"
        log.drop(row.layer, row.file, row.row, TOO_LARGE if wide[i] else NOT_FINITE, detail)
    return fields[~(off | wide)].reset_index(drop=True)


def _blocks(parts: pd.DataFrame) -> pd.Series:
    tiles, tile = zones.number(parts)
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
    found = balance_splits.balance_blocks(amounts, settings.fractions, settings.seed)
    return dict(zip(sums[0].index, found, strict=True))


def _unknown_parts(
    fields: geopandas.GeoDataFrame, zone: np.ndarray, kept: pd.DataFrame, settings: Settings
) -> pd.DataFrame:
    """Parts, like those of known fields, of fields of unknown crop in tiles that others keep."""
    unknown = np.flatnonzero(fields.crop == UNKNOWN)
    found = []
    # Others may have put the ground of a field into the next zone.
    for code in np.unique(kept.epsg) if len(unknown) else ():
        near = unknown[zones.is_near(zone[unknown], code)]
        there = np.full(len(near), code)
        own = zones.cut(zones.footprints(fields.iloc[near], there, settings.point_radius_m), there)
        own["at"] = near[own["at"]]
        own["season"] = fields.season.to_numpy()[own["at"]]
        keys = ["season", *zones.KEY]
        found.append(own.merge(kept[[*keys, "block", "split"]], on=keys))
    return pd.concat(found) if found else kept.iloc[:0]


def _homes(parts: pd.DataFrame) -> pd.DataFrame:
    """The part that is the home of each field."""
    order = parts.split.map(splits.SPLITS.index)
    totals = parts.groupby(["at", "split"]).area.transform("sum")
    in_block = parts.groupby(["at", "block"]).area.transform("sum")
    table = parts.assign(order=order, totals=totals, in_block=in_block)
    by = ["at", "totals", "order", "in_block", "block", "area", "row", "col"]
    up = [True, False, True, False, True, False, True, True]
    return table.sort_values(by, ascending=up).drop_duplicates("at")
