"""Parcels of an image: which pixels are purely theirs, and their means."""

from collections.abc import Mapping

import numpy as np
from scipy import ndimage


def interior(ids: np.ndarray) -> np.ndarray:
    """bool [H, W]: pixels whose 3 x 3 neighbourhood is one parcel; never at the image's edge.

    A 10 m pixel at a boundary mixes two parcels, and S1's footprint reaches one pixel further.
    """
    low = ndimage.minimum_filter(ids, 3, mode="constant", cval=0)
    return (ids != 0) & (low == ids) & (ndimage.maximum_filter(ids, 3) == ids)


def label_parcels(label: np.ndarray, classes: int) -> tuple[np.ndarray, dict[int, int]]:
    """Connected components of a label: uint32 [H, W] ids from 1 (0: no class), and id -> class."""
    ids, of = np.zeros(label.shape, np.uint32), {}
    for index in range(classes):
        found, count = ndimage.label(label == index)
        ids[found > 0] = found[found > 0] + len(of)
        of |= {len(of) + i + 1: index for i in range(count)}
    return ids, of


def parcel_means(values: Mapping[str, np.ndarray], ids: np.ndarray, min_pixels: int):
    """Means over the interior pixels of each parcel.

    Args:
      values: variable -> float [T, H, W], VV and VH in linear power; NaN missing.
      ids: int [H, W], 0 none.
      min_pixels: parcels with fewer interior pixels are left out.

    Returns:
      variable -> float [T, P], and int [P]: the parcels' ids.
    """
    inside = interior(ids)
    found, position, counts = np.unique(ids[inside], return_inverse=True, return_counts=True)
    out = {}
    for name, array in values.items():
        flat = array[:, inside]
        there = np.isfinite(flat)
        means = np.full((len(flat), len(found)), np.nan)
        for t in range(len(flat)):
            total = np.bincount(position, np.where(there[t], flat[t], 0), len(found))
            number = np.bincount(position, there[t], len(found))
            np.divide(total, number, out=means[t], where=number > 0)
        out[name] = means[:, counts >= min_pixels]
    return out, found[counts >= min_pixels]
