"""Opens third-party GeoTIFFs safely: no other format by that name, no file that they refer to."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import rasterio
import rasterio.errors
import rasterio.io

_OPTIONS = {
    # A sidecar (.aux.xml) may give a raster another nodata value, scale or CRS than it has.
    "GDAL_PAM_ENABLED": "NO",
    # Nothing next to the file is looked for, and nothing outside of this machine.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".nothing",
}


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
    options = {} if sidecars else _OPTIONS
    place = path.absolute()
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(rasterio.Env(**options))
            if data is not None:
                place = stack.enter_context(rasterio.io.MemoryFile(data)).name
            yield stack.enter_context(rasterio.open(place, driver="GTiff"))
    except rasterio.errors.RasterioError as error:
        lines = str(error).replace(str(place), path.name).splitlines() or [type(error).__name__]
        raise ValueError(f"{path}: damaged or not a GeoTIFF ({lines[0][:200]})") from error
