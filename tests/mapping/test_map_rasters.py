"""What lies in the folder of a mapped cube."""

import dataclasses
import json

import making
import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox

from cropmap_jax.mapping import map_rasters

METADATA = {"settings": {"as_of": "2022-06-01"}, "any": "thing"}


def write(out, size, crop=None, confidence=None):
    height, width = (size, size) if isinstance(size, int) else size
    small = making.make_cube("a.b-c", 16).info
    geobox = GeoBox((height, width), small.geobox.affine, small.geobox.crs)
    info = dataclasses.replace(small, geobox=geobox)
    crop = np.zeros(info.shape, np.uint8) if crop is None else crop
    confidence = np.full(info.shape, 50, np.uint8) if confidence is None else confidence
    return map_rasters.write_map(out, info, making.LEGEND, crop, confidence, METADATA), info


def test_both_rasters_hold_what_was_given_on_the_grid_of_the_cube(tmp_path):
    rng = np.random.default_rng(0)
    crop = rng.choice(np.array([0, 1, 2, 254, 255], np.uint8), (130, 70))
    confidence = rng.integers(0, 101, (130, 70)).astype(np.uint8)
    folder, info = write(tmp_path, (130, 70), crop, confidence)
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        "a.b-c", "confidence.tif", "crop.tif", "map.json",
    ]  # fmt: skip
    for name, pixels in (("crop", crop), ("confidence", confidence)):
        with rasterio.open(folder / f"{name}.tif") as raster:
            np.testing.assert_array_equal(raster.read(1), pixels)
            assert raster.crs.to_epsg() == making.EPSG and raster.count == 1
            assert tuple(raster.transform)[:6] == tuple(info.geobox.affine)[:6]
            assert raster.nodata == 255 and raster.dtypes == ("uint8",)
    assert json.loads((folder / "map.json").read_text()) == METADATA


def test_a_crop_map_explains_itself(tmp_path):
    folder, _ = write(tmp_path, 16)
    with rasterio.open(folder / "crop.tif") as raster:
        assert raster.descriptions == ("crop, legend making, as of 2022-06-01",)
        colours = raster.colormap(1)
        tags = raster.tags(1)
    # The legend's #e6ab02, #1b9e77 and #d95f02.
    assert colours[0] == (230, 171, 2, 255) and colours[2] == (217, 95, 2, 255)
    assert colours[1] == (27, 158, 119, 255)
    assert colours[254] == (221, 221, 221, 255) and colours[255] == (0, 0, 0, 0)
    expected = {"0": "wheat", "1": "rapeseed", "2": "maize", "254": "none_of_these"}
    assert {k: tags[f"CLASS_{k}"] for k in expected} == expected


def test_confidence_is_percent_with_a_scale(tmp_path):
    folder, _ = write(tmp_path, 16)
    with rasterio.open(folder / "confidence.tif") as raster:
        (description,) = raster.descriptions
        assert "probability of the class shown" in description and "2022-06-01" in description
        np.testing.assert_allclose(raster.read(1) * raster.scales[0], 0.5)


@pytest.mark.parametrize(("size", "block", "overviews"), [(128, 128, []), (1100, 512, [2, 4])])
def test_rasters_are_cloud_optimised(tmp_path, size, block, overviews):
    folder, _ = write(tmp_path, size)
    for name in ("crop.tif", "confidence.tif"):
        with rasterio.open(folder / name) as raster:
            assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert raster.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
            assert raster.block_shapes == [(block, block)]
            assert raster.overviews(1) == overviews


def test_overviews_of_classes_hold_classes(tmp_path):
    crop = np.where(np.arange(1024) % 3 == 0, 2, 0).astype(np.uint8) * np.ones((1024, 1), np.uint8)
    folder, _ = write(tmp_path, 1024, crop)
    with rasterio.open(folder / "crop.tif", overview_level=0) as raster:
        assert set(np.unique(raster.read(1))) <= {0, 2}


def test_no_space_leaves_nothing(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(map_rasters.files, "write_synced", full)
    with pytest.raises(OSError, match="a.b-c: could not be written .No space left"):
        write(tmp_path, 16)
    assert list(tmp_path.iterdir()) == []
