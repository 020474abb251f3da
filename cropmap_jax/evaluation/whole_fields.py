"""Fields of a split: pieces in cubes that touch are one field, and count once.

Ids are what a source made of them: unique throughout (`prepare`), within a site (the simulator),
within one input (`ingest`), or within one cube, where `build` counted the connected parts of the
label. So an id alone says little, and ground decides: two pieces are one field where

- their cubes are of one season and one pixel grid, and pixels of the two meet at the cubes' edges;
- most of both is of the same class; and
- they have the same id, or the ids of both cubes are no more than a count of connected parts.

What is cut by a gap between cubes, or has no pixel at the edge, is not joined and counts twice.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from cropmap_jax.geo import splits
from cropmap_jax.geo.legend import IGNORE

_AROUND = ((0, 1), (1, -1), (1, 0), (1, 1))
"""Half of the eight neighbours: the other half finds the same pairs."""


def grid_origin(row: dict[str, Any]) -> tuple[int, int]:
    """Row and column of a cube's upper left pixel, counted from the origin of its CRS."""
    a, _, x, _, e, y = row["transform"][:6]
    return int(np.floor(y / e + 0.5)), int(np.floor(x / a + 0.5))


class Pieces:
    """Pieces of fields, and which of them are one field.

    Args:
      cubes: as `Dataset.cubes`: season, crs, transform of each.
    """

    def __init__(self, cubes: Sequence[dict[str, Any]]):
        self._cubes = cubes
        self._count = 0
        self._ids: list[np.ndarray] = []
        self._classes: list[np.ndarray] = []
        self._counted: list[np.ndarray] = []
        # Season and CRS, row, column and piece of pixels at the edges of cubes.
        self._edges: list[np.ndarray] = []
        self._places: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return self._count

    def add(self, index: int, label: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """Adds a cube.

        Args:
          index: its number.
          label: uint8 [H, W].
          fields: uint32 [H, W], 0 none.

        Returns:
          int64 [H, W], the piece of each annotated pixel of a field; -1 elsewhere.
        """
        number = np.full(label.shape, -1, np.int64)
        inside = (label != IGNORE) & (fields > 0)
        ids, dense = np.unique(fields[inside], return_inverse=True)
        number[inside] = dense.ravel() + self._count
        table = np.bincount(dense.ravel() * 256 + label[inside], minlength=len(ids) * 256)
        self._ids.append(ids.astype(np.int64))
        self._classes.append(table.reshape(len(ids), 256).argmax(1))
        counted = bool(len(ids)) and np.array_equal(splits.connected_fields(label), fields)
        self._counted.append(np.full(len(ids), counted))
        edge = inside.copy()
        edge[1:-1, 1:-1] = False
        rows, cols = np.nonzero(edge)
        row = self._cubes[index]
        place = self._places.setdefault((row["season"], row["crs"]), len(self._places))
        top, left = grid_origin(row)
        at = np.stack([np.full(len(rows), place), rows + top, cols + left, number[rows, cols]], 1)
        self._edges.append(at.astype(np.int64))
        self._count += len(ids)
        return number

    def members(self) -> np.ndarray:
        """int64 [pieces], the field of each piece, from 0."""
        if not self._count:
            return np.zeros(0, np.int64)
        left, right = self._meeting()
        ids, classes = np.concatenate(self._ids), np.concatenate(self._classes)
        counted = np.concatenate(self._counted)
        one = (ids[left] == ids[right]) | (counted[left] & counted[right])
        one &= classes[left] == classes[right]
        links = (np.ones(int(one.sum())), (left[one], right[one]))
        graph = scipy.sparse.coo_array(links, shape=(self._count, self._count))
        _, member = scipy.sparse.csgraph.connected_components(graph, directed=False)
        return np.asarray(member, np.int64)

    def _meeting(self) -> tuple[np.ndarray, np.ndarray]:
        """Pieces whose pixels meet at the edges of their cubes."""
        place, row, col, piece = np.concatenate(self._edges).T
        if not len(piece):
            return piece, piece
        row, col = row - row.min(), col - col.min() + 1
        width, height = int(col.max()) + 2, int(row.max()) + 2
        key = (place * height + row) * width + col
        order = np.argsort(key, kind="stable")
        key, piece = key[order], piece[order]
        found = []
        for down, right in _AROUND:
            at = np.searchsorted(key, key + down * width + right)
            at = np.minimum(at, len(key) - 1)
            hit = key[at] == key + down * width + right
            found.append(np.stack([piece[hit], piece[at[hit]]]))
        left, other = np.concatenate(found, 1)
        apart = left != other
        return left[apart], other[apart]


@dataclasses.dataclass(frozen=True)
class WholeFields:
    """Fields as some columns (crops, dates) see them.

    Args:
      mean: float64 [fields, columns], mean probability over the seen pixels; NaN where none was.
      size: int64 [fields, columns], annotated pixels that were seen.
      hits: int64 [fields, columns], those that are of the column's crop.
    """

    mean: np.ndarray
    size: np.ndarray
    hits: np.ndarray

    def columns(self, first: int, end: int) -> "WholeFields":
        """Some of the columns, from `first` to `end`."""
        own = slice(first, end)
        return WholeFields(self.mean[:, own], self.size[:, own], self.hits[:, own])


class Sums:
    """Sums over the pixels of pieces, column by column.

    Args:
      crops: class index of each column.
    """

    def __init__(self, crops: Sequence[int]):
        self._crops = np.asarray(crops)
        self._parts: list[tuple[np.ndarray, ...]] = []

    def add(
        self, number: np.ndarray, label: np.ndarray, probability: np.ndarray, seen: np.ndarray
    ) -> None:
        """Adds a cube.

        Args:
          number: int64 [H, W], from `Pieces.add`.
          label: uint8 [H, W].
          probability: float32 [H, W, columns], NaN where nothing is known.
          seen: bool [H, W, columns].
        """
        inside = number >= 0
        pieces, dense = np.unique(number[inside], return_inverse=True)
        shape, ones = (len(pieces), int(inside.sum())), np.ones(int(inside.sum()))
        gather = scipy.sparse.csr_array((ones, (dense.ravel(), np.arange(shape[1]))), shape=shape)
        there = seen[inside]
        hit = there & (label[inside][:, None] == self._crops)
        value = np.where(there, probability[inside], 0).astype(np.float64)
        sums = gather @ np.concatenate([value, there, hit], 1)
        self._parts.append((pieces, *np.split(sums, 3, 1)))

    def whole(self, member: np.ndarray) -> WholeFields:
        """The fields.

        Args:
          member: int64 [pieces], from `Pieces.members`.
        """
        fields = int(member.max(initial=-1)) + 1
        sums, size, hits = np.zeros((3, fields, len(self._crops)))
        for pieces, *parts in self._parts:
            for total, part in zip((sums, size, hits), parts, strict=True):
                np.add.at(total, member[pieces], part)
        mean = np.divide(sums, size, out=np.full(sums.shape, np.nan), where=size > 0)
        return WholeFields(mean, size.astype(np.int64), hits.astype(np.int64))
