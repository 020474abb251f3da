"""Plan of a build: which pixels are read at once, and which chips go into which file."""

import dataclasses

import numpy as np

from cropmap_jax.data import chips
from cropmap_jax.geo import cube

SHARD_BYTES, MAX_SHARDS = 1 << 26, 500
"""About how large a file of records is, and how many a split may have: a reader keeps all of them
open."""
READ_BYTES = 1 << 26
"""About how many bytes of pixels are read at once: a cube, or a part of a larger one."""
MAX_RECORD = 1 << 30
"""Bytes of one chip; the format of records ends at twice that."""


@dataclasses.dataclass(frozen=True)
class Window:
    """Pixels of a cube that are read at once; `new` is what no earlier window has, within it."""

    rows: slice
    cols: slice
    new: tuple[slice, slice]


@dataclasses.dataclass(frozen=True)
class Piece:
    """Chips of one window of a cube, by their upper left corners; `last`: no more of the cube."""

    index: int
    info: cube.CubeInfo
    window: Window
    chips: list[tuple[int, int]]
    last: bool


def cut(index: int, info: cube.CubeInfo, size: int, overlap: int = 0) -> list[Piece]:
    """All chips of a cube, row by row: of the whole cube, or of rows of chips if it is large.

    Args:
      index: number of the cube.
      info: the cube.
      size: side of a chip in pixels.
      overlap: pixels that neighbouring chips share.
    """
    height, width = info.shape
    rows, cols = (chips.chip_origins(n, size, overlap) for n in info.shape)
    pixels = max(1, READ_BYTES // (_pixel_bytes(info) * len(info.periods)))
    if height * width <= pixels:
        whole = Window(slice(0, height), slice(0, width), (slice(None), slice(None)))
        return [Piece(index, info, whole, [(r, c) for r in rows for c in cols], True)]
    many = max(1, pixels // size**2)
    found = []
    for i, row in enumerate(rows):
        for j in range(0, len(cols), many):
            group = cols[j : j + many]
            new = (
                slice(rows[i - 1] + size - row if i else 0, None),
                slice(cols[j - 1] + size - group[0] if j else 0, None),
            )
            read = (
                slice(row, min(row + size, height)),
                slice(group[0], min(group[-1] + size, width)),
            )
            last = row == rows[-1] and group[-1] == cols[-1]
            found.append(Piece(index, info, Window(*read, new), [(row, c) for c in group], last))
    return found


def shards(numbered: list[tuple[int, cube.CubeInfo]], size: int, overlap: int) -> list[list[Piece]]:
    """Chips of a split in order, in parts of about SHARD_BYTES; at most MAX_SHARDS of them.

    Args:
      numbered: cubes and their numbers.
      size: side of a chip in pixels.
      overlap: pixels that neighbouring chips share.

    Raises:
      ValueError: chips that are too large for a record.
    """
    found = [piece for i, info in numbered for piece in cut(i, info, size, overlap)]
    records = np.array([_record_bytes(piece.info, size) for piece in found], np.int64)
    if records.max() > MAX_RECORD:
        raise ValueError(
            f"--chip {size}: expected chips of at most {MAX_RECORD / 1e9:.1f} GB, found "
            f"{records.max() / 1e9:.1f} GB; choose a smaller one"
        )
    counts = np.array([len(piece.chips) for piece in found])
    target = max(SHARD_BYTES, -(-int((records * counts).sum()) // MAX_SHARDS))
    out: dict[int, list[Piece]] = {}
    done = 0
    for piece, record in zip(found, records.tolist(), strict=True):
        where = (done + record * np.arange(len(piece.chips), dtype=np.int64)) // target
        for shard in np.unique(where):
            own = [piece.chips[i] for i in np.flatnonzero(where == shard)]
            last = piece.last and own[-1] == piece.chips[-1]
            out.setdefault(int(shard), []).append(dataclasses.replace(piece, chips=own, last=last))
        done += record * len(piece.chips)
    return list(out.values())


def _record_bytes(info: cube.CubeInfo, size: int) -> int:
    """Of one chip, padding included: pixels, label (a byte or two) and field id."""
    return size**2 * (_pixel_bytes(info) * len(info.periods) + 6)


def _pixel_bytes(info: cube.CubeInfo) -> int:
    """Of one pixel and period, all sensors together."""
    return sum(len(s.bands) * np.dtype(s.dtype).itemsize for s in info.sensors)
