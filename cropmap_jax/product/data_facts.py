"""What a run has learnt from, as numbers that stay with it: `WORKDIR/training_data.json`.

A dataset may be rebuilt or left behind; what it was when the run learnt from it is kept with the
run. One entry per dataset: a network that was pretrained has two.
"""

import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyproj

from cropmap_jax.data import checks, few_fields
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.geo import files, periods, schemas

NAME = "training_data.json"
MOST_CHIPS = 20_000
"""Annotated chips of which fields are counted, at most: more would take minutes."""
_FORMAT = 1
_PARTS = ("format", "datasets")
_OF_DATASET = (
    "dataset", "fingerprint", "stage", "fold", "fields_per_class", "fields_draw", "legend",
    "classes", "period_kind", "pixel_m", "bbox", "first", "last", "seasons", "made_by", "splits",
)  # fmt: skip
_OF_SPLIT = ("cubes", "blocks", "provinces", "pixels", "fields")

Facts = dict[str, Any]
"""Of one dataset: dataset (its name), fingerprint, stage, fold, fields_per_class, fields_draw,
legend, classes (names), period_kind, pixel_m, bbox (west, south, east, north in degrees), first and
last (ISO, the last day that is in it), seasons, made_by (what made its cubes; empty where it is
not recorded) and splits: cubes and blocks (numbers), provinces, pixels (annotated, per class
and none of these) and fields (the same; null where there are none, or too many to count)."""


def of_dataset(data: Dataset, stage: str) -> Facts:
    """Facts of a dataset as a run sees it.

    Args:
      data: the dataset, or its view.
      stage: what the run does with it: "pretrain", "finetune", "baseline" or "combined".
    """
    annotated = sum(int((table.annotated > 0).sum()) for table in data.chips.values())
    spans = [data.periods(i) for i in range(len(data.cubes))]
    first = min(int(span[0, 0]) for span in spans)
    last = max(int(span[-1, 1]) for span in spans) - 1
    return {
        "dataset": data.name,
        "fingerprint": data.fingerprint,
        "stage": stage,
        "fold": data.fold,
        "fields_per_class": data.few.per_class if data.few else None,
        "fields_draw": data.few.draw if data.few else None,
        "legend": data.legend.name,
        "classes": list(data.legend.names),
        "period_kind": data.period_kind,
        "pixel_m": data.pixel_m,
        "bbox": bbox(data.cubes),
        "first": periods.from_day(first).isoformat(),
        "last": periods.from_day(last).isoformat(),
        "seasons": sorted({str(row["season"]) for row in data.cubes if row["season"]}),
        "made_by": list(data.made_by),
        "splits": {split: _of_split(data, split, annotated <= MOST_CHIPS) for split in data.chips},
    }


def _of_split(data: Dataset, split: str, count: bool) -> dict[str, Any]:
    table = data.split(split)
    rows = [data.cubes[i] for i in np.unique(table.cube[table.annotated > 0]).tolist()]
    fields = few_fields.count(data, split) if count else None
    return {
        "cubes": len(rows),
        "blocks": len({str(row["block"]) for row in rows}),
        "provinces": sorted({row["province"] for row in rows if row.get("province")}),
        "pixels": table.pixels.sum(0).tolist(),
        "fields": None if fields is None else fields.tolist(),
    }


def bbox(cubes: Iterable[dict[str, Any]]) -> list[float]:
    """West, south, east and north of cubes, in degrees; west exceeds east across 180 degrees.

    Args:
      cubes: rows with crs, transform and shape.
    """
    by_crs: dict[str, list[float]] = {}
    for row in cubes:
        a, _, c, _, e, f = row["transform"][:6]
        height, width = row["shape"]
        own = [c, f + e * height, c + a * width, f]
        known = by_crs.setdefault(row["crs"], own)
        by_crs[row["crs"]] = [*np.minimum(known[:2], own[:2]), *np.maximum(known[2:], own[2:])]
    boxes = []
    for crs, box in by_crs.items():
        turned = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        left, bottom, right, top = box
        boxes.append(turned.transform_bounds(left, bottom, right, top))
    west, south, east, north = np.array(boxes).T
    # Across 180 degrees longitudes are counted on, if that makes the box narrower.
    east = np.where(east < west, east + 360, east)
    beyond = west < 0
    shifted = np.where(beyond, west + 360, west), np.where(beyond, east + 360, east)
    if shifted[1].max() - shifted[0].min() < east.max() - west.min():
        west, east = shifted
    ends = [_turned(float(west.min())), float(south.min()), _turned(float(east.max()))]
    return [round(value, 6) for value in (*ends, float(north.max()))]


def _turned(longitude: float) -> float:
    return longitude - 360 if longitude > 180 else longitude


def path(workdir: str | os.PathLike[str]) -> pathlib.Path:
    """Where a workdir keeps them."""
    return pathlib.Path(workdir).absolute() / NAME


def remember(workdir: str | os.PathLike[str], found: Sequence[Facts]) -> None:
    """Writes the facts of a run's datasets; what was there is replaced.

    Raises:
      OSError: names the file.
    """
    text = json.dumps({"format": _FORMAT, "datasets": list(found)}, indent=1, allow_nan=False)
    files.write_bytes(path(workdir), text.encode() + b"\n")


def find(workdir: str | os.PathLike[str]) -> list[Facts]:
    """What `remember` wrote; empty where there is nothing, as of runs of earlier versions.

    Raises:
      ValueError: names the file and what is wrong with it.
    """
    file = path(workdir)
    if not file.exists():
        return []
    try:
        value = schemas.read_json(file, "facts of training data")
        checks.keys("training data", value, _PARTS)
        checks.choice("format", value["format"], (_FORMAT,))
        checks.values("datasets", value["datasets"])
        for row in value["datasets"]:
            checks.keys("dataset", row, _OF_DATASET)
            for split in row["splits"].values():
                checks.keys("split", split, _OF_SPLIT)
    except (ValueError, TypeError, AttributeError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise ValueError(
            f"{file}: expected facts of training data, found a file that cannot be read "
            f"({reason}); remove it: the run says what it lacks"
        ) from error
    datasets: list[Facts] = value["datasets"]
    return datasets
