"""Whether values can be a sensor's: not their median alone, their tails and dates too."""

import collections
import dataclasses
import datetime as dt
from collections.abc import Sequence

import numpy as np

from cropmap_jax.sources.ingest import consistency, repeated, satellites
from cropmap_jax.sources.ingest.bands import Bands
from cropmap_jax.sources.ingest.satellites import Product, Units

_LOST_SHARE = 0.01
"""Share of values that a cube cannot hold which is no glint any more but another scale."""


@dataclasses.dataclass
class Findings:
    """What was found in one sensor's pixels; those of two windows add up.

    Args:
      total: values that were looked at, of the bands that the input has.
      fills: how many values are fill, by name of the fill.
      odd: how many values are odd, by what is odd about them.
      levels: int64 [T, B, bins], a histogram of values per date and band; None where the product
        compares none.
      loud: int64 [T, 2], values above 0 dB and all values, per date; None where that is usual.
      spikes, samples: numbers that come again and again, see `repeated.count`.
    """

    total: int = 0
    fills: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    odd: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    levels: np.ndarray | None = None
    loud: np.ndarray | None = None
    spikes: repeated.Spikes = dataclasses.field(default_factory=collections.Counter)
    samples: repeated.Samples = dataclasses.field(default_factory=collections.Counter)

    def add(self, other: "Findings") -> None:
        """Adds what was found in another window of the same sensor."""
        self.total += other.total
        for name in ("fills", "odd", "spikes", "samples"):
            getattr(self, name).update(getattr(other, name))
        for name in ("levels", "loud"):
            mine, more = getattr(self, name), getattr(other, name)
            if more is not None:
                setattr(self, name, more if mine is None else mine + more)


def check_wrapped(
    stored: np.ndarray, decoded: np.ndarray, there: np.ndarray, product: Product, where: str
) -> None:
    """Refuses numbers from which 1000 was subtracted in an unsigned type: 999 became 65535.

    Args:
      stored: numbers as they are stored.
      decoded: the same as reflectance.
      there: where they are not declared as missing.

    Raises:
      ValueError: such numbers; names how many, and a way out.
    """
    tops = [65535]
    if stored.dtype.kind == "u" and stored.dtype.itemsize > 2:
        tops.append(int(np.iinfo(stored.dtype).max))
    bright = np.flatnonzero((decoded > product.fill.plausible[1]) & there)
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
                f"{numbers[bad].max():.9g}, which numbers below 1000 become when 1000 is "
                f"subtracted from them in an unsigned type; expected the numbers as delivered with "
                f"--s2_offset -1000, or the difference in a signed type"
            )


def check_range(
    values: np.ndarray, product: Product, where: str, units: Units, found: Findings
) -> None:
    """Checks values as they are to be stored, and counts what is odd about them.

    Args:
      values: float32 [T, h, w, B], NaN where missing; what a cube cannot hold becomes NaN.
      product: whose values they are.
      where: to name in errors.
      units: the flags.
      found: counts and levels are added to it.

    Raises:
      ValueError: values that contradict the flags.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return
    typical = float(np.median(finite[:: max(1, finite.size // 100_000)]))
    product.check(finite, typical, where, units)
    _count_tails(values, finite, product, f"{where}: {product.flag(units)}", found)
    if product.edges is None:  # plain values may be as flat or as odd as they like
        return
    found.levels = consistency.count(values, product.edges)
    found.spikes, found.samples = repeated.count(values)
    found.loud = product.count_loud(values, units)


def _count_tails(
    values: np.ndarray, finite: np.ndarray, product: Product, where: str, found: Findings
) -> None:
    sensor, unit = product.sensor, product.quantity
    least, most = sensor.decode(sensor.encode(np.array([-1e28, 1e28], np.float32)))
    reach = f"{most:g}" if least == -most else f"{least:g} to {most:g}"
    # What rounds to the least or largest number is held: noise around 0 in an unsigned type.
    step = np.float32(0.5 / sensor.scale)
    held = (finite >= least - step) & (finite <= most + step)
    lost = int(finite.size - held.sum())
    if lost > _LOST_SHARE * finite.size:
        raise ValueError(
            f"{where}found {lost} of {finite.size} values beyond what a cube can hold "
            f"({reach} {unit}), up to {finite[~held][np.abs(finite[~held]).argmax()]:g}; expected "
            f"one scale for all dates and bands, and NaN or a declared nodata value where missing"
        )
    if lost:
        found.odd[f"beyond {reach} {unit}, missing"] += lost
        with np.errstate(invalid="ignore"):
            values[(values < least - step) | (values > most + step)] = np.nan
    low, high = product.fill.plausible
    for name, limit, mask in (("below", low, finite < low), ("above", high, finite > high)):
        found.odd[f"{name} {limit:g} {unit}{product.outside}, kept"] += int((mask & held).sum())


# What the user should know ------------------------------------------------------------------------


def notes(found: Findings, bands: Bands) -> list[str]:
    """Lines about fill values, odd values and a step between dates.

    Args:
      found: in all windows of `bands`.
      bands: what was read.
    """
    product, where = satellites.product(bands.sensor), bands.where
    dates = [period.start for period in bands.periods]
    out = []
    if found.fills:
        count = sum(found.fills.values())
        out.append(
            f"{product.label}: {count} of {found.total} values ({count / found.total:.2%}) are "
            f"undeclared fill values, and missing in the cubes: {describe(found.fills)}"
        )
    bright = f"above {product.fill.plausible[1]:g} "
    for what, count in found.odd.items():
        if count > (product.bright * found.total if what.startswith(bright) else 0):
            out.append(f"{where}: {count} of {found.total} values {what}")
    if found.loud is not None and (text := describe_loud(found.loud, dates)):
        out.append(f"{where}: {text}; is it --s1_unit linear?")
    again = repeated.describe(found.spikes, found.samples, bands.sensor.bands, dates)
    out += [f"{where}: {again}"] if again else []
    if found.levels is not None:
        out += [f"{where}: {text}" for text in product.notes(found.levels, dates)]
    return out


def describe_loud(loud: np.ndarray, dates: Sequence[dt.date]) -> str:
    """On which dates backscatter can hardly be dB; "" where it can.

    Args:
      loud: int64 [T, 2], values above 0 dB and all values, see `Product.count_loud`.
      dates: first day of each.
    """
    found = loud[:, 0] > 0.95 * loud[:, 1]
    if not np.any(found):
        return ""
    first = dates[int(np.argmax(found))]
    which = "" if np.all(found) else f" of {int(np.sum(found))} dates ({first} first)"
    return f"almost all values{which} lie above 0 dB, which only towns do"


def describe(counts: collections.Counter[str]) -> str:
    """The commonest fill values and how many there are of each."""
    common = counts.most_common(6)
    more = len(counts) - len(common)
    text = ", ".join(f"{name} ({count})" for name, count in common)
    return text + (f" and {more} more" if more else "")
