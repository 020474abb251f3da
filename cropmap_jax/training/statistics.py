"""Mean and standard deviation of a network's inputs over its training pixels.

They are taken once, before training, from pixels and dates as training draws them, and stored in
the recipe: fine-tuning inherits them, evaluation and prediction use them as they are.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cropmap_jax.data import checks
from cropmap_jax.data.examples import Pixels
from cropmap_jax.geo import indices
from cropmap_jax.geo.sensors import Sensor

LEAST_STD = 1e-6
"""In the unit of the values: a band that does not vary is not blown up."""
PIXELS = 20_000
"""That are drawn: means are then known to a hundredth of a deviation."""
DIGITS = 6
"""That are stored: more would be noise of the draw."""


def compute(
    pixels: Pixels, sensors: tuple[Sensor, ...], found: tuple[indices.Index, ...]
) -> dict[str, Any]:
    """Statistics of drawn pixels, in float64.

    Args:
      pixels: by sensor, [N, T, H, W, bands] as stored.
      sensors: whose.
      found: indices, which follow the bands of their sensor.

    Returns:
      {sensor: (mean, std)}, each T tuples of bands + indices numbers, None where no pixel has a
      value.
    """
    out: dict[str, Any] = {}
    for sensor in sensors:
        values = sensor.decode(pixels[sensor.name]).astype(np.float64)
        values = indices.compute(values, sensor, found)
        mean, std, count = _moments(values, (0, 2, 3))
        whole = _moments(values, (0, 1, 2, 3))
        # A period that no draw has seen: as the others are.
        mean, std = (np.where(count, a, b) for a, b in zip((mean, std), whole[:2], strict=True))
        there = np.broadcast_to(whole[2] > 0, count.shape)
        out[sensor.name] = tuple(
            tuple(tuple(_stored(v, n) for v, n in zip(*row, strict=True)) for row in rows)
            for rows in (zip(mean, there, strict=True), zip(std, there, strict=True))
        )
    return out


def _moments(values: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Mean, standard deviation and number of the values that are there."""
    there = np.isfinite(values)
    count = there.sum(axes)
    mean = np.where(there, values, 0.0).sum(axes) / np.maximum(count, 1)
    off = np.where(there, values - np.expand_dims(mean, axes), 0.0)
    std = np.sqrt(np.square(off).sum(axes) / np.maximum(count, 1))
    return mean, np.maximum(std, LEAST_STD), count


def _stored(value: float, there: bool) -> float | None:
    return float(f"{value:.{DIGITS}g}") if there else None


def missing(found: Mapping[str, Any], sensors: tuple[Sensor, ...]) -> dict[str, list[str]]:
    """Bands by sensor without any statistics: no training pixel has a value of them."""
    out = {}
    for sensor in sensors:
        means = found[sensor.name][0]
        bands = [b for i, b in enumerate(sensor.bands) if all(row[i] is None for row in means)]
        if bands:
            out[sensor.name] = bands
    return out


def arrays(found: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The same as float64 arrays [T, bands + indices], NaN in place of None."""
    return {
        name: (np.array(mean, np.float64), np.array(std, np.float64))
        for name, (mean, std) in found.items()
    }


def check(value: Any, periods: int, bands: Mapping[str, int], where: str) -> dict[str, Any]:
    """Requires statistics as `compute` returns them, and returns them as tuples.

    Args:
      value: of anybody's checkpoint.
      periods: of the window.
      bands: number of bands and indices by sensor.
      where: what to name in an error, before ".statistics".

    Raises:
      ValueError: says what is wrong.
    """
    where = f"{where}.statistics"
    checks.keys(where, value, list(bands))
    out = {}
    for sensor, count in bands.items():
        at = f"{where}.{sensor}"
        checks.values(at, value[sensor], 2)
        for rows in value[sensor]:
            checks.values(at, rows, periods)
            for row in rows:
                checks.values(at, row, count)
                for number in row:
                    if number is not None:
                        checks.real(at, number, -1e9, 1e9)
        mean, std = value[sensor]
        pairs = [(m, s) for a, b in zip(mean, std, strict=True) for m, s in zip(a, b, strict=True)]
        if any((m is None) != (s is None) or (s is not None and s <= 0) for m, s in pairs):
            raise ValueError(f"{at}: expected a positive deviation next to each mean, found others")
        out[sensor] = tuple(tuple(tuple(row) for row in rows) for rows in value[sensor])
    if all(m is None for mean, _ in out.values() for row in mean for m in row):
        raise ValueError(f"{where}: expected a value of some band, found none at all")
    return out
