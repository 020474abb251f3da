"""What is audited: places with labels and pixels, read in patches, whatever they are stored in.

A built dataset and a folder of cubes look alike from here on. A patch is a chip of a dataset, or as
large a part of a cube; no more than a few of them are in memory at the same time.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from cropmap_jax.data.chips import cut
from cropmap_jax.geo import legend
from cropmap_jax.geo.folds import UNUSED, Rule
from cropmap_jax.geo.legend import IGNORE, Legend
from cropmap_jax.geo.sensors import Sensor

PATCH = 64
"""Side in pixels of the patches of a folder of cubes."""

Key = tuple[Any, ...]
"""Where a patch can be read again."""
Progress = Callable[..., Iterable[Any]]
"""From an iterable, and tqdm's keywords, to the same with a progress bar."""


def quiet(items: Iterable[Any], **bar: Any) -> Iterable[Any]:
    """Shows no progress."""
    del bar
    return items


@dataclasses.dataclass(frozen=True)
class Place:
    """One cube.

    Args:
      cube_id, split, block, season, province: as of the cube.
      geobox: its grid.
      periods: int32 [T, 2], days since 1970-01-01.
    """

    cube_id: str
    split: str
    block: str
    season: str
    province: str
    geobox: GeoBox
    periods: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.geobox.shape
        return height, width


@dataclasses.dataclass(frozen=True)
class Patch:
    """A square of a cube.

    Args:
      key: where it can be read again.
      cube: number of its place.
      row, col: its upper left corner in the cube.
      pixels: by sensor, [T, size, size, bands] as stored, no data beyond the cube.
      label: uint8 [size, size], IGNORE beyond the cube.
      fields: uint32 [size, size], 0 none.
      part: uint8 [size, size], number of the split or fold of each pixel; UNUSED none.
      new: bool [size, size], within the cube and in no patch before.
    """

    key: Key
    cube: int
    row: int
    col: int
    pixels: dict[str, np.ndarray]
    label: np.ndarray
    fields: np.ndarray
    part: np.ndarray
    new: np.ndarray


@dataclasses.dataclass(frozen=True)
class Material:
    """What is audited.

    Args:
      name: of the dataset, or of the folder.
      path: its folder.
      legend: of the labels.
      sensors: whose pixels there are.
      period_kind: "month", "dekad" or "N days".
      places: the cubes.
      harvest, planting: int32 [cubes, classes], days since 1970-01-01, 0 unknown.
      parts: names of splits or folds; `Patch.part` counts them.
      rule: how folds were made; None without.
      read: a patch's pixels, label and fields by its key.
      labels: label, uint8 [H, W], and fields, uint32 [H, W], of a cube by its number.
      keys: (key, cube, row, column) of every patch, cube by cube.
      map_of: uint8 [H, W], fold of each annotated pixel of a cube; None without folds.
      has_ids: whether a cube's field ids were given; None where the cubes do not say.
      size: side of a patch in pixels.
    """

    name: str
    path: pathlib.Path
    legend: Legend
    sensors: tuple[Sensor, ...]
    period_kind: str
    places: list[Place]
    harvest: np.ndarray
    planting: np.ndarray
    parts: tuple[str, ...]
    rule: Rule | None
    read: Callable[[Key], tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]]
    keys: list[tuple[Key, int, int, int]]
    labels: Callable[[int], tuple[np.ndarray, np.ndarray]]
    map_of: Callable[[int], np.ndarray] | None = None
    has_ids: Callable[[int], bool | None] = lambda cube: None
    size: int = PATCH

    def patches(self, keys: Sequence[tuple[Key, int, int, int]] | None = None) -> Iterator[Patch]:
        """Yields patches, of all cubes in order by default."""
        cube, taken, parts = -1, np.zeros((0, 0), bool), np.zeros((0, 0), np.uint8)
        for key, own, row, col in self.keys if keys is None else keys:
            pixels, label, fields = self.read(key)
            size = label.shape[0]
            if own != cube:
                height, width = self.places[own].shape
                taken = np.ones((height + size, width + size), bool)
                taken[:height, :width] = False
                cube, parts = own, self.part(own)
            ground = taken[row : row + size, col : col + size]
            new = ~ground
            ground[:] = True
            part = cut(parts, row, col, size, UNUSED)
            yield Patch(key, own, row, col, pixels, label, fields, part, new)

    def part(self, cube: int) -> np.ndarray:
        """uint8 [H, W], number of the split or fold of each pixel of a cube; UNUSED none."""
        if self.map_of is not None:
            return self.map_of(cube)
        place = self.places[cube]
        return np.full(place.shape, self.parts.index(place.split), np.uint8)

    def ids_given(self, cube: int) -> bool:
        """Whether a cube's field ids were given; else they are parts of its label, from 1 on."""
        known = self.has_ids(cube)
        if known is not None:
            return known
        ids = np.unique(self.labels(cube)[1])
        ids = ids[ids > 0]
        return bool(len(ids)) and int(ids[-1]) != len(ids)

    def parts_of(self, cube: int) -> list[str]:
        """Names of the splits or folds that a cube has annotated pixels in."""
        label, _ = self.labels(cube)
        found = np.unique(self.part(cube)[label != IGNORE])
        return [self.parts[i] for i in found if i != UNUSED]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, and of what is none of them."""
        return (*self.legend.names, "none of these")


def class_of(label: np.ndarray, classes: int) -> np.ndarray:
    """int64, labels with "none of these" as number `classes` and unknown as the one after it."""
    found = label.astype(np.int64)
    found[label == legend.NONE_OF_THESE] = classes
    found[label == IGNORE] = classes + 1
    return found
