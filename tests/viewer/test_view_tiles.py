"""Tiles against the map's own rasters: each pixel is the one that its centre lies in."""

import io

import numpy as np
import pyproj
import pytest
from affine import Affine
from mapping import made_maps
from odc.geo.geobox import GeoBox
from PIL import Image
from viewer import made_views

from cropmap_jax.mapping import map_folder
from cropmap_jax.viewer import pieces, tiles
from cropmap_jax.viewer.shown import Shown


def sampler(folder):
    found = map_folder.open_map(folder)
    places = pieces.Places(found.cubes)
    return found, tiles.Sampler(places, pieces.Kept(), pieces.Kept()), places


def tile_of(lon, lat, z):
    u, v = pieces.to_square(np.array([lon]), np.array([lat]))
    return int(u[0] * 2**z), int(v[0] * 2**z)


def centres(z, x, y):
    """Longitude and latitude of all pixels of a tile, by the formula of the scheme."""
    at = (np.arange(256) + 0.5) / 256
    u, v = np.meshgrid((x + at) / 2**z, (y + at) / 2**z)
    return u * 360 - 180, np.degrees(2 * np.arctan(np.exp(np.pi - 2 * np.pi * v)) - np.pi / 2)


def expected(cubes, z, x, y, fill=255):
    """Each pixel by its own transformation; NaN where it is too near an edge to tell."""
    lon, lat = centres(z, x, y)
    out, free = np.full((256, 256), float(fill)), np.ones((256, 256), bool)
    for one in cubes:
        crs, a = one.geobox.crs.proj, one.geobox.affine
        px, py = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
        col, row = (px - a.c) / a.a, (py - a.f) / a.e
        inside = (col >= 0) & (row >= 0) & (col < one.geobox.shape[1]) & (row < one.geobox.shape[0])
        unsure = (np.abs(col - np.rint(col)) < 0.02) | (np.abs(row - np.rint(row)) < 0.02)
        own = inside & free
        pixels = one.read()
        out[own] = pixels[row[own].astype(int), col[own].astype(int)]
        out[free & unsure] = np.nan
        free &= ~inside
    return out


@pytest.mark.parametrize("z", [13, 15, 18])
@pytest.mark.parametrize("shape", [(64, 64), (530, 700)])
def test_each_pixel_is_the_one_that_its_centre_lies_in(tmp_path, z, shape):
    made_views.write_map(tmp_path, made_views.coded(*shape))
    found, sample, places = sampler(tmp_path)
    assert len(places.pieces) == (1 if shape[0] == 64 else 4)
    # At the corner where the pieces of the large one meet, and within the small one.
    at = made_views.centre(shape, *((512, 512) if shape[0] > 512 else (32, 32)))
    x, y = tile_of(*at, z)
    pixels = sample.tile(tiles.crop_layer(places, "a"), z, x, y)
    wanted = expected(found.cubes, z, x, y)
    sure = ~np.isnan(wanted)
    assert sure.mean() > 0.8
    np.testing.assert_array_equal(pixels[..., 0][sure], wanted[sure])
    assert len(np.unique(pixels)) == 4


def test_where_zones_overlap_the_first_cube_by_name_is_shown(tmp_path):
    west = made_maps.grid((40, 40))
    a = west.affine
    to = pyproj.Transformer.from_crs(32639, 32638, always_xy=True).transform
    left, top = to(a.c + 200, a.f)
    other = GeoBox((40, 40), Affine(10, 0, left, 0, -10, top), "EPSG:32638")
    one = np.zeros((40, 40), np.uint8)
    made_maps.write(tmp_path, ("b", one, west), ("a", one + 1, other))
    found, sample, places = sampler(tmp_path)
    x, y = tile_of(*made_views.centre((40, 40), 20, 30), 15)
    pixels = sample.tile(tiles.crop_layer(places, "a"), 15, x, y)[..., 0]
    wanted = expected(found.cubes, 15, x, y)
    sure = ~np.isnan(wanted)
    np.testing.assert_array_equal(pixels[sure], wanted[sure])
    assert {0, 1, 255} == set(np.unique(pixels))


def test_from_far_away_a_tile_holds_every_eighth_pixel_at_most(tmp_path):
    rows, cols = np.indices((64, 128))
    # Only the pixels in the middle of each 8 x 8 are wheat.
    pixels = np.where((rows % 8 == 4) & (cols % 8 == 4), 0, 1).astype(np.uint8)
    made_views.write_map(tmp_path, pixels)
    _, sample, places = sampler(tmp_path)
    layer = tiles.crop_layer(places, "a")
    lon, lat = made_views.centre((64, 128))
    far = sample.tile(layer, 10, *tile_of(lon, lat, 10))
    assert set(np.unique(far)) == {0, 255}
    # The whole world: within a pixel of it.
    world = sample.tile(layer, 0, 0, 0)
    assert world.shape == (256, 256, 1) and (world != 255).sum() <= 1


@pytest.mark.parametrize("z", [3, 6, 7, 9, 14])
def test_places_of_pixels_are_right_at_every_zoom(z):
    crs = pyproj.CRS(32639).to_wkt()
    # A tile at the edge of the zone, where the grid is bent most.
    x, y = tile_of(53.9, 61.0, z)
    lon, lat = centres(z, x, y)
    wanted = pyproj.Transformer.from_crs(4326, 32639, always_xy=True).transform(lon, lat)
    box = (x / 2**z, y / 2**z, (x + 1) / 2**z, (y + 1) / 2**z)
    found = tiles._places(crs, z, box, 256, 256)
    pixel = pieces.metres(z, (box[1] + box[3]) / 2)
    # Of places near the zone: far from it the projection has no meaning.
    near = np.abs(lon - 51) < 8
    for ours, theirs in zip(found, wanted, strict=True):
        assert np.abs(ours - theirs)[near].max() < 0.01 * pixel


def test_where_the_map_is_not_there_is_no_tile(tmp_path):
    made_views.write_map(tmp_path)
    _, sample, places = sampler(tmp_path)
    assert sample.tile(tiles.crop_layer(places, "a"), 12, 0, 0) is None
    lon, lat = made_views.centre()
    x, y = tile_of(lon, lat, 14)
    assert sample.tile(tiles.confidence_layer(places, "a"), 14, x, y).min() == 80


def test_memory_is_bounded_and_what_was_used_last_stays():
    kept, read = pieces.Kept(limit=100), []

    def ask(key):
        return kept.get(key, lambda: read.append(key) or np.zeros(40, np.uint8))

    for key in ("a", "b", "a", "c", "a", "b"):
        ask(key)
    assert read == ["a", "b", "c", "b"]


def test_pictures_have_the_colours_of_the_legend_and_hide_classes(tmp_path):
    shown = Shown(made_views.write_map(tmp_path))
    pixels = np.array([[0, 1], [254, 255]], np.uint8)[..., None]
    data = tiles.png(pixels, tiles.class_palette(shown.classes, frozenset({1})))
    rgba = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    assert rgba[0, 0].tolist() == [0xE6, 0xAB, 0x02, 255]
    assert rgba[..., 3].tolist() == [[255, 0], [255, 0]]
    percent = tiles.confidence_palette()
    assert percent[0].tolist() == [0x44, 0x01, 0x54, 255] and not percent[255].any()
    assert percent[100].tolist() == [0xFD, 0xE7, 0x25, 255]
