"""The files of field data that a glob matches, those inside zip files among them."""

import lzma
import pathlib
import zipfile
import zlib
from collections.abc import Callable
from typing import NamedTuple

MOST_UNPACKED = 8 * 2**30
"""Bytes that a zip file may hold; a small file can be made to hold more than any disk."""
# What lies next to a .shp and belongs to it.
_PARTS = {
    ".shx", ".dbf", ".prj", ".cpg", ".qpj", ".qix", ".qmd", ".sbn", ".sbx", ".atx", ".xml",
}  # fmt: skip
# What lies next to a file of another kind: schemas of GML, tables of MapInfo, logs of SQLite.
_COMPANIONS = {
    ".gml": {".xsd", ".gfs"}, ".tab": {".dat", ".map", ".id", ".ind"}, ".mif": {".mid"},
    ".gpkg": {".gpkg-wal", ".gpkg-shm", ".gpkg-journal"},
}  # fmt: skip
# Taken from a zip file, which may hold much else; tables only where there is nothing better.
_VECTORS = {
    ".shp", ".gpkg", ".geojson", ".json", ".geojsonl", ".geojsons", ".fgb", ".kml", ".kmz", ".gml",
    ".gpx", ".tab", ".mif", ".gdb", ".parquet", ".geoparquet",
}  # fmt: skip
_TABLES = {".csv", ".tsv", ".txt"}
_DEEPEST = 2


class Found(NamedTuple):
    """A file: where it lies, and how messages call it."""

    path: pathlib.Path
    name: str


def find(
    source: pathlib.Path, pattern: str, scratch: pathlib.Path, problem: Callable[[str], None]
) -> list[Found]:
    """Files that a glob matches, in order of their names.

    Args:
      source: folder of the field data.
      pattern: glob below it.
      scratch: folder that zip files are unpacked in.
      problem: takes a line for each zip file that cannot be read.

    Raises:
      ValueError, NotImplementedError: no pattern below a folder.
    """
    out = []
    for path in sorted(p for p in source.glob(pattern) if is_data(p)):
        name = path.relative_to(source).as_posix()
        try:
            out += _unpack(Found(path, name), scratch) if _is_zip(path) else [Found(path, name)]
        except ValueError as error:
            problem(str(error))
    return out


def is_data(path: pathlib.Path) -> bool:
    """Whether a path is data itself: not hidden, and not a part of a shapefile."""
    whole, suffix = path.is_file() or path.suffix.lower() == ".gdb", path.suffix.lower()
    if not whole or path.name.startswith(".") or suffix in _PARTS:
        return False
    mains = [main for main, companions in _COMPANIONS.items() if suffix in companions]
    return not any(path.with_suffix(s).is_file() for main in mains for s in (main, main.upper()))


def _is_zip(path: pathlib.Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file()


def _unpack(file: Found, scratch: pathlib.Path, depth: int = 0) -> list[Found]:
    """What a zip file holds, unpacked.

    Raises:
      ValueError: it cannot be unpacked, or holds no vectors.
    """
    folder = scratch / str(sum(1 for _ in scratch.iterdir()))
    folder.mkdir()
    try:
        with zipfile.ZipFile(file.path) as zipped:
            size = sum(member.file_size for member in zipped.infolist())
            if size > MOST_UNPACKED:
                raise ValueError(
                    f"{file.name}: expected at most {MOST_UNPACKED / 2**30:.0f} GiB in it, found "
                    f"{size / 2**30:.1f} GiB: unpack it yourself"
                )
            zipped.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError,
            NotImplementedError) as error:  # fmt: skip
        # RuntimeError: it asks for a password.
        raise ValueError(f"{file.name}: expected a zip file, found: {error}") from error
    except OSError as error:
        raise ValueError(
            f"{file.name}: could not be unpacked in {scratch} ({error.strerror}): set TMPDIR to a "
            f"folder with more space, or unpack it yourself"
        ) from error
    inside = sorted(p for p in folder.rglob("*") if _is_inside(p, folder))
    out: list[Found] = []
    for kinds in (_VECTORS, _TABLES):
        for path in () if out else (p for p in inside if p.suffix.lower() in {*kinds, ".zip"}):
            own = Found(path, f"{file.name}/{path.relative_to(folder).as_posix()}")
            nested = _is_zip(path) and depth < _DEEPEST
            out += _unpack(own, scratch, depth + 1) if nested else [own]
    if not out:
        held = ", ".join(p.name for p in inside[:6]) or "nothing"
        raise ValueError(f"{file.name}: expected vectors in it (.shp, .gpkg, .geojson, .parquet, "
                         f".csv and the like), found {held}")  # fmt: skip
    return out


def _is_inside(path: pathlib.Path, folder: pathlib.Path) -> bool:
    """Whether an unpacked path is data, and neither a part of a .gdb nor a Mac's shadow."""
    above = path.relative_to(folder).parts[:-1]
    return is_data(path) and not any(p == "__MACOSX" or p.lower().endswith(".gdb") for p in above)
