"""A cube's pixels cut into pieces, each small enough for one request, and pieces split further.

The key of a piece is a digest of all that decides its pixels, so that a piece on disk is used for
the cube it was made for and for no other.
"""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube
from cropmap_jax.geo.landcover import LANDCOVER
from cropmap_jax.sources.earthengine import service
from cropmap_jax.sources.targets import Target

LABEL = "label"
_BANDS = {sensor.name: sensor.bands for sensor in service.SENSORS}
MAPS = (LABEL, LANDCOVER)
"""What has one band, and no periods."""
SENSORS = (*_BANDS, *MAPS)
DTYPE = np.dtype(np.int16)
"""Of all: dB * 100, reflectance * 10000, counts of clear observations, and the codes of maps:
EUCROPMAP's reach 800."""
NO_CODE = 0
"""What the image of a map holds where the map is masked."""
SMALLEST_PX = 16
"""No side is split below this: what is too much in 16 x 16 pixels of one period is
too much for another reason."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """The largest request.

    Args:
      bytes: uncompressed bytes of the response. A tenth is left free, since what the service adds
        to pixels x bands x bytes per value is not documented.
      side: pixels along one side.
      bands: bands of the response.
    """

    bytes: int = service.MAX_BYTES * 9 // 10
    side: int = service.MAX_SIDE_PX
    bands: int = service.MAX_BANDS


@dataclasses.dataclass(frozen=True)
class Piece:
    """Some periods and a window of one sensor of a cube.

    Args:
      cube_id: of the cube.
      sensor: "s1", "s2", "label" or "landcover".
      first: index of the first period; 0 for a map, which has none.
      last: index of the last period, which is part of the piece; 0 for a map.
      row: first row of the window in the cube's grid.
      col: first column.
      height: rows of the window.
      width: columns.
      source: digest of what the whole cube's pixels are made of: its grid, its periods, the
        sensor, and the graph with the options in it.
      count: whether counts of clear observations come with it; only with "s2".
    """

    cube_id: str
    sensor: str
    first: int
    last: int
    row: int
    col: int
    height: int
    width: int
    source: str
    count: bool = False

    @functools.cached_property
    def key(self) -> str:
        """Hex sha256 of the piece: its file name and its row in the manifest.

        The id of the cube is in it although it decides no pixel: two cubes never share a file,
        so that one may delete its own.
        """
        return _digest({name: getattr(self, name) for name in _FIELDS})

    @property
    def periods(self) -> range:
        """Indices of the periods; of a map just 0."""
        return range(self.first, self.last + 1)

    @functools.cached_property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands in the graph's image, period by period."""
        return bands_of(self.sensor, self.periods, self.count)

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the piece in the cube's grid."""
        rows = slice(self.row, self.row + self.height)
        return rows, slice(self.col, self.col + self.width)

    @property
    def nbytes(self) -> int:
        """Uncompressed bytes of the pixels."""
        return self.height * self.width * len(self.bands) * DTYPE.itemsize


_FIELDS = tuple(field.name for field in dataclasses.fields(Piece))


def bands_of(sensor: str, periods: Sequence[int], count: bool = False) -> tuple[str, ...]:
    """Band names of some periods of a sensor: "p00_VV", "p00_VH", "p01_VV", ...

    A map has one band, whatever the periods. With `count` the last band of each period of S2 is
    the count of its clear observations.
    """
    if sensor in MAPS:
        return (sensor,)
    bands = _BANDS[sensor] + ((cube.CLEAR,) if sensor == service.OPTICAL.name and count else ())
    return tuple(f"p{i:02d}_{band}" for i in periods for band in bands)


def pieces_of(
    target: Target, graphs: Mapping[str, str], limits: Limits | None = None, count: bool = False
) -> list[Piece]:
    """The requests of one cube, as few as the limits allow.

    Periods stay whole: the window is divided only where one period of it is too much by itself.

    Args:
      target: what the cube is to be.
      graphs: sensor -> digest of its graph; a sensor that is not in it is not requested.
      limits: of one request; those of the service if None.
      count: whether clear observations are counted: `options.S2Options.count`.

    Returns:
      Pieces that cover every sensor, period and pixel exactly once, in reading order.

    Raises:
      ValueError: an unknown sensor, or limits below one period of one pixel.
    """
    limits = limits or Limits()
    pieces = []
    for sensor, graph in graphs.items():
        if sensor not in SENSORS:
            raise ValueError(
                f"{target.cube_id}: expected a sensor of {', '.join(SENSORS)}, found {sensor!r}"
            )
        a = target.geobox.affine
        source = _digest(
            {
                "shape": list(target.geobox.shape),
                "affine": [a.a, a.b, a.c, a.d, a.e, a.f],
                "crs": str(target.geobox.crs),
                "periods": [[p.start.isoformat(), p.end.isoformat()] for p in target.periods],
                "sensor": sensor,
                "graph": graph,
            }
        )
        periods = 1 if sensor in MAPS else len(target.periods)
        counted = count and sensor == service.OPTICAL.name
        layout = _layout(sensor, periods, tuple(target.geobox.shape), limits, counted)
        pieces += [Piece(target.cube_id, sensor, *where, source, counted) for where in layout]
    return pieces


def split(piece: Piece) -> list[Piece] | None:
    """A piece in parts that cover it exactly once, for when it was too much for the service.

    Two parts of half the periods each; of a single period four quarters, or two halves where one
    side is already small.

    Returns:
      The parts; None where the piece is too small to be split.
    """
    if len(piece.periods) > 1:
        spans, rows, cols = _cut(len(piece.periods), 2), [(0, piece.height)], [(0, piece.width)]
    else:
        rows = _cut(piece.height, 2 if piece.height >= 2 * SMALLEST_PX else 1)
        cols = _cut(piece.width, 2 if piece.width >= 2 * SMALLEST_PX else 1)
        spans = [(0, 1)]
    if len(spans) * len(rows) * len(cols) == 1:
        return None
    return [
        dataclasses.replace(
            piece,
            first=piece.first + start,
            last=piece.first + start + count - 1,
            row=piece.row + row,
            col=piece.col + col,
            height=height,
            width=width,
        )
        for start, count in spans
        for row, height in rows
        for col, width in cols
    ]


def grid_of(piece: Piece, geobox: GeoBox) -> dict[str, Any]:
    """The pixel grid of a piece as `computePixels` takes it.

    Source: developers.google.com/earth-engine/reference/rest/v1/PixelGrid.

    Args:
      piece: its window is used.
      geobox: of the whole cube.

    Raises:
      ValueError: the CRS has no EPSG code.
    """
    epsg = geobox.crs.to_epsg() if geobox.crs is not None else None
    if epsg is None:
        raise ValueError(
            f"{piece.cube_id}: expected a CRS with an EPSG code such as EPSG:32631, "
            f"found {geobox.crs}"
        )
    a = geobox.affine
    return {
        "dimensions": {"width": piece.width, "height": piece.height},
        "affineTransform": {
            "scaleX": a.a,
            "shearX": a.b,
            "translateX": a.c + a.a * piece.col + a.b * piece.row,
            "shearY": a.d,
            "scaleY": a.e,
            "translateY": a.f + a.d * piece.col + a.e * piece.row,
        },
        "crsCode": f"EPSG:{epsg}",
    }


@functools.lru_cache(maxsize=64)
def _layout(
    sensor: str, periods: int, shape: tuple[int, int], limits: Limits, count: bool
) -> tuple[tuple[int, int, int, int, int, int], ...]:
    """(first, last, row, col, height, width) of the pieces of a sensor.

    Kept, because thousands of cubes of one plan have the same.
    """
    bands = len(bands_of(sensor, range(1), count))
    per_pixel = bands * DTYPE.itemsize
    if limits.bytes < per_pixel or limits.bands < bands or limits.side < 1:
        raise ValueError(
            f"limits: expected at least {per_pixel} bytes, {bands} bands and a side of 1 pixel "
            f"for one period of {sensor}, found {limits.bytes}, {limits.bands} and {limits.side}"
        )
    down, across = (max(1, math.ceil(length / limits.side)) for length in shape)
    while True:
        height, width = math.ceil(shape[0] / down), math.ceil(shape[1] / across)
        if height * width * per_pixel <= limits.bytes:
            break
        down, across = (down + 1, across) if height >= width else (down, across + 1)
    most = min(limits.bands // bands, limits.bytes // (height * width * per_pixel))
    return tuple(
        (first, first + count - 1, row, col, rows, cols)
        for first, count in _cut(periods, math.ceil(periods / most))
        for row, rows in _cut(shape[0], down)
        for col, cols in _cut(shape[1], across)
    )


def _cut(length: int, parts: int) -> list[tuple[int, int]]:
    """(start, size) of consecutive parts that differ by one at most."""
    bounds = [i * length // parts for i in range(parts + 1)]
    return [(a, b - a) for a, b in zip(bounds, bounds[1:], strict=False)]


def _digest(value: Any) -> str:
    """Hex sha256 of a JSON-ready value, the same in every run."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
