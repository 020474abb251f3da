"""Pixels around a field, of every period of its cube."""

import dataclasses

import numpy as np

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.geo import indices as index_table
from cropmap_jax.geo import periods
from cropmap_jax.geo.indices import Index
from cropmap_jax.inference.dataset_source import DatasetSource
from cropmap_jax.inference.tiling import Box
from cropmap_jax.review.pieces import Piece

GREENNESS = "ndvi"
"""The index whose curve people read a season from."""


@dataclasses.dataclass(frozen=True)
class Patch:
    """Pixels of a rectangle of a cube.

    Args:
      pixels: by sensor, float32 [T, h, w, bands] in the sensor's unit, NaN missing.
      greenness: float32 [T, h, w], NDVI, NaN missing; None where the bands for it are not there.
      spans: int [T, 2], periods, days since 1970-01-01.
    """

    pixels: dict[str, np.ndarray]
    greenness: np.ndarray | None
    spans: np.ndarray

    @property
    def days(self) -> np.ndarray:
        """float64 [T], middles of the periods, days since 1970-01-01."""
        middles: np.ndarray = self.spans.mean(1)
        return middles

    @property
    def dates(self) -> list[str]:
        """ISO dates of the periods' first days."""
        return [str(periods.from_day(int(start))) for start in self.spans[:, 0]]

    def features(self) -> np.ndarray:
        """float32 [h, w, features], all bands of all periods and NDVI."""
        parts = list(self.pixels.values())
        parts += [] if self.greenness is None else [self.greenness[..., None]]
        found = [np.moveaxis(part, 0, 2) for part in parts]
        return np.concatenate([p.reshape(*p.shape[:2], -1) for p in found], -1)


class Patches:
    """Reads patches of a dataset.

    Args:
      data: with all annotation in one split.
    """

    def __init__(self, data: Dataset):
        self._data, self._source = data, DatasetSource(data)
        self._index = _greenness(data)

    def read(self, piece: Piece, around: int = 0) -> Patch:
        """The patch of a piece, with so many pixels more on every side, as far as the cube goes."""
        height, width = piece.own.shape
        row = self._data.cubes[piece.cube]
        box = Box(piece.top, piece.left, piece.top + height, piece.left + width).grow(around)
        return self.of_box(piece.cube, box.common(Box(0, 0, *row["shape"])) or box)

    def of_box(self, cube: int, box: Box) -> Patch:
        """The patch of a rectangle of a cube."""
        data, spans = self._data, self._data.periods(cube)
        count = np.arange(len(spans))
        stored = self._source.read(data.cubes[cube]["id"], count, box, data.sensors)
        pixels = {one.name: one.decode(stored[one.name]) for one in data.sensors}
        greenness = None
        if self._index is not None:
            (sensor,) = (s for s in data.sensors if s.name == self._index.sensor)
            values = index_table.compute(pixels[sensor.name], sensor, (self._index,))
            greenness = values[..., len(sensor.bands)]
        return Patch(pixels, greenness, spans)


def _greenness(data: Dataset) -> Index | None:
    """NDVI, where a sensor of the dataset has its bands."""
    one = index_table.INDICES[GREENNESS]
    for sensor in data.sensors:
        if sensor.name == one.sensor and set(one.bands) <= set(sensor.bands):
            return one
    return None
