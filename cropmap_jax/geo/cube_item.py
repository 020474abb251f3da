"""A cube's metadata on disk: a valid STAC 1.1 Item, and back."""

import datetime as dt
import json
import os
import pathlib

import pyproj
import pystac
import shapely.geometry
from affine import Affine
from odc.geo.geobox import GeoBox
from pystac.extensions.file import FileExtension
from pystac.extensions.projection import ProjectionExtension

from cropmap_jax.geo import calendars, cube, legend, periods

ITEM = "item.json"
_CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"


def read_info(path: str | os.PathLike) -> cube.CubeInfo:
    """Reads a cube's item, not its pixels.

    Raises:
      ValueError: names the item and the property that is missing or wrong.
    """
    file = pathlib.Path(path) / ITEM
    item = read_json(file)
    try:
        return _from_item(item, file)
    except KeyError as error:
        raise ValueError(f"{file}: expected property {error}, found none") from error
    except pyproj.exceptions.CRSError as error:
        raise ValueError(f"{file}: expected proj:code or proj:wkt2, found {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        named = str(error).startswith(str(file))
        raise ValueError(
            str(error) if named else f"{file}: expected a cube's STAC item, found {error}"
        ) from error


def read_json(file: pathlib.Path) -> dict:
    """Reads an item without looking into it.

    Raises:
      ValueError: no file, or not JSON.
    """
    if not file.is_file():
        raise ValueError(f"{file}: expected a cube's STAC item, found no file")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: expected a cube's STAC item, found {error}") from error


def _midnight(date: dt.date) -> dt.datetime:
    return dt.datetime(date.year, date.month, date.day, tzinfo=dt.UTC)


def item_bytes(info: cube.CubeInfo, checksums: dict[str, str]) -> bytes:
    """The item of a cube as JSON.

    Args:
      info: the cube.
      checksums: multihash of each raster, by asset name.

    Raises:
      ValueError: a source that JSON cannot hold.
    """
    try:
        item = _to_item(info, checksums)
        return json.dumps(item, indent=1, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"cube {info.cube_id}: expected a source that JSON can hold, found {error}"
        ) from error


def _to_item(info: cube.CubeInfo, checksums: dict[str, str]) -> dict:
    outline = info.geobox.extent.to_crs("EPSG:4326", resolution=1000.0)
    code = info.geobox.crs.to_epsg()
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
            "cropmap:block": info.block,
            "cropmap:split": info.split,
            "cropmap:season": info.season,
            "cropmap:province": info.province,
            "cropmap:harvest": calendars.to_json(info.harvest),
            "cropmap:source": dict(info.source),
        },
    )
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
        wkt2=None if code else info.geobox.crs.to_wkt(),
        transform=list(info.geobox.affine)[:6],
        shape=list(info.shape),
    )
    return item.to_dict(include_self_link=False)


def _classes(classes: legend.Legend) -> list[dict]:
    rows = [
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


def _from_item(item: dict, file: pathlib.Path) -> cube.CubeInfo:
    props, where = item["properties"], str(file)
    rows = [r for r in item["assets"]["label"]["classification:classes"] if "cropmap:code" in r]
    classes = legend.Legend(
        props["cropmap:legend"],
        tuple(
            legend.LegendClass(
                r["cropmap:code"], r["name"], r["title"], "#" + r["color_hint"].lower()
            )
            for r in rows
        ),
        tuple(props.get("cropmap:none_of_these", ())),
    )
    crs = props.get("proj:code") or props["proj:wkt2"]
    geobox = GeoBox(tuple(props["proj:shape"]), Affine(*props["proj:transform"]), crs)
    spans = tuple(
        periods.Period(periods.parse_date(a, where), periods.parse_date(b, where))
        for a, b in props["cropmap:periods"]
    )
    periods.check_contiguous(spans, where)
    if item["id"] != file.parent.name:
        raise ValueError(
            f"{file}: expected id {file.parent.name!r} (the folder's name), found {item['id']!r}"
        )
    return cube.CubeInfo(
        cube_id=item["id"],
        geobox=geobox,
        periods=spans,
        legend=classes,
        block=props["cropmap:block"],
        split=props["cropmap:split"],
        season=props["cropmap:season"],
        harvest=calendars.from_json(props["cropmap:harvest"], where),
        province=props.get("cropmap:province", ""),
        source=props["cropmap:source"],
        has_fields="fields" in item["assets"],
        has_clear=cube.CLEAR in item["assets"],
        path=file.parent,
    )
