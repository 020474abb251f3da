"""Clouds and their shadows over a site: coherent, masked as a real mask does, some of them
missed."""

import dataclasses

import numpy as np
import scipy.fft
from scipy import special

from cropmap_jax.geo.grid import PIXEL_M

MISSED_CLOUD = 0.04
"""Share of cloud that the mask overlooks, in patches; of small ones the masked rim takes some
back."""
MISSED_SHADOW = 0.20
"""Share of shadow that the mask overlooks: shadows are what masks find worst."""
LARGE_SCALE = 0.8
"""Share of the variance of cloud that a site of a few km sees as one."""
EDGE_PX = 3
"""Pixels around a cloud that the mask takes along."""


@dataclasses.dataclass(frozen=True)
class Sky:
    """One pass over a site.

    Args:
      clear: bool [H, W], what the mask lets through.
      veil: float32 [H, W], 0..1, share of the view that overlooked cloud covers.
      light: float32 [H, W], 0..1, share of sunlight left under overlooked shadow.
    """

    clear: np.ndarray
    veil: np.ndarray
    light: np.ndarray


def smooth_noise(shape: tuple[int, int], slope: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise with power falling as wavenumber^-slope, zero mean, unit variance, periodic.

    Args:
      shape: (height, width).
      slope: 0 is white; clouds are near 3 (a fractal of the atmosphere's spectrum).
      rng: generator.

    Returns:
      float32 [height, width].
    """
    height, width = shape
    fy = np.fft.fftfreq(height)[:, None]
    fx = np.fft.rfftfreq(width)[None]
    k = np.hypot(fy, fx)
    k[0, 0] = np.inf
    # What is as small as a pixel is damped a little.
    amplitude = k ** (-slope / 2) * np.exp(-(k**2) / 2)
    spectrum = scipy.fft.rfft2(rng.standard_normal(shape, np.float32)) * amplitude
    field = scipy.fft.irfft2(spectrum.astype(np.complex64), s=shape)
    even: np.ndarray = field / max(float(field.std()), 1e-12)
    return even.astype(np.float32)


def make_sky(shape: tuple[int, int], cover: float, zenith: float, rng: np.random.Generator) -> Sky:
    """Draws the sky of one pass.

    The site sees a part of a cloud field that covers `cover` of a wider scene, so it is often
    wholly clear or wholly covered. Shadows lie where the sun throws them from clouds 0.8 to 4 km
    high.

    Args:
      shape: (height, width) of the site.
      cover: share of the wider scene under cloud.
      zenith: of the sun, radians.
      rng: generator.
    """
    local = smooth_noise(shape, 3.2, rng)
    wide = rng.standard_normal()
    value = np.sqrt(LARGE_SCALE) * wide + np.sqrt(1 - LARGE_SCALE) * local
    threshold = special.ndtri(np.clip(cover, 1e-4, 1 - 1e-4))
    depth = (threshold - value) / np.sqrt(1 - LARGE_SCALE)
    cloud = depth > 0
    every, none = cloud.all(), not cloud.any()
    if every or none:
        return Sky(np.full(shape, none), np.zeros(shape, np.float32), np.ones(shape, np.float32))
    reach = rng.uniform(800, 4000) * np.tan(min(zenith, 1.35)) / PIXEL_M
    # At 10:30 the sun stands in the south-east: shadows fall to the north-west.
    azimuth = np.deg2rad(rng.uniform(145, 165))
    shift = (int(round(np.cos(azimuth) * reach)), int(round(-np.sin(azimuth) * reach)))
    # The noise is periodic, so clouds beyond the edge throw their shadow in.
    shadow = np.roll(cloud, shift, (0, 1)) & ~cloud
    # The mask overlooks whole patches, not the rim of a cloud that it has found.
    blind = smooth_noise(shape, 3.2, rng)
    thin = cloud & (blind < special.ndtri(MISSED_CLOUD))
    dark = shadow & (blind > special.ndtri(1 - MISSED_SHADOW))
    clear = ~(_grow(cloud & ~thin, EDGE_PX) | (shadow & ~dark))
    veil = np.where(thin, 0.1 + 0.4 * np.clip(depth, 0, 1), 0.0)
    light = np.where(dark, 0.45, 1.0)
    return Sky(clear, veil.astype(np.float32), light.astype(np.float32))


def _grow(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Dilates a mask by a square, by shifts: faster than a structuring element of this size."""
    for axis in (0, 1):
        source = mask.copy()
        for step in range(1, pixels + 1):
            ahead = [slice(None)] * 2
            behind = [slice(None)] * 2
            ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
            mask = mask.copy()
            mask[tuple(ahead)] |= source[tuple(behind)]
            mask[tuple(behind)] |= source[tuple(ahead)]
    return mask
