"""Pixels of a folder of cubes, read from their rasters."""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from cropmap_jax.geo import as_of_windows, cube, cube_io, geotiffs
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference.pixels import Pixels
from cropmap_jax.inference.tiling import Box


class RasterSource:
    """A `PixelSource` of cubes in folders.

    Args:
      folders: of each cube, by id.
    """

    def __init__(self, folders: Mapping[str, pathlib.Path]):
        self._folders = folders
        # Large cubes are read part by part: their item need not be parsed as often.
        self._info = functools.lru_cache(maxsize=64)(cube_io.read_info)

    def read(
        self, cube_id: str, indices: np.ndarray, box: Box, sensors: Sequence[Sensor]
    ) -> Pixels:
        """See `PixelSource.read`."""
        info = self._info(self._folders[cube_id])
        return {one.name: read_window(info, one, indices, box) for one in sensors}


def read_window(info: cube.CubeInfo, sensor: Sensor, indices: np.ndarray, box: Box) -> np.ndarray:
    """Reads some periods of a piece of a cube as stored.

    Args:
      info: the cube.
      sensor: one of its sensors.
      indices: int [N] periods, MISSING before the cube begins.
      box: pixels from the cube's upper left corner.

    Returns:
      [N, H, W, bands] of the sensor's dtype; its nodata in periods from before the cube begins.

    Raises:
      ValueError: names the file that is missing, damaged or not what the item says.
    """
    if info.path is None:
        raise ValueError(f"cube {info.cube_id}: expected a cube on disk, found one in memory")
    file = info.path / f"{sensor.name}.tif"
    bands = len(sensor.bands)
    out = np.full((len(indices), *box.shape, bands), sensor.nodata, sensor.dtype)
    present = np.flatnonzero(indices != as_of_windows.MISSING)
    wanted = [int(i) * bands + band + 1 for i in indices[present] for band in range(bands)]
    if not file.is_file():
        raise ValueError(f"{file}: expected the cube's {sensor.name}, found no file")
    with geotiffs.open_geotiff(file) as raster:
        _check(raster, file, info, sensor)
        (height, width), (top, left) = box.shape, box[:2]
        stored = raster.read(wanted, window=Window(left, top, width, height))
    out[present] = np.moveaxis(stored.reshape(len(present), bands, height, width), 1, -1)
    return out


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
