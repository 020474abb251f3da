"""Shapes across 180 degrees: whole, in longitudes that exceed it, or cut there for files."""

import numpy as np
import shapely
from numpy.typing import ArrayLike

_WORLD = shapely.box(-180.0, -90.0, 180.0, 90.0)


def unwrap(shapes: ArrayLike) -> np.ndarray:
    """Shapes whose vertices jump from 180 to -180 degrees, as they lie on the ground.

    Of two vertices that follow each other and are more than 180 degrees apart, one is taken to lie
    on the other side of the antimeridian. The parts of a shape that was cut there are joined.

    Args:
      shapes: of any kind, longitude and latitude in degrees; None stays None.

    Returns:
      Object array of the same length. What jumped continues beyond 180 degrees; a ring around the
      Earth or a pole, which cannot be distinguished from that, is None.
    """
    out = np.array(shapes, object)
    bounds = shapely.bounds(out)
    with np.errstate(invalid="ignore", over="ignore"):
        wide = np.flatnonzero(bounds[:, 2] - bounds[:, 0] > 180)
    for i in wide:
        try:
            flat = shapely.transform(out[i], _unwrap_row)
        except (shapely.errors.ShapelyError, ValueError):  # a ring that does not end where it began
            flat = None
        if flat is not None and shapely.area(flat) == 0 and shapely.get_dimensions(flat) == 2:
            flat = None
        parts = shapely.get_parts(flat)
        if len(parts) > 1 and shapely.is_valid(parts).all():
            flat = shapely.union_all(parts)
        out[i] = flat
    return out


def _unwrap_row(xy: np.ndarray) -> np.ndarray:
    # Whole turns, so that a ring ends exactly where it began.
    turns = np.cumsum(np.round(np.diff(xy[:, 0], prepend=xy[0, 0]) / 360.0))
    return xy - np.stack([360.0 * turns, np.zeros(len(xy))], 1)


def settle(shapes: ArrayLike) -> np.ndarray:
    """Shapes, each turned so that its middle lies in [-180, 180) degrees."""
    out = np.array(shapes, object)
    bounds = shapely.bounds(out)
    turns = np.floor(((bounds[:, 0] + bounds[:, 2]) / 2 + 180.0) / 360.0)
    for i in np.flatnonzero(np.isfinite(turns) & (turns != 0)):
        out[i] = shapely.transform(out[i], lambda xy, t=turns[i]: xy - [360.0 * t, 0.0])
    return out


def cut(shapes: ArrayLike) -> np.ndarray:
    """Points and polygons within -180 to 180 degrees, of several parts where they cross it.

    Files require it (RFC 7946, section 3.1.9), and so does any test of what lies within what.

    Args:
      shapes: valid points and polygons that continue beyond 180 degrees by less than a turn.
    """
    out = np.array(shapes, object)
    bounds = shapely.bounds(out)
    for i in np.flatnonzero((bounds[:, 0] < -180) | (bounds[:, 2] > 180)):
        parts = []
        for turn in (-360.0, 0.0, 360.0):
            there = shapely.transform(out[i], lambda xy, t=turn: xy + [t, 0.0])
            parts += list(shapely.get_parts(shapely.intersection(there, _WORLD)))
        # Without the lines where the other half touches the border.
        most = shapely.get_dimensions(out[i])
        kept = [p for p in parts if shapely.get_dimensions(p) == most and not p.is_empty]
        out[i] = shapely.union_all(kept)
    return out


def wrap(longitudes: np.ndarray) -> np.ndarray:
    """Longitudes in [-180, 180)."""
    return (np.asarray(longitudes, float) + 180.0) % 360.0 - 180.0
