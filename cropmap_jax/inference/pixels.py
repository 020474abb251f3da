"""Pixels of a window, read part by part from however many cubes they lie in."""

import functools
import pathlib

import numpy as np
import rasterio
from rasterio.windows import Window

from cropmap_jax.geo import cube, cube_io, periods, rasters, windows
from cropmap_jax.inference.cache import Cache
from cropmap_jax.inference.mosaic_groups import MosaicGroup
from cropmap_jax.inference.tiling import Box, Part


def read_window(info: cube.CubeInfo, sensor: str, indices: np.ndarray, box: Box) -> np.ndarray:
    """Reads some periods of a piece of a cube as stored.

    Args:
      info: the cube.
      sensor: "s1" or "s2".
      indices: int [N] periods from `windows.window_indices`.
      box: pixels from the cube's upper left corner.

    Returns:
      int16 [N, H, W, bands]; NODATA in periods from before the cube begins.

    Raises:
      ValueError: names the file that is missing, damaged or not what the item says.
    """
    file = info.path / f"{sensor}.tif"
    bands = len(cube.BANDS[sensor])
    out = np.full((len(indices), *box.shape, bands), cube.NODATA, np.int16)
    present = np.flatnonzero(indices != windows.MISSING)
    wanted = [int(i) * bands + band + 1 for i in indices[present] for band in range(bands)]
    if not file.is_file():
        raise ValueError(f"{file}: expected the cube's {sensor}, found no file")
    with rasters.open_geotiff(file) as raster:
        _check(raster, file, info, sensor)
        (height, width), (top, left) = box.shape, box[:2]
        stored = raster.read(wanted, window=Window(left, top, width, height))
    out[present] = np.moveaxis(stored.reshape(len(present), bands, height, width), 1, -1)
    return out


def _check(raster, file: pathlib.Path, info: cube.CubeInfo, sensor: str) -> None:
    names = cube_io.band_names(info, sensor)
    expected = {
        "CRS": rasterio.CRS.from_wkt(info.geobox.crs.to_wkt()),
        "transform": tuple(info.geobox.affine)[:6],
        "shape": (len(names), *info.shape),
        "dtype": "int16",
        "bands": tuple(names),
    }
    found = {
        "CRS": raster.crs,
        "transform": tuple(raster.transform)[:6],
        "shape": (raster.count, raster.height, raster.width),
        "dtype": raster.dtypes[0],
        "bands": tuple(raster.descriptions),
    }
    for what, value in expected.items():
        if found[what] != value:
            raise ValueError(f"{file}: expected {what} {value}, found {found[what]}")


def count_values(pixels: dict[str, np.ndarray]) -> np.ndarray:
    """How many pixels have a value, per period and band.

    Args:
      pixels: int16 [T, H, W, bands] by sensor.

    Returns:
      int64 [T, bands of all sensors].
    """
    counts = [(pixels[sensor] != cube.NODATA).sum((1, 2)) for sensor in cube.BANDS]
    return np.concatenate(counts, -1)


class PixelReader:
    """Reads chips, each part of the ground once as long as memory allows.

    Args:
      grounds: the sheets.
      as_of: exclusive date, days since 1970-01-01.
      num_periods: periods of the window.
      limit: bytes of pixels to keep.
    """

    def __init__(self, grounds: list[MosaicGroup], as_of: int, num_periods: int, limit: int):
        self._grounds, self._as_of, self._periods = grounds, as_of, num_periods
        self._shelf = Cache(limit)
        # Large cubes are read part by part: their item need not be parsed as often.
        self._info = functools.lru_cache(maxsize=64)(cube_io.read_info)

    def expect(self, ground: int, box: Box) -> None:
        """Announces that a box of a sheet will be read."""
        for part in self._grounds[ground].sheet.parts(box):
            self._shelf.expect((ground, part))

    def read(self, ground: int, box: Box) -> dict[str, np.ndarray]:
        """The window of a box of a sheet, as a network takes it.

        Returns:
          s1 int16 [T, H, W, 2] and s2 int16 [T, H, W, 10], NODATA where missing or outside of
          every cube.

        Raises:
          ValueError: names a file that cannot be read.
        """
        out = {
            sensor: np.full((self._periods, *box.shape, len(bands)), cube.NODATA, np.int16)
            for sensor, bands in cube.BANDS.items()
        }
        sheet = self._grounds[ground].sheet
        for part in sheet.parts(box):
            cell = sheet.cell(part)
            stored = self._shelf.get((ground, part))
            if stored is None:
                stored = self._read_part(ground, part)
                self._shelf.put((ground, part), stored)
            shared = cell.common(box)
            for sensor, values in zip(cube.BANDS, stored, strict=True):
                rows, cols = shared.inside(cell)
                to_rows, to_cols = shared.inside(box)
                out[sensor][:, to_rows, to_cols] = values[:, rows, cols]
            self._shelf.used((ground, part))
        return out

    def _read_part(self, ground: int, part: Part) -> tuple[np.ndarray, ...]:
        found = self._grounds[ground]
        cell = found.sheet.cell(part)
        out = [
            np.full((self._periods, *cell.shape, len(bands)), cube.NODATA, np.int16)
            for bands in cube.BANDS.values()
        ]
        for number in found.sheet.cubes(cell):
            info = self._info(found.cubes[number].path)
            spans, where = periods.to_days(info.periods), f"cube {info.cube_id}"
            chosen = windows.window_indices(spans, self._as_of, self._periods, where)
            whole = found.sheet.boxes[number]
            shared = cell.common(whole)
            rows, cols = shared.inside(cell)
            box = shared.shift(-whole.top, -whole.left)
            for sensor, values in zip(cube.BANDS, out, strict=True):
                values[:, rows, cols] = read_window(info, sensor, chosen, box)
        return tuple(out)
