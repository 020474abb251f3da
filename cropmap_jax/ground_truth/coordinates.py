"""Where on Earth the coordinates of a file lie."""

import re

import numpy as np
import pyproj
import shapely
from pyproj.exceptions import ProjError

from cropmap_jax.geo import antimeridian
from cropmap_jax.ground_truth import polygons

WORLD = "EPSG:4326"


def to_lonlat(
    geometry: np.ndarray, crs: pyproj.CRS, name: str
) -> tuple[np.ndarray, dict[int, str]]:
    """Geometries in EPSG:4326, what crosses 180 degrees continuing beyond it.

    Args:
      geometry: object [n] of geometries; None where there is none.
      crs: of their coordinates, geographic or projected.
      name: of the file, for messages.

    Returns:
      object [n]; and {feature: its first vertex that is no place on Earth}.

    Raises:
      ValueError: no way from the CRS to EPSG:4326, or coordinates that are not of it; names the
        file.
    """
    turn = _turn(crs)
    # Longitudes from 0 to 360 are common; maps that continue beyond their edge do not go far.
    geometry = _within(geometry, turn, turn if crs.is_geographic else 0.55 * turn)
    try:
        lonlat = polygons.project(geometry, crs, WORLD)
        # PROJ wraps what lies beyond the edge of its world: then the way back leads elsewhere.
        back = shapely.get_coordinates(polygons.project(lonlat, WORLD, crs))
    except ProjError as error:
        raise ValueError(f"{name}: expected a coordinate system with a way to {WORLD}, found "
                         f"{crs.name!r} ({error})") from error  # fmt: skip
    here, owner = shapely.get_coordinates(geometry, return_index=True)
    there = shapely.get_coordinates(lonlat)
    finite = np.isfinite(here).all(1)
    with np.errstate(invalid="ignore", over="ignore"):
        good = finite & (np.abs(there) <= (180 + 1e-9, 90)).all(1)
        off = np.abs(back - here)
        # 180 degrees east and west are one place.
        edge = turn > 0 and np.abs(np.abs(here[:, 0]) - turn / 2) <= 1e-3 * turn
        off[:, 0] = np.where(edge, np.minimum(off[:, 0], np.abs(turn - off[:, 0])), off[:, 0])
        good &= (off <= 1e-3 * np.maximum(1, np.abs(here))).all(1)
    if crs.is_geographic:
        # Far out at sea: where coordinates end up that were left empty.
        good &= (here != 0).any(1)
    degrees = bool(crs.is_projected and (np.abs(here[finite]) <= (180, 90)).all())
    if finite.any() and (degrees or not good.any()):
        (left, bottom), (right, top) = here[finite].min(0), here[finite].max(0)
        hint = "is its coordinate system the right one?"
        if crs.is_geographic and (np.abs(here[finite]) <= (90, 180)).all():
            hint = "are latitude and longitude swapped?"
        raise ValueError(
            f"{name}: expected coordinates of {crs.name}, found x {left:.7g} to {right:.7g}, "
            f"y {bottom:.7g} to {top:.7g}, {'degrees' if degrees else 'no place on Earth'}: {hint}"
        )
    lost, first = np.unique(owner[~good], return_index=True)
    texts = [f"x {x:.7g}, y {y:.7g}" for x, y in here[~good][first]]
    strays = dict(zip(lost.tolist(), texts, strict=True))
    whole = np.setdiff1d(np.flatnonzero(~shapely.is_missing(lonlat)), lost)
    lonlat[whole] = antimeridian.unwrap(lonlat[whole])
    around = whole[shapely.is_missing(lonlat[whole])]
    return lonlat, strays | dict.fromkeys(around.tolist(), "a ring around the Earth or a pole")


def _turn(crs: pyproj.CRS) -> float:
    """What a turn round the Earth adds to x, in the unit of the CRS; 0.0: x is no longitude."""
    if crs.is_geographic:
        return 2 * np.pi / crs.axis_info[0].unit_conversion_factor
    method = crs.coordinate_operation.method_name if crs.coordinate_operation else ""
    if not re.search(r"^(Mercator|Popular Visuali[sz]ation|Equidistant Cylindrical)", method):
        return 0.0
    # In these x is proportional to the longitude.
    middle = polygons.project([shapely.Point(0, 0)], crs, WORLD)[0].x
    east = polygons.project([shapely.Point(middle + 1, 0)], WORLD, crs)[0].x
    return 360.0 * float(east)


def _within(geometry: np.ndarray, turn: float, most: float) -> np.ndarray:
    """Geometries whose x lies within half a turn, moved by a turn if it is no more than `most`."""
    x = shapely.get_coordinates(geometry)[:, 0]
    if not turn or not (np.abs(x) > turn / 2).any():
        return geometry

    def move(xy: np.ndarray) -> np.ndarray:
        beyond = (np.abs(xy[:, 0]) > turn / 2) & (np.abs(xy[:, 0]) <= most)
        return np.stack(
            [np.where(beyond, xy[:, 0] - turn * np.sign(xy[:, 0]), xy[:, 0]), xy[:, 1]], 1
        )

    moved: np.ndarray = shapely.transform(geometry, move)
    return moved
