"""What a user loads with odc-stac and hands over as xarray becomes the cube that `fetch` makes."""

import dataclasses
import datetime as dt

import numpy as np
import odc.stac
import pystac
import pytest
import shapely.geometry
import xarray as xr
from mapping import small_maps
from small_catalogue import fetch_into

import cropmap_jax
from cropmap_jax.geo import cube_io

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")


@pytest.fixture(scope="module")
def fetched(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fetched")
    fetch_into(folder, world.cubes, world.scenes, count=1, s1={"orbits": "mean"})
    (info,) = cube_io.list_cubes(folder)
    return folder, cropmap_jax.Cube.read(info.path)


def newest(items, scene, made):
    """The last processing of each scene."""
    return list({scene(item): item for item in sorted(items, key=made)}.values())


def load_optical(items, box) -> xr.Dataset:
    """Numbers of all dates without the offset that they have from processing baseline 04.00 on."""
    take = "s2:datatake_id"
    items = newest(
        [i for i in items if i.collection_id == "sentinel-2-l2a"],
        lambda i: (i.properties[take].rpartition("_N")[0], i.properties["s2:mgrs_tile"]),
        lambda i: i.properties["s2:generation_time"],
    )
    # Copies in another zone are resampled, and `fetch` takes them where nothing else is.
    items = [i for i in items if i.properties["proj:code"] == str(box.crs)]
    parts = []
    for shift in (0, -1000):
        own = [i for i in items if (offset(i) < 0) == (shift < 0)]
        if own:
            found = odc.stac.load(own, [*BANDS, "SCL"], geobox=box, groupby="solar_day")
            numbers = found[list(BANDS)].where(found[list(BANDS)] != 0) + shift
            parts.append(numbers.assign(SCL=found.SCL))
    return xr.concat(parts, "time").sortby("time")


def offset(item) -> float:
    band = item.assets["B02"].to_dict()
    about = (band.get("bands") or band.get("raster:bands"))[0]
    return about.get("raster:offset", about.get("offset", 0.0))


def load_radar(items, box, facts) -> xr.Dataset:
    items = [
        i
        for i in items
        if i.properties.get("sat:relative_orbit") in facts["orbits"]
        and i.properties["sat:orbit_state"] == facts["direction"]
        and len(i.properties["sar:polarizations"]) == 2
    ]
    items = newest(items, lambda i: i.datetime, lambda i: i.properties["processing:datetime"])
    return odc.stac.load(items, ["vv", "vh"], geobox=box, groupby=passes).sortby("time")


def passes(item, *_):
    """Slices of one pass are one observation."""
    return item.properties["sat:relative_orbit"], item.datetime.date()


def test_a_cube_of_odc_stac_is_the_cube_of_fetch_and_has_its_map(world, fetched, tmp_path):
    folder, fetched = fetched
    box, facts = fetched.info.geobox, fetched.info.source["facts"]["s1"]
    items = list(pystac.Catalog.from_file(str(world.scenes / "catalog.json")).get_items(
        recursive=True))  # fmt: skip
    first, last = fetched.info.periods[0].start, fetched.info.periods[-1].end
    inside = [i for i in items if first <= i.datetime.date() < last]
    near = [
        i
        for i in inside
        if box.geographic_extent.geom.intersects(shapely.geometry.shape(i.geometry))
    ]
    loaded = {"s1": load_radar(near, box, facts), "s2": load_optical(near, box)}
    assert loaded["s1"].vv.dtype == np.float32 and loaded["s2"].sizes["time"] > 4

    found = cropmap_jax.Cube.from_xarray(
        loaded,
        scale={"s2": 1e-4},
        units={"s1": "power"},
        composite="month",
        mask="SCL",
        cube_id=fetched.info.cube_id,
        legend=fetched.info.legend,
        harvest=fetched.info.harvest,
    )
    assert found.info.geobox == box and found.info.periods == fetched.info.periods
    assert found.info.periods[0].start == dt.date(2021, 12, 1)
    for sensor in ("s1", "s2"):
        np.testing.assert_array_equal(found.raw.pixels[sensor], fetched.raw.pixels[sensor])
    # Therefore its map is the one that `predict` makes of the fetched cube.
    as_of = str(last)
    recipe = dataclasses.replace(small_maps.make_recipe(), pixel_m=10.0)
    small_maps.save_checkpoint(tmp_path / "W", recipe)
    small_maps.make_map(tmp_path / "W", folder, tmp_path / "map", as_of=as_of)
    predicted = cropmap_jax.load(tmp_path / "W").predict(found, as_of, progress=False)
    for name in ("crop", "confidence"):
        written = small_maps.read(tmp_path / "map" / fetched.info.cube_id / f"{name}.tif")
        np.testing.assert_array_equal(predicted[name], written)
    assert len(np.unique(predicted.confidence)) > 1
