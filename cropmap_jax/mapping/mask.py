"""Which pixels a map is to leave out: a raster of any grid, 0 or nodata where nothing is mapped."""

import functools
import hashlib
import os

import numpy as np
import pyproj
from odc.geo.geobox import GeoBox
from pyproj.exceptions import ProjError
from rasterio.windows import Window

from cropmap_jax.geo import files, geotiffs

_CHUNK = 2**20


class Mask:
    """A GeoTIFF of one band, read on the grid of whatever is mapped.

    Each pixel takes the value of the mask's pixel in which its centre lies (nearest neighbour).

    Args:
      path: the GeoTIFF.
      flag: what to name in an error.

    Raises:
      ValueError: names the flag and the file: there is none, it is no GeoTIFF, has several bands,
        or does not say where it lies.
    """

    def __init__(self, path: str | os.PathLike[str], flag: str = "--mask"):
        self._path, self._name = files.local(flag, path), f"{flag} {os.fspath(path)}"
        if not self._path.is_file():
            raise ValueError(f"{self._name}: expected a GeoTIFF, found no file")
        with geotiffs.open_geotiff(self._path, sidecars=True) as raster:
            if raster.count != 1:
                raise ValueError(f"{self._name}: expected one band, found {raster.count}")
            if raster.crs is None or raster.transform.is_identity:
                raise ValueError(
                    f"{self._name}: expected a raster with a coordinate system and the place of "
                    f"its pixels, found {'no CRS' if raster.crs is None else 'no place'}"
                )
            self._crs = pyproj.CRS(raster.crs.to_wkt())
            self._transform, self._shape = raster.transform, raster.shape
        self.digest = _hash(self._path)

    def check(self, geoboxes: list[GeoBox]) -> list[str]:
        """Requires a mask that covers some of the ground to map.

        Args:
          geoboxes: the grids that are mapped.

        Returns:
          Notes: how many of them reach beyond the mask, where nothing is mapped.

        Raises:
          ValueError: it covers none of them, or cannot be turned into their CRS.
        """
        covered = [self._cover(geobox) for geobox in geoboxes]
        if not any(covered):
            raise ValueError(
                f"{self._name}: expected a raster of the ground to map, found one that covers "
                f"none of the cubes"
            )
        beyond = sum(share < 1 for share in covered)
        if not beyond:
            return []
        return [
            f"{self._name} does not cover all of {beyond} of {len(geoboxes)} cubes: what lies "
            f"beyond it is masked"
        ]

    def _cover(self, geobox: GeoBox) -> float:
        """Share of points all over a grid, its corners among them, that lie on the mask."""
        height, width = geobox.shape
        rows, cols = np.meshgrid(
            np.linspace(0.5, height - 0.5, 5), np.linspace(0.5, width - 0.5, 5)
        )
        try:
            return float(self._place(geobox, rows, cols)[2].mean())
        except ProjError as error:
            raise ValueError(
                f"{self._name}: expected a coordinate system with a way from {geobox.crs}, found "
                f"{self._crs.name[:60]!r}"
            ) from error

    def _place(
        self, geobox: GeoBox, rows: np.ndarray, cols: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows and columns of the mask in which places of a grid lie, and whether there are such.

        Args:
          geobox: the grid.
          rows, cols: float [H, W], in pixels from its upper left corner.
        """
        if geobox.crs is None:
            raise ValueError("grid: expected one with a CRS, found none")
        a, crs = geobox.affine, pyproj.CRS(geobox.crs.to_wkt())
        x, y = a.a * cols + a.b * rows + a.c, a.d * cols + a.e * rows + a.f
        if crs != self._crs:
            x, y = _transformer(crs, self._crs).transform(x, y)
        b = ~self._transform
        with np.errstate(invalid="ignore"):
            row, col = np.floor(b.d * x + b.e * y + b.f), np.floor(b.a * x + b.b * y + b.c)
            there = (row >= 0) & (row < self._shape[0]) & (col >= 0) & (col < self._shape[1])
        return row, col, there

    def left_out(self, geobox: GeoBox) -> np.ndarray:
        """Where nothing is to be mapped, bool [H, W]: 0, nodata, NaN or beyond the mask.

        Args:
          geobox: the grid.

        Raises:
          ValueError: names the file if it is damaged.
        """
        rows, cols = np.indices(geobox.shape) + 0.5
        row, col, there = self._place(geobox, rows, cols)
        out = np.ones(there.shape, bool)
        if not there.any():
            return out
        row, col = row[there].astype(int), col[there].astype(int)
        top, left = row.min(), col.min()
        window = Window(left, top, col.max() - left + 1, row.max() - top + 1)
        with geotiffs.open_geotiff(self._path, sidecars=True) as raster:
            values = raster.read(1, window=window, masked=True)
        off = np.ma.getmaskarray(values) | (values.data == 0)
        if np.issubdtype(values.dtype, np.floating):
            off |= np.isnan(values.data)
        out[there] = off[row - top, col - left]
        return out


# Looking for the best operation between two CRSs takes longer than moving a cube.
@functools.lru_cache(maxsize=16)
def _transformer(source: pyproj.CRS, target: pyproj.CRS) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def _hash(path: os.PathLike[str]) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
    return digest.hexdigest()[:16]
