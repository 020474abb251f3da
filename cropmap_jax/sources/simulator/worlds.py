"""The worlds: where they lie, what grows there and how much of it, and when it is harvested.

"europe" stands for the pretraining regions with a wall-to-wall map, "iran" for the fields of eight
crops of which few are known; "france" is for checking. Places are real, so that projections and sun
are; what grows on them is not.
"""

import dataclasses
import datetime as dt
from collections.abc import Mapping

from cropmap_jax.geo import calendars, legend
from cropmap_jax.sources.simulator import crops, iran, weather
from cropmap_jax.sources.simulator.landscape import IRRIGATED, Style
from cropmap_jax.sources.simulator.phenology import AUTUMN_SHIFT, AnyCrop


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of crop of a world.

    Args:
      crop: how it grows.
      label: name of its class in the legend; None for none of these.
      share: relative area of fields, before the region's own weight.
    """

    crop: AnyCrop
    label: str | None
    share: float


@dataclasses.dataclass(frozen=True)
class Region:
    """A stretch of country.

    Args:
      name: province of its cubes.
      epsg: UTM zone.
      east, north: kilometres in that zone, of the south-west corner of its first block.
      climate: its weather.
      shift: days by which seasons are later than in the table of crops.
      style: lie of the land.
      weights: factors on the shares of kinds, by their keys; 1 where not given.
    """

    name: str
    epsg: int
    east: float
    north: float
    climate: weather.Climate
    shift: float
    style: Style
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class World:
    """A world to simulate.

    Args:
      name: what settings call it.
      legend: classes of its labels.
      year: year of harvest.
      kinds: what grows on fields.
      regions: where.
      wood: name of the class of woods; None for none of these.
      seasons: {kind: (planting end, harvest start, harvest end)} in days from 1 January, for a
        shift of 0; empty where one date holds for all.
      harvest: (month, day) of the harvest date of all classes, where seasons is empty.
    """

    name: str
    legend: legend.Legend
    year: int
    kinds: Mapping[str, Kind]
    regions: tuple[Region, ...]
    wood: str | None
    seasons: Mapping[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)
    harvest: tuple[int, int] = (8, 1)

    @property
    def season(self) -> str:
        """Agricultural year, e.g. "2017-2018"."""
        return f"{self.year - 1}-{self.year}"

    def calendar(self, region: Region) -> calendars.Calendar:
        """Harvest dates in a region; a crop with kinds of several seasons has them all."""
        new_year = dt.date(self.year, 1, 1)
        if not self.seasons:
            return {calendars.ANY_CROP: (calendars.Season(dt.date(self.year, *self.harvest)),)}
        found: dict[str, list[calendars.Season]] = {}
        for key, days in self.seasons.items():
            kind = self.kinds[key]
            if region.weights.get(key, 1.0) <= 0 or kind.label is None:
                continue
            # Where spring comes late, autumn comes early.
            moves = (AUTUMN_SHIFT if days[0] < 0 else 1.0, 1.0, 1.0)
            planting, start, end = (
                new_year + dt.timedelta(days=round(d + move * region.shift))
                for d, move in zip(days, moves, strict=True)
            )
            season = calendars.Season(start, end, planting, self.season)
            found.setdefault(kind.label, []).append(season)
        return {crop: tuple(seasons) for crop, seasons in found.items()}


_WEST = Style()
_SMALL = Style(field_ha=1.6, block_ha=20.0, hedge_share=0.10)
_LARGE = Style(field_ha=6.0, field_spread=0.8, block_ha=60.0, hedge_share=0.03)
EUROPE = World(
    name="europe",
    legend=legend.EUCROPMAP,
    year=2018,
    kinds={
        "common_wheat": Kind(crops.COMMON_WHEAT, "common_wheat", 16),
        "durum_wheat": Kind(crops.DURUM_WHEAT, "durum_wheat", 4),
        "winter_barley": Kind(crops.BARLEY, "barley", 6),
        "spring_barley": Kind(crops.SPRING_BARLEY, "barley", 4),
        "rye": Kind(crops.RYE, "rye", 4),
        "oats": Kind(crops.OATS, "oats", 4),
        "maize": Kind(crops.MAIZE, "maize", 11),
        "rice": Kind(crops.RICE, "rice", 2),
        "triticale": Kind(crops.TRITICALE, "triticale", 4),
        "mixed_cereals": Kind(crops.MIXED_CEREALS, "other_cereals", 2.5),
        "sorghum": Kind(crops.SORGHUM, "other_cereals", 0.5),
        "potatoes": Kind(crops.POTATO, "potatoes", 4),
        "sugar_beet": Kind(crops.SUGAR_BEET, "sugar_beet", 4),
        "fodder_roots": Kind(crops.FODDER_ROOTS, "other_root_crops", 2.5),
        "industrial": Kind(crops.OTHER_INDUSTRIAL, "other_industrial_crops", 3),
        "sunflower": Kind(crops.SUNFLOWER, "sunflower", 5),
        "rapeseed": Kind(crops.RAPESEED, "rapeseed", 6),
        "soya": Kind(crops.SOYA, "soya", 4),
        "pulses": Kind(crops.SPRING_PULSES, "dry_pulses", 2.5),
        "vegetables": Kind(crops.VEGETABLES, "dry_pulses", 2),
        "ley": Kind(crops.LEY, "fodder_crops", 6),
        "fallow": Kind(crops.FALLOW, "bare_arable_land", 3),
        "grass": Kind(crops.GRASSLAND, "grassland", 14),
    },
    regions=(
        Region("flanders", 32631, 570, 5650, weather.OCEANIC, 1, _SMALL,
               {"durum_wheat": 0, "rice": 0, "sunflower": 0.1, "soya": 0.1, "potatoes": 3,
                "sugar_beet": 2, "maize": 1.6, "sorghum": 0.2}),
        Region("beauce", 32631, 380, 5350, weather.OCEANIC, -2, _LARGE,
               {"rice": 0, "durum_wheat": 1.5, "rye": 0.3, "grass": 0.4, "rapeseed": 1.6}),
        Region("brandenburg", 32633, 400, 5830, weather.CONTINENTAL, 5, _LARGE,
               {"durum_wheat": 0, "rice": 0, "rye": 3, "soya": 0.3, "sunflower": 0.5}),
        Region("wielkopolska", 32633, 640, 5780, weather.CONTINENTAL, 6, _WEST,
               {"durum_wheat": 0, "rice": 0, "rye": 2, "triticale": 3, "soya": 0.3, "oats": 2,
                "mixed_cereals": 3, "sunflower": 0.3}),
        Region("lombardy", 32632, 500, 5010, weather.MEDITERRANEAN, -8, _SMALL,
               {"rice": 8, "rye": 0.2, "maize": 1.5, "soya": 2, "sugar_beet": 0.5, "ley": 1.5}),
        Region("castile", 32630, 360, 4620, weather.MEDITERRANEAN, -9, _WEST,
               {"rice": 0, "winter_barley": 2.5, "soya": 0.1, "durum_wheat": 3, "sunflower": 2,
                "fallow": 4, "rapeseed": 0.6}),
        Region("alfold", 32634, 480, 5200, weather.CONTINENTAL, -2, _WEST,
               {"rice": 0.3, "sunflower": 3, "durum_wheat": 1.5, "maize": 1.6}),
        Region("dobrogea", 32635, 600, 4900, weather.CONTINENTAL, -3, _LARGE,
               {"rice": 0.5, "sunflower": 3, "durum_wheat": 2, "rye": 0.3, "potatoes": 0.4}),
    ),
    wood="woodland_and_shrubland",
)  # fmt: skip
"""EUCROPMAP's year and legend, eight regions; one harvest date for all classes, as the map has."""

IRAN = World(
    name="iran",
    legend=legend.ISRC,
    year=2022,
    kinds={
        "canola": Kind(iran.CANOLA, "canola", 5),
        "cotton": Kind(iran.COTTON, "cotton", 6),
        "lentils": Kind(iran.LENTILS, "lentils", 5),
        "lentils_autumn": Kind(iran.LENTILS_AUTUMN, "lentils", 4),
        "maize": Kind(iran.MAIZE, "maize", 8),
        "onion_early": Kind(iran.ONION_EARLY, "onion", 4),
        "onion_late": Kind(iran.ONION_LATE, "onion", 3),
        "pea": Kind(iran.PEA, "pea", 4),
        "pea_autumn": Kind(iran.PEA_AUTUMN, "pea", 2),
        "sugarbeet": Kind(iran.SUGAR_BEET, "sugarbeet", 6),
        "sugarbeet_autumn": Kind(iran.SUGAR_BEET_AUTUMN, "sugarbeet", 4),
        "tomato": Kind(iran.TOMATO, "tomato", 6),
        "wheat": Kind(iran.WHEAT, None, 18),
        "barley": Kind(iran.BARLEY, None, 8),
        "lucerne": Kind(iran.LUCERNE, None, 8),
        "potato": Kind(iran.POTATO, None, 4),
        "sunflower": Kind(iran.SUNFLOWER, None, 2),
        "orchard": Kind(iran.ORCHARD, None, 5),
        "fallow": Kind(iran.FALLOW, None, 12),
    },
    regions=(
        Region("Khuzestan", 32639, 250, 3560, weather.SEMI_ARID, -15, IRRIGATED,
               {"lentils": 0, "lentils_autumn": 0.5, "pea": 0, "pea_autumn": 1.5, "sugarbeet": 0,
                "cotton": 0.5, "onion_late": 0, "tomato": 0.3, "potato": 0.5, "orchard": 0.5}),
        Region("Fars", 32639, 660, 3280, weather.SEMI_ARID, -5, IRRIGATED,
               {"lentils": 0, "sugarbeet_autumn": 0, "pea_autumn": 0, "onion_late": 0,
                "tomato": 1.5}),
        Region("Golestan", 32640, 270, 4090, weather.MEDITERRANEAN, -5, IRRIGATED,
               {"lentils": 0, "sugarbeet_autumn": 0, "onion_late": 0, "pea_autumn": 0,
                "canola": 2.5, "cotton": 2}),
        Region("Razavi Khorasan", 32640, 700, 3990, weather.SEMI_ARID, 10, IRRIGATED,
               {"lentils_autumn": 0, "sugarbeet_autumn": 0, "pea_autumn": 0, "onion_early": 0,
                "cotton": 1.5}),
        Region("West Azerbaijan", 32638, 520, 4140, weather.SEMI_ARID, 12, IRRIGATED,
               {"lentils_autumn": 0, "sugarbeet_autumn": 0, "pea_autumn": 0, "onion_early": 0,
                "cotton": 0.2, "sugarbeet": 2, "lentils": 1.5}),
    ),
    wood=None,
    seasons=iran.SEASONS,
)  # fmt: skip
"""The agricultural year 1400-1401 and the competition's eight crops, five provinces."""

# The parcels called barley there are of winter barley.
_FRENCH = {"spring_barley": 0, "rice": 0, "durum_wheat": 0.3, "potatoes": 2, "sugar_beet": 2}
FRANCE = dataclasses.replace(
    EUROPE,
    name="france",
    year=2023,
    regions=(
        Region("north", 32631, 300, 5330,
               weather.with_rain(weather.OCEANIC, (82, 9, 95, 59, 51, 60, 77, 64, 78, 91, 88, 79)),
               0, _WEST, _FRENCH),
        Region("south", 32631, 290, 4860,
               weather.with_rain(weather.OCEANIC,
                                 (122, 32, 71, 105, 99, 143, 26, 35, 52, 30, 145, 72)),
               -6, _WEST, _FRENCH | {"common_wheat": 0.2, "maize": 2}),
    ),
)  # fmt: skip
"""For checking the simulator: where and when the French parcels of the WorldCereal training data
lie, with the rain of October 2022 to September 2023 there (AGERA5, as given with the parcels)."""

WORLDS = {world.name: world for world in (EUROPE, IRAN, FRANCE)}


def find(name: str) -> World:
    """A world by name.

    Raises:
      ValueError: unknown name.
    """
    if name not in WORLDS:
        raise ValueError(f"config.world: expected one of {', '.join(WORLDS)}, found {name!r}")
    return WORLDS[name]
