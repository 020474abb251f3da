"""Tables of features that GDAL does not take for such: GeoParquet, and CSV with coordinates."""

import csv
import io
import json
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import geopandas
import numpy as np
import pandas as pd
import pyproj
import shapely

from cropmap_jax.ground_truth.names import normalise

SUFFIXES = (".parquet", ".geoparquet", ".csv", ".tsv", ".txt")
_DEGREES = "EPSG:4326"
# Titles of columns, in lower case.
_SHAPES = ("wkt", "geometry", "geom", "the_geom", "wkt_geom", "geom_wkt", "wkb", "shape")
_LONLAT = (
    ("longitude", "lon", "long", "lng", "decimallongitude"),
    ("latitude", "lat", "decimallatitude"),
)
_XY = (
    ("x", "easting", "point_x", "x_coord", "xcoord"),
    ("y", "northing", "point_y", "y_coord", "ycoord"),
)
_NOTHING = ("", "-", "na", "n/a", "nan", "null", "none")
_SRID = re.compile(r"\s*SRID=(\d+);", re.IGNORECASE)


class Table(NamedTuple):
    """What a table holds, one row per feature.

    Args:
      frame: columns.
      geometry: object [n]; None where there is none.
      crs: whatever pyproj takes, or None.
      strays: {row: its coordinates that are none}.
      note: what was taken for granted, or "".
    """

    frame: pd.DataFrame
    geometry: np.ndarray
    crs: object
    strays: Mapping[int, str]
    note: str = ""


def read(path: pathlib.Path, encoding: str = "", crs: str = "") -> Table:
    """Reads a table.

    Args:
      path: a file with one of SUFFIXES.
      encoding: of the texts in a CSV file; "" is UTF-8, or what its first bytes say.
      crs: of the coordinates, where the file does not say.

    Raises:
      ValueError: no columns that say where its rows lie, or no such table.
      UnicodeDecodeError: another encoding.
    """
    if path.suffix.lower() in (".parquet", ".geoparquet"):
        return _read_parquet(path, crs)
    return _locate(_read_csv(path, encoding), crs)


def _read_parquet(path: pathlib.Path, crs: str) -> Table:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise ValueError("GeoParquet needs the package pyarrow: pip install pyarrow") from None
    known = json.loads((parquet.read_schema(path).metadata or {}).get(b"geo", b"{}"))
    name = known.get("primary_column", "")
    column = known.get("columns", {}).get(name, {})
    if column and column.get("encoding") != "WKB":
        whole = geopandas.read_parquet(path)
        frame = pd.DataFrame(whole.drop(columns=whole.geometry.name))
        return Table(frame, np.asarray(whole.geometry.values, object), whole.crs, {})
    frame = parquet.read_table(path).to_pandas().reset_index(drop=True)
    if not column:
        return _locate(frame, crs)
    # Not by geopandas, for which one unreadable record is an unreadable file.
    shapes = shapely.from_wkb(frame[name].to_numpy(object), on_invalid="ignore")
    lost = frame[name].notna().to_numpy() & shapely.is_missing(shapes)
    strays = dict.fromkeys(np.flatnonzero(lost).tolist(), "bytes that are not a geometry")
    # Where the key is absent the standard says CRS84; null is unknown.
    found = column.get("crs", "OGC:CRS84")
    found = pyproj.CRS.from_json_dict(found) if isinstance(found, dict) else found
    return Table(frame.drop(columns=name), shapes, found, strays)


def _read_csv(path: pathlib.Path, encoding: str) -> pd.DataFrame:
    """The cells of a CSV file as texts; commas, semicolons, tabs or bars lie between them."""
    data = path.read_bytes()
    if not encoding:
        utf_16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        encoding = "utf-16" if utf_16 else "utf-8-sig"
    text = data.decode(encoding).removeprefix("\ufeff")
    first, _, rest = text.partition("\n")
    if first.strip().casefold().startswith("sep="):  # a spreadsheet's way to name the separator
        separator, text = first.strip()[4:5] or "\t", rest
    else:
        separator = max("\t;|,", key=first.count)
    csv.field_size_limit(sys.maxsize)  # a polygon is longer than a cell may be otherwise
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = [row for row in reader if any(cell.strip() for cell in row)]
    if not rows:
        raise ValueError("an empty table")
    titles = [title.strip() or f"column {i}" for i, title in enumerate(rows[0], 1)]
    wide = len(titles)
    # A row with a cell too many is not known to be in order: it has no cell at all.
    cells = [row if len(row) <= wide or not any(row[wide:]) else [] for row in rows[1:]]
    table = [(row + [""] * wide)[:wide] for row in cells]
    frame = pd.DataFrame(table, columns=titles, dtype=object)
    frame = frame.loc[:, ~frame.columns.duplicated()]
    frame.attrs["odd"] = {i: f"{len(row)} cells, expected {wide}"
                          for i, row in enumerate(rows[1:]) if not cells[i]}  # fmt: skip
    return frame


def _locate(frame: pd.DataFrame, crs: str) -> Table:
    """A table whose rows say where they lie."""
    titles = {normalise(title).casefold(): title for title in reversed(list(frame.columns))}
    odd = dict(frame.attrs.pop("odd", {}))
    shape = next((titles[name] for name in _SHAPES if name in titles), None)
    if shape is not None:
        geometry, strays, srid = _parse_shapes(frame[shape].tolist())
        return _in_degrees(Table(frame, geometry, crs or srid, odd | strays), shape)
    for names in (_LONLAT, _XY):
        x, y = (next((titles[n] for n in own if n in titles), None) for own in names)
        if x is None or y is None:
            continue
        geometry, strays = _parse_points(frame[x].tolist(), frame[y].tolist())
        if names is _LONLAT:
            return Table(frame, geometry, crs or _DEGREES, strays | odd)
        return _in_degrees(Table(frame, geometry, crs, strays | odd), f"{x} and {y}")
    raise ValueError(
        f"no column of coordinates (latitude and longitude, x and y, or WKT) among "
        f"{', '.join(map(str, frame.columns))[:300]}"
    )


def _in_degrees(table: Table, columns: str) -> Table:
    """The table, in degrees if nothing says otherwise and its coordinates can be nothing else."""
    xy = shapely.get_coordinates(table.geometry)
    if table.crs or not len(xy) or not (np.abs(xy) <= (360, 90)).all():
        return table
    note = f"no coordinate system given: {columns} read as degrees of {_DEGREES}"
    return table._replace(crs=_DEGREES, note=note)


def _parse_points(x: Sequence[object], y: Sequence[object]) -> tuple[np.ndarray, dict[int, str]]:
    """Points; None where a cell is empty; and what is neither empty nor a number."""
    out, strays = np.full(len(x), None, object), {}
    for i, pair in enumerate(zip(x, y, strict=True)):
        texts = [normalise(cell) for cell in pair]
        if any(text.casefold() in _NOTHING for text in texts):
            continue
        try:
            out[i] = shapely.Point(*map(parse_number, texts))
        except ValueError:
            strays[i] = f"x {texts[0][:40]!r}, y {texts[1][:40]!r}"
    return out, strays


def parse_number(text: str) -> float:
    """A number as people write it: with a point or a comma, in digits of any script.

    Raises:
      ValueError: no number.
    """
    plain = text.replace("\u066b", ".").replace("\u2212", "-").replace(" ", "")
    if "," in plain:
        # Of a point and a comma, the last one parts the fraction, the other one thousands.
        other = "." if plain.rindex(",") > plain.rfind(".") else ","
        plain = plain.replace(other, "").replace(",", ".")
    return float(plain)


def _parse_shapes(cells: Sequence[object]) -> tuple[np.ndarray, dict[int, str], str]:
    """Geometries of WKT or WKB, what is neither, and the coordinate system that they name."""
    out, strays, srid = np.full(len(cells), None, object), {}, ""
    for i, cell in enumerate(cells):
        if isinstance(cell, bytes | bytearray):
            out[i] = shapely.from_wkb(bytes(cell), on_invalid="ignore")
        else:
            text = normalise(cell)
            if text.casefold() in _NOTHING:
                continue
            named = _SRID.match(text)
            srid = srid or (f"EPSG:{named[1]}" if named else "")
            text = text[named.end() :] if named else text
            reader = (
                shapely.from_wkb if re.fullmatch("[0-9A-Fa-f]{10,}", text) else shapely.from_wkt
            )
            try:
                out[i] = reader(text, on_invalid="ignore")
            except NotImplementedError:  # curves
                strays[i] = f"{text[:40]!r}, a curve; expected straight lines"
                continue
        if out[i] is None:
            strays[i] = f"{str(cell)[:40]!r}, which is not WKT"
    return out, strays, srid
