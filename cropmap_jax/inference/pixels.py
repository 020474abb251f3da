"""Pixels of a window, read part by part from however many cubes they lie in."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference.cache import Cache
from cropmap_jax.inference.mosaic_groups import MosaicGroup
from cropmap_jax.inference.tiling import Box, Part

Pixels = dict[str, np.ndarray]
"""[T, H, W, C] by sensor, as stored, the sensor's nodata where missing."""


class PixelSource(Protocol):
    """Where pixels of cubes come from: a folder's rasters, or the records of a dataset."""

    def read(
        self, cube_id: str, indices: np.ndarray, box: Box, sensors: Sequence[Sensor]
    ) -> Pixels:
        """Some periods of a piece of a cube, as they are stored.

        Args:
          cube_id: which cube.
          indices: int [T] of its periods, from `as_of_windows.Window`: contiguous, MISSING at their
            beginning.
          box: pixels from the cube's upper left corner, all of them within it.
          sensors: whose pixels.

        Raises:
          ValueError: names the file that is missing, damaged or not what was expected.
        """


def empty(sensors: Sequence[Sensor], num_periods: int, shape: tuple[int, int]) -> Pixels:
    """Pixels of which all are missing."""
    return {
        one.name: np.full((num_periods, *shape, len(one.bands)), one.nodata, one.dtype)
        for one in sensors
    }


def count_values(pixels: Pixels, sensors: Sequence[Sensor]) -> np.ndarray:
    """How many pixels have a value, per period and band.

    Returns:
      int64 [T, bands of all sensors, in their order].
    """
    counts = [(pixels[one.name] != one.nodata).sum((1, 2)) for one in sensors]
    return np.concatenate(counts, -1)


def seen(pixels: Pixels, sensors: Sequence[Sensor]) -> np.ndarray:
    """bool [H, W], where any sensor has any value in the window."""
    first, *others = ((pixels[one.name] != one.nodata).any(axis=(0, 3)) for one in sensors)
    found: np.ndarray = first
    for other in others:
        found = found | other
    return found


class PixelReader:
    """Reads boxes of mosaic groups, each part of the ground once as long as memory allows.

    Args:
      source: where pixels come from.
      sensors: whose pixels.
      limit: bytes of pixels to keep.
    """

    def __init__(self, source: PixelSource, sensors: Sequence[Sensor], limit: int):
        self._source, self._sensors = source, tuple(sensors)
        self._held = Cache(limit)

    @property
    def size(self) -> int:
        """Bytes of pixels that are kept now."""
        return self._held.size

    def expect(self, group: MosaicGroup, box: Box) -> None:
        """Announces that a box of a group will be read."""
        for part in group.tiling.parts(box):
            self._held.expect((group, part))

    def read(self, group: MosaicGroup, box: Box) -> Pixels:
        """The group's window of a box, as a predictor takes it.

        Returns:
          By sensor, what is stored; nodata where missing or outside of every cube.

        Raises:
          ValueError: names a file that cannot be read.
        """
        out = empty(self._sensors, len(group.window.indices), box.shape)
        for part in group.tiling.parts(box):
            cell, key = group.tiling.cell(part), (group, part)
            shared = cell.common(box)
            if shared is None:
                continue
            held = self._held.get(key)
            if held is None:
                # What nobody will look at again is not read.
                cell = cell if self._held.uses(key) > 1 else shared
                held = tuple(self._read_box(group, part, cell).values())
                if cell != shared:
                    self._held.put(key, held)
            (rows, cols), (to_rows, to_cols) = shared.inside(cell), shared.inside(box)
            for target, values in zip(out.values(), held, strict=True):
                target[:, to_rows, to_cols] = values[:, rows, cols]
            self._held.used(key)
        return out

    def _read_box(self, group: MosaicGroup, part: Part, box: Box) -> Pixels:
        out = empty(self._sensors, len(group.window.indices), box.shape)
        for number in group.tiling.cubes(box):
            whole, one = group.tiling.boxes[number], group.cubes[number]
            shared = box.common(whole)
            if shared is None:
                continue
            rows, cols = shared.inside(box)
            piece = shared.shift(-whole.top, -whole.left)
            found = self._source.read(one.cube_id, one.window.indices, piece, self._sensors)
            for name, values in out.items():
                values[:, rows, cols] = found[name]
        return out
