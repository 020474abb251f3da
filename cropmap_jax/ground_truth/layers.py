"""The table of fields: every layer of the field data read, repaired, named, and deduplicated."""

import pathlib
import tempfile
from collections.abc import Iterable, Mapping

import geopandas
import numpy as np
import pandas as pd
import shapely

from cropmap_jax.geo import antimeridian, files
from cropmap_jax.geo.text import plain
from cropmap_jax.ground_truth import coordinates, finding, names, polygons, vectors
from cropmap_jax.ground_truth.audit_log import (
    DELETED,
    DUPLICATE,
    EMPTY,
    NOT_AN_AREA,
    NOT_FINITE,
    REPAIR,
    TOO_LARGE,
    AuditLog,
)
from cropmap_jax.ground_truth.names import UNKNOWN
from cropmap_jax.ground_truth.settings import Layer, Settings

COLUMNS = (
    "field", "layer", "file", "row", "kind", "crop", "name", "sheets", "season", "area_ha",
    "geometry",
)  # fmt: skip
# Shapely's type ids; those above a polygon's are of geometries that hold parts.
_POINT, _POLYGON, _LINES = 0, 3, (1, 2, 5)
_MOST_NAMES = 200
"""Names reported that are not listed; more of them are a column of something else."""
_STRETCH = 10
"""How many times the area of the largest field the rectangle around a field may have."""


def read_layers(settings: Settings, log: AuditLog) -> geopandas.GeoDataFrame:
    """Reads all layers of the field data.

    A file that cannot be read, or not safely, is left out with a line in `log.problems`; a
    feature that is of no use is dropped with a reason.

    Args:
      settings: of the field data.
      log: takes what was read, dropped, repaired, split and left out.

    Returns:
      Table in EPSG:4326, one row per field or point, in order of layers, files and rows: field
      (uint32, from 1), layer, file, row, kind ("polygon" or "point"), crop (class, NONE or
      UNKNOWN), name (free text that decided, normalised), sheets, season, area_ha (0.0 of points),
      geometry (valid Polygon or Point, 2-D).

    Raises:
      ValueError: no folder, or nothing usable in it.
    """
    source = files.local("config.source", settings.source)
    if not source.is_dir():
        raise ValueError(f"config.source: expected a folder, found {settings.source!r}")
    read_by: dict[str, str] = {}
    parts = []
    with tempfile.TemporaryDirectory() as scratch:
        for key, layer in settings.layers.items():
            log.read[key] += 0
            for file in _list_files(source, key, layer, pathlib.Path(scratch), log):
                if file.name in read_by:
                    log.notes.append(
                        f"{file.name}: read for config.layers.{read_by[file.name]}, and again for "
                        f"{file.flag}"
                    )
                read_by[file.name] = key
                try:
                    parts.append(_read_file(file, key, settings, log))
                except ValueError as error:
                    log.problems.append(str(error))
    if not sum(map(len, parts)):
        because = f"; {(log.problems or [''])[0]}".rstrip("; ")
        for key in settings.layers if not because else ():
            because += "".join(f"; {n:,d} {why}" for why, n in log.reasons(key).items())
        first = next((d for d in log.drops if d.detail and not log.problems), None)
        because += f" (first: {first.file}, row {first.row}: {first.detail})" if first else ""
        raise ValueError(f"{source}: expected fields or points, found none that is usable in "
                         f"{len(read_by)} files{because}")  # fmt: skip
    table = _drop_duplicates(pd.concat(parts, ignore_index=True), log)
    table["field"] = np.arange(1, len(table) + 1, dtype=np.uint32)
    return geopandas.GeoDataFrame(table[list(COLUMNS)], geometry="geometry", crs=coordinates.WORLD)


def _list_files(
    source: pathlib.Path, key: str, layer: Layer, scratch: pathlib.Path, log: AuditLog
) -> list[vectors.File]:
    """Files of a layer, sorted; none is a problem in the log."""
    flag, before = f"config.layers.{key}", len(log.problems)
    try:
        matching = finding.find(source, layer.files, scratch, log.problems.append)
        found = "" if matching else _explain(source, layer.files)
    except (ValueError, NotImplementedError) as error:  # a path from the root, for instance
        matching, found = [], f"that pattern ({error})"
    if not matching and len(log.problems) == before:
        log.problems.append(f"{flag}.files: expected a file that matches {layer.files!r} below "
                               f"{source}, found {found}")  # fmt: skip
    columns = {f"{flag}.name_column": layer.name_column} if layer.names else {}
    if layer.sheet_values:
        columns[f"{flag}.sheet_column"] = layer.sheet_column
    return [vectors.File(*one, flag, columns, layer.crs, layer.encoding) for one in matching]


def _explain(source: pathlib.Path, pattern: str) -> str:
    """What there is instead of a file that matches."""
    here = source
    for part in pathlib.PurePath(pattern).parts[:-1]:
        if any(c in part for c in "*?["):
            break
        if not (here / part).is_dir():
            absent = (here / part).relative_to(source).as_posix()
            return f"no folder {absent!r} next to {_inside(here)}"
        here /= part
    return f"{_inside(here)} in {here.relative_to(source).as_posix()!r}"


def _inside(folder: pathlib.Path) -> str:
    """Names of the first things in a folder."""
    held = sorted(p.name for p in folder.iterdir())
    return f"{', '.join(held[:6]) or 'nothing'}{', ...' * (len(held) > 6)}"


def _read_file(file: vectors.File, key: str, settings: Settings, log: AuditLog) -> pd.DataFrame:
    """The table of a file, without field."""
    layer = settings.layers[key]
    info = vectors.inspect(file)
    log.read[key] += info["features"]
    if info.get("note"):
        log.notes.append(f"{file.name}: {info['note']}")
    found = vectors.read(file, info)
    table = pd.DataFrame({"row": np.arange(info["features"]), "geometry": found.geometry})
    table = table.assign(layer=key, file=file.name, season=layer.season)
    table = _name(table, file, layer, found.values, log)
    _count(log, "heights left out", found.solid)
    lost = table.row.isin(list(found.strays)).to_numpy()
    details = [found.strays[row] for row in table.row[lost]]
    table = _drop(table, lost, NOT_FINITE, details, log)
    gone = table.row.isin(found.deleted).to_numpy()
    table = _drop(table, gone, DELETED, [""] * int(gone.sum()), log)
    table = _sift(table, log)
    parts = shapely.get_num_geometries(table.geometry.to_numpy())
    _count(log, "multipart features split", int((parts > 1).sum()))
    table = _sift(_explode(table), log)
    table = _explode(_repair(table, settings.repair_limit, log))
    table = table.assign(geometry=antimeridian.settle(table.geometry))
    table = _bound(table, settings.max_field_ha, log)
    points = shapely.get_type_id(table.geometry.to_numpy()) == _POINT
    return table.assign(kind=np.where(points, "point", "polygon"))


def _name(
    table: pd.DataFrame,
    file: vectors.File,
    layer: Layer,
    values: Mapping[str, list[object]],
    log: AuditLog,
) -> pd.DataFrame:
    """The table with what attributes decide: crop, name and sheets."""
    table = table.assign(crop=layer.crop, name="", sheets="")

    def decide(key: str, choices: Mapping[str, str], otherwise: str) -> list[str]:
        chosen, unlisted = names.decide(values[key], choices)
        if unlisted:
            listed = unlisted.most_common(_MOST_NAMES)
            each = ", ".join(f"{plain(text, 80) or 'no text'} ({n})" for text, n in listed)
            more = len(unlisted) - len(listed)
            each += f", and {more:,d} more" if more else ""
            log.notes.append(f"{file.name}: {key}: not listed, so {otherwise}: {each}")
        return chosen

    if layer.names:
        key = f"{file.flag}.name_column"
        table["crop"] = decide(key, layer.names, UNKNOWN)
        table["name"] = [names.normalise(text) for text in values[key]]
    if layer.sheet_values:
        chosen = decide(f"{file.flag}.sheet_column", layer.sheet_values, "of any season")
        table["sheets"] = ["" if sheet == UNKNOWN else sheet for sheet in chosen]
    return table


def _count(log: AuditLog, what: str, number: int) -> None:
    if number:
        log.counts[what] += number


def _drop(
    table: pd.DataFrame, mask: np.ndarray, reason: str, details: Iterable[str], log: AuditLog
) -> pd.DataFrame:
    """The table without the rows of the mask, each of them noted with its detail."""
    gone = table[mask]
    for layer, file, row, detail in zip(gone.layer, gone.file, gone.row, details, strict=True):
        log.drop(layer, file, row, reason, detail)
    return table[~mask]


def _sift(table: pd.DataFrame, log: AuditLog) -> pd.DataFrame:
    """The table without empty geometries and lines."""
    shapes = table.geometry.to_numpy()
    empty = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    table = _drop(table, empty, EMPTY, [""] * int(empty.sum()), log)
    shapes = table.geometry.to_numpy()
    lines = np.isin(shapely.get_type_id(shapes), _LINES)
    return _drop(table, lines, NOT_AN_AREA, [s.geom_type for s in shapes[lines]], log)


def _explode(table: pd.DataFrame) -> pd.DataFrame:
    """A row per part, in order; parts that hold parts are taken apart too."""
    shapes = table.geometry.to_numpy()
    while (shapely.get_type_id(shapes) > _POLYGON).any():
        shapes, row = shapely.get_parts(shapes, return_index=True)
        table = table.iloc[row].assign(geometry=shapes)
    return table


def _repair(table: pd.DataFrame, limit: float, log: AuditLog) -> pd.DataFrame:
    """The table with valid polygons, of several parts where a ring falls apart."""
    before = table.geometry.to_numpy()
    broken = (shapely.get_type_id(before) == _POLYGON) & ~shapely.is_valid(before)
    if not broken.any():
        return table
    after, change = before.copy(), np.zeros(len(before))
    after[broken], change[broken] = polygons.repair(before[broken])
    grown = np.where(shapely.area(after) > shapely.area(before), 1, -1)
    far = change > limit
    nothing = shapely.is_empty(after) & ~far
    kept = broken & ~far & ~nothing
    if kept.any():
        most = int(np.argmax(np.where(kept, change, -1)))
        log.notes.append(
            f"{table.file.iloc[0]}: {int(kept.sum())} rings repaired, areas change by at most "
            f"{100 * change[most]:.1f} % (row {table.row.iloc[most]})"
        )
    _count(log, "rings repaired", int(kept.sum()))
    table = table.assign(geometry=after)
    percent = [f"area {100 * s * c:+.3g} %" for s, c in zip(grown[far], change[far], strict=True)]
    table = _drop(table, far, REPAIR, percent, log)
    flat = ["ring without area"] * int(nothing.sum())
    return _drop(table, nothing[~far], EMPTY, flat, log)


def _bound(table: pd.DataFrame, most_ha: float, log: AuditLog) -> pd.DataFrame:
    """The table with the areas of its fields, and without what is too large for one."""
    table = table.assign(area_ha=polygons.ground_area_ha(table.geometry))
    table = _drop_large(table, table.area_ha.to_numpy(), most_ha, "", log)
    # A strip across a continent has little area, but as many tiles to look at as its rectangle.
    around = polygons.ground_area_ha(shapely.envelope(table.geometry.to_numpy()))
    return _drop_large(table, around, _STRETCH * most_ha, " around it", log)


def _drop_large(
    table: pd.DataFrame, area_ha: np.ndarray, most_ha: float, what: str, log: AuditLog
) -> pd.DataFrame:
    large = area_ha > most_ha
    details = [f"{ha / 100:,.0f} km2{what}, expected at most {most_ha / 100:,.0f} "
               f"(config.max_field_ha)" for ha in area_ha[large]]  # fmt: skip
    return _drop(table, large, TOO_LARGE, details, log)


def _drop_duplicates(table: pd.DataFrame, log: AuditLog) -> pd.DataFrame:
    """The table without fields and points that repeat an earlier one of their season and crop."""
    shapes = table.geometry.to_numpy()
    group = (table.season + " " + table.crop).to_numpy()
    first = np.full(len(table), -1)
    flat = np.flatnonzero(table.kind == "polygon")
    found = polygons.duplicates(shapes[flat], group[flat])
    first[flat] = np.where(found < 0, -1, flat[found])
    # Points of two coordinate systems are the same to a centimetre, not to the last bit.
    points = np.flatnonzero(table.kind == "point")
    places = np.round(shapely.get_coordinates(shapes[points]), 7)
    seen: dict[tuple[object, ...], int] = {}
    for i, place in zip(points.tolist(), places.tolist(), strict=True):
        earlier = seen.setdefault((group[i], *place), i)
        first[i] = -1 if earlier == i else earlier
    twice = first >= 0
    details = [f"{table.file[i]} row {table.row[i]}" for i in first[twice]]
    return _drop(table, twice, DUPLICATE, details, log).reset_index(drop=True)
