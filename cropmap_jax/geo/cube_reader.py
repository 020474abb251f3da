"""Reading a cube's rasters, whole or in parts, after comparing them with its item."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
import rasterio
import rasterio.errors
import rasterio.io
from rasterio import windows

from cropmap_jax.geo import cube, cube_item, geotiffs, landcover
from cropmap_jax.geo.sensors import Sensor

SHA256 = "1220"
"""Prefix of a multihash: sha2-256, 32 bytes."""
DTYPES = {"label": "uint8", "fields": "uint32", cube.CLEAR: "uint8", landcover.LANDCOVER: "uint8"}
"""Of the rasters that a cube may have next to those of its sensors."""
_IN_MEMORY = 1 << 26
"""Bytes of a file that is read whole to compare its checksum; a longer one is read twice."""


@dataclasses.dataclass(frozen=True)
class RawCube(cube.BySensor):
    """A cube with its pixels as they are stored.

    Args:
      info: all of the cube but its pixels.
      pixels: by sensor, [T, H, W, bands] of the sensor's dtype, its no-data value where missing.
      label: uint8 [H, W], class index, NONE_OF_THESE or IGNORE.
      fields: uint32 [H, W], field id, 0 none; None where the cube has none.
      clear: uint8 [T, H, W], observations of the optical composites; None where the cube has none.
      landcover: uint8 [H, W], codes of a land-cover map, 0 none; None where the cube has none.
    """

    info: cube.CubeInfo
    pixels: Mapping[str, np.ndarray]
    label: np.ndarray
    fields: np.ndarray | None
    clear: np.ndarray | None = None
    landcover: np.ndarray | None = None


def sensor_of(info: cube.CubeInfo, asset: str) -> Sensor | None:
    """The sensor whose raster an asset is, None of the other rasters."""
    return next((sensor for sensor in info.sensors if sensor.name == asset), None)


def bands_of(info: cube.CubeInfo, asset: str) -> tuple[str, ...]:
    """Bands of each period; () of a raster that has one band in all."""
    sensor = sensor_of(info, asset)
    return sensor.bands if sensor else (cube.CLEAR,) if asset == cube.CLEAR else ()


def band_names(info: cube.CubeInfo, asset: str) -> list[str]:
    """Band names of a sensor's raster or of "clear", by period: "2021-10-01/VV", ..."""
    return [f"{p.name}/{band}" for p in info.periods for band in bands_of(info, asset)]


def dtype_of(info: cube.CubeInfo, asset: str) -> str:
    """Dtype of a raster of a cube."""
    sensor = sensor_of(info, asset)
    return sensor.dtype if sensor else DTYPES[asset]


def verify_checksums(info: cube.CubeInfo) -> None:
    """Compares every raster's bytes with the checksum in the item.

    Args:
      info: a cube on disk.

    Raises:
      ValueError: names the file that is missing or damaged.
    """
    expected = _checksums(info)
    for asset in _assets(info):
        file = _file(info, asset)
        with _readable(file), open(file, "rb") as opened:
            _check_digest(file, hashlib.file_digest(opened, "sha256"), expected[asset])


@contextlib.contextmanager
def open_cube(path: str | os.PathLike[str], verify: bool = False) -> Iterator["CubeReader"]:
    """Opens a cube to read its pixels in parts.

    Args:
      path: the cube's folder.
      verify: compare the bytes that are read with the checksums in the item.

    Raises:
      ValueError: names the file, what was found and what was expected.
    """
    info = cube_item.read_info(path)
    expected = _checksums(info) if verify else {}
    before = {}
    with contextlib.ExitStack() as stack:
        opened = {}
        for asset in _assets(info):
            file = _file(info, asset)
            before[file] = _identity(file)
            data = _verified(file, expected[asset]) if verify else None
            raster = stack.enter_context(geotiffs.open_geotiff(file, data=data))
            _check_raster(info, asset, file, raster)
            opened[asset] = raster
        yield CubeReader(info, opened)
    for file, identity in before.items():
        if verify and _identity(file) != identity:
            raise ValueError(f"{file}: changed while it was read; is another program writing it?")


class CubeReader:
    """A cube that is open, see `open_cube`.

    Args:
      info: the cube.
      opened: raster by asset.
    """

    def __init__(self, info: cube.CubeInfo, opened: dict[str, rasterio.io.DatasetReader]):
        self.info, self._opened = info, opened

    def read(self, rows: slice | None = None, cols: slice | None = None) -> RawCube:
        """Pixels of some rows and columns, of all by default; `info` is that of the whole cube.

        Args:
          rows, cols: slices of pixels from the upper left corner, in steps of 1.

        Returns:
          The pixels as stored, with the shapes of `RawCube`; `fields` is all 0 where the cube has
          none.

        Raises:
          ValueError: names the file that is damaged, or a cube that memory cannot hold.
        """
        height, width = self.info.shape
        top, bottom, _ = (rows or slice(None)).indices(height)
        left, right, _ = (cols or slice(None)).indices(width)
        window = windows.Window(left, top, right - left, bottom - top)
        try:
            pixels = {s.name: self._periods(s, window) for s in self.info.sensors}
            label = self.label(window)
            fields = np.zeros(label.shape, np.uint32)
            if self.info.has_fields:
                fields = self._read("fields", window)[0]
            clear = self._read(cube.CLEAR, window) if self.info.has_clear else None
            cover = self.landcover(window)
        except MemoryError as error:
            depth = sum(len(s.bands) * np.dtype(s.dtype).itemsize for s in self.info.sensors)
            size = depth * len(self.info.periods) * window.width * window.height / 1e9
            raise ValueError(
                f"{self.info.folder}: expected a cube that fits into memory, found {size:.1f} GB"
            ) from error
        return RawCube(self.info, pixels, label, fields, clear, cover)

    def label(self, window: windows.Window | None = None) -> np.ndarray:
        """The label of a window, of the whole cube by default, checked against the legend.

        Returns:
          uint8 [H, W], class index, NONE_OF_THESE or IGNORE.

        Raises:
          ValueError: names the file that is damaged, or that holds values that no class has.
        """
        label: np.ndarray = self._read("label", window)[0]
        cube.check_label(label, self.info.legend, str(self.info.folder / "label.tif"))
        return label

    def fields(self) -> np.ndarray:
        """Field ids of the whole cube, uint32 [H, W]; all 0 where the cube has none.

        Raises:
          ValueError: names the file that is damaged.
        """
        if not self.info.has_fields:
            return np.zeros(self.info.shape, np.uint32)
        fields: np.ndarray = self._read("fields", None)[0]
        return fields

    def landcover(self, window: windows.Window | None = None) -> np.ndarray | None:
        """Land cover of a window, of the whole cube by default, checked against its table.

        Returns:
          uint8 [H, W], codes of `info.landcover`, 0 none; None where the cube has none.

        Raises:
          ValueError: names the file that is damaged, or that holds codes that no class has.
        """
        if self.info.landcover is None:
            return None
        codes: np.ndarray = self._read(landcover.LANDCOVER, window)[0]
        file = self.info.folder / f"{landcover.LANDCOVER}.tif"
        self.info.landcover.check_raster(codes, str(file))
        return codes

    def _periods(self, sensor: Sensor, window: windows.Window) -> np.ndarray:
        stored = self._read(sensor.name, window)
        stored = stored.reshape(-1, len(sensor.bands), *stored.shape[1:])
        return np.ascontiguousarray(np.moveaxis(stored, 1, -1))

    def _read(self, asset: str, window: windows.Window | None) -> np.ndarray:
        try:
            values: np.ndarray = self._opened[asset].read(window=window)
        except rasterio.errors.RasterioError as error:
            file = self.info.folder / f"{asset}.tif"
            raise ValueError(f"{file}: damaged or not a GeoTIFF ({error})") from error
        return values


def _assets(info: cube.CubeInfo) -> list[str]:
    others = [a for a in DTYPES if getattr(info, f"has_{a}", True)]
    return [sensor.name for sensor in info.sensors] + others


def _file(info: cube.CubeInfo, asset: str) -> pathlib.Path:
    file = info.folder / f"{asset}.tif"
    if not file.is_file():
        raise ValueError(f"{file}: expected the cube's {asset}, found no file")
    return file


def _checksums(info: cube.CubeInfo) -> dict[str, str]:
    assets = cube_item.read_item(info.folder / cube_item.ITEM)["assets"]
    return {asset: assets[asset]["file:checksum"] for asset in _assets(info)}


def _identity(file: pathlib.Path) -> tuple[int, int, int]:
    with _readable(file):
        found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@contextlib.contextmanager
def _readable(file: pathlib.Path) -> Iterator[None]:
    # An OSError would read as if something could not be written.
    try:
        yield
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror})") from error


def _verified(file: pathlib.Path, expected: str) -> bytes | None:
    """Compares a checksum; returns the bytes that have it, None of a file that is too long."""
    with _readable(file), open(file, "rb") as opened:
        if os.fstat(opened.fileno()).st_size > _IN_MEMORY:
            _check_digest(file, hashlib.file_digest(opened, "sha256"), expected)
            return None
        data = opened.read()
    _check_digest(file, hashlib.sha256(data), expected)
    return data


def _check_digest(file: pathlib.Path, digest: "hashlib._Hash", expected: str) -> None:
    found = SHA256 + digest.hexdigest()
    if found != expected:
        raise ValueError(f"{file}: damaged: expected checksum {expected}, found {found}")


def _check_raster(
    info: cube.CubeInfo, asset: str, file: pathlib.Path, raster: rasterio.io.DatasetReader
) -> None:
    """Compares CRS, grid, dtype and band names with the item."""
    bands = len(info.periods) * len(bands_of(info, asset)) or 1
    _check_crs(file, raster.crs, rasterio.CRS.from_wkt(info.crs.to_wkt()))
    found = {
        "shape": (raster.count, raster.height, raster.width),
        "dtype": raster.dtypes[0],
        "transform": tuple(raster.transform)[:6],
    }
    expected: dict[str, object] = {
        "shape": (bands, *info.shape),
        "dtype": dtype_of(info, asset),
        "transform": tuple(info.geobox.affine)[:6],
    }
    sensor = sensor_of(info, asset)
    if sensor and raster.nodata is not None:  # a raster need not declare any
        expected["nodata"], found["nodata"] = sensor.nodata, raster.nodata
    for what, value in expected.items():
        if found[what] != value:
            raise ValueError(f"{file}: expected {what} {value}, found {found[what]}")
    if bands_of(info, asset):
        _check_band_names(file, list(raster.descriptions), band_names(info, asset))


def _check_crs(file: pathlib.Path, found: rasterio.CRS | None, expected: rasterio.CRS) -> None:
    # Compared as CRSs, not as text: GeoTIFF keys reword a CRS that has no EPSG code.
    if found is None or found != expected:
        raise ValueError(f"{file}: expected CRS {_crs_name(expected)}, found {_crs_name(found)}")


def _crs_name(crs: rasterio.CRS | None) -> str:
    if crs is None:
        return "none"
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.to_wkt()


def _check_band_names(file: pathlib.Path, found: list[str | None], expected: list[str]) -> None:
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        if a != b:
            raise ValueError(f"{file}: expected band {i + 1} to be named {b!r}, found {a!r}")
