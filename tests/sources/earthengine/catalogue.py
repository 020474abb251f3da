"""A small catalogue of simulated scenes around the border of two UTM zones, in memory.

Two tiles of zone 31 lie side by side at 6 E: SWATH, through which edges of rotated swaths run, and
BORDER, part of which lies in zone 32 and is seen by scenes of both zones. Pixels are white noise,
so that no wrong shift, order or mask can hide; clouds are the simulator's. Copies of one datatake
in two zones have clouds of their own here, which is harder than the truth.

Properties, band names, pixel sizes and gaps are those of the data catalogue; what is unusual on
purpose: scenes a moment before and right at the start of a month, a scene without a cloud score,
pixels masked in one band only, reflectance beyond int16, radar of other modes, border noise; and
around the days on which satellites came and went radar of several of them.
"""

import dataclasses
import datetime as dt
import functools
import math

import numpy as np
import pyproj
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import grid, legend
from cropmap_jax.geo.landcover import WORLDCOVER
from cropmap_jax.geo.periods import Period, month_periods
from cropmap_jax.sources.earthengine import service
from cropmap_jax.sources.simulator.clouds import make_sky

ZONES = (32631, 32632)
LON, LAT = 6.0, 49.2
PERIODS: tuple[Period, ...] = month_periods(dt.date(2022, 4, 1), dt.date(2022, 7, 1))
"""April to July; nothing at all is seen in July, and nothing from the western S2 orbit in June."""
LAEA = 3035
TEN_METRES = ("B2", "B3", "B4", "B8")
TWENTY_METRES = ("B5", "B6", "B7", "B8A", "B11", "B12")
HEADING = math.radians(12)
BORDER_NOISE_M = 60
LOST_SCORE = "20220421T103600_T31UGQ"
"""A Sentinel-2 scene that has no image of the cloud score."""


def _tile(step: int) -> GeoBox:
    x, y = pyproj.Transformer.from_crs(4326, ZONES[0], always_xy=True).transform(LON, LAT)
    return grid.tile_geobox(ZONES[0], int(x // grid.TILE_M) + step, int(y // grid.TILE_M))


SWATH, BORDER = _tile(-1), _tile(0)


@dataclasses.dataclass(frozen=True, eq=False)
class Raster:
    """One band of a scene: values [H, W], valid bool [H, W], and where they lie."""

    values: np.ndarray
    valid: np.ndarray
    geobox: GeoBox


@dataclasses.dataclass(frozen=True)
class Scene:
    """An image of a collection; footprint in degrees, properties as Earth Engine names them."""

    collection: str
    index: str
    properties: dict
    bands: dict[str, Raster]
    footprint: shapely.Geometry


@dataclasses.dataclass(frozen=True)
class Edge:
    """All that lies on one side (+1 east, -1 west) of a line 12 degrees off north."""

    lon: float
    lat: float
    side: int

    def metres(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        """Distance into the swath, negative outside; near enough over a few km."""
        east = (lon - self.lon) * math.cos(math.radians(self.lat))
        return (
            self.side * 111_195 * (east * math.cos(HEADING) - (lat - self.lat) * math.sin(HEADING))
        )

    @property
    def polygon(self) -> shapely.Polygon:
        """The same as a polygon in degrees, one degree to each side."""
        stretch = math.cos(math.radians(self.lat))
        corners = [(0, -1), (0, 1), (self.side, 1), (self.side, -1)]
        sin, cos = math.sin(HEADING), math.cos(HEADING)
        return shapely.Polygon(
            (self.lon + (u * cos + v * sin) / stretch, self.lat - u * sin + v * cos)
            for u, v in corners
        )


def _edge(tile: GeoBox, side: int) -> Edge:
    return Edge(*grid.to_lonlat(tile), side)


EAST, WEST = _edge(SWATH, 1), _edge(BORDER, -1)
"""Two swaths: east of the middle of SWATH, and west of the middle of BORDER."""


def _box(epsg: int, pixel: float, west: float, east: float, offset: float = 0.0) -> GeoBox:
    """Pixels over both tiles and 100 m around, cut `west` and `east` metres inside of that."""
    boxes = [shapely.box(*tile.boundingbox).buffer(100) for tile in (SWATH, BORDER)]
    to_zone = pyproj.Transformer.from_crs(ZONES[0], epsg, always_xy=True).transform
    left, bottom, right, top = shapely.transform(
        shapely.union_all(boxes), to_zone, interleaved=False
    ).bounds
    left, top = (20 * math.floor((v + e) / 20) for v, e in ((left, west), (top, 0)))
    width, height = (math.ceil(v / 20) * 20 for v in (right - east - left, top - bottom))
    shape = (int(height / pixel), int(width / pixel))
    return GeoBox(shape, Affine(pixel, 0, left + offset, 0, -pixel, top + offset), f"EPSG:{epsg}")


@functools.cache
def _lonlat(geobox: GeoBox) -> tuple[np.ndarray, np.ndarray]:
    rows, cols = np.indices(geobox.shape) + 0.5
    a = geobox.affine
    transformer = pyproj.Transformer.from_crs(geobox.crs.proj, 4326, always_xy=True)
    return transformer.transform(a.c + a.a * cols, a.f + a.e * rows)


def _footprint(geobox: GeoBox, edge: Edge | None) -> shapely.Geometry:
    to_degrees = pyproj.Transformer.from_crs(geobox.crs.proj, 4326, always_xy=True).transform
    outline = shapely.segmentize(shapely.box(*geobox.boundingbox), 200)
    outline = shapely.transform(outline, to_degrees, interleaved=False)
    return outline if edge is None else outline.intersection(edge.polygon)


def _inside(geobox: GeoBox, edge: Edge) -> np.ndarray:
    return edge.metres(*_lonlat(geobox)) >= 0


def _milliseconds(time: dt.datetime) -> int:
    return int(time.replace(tzinfo=dt.UTC).timestamp() * 1000)


# Zone 31's scenes end inside BORDER, zone 32's begin there: part of it is seen by both.
_S2_TILES = {"T31UGQ": (ZONES[0], 0, 500), "T32ULV": (ZONES[1], 1700, 0)}


def _s2_scenes() -> list[Scene]:
    east = [dt.datetime(2022, 4, 1, 10, 36) + dt.timedelta(days) for days in range(0, 90, 10)]
    west = [time + dt.timedelta(days=3) for time in east[:6]]
    # A moment before a period and right at its start, within the span and around it.
    midnights = [dt.datetime(2022, 4, 1), dt.datetime(2022, 5, 1), dt.datetime(2022, 8, 1)]
    west += [m - dt.timedelta(milliseconds=1) for m in midnights[:2]] + midnights[1:]
    scenes = []
    for orbit, edge, times in ((108, EAST, east), (8, WEST, west)):
        for time in times:
            for tile in _S2_TILES:
                scenes += _s2_scene(tile, orbit, edge, time, np.random.default_rng(len(scenes)))
    return scenes


def _s2_scene(tile, orbit, edge, time, rng) -> list[Scene]:
    """A scene and, but for one, its cloud score."""
    epsg, west, east = _S2_TILES[tile]
    fine, coarse = (_box(epsg, pixel, west, east) for pixel in (10.0, 20.0))
    cover = rng.uniform(0.1, 0.8)
    clear = make_sky(fine.shape, cover, 0.7, rng).clear
    bands = {}
    for name in (*TEN_METRES, *TWENTY_METRES):
        geobox = fine if name in TEN_METRES else coarse
        values = rng.integers(1, 6000, geobox.shape).astype(np.uint16)
        values[rng.random(geobox.shape) < 0.002] = 40_000
        bands[name] = Raster(
            values, _inside(geobox, edge) & (rng.random(geobox.shape) > 0.01), geobox
        )
    ground = rng.choice([2, 4, 5, 6, 7], coarse.shape)
    classes = np.where(clear[::2, ::2], ground, rng.choice(service.SCL_MASKED, coarse.shape))
    bands["SCL"] = Raster(classes.astype(np.uint8), _inside(coarse, edge), coarse)
    # 0.6 itself is clear.
    score = np.where(clear, rng.integers(60, 101, fine.shape), rng.integers(0, 60, fine.shape))
    scored = {"cs_cdf": Raster(score / 100, _inside(fine, edge), fine)}
    index = f"{time:%Y%m%dT%H%M%S}_{tile}"
    properties = {
        "system:time_start": _milliseconds(time),
        "MGRS_TILE": tile[1:],
        "SENSING_ORBIT_NUMBER": orbit,
        "CLOUDY_PIXEL_PERCENTAGE": 100 * cover,
    }
    footprint = _footprint(fine, edge)
    scene = Scene(service.S2, index, properties, bands, footprint)
    if index == LOST_SCORE:
        return [scene]
    start = {"system:time_start": properties["system:time_start"]}
    return [scene, Scene(service.CLOUD_SCORE, index, start, scored, footprint)]


S1_PASSES = (
    (88, "ASCENDING", ZONES[0], EAST, (2, 14, 26, 38, 50, 62, 74)),
    (161, "ASCENDING", ZONES[1], WEST, (7, 19, 67, 79)),
    (37, "DESCENDING", ZONES[0], EAST, (5, 17, 41)),
    # No place far from the poles sees an orbit both ways: here, to show a lost filter.
    (161, "DESCENDING", ZONES[1], WEST, (10,)),
)
"""Relative orbit, pass, zone, swath, days after 1 April on which it passes; all of Sentinel-1A."""

SATELLITES = (
    (15, EAST, "A", dt.datetime(2018, 4, 3, 5, 50)),
    (15, EAST, "B", dt.datetime(2018, 4, 9, 5, 50)),
    (15, EAST, "A", dt.datetime(2018, 4, 15, 5, 50)),
    (15, EAST, "A", dt.datetime(2025, 5, 6, 5, 50)),
    # Not calibrated yet; orbit 44 sees all of SWATH, orbit 15 half of it.
    (44, WEST, "C", dt.datetime(2025, 5, 8, 5, 50)),
    (15, EAST, "C", dt.datetime(2025, 5, 19, 23, 59, 59)),
    (15, EAST, "C", dt.datetime(2025, 5, 20)),
    (15, EAST, "A", dt.datetime(2026, 4, 13, 5, 50)),
    (15, EAST, "D", dt.datetime(2026, 4, 16, 5, 50)),
    (15, EAST, "D", dt.datetime(2026, 4, 28, 5, 50)),
)
"""Relative orbit, swath, platform and time of more scenes, ascending."""


def _s1_scenes() -> list[Scene]:
    scenes = []
    for orbit, direction, epsg, edge, days in S1_PASSES:
        for day in days:
            time = dt.datetime(2022, 4, 1, 5, 50) + dt.timedelta(days=day)
            rng = np.random.default_rng([orbit, day])
            scenes += _s1_scene(orbit, direction, epsg, edge, time, rng)
    for orbit, edge, platform, time in SATELLITES:
        rng = np.random.default_rng([orbit, time.year, time.day])
        scenes += _s1_scene(orbit, "ASCENDING", ZONES[0], edge, time, rng, platform)
    # Without bands: an error as soon as one of them is let through.
    odd = [
        ("S1A_EW", {"instrumentMode": "EW"}),
        ("S1A_MEDIUM", {"resolution": "M"}),
        ("S1A_VV", {"transmitterReceiverPolarisation": ["VV"]}),
    ]
    for scene in scenes[:2]:
        for index, other in odd:
            properties = {**scene.properties, **other}
            scenes.append(dataclasses.replace(scene, index=index, properties=properties, bands={}))
    return scenes


def _s1_scene(orbit, direction, epsg, edge, time, rng, platform="A") -> list[Scene]:
    """A scene in dB and the same in linear power, off the tiles' grid by 6.3 m."""
    geobox = _box(epsg, 10.0, 0, 0, 6.3)
    into = edge.metres(*_lonlat(geobox))
    vv = rng.normal(-10, 3, geobox.shape).astype(np.float32)
    vh = (vv - rng.normal(7, 1, geobox.shape)).astype(np.float32)
    vv[(into < BORDER_NOISE_M) & (rng.random(geobox.shape) < 0.8)] = -42
    vh[rng.random(geobox.shape) < 0.01] = -31
    vh[rng.random(geobox.shape) < 0.01] = -30
    index = f"S1{platform}_IW_GRDH_1SDV_{time:%Y%m%dT%H%M%S}_{orbit:03d}"
    properties = {
        "system:time_start": _milliseconds(time),
        "platform_number": platform,
        "instrumentMode": "IW",
        "resolution": "H",
        "resolution_meters": 10,
        "transmitterReceiverPolarisation": ["VV", "VH"],
        "orbitProperties_pass": direction,
        "relativeOrbitNumber_start": orbit,
    }
    scenes = []
    for collection, unit in service.S1_COLLECTIONS.items():
        bands = {
            name: Raster(
                db if unit == "dB" else (10 ** (db.astype(float) / 10)).astype(np.float32),
                into >= 0,
                geobox,
            )
            for name, db in (("VV", vv), ("VH", vh))
        }
        scenes.append(Scene(collection, index, properties, bands, _footprint(geobox, edge)))
    return scenes


def _maps() -> list[Scene]:
    """EUCROPMAP: 2018 is one image; 2022 is two that overlap, and differ there."""
    codes = [*(c.code for c in legend.EUCROPMAP.classes), *legend.EUCROPMAP.none_of_these]
    scenes = []
    cuts = {"2018": (2018, 0, 0), "2022_1": (2022, 0, 1200), "2022_2": (2022, 1200, 0)}
    for seed, (index, (year, west, east)) in enumerate(cuts.items()):
        rng, geobox = np.random.default_rng(seed), _box(LAEA, 10.0, west, east)
        valid = rng.random(geobox.shape) > 0.02
        bands = {
            service.EUCROPMAP_BAND: Raster(
                rng.choice(codes, geobox.shape).astype(np.uint16), valid, geobox
            )
        }
        properties = {"system:time_start": _milliseconds(dt.datetime(year, 1, 1))}
        footprint = _footprint(geobox, None)
        scenes.append(Scene(service.EUCROPMAP, index, properties, bands, footprint))
    rng, geobox = np.random.default_rng(9), _box(LAEA, 10.0, 0, 0)
    raster = Raster(
        rng.choice(np.array(WORLDCOVER.codes, np.uint8), geobox.shape),
        rng.random(geobox.shape) > 0.02,
        geobox,
    )
    properties = {"system:time_start": _milliseconds(dt.datetime(2021, 1, 1))}
    bands = {service.WORLDCOVER_BAND: raster}
    footprint = _footprint(geobox, None)
    return [*scenes, Scene(service.WORLDCOVER, "2021", properties, bands, footprint)]


@functools.cache
def scenes() -> dict[str, tuple[Scene, ...]]:
    """Every collection, its scenes in the order of their index."""
    found = {}
    for scene in sorted([*_s2_scenes(), *_s1_scenes(), *_maps()], key=lambda s: s.index):
        found.setdefault(scene.collection, []).append(scene)
    return {name: tuple(images) for name, images in found.items()}
