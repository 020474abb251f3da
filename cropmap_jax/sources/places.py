"""What a plan of many cubes is made of: places, a pilot, ground and disk."""

import collections
import dataclasses
import math
from collections.abc import Iterable, Sequence

import shapely

from cropmap_jax.geo import tiles
from cropmap_jax.geo.periods import Period
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.sources.targets import Target

DISK_BYTES = 1.40
"""Bytes on disk of a value of 2 bytes, as `cube_io` compresses it, of sensors not named below."""
DISK_BYTES_CLEAR = 0.05
"""The same of a count of clear observations (1 in memory).

Measured on 26 simulated cubes of configs/demo/simulate.py: Europe 0.056, Iran 0.031.
"""
DISK_BYTES_PER_CUBE = 12_000
"""Label, field ids and item; 9 kB (Iran) and 12 kB (Europe) in the same cubes."""


CELL_DEGREES = 1.0
"""Cubes without a province that lie in one such cell count as one place: about a scene's width, so
that the middle of all of them lies next to each."""


@dataclasses.dataclass(frozen=True)
class Place:
    """The cubes of a province (without one, of a cell) and season, for counting scenes.

    Args:
      name: for messages and tables.
      box: (west, south, east, north) in degrees that holds them all.
      periods: all of theirs, sorted.
    """

    name: str
    box: tuple[float, float, float, float]
    periods: tuple[Period, ...]


def places(targets: Sequence[Target]) -> list[Place]:
    """Where and when to count scenes: one place per province (without one, cell) and season."""
    groups = collections.defaultdict(list)
    for target, name in zip(targets, place_names(targets), strict=True):
        groups[name].append(target)
    out = []
    for name, own in groups.items():
        bounds = shapely.total_bounds(tiles.outlines(t.geobox for t in own))
        west, south, east, north = (round(float(v), 6) for v in bounds)
        spans = sorted({period for target in own for period in target.periods})
        out.append(Place(name, (west, south, east, north), tuple(spans)))
    return out


def place_names(targets: Sequence[Target]) -> list[str]:
    """The name of each target's place: "Fars 2021-2022", or "36N 59E 2021-2022" by the south-west
    corner of its cell where it has no province."""
    out = []
    for target, outline in zip(targets, tiles.outlines(t.geobox for t in targets), strict=True):
        where = target.province or _cell(outline)
        out.append(f"{where} {target.season}".strip())
    return out


def _cell(outline: shapely.Geometry) -> str:
    west, south, east, north = outline.bounds
    lat = math.floor((south + north) / 2 / CELL_DEGREES) * CELL_DEGREES
    lon = math.floor((west + east) / 2 / CELL_DEGREES) * CELL_DEGREES
    return f"{abs(lat):g}{'N' if lat >= 0 else 'S'} {abs(lon):g}{'E' if lon >= 0 else 'W'}"


def choose_pilot(targets: Sequence[Target], count: int) -> list[Target]:
    """A few targets from all over the list, for a pilot."""
    count = min(count, len(targets))
    return [targets[(2 * i + 1) * len(targets) // (2 * count)] for i in range(count)]


def km2(target: Target) -> float:
    """Ground that a cube covers."""
    height, width = target.geobox.shape
    return float(height * width * target.geobox.resolution.x**2 / 1e6)


def disk_bytes(
    targets: Iterable[Target], sensors: Iterable[Sensor], each: dict[str, float], counted: bool
) -> float:
    """Bytes of cubes on disk, compressed, estimated.

    Args:
      targets: what is to be made.
      sensors: of the cubes.
      each: {sensor's name: bytes on disk of one of its values}.
      counted: whether clear observations are counted.
    """
    value = sum(each.get(s.name, DISK_BYTES) * len(s.bands) for s in sensors)
    value += DISK_BYTES_CLEAR * counted
    total = 0.0
    for target in targets:
        height, width = target.geobox.shape
        total += height * width * len(target.periods) * value + DISK_BYTES_PER_CUBE
    return total


def size_text(count: float) -> str:
    """Bytes for people."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def hours_text(hours: float) -> str:
    """Hours for people."""
    return f"{hours * 60:.0f} min" if hours < 1 else f"{hours:,.1f} h"
