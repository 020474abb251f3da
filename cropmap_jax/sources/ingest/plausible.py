"""Whether values can be dB or reflectance: not their median alone, their tails and dates too."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from cropmap_jax.geo import cube
from cropmap_jax.geo.periods import Period
from cropmap_jax.sources.ingest import levels, repeated
from cropmap_jax.sources.ingest.fills import PLAUSIBLE

_LARGEST = {sensor: 32767 / scale for sensor, scale in cube.SCALES.items()}
_LOWEST = {"s1": -100.0, "s2": -0.5}
_WHAT = {"s1": "dB", "s2": "reflectance"}
_BRIGHT_SHARE = 1e-3
"""Share of values above 1.6 that is worth a note: cloud and glint come to less."""
_LOST_SHARE = 0.01
"""Share of values that a cube cannot hold which is no glint any more but another scale."""

_NOTHING = 0.005
"""Reflectance that some pixel of any ground exceeds in some band: water in blue has 0.02."""


@dataclasses.dataclass
class Findings:
    """What was found in one sensor's pixels; those of two windows add up.

    Args:
      total: values that were looked at, of the bands that the input has.
      fills: how many values are fill, by name of the fill.
      odd: how many values are odd, by what is odd about them.
      levels: int64 [T, B, bins], a histogram of reflectance or dB per date and band.
      loud: int64 [T, 2], values of S1 above 0 dB and of all, per date; None for S2.
      spikes, samples: numbers that come again and again, see `repeated.count`.
    """

    total: int = 0
    fills: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    odd: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    levels: np.ndarray | None = None
    loud: np.ndarray | None = None
    spikes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    samples: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def add(self, other: "Findings") -> None:
        """Adds what was found in another window of the same sensor."""
        self.total += other.total
        for name in ("fills", "odd", "spikes", "samples"):
            getattr(self, name).update(getattr(other, name))
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
    if stored.dtype.kind == "f":
        numbers = numbers.astype(np.float64)
    tried = [numbers]
    if stored.dtype.kind == "f":  # perhaps divided since
        tried.append(np.rint(decoded.ravel()[bright].astype(np.float64) * 1e4))
    for top in tops:
        # The top itself and 0 less 1000 are fill values, see `fills`.
        bad = np.zeros(numbers.shape, bool)
        for values in tried:
            # In another scale (percent) they are some among many, and others lie beyond the top.
            beyond = int(((values > top) & (values < 100 * top)).sum())
            wrapped = (values > top - 999) & (values < top)
            if beyond < wrapped.sum():
                bad |= wrapped
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
        hundredths = bool(sensor == "s1" and typical < _LOWEST["s1"])
        raise ValueError(
            f"{where}: found {what} {lowest:g} ({count} of {finite.size} values below "
            f"{_LOWEST[sensor]:g}); expected {_LOWEST[sensor]:g} or more, and NaN or a declared "
            f"nodata value where missing"
            + ("; hundredths of a dB need a scale in the file, or to be divided" * hundredths)
        )
    if sensor == "s2" and finite.size >= 100 and np.abs(finite).max() < _NOTHING:
        raise ValueError(
            f"{where}: {flag}: found no reflectance beyond {np.abs(finite).max():g}, expected some "
            f"above {_NOTHING:g}; are the values scaled twice, or reflectance already "
            f"(--s2_scale 1)?"
        )
    low, high = (-60.0, 30.0) if sensor == "s1" else (-1.0, _LARGEST["s2"])
    if not low <= typical <= high:
        hint = "is it linear, dn or db?" if sensor == "s1" else "integers are often times 10000"
        raise ValueError(
            f"{where}: {flag}: found a median of {typical:g} {what}, expected {low:g} to "
            f"{high:g}; {hint}"
        )
    _count_tails(values, finite, sensor, where, flag, found)
    found.levels = levels.count(values, sensor)
    found.spikes, found.samples = repeated.count(values)
    if sensor == "s1" and unit == "db":
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
    said = repeated.describe(
        found.spikes, found.samples, cube.BANDS[sensor], [span.start for span in spans]
    )
    out += [f"{where}: {said}"] if said else []
    if found.levels is not None:
        of = levels.notes_on_s1 if sensor == "s1" else levels.notes_on_s2
        out += [f"{where}: {text}" for text in of(found.levels, [span.start for span in spans])]
    return out


def describe(counts: collections.Counter) -> str:
    """The commonest fill values and how many there are of each."""
    common = counts.most_common(6)
    more = len(counts) - len(common)
    text = ", ".join(f"{name} ({count})" for name, count in common)
    return text + (f" and {more} more" if more else "")
