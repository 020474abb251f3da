"""Numbers that come again and again: fill, or a limit that values were clipped to.

Any number can stand for "no data", and one inside the plausible range is told from a measurement
only by how often it comes. It is reported, not taken away: a lake may be as flat as a fill value.
"""

import collections
from collections.abc import Sequence

import numpy as np

_SAMPLE = 40_000
"""Values of a date and band that are looked at; of more, evenly spaced ones."""
_LEAST = 20
_SHARE = 0.01
_ABOVE = 10
"""How many times as often as its neighbours among the numbers found a number has to come."""
_FEW = 10


def count(values: np.ndarray) -> tuple[collections.Counter, collections.Counter]:
    """Counts numbers that come much more often than those next to them.

    Args:
      values: float [T, h, w, B], NaN where missing.

    Returns:
      {(date, band, number): how many of the sample}, and {(date, band): size of the sample}.
    """
    spikes: collections.Counter = collections.Counter()
    totals: collections.Counter = collections.Counter()
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
        beside = np.stack([around[k : k + len(often)] for k in (0, 1, 3, 4)]).max(0)
        odd = (often >= max(_LEAST, _SHARE * own.size)) & (often >= _ABOVE * beside)
        spikes.update({(t, b, float(numbers[i])): int(often[i]) for i in np.flatnonzero(odd)})
    if varied:  # else it may be an input of constants throughout
        spikes.update({key: totals[key[:2]] for key in constant})
    return spikes, totals


def describe(
    spikes: collections.Counter,
    totals: collections.Counter,
    bands: Sequence[str],
    dates: Sequence,
) -> str:
    """One sentence on the number that comes most often, "" where none does.

    Args:
      spikes, totals: of `count`, summed over windows.
      bands: names by their number.
      dates: by their number.
    """
    summed: collections.Counter = collections.Counter()
    for (_, _, number), often in spikes.items():
        summed[number] += often
    lines = []
    for number, _ in summed.most_common(3):
        places = [key for key in spikes if key[2] == number]
        share = {key: spikes[key] / totals[key[:2]] for key in places}
        t, b, _ = max(places, key=share.get)
        more = f" (so in {len(places)} of {len(totals)} dates and bands)" if len(places) > 1 else ""
        lines.append(f"{share[t, b, number]:.1%} of {bands[b]} at {dates[t]} are {number:g}{more}")
    if not lines:
        return ""
    return (
        f"the same number again and again: {'; '.join(lines)}; if that is fill and no measurement, "
        f"declare it as missing in the file (no-data value, NaN)"
    )
