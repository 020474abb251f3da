"""Pixels of a folder of cubes, read from their rasters."""

import functools
import pathlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from cropmap_jax.geo import as_of_windows, cube, cube_io, geotiffs
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference.pixels import Pixels
from cropmap_jax.inference.tiling import Box

MOST_OPEN = 16
"""Rasters that stay open: what is next is mostly of the same cube, or of the one before."""

BLOCK_BYTES = 384 * 2**20
"""Of blocks that GDAL keeps, in a process that has read no raster before. Blocks do not end where
parts do: with fewer than two rows of blocks (36 kB a column of pixels, for six periods of both
Sentinels) each block would be decompressed up to four times."""


class RasterSource:
    """A `PixelSource` of cubes in folders, which several threads may use; a context manager.

    Rasters stay open for a while: to open one takes as long as to read a part of it, and GDAL
    keeps blocks that the next part shares only as long as their raster is open.

    Args:
      folders: of each cube, by id.
    """

    by_band = True

    def __init__(self, folders: Mapping[str, pathlib.Path]):
        self._folders = folders
        # Large cubes are read part by part: their item need not be parsed as often.
        self._info = functools.lru_cache(maxsize=64)(cube_io.read_info)
        self._open: OrderedDict[pathlib.Path, Any] = OrderedDict()
        self._lock = threading.Lock()  # GDAL reads a raster in one thread at a time

    def __enter__(self) -> "RasterSource":
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._keep(0)

    def info(self, cube_id: str) -> cube.CubeInfo:
        """The item of a cube.

        Raises:
          ValueError: names the item if it cannot be read.
        """
        return self._info(self._folders[cube_id])

    def read(
        self, cube_id: str, indices: np.ndarray, box: Box, sensors: Sequence[Sensor]
    ) -> Pixels:
        """See `PixelSource.read`; in memory bands come before rows."""
        info = self.info(cube_id)
        with self._lock:
            return {one.name: self._window(info, one, indices, box) for one in sensors}

    def _window(
        self, info: cube.CubeInfo, sensor: Sensor, indices: np.ndarray, box: Box
    ) -> np.ndarray:
        """[N, H, W, bands] as stored; the sensor's nodata in periods from before the cube begins.

        Args:
          info: the cube.
          sensor: one of its sensors.
          indices: int [N] periods, MISSING before the cube begins.
          box: pixels from the cube's upper left corner.
        """
        bands, (height, width) = len(sensor.bands), box.shape
        missing = int((indices == as_of_windows.MISSING).sum())
        wanted = [int(i) * bands + band + 1 for i in indices[missing:] for band in range(bands)]
        out = np.empty((len(indices), bands, height, width), sensor.dtype)
        out[:missing] = sensor.nodata
        file = info.folder / f"{sensor.name}.tif"
        raster = self._raster(file, info, sensor)
        with geotiffs.naming(file), rasterio.Env(GDAL_CACHEMAX=BLOCK_BYTES):
            flat = out[missing:].reshape(-1, height, width)
            raster.read(wanted, window=Window(box.left, box.top, width, height), out=flat)
        return np.moveaxis(out, 1, -1)

    def _raster(self, file: pathlib.Path, info: cube.CubeInfo, sensor: Sensor) -> Any:
        if file not in self._open:
            if not file.is_file():
                raise ValueError(f"{file}: expected the cube's {sensor.name}, found no file")
            self._keep(MOST_OPEN - 1)
            raster = geotiffs.open_to_keep(file)
            try:
                _check(raster, file, info, sensor)
            except BaseException:
                raster.close()
                raise
            self._open[file] = raster
        self._open.move_to_end(file)
        return self._open[file]

    def _keep(self, count: int) -> None:
        while len(self._open) > count:
            self._open.popitem(last=False)[1].close()


def _check(raster: Any, file: pathlib.Path, info: cube.CubeInfo, sensor: Sensor) -> None:
    names, crs = cube_io.band_names(info, sensor.name), info.geobox.crs
    expected = {
        "CRS": rasterio.CRS.from_wkt(crs.to_wkt()) if crs else None,
        "transform": tuple(info.geobox.affine)[:6],
        "shape": (len(names), *info.shape),
        "dtype": sensor.dtype,
        "bands": tuple(names),
    }
    found = {
        "CRS": raster.crs,
        "transform": tuple(raster.transform)[:6],
        "shape": (raster.count, raster.height, raster.width),
        "dtype": raster.dtypes[0],
        "bands": tuple(raster.descriptions),
    }
    if raster.nodata is not None:  # a raster need not declare any
        expected["nodata"], found["nodata"] = sensor.nodata, raster.nodata
    for what, value in expected.items():
        if found[what] != value:
            raise ValueError(f"{file}: expected {what} {value}, found {found[what]}")
