"""Real Sentinel-1 and Sentinel-2 of a small window, as a static catalogue, against xarray."""

import datetime as dt
import json

import numpy as np
import pystac
import pytest
import shapely.geometry
import xarray
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube_io, grid, legend
from cropmap_jax.geo.periods import Period
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.simulator.scene_files import write_cog
from cropmap_jax.sources.stac import fetch
from cropmap_jax.sources.stac import options as options_lib
from cropmap_jax.sources.stac.source import Source
from cropmap_jax.sources.targets import Target

APRIL = Period(dt.date(2023, 4, 1), dt.date(2023, 5, 1))
BANDS = {"B4": "B04", "B8": "B08", "B11": "B11"}
"""The file has no others of a cube's."""


@pytest.fixture(scope="module")
def scenes(real_dir):
    folder = real_dir / "scenes"
    names = ("cdse_sentinel1_grd", "cdse_sentinel2_l2a")
    if not all((folder / f"{name}.nc").is_file() for name in names):
        pytest.skip(f"no real scenes in {folder}")
    return tuple(xarray.open_dataset(folder / f"{name}.nc", engine="h5netcdf") for name in names)


def geobox(scene) -> GeoBox:
    left, top = float(scene.x[0]) - 5, float(scene.y[0]) + 5
    return GeoBox((scene.y.size, scene.x.size), Affine(10, 0, left, 0, -10, top), "EPSG:32631")


def power_of(radar):
    """Linear sigma-0 of the numbers stored: dB = 20 log10(DN) - 83."""
    return {band: radar[f"S1-SIGMA0-{band}"].astype("float64") ** 2 * 10**-8.3
            for band in ("VV", "VH")}  # fmt: skip


def orbit_of(day) -> int:
    """Passes twelve days apart are of one orbit: which number it has does not matter here."""
    return int(day.astype("datetime64[D]").astype(int)) % 12 + 1


@pytest.fixture(scope="module")
def catalogue(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    radar, optical = scenes
    root = pystac.Catalog("real", "real scenes")
    power = power_of(radar)
    for name, source, layers in (
        ("s1", radar, {"vv": power["VV"], "vh": power["VH"]}),
        ("s2", optical, {b: optical[f"S2-L2A-{b}"] for b in (*BANDS.values(), "SCL")}),
    ):
        extent = pystac.Extent(
            pystac.SpatialExtent([[4, 50, 6, 52]]), pystac.TemporalExtent([[None, None]])
        )
        collection = pystac.Collection(name, name, extent)
        root.add_child(collection)
        outline = geobox(source).extent.to_crs("EPSG:4326").geom
        for t, day in enumerate(source.t.values):
            where = folder / name / str(t)
            where.mkdir(parents=True)
            time = dt.datetime.fromisoformat(str(day)[:10]).replace(hour=10, tzinfo=dt.UTC)
            props = {"platform": "sentinel-1a" if name == "s1" else "sentinel-2a"}
            if name == "s1":
                props |= {"sat:orbit_state": "ascending", "sat:relative_orbit": orbit_of(day)}
            item = pystac.Item(f"{name}-{t}", shapely.geometry.mapping(outline),
                               list(outline.bounds), time, props)  # fmt: skip
            for key, values in layers.items():
                dtype = np.float32 if name == "s1" else np.uint16
                file = where / f"{key}.tif"
                write_cog(file, values[t].values.astype(dtype), geobox(source), 0)
                # The provider has applied the offset of the processing baseline.
                more = {} if name == "s1" else {"raster:bands": [{"scale": 1e-4, "nodata": 0}]}
                item.add_asset(key, pystac.Asset(str(file), extra_fields=more))
            collection.add_item(item)
    root.normalize_and_save(str(folder / "stac"), pystac.CatalogType.SELF_CONTAINED)
    return folder / "stac"


def fetched(catalogue, scenes, folder, orbits):
    box = geobox(scenes[0])
    target = Target("real", box, (APRIL,), "2022-2023", grid.block_id(box), "train", "", {},
                    legend.EUCROPMAP)  # fmt: skip
    where = str(catalogue)
    options = options_lib.Options(
        options_lib.S1Options(where, "s1", assets={"VV": "vv", "VH": "vh"}, backscatter="sigma0",
                              orbits=orbits),
        options_lib.S2Options(where, "s2", assets=BANDS),
        options_lib.LabelOptions("none"),
    )  # fmt: skip
    with Manifest(folder) as book:
        done = fetch.run([target], options, Source(options, 2), book, folder)
    assert done.failed == {}
    return cube_io.read_raw(folder / "real")


def test_composites_are_xarrays(catalogue, scenes, tmp_path):
    raw = fetched(catalogue, scenes, tmp_path, "mean")
    radar, optical = scenes
    clear = ~optical["S2-L2A-SCL"].isin(options_lib.SCL_MASKED)
    for band, name in BANDS.items():
        expected = optical[f"S2-L2A-{name}"].where(clear).median("t")
        found = raw.pixels["s2"][0, :, :, options_lib.OPTICAL.bands.index(band)]
        np.testing.assert_array_equal(found == -32768, np.isnan(expected))
        assert np.nanmax(np.abs(np.where(found == -32768, np.nan, found) - expected)) <= 0.5
    np.testing.assert_array_equal(raw.clear[0], clear.sum("t"))
    assert raw.clear.max() == 2 and np.ptp(raw.pixels["s2"][..., 2]) > 500
    lacking = set(options_lib.OPTICAL.bands) - set(BANDS)
    for band in lacking:
        assert (raw.pixels["s2"][..., options_lib.OPTICAL.bands.index(band)] == -32768).all()
    for b, (_, power) in enumerate(power_of(radar).items()):
        expected = 1000 * np.log10(power.mean("t"))
        # Files hold float32: 0.01 dB at most, where a half is rounded.
        assert np.abs(raw.pixels["s1"][0, :, :, b] - expected).max() <= 0.51


def test_in_a_fixed_order_one_orbit_counts(catalogue, scenes, tmp_path):
    raw = fetched(catalogue, scenes, tmp_path, "first")
    radar, _ = scenes
    orbits = np.array([orbit_of(day) for day in radar.t.values])
    facts = raw.info.source["facts"]["s1"]
    assert sorted(facts["orbits"]) == sorted(set(orbits.tolist()))
    own = radar.t.values[orbits == facts["orbits"][0]]
    expected = 1000 * np.log10(power_of(radar)["VV"].sel(t=own).mean("t"))
    assert np.abs(raw.pixels["s1"][0, :, :, 0] - expected).max() <= 0.51
    assert json.dumps(raw.info.source)
