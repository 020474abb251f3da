"""What the cubes under a map show: true colour of a period, curves of a pixel over the season."""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from rasterio.windows import Window

from cropmap_jax.geo import cube_io, files, geotiffs
from cropmap_jax.geo.cube import CubeInfo
from cropmap_jax.geo.indices import INDICES
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.mapping.map_folder import MapCube
from cropmap_jax.viewer.pieces import Piece
from cropmap_jax.viewer.tiles import Layer

TRUE_COLOUR = ("B4", "B3", "B2")
"""Red, green and blue of Sentinel-2."""
BRIGHTEST = 0.3
"""Reflectance that is shown as white: bare soil stays below it."""
_GAMMA = 1 / 1.4


@dataclasses.dataclass(frozen=True)
class Curve:
    """What is drawn over the season.

    Args:
      key: for the page.
      title: for people.
      unit: of the values, "" where there is none.
      sensor: name of the sensor that it is of.
      bands: that it is made of.
    """

    key: str
    title: str
    unit: str
    sensor: str
    bands: tuple[str, ...]

    def compute(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Values of the curve from those of its bands, NaN where missing."""
        if self.key in INDICES:
            with np.errstate(divide="ignore", invalid="ignore"):
                found = np.asarray(INDICES[self.key].formula(*values))
            return np.where(np.isfinite(found), found, np.nan)
        return values[0]


CURVES = ("ndvi", "VH")
"""An index, or a band: green leaves, and what radar sees of the canopy."""


def _curves(sensors: Sequence[Sensor]) -> tuple[Curve, ...]:
    """Those of `CURVES` that sensors have the bands of."""
    found = []
    for name in CURVES:
        index = INDICES.get(name)
        for sensor in sensors:
            if index and index.sensor == sensor.name and set(index.bands) <= set(sensor.bands):
                found.append(Curve(name, index.title, "", sensor.name, index.bands))
            elif not index and name in sensor.bands:
                found.append(Curve(name, name, sensor.unit, sensor.name, (name,)))
    return tuple(found)


class Images:
    """The cubes that a map was made of, or others on the same ground.

    Args:
      folder: of cubes.
      cubes: of the map, of a series the latest one.

    Attributes:
      infos: by name of the cube; cubes that are not there are left out.
      periods: (start, end) as ISO dates of all cubes, ascending.
      curves: what can be drawn.
      has_colour: whether there are images in true colour.
      notes: on what is missing, a line each.

    Raises:
      ValueError: none of the map's cubes is there, one that cannot be read, or one on another grid.
    """

    def __init__(self, folder: str | os.PathLike[str], cubes: Sequence[MapCube]):
        root = files.local("--cubes", folder)
        if not root.is_dir():
            raise ValueError(f"--cubes {root}: expected a folder of cubes, found none")
        self._ids = [cube.cube_id for cube in cubes]
        self.infos: dict[str, CubeInfo] = {}
        for cube in cubes:
            if (root / cube.cube_id / cube_io.ITEM).is_file():
                self.infos[cube.cube_id] = _matching(root / cube.cube_id, cube)
        if not self.infos:
            raise ValueError(
                f"--cubes {root}: expected the cubes of the map, e.g. {cubes[0].cube_id}, found "
                f"none of them; without --cubes the map is shown without images"
            )
        self.notes = []
        if len(self.infos) < len(cubes):
            missing = len(cubes) - len(self.infos)
            self.notes.append(
                f"{missing} of {len(cubes)} cubes of the map are not in {root}: no image there"
            )
        spans = {(p.start, p.end) for info in self.infos.values() for p in info.periods}
        self.periods = tuple((a.isoformat(), b.isoformat()) for a, b in sorted(spans))
        self._at = {span: i for i, span in enumerate(sorted(spans))}
        sensors = {s.name: s for info in self.infos.values() for s in info.sensors}
        self.curves = _curves(list(sensors.values()))
        self._colour = next((s for s in sensors.values() if set(TRUE_COLOUR) <= set(s.bands)), None)

    @functools.cached_property
    def key(self) -> str:
        """Of what the cubes hold: another where one has grown, or was made again."""
        digest = hashlib.sha256()
        for info in self.infos.values():
            found = (info.folder / cube_io.ITEM).stat()
            digest.update(f"{info.folder.resolve()} {found.st_size} {found.st_mtime_ns} ".encode())
        return digest.hexdigest()[:16]

    @property
    def has_colour(self) -> bool:
        """Whether some sensor sees red, green and blue."""
        return self._colour is not None

    def layer(self, period: int) -> Layer:
        """True colour of a period on the cubes of the map, uint8 RGBA; nothing where it is missing.

        Args:
          period: position in `periods`.
        """
        return Layer(f"image/{period}", lambda piece: self._rgba(piece, period), 4, 0)

    def _rgba(self, piece: Piece, period: int) -> np.ndarray:
        out = np.zeros((piece.height, piece.width, 4), np.uint8)
        info = self.infos.get(self._ids[piece.cube])
        own = self._own(info, period)
        sensor = self._colour
        if info is None or own is None or sensor is None or sensor not in info.sensors:
            return out
        values = _read(info, sensor, TRUE_COLOUR, [own], piece.window)[0]
        there = np.isfinite(values).all(0)
        shown = np.clip(np.nan_to_num(values) / BRIGHTEST, 0, 1) ** _GAMMA
        out[..., :3] = np.rint(255 * np.moveaxis(shown, 0, -1))
        out[..., 3] = 255 * there
        return out

    def _own(self, info: CubeInfo | None, period: int) -> int | None:
        """Position of a period in a cube; None where the cube has none of it."""
        spans = [self._at[p.start, p.end] for p in info.periods] if info else []
        return spans.index(period) if period in spans else None

    def series(self, cube_id: str, row: int, col: int) -> dict[str, list[float | None]]:
        """Curves of a pixel.

        Args:
          cube_id: its cube.
          row, col: of the pixel.

        Returns:
          By key a value for each of `periods`, None where it is missing; {} where there is no cube.

        Raises:
          ValueError: a raster that is damaged; names it.
        """
        found = self.curves_of(cube_id, Window(col, row, 1, 1))
        return {key: to_list(values[:, 0, 0]) for key, values in found.items()}

    def curves_of(self, cube_id: str, window: Window) -> dict[str, np.ndarray]:
        """Curves of a window, by key float32 [periods, height, width], NaN where missing."""
        info = self.infos.get(cube_id)
        if info is None:
            return {}
        places = [self._at[p.start, p.end] for p in info.periods]
        out = {}
        for curve in self.curves:
            sensor = next((s for s in info.sensors if s.name == curve.sensor), None)
            if sensor is None:
                continue
            values = _read(info, sensor, curve.bands, range(len(places)), window)
            shape = (len(self.periods), window.height, window.width)
            whole = np.full(shape, np.nan, np.float32)
            whole[places] = curve.compute(list(np.moveaxis(values, 1, 0)))
            out[curve.key] = whole
        return out

    def mean_power(self, curve: Curve) -> bool:
        """Whether the mean of a curve is that of powers: its values are decibels."""
        return curve.key not in INDICES and curve.unit == "dB"


def to_list(values: np.ndarray) -> list[float | None]:
    """Numbers for JSON, with three digits and None where there is none."""
    return [round(float(v), 3) if np.isfinite(v) else None for v in values]


def _matching(folder: pathlib.Path, cube: MapCube) -> CubeInfo:
    info = cube_io.read_info(folder)
    if info.geobox != cube.geobox:
        raise ValueError(
            f"--cubes {folder}: expected the grid of {cube.path}, found another; is it another "
            f"cube of that name?"
        )
    return info


def _read(
    info: CubeInfo, sensor: Sensor, bands: Sequence[str], periods: Sequence[int], window: Window
) -> np.ndarray:
    """float32 [periods, bands, height, width] in the sensor's unit, NaN where missing."""
    path = info.folder / f"{sensor.name}.tif"
    count = len(sensor.bands)
    wanted = [1 + p * count + sensor.bands.index(band) for p in periods for band in bands]
    with geotiffs.open_geotiff(path) as raster:
        if raster.count != count * len(info.periods) or raster.shape != info.shape:
            raise ValueError(f"{path}: expected the bands and the size that its item says")
        stored = raster.read(wanted, window=window)
    return sensor.decode(stored).reshape(len(periods), len(bands), *stored.shape[1:])
