"""Fill values: numbers that stand for "no data" though nobody declared them.

They are looked for among the numbers as they are stored, before any scale and offset: once -9999
has become a reflectance of -0.9999, or 0 one of -0.1, little distinguishes it from a value.
"""

import collections

import numpy as np

PLAUSIBLE = {"s1": (-60.0, 30.0), "s2": (-0.2, 1.6)}
"""dB and reflectance of ground, cloud and shadow, widely taken; beyond is no measurement.

Noise of Sentinel-1 lies near -30 dB and corner reflectors below +30 dB; Level-2A goes little below
0 over dark ground and to about 1.6 over cloud.
"""
HUGE = 1e9
"""Larger than any stored measurement; the fills of GDAL (3.4e38), netCDF (9.97e36), CF (1e20) and
of 32-bit integers are all larger."""
_SENTINELS = (
    *(-9999, -99999, -999999, -999, -99, 9999, 99999, 999999),
    *(-32768, -32767, 32767, 65535, -128, -127, 255),
    # -9999 and -32768 cast to unsigned, and 0 less 1000 in unsigned numbers
    *(55537, 32768, 64536),
)
_BOA_OFFSET = 1000
"""Taken off stored numbers since processing baseline 04.00 (BOA_ADD_OFFSET)."""
_BOA_ZERO = -0.1
"""Reflectance of a stored 0 once that offset is off; the smallest number with data is 1."""
_HUNDREDTHS = {"s1": (100.0,), "s2": (10000.0,)}
"""Scales that data stored as floats had before: dB * 100 and reflectance * 10000."""


def find(
    stored: np.ndarray,
    missing: np.ndarray,
    decoded: np.ndarray,
    sensor: str,
    zero_is_fill: np.ndarray | bool = False,
    has_offset: bool = False,
) -> tuple[np.ndarray, collections.Counter]:
    """Finds fill values.

    A number counts as one where it is a usual fill value and its reflectance or dB could not be
    measured; where it is the extreme of its integer type; where it is 0 (or -1) in every band of
    the input; and where 0 cannot be measured.

    Args:
      stored: numbers of any dtype [T, h, w, B], the bands of the input.
      missing: bool, same shape: NaN, or declared as missing.
      decoded: the same as dB or reflectance, same shape, NaN where it is neither.
      sensor: "s1" or "s2".
      zero_is_fill: bool, or one that broadcasts to `stored`: whether 0 in one band is one.
      has_offset: whether `decoded` has an offset from `stored`; without one, a reflectance of -0.1
        is the 0 of a product whose offset was taken off before.

    Returns:
      Which values are fill, bool [T, h, w, B], and how many of each, by name.
    """
    counts: collections.Counter = collections.Counter()
    out = np.zeros(stored.shape, bool)

    def take(mask: np.ndarray, name: str | None) -> None:
        mask = mask & ~missing & ~out
        if mask.any():
            if name is None:
                values, found = np.unique(stored[mask], return_counts=True)
                counts.update({f"{v:g}": int(n) for v, n in zip(values, found, strict=True)})
            else:
                counts[name] += int(mask.sum())
            out[mask] = True

    take(_extreme(stored), None)
    low, high = PLAUSIBLE[sensor]
    with np.errstate(invalid="ignore"):
        odd = ~((decoded >= low) & (decoded <= high)) & ~missing & ~out
    if odd.any():
        where = np.zeros(stored.shape, bool)
        where[odd] = _is_sentinel(stored[odd], sensor)
        take(where, None)
    zero = stored == 0
    take(zero & zero_is_fill, "0")
    absent = missing | out
    take(np.broadcast_to((zero | absent).all(-1, keepdims=True), zero.shape), "0 in all bands")
    if stored.shape[-1] > 1 and stored.dtype.kind != "u":
        same = ((stored == -1) | absent).all(-1, keepdims=True)
        take(np.broadcast_to(same, zero.shape), "-1 in all bands")
    if sensor == "s2" and not has_offset:
        with np.errstate(invalid="ignore"):
            take(np.abs(decoded - _BOA_ZERO) < 1e-6, None)
    return out, counts


def _extreme(stored: np.ndarray) -> np.ndarray:
    """Numbers that no measurement is stored as, whatever their scale."""
    kind = stored.dtype.kind
    if kind == "f":
        # float16 holds nothing so large: there the limit becomes infinite, which is right too.
        with np.errstate(invalid="ignore", over="ignore"):
            return np.isfinite(stored) & (np.abs(stored) >= HUGE)
    out = np.zeros(stored.shape, bool)
    limits = np.iinfo(stored.dtype)
    values = {limits.max, 65535} if kind == "u" else {limits.min, -32768}
    for value in values:
        if limits.min <= value <= limits.max:
            out |= stored == value
    if stored.dtype.itemsize > 2:
        out |= stored >= HUGE
        if kind == "i":
            out |= stored <= -HUGE
    return out


def _is_sentinel(values: np.ndarray, sensor: str) -> np.ndarray:
    usual = np.array(_SENTINELS, np.float64)
    if sensor == "s2":
        usual = np.concatenate([usual, usual - _BOA_OFFSET])
    if values.dtype.kind in "iu":
        return np.isin(values.astype(np.float64), usual)
    usual = np.concatenate([usual, *(usual / scale for scale in _HUNDREDTHS[sensor])])
    # Of half precision the sentinel is rounded as the value was; else six figures decide.
    tolerance = 1e-6 if values.dtype.itemsize > 2 else 1e-3
    exact = np.unique(usual)
    at = np.clip(np.searchsorted(exact, values.astype(np.float64)), 1, len(exact) - 1)
    near = [np.abs(values - exact[i]) <= tolerance * np.abs(exact[i]) for i in (at - 1, at)]
    return near[0] | near[1]
