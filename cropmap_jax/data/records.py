"""Random access to the records of a dataset that reads no more of them than is asked for.

TFDS reads a record whole, unpacks and copies it several times, and half of it is thrown away: a
window is six of twelve periods or more. `build` writes ArrayRecord files that are not compressed
(pixels without gaps lose a quarter to zstd, which costs more time than all the rest), so each
period lies at a known place of its file and goes from there into the batch in one system call.

Files that are compressed are read through TFDS. What TFDS reads is what is right: a test
compares. One thing is not done here: TFDS hashes what it reads, so it would notice bits that
flipped within the images; this reader notices what is truncated or not laid out as it should be,
and labels that are not those that the table of chips counted.

Source: the message tf.train.Example, in which TFDS stores a record.
"""

import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from cropmap_jax.data import dataset_files
from cropmap_jax.data.shards import Compressed, Shard, varint
from cropmap_jax.geo import legend, windows
from cropmap_jax.geo.sensors import Sensor

_HEAD = 96
"""Bytes that surely hold the names and lengths before a feature's values."""


class Whole:
    """Records that come whole, as dicts of arrays: TFDS's own data source, or a list.

    Args:
      source: sequence of records.
      sensors: whose pixels they hold.
      where: what to name in an error.
      places: int [N, 3], cube, row and column that each record should have; None: any.
      pixels: int [N, classes + 1], as of `Records`; None: any.
    """

    def __init__(
        self,
        source,
        sensors: tuple[Sensor, ...],
        where="",
        places: np.ndarray | None = None,
        pixels: np.ndarray | None = None,
    ):
        self._source, self._where, self._places, self._pixels = source, where, places, pixels
        self._sensors = {sensor.name: sensor for sensor in sensors}

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> dict:
        try:
            record = self._source[index]
            if self._places is not None:
                place = [int(record[name]) for name in _PLACE]
                _check_place(place, self._places[index].tolist())
            if self._pixels is not None:
                _check_label(record["label"], self._pixels[index])
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
        """uint8 [H, W], as `Records.label`."""
        return self[index]["label"]

    def fields(self, index: int) -> np.ndarray:
        """uint32 [H, W], as `Records.fields`."""
        return self[index]["fields"]

    def read_window(self, index: int, chosen, pixels: dict[str, np.ndarray], label=None) -> None:
        """As `Records.read_window`."""
        record = self[index]
        for name, out in pixels.items():
            out[...] = windows.take_window(record[name], chosen, self._sensors[name].nodata)
        if label is not None:
            label[...] = record["label"]


class Records:
    """Records of one split in files that are not compressed.

    Args:
      files: of the split, in order.
      counts: records in each.
      chip: side of a chip in pixels.
      sensors: whose pixels they hold.
      places: int [N, 3], cube, row and column that each record should have.
      pixels: int [N, classes + 1], pixels of each class and of none of these in each label.

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
    ):
        self._chip, self._expected, self._pixels = chip, places, pixels
        self._sensors = {sensor.name: sensor for sensor in sensors}
        self._names = [*self._sensors, "label"]
        self._shards = [Shard(f, n) for f, n in zip(files, counts, strict=True)]
        self._ends = np.cumsum(counts)
        # Where the sensors' pixels and the label lie in each record and how long they are, once it
        # has been seen. Two threads may look at one at the same time: they find the same.
        self._places = np.full((sum(counts), len(self._names), 2), -1, np.int64)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> dict:
        """The record as TFDS's data source returns it; the arrays are its own."""
        shard, i = self._find(index)
        data = np.empty(shard.length(i), np.uint8)
        shard.read(i, 0, data)
        found = {name: data[at : at + size] for name, at, size in _features(shard, i)}
        try:
            record = self._decode(found)
        except (KeyError, ValueError, IndexError, OverflowError) as error:
            raise shard.damaged(i, f"its features are not those of a chip ({error})") from error
        try:
            _check_place([record[name] for name in _PLACE], self._expected[index].tolist())
            _check_label(record["label"], self._pixels[index])
        except ValueError as error:
            raise shard.damaged(i, str(error)) from error
        return record

    def label(self, index: int) -> np.ndarray:
        """uint8 [H, W], annotation of a chip."""
        shard, i = self._find(index)
        at, size = self._place(index)[-1]
        data = np.empty(size, np.uint8)
        shard.read(i, at, data)
        label = _small_integers(data)
        if label.size != self._chip**2:
            raise shard.damaged(i, f"expected {self._chip**2} pixels of label, found {label.size}")
        try:
            _check_label(label, self._pixels[index])
        except ValueError as error:
            raise shard.damaged(i, str(error)) from error
        return label.reshape(self._chip, self._chip)

    def fields(self, index: int) -> np.ndarray:
        """uint32 [H, W], ids of the fields in a chip, 0 where there is none."""
        shard, i = self._find(index)
        found = {name: (at, size) for name, at, size in _features(shard, i)}
        at, size = found.get("fields", (0, 0))
        if size != 4 * self._chip**2:
            raise shard.damaged(i, f"expected {4 * self._chip**2} bytes of fields, found {size}")
        data = np.empty(size, np.uint8)
        shard.read(i, at, data)
        return data.view(np.uint32).reshape(self._chip, self._chip)

    def read_window(self, index: int, chosen, pixels: dict[str, np.ndarray], label=None) -> None:
        """Reads some periods of a chip into arrays that are there.

        Args:
          index: which record.
          chosen: int [N] from `windows.window_indices`: contiguous, MISSING at their beginning.
          pixels: of the sensors that are wanted, [N, H, W, bands] of their dtypes, C-contiguous;
            filled, with the sensor's no-data value where missing.
          label: uint8 [H, W], likewise, or None.

        Raises:
          ValueError: names the file that is damaged.
        """
        shard, i = self._find(index)
        places = dict(zip(self._names, self._place(index), strict=True))
        missing = int(np.count_nonzero(chosen == windows.MISSING))
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

    def _find(self, index: int) -> tuple["Shard", int]:
        if not 0 <= index < len(self):
            raise IndexError(f"expected a record from 0 to {len(self) - 1}, found {index}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        shard = self._shards[number]
        return shard, index - int(self._ends[number]) + len(shard)

    def _place(self, index: int) -> np.ndarray:
        place = self._places[index]
        if place[-1, -1] < 0:
            shard, i = self._find(index)
            found = {name: (at, size) for name, at, size in _features(shard, i)}
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
            _check_place([_integer(v) for v in values], self._expected[index].tolist())
        except (ValueError, IndexError, OverflowError) as error:
            raise shard.damaged(i, str(error)) from error

    def _decode(self, found: dict[str, np.ndarray]) -> dict:
        chip = self._chip
        scalars = {k: int(_integers(found[k])[0]) for k in ("cube_index", "row", "col")}
        pixels = {
            name: found[name].view(sensor.dtype).reshape(-1, chip, chip, len(sensor.bands))
            for name, sensor in self._sensors.items()
        }
        return {
            **scalars,
            **pixels,
            "label": _small_integers(found["label"]).reshape(chip, chip),
            "fields": found["fields"].view(np.uint32).reshape(chip, chip),
            "periods": _integers(found["periods"]).astype(np.int32).reshape(-1, 2),
            "cube": found["cube"].tobytes(),
        }


def open_records(
    path,
    split: str,
    chip: int,
    sensors: tuple[Sensor, ...],
    places: np.ndarray,
    pixels: np.ndarray,
) -> Records | Whole:
    """Records of a split of a dataset's folder; compressed ones come through TFDS.

    Args:
      path: the folder.
      split: one that it has.
      chip: side of a chip in pixels.
      sensors: whose pixels they hold.
      places: int [N, 3], cube, row and column of every chip, which the records are compared with.
      pixels: int [N, classes + 1], pixels of each class and of none of these, likewise.

    Raises:
      ValueError: names the file that is damaged.
    """
    folder = pathlib.Path(path)
    files, counts = dataset_files.split_files(folder)[split]
    try:
        return Records(files, counts, chip, sensors, places, pixels)
    except Compressed:
        dataset_files.check_features(folder, chip, sensors)
        source = tfds.builder_from_directory(str(folder)).as_data_source(split)
        return Whole(source, sensors, f"{path}, split {split}", places, pixels)


_PLACE = ("cube_index", "row", "col")


def _check_place(found: list[int], expected: list[int]) -> None:
    if found != expected:
        raise ValueError(f"expected cube, row and column {expected}, found {found}")


def _check_label(label: np.ndarray, expected: np.ndarray) -> None:
    """Compares a label with what the table counted in it when it was written."""
    counts = np.bincount(label.ravel(), minlength=256)
    classes = len(expected) - 1
    if counts[classes : legend.NONE_OF_THESE].any():
        raise ValueError(f"expected labels of {classes} classes, found {label.max()}")
    found = [*counts[:classes].tolist(), int(counts[legend.NONE_OF_THESE])]
    if found != expected.tolist():
        raise ValueError(f"expected {expected.tolist()} pixels of the classes, found {found}")


def _integer(data: np.ndarray) -> int:
    values = _integers(data)
    if len(values) != 1:
        raise ValueError(f"expected one integer, found {len(values)}")
    return int(values[0])


def _features(shard: Shard, i: int) -> Iterator[tuple[str, int, int]]:
    """(name, place, bytes) of the values of every feature of a record, a tf.train.Example."""
    try:
        head = _head(shard, i, 0)
        size, at = varint(head, _tag(head, 0, 0x0A))
        if at + size != shard.length(i):
            raise ValueError(f"expected features of {shard.length(i) - at} bytes, found {size}")
        while at < shard.length(i):
            head = _head(shard, i, at)
            size, p = varint(head, _tag(head, 0, 0x0A))
            end = p + size
            length, p = varint(head, _tag(head, p, 0x0A))
            name, p = head[p : p + length].decode(), p + length
            size, p = varint(head, _tag(head, p, 0x12))
            # A list of bytes, floats or integers, of one bytes value or packed.
            size, p = varint(head, _tag(head, p, 0x0A, 0x12, 0x1A))
            if size:
                size, p = varint(head, _tag(head, p, 0x0A))
            if p + size != end:
                raise ValueError(f"expected one value in {name!r}")
            yield name, at + p, size
            at += end
    except (IndexError, ValueError) as error:
        raise shard.damaged(i, f"it is no tf.train.Example ({error})") from error


def _head(shard: Shard, i: int, at: int) -> bytes:
    out = np.empty(min(_HEAD, shard.length(i) - at), np.uint8)
    shard.read(i, at, out)
    return out.tobytes()


def _tag(data: bytes, at: int, *expected: int) -> int:
    if data[at] not in expected:
        raise ValueError(f"expected tag {expected[0]}, found {data[at]}")
    return at + 1


def _integers(data: np.ndarray) -> np.ndarray:
    """int64 values of a packed list of integers."""
    data, values, at = data.tolist(), [], 0
    while at < len(data):
        value, at = varint(data, at)
        values.append(value)
    return np.array(values, np.uint64).astype(np.int64)


def _small_integers(data: np.ndarray) -> np.ndarray:
    """uint8 values of a packed list of integers from 0 to 255.

    One below 128 is a byte; one from 128 on is the same byte, whose upper bit says that more
    follows, and a 1.
    """
    keep = np.ones(len(data), bool)
    keep[1:] = data[:-1] < 128
    return data[keep]
