"""Folds of a dataset that was built without: all of its splits together, divided by block.

So every annotated field can be predicted by models that have seen nothing of its block, those of
validation and test among them. Nothing is written: the records stay where they are.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.data import fold_maps, fold_view
from cropmap_jax.data.chips import cut
from cropmap_jax.data.dataset import Chips, Dataset
from cropmap_jax.geo import folds, periods, splits
from cropmap_jax.geo.cube import CubeInfo
from cropmap_jax.geo.folds import UNUSED, Rule
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

Read = Callable[[int], tuple[np.ndarray, np.ndarray]]
"""From the number of a cube to its label, uint8 [H, W], and field ids, uint32 [H, W]."""


def divide(data: Dataset, count: int) -> Dataset:
    """A dataset with folds: its own ones, or its annotated blocks dealt out.

    Views of it have no split "validation": all other folds train.

    Args:
      data: the dataset, no view of a fold.
      count: folds where the dataset has none; fewer where fewer blocks are annotated.

    Returns:
      The dataset; `view(fold)` of it has splits "train" and "test".

    Raises:
      ValueError: no pixel is annotated, fields or blocks are too few, or a file is damaged.
    """
    if data.folds is not None:
        return dataclasses.replace(
            data, folds=dataclasses.replace(data.folds, validates=False), fold=None
        )
    whole = merge(data)
    read = _reader(whole)
    infos = [_info(whole, number, read) for number in range(len(whole.cubes))]
    table = whole.chips["train"]
    annotated = {whole.cubes[i]["block"] for i in np.unique(table.cube[table.annotated > 0])}
    if not annotated:
        raise ValueError(f"{data.path}: expected annotated pixels, found none")
    rule = Rule(min(count, len(annotated)), "block") if len(annotated) > 1 else Rule(count, "field")
    maps = fold_maps.fold_maps(rule, infos, read)
    shapes = [info.shape for info in infos]
    pixels = _count(whole, rule, maps, shapes)
    made = fold_view.Folds(rule, maps, shapes, pixels, str(data.path), validates=False)
    return dataclasses.replace(whole, folds=made)


def merge(data: Dataset) -> Dataset:
    """All splits of a dataset as one, "train"; what a land-cover map alone says is left out."""
    tables = list(data.chips.values())
    every = Chips(
        np.concatenate([table.cube for table in tables]),
        np.concatenate([table.row for table in tables]),
        np.concatenate([table.col for table in tables]),
        np.concatenate([table.pixels for table in tables]),
    )
    cubes = [row | {"split": "train"} for row in data.cubes]
    return dataclasses.replace(data, chips={"train": every}, cubes=cubes, merged=data, few=None)


def _reader(data: Dataset) -> Read:
    """Reads label and fields of whole cubes of a merged dataset."""
    table, source = data.chips["train"], data.source("train")

    def read(number: int) -> tuple[np.ndarray, np.ndarray]:
        height, width = data.cubes[number]["shape"]
        side = data.chip
        label = np.full((height + side, width + side), IGNORE, np.uint8)
        fields = np.zeros(label.shape, np.uint32)
        for chip in np.flatnonzero(table.cube == number).tolist():
            row, col = int(table.row[chip]), int(table.col[chip])
            here = slice(row, row + side), slice(col, col + side)
            label[here], fields[here] = source.label(chip), source.fields(chip)
        return label[:height, :width], fields[:height, :width]

    return read


def _info(data: Dataset, number: int, read: Read) -> CubeInfo:
    row = data.cubes[number]
    label, fields = read(number)
    # Counts of connected parts say nothing about other cubes.
    given = bool(fields.any()) and not np.array_equal(splits.connected_fields(label), fields)
    return CubeInfo(
        cube_id=row["id"],
        geobox=GeoBox(tuple(row["shape"]), Affine(*row["transform"]), row["crs"]),
        periods=tuple(periods.Period(*map(periods.from_day, span)) for span in row["periods"]),
        legend=data.legend,
        block=row["block"],
        split=row["split"],
        season=row["season"],
        has_fields=given,
    )


def _count(data: Dataset, rule: Rule, maps: list[str], shapes: list[tuple[int, int]]) -> np.ndarray:
    """int64 [folds, N, classes + 1], annotated pixels of each fold in every chip."""
    table, source = data.chips["train"], data.source("train")
    kinds = [*range(len(data.legend)), NONE_OF_THESE]
    out = np.zeros((rule.count, len(table), len(kinds)), np.int64)
    for cube in np.unique(table.cube).tolist():
        own = folds.decode(maps[cube], shapes[cube], rule.count, f"cube {cube}")
        for chip in np.flatnonzero((table.cube == cube) & (table.annotated > 0)).tolist():
            label = source.label(chip)
            part = cut(own, int(table.row[chip]), int(table.col[chip]), data.chip, UNUSED)
            for fold in np.unique(part[part != UNUSED]).tolist():
                out[fold, chip] = np.bincount(label[part == fold], minlength=256)[kinds]
    return out
