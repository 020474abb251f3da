"""Shards of a dataset: how one is written, here or on the workers of a scheduler.

A worker cuts the cubes of one shard, writes its file, and returns what the metadata say of its
chips. The process of the command gives the file its place, in order, and adds up the rest, which is
counted in whole numbers: a dataset is the same to the last bit.
"""

import abc
import contextlib
import dataclasses
import errno
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from array_record.python import array_record_module
from tensorflow_datasets.core import example_serializer, writer

from cropmap_jax.data import dataset_files
from cropmap_jax.data.cutting import Cut, Cutter, Table
from cropmap_jax.data.examples import Record
from cropmap_jax.data.fold_writing import FoldsToWrite
from cropmap_jax.data.read_plan import Piece
from cropmap_jax.geo import files
from cropmap_jax.scheduling import Scheduler


def write_records(path: str | os.PathLike[str], examples: Iterable[Record], how: Cut) -> None:
    """Writes one ArrayRecord file that `records.Records` can read in parts.

    The same examples make the same bytes, which TFDS's own serialisation does not.

    Raises:
      OSError: no space, or another fault of the disk.
    """
    features = dataset_files.features(how.chip, how.sensors)
    serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
    file = array_record_module.ArrayRecordWriter(os.fspath(path), "group_size:1,uncompressed")
    for example in examples:
        proto = serializer.get_tf_example(features.encode_example(example))
        with _writing(path):
            file.write(proto.SerializeToString(deterministic=True))
    with _writing(path):
        file.close()


@contextlib.contextmanager
def _writing(path: str | os.PathLike[str]) -> Iterator[None]:
    # The library reports every fault as a RuntimeError, with the system's words in its text.
    try:
        yield
    except RuntimeError as error:
        codes = (code for code in errno.errorcode if os.strerror(code) in str(error))
        code = next(codes, errno.EIO)
        raise OSError(code, os.strerror(code), os.fspath(path)) from error


class InOrder(writer.ExampleWriter):  # type: ignore[misc]  # TFDS has no types
    """Stands in for TFDS's writer, which asks for one shard after the other and counts examples."""

    def begin(self, write: Callable[[str], None]) -> None:
        """Says what writes the next shard to a path."""
        self._write = write

    def write(self, path: Any, examples: Iterable[Any]) -> None:
        """Writes the next shard; of the examples there are only as many as it has, afterwards."""
        del examples
        self._write(os.fspath(path))


class Shards(abc.ABC):
    """Writes the shards of a dataset, one after the other.

    Args:
      how: to cut.
      planned: split and pieces of each, in order.
      tables: of chips, by split, which get the rows.
      folds: of the dataset, which counts pixels; None without folds.
      on_cubes: called with a number of cubes that are done.

    Attributes:
      count: how many chips the last shard has.
    """

    def __init__(
        self,
        how: Cut,
        planned: Sequence[tuple[str, list[Piece]]],
        tables: Mapping[str, Table],
        folds: FoldsToWrite | None,
        on_cubes: Callable[[int], object],
    ):
        self._how, self._planned, self._tables = how, planned, tables
        self._cutter = Cutter(how, folds, on_cube=functools.partial(on_cubes, 1))
        self._folds, self._on_cubes = folds, on_cubes
        self._next = self.count = 0

    def write(self, path: str) -> None:
        """Writes the next shard.

        Raises:
          ValueError: names a file of a cube that is damaged or has changed.
          OSError: it cannot be written; lost workers.
        """
        split, pieces = self._planned[self._next]
        table = self._tables[split]
        before = len(table["cube"])
        self._write(path, split, pieces)
        self.count = len(table["cube"]) - before
        self._next += 1

    @abc.abstractmethod
    def _write(self, path: str, split: str, pieces: list[Piece]) -> None:
        """Writes the next shard and adds its rows to the table of its split."""

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Of the values of "train" so far, see `Statistics.result`."""
        return {name: one.result() for name, one in self._cutter.statistics.items()}

    def close(self) -> None:
        """Closes files, and drops what is left."""
        self._cutter.close()


class Here(Shards):
    """Shards that this process writes."""

    def _write(self, path: str, split: str, pieces: list[Piece]) -> None:
        write_records(path, self._cutter.cut(pieces, split, self._tables[split]), self._how)


@dataclasses.dataclass(frozen=True)
class Task:
    """One shard for a worker.

    Args:
      number: of the shard, counted through all splits.
      path: of its file.
      how: to cut.
      split: whose it is.
      pieces: that it consists of.
      before: the last piece of the shard before it, if both have a cube in common.
      folds: of its cubes; None without folds.
    """

    number: int
    path: pathlib.Path
    how: Cut
    split: str
    pieces: list[Piece]
    before: Piece | None
    folds: FoldsToWrite | None

    @property
    def name(self) -> str:
        """For people: its cubes, by the first and the last."""
        first, last = self.pieces[0].info.cube_id, self.pieces[-1].info.cube_id
        return f"cube {first}" if first == last else f"cubes {first} to {last}"

    @property
    def cubes(self) -> int:
        """How many cubes end in it."""
        return sum(piece.last for piece in self.pieces)


@dataclasses.dataclass(frozen=True)
class Shard:
    """What a worker says of a shard.

    Args:
      table: of its chips.
      folds: what `FoldsToWrite.metadata` counted; empty without folds.
      counts: of the values of each sensor, see `Statistics.counts`.
    """

    table: Table
    folds: dict[str, Any]
    counts: dict[str, tuple[np.ndarray, ...]]


def write_shard(task: Task) -> Shard:
    """Cuts and writes one shard; runs on a worker.

    Raises:
      ValueError: names a file of a cube that is damaged or has changed.
      OSError: the shard cannot be written.
    """
    how, table = task.how, task.how.empty()
    with (
        Cutter(how, task.folds, task.before) as cutter,
        files.replacing(task.path) as part,
    ):
        write_records(part, cutter.cut(task.pieces, task.split, table), how)
    counted = task.folds.counted() if task.folds else {}
    return Shard(table, counted, {k: one.counts() for k, one in cutter.statistics.items()})


def tasks(
    folder: pathlib.Path, how: Cut, planned: Sequence[tuple[str, list[Piece]]], folds: Any
) -> Iterator[Task]:
    """A task for each shard.

    Args:
      folder: for their files.
      how: to cut.
      planned: split and pieces of each, in order.
      folds: `FoldsToWrite` of the dataset, or None.
    """
    last: Piece | None = None
    for number, (split, pieces) in enumerate(planned):
        shared = last if last and last.index == pieces[0].index else None
        own = folds.of(sorted({piece.index for piece in pieces})) if folds else None
        yield Task(number, folder / f"{number}", how, split, pieces, shared, own)
        last = pieces[-1]


class OnWorkers(Shards):
    """Shards that workers write into a folder, in any order, and that get their places in order.

    Args:
      scheduler: whose workers.
      folder: for what they write.
    """

    def __init__(self, scheduler: Scheduler, folder: pathlib.Path, *common: Any):
        super().__init__(*common)
        given = tasks(folder, self._how, self._planned, self._folds)
        self._ended = scheduler.run(write_shard, given, lambda task: task.name)
        self._held: dict[int, tuple[Task, Shard]] = {}

    def _write(self, path: str, split: str, pieces: list[Piece]) -> None:
        del pieces
        while self._next not in self._held:
            done = next(self._ended)
            self._held[done.task.number] = done.task, done.result()
            self._on_cubes(done.task.cubes)
        task, found = self._held.pop(self._next)
        os.rename(task.path, path)
        for name, rows in found.table.items():
            self._tables[split][name] += rows
        for name, counts in found.counts.items():
            self._cutter.statistics[name].add_counts(*counts)
        if self._folds:
            self._folds.add(found.folds)

    def close(self) -> None:
        """See `Shards.close`."""
        self._ended.close()
        super().close()
