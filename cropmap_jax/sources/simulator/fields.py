"""Land cover of every unit of a site: its fields, woods, water, roads and villages."""

import dataclasses

import numpy as np

from cropmap_jax.geo.legend import NONE_OF_THESE
from cropmap_jax.sources.simulator import crops, landscape, optics, phenology, signals, weather
from cropmap_jax.sources.simulator.clouds import smooth_noise
from cropmap_jax.sources.simulator.worlds import Region, World

DECIDUOUS, CONIFEROUS, ROAD, BUILT, WATER = range(5)
"""Units that are not fields, in their order after the last parcel."""
CLUSTERING = 0.7
"""How far the same crop grows in the same part of a site, against pure chance."""
IRRIGATE_BELOW, IRRIGATION_MM = 20.0, 25.0
"""Volume % below which a growing field takes its turn of water, and mm that it then gets."""
ROTATION_DAYS = (7, 14)
"""Days between two turns of a field, least and most."""
# Linear sigma-0, VV and VH, of ground that no crop grows on: round figures of ours.
_STILL = {
    ROAD: (0.060, 0.008),
    BUILT: (0.320, 0.065),
    WATER: (0.008, 0.0016),
}


@dataclasses.dataclass(frozen=True)
class Ground:
    """A laid-out and planted site.

    Args:
      unit: int32 [H, W], index into everything that has one entry per unit: parcels - 1 first,
        then DECIDUOUS ... WATER.
      parcel: uint32 [H, W], 0 where there is no field.
      kind: int [parcels], index into the world's kinds.
      truth: uint8 [H, W], legend index of what is there, NONE_OF_THESE for the rest.
      rows: float [parcels], direction of rows in radians.
      cover: uint8 [H, W], see `landscape`.
    """

    unit: np.ndarray
    parcel: np.ndarray
    kind: np.ndarray
    truth: np.ndarray
    rows: np.ndarray
    cover: np.ndarray


def plant(world: World, region: Region, shape: tuple[int, int], rng: np.random.Generator) -> Ground:
    """Lays out a site and decides what grows where."""
    land = landscape.make_landscape(shape, region.style, int(rng.integers(2**31)))
    parcels = len(land.row_direction) - 1
    kind = _choose_kinds(world, region, land.parcel, rng)
    names = [k.label for k in world.kinds.values()]
    classes = np.array([world.legend.index(n) if n else NONE_OF_THESE for n in names], np.uint8)
    wood = world.legend.index(world.wood) if world.wood else NONE_OF_THESE
    truth = np.full(shape, NONE_OF_THESE, np.uint8)
    truth[land.cover == landscape.WOOD] = wood
    field = land.parcel > 0
    truth[field] = classes[kind[land.parcel[field].astype(int) - 1]]
    unit = land.parcel.astype(np.int32) - 1
    conifers = smooth_noise(shape, 3.0, rng) > 0.3
    for cover, number in (
        (landscape.WOOD, np.where(conifers, CONIFEROUS, DECIDUOUS)),
        (landscape.ROAD, np.full(shape, ROAD)),
        (landscape.BUILT, np.full(shape, BUILT)),
        (landscape.WATER, np.full(shape, WATER)),
    ):
        own = land.cover == cover
        unit[own] = parcels + number[own]
    return Ground(unit, land.parcel, kind, truth, land.row_direction[1:], land.cover)


def _choose_kinds(
    world: World, region: Region, parcel: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """int [parcels]: what grows on each, drawn by share, neighbours alike more often than not."""
    shares = np.array(
        [kind.share * region.weights.get(key, 1.0) for key, kind in world.kinds.items()]
    )
    count = int(parcel.max())
    rows, cols = np.nonzero(parcel)
    ids = parcel[rows, cols].astype(int) - 1
    size = np.maximum(np.bincount(ids, minlength=count), 1)
    middle = [(np.bincount(ids, x, count) / size).astype(int) for x in (rows, cols)]
    score = np.where(shares > 0, np.log(np.maximum(shares, 1e-12)), -np.inf)[None]
    score = score + rng.gumbel(size=(count, len(shares)))
    for k in np.flatnonzero(shares > 0):
        score[:, k] += CLUSTERING * smooth_noise(parcel.shape, 3.0, rng)[middle[0], middle[1]]
    kind: np.ndarray = score.argmax(1)
    return kind


@dataclasses.dataclass(frozen=True)
class Growth:
    """Courses and soils of every vegetated unit, daily, grouped by crop.

    Args:
      groups: list of (crop, units int [N], course [N, D], soil, pale float [N]).
      units: number of all units.
      days: int64 [D], days since 1970-01-01.
    """

    groups: list[tuple[phenology.AnyCrop, np.ndarray, phenology.Course, signals.Soil, np.ndarray]]
    units: int
    days: np.ndarray


def grow(
    world: World,
    region: Region,
    ground: Ground,
    air: weather.Weather,
    new_year: int,
    rng: np.random.Generator,
) -> Growth:
    """Grows everything on a site under its weather.

    Args:
      world, region, ground: the site.
      air: its weather.
      new_year: 1 January of the harvest year, days since 1970-01-01.
      rng: generator.
    """
    parcels = len(ground.kind)
    t = (air.days - new_year).astype(np.float64)
    evaporation = np.take(region.climate.evaporation, weather.month_of(air.days))
    # One whole year is early or late, for all of a site's fields alike.
    shift = region.shift + rng.normal(0, 2)
    own = [(kind.crop, np.flatnonzero(ground.kind == k)) for k, kind in
           enumerate(world.kinds.values())]  # fmt: skip
    own += [(crops.DECIDUOUS, np.array([parcels + DECIDUOUS])),
            (crops.CONIFEROUS, np.array([parcels + CONIFEROUS]))]  # fmt: skip
    groups = []
    for crop, units in own:
        if len(units) == 0:
            continue
        course = phenology.develop(crop, len(units), t, shift, rng)
        moisture = air.moisture
        if crop.irrigated:
            moisture = irrigate(air.rain, evaporation, course.growing, rng)
        rows = ground.rows[units] if units[0] < parcels else np.zeros(len(units))
        soil = signals.draw_soil(moisture, air.frozen, rows, rng)
        groups.append((crop, units, course, soil, rng.normal(0.0, 0.08, len(units))))
    return Growth(groups, parcels + 5, air.days)


def irrigate(
    rain: np.ndarray, evaporation: np.ndarray, growing: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Moisture of fields that are watered in turn while they grow, float32 [N, D] in volume %.

    Water comes to a field every ROTATION_DAYS, each field on days of its own; a turn is skipped
    while the soil is still moist.

    Args:
      rain: float [D], mm.
      evaporation: float [D], mm.
      growing: float [N, D], 0..1.
      rng: generator.
    """
    out = np.empty(growing.shape, np.float32)
    level = np.full(len(growing), weather.START)
    rotation = rng.integers(*ROTATION_DAYS, len(growing), endpoint=True)
    phase = rng.integers(0, ROTATION_DAYS[1], len(growing))
    for i in range(len(rain)):
        turn = ((i + phase) % rotation == 0) & (growing[:, i] > 0.5) & (level < IRRIGATE_BELOW)
        level = weather.next_moisture(
            level, rain[i] + np.where(turn, IRRIGATION_MM, 0.0), evaporation[i]
        )
        out[:, i] = level
    return out


def take_days(course: phenology.Course, index: np.ndarray) -> phenology.Course:
    """A course at some of its days."""
    return phenology.Course(*(f[:, index] for f in dataclasses.astuple(course)))


def still_reflectance(number: int, dates: int) -> np.ndarray:
    """Reflectance [dates, 10] of a unit that does not change."""
    spectrum = {ROAD: optics.ASPHALT, BUILT: optics.ROOFS, WATER: optics.WATER}[number]
    return np.broadcast_to(spectrum, (dates, len(spectrum)))


def still_backscatter(number: int) -> np.ndarray:
    """Linear sigma-0 [2] of a unit that does not change."""
    return np.array(_STILL[number], np.float32)
