"""The table of reviewed fields: a GeoPackage to be edited in QGIS, and a CSV of the suspects."""

import contextlib
import csv
import errno
import io
import pathlib
import shutil
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import rasterio.features
import shapely
from affine import Affine

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.geo import files, periods
from cropmap_jax.geo.text import csv_cell
from cropmap_jax.ground_truth import polygons, reviews
from cropmap_jax.ground_truth.coordinates import WORLD
from cropmap_jax.ground_truth.names import UNKNOWN
from cropmap_jax.ground_truth.settings import NONE
from cropmap_jax.review.reviewed import Field
from cropmap_jax.review.suspects import OUTLINE, Suspicion

_FULL = 2**20
"""Bytes: with less left than this, it is the disk that is full when GDAL cannot write."""
_SOURCE_COLUMNS = ("layer", "file", "row", "name")
"""Of the table of `prepare`, which tell people where a field came from."""


def outlines_of(data: Dataset, fields: Sequence[Field]) -> np.ndarray:
    """Outlines in EPSG:4326 along the pixels that fields label, object [fields]."""
    out = np.full(len(fields), None, object)
    for number, field in enumerate(fields):
        parts = []
        for piece in field.pieces:
            row = data.cubes[piece.cube]
            place = Affine(*row["transform"]) * Affine.translation(piece.left, piece.top)
            found = rasterio.features.shapes(
                piece.own.astype(np.uint8), piece.own, connectivity=8, transform=place
            )
            shapes = np.array([shapely.geometry.shape(shape) for shape, _ in found], object)
            parts += list(polygons.project(shapes, row["crs"], WORLD))
        out[number] = shapely.union_all(shapely.make_valid(np.array(parts, object)))
    return out


def prepared_fields(file: pathlib.Path) -> geopandas.GeoDataFrame:
    """What `prepare` wrote of every field: number and outline, by number.

    Raises:
      ValueError: names the file, and what it lacks.
    """
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(file)]
        parts = [geopandas.read_file(file, layer=name, engine="pyogrio") for name in layers]
    except (RuntimeError, ValueError, OSError) as error:
        raise ValueError(
            f"--prepared: expected the folder that prepare wrote, with fields.gpkg, found none "
            f"that can be read at {file}"
        ) from error
    frames = [part.to_crs(WORLD) for part in parts if "field" in part.columns and part.crs]
    if not frames:
        raise ValueError(f"{file}: expected fields with a column 'field', as prepare writes them")
    found = pd.concat(frames, ignore_index=True)
    return found.set_index(found["field"].astype(np.int64))


def make(
    data: Dataset,
    judged: Sequence[Suspicion],
    prepared: geopandas.GeoDataFrame | None = None,
    pictures: Mapping[int, str] | None = None,
) -> geopandas.GeoDataFrame:
    """A row for each field, suspects first.

    Args:
      data: the dataset.
      judged: from `suspects.judge`.
      prepared: from `prepared_fields`; without it, outlines are those of the pixels.
      pictures: file name by number of a field.
    """
    names = (*data.legend.names, NONE)
    shapes = outlines_of(data, [one.field for one in judged])
    rows = []
    for number, one in enumerate(judged):
        field, piece = one.field, one.field.pieces[0]
        row = data.cubes[piece.cube]
        columns: dict[str, Any] = {
            "rank": number + 1 if one.kinds else None,
            "field": piece.field,
            "label": one.label,
            "suspect": "+".join(one.kinds),
            "score": round(one.score, 4),
            "reason": one.reason,
            "suggested": one.suggested,
            "action": "",
            "label_new": "",
            "probability": round(float(field.geometric[field.label]), 4),
        }
        columns |= {
            f"p_{n}": round(float(p), 4) for n, p in zip(names, field.geometric, strict=True)
        }
        columns |= {f"score_{kind}": round(value, 4) for kind, value in one.scores.items()}
        moved = OUTLINE in one.kinds
        columns |= {
            "move_east_m": one.shift.cols * data.pixel_m if moved else None,
            "move_north_m": -one.shift.rows * data.pixel_m if moved else None,
            "greenest": str(periods.from_day(one.peak.day)) if one.peak.day else None,
            "pixels": field.pixels,
            "cube": row["id"],
            "block": row["block"],
            "season": row["season"],
            "fold": field.block_fold,
            "picture": (pictures or {}).get(field.number),
        }
        if prepared is not None and piece.field in prepared.index:
            known = prepared.loc[piece.field]
            shapes[number] = known.geometry
            columns |= {f"source_{c}": known[c] for c in _SOURCE_COLUMNS if c in prepared.columns}
        rows.append(columns)
    frame = geopandas.GeoDataFrame(rows, geometry=shapes, crs=WORLD)
    return frame.assign(rank=frame["rank"].astype("Int64"))


def write(path: pathlib.Path, frame: geopandas.GeoDataFrame, date: str) -> None:
    """Writes the GeoPackage, with a form for QGIS.

    Args:
      path: a .gpkg.
      frame: from `make`, or another table with the columns of `reviews`.
      date: ISO date that stands in for the time of writing, so that the same table is the same
        file.

    Raises:
      OSError: names the file; one that was there stays.
    """
    try:
        with files.replacing(path, alone=True) as part, _dated(date):
            frame.to_file(part, layer=reviews.LAYER, driver="GPKG", engine="pyogrio", index=False)
            _add_style(part, frame, date)
    except (RuntimeError, sqlite3.Error) as error:
        full = shutil.disk_usage(path.parent).free < _FULL
        reason = OSError(errno.ENOSPC if full else errno.EIO, str(error)[:200])
        raise files.not_written(path, reason) from error


@contextlib.contextmanager
def _dated(date: str) -> Any:
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": f"{date}T00:00:00.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _add_style(path: pathlib.Path, frame: geopandas.GeoDataFrame, date: str) -> None:
    """Adds the table in which QGIS looks for a layer's default style.

    Source: QGIS documentation, "Save layer style to database"; the columns are those that QGIS and
    GDAL write.
    """
    labels = sorted(name.removeprefix("p_") for name in frame.columns if name.startswith("p_"))
    style = _style(labels)
    with contextlib.closing(sqlite3.connect(path)) as base:
        base.execute(
            "CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT, f_table_catalog "
            "TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column "
            "TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, "
            "description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME)"
        )
        base.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
            "f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description, owner, "
            "update_time) VALUES ('', '', ?, 'geom', 'review', ?, '', 1, 'suspects', '', ?)",
            (reviews.LAYER, style, f"{date}T00:00:00.000Z"),
        )
        base.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, last_change) VALUES "
            "('layer_styles', 'attributes', 'layer_styles', ?)",
            (f"{date}T00:00:00.000Z",),
        )
        base.commit()


def _choices(values: Iterable[str]) -> str:
    rows = "".join(
        f'<Option type="Map"><Option name="{v or "(none)"}" type="QString" value="{v}"/></Option>'
        for v in values
    )
    return (
        '<editWidget type="ValueMap"><config><Option type="Map"><Option name="map" type="List">'
        f"{rows}</Option></Option></config></editWidget>"
    )


def _style(labels: Sequence[str]) -> str:
    """QML: suspects in colours by kind, all others grey, and lists to choose from in the form."""
    from xml.sax.saxutils import quoteattr

    kinds = [("label", "213,94,0,255"), ("outline", "0,114,178,255"), ("season", "204,121,167,255")]
    rules = [(f"\"suspect\" LIKE '{kind}%'", kind, colour) for kind, colour in kinds]
    rules.append(("ELSE", "looks right", "150,150,150,255"))
    tree = "".join(
        f'<rule filter={quoteattr(test)} label="{name}" symbol="{i}" key="r{i}"/>'
        for i, (test, name, _) in enumerate(rules)
    )
    symbols = "".join(
        f'<symbol type="fill" name="{i}" alpha="1"><layer class="SimpleFill" enabled="1" pass="0">'
        f'<Option type="Map"><Option name="style" type="QString" value="no"/><Option '
        f'name="outline_color" type="QString" value="{colour}"/><Option name="outline_width" '
        f'type="QString" value="0.5"/></Option></layer></symbol>'
        for i, (_, _, colour) in enumerate(rules)
    )
    actions, classes = _choices(["", *reviews.ACTIONS]), ["", *labels, UNKNOWN]
    quoted = _choices(quoteattr(label)[1:-1] for label in classes)
    return (
        '<!DOCTYPE qgis PUBLIC "http://mrcc.com/qgis.dtd" "SYSTEM"><qgis version="3.22">'
        f'<renderer-v2 type="RuleRenderer" enableorderby="0"><rules key="root">{tree}</rules>'
        f"<symbols>{symbols}</symbols></renderer-v2><fieldConfiguration>"
        f'<field name="action">{actions}</field><field name="label_new">{quoted}</field>'
        "</fieldConfiguration></qgis>"
    )


def write_csv(path: pathlib.Path, frame: geopandas.GeoDataFrame) -> None:
    """Writes the suspects of a table, without outlines."""
    text = io.StringIO()
    rows = frame[frame["rank"].notna()] if "rank" in frame else frame
    columns = [name for name in frame.columns if name not in ("geometry", "action", "label_new")]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows[columns].itertuples(index=False):
        writer.writerow(["" if pd.isna(v) else csv_cell(v) for v in row])
    files.write_bytes(path, text.getvalue().encode())


def summary(frame: geopandas.GeoDataFrame, most: int = 10) -> str:
    """What a person reads: how many of each kind, and the first of them."""
    suspects = frame[frame["rank"].notna()]
    counts = ", ".join(
        f"{int(suspects.suspect.str.contains(kind).sum())} by {kind}"
        for kind in ("label", "outline", "season")
    )
    lines = [f"{len(suspects)} of {len(frame)} fields are suspect: {counts}"]
    if len(suspects):
        lines.append(f"{'rank':>4}  {'field':>7}  {'label':16}{'suspect':16}{'score':>6}  why")
    for row in suspects.head(most).itertuples():
        lines.append(
            f"{int(row.rank):4d}  {row.field:7d}  {row.label[:15]:16}{row.suspect[:15]:16}"
            f"{row.score:6.2f}  {row.reason}"
        )
    return "\n".join(lines)
