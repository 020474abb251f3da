"""Whether two squares of pixels are images of the same ground: their textures, one over the other.

Squares of fields look alike when they hold the same crops; the pattern of their pixels does not.
The images are reduced to a few components, smoothed (a resampled copy is smoother), and compared
at every shift of a few pixels.
"""

from collections.abc import Sequence

import numpy as np
import scipy.fft
import scipy.ndimage

from cropmap_jax.geo.sensors import Sensor

COMPONENTS = 6
ALIKE, FINE = 0.75, 0.4
"""Correlations of the same ground: of smoothed images, and of what is finer than fields.

48 cubes of two simulated worlds, moved by half a pixel or into the next zone (bilinear): 0.80 and
0.48 or more. Squares of two places, the most alike ones: 0.72, and 0.29 (others than those)."""
SURE = 0.6
"""Of what is finer than fields, where one square has to do."""
_REACH = 8
"""Pixels of shift."""
_SMOOTH, _FIELD = 3, 9
_EDGE = 2.5
"""Standard deviations of what is finer than fields, beyond which a pixel lies at an edge."""


def components(
    pixels: dict[str, np.ndarray],
    sensors: Sequence[Sensor],
    columns: np.ndarray,
    axes: np.ndarray,
    centre: np.ndarray,
    spread: np.ndarray,
) -> np.ndarray:
    """float32 [COMPONENTS, h, w] of a square of pixels, missing values at their mean.

    Args:
      pixels: by sensor, [T, h, w, bands] as stored.
      sensors: in the order of the features.
      columns: int [features of this cube], which features of all they are.
      axes: float [features, COMPONENTS].
      centre, spread: float [features].
    """
    parts = []
    for sensor in sensors:
        stored = pixels[sensor.name]
        low, high = sensor.range
        values = (sensor.decode(stored) - low) / (high - low)
        parts.append(np.moveaxis(values, -1, 1).reshape(-1, *stored.shape[1:3]))
    values = np.concatenate(parts)
    values = (values - centre[columns, None, None]) / spread[columns, None, None]
    found: np.ndarray = np.tensordot(axes[columns, :COMPONENTS].T, np.nan_to_num(values), 1)
    return found.astype(np.float32)


def likeness(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """(of smoothed images, of what is finer than fields) at the shift that suits the first best.

    Args:
      one, other: float [components, h, w] of the same shape.

    Returns:
      Correlations from -1 to 1, means over components.
    """
    smooth = [scipy.ndimage.uniform_filter(a, (0, _SMOOTH, _SMOOTH)) for a in (one, other)]
    coarse = _correlations(smooth[0], smooth[1])
    fine = _correlations(_detail(smooth[0]), _detail(smooth[1]))
    at = np.unravel_index(coarse.argmax(), coarse.shape)
    return float(coarse[at]), float(fine[at])


def _detail(smooth: np.ndarray) -> np.ndarray:
    """What is finer than fields, 0 at edges: many places have a straight one, such as a coast."""
    rest = smooth - scipy.ndimage.uniform_filter(smooth, (0, _FIELD, _FIELD))
    size = 1.4826 * np.median(np.abs(rest), (1, 2), keepdims=True)
    kept: np.ndarray = np.where(np.abs(rest) <= _EDGE * size, rest, 0)
    return kept


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlation of what overlaps at every shift, [shifts, shifts], the mean over components."""
    height, width = one.shape[1:]
    shape = scipy.fft.next_fast_len(2 * height), scipy.fft.next_fast_len(2 * width)
    ones = np.ones_like(one[:1])

    def sums(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        spectrum = scipy.fft.rfft2(a, shape) * np.conj(scipy.fft.rfft2(b, shape))
        whole = scipy.fft.irfft2(spectrum, shape)
        reach = min(_REACH, height // 2, width // 2)
        shifts = np.arange(-reach, reach + 1)
        near: np.ndarray = whole[:, shifts[:, None], shifts]
        return near

    count = np.maximum(sums(ones, ones), 1)
    total, total2 = sums(one, ones), sums(ones, other)
    both = sums(one, other) - total * total2 / count
    square = sums(one * one, ones) - total**2 / count
    square2 = sums(ones, other * other) - total2**2 / count
    scale = np.sqrt(np.maximum(square, 0) * np.maximum(square2, 0))
    flat = scale <= 1e-6 * count
    found: np.ndarray = np.where(flat, 0, both / np.where(flat, 1, scale)).mean(0)
    return found
