"""Whether values can be dB or reflectance: not their median alone, their tails and dates too."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from cropmap_jax.geo import cube
from cropmap_jax.geo.periods import Period
from cropmap_jax.sources.fills import PLAUSIBLE

_LARGEST = {sensor: 32767 / scale for sensor, scale in cube.SCALES.items()}
_LOWEST = {"s1": -100.0, "s2": -0.5}
_WHAT = {"s1": "dB", "s2": "reflectance"}
_BRIGHT_SHARE = 1e-3
"""Share of values above 1.6 that is worth a note: cloud and glint come to less."""
_LOST_SHARE = 0.01
"""Share of values that a cube cannot hold which is no glint any more but another scale."""
_BINS = np.linspace(-0.5, 1.0, 751)
_SAMPLE = 40_000


@dataclasses.dataclass
class Findings:
    """What was found in one sensor's pixels; those of two windows add up.

    Args:
      total: values that were looked at, of the bands that the input has.
      fills: how many values are fill, by name of the fill.
      odd: how many values are odd, by what is odd about them.
      levels: int64 [T, B, bins], a histogram of reflectance per date and band; None for S1.
      loud: int64 [T, 2], values of S1 above 0 dB and of all, per date; None for S2.
    """

    total: int = 0
    fills: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    odd: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    levels: np.ndarray | None = None
    loud: np.ndarray | None = None

    def add(self, other: "Findings") -> None:
        """Adds what was found in another window of the same sensor."""
        self.total += other.total
        self.fills.update(other.fills)
        self.odd.update(other.odd)
        for name in ("levels", "loud"):
            mine, more = getattr(self, name), getattr(other, name)
            if more is not None:
                setattr(self, name, more if mine is None else mine + more)


def check_power(values: np.ndarray, unit: str, where: str) -> None:
    """Requires positive numbers of linear power and amplitude.

    Raises:
      ValueError: most are negative, as dB are.
    """
    if unit == "db":
        return
    negative = int(((values < 0) & (values > -100)).sum())
    if negative > np.isfinite(values).sum() / 2:
        raise ValueError(
            f"{where}: --s1_unit {unit}: expected positive values, found {negative} negative ones; "
            f"dB is --s1_unit db"
        )


def check_wrapped(
    stored: np.ndarray, decoded: np.ndarray, there: np.ndarray, sensor: str, where: str
) -> None:
    """Refuses S2 from which 1000 was taken off in unsigned numbers: 999 became 65535 - 0.

    Args:
      stored: numbers as they are stored.
      decoded: the same as reflectance.
      there: where they are not declared as missing.

    Raises:
      ValueError: such numbers; says how many, and the way out.
    """
    if sensor != "s2":
        return
    tops = [65535]
    if stored.dtype.kind == "u" and stored.dtype.itemsize > 2:
        tops.append(int(np.iinfo(stored.dtype).max))
    bright = np.flatnonzero((decoded > PLAUSIBLE["s2"][1]) & there)
    numbers = stored.ravel()[bright]
    tried = [numbers]
    if stored.dtype.kind == "f":  # perhaps divided since
        tried.append(np.rint(decoded.ravel()[bright].astype(np.float64) * 1e4))
    for top in tops:
        # The top itself and 0 less 1000 are fill values, see `fills`.
        bad = np.zeros(numbers.shape, bool)
        for values in tried:
            bad |= (values > top - 999) & (values < top)
        if bad.any():
            raise ValueError(
                f"{where}: found {int(bad.sum())} numbers of {numbers[bad].min():.9g} to "
                f"{numbers[bad].max():.9g}, which numbers below 1000 become when 1000 is taken off "
                f"them in an unsigned type; expected the numbers as delivered with --s2_offset "
                f"-1000, or the difference in a signed type"
            )


def check_range(values: np.ndarray, sensor: str, where: str, unit: str, found: Findings) -> None:
    """Checks values as they are to be stored, and counts what is odd about them.

    Args:
      values: float32 [T, h, w, B], NaN where missing; what a cube cannot hold becomes NaN.
      sensor: "s1" or "s2".
      where: to name in errors.
      unit: --s1_unit.
      found: counts and levels are added to it.

    Raises:
      ValueError: values that cannot be what the flags say.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return
    flag = f"--s1_unit {unit}" if sensor == "s1" else "--s2_scale"
    what, lowest = _WHAT[sensor], finite.min()
    typical = np.median(finite[:: max(1, finite.size // 100_000)])
    if lowest < _LOWEST[sensor] and (sensor == "s2" or unit == "db"):
        count = int((finite < _LOWEST[sensor]).sum())
        raise ValueError(
            f"{where}: found {what} {lowest:g} ({count} of {finite.size} values below "
            f"{_LOWEST[sensor]:g}); expected {_LOWEST[sensor]:g} or more, and NaN or a declared "
            f"nodata value where missing"
        )
    low, high = (-60.0, 30.0) if sensor == "s1" else (-1.0, _LARGEST["s2"])
    if not low <= typical <= high:
        hint = "is it linear, dn or db?" if sensor == "s1" else "integers are often times 10000"
        raise ValueError(
            f"{where}: {flag}: found a median of {typical:g} {what}, expected {low:g} to "
            f"{high:g}; {hint}"
        )
    _count_tails(values, finite, sensor, where, flag, found)
    if sensor == "s2":
        found.levels = _levels(values)
    elif unit == "db":
        there = np.isfinite(values).sum((1, 2, 3))
        with np.errstate(invalid="ignore"):
            found.loud = np.stack([(values > 0).sum((1, 2, 3)), there], -1)


def _count_tails(values, finite, sensor: str, where: str, flag: str, found: Findings) -> None:
    largest = np.float32(_LARGEST[sensor])
    lost = int((np.abs(finite) > largest).sum())
    if lost > _LOST_SHARE * finite.size:
        raise ValueError(
            f"{where}: {flag}: found {lost} of {finite.size} values beyond what a cube can hold "
            f"({largest:g} {_WHAT[sensor]}), up to {finite.max():g}; expected one scale for all "
            f"dates and bands, and NaN or a declared nodata value where missing"
        )
    if lost:
        found.odd[f"beyond {largest:g} {_WHAT[sensor]}, missing"] += lost
        with np.errstate(invalid="ignore"):
            values[np.abs(values) > largest] = np.nan
    low, high = PLAUSIBLE[sensor]
    for name, mask in (("below", finite < low), ("above", (finite > high) & (finite <= largest))):
        limit = low if name == "below" else high
        found.odd[f"{name} {limit:g} {_WHAT[sensor]}, kept"] += int(mask.sum())


def _levels(values: np.ndarray) -> np.ndarray:
    flat = values.reshape(len(values), -1, values.shape[-1])
    flat = flat[:, :: max(1, flat.shape[1] // _SAMPLE)]
    out = np.zeros((len(flat), flat.shape[-1], len(_BINS) - 1), np.int64)
    for t, b in np.ndindex(out.shape[:2]):
        there = flat[t, :, b]
        out[t, b] = np.histogram(there[np.isfinite(there)], _BINS)[0]
    return out


# What the user should know ------------------------------------------------------------------------


def notes(found: Findings, sensor: str, where: str, spans: Sequence[Period]) -> list[str]:
    """Lines about fill values, odd values and a step between dates."""
    out = []
    name = sensor.upper()
    if found.fills:
        count = sum(found.fills.values())
        out.append(
            f"{name}: {count} of {found.total} values ({count / found.total:.2%}) are undeclared "
            f"fill values, and missing in the cubes: {describe(found.fills)}"
        )
    for what, count in found.odd.items():
        often = count > _BRIGHT_SHARE * found.total or not what.startswith("above 1.6")
        if count and often:
            out.append(f"{where}: {count} of {found.total} values {what}")
    loud = () if found.loud is None else found.loud[:, 0] > 0.95 * found.loud[:, 1]
    if np.any(loud):
        first = spans[int(np.argmax(loud))].start
        which = "" if np.all(loud) else f" of {int(np.sum(loud))} dates ({first} first)"
        out.append(
            f"{where}: almost all values{which} lie above 0 dB, which only towns do; is it "
            f"--s1_unit linear?"
        )
    step = find_step(found.levels) if found.levels is not None else None
    if step:
        date, size = spans[step[0]].start, step[1]
        out.append(
            f"{where}: from {date} on every band of S2 is {abs(size):.2f} "
            f"{'brighter' if size > 0 else 'darker'} than before, the darkest pixels too, as where "
            f"products of processing baseline 04.00 (25 January 2022) meet older ones and keep "
            f"their offset; give it per date in a column s2_offset of dates.csv (a key of an "
            f".npz): -1000 for those, 0 for the others"
        )
    return out


def describe(counts: collections.Counter) -> str:
    """The commonest fill values and how many there are of each."""
    common = counts.most_common(6)
    more = len(counts) - len(common)
    text = ", ".join(f"{name} ({count})" for name, count in common)
    return text + (f" and {more} more" if more else "")


def find_step(levels: np.ndarray) -> tuple[int, float] | None:
    """The date from which on all bands are brighter, or darker, by about 0.1.

    The darkest fiftieth of each date and band is compared, before and after: crops, snow, soil
    and cloud change some bands, or all of them in proportion; only an offset lifts water and
    shadow in every band alike.

    Args:
      levels: int [T, B, bins], see `Findings`.

    Returns:
      (index of the first date after the step, its size in reflectance), or None.
    """
    dark = _dark(levels)
    seen = np.isfinite(dark).sum(1) >= 3
    dark = dark[:, np.isfinite(dark[seen]).all(0)]
    dates = np.flatnonzero(seen)
    if dark.shape[1] < 3:
        return None
    best = None
    for k in range(1, len(dates)):
        before, after = dark[dates[:k]], dark[dates[k:]]
        for sign, high, low in ((1, after, before), (-1, before, after)):
            step = high.min(0) - low.min(0)
            darkest = step[np.argsort(low.min(0))[:3]]
            if step.min() < 0.045 or not 0.06 <= darkest.min() <= darkest.max() <= 0.16:
                continue
            apart = high.min(1).min() - low.min(1).max()
            if best is None or apart > best[0]:
                best = (apart, int(dates[k]), sign * float(np.median(darkest)))
    return best[1:] if best else None


def _dark(levels: np.ndarray) -> np.ndarray:
    """float [T, B], the 2nd percentile of each date and band; NaN of fewer than 100 values."""
    total = levels.sum(-1)
    summed = levels.cumsum(-1)
    at = (summed >= np.maximum(0.02 * total, 1)[..., None]).argmax(-1)
    return np.where(total >= 100, _BINS[at], np.nan)
