"""Folders of Sentinel-2 Level-2A products (SAFE) without a catalogue, read as items of one.

Unpacked, or as they are downloaded in an archive (.zip), which is read without unpacking it. Names
and places of files: sentiwiki.copernicus.eu/web/s2-products.
"""

import dataclasses
import datetime as dt
import os
import pathlib
import re
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import pystac
import rasterio
import rasterio.errors
import rasterio.warp
import shapely
import shapely.geometry
from rasterio.io import DatasetReader

from cropmap_jax.geo import geotiffs
from cropmap_jax.sources.stac.formats import DRIVERS

COLLECTION = "sentinel-2-l2a"
"""Name of the one collection that such a folder is."""
_NAME = re.compile(
    r"(?P<platform>S2[A-Z])_MSIL2A_(?P<take>\d{8}T\d{6})_N(?P<baseline>\d{4})_R(?P<orbit>\d{3})"
    r"_T(?P<tile>\w{5})_(?P<made>\d{8}T\d{6})(?:\.SAFE)?(?P<zip>\.zip)?"
)
_GROUND_RANGE = re.compile(r"S1[A-D]_(?:IW|EW|S\d)_(?:GRD\w|SLC_)_.*?(?:\.SAFE)?(?:\.zip)?")
"""Level-1 products of Sentinel-1: sentiwiki.copernicus.eu/web/s1-products."""
_IMAGE = re.compile(
    r"GRANULE/[^/]+/IMG_DATA/R\d+m/[^/]*_(?P<band>B\d[\dA]|SCL)_(?P<size>10|20|60)m\.(jp2|tif)"
)
_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""By `band_id` of the metadata."""
_METADATA = "MTD_MSIL2A.xml"
_MAX_BYTES = 1 << 24
_MOST_MEMBERS = 100_000


class LocalItem(pystac.Item):
    """An item made here, whose hrefs may be places within an archive of this machine."""


@dataclasses.dataclass(frozen=True)
class _Product:
    """A product's files, in a folder or an archive.

    Args:
      path: the folder or archive.
      prefix: of all names within the archive, e.g. "S2A_....SAFE/"; "" in a folder.
      names: of its files, "/" between folders, without the prefix.
    """

    path: pathlib.Path
    prefix: str
    names: tuple[str, ...]

    def href(self, name: str) -> str:
        """What GDAL opens a file as."""
        path = self.path.absolute()
        if not self.path.is_file():
            return os.fspath(path / name)
        return f"/vsizip/{{{path}}}/{self.prefix}{name}"

    def read(self, name: str) -> bytes:
        """The bytes of a small file.

        Raises:
          ValueError: it is large, or damaged.
        """
        try:
            if not self.path.is_file():
                with open(self.path / name, "rb") as file:
                    data = file.read(_MAX_BYTES + 1)
            else:
                with zipfile.ZipFile(self.path) as archive:
                    with archive.open(self.prefix + name) as member:
                        data = member.read(_MAX_BYTES + 1)
        except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise ValueError(f"{self.path}: {name} cannot be read ({error})") from error
        if len(data) > _MAX_BYTES:
            raise ValueError(f"{self.path}: {name} is larger than {_MAX_BYTES} bytes")
        return data


def find(folder: pathlib.Path) -> list[pathlib.Path]:
    """Products in a folder, and in its folders, sorted; of one that is there unpacked as well as
    in an archive, the folder."""
    found: dict[str, pathlib.Path] = {}
    for path in sorted((*folder.glob("S2*"), *folder.glob("*/S2*"))):
        name = _NAME.fullmatch(path.name)
        if name and (path.is_file() if name["zip"] else path.is_dir() and path.suffix == ".SAFE"):
            key = _stem(path)
            if key not in found or found[key].is_file():
                found[key] = path
    return sorted(found.values())


def check_no_ground_range(folder: pathlib.Path, options: object) -> None:
    """Says what to do with Level-1 products of Sentinel-1, where they are what is there.

    Raises:
      ValueError: there are some, and Sentinel-1 is wanted.
    """
    from cropmap_jax.sources.stac.options import S1Options

    if not isinstance(options, S1Options):
        return
    for path in sorted((*folder.glob("S1*"), *folder.glob("*/S1*"))):
        if _GROUND_RANGE.fullmatch(path.name):
            raise ValueError(
                f"{path}: expected Sentinel-1 on a map grid, found a Level-1 product (GRD or SLC) "
                f"in the radar's own geometry, not terrain-corrected: make RTC GeoTIFFs of it "
                f"(SNAP, pyroSAR, ASF HyP3, OPERA) and give them with s1.files"
            )


def items(folder: pathlib.Path) -> Iterator[pystac.Item]:
    """An item per product, with assets such as "B02_10m" and "SCL_20m".

    Raises:
      ValueError: names the product: no images, or metadata that cannot be read.
    """
    for path in find(folder):
        yield _item(path)


def _stem(path: pathlib.Path) -> str:
    return path.name.removesuffix(".zip").removesuffix(".SAFE")


def _open(path: pathlib.Path) -> _Product:
    if path.is_dir():
        images = path.glob("GRANULE/*/IMG_DATA/R*m/*")
        others = (path / _METADATA, *path.glob("DATASTRIP/*/*"), *path.glob("DATASTRIP/*"))
        found = (file for file in (*images, *others) if file.exists())
        return _Product(path, "", tuple(sorted(f.relative_to(path).as_posix() for f in found)))
    try:
        with zipfile.ZipFile(path) as archive:
            every = archive.namelist()[:_MOST_MEMBERS]
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise ValueError(
            f"{path}: expected an archive of a product, found one that cannot be read ({error})"
        ) from error
    # Archives hold the product's folder, or what is in it.
    prefix = next((n.split("GRANULE/")[0] for n in every if "GRANULE/" in n), "")
    own = (name.removeprefix(prefix) for name in every if name.startswith(prefix))
    return _Product(path, prefix, tuple(sorted(own)))


def _item(path: pathlib.Path) -> pystac.Item:
    name = _NAME.fullmatch(path.name)
    if name is None:  # `find` lists no others
        raise ValueError(f"{path}: expected a Level-2A product's name")
    product = _open(path)
    images = {
        f"{found['band']}_{found['size']}m": file
        for file in product.names
        if (found := _IMAGE.fullmatch(file))
    }
    if not images:
        raise ValueError(f"{path}: expected images in GRANULE/*/IMG_DATA, found none")
    code, outline = place(product.href(next(iter(images.values()))))
    strips = {file.split("/")[1] for file in product.names if file.startswith("DATASTRIP/")} - {""}
    baseline = name["baseline"]
    item = LocalItem(
        _stem(path),
        shapely.geometry.mapping(outline),
        list(outline.bounds),
        _time(name["take"]),
        {
            "platform": f"sentinel-{name['platform'][1:].lower()}",
            "s2:processing_baseline": f"{baseline[:2]}.{baseline[2:]}",
            "s2:mgrs_tile": name["tile"],
            "s2:datatake_id": f"{name['platform']}_{name['take']}_R{name['orbit']}",
            "s2:datastrip_id": strips.pop() if len(strips) == 1 else "",
            "s2:generation_time": _time(name["made"]).isoformat(),
            "proj:code": code,
        },
    )
    numbers = _numbers(product, baseline)
    for key, file in images.items():
        band = {"nodata": 0, "data_type": "uint16", **numbers.get(key.split("_")[0], {})}
        item.add_asset(key, pystac.Asset(product.href(file), extra_fields={"bands": [band]}))
    return item


def _time(text: str) -> dt.datetime:
    return dt.datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=dt.UTC)


def place(file: str | os.PathLike[str]) -> tuple[str, shapely.Geometry]:
    """CRS and outline in degrees of an image.

    Raises:
      ValueError: it cannot be read, has no CRS, or is no GeoTIFF or JPEG 2000.
    """
    file = os.fspath(file)
    try:
        with rasterio.Env(**geotiffs.OPTIONS), DatasetReader(file, driver=DRIVERS) as raster:
            bounds = rasterio.warp.transform_bounds(raster.crs, "EPSG:4326", *raster.bounds)
            code = raster.crs.to_epsg()
            return f"EPSG:{code}" if code else "", shapely.box(*bounds)
    except (rasterio.errors.RasterioError, AttributeError) as error:
        raise ValueError(f"{file}: expected an image with a CRS, found none") from error


def _numbers(product: _Product, baseline: str) -> Mapping[str, Mapping[str, Any]]:
    """{band: scale and offset}, from the metadata; without it as the baseline has them."""
    file = product.path / _METADATA
    if _METADATA not in product.names:
        offset = -0.1 if baseline >= "0400" else 0.0
        return dict.fromkeys(_BANDS, {"raster:scale": 1e-4, "raster:offset": offset})
    try:
        root = ET.fromstring(product.read(_METADATA))
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
