"""The shared base of the TFDS builders: a folder of cubes becomes a dataset of chips.

Nothing here needs TensorFlow: the builders write array_record, uncompressed, so that `records` can
read parts of a record, as `tfds.data_source` can read it whole. Records keep the order of the chip
table in the metadata, so that a sampler can choose chips (by split, by annotated pixels) without
reading them.
"""

import contextlib
import dataclasses
import errno
import functools
import io
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tensorflow_datasets.core import dataset_builder, writer

from cropmap_jax.data import chips, cube_set, dataset, dataset_files, ownership, read_plan
from cropmap_jax.data.band_statistics import Statistics
from cropmap_jax.data.examples import Record
from cropmap_jax.data.fold_writing import FoldsToWrite
from cropmap_jax.data.read_plan import Piece, Window
from cropmap_jax.geo import cube_io, files, legend, periods, progress, splits
from cropmap_jax.geo.cube import CubeInfo
from cropmap_jax.geo.folds import Rule
from cropmap_jax.geo.landcover import Choice, none_by_map
from cropmap_jax.geo.sensors import SENTINEL, Sensor


class CubesConfig(tfds.core.BuilderConfig):  # type: ignore[misc]  # TFDS has no types
    """Which cubes make the dataset, and how they are cut.

    Args:
      name: the dataset's name below the builder's, e.g. "belgium".
      cubes_dir: folder of cubes.
      chip: side of a chip in pixels.
      overlap: pixels that neighbouring chips share.
      progress: show a progress bar.
      sensors: of the cubes, all of them.
      folds: how annotated ground is divided for cross-validation; None: splits are the cubes'.
      landcover: what land-cover maps are taken for, of cubes that have any.
    """

    def __init__(
        self,
        name: str,
        cubes_dir: str = "",
        chip: int = 64,
        overlap: int = 0,
        progress: bool = False,
        sensors: tuple[Sensor, ...] = SENTINEL,
        folds: Rule | None = None,
        landcover: Choice | None = None,
    ):
        super().__init__(name=name, description=f"chips of {chip} px, overlap {overlap} px")
        self.cubes_dir, self.chip, self.overlap = cubes_dir, chip, overlap
        self.progress, self.sensors, self.folds = progress, sensors, folds
        self.landcover = landcover or Choice()


class CubeDatasetBuilder(dataset_builder.ShardBasedBuilder):  # type: ignore[misc]  # likewise
    """Chips of cubes: pixels of every sensor and tri-state labels.

    Subclasses set VERSION, and LEGEND where the dataset has a fixed one. All periods of a cube are
    kept: which of them a prediction may see is decided at loading, by its as-of date.

    Shards are written one after the other as cubes are read, part by part where they are large: a
    builder that generates whole splits gathers each of them in memory first (and, past 1 GB, in
    temporary files, of which records that keep their order all land in the first, which is read at
    once).
    """

    VERSION = tfds.core.Version("1.0.0")
    LEGEND: legend.Legend | None = None
    FIELDS_FROM_LABEL = True
    """Whether connected components of the label count as fields where none are given."""

    builder_config: CubesConfig

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=dataset_files.features(self.builder_config.chip, self.builder_config.sensors),
            supervised_keys=None,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _example_writer(self) -> writer.ExampleWriter:
        return _UncompressedWriter(self.info.file_format)

    def _shard_iterators_per_split(
        self, dl_manager: Any
    ) -> dict[str, list[Callable[[], Iterator[tuple[int, Record]]]]]:
        del dl_manager
        infos = cube_io.list_cubes(self.builder_config.cubes_dir)
        if self.LEGEND is not None and infos[0].legend != self.LEGEND:
            raise ValueError(
                f"{infos[0].path}: dataset {self.name!r} expects legend {self.LEGEND.name!r}, "
                f"found {infos[0].legend.name!r}; use --dataset cubes for other legends"
            )
        cube_set.check(infos)
        self._sensors = infos[0].sensors
        self._statistics = {sensor.name: Statistics(sensor) for sensor in self._sensors}
        config = self.builder_config
        cut = (config.chip, config.overlap, config.folds, config.landcover)
        meta = cube_set.metadata(infos, *cut)
        self._covered = _check_landcover(infos, config.landcover)
        in_split = [cube["split"] for cube in meta["cubes"]]
        present = [split for split in splits.SPLITS if split in in_split]
        self._folds = None
        if config.folds:
            weak = self._weak_pixels if self._covered else None
            self._folds = FoldsToWrite(config.folds, infos, self.FIELDS_FROM_LABEL, weak)
            meta["folds"] = self._folds.metadata
        self.info.metadata.update(meta)
        self._bar = progress.bar(
            total=len(infos), unit="cube", desc="build", disable=not config.progress
        )
        self._open = contextlib.ExitStack()
        self._cube: int | None = None
        self._part: tuple[Window, cube_io.RawCube] | None = None
        numbered = list(enumerate(infos))
        generators: dict[str, list[Callable[[], Iterator[tuple[int, Record]]]]] = {}
        for split in present:
            table: dict[str, list[Any]] = {"cube": [], "row": [], "col": [], "pixels": []}
            if self._covered:
                table["weak"] = []
            self.info.metadata["chips"][split] = table
            own = [n for n in numbered if in_split[n[0]] == split]
            generators[split] = [
                functools.partial(self._generate_examples, shard, split, table)
                for shard in read_plan.shards(own, config.chip, config.overlap)
            ]
        return generators

    def close(self) -> None:
        """Closes files, and ends the progress bar's line: an error message starts its own."""
        if hasattr(self, "_bar"):
            self._open.close()
            self._bar.close()

    def _generate_examples(
        self, shard: list[Piece], split: str, table: dict[str, list[Any]]
    ) -> Iterator[tuple[int, Record]]:
        for piece in shard:
            raw = self._read(piece, split)
            for example in _cut_cube(raw, piece, self.builder_config.chip):
                example["cube_index"] = piece.index
                counts = np.bincount(example["label"].ravel(), minlength=256)
                table["cube"].append(piece.index)
                table["row"].append(example["row"])
                table["col"].append(example["col"])
                classes = counts[: len(raw.info.legend)]
                table["pixels"].append([int(c) for c in (*classes, counts[legend.NONE_OF_THESE])])
                if self._covered:
                    table["weak"].append(int(counts[legend.WEAK_NONE]))
                if self._folds:
                    self._folds.count(piece.index, example, len(classes))
                yield len(table["cube"]), example
                # TFDS keeps every example of a shard, only to count them in the end.
                example.clear()
            self._bar.update(piece.last)
        if split == "train":
            self.info.metadata["statistics"] = {
                name: statistics.result() for name, statistics in self._statistics.items()
            }

    def _read(self, piece: Piece, split: str) -> cube_io.RawCube:
        """Pixels of a piece's window; a cube stays open, and a window in memory, until the next."""
        if self._cube != piece.index:
            self._open.close()
            folder = cube_set.folder_of(piece.info)
            self._reader = self._open.enter_context(cube_io.open_cube(folder, verify=True))
            if self._reader.info != piece.info:
                raise ValueError(f"{folder}: changed since the build began")
            self._fields = None
            self._weak = self._weak_pixels(self._reader) if self._covered else None
            if not piece.info.has_fields and self.FIELDS_FROM_LABEL:
                label = self._reader.label()
                if self._folds:
                    self._fields = self._folds.components(piece.index, label)
                else:
                    self._fields = splits.connected_fields(label)
            self._cube, self._part = piece.index, None
        if self._part is None or self._part[0] != piece.window:
            raw = self._reader.read(piece.window.rows, piece.window.cols)
            if self._fields is not None:
                fields = self._fields[piece.window.rows, piece.window.cols]
                raw = dataclasses.replace(raw, fields=fields)
            if self._folds:
                raw = dataclasses.replace(raw, label=self._folds.label(piece, raw.label))
            if self._weak is not None:
                raw = dataclasses.replace(raw, label=self._with_weak(piece, raw.label, self._weak))
            if split == "train":
                new = (slice(None), *piece.window.new)
                for name, statistics in self._statistics.items():
                    statistics.add(raw.pixels[name][new])
            self._part = piece.window, raw
            return raw
        return self._part[1]

    def _weak_pixels(self, reader: cube_io.CubeReader) -> np.ndarray | None:
        """Which pixels of a cube only its land-cover map knows, bool [H, W]; None without one."""
        codes, table = reader.landcover(), reader.info.landcover
        if codes is None or table is None:
            return None
        choice = self.builder_config.landcover
        return none_by_map(codes, reader.label(), choice.codes_of(table), choice.erosion)

    def _with_weak(self, piece: Piece, label: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """The label of a piece's window with what only the land-cover map knows of its cube."""
        weak = whole[piece.window.rows, piece.window.cols]
        if self._folds:
            weak = weak & self._folds.used(piece)
        return np.where(weak, np.uint8(legend.WEAK_NONE), label)


class _UncompressedWriter(writer.ExampleWriter):  # type: ignore[misc]  # TFDS has no types
    """Writes ArrayRecord files that `records.Records` can read in parts."""

    def write(self, path: Any, examples: Iterable[tuple[Any, bytes]]) -> None:
        """Writes one file.

        Raises:
          OSError: no space, or another fault of the disk.
        """
        file = array_record_module.ArrayRecordWriter(os.fspath(path), "group_size:1,uncompressed")
        for _, example in examples:
            with _writing(path):
                file.write(example)
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


def _check_landcover(infos: list[CubeInfo], choice: Choice) -> bool:
    """Whether any cube has a land-cover map, which is to say something.

    Raises:
      ValueError: codes that a map does not have, or a legend that leaves no label for its pixels.
    """
    tables = [info.landcover for info in infos if info.landcover is not None]
    found = [bool(choice.codes_of(table)) for table in tables]
    classes = len(infos[0].legend)
    if any(found) and classes > legend.WEAK_NONE:
        raise ValueError(
            f"{infos[0].path}: expected a legend of at most {legend.WEAK_NONE} classes next to a "
            f"land-cover map, found {classes}; --landcover_none= leaves the map out"
        )
    return any(found)


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


def build(
    builder_class: type[CubeDatasetBuilder],
    name: str,
    cubes_dir: str | os.PathLike[str],
    data_dir: str | os.PathLike[str],
    overwrite: bool = False,
    **kwargs: Any,
) -> tuple[CubeDatasetBuilder, bool]:
    """Builds a dataset, or finds it built already from the very same cubes.

    Args:
      builder_class: a subclass of `CubeDatasetBuilder`.
      name: dataset name below the builder's.
      cubes_dir, data_dir: folder of cubes; folder of datasets.
      overwrite: build it again and replace the one of that name, which stays until the new one is
        whole.
      **kwargs: `chip`, `overlap`, `progress`, `folds`, `landcover` of `CubesConfig`.

    Returns:
      (builder, whether it was built now).

    Raises:
      ValueError: cubes that are absent, damaged or do not belong together, or a dataset of that
        name that was built from other cubes; another build of the same dataset is running.
      OSError: no space or no permission; nothing is left behind.
    """
    if not re.fullmatch(r"[\w-][\w.-]{0,99}", name):
        raise ValueError(
            f"--name: expected letters, digits, '_', '-' and '.', at most 100, found {name!r}"
        )
    files.local("--data_dir", data_dir)
    infos = cube_io.list_cubes(files.local("--cubes", cubes_dir))
    config = CubesConfig(name, os.fspath(cubes_dir), sensors=infos[0].sensors, **kwargs)
    folder = pathlib.Path(data_dir) / builder_class.name / name
    files.check_apart({"--data_dir": data_dir}, {"--cubes": cubes_dir})
    final = folder / str(builder_class.VERSION)
    made = [p for p in (folder, *folder.parents[:2]) if not p.exists()]
    try:
        with files.Lock(folder, "dataset"):
            ownership.remove_unfinished(final)
            new = overwrite or not os.path.lexists(final)
            ownership.check_replaceable(final)
            if new:
                _make(builder_class, config, final)
            elif _open_whole(final).fingerprint != cube_set.fingerprint(
                infos, config.chip, config.overlap, config.folds, config.landcover
            ):
                raise ValueError(
                    f"{final}: found a dataset built from other cubes or settings; "
                    f"expected a new --name, or --overwrite"
                )
    except BaseException:
        for path in made:
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()
        raise
    return builder_class(data_dir=data_dir, config=config), new


def _make(
    builder_class: type[CubeDatasetBuilder], config: CubesConfig, final: pathlib.Path
) -> None:
    """Builds a dataset next to its place, opens it, and only then gives it its name."""
    with tempfile.TemporaryDirectory(prefix=ownership.UNFINISHED, dir=final.parent) as scratch:
        try:
            builder = builder_class(data_dir=scratch, config=config)
            _prepare(builder, scratch)
            built = pathlib.Path(builder.data_path)
            dataset_files.seal(built)
        except OSError as error:
            raise files.not_written(final, error) from error
        _open_whole(built)
        with files.replacing(final) as part:
            built.rename(part)


def _open_whole(folder: pathlib.Path) -> dataset.Dataset:
    """Opens a dataset and all files of its records."""
    data = dataset.open_folder(folder)
    for split in data.chips:
        data.source(split)
    return data


def _prepare(builder: CubeDatasetBuilder, scratch: str) -> None:
    # One bar, over cubes, is enough; nothing is downloaded, whatever the name of TFDS's step and
    # of its folder.
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            builder.download_and_prepare(
                download_dir=os.path.join(scratch, "downloads"), file_format="array_record"
            )
        finally:
            builder.close()
