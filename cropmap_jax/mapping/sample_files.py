"""The points of a sample: written for those who interpret them, and read when they have."""

import collections
import csv
import dataclasses
import io
import pathlib
from typing import Any

import numpy as np
import pyproj

from cropmap_jax.geo import files
from cropmap_jax.geo.names import nearest, normalise, same_name, slug
from cropmap_jax.geo.text import csv_cell
from cropmap_jax.mapping.map_folder import FinishedMap
from cropmap_jax.mapping.sample_design import Design

FORMATS = ("gpkg", "geojson", "csv")
REFERENCE, NOTE = "reference", "note"
_MOVED_M = 1.0
"""Metres up to which a point lies where it was drawn: programs round coordinates."""
_NONE = ("none", "none of these", "none_of_these", "other")
_DRIVERS = {"gpkg": "GPKG", "geojson": "GeoJSON"}
_WORLD = pyproj.Geod(ellps="WGS84")


def write(path: pathlib.Path, rows: list[dict[str, Any]]) -> None:
    """Writes points, in the format that the file's name ends in.

    Args:
      path: .gpkg, .geojson or .csv.
      rows: columns of each point, with lon and lat.

    Raises:
      OSError: names the file.
    """
    if path.suffix == ".csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: csv_cell(v) if isinstance(v, str) else v for k, v in row.items()})
        files.write_bytes(path, text.getvalue().encode())
        return
    import geopandas
    import shapely

    places = shapely.points([row["lon"] for row in rows], [row["lat"] for row in rows])
    frame = geopandas.GeoDataFrame(rows, geometry=places, crs="EPSG:4326")
    with files.replacing(path, alone=True) as part:
        frame.to_file(part, driver=_DRIVERS[path.suffix[1:]], engine="pyogrio")


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """What interpreters found, in the order of the design.

    Args:
      reference: int [n], position in `FinishedMap.names`; -1 where there is none.
      notes: why not, by position.
    """

    reference: np.ndarray
    notes: dict[int, str]


def read(path: str, design: Design, found: FinishedMap, layer: str = "") -> Answers:
    """Reads points that were interpreted, and requires them to be those that were drawn.

    Args:
      path: GeoPackage, GeoJSON, Shapefile or CSV with the columns id and reference.
      design: of the sample.
      found: the map, for the names of classes.
      layer: which one, of a file with several.

    Raises:
      ValueError: one line: the file cannot be read, holds polygons, lacks a column; points were
        added, dropped or moved; a reference that is no class, or none without a note.
    """
    from cropmap_jax.ground_truth import vectors

    name, place = f"--points {path}", files.local("--points", path)
    if not place.is_file():
        raise ValueError(f"{name}: expected a file of points, found none")
    info = vectors.inspect(vectors.File(place, name, "--points", layer=layer))
    fields = {normalise(str(field)): str(field) for field in info["fields"]}
    for wanted in ("id", REFERENCE):
        if wanted not in fields:
            raise ValueError(
                f"{name}: expected a column {wanted!r} as in the file that sample_points wrote, "
                f"found {', '.join(fields.values()) or 'none'}"
            )
    columns = {key: fields[key] for key in ("id", REFERENCE, NOTE, "stratum") if key in fields}
    file = vectors.File(place, name, "--points", columns=columns, layer=layer)
    features = vectors.read(file, info)
    xy = _places(features.geometry, features.strays, name)
    texts = {key: [_text(value) for value in features.values[key]] for key in columns}
    order = _match(texts["id"], design, name)
    _check_places(xy[order], design, name)
    if "stratum" in columns:
        _check_codes([texts["stratum"][i] for i in order], design, name)
    notes = texts.get(NOTE, [""] * len(texts["id"]))
    answers = [texts[REFERENCE][i] for i in order]
    return _answers(answers, [notes[i] for i in order], design, found, name)


def _text(value: object) -> str:
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).split())


def _places(geometry: np.ndarray, strays: dict[int, str], name: str) -> np.ndarray:
    """Longitude and latitude, float [n, 2]."""
    import shapely

    kinds = shapely.get_type_id(geometry)
    if np.isin(kinds, (3, 6)).any():
        raise ValueError(
            f"{name}: expected points, found polygons; annotated fields were chosen and are no "
            f"probability sample"
        )
    single = (kinds == 0) | ((kinds == 4) & (shapely.get_num_geometries(geometry) == 1))
    bad = np.flatnonzero(~single | np.isin(np.arange(len(geometry)), list(strays)))
    if len(bad):
        raise ValueError(f"{name}, row {bad[0] + 1}: expected a point, found none")
    found: np.ndarray = shapely.get_coordinates(geometry)
    return found


def _match(ids: list[str], design: Design, name: str) -> list[int]:
    """Where in the file each point of the design is."""
    twice = [one for one, n in collections.Counter(ids).items() if n > 1]
    if twice:
        raise ValueError(f"{name}: expected each point once, found id {twice[0]!r} twice")
    added = [one for one in ids if one not in set(design.ids)]
    if added:
        raise ValueError(
            f"{name}: expected the points of the design, found {len(added)} that are not of it "
            f"(id {', '.join(added[:5])}); points that were added were not drawn at random"
        )
    places = {one: i for i, one in enumerate(ids)}
    gone = [one for one in design.ids if one not in places]
    if gone:
        raise ValueError(
            f"{name}: expected all {len(design.ids)} points of the design, found none of id "
            f"{', '.join(gone[:5])} ({len(gone)} in all); keep points that could not be "
            f"interpreted, with the reason in the column {NOTE!r}"
        )
    return [places[one] for one in design.ids]


def _check_places(xy: np.ndarray, design: Design, name: str) -> None:
    metres = _WORLD.inv(xy[:, 0], xy[:, 1], design.lon, design.lat)[2]
    moved = np.flatnonzero(np.asarray(metres) > _MOVED_M)
    if len(moved):
        i = moved[np.argmax(np.asarray(metres)[moved])]
        raise ValueError(
            f"{name}: expected points where they were drawn, found {len(moved)} that were moved "
            f"(id {design.ids[i]} by {metres[i]:,.1f} m)"
        )


def _check_codes(codes: list[str], design: Design, name: str) -> None:
    for code, number, point in zip(codes, design.stratum, design.ids, strict=True):
        if code != design.strata[number].code:
            raise ValueError(
                f"{name}: point {point}: expected stratum {design.strata[number].code}, found "
                f"{code or 'none'}"
            )


def _answers(
    texts: list[str], notes: list[str], design: Design, found: FinishedMap, name: str
) -> Answers:
    reference, why = np.full(len(texts), -1), {}
    known = {text: _class(text, found) for text in set(texts) if text}
    silent = [i for i, text in enumerate(texts) if not text and not notes[i]]
    if silent:
        ids = ", ".join(design.ids[i] for i in silent[:5])
        raise ValueError(
            f"{name}: expected a reference for each point, found none for {len(silent)} of "
            f"{len(texts)} (id {ids}); interpret them, or say in the column {NOTE!r} why that "
            f"cannot be done"
        )
    for i, text in enumerate(texts):
        if not text:
            why[i] = notes[i]
        elif known[text] is None:
            classes = found.names[: found.no_data]
            raise ValueError(
                f"{name}: point {design.ids[i]}: expected a class ({', '.join(classes)}), found "
                f"{text!r}{nearest(text, classes)}"
            )
        else:
            reference[i] = known[text]
    return Answers(reference, why)


def _class(text: str, found: FinishedMap) -> int | None:
    names, titles = found.names[: found.no_data], found.titles[: found.no_data]
    if text in names:
        return names.index(text)
    titled = [i for i, title in enumerate(titles) if same_name(title, text)]
    if len(titled) == 1:
        return titled[0]
    if slug(text) in names:
        return names.index(slug(text))
    return found.no_data - 1 if normalise(text) in _NONE else None
