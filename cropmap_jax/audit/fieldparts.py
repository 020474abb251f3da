"""Whether two fields that touch are parts of one: what their images say."""

from collections.abc import Callable

import numpy as np
import scipy.ndimage

from cropmap_jax.audit import meeting
from cropmap_jax.audit.material import Material

_REACH = 4
"""Pixels from the line along which two fields touch that are compared."""
_LEAST = 6
"""Pixels of a field that have to be there."""


def comparison(material: Material) -> Callable[[int, int, int, int], float | None]:
    """How far apart the images of two fields are, (cube, cube, field, field)."""

    def alike(i: int, j: int, f: int, g: int) -> float | None:
        near_i, near_j = meeting.contact(material, i, j, f, g)
        one, other = _series(material, i, f, near_i), _series(material, j, g, near_j)
        return apart(one, other, material, i, j)

    return alike


def apart(
    one: list[np.ndarray], other: list[np.ndarray], material: Material, i: int, j: int
) -> float | None:
    """Root mean square of the differences of means, in standard deviations of a pixel.

    Args:
      one, other: per sensor float [pixels, T, bands], NaN missing.
      material, i, j: the two cubes, whose periods are compared where they are the same.
    """
    _, own, theirs = np.intersect1d(
        material.places[i].periods[:, 0], material.places[j].periods[:, 0], return_indices=True
    )
    squares: list[np.ndarray] = []
    for a, b in zip(one, other, strict=True):
        a, b = a[:, own].reshape(len(a), -1), b[:, theirs].reshape(len(b), -1)
        enough = (np.isfinite(a).sum(0) >= _LEAST) & (np.isfinite(b).sum(0) >= _LEAST)
        a, b = a[:, enough], b[:, enough]
        variance = (np.nanvar(a, 0) + np.nanvar(b, 0)) / 2
        squares.append((np.nanmean(a, 0) - np.nanmean(b, 0)) ** 2 / np.maximum(variance, 1e-12))
    found = np.concatenate(squares) if squares else np.zeros(0)
    return float(np.sqrt(found.mean())) if len(found) else None


def _series(material: Material, cube: int, field: int, near: np.ndarray) -> list[np.ndarray]:
    """Per sensor float [pixels, T, bands] of a field's pixels near some places.

    Args:
      material: what is audited.
      cube: number of the cube.
      field: id.
      near: int [N, 2], rows and columns.
    """
    _, fields = material.labels(cube)
    mask = np.ones(fields.shape, bool)
    mask[near[:, 0], near[:, 1]] = False
    mask = (scipy.ndimage.distance_transform_edt(mask) <= _REACH) & (fields == field)
    found: list[list[np.ndarray]] = [[] for _ in material.sensors]
    keys = [one for one in material.keys if one[1] == cube]
    size = material.size
    keys = [one for one in keys if mask[one[2] : one[2] + size, one[3] : one[3] + size].any()]
    for patch in material.patches(keys):
        here = np.zeros(patch.new.shape, bool)
        part = mask[patch.row : patch.row + size, patch.col : patch.col + size]
        here[: part.shape[0], : part.shape[1]] = part
        here &= patch.new
        for sensor, own in zip(material.sensors, found, strict=True):
            values = sensor.decode(patch.pixels[sensor.name][:, here])
            own.append(np.moveaxis(values, 1, 0))
    return [np.concatenate(own) if own else np.zeros((0, 0, 0)) for own in found]
