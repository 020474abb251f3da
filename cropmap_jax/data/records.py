"""Random access to the records of a dataset that reads no more of them than is requested.

TFDS reads a record whole, unpacks and copies it several times, and half of it is discarded: a
window is six of twelve periods or more. `build` writes ArrayRecord files that are not compressed
(pixels without gaps lose a quarter to zstd, which costs more time than all the rest), so each
period lies at a known place of its file and goes from there into the batch in one system call.

Files that are compressed are read through TFDS. What TFDS reads is what is right: a test
compares. One thing is not done here: TFDS hashes what it reads, so it would notice bits that
flipped within the images; this reader notices what is truncated or not laid out as it should be,
and labels that are not those that the table of chips counted.
"""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow_datasets as tfds

from cropmap_jax.data import dataset_files, tf_example
from cropmap_jax.data.examples import Pixels, Record
from cropmap_jax.data.shards import Compressed, Shard
from cropmap_jax.geo import as_of_windows, legend
from cropmap_jax.geo.sensors import Sensor


class Whole:
    """Records that come whole, as dicts of arrays: TFDS's own data source, or a list.

    Args:
      source: sequence of records.
      sensors: whose pixels they hold.
      where: what to name in an error.
      places: int [N, 3], cube, row and column that each record should have; None: any.
      pixels: int [N, classes + 1], as of `Records`; None: any.
      weak: int [N], as of `Records`.
    """

    def __init__(
        self,
        source: Sequence[Record],
        sensors: tuple[Sensor, ...],
        where: str = "",
        places: np.ndarray | None = None,
        pixels: np.ndarray | None = None,
        weak: np.ndarray | None = None,
    ):
        self._source, self._where, self._places, self._pixels = source, where, places, pixels
        self._weak = weak
        self._sensors = {sensor.name: sensor for sensor in sensors}

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Record:
        record = self._checked(index)
        if self._weak is None:
            return record
        return {**record, "label": _known(record["label"])}

    def _checked(self, index: int) -> Record:
        """A record as it is stored."""
        try:
            record: Record = self._source[index]
            if self._places is not None:
                place = [int(record[name]) for name in _PLACE]
                _check_place(place, self._places[index].tolist())
            if self._pixels is not None:
                _check_label(record["label"], self._pixels[index], _of(self._weak, index))
            return record
        except IndexError:
            raise
        except Exception as error:  # whatever the libraries below raise for damaged files
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"{self._where}: record {index} cannot be read ({reason}); "
                f"build it again with --overwrite"
            ) from error

    def label(self, index: int) -> np.ndarray:
        """As `Source.label`."""
        label: np.ndarray = self[index]["label"]
        return label

    def weak(self, index: int) -> np.ndarray:
        """As `Source.weak`."""
        label: np.ndarray = self._checked(index)["label"]
        return _weak(label, self._weak)

    def fields(self, index: int) -> np.ndarray:
        """As `Source.fields`."""
        fields: np.ndarray = self[index]["fields"]
        return fields

    def read_window(
        self, index: int, chosen: np.ndarray, pixels: Pixels, label: np.ndarray | None = None
    ) -> None:
        """As `Source.read_window`."""
        record = self[index]
        for name, out in pixels.items():
            out[...] = as_of_windows.take_window(record[name], chosen, self._sensors[name].nodata)
        if label is not None:
            label[...] = record["label"]

    def gather(
        self,
        chips: np.ndarray,
        rows: np.ndarray,
        cols: np.ndarray,
        windows: np.ndarray,
        pixels: Pixels,
    ) -> None:
        """As `Source.gather`; each chip is read whole."""
        for name, out in pixels.items():
            out[...] = self._sensors[name].nodata
        for chip in np.unique(chips):
            record = self[int(chip)]
            for name, out in pixels.items():
                side = out.shape[2]
                for i in np.flatnonzero(chips == chip):
                    window = as_of_windows.take_window(
                        record[name], windows[i], self._sensors[name].nodata
                    )
                    row, col = int(rows[i]), int(cols[i])
                    inside = window[:, max(row, 0) : row + side, max(col, 0) : col + side]
                    top, left = max(-row, 0), max(-col, 0)
                    height, width = inside.shape[1:3]
                    out[i, :, top : top + height, left : left + width] = inside


class Records:
    """Records of one split in files that are not compressed.

    Args:
      files: of the split, in order.
      counts: records in each.
      chip: side of a chip in pixels.
      sensors: whose pixels they hold.
      places: int [N, 3], cube, row and column that each record should have.
      pixels: int [N, classes + 1], pixels of each class and of none of these in each label.
      weak: int [N], pixels of each label that are none of these by a land-cover map alone; None of
        a dataset that has none.

    Raises:
      ValueError: a file that ends early or is something else.
      Compressed: it is compressed.
    """

    def __init__(
        self,
        files: list[pathlib.Path],
        counts: list[int],
        chip: int,
        sensors: tuple[Sensor, ...],
        places: np.ndarray,
        pixels: np.ndarray,
        weak: np.ndarray | None = None,
    ):
        self._chip, self._expected, self._pixels, self._weak = chip, places, pixels, weak
        self._sensors = {sensor.name: sensor for sensor in sensors}
        self._names = [*self._sensors, "label"]
        self._shards = [Shard(f, n) for f, n in zip(files, counts, strict=True)]
        self._ends = np.cumsum(counts)
        # Where the sensors' pixels and the label lie in each record and how long they are, once it
        # has been seen. Two threads may read one at the same time: they find the same.
        self._places = np.full((sum(counts), len(self._names), 2), -1, np.int64)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Record:
        """The record as TFDS's data source returns it; the arrays are its own."""
        shard, i = self._find(index)
        data = np.empty(shard.length(i), np.uint8)
        shard.read(i, 0, data)
        found = {name: data[at : at + size] for name, at, size in tf_example.features(shard, i)}
        try:
            record = self._decode(found)
        except (KeyError, ValueError, IndexError, OverflowError) as error:
            raise shard.damaged(i, f"its features are not those of a chip ({error})") from error
        try:
            _check_place([record[name] for name in _PLACE], self._expected[index].tolist())
            _check_label(record["label"], self._pixels[index], _of(self._weak, index))
        except ValueError as error:
            raise shard.damaged(i, str(error)) from error
        if self._weak is not None:
            record["label"] = _known(record["label"])
        return record

    def label(self, index: int) -> np.ndarray:
        """As `Source.label`."""
        stored = self._stored_label(index)
        return stored if self._weak is None else _known(stored)

    def weak(self, index: int) -> np.ndarray:
        """As `Source.weak`."""
        return _weak(self._stored_label(index), self._weak)

    def _stored_label(self, index: int) -> np.ndarray:
        shard, i = self._find(index)
        at, size = self._place(index)[-1]
        data = np.empty(size, np.uint8)
        shard.read(i, at, data)
        label = tf_example.small_integers(data)
        if label.size != self._chip**2:
            raise shard.damaged(i, f"expected {self._chip**2} pixels of label, found {label.size}")
        try:
            _check_label(label, self._pixels[index], _of(self._weak, index))
        except ValueError as error:
            raise shard.damaged(i, str(error)) from error
        return label.reshape(self._chip, self._chip)

    def fields(self, index: int) -> np.ndarray:
        """As `Source.fields`."""
        shard, i = self._find(index)
        found = {name: (at, size) for name, at, size in tf_example.features(shard, i)}
        at, size = found.get("fields", (0, 0))
        if size != 4 * self._chip**2:
            raise shard.damaged(i, f"expected {4 * self._chip**2} bytes of fields, found {size}")
        data = np.empty(size, np.uint8)
        shard.read(i, at, data)
        return data.view(np.uint32).reshape(self._chip, self._chip)

    def read_window(
        self, index: int, chosen: np.ndarray, pixels: Pixels, label: np.ndarray | None = None
    ) -> None:
        """As `Source.read_window`."""
        shard, i = self._find(index)
        places = dict(zip(self._names, self._place(index), strict=True))
        missing = int(np.count_nonzero(chosen == as_of_windows.MISSING))
        first, last = int(chosen[missing]), int(chosen[-1])
        for name, out in pixels.items():
            (at, size), stride = places[name], out[0].nbytes
            if (last + 1) * stride > size or size % stride:
                raise shard.damaged(
                    i, f"expected more than {last} periods of {stride} bytes, found {size} bytes"
                )
            out[:missing] = self._sensors[name].nodata
            shard.read(i, int(at) + first * stride, out[missing:])
        if label is not None:
            label[...] = self.label(index)

    def gather(
        self,
        chips: np.ndarray,
        rows: np.ndarray,
        cols: np.ndarray,
        windows: np.ndarray,
        pixels: Pixels,
    ) -> None:
        """As `Source.gather`."""
        for chip in np.unique(chips):
            self._place(int(chip))
        shard_of = np.searchsorted(self._ends, chips, side="right")
        for number in np.unique(shard_of):
            own = np.flatnonzero(shard_of == number)
            shard = self._shards[number]
            records = chips[own] - (self._ends[number] - len(shard))
            for k, name in enumerate(self._sensors):
                if name in pixels:
                    places = self._places[chips[own], k]
                    self._gather(
                        shard, records, places, (rows[own], cols[own]), windows[own], name,
                        pixels[name], own,
                    )  # fmt: skip

    def _gather(
        self,
        shard: Shard,
        records: np.ndarray,
        places: np.ndarray,
        corners: tuple[np.ndarray, np.ndarray],
        windows: np.ndarray,
        name: str,
        out: np.ndarray,
        own: np.ndarray,
    ) -> None:
        """Squares of one sensor from one file, into `out[own]`."""
        sensor, chip, side = self._sensors[name], self._chip, out.shape[2]
        pixel = out.shape[-1] * out.itemsize
        short = (windows.max(1) + 1) * (chip**2 * pixel) > places[:, 1]
        if short.any():
            raise shard.damaged(
                int(records[short.argmax()]),
                f"expected more than {windows.max()} periods of {chip**2 * pixel} bytes, found "
                f"{places[short.argmax(), 1]} bytes",
            )
        # Rows of squares are read as one: where they reach beyond the chip, what there is of them.
        run = min(side, chip)
        row, first = corners[0][:, None] + np.arange(side), np.clip(corners[1], 0, chip - run)
        there = (windows >= 0)[:, :, None] & ((row >= 0) & (row < chip))[:, None]
        if not there.any():
            out[own] = sensor.nodata
            return
        period = windows.astype(np.int64)[:, :, None] * chip**2
        at = (
            places[:, 0, None, None] + (period + row[:, None] * chip + first[:, None, None]) * pixel
        )
        which = np.broadcast_to(records[:, None, None], there.shape)
        # Something is read for what is missing too, any of the rest: picking it out takes longer.
        some = np.unravel_index(there.argmax(), there.shape)
        at, which = np.where(there, at, at[some]), np.where(there, which, which[some])
        found = shard.gather(which.ravel(), at.ravel(), run * pixel).view(out.dtype)
        found = found.reshape(*there.shape, run, out.shape[-1])
        found[~there] = sensor.nodata
        shift = first - corners[1]
        if run == side:
            out[own] = found
        cut = np.flatnonzero(shift) if run == side else np.arange(len(own))
        for step in np.unique(shift[cut]).tolist():
            inside = slice(max(step, 0), min(step + run, side))
            read = slice(inside.start - step, inside.stop - step)
            these = cut[shift[cut] == step]
            out[own[these]] = sensor.nodata
            out[own[these], :, :, inside] = found[these, :, :, read]

    def _find(self, index: int) -> tuple[Shard, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"expected a record from 0 to {len(self) - 1}, found {index}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        shard = self._shards[number]
        return shard, index - int(self._ends[number]) + len(shard)

    def _place(self, index: int) -> np.ndarray:
        place: np.ndarray = self._places[index]
        if place[-1, -1] < 0:
            shard, i = self._find(index)
            found = {name: (at, size) for name, at, size in tf_example.features(shard, i)}
            try:
                place = np.array([found[name] for name in self._names], np.int64)
                self._check_place(index, {name: found[name] for name in _PLACE})
            except KeyError as error:
                raise shard.damaged(i, f"it has no feature {error}") from error
            self._places[index] = place
        return place

    def _check_place(self, index: int, found: dict[str, tuple[int, int]]) -> None:
        """Compares a record with the table: files may have been exchanged for one another."""
        shard, i = self._find(index)
        values = []
        for at, size in found.values():
            data = np.empty(min(size, 16), np.uint8)
            shard.read(i, at, data)
            values.append(data)
        try:
            _check_place([tf_example.integer(v) for v in values], self._expected[index].tolist())
        except (ValueError, IndexError, OverflowError) as error:
            raise shard.damaged(i, str(error)) from error

    def _decode(self, found: dict[str, np.ndarray]) -> Record:
        chip = self._chip
        scalars = {k: int(tf_example.integers(found[k])[0]) for k in ("cube_index", "row", "col")}
        pixels = {
            name: found[name].view(sensor.dtype).reshape(-1, chip, chip, len(sensor.bands))
            for name, sensor in self._sensors.items()
        }
        return {
            **scalars,
            **pixels,
            "label": tf_example.small_integers(found["label"]).reshape(chip, chip),
            "fields": found["fields"].view(np.uint32).reshape(chip, chip),
            "periods": tf_example.integers(found["periods"]).astype(np.int32).reshape(-1, 2),
            "cube": found["cube"].tobytes(),
        }


def open_records(
    path: str | os.PathLike[str],
    split: str,
    chip: int,
    sensors: tuple[Sensor, ...],
    places: np.ndarray,
    pixels: np.ndarray,
    weak: np.ndarray | None = None,
) -> Records | Whole:
    """Records of a split of a dataset's folder; compressed ones come through TFDS.

    Args:
      path: the folder.
      split: one that it has.
      chip: side of a chip in pixels.
      sensors: whose pixels they hold.
      places: int [N, 3], cube, row and column of every chip, which the records are compared with.
      pixels: int [N, classes + 1], pixels of each class and of none of these, likewise.
      weak: int [N], as of `Records`, likewise.

    Raises:
      ValueError: names the file that is damaged.
    """
    folder = pathlib.Path(path)
    files, counts = dataset_files.split_files(folder)[split]
    try:
        return Records(files, counts, chip, sensors, places, pixels, weak)
    except Compressed:
        dataset_files.check_features(folder, chip, sensors)
        source = tfds.builder_from_directory(str(folder)).as_data_source(split)
        return Whole(source, sensors, f"{path}, split {split}", places, pixels, weak)


_PLACE = ("cube_index", "row", "col")


def _check_place(found: list[int], expected: list[int]) -> None:
    if found != expected:
        raise ValueError(f"expected cube, row and column {expected}, found {found}")


def _of(weak: np.ndarray | None, index: int) -> int | None:
    return None if weak is None else int(weak[index])


def _known(label: np.ndarray) -> np.ndarray:
    """A stored label as annotation: of what only a land-cover map knows nothing is known."""
    return np.where(label == legend.WEAK_NONE, np.uint8(legend.IGNORE), label)


def _weak(label: np.ndarray, counts: np.ndarray | None) -> np.ndarray:
    """Which pixels of a stored label only a land-cover map knows."""
    if counts is None:  # then the code may be that of a class
        return np.zeros(label.shape, bool)
    weak: np.ndarray = label == legend.WEAK_NONE
    return weak


def _check_label(label: np.ndarray, expected: np.ndarray, weak: int | None) -> None:
    """Compares a label with what the table counted in it when it was written."""
    counts = np.bincount(label.ravel(), minlength=256)
    classes = len(expected) - 1
    if weak is not None:
        if counts[legend.WEAK_NONE] != weak:
            raise ValueError(
                f"expected {weak} pixels that only the land-cover map knows, found "
                f"{counts[legend.WEAK_NONE]}"
            )
        counts[legend.WEAK_NONE] = 0
    if counts[classes : legend.NONE_OF_THESE].any():
        raise ValueError(f"expected labels of {classes} classes, found {label.max()}")
    found = [*counts[:classes].tolist(), int(counts[legend.NONE_OF_THESE])]
    if found != expected.tolist():
        raise ValueError(f"expected {expected.tolist()} pixels of the classes, found {found}")
