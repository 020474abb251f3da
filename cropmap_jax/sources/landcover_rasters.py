"""A user's land-cover raster, in any CRS and resolution, on the grid of a cube."""

import hashlib
import pathlib

import numpy as np
import pyproj
import rasterio.io
from odc.geo.geobox import GeoBox
from rasterio.windows import Window

from cropmap_jax.geo.geotiffs import naming, open_geotiff
from cropmap_jax.geo.landcover import NO_CODE, LandCover

_MOST_POINTS = 1 << 20
"""Pixels whose places are computed at once."""


def sha256(file: pathlib.Path) -> str:
    """Digest of a file, hex.

    Raises:
      ValueError: there is none.
    """
    if not file.is_file():
        raise ValueError(f"{file}: expected a GeoTIFF of land cover, found no file")
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def read(file: pathlib.Path, geobox: GeoBox, table: LandCover) -> np.ndarray:
    """The codes of a raster at the middle of every pixel of a grid: nearest, nothing shifted.

    Args:
      file: a GeoTIFF of one band of integers.
      geobox: the grid.
      table: the codes that there may be.

    Returns:
      uint8 [H, W], NO_CODE where the raster has its no-data value or 0.

    Raises:
      ValueError: names the file: not a GeoTIFF, several bands, no integers, no CRS, codes that the
        table does not hold, or a raster that does not cover the grid.
    """
    with open_geotiff(file, sidecars=True) as raster:
        if raster.count != 1 or np.dtype(raster.dtypes[0]).kind not in "iu":
            raise ValueError(
                f"{file}: expected one band of integers, found {raster.count} of {raster.dtypes[0]}"
            )
        if raster.crs is None:
            raise ValueError(f"{file}: expected a CRS such as EPSG:4326, found none")
        to_raster = pyproj.Transformer.from_crs(
            pyproj.CRS.from_wkt(geobox.crs.to_wkt() if geobox.crs else ""),
            pyproj.CRS.from_wkt(raster.crs.to_wkt()),
            always_xy=True,
        )
        height, width = geobox.shape
        out = np.empty((height, width), np.uint8)
        step = max(1, _MOST_POINTS // width)
        for top in range(0, height, step):
            rows = np.arange(top, min(top + step, height))
            with naming(file):
                out[rows] = _rows(raster, to_raster, geobox, rows, table, file)
    return out


def _rows(
    raster: rasterio.io.DatasetReader,
    to_raster: pyproj.Transformer,
    geobox: GeoBox,
    rows: np.ndarray,
    table: LandCover,
    file: pathlib.Path,
) -> np.ndarray:
    """Codes of some rows of a grid, uint8 [rows, W]."""
    x, y = np.meshgrid(np.arange(geobox.shape[1]) + 0.5, rows + 0.5)
    a = geobox.affine
    x, y = to_raster.transform(a.a * x + a.b * y + a.c, a.d * x + a.e * y + a.f)
    inverse = ~raster.transform
    col = np.floor(inverse.a * x + inverse.b * y + inverse.c)
    row = np.floor(inverse.d * x + inverse.e * y + inverse.f)
    # What cannot be transformed is infinite, and outside too.
    outside = ~((row >= 0) & (row < raster.height) & (col >= 0) & (col < raster.width))
    if outside.any():
        raise ValueError(
            f"{file}: expected a raster that covers the cubes, found {int(outside.sum())} of "
            f"{outside.size} pixels of rows {rows[0]} to {rows[-1]} outside of it"
        )
    row, col = row.astype(np.int64), col.astype(np.int64)
    first = int(row.min()), int(col.min())
    size = int(row.max()) - first[0] + 1, int(col.max()) - first[1] + 1
    stored = raster.read(1, window=Window(first[1], first[0], size[1], size[0]), masked=True)
    codes = stored.filled(NO_CODE)
    found: np.ndarray = codes[row - first[0], col - first[1]]
    table.check_raster(found, str(file))
    return found.astype(np.uint8)
