"""The cube: one tile of ground, one list of periods, S1 + S2 + label, in memory.

On disk (see `cube_io`) pixels are scaled int16 with a nodata value; in memory they are float32
with NaN where missing.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import calendars, grid, legend, periods
from cropmap_jax.geo.bands import BANDS as BANDS
from cropmap_jax.geo.bands import NODATA as NODATA
from cropmap_jax.geo.bands import S1_BANDS as S1_BANDS
from cropmap_jax.geo.bands import S1_SCALE as S1_SCALE
from cropmap_jax.geo.bands import S2_BANDS as S2_BANDS
from cropmap_jax.geo.bands import S2_SCALE as S2_SCALE
from cropmap_jax.geo.bands import SCALES as SCALES

CLEAR = "clear"
"""Name of the raster, and of its bands, that counts the observations of S2 composites."""
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
      has_fields: whether field ids come with the label.
      has_clear: whether counts of clear observations come with S2.
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
    source: Mapping = dataclasses.field(default_factory=dict)
    has_fields: bool = False
    has_clear: bool = False
    path: pathlib.Path | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return tuple(self.geobox.shape)

    @property
    def place(self) -> str:
        """Province, or the cube itself where none is known (for medians over places)."""
        return self.province or self.cube_id


@dataclasses.dataclass(frozen=True)
class Cube:
    """A cube with its pixels.

    Args:
      info: everything else.
      s1: float32 [T, H, W, 2], sigma-0 in dB (VV, VH), NaN missing.
      s2: float32 [T, H, W, 10], surface reflectance (S2_BANDS), NaN missing.
      label: uint8 [H, W], class index, NONE_OF_THESE or IGNORE.
      fields: uint32 [H, W], field id, 0 none; None where not given.
      clear: uint8 [T, H, W], how many observations the S2 composite is made of, 0 none, 255 that
        many or more; None where not given.
    """

    info: CubeInfo
    s1: np.ndarray
    s2: np.ndarray
    label: np.ndarray
    fields: np.ndarray | None = None
    clear: np.ndarray | None = None


def validate(cube: Cube, pixels=np.float32) -> None:
    """Checks that all parts of a cube agree.

    Args:
      cube: a `Cube`, or what has the same parts.
      pixels: dtype of S1 and S2: int16 of what is already as it is stored.

    Raises:
      ValueError: names the cube, what was found and what was expected.
    """
    info = cube.info
    where = f"cube {info.cube_id}"
    allowed = set("_-.")
    if (
        not info.cube_id
        or info.cube_id.startswith(".")
        or not all(c.isascii() and (c.isalnum() or c in allowed) for c in info.cube_id)
    ):
        raise ValueError(
            f"{where}: expected an id of letters, digits, '_', '-' and '.', found {info.cube_id!r}"
        )
    grid.check_true_pixels(info.geobox, where)
    check_size(info.geobox, where)
    periods.check_contiguous(info.periods, where)
    t, (h, w) = len(info.periods), info.shape
    expected = {
        "s1": ((t, h, w, len(S1_BANDS)), pixels),
        "s2": ((t, h, w, len(S2_BANDS)), pixels),
        "label": ((h, w), np.uint8),
    }
    optional = {"fields": ((h, w), np.uint32), CLEAR: ((t, h, w), np.uint8)}
    for name, kind in optional.items():
        told, array = getattr(info, f"has_{name}"), getattr(cube, name)
        if told != (array is not None):
            raise ValueError(f"{where}: has_{name} is {told}, {name} {type(array)}")
        if told:
            expected[name] = kind
    for name, (shape, dtype) in expected.items():
        array = getattr(cube, name)
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(
                f"{where}: expected {name} {np.dtype(dtype).name} {list(shape)}, "
                f"found {array.dtype.name} {list(array.shape)}"
            )
    check_label(cube.label, info.legend, where)
    check_crops(info.harvest, info.legend, where)


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


def encode(values: np.ndarray, sensor: str) -> np.ndarray:
    """Float values (dB or reflectance, NaN missing) to scaled int16; out of range clips."""
    values = np.asarray(values, np.float32)
    limit = (-NODATA - 1) / SCALES[sensor]
    stored = np.rint(np.clip(values, -limit, limit) * SCALES[sensor])
    return np.where(np.isfinite(values), stored, NODATA).astype(np.int16)


def decode(stored: np.ndarray, sensor: str) -> np.ndarray:
    """Scaled int16 to float32 dB or reflectance, NaN where nodata."""
    values = stored.astype(np.float32) / SCALES[sensor]
    values[stored == NODATA] = np.nan
    return values
