"""Tiling: how the area of a mosaic group is cut, whatever its cubes, and how chips blend.

The ground is cut into equal *parts* of at most 128 x 128 pixels, counted from the group's own
corner; on the tile grid a part is a tile. The *chip* of a part is the part and a halo around it, as
far as there are pixels. Where chips overlap, their probabilities are averaged with weights that
rise linearly across the halo, from nothing at one chip's outer edge to all of it as deep inside as
the next chip reaches. Without a halo chips do not overlap, and each counts alone in its part.
Nothing of this knows where one cube ends and the next begins.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cropmap_jax.geo import grid

PART_PX = grid.TILE_PX

Part = tuple[int, int]
"""Row and column of a part in its mosaic group."""


class Box(NamedTuple):
    """A half-open rectangle of pixels: rows [top, bottom), columns [left, right)."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.bottom - self.top, self.right - self.left

    def grow(self, by: int) -> "Box":
        """The box and `by` pixels on each side."""
        return Box(self.top - by, self.left - by, self.bottom + by, self.right + by)

    def shift(self, rows: int, cols: int) -> "Box":
        """The box moved down and to the right."""
        return Box(self.top + rows, self.left + cols, self.bottom + rows, self.right + cols)

    def common(self, other: "Box") -> "Box | None":
        """What two boxes share, None where that is nothing."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Box(top, left, bottom, right) if top < bottom and left < right else None

    def inside(self, other: "Box") -> tuple[slice, slice]:
        """Rows and columns of this box in an array whose upper left corner is that of `other`."""
        top, left = other.top, other.left
        return slice(self.top - top, self.bottom - top), slice(self.left - left, self.right - left)


def bounds(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all of them."""
    tops, lefts, bottoms, rights = zip(*boxes, strict=True)
    return Box(min(tops), min(lefts), max(bottoms), max(rights))


def _equal_parts(length: int, part_px: int) -> int:
    # Equal parts, not full ones and a rest: a rest of three pixels would see next to nothing.
    return -(-length // -(-length // part_px))


class Tiling:
    """The parts of a mosaic group, and which cubes lie in them.

    Args:
      boxes: where each cube lies, in pixels from the group's upper left corner; no two share a
        pixel.
      halo_px: pixels around a part in which its chip counts too; 0 where it sees its part alone.
      part_px: largest side of a part.
    """

    def __init__(self, boxes: Sequence[Box], halo_px: int, part_px: int = PART_PX):
        self.halo = halo_px
        whole = bounds(boxes)
        self._step = tuple(_equal_parts(n, part_px) for n in (whole.bottom, whole.right))
        self._place(boxes)

    def _place(self, boxes: Sequence[Box]) -> None:
        self.boxes = tuple(boxes)
        self._cubes: dict[Part, list[int]] = {}
        for number, box in enumerate(self.boxes):
            for part in self._cells(box):
                self._cubes.setdefault(part, []).append(number)

    def around(self, box: Box) -> list[int]:
        """Numbers of all cubes that decide on the chips that count in a box."""
        found: set[int] = set()
        for part in self.covering(box):
            reach = self.reach(part)
            # What an edge cuts off is added on the other side, so a chip may reach as far again.
            found.update(self.cubes(reach.grow(max(reach.shape))))
        return sorted(found)

    def only(self, numbers: Sequence[int]) -> "Tiling":
        """The same parts of some of the cubes, as if there were no others.

        In a box whose `around` is among them, chips are the same as with all.

        Args:
          numbers: of the cubes, whose order is that of the new boxes.
        """
        out = copy.copy(self)
        out._place([self.boxes[number] for number in numbers])
        return out

    def _cells(self, box: Box) -> Iterator[Part]:
        rows, cols = self._step
        for row in range(box.top // rows, (box.bottom - 1) // rows + 1):
            for col in range(box.left // cols, (box.right - 1) // cols + 1):
                yield row, col

    def cell(self, part: Part) -> Box:
        """The ground of a part; at the group's lower and right edges it may reach beyond it."""
        (rows, cols), (row, col) = self._step, part
        return Box(row * rows, col * cols, (row + 1) * rows, (col + 1) * cols)

    def reach(self, part: Part) -> Box:
        """Where the chip of a part counts: the part and its halo, with pixels or without."""
        return self.cell(part).grow(self.halo)

    def parts(self, box: Box) -> list[Part]:
        """The parts with pixels that a box touches, row by row."""
        return [part for part in self._cells(box) if part in self._cubes]

    def covering(self, box: Box) -> list[Part]:
        """The parts whose chips count in a box, row by row."""
        return self.parts(box.grow(self.halo))

    def cubes(self, box: Box) -> list[int]:
        """Numbers of the cubes with pixels in a box."""
        near = {number for part in self.parts(box) for number in self._cubes[part]}
        return sorted(number for number in near if self.boxes[number].common(box))

    def chip(self, part: Part) -> Box:
        """What a predictor sees of a part: the part and its halo, as far as there are pixels.

        What an edge of the group cuts off on one side is added on the other side. So a chip along
        the edge sees as much as any other, and shares its shape, for which a network is compiled.
        Where there is no halo, nothing needs to be seen beyond the part.
        """
        grown = self.reach(part)
        found = self._pixels(grown)
        if not self.halo:
            return found
        top, left, bottom, right = grown
        wider = Box(
            found.top if found.top > top else top - (bottom - found.bottom),
            found.left if found.left > left else left - (right - found.right),
            found.bottom if found.bottom < bottom else bottom + (found.top - top),
            found.right if found.right < right else right + (found.left - left),
        )
        return self._pixels(wider)

    def _pixels(self, box: Box) -> Box:
        """The smallest box around all pixels in a box that holds some."""
        found = (self.boxes[number].common(box) for number in self.cubes(box))
        return bounds([one for one in found if one is not None])

    def weights(self, part: Part, box: Box) -> np.ndarray:
        """How much a part's chip counts at each pixel of a box, before the weights are normalised.

        Along each axis the weight is 1 inside the part and falls linearly to 0 from `halo` pixels
        before the part's edge to `halo` pixels beyond it, so that two neighbours add up to 1. Both
        axes are multiplied. Without a halo it is 1 in the part and 0 beyond.

        Returns:
          float64 [H, W] in [0, 1]; above 0 in all of the part and its halo, 0 beyond.
        """
        cell = self.cell(part)
        rows = _taper(box.top, box.bottom, cell.top, cell.bottom, self.halo)
        cols = _taper(box.left, box.right, cell.left, cell.right, self.halo)
        return np.outer(rows, cols)


def _taper(start: int, stop: int, low: int, high: int, halo: int) -> np.ndarray:
    centres = np.arange(start, stop) + 0.5
    if not halo:
        return ((centres > low) & (centres < high)).astype(np.float64)
    rise = (centres - (low - halo)) / (2 * halo)
    fall = (high + halo - centres) / (2 * halo)
    return np.clip(np.minimum(rise, fall), 0.0, 1.0)
