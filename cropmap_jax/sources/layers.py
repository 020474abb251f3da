"""One sensor's observations in a user's stack: band names, units, and what counts as missing."""

import dataclasses
import re
from collections.abc import Callable

import numpy as np

from cropmap_jax.geo import composites, cube, periods

S1_UNITS = ("db", "linear", "dn")
DN_CALIBRATION_DB = -83.0
"""dB = 20 log10(DN) - 83 for backscatter stored as 16-bit amplitude, 0 where there is none.

Source: JAXA's PALSAR mosaics (gamma-0 = 10 log10(DN^2) - 83.0); WorldCereal stores Sentinel-1 so.
"""
SCL = "SCL"
SCL_CLOUDY = (3, 8, 9, 10, 11)
"""Classes of the scene classification that hide the ground: 3 cloud shadow, 8 and 9 cloud of
medium and high probability, 10 thin cirrus, 11 snow or ice.

Source: ESA, Sentinel-2 Level-2A scene classification (SentiWiki, S2 Processing and S2 Products).
"""
INTEGER_SCALE = 10000.0
"""Reflectance of Level-2A is stored as an integer, times 10000 (QUANTIFICATION_VALUE)."""
_UNSIGNED_MISSING, _SIGNED_MISSING = 65535, -32768
_NAME = re.compile(r"(?:^|[^A-Za-z])(B(?:0?[1-9]|1[0-2]|8A)|VV|VH|SCL)$", re.IGNORECASE)
_LARGEST = {sensor: 32767 / scale for sensor, scale in cube.SCALES.items()}
_LOWEST = {"s1": -100.0, "s2": -1.0}


@dataclasses.dataclass(frozen=True)
class Layers:
    """One sensor of a stack.

    Args:
      sensor: "s1" or "s2".
      where: file (and key), to name in errors.
      periods: one per observation.
      bands: names of the bands that `read` returns, of BANDS[sensor] and SCL; none twice.
      read: (rows, columns) -> float32 [T, h, w, len(bands)], NaN where missing.
      integer: whether pixels are stored as integers without a scale of their own.
      unused: names in the input that are no band of a cube.
    """

    sensor: str
    where: str
    periods: tuple[periods.Period, ...]
    bands: tuple[str, ...]
    read: Callable[[slice, slice], np.ndarray]
    integer: bool = False
    unused: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Units:
    """How a stack's values become dB and reflectance.

    Args:
      s1_unit: "db", "linear" (power) or "dn" (see DN_CALIBRATION_DB).
      s2_scale: reflectance = (value + s2_offset) / s2_scale; None is 10000 where pixels are
        stored as integers, else 1.
      s2_offset: -1000 for Level-2A products from processing baseline 04.00 on, as delivered.
      scl_classes: classes of the scene classification to leave out; empty masks nothing.
    """

    s1_unit: str = "db"
    s2_scale: float | None = None
    s2_offset: float = 0.0
    scl_classes: tuple[int, ...] = ()

    def __post_init__(self):
        if self.s1_unit not in S1_UNITS:
            raise ValueError(f"--s1_unit: expected {', '.join(S1_UNITS)}, found {self.s1_unit!r}")
        if self.s2_scale is not None and not 0 < self.s2_scale < np.inf:
            raise ValueError(f"--s2_scale: expected a positive number, found {self.s2_scale}")


def band_of(name: str, sensor: str) -> str | None:
    """Band of a cube (or SCL) that a name ends with: "S2-L2A-B04" is B4; None where it is none."""
    found = _NAME.search(name.strip())
    if not found:
        return None
    band = found[1].upper().replace("B0", "B")
    known = (*cube.BANDS[sensor], SCL) if sensor == "s2" else cube.BANDS[sensor]
    return band if band in known else None


def name_bands(names: list[str], sensor: str, where: str) -> dict[str, int]:
    """Position of each band of a cube in a list of names.

    Raises:
      ValueError: a band twice, or none at all.
    """
    out: dict[str, int] = {}
    for i, name in enumerate(names):
        band = band_of(name, sensor)
        if band in out:
            raise ValueError(f"{where}: expected each band once, found {band} twice ({name!r})")
        if band:
            out[band] = i
    if not set(out) - {SCL}:
        found = ", ".join(names[:8]) or "none"
        raise ValueError(
            f"{where}: expected bands among {', '.join(cube.BANDS[sensor])}, found {found}"
        )
    return out


def missing_to_nan(values: np.ndarray) -> np.ndarray:
    """float32; integers lose the largest unsigned and smallest signed 16-bit value to NaN.

    Source: 65535 is Level-2A's SATURATED, and openEO's and WorldCereal's missing; -32768 is the
    nodata of cubes.
    """
    out = values.astype(np.float32)
    if values.dtype.kind in "iu":
        out[values == (_UNSIGNED_MISSING if values.dtype.kind == "u" else _SIGNED_MISSING)] = np.nan
    return out


def physical(layers: Layers, units: Units, rows: slice, cols: slice) -> np.ndarray:
    """Reads a window as dB or reflectance in the cube's order of bands.

    Returns:
      float32 [T, h, w, B], NaN where missing: bands the input lacks, its nodata, S1 without power,
      S2 that is 0 in every band of integer storage (Level-2A's NODATA), and masked SCL classes.

    Raises:
      ValueError: values that cannot be what the flags say; names the file and the flag.
    """
    bands = cube.BANDS[layers.sensor]
    raw = layers.read(rows, cols)
    values = np.full((*raw.shape[:3], len(bands)), np.nan, np.float32)
    for i, band in enumerate(layers.bands):
        if band != SCL:
            values[..., bands.index(band)] = raw[..., i]
    infinite = int(np.isinf(values).sum())
    if infinite:
        raise ValueError(
            f"{layers.where}: expected finite values, or NaN where missing, found {infinite} "
            f"infinite"
        )
    if layers.sensor == "s1":
        values = _to_db(values, units.s1_unit, layers.where)
    else:
        if layers.integer:
            values[~(np.nan_to_num(values) != 0).any(-1)] = np.nan
        if units.scl_classes:
            values[np.isin(raw[..., layers.bands.index(SCL)], units.scl_classes)] = np.nan
        scale = units.s2_scale or (INTEGER_SCALE if layers.integer else 1.0)
        values = (values + np.float32(units.s2_offset)) / np.float32(scale)
    _check_range(values, layers, units)
    return values


def _to_db(values: np.ndarray, unit: str, where: str) -> np.ndarray:
    if unit == "db":
        return values
    negative = int((values < 0).sum())
    if negative > np.isfinite(values).sum() / 2:
        raise ValueError(
            f"{where}: --s1_unit {unit}: expected positive values, found {negative} negative ones; "
            f"dB is --s1_unit db"
        )
    db = composites.linear_to_db(values)
    return (2 * db + DN_CALIBRATION_DB if unit == "dn" else db).astype(np.float32)


def _check_range(values: np.ndarray, layers: Layers, units: Units) -> None:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return
    sensor = layers.sensor
    flag = f"--s1_unit {units.s1_unit}" if sensor == "s1" else "--s2_scale"
    what = "dB" if sensor == "s1" else "reflectance"
    lowest, typical = finite.min(), np.median(finite[:: max(1, finite.size // 100_000)])
    if lowest < _LOWEST[sensor] and (sensor == "s2" or units.s1_unit == "db"):
        raise ValueError(
            f"{layers.where}: found {what} {lowest:g}; expected {_LOWEST[sensor]:g} or more, and "
            f"NaN or a declared nodata value where missing"
        )
    low, high = (-60.0, 30.0) if sensor == "s1" else (-1.0, _LARGEST["s2"])
    if not low <= typical <= high:
        hint = "is it linear, dn or db?" if sensor == "s1" else "integers are often times 10000"
        raise ValueError(
            f"{layers.where}: {flag}: found a median of {typical:g} {what}, expected {low:g} to "
            f"{high:g}; {hint}"
        )


def implausible(values: np.ndarray, layers: Layers, units: Units) -> str:
    """A warning where values may be in another unit than said, else "".

    Ground returns more than it receives (above 0 dB) only in towns and at corners; linear power
    mistaken for dB lies almost wholly above 0.
    """
    finite = values[np.isfinite(values)]
    if layers.sensor == "s1" and units.s1_unit == "db" and finite.size:
        if (finite > 0).mean() > 0.95:
            return f"{layers.where}: almost all values lie above 0 dB; is it --s1_unit linear?"
    return ""
