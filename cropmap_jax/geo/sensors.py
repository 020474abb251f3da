"""The table of sensors: their bands, units, storage, ranges and how they are composited.

Whatever handles pixels takes bands, dtypes, no-data, ranges and compositing from a `Sensor`, so
that another sensor is another row of the table: `register` adds one. Cubes, datasets and
checkpoints carry the rows of their own sensors; they are read without the table.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

COMPOSITING = ("mean_power", "mean", "median")
"""How observations of a period become one value: a mean of linear power, a mean, a median."""
_DTYPES = ("uint8", "int16", "uint16")
_RESERVED = frozenset(
    ("label", "fields", "clear", "periods", "cube", "cube_index", "row", "col", "item", "pixels")
    + ("valid", "day_of_year", "lead", "planted", "turn", "head", "weak", "landcover")
)
"""Names that mean something else in a cube's folder, a record, a batch or a network."""


@dataclasses.dataclass(frozen=True)
class Sensor:
    """One kind of pixels.

    Args:
      name: letters, digits and "_", lower case; the name of its raster, of its part of a batch and
        of its part of a network.
      title: as people write it.
      bands: names, in order.
      unit: of the values, e.g. "dB".
      scale: stored = value * scale, rounded.
      range: physical range, from which inputs of a network are scaled to [0, 1] unless
        config.scaling gives another.
      compositing: one of COMPOSITING.
      dtype: of what is stored.
      nodata: stored where a value is missing.

    Raises:
      ValueError: names the sensor, the part that is wrong, what was found and what was expected.
    """

    name: str
    title: str
    bands: tuple[str, ...]
    unit: str
    scale: float
    range: tuple[float, float]
    compositing: str = "mean"
    dtype: str = "int16"
    nodata: int = -32768

    def __post_init__(self) -> None:
        where = f"sensor {self.name!r:.100}"
        is_name = isinstance(self.name, str) and re.fullmatch(r"[a-z][a-z0-9_]{0,30}", self.name)
        if not is_name or self.name in _RESERVED:
            raise ValueError(
                f"{where}: expected a name of lower-case letters, digits and '_' that is none of "
                f"{', '.join(sorted(_RESERVED))}"
            )
        bands = self.bands
        if not bands or len(set(bands)) < len(bands) or not all(map(_is_band, bands)):
            raise ValueError(
                f"{where}: expected bands with names that differ and hold no '/', "
                f"found {bands!r:.200}"
            )
        for part in ("title", "unit"):
            text = getattr(self, part)
            if not isinstance(text, str) or not text.isprintable() or len(text) > 100:
                raise ValueError(
                    f"{where}: expected {part} to be a short text, found {text!r:.200}"
                )
        if self.compositing not in COMPOSITING:
            raise ValueError(
                f"{where}: expected compositing among {', '.join(COMPOSITING)}, "
                f"found {self.compositing!r:.100}"
            )
        if self.dtype not in _DTYPES:
            raise ValueError(
                f"{where}: expected a dtype among {', '.join(_DTYPES)}, found {self.dtype!r:.100}"
            )
        if not (_is_finite(self.scale) and 1e-9 <= self.scale <= 1e9):
            raise ValueError(
                f"{where}: expected a scale from 1e-9 to 1e9, found {self.scale!r:.100}"
            )
        low, high = self.range
        if not (_is_finite(low) and _is_finite(high) and low < high):
            raise ValueError(f"{where}: expected range (low, high), found {self.range!r:.100}")
        limits = self._limits
        whole = isinstance(self.nodata, int) and _is_finite(self.nodata)
        if not whole or not limits[0] <= self.nodata <= limits[1]:
            raise ValueError(
                f"{where}: expected nodata that {self.dtype} holds, found {self.nodata!r:.100}"
            )

    @property
    def _limits(self) -> tuple[float, float]:
        info = np.iinfo(self.dtype)
        return float(info.min), float(info.max)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Values in `unit`, NaN missing, as they are stored; what is out of range clips.

        Args:
          values: float, any shape.

        Returns:
          Array of `dtype`, the same shape; `nodata` where a value is not finite.
        """
        values = np.asarray(values, np.float32)
        with np.errstate(over="ignore"):
            numbers = values * np.float32(self.scale)
        over = np.isinf(numbers) & np.isfinite(values)
        if over.any():  # it clips as any other number out of range
            numbers = np.where(over, np.copysign(np.finfo(np.float32).max, values), numbers)
        return self.store(numbers)

    def store(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers in the stored unit, NaN missing, as they are stored: rounded and clipped.

        Args:
          numbers: float, any shape.

        Returns:
          Array of `dtype`, the same shape; `nodata` where a number is not finite.
        """
        # A number that clips must not become the no-data value.
        low, high = self._limits
        low, high = low + (self.nodata == low), high - (self.nodata == high)
        whole = np.rint(np.clip(numbers, low, high))
        return np.where(np.isfinite(numbers), whole, self.nodata).astype(self.dtype)

    def decode(self, stored: np.ndarray) -> np.ndarray:
        """Stored numbers as values in `unit`, NaN where missing.

        Args:
          stored: array of `dtype`, any shape.

        Returns:
          float32, the same shape.
        """
        values = stored.astype(np.float32) / np.float32(self.scale)
        values[stored == self.nodata] = np.nan
        return values

    def describe(self) -> str:
        """All but the name in one line, to tell sensors of a name apart."""
        low, high = self.range
        return (
            f"{' '.join(self.bands)}; {self.title}, {self.unit} from {low:g} to {high:g}, "
            f"{self.compositing}, stored as {self.dtype} x {self.scale:g}, no data {self.nodata}"
        )

    def to_json(self) -> dict[str, object]:
        """A JSON-ready description that `from_json` reads back."""
        return dataclasses.asdict(self) | {"bands": list(self.bands), "range": list(self.range)}

    @classmethod
    def from_json(cls, value: Mapping[str, object], where: str) -> "Sensor":
        """Reads what `to_json` wrote.

        Raises:
          ValueError: begins with `where`, and says what is missing or wrong.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(value, Mapping) or sorted(value) != sorted(names):
            raise ValueError(
                f"{where}: expected a sensor with {', '.join(names)}, found {value!r:.200}"
            )
        bands, reach = value["bands"], value["range"]
        if not isinstance(bands, Sequence) or isinstance(bands, str):
            raise ValueError(f"{where}: expected a list of bands, found {bands!r:.200}")
        if not isinstance(reach, Sequence) or isinstance(reach, str) or len(reach) != 2:
            raise ValueError(f"{where}: expected range (low, high), found {reach!r:.200}")
        try:
            return cls(**{**value, "bands": tuple(bands), "range": tuple(reach)})  # type: ignore[arg-type]
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where}: {error}") from error


def _is_band(name: object) -> bool:
    return isinstance(name, str) and name.isprintable() and 0 < len(name) <= 60 and "/" not in name


def _is_finite(value: object) -> bool:
    # An infinite number, or nan, is not between two finite ones; a whole one may have any length.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


SENSORS: dict[str, Sensor] = {
    "s1": Sensor(
        name="s1",
        title="Sentinel-1",
        bands=("VV", "VH"),
        unit="dB",
        # A step of 0.01 dB, far below speckle.
        scale=100.0,
        # The range of the original system.
        range=(-25.0, 10.0),
        # Speckle is multiplicative: a mean of dB is biased low.
        compositing="mean_power",
    ),
    "s2": Sensor(
        name="s2",
        title="Sentinel-2",
        bands=("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"),
        unit="reflectance",
        # Copernicus' own encoding of Level-2A.
        scale=10000.0,
        range=(0.0, 1.0),
        # Robust to missed clouds.
        compositing="median",
    ),
}
"""The sensors that are known by name."""

SENTINEL = (SENSORS["s1"], SENSORS["s2"])
"""What cubes, datasets and checkpoints hold that do not say which sensors they hold."""


BACKSCATTER = ("sigma0", "gamma0_rtc")
"""What radar pixels may measure: per unit of ground (of the ellipsoid), or per unit of the plane
that the radar sees, slopes corrected for."""
_SIGMA0_MADE_BY = ("cropmap_jax.sources.earthengine", "cropmap_jax simulator")
"""Makers of cubes that record no backscatter: COPERNICUS/S1_GRD of Earth Engine is sigma-0
(developers.google.com/earth-engine/guides/sentinel1), and so is what is simulated."""


def has_radar(sensors: Iterable[Sensor]) -> bool:
    """Whether radar is among sensors: what is averaged in linear power."""
    return any(sensor.compositing == COMPOSITING[0] for sensor in sensors)


def backscatter(source: Mapping[str, Any], sensors: Iterable[Sensor]) -> str | None:
    """What the radar pixels of a cube measure, one of BACKSCATTER.

    Args:
      source: how its pixels were made, see `cube.CubeInfo`.
      sensors: that count.

    Returns:
      None where no radar is among them, and where it is not known, as of images that were ingested.
    """
    if not has_radar(sensors):
        return None
    own: Any = source.get("options")
    own = own.get("s1") if isinstance(own, Mapping) else None
    value = own.get("backscatter") if isinstance(own, Mapping) else None
    if value is None and source.get("made_by") in _SIGMA0_MADE_BY:
        return BACKSCATTER[0]
    return value if value in BACKSCATTER else None


def register(sensor: Sensor) -> Sensor:
    """Makes a sensor known by name, and returns it.

    Raises:
      ValueError: another sensor has that name.
    """
    if SENSORS.setdefault(sensor.name, sensor) != sensor:
        raise ValueError(f"sensor {sensor.name!r}: expected a new name, found one that is taken")
    return sensor


def find(
    names: Iterable[str], where: str, among: Iterable[Sensor] | None = None
) -> tuple[Sensor, ...]:
    """Sensors by name, in the order given.

    Args:
      names: at least one, none twice.
      where: what to name in an error, e.g. "config.sensors".
      among: sensors to choose from; SENSORS if None.

    Raises:
      ValueError: begins with `where`, and names what is not known.
    """
    known = dict(SENSORS) if among is None else {sensor.name: sensor for sensor in among}
    names = tuple(names)
    unknown = [name for name in names if not isinstance(name, str) or name not in known]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(
            f"{where}: expected sensors among {', '.join(known)}, each once, found {names!r:.200}"
        )
    return tuple(known[name] for name in names)


def from_json(value: object, where: str) -> tuple[Sensor, ...]:
    """Reads a list of sensors; None, of an older file, means Sentinel-1 and Sentinel-2.

    Raises:
      ValueError: begins with `where`.
    """
    if value is None:
        return SENTINEL
    if not isinstance(value, Sequence) or isinstance(value, str) or not 0 < len(value) <= 100:
        raise ValueError(f"{where}: expected a list of sensors, found {value!r:.200}")
    found = tuple(Sensor.from_json(one, f"{where}[{i}]") for i, one in enumerate(value))
    if len({sensor.name for sensor in found}) < len(found):
        raise ValueError(f"{where}: expected names that differ, found one twice")
    return found
