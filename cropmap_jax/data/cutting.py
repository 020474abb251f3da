"""Cuts cubes into chips, piece by piece: of a whole dataset, or of some of its shards."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cropmap_jax.data import chips, cube_set
from cropmap_jax.data.band_statistics import Statistics
from cropmap_jax.data.examples import Record
from cropmap_jax.data.fold_writing import FoldsToWrite
from cropmap_jax.data.read_plan import Piece, Window
from cropmap_jax.geo import cube_io, legend, periods, splits
from cropmap_jax.geo.landcover import Choice, none_by_map
from cropmap_jax.geo.sensors import Sensor

Table = dict[str, list[Any]]
"""Of chips, in their order: "cube", "row", "col", "pixels" and, with land cover, "weak"."""


@dataclasses.dataclass(frozen=True)
class Cut:
    """How all cubes of a dataset are cut.

    Args:
      chip: side of a chip in pixels.
      sensors: of the cubes.
      landcover: what land-cover maps are taken for.
      covered: whether they are taken for anything.
      fields_from_label: whether connected components of the label count as fields where none are
        given.
    """

    chip: int
    sensors: tuple[Sensor, ...]
    landcover: Choice
    covered: bool
    fields_from_label: bool

    def empty(self) -> Table:
        """A table of no chips."""
        return {name: [] for name in ("cube", "row", "col", "pixels", *["weak"][: self.covered])}


class Cutter:
    """Reads pieces one after the other; a context manager.

    Args:
      how: to cut.
      folds: of the dataset, which counts pixels as they come; None without folds.
      before: the piece that came before the first one, elsewhere: its cube was verified there, and
        the values of its window counted.
      on_cube: called after each cube.
    """

    def __init__(
        self,
        how: Cut,
        folds: FoldsToWrite | None = None,
        before: Piece | None = None,
        on_cube: Callable[[], object] = lambda: None,
    ):
        self._how, self._folds, self._on_cube = how, folds, on_cube
        self.statistics = {sensor.name: Statistics(sensor) for sensor in how.sensors}
        self._verified = before.index if before else None
        self._counted = (before.index, before.window) if before else None
        self._open = contextlib.ExitStack()
        self._cube: int | None = None
        self._part: tuple[Window, cube_io.RawCube] | None = None

    def __enter__(self) -> "Cutter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the cube that is open; raises if it has changed meanwhile."""
        self._open.close()

    def cut(self, shard: list[Piece], split: str, table: Table) -> Iterator[Record]:
        """Chips of a shard; each gets a row of the table.

        Args:
          shard: the pieces.
          split: whose they are; values of "train" are counted in `statistics`.
          table: of the split.

        Raises:
          ValueError: names a file that is damaged or has changed.
        """
        for piece in shard:
            raw = self._read(piece, split)
            for example in _cut_cube(raw, piece, self._how.chip):
                example["cube_index"] = piece.index
                counts = np.bincount(example["label"].ravel(), minlength=256)
                table["cube"].append(piece.index)
                table["row"].append(example["row"])
                table["col"].append(example["col"])
                classes = counts[: len(raw.info.legend)]
                table["pixels"].append([int(c) for c in (*classes, counts[legend.NONE_OF_THESE])])
                if self._how.covered:
                    table["weak"].append(int(counts[legend.WEAK_NONE]))
                if self._folds:
                    self._folds.count(piece.index, example, len(classes))
                yield example
            if piece.last:
                self._on_cube()

    def _read(self, piece: Piece, split: str) -> cube_io.RawCube:
        """Pixels of a piece's window; a cube stays open, and a window in memory, until the next."""
        if self._cube != piece.index:
            self._open_cube(piece)
        if self._part is None or self._part[0] != piece.window:
            raw = self._reader.read(piece.window.rows, piece.window.cols)
            if self._fields is not None:
                fields = self._fields[piece.window.rows, piece.window.cols]
                raw = dataclasses.replace(raw, fields=fields)
            if self._folds:
                raw = dataclasses.replace(raw, label=self._folds.label(piece, raw.label))
            if self._weak is not None:
                raw = dataclasses.replace(raw, label=self._with_weak(piece, raw.label, self._weak))
            if split == "train" and self._counted != (piece.index, piece.window):
                new = (slice(None), *piece.window.new)
                for name, statistics in self.statistics.items():
                    statistics.add(raw.pixels[name][new])
            self._part = piece.window, raw
            return raw
        return self._part[1]

    def _open_cube(self, piece: Piece) -> None:
        self._open.close()
        folder = cube_set.folder_of(piece.info)
        verify = self._verified != piece.index
        self._reader = self._open.enter_context(cube_io.open_cube(folder, verify=verify))
        if self._reader.info != piece.info:
            raise ValueError(f"{folder}: changed since the build began")
        self._fields = None
        self._weak = weak_pixels(self._reader, self._how.landcover) if self._how.covered else None
        if not piece.info.has_fields and self._how.fields_from_label:
            label = self._reader.label()
            if self._folds:
                self._fields = self._folds.components(piece.index, label)
            else:
                self._fields = splits.connected_fields(label)
        self._cube, self._part = piece.index, None

    def _with_weak(self, piece: Piece, label: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """The label of a piece's window with what only the land-cover map knows of its cube."""
        weak = whole[piece.window.rows, piece.window.cols]
        if self._folds:
            weak = weak & self._folds.used(piece)
        return np.where(weak, np.uint8(legend.WEAK_NONE), label)


def weak_pixels(reader: cube_io.CubeReader, choice: Choice) -> np.ndarray | None:
    """Which pixels of a cube only its land-cover map knows, bool [H, W]; None without one.

    Args:
      reader: the cube.
      choice: what its map is taken for.
    """
    codes, table = reader.landcover(), reader.info.landcover
    if codes is None or table is None:
        return None
    return none_by_map(codes, reader.label(), choice.codes_of(table), choice.erosion)


def _cut_cube(raw: cube_io.RawCube, piece: Piece, size: int) -> Iterator[Record]:
    top, left = piece.window.rows.start, piece.window.cols.start
    fields = np.zeros(raw.label.shape, np.uint32) if raw.fields is None else raw.fields
    for row, col in piece.chips:
        place = row - top, col - left, size
        pixels = {
            sensor.name: chips.cut(raw.pixels[sensor.name], *place, sensor.nodata, axis=1)
            for sensor in raw.info.sensors
        }
        yield pixels | {
            "label": chips.cut(raw.label, *place, legend.IGNORE),
            "fields": chips.cut(fields, *place, 0),
            "periods": periods.to_days(raw.info.periods),
            "cube": raw.info.cube_id,
            "row": row,
            "col": col,
        }
