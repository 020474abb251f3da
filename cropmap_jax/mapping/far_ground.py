"""How far the ground of a map lies from where the model was trained."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyproj
import pyproj.exceptions
import scipy.spatial

from cropmap_jax.geo import cube, grid
from cropmap_jax.training.checkpoints import Restored

FAR_KM = 300.0
"""Distance from the nearest ground trained on beyond which there is a note.

A convention, not a measurement: crop calendars and varieties change over some hundred kilometres.
By Hopkins' rule what grows is four days later per degree of latitude, 11 days over 300 km to the
north: a third of a monthly period. Heights and climates may differ as much within a few kilometres.

Source: A. D. Hopkins, The Bioclimatic Law as Applied to Entomological Research and Farm Practise,
The Scientific Monthly 8 (1919).
"""

_WGS84 = pyproj.Geod(ellps="WGS84")
_Grid = tuple[str, Sequence[float], Sequence[int]]
"""CRS, the six numbers of an affine, height and width in pixels."""


def kilometres(infos: Sequence[cube.CubeInfo], restored: Restored) -> np.ndarray | None:
    """Distance of each cube's centre from the centre of the nearest cube trained on.

    Where a run began from another one, its own training cubes count: they taught it its classes.

    Args:
      infos: the cubes.
      restored: the run.

    Returns:
      float64 [cubes], along the geodesic in km; None if the run does not record where it was
      trained.

    Raises:
      ValueError: it records something else than where its cubes lie.
    """
    try:
        trained = _trained(restored.cubes)
        if not trained:
            return None
        learnt = _lonlat([(one["crs"], one["transform"][:6], one["shape"]) for one in trained])
        if not np.isfinite(learnt).all():
            raise ValueError("a place outside its CRS")
    except (KeyError, TypeError, ValueError, pyproj.exceptions.ProjError) as error:
        raise ValueError(
            f"checkpoint of step {restored.step}: expected split, crs, transform and shape of each "
            f"cube trained on, found something else ({error!r})"
        ) from error
    own = _lonlat([(str(i.geobox.crs), tuple(i.geobox.affine)[:6], i.shape) for i in infos])
    # Which is nearest is the same on a sphere, but for a third of a percent.
    nearest = learnt[scipy.spatial.KDTree(_on_sphere(learnt)).query(_on_sphere(own))[1]]
    _, _, metres = _WGS84.inv(own[:, 0], own[:, 1], nearest[:, 0], nearest[:, 1])
    return np.asarray(metres) / 1000


def _trained(cubes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    learnt = [one for one in cubes if one["split"] == "train"]
    # Of several runs together that share no cube, each cube has a stage.
    return [one for one in learnt if not one.get("stage")] or learnt


def _lonlat(grids: Sequence[_Grid]) -> np.ndarray:
    """Longitude and latitude in degrees of the centres, float64 [N, 2]."""
    out = np.empty((len(grids), 2))
    for crs in {one[0] for one in grids}:
        own = [i for i, one in enumerate(grids) if one[0] == crs]
        a, b, c, d, e, f = np.array([grids[i][1] for i in own], float).T
        row, col = np.array([grids[i][2] for i in own], float).T / 2
        x, y = a * col + b * row + c, d * col + e * row + f
        out[own] = np.stack(grid.to_degrees(crs).transform(x, y), -1)
    return out


def _on_sphere(lonlat: np.ndarray) -> np.ndarray:
    lon, lat = np.radians(lonlat).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)
