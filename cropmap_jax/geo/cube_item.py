"""A cube's metadata on disk: a valid STAC 1.1 Item, and back."""

import datetime as dt
import json
import os
import pathlib
from typing import Any

import pyproj
import pystac
import shapely.geometry
from affine import Affine
from odc.geo.geobox import GeoBox
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension

from cropmap_jax.geo import calendars, cube, grid, landcover, legend, periods, schemas, sensors

ITEM = "item.json"
Item = dict[str, Any]
"""A STAC Item, as JSON has it."""
_SCHEMA = pathlib.Path(__file__).with_name("cube_item.schema.json")
_DIGESTS = "cropmap:period_digests"
_CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"


def read_info(path: str | os.PathLike[str]) -> cube.CubeInfo:
    """Reads a cube's item, not its pixels.

    Args:
      path: the cube's folder.

    Raises:
      ValueError: names the item, the place in it, what was found and what was expected.
    """
    file = pathlib.Path(path) / ITEM
    return _from_item(read_item(file), file)


def read_item(file: pathlib.Path) -> Item:
    """Reads an item as it is, once its schema (`cube_item.schema.json`) allows it.

    Args:
      file: in the cube's folder.

    Raises:
      ValueError: as `read_info`.
    """
    item: Item = schemas.read_json(file, "a cube's STAC item")
    schemas.check(item, _SCHEMA, file)
    if item["id"] != file.parent.name:
        raise ValueError(
            f"{file}: expected id {file.parent.name!r} (the folder's name), found {item['id']!r}"
        )
    return item


def period_digests(item: Item, sensor: str, periods: int) -> list[str] | None:
    """Hash of each period's stored pixels of a sensor; None of an item that does not have them.

    By these, a cube to which periods were appended is known to be the same in the others.
    """
    found = item["assets"][sensor].get(_DIGESTS)
    whole = isinstance(found, list) and len(found) == periods
    return found if whole and all(isinstance(one, str) for one in found) else None


def _midnight(date: dt.date) -> dt.datetime:
    return dt.datetime(date.year, date.month, date.day, tzinfo=dt.UTC)


def item_bytes(
    info: cube.CubeInfo, checksums: dict[str, str], digests: dict[str, list[str]] | None = None
) -> bytes:
    """The item of a cube as JSON.

    Args:
      info: the cube.
      checksums: multihash of each raster, by asset name.
      digests: hash of each period's pixels, by sensor; see `period_digests`.

    Raises:
      ValueError: a source that JSON cannot hold, or what could not be read again.
    """
    where = f"cube {info.cube_id}"
    try:
        item = _to_item(info, checksums)
        for name, each in (digests or {}).items():
            item["assets"][name][_DIGESTS] = each
        data = json.dumps(item, indent=1, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{where}: expected a source that JSON can hold, found {error}") from error
    item = json.loads(data)
    schemas.check(item, _SCHEMA, where)
    _legend(item, where)
    return data


def _to_item(info: cube.CubeInfo, checksums: dict[str, str]) -> Item:
    outline = info.geobox.extent.to_crs("EPSG:4326", resolution=1000.0)
    code = info.crs.to_epsg()
    item = pystac.Item(
        id=info.cube_id,
        geometry=shapely.geometry.mapping(outline.geom),
        bbox=[round(v, 8) for v in outline.geom.bounds],
        datetime=None,
        start_datetime=_midnight(info.periods[0].start),
        # STAC spans are closed; ours are half open, so the last second belongs to the item.
        end_datetime=_midnight(info.periods[-1].end) - dt.timedelta(seconds=1),
        properties={
            "cropmap:periods": [[p.start.isoformat(), p.end.isoformat()] for p in info.periods],
            "cropmap:legend": info.legend.name,
            "cropmap:none_of_these": list(info.legend.none_of_these),
            "cropmap:sensors": [sensor.to_json() for sensor in info.sensors],
            "cropmap:block": info.block,
            "cropmap:split": info.split,
            "cropmap:season": info.season,
            "cropmap:province": info.province,
            "cropmap:harvest": calendars.to_json(info.harvest),
            "cropmap:source": dict(info.source),
        },
    )
    if info.landcover is not None:
        item.properties["cropmap:landcover"] = info.landcover.to_json()
    for name, checksum in checksums.items():
        media = "image/tiff; application=geotiff"
        asset = pystac.Asset(href=f"{name}.tif", media_type=media, roles=["data"])
        item.add_asset(name, asset)
        FileExtension.ext(asset, add_if_missing=True).apply(checksum=checksum)
    item.assets["label"].extra_fields["classification:classes"] = _classes(info.legend)
    item.stac_extensions.append(_CLASSIFICATION)
    projection = ProjectionExtension.ext(item, add_if_missing=True)
    projection.apply(
        code=f"EPSG:{code}" if code else None,
        wkt2=None if code else info.crs.to_wkt(),
        transform=list(info.geobox.affine)[:6],
        shape=list(info.shape),
    )
    described: Item = item.to_dict(include_self_link=False)
    return described


def _classes(classes: legend.Legend) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "value": i,
            "name": c.name,
            "title": c.title,
            "color_hint": c.colour[1:].upper(),
            "cropmap:code": c.code,
        }
        for i, c in enumerate(classes.classes)
    ]
    return rows + [
        {"value": legend.NONE_OF_THESE, "name": "none_of_these", "color_hint": "DDDDDD"},
        {"value": legend.IGNORE, "name": "unknown", "nodata": True},
    ]


def _from_item(item: Item, file: pathlib.Path) -> cube.CubeInfo:
    """The cube of an item that its schema allows."""
    props, where = item["properties"], str(file)
    spans = _periods(props["cropmap:periods"], where)
    classes = _legend(item, where)
    harvest = calendars.from_json(props["cropmap:harvest"], where)
    cube.check_crops(harvest, classes, where)
    found = sensors.from_json(props.get("cropmap:sensors"), f"{where}: properties/cropmap:sensors")
    _check_assets(item["assets"], found, where)
    return cube.CubeInfo(
        cube_id=item["id"],
        geobox=_geobox(props, where),
        periods=spans,
        legend=classes,
        block=props["cropmap:block"],
        split=props["cropmap:split"],
        season=props["cropmap:season"],
        harvest=harvest,
        province=props.get("cropmap:province", ""),
        source=props["cropmap:source"],
        sensors=found,
        has_fields="fields" in item["assets"],
        has_clear=cube.CLEAR in item["assets"],
        landcover=_landcover(item, where),
        path=file.parent,
    )


def _landcover(item: Item, where: str) -> landcover.LandCover | None:
    table = item["properties"].get("cropmap:landcover")
    if (table is None) != (landcover.LANDCOVER not in item["assets"]):
        raise ValueError(
            f"{where}: expected cropmap:landcover and assets/{landcover.LANDCOVER}, or neither, "
            f"found one of them"
        )
    at = f"{where}: properties/cropmap:landcover"
    return None if table is None else landcover.LandCover.from_json(table, at)


def _check_assets(assets: dict[str, Any], found: tuple[sensors.Sensor, ...], where: str) -> None:
    """Requires a raster of every sensor; those of label, fields and counts the schema checks."""
    for name in (sensor.name for sensor in found):
        if name not in assets:
            raise ValueError(f"{where}: expected property {name!r}, found none in assets")
        schemas.check(assets[name], _SCHEMA, where, "raster", f"assets/{name}")
        if assets[name]["href"] != f"{name}.tif":
            raise ValueError(
                f"{where}: assets/{name}/href: expected {f'{name}.tif'!r}, found "
                f"{schemas.show(assets[name]['href'])}"
            )


def _periods(rows: list[list[str]], where: str) -> tuple[periods.Period, ...]:
    dates = [[periods.parse_date(day, where) for day in row] for row in rows]
    try:
        spans = tuple(periods.Period(*pair) for pair in dates)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    periods.check_contiguous(spans, where)
    return spans


def _legend(item: Item, where: str) -> legend.Legend:
    rows = item["assets"]["label"]["classification:classes"]
    rows = [r for r in rows if r["value"] < legend.NONE_OF_THESE]
    values = [r["value"] for r in rows]
    if values != list(range(len(rows))):
        raise ValueError(
            f"{where}: assets/label/classification:classes: expected the values 0 to "
            f"{len(rows) - 1} in order, found {schemas.show(values)}"
        )
    try:
        found = legend.Legend(
            item["properties"]["cropmap:legend"],
            tuple(
                legend.LegendClass(
                    r["cropmap:code"], r["name"], r["title"], "#" + r["color_hint"].lower()
                )
                for r in rows
            ),
            tuple(item["properties"].get("cropmap:none_of_these", ())),
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    # What a dataset and a checkpoint make of it must be the same legend.
    kept = legend.Legend.from_json(found.to_json(), where)
    for ours, theirs in zip(kept.classes, found.classes, strict=True):
        if ours != theirs:
            raise ValueError(
                f"{where}: assets/label/classification:classes: expected class {ours.name!r} "
                f"({ours.title!r}), found {theirs.name!r} ({theirs.title!r})"
            )
    return found


def _geobox(props: dict[str, Any], where: str) -> GeoBox:
    shape, numbers = props["proj:shape"], props["proj:transform"]
    code, wkt = props.get("proj:code"), props.get("proj:wkt2")
    if not (code or wkt):
        raise ValueError(f"{where}: expected property 'proj:code' or 'proj:wkt2', found none")
    try:
        geobox = GeoBox(tuple(shape), Affine(*map(float, numbers)), code or wkt)
        grid.check_true_pixels(geobox, where)
    except pyproj.exceptions.ProjError as error:
        reason = schemas.show(code or wkt)
        raise ValueError(f"{where}: expected proj:code or proj:wkt2, found {reason}") from error
    except ValueError as error:  # which may quote a CRS of many lines
        raise ValueError(" ".join(str(error).split())[:500]) from error
    cube.check_size(geobox, where)
    return geobox
