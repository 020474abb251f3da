"""One virtual raster over many cubes, and the style that QGIS shows it in."""

import datetime as dt
import shutil
import xml.etree.ElementTree as ET

import making
import numpy as np
import rasterio
from mapping import small_maps

from cropmap_jax.geo import cube_io
from cropmap_jax.geo.legend import EUCROPMAP
from cropmap_jax.inference.tiling import Box
from cropmap_jax.mapping import cubes as mapped
from cropmap_jax.mapping import map_rasters, mosaics

METADATA = {"settings": {"as_of": "2022-06-01"}}


def number_pixels(box: Box) -> np.ndarray:
    """Classes and confidences that differ from pixel to pixel, by their place in the mosaic."""
    rows, cols = np.mgrid[box.top : box.bottom, box.left : box.right]
    return ((rows * 31 + cols * 7) % 101).astype(np.uint8)


def write(root, *cubes):
    """Maps of cubes and a mosaic of each grid."""
    small_maps.write(root / "cubes", *cubes)
    (root / "map").mkdir()
    infos = cube_io.list_cubes(root / "cubes")
    made = mosaics.join(mapped.join(infos, 2, dt.date(2022, 6, 1), 16))
    infos = {cube.info.cube_id: cube.info for cube in cubes}
    for mosaic in made:
        for cube_id, box in mosaic.tiles():
            pixels = number_pixels(box)
            map_rasters.write_map(
                root / "map", infos[cube_id], making.LEGEND, pixels % 3, pixels, METADATA
            )
        for what, settings in (
            ("crop", {"classes": making.LEGEND}),
            ("confidence", {"scale": 0.01}),
        ):
            path = root / "map" / f"{what}_{mosaic.name}.vrt"
            mosaics.write_vrt(path, mosaic, f"{what}.tif", f"{what} of all", **settings)
    return {mosaic.name: mosaic for mosaic in made}


def test_a_mosaic_equals_its_cubes_where_they_lie_and_holds_nothing_elsewhere(tmp_path):
    whole = making.make_cube("whole", (60, 90), fields=False)
    cubes = [
        small_maps.piece(whole, "a", slice(0, 20), slice(30, 60)),
        small_maps.piece(whole, "b", slice(20, 60), slice(30, 50)),
        small_maps.piece(whole, "far", slice(50, 60), slice(80, 90)),
    ]
    found = write(tmp_path, *cubes)
    # As a whole it may go elsewhere.
    shutil.move(tmp_path / "map", tmp_path / "elsewhere")
    assert list(found) == ["32639"] and len(found["32639"].groups) == 2
    expected = np.full((60, 60), 255, np.uint8)
    for box in (Box(0, 0, 20, 30), Box(20, 0, 60, 20), Box(50, 50, 60, 60)):
        expected[box.inside(Box(0, 0, 60, 60))] = number_pixels(box)
    with rasterio.open(tmp_path / "elsewhere" / "confidence_32639.vrt") as raster:
        np.testing.assert_array_equal(raster.read(1), expected)
        assert raster.crs.to_epsg() == making.EPSG and raster.nodata == 255
        # The cubes begin 300 m east of the tile's corner.
        x, y = small_maps.CORNER
        assert tuple(raster.transform)[:6] == (10, 0, x + 300, 0, -10, y)
        assert raster.scales == (0.01,) and raster.descriptions == ("confidence of all",)
    with rasterio.open(tmp_path / "elsewhere" / "crop_32639.vrt") as raster:
        np.testing.assert_array_equal(raster.read(1), np.where(expected == 255, 255, expected % 3))
        with rasterio.open(tmp_path / "elsewhere" / "a" / "crop.tif") as tile:
            assert raster.colormap(1) == tile.colormap(1)
        assert raster.colorinterp[0].name == "palette"
        assert raster.descriptions == ("crop of all",)


def test_paths_are_relative_and_classes_are_named(tmp_path):
    write(tmp_path, making.make_cube("a", 16))
    root = ET.parse(tmp_path / "map" / "crop_32639.vrt").getroot()
    (source,) = root.iter("SourceFilename")
    assert source.text == "a/crop.tif" and source.get("relativeToVRT") == "1"
    names = [e.text or "" for e in root.iter("Category")]
    assert names[:3] == ["wheat", "rapeseed", "maize"] and not any(names[3:254])
    assert names[254:] == ["none_of_these", "no_data"]


def test_each_grid_has_a_mosaic_of_its_own(tmp_path):
    cubes = [
        making.make_cube("a", 16),
        small_maps.moved(making.make_cube("b", 16), epsg=32640),
        small_maps.moved(making.make_cube("c", 16), east_m=1003),
    ]
    found = write(tmp_path, *cubes)
    assert sorted(found) == ["32639", "32639_2", "32640"]
    for name, east in (("32639", 0), ("32639_2", 1003), ("32640", 0)):
        with rasterio.open(tmp_path / "map" / f"crop_{name}.vrt") as raster:
            assert raster.shape == (16, 16) and raster.crs.to_epsg() == int(name[:5])
            assert raster.transform.c == small_maps.CORNER[0] + east


def test_the_style_shows_every_class_in_its_colour():
    text = mosaics.style(EUCROPMAP).decode()
    root = ET.fromstring(text)
    renderer = root.find("./pipe/rasterrenderer")
    assert renderer.get("type") == "paletted" and renderer.get("band") == "1"
    entries = [
        (e.get("value"), e.get("color"), e.get("label")) for e in renderer.iter("paletteEntry")
    ]
    expected = [(str(i), c.colour, c.title) for i, c in enumerate(EUCROPMAP.classes)]
    assert entries == [*expected, ("254", "#dddddd", "None of these")]
    assert text.startswith("<!DOCTYPE qgis")
