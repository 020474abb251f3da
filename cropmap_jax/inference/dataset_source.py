"""Pixels of a dataset's cubes, put together from the chips that they were cut into."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.data.examples import Source
from cropmap_jax.geo import legend
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference import pixels
from cropmap_jax.inference.pixels import Pixels
from cropmap_jax.inference.tiling import Box


class DatasetSource:
    """A `PixelSource` of the cubes of a dataset, whatever their split, and their annotation.

    Of a chip that a box touches, the periods of the window are read and no others.

    Args:
      data: the dataset.
      split: whose annotation is read; that of the cube if None. Of a fold, splits share cubes.
    """

    def __init__(self, data: Dataset, split: str | None = None):
        self._data, self._split = data, split
        self._number = {row["id"]: index for index, row in enumerate(data.cubes)}
        # Which records are of which cube: `order` sorts a split's chip table by cube.
        self._order = {s: np.argsort(t.cube, kind="stable") for s, t in data.chips.items()}
        self._open = functools.cache(data.source)

    def read(
        self, cube_id: str, indices: np.ndarray, box: Box, sensors: Sequence[Sensor]
    ) -> Pixels:
        """See `PixelSource.read`."""
        index = self._number[cube_id]
        split, chip = self._data.cubes[index]["split"], self._data.chip
        source: Source = self._open(split)
        out = pixels.empty(sensors, len(indices), box.shape)
        whole = pixels.empty(sensors, len(indices), (chip, chip))
        for record, place in self._chips(index, split, box):
            source.read_window(record, indices, whole)
            shared = place.common(box)
            if shared is None:
                continue
            (rows, cols), (to_rows, to_cols) = shared.inside(place), shared.inside(box)
            for name, values in out.items():
                values[:, to_rows, to_cols] = whole[name][:, rows, cols]
        return out

    def label(self, index: int) -> np.ndarray:
        """What is annotated of a cube, uint8 [H, W].

        Args:
          index: number of the cube in `Dataset.cubes`.

        Raises:
          ValueError: names the file that is damaged.
        """
        out = np.full(self._shape(index), legend.IGNORE, np.uint8)
        return self._assemble(index, lambda source: source.label, out)

    def fields(self, index: int) -> np.ndarray:
        """Ids of the fields in a cube, uint32 [H, W], 0 where there is none; as `label`."""
        out = np.zeros(self._shape(index), np.uint32)
        return self._assemble(index, lambda source: source.fields, out)

    def _assemble(
        self,
        index: int,
        reader: Callable[[Source], Callable[[int], np.ndarray]],
        out: np.ndarray,
    ) -> np.ndarray:
        whole = Box(0, 0, *out.shape)
        split = self._split or self._data.cubes[index]["split"]
        read = reader(self._open(split))
        for record, place in self._chips(index, split, whole):
            shared = place.common(whole)
            if shared is not None:
                out[shared.inside(whole)] = read(record)[shared.inside(place)]
        return out

    def _shape(self, index: int) -> tuple[int, int]:
        height, width = self._data.cubes[index]["shape"]
        return int(height), int(width)

    def _chips(self, index: int, split: str, box: Box) -> list[tuple[int, Box]]:
        """Records of a cube whose chips touch a box, and where they lie in the cube."""
        chip = self._data.chip
        table, order = self._data.chips[split], self._order[split]
        low, high = np.searchsorted(table.cube, [index, index + 1], sorter=order)
        own = order[low:high]
        rows, cols = table.row[own], table.col[own]
        near = (rows < box.bottom) & (rows + chip > box.top)
        near &= (cols < box.right) & (cols + chip > box.left)
        return [
            (int(record), Box(0, 0, chip, chip).shift(int(row), int(col)))
            for record, row, col in zip(own[near], rows[near], cols[near], strict=True)
        ]
