"""The tile grid: UTM-aligned tiles of 128 x 128 true 10 m pixels, and the blocks they fall in.

A tile is named by its UTM zone and its column and row counted from the zone's origin, so that two
runs over overlapping regions meet on the same tiles. A block is 8 x 8 tiles (10.24 km).
"""

import functools
import math
from collections.abc import Iterator

import pyproj
from affine import Affine
from odc.geo.geobox import GeoBox

PIXEL_M = 10.0
TILE_PX = 128
TILES_PER_BLOCK = 8
TILE_M = TILE_PX * PIXEL_M
BLOCK_M = TILE_M * TILES_PER_BLOCK


def utm_epsg(lon: float, lat: float) -> int:
    """EPSG code of the WGS 84 / UTM zone of a place in degrees.

    The exceptions for Norway and Svalbard are not applied: Sentinel-2's own tiling keeps the
    regular six-degree zones there too.

    Raises:
      ValueError: outside the UTM's latitudes (80 S to 84 N) or not a longitude.
    """
    if not (-180 <= lon <= 180 and -80 <= lat <= 84):
        raise ValueError(f"place: expected lon -180..180 and lat -80..84, found {lon}, {lat}")
    zone = min(int((lon + 180) // 6) + 1, 60)
    return (32600 if lat >= 0 else 32700) + zone


def tile_geobox(epsg: int, col: int, row: int) -> GeoBox:
    """GeoBox of one tile; `col` counts eastwards and `row` northwards from the zone's origin."""
    x, y = col * TILE_M, (row + 1) * TILE_M
    affine = Affine(PIXEL_M, 0, x, 0, -PIXEL_M, y)
    return GeoBox((TILE_PX, TILE_PX), affine, f"EPSG:{epsg}")


def tile_id(epsg: int, col: int, row: int) -> str:
    """Name of a tile, e.g. `32639_0412_03012`: zone, column, row."""
    return f"{epsg}_{col:04d}_{row:05d}"


def tiles_covering(
    epsg: int, left: float, bottom: float, right: float, top: float
) -> Iterator[tuple[int, int]]:
    """(col, row) of every tile that a rectangle in metres of the zone touches, south-west first.

    Raises:
      ValueError: an empty rectangle.
    """
    if not (left < right and bottom < top):
        raise ValueError(
            f"rectangle: expected left < right and bottom < top, found "
            f"{left}, {bottom}, {right}, {top}"
        )
    cols = range(math.floor(left / TILE_M), math.ceil(right / TILE_M))
    rows = range(math.floor(bottom / TILE_M), math.ceil(top / TILE_M))
    for row in rows:
        for col in cols:
            yield col, row


def block_id(geobox: GeoBox) -> str:
    """Block (10.24 km square of its own CRS) that holds the centre of a GeoBox.

    Tiles nest in blocks, so all of a tile lies in its block. Other grids may reach over the edge:
    a cube still has one block, the one of its centre.
    """
    x, y = _centre(geobox)
    code = geobox.crs.to_epsg() if geobox.crs is not None else None
    return f"{code or 'local'}_{math.floor(x / BLOCK_M):04d}_{math.floor(y / BLOCK_M):05d}"


def check_true_pixels(geobox: GeoBox, where: str) -> None:
    """Requires square, north-up pixels in a projected CRS that keeps ground distance.

    EPSG:3857 stretches "10 m" to 5.6-8.9 m on the ground between 27 and 56 degrees; UTM keeps
    scale within 0.1 %, the national grids and EPSG:3035 (Europe) within 4 %.

    Raises:
      ValueError: a geographic CRS, Web Mercator, a CRS whose unit at this place is more than 5 %
        off a metre on the ground, a rotated or flipped grid, or pixels that are not square.
    """
    a = geobox.affine
    if geobox.crs is None:
        raise ValueError(f"{where}: expected a projected CRS such as EPSG:32639, found none")
    if geobox.crs.geographic or geobox.crs.to_epsg() == 3857:
        raise ValueError(
            f"{where}: expected a CRS with true metres such as EPSG:32639 (UTM), found {geobox.crs}"
        )
    if a.b or a.d or a.a <= 0 or a.e >= 0 or not math.isclose(a.a, -a.e, rel_tol=1e-6):
        raise ValueError(f"{where}: expected square north-up pixels, found affine {tuple(a)[:6]}")
    east, north = _ground_metres_per_unit(geobox)
    # Written so that a place outside the CRS, whose scale is not a number, is refused too.
    if not (abs(east - 1) < 0.05 and abs(north - 1) < 0.05):
        raise ValueError(
            f"{where}: expected a CRS with true metres such as EPSG:32639 (UTM), found "
            f"{geobox.crs}, one unit of which measures {east:.3g} m eastwards and {north:.3g} m "
            f"northwards at {', '.join(f'{v:.3f}' for v in to_lonlat(geobox))}"
        )


def _ground_metres_per_unit(geobox: GeoBox) -> tuple[float, float]:
    """Metres on the WGS 84 ellipsoid of one unit of the CRS, in x and in y, at the centre."""
    x, y = _centre(geobox)
    step = 100.0
    lons, lats = _of(geobox).transform([x, x + step, x], [y, y, y + step])
    if not all(map(math.isfinite, (*lons, *lats))):
        return math.nan, math.nan
    _, _, metres = pyproj.Geod(ellps="WGS84").inv([lons[0]] * 2, [lats[0]] * 2, lons[1:], lats[1:])
    return metres[0] / step, metres[1] / step


def to_lonlat(geobox: GeoBox) -> tuple[float, float]:
    """Longitude and latitude in degrees of the centre of a GeoBox."""
    longitude, latitude = _of(geobox).transform(*_centre(geobox))
    return longitude, latitude


def _of(geobox: GeoBox) -> pyproj.Transformer:
    if geobox.crs is None:
        raise ValueError(f"expected a grid with a CRS, found none: {geobox}")
    return to_degrees(str(geobox.crs))


@functools.lru_cache(maxsize=128)
def to_degrees(crs: str) -> pyproj.Transformer:
    """Coordinates of a CRS to longitude and latitude; threads may share it.

    It takes milliseconds to make, and all cubes of a zone use the same.
    """
    return pyproj.Transformer.from_crs(crs, 4326, always_xy=True)


def _centre(geobox: GeoBox) -> tuple[float, float]:
    # Written out: affine 3 deprecates `*` with a point, and affine 2 does not have `@`.
    height, width = geobox.shape
    a, col, row = geobox.affine, width / 2, height / 2
    return a.a * col + a.b * row + a.c, a.d * col + a.e * row + a.f
