"""Cuts ground into blocks and fields: sets of pixels, halved along nearly straight lines.

A piece of ground is an int array [n] of flat pixel indices into a raster. Every cut leaves two
4-connected pieces, so whatever is cut from a connected piece is connected.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage


@dataclasses.dataclass(frozen=True)
class Piece:
    """Connected ground and the lie of it.

    Args:
      cells: int64 [n], flat indices of its pixels.
      angle: radians from the raster's columns axis (east) towards its rows axis (south), along
        which the piece is worked.
    """

    cells: np.ndarray
    angle: float


def connected(cells: np.ndarray, width: int) -> list[np.ndarray]:
    """The 4-connected pieces of a set of pixels, largest first.

    Args:
      cells: int [n], flat indices.
      width: of the raster.
    """
    if not len(cells):
        return []
    rows, cols = np.divmod(cells, width)
    rows, cols = rows - rows.min(), cols - cols.min()
    mask = np.zeros((rows.max() + 1, cols.max() + 1), bool)
    mask[rows, cols] = True
    label, count = ndimage.label(mask)
    if count < 2:
        return [cells]
    number = label[rows, cols]
    order = np.argsort(-np.bincount(number)[1:], kind="stable") + 1
    return [cells[number == i] for i in order]


def extents(piece: Piece, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of a piece's pixels along and across its angle, float [n] each, in pixels."""
    rows, cols = np.divmod(piece.cells, width)
    along, across = math.cos(piece.angle), math.sin(piece.angle)
    return cols * along + rows * across, rows * along - cols * across


def azimuth(piece: Piece, width: int) -> float:
    """Azimuth of the longer side of a piece, radians from north towards east, in [0, pi)."""
    u, v = extents(piece, width)
    # East is 90 degrees and turning from there towards south adds; rows run along the field.
    along = piece.angle if np.ptp(u) >= np.ptp(v) else piece.angle + math.pi / 2
    return (math.pi / 2 + along) % math.pi


def squarest_angle(cells: np.ndarray, width: int) -> float:
    """Angle of the narrowest rectangle around a piece, in [0, pi / 2)."""
    angles = np.arange(0, math.pi / 2, math.pi / 36)
    sizes = []
    for angle in angles:
        u, v = extents(Piece(cells, angle), width)
        sizes.append((np.ptp(u) + 1) * (np.ptp(v) + 1))
    return float(angles[int(np.argmin(sizes))])


def cut(
    piece: Piece,
    width: int,
    share: float,
    elongation: float,
    bend: float,
    turn: float,
    rng: np.random.Generator,
) -> tuple[Piece, Piece]:
    """Cuts a piece in two along a nearly straight line.

    The line runs across the piece where that is longer than `elongation` times its width, else
    along it. Scraps that the line separates go to the other side, so both sides are connected.

    Args:
      piece: what to cut, connected, two pixels or more.
      width: of the raster.
      share: of the first part, in (0, 1).
      elongation: ratio of length (along the angle) to width that cuts work towards.
      bend: how far the line bows out, pixels, standard deviation.
      turn: by how much the line and what lies beyond turn, radians, standard deviation.
      rng: generator.

    Returns:
      The two parts.
    """
    turned = Piece(piece.cells, piece.angle + turn * rng.standard_normal())
    u, v = extents(turned, width)
    long_way = np.ptp(u) > elongation * np.ptp(v)
    distance, along = (u, v) if long_way else (v, u)
    half = np.ptp(along) / 2 + 1e-9
    bow = min(bend, half / 4) * rng.standard_normal()
    # Which side comes first is chance, so that no side of a site has the smaller fields.
    distance = rng.choice((-1, 1)) * distance + bow * ((along - along.min() - half) / half) ** 2
    count = min(max(round(share * len(distance)), 1), len(distance) - 1)
    order = np.argpartition(distance, count)
    first = connected(piece.cells[order[:count]], width)
    rest = np.concatenate([piece.cells[order[count:]], *first[1:]])
    second = connected(rest, width)
    main = np.concatenate([first[0], *second[1:]])
    angles = (turned.angle, piece.angle) if rng.random() < 0.5 else (piece.angle, turned.angle)
    return Piece(main, angles[0]), Piece(second[0], angles[1])


def border(first: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Boolean [n] over the pixels of `first`: which have one of `second` among 8 neighbours."""
    rows, cols = np.divmod(first, shape[1])
    other_rows, other_cols = np.divmod(second, shape[1])
    top, left = rows.min() - 1, cols.min() - 1
    near = np.zeros((np.ptp(rows) + 3, np.ptp(cols) + 3), bool)
    inside = (
        (other_rows >= top)
        & (other_rows < top + near.shape[0])
        & (other_cols >= left)
        & (other_cols < left + near.shape[1])
    )
    near[other_rows[inside] - top, other_cols[inside] - left] = True
    near = ndimage.binary_dilation(near, np.ones((3, 3), bool))
    touching: np.ndarray = near[rows - top, cols - left]
    return touching


def draw_areas(
    total: float, median: float, spread: float, low: float, high: float, rng: np.random.Generator
) -> list[float]:
    """Areas from a log-normal law within limits that add up to `total`.

    Args:
      total: sum of the areas.
      median, spread: of the law before limits: median and standard deviation of the logarithm.
      low, high: limits of the law.
      rng: generator.

    Returns:
      List of one or more areas.
    """
    areas: list[float] = []
    left = total
    while True:
        area = median * math.exp(spread * rng.standard_normal())
        if not low <= area <= high:
            continue
        if area > left:
            break
        areas.append(area)
        left -= area
    # The last area is taken whole or not at all by chance, such that it is taken as often as
    # there is room for it: else large areas would be rarer than the law says.
    if not areas or rng.random() < left / area:
        areas.append(area)
    scale = total / sum(areas)
    return [scale * area for area in areas]


def subdivide(
    piece: Piece,
    areas: Sequence[float],
    width: int,
    elongation: float,
    bend: float,
    most: int,
    rng: np.random.Generator,
) -> Iterator[Piece]:
    """Cuts a piece into fields of given areas.

    Args:
      piece: what to cut.
      areas: of the fields, in any unit: they are scaled to the piece.
      width: of the raster.
      elongation, bend: of `cut`.
      most: pixels; a field that comes out larger is cut again.
      rng: generator.

    Yields:
      Fields, about as many as areas, which cover the piece without overlap.
    """
    stack = [(piece, list(areas))]
    while stack:
        part, wanted = stack.pop()
        if len(part.cells) > most and len(wanted) < 2:
            wanted = [1.0, 1.0]
        if len(wanted) < 2 or len(part.cells) < 2:
            yield part
            continue
        # Neighbours are alike in size: sorted by a noisy size, a list is cut where its sum is near
        # a share that leaves both halves about equal.
        keys = np.log(wanted) + 0.5 * rng.standard_normal(len(wanted))
        wanted = [wanted[i] for i in np.argsort(keys)]
        sums = np.cumsum(wanted)
        goal = rng.uniform(0.35, 0.65) * sums[-1]
        k = int(np.clip(np.searchsorted(sums, goal), 1, len(wanted) - 1))
        a, b = cut(part, width, sums[k - 1] / sums[-1], elongation, bend, 0.03, rng)
        stack += [(a, wanted[:k]), (b, wanted[k:])]
