"""The cube: one tile of ground, one list of periods, pixels by sensor and a label, in memory.

On disk (see `cube_io`) pixels are scaled integers with a no-data value; in memory they are float32
with NaN where missing.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import calendars, grid, legend, periods
from cropmap_jax.geo.landcover import LANDCOVER, LandCover
from cropmap_jax.geo.sensors import SENTINEL, Sensor

CLEAR = "clear"
"""Name of the raster, and of its bands, that counts the observations of optical composites."""
MAX_SIDE, MAX_PIXELS = 100_000, 1 << 30
"""Of a cube: 327 km squared at 10 m. Its label is held in memory, the rest is read in parts."""
MOST_CLEAR = 255
"""The largest count that uint8 holds; it stands for more, too."""


@dataclasses.dataclass(frozen=True)
class CubeInfo:
    """All of a cube but its pixels.

    Args:
      cube_id: name of the folder, letters, digits, `_`, `-` and `.`.
      geobox: shape, affine and CRS; true, square, north-up pixels.
      periods: contiguous half-open periods, oldest first.
      legend: the classes that label values index.
      block: spatial split unit.
      split: "train", "validation" or "test".
      season: agricultural year, e.g. "2021-2022"; cubes of one season may not overlap.
      harvest: candidate seasons per crop.
      province: place whose calendar this is; "" where unknown.
      source: how the pixels were made (catalogue ids, parameters, code version), JSON-ready.
      sensors: whose pixels the cube holds, in the order in which they are listed and stacked.
      has_fields: whether field ids come with the label.
      has_clear: whether counts of clear observations come with the optical pixels.
      landcover: the codes of the land-cover map that comes with it; None where none does.
      path: folder on disk; None in memory.
    """

    cube_id: str
    geobox: GeoBox
    periods: tuple[periods.Period, ...]
    legend: legend.Legend
    block: str
    split: str
    season: str
    harvest: calendars.Calendar = dataclasses.field(default_factory=dict)
    province: str = ""
    source: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sensors: tuple[Sensor, ...] = SENTINEL
    has_fields: bool = False
    has_clear: bool = False
    landcover: LandCover | None = None
    path: pathlib.Path | None = None

    @property
    def has_landcover(self) -> bool:
        """Whether a land-cover map comes with the cube."""
        return self.landcover is not None

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.geobox.shape
        return height, width

    @property
    def crs(self) -> CRS:
        """The CRS of its grid.

        Raises:
          ValueError: it has none.
        """
        if self.geobox.crs is None:
            raise ValueError(f"cube {self.cube_id}: expected a grid with a CRS, found none")
        return self.geobox.crs

    @property
    def folder(self) -> pathlib.Path:
        """Where the cube lies on disk.

        Raises:
          ValueError: it is in memory alone.
        """
        if self.path is None:
            raise ValueError(f"cube {self.cube_id}: expected a cube on disk, found one in memory")
        return self.path

    @property
    def place(self) -> str:
        """Province, or the cube itself where none is known (for medians over places)."""
        return self.province or self.cube_id


class BySensor:
    """Gives a sensor's pixels by its name as well: `cube.s1` is `cube.pixels["s1"]`."""

    pixels: Mapping[str, np.ndarray]

    def __getattr__(self, name: str) -> np.ndarray:
        pixels: Mapping[str, np.ndarray] = self.__dict__.get("pixels", {})
        if name in pixels:
            return pixels[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}; sensors: {', '.join(pixels)}")


@dataclasses.dataclass(frozen=True, init=False)
class Cube(BySensor):
    """A cube with its pixels.

    Args:
      info: all of the cube but its pixels.
      pixels: by sensor, float32 [T, H, W, bands] in the sensor's unit, NaN missing.
      label: uint8 [H, W], class index, NONE_OF_THESE or IGNORE.
      fields: uint32 [H, W], field id, 0 none; None where not given.
      clear: uint8 [T, H, W], how many observations the optical composite is made of, 0 none, 255
        that many or more; None where not given.
      landcover: uint8 [H, W], codes of a land-cover map, 0 none; None where not given.
      **by_sensor: pixels of single sensors by name, e.g. `s1=...`; they replace those in `pixels`.

    Raises:
      TypeError: pixels of a sensor that `info` does not list. Shapes are checked by `validate`.
    """

    info: CubeInfo
    pixels: Mapping[str, np.ndarray]
    label: np.ndarray
    fields: np.ndarray | None
    clear: np.ndarray | None
    landcover: np.ndarray | None

    def __init__(
        self,
        info: CubeInfo,
        pixels: Mapping[str, np.ndarray] | None = None,
        label: np.ndarray | None = None,
        fields: np.ndarray | None = None,
        clear: np.ndarray | None = None,
        landcover: np.ndarray | None = None,
        **by_sensor: np.ndarray,
    ):
        known = {sensor.name for sensor in info.sensors}
        if unknown := sorted(set(by_sensor) - known):
            raise TypeError(f"cube {info.cube_id}: unexpected {unknown[0]!r}, expected {known}")
        if label is None:
            label = np.full(info.shape, legend.IGNORE, np.uint8)
        values = {"info": info, "pixels": {**(pixels or {}), **by_sensor}, "label": label}
        optional = {"fields": fields, "clear": clear, "landcover": landcover}
        for name, value in (values | optional).items():
            object.__setattr__(self, name, value)


def validate(cube: Any, stored: bool = False) -> None:
    """Checks that all parts of a cube agree.

    Args:
      cube: a `Cube`, or what has the same parts.
      stored: whether its pixels are as they are stored, in the dtypes of the sensors.

    Raises:
      ValueError: names the cube, what was found and what was expected.
    """
    info = cube.info
    where = f"cube {info.cube_id}"
    _check_id(info.cube_id, where)
    grid.check_true_pixels(info.geobox, where)
    check_size(info.geobox, where)
    periods.check_contiguous(info.periods, where)
    _check_arrays(cube, stored, where)
    check_label(cube.label, info.legend, where)
    if info.landcover is not None:
        info.landcover.check_raster(cube.landcover, f"{where}: land cover")
    check_crops(info.harvest, info.legend, where)


def _check_id(cube_id: str, where: str) -> None:
    allowed = set("_-.")
    if (
        not cube_id
        or cube_id.startswith(".")
        or not all(c.isascii() and (c.isalnum() or c in allowed) for c in cube_id)
    ):
        raise ValueError(
            f"{where}: expected an id of letters, digits, '_', '-' and '.', found {cube_id!r}"
        )


def _check_arrays(cube: Any, stored: bool, where: str) -> None:
    """Requires the arrays that the cube's information promises, in their shapes and dtypes."""
    info = cube.info
    t, (h, w) = len(info.periods), info.shape
    if set(cube.pixels) != {sensor.name for sensor in info.sensors}:
        raise ValueError(
            f"{where}: expected pixels of {', '.join(s.name for s in info.sensors)}, "
            f"found {', '.join(cube.pixels) or 'none'}"
        )
    arrays = {**cube.pixels, "label": cube.label}
    expected: dict[str, tuple[tuple[int, ...], Any]] = {
        sensor.name: ((t, h, w, len(sensor.bands)), sensor.dtype if stored else np.float32)
        for sensor in info.sensors
    }
    expected["label"] = ((h, w), np.uint8)
    optional = {
        "fields": ((h, w), np.uint32),
        CLEAR: ((t, h, w), np.uint8),
        LANDCOVER: ((h, w), np.uint8),
    }
    for name, kind in optional.items():
        present, array = getattr(info, f"has_{name}"), getattr(cube, name)
        if present != (array is not None):
            raise ValueError(f"{where}: has_{name} is {present}, {name} {type(array)}")
        if present:
            expected[name], arrays[name] = kind, array
    for name, (shape, dtype) in expected.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(
                f"{where}: expected {name} {np.dtype(dtype).name} {list(shape)}, "
                f"found {array.dtype.name} {list(array.shape)}"
            )


def check_size(geobox: GeoBox, where: str) -> None:
    """Requires a grid that can be handled: pixels of 1 cm to 100 km, and not too many of them.

    Raises:
      ValueError: names `where`, what was found and what was expected.
    """
    if not 0.01 <= geobox.affine.a <= 1e5:
        raise ValueError(
            f"{where}: expected pixels of 0.01 m to 100 km, found {geobox.affine.a:g} m"
        )
    height, width = geobox.shape
    if max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        raise ValueError(
            f"{where}: expected at most {MAX_SIDE:,} pixels a side and {MAX_PIXELS:,} in all, "
            f"found {height:,} x {width:,}; cut it into several cubes"
        )


def check_crops(harvest: calendars.Calendar, classes: legend.Legend, where: str) -> None:
    """Requires harvest dates of classes that the legend holds.

    Raises:
      ValueError: names `where`, the crop and the classes.
    """
    for crop in harvest:
        if crop != calendars.ANY_CROP and crop not in classes.names:
            raise ValueError(
                f"{where}: found a harvest date of {crop!r}, which legend {classes.name!r} "
                f"does not hold; expected one of {', '.join(classes.names)}"
            )


def check_label(label: np.ndarray, classes: legend.Legend, where: str) -> None:
    """Requires label values that the legend holds.

    Args:
      label: uint8, any shape.
      classes: the legend.
      where: what to name in an error.

    Raises:
      ValueError: names `where`, the values found and those expected.
    """
    wrong = np.unique(label[(label >= len(classes)) & (label < legend.NONE_OF_THESE)])
    if len(wrong):
        raise ValueError(
            f"{where}: found label {', '.join(str(v) for v in wrong[:8])}; legend "
            f"{classes.name!r} holds 0..{len(classes) - 1}, and 254 (none of these) and "
            f"255 (unknown) are allowed"
        )
