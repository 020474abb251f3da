"""Speckle: how many looks a radar image has, and how far its noise reaches.

The equivalent number of looks (ENL) of a homogeneous area is mean^2 / variance of linear power.
Pixels of 10 m are finer than what Sentinel-1 resolves, so speckle is correlated between neighbours
and a 10 m image with white speckle looks wrong however well its ENL fits: hence both numbers.

Source: Oliver and Quegan (2004), Understanding Synthetic Aperture Radar Images, chapter 4.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

LAGS = (1, 2, 3)
"""Pixels. Sentinel-1's resolution of about 20 m reaches two pixels."""
MIN_PIXELS = 25
WINDOW = 7
"""Pixels: 0.5 ha, smaller than most fields and large enough for a variance."""


@dataclasses.dataclass(frozen=True)
class Speckle:
    """Speckle of one band.

    Args:
      enl: equivalent number of looks, 1 / median of variance / mean^2 over fields and dates.
      enl_low, enl_high: quartiles of ENL over fields and dates.
      along_x, along_y: correlation, at each of LAGS, of pixels in a row and in a column, of
        intensity relative to the field's mean on that date.
      fields: number of fields.
      cv2: float [samples], variance / mean^2 of each field on each date.
    """

    enl: float
    enl_low: float
    enl_high: float
    along_x: tuple[float, ...]
    along_y: tuple[float, ...]
    fields: int
    cv2: np.ndarray = dataclasses.field(repr=False, compare=False)

    @property
    def lag1(self) -> float:
        """Correlation of neighbouring pixels, mean of both directions."""
        return (self.along_x[0] + self.along_y[0]) / 2

    def to_json(self) -> dict:
        """Its numbers, rounded, without the samples."""
        out = {
            name: round(float(getattr(self, name)), 2) for name in ("enl", "enl_low", "enl_high")
        }
        for name in ("along_x", "along_y"):
            out[name] = [round(float(value), 3) for value in getattr(self, name)]
        out["lag1"] = round(float(self.lag1), 3)
        return out | {"fields": self.fields, "samples": len(self.cv2)}


def speckle_statistics(power: np.ndarray, fields: np.ndarray, min_pixels=MIN_PIXELS) -> Speckle:
    """Speckle of one band within fields.

    Each field on each date is one sample. Taking out the mean of n correlated pixels lowers the
    correlation and raises ENL, by a share of the order of 10 / n, and texture within fields lowers
    ENL: compare only with another image under the same kind of fields, such as
    `homogeneous_windows`.

    Args:
      power: float [T, H, W], linear power of one band, NaN missing.
      fields: int [H, W], field id, 0 none. Edges of fields should be left out of it.
      min_pixels: fields with fewer valid pixels on a date are left out.

    Raises:
      ValueError: shapes that do not agree, power that is not positive (dB?), or no field that is
        large enough.
    """
    if power.ndim != 3 or power.shape[1:] != fields.shape:
        raise ValueError(
            f"power: expected [T, {', '.join(map(str, fields.shape))}], found {list(power.shape)}"
        )
    if (lowest := np.nanmin(power, initial=np.inf)) <= 0:
        raise ValueError(f"power: expected linear power above 0, found {lowest:.4g} (in dB?)")
    inside = fields != 0
    found, compact = np.unique(fields[inside], return_inverse=True)
    ids = np.full(fields.shape, -1)
    ids[inside] = compact
    cv2, used, sums = [np.zeros(0)], set(), np.zeros((2, 2, len(LAGS)))
    for image in power:
        there = inside & np.isfinite(image)
        mean, variance, number = _moments(image[there], ids[there], len(found))
        good = number >= min_pixels
        cv2.append(variance[good] / mean[good] ** 2)
        used.update(np.flatnonzero(good))
        own = np.where(there, ids, 0)
        chosen = there & good[own]
        relative = np.where(chosen, image / np.where(chosen, mean[own], 1) - 1, 0)
        sums += _pair_sums(relative, np.where(chosen, ids, -1))
    cv2 = np.concatenate(cv2)
    if not len(cv2):
        raise ValueError(f"fields: expected one of {min_pixels} pixels or more, found none")
    with np.errstate(divide="ignore", invalid="ignore"):
        high, middle, low = 1 / np.quantile(cv2, (0.25, 0.5, 0.75))
        along_x, along_y = sums[0] / sums[1]
    return Speckle(middle, low, high, tuple(along_x), tuple(along_y), len(used), cv2)


def _moments(values: np.ndarray, ids: np.ndarray, count: int):
    """(mean, unbiased variance, number) per id; NaN where there are too few values."""
    values = values.astype(np.float64)
    number = np.bincount(ids, minlength=count)
    mean, variance = np.full((2, count), np.nan)
    np.divide(np.bincount(ids, values, count), number, out=mean, where=number > 0)
    squares = np.bincount(ids, (values - mean[ids]) ** 2, count)
    np.divide(squares, number - 1, out=variance, where=number > 1)
    return mean, variance, number


def _pair_sums(relative: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """float [2, 2, lags]: sums over pairs within one field of products and of mean squares, along
    x and along y."""
    sums = np.zeros((2, 2, len(LAGS)))
    for k, (numbers, values) in enumerate(((ids, relative), (ids.T, relative.T))):
        for i, lag in enumerate(LAGS):
            pair = (numbers[:, lag:] == numbers[:, :-lag]) & (numbers[:, lag:] >= 0)
            a, b = values[:, lag:][pair], values[:, :-lag][pair]
            sums[:, k, i] = (a * b).sum(), ((a**2 + b**2) / 2).sum()
    return sums


def windows(shape: tuple[int, int], size: int = WINDOW) -> np.ndarray:
    """int32 [H, W]: ids from 1 of size x size windows side by side, 0 in what is left over."""
    rows, cols = shape[0] // size, shape[1] // size
    ids = np.zeros(shape, np.int32)
    numbers = np.arange(1, rows * cols + 1, dtype=np.int32).reshape(rows, cols)
    ids[: rows * size, : cols * size] = np.kron(numbers, np.ones((size, size), np.int32))
    return ids


def homogeneous_windows(power: np.ndarray, size: int = WINDOW, share: float = 0.25) -> np.ndarray:
    """The windows whose mean over time varies least in space: fields without knowing the fields.

    Averaging over time takes speckle out and leaves boundaries, trees and buildings, so the choice
    hardly depends on the speckle of any one date.

    Args:
      power: float [T, H, W], linear power, NaN missing. Dates without any value are skipped;
        windows with a gap on another date are left out.
      size: pixels.
      share: share of the windows to keep, in (0, 1].

    Returns:
      int32 [H, W]: window ids, 0 elsewhere.

    Raises:
      ValueError: a share outside (0, 1], or an image without a whole window.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: expected a share in (0, 1], found {share}")
    ids = windows(power.shape[1:], size)
    mean = power[np.isfinite(power).any((1, 2))].mean(0, dtype=np.float64)
    middle, variance, _ = _moments(mean.ravel(), ids.ravel(), int(ids.max()) + 1)
    valid = np.isfinite(variance) & (np.arange(len(middle)) > 0)
    if not valid.any():
        raise ValueError(
            f"power: expected a window of {size} x {size} pixels without gaps, found none in "
            f"{list(power.shape)}"
        )
    spread = np.where(valid, variance, np.inf) / np.where(valid, middle, 1) ** 2
    keep = np.argsort(spread)[: max(1, round(share * valid.sum()))]
    return np.where(np.isin(ids, keep), ids, 0)


def pooled_speckle(images: Sequence[np.ndarray], size: int = WINDOW) -> Speckle:
    """Speckle of one band within the homogeneous windows of several images.

    Args:
      images: float [T, H, W] each, linear power, NaN missing; they may differ in shape.
      size: pixels of a window; whole windows only.

    Raises:
      ValueError: no images, or as `homogeneous_windows` and `speckle_statistics`.
    """
    if not images:
        raise ValueError("images: expected at least one, found none")
    t, h = (max(image.shape[axis] for image in images) for axis in (0, 1))
    wholes, ids, last = [], [], 0
    for image in images:
        own = homogeneous_windows(image, size)
        whole = np.full((t, h, image.shape[2]), np.nan)
        whole[: len(image), : image.shape[1]] = image
        wholes.append(whole)
        ids.append(np.zeros((h, image.shape[2]), np.int64))
        ids[-1][: image.shape[1]] = np.where(own > 0, own + last, 0)
        last += int(own.max())
    return speckle_statistics(np.concatenate(wholes, 2), np.concatenate(ids, 1), size * size)
