"""Polygons on the ground: repaired rings, areas, copies, and the pixels whose centres they hold."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyproj
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo.legend import IGNORE

SAME_GROUND = 0.95
"""Intersection over union from which two polygons cover the same ground."""
_MANY_HOLES = 100
Shapes = Sequence[Any] | np.ndarray
"""Geometries of shapely, None among them where a function says so."""
_WGS84 = pyproj.Geod(ellps="WGS84")


def repair(geometries: Shapes) -> tuple[np.ndarray, np.ndarray]:
    """Repairs rings that cross or repeat themselves.

    All that the loops of a ring enclose is kept, holes are taken off, and lines that a ring
    collapses to are left out.

    Args:
      geometries: polygons of one or more parts, finite coordinates; None is an empty one.

    Returns:
      Object array of valid 2-D polygons of one or more parts, empty where nothing is left; and
      float [N], |area after - area before| / the larger of the two, in the plane of the
      coordinates. 0 for polygons that were valid.
    """
    before = shapely.force_2d(np.asarray(geometries, object))
    before[shapely.is_missing(before)] = shapely.Polygon()
    bad = ~shapely.is_valid(before)
    after = before.copy()
    after[bad] = shapely.make_valid(before[bad], method="structure", keep_collapsed=False)
    old, new = shapely.area(before), shapely.area(after)
    change = np.zeros(len(before))
    np.divide(np.abs(new - old), np.maximum(new, old), out=change, where=bad & (new + old > 0))
    return after, change


def ground_area_ha(polygons: Shapes) -> np.ndarray:
    """Area on the WGS 84 ellipsoid in hectares, holes taken off whichever way rings run.

    Args:
      polygons: of one or more parts, longitude and latitude in degrees.

    Returns:
      float [N]; 0.0 for what is no polygon.
    """
    parts, owner = shapely.get_parts(np.asarray(polygons, object), return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    coordinates, ring = shapely.get_coordinates(rings, return_index=True)
    cuts = np.searchsorted(ring, np.arange(1, len(rings)))
    square_m = [
        abs(_WGS84.polygon_area_perimeter(xy[:, 0], xy[:, 1])[0])
        for xy in np.split(coordinates, cuts) if len(xy)
    ]  # fmt: skip
    # The first ring of a part is its shell, the others are holes.
    sign = np.where(np.diff(part, prepend=-1) != 0, 1.0, -1.0)
    hectares = sign * np.asarray(square_m) / 1e4
    return np.bincount(owner[part], hectares, minlength=len(polygons))


def project(geometries: Shapes, source: Any, target: Any) -> np.ndarray:
    """Geometries in another CRS, x before y in both, in 2-D; vertices are moved, none added.

    Args:
      geometries: of any kind; None stays None.
      source, target: whatever pyproj takes for a CRS.

    Returns:
      Object array of the same length. Where a CRS has no such place, coordinates are infinite.

    Raises:
      pyproj.exceptions.ProjError: not a CRS, or no way between the two.
    """
    convert = _transformer(source, target).transform
    moved: np.ndarray = shapely.transform(
        np.asarray(geometries, object), convert, interleaved=False
    )
    return moved


# Looking for the best operation between two CRSs takes longer than moving a field.
@functools.lru_cache(maxsize=64)
def _transformer(source: Any, target: Any) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def disc(points: Shapes, radius_m: float) -> np.ndarray:
    """Polygons of 64 corners around points of a CRS in metres; their area is 0.2 % too small."""
    discs: np.ndarray = shapely.buffer(np.asarray(points, object), radius_m, quad_segs=16)
    return discs


def duplicates(polygons: Shapes, groups: Sequence[str]) -> np.ndarray:
    """Finds polygons that cover the same ground as an earlier one of their group.

    Args:
      polygons: valid, all in one CRS. Which vertex a ring begins with does not matter.
      groups: one per polygon.

    Returns:
      int [N]: index of the first polygon that is no duplicate itself and has at least SAME_GROUND
      in common; -1 for those that are no duplicates, and for empty ones.
    """
    shapes = np.asarray(polygons, object)
    _, group = np.unique(np.asarray(groups, object).astype(str), return_inverse=True)
    first = np.arange(len(shapes))
    # Exact copies go first: many of the same would make a pair of each with each.
    seen: dict[tuple[int, bytes], int] = {}
    for i, key in enumerate(zip(group.tolist(), shapely.to_wkb(shapely.normalize(shapes)),
                                strict=True)):  # fmt: skip
        first[i] = seen.setdefault(key, i)
    empty = shapely.is_empty(shapes)
    first[empty] = np.flatnonzero(empty)
    kept = np.flatnonzero((first == np.arange(len(first))) & ~empty)
    for i, j in _same_ground(shapes[kept], group[kept]):
        if first[kept[i]] == kept[i] and first[kept[j]] == kept[j]:
            first[kept[j]] = kept[i]
    first = first[first]  # the copy of a polygon that then turned out to be a duplicate
    return np.where(first == np.arange(len(first)), -1, first)


def _same_ground(polygons: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Pairs (i, j), i < j, of a group with enough ground in common, by j and then by i."""
    i, j = shapely.STRtree(polygons).query(polygons)
    mine = (i < j) & (group[i] == group[j])
    i, j = i[mine], j[mine]
    area, box = shapely.area(polygons), shapely.bounds(polygons)
    # No overlay where areas or bounding boxes already say no.
    sides = np.minimum(box[i, 2:], box[j, 2:]) - np.maximum(box[i, :2], box[j, :2])
    least = SAME_GROUND * np.maximum(area[i], area[j])
    likely = (np.minimum(area[i], area[j]) >= least) & (sides.prod(1) >= least)
    i, j = i[likely], j[likely]
    common = shapely.area(shapely.intersection(polygons[i], polygons[j]))
    same = common >= SAME_GROUND * (area[i] + area[j] - common)
    pairs = np.column_stack([i[same], j[same]])
    return pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]


def rasterise(
    polygons: Shapes, values: np.ndarray, geobox: GeoBox, shrink_m: float = 0.0
) -> np.ndarray:
    """Burns a value into the pixels whose centre lies inside a polygon.

    A centre exactly on the border lies outside, so that two fields with a common border share no
    pixel.

    Args:
      polygons: in the CRS of the geobox.
      values: uint8 or uint32 [N]; where polygons overlap the first wins.
      geobox: grid of the result.
      shrink_m: metres by which polygons shrink first.

    Returns:
      Array of `values`' dtype [H, W], 0 outside.

    Raises:
      ValueError: not one value per polygon.
    """
    values = _per_polygon(values, polygons, "values")
    out = np.zeros(tuple(geobox.shape), values.dtype)
    burnt = np.zeros(out.shape, bool)
    for i, window, inside in insides(polygons, geobox, shrink_m):
        out[window][inside & ~burnt[window]] = values[i]
        burnt[window] |= inside
    return out


def claims(
    polygons: Shapes, classes: np.ndarray, ids: np.ndarray, geobox: GeoBox, shrink_m: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels the pixels whose centre lies inside a shrunk polygon, unless two classes claim them.

    Args:
      polygons: in the CRS of the geobox.
      classes: uint8 [N], class index, NONE_OF_THESE or IGNORE; IGNORE claims nothing.
      ids: uint32 [N], from 1.
      geobox: grid of the result.
      shrink_m: metres by which polygons shrink first.

    Returns:
      label uint8 [H, W], IGNORE where no or more than one class claims; fields uint32 [H, W], of a
      labelled pixel the id of its first polygon, else 0; conflict bool [H, W].

    Raises:
      ValueError: not one class and one id per polygon.
    """
    classes = _per_polygon(classes, polygons, "classes")
    ids = _per_polygon(ids, polygons, "ids")
    known = np.flatnonzero(classes != IGNORE)
    label = np.full(tuple(geobox.shape), IGNORE, np.uint8)
    fields = np.zeros(label.shape, np.uint32)
    conflict = np.zeros(label.shape, bool)
    for i, window, inside in insides(np.asarray(polygons, object)[known], geobox, shrink_m):
        free = inside & (label[window] == IGNORE)
        conflict[window] |= inside & ~free & (label[window] != classes[known[i]])
        label[window][free] = classes[known[i]]
        fields[window][free] = ids[known[i]]
    label[conflict], fields[conflict] = IGNORE, 0
    return label, fields, conflict


def _per_polygon(values: np.ndarray, polygons: Shapes, name: str) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != (len(polygons),):
        raise ValueError(f"{name}: expected shape ({len(polygons)},), found {values.shape}")
    return values


def insides(
    polygons: Shapes, geobox: GeoBox, shrink_m: float = 0.0
) -> Iterator[tuple[int, tuple[slice, slice], np.ndarray]]:
    """The pixels whose centre lies inside each polygon, for polygons that hold one.

    Args:
      polygons: in the CRS of the geobox; they may overlap.
      geobox: a grid.
      shrink_m: metres by which polygons shrink first.

    Yields:
      Index of the polygon, a window of the grid, and bool [h, w] of that window.
    """
    shapes = np.asarray(polygons, object)
    if shrink_m:
        shapes = _shrink(shapes, shrink_m)
    some = np.flatnonzero(~(shapely.is_empty(shapes) | shapely.is_missing(shapes)))
    height, width = geobox.shape
    # The corners of each bounding box in pixels, which serves rotated grids too.
    x, y = shapely.bounds(shapes[some])[:, [[0, 2, 0, 2], [1, 1, 3, 3]]].swapaxes(0, 1)
    to_pixel, to_crs = ~geobox.affine, geobox.affine
    col, row = _apply(to_pixel, x, y)
    left, top = (np.clip(np.floor(v.min(1) - 0.5), 0, None).astype(int) for v in (col, row))
    right = np.clip(np.ceil(col.max(1) + 0.5), 0, width).astype(int)
    bottom = np.clip(np.ceil(row.max(1) + 0.5), 0, height).astype(int)
    for k in np.flatnonzero((left < right) & (top < bottom)):
        cols, rows = np.arange(left[k], right[k]) + 0.5, np.arange(top[k], bottom[k]) + 0.5
        xs, ys = _apply(to_crs, cols[None, :], rows[:, None])
        xs, ys = np.broadcast_arrays(xs, ys)
        inside = shapely.contains_xy(shapes[some[k]], xs, ys)
        if inside.any():
            yield some[k], (slice(top[k], bottom[k]), slice(left[k], right[k])), inside


def _shrink(polygons: np.ndarray, metres: float) -> np.ndarray:
    """Polygons less a strip along their borders; mitred: corners stay, no vertices are added."""
    holes = shapely.get_num_interior_rings(polygons)
    many = holes > _MANY_HOLES
    few = polygons.copy()
    few[many] = None
    out: np.ndarray = shapely.buffer(few, -metres, join_style="mitre")
    for i in np.flatnonzero(many):
        # Holes that run into each other take GEOS minutes, unless they grow one by one.
        shell, *rings = shapely.polygons(shapely.get_rings(polygons[i]))
        grown = shapely.union_all(shapely.buffer(rings, metres, join_style="mitre"))
        inner = shapely.buffer(shell, -metres, join_style="mitre")
        out[i] = shapely.difference(inner, grown)
    return out


def _apply(affine: Affine, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Written out: affine 3 deprecates `*` with coordinates, and affine 2 does not have `@`.
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f
