"""Folders of Sentinel-2 Level-2A products (SAFE) without a catalogue, read as items of one.

Names and places of files: sentiwiki.copernicus.eu/web/s2-products. Products in archives (.zip) are
not looked into.
"""

import datetime as dt
import pathlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from typing import Any

import pystac
import rasterio
import rasterio.errors
import rasterio.warp
import shapely
import shapely.geometry

COLLECTION = "sentinel-2-l2a"
"""Name of the one collection that such a folder is."""
_NAME = re.compile(
    r"(?P<platform>S2[A-Z])_MSIL2A_(?P<take>\d{8}T\d{6})_N(?P<baseline>\d{4})_R(?P<orbit>\d{3})"
    r"_T(?P<tile>\w{5})_(?P<made>\d{8}T\d{6})\.SAFE"
)
_IMAGE = re.compile(r"_(?P<band>B\d[\dA]|SCL)_(?P<size>10|20|60)m\.(jp2|tif)$")
_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""By `band_id` of the metadata."""
_METADATA = "MTD_MSIL2A.xml"
_MAX_BYTES = 1 << 24


def find(folder: pathlib.Path) -> list[pathlib.Path]:
    """Products in a folder, and in its folders, sorted."""
    return sorted(
        path for path in (*folder.glob("*.SAFE"), *folder.glob("*/*.SAFE"))
        if path.is_dir() and _NAME.fullmatch(path.name)
    )  # fmt: skip


def items(folder: pathlib.Path) -> Iterator[pystac.Item]:
    """An item per product, with assets such as "B02_10m" and "SCL_20m".

    Raises:
      ValueError: names the product: no images, or metadata that cannot be read.
    """
    for path in find(folder):
        yield _item(path)


def _item(path: pathlib.Path) -> pystac.Item:
    name = _NAME.fullmatch(path.name)
    if name is None:  # `find` lists no others
        raise ValueError(f"{path}: expected a Level-2A product's name")
    images = {
        f"{found['band']}_{found['size']}m": file
        for file in sorted(path.glob("GRANULE/*/IMG_DATA/R*m/*"))
        if (found := _IMAGE.search(file.name))
    }
    if not images:
        raise ValueError(f"{path}: expected images in GRANULE/*/IMG_DATA, found none")
    code, outline = _place(next(iter(images.values())))
    strips = sorted(strip.name for strip in path.glob("DATASTRIP/*"))
    baseline = name["baseline"]
    item = pystac.Item(
        path.stem,
        shapely.geometry.mapping(outline),
        list(outline.bounds),
        _time(name["take"]),
        {
            "platform": f"sentinel-{name['platform'][1:].lower()}",
            "s2:processing_baseline": f"{baseline[:2]}.{baseline[2:]}",
            "s2:mgrs_tile": name["tile"],
            "s2:datatake_id": f"{name['platform']}_{name['take']}_R{name['orbit']}",
            "s2:datastrip_id": strips[0] if len(strips) == 1 else "",
            "s2:generation_time": _time(name["made"]).isoformat(),
            "proj:code": code,
        },
    )
    numbers = _numbers(path, baseline)
    for key, file in images.items():
        band = {"nodata": 0, "data_type": "uint16", **numbers.get(key.split("_")[0], {})}
        asset = pystac.Asset(str(file.absolute()), extra_fields={"bands": [band]})
        item.add_asset(key, asset)
    return item


def _time(text: str) -> dt.datetime:
    return dt.datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC)


def _place(file: pathlib.Path) -> tuple[str, shapely.Geometry]:
    """CRS and outline in degrees of an image."""
    try:
        with rasterio.open(file) as raster:
            bounds = rasterio.warp.transform_bounds(raster.crs, "EPSG:4326", *raster.bounds)
            return f"EPSG:{raster.crs.to_epsg()}", shapely.box(*bounds)
    except (rasterio.errors.RasterioError, AttributeError) as error:
        raise ValueError(f"{file}: expected an image with a CRS, found none") from error


def _numbers(path: pathlib.Path, baseline: str) -> Mapping[str, Mapping[str, Any]]:
    """{band: scale and offset}, from the metadata; without it as the baseline has them."""
    file = path / _METADATA
    if not file.is_file():
        offset = -0.1 if baseline >= "0400" else 0.0
        return dict.fromkeys(_BANDS, {"raster:scale": 1e-4, "raster:offset": offset})
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES} bytes")
        root = ET.parse(file).getroot()
        scale = 1 / float(root.findtext(".//BOA_QUANTIFICATION_VALUE") or "nan")
        offsets = dict.fromkeys(_BANDS, 0.0)
        for one in root.iter("BOA_ADD_OFFSET"):
            offsets[_BANDS[int(one.attrib["band_id"])]] = float(one.text or "nan") * scale
    except (ET.ParseError, ValueError, KeyError, IndexError) as error:
        raise ValueError(
            f"{file}: expected BOA_QUANTIFICATION_VALUE and BOA_ADD_OFFSET, found metadata that "
            f"cannot be read ({str(error)[:80]})"
        ) from error
    if scale != scale:
        raise ValueError(f"{file}: expected BOA_QUANTIFICATION_VALUE, found none")
    return {b: {"raster:scale": scale, "raster:offset": offset} for b, offset in offsets.items()}
