"""A mask on the grid of the map, on another one, and what is no mask."""

import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.mapping.mask import Mask

GRID = GeoBox((20, 30), Affine(10, 0, 500_000, 0, -10, 3_800_200), "EPSG:32639")


def write(path, values, transform=GRID.affine, crs="EPSG:32639", nodata=None, count=1):
    values = np.asarray(values)
    profile = {"driver": "GTiff", "dtype": values.dtype, "count": count, "nodata": nodata,
               "height": values.shape[0], "width": values.shape[1]}  # fmt: skip
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform) as raster:
        for band in range(count):
            raster.write(values, band + 1)
    return path


def test_zero_and_nodata_on_the_same_grid(tmp_path):
    values = np.random.default_rng(0).integers(0, 4, (20, 30)).astype(np.uint8)
    mask = Mask(write(tmp_path / "m.tif", values, nodata=3))
    assert mask.check([GRID]) == []
    np.testing.assert_array_equal(mask.left_out(GRID), (values == 0) | (values == 3))
    piece = mask.left_out(GRID[4:9, 7:30])
    np.testing.assert_array_equal(piece, mask.left_out(GRID)[4:9, 7:30])
    floats = np.where(values == 1, np.nan, values).astype(np.float32)
    found = Mask(write(tmp_path / "f.tif", floats)).left_out(GRID)
    np.testing.assert_array_equal(found, (values == 0) | (values == 1))


def test_a_coarser_grid_gives_each_pixel_what_its_centre_lies_in(tmp_path):
    coarse = np.array([[1, 0], [0, 1]], np.uint8)
    # Squares of 100 m, whose corner lies 3 m beyond that of the grid.
    transform = Affine(100, 0, 499_997, 0, -100, 3_800_203)
    mask = Mask(write(tmp_path / "m.tif", coarse, transform))
    (note,) = mask.check([GRID])
    assert "does not cover all of 1 of 1 cubes: what lies beyond it is masked" in note
    found = mask.left_out(GRID)
    expected = np.ones((20, 30), bool)
    expected[:10, :10] = expected[10:, 10:20] = False
    np.testing.assert_array_equal(found, expected)


def test_another_crs_is_turned_around(tmp_path):
    """The mask in degrees: left out is what lies west of a meridian."""
    step = 2e-4
    corner = 50.9995, 34.345
    values = np.ones((40, 60), np.uint8)
    values[:, :10] = 0
    transform = Affine(step, 0, corner[0], 0, -step, corner[1])
    mask = Mask(write(tmp_path / "m.tif", values, transform, "EPSG:4326"))
    found = mask.left_out(GRID)
    rows, cols = np.mgrid[:20, :30]
    x, y = 500_005 + 10 * cols.ravel(), 3_800_195 - 10 * rows.ravel()
    lon, lat = (
        np.reshape(v, (20, 30))
        for v in rasterio.warp.transform("EPSG:32639", "EPSG:4326", x, y)[:2]
    )
    inside = (lat < corner[1]) & (lat > corner[1] - 40 * step)
    assert inside.all()
    np.testing.assert_array_equal(found, lon < corner[0] + 10 * step)
    assert 0 < found.mean() < 1


def test_what_is_no_mask_is_refused_in_one_line(tmp_path):
    def refused(path, match, check=False):
        with pytest.raises(ValueError, match=match) as error:
            mask = Mask(path)
            if check:
                mask.check([GRID])
        assert "\n" not in str(error.value)

    ones = np.ones((20, 30), np.uint8)
    refused(tmp_path / "none.tif", "--mask .*none.tif: expected a GeoTIFF, found no file")
    (tmp_path / "text.tif").write_text("no")
    refused(tmp_path / "text.tif", "text.tif: damaged or not a GeoTIFF")
    refused(write(tmp_path / "two.tif", ones, count=2), "--mask .*expected one band, found 2")
    refused(write(tmp_path / "a.tif", ones, crs=None), "found no CRS")
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        plain = write(tmp_path / "b.tif", ones, Affine.identity())
        refused(plain, "found no place")
    away = write(tmp_path / "c.tif", ones, Affine(10, 0, 0, 0, -10, 0))
    refused(away, "--mask .*covers none of the cubes", check=True)
    local = 'LOCAL_CS["here",UNIT["metre",1]]'
    refused(write(tmp_path / "d.tif", ones, crs=local), "--mask .*a way from", check=True)


def test_the_digest_is_of_the_file(tmp_path):
    values = np.ones((20, 30), np.uint8)
    first = Mask(write(tmp_path / "a.tif", values)).digest
    assert Mask(write(tmp_path / "b.tif", values)).digest == first
    values[3, 3] = 0
    assert Mask(write(tmp_path / "a.tif", values)).digest != first
