"""Whether values can be dB or reflectance: not their median alone, their tails and dates too."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from cropmap_jax.geo import cube
from cropmap_jax.geo.periods import Period
from cropmap_jax.sources import repeated
from cropmap_jax.sources.fills import PLAUSIBLE

_LARGEST = {sensor: 32767 / scale for sensor, scale in cube.SCALES.items()}
_LOWEST = {"s1": -100.0, "s2": -0.5}
_WHAT = {"s1": "dB", "s2": "reflectance"}
_BRIGHT_SHARE = 1e-3
"""Share of values above 1.6 that is worth a note: cloud and glint come to less."""
_LOST_SHARE = 0.01
"""Share of values that a cube cannot hold which is no glint any more but another scale."""
_BINS = {"s1": np.linspace(-60.0, 30.0, 901), "s2": np.linspace(-0.5, 1.0, 751)}
_SAMPLE = 40_000
_NOTHING = 0.005
"""Reflectance that some pixel of any ground exceeds in some band: water in blue has 0.02."""
_DIM = 0.01
_OFFSET = 0.1
"""Reflectance that Level-2A is lifted by since processing baseline 04.00, until it is taken off."""
_CROSS = -10.0
"""dB of VH that land seldom reaches: forest lies near -13, towns near -10."""


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
    """Demands positive numbers of linear power and amplitude.

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
    found.levels = _levels(values, sensor)
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


def _levels(values: np.ndarray, sensor: str = "s2") -> np.ndarray:
    bins = _BINS[sensor]
    flat = values.reshape(len(values), -1, values.shape[-1])
    flat = flat[:, :: max(1, flat.shape[1] // _SAMPLE)]
    out = np.zeros((len(flat), flat.shape[-1], len(bins) - 1), np.int64)
    for t, b in np.ndindex(out.shape[:2]):
        there = flat[t, :, b]
        out[t, b] = np.histogram(there[np.isfinite(there)], bins)[0]
    return out


# What the user should know ------------------------------------------------------------------------


def notes(found: Findings, sensor: str, where: str, spans: Sequence[Period]) -> list[str]:
    """Lines about fill values, odd values and a step between dates."""
    out = []
    name = sensor.upper()
    if found.fills:
        count = sum(found.fills.values())
        out.append(
            f"{name}: {count} of {found.total} values ({count / found.total:.2%}) are fill that "
            f"nobody declared, and missing in the cubes: {describe(found.fills)}"
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
        of = _notes_on_s1 if sensor == "s1" else _notes_on_s2
        out += [f"{where}: {text}" for text in of(found.levels, [span.start for span in spans])]
    return out


def _notes_on_s1(levels: np.ndarray, dates: Sequence) -> list[str]:
    """What polarisations say of each other: the crossed one is the weaker one over land."""
    middle = quantile(levels, 0.5, _BINS["s1"])
    vv, vh = (np.nanmedian(m) if np.isfinite(m).any() else np.nan for m in middle.T)
    if vh > vv + 0.5:
        return [
            f"VH is stronger than VV (medians {vh:.1f} and {vv:.1f} dB), which no land is: are "
            f"the two swapped?"
        ]
    if _CROSS < vh < 0:
        return [
            f"VH has a median of {vh:.1f} dB, where most land has less than {_CROSS:g}: is it "
            f"amplitude, taken for power?"
        ]
    return []


def _notes_on_s2(levels: np.ndarray, dates: Sequence) -> list[str]:
    out = []
    middle = quantile(levels, 0.5, _BINS["s2"])
    seen = np.isfinite(middle).any(1)
    dim = seen & (np.where(np.isfinite(middle), middle, -np.inf).max(1) < _DIM)
    if dim.any():
        which = (
            "all dates" if (dim == seen).all() else f"{int(dim.sum())} of {int(seen.sum())} dates"
        )
        out.append(
            f"almost all reflectance of {which} ({dates[int(dim.argmax())]} first) lies below "
            f"{_DIM:g} in every band, as water does, or numbers in another scale; expected one "
            f"scale for all dates (--s2_scale)"
        )
    dark = _dark(levels)
    if np.isfinite(dark).any():
        lowest = np.nanmin(dark)
        if 0.9 * _OFFSET <= lowest <= 2.5 * _OFFSET:
            out.append(
                f"the darkest fiftieth of every band and date reaches {lowest:.2f}, which happens "
                f"in deserts, or where products of processing baseline 04.00 keep their offset: "
                f"--s2_offset -1000 takes it off"
            )
        lows = np.nanmin(np.where(np.isfinite(dark), dark, np.inf), 1)
        if np.median(lows[np.isfinite(lows)]) < -0.3 * _OFFSET:
            out.append(
                f"a fiftieth of some band is darker than {np.median(lows[np.isfinite(lows)]):.2f} "
                f"on most dates, which no ground is: was an offset taken off twice (--s2_offset)?"
            )
    return out + _notes_on_steps(levels, dates)


def _notes_on_steps(levels: np.ndarray, dates: Sequence) -> list[str]:
    lifted, step = find_lifted(levels), find_step(levels)
    if lifted:
        first, count = dates[lifted[0]], len(lifted)
        which = f"at {first}" + (f" and {count - 1} more dates" if count > 1 else "")
        what = f"{which} every band of S2 is {_OFFSET:.2f} brighter than at the others"
    elif step:
        way = "brighter" if step[1] > 0 else "darker"
        what = f"from {dates[step[0]]} on every band of S2 is {abs(step[1]):.2f} {way} than before"
    else:
        return []
    return [
        f"{what}, the darkest pixels too, as where products of processing baseline 04.00 (25 "
        f"January 2022) meet older ones and keep their offset; a column s2_offset of dates.csv (a "
        f"key of an .npz) says it per date: -1000 for those, 0 for the others"
    ]


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
            if step.min() < 0.045 or not 0.06 <= darkest.min() <= darkest.max() <= 0.24:
                continue
            apart = high.min(1).min() - low.min(1).max()
            if best is None or apart > best[0]:
                best = (apart, int(dates[k]), sign * float(np.median(darkest)))
    return best[1:] if best else None


def find_lifted(levels: np.ndarray) -> list[int]:
    """Dates here and there at which all bands alike are brighter by 0.1 than at the others.

    Those that come all before or all after the others are left to `find_step`.

    Args:
      levels: int [T, B, bins], see `Findings`.
    """
    dark = _dark(levels)
    seen = np.flatnonzero(np.isfinite(dark).sum(1) >= 3)
    dark = dark[:, np.isfinite(dark[seen]).all(0)]
    if dark.shape[1] < 3 or len(seen) < 3:
        return []
    order = seen[np.argsort(np.median(dark[seen], 1))]
    for k in range(1, len(order)):
        low, high = dark[order[:k]], dark[order[k:]]
        step = np.median(high, 0) - np.median(low, 0)
        apart = (high.min(0) - low.max(0)).min() >= 0.045
        alike = 0.6 * _OFFSET <= step.min() and step.max() <= 1.4 * _OFFSET
        lifted = sorted(order[k:].tolist())
        ends = lifted in (seen[: len(lifted)].tolist(), seen[-len(lifted) :].tolist())
        if apart and alike and not ends:
            return lifted
    return []


def _dark(levels: np.ndarray) -> np.ndarray:
    """float [T, B], the 2nd percentile of each date and band; NaN of fewer than 100 values."""
    return quantile(levels, 0.02, _BINS["s2"])


def quantile(levels: np.ndarray, share: float, bins: np.ndarray) -> np.ndarray:
    """float [T, B], a quantile of each date and band; NaN of fewer than 100 values."""
    total = levels.sum(-1)
    at = (levels.cumsum(-1) >= np.maximum(share * total, 1)[..., None]).argmax(-1)
    return np.where(total >= 100, bins[at], np.nan)
