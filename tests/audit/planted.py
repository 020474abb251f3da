"""Small cubes with one fault each, as a user may have them."""

import dataclasses
import datetime as dt

import making
import numpy as np
import rasterio.warp
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling

from cropmap_jax.geo import calendars, cube, cube_io, grid
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

SIZE = 64
SPLITS = ("train", "train", "train", "validation", "test", "test")


def clean(folder, **settings):
    """Six cubes in blocks of their own; fields of each look a little different from others."""
    made = []
    for i, split in enumerate(SPLITS):
        tile = (making.TILE[0] + i * grid.TILES_PER_BLOCK, making.TILE[1])
        one = making.make_cube(f"{split}_{i}", SIZE, split=split, tile=tile, seed=i, **settings)
        made.append(one)
        cube_io.write_cube(one, folder)
    return made


def changed(one, cube_id, split, shift=(0.0, 0.0), **info):
    """A copy of a cube with another id in another split, which claims to lie `shift` m away."""
    old = one.info.geobox
    geobox = _moved(old, shift)
    values = {"cube_id": cube_id, "split": split, "block": f"{cube_id}_block", "geobox": geobox}
    info = dataclasses.replace(one.info, **(values | info))
    return cube.Cube(info, dict(one.pixels), one.label, one.fields, one.clear)


def _moved(old, shift):
    a, b, x, d, e, y = tuple(old.affine)[:6]
    return GeoBox(old.shape, Affine(a, b, x + shift[0], d, e, y + shift[1]), old.crs)


def part(one, cube_id, split, rows, cols, **info):
    """Rows and columns of a cube as a cube of its own, where they lie."""
    old = one.info.geobox
    a, b, x, d, e, y = tuple(old.affine)[:6]
    affine = Affine(a, b, x + a * cols.start, d, e, y + e * rows.start)
    geobox = GeoBox((rows.stop - rows.start, cols.stop - cols.start), affine, old.crs)
    values = {"cube_id": cube_id, "split": split, "block": f"{cube_id}_block", "geobox": geobox}
    return cube.Cube(
        dataclasses.replace(one.info, **(values | info)),
        {name: pixels[:, rows, cols] for name, pixels in one.pixels.items()},
        one.label[rows, cols],
        None if one.fields is None else one.fields[rows, cols],
    )


def reprojected(one, cube_id, split, epsg, shift=(0.0, 0.0), **info):
    """A cube resampled (bilinear) onto the grid of another zone, half a pixel off its lattice."""
    old = one.info.geobox
    bounds = rasterio.warp.transform_bounds(old.crs.to_wkt(), f"EPSG:{epsg}", *old.boundingbox)
    left, top = np.floor(bounds[0] / 10) * 10 - 5, np.ceil(bounds[3] / 10) * 10 + 5
    height, width = (int(np.ceil((b - a) / 10)) for a, b in (bounds[1::2], bounds[::2]))
    new = GeoBox((height, width), Affine(10, 0, left, 0, -10, top), f"EPSG:{epsg}")

    def warp(values, how, nodata):
        out = np.full((len(values), height, width), nodata, values.dtype)
        rasterio.warp.reproject(
            values, out, src_transform=old.affine, src_crs=old.crs.to_wkt(), src_nodata=nodata,
            dst_transform=new.affine, dst_crs=new.crs.to_wkt(), dst_nodata=nodata, resampling=how,
        )  # fmt: skip
        return out

    pixels = {}
    for name, values in one.pixels.items():
        t, h, w, b = values.shape
        flat = np.moveaxis(values, -1, 1).reshape(t * b, h, w)
        flat = warp(flat, Resampling.bilinear, np.float32(np.nan))
        moved = np.moveaxis(flat.reshape(t, b, height, width), 1, -1)
        pixels[name] = np.ascontiguousarray(moved)
    label = warp(one.label[None], Resampling.nearest, np.uint8(IGNORE))[0]
    fields = None
    if one.fields is not None:
        fields = warp(one.fields.astype(np.float64)[None], Resampling.nearest, 0.0)[0]
        fields = fields.astype(np.uint32)
    geobox = _moved(new, shift)
    values = {"cube_id": cube_id, "split": split, "block": f"{cube_id}_block", "geobox": geobox}
    return cube.Cube(dataclasses.replace(one.info, **(values | info)), pixels, label, fields)


def windows_of_the_crop(folder, one_date, cubes=12):
    """Cubes with one crop each, whose periods end with that crop's harvest.

    With `one_date` that is the harvest of all classes, too.
    """
    for i in range(cubes):
        tile = (making.TILE[0] + i * grid.TILES_PER_BLOCK, making.TILE[1])
        split = SPLITS[i % len(SPLITS)]
        one = making.make_cube(f"cube_{i:02d}", 32, split=split, tile=tile, seed=i)
        crop = i % len(making.LEGEND)
        other = (one.label < NONE_OF_THESE) & (one.label != crop)
        label = np.where(other, np.uint8(IGNORE), one.label)
        name = making.LEGEND.names[crop]
        end = calendars.harvest_start(one.info.harvest, name)
        kept = [k for k, p in enumerate(one.info.periods) if p.end <= end]
        kept = slice(kept[0], kept[-1] + 1)
        info = dataclasses.replace(
            one.info,
            periods=one.info.periods[kept],
            harvest={calendars.ANY_CROP: one.info.harvest[name]} if one_date else one.info.harvest,
        )
        pixels = {name: values[kept] for name, values in one.pixels.items()}
        cube_io.write_cube(cube.Cube(info, pixels, label, one.fields), folder)


def later(one, days):
    """The seasons of a cube's calendar, some days later."""
    move = dt.timedelta(days=days)
    return {
        crop: tuple(
            dataclasses.replace(s, harvest_start=s.harvest_start + move, harvest_end=None)
            for s in seasons
        )
        for crop, seasons in one.info.harvest.items()
    }
