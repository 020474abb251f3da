"""Scenes from STAC Items.

What catalogues call the same thing differs; what is looked for, in this order:
  * datatake of Sentinel-2: `s2:datatake_id`, `eopf:datatake_id`, the product's name, else platform
    and day. Its processing baseline is no part of it.
  * tile: `s2:mgrs_tile`, `grid:code`, `mgrs:*`, the product's name.
  * processing: `s2:processing_baseline`, `processing:version`, the product's name; then
    `s2:generation_time`, `processing:datetime`, `created`, `updated`.
  * scale, offset, no-data: `bands` of STAC 1.1 (with or without "raster:"), `raster:bands`, the
    asset itself.
"""

import datetime as dt
import math
import re
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any

import pystac
import shapely
import shapely.errors
import shapely.geometry

from cropmap_jax.sources.stac import loose, products, tracks
from cropmap_jax.sources.stac import options as options_lib
from cropmap_jax.sources.stac.scenes import Asset, Scene

OFFSET_BASELINE = (4, 0)
"""Processing baseline of Level-2A from which on BOA_ADD_OFFSET is -1000.

Source: sentiwiki.copernicus.eu/web/s2-products.
"""
OFFSET_SINCE = dt.date(2022, 1, 25)
"""First day of operations with that baseline. Older scenes that were processed again (Collection 1)
have the offset as well. Source: documentation.dataspace.copernicus.eu, Sentinel2_L2A_baseline."""
BOA_ADD_OFFSET = -0.1
_PRODUCT = re.compile(
    r"S2[A-Z]_MSIL2A_(?P<take>\d{8}T\d{6})_N(?P<baseline>\d{4})_R(?P<orbit>\d{3})_T(?P<tile>\w{5})"
)
_STRIP = re.compile(r"_S(\d{8}T\d{6})")
_HREF = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_EXTENSIONS = (".tif", ".tiff", ".jp2")
_DIGITAL = re.compile(r"u?int\d+")


def optical(item: pystac.Item, options: options_lib.S2Options) -> Scene:
    """A Sentinel-2 scene.

    Raises:
      ValueError: names the item, what was found and what was expected.
    """
    where, props = f"item {item.id}", item.properties
    product = _PRODUCT.search(" ".join([item.id, str(props.get("s2:product_uri", ""))]))
    time = _time(item, where)
    baseline = str(
        props.get("s2:processing_baseline") or props.get("processing:version")
        or (product["baseline"] if product else "")
    )  # fmt: skip
    version = _version(baseline)
    take = str(props.get("s2:datatake_id") or props.get("eopf:datatake_id") or "")
    take = re.sub(r"_N\d+\.?\d*$", "", take)
    platform = str(props.get("platform", ""))
    if not take:
        take = product["take"] if product else f"{platform} {time:%Y-%m-%d}"
    tile = _tile(item, props) or (product["tile"] if product else "") or item.id
    strip = _STRIP.search(str(props.get("s2:datastrip_id", "")))
    assets: dict[str, Asset] = {}
    for band, name in options.assets.items():
        if name in item.assets:
            assets[band] = _scaled(item, name, options, version, time, where)
    mask = options.mask_name
    if mask in item.assets:
        # Of a score or a probability 0 is a number like others.
        nodata = 0.0 if options.mask == "classes" else _band(item.assets[mask], where).get("nodata")
        href = _href(item, mask, where)
        assets[mask] = Asset(href, nodata=math.nan if nodata is None else nodata)
    return Scene(
        item.id,
        time,
        (take,),
        (take, tile, strip[1] if strip else ""),
        (version, _made(props), item.id),
        _crs(item, options.assets.values()),
        _outline(item, where),
        assets,
        platform=platform,
    )


def _tile(item: pystac.Item, props: Mapping[str, Any]) -> str:
    parts = [props.get(f"mgrs:{k}") for k in ("utm_zone", "latitude_band", "grid_square")]
    joined = "".join(map(str, parts)) if all(parts) else ""
    return str(props.get("s2:mgrs_tile") or props.get("grid:code") or joined)


def _scaled(
    item: pystac.Item,
    name: str,
    options: options_lib.S2Options,
    version: tuple[int, ...],
    time: dt.datetime,
    where: str,
) -> Asset:
    """An asset with the numbers that make it the stored numbers of the cube."""
    sensor = options_lib.OPTICAL
    band = _band(item.assets[name], where)
    scale = band.get("scale", options.scale)
    if scale is None:
        raise ValueError(
            f"{where}: asset {name}: expected a scale in bands or raster:bands, found none; "
            f"s2.scale gives one for all items"
        )
    if options.offset == "item":
        offset = band.get("offset", 0.0)
    elif options.offset == "baseline":
        if not version:
            raise ValueError(
                f"{where}: expected a processing baseline, on which the offset hangs (s2.offset), "
                f"found none"
            )
        offset = BOA_ADD_OFFSET if version >= OFFSET_BASELINE else 0.0
    elif options.offset == "date":
        offset = BOA_ADD_OFFSET if time.date() >= OFFSET_SINCE else 0.0
    elif options.offset == "always":
        offset = BOA_ADD_OFFSET
    else:
        offset = 0.0
    # Decimals of catalogues: 0.0001 x 10000 is to be 1, and no other number next to it.
    factor, shift = round(scale * sensor.scale, 9), round(offset * sensor.scale, 6)
    return Asset(_href(item, name, where), factor, shift, band.get("nodata", 0.0))


def radar(item: pystac.Item, options: options_lib.S1Options) -> Scene | None:
    """A Sentinel-1 scene; None where it lacks a polarisation or is of another mode.

    Raises:
      ValueError: names the item, what was found and what was expected.
    """
    where, props = f"item {item.id}", item.properties
    if props.get("sar:instrument_mode", "IW") != "IW":
        return None
    if not all(name in item.assets for name in options.assets.values()):
        return None
    match = re.search(r"sentinel-?1([a-z])|\bS1([A-Z])_", f"{props.get('platform')} {item.id}",
                      re.IGNORECASE)  # fmt: skip
    if match is None:
        raise ValueError(f"{where}: expected platform 'sentinel-1a' or the like, found "
                         f"{props.get('platform')!r:.50}")  # fmt: skip
    letter = (match[1] or match[2]).upper()
    kind = _kind(item, options, where)
    time, outline = _time(item, where), _outline(item, where)
    direction, orbit = _track(item, letter, time, outline, where)
    assets = {}
    for band, name in options.assets.items():
        own = _band(item.assets[name], where)
        scale = own.get("scale")
        if scale is None and _DIGITAL.fullmatch(str(own.get("data_type", ""))):
            raise ValueError(
                f"{where}: asset {name}: expected calibrated backscatter, found digital numbers "
                f"({own['data_type']}) without a scale, as of GRD products"
            )
        factor = 1.0 if scale is None else float(scale)
        shift = float(own.get("offset", 0.0))
        nodata = own.get("nodata", math.nan)
        assets[band] = Asset(_href(item, name, where), factor, shift, nodata)
    take = (letter, str(orbit), f"{time:%Y-%m-%d}")
    return Scene(
        item.id,
        time,
        take,
        (*take, f"{time:%H:%M:%S}", *_frame(props)),
        (_made(props), _version(str(props.get("processing:version", ""))), item.id),
        _crs(item, options.assets.values()),
        outline,
        assets,
        orbit,
        direction,
        letter,
        kind,
    )


def _frame(props: Mapping[str, Any]) -> list[str]:
    """What tells parts of a pass apart that were taken in one second, where it is cut so."""
    found = props.get(loose.FRAME) or props.get("odc:region_code")
    return [str(found)] if found else []


def _track(
    item: pystac.Item, letter: str, time: dt.datetime, outline: shapely.Geometry, where: str
) -> tuple[str, int]:
    """Pass direction and relative orbit, of the item, or as time and place tell them."""
    direction = str(item.properties.get("sat:orbit_state") or "").lower()
    orbit = item.properties.get("sat:relative_orbit")
    known = None
    if (not direction or orbit is None) and time.time() != dt.time():
        middle = outline.centroid
        known = tracks.track(letter, time, middle.x, middle.y)
    if known is not None:
        direction, orbit = direction or known[0], known[1] if orbit is None else orbit
    if direction not in ("ascending", "descending") or not isinstance(orbit, int):
        raise ValueError(
            f"{where}: expected sat:orbit_state and sat:relative_orbit, or {{direction}} and "
            f"{{orbit}} in the names of files, found {direction!r} and {orbit!r:.50}"
        )
    return direction, orbit


def _kind(item: pystac.Item, options: options_lib.S1Options, where: str) -> str:
    """The product type; it must not contradict what the collection is said to hold."""
    kind = str(item.properties.get("sar:product_type", "")).upper()
    corrected = any(word in kind for word in ("RTC", "NRB"))
    for name, value in ((loose.BACKSCATTER, options.backscatter), (loose.UNIT, options.unit)):
        found = item.properties.get(name, value)
        if found != value:
            raise ValueError(
                f"{where}: expected {value} (s1.{name.split(':')[1]}), found {found!r:.50} by the "
                f"names of its files"
            )
    # Of a corrected product some catalogues give the type of what it was made from.
    named = "rtc" in f"{item.id} {item.collection_id}".lower()
    wanted = options.backscatter == "gamma0_rtc"
    if (kind and corrected and not wanted) or (kind and not corrected and wanted and not named):
        raise ValueError(
            f"{where}: expected {options.backscatter} (s1.backscatter), found product type "
            f"{kind}: sigma-0 and gamma-0 RTC are never mixed"
        )
    return kind


# Parts of items -----------------------------------------------------------------------------------


def _time(item: pystac.Item, where: str) -> dt.datetime:
    value = item.properties.get("start_datetime") or item.datetime
    if isinstance(value, str):
        value = pystac.utils.str_to_datetime(value)
    if value is None:
        raise ValueError(f"{where}: expected a date, found none")
    if value.tzinfo is None:
        value = value.replace(tzinfo=dt.UTC)
    utc: dt.datetime = value.astimezone(dt.UTC)
    return utc


def _outline(item: pystac.Item, where: str) -> shapely.Geometry:
    try:
        if item.geometry is not None:
            return shapely.make_valid(shapely.geometry.shape(item.geometry))
        if item.bbox is not None:
            bounds = item.bbox if len(item.bbox) == 4 else [*item.bbox[:2], *item.bbox[3:5]]
            return shapely.box(*bounds)
    except (ValueError, TypeError, KeyError, shapely.errors.ShapelyError) as error:
        raise ValueError(f"{where}: expected a geometry, found one that cannot be read") from error
    raise ValueError(f"{where}: expected a geometry, found none")


def _crs(item: pystac.Item, names: Iterable[str]) -> str:
    places = [item.properties, *(item.assets[n].extra_fields for n in names if n in item.assets)]
    for place in places:
        if place.get("proj:code"):
            return str(place["proj:code"]).upper()
        if place.get("proj:epsg"):
            return f"EPSG:{place['proj:epsg']}"
    return ""


def _made(props: Mapping[str, Any]) -> str:
    for name in ("s2:generation_time", "processing:datetime", "created", "updated"):
        if props.get(name):
            return pystac.utils.str_to_datetime(str(props[name])).isoformat()
    return ""


def _version(text: str) -> tuple[int, ...]:
    """ "05.10" or "0510" as (5, 10); () where there is none."""
    if re.fullmatch(r"\d{4}", text):
        text = f"{text[:2]}.{text[2:]}"
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _band(asset: pystac.Asset, where: str) -> dict[str, Any]:
    """scale, offset, nodata and data_type of an asset's only band, where they are given."""
    more = asset.extra_fields
    listed = [more.get(key) for key in ("bands", "raster:bands")]
    bands = [own[0] for own in listed if isinstance(own, list) and own and isinstance(own[0], dict)]
    out: dict[str, Any] = {}
    for source in (*bands, more):
        for name in ("scale", "offset", "nodata", "data_type"):
            value = source.get(f"raster:{name}", source.get(name))
            if value is not None and name not in out:
                out[name] = value
    for name in ("scale", "offset", "nodata"):
        if name in out:
            try:
                out[name] = float(out[name])
            except (TypeError, ValueError):
                raise ValueError(
                    f"{where}: expected {name} to be a number, found {out[name]!r:.50}"
                ) from None
    return out


def _href(item: pystac.Item, name: str, where: str) -> str:
    """Where an asset's file is, as GDAL reads it."""
    href = item.assets[name].get_absolute_href() or item.assets[name].href
    if href.startswith("file://"):
        href = urllib.request.url2pathname(href.removeprefix("file://"))
    if href.startswith("/vsi") and not isinstance(item, products.LocalItem):
        raise ValueError(
            f"{where}: asset {name}: expected an address or a path, found {href[:60]!r}, which "
            f"only GDAL knows"
        )
    scheme = _HREF.match(href)
    path = re.split(r"[?#]", href)[0] if scheme else href
    if not path.lower().endswith(_EXTENSIONS):
        raise ValueError(
            f"{where}: asset {name}: expected a GeoTIFF or JPEG 2000, found {path[-60:]!r}"
        )
    if scheme and scheme[0].lower() == "s3:":
        return f"/vsis3/{href[5:]}"
    if scheme and scheme[0].lower() not in ("http:", "https:"):
        raise ValueError(
            f"{where}: asset {name}: expected an address of http, https or s3, or a path, found "
            f"{scheme[0]!r}"
        )
    return href
