"""Smoothing of probabilities over a window of pixels that look alike, and an engine that does it.

A *joint bilateral filter*: each pixel's probabilities become the weighted mean of those in a window
around it. A neighbour counts less the farther away it is, and less the more its NDVI differs over
the periods that both were seen in; from `EDGE` on it does not count at all. So a pixel that was
taken for something else inside a field follows its field, and nothing crosses the edge to a field
that greened in another month. All classes are weighted alike: their sum stays what it was.

Sources: Petschnigg et al. 2004, ACM Transactions on Graphics 23, 664-672 (the filter, guided by
another image than the one that is filtered); Durand and Dorsey 2002, ACM Transactions on Graphics
21, 257-266 (with Tukey's biweight, which is 0 beyond an edge).
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import scipy.ndimage

from cropmap_jax.geo import indices
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference.engine import Engine, Request, View
from cropmap_jax.inference.pixels import Pixels
from cropmap_jax.inference.tiling import Box, bounds

GUIDE = "ndvi"
EDGE = 0.1
"""Root mean square difference of NDVI over the periods from which a neighbour counts nothing.

A few times the noise of NDVI inside a field, and less than what separates most neighbours."""
NEAR = 0.3
"""Standard deviation of the weight over distance, as a share of the window's side."""
LARGEST = 31
"""Largest side of a window in pixels: of a larger one hardly a field is left."""


@dataclasses.dataclass(frozen=True)
class Smoothing:
    """How probabilities are smoothed.

    Args:
      window: side of the window in pixels, odd, 3 to `LARGEST`.
    """

    window: int

    @property
    def radius(self) -> int:
        """Pixels that the window reaches beyond its own."""
        return self.window // 2


def find(window: int, sensors: Sequence[Sensor], flag: str = "--smooth") -> Smoothing | None:
    """Settings of a window's side; None for 0, which does not smooth.

    Args:
      window: side in pixels.
      sensors: whose pixels the predictor takes.
      flag: what to name in an error.

    Raises:
      ValueError: another side, or sensors without the bands of `GUIDE`.
    """
    if window == 0:
        return None
    if not 3 <= window <= LARGEST or window % 2 == 0:
        raise ValueError(
            f"{flag}: expected the side of a window in pixels, an odd number from 3 to {LARGEST}, "
            f"or 0 for none, found {window}"
        )
    indices.find((GUIDE,), sensors, flag)
    return Smoothing(window)


def radius(smoothing: Smoothing | None) -> int:
    """Pixels beyond a piece of ground that decide on it, too."""
    return smoothing.radius if smoothing else 0


def guide(pixels: Pixels, sensors: Sequence[Sensor]) -> np.ndarray:
    """The image whose edges are not crossed.

    Args:
      pixels: [T, H, W, C] by sensor, as stored.
      sensors: of the predictor, with the bands of `GUIDE`.

    Returns:
      float32 [T, H, W], NDVI, NaN where it is missing.
    """
    index = indices.INDICES[GUIDE]
    sensor = next(one for one in sensors if one.name == index.sensor)
    values = pixels[sensor.name]
    bands = [sensor.decode(values[..., sensor.bands.index(band)]) for band in index.bands]
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = index.formula(*bands)
    found[~np.isfinite(found)] = np.nan
    return found


def smooth(probability: np.ndarray, image: np.ndarray, smoothing: Smoothing) -> np.ndarray:
    """Smooths probabilities.

        p'(x) = sum_y w(x, y) p(y) / sum_y w(x, y)
        w(x, y) = exp(-|x - y|^2 / 2 (NEAR window)^2) max(0, 1 - d(x, y)^2 / EDGE^2)^2

    d is the root mean square difference of the image over the periods in which both pixels have a
    value; without any, w is 0, except w(x, x) = 1. What a pixel becomes depends on its window
    alone, to the last bit: arithmetic is pixel by pixel, in one order.

    Args:
      probability: float32 [H, W, classes], NaN where nothing was seen.
      image: float32 [T, H, W], NaN where missing.
      smoothing: over which window.

    Returns:
      float32 [H, W, classes], NaN where nothing was seen.
    """
    values = np.array(np.moveaxis(probability, -1, 0), np.float32, order="C")
    seen = ~np.isnan(values).any(0)
    values[:, ~seen] = 0
    there = np.isfinite(image) & seen
    image = np.where(there, image, np.float32(0))
    total = np.array(values)
    weight = np.array(seen, np.float32)
    for near, here, other in _pairs(seen.shape, smoothing):
        w = _alike(image, there, here, other, near)
        total[(slice(None), *here)] += w * values[(slice(None), *other)]
        total[(slice(None), *other)] += w * values[(slice(None), *here)]
        weight[here] += w
        weight[other] += w
    out = np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)
    # Rounding only: a mean lies between what it is of.
    return np.moveaxis(np.clip(out, 0, 1), 0, -1)


_Slices = tuple[slice, slice]


def _pairs(
    shape: tuple[int, ...], smoothing: Smoothing
) -> Iterator[tuple[np.float32, _Slices, _Slices]]:
    """Weight by distance, and rows and columns of all pairs of pixels so far apart, each once."""
    reach, height, width = smoothing.radius, *shape
    for down in range(min(reach, height - 1) + 1):
        for right in range(-min(reach, width - 1), min(reach, width - 1) + 1):
            if down == 0 and right <= 0:
                continue
            far = (down**2 + right**2) / (2 * (NEAR * smoothing.window) ** 2)
            left = max(-right, 0), width - max(right, 0)
            here = slice(0, height - down), slice(*left)
            other = slice(down, height), slice(left[0] + right, left[1] + right)
            yield np.float32(math.exp(-far)), here, other


def _alike(
    image: np.ndarray, there: np.ndarray, here: _Slices, other: _Slices, near: np.float32
) -> np.ndarray:
    """Weight of pairs of pixels, float32 [h, w], that of their distance being `near`."""
    square = np.zeros(image[0][here].shape, np.float32)
    count = np.zeros(square.shape, np.float32)
    # Period by period: a sum over an axis may add in an order that depends on the shape.
    for values, known in zip(image, there, strict=True):
        both = known[here] & known[other]
        square += np.where(both, np.square(values[here] - values[other]), np.float32(0))
        count += both
    limit = np.float32(EDGE**2) * count
    ratio = np.divide(square, limit, out=np.ones_like(square), where=count > 0)
    alike: np.ndarray = near * np.square(np.maximum(np.float32(1) - ratio, np.float32(0)))
    return alike


class Running(Protocol):
    """What scores and maps ask of an `Engine`."""

    def expect(self, request: Request) -> None:
        """See `Engine.expect`."""

    def probability(self, request: Request) -> np.ndarray:
        """See `Engine.probability`; called before `pixels`."""

    def pixels(self, request: Request) -> Pixels:
        """See `Engine.pixels`."""


def over(engine: Engine, smoothing: Smoothing | None, sensors: Sequence[Sensor]) -> Running:
    """An engine whose probabilities are smoothed; the engine itself where nothing is to be."""
    return SmoothedEngine(engine, smoothing, sensors) if smoothing else engine


class SmoothedEngine:
    """Asks an engine for a little more ground than is requested, and smooths it.

    Args:
      engine: whose probabilities are smoothed.
      smoothing: over which window.
      sensors: of its predictor.
    """

    def __init__(self, engine: Engine, smoothing: Smoothing, sensors: Sequence[Sensor]):
        self._engine, self._smoothing, self._sensors = engine, smoothing, sensors
        self._read: dict[tuple[View, Box], Pixels] = {}

    def expect(self, request: Request) -> None:
        """See `Engine.expect`."""
        self._engine.expect(grow(request, self._smoothing.radius))

    def probability(self, request: Request) -> np.ndarray:
        """See `Engine.probability`."""
        grown = grow(request, self._smoothing.radius)
        probability = self._engine.probability(grown)
        pixels = self._engine.pixels(grown)
        inside = request.box.inside(grown.box)
        self._read[request.view, request.box] = {
            name: one[:, *inside] for name, one in pixels.items()
        }
        image = guide(pixels, self._sensors)
        out = np.array(smooth(probability, image, self._smoothing)[inside])
        out[~request.mask()] = np.nan
        return out

    def pixels(self, request: Request) -> Pixels:
        """See `Engine.pixels`."""
        return self._read.pop((request.view, request.box))


def grow(request: Request, by: int) -> Request:
    """The request of all that lies within so many pixels of what is wanted, in the group's box.

    Args:
      request: a piece of ground.
      by: pixels.
    """
    whole = bounds(request.view.mosaic_group.tiling.boxes)
    box = request.box.grow(by).common(whole) or request.box
    if request.wanted is None:
        return Request(request.view, box)
    wanted = np.zeros(box.shape, bool)
    wanted[request.box.inside(box)] = request.mask()
    near = scipy.ndimage.maximum_filter(wanted, 2 * by + 1, mode="constant")
    return Request(request.view, Box(*box), np.packbits(near))
