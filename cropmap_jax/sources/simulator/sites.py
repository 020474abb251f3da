"""From settings to cubes: sites of a world, laid out on the tile grid, simulated and written."""

import dataclasses
import datetime as dt
import math
import pathlib
from collections.abc import Mapping

import numpy as np
import rasterio

from cropmap_jax.geo import cube, cube_io, grid, splits
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.periods import Period, month_periods, parse_date, to_day
from cropmap_jax.sources.simulator import (
    confusion,
    fields,
    fieldwork,
    labels,
    landscape,
    pixels,
    weather,
    worlds,
)

VERSION = 2
"""Part of every cube's source: cubes of another version are not mixed with this one's."""
BLOCKS_PER_ROW = 8
"""Sites of one split and region in a row, 80 km, before the next row begins."""
SPIN_UP_DAYS = 60
"""Weather before the first period, after which the soil has forgotten how it began."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to simulate.

    Args:
      world: see `worlds`.
      sites: number of sites per split.
      tiles: side of a site in tiles of 128 px, up to 8 (a block).
      first, last: ISO dates; periods are the calendar months from one to the other.
      label: "map" (wall to wall, with a map's errors), "teams" (annotated fields) or "truth".
      map_errors: how much of EUCROPMAP's own error a map has; 1 is all of it.
      annotated: share of the ground that field teams annotate.
      negatives: share of the annotated ground that is none of the classes.
      seed: another seed is another world in the same places.

    Raises:
      ValueError: names the setting.
    """

    world: str
    sites: Mapping[str, int]
    tiles: int
    first: str
    last: str
    label: str
    map_errors: float = 1.0
    annotated: float = 0.04
    negatives: float = 0.3
    seed: int = 0

    def __post_init__(self):
        worlds.find(self.world)
        if self.label not in ("map", "teams", "truth"):
            raise ValueError(
                f"config.label: expected 'map', 'teams' or 'truth', found {self.label!r}"
            )
        if self.label == "map" and worlds.find(self.world).legend.name != "eucropmap":
            raise ValueError(
                f"config.label: expected 'teams' or 'truth' for {self.world!r}, whose legend "
                f"is not EUCROPMAP's, found 'map'"
            )
        counts = dict(self.sites)
        if set(counts) - set(splits.SPLITS) or min(counts.values(), default=0) < 0:
            raise ValueError(f"config.sites: expected counts of {splits.SPLITS}, found {counts}")
        if not sum(counts.values()):
            raise ValueError("config.sites: expected at least one site, found none")
        if not 1 <= self.tiles <= grid.TILES_PER_BLOCK:
            raise ValueError(f"config.tiles: expected 1 to 8 tiles, found {self.tiles}")
        if not 0 < self.annotated <= 1 or not 0 <= self.negatives < 1:
            raise ValueError(
                f"config.annotated, config.negatives: expected shares above 0 and below 1, found "
                f"{self.annotated}, {self.negatives}"
            )
        if self.seed < 0:
            raise ValueError(f"config.seed: expected 0 or more, found {self.seed}")
        if self.map_errors < 0:
            raise ValueError(f"config.map_errors: expected 0 or more, found {self.map_errors}")
        first, last = (parse_date(d, f"config.{n}") for d, n in
                       ((self.first, "first"), (self.last, "last")))  # fmt: skip
        if last < first:
            raise ValueError(
                f"config.last: expected a date from {self.first} on, found {self.last}"
            )

    @property
    def periods(self) -> tuple[Period, ...]:
        """Calendar months, oldest first."""
        return month_periods(dt.date.fromisoformat(self.first), dt.date.fromisoformat(self.last))


@dataclasses.dataclass(frozen=True)
class Site:
    """One site: where it is and its split; it lies in the south-west corner of a block.

    Args:
      number: position among the sites of its settings.
      region: its region.
      split: "train", "validation" or "test".
      col, row: of its south-west tile.
    """

    number: int
    region: worlds.Region
    split: str
    col: int
    row: int


def list_sites(settings: Settings) -> list[Site]:
    """Sites, every split spread evenly over the regions, each in a block of its own.

    Each split has its own row of blocks in a region, so that sites can be added to one without
    moving another's. Between two sites lies at least the rest of a block, unless `tiles` fills it.
    """
    regions = worlds.find(settings.world).regions
    sites: list[Site] = []
    for lane, split in enumerate(splits.SPLITS):
        for i in range(settings.sites.get(split, 0)):
            turn, which = divmod(i, len(regions))
            region = regions[which]
            up, along = divmod(turn, BLOCKS_PER_ROW)
            col = math.floor(region.east * 1000 / grid.BLOCK_M) + along
            row = math.floor(region.north * 1000 / grid.BLOCK_M) + up * len(splits.SPLITS) + lane
            corner = col * grid.TILES_PER_BLOCK, row * grid.TILES_PER_BLOCK
            sites.append(Site(len(sites), region, split, *corner))
    return sites


def cube_ids(settings: Settings, site: Site) -> dict[str, tuple[int, int]]:
    """{cube id: (tile row from the north, tile column)} of a site."""
    side = settings.tiles
    return {
        f"{settings.world}_{grid.tile_id(site.region.epsg, site.col + j, site.row + side - 1 - i)}":
        (i, j) for i in range(side) for j in range(side)
    }  # fmt: skip


def source(settings: Settings) -> dict:
    """What a cube says of how its pixels were made: all settings but how many sites there are."""
    value = dataclasses.asdict(settings) | {"made_by": "cropmap_jax simulator", "version": VERSION}
    del value["sites"]
    return value


def simulate_site(settings: Settings, site: Site, cubes_dir: str, truth_dir: str) -> list[str]:
    """Simulates a site and writes the cubes that are not there yet, each after its truth.

    Returns:
      Ids of the cubes written.
    """
    ids = cube_ids(settings, site)
    missing = {k: v for k, v in ids.items() if not (pathlib.Path(cubes_dir) / k).exists()}
    if not missing:
        return []
    world = worlds.find(settings.world)
    region = site.region
    # A site's random numbers hang on its place, not on how many sites there are.
    seeds = np.random.SeedSequence([settings.seed, region.epsg, site.col, site.row]).spawn(4)
    ground_rng, weather_rng, growth_rng, scene_rng = map(np.random.default_rng, seeds)
    size = settings.tiles * grid.TILE_PX
    ground = fields.plant(world, region, (size, size), ground_rng)
    days = to_day(settings.periods[0].start), to_day(settings.periods[-1].end) - 1
    air = weather.make_weather(region.climate, days[0] - SPIN_UP_DAYS, days[1], weather_rng)
    growth = fields.grow(world, region, ground, air, to_day(dt.date(world.year, 1, 1)), growth_rng)
    latitude = grid.to_lonlat(grid.tile_geobox(region.epsg, site.col, site.row))[1]
    scenes = pixels.observe(ground, growth, air, latitude, *days, scene_rng)
    label, ids_map = make_label(settings, ground, int(seeds[0].generate_state(1)[0]))
    for cube_id, (i, j) in missing.items():
        info = _info(settings, world, site, cube_id, i, j, ids_map is not None)
        row, col = i * grid.TILE_PX, j * grid.TILE_PX
        window = slice(row, row + grid.TILE_PX), slice(col, col + grid.TILE_PX)
        s1, s2 = pixels.tile_composites(ground, scenes, row, col, grid.TILE_PX, info.periods)
        own = None if ids_map is None else ids_map[window]
        value = cube.Cube(info, s1, s2, label[window], own)
        write_truth(pathlib.Path(truth_dir) / cube_id, info, ground, window)
        cube_io.write_cube(value, cubes_dir)
    return list(missing)


def make_label(settings: Settings, ground: fields.Ground, seed: int):
    """Label uint8 [H, W] as the settings say, and field ids uint32 [H, W] or None."""
    world = worlds.find(settings.world)
    if settings.label == "truth":
        return ground.truth, ground.parcel
    if settings.label == "map":
        noisy = labels.map_errors(
            ground.truth,
            ground.parcel,
            confusion.eucropmap(),
            labels.MapErrors(amount=settings.map_errors),
            seed,
        )
        return noisy, None
    crop = np.full(len(ground.kind) + 1, IGNORE, np.uint8)
    inside = ground.parcel > 0
    crop[ground.parcel[inside]] = ground.truth[inside]
    roads = (ground.cover == landscape.ROAD) | (ground.cover == landscape.BUILT)
    team = fieldwork.Team(negatives=settings.negatives)
    known = fieldwork.annotate(
        ground.parcel, crop, range(len(world.legend)), settings.annotated, seed, roads, team
    )
    return known.label, known.fields


def _info(settings, world, site: Site, cube_id: str, i: int, j: int, has_fields: bool):
    side = settings.tiles
    box = grid.tile_geobox(site.region.epsg, site.col + j, site.row + side - 1 - i)
    return cube.CubeInfo(
        cube_id=cube_id,
        geobox=box,
        periods=settings.periods,
        legend=world.legend,
        block=grid.block_id(box),
        split=site.split,
        season=world.season,
        harvest=world.calendar(site.region),
        province=site.region.name,
        source=source(settings),
        has_fields=has_fields,
    )


def write_truth(folder: pathlib.Path, info: cube.CubeInfo, ground: fields.Ground, window) -> None:
    """Writes `truth.tif` (uint8 legend index) and `parcel.tif` (uint32) of a tile.

    They are for checking; nothing that trains reads them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, array, nodata in (("truth", ground.truth, IGNORE), ("parcel", ground.parcel, 0)):
        height, width = info.shape
        part = folder / f".{name}.part.tif"
        with rasterio.open(
            part, "w", driver="GTiff", dtype=array.dtype, count=1, height=height, width=width,
            crs=info.geobox.crs.to_wkt(), transform=info.geobox.affine, nodata=nodata,
            compress="zstd",
        ) as raster:  # fmt: skip
            raster.write(array[window], 1)
            if name == "truth":
                raster.set_band_description(1, f"true class, legend {info.legend.name}")
                raster.write_colormap(1, cube_io.colour_table(info.legend))
        part.rename(folder / f"{name}.tif")
