"""The truth of a simulated tile: `truth.tif` and `parcel.tif`, for checking.

Each file records its world and carries a checksum of its pixels, so that one that was cut
short, or is of another seed, is not taken for this tile's. Nothing that trains reads them.
"""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import rasterio.errors
import rasterio.io

from cropmap_jax.geo import cube, cube_io, files, geotiffs
from cropmap_jax.geo.legend import IGNORE

NODATA = {"truth": IGNORE, "parcel": 0}
"""Of each file; "truth" is uint8, the index in the legend, "parcel" uint32, the field's number."""
_SOURCE, _CHECKSUM = "SOURCE", "PIXELS_SHA256"
# TIFF and BigTIFF, little and big endian.
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_whole(folder: pathlib.Path, source: Mapping[str, Any]) -> bool:
    """Whether a tile's truth is there, undamaged and of that source.

    Args:
      folder: of the tile.
      source: what its truth depends on, as JSON keeps it.

    Raises:
      ValueError: one is there that is of another source; names the file and what differs.
    """
    return all([_read(folder / f"{name}.tif", source)[0] for name in NODATA])


def complete(
    folder: pathlib.Path,
    info: cube.CubeInfo,
    own: Mapping[str, np.ndarray],
    source: Mapping[str, Any],
) -> None:
    """Writes the files of a tile's truth that are not there, or not whole.

    Args:
      folder: of the tile, made if absent.
      info: of its cube.
      own: {"truth": uint8 [H, W], "parcel": uint32 [H, W]}.
      source: what its truth depends on, as JSON keeps it.

    Raises:
      ValueError: a file is there that the simulator did not write, or of another source.
      OSError: no space or no permission; names the file.
    """
    for name, array in own.items():
        file = folder / f"{name}.tif"
        whole, found = _read(file, source)
        if whole:
            continue
        # Without a mark: of an earlier version, which wrote none.
        if found is not None and not np.array_equal(found, array):
            raise ValueError(
                f"{file}: expected the truth of {info.cube_id} as it is simulated, found other "
                f"pixels; expected another folder for the truth, or that file moved away"
            )
        made = not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.not_written(file, error) from error
        try:
            files.write_bytes(file, _encode(info, name, array, source))
        except OSError:
            if made:
                folder.rmdir()
            raise


def _read(file: pathlib.Path, source: Mapping[str, Any]) -> tuple[bool, np.ndarray | None]:
    """(whether it is whole, its pixels if they can be read and it has no mark)."""
    if not file.exists():
        return False, None
    with open(file, "rb") as data:
        if data.read(4) not in (*_TIFF, b""):
            raise ValueError(
                f"{file}: expected a truth that the simulator wrote, found another file; expected "
                f"another folder for the truth, or that file moved away"
            )
    try:
        with geotiffs.open_geotiff(file) as raster:
            tags, pixels = raster.tags(), raster.read(1)
    except ValueError:
        return False, None  # cut short
    if _SOURCE not in tags:
        return False, pixels
    expected = json.loads(json.dumps(source))
    there = _source(tags[_SOURCE])
    differ = [
        f"{key}: {there.get(key)!r} there, {expected.get(key)!r} requested"
        for key in sorted({*there, *expected})
        if there.get(key) != expected.get(key)
    ]
    if differ:
        raise ValueError(
            f"{file}: expected the truth of the same settings, found {'; '.join(differ)}; expected "
            f"another folder for the truth"
        )
    return tags.get(_CHECKSUM) == _checksum(pixels), None


def _source(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _checksum(pixels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _encode(info: cube.CubeInfo, name: str, array: np.ndarray, source: Mapping[str, Any]) -> bytes:
    # In memory: a full disk then raises, instead of leaving a file that GDAL closed without a word.
    height, width = info.shape
    with rasterio.io.MemoryFile() as memory:
        with memory.open(
            driver="GTiff", dtype=array.dtype, count=1, height=height, width=width,
            # A cube has a CRS.
            crs=info.geobox.crs.to_wkt(),  # type: ignore[union-attr]
            transform=info.geobox.affine, nodata=NODATA[name],
            compress="zstd",
        ) as raster:  # fmt: skip
            raster.write(array, 1)
            marks = {_SOURCE: json.dumps(source, sort_keys=True), _CHECKSUM: _checksum(array)}
            raster.update_tags(**marks)
            if name == "truth":
                raster.set_band_description(1, f"true class, legend {info.legend.name}")
                raster.write_colormap(1, cube_io.colour_table(info.legend))
        return bytes(memory.getbuffer())
