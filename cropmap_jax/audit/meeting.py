"""Where cubes meet: pairs on the same ground or next to each other, and pixels of both.

Grids of any two CRSs are compared pixel by pixel: the centres of one's pixels are placed on the
other's grid.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pyproj
import shapely
from odc.geo.geobox import GeoBox

from cropmap_jax.audit.material import Material, Place
from cropmap_jax.geo import tiles
from cropmap_jax.geo.folds import UNUSED
from cropmap_jax.geo.legend import IGNORE

NEAR_DEGREES = 3e-4
"""Cubes so near may touch: some 30 m."""
_STEPS = 8
"""Edges that stand for each side of a cube, which is curved in degrees."""
_ROWS = 1 << 20
"""Pixels that are placed at once."""


def pairs(places: Sequence[Place]) -> list[tuple[int, int]]:
    """Numbers (i < j) of cubes that share ground, or nearly touch; whatever their CRSs."""
    shapes = tiles.outlines((place.geobox for place in places), _STEPS)
    near = shapely.buffer(shapes, NEAR_DEGREES, join_style="mitre")
    left, right = shapely.STRtree(shapes).query(near, "intersects")
    found = {(min(i, j), max(i, j)) for i, j in zip(left.tolist(), right.tolist(), strict=True)}
    return sorted((i, j) for i, j in found if i != j)


@dataclasses.dataclass
class Meeting:
    """What two cubes have in common, summed over parts (splits or folds).

    Args:
      inside: pixels of the second cube that lie on the first one, a pixel or more from its edge.
      annotated: {(part, part): pixels that both know}.
      contradicting: pixels that both know, as different things.
      fields: {(part, part): {(field, field)}} that share such pixels.
      touching: {(part, part): {(field, field): pixels of the second that lie next to the first}},
        of one class, on different ground.
    """

    inside: int = 0
    annotated: dict[tuple[int, int], int] = dataclasses.field(default_factory=dict)
    contradicting: int = 0
    fields: dict[tuple[int, int], set[tuple[int, int]]] = dataclasses.field(default_factory=dict)
    touching: dict[tuple[int, int], dict[tuple[int, int], int]] = dataclasses.field(
        default_factory=dict
    )


def meeting(material: Material, i: int, j: int) -> Meeting:
    """Compares the pixels of two cubes that `pairs` has found."""
    one, other = material.places[i], material.places[j]
    (label, fields), (label2, fields2) = material.labels(i), material.labels(j)
    part, part2 = material.part(i), material.part(j)
    out = Meeting()
    height, width = one.shape
    for rows, cols, at_row, at_col in _placed(one.geobox, other.geobox):
        r, c = np.floor(at_row).astype(int), np.floor(at_col).astype(int)
        near = (r >= -1) & (r <= height) & (c >= -1) & (c <= width)
        rows, cols, r, c = rows[near], cols[near], r[near], c[near]
        within = (r >= 0) & (r < height) & (c >= 0) & (c < width)
        deep = (r >= 1) & (r < height - 1) & (c >= 1) & (c < width - 1)
        out.inside += int(deep.sum())
        known = (label2[rows, cols] != IGNORE) & (part2[rows, cols] != UNUSED)
        # Across zones, edges that touch in one are not straight in the other.
        own = (within if _change(one.geobox, other.geobox) is None else deep) & known
        own[own] = label[r[own], c[own]] != IGNORE
        own[own] = part[r[own], c[own]] != UNUSED
        _share(out, own, (rows, cols), (r, c), (label, fields, part), (label2, fields2, part2))
        _touch(out, known & ~within, (rows, cols), (r, c), (label, fields, part),
               (label2, fields2, part2))  # fmt: skip
    return out


def contact(material: Material, i: int, j: int, f: int, g: int) -> tuple[np.ndarray, np.ndarray]:
    """Where two fields touch: rows and columns int [N, 2] in the first cube, and in the second.

    Args:
      material: what is audited.
      i, j: cubes that `pairs` has found.
      f, g: a field of each.
    """
    found = []
    for a, b, own, other in ((i, j, f, g), (j, i, g, f)):
        # Pixels of the second cube's field next to pixels of the first one's.
        mask = np.pad(material.labels(a)[1] == own, 2)
        fields = material.labels(b)[1]
        touching = []
        for rows, cols, at_row, at_col in _placed(
            material.places[a].geobox, material.places[b].geobox
        ):
            r, c = np.floor(at_row).astype(int) + 2, np.floor(at_col).astype(int) + 2
            near = (r >= 1) & (r < mask.shape[0] - 1) & (c >= 1) & (c < mask.shape[1] - 1)
            near &= fields[rows, cols] == other
            rows, cols, r, c = rows[near], cols[near], r[near], c[near]
            hit = np.zeros(len(r), bool)
            for down, right in np.ndindex(3, 3):
                hit |= mask[r + down - 1, c + right - 1]
            touching.append(np.stack([rows[hit], cols[hit]], 1))
        found.append(np.concatenate(touching) if touching else np.zeros((0, 2), int))
    return found[1], found[0]


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
Places = tuple[np.ndarray, np.ndarray]


def _share(
    out: Meeting, own: np.ndarray, at2: Places, at: Places, first: Arrays, second: Arrays
) -> None:
    """Counts pixels that both cubes know."""
    (label, fields, part), (label2, fields2, part2) = first, second
    here, there = (at[0][own], at[1][own]), (at2[0][own], at2[1][own])
    out.contradicting += int((label[here] != label2[there]).sum())
    rows = np.stack([part[here], part2[there], fields[here], fields2[there]], 1).astype(np.int64)
    found, counts = np.unique(rows, axis=0, return_counts=True)
    for (p, q, f, g), count in zip(found.tolist(), counts.tolist(), strict=True):
        out.annotated[p, q] = out.annotated.get((p, q), 0) + count
        if f and g:
            out.fields.setdefault((p, q), set()).add((f, g))


def _touch(
    out: Meeting, own: np.ndarray, at2: Places, at: Places, first: Arrays, second: Arrays
) -> None:
    """Counts pixels of the second cube next to pixels of the first one, of one class."""
    (label, fields, part), (label2, fields2, part2) = first, second
    r, c, there = at[0][own], at[1][own], (at2[0][own], at2[1][own])
    seen: set[tuple[int, int, int]] = set()
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            y, x = r + down, c + right
            fits = (y >= 0) & (y < label.shape[0]) & (x >= 0) & (x < label.shape[1])
            here = y[fits], x[fits]
            also = there[0][fits], there[1][fits]
            same = (label[here] == label2[also]) & (part[here] != UNUSED)
            same &= (fields[here] > 0) & (fields2[also] > 0)
            number = np.flatnonzero(fits)[same]
            rows = zip(
                part[here][same].tolist(), part2[also][same].tolist(),
                fields[here][same].tolist(), fields2[also][same].tolist(), number.tolist(),
                strict=True,
            )  # fmt: skip
            for p, q, f, g, n in rows:
                if (f, g, n) not in seen:
                    seen.add((f, g, n))
                    counts = out.touching.setdefault((p, q), {})
                    counts[f, g] = counts.get((f, g), 0) + 1


def _placed(
    one: GeoBox, other: GeoBox
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yields rows and columns of the other grid near this one, and where they lie on this one."""
    height, width = other.shape
    rows, cols = _window(other, one)
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return
    step = max(1, _ROWS // (cols.stop - cols.start))
    change = _change(other, one)
    for top in range(rows.start, rows.stop, step):
        row, col = np.mgrid[top : min(top + step, rows.stop), cols]
        row, col = row.ravel(), col.ravel()
        x, y = _to_crs(other, row + 0.5, col + 0.5)
        if change is not None:
            x, y = change.transform(x, y)
        at_row, at_col = _to_pixels(one, x, y)
        # Noise of the arithmetic must not move a pixel centre over an edge of its grid.
        finite = np.isfinite(at_row) & np.isfinite(at_col)
        yield row[finite], col[finite], at_row[finite] + 1e-6, at_col[finite] + 1e-6


def _window(grid: GeoBox, over: GeoBox) -> tuple[slice, slice]:
    """Rows and columns of a grid that another grid may cover, and two pixels around."""
    height, width = over.shape
    steps = np.linspace(0, 1, 2 * _STEPS + 1)
    edge, ends = np.concatenate([steps, steps]), np.repeat([0.0, 1.0], len(steps))
    row, col = np.concatenate([edge, ends]) * height, np.concatenate([ends, edge]) * width
    x, y = _to_crs(over, row, col)
    change = _change(over, grid)
    if change is not None:
        x, y = change.transform(x, y)
    at_row, at_col = _to_pixels(grid, x, y)
    finite = np.isfinite(at_row) & np.isfinite(at_col)
    if not finite.any():
        return slice(0, 0), slice(0, 0)
    found = []
    for at, length in ((at_row[finite], grid.shape[0]), (at_col[finite], grid.shape[1])):
        first, last = int(np.floor(at.min())) - 2, int(np.ceil(at.max())) + 2
        found.append(slice(max(first, 0), min(last, length)))
    return found[0], found[1]


def _change(one: GeoBox, other: GeoBox) -> pyproj.Transformer | None:
    if one.crs is None or other.crs is None or one.crs == other.crs:
        return None
    return pyproj.Transformer.from_crs(one.crs.proj, other.crs.proj, always_xy=True)


def _to_crs(grid: GeoBox, row: np.ndarray, col: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, _, x, _, e, y = tuple(grid.affine)[:6]
    return x + a * col, y + e * row


def _to_pixels(grid: GeoBox, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, _, left, _, e, top = tuple(grid.affine)[:6]
    return (y - top) / e, (x - left) / a
