"""What is drawn again for the intervals of scores: blocks of a split, or fields where it has one.

Pixels of a block have their place, its weather and its fieldwork in common, so that a block is one
observation. A split of a single block says nothing about other places: its fields are drawn
instead, and the interval is about other fields of this place only.
"""

from collections.abc import Sequence

import numpy as np

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation.whole_fields import Pieces, grid_origin
from cropmap_jax.geo.legend import IGNORE

SQUARE_PX = 20
"""Annotated ground outside fields is drawn in squares of this side: it has no fields of its own."""


class Groups:
    """The groups of a split.

    Args:
      data: the dataset.
      split: which split.

    Attributes:
      unit: "block" or "field".
    """

    def __init__(self, data: Dataset, split: str):
        self._cubes = data.cubes
        names = sorted({data.cubes[i]["block"] for i in np.unique(data.split(split).cube)})
        self.unit = "block" if len(names) > 1 else "field"
        self._blocks = {name: number for number, name in enumerate(names)}
        self._squares: dict[tuple[str, str, int, int], int] = {}
        # Of each piece.
        self._block_of: list[int] = []
        self._cube_of: list[int] = []
        self.pieces = Pieces(data.cubes)

    def add(
        self, index: int, label: np.ndarray, fields: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Adds a cube.

        Args:
          index: its number.
          label: uint8 [H, W].
          fields: uint32 [H, W].

        Returns:
          int64 [H, W] each: the piece of a field, as `Pieces.add`; and a number of the group, which
          `members` makes one of.
        """
        number = self.pieces.add(index, label, fields)
        block = self._blocks[self._cubes[index]["block"]]
        new = len(self.pieces) - len(self._block_of)
        self._block_of += [block] * new
        self._cube_of += [index] * new
        if self.unit == "block":
            return number, np.full(label.shape, block, np.int64)
        # Even numbers are pieces, odd ones squares.
        group = 2 * number
        rows, cols = np.nonzero((label != IGNORE) & (number < 0))
        top, left = grid_origin(self._cubes[index])
        squares = np.stack([(rows + top) // SQUARE_PX, (cols + left) // SQUARE_PX], 1)
        found, dense = np.unique(squares, axis=0, return_inverse=True)
        key = (self._cubes[index]["season"], self._cubes[index]["crs"])
        each = [
            self._squares.setdefault((*key, int(row), int(col)), len(self._squares))
            for row, col in found
        ]
        group[rows, cols] = 2 * np.array(each, np.int64)[dense.ravel()] + 1
        return number, group

    def members(self, member: np.ndarray) -> np.ndarray:
        """The group, from 0, of each number that `add` gave.

        Args:
          member: int64 [pieces], from `Pieces.members`.
        """
        if self.unit == "block":
            return np.arange(len(self._blocks))
        fields, squares = int(member.max(initial=-1)) + 1, len(self._squares)
        out = np.full(2 * max(len(member), squares) + 2, -1, np.int64)
        out[2 * np.arange(len(member))] = member
        out[2 * np.arange(squares) + 1] = fields + np.arange(squares)
        return out

    def count(self, member: np.ndarray) -> int:
        """How many groups there are; one, without anything in it, where nothing is annotated."""
        if self.unit == "block":
            return len(self._blocks)
        return max(int(member.max(initial=-1)) + 1 + len(self._squares), 1)

    def of_fields(self, member: np.ndarray) -> np.ndarray:
        """int64 [fields], the group of each whole field: its block (of its first piece), or itself.

        Args:
          member: int64 [pieces], from `Pieces.members`.
        """
        if self.unit == "field":
            return np.arange(int(member.max(initial=-1)) + 1)
        return _of_first(member, self._block_of)

    def order(self, member: np.ndarray) -> np.ndarray:
        """int64 [groups], the groups in an order of their own, whichever cube was added first.

        Methods that read cubes in other orders are compared group by group in this one.

        Args:
          member: int64 [pieces], from `Pieces.members`.
        """
        if self.unit == "block":
            return np.arange(len(self._blocks))
        # Within a cube, pieces are numbered alike by all.
        at = np.argsort(np.argsort(np.asarray(self._cube_of, np.int64), kind="stable"))
        fields = int(member.max(initial=-1)) + 1
        first = np.full(fields, len(at))
        np.minimum.at(first, member, at)
        squares = [fields + self._squares[key] for key in sorted(self._squares)]
        found = np.concatenate([np.argsort(first), np.array(squares, np.int64)])
        return found if len(found) else np.zeros(1, np.int64)

    def cubes(self, member: np.ndarray) -> np.ndarray:
        """int64 [fields], a cube of each whole field, that of its first piece."""
        return _of_first(member, self._cube_of)


def _of_first(member: np.ndarray, values: list[int]) -> np.ndarray:
    """int64 [fields], the value of the first piece of each."""
    _, first = np.unique(member, return_index=True)
    return np.asarray(values, np.int64)[first]


class Counts:
    """Counts of a number of columns by group, at given thresholds.

    Args:
      thresholds: float [columns, rules].
    """

    def __init__(self, thresholds: np.ndarray):
        self.thresholds = np.asarray(thresholds, float)
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []

    def add(
        self, group: np.ndarray, values: np.ndarray, positive: np.ndarray, there: np.ndarray
    ) -> None:
        """Adds pixels or fields.

        Args:
          group: int64 [N].
          values: float [N, columns].
          positive: bool [N, columns], the truth.
          there: bool [N, columns], what counts.
        """
        kept, dense = np.unique(group, return_inverse=True)
        table = np.zeros((len(kept), *self.thresholds.shape, 4), np.int64)
        for c, row in enumerate(self.thresholds):
            own = there[:, c]
            base = dense.ravel()[own] * 4 + ~positive[own, c]
            for r, threshold in enumerate(row):
                # In float32, 0.35 is a little more than 0.35: as `Tally.add` compares.
                shown = values[own, c] >= values.dtype.type(threshold)
                codes = np.bincount(base + 2 * ~shown, minlength=4 * len(kept))
                table[:, c, r] = codes.reshape(-1, 4)
        self._parts.append((kept, table))

    def total(self, member: Sequence[int] | np.ndarray, groups: int) -> np.ndarray:
        """int64 [groups, columns, rules, 4]: tp, fp, fn, tn.

        Args:
          member: the group of each number that was added.
          groups: how many there are.
        """
        out = np.zeros((groups, *self.thresholds.shape, 4), np.int64)
        for kept, table in self._parts:
            np.add.at(out, np.asarray(member)[kept], table)
        return out
