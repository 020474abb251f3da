"""Scenes of a simulated site as cloud-optimised GeoTIFFs with STAC Items."""

import datetime as dt
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pystac
import rasterio.io
import rasterio.warp
import shapely.geometry
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import files, grid
from cropmap_jax.geo.periods import to_days
from cropmap_jax.sources.simulator import optics, pixels, scene_plan, sites
from cropmap_jax.sources.simulator.fields import Ground

OPTICAL, RADAR = "sentinel-2-l2a", "sentinel-1-sigma0"
"""Names of the two collections."""
OPTICAL_ASSETS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
"""In the order of the sensor's bands."""
SCL = "SCL"
RADAR_NODATA = -32768.0
_TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"
_EXTENSIONS = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("projection/v2.0.0", "raster/v1.1.0", "sat/v1.0.0", "sar/v1.0.0")
)
BLOCK_PX = 128


def site_geobox(settings: sites.Settings, site: sites.Site) -> GeoBox:
    """The grid of a whole site."""
    first = grid.tile_geobox(site.region.epsg, site.col, site.row + settings.tiles - 1)
    side = settings.tiles * grid.TILE_PX
    return GeoBox((side, side), first.affine, first.crs)


def site_images(
    settings: sites.Settings, ground: Ground, scenes: pixels.Scenes
) -> Iterator[tuple[dict[int, np.ndarray], dict[int, tuple[np.ndarray, np.ndarray]]]]:
    """What was seen of a site, period by period: the images that its composites are made of.

    Returns:
      {pass: linear sigma-0, float32 [H, W, 2]}, {pass: (reflectance float32 [H, W, 10], bool
      [H, W] clear)}; a tile without a clear pixel is all cloud, as are whole passes.
    """
    size, side = grid.TILE_PX, settings.tiles * grid.TILE_PX
    corners = [(r, c) for r in range(0, side, size) for c in range(0, side, size)]
    tiles = [
        pixels.tile_images(ground, scenes, row, col, size, settings.periods)
        for row, col in corners
    ]  # fmt: skip
    for (start, end), *parts in zip(to_days(settings.periods), *tiles, strict=True):
        radar: dict[int, np.ndarray] = {}
        optical = {
            i: (np.tile(optics.CLOUD, (side, side, 1)), np.zeros((side, side), bool))
            for i in np.flatnonzero((scenes.s2_days >= start) & (scenes.s2_days < end)).tolist()
        }
        for (row, col), seen in zip(corners, parts, strict=True):
            here = np.s_[row : row + size, col : col + size]
            for m, power in zip(seen.passes.tolist(), seen.power, strict=True):
                radar.setdefault(m, np.empty((side, side, 2), np.float32))[here] = power
            for i, clear, image in seen.images:
                optical[i][0][here], optical[i][1][here] = image, clear
        yield radar, optical


def write_cog(
    path: pathlib.Path, array: np.ndarray, geobox: GeoBox, nodata: float, block: int = BLOCK_PX
) -> None:
    """Writes one band as a cloud-optimised GeoTIFF.

    Args:
      path: in a folder that has no name yet, see `files.replacing`.
      array: [H, W].
      geobox: its grid.
      nodata: stored where there is no value.
      block: side of its blocks in pixels.
    """
    height, width = array.shape
    with rasterio.io.MemoryFile() as memory:
        with memory.open(
            driver="COG", dtype=array.dtype, count=1, height=height, width=width,
            crs=geobox.crs.to_wkt() if geobox.crs else None, transform=geobox.affine,
            nodata=nodata, compress="deflate", predictor="yes", blocksize=block,
            overviews="none",
        ) as raster:  # fmt: skip
            raster.write(array, 1)
        path.write_bytes(memory.getbuffer())


def write_optical(
    scene: scene_plan.OpticalScene,
    image: tuple[np.ndarray, np.ndarray],
    geobox: GeoBox,
    folder: pathlib.Path,
) -> pystac.Item:
    """Writes a Sentinel-2 scene into a folder of its own; its item."""
    reflectance, clear = image
    stored = np.rint(reflectance * (10000 * (scene_plan.SPOILT if scene.spoilt else 1)))
    stored = np.clip(stored + scene.offset, 1, 65535).astype(np.uint16)
    layers = dict(zip(OPTICAL_ASSETS, np.moveaxis(stored, -1, 0), strict=True))
    layers[SCL] = scene_plan.classes_of(reflectance, clear)
    layers, box = _piece(layers, scene.piece, geobox)
    numbers = {"scale": 0.0001, "offset": -scene.offset / 10000}
    assets = {}
    for name, array in layers.items():
        if name in scene.lacks:
            continue
        write_cog(folder / f"{name}.tif", array, box, 0)
        band = {"data_type": array.dtype.name, "nodata": 0}
        if name == SCL or scene.offset == 0:  # both ways in which catalogues say it
            more = {} if name == SCL else numbers
            assets[name] = {"raster:bands": [{**band, **more}]}
        else:
            more = {f"raster:{key}": value for key, value in numbers.items()}
            assets[name] = {"bands": [{"name": name, **band, **more}]}
    take = f"GS{scene.platform[9:].upper()}_{scene.time:%Y%m%dT%H%M%S}_{scene.index:06d}"
    made = scene.time + dt.timedelta(hours=6 if scene.spoilt else 30_000)
    properties = {
        "platform": scene.platform,
        "s2:processing_baseline": scene.baseline,
        "s2:datatake_id": f"{take}_N{scene.baseline}",
        "s2:mgrs_tile": f"{_epsg(box) % 100}SIM{scene.piece}",
        "s2:generation_time": made.isoformat(),
    }
    return make_item(scene.scene_id, scene.time, box, properties, assets)


def _piece(
    layers: Mapping[str, np.ndarray], piece: str, geobox: GeoBox
) -> tuple[dict[str, np.ndarray], GeoBox]:
    """What a tile of a cut datatake holds, on its own grid."""
    side = geobox.shape[1]
    if piece == "Z":
        return _other_zone(layers, geobox)
    if piece == "A":
        return dict(layers), geobox
    first, last = (0, 3 * side // 4) if piece == "W" else (2 * side // 5, side)
    out = {name: array[:, first:last].copy() for name, array in layers.items()}
    if piece == "W":  # the edge of the swath
        for array in out.values():
            array[:, 3 * side // 5 :] = 0
    return out, geobox[:, first:last]


def _epsg(geobox: GeoBox) -> int:
    return (geobox.crs.to_epsg() if geobox.crs else None) or 0


def _other_zone(
    layers: Mapping[str, np.ndarray], geobox: GeoBox
) -> tuple[dict[str, np.ndarray], GeoBox]:
    epsg = _epsg(geobox)
    other = epsg - 1 if epsg % 100 > 1 else epsg + 1
    bounds = rasterio.warp.transform_bounds(f"EPSG:{epsg}", f"EPSG:{other}", *geobox.boundingbox)
    left, bottom, right, top = (round(v / 10) * 10 for v in bounds)
    shape = (int(top - bottom) // 10, int(right - left) // 10)
    box = GeoBox(shape, Affine(10, 0, left, 0, -10, top), f"EPSG:{other}")
    out = {}
    for name, array in layers.items():
        out[name] = np.zeros(shape, array.dtype)
        rasterio.warp.reproject(
            array, out[name], src_transform=geobox.affine, src_crs=f"EPSG:{epsg}", src_nodata=0,
            dst_transform=box.affine, dst_crs=f"EPSG:{other}", dst_nodata=0,
        )  # fmt: skip
    return out, box


def write_radar(
    scene: scene_plan.RadarScene, power: np.ndarray, geobox: GeoBox, folder: pathlib.Path
) -> pystac.Item:
    """Writes a Sentinel-1 scene into a folder of its own; its item."""
    height = geobox.shape[0]
    first, last = (round(share * height) for share in scene.rows)
    box, assets = geobox[first:last, :], {}
    for k, name in enumerate(scene.bands):
        array = power[first:last, :, k] * np.float32(scene.factor)
        write_cog(folder / f"{name}.tif", array, box, RADAR_NODATA)
        band = {"data_type": "float32", "nodata": RADAR_NODATA}
        assets[name] = {"raster:bands": [band]}
    properties = {
        "platform": scene.platform,
        "sar:instrument_mode": "IW",
        "sar:product_type": "GRD",
        "sar:polarizations": [name.upper() for name in scene.bands],
        "sat:orbit_state": scene.direction,
        "sat:relative_orbit": scene.orbit,
        "processing:datetime": scene.processed.isoformat(),
    }
    return make_item(scene.scene_id, scene.time, box, properties, assets)


def make_item(
    name: str,
    time: dt.datetime,
    box: GeoBox,
    properties: dict[str, Any],
    assets: Mapping[str, dict[str, Any]],
) -> pystac.Item:
    """An item of a scene whose files lie next to it, <asset>.tif each.

    Args:
      name: of the scene.
      time: UTC.
      box: the grid of its files.
      properties: all but those of the projection.
      assets: {asset: further fields}.
    """
    outline = box.extent.to_crs("EPSG:4326")
    item = pystac.Item(
        id=name,
        geometry=shapely.geometry.mapping(outline.geom),
        bbox=[round(v, 8) for v in outline.geom.bounds],
        datetime=time,
        properties=properties
        | {
            "proj:code": f"EPSG:{_epsg(box)}",
            "proj:shape": list(box.shape),
            "proj:transform": list(box.affine)[:6],
        },
        stac_extensions=list(_EXTENSIONS),
    )
    for key, more in assets.items():
        asset = pystac.Asset(f"./{key}.tif", media_type=_TIFF, roles=["data"], extra_fields=more)
        item.add_asset(key, asset)
    return item


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes JSON under a hidden name and renames it."""
    files.write_bytes(path, (json.dumps(value, indent=1) + "\n").encode())
