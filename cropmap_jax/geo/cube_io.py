"""Cubes on disk: a folder of GeoTIFFs with a STAC Item, written whole or not at all.

    <cubes>/<cube_id>/item.json  <sensor>.tif ...  label.tif  [fields.tif]  [clear.tif]
                                 [landcover.tif]

A cube is written under a temporary name and renamed when complete, so a folder with an item is
whole. Rasters are encoded in memory and written as bytes: a full disk then raises where it
happens, instead of leaving a file that GDAL closed without a word.
"""

import dataclasses
import functools
import hashlib
import os
import pathlib
import re
from collections.abc import Callable, Collection

import numpy as np
import rasterio.io

from cropmap_jax.geo import cube, cube_item, files, landcover, legend
from cropmap_jax.geo import names as names_lib
from cropmap_jax.geo.cube_item import ITEM, read_info
from cropmap_jax.geo.cube_reader import (
    DTYPES,
    SHA256,
    CubeReader,
    RawCube,
    band_names,
    dtype_of,
    open_cube,
    sensor_of,
    verify_checksums,
)

__all__ = [
    "ITEM",
    "CubeReader",
    "RawCube",
    "band_names",
    "colour_table",
    "list_cubes",
    "list_without_item",
    "note_without_item",
    "open_cube",
    "read_cube",
    "read_info",
    "read_raw",
    "recover",
    "verify_checksums",
    "write_cube",
]

_NODATA = {"label": legend.IGNORE, "fields": 0, landcover.LANDCOVER: landcover.NO_CODE}
_RASTER = re.compile(r"([a-z][a-z0-9_]*)\.tif(|\.aux\.xml|\.ovr|\.msk)")
"""All that a cube's folder may hold next to its item: also what QGIS puts next to a raster."""


def write_cube(
    value: cube.Cube | RawCube,
    cubes_dir: str | os.PathLike[str],
    overwrite: bool = False,
    check: Callable[[], object] = lambda: None,
) -> pathlib.Path:
    """Writes a cube into `<cubes_dir>/<cube_id>/`, whole or not at all.

    Args:
      value: the cube, or its pixels as they are stored; it is validated first.
      cubes_dir: folder of cubes, made if absent.
      overwrite: replace a cube of the same id, never a folder that holds anything else.
      check: called before it gets its name, see `files.replacing`.

    Returns:
      Path of the cube's folder.

    Raises:
      ValueError: an inconsistent cube, one that exists already, or a folder of that name that is
        no cube.
      OSError: no space or no permission; nothing is left behind.
    """
    if isinstance(value, RawCube) and not value.info.has_fields:
        value = dataclasses.replace(value, fields=None)
    cube.validate(value, stored=isinstance(value, RawCube))
    folder = pathlib.Path(cubes_dir)
    final = folder / value.info.cube_id
    if os.path.lexists(final):
        _check_replaceable(final)
        if not overwrite:
            raise ValueError(f"{final}: exists already; expected a new cube id, or overwrite")
    folder.mkdir(parents=True, exist_ok=True)
    _remove_unfinished(final)
    with files.replacing(final, check=check) as part:
        part.mkdir()
        checksums, digests = {}, {}
        for asset, pixels in _rasters(value).items():
            data = _encode_raster(value.info, asset, pixels)
            checksums[asset] = SHA256 + hashlib.sha256(data).hexdigest()
            files.write_synced(part / f"{asset}.tif", data)
            if sensor_of(value.info, asset):
                digests[asset] = _period_digests(pixels, len(value.info.periods))
        files.write_synced(part / ITEM, cube_item.item_bytes(value.info, checksums, digests))
    return final


def _check_replaceable(folder: pathlib.Path) -> None:
    """Requires a folder that is a whole cube and nothing else."""
    found = _foreign(folder)
    if not found:
        try:
            info = read_info(folder)
            found = _foreign(folder, {sensor.name for sensor in info.sensors} | set(DTYPES))
            if not found:
                return
        except ValueError as error:
            found = str(error)
    raise ValueError(
        f"{folder}: expected no such folder, or a cube of that id; found {found}; choose another "
        f"cube id or folder, or move that one away"
    )


def _foreign(folder: pathlib.Path, assets: set[str] | None = None) -> str:
    """The first thing in a folder that no cube has, or none with these rasters; "" if none is."""
    if folder.is_symlink() or not folder.is_dir():
        return "something other than a folder"

    def own(path: pathlib.Path) -> bool:
        raster = _RASTER.fullmatch(path.name)
        known = path.name == ITEM or (raster and (assets is None or raster[1] in assets))
        return bool(known) and path.is_file()

    return next(iter(sorted(p.name for p in folder.iterdir() if not own(p))), "")


def _remove_unfinished(final: pathlib.Path) -> None:
    """Removes what runs that were killed left of a cube."""
    for path in _unfinished(final.parent.absolute()):
        if path.suffix == ".old" and (path / ITEM).is_file() and not final.exists():
            continue  # the only copy: `recover` puts it back
        if files.unfinished(path) == final.name and not _foreign(path):
            files.remove_left(path)


def recover(cubes_dir: str | os.PathLike[str], names: Collection[str] | None = None) -> None:
    """Puts back cubes that a process was killed while replacing, and removes what it left behind.

    Args:
      cubes_dir: folder of cubes; it need not be there.
      names: ids of cubes that nobody else writes at the time; None for all of the folder.
    """
    folder = pathlib.Path(cubes_dir)
    for path in sorted(folder.glob(".*")) if folder.is_dir() else ():
        name = files.unfinished(path)
        if name is None or (names is not None and name not in names) or _foreign(path):
            continue
        # Moved aside where the system has no exchange of two names in one step.
        if path.suffix == ".old" and (path / ITEM).is_file() and not (folder / name).exists():
            path.rename(folder / name)
        else:
            files.remove_left(path)


@functools.lru_cache(maxsize=16)
def _unfinished(folder: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """What was unfinished in a folder when this process first wrote there.

    A look at every cube would take longer the more of them there are.
    """
    return tuple(p for p in folder.iterdir() if files.unfinished(p))


def list_cubes(cubes_dir: str | os.PathLike[str]) -> list[cube.CubeInfo]:
    """Reads the items of every whole cube in a folder, sorted by id.

    Folders without an item (an interrupted write) are skipped.

    Args:
      cubes_dir: folder of cubes.

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


def list_without_item(cubes_dir: str | os.PathLike[str]) -> list[str]:
    """Names of folders with rasters and no item, sorted: `list_cubes` skips them.

    Args:
      cubes_dir: folder of cubes; hidden folders in it are unfinished writes, and none of these.
    """
    found = {path.parent for path in pathlib.Path(cubes_dir).glob("*/*.tif")}
    return sorted(p.name for p in found if p.name[0] != "." and not (p / ITEM).exists())


def note_without_item(cubes_dir: str | os.PathLike[str]) -> list[str]:
    """What a command says about `list_without_item`: one line, or none."""
    names = list_without_item(cubes_dir)
    return [f"{names_lib.folders(names)} without {ITEM}: no cubes, left out"] if names else []


def read_cube(path: str | os.PathLike[str], verify: bool = False) -> cube.Cube:
    """Reads a cube into memory: float32 with NaN.

    Args:
      path: the cube's folder.
      verify: compare every raster with its checksum first.

    Raises:
      ValueError: names the file, what was found and what was expected.
    """
    raw = read_raw(path, verify)
    pixels = {s.name: s.decode(raw.pixels[s.name]) for s in raw.info.sensors}
    fields = raw.fields if raw.info.has_fields else None
    return cube.Cube(raw.info, pixels, raw.label, fields, raw.clear, raw.landcover)


def read_raw(path: str | os.PathLike[str], verify: bool = False) -> RawCube:
    """Reads a cube's pixels as stored; `fields` is all 0 where the cube has none.

    Args:
      path: the cube's folder.
      verify: compare every raster with its checksum first.

    Raises:
      ValueError: names the file, what was found and what was expected.
    """
    with open_cube(path, verify) as opened:
        return opened.read()


def _rasters(value: cube.Cube | RawCube) -> dict[str, np.ndarray]:
    h, w = value.info.shape
    rasters = {}
    for sensor in value.info.sensors:
        pixels = value.pixels[sensor.name]
        stored = pixels if isinstance(value, RawCube) else sensor.encode(pixels)
        rasters[sensor.name] = np.moveaxis(stored, -1, 1).reshape(-1, h, w)
    rasters["label"] = value.label[None]
    if value.fields is not None:
        rasters["fields"] = value.fields[None]
    if value.clear is not None:
        rasters[cube.CLEAR] = value.clear
    if value.landcover is not None:
        rasters[landcover.LANDCOVER] = value.landcover[None]
    return rasters


def _period_digests(pixels: np.ndarray, periods: int) -> list[str]:
    """Hash of each period's pixels as they are stored: 32 hex digits."""
    each = np.ascontiguousarray(pixels).reshape(periods, -1)
    return [hashlib.sha256(one.tobytes()).hexdigest()[:32] for one in each]


def _block_size(length: int) -> int:
    return min(128, max(16, -(-length // 16) * 16))


def _encode_raster(info: cube.CubeInfo, asset: str, pixels: np.ndarray) -> bytes:
    h, w = info.shape
    sensor, names = sensor_of(info, asset), band_names(info, asset)
    profile = {
        "driver": "GTiff",
        "dtype": dtype_of(info, asset),
        "count": len(pixels),
        "height": h,
        "width": w,
        "crs": info.crs.to_wkt(),
        "transform": info.geobox.affine,
        # Of a count no value is missing.
        "nodata": sensor.nodata if sensor else _NODATA.get(asset),
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
            if names:
                raster.descriptions = names
            if sensor:
                raster.scales = [1 / sensor.scale] * len(pixels)
            elif asset == "label":
                raster.set_band_description(1, f"label, legend {info.legend.name}")
                raster.write_colormap(1, colour_table(info.legend))
            elif asset == landcover.LANDCOVER and info.landcover is not None:
                raster.set_band_description(1, f"land cover {info.landcover.name}")
                colours = {c: bytes.fromhex(rgb[1:]) for c, _, rgb in info.landcover.classes}
                table = {c: (*rgb, 255) for c, rgb in colours.items()}
                raster.write_colormap(1, table | {landcover.NO_CODE: (0, 0, 0, 0)})
        return bytes(memory.getbuffer())


def colour_table(classes: legend.Legend) -> dict[int, tuple[int, int, int, int]]:
    """GDAL colour table of a legend: none-of-these light grey, unknown transparent."""
    table = {i: (*bytes.fromhex(c.colour[1:]), 255) for i, c in enumerate(classes.classes)}
    return table | {legend.NONE_OF_THESE: (221, 221, 221, 255), legend.IGNORE: (0, 0, 0, 0)}
