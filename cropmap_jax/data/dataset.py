"""A built dataset, opened for reading: its legend, calendars, chip table and records."""

import dataclasses
import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cropmap_jax.data import dataset_files, few_fields, fold_view, joined, records
from cropmap_jax.data.examples import Source
from cropmap_jax.geo import grid, legend, periods, splits
from cropmap_jax.geo import sensors as sensors_lib
from cropmap_jax.geo.sensors import SENTINEL, Sensor

NO_WEAK = "no pixel of a land-cover map in train; all pixels that are drawn are annotated"
"""What there is to say where a config asks for pixels that there are not."""


@dataclasses.dataclass(frozen=True)
class Chips:
    """The chip table of one split, in the order of the records.

    Args:
      cube: int32 [N], index into `Dataset.cubes`.
      row, col: int32 [N], upper left corner in the cube.
      pixels: int64 [N, classes + 1], annotated pixels per class, then none-of-these.
      weak: int64 [N], pixels that are none of these as a land-cover map says and nobody else; they
        are not annotated. None of a dataset that was built without such a map.
    """

    cube: np.ndarray
    row: np.ndarray
    col: np.ndarray
    pixels: np.ndarray
    weak: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.cube)

    @property
    def places(self) -> np.ndarray:
        """int32 [N, 3], cube, row and column of each chip."""
        return np.stack([self.cube, self.row, self.col], 1)

    @property
    def has_weak(self) -> bool:
        """Whether there is any pixel that only a land-cover map says is none of the classes."""
        return self.weak is not None and bool(self.weak.any())

    @property
    def annotated(self) -> np.ndarray:
        """int64 [N], annotated pixels of each chip."""
        counts: np.ndarray = self.pixels.sum(1)
        return counts


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
      sensors: whose pixels the records hold.
      folds: how its annotated ground is divided for cross-validation; None: it is not.
      fold: the fold that this is a view of, whose chip tables and labels are those of that fold's
        splits; None: all labels, in one split "train" where there are folds.
      few: which fields are known, in a view in which not all are; None: all.
      backscatter: what radar pixels measure, one of `sensors.BACKSCATTER`; None not known.
      made_by: what made its cubes, in words; none of what an earlier version built.
      merged: the dataset whose splits are one split "train" here, see `block_folds`; None: its
        splits are those of the records.
    """

    name: str
    path: pathlib.Path
    legend: legend.Legend
    chip: int
    period_kind: str
    cubes: list[dict[str, Any]]
    harvest: np.ndarray
    planting: np.ndarray
    statistics: dict[str, dict[str, dict[str, Any]]]
    chips: dict[str, Chips]
    fingerprint: str = ""
    sensors: tuple[Sensor, ...] = SENTINEL
    folds: fold_view.Folds | None = None
    fold: int | None = None
    few: few_fields.Few | None = None
    backscatter: str | None = None
    made_by: tuple[str, ...] = ()
    merged: "Dataset | None" = None

    def source(self, split: str) -> Source:
        """Random-access records of a split: `source[i]` is a `Record`.

        Raises:
          ValueError: the dataset has no such split, or a file of it is damaged.
        """
        table = self.split(split)
        if self.few is not None:
            return self.few.source(split)
        if self.folds is None or self.fold is None:
            return self._records(split, table)
        # The training table of a view has every chip.
        every = self.chips["train"]
        weak = None if self.folds.weak is None else self.folds.weak.sum(0)
        whole = self._records(
            "train", dataclasses.replace(every, pixels=self.folds.pixels.sum(0), weak=weak)
        )
        kept = self.folds.splits(self.fold)[split]
        chosen = _in_split(every, self.folds.pixels, kept, split)
        return fold_view.InFolds(whole, chosen, table.places, self.chip, self.folds, kept)

    def _records(self, split: str, table: Chips) -> Source:
        if self.merged is not None:
            return joined.Joined([self.merged.source(own) for own in self.merged.chips])
        return records.open_records(
            self.path, split, self.chip, self.sensors, table.places, table.pixels, table.weak
        )

    def view(self, fold: int) -> "Dataset":
        """The dataset as the network sees it that is tested on a fold.

        Cubes are shared by its splits; in the tables of validation and test are those of which
        anything is annotated there.

        Raises:
          ValueError: there is no such fold.
        """
        if self.folds is None:
            raise ValueError(
                f"{self.path}: expected no fold, since build made none (--folds), found "
                f"fold {fold!r}"
            )
        pixels, every, chips = self.folds.pixels, self.chips["train"], {}
        for split, kept in self.folds.splits(fold).items():
            own = _in_split(every, pixels, kept, split)
            place = every.cube[own], every.row[own], every.col[own]
            weak = self.folds.weak
            chips[split] = Chips(
                *place,
                pixels[list(kept)].sum(0)[own],
                None if weak is None else weak[list(kept)].sum(0)[own],
            )
        return dataclasses.replace(self, chips=chips, fold=fold)

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

    def unknown_pixels(self, split: str) -> np.ndarray:
        """int64 [N], pixels of each chip of a split that lie in its cube and are not annotated.

        Raises:
          ValueError: the dataset has no such split.
        """
        table = self.split(split)
        shapes = np.array([row["shape"] for row in self.cubes], np.int64)[table.cube]
        corner = np.stack([table.row, table.col], 1)
        inside = np.clip(shapes - corner, 0, self.chip).prod(1)
        unknown: np.ndarray = np.maximum(inside - table.annotated, 0)
        return unknown

    @property
    def ground(self) -> list[dict[str, Any]]:
        """Which ground is in which split: id, split, season, crs, transform, shape of each cube.

        In a view of a fold a cube is there once for each split that has annotation in it, with
        "folds": those of the split, and a digest of how all ground was divided. With few fields it
        is that of all: which of them are known changes nothing about where they are.
        """
        if self.few is not None:
            return self.few.whole.ground
        keys = ("id", "split", "season", "crs", "transform", "shape")
        rows = [{key: row[key] for key in keys} for row in self.cubes]
        if self.folds is None or self.fold is None:
            return rows
        found = []
        for split, kept in self.folds.splits(self.fold).items():
            table = self.chips[split]
            part = {"split": split, "folds": {"of": self.folds.digest, "numbers": list(kept)}}
            found += [rows[i] | part for i in np.unique(table.cube[table.annotated > 0])]
        return found

    def never_annotated(self, split: str) -> list[str]:
        """Names of the classes of which no pixel of a split is annotated: nothing can learn them.

        Raises:
          ValueError: the dataset has no such split.
        """
        counts = self.split(split).pixels.sum(0)
        return [name for name, n in zip(self.legend.names, counts, strict=False) if not n]

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


def _in_split(every: Chips, pixels: np.ndarray, kept: Sequence[int], split: str) -> np.ndarray:
    """Numbers of the chips in a split of a view: whole cubes, for training all of them."""
    if split == "train":
        return np.arange(len(every))
    annotated = pixels[list(kept)].sum((0, 2)) > 0
    return np.flatnonzero(np.isin(every.cube, every.cube[annotated]))


def view_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a dataset a run sees that has this config: further arguments of `open_dataset`.

    Configs of earlier versions lack some settings, and see all.
    """
    found = {} if config.get("fold") is None else {"fold": config["fold"]}
    if config.get(few_fields.PER_CLASS, 0) != 0:
        found |= {name: config.get(name, 0) for name in few_fields.SETTINGS}
    return found


def open_dataset(
    data_dir: str,
    name: str,
    fold: int | None = None,
    fields_per_class: int = 0,
    fields_draw: int = 0,
) -> Dataset:
    """Opens a dataset that `experiments.build` made.

    Args:
      data_dir: folder of datasets.
      name: "<builder>" or "<builder>/<name>".
      fold: of a dataset with folds, the one that is tested.
      fields_per_class, fields_draw: how many fields of each class are known outside of the test
        split, 0 for all, and which draw of them it is; see `few_fields`.

    Raises:
      ValueError: no dataset there, one that has lost a file, one of another format, one with folds
        of which none is named, a fold that there is not, or a number of fields that cannot be.
    """
    few_fields.check(fields_per_class, fields_draw)
    data = _open_fold(data_dir, name, fold)
    if fields_per_class:
        return few_fields.thin(data, fields_per_class, fields_draw)
    return data


def _open_fold(data_dir: str, name: str, fold: int | None) -> Dataset:
    data = open_folder(newest(data_dir, name))
    if fold is not None:
        return data.view(fold)
    if data.folds:
        raise ValueError(
            f"{data.path}: expected a fold, 0 to {data.folds.rule.count - 1} (--config.fold; "
            f"--fold of evaluate), found none; python -m experiments.crossvalidate trains all"
        )
    return data


def newest(data_dir: str, name: str) -> pathlib.Path:
    """The folder of the newest version of a dataset.

    Args:
      data_dir: folder of datasets.
      name: "<builder>" or "<builder>/<name>".

    Raises:
      ValueError: there is none.
    """
    folder = pathlib.Path(data_dir) / (name if "/" in name else f"{name}/default")
    # An unfinished dataset lies next to it, under a name like incomplete.ABCDEF.
    versions = [p for p in folder.glob("*") if re.fullmatch(r"\d+\.\d+\.\d+", p.name)]
    versions = [p for p in versions if (p / dataset_files.INFO).is_file()]
    versions.sort(key=lambda p: [int(n) for n in p.name.split(".")])
    if not versions:
        raise ValueError(
            f"{folder}: expected a dataset, found none; build one with python -m experiments.build"
        )
    return versions[-1]


def open_folder(folder: pathlib.Path) -> Dataset:
    """Opens the folder of one version of a dataset; nothing in it is trusted.

    Returns:
      The dataset, no view of a fold.

    Raises:
      ValueError: names the file that is lost or damaged, or in which tables do not agree.
    """
    found = dataset_files.split_files(folder)
    meta = dataset_files.read_metadata(folder)
    where = str(folder / dataset_files.METADATA)
    with dataset_files.advice():
        stored = sensors_lib.from_json(meta.get("sensors"), f"{where}: sensors")
    dataset_files.check_features(folder, meta["chip"], stored)
    with dataset_files.advice():
        classes = legend.Legend.from_json(meta["legend"], where)
        cubes = _cubes(meta["cubes"], where)
        shape, days = (len(cubes), len(classes)), (-(10**6), 10**6)
        harvest = dataset_files.table(meta["harvest"], shape, days, f"{where}: harvest")
        planting = dataset_files.table(meta["planting"], shape, days, f"{where}: planting")
        _check_statistics(meta["statistics"], stored, where)
        chips = {
            split: _chips(meta["chips"][split], split, cubes, (meta["chip"], len(classes)), where)
            for split in splits.SPLITS
            if split in meta["chips"]
        }
        divided = _folds(meta, cubes, chips, where)
        records_of = {split: sum(counts) for split, (_, counts) in found.items()}
        if records_of != {split: len(table) for split, table in chips.items()}:
            raise ValueError(
                f"{where}: expected tables of {records_of} chips, as in {dataset_files.INFO}, "
                f"found { ({split: len(table) for split, table in chips.items()}) }"
            )
    # Last: the checks above say more about a fault to a user who edited the file.
    dataset_files.check_digest(meta, folder / dataset_files.METADATA)
    return Dataset(
        name="/".join(folder.parts[-3:-1]),
        path=folder,
        legend=classes,
        chip=meta["chip"],
        period_kind=meta["period_kind"],
        cubes=cubes,
        harvest=harvest.astype(np.int32),
        planting=planting.astype(np.int32),
        statistics=meta["statistics"],
        chips=chips,
        fingerprint=meta["fingerprint"],
        sensors=stored,
        folds=divided,
        backscatter=meta.get("backscatter"),
        made_by=tuple(meta.get("made_by", ())),
    )


def _folds(
    meta: dict[str, Any], cubes: list[dict[str, Any]], chips: dict[str, Chips], where: str
) -> fold_view.Folds | None:
    if "folds" not in meta:
        return None
    if list(chips) != ["train"]:
        raise ValueError(
            f"{where}: expected one split, train, in a dataset of folds, found {', '.join(chips)}"
        )
    shapes = [(row["shape"][0], row["shape"][1]) for row in cubes]
    train = chips["train"]
    return fold_view.read(meta["folds"], shapes, train.pixels, train.weak, where)


def _cubes(rows: list[dict[str, Any]], where: str) -> list[dict[str, Any]]:
    ids = [row["id"] for row in rows]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{where}: cubes: expected ids that differ, found one twice")
    for row in rows:
        at = f"{where}: cube {row['id']}"
        spans = dataset_files.table(row["periods"], (None, 2), (-(10**6), 10**6), at)
        if not len(spans):
            raise ValueError(f"{at}: expected periods, found none")
        if (spans[:, 0] >= spans[:, 1]).any() or (spans[1:, 0] != spans[:-1, 1]).any():
            raise ValueError(f"{at}: expected contiguous periods, found others")
        a, b, _, d, e, _ = row["transform"]
        if b or d or a <= 0 or not math.isclose(a, -e, rel_tol=1e-6):
            raise ValueError(f"{at}: expected square north-up pixels, found {row['transform']}")
    sizes = sorted({row["transform"][0] for row in rows})
    if not math.isclose(sizes[0], sizes[-1], rel_tol=1e-6):
        raise ValueError(f"{where}: expected pixels of one size, found {sizes[0]} and {sizes[-1]}")
    return rows


def _chips(
    rows: dict[str, Any],
    split: str,
    cubes: list[dict[str, Any]],
    sizes: tuple[int, int],
    where: str,
) -> Chips:
    (chip, classes), at = sizes, f"{where}: chips/{split}"
    limit = (0, 10**6)
    index = dataset_files.table(rows["cube"], (None,), (0, len(cubes) - 1), f"{at}/cube")
    count = len(index)
    row = dataset_files.table(rows["row"], (count,), limit, f"{at}/row")
    col = dataset_files.table(rows["col"], (count,), limit, f"{at}/col")
    shape = (count, classes + 1)
    pixels = dataset_files.table(rows["pixels"], shape, (0, chip**2), f"{at}/pixels")
    heights, widths = np.array([cube["shape"] for cube in cubes]).T
    there = np.array([cube["split"] == split for cube in cubes])
    wrong = ~there[index] | (row >= heights[index]) | (col >= widths[index])
    weak = None
    if "weak" in rows:
        weak = dataset_files.table(rows["weak"], (count,), (0, chip**2), f"{at}/weak")
    wrong |= pixels.sum(1) + (0 if weak is None else weak) > chip**2
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(
            f"{at}: expected chips within cubes of that split and no more pixels than they have, "
            f"found chip {i}: cube {cubes[index[i]]['id']}, row {row[i]}, column {col[i]}"
        )
    index, row, col = (column.astype(np.int32) for column in (index, row, col))
    return Chips(index, row, col, pixels, weak)


def _check_statistics(statistics: dict[str, Any], stored: tuple[Sensor, ...], where: str) -> None:
    expected = {sensor.name: list(sensor.bands) for sensor in stored}
    found = {name: set(bands) for name, bands in statistics.items()}
    if statistics and found != {name: set(bands) for name, bands in expected.items()}:
        raise ValueError(f"{where}: statistics: expected bands {expected}, found others")


def describe(data: Dataset) -> str:
    """A table of what a dataset holds: chips per split or fold, annotated pixels per class."""
    counts = {split: (len(chips), chips.pixels) for split, chips in data.chips.items()}
    if data.folds and data.fold is None:
        pixels = data.folds.pixels
        counts = {f"fold {k}": (int(own.any(1).sum()), own) for k, own in enumerate(pixels)}
    header = f"{'class':26}" + "".join(f"{name:>14}" for name in counts)
    totals = {name: pixels.sum(0) for name, (_, pixels) in counts.items()}
    rows = [header, f"{'chips':26}" + "".join(f"{n:14,d}" for n, _ in counts.values())]
    for i, name in enumerate((*data.legend.names, "none of these")):
        rows.append(f"{name[:26]:26}" + "".join(f"{total[i]:14,d}" for total in totals.values()))
    if any(chips.weak is not None for chips in data.chips.values()):
        weak = {name: 0 if c.weak is None else int(c.weak.sum()) for name, c in data.chips.items()}
        if data.folds and data.fold is None and data.folds.weak is not None:
            weak = {f"fold {k}": int(own.sum()) for k, own in enumerate(data.folds.weak)}
        row = "".join(f"{weak[name]:14,d}" for name in counts)
        rows.append(f"{'by land cover, not counted':26}{row}")
    if ids := data.legend.describe_ids():
        rows.append(ids)
    spans = [data.periods(i) for i in range(len(data.cubes))]
    first, last = min(s[0, 0] for s in spans), max(s[-1, 1] for s in spans)
    rows.append(
        f"{len(data.cubes)} cubes, periods of a {data.period_kind} from "
        f"{periods.from_day(first)} to {periods.from_day(last)}; pixels annotated per class"
    )
    for sensor, bands in data.statistics.items():
        missing = np.mean([band["missing"] for band in bands.values()])
        rows.append(f"{sensor}: {missing:.1%} missing in training cubes")
    if data.backscatter:
        rows.append(f"radar backscatter: {data.backscatter}")
    if not math.isclose(data.pixel_m, grid.PIXEL_M, rel_tol=1e-6):
        rows.append(
            f"note: pixel size {data.pixel_m:g} m, not {grid.PIXEL_M:g} m: networks trained on it "
            f"map no other size"
        )
    return "\n".join([*rows, *_unlabelled(data)])


def _unlabelled(data: Dataset) -> list[str]:
    """Notes on splits, and classes of a split, of which no pixel is annotated."""
    if data.folds and data.fold is None:
        return []
    out = []
    for split, chips in data.chips.items():
        if not chips.pixels.any():
            out.append(
                f"note: {split} has no labelled pixel: nothing is learnt or scored there; a "
                f"wall-to-wall map is to be ingested with --fields none"
            )
        elif absent := data.never_annotated(split):
            out.append(f"note: {split} has no labelled pixel of {', '.join(absent)}")
    return out
