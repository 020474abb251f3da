"""A series as a static STAC collection: an item per date, with the mosaics as its assets.

QGIS, pystac-client, odc-stac and titiler read it from where it lies; all links are relative, so
that the folder may be moved or put behind a web server.
"""

import datetime as dt
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pystac
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pystac.extensions.projection import ProjectionExtension

from cropmap_jax.geo import cube_io, files
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, Legend
from cropmap_jax.inference.mosaic_groups import MosaicGroup
from cropmap_jax.mapping import decision, map_rasters, metadata, mosaics, since

COLLECTION, ITEMS = "collection.json", "items"
_CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
_RASTER = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"
_JSON, _GEOJSON = "application/json", "application/geo+json"


def write(
    out: pathlib.Path,
    groups: list[MosaicGroup],
    classes: Legend,
    dates: Sequence[dt.date],
    rasters: Sequence[str],
) -> pathlib.Path:
    """Writes `<out>/items/` and then `<out>/collection.json`.

    Args:
      out: folder of the series.
      groups: mosaic groups of the last map.
      classes: the legend.
      dates: as-of dates, ascending.
      rasters: names of the mosaics of since-when, in `since/`.

    Raises:
      OSError: names what cannot be written.
    """
    found = mosaics.join(groups)
    items = [
        make_item(date, mosaic, classes, f"{date}_{mosaic.name}" if len(found) > 1 else f"{date}")
        for date in dates
        for mosaic in found
    ]
    with files.replacing(out / ITEMS) as part:
        part.mkdir()
        for item in items:
            files.write_synced(part / f"{item['id']}.json", _bytes(item))
    collection = make_collection(items, classes, dates, rasters)
    files.write_bytes(out / COLLECTION, _bytes(collection))
    return out / COLLECTION


def _bytes(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def make_item(date: dt.date, mosaic: mosaics.Mosaic, classes: Legend, name: str) -> dict[str, Any]:
    """The item of a date on one pixel grid, with links as it lies in `items/`.

    Args:
      date: as-of date, which becomes the item's datetime.
      mosaic: the cubes on the grid.
      classes: the legend.
      name: the item's id.
    """
    lattice, (height, width) = mosaic.lattice, mosaic.place.shape
    step = lattice.pixel
    left, top = lattice.x + mosaic.place.left * step, lattice.y - mosaic.place.top * step
    box = GeoBox((height, width), Affine(step, 0, left, 0, -step, top), lattice.crs)
    # A side is no straight line in degrees: it gets some points between its ends.
    outline = box.extent.to_crs("EPSG:4326", resolution=max(height, width) * step / 8).geom
    item = pystac.Item(
        id=name,
        geometry=shapely.geometry.mapping(outline),
        bbox=[round(v, 8) for v in outline.bounds],
        datetime=dt.datetime(date.year, date.month, date.day, tzinfo=dt.UTC),
        properties={"title": f"Crops as of {date}", "cropmap:legend": classes.name},
    )
    folder = f"../{date}"
    for key, file, title, more in (
        ("crops", "crop", map_rasters.crop_name(classes, f"{date}"), _crops(classes)),
        ("confidence", "confidence", map_rasters.confidence_name(f"{date}"), _CONFIDENCE),
    ):
        # Without a media type: there is none of GDAL's virtual rasters that readers agree on.
        asset = pystac.Asset(f"{folder}/{file}_{mosaic.name}.vrt", title=title, roles=["data"])
        asset.extra_fields.update(data_type="uint8", nodata=IGNORE, **more)
        item.add_asset(key, asset)
    item.stac_extensions += [_CLASSIFICATION, _RASTER]
    code = lattice.crs.to_epsg()
    ProjectionExtension.ext(item, add_if_missing=True).apply(
        code=f"EPSG:{code}" if code else None,
        wkt2=None if code else lattice.crs.to_wkt(),
        transform=list(box.affine)[:6],
        shape=[height, width],
    )
    value: dict[str, Any] = item.to_dict(include_self_link=False)
    value["collection"] = _id(classes)
    value["links"] = [
        {"rel": rel, "href": f"../{COLLECTION}", "type": _JSON}
        for rel in ("root", "parent", "collection")
    ]
    return value


_CONFIDENCE: dict[str, Any] = {"unit": "1", "raster:scale": 1 / decision.PERCENT}


def _crops(classes: Legend) -> dict[str, Any]:
    colours, names = cube_io.colour_table(classes), metadata.values(classes)
    rows = []
    for value in (*range(len(classes)), NONE_OF_THESE):
        row = {"value": value, "name": names[value]}
        if value < len(classes):
            row["title"] = classes.classes[value].title
        rows.append(row | {"color_hint": bytes(colours[value][:3]).hex().upper()})
    rows.append({"value": IGNORE, "name": names[IGNORE], "nodata": True})
    return {"classification:classes": rows}


def _id(classes: Legend) -> str:
    return f"crops-{classes.name}"


def make_collection(
    items: Sequence[dict[str, Any]],
    classes: Legend,
    dates: Sequence[dt.date],
    rasters: Sequence[str],
) -> dict[str, Any]:
    """The collection of a series, with links as it lies in the folder of the series."""
    west, south, east, north = zip(*(item["bbox"] for item in items), strict=True)
    times = [f"{date}T00:00:00Z" for date in (dates[0], dates[-1])]
    assets = {
        name.removesuffix(".vrt"): {
            "href": f"./since/{name}",
            "title": since.description(classes, f"{dates[-1]}"),
            "roles": ["data"],
            "data_type": "uint16",
            "nodata": since.NODATA,
            "unit": since.KIND.unit,
        }
        for name in rasters
    }
    return {
        "type": "Collection",
        "id": _id(classes),
        "stac_version": "1.1.0",
        "title": f"Crop maps as of {dates[0]} to {dates[-1]}",
        "description": "A crop map per as-of date: each is made of the images until that date.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [[min(west), min(south), max(east), max(north)]]},
            "temporal": {"interval": [times]},
        },
        "assets": assets,
        "links": [
            {"rel": "root", "href": f"./{COLLECTION}", "type": _JSON},
            *(
                {
                    "rel": "item",
                    "href": f"./{ITEMS}/{item['id']}.json",
                    "type": "application/geo+json",
                }
                for item in items
            ),
        ],
    }
