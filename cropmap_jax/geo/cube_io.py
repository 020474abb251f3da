"""Cubes on disk: a folder of GeoTIFFs with a STAC Item, written whole or not at all.

    <cubes>/<cube_id>/item.json  s1.tif  s2.tif  label.tif  [fields.tif]  [clear.tif]

A cube is written under a temporary name and renamed when complete, so a folder with an item is
whole. Rasters are encoded in memory and written as bytes: a full disk then raises where it
happens, instead of leaving a file that GDAL closed without a word.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import shutil

import numpy as np
import rasterio
import rasterio.io

from cropmap_jax.geo import cube, cube_item, legend
from cropmap_jax.geo.cube_item import ITEM, read_info

__all__ = [
    "ITEM",
    "RawCube",
    "band_names",
    "colour_table",
    "list_cubes",
    "read_cube",
    "read_info",
    "read_raw",
    "verify_checksums",
    "write_cube",
]

_SHA256 = "1220"  # multihash prefix: sha2-256, 32 bytes
_DTYPES = {"s1": "int16", "s2": "int16", "label": "uint8", "fields": "uint32", cube.CLEAR: "uint8"}
_OPTIONAL = ("fields", cube.CLEAR)
_NODATA = {"s1": cube.NODATA, "s2": cube.NODATA, "label": legend.IGNORE, "fields": 0}
_BANDS = {**cube.BANDS, cube.CLEAR: (cube.CLEAR,)}
"""Of a period; the other rasters have none."""


@dataclasses.dataclass(frozen=True)
class RawCube:
    """Pixels as stored: s1 int16 [T, H, W, 2] (dB * 100), s2 int16 [T, H, W, 10]
    (reflectance * 10000), NODATA where missing; label uint8 and fields uint32 [H, W]; clear uint8
    [T, H, W], None where the cube has none."""

    info: cube.CubeInfo
    s1: np.ndarray
    s2: np.ndarray
    label: np.ndarray
    fields: np.ndarray | None
    clear: np.ndarray | None = None


def band_names(info: cube.CubeInfo, asset: str) -> list[str]:
    """Band names of "s1", "s2" or "clear", period by period: "2021-10-01/VV", ..."""
    return [f"{p.name}/{band}" for p in info.periods for band in _BANDS[asset]]


def write_cube(value: cube.Cube | RawCube, cubes_dir: str | os.PathLike, overwrite: bool = False):
    """Writes a cube into `<cubes_dir>/<cube_id>/`, whole or not at all.

    Args:
      value: the cube, or its pixels as they are stored; it is validated first.
      cubes_dir: folder of cubes, made if absent.
      overwrite: replace a cube of the same id.

    Returns:
      Path of the cube's folder.

    Raises:
      ValueError: an inconsistent cube, or one that exists already.
      OSError: no space or no permission; nothing is left behind.
    """
    if isinstance(value, RawCube) and not value.info.has_fields:
        value = dataclasses.replace(value, fields=None)
    cube.validate(value, np.int16 if isinstance(value, RawCube) else np.float32)
    folder = pathlib.Path(cubes_dir)
    final = folder / value.info.cube_id
    if final.exists() and not overwrite:
        raise ValueError(f"{final}: exists already; expected a new cube id, or overwrite")
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{value.info.cube_id}.{os.getpid()}.part"
    old = part.with_suffix(".old")
    shutil.rmtree(old, ignore_errors=True)  # of a process of the same number that was killed
    # Digits only: ids may hold dots, and `.a.*.part` would also be cube a.b in the making.
    for leftover in folder.glob(f".{value.info.cube_id}.*.part"):
        if leftover.name.removeprefix(f".{value.info.cube_id}.").removesuffix(".part").isdigit():
            shutil.rmtree(leftover, ignore_errors=True)  # of a run that was killed
    try:
        part.mkdir()
        checksums = {}
        for asset, pixels in _rasters(value).items():
            data = _encode_raster(value.info, asset, pixels)
            checksums[asset] = _SHA256 + hashlib.sha256(data).hexdigest()
            _write_bytes(part / f"{asset}.tif", data)
        _write_bytes(part / ITEM, cube_item.item_bytes(value.info, checksums))
        _swap(part, final, old)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            error.errno, f"{final}: could not be written ({reason}); nothing was kept"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return final


def _swap(part: pathlib.Path, final: pathlib.Path, old: pathlib.Path) -> None:
    # Moved aside, not deleted: a deletion cut short would leave an item with rasters missing.
    if final.exists():
        final.rename(old)
    try:
        part.rename(final)
    except OSError:
        if old.exists():
            old.rename(final)
        raise


def list_cubes(cubes_dir: str | os.PathLike) -> list[cube.CubeInfo]:
    """Reads the items of every whole cube in a folder, sorted by id.

    Folders without an item (an interrupted write) are passed over.

    Raises:
      ValueError: a missing folder, a folder without cubes, or an item that cannot be read.
    """
    folder = pathlib.Path(cubes_dir)
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of cubes, found none")
    paths = sorted(p.parent for p in folder.glob(f"*/{ITEM}") if not p.parent.name.startswith("."))
    if not paths:
        raise ValueError(f"{folder}: expected cubes (folders with {ITEM}), found none")
    return [read_info(path) for path in paths]


def read_cube(path: str | os.PathLike, verify: bool = False) -> cube.Cube:
    """Reads a cube into memory: float32 with NaN.

    Args:
      path: the cube's folder.
      verify: compare every raster with its checksum first.

    Raises:
      ValueError: names the file, what was found and what was expected.
    """
    raw = read_raw(path, verify)
    s1, s2 = cube.decode(raw.s1, "s1"), cube.decode(raw.s2, "s2")
    fields = raw.fields if raw.info.has_fields else None
    return cube.Cube(raw.info, s1, s2, raw.label, fields, raw.clear)


def read_raw(path: str | os.PathLike, verify: bool = False) -> RawCube:
    """Reads a cube's pixels as stored; `fields` is all 0 where the cube has none.

    Raises:
      ValueError: names the file, what was found and what was expected.
    """
    info = read_info(path)
    if verify:
        verify_checksums(info)
    t, (h, w) = len(info.periods), info.shape
    pixels = {
        sensor: np.ascontiguousarray(
            np.moveaxis(_read_raster(info, sensor).reshape(t, len(bands), h, w), 1, -1)
        )
        for sensor, bands in cube.BANDS.items()
    }
    label = _read_raster(info, "label")[0]
    cube.check_label(label, info.legend, str(info.path / "label.tif"))
    fields = np.zeros((h, w), np.uint32)
    if info.has_fields:
        fields = _read_raster(info, "fields")[0]
    clear = _read_raster(info, cube.CLEAR) if info.has_clear else None
    return RawCube(info, pixels["s1"], pixels["s2"], label, fields, clear)


def verify_checksums(info: cube.CubeInfo) -> None:
    """Compares every raster's bytes with the checksum in the item.

    Raises:
      ValueError: names the file that is missing or damaged.
    """
    assets = cube_item.read_json(info.path / ITEM)["assets"]
    for name in _DTYPES:
        if name in _OPTIONAL and not getattr(info, f"has_{name}"):
            continue
        file = info.path / f"{name}.tif"
        if not file.is_file():
            raise ValueError(f"{file}: expected the cube's {name}, found no file")
        expected = assets.get(name, {}).get("file:checksum")
        found = _SHA256 + hashlib.sha256(file.read_bytes()).hexdigest()
        if found != expected:
            raise ValueError(f"{file}: damaged: expected checksum {expected}, found {found}")


def _rasters(value: cube.Cube | RawCube) -> dict[str, np.ndarray]:
    h, w = value.info.shape
    rasters = {}
    for sensor in cube.BANDS:
        pixels = getattr(value, sensor)
        stored = pixels if isinstance(value, RawCube) else cube.encode(pixels, sensor)
        rasters[sensor] = np.moveaxis(stored, -1, 1).reshape(-1, h, w)
    rasters["label"] = value.label[None]
    if value.fields is not None:
        rasters["fields"] = value.fields[None]
    if value.clear is not None:
        rasters[cube.CLEAR] = value.clear
    return rasters


def _block_size(length: int) -> int:
    return min(128, max(16, -(-length // 16) * 16))


def _encode_raster(info: cube.CubeInfo, asset: str, pixels: np.ndarray) -> bytes:
    h, w = info.shape
    profile = {
        "driver": "GTiff",
        "dtype": _DTYPES[asset],
        "count": len(pixels),
        "height": h,
        "width": w,
        "crs": info.geobox.crs.to_wkt(),
        "transform": info.geobox.affine,
        "nodata": _NODATA.get(asset),  # of a count no value is missing
        "compress": "zstd",
        # GDAL's own 9 takes three times as long and saves 1 % of real Sentinel-2.
        "zstd_level": 1,
        "predictor": 2,
        "interleave": "band",
        "tiled": True,
        "blockxsize": _block_size(w),
        "blockysize": _block_size(h),
    }
    with rasterio.io.MemoryFile() as memory:
        with memory.open(**profile) as raster:
            raster.write(pixels)
            if asset in _BANDS:
                raster.descriptions = band_names(info, asset)
            if asset in cube.SCALES:
                raster.scales = [1 / cube.SCALES[asset]] * len(pixels)
            elif asset == "label":
                raster.set_band_description(1, f"label, legend {info.legend.name}")
                raster.write_colormap(1, colour_table(info.legend))
        return bytes(memory.getbuffer())


def colour_table(classes: legend.Legend) -> dict[int, tuple[int, int, int, int]]:
    """GDAL colour table of a legend: none-of-these light grey, unknown transparent."""
    table = {i: (*bytes.fromhex(c.colour[1:]), 255) for i, c in enumerate(classes.classes)}
    return table | {legend.NONE_OF_THESE: (221, 221, 221, 255), legend.IGNORE: (0, 0, 0, 0)}


def _write_bytes(path: pathlib.Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _read_raster(info: cube.CubeInfo, asset: str) -> np.ndarray:
    """[bands, H, W] after checking CRS, grid, dtype and band names against the item."""
    file = info.path / f"{asset}.tif"
    if not file.is_file():
        raise ValueError(f"{file}: expected the cube's {asset}, found no file")
    bands = len(info.periods) * len(_BANDS[asset]) if asset in _BANDS else 1
    try:
        with contextlib.closing(rasterio.open(file)) as raster:
            _check_crs(file, raster.crs, rasterio.CRS.from_wkt(info.geobox.crs.to_wkt()))
            found = {
                "shape": (raster.count, raster.height, raster.width),
                "dtype": raster.dtypes[0],
                "transform": tuple(raster.transform)[:6],
            }
            expected = {
                "shape": (bands, *info.shape),
                "dtype": _DTYPES[asset],
                "transform": tuple(info.geobox.affine)[:6],
            }
            for what, value in expected.items():
                if found[what] != value:
                    raise ValueError(f"{file}: expected {what} {value}, found {found[what]}")
            if asset in _BANDS:
                _check_band_names(file, list(raster.descriptions), band_names(info, asset))
            return raster.read()
    except rasterio.errors.RasterioError as error:
        raise ValueError(f"{file}: damaged or not a GeoTIFF ({error})") from error


def _check_crs(file: pathlib.Path, found: rasterio.CRS | None, expected: rasterio.CRS) -> None:
    # Compared as CRSs, not as text: GeoTIFF keys reword a CRS that has no EPSG code.
    if found is None or found != expected:
        raise ValueError(f"{file}: expected CRS {_crs_name(expected)}, found {_crs_name(found)}")


def _crs_name(crs: rasterio.CRS | None) -> str:
    if crs is None:
        return "none"
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.to_wkt()


def _check_band_names(file: pathlib.Path, found: list, expected: list[str]) -> None:
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        if a != b:
            raise ValueError(f"{file}: expected band {i + 1} to be named {b!r}, found {a!r}")
