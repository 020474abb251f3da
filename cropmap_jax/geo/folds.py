"""Folds of a cross-validation: a rule, squares, dealing units out evenly, and maps as text."""

import base64
import dataclasses
import zlib
from typing import Any

import numpy as np

RULES = ("field", "block", "checkerboard")
MOST = 100
"""Folds that a dataset may have."""
UNUSED = 255
"""In a map of folds: what is annotated in none of them."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """How annotated ground is divided.

    Args:
      count: number of folds.
      by: "field": each field whole; "block": each block whole; "checkerboard": squares.
      side: of the squares in pixels; 0 unless by is "checkerboard".

    Raises:
      ValueError: names the flag of `experiments.build`.
    """

    count: int
    by: str
    side: int = 0

    def __post_init__(self) -> None:
        if self.by not in RULES:
            raise ValueError(f"--by: expected {', '.join(RULES)}, found {self.by!r}")
        if not 2 <= self.count <= MOST:
            raise ValueError(f"--folds: expected 2 to {MOST}, found {self.count}")
        if self.by == "checkerboard" and not 1 <= self.side <= 100_000:
            raise ValueError(
                f"--side: expected the side of a square in pixels with --by checkerboard, found "
                f"{self.side or 'none'}"
            )
        if self.by != "checkerboard" and self.side:
            raise ValueError(f"--side: expected none with --by {self.by}, found {self.side}")

    def __str__(self) -> str:
        side = f" --side {self.side}" if self.side else ""
        return f"--folds {self.count} --by {self.by}{side}"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, as the metadata of a dataset hold it."""
        return dataclasses.asdict(self)


def squares(shape: tuple[int, int], side: int, count: int) -> np.ndarray:
    """Folds of squares, counted from the upper left corner.

    Two folds lie like the colours of a checkerboard. With more, squares that share a side are of
    different folds too; from four on, those that share a corner as well.

        fold = (row // side + step (column // side)) mod count,  step = 1 if count < 4 else 2

    Args:
      shape: (height, width) in pixels.
      side: of a square in pixels.
      count: number of folds.

    Returns:
      uint8 [H, W].
    """
    rows, cols = (np.arange(length) // side for length in shape)
    step = 1 if count < 4 else 2
    folds: np.ndarray = ((rows[:, None] + step * cols) % count).astype(np.uint8)
    return folds


def deal(pixels: np.ndarray, count: int) -> np.ndarray:
    """Deals units (fields, blocks) out to folds, evenly in each class.

    A unit is of the class that most of its pixels have. Class by class, the rarest first, units
    are dealt in rounds, the largest first: each fold gets one a round, the one with the fewest
    pixels of the class the largest. So folds have the same number of units of a class, or one more.

    Args:
      pixels: int [units, classes], pixels of each class in each unit.
      count: number of folds.

    Returns:
      uint8 [units], the fold of each; the same for the same input.
    """
    out = np.zeros(len(pixels), np.uint8)
    of, size = pixels.argmax(1), pixels.sum(1)
    units = np.bincount(of, minlength=pixels.shape[1])
    total = np.zeros(count, np.int64)
    for kind in sorted(np.flatnonzero(units), key=lambda k: (units[k], k)):
        own = np.flatnonzero(of == kind)
        own = own[np.argsort(-size[own], kind="stable")]
        held = np.zeros(count, np.int64)
        for first in range(0, len(own), count):
            # The last round may have fewer units than folds: those with the least get them.
            order = sorted(range(count), key=lambda fold: (held[fold], total[fold], fold))
            for unit, fold in zip(own[first : first + count], order, strict=False):
                out[unit] = fold
                held[fold] += size[unit]
                total[fold] += size[unit]
    return out


def encode(folds: np.ndarray) -> str:
    """A map of folds, uint8 [H, W], as text: zlib, then base64."""
    packed = zlib.compress(np.ascontiguousarray(folds, np.uint8).tobytes(), 9)
    return base64.b64encode(packed).decode()


def decode(text: str, shape: tuple[int, int], count: int, where: str) -> np.ndarray:
    """The map of folds that `encode` wrote.

    Args:
      text: what it wrote.
      shape: (height, width).
      count: number of folds.
      where: what an error names.

    Returns:
      uint8 [H, W], a fold or UNUSED.

    Raises:
      ValueError: it is something else.
    """
    size = shape[0] * shape[1]
    try:
        # No more than is expected: a few bytes may inflate to any number of them.
        data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"{where}: expected a map of folds, found none ({error})") from error
    folds = np.frombuffer(data, np.uint8)
    if folds.size != size or (folds[folds >= count] != UNUSED).any():
        raise ValueError(
            f"{where}: expected {size} pixels of folds 0 to {count - 1}, found something else"
        )
    return folds.reshape(shape)
