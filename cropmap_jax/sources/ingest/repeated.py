"""Numbers that come again and again: fill, or a limit that values were clipped to.

Any number can stand for "no data", and one inside the plausible range differs from a measurement
only in how often it comes. It is reported, not removed: a lake may be as flat as a fill value.
"""

import collections
import datetime as dt
from collections.abc import Sequence

import numpy as np

Spikes = collections.Counter[tuple[int, int, float]]
"""How many of a sample are a number, by date, band and number."""
Samples = collections.Counter[tuple[int, int]]
"""Size of the sample, by date and band."""
_SAMPLE = 40_000
"""Values of a date and band that are looked at; of more, evenly spaced ones."""
_LEAST = 20
_SHARE = 0.01
_ABOVE = 10
"""How many times as often as its neighbours among the numbers found a number has to come."""
_FEW = 10


def count(values: np.ndarray) -> tuple[Spikes, Samples]:
    """Counts numbers that come much more often than those next to them.

    Args:
      values: float [T, h, w, B], NaN where missing.

    Returns:
      {(date, band, number): how many of the sample}, and {(date, band): size of the sample}.
    """
    spikes: Spikes = collections.Counter()
    totals: Samples = collections.Counter()
    flat = values.reshape(len(values), -1, values.shape[-1])
    flat = flat[:, :: max(1, flat.shape[1] // _SAMPLE)]
    constant, varied = [], False
    for t, b in np.ndindex(flat.shape[0], flat.shape[2]):
        own = flat[t, :, b]
        own = own[np.isfinite(own)]
        if own.size < 2 * _LEAST:
            continue
        totals[t, b] = own.size
        numbers, often = np.unique(own, return_counts=True)
        varied |= len(numbers) > _FEW
        if len(numbers) == 1:
            constant.append((t, b, float(numbers[0])))
        if len(numbers) <= _FEW:
            continue
        around = np.concatenate([[0, 0], often, [0, 0]])
        near = np.stack([around[k : k + len(often)] for k in (0, 1, 3, 4)]).max(0)
        odd = (often >= max(_LEAST, _SHARE * own.size)) & (often >= _ABOVE * near)
        spikes.update({(t, b, float(numbers[i])): int(often[i]) for i in np.flatnonzero(odd)})
    if varied:  # else it may be an input of constants throughout
        spikes.update({key: totals[key[:2]] for key in constant})
    return spikes, totals


def describe(
    spikes: Spikes, totals: Samples, bands: Sequence[str], dates: Sequence[dt.date]
) -> str:
    """One sentence on the number that comes most often, "" where none does.

    Args:
      spikes, totals: of `count`, summed over windows.
      bands: names by their number.
      dates: by their number.
    """
    summed: collections.Counter[float] = collections.Counter()
    for (_, _, number), often in spikes.items():
        summed[number] += often
    lines = []
    for number, _ in summed.most_common(3):
        places = [key for key in spikes if key[2] == number]
        share = {key: spikes[key] / totals[key[0], key[1]] for key in places}
        t, b, _ = max(places, key=share.__getitem__)
        more = f" (so in {len(places)} of {len(totals)} dates and bands)" if len(places) > 1 else ""
        lines.append(f"{share[t, b, number]:.1%} of {bands[b]} at {dates[t]} are {number:g}{more}")
    if not lines:
        return ""
    return (
        f"the same number again and again: {'; '.join(lines)}; if that is fill and no measurement, "
        f"declare it as missing in the file (no-data value, NaN)"
    )
