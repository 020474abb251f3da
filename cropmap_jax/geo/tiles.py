"""Labelled tiles that wait for their images: a list of them as one GeoJSON file, and back.

The file (RFC 7946) can be opened in any GIS: a polygon in degrees per tile, drawn with straight
edges between its corners, cut in two where it crosses 180 degrees. The exact grid is in
`proj:code`, `proj:transform` and `proj:shape`, as in STAC. The foreign member "cropmap"
holds the legend, and what else is true of all tiles.
"""

import collections
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyproj
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import antimeridian, calendars, files, grid, schemas, splits
from cropmap_jax.geo.legend import Legend

NONE = "none_of_these"
_MAX_BYTES = 1 << 30
"""Of a list: two kilobytes a tile, for some hundred thousand of them."""
"""Name, among the crops of a tile, of ground known to be none of the legend's classes."""
_AMOUNTS = {"fields": int, "area_ha": float, "pixels": int}
_TEXTS = ("season", "block", "split", "province", "label", "fields")


@dataclasses.dataclass(frozen=True)
class Tile:
    """One tile with labels, in one season.

    Args:
      tile_id: "<season>_<grid.tile_id>".
      geobox: its grid, UTM.
      season: agricultural year.
      block: unit of the spatial split, the same in every season.
      split: "train", "validation" or "test".
      province: of most of its annotated ground, "" unknown.
      harvest: candidate seasons by crop.
      crops: {class or NONE: {"fields": with a pixel here, "area_ha": of theirs on the ground,
        inside the tile, "pixels": labelled}}.
      unknown_pixels: pixels about which nothing is known.
      label: path of the labels (uint8, see `legend`), relative to the list's folder, with "/".
      fields: path of the field ids (uint32, 0 none), likewise.
    """

    tile_id: str
    geobox: GeoBox
    season: str
    block: str
    split: str
    province: str
    harvest: calendars.Calendar
    crops: Mapping[str, Mapping[str, float]]
    unknown_pixels: int
    label: str
    fields: str


def outlines(geoboxes: Iterable[GeoBox], steps: int = 1) -> np.ndarray:
    """Polygons in degrees (x longitude), counterclockwise, of north-up grids.

    Args:
      geoboxes: grids with a CRS.
      steps: edges that stand for each side, which is curved in degrees. A tile of 1.28 km
        is exact to 0.2 m with 1, and to 2 mm with 8, up to 64 degrees north or south.

    Returns:
      object [n]. A ring that crosses the antimeridian continues beyond 180 degrees.
    """
    geoboxes = list(geoboxes)
    out = np.empty(len(geoboxes), object)
    by_crs = collections.defaultdict(list)
    for i, geobox in enumerate(geoboxes):
        by_crs[str(geobox.crs)].append(i)
    t, zero, one = np.arange(steps) / steps, np.zeros(steps), np.ones(steps)
    # From the south-west corner; columns go east, rows go south.
    col, row = np.concatenate([t, one, 1 - t, zero]), np.concatenate([one, 1 - t, zero, t])
    for crs, own in by_crs.items():
        rows = [(*geoboxes[i].affine[:6], *geoboxes[i].shape) for i in own]
        a, b, c, d, e, f, height, width = np.array(rows, float).T[:, :, None]
        x = a * width * col + b * height * row + c
        y = d * width * col + e * height * row + f
        lon, lat = grid.to_degrees(crs).transform(x, y)
        jump = lon - lon[:, :1]
        lon = np.where(jump > 180, lon - 360, np.where(jump < -180, lon + 360, lon))
        out[own] = shapely.polygons(np.stack([lon, lat], -1))
    return out


def write_tiles(
    tiles: Sequence[Tile], path: str | os.PathLike[str], legend: Legend, about: Mapping[str, Any]
) -> pathlib.Path:
    """Writes a list of tiles, whole or not at all; replaces one that is there.

    Args:
      tiles: in the order to write.
      path: file to write, in the folder that `label` and `fields` are relative to.
      legend: of their labels.
      about: what else is true of all tiles, in values that JSON can hold.

    Raises:
      ValueError: `about` holds what JSON cannot.
      OSError: no space or no permission; nothing of the new list is left.
    """
    path = pathlib.Path(path)
    try:
        whole = {"legend": legend.to_json(), "about": dict(about)}
        head = json.dumps(whole, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected `about` that JSON can hold, found {error}") from error
    shapes = outlines(tile.geobox for tile in tiles)
    rows = [
        json.dumps(_to_feature(tile, shape), ensure_ascii=False, allow_nan=False)
        for tile, shape in zip(tiles, shapes, strict=True)
    ]
    # A line per tile: a change of a few tiles is a change of a few lines.
    text = [f'{{"type": "FeatureCollection", "cropmap": {head}, "features": [', ",\n".join(rows)]
    files.write_bytes(path, "\n".join([*text, "]}\n"]).encode())
    return path


def _to_feature(tile: Tile, shape: shapely.Polygon) -> dict[str, Any]:
    shape = antimeridian.cut([shape])[0]
    if shape.geom_type == "MultiPolygon":
        shape = shapely.orient_polygons(shape)
    shape = shapely.transform(shape, lambda xy: np.round(xy, 7))  # 1 cm
    code = tile.geobox.crs.to_epsg() if tile.geobox.crs is not None else None
    if code is None:
        raise ValueError(f"tile {tile.tile_id}: expected a CRS with an EPSG code, found none")
    return {
        "type": "Feature",
        "id": tile.tile_id,
        "geometry": shapely.geometry.mapping(shape),
        "properties": {name: getattr(tile, name) for name in _TEXTS}
        | {
            "proj:code": f"EPSG:{code}",
            "proj:transform": list(tile.geobox.affine)[:6],
            "proj:shape": list(tile.geobox.shape),
            "crops": {k: dict(v) for k, v in tile.crops.items()},
            "unknown_pixels": tile.unknown_pixels,
            "harvest": calendars.to_json(tile.harvest),
        },
    }


def read_tiles(path: str | os.PathLike[str]) -> tuple[list[Tile], Legend, dict[str, Any]]:
    """Reads what `write_tiles` wrote.

    Returns:
      The tiles in the order of the file, the legend of their labels, and `about`.

    Raises:
      ValueError: names the file, the tile and what is missing or wrong; an id that is repeated;
        a block in two splits.
    """
    path = pathlib.Path(path)
    value = schemas.read_json(path, "a list of tiles", _MAX_BYTES)
    try:
        features, head = value["features"], value["cropmap"]
        classes, about = head["legend"], dict(head["about"])
        named = [(str(f["id"]), f) for f in features]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: expected a list of tiles: GeoJSON with 'cropmap': {{'legend', 'about'}} and "
            f"features with an id, found a problem at {error}"
        ) from error
    legend = Legend.from_json(classes, where=f"{path}: legend")
    tiles = [_from_feature(name, f, legend, f"{path}: tile {name}") for name, f in named]
    counts = collections.Counter(name for name, _ in named)
    repeated = [name for name, n in counts.items() if n > 1]
    if repeated:
        raise ValueError(f"{path}: tile {repeated[0]}: expected one of this id, found several")
    try:
        splits.check_blocks([(t.tile_id, t.block, t.split) for t in tiles])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return tiles, legend, about


def _from_feature(name: str, feature: Mapping[str, Any], legend: Legend, where: str) -> Tile:
    try:
        props = feature["properties"]
        grid = (props["proj:shape"], props["proj:transform"], props["proj:code"])
        return Tile(
            tile_id=name,
            geobox=_geobox(*grid, where),
            **{key: str(props[key]) for key in _TEXTS},
            harvest=calendars.from_json(props["harvest"], where),
            crops={
                _crop(crop, legend, where): {k: kind(row[k]) for k, kind in _AMOUNTS.items()}
                for crop, row in props["crops"].items()
            },
            unknown_pixels=int(props["unknown_pixels"]),
        )
    except KeyError as error:
        raise ValueError(f"{where}: expected property {error}, found none") from error
    except (ValueError, TypeError, AttributeError) as error:
        named = str(error).startswith(where)
        raise ValueError(
            str(error) if named else f"{where}: expected the feature of a tile, found {error}"
        ) from error


def _crop(name: str, legend: Legend, where: str) -> str:
    if name not in (*legend.names, NONE):
        raise ValueError(f"{where}: expected crops of legend {legend.name!r}, found {name!r}")
    return name


def _geobox(shape: Sequence[Any], transform: Sequence[Any], code: str, where: str) -> GeoBox:
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"{where}: expected proj:shape [height, width], found {shape}")
    if len(transform) != 6:
        raise ValueError(f"{where}: expected proj:transform of 6 numbers, found {transform}")
    try:
        height, width = map(int, shape)
        return GeoBox((height, width), Affine(*map(float, transform)), code)
    except pyproj.exceptions.CRSError as error:
        raise ValueError(f"{where}: expected proj:code like EPSG:32639, found {code!r}") from error
