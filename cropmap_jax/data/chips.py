"""Chips: fixed-size squares cut from a cube."""

import numpy as np


def chip_origins(length: int, size: int, overlap: int = 0) -> list[int]:
    """Start offsets of chips that cover `length` pixels.

    Chips advance by `size - overlap`. With overlap, the last one is pulled back to end at the edge
    so that every chip is full; without, chips never share a pixel and the last one runs over the
    edge (its surplus is padding). A cube smaller than a chip is one padded chip.

    Raises:
      ValueError: sizes that are not positive, or an overlap as large as the chip.
    """
    if length < 1 or size < 1 or not 0 <= overlap < size:
        raise ValueError(
            f"chips: expected length >= 1, size >= 1 and 0 <= overlap < size, found "
            f"length {length}, size {size}, overlap {overlap}"
        )
    if overlap == 0:
        return list(range(0, length, size))
    origins = list(range(0, max(length - size, 0) + 1, size - overlap))
    if origins[-1] + size < length:
        origins.append(length - size)
    return origins


def cut(array: np.ndarray, row: int, col: int, size: int, fill: int, axis: int = 0) -> np.ndarray:
    """Cuts a `size` x `size` chip; what lies outside the array is `fill`.

    Args:
      array: height at `axis`, width at `axis + 1`.
      row, col: upper left corner in pixels.
      fill: value of padding.

    Returns:
      Array with both spatial axes of length `size`: a copy where padded, else a view.
    """
    height, width = array.shape[axis : axis + 2]
    lead = (slice(None),) * axis
    part = array[(*lead, slice(row, row + size), slice(col, col + size))]
    if part.shape[axis : axis + 2] == (size, size):
        return part
    pad = [(0, 0)] * array.ndim
    pad[axis] = (0, size - min(size, height - row))
    pad[axis + 1] = (0, size - min(size, width - col))
    return np.pad(part, pad, constant_values=fill)
