"""The tile grid: zones, tiles, blocks, and which grids are refused."""

import math

import numpy as np
import pyproj
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import grid

TILES = st.tuples(st.integers(130, 650), st.integers(0, 7300))  # all of a UTM zone


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"),
    [
        (51.39, 35.69, 32639),  # Tehran: (51.39 + 180) / 6 = 38.6, the 39th zone
        (4.35, 50.85, 32631),  # Brussels: 30.7, the 31st
        (5.999, 50.0, 32631),
        (6.0, 50.0, 32632),  # a zone begins on its western edge
        (-180.0, 10.0, 32601),
        (180.0, 10.0, 32660),
        (36.8, -1.3, 32737),  # Nairobi lies south of the equator
        (5.3, 60.4, 32631),  # Bergen: the exception for Norway is not applied
    ],
)
def test_utm_zone_of_a_place(lon, lat, epsg):
    assert grid.utm_epsg(lon, lat) == epsg


@pytest.mark.parametrize(("lon", "lat"), [(181, 0), (0, 85), (0, -81), (math.nan, 0)])
def test_utm_refuses_places_that_have_none(lon, lat):
    with pytest.raises(ValueError, match=f"lat -80..84, found {lon}, {lat}"):
        grid.utm_epsg(lon, lat)


def test_tile_by_hand():
    # 400 * 1280 m = 512000 m east; the top edge is 3001 * 1280 m = 3841280 m north.
    tile = grid.tile_geobox(32639, 400, 3000)
    assert tuple(tile.shape) == (128, 128)
    assert tile.affine == Affine(10, 0, 512000, 0, -10, 3841280)
    assert tile.crs.to_epsg() == 32639
    # floor(512000 / 10240) = 50, floor(3840640 / 10240) = 375.
    assert grid.block_id(tile) == "32639_0050_00375"
    assert grid.tile_id(32639, 400, 3000) == "32639_0400_03000"


@given(TILES)
def test_tiles_share_edges_and_nothing_else(at):
    col, row = at
    box = grid.tile_geobox(32639, col, row).extent.boundingbox
    east = grid.tile_geobox(32639, col + 1, row).extent.boundingbox
    north = grid.tile_geobox(32639, col, row + 1).extent.boundingbox
    assert (east.left, east.bottom, east.top) == (box.right, box.bottom, box.top)
    assert (north.bottom, north.left, north.right) == (box.top, box.left, box.right)


@given(TILES)
def test_a_tile_nests_in_its_block(at):
    tile = grid.tile_geobox(32639, *at)
    _, col, row = grid.block_id(tile).split("_")
    box, side = tile.extent.boundingbox, 10240
    assert int(col) * side <= box.left and box.right <= (int(col) + 1) * side
    assert int(row) * side <= box.bottom and box.top <= (int(row) + 1) * side
    assert (int(col), int(row)) == (at[0] // 8, at[1] // 8)


def test_ids_are_distinct_and_sort_by_place():
    ids = [grid.tile_id(32639, c, r) for c in (9, 10, 130) for r in (0, 99, 7300)]
    assert len(set(ids)) == 9 and sorted(ids) == ids


def test_block_is_that_of_the_centre():
    # A grid of its own that begins 20 m west of a block's edge and reaches 80 m over it.
    edge = 50 * 10240
    box = GeoBox((10, 10), Affine(10, 0, edge - 20, 0, -10, 3840700), "EPSG:32639")
    assert grid.block_id(box) == "32639_0050_00375"
    # 1000 rows and 2 columns: the centre lies 10 m east and 5000 m south of the corner, which is
    # 100 m west and 4900 m north of the corner of block (50, 375).
    tall = GeoBox((1000, 2), Affine(10, 0, edge - 100, 0, -10, 375 * 10240 + 4900), "EPSG:32639")
    assert grid.block_id(tall) == "32639_0049_00374"


def test_tiles_covering_a_rectangle():
    # 1280 m tiles: x 1279..1281 touches columns 0 and 1, y 0..1280 only row 0.
    assert list(grid.tiles_covering(32639, 1279, 0, 1281, 1280)) == [(0, 0), (1, 0)]
    assert list(grid.tiles_covering(32639, 1280, 1280, 2560, 3000)) == [(1, 1), (1, 2)]


@given(TILES, st.integers(1, 4000), st.integers(1, 4000), st.integers(0, 1279))
def test_tiles_covering_is_all_and_only_those_touched(at, width, height, offset):
    left, bottom = at[0] * 1280 + offset, at[1] * 1280 + offset
    right, top = left + width, bottom + height
    found = set(grid.tiles_covering(32639, left, bottom, right, top))
    around = range(-1, 6)
    expected = {
        (c, r)
        for c in (at[0] + d for d in around)
        for r in (at[1] + d for d in around)
        if c * 1280 < right and left < (c + 1) * 1280 and r * 1280 < top and bottom < (r + 1) * 1280
    }
    assert found == expected


def test_an_empty_rectangle_is_refused():
    with pytest.raises(ValueError, match="left < right and bottom < top, found 5, 0, 5, 1"):
        list(grid.tiles_covering(32639, 5, 0, 5, 1))


def box(crs, x, y, a=10.0, e=-10.0, b=0.0) -> GeoBox:
    return GeoBox((8, 8), Affine(a, b, x, 0, e, y), crs)


BRUSSELS = {"EPSG:3857": (484000, 6594000), "EPSG:3395": (484000, 6560000)}


@pytest.mark.parametrize(
    ("geobox", "found"),
    [
        (box("EPSG:4326", 4.35, 50.85, 1e-4, -1e-4), "EPSG:4326"),
        (box("EPSG:3857", *BRUSSELS["EPSG:3857"]), "EPSG:3857"),
        # The same projection under names that carry no 3857, and the ellipsoidal Mercator.
        (box("EPSG:900913", *BRUSSELS["EPSG:3857"]), "EPSG:900913.* 0.63[0-9] m eastwards"),
        (box("+proj=merc +a=6378137 +b=6378137 +units=m", 484000, 6594000), "merc.* 0.63[0-9] m"),
        (box("EPSG:3395", *BRUSSELS["EPSG:3395"]), "EPSG:3395.* 0.63[0-9] m eastwards"),
        (box("EPSG:2263", 1_000_000, 200_000), "EPSG:2263"),  # feet: New York's state plane
        (box(None, 0, 0), "none"),
    ],
)
def test_crs_without_true_metres_are_refused(geobox, found):
    # cos(50.85 degrees) = 0.631: what Mercator's metre measures in Brussels.
    with pytest.raises(ValueError, match=f"^cube a: expected .*EPSG:32639.*, found .*{found}"):
        grid.check_true_pixels(geobox, "cube a")


@pytest.mark.parametrize(
    "geobox",
    [
        box("EPSG:32639", 540000, 3950000, b=0.1),  # sheared
        box("EPSG:32639", 540000, 3950000, e=10.0),  # upside down
        box("EPSG:32639", 540000, 3950000, a=-10.0),  # mirrored
        box("EPSG:32639", 540000, 3950000, a=20.0),  # not square
    ],
)
def test_other_grids_are_refused(geobox):
    with pytest.raises(ValueError, match=r"cube a: expected square north-up .*found affine \("):
        grid.check_true_pixels(geobox, "cube a")


@pytest.mark.parametrize(
    ("crs", "x", "y"),
    [
        ("EPSG:32639", 166100, 1000),  # where UTM is stretched most, at a zone's edge
        ("EPSG:3035", 6_430_000, 1_660_000),  # Cyprus, far from the centre of Europe's grid
        ("EPSG:31370", 150000, 170000),  # Belgian Lambert 72
        ("EPSG:27700", 400000, 300000),  # British National Grid
        ("+proj=laea +lat_0=32 +lon_0=53 +datum=WGS84 +units=m", 1000, 2000),
    ],
)
def test_true_metres_are_accepted(crs, x, y):
    grid.check_true_pixels(box(crs, x, y), "cube a")


def test_to_lonlat_of_a_central_meridian():
    # x = 500000 m is the central meridian of zone 39: 39 * 6 - 183 = 51 degrees east. One degree
    # of meridian arc is about 110.6 km at the equator, shortened by 0.9996.
    centred = GeoBox((2, 2), Affine(10, 0, 499990, 0, -10, 110_540), "EPSG:32639")
    lon, lat = grid.to_lonlat(centred)
    arc = pyproj.Geod(ellps="WGS84").inv(51, 0, 51, lat)[2]
    np.testing.assert_allclose(lon, 51, atol=1e-9)
    np.testing.assert_allclose(arc, 110_530 / 0.9996, atol=1e-3)
