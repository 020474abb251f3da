"""What is to be exported: tiles of the grid with their periods, of regions or with labels.

Everything that decides which cubes there will be is checked here, before any request is sent.
"""

import collections
import dataclasses
import datetime as dt
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import balance_splits, calendars, cube, grid, splits, tiles
from cropmap_jax.geo.legend import EUCROPMAP, Legend
from cropmap_jax.geo.periods import Period, from_day
from cropmap_jax.sources.regions import Region, check_apart, tiles_inside
from cropmap_jax.sources.timing import (
    Archive,
    Timing,
    check_dates,
    harvest_periods,
    months_between,
)

FRACTIONS = {"train": 0.85, "test": 0.15}
"""Of regions without a split of their own: others are for validation."""


@dataclasses.dataclass(frozen=True)
class Target:
    """One cube to be exported: all of it but the pixels.

    Args:
      cube_id: "<season>_<grid.tile_id>".
      geobox: a tile of 128 x 128 pixels, UTM.
      periods: contiguous, oldest first.
      season: agricultural year, e.g. "2017-2018".
      block: unit of the spatial split.
      split: "train", "validation" or "test".
      province: place whose calendar this is; of a region, its country.
      harvest: candidate seasons per crop.
      legend: of the label.
      label_file: labels on this grid (uint8); None where they come from a map or there are none.
      fields_file: field ids on this grid (uint32); None where there are none.
    """

    cube_id: str
    geobox: GeoBox
    periods: tuple[Period, ...]
    season: str
    block: str
    split: str
    province: str
    harvest: calendars.Calendar
    legend: Legend
    label_file: pathlib.Path | None = None
    fields_file: pathlib.Path | None = None

    def cube_info(self, **made: Any) -> cube.CubeInfo:
        """The cube's description.

        Args:
          **made: the arguments of `CubeInfo` that are about its pixels: "source", "sensors", ...
        """
        return cube.CubeInfo(
            cube_id=self.cube_id,
            geobox=self.geobox,
            periods=tuple(self.periods),
            legend=self.legend,
            block=self.block,
            split=self.split,
            season=self.season,
            harvest=self.harvest,
            province=self.province,
            **made,
        )


def targets_of_regions(
    regions: Sequence[Region],
    timing: Timing,
    archive: Archive,
    map_year: int | None = None,
    fractions: Mapping[str, float] = FRACTIONS,
    seed: int = 0,
    today: dt.date | None = None,
) -> list[Target]:
    """The tiles that lie wholly inside regions, each in the periods of its own region's harvest.

    Blocks of regions without a split are dealt out region by region, so that each split gets its
    share of every region and a region added at the end changes no split of the others.

    Args:
      regions: in any order; regions of one season may touch, not overlap.
      timing: which periods.
      archive: where the pixels come from.
      map_year: year of the map of crops that labels come from, in which harvests must then lie.
      fractions: {split: share of the blocks} where a region has no split.
      seed: another seed deals blocks out in another way.
      today: day after which nothing has been observed; the present one, UTC, if None.

    Returns:
      Targets region by region, from the south-west. Legend EUCROPMAP, no label file.

    Raises:
      ValueError: regions that overlap, that hold no whole tile, or that share a block while their
        splits differ; a harvest in another year than the map; periods that nothing was observed in.
    """
    splits.assign_split("", fractions)
    check_apart(regions)
    _check_year(regions, map_year)
    boxes = {region.name: tiles_inside(region) for region in regions}
    homes = _deal_blocks(regions, boxes, fractions, seed)
    out = []
    for region in regions:
        spans = timing.periods_of(region.harvest)
        check_dates(spans, archive, f"region {region.name}", today)
        for geobox, name in boxes[region.name]:
            block = grid.block_id(geobox)
            out.append(Target(
                cube_id=f"{region.season}_{name}",
                geobox=geobox,
                periods=spans,
                season=region.season,
                block=block,
                split=region.split or homes[block],
                province=region.country,
                harvest={calendars.ANY_CROP: (calendars.Season(region.harvest),)},
                legend=EUCROPMAP,
            ))  # fmt: skip
    splits.check_blocks([(t.cube_id, t.block, t.split) for t in out])
    return out


def _check_year(regions: Sequence[Region], map_year: int | None) -> None:
    for region in regions:
        if map_year is not None and region.harvest.year != map_year:
            raise ValueError(
                f"region {region.name}: expected a harvest in {map_year}, the year of the map, "
                f"found {region.harvest}"
            )


def _deal_blocks(
    regions: Sequence[Region],
    boxes: Mapping[str, Sequence[tuple[GeoBox, str]]],
    fractions: Mapping[str, float],
    seed: int,
) -> dict[str, str]:
    """{block: split}: blocks of regions that have a split, then the others' region by region."""
    homes: dict[str, str] = {}
    for region in sorted(regions, key=lambda r: not r.split):
        counts = collections.Counter(grid.block_id(geobox) for geobox, _ in boxes[region.name])
        left = sorted(block for block in counts if block not in homes)
        if region.split:
            homes |= dict.fromkeys(left, region.split)
        elif left:
            amounts = np.array([[counts[block]] for block in left], float)
            dealt = balance_splits.balance_blocks(amounts, fractions, seed)
            homes |= dict(zip(left, dealt, strict=True))
    return homes


def targets_of_tiles(
    path: str | os.PathLike[str],
    timing: Timing,
    archive: Archive,
    crop: str = "",
    today: dt.date | None = None,
) -> list[Target]:
    """The labelled tiles of `experiments.prepare`, each in the months of its season.

    With anchor "harvest" a cube has one harvest date. That of a tile is the earliest candidate of
    the crops labelled in it, where they agree; crops of several dates are an error, as whichever
    were chosen, the others would be shown at dates at which nobody predicts them. `crop` chooses
    one crop for all tiles: one export per crop, which is what the original system did.

    Args:
      path: tiles.geojson, next to the folders of labels and fields.
      timing: which periods.
      archive: where the pixels come from.
      crop: with anchor "harvest", the crop whose harvest all periods are anchored to.
      today: day after which nothing has been observed; the present one, UTC, if None.

    Returns:
      Targets in the order of the file.

    Raises:
      ValueError: names the file and the tile: a file of labels that is missing, a grid that is no
        tile, no months, no or several harvest dates; periods that nothing was observed in.
    """
    path = pathlib.Path(path)
    found, legend, about = tiles.read_tiles(path)
    if not found:
        raise ValueError(f"{path}: expected tiles, found none")
    if crop:
        legend.index(crop)
    if crop and timing.anchor != "harvest":
        raise ValueError(f"crop: expected anchor 'harvest' with it, found {timing.anchor!r}")
    spans = _tile_periods(found, timing, crop, about, path)
    for season, own in {(t.season, span): span for t, span in zip(found, spans, strict=True)}:
        check_dates(own, archive, f"{path}: season {season}", today)
    out = []
    for tile, own in zip(found, spans, strict=True):
        label, fields = (path.parent / name for name in (tile.label, tile.fields))
        _check_tile(tile, (label, fields), f"{path}: tile {tile.tile_id}")
        out.append(Target(
            cube_id=tile.tile_id,
            geobox=tile.geobox,
            periods=own,
            season=tile.season,
            block=tile.block,
            split=tile.split,
            province=tile.province,
            harvest=tile.harvest,
            legend=legend,
            label_file=label,
            fields_file=fields,
        ))  # fmt: skip
    return out


def _check_tile(tile: tiles.Tile, files: Iterable[pathlib.Path], where: str) -> None:
    crs = tile.geobox.crs
    if tuple(tile.geobox.shape) != (grid.TILE_PX,) * 2 or not (crs and crs.to_epsg()):
        raise ValueError(
            f"{where}: expected a tile of {grid.TILE_PX} x {grid.TILE_PX} pixels in UTM, found "
            f"{tuple(tile.geobox.shape)} in {crs}"
        )
    for file in files:
        if not file.is_file():
            raise ValueError(f"{where}: expected {file}, found no file")


def _tile_periods(
    found: Sequence[tiles.Tile],
    timing: Timing,
    crop: str,
    about: Mapping[str, Any],
    path: pathlib.Path,
) -> list[tuple[Period, ...]]:
    """Periods of each tile."""
    if timing.anchor == "harvest":
        days = _tile_harvests(found, crop, path)
        return [harvest_periods(from_day(day), timing.num_periods) for day in days]
    if timing.months:
        return [timing.fixed()] * len(found)
    months = about.get("months", {})
    spans = {}
    for season in {tile.season for tile in found}:
        if season not in months:
            raise ValueError(
                f"{path}: expected months of season {season}, found none, as none of its crops "
                f"has a harvest date; give the first and the last month yourself"
            )
        spans[season] = months_between(months[season], f"{path}: months of season {season}")
    return [spans[tile.season] for tile in found]


def _tile_harvests(found: Sequence[tiles.Tile], crop: str, path: pathlib.Path) -> list[int]:
    """Harvest start of each tile, days since 1970-01-01."""
    crops = sorted({name for t in found for name in t.crops if name != tiles.NONE})
    crops = [crop] if crop else crops
    # As the loader finds them: where a province has no date, the median of those that have.
    table = calendars.harvest_table(
        [t.harvest for t in found], [t.province for t in found], [t.season for t in found], crops
    )
    days, wrong = [], []
    for tile, row in zip(found, table, strict=True):
        named = {name: int(day) for name, day in zip(crops, row, strict=True) if day}
        own = {name: day for name, day in named.items() if crop or name in tile.crops}
        if len(set(own.values())) != 1:
            wrong.append((tile.tile_id, own))
        days.append(min(own.values(), default=0))
    if wrong:
        first, own = wrong[0]
        dates = ", ".join(f"{name} {calendars.describe(day)}" for name, day in own.items())
        raise ValueError(
            f"{path}: anchor 'harvest': expected one harvest date per tile, found several or none "
            f"in {len(wrong)} of {len(found)} tiles, e.g. {dates or 'none'} in {first}; choose one "
            f"crop, or anchor 'months'"
        )
    return days
