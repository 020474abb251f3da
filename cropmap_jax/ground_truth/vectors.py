"""One file of features: whether it is whole, its attributes, and where on Earth they lie."""

import codecs
import csv
import dataclasses
import difflib
import pathlib
import re
import struct
import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyogrio
import pyproj
import shapely
from pyproj.exceptions import ProjError

from cropmap_jax.geo import antimeridian
from cropmap_jax.ground_truth import polygons, tables
from cropmap_jax.ground_truth.names import normalise

WORLD = "EPSG:4326"
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
    """

    path: pathlib.Path
    name: str
    flag: str
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    crs: str = ""
    encoding: str = ""


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
    values: dict[str, list]
    solid: int
    deleted: tuple[int, ...] = ()


def inspect(file: File) -> dict:
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


def _inspect_table(file: File) -> dict:
    found = _call(file, tables.read, encoding=file.encoding, crs=file.crs)
    return {
        "features": len(found.frame),
        "fields": list(found.frame.columns),
        "crs": found.crs,
        "table": found,
        "note": found.note,
    }


def _inspect_vectors(file: File) -> dict:
    if _is_shapefile(file):
        _check_parts(file)
    if file.path.is_file():
        with file.path.open("rb") as opened:
            if _ELSEWHERE.search(opened.read(_HEAD)):
                raise ValueError(f"{file.name}: expected a file that holds features, found one "
                                 f"that refers to other files or hosts")  # fmt: skip
    found = [name for name, kind in _call(file, pyogrio.list_layers) if kind is not None]
    infos = [
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


def read(file: File, info: Mapping) -> Features:
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
        _check_encoding(file, values[key])
    lonlat, strays = _place(file, geometry, crs)
    return Features(lonlat, {**odd, **strays}, values, int(shapely.has_z(geometry).sum()), deleted)


def _read_frame(file: File, info: Mapping, columns: list[str]) -> tuple:
    """The table of features by their numbers, deleted ones without anything; and which those are.

    Raises:
      ValueError: it does not hold the features that it says.
    """
    frame = _call(
        file, pyogrio.read_dataframe, layer=info["layer_name"], encoding=_encoding(file),
        columns=columns, on_invalid="fix", fid_as_index=_is_shapefile(file),
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


def nearest(word: str, words: Iterable[str]) -> str:
    """End of a message that suggests the nearest of the words, or "" if none is near."""
    folded = {normalise(w).casefold(): w for w in words}
    near = difflib.get_close_matches(normalise(word).casefold(), folded, n=1, cutoff=0.5)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""


def _call(file: File, function, **settings):
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


def _find_crs(file: File, info: Mapping) -> pyproj.CRS:
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


def _find_column(file: File, key: str, column: str, info: Mapping) -> str:
    """The column of the file that looks like the one named."""
    fields = [str(f) for f in info["fields"]]
    for field in fields:
        if normalise(field) == normalise(column):
            return field
    _check_encoding(file, fields)
    raise ValueError(f"{file.name}: expected a column {column!r} ({key}), found "
                     f"{', '.join(fields) or 'none'}{nearest(column, fields)}")  # fmt: skip


def _check_encoding(file: File, values: Sequence) -> None:
    """Requires texts that were read in the encoding that they were written in."""
    texts = sorted({v for v in values if isinstance(v, str) and not v.isascii()})
    declared = f"{file.flag}.encoding" if file.encoding else "the encoding it declares"
    if any("\N{REPLACEMENT CHARACTER}" in text for text in texts):
        raise ValueError(f"{file.name}: expected texts in {declared}, found bytes that are not: "
                         f'set {file.flag}.encoding, e.g. to "utf-8"')  # fmt: skip
    repaired = [_as_utf8(text) for text in texts]
    if texts and all(repaired):
        raise ValueError(
            f"{file.name}: expected texts in {declared}, found UTF-8 ({repaired[0]!r} is read as "
            f'{texts[0]!r}): set {file.flag}.encoding = "utf-8"'
        )

    # No word of a language is of accented letters only: these are bytes of another script.
    foreign = [text for text in texts if re.search(r"(?<!\w)[\x80-\xff]{3,}(?!\w)", text)]
    guess = next((g for g in map(_guess, foreign) if g), None)
    if guess and not file.encoding and 2 * len(foreign) > len(texts):
        encoding, text, decoded = guess
        raise ValueError(
            f"{file.name}: expected texts in {declared}, found {text!r}, which may be {decoded!r} "
            f"in {encoding}: set {file.flag}.encoding to what they were written in, such as "
            f'"{encoding}"'
        )


_ENCODINGS = ("cp1256", "cp1251", "cp1253", "gb18030")


def _guess(text: str) -> tuple[str, str, str] | None:
    """(encoding, text, the text in it), where that is in letters of one other script only."""
    for encoding in _ENCODINGS:
        for read_in in ("latin-1", "cp1252"):
            try:
                decoded = text.encode(read_in).decode(encoding)
            except UnicodeError:
                continue
            scripts = {
                unicodedata.name(c, "?").split()[0]
                for c in decoded
                if c.isalpha() and not c.isascii()
            }
            if len(scripts) == 1 and not scripts & {"LATIN", "?"}:
                return encoding, text, decoded
    return None


def _as_utf8(text: str) -> str:
    """The text that its bytes are in UTF-8, or "" if they are not."""
    for codec in ("latin-1", "cp1252"):
        try:
            # Incremental, because a fixed width may have cut the last letter in two.
            repaired = codecs.getincrementaldecoder("utf-8")().decode(text.encode(codec))
        except UnicodeError:
            continue
        # The last letter of "Blé" in Latin-1 begins a letter of UTF-8, but nothing else does.
        return "" if repaired.isascii() else repaired
    return ""


def _place(file: File, geometry: np.ndarray, crs: pyproj.CRS) -> tuple[np.ndarray, dict[int, str]]:
    """Geometries in EPSG:4326, and {feature: its first vertex that is no place on Earth}."""
    turn = _turn(crs)
    # Longitudes from 0 to 360 are common; maps that continue beyond their edge do not go far.
    geometry = _within(geometry, turn, turn if crs.is_geographic else 0.55 * turn)
    try:
        lonlat = polygons.project(geometry, crs, WORLD)
        # PROJ wraps what lies beyond the edge of its world: then the way back leads elsewhere.
        back = shapely.get_coordinates(polygons.project(lonlat, WORLD, crs))
    except ProjError as error:
        raise ValueError(f"{file.name}: expected a coordinate system with a way to {WORLD}, found "
                         f"{crs.name!r} ({error})") from error  # fmt: skip
    here, owner = shapely.get_coordinates(geometry, return_index=True)
    there = shapely.get_coordinates(lonlat)
    finite = np.isfinite(here).all(1)
    with np.errstate(invalid="ignore", over="ignore"):
        good = finite & (np.abs(there) <= (180 + 1e-9, 90)).all(1)
        off = np.abs(back - here)
        # 180 degrees east and west are one place.
        edge = turn > 0 and np.abs(np.abs(here[:, 0]) - turn / 2) <= 1e-3 * turn
        off[:, 0] = np.where(edge, np.minimum(off[:, 0], np.abs(turn - off[:, 0])), off[:, 0])
        good &= (off <= 1e-3 * np.maximum(1, np.abs(here))).all(1)
    if crs.is_geographic:
        # Far out at sea: where coordinates end up that were left empty.
        good &= (here != 0).any(1)
    degrees = bool(crs.is_projected and (np.abs(here[finite]) <= (180, 90)).all())
    if finite.any() and (degrees or not good.any()):
        (left, bottom), (right, top) = here[finite].min(0), here[finite].max(0)
        hint = "is its coordinate system the right one?"
        if crs.is_geographic and (np.abs(here[finite]) <= (90, 180)).all():
            hint = "are latitude and longitude swapped?"
        raise ValueError(
            f"{file.name}: expected coordinates of {crs.name}, found x {left:.7g} to {right:.7g}, "
            f"y {bottom:.7g} to {top:.7g}, {'degrees' if degrees else 'no place on Earth'}: {hint}"
        )
    lost, first = np.unique(owner[~good], return_index=True)
    texts = [f"x {x:.7g}, y {y:.7g}" for x, y in here[~good][first]]
    strays = dict(zip(lost.tolist(), texts, strict=True))
    whole = np.setdiff1d(np.flatnonzero(~shapely.is_missing(lonlat)), lost)
    lonlat[whole] = antimeridian.unwrap(lonlat[whole])
    around = whole[shapely.is_missing(lonlat[whole])]
    return lonlat, strays | dict.fromkeys(around.tolist(), "a ring around the Earth or a pole")


def _turn(crs: pyproj.CRS) -> float:
    """What a turn round the Earth adds to x, in the unit of the CRS; 0.0: x is no longitude."""
    if crs.is_geographic:
        return 2 * np.pi / crs.axis_info[0].unit_conversion_factor
    method = crs.coordinate_operation.method_name if crs.coordinate_operation else ""
    if not re.search(r"^(Mercator|Popular Visuali[sz]ation|Equidistant Cylindrical)", method):
        return 0.0
    # In these x is proportional to the longitude.
    middle = polygons.project([shapely.Point(0, 0)], crs, WORLD)[0].x
    east = polygons.project([shapely.Point(middle + 1, 0)], WORLD, crs)[0].x
    return 360.0 * east


def _within(geometry: np.ndarray, turn: float, most: float) -> np.ndarray:
    """Geometries whose x lies within half a turn, moved by a turn if it is no more than `most`."""
    x = shapely.get_coordinates(geometry)[:, 0]
    if not turn or not (np.abs(x) > turn / 2).any():
        return geometry

    def move(xy):
        beyond = (np.abs(xy[:, 0]) > turn / 2) & (np.abs(xy[:, 0]) <= most)
        return np.stack(
            [np.where(beyond, xy[:, 0] - turn * np.sign(xy[:, 0]), xy[:, 0]), xy[:, 1]], 1
        )

    return shapely.transform(geometry, move)
