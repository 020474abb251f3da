"""Writes field data: a folder that is whole or not there, and files that are read back."""

import contextlib
import errno
import io
import os
import pathlib
import shutil
from collections.abc import Iterator

import geopandas
import openpyxl
import shapely

from cropmap_jax.geo import files

_CUT_SHORT = OSError(
    errno.EIO, "what was read back differs from what was written, often for lack of space"
)


@contextlib.contextmanager
def making(out: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a folder to write in, which becomes `out` when all is done; one process at a time.

    Raises:
      ValueError: another process makes the same folder.
      OSError: no space or no permission, or `out` holds something by now; names it.
    """
    part = out.with_name(f".{out.name}.part")
    whole = part / out.name
    try:
        with files.Lock(part, "--field_data"):
            for left in part.iterdir():  # by a run that was killed
                if left.name != files.Lock.NAME:
                    shutil.rmtree(left)
            try:
                yield whole
                try:
                    # Onto an empty folder at most: one that was filled meanwhile stays.
                    whole.rename(out)
                except OSError as error:
                    raise files.not_written(out, error) from error
            finally:
                shutil.rmtree(whole, ignore_errors=True)
    finally:
        with contextlib.suppress(OSError):
            part.rmdir()


def write_shapefile(layer: geopandas.GeoDataFrame, path: pathlib.Path) -> None:
    """Writes a shapefile in a folder of its own and reads it back.

    Raises:
      OSError: it could not be written, or was cut short, as GDAL does on a full disk without a
        word; names the file.
    """
    try:
        path.parent.mkdir(parents=True)
        layer.to_file(path, driver="ESRI Shapefile", engine="pyogrio", encoding="UTF-8")
        found = geopandas.read_file(path, engine="pyogrio")
        same = found.crs is not None and len(found) == len(layer)
        for column in layer.columns.drop(layer.geometry.name):
            same = same and list(found[column]) == list(layer[column])
        one, other = (shapely.normalize(t.geometry.array) for t in (found, layer))
        same = same and bool(shapely.equals_exact(one, other).all())
        for part in path.parent.glob(f"{path.stem}.*"):
            with open(part, "rb") as file:
                os.fsync(file.fileno())
    except OSError as error:
        raise files.not_written(path, error) from error
    except (RuntimeError, KeyError, ValueError) as error:  # of GDAL, shapely and pyproj
        raise files.not_written(path, _CUT_SHORT) from error
    if not same:
        raise files.not_written(path, _CUT_SHORT)


def write_workbook(book: openpyxl.Workbook, path: pathlib.Path) -> None:
    """Writes a workbook.

    Raises:
      OSError: it could not be written; names the file.
    """
    # In memory first: openpyxl leaves a file that it could not finish open.
    data = io.BytesIO()
    book.save(data)
    files.write_bytes(path, data.getvalue())
