"""Fill values: numbers that stand for "no data" though nobody declared them.

They are looked for among the numbers as they are stored, before any scale and offset: once -9999
has become a reflectance of -0.9999, or 0 one of -0.1, little distinguishes it from a value.
"""

import collections
import dataclasses

import numpy as np

HUGE = 1e9
"""Larger than any stored measurement; the fills of GDAL (3.4e38), netCDF (9.97e36), CF (1e20) and
of 32-bit integers are all larger."""
_USUAL = (
    *(-9999, -99999, -999999, -999, -99, 9999, 99999, 999999),
    *(-32768, -32767, 32767, 65535, -128, -127, 255),
    # -9999 and -32768 cast to unsigned, and 0 less 1000 in unsigned numbers
    *(55537, 32768, 64536),
)


@dataclasses.dataclass(frozen=True)
class Rules:
    """Which numbers of a sensor can be fill.

    Args:
      plausible: values that can be measured, in the sensor's unit.
      only_implausible: whether nothing within `plausible` is fill. Else 0 (or -1) in every band,
        and the extremes of integer types, are fill whatever value they would be.
      scales: that data stored as floats may have had before.
      shift: what may have been subtracted from stored numbers, fill values with them.
      shifted_zero: value of a stored 0 from which `shift` was subtracted before; None for none.
    """

    plausible: tuple[float, float]
    only_implausible: bool = False
    scales: tuple[float, ...] = ()
    shift: float = 0.0
    shifted_zero: float | None = None


def find(
    stored: np.ndarray,
    missing: np.ndarray,
    decoded: np.ndarray,
    rules: Rules,
    zero_is_fill: np.ndarray | bool = False,
    has_offset: bool = False,
) -> tuple[np.ndarray, collections.Counter[str]]:
    """Finds fill values.

    A number counts as one where it is a usual fill value and its decoded value could not be
    measured; where it is the extreme of its integer type; where it is 0 (or -1) in every band of
    the input; and where 0 cannot be measured. The sensor's rules may require of all of them that
    the value could not be measured.

    Args:
      stored: numbers of any dtype [T, h, w, B], the bands of the input.
      missing: bool, same shape: NaN, or declared as missing.
      decoded: the same in the sensor's unit, same shape, NaN where it has no value in it.
      rules: the sensor's.
      zero_is_fill: bool, or one that broadcasts to `stored`: whether 0 in one band is one.
      has_offset: whether `decoded` has an offset from `stored`; without one, `shifted_zero` is the
        0 of a product whose offset was subtracted before.

    Returns:
      Which values are fill, bool [T, h, w, B], and how many of each, by name.
    """
    counts: collections.Counter[str] = collections.Counter()
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

    low, high = rules.plausible
    with np.errstate(invalid="ignore"):
        odd = ~((decoded >= low) & (decoded <= high)) & ~missing
    extreme = _extreme(stored)
    take(extreme & odd if rules.only_implausible else extreme, None)
    odd &= ~out
    if odd.any():
        where = np.zeros(stored.shape, bool)
        where[odd] = _is_usual(stored[odd], rules)
        take(where, None)
    if rules.only_implausible:
        return out, counts
    zero = stored == 0
    take(zero & zero_is_fill, "0")
    absent = missing | out
    take(np.broadcast_to((zero | absent).all(-1, keepdims=True), zero.shape), "0 in all bands")
    if stored.shape[-1] > 1 and stored.dtype.kind != "u":
        same = ((stored == -1) | absent).all(-1, keepdims=True)
        take(np.broadcast_to(same, zero.shape), "-1 in all bands")
    if rules.shifted_zero is not None and not has_offset:
        with np.errstate(invalid="ignore"):
            take(np.abs(decoded - rules.shifted_zero) < 1e-6, None)
    return out, counts


def _extreme(stored: np.ndarray) -> np.ndarray:
    """Numbers that no measurement is stored as, whatever their scale."""
    kind = stored.dtype.kind
    if kind == "f":
        # float16 holds nothing so large: there the limit becomes infinite, which is right too.
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(np.isfinite(stored) & (np.abs(stored) >= HUGE))
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


def _is_usual(values: np.ndarray, rules: Rules) -> np.ndarray:
    usual = np.array(_USUAL, np.float64)
    if rules.shift:
        usual = np.concatenate([usual, usual - rules.shift])
    if values.dtype.kind in "iu":
        return np.isin(values.astype(np.float64), usual)
    usual = np.concatenate([usual, *(usual / scale for scale in rules.scales)])
    # Of half precision the fill value is rounded as the value was; else six figures decide.
    tolerance = 1e-6 if values.dtype.itemsize > 2 else 1e-3
    exact = np.unique(usual)
    at = np.clip(np.searchsorted(exact, values.astype(np.float64)), 1, len(exact) - 1)
    near = [np.abs(values - exact[i]) <= tolerance * np.abs(exact[i]) for i in (at - 1, at)]
    return np.asarray(near[0] | near[1])
