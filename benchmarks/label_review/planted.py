"""Plants errors into the labels of cubes: fields of another class, and fields drawn elsewhere."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from cropmap_jax.geo import cube_io
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

SHIFT_PX = 2
_DIRECTIONS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


class Key(NamedTuple):
    """A field: its block, in which its id is unique, and its id."""

    block: str
    field: int


@dataclasses.dataclass(frozen=True)
class Error:
    """What was done to a field: its new label, or how far it was moved down and to the right."""

    label: int | None = None
    shift: tuple[int, int] | None = None


@dataclasses.dataclass
class World:
    """The annotation of all cubes, block by block.

    Args:
      infos: the cubes.
      label, fields: of each block, uint8 and uint32 [H, W], over all of its cubes.
      corner: of each block, row and column of its upper left pixel, from the origin of its CRS.
    """

    infos: list[Any]
    label: dict[str, np.ndarray]
    fields: dict[str, np.ndarray]
    corner: dict[str, tuple[int, int]]

    def classes(self) -> dict[Key, int]:
        """The label of every field."""
        found = {}
        for block, fields in self.fields.items():
            ids, first = np.unique(fields, return_index=True)
            for field, at in zip(ids.tolist(), first.tolist(), strict=True):
                if field:
                    found[Key(block, field)] = int(self.label[block].ravel()[at])
        return found


def _corner(info: Any) -> tuple[int, int]:
    affine = info.geobox.affine
    return round(affine.f / affine.e), round(affine.c / affine.a)


def read(cubes: pathlib.Path) -> World:
    """Reads labels and fields of cubes whose field ids are unique within their blocks."""
    infos = cube_io.list_cubes(cubes)
    boxes: dict[str, list[int]] = {}
    for info in infos:
        row, col = _corner(info)
        height, width = info.shape
        box = boxes.setdefault(info.block, [row, col, row + height, col + width])
        box[:2] = map(min, box[:2], (row, col))
        box[2:] = map(max, box[2:], (row + height, col + width))
    shapes = {block: (b[2] - b[0], b[3] - b[1]) for block, b in boxes.items()}
    world = World(
        infos,
        {block: np.full(shape, IGNORE, np.uint8) for block, shape in shapes.items()},
        {block: np.zeros(shape, np.uint32) for block, shape in shapes.items()},
        {block: (b[0], b[1]) for block, b in boxes.items()},
    )
    for info in infos:
        with cube_io.open_cube(info.folder) as reader:
            here = _window(world, info)
            world.label[info.block][here] = reader.label()
            world.fields[info.block][here] = reader.fields()
    return world


def _window(world: World, info: Any) -> tuple[slice, slice]:
    row, col = _corner(info)
    top, left = world.corner[info.block]
    height, width = info.shape
    return (slice(row - top, row - top + height), slice(col - left, col - left + width))


def plan(world: World, mislabelled: float, shifted: float, seed: int) -> dict[Key, Error]:
    """Draws which fields get which error.

    Args:
      world: the annotation.
      mislabelled: share of the fields that get another class, or none of these, each as likely.
      shifted: share of the other fields that are moved by SHIFT_PX along rows, columns or both.
      seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    classes = world.classes()
    kinds = sorted(set(classes.values()))
    keys = sorted(classes)
    order = rng.permutation(len(keys))
    first, second = round(mislabelled * len(keys)), round(shifted * len(keys))
    found = {}
    for at in order[:first]:
        others = [kind for kind in kinds if kind != classes[keys[at]]]
        found[keys[at]] = Error(label=int(rng.choice(others)))
    for at in order[first : first + second]:
        rows, cols = _DIRECTIONS[rng.integers(len(_DIRECTIONS))]
        found[keys[at]] = Error(shift=(SHIFT_PX * rows, SHIFT_PX * cols))
    return found


def plant(world: World, errors: dict[Key, Error]) -> World:
    """The world with errors; a field that is moved yields where another field is annotated."""
    label = {block: one.copy() for block, one in world.label.items()}
    fields = {block: one.copy() for block, one in world.fields.items()}
    for (block, field), error in errors.items():
        own = fields[block] == field
        if error.label is not None:
            label[block][own] = error.label
            continue
        kind = int(label[block][own][0])
        rows, cols = np.nonzero(own)
        rows, cols = rows + error.shift[0], cols + error.shift[1]
        height, width = own.shape
        inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
        label[block][own], fields[block][own] = IGNORE, 0
        to = rows[inside], cols[inside]
        free = fields[block][to] == 0
        to = to[0][free], to[1][free]
        label[block][to], fields[block][to] = kind, field
    return dataclasses.replace(world, label=label, fields=fields)


def without(world: World, dropped: Iterable[Key]) -> World:
    """The world in which nobody has annotated these fields."""
    label = {block: one.copy() for block, one in world.label.items()}
    fields = {block: one.copy() for block, one in world.fields.items()}
    for block, field in dropped:
        own = fields[block] == field
        label[block][own], fields[block][own] = IGNORE, 0
    return dataclasses.replace(world, label=label, fields=fields)


def write(
    world: World,
    out: pathlib.Path,
    splits: Iterable[str] | None = None,
    truth: World | None = None,
    progress: Callable[..., Iterable[Any]] = lambda iterable, **_: iterable,
) -> None:
    """Writes the cubes with the annotation of the world.

    Args:
      world: the annotation.
      out: folder of the new cubes.
      splits: of these it is that of the world, of others that of `truth`; None: of all.
      truth: see there.
      progress: wraps an iterable.
    """
    for info in progress(world.infos, total=len(world.infos), unit="cube"):
        own = world if truth is None or splits is None or info.split in splits else truth
        here = _window(own, info)
        raw = cube_io.read_raw(info.folder)
        label, fields = own.label[info.block][here], own.fields[info.block][here]
        changed = dataclasses.replace(raw, label=label, fields=fields)
        cube_io.write_cube(changed, out, overwrite=True)


def names(labels: Iterable[int], classes: tuple[str, ...]) -> list[str]:
    """Names of labels."""
    table = dict(enumerate(classes)) | {NONE_OF_THESE: "none_of_these"}
    return [table[label] for label in labels]
