"""Regions of the Earth as boxes of longitude and latitude, and the tiles inside them."""

import collections
import dataclasses
import datetime as dt
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyproj
import shapely
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import grid, splits
from cropmap_jax.geo.periods import parse_date

WIDEST_M = 500_000.0
"""A region lies in one UTM zone, which stretches distances more and more away from its middle."""
_LATITUDES = (-80.0, 84.0)
HARVESTS = range(2014, 2101)
"""Years since the first Sentinel: a mistyped year is found before months are counted from it."""


@dataclasses.dataclass(frozen=True)
class Region:
    """A box of longitude and latitude, to be filled with tiles.

    Args:
      name: for messages.
      box: (west, south, east, north) in degrees.
      country: becomes the province of its cubes.
      harvest: day on which harvest starts, for every crop.
      split: "train", "validation" or "test"; "" to deal its blocks out.

    Raises:
      ValueError: a box that is empty, crosses the antimeridian, is wider or higher than `WIDEST_M`
        or lies outside the latitudes of UTM; an unknown split; a harvest outside `HARVESTS`.
    """

    name: str
    box: tuple[float, float, float, float]
    country: str
    harvest: dt.date
    split: str = ""

    def __post_init__(self) -> None:
        where = f"region {self.name}"
        _check_box(self.box, where)
        if self.split not in ("", *splits.SPLITS):
            raise ValueError(
                f"{where}: expected a split of {', '.join(splits.SPLITS)} or '' to deal blocks "
                f"out, found {self.split!r}"
            )
        if self.harvest.year not in HARVESTS:
            raise ValueError(
                f"{where}: expected a harvest in {HARVESTS[0]} to {HARVESTS[-1]}, found "
                f"{self.harvest}"
            )

    @property
    def season(self) -> str:
        """Agricultural year that ends with the year of the harvest."""
        return f"{self.harvest.year - 1}-{self.harvest.year}"

    @property
    def epsg(self) -> int:
        """UTM zone of the centre, which all tiles of the region lie in."""
        west, south, east, north = self.box
        return grid.utm_epsg((west + east) / 2, (south + north) / 2)


def _check_box(box: Sequence[float], where: str) -> None:
    if len(box) != 4 or not all(math.isfinite(v) for v in box):
        raise ValueError(f"{where}: expected (west, south, east, north) in degrees, found {box}")
    west, south, east, north = box
    if west > east or not (-180 <= west and east <= 180):
        raise ValueError(
            f"{where}: expected longitudes of -180..180 that do not cross the antimeridian (cut "
            f"the region in two at 180), found {west} to {east}"
        )
    if west == east or south >= north:
        raise ValueError(f"{where}: expected west < east and south < north, found {tuple(box)}")
    low, high = _LATITUDES
    if not (low <= south and north <= high):
        raise ValueError(
            f"{where}: expected the latitudes of UTM, {low:.0f} to {high:.0f}, found {south} to "
            f"{north}"
        )
    # Along the parallel nearest to the equator, which is the longest. Not the shortest way, which
    # for a box around the globe would be across the antimeridian.
    nearest = 0.0 if south <= 0 <= north else min(abs(south), abs(north))
    geod = pyproj.Geod(ellps="WGS84")
    radius = geod.a / math.sqrt(1 - geod.es * math.sin(math.radians(nearest)) ** 2)
    width = radius * math.cos(math.radians(nearest)) * math.radians(east - west)
    height = geod.inv(west, south, west, north)[2]
    if max(width, height) > WIDEST_M:
        raise ValueError(
            f"{where}: expected at most {WIDEST_M / 1000:.0f} km from side to side, found "
            f"{width / 1000:.0f} km by {height / 1000:.0f} km; cut it in parts"
        )


def read_regions(
    value: Mapping[str, Mapping[str, Any]], where: str = "config.regions"
) -> list[Region]:
    """Regions from a config, {name: {box, country, harvest, split}}; `split` may be left out.

    Raises:
      ValueError: names the region and the key.
    """
    if not value:
        raise ValueError(f"{where}: expected at least one region, found none")
    regions = []
    for name, row in value.items():
        at = f"{where}.{name}"
        if set(row) | {"split"} != {"box", "country", "harvest", "split"}:
            raise ValueError(f"{at}: expected box, country, harvest and split, found {sorted(row)}")
        harvest = parse_date(row["harvest"], f"{at}.harvest")
        try:
            west, south, east, north = (float(v) for v in row["box"])
        except (TypeError, ValueError):
            raise ValueError(
                f"{at}.box: expected (west, south, east, north) in degrees, found {row['box']!r}"
            ) from None
        box = (west, south, east, north)
        regions.append(Region(name, box, str(row["country"]), harvest, row.get("split", "")))
    return regions


def check_apart(regions: Sequence[Region]) -> None:
    """Requires regions of different names that share no ground in one season.

    Raises:
      ValueError: names two that do.
    """
    counts = collections.Counter(region.name for region in regions)
    for name, count in counts.items():
        if count > 1:
            raise ValueError(f"regions: expected different names, found {name!r} {count} times")
    for i, a in enumerate(regions):
        for b in regions[:i]:
            shared = [max(a.box[k], b.box[k]) for k in (0, 1)]
            until = [min(a.box[k], b.box[k]) for k in (2, 3)]
            if a.season == b.season and all(x < y for x, y in zip(shared, until, strict=True)):
                raise ValueError(
                    f"regions {b.name} and {a.name}: expected regions that share no ground in one "
                    f"season, found both at {shared[0]:.4f} to {until[0]:.4f} E, "
                    f"{shared[1]:.4f} to {until[1]:.4f} N"
                )


def tiles_inside(region: Region) -> list[tuple[GeoBox, str]]:
    """Grid and name of every tile that lies wholly inside a region, from the south-west.

    Judged by its corners: between them a parallel leaves a tile's side by less than 0.3 m.

    Raises:
      ValueError: there is none.
    """
    west, south, east, north = region.box
    to_zone = pyproj.Transformer.from_crs(4326, region.epsg, always_xy=True)
    # Sides are curved in the zone.
    outline = shapely.get_coordinates(shapely.segmentize(shapely.box(*region.box), 0.02))
    x, y = to_zone.transform(*outline.T)
    found = list(grid.tiles_covering(region.epsg, x.min(), y.min(), x.max(), y.max()))
    col, row = np.array(found).T
    corner_x = (col[:, None] + np.array([0, 1, 1, 0])) * grid.TILE_M
    corner_y = (row[:, None] + np.array([0, 0, 1, 1])) * grid.TILE_M
    lon, lat = to_zone.transform(corner_x, corner_y, direction="INVERSE")
    inside = ((west <= lon) & (lon <= east) & (south <= lat) & (lat <= north)).all(1)
    if not inside.any():
        raise ValueError(
            f"region {region.name}: expected at least one tile of {grid.TILE_M / 1000} km wholly "
            f"inside, found none in {region.box}"
        )
    keys = [(region.epsg, *found[i]) for i in np.flatnonzero(inside)]
    return [(grid.tile_geobox(*key), grid.tile_id(*key)) for key in keys]
