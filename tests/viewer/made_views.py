"""Small maps whose pixels say where they are, cubes under them, and fields over them."""

import datetime as dt
import json
import shutil

import making
import numpy as np
import rasterio
from mapping import made_maps

from cropmap_jax.geo import cube_io, periods
from cropmap_jax.viewer.shown import Shown
from cropmap_jax.viewer.view import View

NONE = made_maps.NONE
SIDE = 64


def coded(height, width):
    """Values 0, 1, 254 and 255; no two neighbours in a row or a column agree."""
    rows, cols = np.indices((height, width))
    return np.array([0, 1, NONE, 255], np.uint8)[(rows + 2 * cols + rows // 5) % 4]


def write_map(out, pixels=None, col=0, **more):
    """A map of one cube, `cube`, in the upper left corner of the tile of `making`."""
    pixels = coded(SIDE, SIDE) if pixels is None else pixels
    return made_maps.write(out, ("cube", pixels, made_maps.grid(pixels.shape, col=col)), **more)


def series(root, dates=("2022-05-01", "2022-06-01"), values=(0, 1)):
    """A series of maps of one cube, each of one class.

    As of the last date the western half has held since the first, and of a corner nothing is known.
    """
    for date, value in zip(dates, values, strict=True):
        write_map(root / date, np.full((SIDE, SIDE), value, np.uint8))
        file = root / date / "cube" / "map.json"
        found = json.loads(file.read_text())
        found["settings"]["as_of"] = date
        file.write_text(json.dumps(found))
    described = {"format": "cropmap_jax map series", "version": 1, "dates": list(dates)}
    described |= {"maps": {date: date for date in dates}}
    described |= {"since": {"32639": "since/since_32639.vrt"}}
    days = np.array([periods.to_day(dt.date.fromisoformat(d)) for d in dates], np.uint16)
    held = np.repeat(days[[0, -1]], SIDE // 2)[None].repeat(SIDE, 0)
    held[:8, :8] = 0
    (root / "since" / "cube").mkdir(parents=True)
    grid = made_maps.grid((SIDE, SIDE))
    profile = {"dtype": "uint16", "count": 1, "height": SIDE, "width": SIDE, "nodata": 0}
    profile |= {"driver": "GTiff", "crs": 32639, "transform": grid.affine}
    with rasterio.open(root / "since" / "cube" / "since.tif", "w", **profile) as raster:
        raster.write(held, 1)
    (root / "series.json").write_text(json.dumps(described))
    return root


def write_cube(root, **more):
    """The cube under the map: its pixels."""
    made = making.make_cube("cube", SIDE, fields=False, **more)
    cube_io.write_cube(made, root, overwrite=True)
    return made


def fields(path):
    """Two fields that halve the map, west and east."""
    import geopandas
    import shapely

    a = made_maps.grid((SIDE, SIDE)).affine
    half, length = SIDE * 5, SIDE * 10
    boxes = [shapely.box(a.c + i * half, a.f - length, a.c + (i + 1) * half, a.f) for i in (0, 1)]
    frame = geopandas.GeoDataFrame({"owner": ["<b>A</b>", "B"]}, geometry=boxes, crs=32639)
    frame.to_file(path, driver="GPKG")
    return path


def view(folder, cubes="", given=""):
    return View(Shown(folder), str(cubes), str(given))


def centre(shape=(SIDE, SIDE), row=None, col=None):
    """Longitude and latitude of the centre of a pixel of the map of one cube."""
    import pyproj

    a = made_maps.grid(shape).affine
    row, col = shape[0] // 2 if row is None else row, shape[1] // 2 if col is None else col
    x, y = a.c + 10 * (col + 0.5), a.f - 10 * (row + 0.5)
    return pyproj.Transformer.from_crs(32639, 4326, always_xy=True).transform(x, y)


def remove(*paths):
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
