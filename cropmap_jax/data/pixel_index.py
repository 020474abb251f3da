"""Which annotated pixels there are to draw from, and how likely each is.

Pixels of one field are alike, so a large field says little more than a small one: fields are drawn
from in proportion to the square root of their pixels. A wall-to-wall map has too many pixels to
list; of those, places are drawn, and then pixels in each.
"""

from typing import NamedTuple, Protocol

import numpy as np

from cropmap_jax.data import dataset
from cropmap_jax.data.examples import Source
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

MOST_LISTED = 50_000_000
"""Pixels that are listed one by one, at 7 bytes each."""
PER_PLACE = 8
"""Pixels drawn from each place: a chip is found and opened once for all of them."""


class DrawnPixels(NamedTuple):
    """Annotated pixels: int32 [N] chip, row and column in it, and uint8 [N] label."""

    chip: np.ndarray
    row: np.ndarray
    col: np.ndarray
    label: np.ndarray


class PixelIndex(Protocol):
    """Annotated pixels of a split, drawn with replacement."""

    def draw(self, rng: np.random.Generator, count: int) -> DrawnPixels:
        """Draws `count` pixels."""


class FieldIndex:
    """Every annotated pixel; drawn with probability ∝ 1 / sqrt(pixels of its field).

    A field is what has one id in a cube. Annotated ground without a field is, chip by chip and
    class by class, as good as one. A pixel that several chips hold counts once.

    Args:
      data: the dataset.
      split: whose pixels.
      source: its records.

    Raises:
      ValueError: no annotated pixel, or more than MOST_LISTED.
    """

    def __init__(self, data: dataset.Dataset, split: str, source: Source):
        table = data.split(split)
        total = int(table.annotated.sum())
        if total > MOST_LISTED:
            raise ValueError(
                f"config.draw_by: expected 'place' for {data.path}, split {split}, with "
                f"{total:,} annotated pixels (more than {MOST_LISTED:,}), found 'field'"
            )
        self._side = data.chip
        chips, places, labels, groups = [], [], [], []
        cube, taken = -1, np.zeros((0, 0), bool)
        known: dict[int, int] = {}
        count = 0
        for chip in np.flatnonzero(table.annotated).tolist():
            if table.cube[chip] != cube:
                cube = int(table.cube[chip])
                taken = np.zeros([n + data.chip for n in data.cubes[cube]["shape"]], bool)
                known = {}
            label, fields = source.label(chip), source.fields(chip)
            row, col = int(table.row[chip]), int(table.col[chip])
            ground = taken[row : row + data.chip, col : col + data.chip]
            at = np.flatnonzero((label != IGNORE) & ~ground)
            ground[:] = True
            if not len(at):
                continue
            field, of = fields.ravel()[at].astype(np.int64), label.ravel()[at]
            # Negative: no field, but a class in this chip.
            key = np.where(field > 0, field, -1 - (chip * 256 + of.astype(np.int64)))
            ids, dense = np.unique(key, return_inverse=True)
            for one in ids.tolist():
                if one not in known:
                    known[one] = count
                    count += 1
            groups.append(np.array([known[one] for one in ids.tolist()], np.int32)[dense])
            chips.append(np.full(len(at), chip, np.int32))
            places.append(at.astype(np.int32))
            labels.append(of)
        if not chips:
            raise ValueError(f"{data.path}, split {split}: expected annotated pixels, found none")
        group = np.concatenate(groups)
        order = np.argsort(group, kind="stable")
        self._chip = np.concatenate(chips)[order]
        self._place = np.concatenate(places)[order]
        self._label = np.concatenate(labels)[order]
        self.sizes = np.bincount(group)
        """int64 [fields], pixels of each."""
        self._starts = np.cumsum(self.sizes) - self.sizes
        self._edges = _edges(np.sqrt(self.sizes))

    def __len__(self) -> int:
        return len(self._chip)

    def draw(self, rng: np.random.Generator, count: int) -> DrawnPixels:
        """Draws pixels: a field ∝ the square root of its pixels, then any pixel of it."""
        field = _choose(self._edges, rng, count)
        at = self._starts[field] + (rng.random(count) * self.sizes[field]).astype(np.int64)
        row, col = np.divmod(self._place[at], np.int32(self._side))
        return DrawnPixels(self._chip[at], row, col, self._label[at])


class PlaceIndex:
    """Chips, drawn ∝ the square root of their annotated pixels; PER_PLACE pixels of each.

    Args:
      data: the dataset.
      split: whose pixels.
      source: its records.

    Raises:
      ValueError: no annotated pixel.
    """

    def __init__(self, data: dataset.Dataset, split: str, source: Source):
        annotated = data.split(split).annotated
        self._chips = np.flatnonzero(annotated).astype(np.int32)
        if not len(self._chips):
            raise ValueError(f"{data.path}, split {split}: expected annotated pixels, found none")
        self._source, self._edges = source, _edges(np.sqrt(annotated[self._chips]))

    def draw(self, rng: np.random.Generator, count: int) -> DrawnPixels:
        """Draws pixels: places, and pixels of each, in any order."""
        chips = self._chips[_choose(self._edges, rng, -(-count // PER_PLACE))]
        share = rng.random((len(chips), PER_PLACE))
        at = np.empty(share.shape, np.int32)
        label = np.empty(share.shape, np.uint8)
        side = 1
        for i, chip in enumerate(chips):
            whole = self._source.label(int(chip))
            known, side = np.flatnonzero(whole != IGNORE), whole.shape[1]
            at[i] = known[(share[i] * len(known)).astype(np.int64)]
            label[i] = whole.ravel()[at[i]]
        # Pairs of neighbours may be mixed: they should not be of one place.
        order = rng.permutation(at.size)[:count]
        row, col = np.divmod(at.ravel()[order], np.int32(side))
        return DrawnPixels(np.repeat(chips, PER_PLACE)[order], row, col, label.ravel()[order])


class WeakIndex:
    """Pixels that are none of the classes as only a land-cover map says; each of a chip of its own.

    Chips are drawn ∝ the square root of their weak pixels, so that a lake says little more than a
    village.

    Args:
      data: the dataset.
      split: whose pixels.
      source: its records.

    Raises:
      ValueError: there is none.
    """

    def __init__(self, data: dataset.Dataset, split: str, source: Source):
        weak = data.split(split).weak
        if weak is None or not weak.any():
            raise ValueError(
                f"{data.path}, split {split}: expected pixels of a land-cover map, found none"
            )
        self._chips = np.flatnonzero(weak).astype(np.int32)
        self._source, self._edges = source, _edges(np.sqrt(weak[self._chips]))

    def draw(self, rng: np.random.Generator, count: int) -> DrawnPixels:
        """Draws pixels: a chip, and a pixel of it. Their label is NONE_OF_THESE."""
        chips = self._chips[_choose(self._edges, rng, count)]
        share = rng.random(count)
        row, col = np.empty(count, np.int32), np.empty(count, np.int32)
        for i, chip in enumerate(chips.tolist()):
            weak = self._source.weak(chip)
            known = np.flatnonzero(weak)
            row[i], col[i] = divmod(int(known[int(share[i] * len(known))]), weak.shape[1])
        return DrawnPixels(chips, row, col, np.full(count, NONE_OF_THESE, np.uint8))


class UnknownIndex:
    """Pixels of all ground that is not annotated, each as likely as any other.

    Chips are drawn ∝ their unknown pixels, and PER_PLACE pixels of each. Padding beyond a cube is
    no ground. A pixel that several chips hold counts in each.

    Args:
      data: the dataset.
      split: whose pixels.
      source: its records.

    Raises:
      ValueError: there is none.
    """

    def __init__(self, data: dataset.Dataset, split: str, source: Source):
        unknown = data.unknown_pixels(split)
        if not unknown.any():
            raise ValueError(f"{data.path}, split {split}: expected unknown pixels, found none")
        table = data.split(split)
        self._chips = np.flatnonzero(unknown).astype(np.int32)
        self._source, self._edges = source, _edges(unknown[self._chips].astype(np.float64))
        shapes = np.array([row["shape"] for row in data.cubes])[table.cube]
        self._ends = shapes - np.stack([table.row, table.col], 1)

    def draw(self, rng: np.random.Generator, count: int) -> DrawnPixels:
        """Draws pixels: chips, and pixels of each, in any order. Their label is IGNORE."""
        chips = self._chips[_choose(self._edges, rng, -(-count // PER_PLACE))]
        share = rng.random((len(chips), PER_PLACE))
        row, col = np.empty((2, *share.shape), np.int32)
        for i, chip in enumerate(chips.tolist()):
            height, width = self._ends[chip]
            rows, cols = np.nonzero(self._source.label(chip)[:height, :width] == IGNORE)
            at = (share[i] * len(rows)).astype(np.int64)
            row[i], col[i] = rows[at], cols[at]
        # Pairs of neighbours may be mixed: they should not be of one place.
        order = rng.permutation(share.size)[:count]
        label = np.full(count, IGNORE, np.uint8)
        return DrawnPixels(
            np.repeat(chips, PER_PLACE)[order], row.ravel()[order], col.ravel()[order], label
        )


INDEXES = ("field", "place")
"""What `config.draw_by` may name."""


def make(kind: str, data: dataset.Dataset, split: str, source: Source) -> PixelIndex:
    """The index that `config.draw_by` names.

    Raises:
      ValueError: no annotated pixel, or more than can be listed.
    """
    if kind == "place":
        return PlaceIndex(data, split, source)
    return FieldIndex(data, split, source)


def _edges(weights: np.ndarray) -> np.ndarray:
    """Upper ends of the part of [0, 1) that each weight has."""
    sums = np.cumsum(weights, dtype=np.float64)
    edges: np.ndarray = sums / sums[-1]
    return edges


def _choose(edges: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    chosen = np.searchsorted(edges, rng.random(count), side="right")
    return np.minimum(chosen, len(edges) - 1)
