"""One file of features: whether it is whole, its attributes, and where on Earth they lie."""

import codecs
import csv
import dataclasses
import pathlib
import re
import struct
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pyproj
import shapely
from pyproj.exceptions import ProjError

from cropmap_jax.ground_truth import coordinates, encodings, tables
from cropmap_jax.ground_truth.names import nearest, normalise

_DRIVERS = {
    "AVCBin", "AVCE00", "DGN", "DXF", "ESRI Shapefile", "ESRIJSON", "FlatGeobuf", "GML", "GPKG",
    "GPX", "GeoJSON", "GeoJSONSeq", "JSONFG", "KML", "LIBKML", "MapInfo File", "MiraMonVector",
    "OGR_GMT", "OpenFileGDB", "SQLite", "TopoJSON",
}  # fmt: skip
"""GDAL's drivers that read what is in the file; others follow it to other files and hosts."""
# How the files begin that only say where to read: of GDAL's VRT, WFS, CSW, WMS and pipelines.
_ELSEWHERE = re.compile(rb"<\s*(OGR(VRT|WFS|CSW)|VRT|GDAL_W)|gdal_streamed_alg", re.IGNORECASE)
_HEAD = 2**20
# What GDAL and Arrow raise of files that are none of theirs, or half of one.
_UNREADABLE = (
    RuntimeError, OSError, ValueError, TypeError, KeyError, AttributeError, csv.Error,
    shapely.errors.ShapelyError,
)  # fmt: skip
# A GML file may name a schema on some host, and any file another one behind a URL.
pyogrio.set_gdal_config_options(
    {"GML_DOWNLOAD_SCHEMA": "NO", "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "none"}
)


@dataclasses.dataclass(frozen=True)
class File:
    """A file and what the config says of it.

    Args:
      path: where it lies.
      name: how messages call it.
      flag: key of the config that it belongs to, e.g. "config.layers.maize".
      columns: {key of the config: column that it names}.
      crs: coordinate system where the file does not say.
      encoding: of the attributes; "" is what the file declares.
      layer: which one, of a file with several; "" for the only one.
    """

    path: pathlib.Path
    name: str
    flag: str
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    crs: str = ""
    encoding: str = ""
    layer: str = ""


@dataclasses.dataclass(frozen=True)
class Features:
    """What a file holds, one entry per feature.

    Args:
      geometry: object array, EPSG:4326, x before y, 2-D; None where there is none.
        What crosses 180 degrees continues beyond it.
      strays: {feature: its coordinates that are no place on Earth}.
      values: {key of the config: values of its column}; None where there is none.
      solid: features that had heights.
      deleted: features that the file marks as deleted.
    """

    geometry: np.ndarray
    strays: dict[int, str]
    values: dict[str, list[Any]]
    solid: int
    deleted: tuple[int, ...] = ()


def inspect(file: File) -> dict[str, Any]:
    """What a file says of itself (`pyogrio.read_info`), once it is known to be whole.

    Of a table (`tables`) it holds the table itself, as "table", and a note for the log, as "note".

    Raises:
      ValueError: a part of it is missing, it cannot be read, it refers to other files or hosts, or
        it holds no features.
    """
    try:
        codecs.lookup(file.encoding or "utf-8")
    except LookupError:
        raise ValueError(f'{file.flag}.encoding: expected one such as "utf-8" or "cp1256", found '
                         f"{file.encoding!r}") from None  # fmt: skip
    if file.path.suffix.lower() in tables.SUFFIXES:
        info = _inspect_table(file)
    else:
        info = _inspect_vectors(file)
    if not info["features"]:
        raise ValueError(f"{file.name}: expected features, found an empty layer")
    return info


def _inspect_table(file: File) -> dict[str, Any]:
    found = _call(file, tables.read, encoding=file.encoding, crs=file.crs)
    return {
        "features": len(found.frame),
        "fields": list(found.frame.columns),
        "crs": found.crs,
        "table": found,
        "note": found.note,
    }


def _inspect_vectors(file: File) -> dict[str, Any]:
    if _is_shapefile(file):
        _check_parts(file)
    if file.path.is_file():
        with file.path.open("rb") as opened:
            if _ELSEWHERE.search(opened.read(_HEAD)):
                raise ValueError(f"{file.name}: expected a file that holds features, found one "
                                 f"that refers to other files or hosts")  # fmt: skip
    found = [name for name, kind in _call(file, pyogrio.list_layers) if kind is not None]
    if file.layer:
        if file.layer not in found:
            raise ValueError(f"{file.name}: expected a layer {file.layer!r} with geometries, found "
                             f"{', '.join(found) or 'none'}")  # fmt: skip
        found = [file.layer]
    infos: list[dict[str, Any]] = [
        _call(file, pyogrio.read_info, layer=name, encoding=_encoding(file),
              force_feature_count=True)
        for name in found
    ]  # fmt: skip
    if len(infos) > 1:  # the only one with the columns that the config names
        wanted = {normalise(column) for column in file.columns.values()}
        infos = [i for i in infos if wanted and wanted <= set(map(normalise, i["fields"]))]
    if len(infos) != 1:
        raise ValueError(f"{file.name}: expected one layer with geometries, found "
                         f"{', '.join(found) or 'none'}")  # fmt: skip
    if infos[0]["driver"] not in _DRIVERS:
        raise ValueError(f"{file.name}: expected a file of vectors such as a Shapefile, GeoPackage "
                         f"or GeoJSON, found one of {infos[0]['driver']}")  # fmt: skip
    return infos[0]


def read(file: File, info: Mapping[str, Any]) -> Features:
    """The features of a file.

    Args:
      file: the file.
      info: what `inspect` found.

    Raises:
      ValueError: an unknown CRS, a column that is missing, another encoding than declared, or
        coordinates that are no places of the CRS.
    """
    crs = _find_crs(file, info)
    columns = {key: _find_column(file, key, c, info) for key, c in file.columns.items()}
    table = info.get("table")
    if table is None:
        frame, deleted = _read_frame(file, info, sorted(set(columns.values())))
        geometry, odd = np.asarray(frame.geometry.values, object), {}
    else:
        frame, deleted, geometry, odd = table.frame, (), table.geometry, table.strays
    values = {}
    for key, column in columns.items():
        values[key] = frame[column].astype(object).where(frame[column].notna(), None).tolist()
        encodings.check(values[key], file.name, file.flag, file.encoding)
    lonlat, strays = coordinates.to_lonlat(geometry, crs, file.name)
    return Features(lonlat, {**odd, **strays}, values, int(shapely.has_z(geometry).sum()), deleted)


def read_whole(file: File, info: Mapping[str, Any]) -> tuple[geopandas.GeoDataFrame, Features]:
    """A file with all its columns, and its features.

    Args:
      file: the file, whose columns need not be named.
      info: what `inspect` found.

    Returns:
      The table as it is, with its CRS; and where its features lie, without values.

    Raises:
      ValueError: as `read`.
    """
    crs = _find_crs(file, info)
    table = info.get("table")
    if table is None:
        (frame, deleted), odd = _read_frame(file, info, None), {}
    else:
        frame = geopandas.GeoDataFrame(table.frame, geometry=table.geometry)
        deleted, odd = (), table.strays
    frame = frame.set_crs(crs, allow_override=True)
    geometry = np.asarray(frame.geometry.values, object)
    lonlat, strays = coordinates.to_lonlat(geometry, crs, file.name)
    solid = int(shapely.has_z(geometry).sum())
    return frame, Features(lonlat, {**odd, **strays}, {}, solid, deleted)


def _read_frame(
    file: File, info: Mapping[str, Any], columns: list[str] | None
) -> tuple[geopandas.GeoDataFrame, tuple[int, ...]]:
    """The table of features by their numbers, deleted ones without anything; and which those are.

    Of all columns where none are named.

    Raises:
      ValueError: it does not hold the features that it says.
    """
    frame = _call(
        file, pyogrio.read_dataframe, layer=info["layer_name"],
        encoding=file.encoding or None if columns is None else _encoding(file), columns=columns,
        on_invalid="fix", fid_as_index=_is_shapefile(file),
    )  # fmt: skip
    if len(frame) == info["features"]:
        return frame, ()
    deleted = np.setdiff1d(np.arange(info["features"]), frame.index)
    if not _is_shapefile(file) or not set(deleted) <= _marked_deleted(file):
        raise ValueError(f"{file.name}: expected {info['features']} features as its header "
                         f"says, found {len(frame)}: its parts do not belong together")  # fmt: skip
    return frame.reindex(range(info["features"])), tuple(deleted.tolist())


def _marked_deleted(file: File) -> set[int]:
    """Rows of the .dbf next to a .shp that begin with an asterisk."""
    parts = (p for p in file.path.parent.iterdir() if p.stem == file.path.stem)
    table = next((p.read_bytes() for p in parts if p.suffix.lower() == ".dbf"), b"")
    if len(table) < 12:
        return set()
    # Bytes 4 to 11 of the header, little-endian: rows, length of the header, length of a row.
    rows, head, row = struct.unpack("<IHH", table[4:12])
    return {i for i in range(rows) if table[head + i * row :][:1] == b"*"} if row else set()


def _call(file: File, function: Callable[..., Any], **settings: Any) -> Any:
    """A function of pyogrio, quietly, whose errors name the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(file.path, **settings)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file.name}: expected texts in {file.encoding or 'the encoding it declares'}, found "
            f"bytes that are not ({error}): set {file.flag}.encoding to what they were written "
            f'in, such as "utf-8" or "cp1256"'
        ) from error
    except pyogrio.errors.CRSError as error:
        raise ValueError(
            f"{file.name}: expected a coordinate system, found one that cannot be read ({error}): "
            f"delete its .prj and set {file.flag}.crs"
        ) from error
    except _UNREADABLE as error:
        kind = (
            "a table with coordinates"
            if function is tables.read
            else "a file of vectors that GDAL reads"
        )
        raise ValueError(f"{file.name}: expected {kind}, found: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:500]


def _is_shapefile(file: File) -> bool:
    return file.path.suffix.lower() == ".shp"


def _encoding(file: File) -> str | None:
    """The encoding to read in; None is what the file declares."""
    # Names of columns that no key names may be written in anything.
    anything = "ISO-8859-1" if _is_shapefile(file) and not file.columns else None
    return file.encoding or anything


def _check_parts(file: File) -> None:
    """Requires the files next to a .shp that are needed, and all of the .shp."""
    found = {p.suffix.lower() for p in file.path.parent.iterdir() if p.stem == file.path.stem}
    needed = [".shx"] + [".dbf"] * bool(file.columns) + [".prj"] * (not file.crs)
    for suffix in needed:
        if suffix not in found:
            instead = f", or {file.flag}.crs" if suffix == ".prj" else ""
            raise ValueError(f"{file.name}: expected {file.path.stem}{suffix} next to it{instead}, "
                             f"found none")  # fmt: skip
    size = file.path.stat().st_size
    with file.path.open("rb") as opened:
        head = opened.read(28)
    # Bytes 24 to 27 of the header: the length of the file in 16-bit words, big-endian.
    if len(head) < 28 or size < (length := 2 * struct.unpack(">i", head[24:])[0]):
        expected = length if len(head) == 28 else 100
        raise ValueError(f"{file.name}: expected {expected} bytes as its header says, found {size}")


def _find_crs(file: File, info: Mapping[str, Any]) -> pyproj.CRS:
    found = ""
    for text in (info["crs"], file.crs):
        try:
            crs = pyproj.CRS(text) if text else None
        except ProjError:
            crs = None
        if crs is not None and (crs.is_geographic or crs.is_projected):
            return crs
        found = text or found
    raise ValueError(
        f"{file.name}: expected a geographic or projected coordinate system, found "
        f"{found[:60] or 'none'!r}: set {file.flag}.crs, e.g. to EPSG:4326"
    )


def _find_column(file: File, key: str, column: str, info: Mapping[str, Any]) -> str:
    """The column of the file that looks like the one named."""
    fields = [str(f) for f in info["fields"]]
    for field in fields:
        if normalise(field) == normalise(column):
            return field
    encodings.check(fields, file.name, file.flag, file.encoding)
    raise ValueError(f"{file.name}: expected a column {column!r} ({key}), found "
                     f"{', '.join(fields) or 'none'}{nearest(column, fields)}")  # fmt: skip
