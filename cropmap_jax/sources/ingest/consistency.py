"""How dates and bands compare with each other: other scales, kept offsets, swapped bands."""

import datetime as dt
from collections.abc import Sequence

import numpy as np

BACKSCATTER = np.linspace(-60.0, 30.0, 901)
"""Edges of a histogram of dB."""
REFLECTANCE = np.linspace(-0.5, 1.0, 751)
"""Edges of a histogram of reflectance."""
_SAMPLE = 40_000
_DIM = 0.01
_OFFSET = 0.1
"""Reflectance by which processing baseline 04.00 lifts Level-2A, until it is subtracted."""
_CROSS = -10.0
"""dB of VH that land seldom reaches: forest lies near -13, towns near -10."""


def count(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """A histogram of every date and band.

    Args:
      values: float [T, h, w, B], NaN where missing; of many, a sample counts.
      edges: of the bins, float [bins + 1], e.g. BACKSCATTER or REFLECTANCE.

    Returns:
      int64 [T, B, bins].
    """
    flat = values.reshape(len(values), -1, values.shape[-1])
    flat = flat[:, :: max(1, flat.shape[1] // _SAMPLE)]
    out = np.zeros((len(flat), flat.shape[-1], len(edges) - 1), np.int64)
    for t, b in np.ndindex(out.shape[:2]):
        there = flat[t, :, b]
        out[t, b] = np.histogram(there[np.isfinite(there)], edges)[0]
    return out


def notes_on_backscatter(levels: np.ndarray, dates: Sequence[dt.date]) -> list[str]:
    """VV against VH in dB: the crossed polarisation is the weaker one over land."""
    middle = quantile(levels, 0.5, BACKSCATTER)
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


def notes_on_reflectance(levels: np.ndarray, dates: Sequence[dt.date]) -> list[str]:
    """Dates in another scale, and offsets: kept, subtracted twice, or changing between dates."""
    out = []
    middle = quantile(levels, 0.5, REFLECTANCE)
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
                f"--s2_offset -1000 subtracts it"
            )
        lows = np.nanmin(np.where(np.isfinite(dark), dark, np.inf), 1)
        if np.median(lows[np.isfinite(lows)]) < -0.3 * _OFFSET:
            out.append(
                f"a fiftieth of some band is darker than {np.median(lows[np.isfinite(lows)]):.2f} "
                f"on most dates, which no ground is: was an offset subtracted twice (--s2_offset)?"
            )
    return out + _notes_on_steps(levels, dates)


def _notes_on_steps(levels: np.ndarray, dates: Sequence[dt.date]) -> list[str]:
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
        f"key of an .npz) gives it per date: -1000 for those, 0 for the others"
    ]


def find_step(levels: np.ndarray) -> tuple[int, float] | None:
    """The date from which on all bands are brighter, or darker, by about 0.1.

    The darkest fiftieth of each date and band is compared, before and after: crops, snow, soil
    and cloud change some bands, or all of them in proportion; only an offset lifts water and
    shadow in every band alike.

    Args:
      levels: int [T, B, bins], see `count`.

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
      levels: int [T, B, bins], see `count`.
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
    return quantile(levels, 0.02, REFLECTANCE)


def quantile(levels: np.ndarray, share: float, edges: np.ndarray) -> np.ndarray:
    """float [T, B], a quantile of each date and band; NaN of fewer than 100 values."""
    total = levels.sum(-1)
    at = (levels.cumsum(-1) >= np.maximum(share * total, 1)[..., None]).argmax(-1)
    return np.where(total >= 100, edges[at], np.nan)
