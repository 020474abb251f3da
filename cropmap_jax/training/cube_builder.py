"""The shared base of the TFDS builders: a folder of cubes becomes a dataset of chips.

Nothing here needs TensorFlow: the builders write array_record, uncompressed, so that `records` can
read parts of a record, as `tfds.data_source` can read it whole. Records keep the order of the chip
table in the metadata, so that a sampler can choose chips (by split, by annotated pixels) without
reading them.
"""

import contextlib
import functools
import hashlib
import io
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tensorflow_datasets.core import dataset_builder, writer
from tqdm import tqdm

from cropmap_jax.geo import calendars, chips, cube, cube_io, legend, periods, splits

FORMAT = 1
"""Version of the metadata's layout; a reader refuses another."""

SHARD_BYTES, MAX_SHARDS = 1 << 26, 500
"""About how large a file is, in pixels without overlap, and how many a split may have: a builder
keeps the chips of one in memory, a reader keeps all of a split's open."""


def features(chip: int) -> tfds.features.FeaturesDict:
    """Features of one chip of `chip` x `chip` pixels; the number of periods may vary."""
    bytes_ = {"encoding": "bytes"}
    return tfds.features.FeaturesDict(
        {
            "s1": tfds.features.Tensor(shape=(None, chip, chip, 2), dtype=np.int16, **bytes_),
            "s2": tfds.features.Tensor(shape=(None, chip, chip, 10), dtype=np.int16, **bytes_),
            "label": tfds.features.Tensor(shape=(chip, chip), dtype=np.uint8),
            "fields": tfds.features.Tensor(shape=(chip, chip), dtype=np.uint32, **bytes_),
            "periods": tfds.features.Tensor(shape=(None, 2), dtype=np.int32),
            "cube": tfds.features.Text(),
            "cube_index": np.int32,
            "row": np.int32,
            "col": np.int32,
        }
    )


class CubesConfig(tfds.core.BuilderConfig):
    """Which cubes make the dataset, and how they are cut.

    Args:
      name: the dataset's name below the builder's, e.g. "belgium".
      cubes_dir: folder of cubes.
      chip: side of a chip in pixels.
      overlap: pixels that neighbouring chips share.
      progress: show a progress bar.
    """

    def __init__(self, name: str, cubes_dir: str = "", chip=64, overlap=0, progress=False):
        super().__init__(name=name, description=f"chips of {chip} px, overlap {overlap} px")
        self.cubes_dir, self.chip, self.overlap = cubes_dir, chip, overlap
        self.progress = progress


def check_cubes(infos: list[cube.CubeInfo]) -> None:
    """Demands cubes that belong together: one legend, one kind of period, no shared ground.

    Raises:
      ValueError: names the two cubes that disagree and how.
    """
    first = infos[0]
    for info in infos[1:]:
        if info.legend != first.legend:
            raise ValueError(
                f"cubes {first.cube_id} and {info.cube_id}: expected one legend, found "
                f"{first.legend.name!r} ({', '.join(first.legend.names)}) and "
                f"{info.legend.name!r} ({', '.join(info.legend.names)})"
            )
        kinds = periods.period_kind(first.periods), periods.period_kind(info.periods)
        if kinds[0] != kinds[1]:
            raise ValueError(
                f"cubes {first.cube_id} and {info.cube_id}: expected periods of one kind, found "
                f"{kinds[0]} and {kinds[1]}"
            )
    splits.check_blocks([(info.cube_id, info.block, info.split) for info in infos])
    for season in sorted({info.season for info in infos}):
        own = [info for info in infos if info.season == season]
        found = splits.find_overlap([i.cube_id for i in own], [i.geobox for i in own])
        if found:
            raise ValueError(
                f"cubes {found[0]} and {found[1]} of season {season!r}: expected no shared "
                f"ground, found {found[2]:.0f} m²"
            )


def fingerprint(infos: list[cube.CubeInfo], config: CubesConfig) -> str:
    """Hash of what the dataset is made from: every item (with its checksums) and the cut."""
    digest = hashlib.sha256(f"{FORMAT} {config.chip} {config.overlap}".encode())
    for info in infos:
        digest.update((info.path / cube_io.ITEM).read_bytes())
    return digest.hexdigest()


class CubeDatasetBuilder(dataset_builder.ShardBasedBuilder):
    """Chips of cubes with Sentinel-1, Sentinel-2 and tri-state labels.

    Subclasses set VERSION, and LEGEND where the dataset has a fixed one. All periods of a cube are
    kept: which of them a prediction may see is decided at loading, by its as-of date.

    Shards are written one after the other as cubes are read: a builder that generates whole splits
    gathers each of them in memory first (and, past 1 GB, in temporary files, of which records that
    keep their order all land in the first, which is read at once).
    """

    VERSION = tfds.core.Version("1.0.0")
    LEGEND: legend.Legend | None = None
    FIELDS_FROM_LABEL = True
    """Whether connected components of the label count as fields where none are given."""

    builder_config: CubesConfig

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=features(self.builder_config.chip),
            supervised_keys=None,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _example_writer(self) -> writer.ExampleWriter:
        return _UncompressedWriter(self.info.file_format)

    def _shard_iterators_per_split(self, dl_manager) -> dict[str, list[Callable]]:
        del dl_manager
        infos = cube_io.list_cubes(self.builder_config.cubes_dir)
        if self.LEGEND is not None and infos[0].legend != self.LEGEND:
            raise ValueError(
                f"{infos[0].path}: dataset {self.name!r} expects legend {self.LEGEND.name!r}, "
                f"found {infos[0].legend.name!r}; use --dataset cubes for other legends"
            )
        check_cubes(infos)
        self._statistics = {s: _Statistics(len(b)) for s, b in cube.BANDS.items()}
        present = [s for s in splits.SPLITS if any(info.split == s for info in infos)]
        self.info.metadata.update(_metadata(infos, self.builder_config))
        self._bar = tqdm(
            total=len(infos), unit="cube", desc="build", disable=not self.builder_config.progress
        )
        numbered = list(enumerate(infos))
        shards = {}
        for split in present:
            table: dict[str, list] = {"cube": [], "row": [], "col": [], "pixels": []}
            self.info.metadata["chips"][split] = table
            own = [n for n in numbered if n[1].split == split]
            shards[split] = [
                functools.partial(self._generate_examples, part, split, table)
                for part in _shards(own)
            ]
        return shards

    def close_bar(self) -> None:
        """Ends the progress bar's line, so that an error message starts its own."""
        bar = getattr(self, "_bar", None)
        if bar is not None:
            bar.close()

    def _generate_examples(self, numbered: list, split: str, table: dict[str, list]):
        for index, info in numbered:
            raw = cube_io.read_raw(info.path, verify=True)
            if split == "train":
                for sensor, statistics in self._statistics.items():
                    statistics.add(getattr(raw, sensor))
            for example in _cut_cube(raw, self.builder_config, self.FIELDS_FROM_LABEL):
                example["cube_index"] = index
                counts = np.bincount(example["label"].ravel(), minlength=256)
                table["cube"].append(index)
                table["row"].append(example["row"])
                table["col"].append(example["col"])
                table["pixels"].append(
                    [int(c) for c in (*counts[: len(info.legend)], counts[legend.NONE_OF_THESE])]
                )
                yield len(table["cube"]), example
            self._bar.update()
        if split == "train":
            self.info.metadata["statistics"] = {
                sensor: statistics.result(cube.BANDS[sensor], cube.SCALES[sensor])
                for sensor, statistics in self._statistics.items()
            }


class _UncompressedWriter(writer.ExampleWriter):
    """Writes ArrayRecord files that `records.Records` can read in parts."""

    def write(self, path, examples) -> None:
        file = array_record_module.ArrayRecordWriter(os.fspath(path), "group_size:1,uncompressed")
        for _, example in examples:
            file.write(example)
        file.close()


def _shards(numbered: list[tuple[int, cube.CubeInfo]]) -> list[list]:
    """Cubes of a split in order, in parts of about SHARD_BYTES; fewer than MAX_SHARDS of them."""
    sizes = np.array(
        [24 * len(info.periods) * info.shape[0] * info.shape[1] for _, info in numbered], np.int64
    )
    target = max(SHARD_BYTES, int(sizes.sum()) // MAX_SHARDS + 1)
    part = (np.cumsum(sizes) - sizes) // target
    return [[n for n, p in zip(numbered, part, strict=True) if p == q] for q in np.unique(part)]


def _metadata(infos: list[cube.CubeInfo], config: CubesConfig) -> dict:
    classes = infos[0].legend
    crops = classes.names
    calendar = [info.harvest for info in infos]
    places = [info.place for info in infos]
    seasons = [info.season for info in infos]
    return {
        "format": FORMAT,
        "fingerprint": fingerprint(infos, config),
        "chip": config.chip,
        "overlap": config.overlap,
        "period_kind": periods.period_kind(infos[0].periods),
        "legend": classes.to_json(),
        "crops": list(crops),
        "harvest": calendars.harvest_table(calendar, places, seasons, crops).tolist(),
        "planting": calendars.planting_table(calendar, crops).tolist(),
        "cubes": [
            {
                "id": info.cube_id,
                "split": info.split,
                "block": info.block,
                "season": info.season,
                "province": info.province,
                "crs": str(info.geobox.crs),
                "transform": list(info.geobox.affine)[:6],
                "shape": list(info.shape),
                "periods": periods.to_days(info.periods).tolist(),
            }
            for info in infos
        ],
        "statistics": {},
        "chips": {},
    }


def _cut_cube(raw: cube_io.RawCube, config: CubesConfig, fields_from_label: bool):
    fields, size = raw.fields, config.chip
    if not raw.info.has_fields and fields_from_label:
        fields = splits.connected_fields(raw.label)
    height, width = raw.info.shape
    for row in chips.chip_origins(height, size, config.overlap):
        for col in chips.chip_origins(width, size, config.overlap):
            yield {
                "s1": chips.cut(raw.s1, row, col, size, cube.NODATA, axis=1),
                "s2": chips.cut(raw.s2, row, col, size, cube.NODATA, axis=1),
                "label": chips.cut(raw.label, row, col, size, legend.IGNORE),
                "fields": chips.cut(fields, row, col, size, 0),
                "periods": periods.to_days(raw.info.periods),
                "cube": raw.info.cube_id,
                "row": row,
                "col": col,
            }


class _Statistics:
    """Mean, standard deviation, range and missing share per band, from how often each value is."""

    def __init__(self, bands: int):
        self._counts = np.zeros((bands, 1 << 16), np.int64)

    def add(self, stored: np.ndarray) -> None:
        """Counts int16 [..., bands]."""
        for band, counts in enumerate(self._counts):
            counts += np.bincount(stored[..., band].view(np.uint16).ravel(), minlength=1 << 16)

    def result(self, bands: tuple[str, ...], scale: float) -> dict:
        """{band: {mean, std, min, max, missing}}; null where a band is missing throughout."""
        stored = np.arange(1 << 16, dtype=np.uint16).view(np.int16)
        values, there = stored / scale, stored != cube.NODATA
        out = {}
        for band, counts in zip(bands, self._counts, strict=True):
            n, total = int(counts[there].sum()), int(counts.sum())
            row = {"mean": None, "std": None, "min": None, "max": None}
            row["missing"] = 1 - n / max(total, 1)
            if n:
                seen = there & (counts > 0)
                mean = float(np.sum(counts[seen] * values[seen]) / n)
                variance = float(np.sum(counts[seen] * np.square(values[seen] - mean)) / n)
                row |= {"mean": mean, "std": float(np.sqrt(variance))}
                row |= {"min": float(values[seen].min()), "max": float(values[seen].max())}
            out[band] = row
        return out


def build(
    builder_class, name: str, cubes_dir: str, data_dir: str, overwrite: bool = False, **kwargs
):
    """Builds a dataset, or finds it built already from the very same cubes.

    Args:
      builder_class: a subclass of `CubeDatasetBuilder`.
      name: dataset name below the builder's.
      cubes_dir, data_dir: folder of cubes; folder of datasets.
      overwrite: build it anew and replace the one of that name, which stays until the new one is
        whole.
      **kwargs: `chip`, `overlap`, `progress` of `CubesConfig`.

    Returns:
      (builder, whether it was built now).

    Raises:
      ValueError: cubes that are absent, damaged or do not belong together, or a dataset of that
        name that was built from other cubes.
    """
    infos = cube_io.list_cubes(cubes_dir)
    config = CubesConfig(name, os.fspath(cubes_dir), **kwargs)
    builder = builder_class(data_dir=data_dir, config=config)
    final = pathlib.Path(builder.data_path)
    for leftover in final.parent.glob("incomplete.*"):
        shutil.rmtree(leftover, ignore_errors=True)  # of a run that was killed
    if final.exists() and overwrite:
        with tempfile.TemporaryDirectory(prefix="incomplete.", dir=final.parent) as scratch:
            fresh = builder_class(data_dir=scratch, config=config)
            _prepare(fresh)
            final.rename(pathlib.Path(scratch) / "replaced")
            pathlib.Path(fresh.data_path).rename(final)
        return builder_class(data_dir=data_dir, config=config), True
    if final.exists():
        if dict(builder.info.metadata or {}).get("fingerprint") != fingerprint(infos, config):
            raise ValueError(
                f"{final}: found a dataset built from other cubes or another cut; "
                f"expected a new --name, or --overwrite"
            )
        return builder, False
    _prepare(builder)
    return builder, True


def _prepare(builder: CubeDatasetBuilder) -> None:
    # One bar, over cubes, is enough; "download" would only puzzle a reader, and so would its
    # folder.
    tfds.disable_progress_bar()
    with (
        tempfile.TemporaryDirectory() as scratch,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        try:
            builder.download_and_prepare(download_dir=scratch, file_format="array_record")
        finally:
            builder.close_bar()
