"""Means of the images over mapped classes, and what is missing of cubes."""

import json
import shutil

import numpy as np
import pytest
import rasterio
from affine import Affine
from viewer import made_views

from cropmap_jax.viewer import means


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_means_are_of_pixels_with_a_value_and_of_decibels_those_of_powers(tmp_path):
    made = made_views.write_cube(tmp_path / "cubes")
    made_views.write_map(tmp_path / "map")
    found = made_views.view(tmp_path / "map", tmp_path / "cubes").means(0).wait()["means"]
    pixels = made_views.coded(made_views.SIDE, made_views.SIDE)
    ndvi = (made.s2[..., 6] - made.s2[..., 2]) / (made.s2[..., 6] + made.s2[..., 2])
    power = 10 ** (made.s1[..., 1] / 10)
    for value in (0, 1, 254):
        own = pixels == value
        assert found["pixels"][str(value)] == own.sum()
        with np.errstate(invalid="ignore"):
            there = np.isfinite(ndvi[:, own]).sum(1)
            total = np.nansum(ndvi[:, own], 1)
        wanted = np.where(there, total / np.maximum(there, 1), np.nan)
        values = np.array([np.nan if v is None else v for v in found["curves"]["ndvi"][str(value)]])
        np.testing.assert_allclose(values, wanted, atol=0.002)
        decibels = 10 * np.log10(np.nanmean(power[:, own], 1))
        np.testing.assert_allclose(found["curves"]["VH"][str(value)], decibels, atol=0.006)
    assert np.isnan(values[1]), "all of the second period lies under clouds"


def test_a_date_that_has_more_cubes_takes_the_pixels_of_its_own(tmp_path):
    made = made_views.write_cube(tmp_path / "cubes")
    root = made_views.series(tmp_path / "series", values=(0, 1))
    # It comes first by name, so that positions of cubes are others than on the latest date.
    more = root / "2022-05-01"
    named = json.loads((more / "cube" / "map.json").read_text())
    shutil.copytree(more / "cube", more / "a")
    (more / "a" / "map.json").write_text(json.dumps(named | {"cube": "a"}))
    with rasterio.open(more / "a" / "crop.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as raster:
        a = raster.transform
        raster.transform = Affine(a.a, 0, a.c - 640, 0, a.e, a.f)
    view = made_views.view(root, tmp_path / "cubes")
    lon, lat = made_views.centre(row=20, col=21)
    first, last = (view.pixel(i, lon, lat) for i in (0, 1))
    assert first["cube"] == last["cube"] == "cube" and first["curves"] == last["curves"]
    assert first["curves"]["VH"][-1] == pytest.approx(made.s1[-1, 20, 21, 1], abs=0.006)
    assert view.means(0).wait()["means"]["pixels"]["0"] == 4096


def test_means_are_kept_and_another_map_gets_its_own(tmp_path, cache, monkeypatch):
    made_views.write_cube(tmp_path / "cubes")
    made_views.write_map(tmp_path / "map")
    first = made_views.view(tmp_path / "map", tmp_path / "cubes").means(0).wait()
    assert len(list(cache.rglob("*.json"))) == 1
    monkeypatch.setattr(means, "compute", lambda *_: pytest.fail("was kept"))
    assert made_views.view(tmp_path / "map", tmp_path / "cubes").means(0).wait() == first
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    # Cubes of the same months with other pixels, as after a month that had not ended.
    token = made_views.view(tmp_path / "map", tmp_path / "cubes").description["token"]
    made_views.write_cube(tmp_path / "cubes", seed=9)
    again = made_views.view(tmp_path / "map", tmp_path / "cubes")
    assert again.means(0).wait() != first and again.description["token"] != token
    made_views.write_map(tmp_path / "other", np.zeros((64, 64), np.uint8))
    other = made_views.view(tmp_path / "other", tmp_path / "cubes").means(0).wait()
    assert other["means"]["pixels"] == {"0": 4096, "1": 0, "254": 0}
    assert set(other["means"]["curves"]["VH"]["1"]) == {None}
    assert len(list(cache.rglob("*.json"))) == 3


def test_a_damaged_cube_fails_in_words(tmp_path):
    made_views.write_cube(tmp_path / "cubes")
    made_views.write_map(tmp_path / "map")
    view = made_views.view(tmp_path / "map", tmp_path / "cubes")
    (tmp_path / "cubes" / "cube" / "s1.tif").write_bytes(b"no raster")
    found = view.means(0).wait()
    assert found["state"] == "failed" and "s1.tif: damaged" in found["why"]


def test_cubes_that_are_missing_or_others_are_named(tmp_path):
    made_views.write_map(tmp_path / "map")
    with pytest.raises(ValueError, match="--cubes .*nowhere: expected a folder of cubes, found no"):
        made_views.view(tmp_path / "map", tmp_path / "nowhere")
    (tmp_path / "cubes").mkdir()
    with pytest.raises(ValueError, match="expected the cubes of the map, e.g. cube, found none"):
        made_views.view(tmp_path / "map", tmp_path / "cubes")
    made_views.write_cube(tmp_path / "cubes", tile=(401, 3000))
    with pytest.raises(ValueError, match="cubes/cube: expected the grid of .*crop.tif, found anot"):
        made_views.view(tmp_path / "map", tmp_path / "cubes")
