"""Opens third-party GeoTIFFs safely: no other format by that name, no file that they refer to."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import rasterio
import rasterio.errors
import rasterio.io

OPTIONS = {
    # A sidecar (.aux.xml) may give a raster another nodata value, scale or CRS than it has.
    "GDAL_PAM_ENABLED": "NO",
    # Nothing next to the file is looked for, and nothing outside of this machine.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".nothing",
}
"""GDAL's settings while a raster of a cube is opened."""


def open_to_keep(file: str | os.PathLike[str]) -> rasterio.io.DatasetReader:
    """Opens a GeoTIFF of a cube that stays open; the caller closes it, and reads in `naming`.

    Raises:
      ValueError: as `open_geotiff`.
    """
    path = pathlib.Path(file)
    if not path.is_file():
        raise ValueError(f"{path}: expected a GeoTIFF, found no file")
    with naming(path), rasterio.Env(**OPTIONS):
        return rasterio.open(path.absolute(), driver="GTiff")


@contextlib.contextmanager
def naming(path: pathlib.Path, place: object = None) -> Iterator[None]:
    """Turns what GDAL raises about a GeoTIFF into a ValueError that names it.

    Args:
      path: the file.
      place: what GDAL calls it; its absolute path if None.
    """
    try:
        yield
    except rasterio.errors.RasterioError as error:
        known = str(place or path.absolute())
        lines = str(error).replace(known, path.name).splitlines() or [type(error).__name__]
        raise ValueError(f"{path}: damaged or not a GeoTIFF ({lines[0][:200]})") from error


@contextlib.contextmanager
def open_geotiff(
    file: str | os.PathLike[str], sidecars: bool = False, data: bytes | None = None
) -> Iterator[rasterio.io.DatasetReader]:
    """Opens a GeoTIFF for reading, by its content: a VRT or another format named .tif is refused.

    Args:
      file: its path.
      sidecars: whether files next to it (.aux.xml, .ovr, .msk) count, as for a user's own rasters;
        for cubes they do not.
      data: the file's bytes where they have been read already, e.g. to compare a checksum.

    Raises:
      ValueError: there is no such file, it is no GeoTIFF, or it is damaged; names the file. Also
        where the damage shows while it is read.
    """
    path = pathlib.Path(file)
    if not path.is_file():
        raise ValueError(f"{path}: expected a GeoTIFF, found no file")
    options = {} if sidecars else OPTIONS
    with contextlib.ExitStack() as stack:
        stack.enter_context(naming(path))
        stack.enter_context(rasterio.Env(**options))
        place: object = path.absolute()
        if data is not None:
            place = stack.enter_context(rasterio.io.MemoryFile(data)).name
        stack.enter_context(naming(path, place))
        yield stack.enter_context(rasterio.open(place, driver="GTiff"))
