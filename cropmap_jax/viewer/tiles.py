"""Tiles of 256 pixels in Web Mercator: each pixel is that of the map which its centre lies in.

The nearest pixel is taken and nothing is mixed, so that a class stays a class. Where cubes overlap,
the first by name is shown, as elsewhere.
"""

import dataclasses
import datetime as dt
import functools
import io
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import pyproj
from PIL import Image

from cropmap_jax.geo import geotiffs, periods
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.mapping import metadata
from cropmap_jax.viewer import pieces
from cropmap_jax.viewer.pieces import Kept, Piece, Places
from cropmap_jax.viewer.shown import ShownClass

SIZE = 256
MAX_ZOOM = 24
_EXACT = 7
"""Below this zoom a tile is so wide that the grid is not straight between nodes."""
_NODES = 17
_ACROSS = (np.arange(SIZE) + 0.5) / SIZE

CONFIDENCE_STOPS = ((0, "#440154"), (25, "#3b528b"), (50, "#21918c"), (75, "#5ec962"),
                    (100, "#fde725"))  # fmt: skip
"""Percent and colour: viridis, which grows lighter evenly and which colour-blind people can read.

Source: S. van der Walt and N. Smith, matplotlib's colour map (CC0).
"""


@dataclasses.dataclass(frozen=True)
class Layer:
    """Pixels of a kind, of a whole map.

    Args:
      key: what sets it apart from other layers in memory.
      read: pixels of a piece, uint8 [height, width, bands].
      bands: how many.
      fill: where there is none.
    """

    key: str
    read: Callable[[Piece], np.ndarray]
    bands: int
    fill: int


class Sampler:
    """Reads layers of one map at any place and zoom.

    Args:
      places: of the map.
      whole, sparse: memory for pixels, which several maps may share.
    """

    def __init__(self, places: Places, whole: Kept, sparse: Kept):
        self.places, self._whole, self._sparse = places, whole, sparse

    def _pixels(self, layer: Layer, number: int, far: bool) -> np.ndarray:
        piece = self.places.pieces[number]

        def read() -> np.ndarray:
            return self._whole.get((layer.key, number), lambda: layer.read(piece))

        if not far:
            return read()
        return self._sparse.get((layer.key, number), lambda: pieces.sparse(read()))

    def tile(self, layer: Layer, z: int, x: int, y: int) -> np.ndarray | None:
        """Pixels of a tile.

        Args:
          layer: what to read.
          z, x, y: of the tile, in the scheme that web maps share.

        Returns:
          uint8 [256, 256, bands], `fill` where the map is not; None where it is nowhere.

        Raises:
          ValueError: a raster that is damaged; names it.
        """
        return self.area(layer, z, x * SIZE, y * SIZE, SIZE, SIZE)

    def area(
        self, layer: Layer, z: int, left: int, top: int, width: int, height: int
    ) -> np.ndarray | None:
        """Pixels of a rectangle, in pixels of a zoom, as `tile`."""
        world = SIZE * 2**z
        box = (left / world, top / world, (left + width) / world, (top + height) / world)
        hits = self.places.near(*box)
        if not len(hits):
            return None
        out = np.full((height, width, layer.bands), layer.fill, np.uint8)
        free = np.ones((height, width), bool)
        grids: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        ground = pieces.metres(z, (box[1] + box[3]) / 2)
        for number in hits.tolist():
            piece = self.places.pieces[number]
            cube, crs = self.places.cubes[piece.cube], self.places.crs[piece.cube]
            if crs not in grids:
                grids[crs] = _places(crs, z, box, height, width)
            rows, cols = _window(self.places.box(number) * world, left, top, width, height)
            if rows.start >= rows.stop or cols.start >= cols.stop:
                continue
            a = cube.geobox.affine
            with np.errstate(invalid="ignore"):
                col = np.floor((grids[crs][0][rows, cols] - a.c) / a.a) - piece.left
                row = np.floor((grids[crs][1][rows, cols] - a.f) / a.e) - piece.top
                own = (col >= 0) & (col < piece.width) & (row >= 0) & (row < piece.height)
            own &= free[rows, cols]
            if not own.any():
                continue
            far = ground >= pieces.STEP * float(a.a)
            step = pieces.STEP if far else 1
            pixels = self._pixels(layer, number, far)
            found = pixels[row[own].astype(int) // step, col[own].astype(int) // step]
            out[rows, cols][own] = found
            free[rows, cols][own] = False
        return out


def _window(box: np.ndarray, left: int, top: int, width: int, height: int) -> tuple[slice, slice]:
    """Rows and columns of a rectangle that a piece may fill, a pixel more on each side."""
    low, high = np.floor(box[:2]).astype(int) - 1, np.ceil(box[2:]).astype(int) + 1
    rows = slice(max(low[1] - top, 0), min(high[1] - top, height))
    return rows, slice(max(low[0] - left, 0), min(high[0] - left, width))


def _places(
    crs: str, z: int, box: tuple[float, float, float, float], height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """x and y in a CRS of the centres of pixels, float64 [height, width]; not finite outside it.

    Between nodes of a coarse grid, x and y are interpolated: at zoom 7 and more, that is less than
    a hundredth of a pixel off.
    """
    sides = (height, width)
    nodes = [side if z < _EXACT else _NODES * max(1, side // SIZE) for side in sides]
    inner = z < _EXACT
    at = [(np.arange(n) + 0.5) / n if inner else np.linspace(0, 1, n) for n in nodes]
    v, u = box[1] + at[0] * (box[3] - box[1]), box[0] + at[1] * (box[2] - box[0])
    lon, lat = pieces.from_square(*np.meshgrid(u, v))
    x, y = (np.asarray(one) for one in _transformer(crs).transform(lon, lat))
    if inner:
        return x, y
    # A place outside of the CRS must not spoil its neighbours.
    x, y = (np.where(np.isfinite(one), one, 1e15) for one in (x, y))
    return _between(x, height, width), _between(y, height, width)


def _between(nodes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Values at the centres of pixels, from nodes that lie evenly from edge to edge."""
    first, rest = _parts(height, nodes.shape[0])
    nodes = nodes[first] * (1 - rest[:, None]) + nodes[first + 1] * rest[:, None]
    first, rest = _parts(width, nodes.shape[1])
    found: np.ndarray = nodes[:, first] * (1 - rest) + nodes[:, first + 1] * rest
    return found


@functools.lru_cache(maxsize=64)
def _parts(side: int, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    place = (np.arange(side) + 0.5) / side * (nodes - 1)
    first = np.minimum(place.astype(int), nodes - 2)
    return first, place - first


@functools.lru_cache(maxsize=64)
def _transformer(crs: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(4326, crs, always_xy=True)


def crop_layer(places: Places, key: str) -> Layer:
    """Classes of a map, IGNORE where there is none."""
    return Layer(f"{key}/crop", lambda piece: _read(places, piece, metadata.CROP), 1, IGNORE)


def confidence_layer(places: Places, key: str) -> Layer:
    """Confidence of a map in percent, IGNORE where there is none."""
    name = metadata.CONFIDENCE
    return Layer(f"{key}/confidence", lambda piece: _read(places, piece, name), 1, IGNORE)


def since_layer(
    places: Places, key: str, file: Callable[[str], pathlib.Path | None], dates: Sequence[str]
) -> Layer:
    """Position in `dates` of the date from which on a class has held, IGNORE where there is none.

    Args:
      places: of the latest map.
      key: of it.
      file: raster of a cube, in days since 1970-01-01; None where there is none.
      dates: ISO dates of the series, ascending.
    """
    days = np.array([periods.to_day(dt.date.fromisoformat(date)) for date in dates])

    def read(piece: Piece) -> np.ndarray:
        path = file(places.cubes[piece.cube].cube_id)
        if path is None:
            return np.full((piece.height, piece.width, 1), IGNORE, np.uint8)
        with geotiffs.open_geotiff(path) as raster:
            found = raster.read(1, window=piece.window)
        if found.shape != (piece.height, piece.width):
            raise ValueError(f"{path}: expected the grid of the cube's map, found another")
        at = np.minimum(np.searchsorted(days, found), len(days) - 1)
        return np.where(days[at] == found, at, IGNORE).astype(np.uint8)[..., None]

    return Layer(f"{key}/since", read, 1, IGNORE)


def since_colours(dates: int) -> list[str]:
    """A colour for each date, from dark, what has held longest, to light."""
    table = confidence_palette()
    at = np.rint(np.linspace(0, 100, dates)).astype(int) if dates > 1 else np.array([0])
    return ["#" + bytes(table[i, :3]).hex() for i in at.tolist()]


def _read(places: Places, piece: Piece, name: str) -> np.ndarray:
    cube = places.cubes[piece.cube]
    path = cube.path.with_name(name)
    with geotiffs.open_geotiff(path) as raster:
        if raster.shape != tuple(cube.geobox.shape) or raster.dtypes[0] != "uint8":
            raise ValueError(f"{path}: expected bytes on the grid of {cube.path.name}")
        found: np.ndarray = raster.read(1, window=piece.window)
    return found[..., None]


def class_palette(classes: Sequence[ShownClass], hidden: frozenset[int]) -> np.ndarray:
    """uint8 [256, 4], colour of each value; nothing where a class is hidden or there is none."""
    out = np.zeros((256, 4), np.uint8)
    for one in classes:
        if one.value not in hidden:
            out[one.value] = (*bytes.fromhex(one.colour[1:]), 255)
    return out


def confidence_palette() -> np.ndarray:
    """uint8 [256, 4], colour of each percent."""
    at = [percent for percent, _ in CONFIDENCE_STOPS]
    colours = np.array([list(bytes.fromhex(colour[1:])) for _, colour in CONFIDENCE_STOPS])
    out = np.zeros((256, 4), np.uint8)
    for band in range(3):
        out[:101, band] = np.rint(np.interp(np.arange(101), at, colours[:, band]))
    out[:101, 3] = 255
    return out


def colours_palette(colours: Sequence[str]) -> np.ndarray:
    """uint8 [256, 4], each value in its colour, and nothing above them."""
    out = np.zeros((256, 4), np.uint8)
    for value, colour in enumerate(colours):
        out[value] = (*bytes.fromhex(colour[1:]), 255)
    return out


def png(pixels: np.ndarray, palette: np.ndarray | None = None) -> bytes:
    """A PNG of uint8 [H, W, 1] with a palette [256, 4], or of RGBA [H, W, 4]."""
    if palette is None:
        image = Image.fromarray(pixels, "RGBA")
        more = {}
    else:
        image = Image.fromarray(np.ascontiguousarray(pixels[..., 0]), "L")
        image.putpalette(palette[:, :3].tobytes())
        more = {"transparency": palette[:, 3].tobytes()}
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=3, **more)
    return out.getvalue()


EMPTY = png(np.zeros((1, 1, 4), np.uint8))
"""A tile without anything in it."""
