"""Composites: observations or shorter periods turned into longer periods.

An observation belongs to the target period that holds its *last* day, so that no composite ever
draws on a day after its own end (else the as-of rule would leak).
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np

from cropmap_jax.geo.periods import Period, to_days
from cropmap_jax.geo.sensors import Sensor


def db_to_linear(db: np.ndarray) -> np.ndarray:
    """Backscatter in dB to linear power, 10^(dB / 10); float, the same shape."""
    return np.asarray(np.power(10.0, db / 10.0))


def linear_to_db(power: np.ndarray) -> np.ndarray:
    """Linear power to dB; zero and negative power (border noise) become NaN; the same shape."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(power > 0, 10.0 * np.log10(power), np.nan)


def assign(periods: Sequence[Period], targets: Sequence[Period]) -> np.ndarray:
    """Index of the target period that holds the last day of each source period, else -1.

    Args:
      periods: T source periods.
      targets: half-open periods, oldest first; they may leave gaps.

    Returns:
      int [T].
    """
    last_day = to_days(periods)[:, 1] - 1
    spans = to_days(targets)
    index = np.searchsorted(spans[:, 0], last_day, side="right") - 1
    inside = (index >= 0) & (last_day < spans[np.maximum(index, 0), 1])
    return np.where(inside, index, -1)


def composite(
    values: np.ndarray, periods: Sequence[Period], targets: Sequence[Period], sensor: Sensor
) -> tuple[np.ndarray, np.ndarray]:
    """Composites one sensor's observations into target periods, over the values that are there.

    Args:
      values: float [T, H, W, B] in the sensor's unit, NaN where missing.
      periods: T source periods; they may overlap and leave gaps.
      targets: P target periods, oldest first.
      sensor: its `compositing` decides how: "mean_power" averages dB as linear power (speckle is
        multiplicative: a mean of dB is biased low), "mean" averages the values as they are, and
        "median" is robust to missed clouds.

    Returns:
      float32 [P, H, W, B], NaN where no observation has a value, and uint16 [P, H, W]: the number
      of observations with at least one valid band.

    Raises:
      ValueError: lengths that do not agree.
    """
    if len(values) != len(periods):
        raise ValueError(f"{sensor.name}: {len(values)} observations but {len(periods)} periods")
    reduce = _REDUCTIONS[sensor.compositing]
    out = np.full((len(targets), *values.shape[1:]), np.nan, np.float32)
    counts = np.zeros((len(targets), *values.shape[1:3]), np.uint16)
    index = assign(periods, targets)
    for target in np.unique(index[index >= 0]):
        chosen = values[index == target]
        counts[target] = np.isfinite(chosen).any(-1).sum(0)
        with warnings.catch_warnings():
            # All-missing pixels are expected and stay NaN.
            warnings.filterwarnings("ignore", "(Mean of empty|All-NaN)", RuntimeWarning)
            out[target] = reduce(chosen)
    return out, counts


def mean(values: np.ndarray) -> np.ndarray:
    """The mean over the first axis of what is there, float32; NaN where nothing is.

    Summed in float64: the order of observations does not matter to what is stored.

    Args:
      values: float [n, ...], NaN where missing.
    """
    there = np.isfinite(values)
    count = there.sum(0)
    total = np.where(there, values, 0).sum(0, dtype=np.float64)
    found: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return found.astype(np.float32)


def _mean_power(db: np.ndarray) -> np.ndarray:
    return linear_to_db(np.nanmean(db_to_linear(db), axis=0))


def _mean(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.nanmean(values, axis=0))


def _median(values: np.ndarray) -> np.ndarray:
    """`np.nanmedian(values, axis=0)`, faster over few observations of many pixels."""
    # NaN sorts last, so the valid values of a pixel come first.
    ordered = np.sort(values, axis=0)
    count = np.isfinite(values).sum(0)
    below, above = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(values) - 1)
    pair = [np.take_along_axis(ordered, i[None], 0)[0] for i in (below, above)]
    return np.where(count > 0, (pair[0] + pair[1]) / 2, np.nan)


_REDUCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean_power": _mean_power,
    "mean": _mean,
    "median": _median,
}
"""float [n, H, W, B] to [H, W, B], by `Sensor.compositing`."""
