"""A dataset of which only some fields are known: what a smaller survey would have brought home.

Of each class, none of these among them, as many fields are kept as asked for, and of validation in
proportion; all other annotation of these splits is unknown. What is scored, "test", stays whole.

A survey visits a place, annotates what grows there, and drives on: blocks are visited in a random
order, and the fields of a class are taken block after block until there are enough. So the 8 fields
of a draw are among its 20, and its 20 among its 80.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cropmap_jax.data import checks, masking
from cropmap_jax.data.examples import Source
from cropmap_jax.geo.legend import IGNORE

if TYPE_CHECKING:
    from cropmap_jax.data.dataset import Chips, Dataset

PER_CLASS, DRAW = "fields_per_class", "fields_draw"
"""Settings of a config: how many fields of each class are known (0: all), and which draw it is."""
SETTINGS = (PER_CLASS, DRAW)
MOST_FIELDS, MOST_DRAWS = 10**6, 10**6

_LABELS = 256
"""A field of a class is one number in a cube: field id * _LABELS + label."""
_GAP_PX = 1.0
"""Pixels between the halves of a field that the edge of two cubes cuts, at most."""


@dataclasses.dataclass(frozen=True, eq=False)
class Few:
    """Which fields of a dataset are known.

    Args:
      whole: the dataset with all of them.
      per_class: how many of each class, at most.
      draw: number of the draw.
      kept: of each split that is thinned, by number of the cube, the known fields of classes,
        int64, ascending; see _LABELS.
      counts: of each such split, int64 [classes + 1, 2]: fields known, and fields there are, of
        each class and of none of these.
    """

    whole: "Dataset"
    per_class: int
    draw: int
    kept: Mapping[str, Mapping[int, np.ndarray]]
    counts: Mapping[str, np.ndarray]

    def source(self, split: str) -> Source:
        """Records of a split of the view."""
        whole = self.whole.source(split)
        if split not in self.kept:
            return whole
        return _Thinned(whole, self.whole.split(split).cube, self.kept[split])


class _Thinned(masking.Masked):
    """Records of a split with the known fields alone.

    Weak pixels stay: a land-cover map costs no field work.
    """

    def __init__(self, whole: Source, cubes: np.ndarray, kept: Mapping[int, np.ndarray]):
        super().__init__(whole, np.arange(len(cubes)))
        self._cubes, self._kept = cubes, kept

    def known(self, index: int) -> np.ndarray:
        """As `Masked.known`."""
        number = self._number(index)
        keys = _keys(self._whole.label(number), self._whole.fields(number))
        kept = self._kept.get(int(self._cubes[index]), np.empty(0, np.int64))
        return np.isin(keys, kept)


def check(per_class: Any, draw: Any) -> None:
    """Requires settings that can be.

    Raises:
      ValueError: names the setting.
    """
    checks.whole(f"config.{PER_CLASS}", per_class, 0, MOST_FIELDS)
    checks.whole(f"config.{DRAW}", draw, 0, MOST_DRAWS)


def thin(data: "Dataset", per_class: int, draw: int) -> "Dataset":
    """The dataset with so many fields of each class.

    Annotated ground without a field is, cube by cube and class by class, as good as one. A field
    that the edge of two cubes cuts is one, if both call it by one id.

    Args:
      data: the dataset, or a view of a fold of it.
      per_class: fields of each class that "train" keeps, at least 1; all where there are no more.
        "validation" keeps as large a share of its own, at least one field of each class.
      draw: number of the draw.

    Raises:
      ValueError: settings that cannot be, or a file of a split that is damaged.
    """
    check(per_class, draw)
    classes = len(data.legend)
    kept: dict[str, dict[int, np.ndarray]] = {}
    counts: dict[str, np.ndarray] = {}
    chips = dict(data.chips)
    trained = None
    for split in ("train", "validation"):
        if split not in data.chips:
            continue
        annotation = _annotation(data, split)
        fields = _fields(data, annotation)
        there = np.bincount([f.label for f in fields], minlength=classes + 1)
        trained = there if trained is None else trained
        wanted = _wanted(per_class, there, trained)
        chosen = _choose(fields, wanted, draw)
        kept[split] = _by_cube(chosen)
        counts[split] = np.stack([np.minimum(wanted, there), there], 1)
        chips[split] = _recount(data.chips[split], annotation, kept[split], classes)
    few = Few(data, per_class, draw, kept, counts)
    return dataclasses.replace(data, chips=chips, few=few)


def with_more(data: "Dataset", split: str, more: Mapping[int, np.ndarray]) -> "Dataset":
    """A view in which some further fields are known: what visiting them would have added.

    Args:
      data: from `thin`.
      split: "train" or "validation".
      more: by number of the cube, ids of fields, whatever their class.

    Raises:
      ValueError: it is no such view, or a file is damaged.
    """
    few = data.few
    if few is None or split not in few.kept:
        raise ValueError(f"{data.path}: expected a view with few fields in {split}, found none")
    whole = few.whole
    annotation = _annotation(whole, split)
    kept = dict(few.kept[split])
    for part in annotation.parts:
        if part.key // _LABELS in more.get(part.cube, ()):
            kept[part.cube] = np.union1d(kept.get(part.cube, np.empty(0, np.int64)), [part.key])
    table = _recount(whole.chips[split], annotation, kept, len(data.legend))
    return dataclasses.replace(
        data,
        chips={**data.chips, split: table},
        few=dataclasses.replace(few, kept={**few.kept, split: kept}),
    )


def known(data: "Dataset", split: str) -> set[tuple[int, int]]:
    """(number of the cube, id of the field) of each field that is known in a split of a view."""
    if data.few is None:
        return set()
    keys = data.few.kept.get(split, {})
    return {(cube, int(key) // _LABELS) for cube, own in keys.items() for key in own}


def count(data: "Dataset", split: str) -> np.ndarray | None:
    """How many fields of each class a split holds; reads all of its annotation.

    Returns:
      int64 [classes + 1], the last one those of none of these; None where no annotated pixel has
      the id of a field.

    Raises:
      ValueError: no such split, or a file of it is damaged.
    """
    annotation = _annotation(data, split)
    if all(part.key < _LABELS for part in annotation.parts):
        return None
    labels = [field.label for field in _fields(data, annotation)]
    return np.bincount(labels, minlength=len(data.legend) + 1)


def notes(data: "Dataset") -> list[str]:
    """A line for people: how many fields of each class are known; none where all of them are."""
    few = data.few
    if few is None:
        return []
    parts = []
    for split, counts in few.counts.items():
        names = (*data.legend.names, "none of these")
        each = [
            f"{name} {known} of {there}"
            for name, (known, there) in zip(names, counts.tolist(), strict=True)
            if there
        ]
        parts.append(f"{split}: {', '.join(each)}")
    of = "; ".join(parts)
    return [f"config.{PER_CLASS} {few.per_class}, draw {few.draw}: fields known in {of}"]


class _Part(NamedTuple):
    """What one cube holds of a field: number of the cube, key, and its box in the cube's pixels."""

    cube: int
    key: int
    top: int
    left: int
    bottom: int
    right: int


class _Field(NamedTuple):
    """A field: class (the last one: none of these), block, name, and (cube, key) of its parts."""

    label: int
    block: str
    name: str
    parts: tuple[tuple[int, int], ...]


class _Annotation(NamedTuple):
    """What a split holds: of each annotated chip (number, keys, pixels of each); all parts."""

    chips: list[tuple[int, np.ndarray, np.ndarray]]
    parts: list[_Part]


def _keys(label: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """int64 [H, W], which field of which class each pixel is of; label IGNORE where unknown."""
    keys: np.ndarray = fields.astype(np.int64) * _LABELS + label
    return keys


def _annotation(data: "Dataset", split: str) -> _Annotation:
    """Reads all annotation of a split."""
    table, source = data.split(split), data.source(split)
    chips: list[tuple[int, np.ndarray, np.ndarray]] = []
    boxes: dict[tuple[int, int], list[int]] = {}
    for chip in np.flatnonzero(table.annotated).tolist():
        label = source.label(chip)
        rows, cols = np.nonzero(label != IGNORE)
        found = _keys(label[rows, cols], source.fields(chip)[rows, cols])
        keys, of, pixels = np.unique(found, return_inverse=True, return_counts=True)
        chips.append((chip, keys, pixels))
        cube, row, col = (int(part[chip]) for part in (table.cube, table.row, table.col))
        for number, key in enumerate(keys.tolist()):
            own = of == number
            at, to = rows[own] + row, cols[own] + col
            box = [at.min(), to.min(), at.max() + 1, to.max() + 1]
            known = boxes.setdefault((cube, key), box)
            known[:2] = map(min, known[:2], box[:2])
            known[2:] = map(max, known[2:], box[2:])
    parts = [_Part(cube, key, *map(int, box)) for (cube, key), box in sorted(boxes.items())]
    return _Annotation(chips, parts)


def _fields(data: "Dataset", annotation: _Annotation) -> list[_Field]:
    """The fields of a split, those that cubes share as one."""
    alike: dict[tuple[Any, ...], list[_Part]] = {}
    for part in annotation.parts:
        row = data.cubes[part.cube]
        # Without an id, ground of one cube has nothing to do with that of another.
        own = () if part.key >= _LABELS else (part.cube,)
        alike.setdefault((row["season"], row["crs"], part.key, *own), []).append(part)
    found = []
    for parts in alike.values():
        for group in _touching(data, parts):
            first = min(group, key=lambda part: str(data.cubes[part.cube]["id"]))
            row, (field, label) = data.cubes[first.cube], divmod(first.key, _LABELS)
            name = f"{row['season']}/{row['id']}/{field}"
            whose = tuple((part.cube, part.key) for part in group)
            found.append(_Field(min(label, len(data.legend)), row["block"], name, whose))
    return found


def _touching(data: "Dataset", parts: list[_Part]) -> list[list[_Part]]:
    """Parts of one id as fields: ids of two cubes are one where their ground touches.

    Ids need be unique in a cube only: far apart, one id is that of two fields.
    """
    groups: list[list[tuple[_Part, np.ndarray]]] = []
    for part in parts:
        box = _ground(data, part)
        near = [any(_meet(box, other, data.pixel_m) for _, other in group) for group in groups]
        merged = [(part, box)]
        for group, joins in zip(groups, near, strict=True):
            merged += group if joins else []
        groups = [g for g, joins in zip(groups, near, strict=True) if not joins] + [merged]
    return [[part for part, _ in group] for group in groups]


def _ground(data: "Dataset", part: _Part) -> np.ndarray:
    """float64 [2, 2], lowest and highest x and y of a part, in its CRS."""
    a, _, c, _, e, f = data.cubes[part.cube]["transform"][:6]
    x = c + a * part.left, c + a * part.right
    y = f + e * part.bottom, f + e * part.top
    return np.array([x, y], np.float64).T


def _meet(one: np.ndarray, other: np.ndarray, pixel_m: float) -> bool:
    """Whether two boxes are apart by no more than a cut field may be."""
    gap = np.maximum(one[0] - other[1], other[0] - one[1])
    return bool((gap <= (_GAP_PX + 0.01) * pixel_m).all())


def _wanted(per_class: int, there: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """int64 [classes + 1], how many fields of each class a split keeps of those that are there."""
    # In whole numbers: the same on every machine. For training itself this is `per_class`.
    of = np.maximum(trained, 1)
    share = (2 * per_class * there + of) // (2 * of)
    wanted: np.ndarray = np.minimum(np.maximum(share, 1), there)
    return wanted


def _choose(fields: list[_Field], wanted: np.ndarray, draw: int) -> Iterator[_Field]:
    """The first fields of each class on the way from block to block."""
    taken = np.zeros(len(wanted), np.int64)
    for field in sorted(fields, key=lambda field: _turn(field, draw)):
        if taken[field.label] < wanted[field.label]:
            taken[field.label] += 1
            yield field


def _turn(field: _Field, draw: int) -> tuple[bytes, str, bytes, str]:
    """When a field is visited: drawn by a hash, which is the same in every version of everything.

    When a block is, follows from its name and the draw alone.
    """
    block = hashlib.sha256(f"{draw}/{field.block}".encode()).digest()
    own = hashlib.sha256(f"{draw}/{field.block}/{field.label}/{field.name}".encode()).digest()
    return block, field.block, own, field.name


def _by_cube(fields: Iterator[_Field]) -> dict[int, np.ndarray]:
    found: dict[int, list[int]] = {}
    for field in fields:
        for cube, key in field.parts:
            found.setdefault(cube, []).append(key)
    return {cube: np.array(sorted(keys), np.int64) for cube, keys in found.items()}


def _recount(
    table: "Chips", annotation: _Annotation, kept: Mapping[int, np.ndarray], classes: int
) -> "Chips":
    """The chip table with the pixels of known fields alone."""
    pixels = np.zeros_like(table.pixels)
    for chip, keys, counts in annotation.chips:
        own = kept.get(int(table.cube[chip]))
        known = np.zeros(len(keys), bool) if own is None else np.isin(keys, own)
        labels = np.minimum(keys[known] % _LABELS, classes)
        np.add.at(pixels[chip], labels, counts[known])
    return dataclasses.replace(table, pixels=pixels)
