"""What makes ground recognisable, whatever a cube is called and wherever it claims to lie.

Two kinds of marks are kept of every patch, both small:

  * Fingerprints: a 64-bit hash of all that is stored of a pixel, of a fixed share of all pixels.
    Which ones depends on what is stored, so that the same pixels are kept of a copy, wherever it
    begins (content-defined sampling). Pixels with ten different numbers do not agree by chance.
  * Signatures: the mean of every band and period over squares, in steps of a few pixels, so that a
    copy that was moved or resampled has one nearly like it.
"""

from collections.abc import Sequence

import numpy as np

from cropmap_jax.audit.material import Patch
from cropmap_jax.geo.sensors import Sensor

CELL, SQUARE = 8, 32
"""Pixels: the step of signatures, and the side of the square that each is of."""
LEAST_NUMBERS = 10
"""Different ones that have to be stored of a pixel for a fingerprint of it: others may agree by
chance, such as those of open water."""
_LEAST_THERE = 0.75
"""Share of a square that has to lie in its cube."""
_ODD = np.uint64(0x9E3779B97F4A7C15)


def fingerprints(patch: Patch, sensors: Sequence[Sensor], one_in: int) -> np.ndarray:
    """Hashes of pixels that are new in a patch, over all periods and bands of all sensors.

    Multilinear hashing with fixed odd multipliers, mixed as by splitmix64 (Steele et al. 2014,
    doi:10.1145/2714064.2660195).

    Args:
      patch: the patch.
      sensors: whose pixels are hashed.
      one_in: about one of so many pixels is kept.

    Returns:
      uint64 [N], of pixels of which LEAST_NUMBERS different values or more are stored.
    """
    rows = np.flatnonzero(patch.new)
    flat = {
        s.name: patch.pixels[s.name].reshape(len(patch.pixels[s.name]), patch.new.size, -1)
        for s in sensors
    }
    # A hash of everything takes long: a sum of one band each says which pixels it is made of.
    first = np.zeros(len(rows), np.uint64)
    for values in flat.values():
        first = first * _ODD + values[:, rows, 0].sum(0, dtype=np.int64).astype(np.uint64)
    rows = rows[_mixed(first) % np.uint64(one_in) == 0]
    found, there = np.zeros(len(rows), np.uint64), np.zeros(len(rows), np.int64)
    rng = np.random.default_rng(1)
    for sensor in sensors:
        there += _different(flat[sensor.name][:, rows], sensor.nodata)
        for values in flat[sensor.name][:, rows]:
            odd = rng.integers(0, 2**63, values.shape[-1], dtype=np.uint64)
            odd = odd * np.uint64(2) + np.uint64(1)
            terms = values.astype(np.int64).astype(np.uint64) * odd
            found = found * _ODD + terms.sum(1, dtype=np.uint64)
    return _mixed(found)[there >= LEAST_NUMBERS]


def _different(values: np.ndarray, nodata: int) -> np.ndarray:
    """int [N], how many different numbers there are of each pixel, in [T, N, bands]."""
    count, pixels, bands = values.shape
    ordered = np.sort(np.moveaxis(values, 1, 0).reshape(pixels, count * bands), 1)
    changes = (ordered[:, 1:] != ordered[:, :-1]).sum(1) + 1
    counts: np.ndarray = changes - (ordered == nodata).any(1)
    return counts


def _mixed(found: np.ndarray) -> np.ndarray:
    found = found ^ (found >> np.uint64(30))
    found = found * np.uint64(0xBF58476D1CE4E5B9)
    found = found ^ (found >> np.uint64(27))
    found = found * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = found ^ (found >> np.uint64(31))
    return mixed


def squares(
    patch: Patch, inside: np.ndarray, sensors: Sequence[Sensor], step: int
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Mean of every band and period over squares of a patch.

    Args:
      patch: the patch; one that is smaller than a square gives one of its own size.
      inside: bool [size, size], what of it lies in its cube.
      sensors: whose pixels count.
      step: from square to square, in cells of CELL pixels.

    Returns:
      float32 [N, T, bands] of each sensor, scaled to its range, NaN where less than half of a
      square is there; and int [N], rows and columns of the upper left corners in the patch.
    """
    size = patch.label.shape[0]
    side, cells = min(SQUARE, size) // CELL, size // CELL
    area = (side * CELL) ** 2
    share = _windows(_cells(inside[None, :, :, None], cells), side, step)[0, :, :, 0] / area
    at = np.nonzero(share >= _LEAST_THERE)
    means = []
    for sensor in sensors:
        stored = patch.pixels[sensor.name]
        low, high = sensor.range
        there = stored != sensor.nodata
        whole = bool(there.all())
        total = _windows(_cells(stored if whole else np.where(there, stored, 0), cells), side, step)
        count = np.float32(area) if whole else _windows(_cells(there, cells), side, step)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (total / count / sensor.scale - low) / (high - low)
        mean = np.where(count >= area / 2, mean, np.nan).astype(np.float32)
        means.append(np.moveaxis(mean[:, at[0], at[1]], 1, 0))
    return means, at[0] * step * CELL, at[1] * step * CELL


def _cells(values: np.ndarray, cells: int) -> np.ndarray:
    """int64 [T, cells, cells, B], sums over squares of CELL pixels of [T, size, size, B]."""
    count, _, _, bands = values.shape
    cut = values[:, : cells * CELL, : cells * CELL]
    parts = cut.reshape(count, cells, CELL, cells, CELL, bands)
    sums: np.ndarray = parts.sum(2, dtype=np.int64).sum(3)
    return sums


def _windows(sums: np.ndarray, side: int, step: int) -> np.ndarray:
    """Sums over windows of side x side cells, every `step`-th one."""
    out = sums
    for axis in (1, 2):
        windows = np.lib.stride_tricks.sliding_window_view(out, side, axis)
        out = np.take(windows, range(0, windows.shape[axis], step), axis).sum(-1)
    return out
