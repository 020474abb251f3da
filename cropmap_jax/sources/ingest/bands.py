"""One sensor's observations in a user's stack: units, and what counts as missing."""

import dataclasses
from collections.abc import Callable

import numpy as np

from cropmap_jax.geo import composites, cube, periods
from cropmap_jax.sources.ingest import fills, plausible
from cropmap_jax.sources.ingest.band_names import SCL

S1_UNITS = ("db", "linear", "dn")
DN_CALIBRATION_DB = -83.0
"""dB = 20 log10(DN) - 83 for backscatter stored as 16-bit amplitude, 0 where there is none.

Source: JAXA's PALSAR mosaics (gamma-0 = 10 log10(DN^2) - 83.0); WorldCereal stores Sentinel-1 so.
"""
SCL_CLOUDY = (3, 8, 9, 10, 11)
"""Classes of the scene classification that hide the ground: 3 cloud shadow, 8 and 9 cloud of
medium and high probability, 10 thin cirrus, 11 snow or ice.

Source: ESA, Sentinel-2 Level-2A scene classification (SentiWiki, S2 Processing and S2 Products).
"""
_LEAST_OFFSET = 10.0
"""Of integers, 0.001 in reflectance: less is -0.1, a baseline such as 04.00 or a typing error."""
INTEGER_SCALE = 10000.0
"""Reflectance of Level-2A is stored as an integer, times 10000 (QUANTIFICATION_VALUE)."""


@dataclasses.dataclass(frozen=True)
class Layers:
    """One sensor of a stack.

    Args:
      sensor: "s1" or "s2".
      where: file (and key), to name in errors.
      periods: one per observation.
      bands: names of the bands that `read` returns, of BANDS[sensor] and SCL; none twice.
      read: (rows, columns) -> numbers as they are stored, [T, h, w, len(bands)]; a masked array's
        masked ones are declared as missing.
      integer: whether pixels are stored as integers without a scale of their own.
      unused: names in the input that are no band of a cube.
      scale, offset: of the file's own, value = stored * scale + offset; they broadcast to
        [T, h, w, len(bands)].
      s2_offset: of each observation, in place of the flag's; None or NaN takes the flag's.
    """

    sensor: str
    where: str
    periods: tuple[periods.Period, ...]
    bands: tuple[str, ...]
    read: Callable[[slice, slice], np.ndarray]
    integer: bool = False
    unused: tuple[str, ...] = ()
    scale: np.ndarray | float = 1.0
    offset: np.ndarray | float = 0.0
    s2_offset: tuple[float, ...] | None = None

    @property
    def packed(self) -> bool:
        """Whether the file has a scale or an offset of its own."""
        return bool(np.any(np.asarray(self.scale) != 1) or np.any(np.asarray(self.offset) != 0))


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
        if self.s2_scale is not None and not 1e-6 <= self.s2_scale <= 1e9:
            raise ValueError(f"--s2_scale: expected 1e-6 to 1e9, found {self.s2_scale:g}")
        if not np.isfinite(self.s2_offset):
            raise ValueError(f"--s2_offset: expected a number, found {self.s2_offset}")


def physical(layers: Layers, units: Units, rows: slice, cols: slice):
    """Reads a window as dB or reflectance in the cube's order of bands.

    Returns:
      float32 [T, h, w, B], NaN where missing: bands the input lacks, its nodata, fill values that
      it does not declare (see `fills`), S1 without power, values that a cube cannot hold, and
      masked SCL classes; and a `plausible.Findings`.

    Raises:
      ValueError: values that cannot be what the flags say; names the file and the flag.
    """
    raw = layers.read(rows, cols)
    given = [i for i, band in enumerate(layers.bands) if band != SCL]
    stored, missing = np.ma.getdata(raw)[..., given], np.ma.getmaskarray(raw)[..., given]
    if stored.dtype.kind == "f":
        missing = missing | np.isnan(stored)
    bands = cube.BANDS[layers.sensor]
    columns = [bands.index(layers.bands[i]) for i in given]
    decoded = _decode(layers, units, stored, given)
    if layers.sensor == "s1":
        plausible.check_power(decoded[~missing], units.s1_unit, layers.where)
        negative = (decoded < 0) & ~missing if units.s1_unit != "db" else np.zeros_like(missing)
        decoded = _to_db(decoded, units.s1_unit)
    plausible.check_wrapped(stored, decoded, ~missing, layers.sensor, layers.where)
    fill, counts = fills.find(
        stored,
        missing,
        decoded,
        layers.sensor,
        zero_is_fill=_zero_is_fill(layers, units, stored, given),
        has_offset=bool(np.any(np.asarray(layers.offset) != 0) or _s2_offset(layers, units).any()),
    )
    missing = missing | fill
    if stored.dtype.kind == "f":
        missing |= _no_power(layers, units, np.isinf(stored) & ~missing, stored, counts)
    findings = plausible.Findings(stored.size, counts)
    if layers.sensor == "s1":
        findings.odd["negative power, missing"] += int((negative & ~missing).sum())
    decoded[missing] = np.nan
    values = np.full((*stored.shape[:3], len(bands)), np.nan, np.float32)
    values[..., columns] = decoded
    if layers.sensor == "s2" and units.scl_classes:
        scl = _decode(layers, Units(s2_scale=1.0), np.ma.getdata(raw), None)
        values[np.isin(scl[..., layers.bands.index(SCL)], units.scl_classes)] = np.nan
    plausible.check_range(values, layers.sensor, layers.where, units.s1_unit, findings)
    return values, findings


def _s2_offset(layers: Layers, units: Units) -> np.ndarray:
    """float32 [T or 1, 1, 1, 1], what is added to stored numbers of S2 before they are scaled."""
    if layers.sensor == "s1":
        return np.zeros((1, 1, 1, 1), np.float32)
    own = np.array(layers.s2_offset or (np.nan,), np.float32)
    out = np.where(np.isnan(own), np.float32(units.s2_offset), own)
    small = (out != 0) & (np.abs(out) < _LEAST_OFFSET)
    if layers.integer and not units.s2_scale and small.any():
        of = "--s2_offset" if np.isnan(own[small]).any() else f"{layers.where}: s2_offset"
        raise ValueError(
            f"{of}: expected an offset of stored numbers, which are integers here, such as -1000, "
            f"found {out[small][0]:g}"
        )
    return out.reshape(-1, 1, 1, 1)


def _decode(layers: Layers, units: Units, stored: np.ndarray, given: list[int] | None):
    """float32, S1 in the unit of the flag and S2 as reflectance; `given` chooses bands."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored.astype(np.float32)
        if layers.packed:
            scale, offset = (
                np.broadcast_to(v, np.broadcast_shapes(np.shape(v), (1, 1, 1, len(layers.bands))))
                for v in (layers.scale, layers.offset)
            )
            if given is not None:
                scale, offset = scale[..., given], offset[..., given]
            values = (values * scale + offset).astype(np.float32)
        if layers.sensor == "s1":
            return values
        if given is None:  # the scene classification, which has neither scale nor offset
            return values
        scale = units.s2_scale or (INTEGER_SCALE if layers.integer else 1.0)
        return (values + _s2_offset(layers, units)) / np.float32(scale)


def _zero_is_fill(layers: Layers, units: Units, stored: np.ndarray, given) -> np.ndarray | bool:
    """Whether a stored 0 in one band cannot be measured: no power, or less than no reflectance."""
    if layers.sensor == "s1":
        # dB packed as unsigned numbers: 0 is the lowest, where what is missing or cut off ends.
        packed = stored.dtype.kind == "u" and np.any(np.asarray(layers.offset) != 0)
        return units.s1_unit != "db" or bool(packed)
    return _decode(layers, units, np.zeros((1, 1, 1, len(given)), stored.dtype), given) < 0


def _no_power(layers: Layers, units: Units, infinite: np.ndarray, stored, counts) -> np.ndarray:
    """Which of the infinite numbers are the dB of no power: those are missing, and counted.

    Raises:
      ValueError: others.
    """
    silent = infinite & (stored < 0) & (layers.sensor == "s1" and units.s1_unit == "db")
    if silent.any():
        counts["-inf"] += int(silent.sum())
    others = int((infinite & ~silent).sum())
    if others:
        raise ValueError(
            f"{layers.where}: expected finite values, or NaN where missing, found {others} infinite"
        )
    return silent


def _to_db(values: np.ndarray, unit: str) -> np.ndarray:
    if unit == "db":
        return values
    db = composites.linear_to_db(values)
    return (2 * db + DN_CALIBRATION_DB if unit == "dn" else db).astype(np.float32)
