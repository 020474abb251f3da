"""Conventions of satellite products: units, scales, offsets, and values that can be measured.

No other module of ingest names a sensor. One without a product here is read as it is: plain values
in the sensor's own unit.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Sequence

import numpy as np

from cropmap_jax.geo import composites
from cropmap_jax.geo.sensors import SENSORS, Sensor
from cropmap_jax.sources.ingest import consistency, fills
from cropmap_jax.sources.ingest.bands import Bands

S1_UNITS = ("db", "linear", "dn")
DN_CALIBRATION_DB = -83.0
"""dB = 20 log10(DN) - 83 for backscatter stored as 16-bit amplitude, 0 where there is none.

Source: JAXA's PALSAR mosaics (gamma-0 = 10 log10(DN^2) - 83.0); WorldCereal stores Sentinel-1 so.
"""
INTEGER_SCALE = 10000.0
"""Reflectance of Level-2A is stored as an integer, times 10000 (QUANTIFICATION_VALUE)."""
_BOA_OFFSET = 1000.0
"""Subtracted from stored numbers since processing baseline 04.00 (BOA_ADD_OFFSET)."""
_LEAST_OFFSET = 10.0
"""Of integers, 0.001 in reflectance: less is -0.1, a baseline such as 04.00 or a typing error."""
SCL = "SCL"
SCL_CLOUDY = (3, 8, 9, 10, 11)
"""Classes of the scene classification that hide the ground: 3 cloud shadow, 8 and 9 cloud of
medium and high probability, 10 thin cirrus, 11 snow or ice.

Source: ESA, Sentinel-2 Level-2A scene classification (SentiWiki, S2 Processing and S2 Products).
"""
_NOTHING = 0.005
"""Reflectance that some pixel of any ground exceeds in some band: water in blue has 0.02."""


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

    def __post_init__(self) -> None:
        if self.s1_unit not in S1_UNITS:
            raise ValueError(f"--s1_unit: expected {', '.join(S1_UNITS)}, found {self.s1_unit!r}")
        if self.s2_scale is not None and not 0 < self.s2_scale < np.inf:
            raise ValueError(f"--s2_scale: expected a positive number, found {self.s2_scale}")
        if self.s2_scale is not None and not 1e-6 <= self.s2_scale <= 1e9:
            raise ValueError(f"--s2_scale: expected 1e-6 to 1e9, found {self.s2_scale:g}")
        if not np.isfinite(self.s2_offset):
            raise ValueError(f"--s2_offset: expected a number, found {self.s2_offset}")


class Product:
    """Values as a sensor's users have them; here plain ones, in the sensor's unit.

    Attributes:
      sensor: the sensor.
      label: what it is called in tables and messages.
      key: of its pixels in an .npz.
      quantity: what its values are, after a number.
      fill: which of its numbers can be fill. Of plain values only those far outside of the
        sensor's range, by more than its width: how far a range goes is a matter of judgement.
      outside: added to a note on values beyond `fill.plausible`, which are kept.
      bright: share of values above `fill.plausible` that is not worth a note.
      common_names: whether its bands are known by other names, too.
      classification: name of the band that classifies the scene; "" for none.
      offset_key: column of dates.csv, and key of an .npz, with the offset of each observation; ""
        for none.
      wraps: whether numbers may have wrapped around, see `plausible.check_wrapped`.
      edges: of the histograms of values that `notes` compares; None for none.
    """

    common_names = False
    classification = ""
    offset_key = ""
    wraps = False
    bright = 0.0
    edges: np.ndarray | None = None

    def __init__(self, sensor: Sensor):
        low, high = sensor.range
        self.sensor = sensor
        self.label = self.key = sensor.name
        self.quantity = sensor.unit
        self.fill = fills.Rules((2 * low - high, 2 * high - low), only_implausible=True)
        self.outside = f" (expected {low:g} to {high:g})"

    def decode(
        self, unpacked: np.ndarray, missing: np.ndarray, bands: Bands, units: Units
    ) -> np.ndarray:
        """Numbers of a file as values in the sensor's unit.

        Args:
          unpacked: float32 [T, h, w, B], numbers with the file's own scale and offset applied.
          missing: bool, the same shape: NaN, or declared as missing.
          bands: of the input.
          units: the flags.

        Returns:
          float32, the same shape; NaN where a number stands for no value.

        Raises:
          ValueError: numbers that contradict the flags.
        """
        return unpacked

    def has_offset(self, bands: Bands, units: Units) -> bool:
        """Whether `decode`, or the file, adds an offset to stored numbers."""
        return bands.has_offset

    def zero_is_fill(
        self, bands: Bands, units: Units, chosen: list[int], stored: np.dtype
    ) -> np.ndarray | bool:
        """Whether a stored 0 in one band cannot be measured.

        Args:
          chosen: positions in `bands.names`.
          stored: dtype of the stored numbers.

        Returns:
          bool, or bool that broadcasts to [T, h, w, len(chosen)].
        """
        return False

    def infinite_is_missing(self, units: Units) -> bool:
        """Whether a stored -inf is a value that is missing, and no mistake."""
        return False

    def negative_is_missing(self, units: Units) -> bool:
        """Whether negative numbers have no value, which is worth a count."""
        return False

    def flag(self, units: Units) -> str:
        """Flag by which values are read, with ": ", to name in errors; "" where there is none."""
        return ""

    def check(self, finite: np.ndarray, typical: float, where: str, units: Units) -> None:
        """Requires values that the ground can have.

        Args:
          finite: float32 [n], in the sensor's unit; at least one.
          typical: median of a sample of them.

        Raises:
          ValueError: names `where`, the values and the flag.
        """

    def count_loud(self, values: np.ndarray, units: Units) -> np.ndarray | None:
        """int64 [T, 2], values above 0 dB and all values of each date; None for other units."""
        return None

    def notes(self, counted: np.ndarray, dates: Sequence[dt.date]) -> list[str]:
        """What stands out in histograms over `edges`, int64 [T, B, bins]; a line each."""
        return []

    def _refuse_low(self, finite: np.ndarray, least: float, where: str, hint: str = "") -> None:
        lowest = finite.min()
        if lowest < least:
            raise ValueError(
                f"{where}: found {self.quantity} {lowest:g} ({int((finite < least).sum())} of "
                f"{finite.size} values below {least:g}); expected {least:g} or more, and NaN or a "
                f"declared nodata value where missing{hint}"
            )

    def _refuse_typical(
        self, typical: float, low: float, high: float, where: str, units: Units, hint: str
    ) -> None:
        if not low <= typical <= high:
            raise ValueError(
                f"{where}: {self.flag(units)}found a median of {typical:g} {self.quantity}, "
                f"expected {low:g} to {high:g}; {hint}"
            )


class Backscatter(Product):
    """Sentinel-1 as dB, linear power or amplitude.

    Noise lies near -30 dB and corner reflectors below +30 dB.
    """

    common_names = True
    edges = consistency.BACKSCATTER

    def __init__(self, sensor: Sensor):
        super().__init__(sensor)
        self.label, self.key, self.outside = "S1", "s1_db", ""
        # dB of ground, widely taken; it was hundredths of a dB before, perhaps.
        self.fill = fills.Rules((-60.0, 30.0), scales=(sensor.scale,))

    def decode(
        self, unpacked: np.ndarray, missing: np.ndarray, bands: Bands, units: Units
    ) -> np.ndarray:
        if units.s1_unit == "db":
            return unpacked
        there = unpacked[~missing]
        negative = int(((there < 0) & (there > -100)).sum())
        if negative > np.isfinite(there).sum() / 2:
            raise ValueError(
                f"{bands.where}: --s1_unit {units.s1_unit}: expected positive values, found "
                f"{negative} negative ones; dB is --s1_unit db"
            )
        db = composites.linear_to_db(unpacked)
        return np.asarray(2 * db + DN_CALIBRATION_DB if units.s1_unit == "dn" else db, np.float32)

    def zero_is_fill(
        self, bands: Bands, units: Units, chosen: list[int], stored: np.dtype
    ) -> np.ndarray | bool:
        # dB packed as unsigned numbers: 0 is the lowest, where what is missing or cut off ends.
        return units.s1_unit != "db" or (stored.kind == "u" and bands.has_offset)

    def infinite_is_missing(self, units: Units) -> bool:
        return units.s1_unit == "db"  # of no power

    def negative_is_missing(self, units: Units) -> bool:
        return units.s1_unit != "db"

    def flag(self, units: Units) -> str:
        return f"--s1_unit {units.s1_unit}: "

    def check(self, finite: np.ndarray, typical: float, where: str, units: Units) -> None:
        least = -100.0
        if units.s1_unit == "db":
            hint = "; hundredths of a dB need a scale in the file, or to be divided"
            self._refuse_low(finite, least, where, hint if typical < least else "")
        self._refuse_typical(typical, -60.0, 30.0, where, units, "is it linear, dn or db?")

    def count_loud(self, values: np.ndarray, units: Units) -> np.ndarray | None:
        if units.s1_unit != "db":
            return None
        there = np.isfinite(values).sum((1, 2, 3))
        with np.errstate(invalid="ignore"):
            return np.stack([(values > 0).sum((1, 2, 3)), there], -1)

    def notes(self, counted: np.ndarray, dates: Sequence[dt.date]) -> list[str]:
        return consistency.notes_on_backscatter(counted, dates)


class Reflectance(Product):
    """Sentinel-2 Level-2A as reflectance, or as integers with an offset that changed in 2022.

    Reflectance goes little below 0 over dark ground and to about 1.6 over cloud.
    """

    common_names = True
    classification = SCL
    offset_key = "s2_offset"
    wraps = True
    bright = 1e-3  # cloud and glint come to less
    edges = consistency.REFLECTANCE

    def __init__(self, sensor: Sensor):
        super().__init__(sensor)
        self.label, self.outside = "S2", ""
        self.fill = fills.Rules(
            (-0.2, 1.6),
            scales=(INTEGER_SCALE,),
            shift=_BOA_OFFSET,
            # The smallest number with data is 1.
            shifted_zero=-_BOA_OFFSET / INTEGER_SCALE,
        )

    def decode(
        self, unpacked: np.ndarray, missing: np.ndarray, bands: Bands, units: Units
    ) -> np.ndarray:
        return self._reflectance(unpacked, bands, units)

    def _reflectance(self, unpacked: np.ndarray, bands: Bands, units: Units) -> np.ndarray:
        scale = units.s2_scale or (INTEGER_SCALE if bands.integer else 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray((unpacked + self._offset(bands, units)) / np.float32(scale))

    def _offset(self, bands: Bands, units: Units) -> np.ndarray:
        """float32 [T or 1, 1, 1, 1], what is added to stored numbers before they are scaled."""
        own = np.array(bands.date_offsets or (np.nan,), np.float32)
        out = np.where(np.isnan(own), np.float32(units.s2_offset), own)
        small = (out != 0) & (np.abs(out) < _LEAST_OFFSET)
        if bands.integer and not units.s2_scale and small.any():
            flagged = np.isnan(own[small]).any()
            of = f"--{self.offset_key}" if flagged else f"{bands.where}: {self.offset_key}"
            raise ValueError(
                f"{of}: expected an offset of stored numbers, which are integers here, such as "
                f"-1000, found {out[small][0]:g}"
            )
        return out.reshape(-1, 1, 1, 1)

    def has_offset(self, bands: Bands, units: Units) -> bool:
        return bands.has_offset or bool(self._offset(bands, units).any())

    def zero_is_fill(
        self, bands: Bands, units: Units, chosen: list[int], stored: np.dtype
    ) -> np.ndarray | bool:
        zeros = bands.unpack(np.zeros((1, 1, 1, len(chosen)), stored), chosen)
        return np.asarray(self._reflectance(zeros, bands, units) < 0)

    def flag(self, units: Units) -> str:
        return "--s2_scale: "

    def check(self, finite: np.ndarray, typical: float, where: str, units: Units) -> None:
        self._refuse_low(finite, -0.5, where)
        if finite.size >= 100 and np.abs(finite).max() < _NOTHING:
            raise ValueError(
                f"{where}: --s2_scale: found no reflectance beyond {np.abs(finite).max():g}, "
                f"expected some above {_NOTHING:g}; are the values scaled twice, or reflectance "
                f"already (--s2_scale 1)?"
            )
        hint = "integers are often times 10000"
        largest = 32767 / INTEGER_SCALE
        self._refuse_typical(typical, -1.0, largest, where, units, hint)

    def notes(self, counted: np.ndarray, dates: Sequence[dt.date]) -> list[str]:
        return consistency.notes_on_reflectance(counted, dates)


_PRODUCTS: dict[str, type[Product]] = {"s1": Backscatter, "s2": Reflectance}


def product(sensor: Sensor) -> Product:
    """What is known of a sensor's products; plain values where nothing is."""
    return _PRODUCTS.get(sensor.name, Product)(sensor)


def products() -> list[Product]:
    """Products of all sensors that there are, in the order of the table."""
    return [product(sensor) for sensor in SENSORS.values()]


def labels(sensors: Iterable[Sensor]) -> str:
    """Sensors as messages name them, "S1 or S2"."""
    *others, last = (product(sensor).label for sensor in sensors)
    return f"{', '.join(others)} or {last}" if others else last
