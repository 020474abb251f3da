"""A map's pixels in pieces of ground, found by place and kept while they are looked at.

A cube of any size is cut into pieces of at most 512 pixels a side. For views from far away, only
every eighth pixel of a piece is kept: a tile then takes the same time however large the map is.
"""

import collections
import dataclasses
import threading
from collections.abc import Callable, Hashable, Sequence

import numpy as np
import pyproj
from rasterio.windows import Window

from cropmap_jax.mapping.map_folder import MapCube

SIDE = 512
"""Pixels of a piece, at most: 256 kB of a raster of bytes."""
STEP = 8
"""Rows and columns between the pixels that are kept for views from far away."""
LIMIT_BYTES = 256 << 20
"""Of pixels in memory, whole pieces and sparse ones each."""
_EARTH_M = 40_075_016.686
"""Circumference at the equator, of WGS 84."""
_ALONG = np.linspace(0, 1, 5)


@dataclasses.dataclass(frozen=True)
class Piece:
    """A rectangle of a cube's pixels.

    Args:
      cube: position of the cube in the map.
      top, left, height, width: in pixels of the cube.
    """

    cube: int
    top: int
    left: int
    height: int
    width: int

    @property
    def window(self) -> Window:
        """For rasterio."""
        return Window(self.left, self.top, self.width, self.height)


class Places:
    """Where the pieces of a map lie.

    Args:
      cubes: of the map, sorted by name: where two overlap, the first one is shown.

    Attributes:
      cubes: as given.
      pieces: of all cubes, in the order of the cubes.
      crs: WKT of each cube.
    """

    def __init__(self, cubes: Sequence[MapCube]):
        self.cubes = tuple(cubes)
        self.crs = [cube.geobox.crs.to_wkt() if cube.geobox.crs else "" for cube in cubes]
        self.pieces = [
            Piece(i, top, left, min(SIDE, height - top), min(SIDE, width - left))
            for i, (height, width) in enumerate(tuple(cube.geobox.shape) for cube in cubes)
            for top in range(0, height, SIDE)
            for left in range(0, width, SIDE)
        ]
        self._boxes = np.zeros((len(self.pieces), 4))
        for wkt in sorted(set(self.crs)):
            own = [n for n, piece in enumerate(self.pieces) if self.crs[piece.cube] == wkt]
            self._boxes[own] = self._mercator(wkt, [self.pieces[n] for n in own])

    def _mercator(self, wkt: str, pieces: Sequence[Piece]) -> np.ndarray:
        """float64 [N, 4], left, top, right and bottom of pieces on the square of the world."""
        affines = [self.cubes[piece.cube].geobox.affine for piece in pieces]
        x0, y0, step = np.array([(a.c, a.f, a.a) for a in affines]).T
        size = np.array([(p.left, p.top, p.left + p.width, p.top + p.height) for p in pieces]).T
        edges = [size[0] * step + x0, y0 - size[1] * step, size[2] * step + x0, y0 - size[3] * step]
        left, top, right, bottom = (edge[:, None] for edge in edges)
        # Points along all four edges, which are curves on the square of the world.
        x = np.hstack([left + (right - left) * _ALONG, left + (right - left) * _ALONG])
        x = np.hstack([x, left + 0 * _ALONG, right + 0 * _ALONG])
        y = np.hstack([top + 0 * _ALONG, bottom + 0 * _ALONG])
        y = np.hstack([y, top + (bottom - top) * _ALONG, top + (bottom - top) * _ALONG])
        lon, lat = pyproj.Transformer.from_crs(wkt, 4326, always_xy=True).transform(x, y)
        u, v = to_square(np.asarray(lon), np.asarray(lat))
        return np.stack([u.min(1), v.min(1), u.max(1), v.max(1)], 1)

    def near(self, left: float, top: float, right: float, bottom: float) -> np.ndarray:
        """int [n], pieces that may touch a rectangle of the square of the world, in order."""
        b = self._boxes
        hit = (b[:, 0] <= right) & (b[:, 2] >= left) & (b[:, 1] <= bottom) & (b[:, 3] >= top)
        found: np.ndarray = np.flatnonzero(hit)
        return found

    def box(self, number: int) -> np.ndarray:
        """float64 [4], left, top, right and bottom of a piece on the square of the world."""
        found: np.ndarray = self._boxes[number]
        return found


def to_square(lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places on the square of the world, Web Mercator from 0 to 1, downwards.

    Args:
      lon, lat: in degrees.

    Source: OGC 17-083r4, Two Dimensional Tile Matrix Set, annex D (WebMercatorQuad).
    """
    lat = np.clip(lat, -85.06, 85.06)
    v = 0.5 - np.arcsinh(np.tan(np.radians(lat))) / (2 * np.pi)
    return (lon + 180) / 360, v


def from_square(u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude in degrees of places on the square of the world."""
    return u * 360 - 180, np.degrees(np.arctan(np.sinh((0.5 - v) * 2 * np.pi)))


def metres(z: float, v: float, pixels: int = 256) -> float:
    """Metres on the ground of a pixel of a tile, at a height on the square of the world."""
    _, lat = from_square(np.zeros(1), np.array([v]))
    return float(_EARTH_M * np.cos(np.radians(lat[0])) / (pixels * 2**z))


class Kept:
    """What was read last, up to a number of bytes; several threads may ask.

    Args:
      limit: bytes.
    """

    def __init__(self, limit: int = LIMIT_BYTES):
        self._limit, self._size = limit, 0
        self._found: collections.OrderedDict[Hashable, np.ndarray] = collections.OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, read: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of a key, read where it is not there; two threads may read the same one."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        made = read()
        with self._lock:
            if key not in self._found:
                self._found[key] = made
                self._size += made.nbytes
            while self._size > self._limit and len(self._found) > 1:
                self._size -= self._found.popitem(last=False)[1].nbytes
        return made


def sparse(pixels: np.ndarray) -> np.ndarray:
    """Every eighth row and column of [H, W, ...], from the middle of each eight; a copy."""
    rows, cols = (
        np.minimum(np.arange(0, length, STEP) + STEP // 2, length - 1)
        for length in pixels.shape[:2]
    )
    found: np.ndarray = pixels[rows][:, cols]
    return np.ascontiguousarray(found)
