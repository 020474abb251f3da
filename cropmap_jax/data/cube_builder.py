"""The shared base of the TFDS builders: a folder of cubes becomes a dataset of chips.

Nothing here needs TensorFlow: the builders write array_record, uncompressed, so that `records` can
read parts of a record, as `tfds.data_source` can read it whole. Records keep the order of the chip
table in the metadata, so that a sampler can choose chips (by split, by annotated pixels) without
reading them.
"""

import contextlib
import functools
import io
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_builder, writer

from cropmap_jax.data import (
    cube_set,
    cutting,
    dataset,
    dataset_files,
    ownership,
    read_plan,
    shard_tasks,
)
from cropmap_jax.data.cutting import Cut
from cropmap_jax.data.examples import Record
from cropmap_jax.data.fold_writing import FoldsToWrite
from cropmap_jax.geo import cube_io, files, legend, progress, splits
from cropmap_jax.geo.cube import CubeInfo
from cropmap_jax.geo.folds import Rule
from cropmap_jax.geo.landcover import Choice
from cropmap_jax.geo.sensors import SENTINEL, Sensor
from cropmap_jax.scheduling import Scheduler


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
    scheduler: Scheduler | None = None
    """Whose workers write the shards; None for this process."""

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=dataset_files.features(self.builder_config.chip, self.builder_config.sensors),
            supervised_keys=None,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _example_writer(self) -> writer.ExampleWriter:
        self._writer = shard_tasks.InOrder(self.info.file_format)
        return self._writer

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
        config = self.builder_config
        settings = (config.chip, config.overlap, config.folds, config.landcover)
        meta = cube_set.metadata(infos, *settings)
        if made_by := cube_set.made_by(infos):
            meta["made_by"] = made_by
        covered = _check_landcover(infos, config.landcover)
        in_split = [cube["split"] for cube in meta["cubes"]]
        present = [split for split in splits.SPLITS if split in in_split]
        self._folds = None
        if config.folds:
            weak = functools.partial(cutting.weak_pixels, choice=config.landcover)
            from_label = self.FIELDS_FROM_LABEL
            self._folds = FoldsToWrite(config.folds, infos, from_label, weak if covered else None)
            meta["folds"] = self._folds.metadata
        self.info.metadata.update(meta)
        self._bar = progress.bar(
            total=len(infos), unit="cube", desc="build", disable=not config.progress
        )
        sensors = infos[0].sensors
        how = Cut(config.chip, sensors, config.landcover, covered, self.FIELDS_FROM_LABEL)
        numbered = list(enumerate(infos))
        planned = {
            split: read_plan.shards(
                [n for n in numbered if in_split[n[0]] == split], config.chip, config.overlap
            )
            for split in present
        }
        self.info.metadata["chips"] |= {split: how.empty() for split in present}
        common = (
            how,
            [(split, one) for split in present for one in planned[split]],
            self.info.metadata["chips"],
            self._folds,
            self._bar.update,
        )
        self._shards = self._on_workers(common) or shard_tasks.Here(*common)
        self._writer.begin(self._shards.write)
        return {
            split: [functools.partial(self._generate_examples, split) for _ in own]
            for split, own in planned.items()
        }

    def _on_workers(self, common: tuple[Any, ...]) -> shard_tasks.Shards | None:
        """Lets workers begin with the shards, if there are any workers."""
        if self.scheduler is None or self.scheduler.is_here:
            return None
        folder = pathlib.Path(self._data_dir_root).absolute() / "shards"
        folder.mkdir()
        cubes = self.builder_config.cubes_dir
        self.scheduler.require({"--data_dir": folder}, {"--cubes": cubes})
        return shard_tasks.OnWorkers(self.scheduler, folder, *common)

    def close(self) -> None:
        """Closes files, and ends the progress bar's line: an error message starts its own."""
        if hasattr(self, "_shards"):
            self._shards.close()
        if hasattr(self, "_bar"):
            self._bar.close()

    def _generate_examples(self, split: str) -> Iterator[tuple[int, Record]]:
        """As many empty examples as there are in the shard that was written last."""
        for number in range(self._shards.count):
            yield number, {}
        if split == "train":
            self.info.metadata["statistics"] = self._shards.statistics()


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


def build(
    builder_class: type[CubeDatasetBuilder],
    name: str,
    cubes_dir: str | os.PathLike[str],
    data_dir: str | os.PathLike[str],
    overwrite: bool = False,
    scheduler: Scheduler | None = None,
    **kwargs: Any,
) -> tuple[CubeDatasetBuilder, bool]:
    """Builds a dataset, or finds it built already from the very same cubes.

    Args:
      builder_class: a subclass of `CubeDatasetBuilder`.
      name: dataset name below the builder's.
      cubes_dir, data_dir: folder of cubes; folder of datasets.
      overwrite: build it again and replace the one of that name, which stays until the new one is
        whole.
      scheduler: whose workers cut the cubes; None for this process. The dataset is the same.
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
    where = os.fspath(cubes_dir) if scheduler is None else os.path.abspath(cubes_dir)
    config = CubesConfig(name, where, sensors=infos[0].sensors, **kwargs)
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
                _make(builder_class, config, final, scheduler)
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
    builder_class: type[CubeDatasetBuilder],
    config: CubesConfig,
    final: pathlib.Path,
    scheduler: Scheduler | None,
) -> None:
    """Builds a dataset next to its place, opens it, and only then gives it its name."""
    with tempfile.TemporaryDirectory(prefix=ownership.UNFINISHED, dir=final.parent) as scratch:
        try:
            builder = builder_class(data_dir=scratch, config=config)
            builder.scheduler = scheduler
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
