"""Pixels of cubes that are in memory."""

from collections.abc import Mapping, Sequence

import numpy as np

from cropmap_jax.geo import as_of_windows
from cropmap_jax.geo.cube_io import RawCube
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference.pixels import Pixels
from cropmap_jax.inference.tiling import Box


class MemorySource:
    """A `PixelSource` of cubes in memory, which several threads may use.

    Args:
      cubes: by id, with their pixels as they are stored.
    """

    # As `RasterSource` reads them: the same program then computes the same probabilities.
    by_band = True

    def __init__(self, cubes: Mapping[str, RawCube]):
        self._cubes = cubes

    def read(
        self, cube_id: str, indices: np.ndarray, box: Box, sensors: Sequence[Sensor]
    ) -> Pixels:
        """See `PixelSource.read`; in memory bands come before rows."""
        pixels, missing = self._cubes[cube_id].pixels, indices == as_of_windows.MISSING
        found = {}
        for one in sensors:
            shape = (len(indices), len(one.bands), *box.shape)
            out = np.full(shape, one.nodata, one.dtype)
            rows, cols = slice(box.top, box.bottom), slice(box.left, box.right)
            there = pixels[one.name][indices[~missing], rows, cols]
            out[~missing] = np.moveaxis(there, -1, 1)
            found[one.name] = np.moveaxis(out, 1, -1)
        return found
