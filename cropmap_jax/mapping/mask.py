"""Which pixels a map is to leave out: a raster of any grid, 0 or nodata where nothing is mapped."""

import hashlib
import os

import numpy as np
import rasterio
import rasterio.errors
import rasterio.warp
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

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
            self._crs, self._bounds = raster.crs, raster.bounds
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
        """Share of the corners and edges' middles of a grid that lie in the mask's rectangle."""
        box = geobox.boundingbox
        xs, ys = np.meshgrid(
            np.linspace(box.left, box.right, 5), np.linspace(box.bottom, box.top, 5)
        )
        try:
            crs = rasterio.CRS.from_wkt(geobox.crs.to_wkt()) if geobox.crs else None
            x, y = rasterio.warp.transform(crs, self._crs, xs.ravel(), ys.ravel())[:2]
        except rasterio.errors.RasterioError as error:
            raise ValueError(
                f"{self._name}: expected a coordinate system with a way from {geobox.crs}, found "
                f"{self._crs.to_string()[:60]!r}"
            ) from error
        left, bottom, right, top = self._bounds
        off = 1e-6 * max(abs(right - left), abs(top - bottom))
        inside = (np.array(x) >= min(left, right) - off) & (np.array(x) <= max(left, right) + off)
        inside &= (np.array(y) >= min(bottom, top) - off) & (np.array(y) <= max(bottom, top) + off)
        return float(inside.mean())

    def left_out(self, geobox: GeoBox) -> np.ndarray:
        """Where nothing is to be mapped, bool [H, W]: 0, nodata, NaN or beyond the mask.

        Args:
          geobox: the grid.

        Raises:
          ValueError: names the file if it is damaged.
        """
        if geobox.crs is None:
            raise ValueError("grid: expected one with a CRS, found none")
        height, width = geobox.shape
        with (
            geotiffs.open_geotiff(self._path, sidecars=True) as raster,
            WarpedVRT(
                raster,
                crs=rasterio.CRS.from_wkt(geobox.crs.to_wkt()),
                transform=geobox.affine,
                height=height,
                width=width,
                resampling=Resampling.nearest,
                # The centre of each pixel itself, not an approximation between a few of them.
                tolerance=0,
            ) as here,
        ):
            values = here.read(1, masked=True)
        out = np.ma.getmaskarray(values) | (values.data == 0)
        if np.issubdtype(values.dtype, np.floating):
            out |= np.isnan(values.data)
        found: np.ndarray = out
        return found


def _hash(path: os.PathLike[str]) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
    return digest.hexdigest()[:16]
