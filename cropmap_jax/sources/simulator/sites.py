"""From settings to cubes: sites of a world, laid out on the tile grid, simulated and written."""

import dataclasses
import datetime as dt
import difflib
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cropmap_jax.geo import cube, cube_io, grid, splits
from cropmap_jax.geo.landcover import WORLDCOVER
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.periods import Period, month_periods, parse_date, to_day
from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.sources.simulator import (
    confusion,
    fields,
    fieldwork,
    labels,
    land_cover,
    landscape,
    pixels,
    truths,
    weather,
    worlds,
)

VERSION = 2
"""Part of every cube's source: cubes of another version are not mixed with this one's."""
BLOCKS_PER_ROW = 8
"""Sites of one split and region in a row, 80 km, before the next row begins."""
SPIN_UP_DAYS = 60
"""Weather before the first period, after which the soil has forgotten how it began."""
MAX_SITES = 10_000
_NORTH_M = 9_300_000.0
"""Of UTM's 84 degrees north."""


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
      landcover: whether cubes come with a land-cover map.
      landcover_errors: how much of the errors in `land_cover` it has.
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
    landcover: bool = False
    landcover_errors: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
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
        if sum(counts.values()) > MAX_SITES:
            raise ValueError(f"config.sites: expected at most {MAX_SITES} sites, found {counts}")
        if not 1 <= self.tiles <= grid.TILES_PER_BLOCK:
            raise ValueError(f"config.tiles: expected 1 to 8 tiles, found {self.tiles}")
        if not 0 < self.annotated <= 1 or not 0 <= self.negatives < 1:
            raise ValueError(
                f"config.annotated, config.negatives: expected shares above 0 and below 1, found "
                f"{self.annotated}, {self.negatives}"
            )
        if self.seed < 0:
            raise ValueError(f"config.seed: expected 0 or more, found {self.seed}")
        for name in ("map_errors", "landcover_errors"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"config.{name}: expected 0 or more, found {getattr(self, name)}")
        first, last = (parse_date(d, f"config.{n}") for d, n in
                       ((self.first, "first"), (self.last, "last")))  # fmt: skip
        if last < first:
            raise ValueError(
                f"config.last: expected a date from {self.first} on, found {self.last}"
            )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Settings":
        """Settings from a config's values.

        Raises:
          ValueError: an unknown or missing setting, one of another type, or dates of other years
            than the world's, in which nothing grows; names it.
        """
        known = {field.name: field for field in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(
                    f"config.{name}: no such setting{hint}; expected one of {', '.join(known)}"
                )
        for name, field in known.items():
            if name not in values:
                if field.default is dataclasses.MISSING:
                    raise ValueError(f"config.{name}: expected a value, found none")
            elif not _fits(values[name], field.type):
                what = field.type.__name__ if isinstance(field.type, type) else "counts"
                raise ValueError(f"config.{name}: expected {what}, found {values[name]!r}")
        settings = cls(**values)
        year = worlds.find(settings.world).year
        for name in ("first", "last"):
            if abs(parse_date(values[name], f"config.{name}").year - year) > 1:
                raise ValueError(
                    f"config.{name}: expected a date from {year - 1} to {year + 1}, in which "
                    f"{settings.world!r} is sown and harvested, found {values[name]}"
                )
        return settings

    @property
    def periods(self) -> tuple[Period, ...]:
        """Calendar months, oldest first."""
        return month_periods(dt.date.fromisoformat(self.first), dt.date.fromisoformat(self.last))


def _fits(value: object, kind: object) -> bool:
    if kind in (str, int, bool):
        return type(value) is kind  # a bool is no number here
    if kind is float:
        return type(value) in (int, float)
    return isinstance(value, Mapping) and all(type(count) is int for count in value.values())


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

    Raises:
      ValueError: so many that two would lie on the same ground, or one beyond its UTM zone.
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
    places = {(site.region.epsg, site.col, site.row) for site in sites}
    top = max(site.row + settings.tiles for site in sites) * grid.TILE_M
    if len(places) < len(sites) or top > _NORTH_M:
        raise ValueError(
            f"config.sites: expected so few that the regions of {settings.world!r} hold them, "
            f"found {dict(settings.sites)}"
        )
    return sites


def cube_ids(settings: Settings, site: Site) -> dict[str, tuple[int, int]]:
    """{cube id: (tile row from the north, tile column)} of a site."""
    side = settings.tiles
    return {
        f"{settings.world}_{grid.tile_id(site.region.epsg, site.col + j, site.row + side - 1 - i)}":
        (i, j) for i in range(side) for j in range(side)
    }  # fmt: skip


def source(settings: Settings) -> dict[str, Any]:
    """What a cube records of how its pixels were made: all settings but the number of sites."""
    value = dataclasses.asdict(settings) | {"made_by": "cropmap_jax simulator", "version": VERSION}
    del value["sites"]
    if not settings.landcover:  # as before there was any
        del value["landcover"], value["landcover_errors"]
    return value


def truth_source(settings: Settings) -> dict[str, Any]:
    """What a tile's truth depends on: of the settings only those that lay out the ground."""
    kept = ("made_by", "version", "world", "tiles", "seed")
    return {key: value for key, value in source(settings).items() if key in kept}


def simulate_site(settings: Settings, site: Site, cubes_dir: str, truth_dir: str) -> list[str]:
    """Simulates a site and writes what is not there yet: cubes, each after its truth.

    Returns:
      Ids of the cubes written.

    Raises:
      ValueError: a truth that is there is that of something else.
      OSError: no space or no permission; names the file.
    """
    ids = cube_ids(settings, site)
    missing = {k: v for k, v in ids.items() if not (pathlib.Path(cubes_dir) / k).exists()}
    world = worlds.find(settings.world)
    seeds = _seeds(settings, site)
    ground = _plant(settings, site, seeds)
    has_fields = settings.label != "map"
    for cube_id, (i, j) in ids.items():
        info = _info(settings, world, site, cube_id, i, j, has_fields)
        own = {"truth": ground.truth[_window(i, j)], "parcel": ground.parcel[_window(i, j)]}
        truths.complete(pathlib.Path(truth_dir) / cube_id, info, own, truth_source(settings))
    if not missing:
        return []
    scenes = _observe(settings, site, ground, seeds)
    label_seed, cover_seed = map(int, seeds[0].generate_state(2))
    label, ids_map = make_label(settings, ground, label_seed)
    cover = None
    if settings.landcover:
        cover = land_cover.make_map(world, ground, settings.landcover_errors, cover_seed)
    for cube_id, (i, j) in missing.items():
        info = _info(settings, world, site, cube_id, i, j, has_fields)
        row, col = i * grid.TILE_PX, j * grid.TILE_PX
        s1, s2 = pixels.tile_composites(ground, scenes, row, col, grid.TILE_PX, info.periods)
        value = cube.Cube(
            info=info,
            pixels={"s1": s1, "s2": s2},
            label=label[_window(i, j)],
            fields=None if ids_map is None else ids_map[_window(i, j)],
            landcover=None if cover is None else cover[_window(i, j)],
        )
        cube_io.write_cube(value, cubes_dir)
    return list(missing)


def observe_site(settings: Settings, site: Site) -> tuple[fields.Ground, pixels.Scenes]:
    """The ground of a site and all that is seen of it, as its cubes are made of."""
    seeds = _seeds(settings, site)
    ground = _plant(settings, site, seeds)
    return ground, _observe(settings, site, ground, seeds)


def _seeds(settings: Settings, site: Site) -> list[np.random.SeedSequence]:
    """Of ground, weather, growth and scenes: they depend on a site's place, not on how many sites
    there are."""
    place = [settings.seed, site.region.epsg, site.col, site.row]
    return np.random.SeedSequence(place).spawn(4)


def _plant(
    settings: Settings, site: Site, seeds: Sequence[np.random.SeedSequence]
) -> fields.Ground:
    size = settings.tiles * grid.TILE_PX
    world = worlds.find(settings.world)
    return fields.plant(world, site.region, (size, size), np.random.default_rng(seeds[0]))


def _observe(
    settings: Settings,
    site: Site,
    ground: fields.Ground,
    seeds: Sequence[np.random.SeedSequence],
) -> pixels.Scenes:
    world, region = worlds.find(settings.world), site.region
    weather_rng, growth_rng, scene_rng = map(np.random.default_rng, seeds[1:])
    days = to_day(settings.periods[0].start), to_day(settings.periods[-1].end) - 1
    air = weather.make_weather(region.climate, days[0] - SPIN_UP_DAYS, days[1], weather_rng)
    growth = fields.grow(world, region, ground, air, to_day(dt.date(world.year, 1, 1)), growth_rng)
    latitude = grid.to_lonlat(grid.tile_geobox(region.epsg, site.col, site.row))[1]
    return pixels.observe(ground, growth, air, latitude, *days, scene_rng)


def _window(i: int, j: int) -> tuple[slice, slice]:
    row, col = i * grid.TILE_PX, j * grid.TILE_PX
    return slice(row, row + grid.TILE_PX), slice(col, col + grid.TILE_PX)


def make_label(
    settings: Settings, ground: fields.Ground, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Label uint8 [H, W] of the kind in the settings, and field ids uint32 [H, W] or None."""
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


def _info(
    settings: Settings,
    world: worlds.World,
    site: Site,
    cube_id: str,
    i: int,
    j: int,
    has_fields: bool,
) -> cube.CubeInfo:
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
        sensors=SENTINEL,
        has_fields=has_fields,
        landcover=WORLDCOVER if settings.landcover else None,
    )
