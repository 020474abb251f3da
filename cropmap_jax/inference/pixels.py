"""Pixels of a window, read part by part from however many cubes they lie in."""

import threading
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference.cache import Cache
from cropmap_jax.inference.mosaic_groups import MosaicGroup
from cropmap_jax.inference.tiling import Box, Part

Pixels = dict[str, np.ndarray]
"""[T, H, W, C] by sensor, as stored, the sensor's nodata where missing.

In memory bands may come before rows, as rasters hold them: what reads such an array whole is fast
if it goes through it band by band, see `bands_first`. Nobody writes into what was read.
"""


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


def empty(
    sensors: Sequence[Sensor], num_periods: int, shape: tuple[int, int], by_band: bool = False
) -> Pixels:
    """Pixels of which all are missing.

    Args:
      sensors: whose pixels.
      num_periods: T.
      shape: height and width.
      by_band: whether bands come before rows in memory.
    """
    out = {}
    for one in sensors:
        bands = len(one.bands)
        if by_band:
            values = np.full((num_periods, bands, *shape), one.nodata, one.dtype)
            out[one.name] = np.moveaxis(values, 1, -1)
        else:
            out[one.name] = np.full((num_periods, *shape, bands), one.nodata, one.dtype)
    return out


def bands_first(values: np.ndarray) -> np.ndarray | None:
    """[T, H, W, C] as [T, C, H, W], if that is how they lie in memory; else None."""
    moved = np.moveaxis(values, -1, 1)
    return moved if moved.flags.c_contiguous else None


def count_values(pixels: Pixels, sensors: Sequence[Sensor]) -> np.ndarray:
    """How many pixels have a value, per period and band.

    Returns:
      int64 [T, bands of all sensors, in their order].
    """
    counts = []
    for one in sensors:
        there = np.moveaxis(pixels[one.name] != one.nodata, -1, 1)
        # One band at a time: numpy counts what is contiguous ten times as fast as it sums axes.
        counts.append([[np.count_nonzero(band) for band in period] for period in there])
    return np.concatenate([np.array(count, np.int64) for count in counts], -1)


def seen(pixels: Pixels, sensors: Sequence[Sensor]) -> np.ndarray:
    """bool [H, W], where any sensor has any value in the window."""
    first, *others = ((pixels[one.name] != one.nodata).any(axis=(0, 3)) for one in sensors)
    found: np.ndarray = first
    for other in others:
        found = found | other
    return found


class PixelReader:
    """Reads boxes of mosaic groups, each part of the ground once as long as memory allows.

    Several threads may read, where the source allows it.

    Args:
      source: where pixels come from.
      sensors: whose pixels.
      limit: bytes of pixels to keep.
    """

    def __init__(self, source: PixelSource, sensors: Sequence[Sensor], limit: int):
        self._source, self._sensors = source, tuple(sensors)
        self._by_band = bool(getattr(source, "by_band", False))
        self._held = Cache(limit)
        self._lock = threading.Lock()  # of the cache; never held while a source reads

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
          By sensor, what is stored; nodata where missing or outside of every cube. Read only.

        Raises:
          ValueError: names a file that cannot be read.
        """
        parts = group.tiling.parts(box)
        if len(parts) == 1 and box.common(group.tiling.cell(parts[0])) == box:
            shared, cell, held = self._part(group, parts[0], box)
            rows, cols = shared.inside(cell)
            names = (one.name for one in self._sensors)
            return dict(zip(names, (values[:, rows, cols] for values in held), strict=True))
        out = empty(self._sensors, len(group.window.indices), box.shape, self._by_band)
        for part in parts:
            shared, cell, held = self._part(group, part, box)
            (rows, cols), (to_rows, to_cols) = shared.inside(cell), shared.inside(box)
            for target, values in zip(out.values(), held, strict=True):
                target[:, to_rows, to_cols] = values[:, rows, cols]
        return out

    def _part(
        self, group: MosaicGroup, part: Part, box: Box
    ) -> tuple[Box, Box, tuple[np.ndarray, ...]]:
        """What a box and a part share; a box around it, and the pixels of that box by sensor."""
        cell, key = group.tiling.cell(part), (group, part)
        shared = cell.common(box)
        if shared is None:
            raise AssertionError(f"{part} is not a part of {box}")
        with self._lock:
            held, again = self._held.get(key), self._held.uses(key) > 1
        # What nobody will look at again is not read.
        around = cell if held is not None or again else shared
        if held is None:
            held = tuple(self._read_box(group, around).values())
            for values in held:
                values.flags.writeable = False
        with self._lock:
            if again and key not in self._held:
                self._held.put(key, held)
            self._held.used(key)
        return shared, around, held

    def _read_box(self, group: MosaicGroup, box: Box) -> Pixels:
        numbers = group.tiling.cubes(box)
        if len(numbers) == 1 and box.common(group.tiling.boxes[numbers[0]]) == box:
            return self._read_cube(group, numbers[0], box)
        out = empty(self._sensors, len(group.window.indices), box.shape, self._by_band)
        for number in numbers:
            shared = box.common(group.tiling.boxes[number])
            if shared is None:
                continue
            rows, cols = shared.inside(box)
            for name, values in self._read_cube(group, number, shared).items():
                out[name][:, rows, cols] = values
        return out

    def _read_cube(self, group: MosaicGroup, number: int, box: Box) -> Pixels:
        whole, one = group.tiling.boxes[number], group.cubes[number]
        piece = box.shift(-whole.top, -whole.left)
        return self._source.read(one.cube_id, one.window.indices, piece, self._sensors)
