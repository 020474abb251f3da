"""A built dataset, opened for reading: its legend, calendars, chip table and records."""

import dataclasses
import pathlib
import re

import numpy as np
import tensorflow_datasets as tfds

from cropmap_jax.geo import legend, periods, splits
from cropmap_jax.training import cube_builder, records


@dataclasses.dataclass(frozen=True)
class Chips:
    """The chip table of one split, in the order of the records.

    Args:
      cube: int32 [N], index into `Dataset.cubes`.
      row, col: int32 [N], upper left corner in the cube.
      pixels: int64 [N, classes + 1], annotated pixels per class, then none-of-these.
    """

    cube: np.ndarray
    row: np.ndarray
    col: np.ndarray
    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.cube)

    @property
    def annotated(self) -> np.ndarray:
        """int64 [N], annotated pixels of each chip."""
        return self.pixels.sum(1)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset of chips.

    Args:
      name: "<builder>/<name>", e.g. "cubes/belgium".
      path: its folder.
      legend: the classes that labels index.
      chip: side of a chip in pixels.
      period_kind: "month", "dekad" or "N days".
      cubes: id, split, block, season, crs, transform, shape, periods of each cube.
      harvest: int32 [cubes, classes], harvest start, days since 1970-01-01, 0 unknown.
      planting: int32 [cubes, classes], planting end, 0 unknown.
      statistics: per sensor and band over the training split; reported, never applied.
      chips: chip table per split.
      fingerprint: hash of the cubes and the cut that it was built from.
    """

    name: str
    path: pathlib.Path
    legend: legend.Legend
    chip: int
    period_kind: str
    cubes: list[dict]
    harvest: np.ndarray
    planting: np.ndarray
    statistics: dict
    chips: dict[str, Chips]
    fingerprint: str = ""

    def source(self, split: str):
        """Random-access records of a split: `source[i]` is a dict of arrays.

        Raises:
          ValueError: the dataset has no such split, or a file of it is damaged.
        """
        self.split(split)
        return records.open_records(self.path, split, self.chip)

    def split(self, split: str) -> Chips:
        """Chip table of a split.

        Raises:
          ValueError: the dataset has no such split.
        """
        if split not in self.chips:
            raise ValueError(
                f"{self.path}: found no split {split!r}; expected one of {', '.join(self.chips)}"
            )
        return self.chips[split]

    @property
    def ground(self) -> list[dict]:
        """Which ground is in which split: id, split, season, crs, transform, shape of each cube."""
        keys = ("id", "split", "season", "crs", "transform", "shape")
        return [{key: row[key] for key in keys} for row in self.cubes]

    @property
    def pixel_m(self) -> float:
        """Side of the pixels in metres, the same in all cubes."""
        return float(self.cubes[0]["transform"][0])

    @property
    def unseen_bands(self) -> dict[str, list[int]]:
        """Per sensor the indices of bands that are missing throughout the training split."""
        return {
            sensor: [i for i, band in enumerate(bands.values()) if band["missing"] == 1]
            for sensor, bands in self.statistics.items()
        }

    def periods(self, cube: int) -> np.ndarray:
        """int32 [T, 2] periods of a cube, days since 1970-01-01."""
        return np.asarray(self.cubes[cube]["periods"], np.int32)


def open_dataset(data_dir: str, name: str) -> Dataset:
    """Opens a dataset that `experiments.build` made.

    Args:
      data_dir: folder of datasets.
      name: "<builder>" or "<builder>/<name>".

    Raises:
      ValueError: no dataset there, one that has lost a file, or one of another format.
    """
    folder = pathlib.Path(data_dir) / (name if "/" in name else f"{name}/default")
    # A dataset in the making lies beside, under a name like incomplete.ABCDEF_1.0.0.
    versions = [p for p in folder.glob("*") if re.fullmatch(r"\d+\.\d+\.\d+", p.name)]
    versions = [p for p in versions if (p / "dataset_info.json").is_file()]
    versions.sort(key=lambda p: [int(n) for n in p.name.split(".")])
    if not versions:
        raise ValueError(
            f"{folder}: expected a dataset, found none; build one with python -m experiments.build"
        )
    info = tfds.builder_from_directory(str(versions[-1])).info
    meta = dict(info.metadata or {})
    if meta.get("format") != cube_builder.FORMAT:
        raise ValueError(
            f"{versions[-1]}: expected format {cube_builder.FORMAT}, found {meta.get('format')}; "
            f"build it again with --overwrite"
        )
    files = [pathlib.Path(f) for split in info.splits.values() for f in split.filepaths]
    lost = [f for f in files if not f.is_file()]
    if lost:
        raise ValueError(
            f"{lost[0]}: expected a file of the dataset, found none; "
            f"build it again with --overwrite"
        )
    chips = {}
    for split, table in meta["chips"].items():
        columns = (np.asarray(table[c], np.int32) for c in ("cube", "row", "col"))
        chips[split] = Chips(*columns, np.asarray(table["pixels"], np.int64))
    return Dataset(
        name="/".join(folder.parts[-2:]),
        path=versions[-1],
        legend=legend.Legend.from_json(meta["legend"], str(versions[-1])),
        chip=meta["chip"],
        period_kind=meta["period_kind"],
        cubes=meta["cubes"],
        harvest=np.asarray(meta["harvest"], np.int32),
        planting=np.asarray(meta["planting"], np.int32),
        statistics=meta["statistics"],
        chips={s: chips[s] for s in splits.SPLITS if s in chips},
        fingerprint=meta["fingerprint"],
    )


def describe(data: Dataset) -> str:
    """A table of what a dataset holds: chips per split and annotated pixels per class."""
    header = f"{'class':26}" + "".join(f"{split:>14}" for split in data.chips)
    totals = {split: chips.pixels.sum(0) for split, chips in data.chips.items()}
    rows = [header, f"{'chips':26}" + "".join(f"{len(c):14,d}" for c in data.chips.values())]
    for i, name in enumerate((*data.legend.names, "none of these")):
        rows.append(f"{name[:26]:26}" + "".join(f"{totals[s][i]:14,d}" for s in data.chips))
    spans = [data.periods(i) for i in range(len(data.cubes))]
    first, last = min(s[0, 0] for s in spans), max(s[-1, 1] for s in spans)
    rows.append(
        f"{len(data.cubes)} cubes, periods of a {data.period_kind} from "
        f"{periods.from_day(first)} to {periods.from_day(last)}; pixels annotated per class"
    )
    for sensor, bands in data.statistics.items():
        missing = np.mean([band["missing"] for band in bands.values()])
        rows.append(f"{sensor}: {missing:.1%} missing in training cubes")
    return "\n".join(rows)
