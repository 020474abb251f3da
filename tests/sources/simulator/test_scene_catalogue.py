import collections
import dataclasses
import json

import numpy as np
import pystac
import pytest
import rasterio

from cropmap_jax.geo import grid
from cropmap_jax.sources.simulator import scene_catalogue, scene_files, sites

# Sentinel-1B ends in December, the processing baseline changes in January.
SETTINGS = sites.Settings(
    "iran", {"test": 1}, tiles=1, first="2021-12-01", last="2022-02-28", label="truth", seed=3
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    scene_catalogue.write(SETTINGS, folder)
    return folder


def items(folder, collection):
    catalogue = pystac.Catalog.from_file(str(folder / "catalog.json"))
    return list(catalogue.get_child(collection).get_items(recursive=True))


def test_the_catalogue_leads_to_every_scene_and_its_files(scenes):
    found = [item for name in scene_catalogue.COLLECTIONS for item in items(scenes, name)]
    assert len(found) == len(list(scenes.glob("*/*/*/*.json"))) > 40
    for item in found:
        assert item.collection_id in scene_catalogue.COLLECTIONS
        for asset in item.assets.values():
            with rasterio.open(asset.get_absolute_href()) as raster:
                assert raster.count == 1 and raster.shape == tuple(item.properties["proj:shape"])
                assert tuple(raster.transform)[:6] == tuple(item.properties["proj:transform"])
                assert f"EPSG:{raster.crs.to_epsg()}" == item.properties["proj:code"]
                assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_what_is_awkward_of_sentinel_2_is_there(scenes):
    found = items(scenes, scene_files.OPTICAL)
    baselines = collections.Counter(i.properties["s2:processing_baseline"] for i in found)
    assert set(baselines) == {"03.01", "04.00", "05.10"}
    takes = collections.defaultdict(set)
    for item in found:
        take = item.properties["s2:datatake_id"].rpartition("_N")[0]
        takes[take, item.properties["s2:mgrs_tile"]].add(item.properties["s2:processing_baseline"])
    assert sorted(len(own) for own in takes.values())[-1] == 2  # reprocessed
    assert {i.properties["proj:code"] for i in found} == {"EPSG:32638", "EPSG:32639"}
    assert {i.properties["platform"] for i in found} == {"sentinel-2a", "sentinel-2b"}
    assert any("B8A" not in i.assets for i in found)
    assert any(i.properties["proj:shape"][1] < grid.TILE_PX for i in found)


def test_numbers_are_stored_as_the_items_say(scenes):
    """With an offset or without: the same reflectance, but for what is spoilt."""
    by_time = collections.defaultdict(dict)
    for item in items(scenes, scene_files.OPTICAL):
        asset = item.assets["B08"].to_dict()
        band = asset.get("raster:bands", asset.get("bands"))[0]
        scale, offset = (band.get(k, band.get(f"raster:{k}")) for k in ("scale", "offset"))
        since = item.properties["s2:processing_baseline"] >= "04.00"
        assert scale == 0.0001 and offset == (-0.1 if since else 0)
        if item.properties["s2:mgrs_tile"].endswith("SIMA"):
            with rasterio.open(item.assets["B08"].get_absolute_href()) as raster:
                value = raster.read(1) * scale + offset
            by_time[item.datetime][item.properties["s2:processing_baseline"]] = value
    pairs = [own for own in by_time.values() if len(own) == 2]
    assert pairs
    for own in pairs:
        old, new = (own[key] for key in sorted(own))
        np.testing.assert_allclose(old, 0.8 * new, atol=1.1e-4)


def test_what_is_awkward_of_sentinel_1_is_there(scenes):
    found = items(scenes, scene_files.RADAR)
    assert {i.properties["sat:orbit_state"] for i in found} == {"ascending", "descending"}
    assert {i.properties["platform"] for i in found} == {"sentinel-1a", "sentinel-1b"}
    assert max(i.datetime.isoformat() for i in found if i.properties["platform"][-1] == "b") < (
        "2021-12-24"
    )
    assert any(list(i.assets) == ["vv"] for i in found)
    assert any(i.properties["proj:shape"][0] < grid.TILE_PX for i in found)
    assert any(i.id.endswith("_1") for i in found)


def test_a_site_that_is_there_stays_and_another_world_is_refused(scenes, tmp_path):
    kept = {f: f.stat().st_mtime_ns for f in scenes.rglob("*.tif")}
    assert scene_catalogue.write(SETTINGS, scenes) == len(list(scenes.glob("*/*/*/*.json")))
    assert {f: f.stat().st_mtime_ns for f in scenes.rglob("*.tif")} == kept
    other = dataclasses.replace(SETTINGS, seed=4)
    with pytest.raises(ValueError, match="same settings, found seed: 3 there, 4 requested"):
        scene_catalogue.write(other, scenes)


def test_labels_do_not_change_scenes(scenes):
    other = dataclasses.replace(SETTINGS, label="teams", annotated=0.1)
    before = json.loads((scenes / "catalog.json").read_text())
    scene_catalogue.write(other, scenes)
    assert json.loads((scenes / "catalog.json").read_text()) == before
