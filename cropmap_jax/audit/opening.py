"""Opens what is audited: a dataset that was built, or a folder of cubes."""

import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.audit.material import PATCH, Key, Material, Place
from cropmap_jax.data import cube_set, dataset
from cropmap_jax.data.chips import cut
from cropmap_jax.geo import cube_io, splits
from cropmap_jax.geo.legend import IGNORE

_BLOCK = 512
"""Pixels of a cube that are read at once, a side."""
_KEPT_LABELS = 1 << 26
"""Bytes of labels that stay in memory."""


def of_dataset(data: dataset.Dataset) -> Material:
    """A dataset that was opened with `dataset.open_folder`: no view of a fold."""
    sources = {split: data.source(split) for split in data.chips}
    keys: list[tuple[Key, int, int, int]] = []
    for split, table in data.chips.items():
        for i, (cube, row, col) in enumerate(table.places.tolist()):
            keys.append(((split, i), cube, row, col))
    keys.sort(key=lambda one: one[1])
    of_cube: dict[int, list[tuple[Key, int, int, int]]] = {}
    for one in keys:
        of_cube.setdefault(one[1], []).append(one)
    places = [_place_of_row(row) for row in data.cubes]

    def read(key: Key) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        record = sources[key[0]][key[1]]
        return {s.name: record[s.name] for s in data.sensors}, record["label"], record["fields"]

    def labels(cube: int) -> tuple[np.ndarray, np.ndarray]:
        height, width = places[cube].shape
        label = np.full((height, width), IGNORE, np.uint8)
        fields = np.zeros((height, width), np.uint32)
        for (split, i), _, row, col in of_cube.get(cube, ()):
            here = np.s_[row : row + data.chip, col : col + data.chip]
            inside = np.s_[: height - row, : width - col]
            label[here] = sources[split].label(i)[inside]
            fields[here] = sources[split].fields(i)[inside]
        return label, fields

    folds = data.folds
    return Material(
        name=data.name,
        path=data.path,
        legend=data.legend,
        sensors=data.sensors,
        period_kind=data.period_kind,
        places=places,
        harvest=data.harvest,
        planting=data.planting,
        parts=tuple(f"fold {k}" for k in range(folds.rule.count)) if folds else splits.SPLITS,
        rule=folds.rule if folds else None,
        read=read,
        keys=keys,
        labels=_kept(labels, places),
        map_of=folds.map if folds else None,
        size=data.chip,
    )


def of_cubes(folder: str | os.PathLike[str]) -> Material:
    """A folder of cubes.

    Raises:
      ValueError: no cubes, or cubes of different legends, sensors, kinds of period or pixel sizes.
    """
    infos = cube_io.list_cubes(folder)
    cube_set.check_alike(infos)
    meta = cube_set.metadata(infos, PATCH, 0)
    places = [_place_of_row(row) for row in meta["cubes"]]
    keys: list[tuple[Key, int, int, int]] = []
    for cube, info in enumerate(infos):
        height, width = info.shape
        for top in range(0, height, _BLOCK):
            for left in range(0, width, _BLOCK):
                for row in range(top, min(top + _BLOCK, height), PATCH):
                    for col in range(left, min(left + _BLOCK, width), PATCH):
                        keys.append(((cube, row, col), cube, row, col))

    @functools.lru_cache(maxsize=1)
    def block(cube: int, top: int, left: int) -> cube_io.RawCube:
        with cube_io.open_cube(infos[cube].folder) as opened:
            rows, cols = (slice(at, at + _BLOCK) for at in (top, left))
            return opened.read(rows, cols)

    def read(key: Key) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        cube, row, col = key
        top, left = row // _BLOCK * _BLOCK, col // _BLOCK * _BLOCK
        raw = block(cube, top, left)
        place = row - top, col - left, PATCH
        pixels = {
            s.name: cut(raw.pixels[s.name], *place, s.nodata, axis=1) for s in raw.info.sensors
        }
        fields = np.zeros(raw.label.shape, np.uint32) if raw.fields is None else raw.fields
        return pixels, cut(raw.label, *place, IGNORE), cut(fields, *place, 0)

    def labels(cube: int) -> tuple[np.ndarray, np.ndarray]:
        with cube_io.open_cube(infos[cube].folder) as opened:
            label = opened.label()
            given = infos[cube].has_fields
            return label, opened.fields() if given else splits.connected_fields(label)

    return Material(
        name=str(folder),
        path=pathlib.Path(folder),
        legend=infos[0].legend,
        sensors=infos[0].sensors,
        period_kind=meta["period_kind"],
        places=places,
        harvest=np.array(meta["harvest"], np.int32).reshape(len(infos), -1),
        planting=np.array(meta["planting"], np.int32).reshape(len(infos), -1),
        parts=splits.SPLITS,
        rule=None,
        read=read,
        keys=keys,
        labels=_kept(labels, places),
        has_ids=lambda cube: infos[cube].has_fields,
    )


def _place_of_row(row: dict[str, Any]) -> Place:
    height, width = row["shape"]
    return Place(
        cube_id=row["id"],
        split=row["split"],
        block=row["block"],
        season=row["season"],
        province=row["province"],
        geobox=GeoBox((height, width), Affine(*row["transform"]), row["crs"]),
        periods=np.asarray(row["periods"], np.int32).reshape(-1, 2),
    )


def _kept(
    labels: Callable[[int], tuple[np.ndarray, np.ndarray]], places: list[Place]
) -> Callable[[int], tuple[np.ndarray, np.ndarray]]:
    """The same with a cache of as many cubes as memory may hold."""
    largest = max(place.shape[0] * place.shape[1] for place in places) * 5
    return functools.lru_cache(maxsize=max(2, _KEPT_LABELS // largest))(labels)
