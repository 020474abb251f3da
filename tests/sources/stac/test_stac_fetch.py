"""What is fetched from a catalogue of simulated scenes is what the simulator itself composites."""

import functools
import shutil
import warnings

import numpy as np
import pytest
import rasterio
import rasterio.errors
from affine import Affine
from odc.geo.geobox import GeoBox
from small_catalogue import NO_OPTICAL, NO_RADAR, SETTINGS, fetch_into, read

from cropmap_jax.geo import cube_io
from cropmap_jax.geo.periods import to_day
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.simulator import scene_files, sites
from cropmap_jax.sources.stac import assembly, compositing


@pytest.fixture(scope="module")
def fetched(world, tmp_path_factory):
    """With the mean of all orbits, which is what the simulator makes."""
    folder = tmp_path_factory.mktemp("fetched")
    done = fetch_into(folder, world.cubes, world.scenes, s1={"orbits": "mean"})
    assert (done.whole + done.flagged, done.failed) == (3, {})
    return folder


def both(world, folder):
    for info in cube_io.list_cubes(folder):
        yield cube_io.read_raw(world.cubes / info.cube_id), cube_io.read_raw(info.path, verify=True)


def test_pixels_are_the_simulators_own_composites(world, fetched):
    zones = set()
    for expected, found in both(world, fetched):
        zones.add(str(found.info.geobox.crs))
        for sensor in found.info.sensors:
            theirs, ours = expected.pixels[sensor.name], found.pixels[sensor.name]
            missing = theirs == sensor.nodata
            np.testing.assert_array_equal(ours == sensor.nodata, missing)
            off = np.abs(ours.astype(int) - theirs)
            # Scenes hold whole numbers, whose median over an even count may round to either side;
            # the mean of radar is summed in another order. S2: 1 DN, S1: 0.01 dB.
            assert off.max() <= 1
            assert (off > 0).mean() < (0.3 if sensor.name == "s2" else 0.01)
            assert np.ptp(theirs[~missing]) > 500
    assert zones == {"EPSG:32639", "EPSG:32640"}


def test_counts_are_of_the_skies(world, fetched):
    for site in sites.list_sites(SETTINGS):
        (cube_id,) = sites.cube_ids(SETTINGS, site)
        raw = cube_io.read_raw(fetched / cube_id)
        _, scenes = sites.observe_site(SETTINGS, site)
        for t, period in enumerate(raw.info.periods):
            clear = [
                sky.clear for day, sky in zip(scenes.s2_days, scenes.skies, strict=True)
                if to_day(period.start) <= day < to_day(period.end)
            ]  # fmt: skip
            np.testing.assert_array_equal(raw.clear[t], np.sum(clear, 0))


def test_labels_and_all_else_are_those_of_the_targets(world, fetched):
    for expected, found in both(world, fetched):
        np.testing.assert_array_equal(found.label, expected.label)
        np.testing.assert_array_equal(found.fields, expected.fields)
        for name in ("geobox", "periods", "legend", "block", "split", "season", "harvest"):
            assert getattr(found.info, name) == getattr(expected.info, name)


def test_the_source_says_how_they_were_made(fetched):
    for info in cube_io.list_cubes(fetched):
        source = info.source
        assert source["options"]["s1"]["backscatter"] == "sigma0"
        facts = source["facts"]
        assert facts["s1"]["direction"] in ("ascending", "descending")
        assert 150 not in facts["s1"]["orbits"]  # of the other direction, which is incomplete
        assert facts["s2"]["older_processings"] > 0 and facts["s1"]["older_processings"] > 0
        assert set(facts["s1"]["passes"]["2022-01-01"]) == {"S1A"}
        assert len(facts["s2"]["items_sha256"]) == 64
    assert any("S1B" in i.source["facts"]["s1"]["passes"]["2021-12-01"]
               for i in cube_io.list_cubes(fetched))  # fmt: skip


def test_in_a_fixed_order_the_first_orbit_that_has_data_counts(world, tmp_path):
    """As `export` composites: of a site of two tracks, one of them."""
    fetch_into(tmp_path, world.cubes, world.scenes, **NO_OPTICAL)
    tracks = set()
    for site in sites.list_sites(SETTINGS):
        (cube_id,) = sites.cube_ids(SETTINGS, site)
        raw = cube_io.read_raw(tmp_path / cube_id)
        ground, scenes = sites.observe_site(SETTINGS, site)
        orbits = raw.info.source["facts"]["s1"]["orbits"]
        tracks.add(len(orbits))
        images = scene_files.site_images(SETTINGS, ground, scenes)
        for t, (powers, _) in enumerate(images):
            by_orbit = {
                orbit: [p for m, p in powers.items() if 28 + 73 * scenes.s1_track[m] == orbit]
                for orbit in orbits
            }
            first = next(own for orbit, own in by_orbit.items() if own)
            expected = 1000 * np.log10(np.mean(first, 0, dtype=np.float64))
            assert np.abs(raw.pixels["s1"][t] - expected).max() <= 0.51
    assert tracks == {1, 2}


def test_half_a_pixel_off_fails(world, monkeypatch, tmp_path):
    metres = 5.1  # at 5 it hangs on rounding which of two pixels is the nearest

    def shifted(*args, geobox, **more):
        a = geobox.affine
        moved = GeoBox(geobox.shape, Affine(a.a, 0, a.c + metres, 0, a.e, a.f), geobox.crs)
        return real(*args, geobox=moved, **more)

    stac = pytest.importorskip("odc.stac")
    real = stac.load
    monkeypatch.setattr(stac, "load", shifted)
    fetch_into(tmp_path, world.cubes, world.scenes, 1, s1={"orbits": "mean"})
    for expected, found in both(world, tmp_path):
        for sensor in found.info.sensors:
            off = np.abs(found.pixels[sensor.name].astype(int) - expected.pixels[sensor.name])
            assert (off > 1).mean() > 0.5


def test_small_blocks_change_nothing(world, fetched, monkeypatch, tmp_path):
    monkeypatch.setattr(compositing, "BLOCK_BYTES", 1 << 22)
    cut = compositing.blocks
    sizes = []

    @functools.wraps(cut)
    def blocks(*args):
        sizes.append(len(cut(*args)))
        return cut(*args)

    monkeypatch.setattr(compositing, "blocks", blocks)
    tables = {**NO_RADAR, "s2": {"dilate_px": 2}}
    fetch_into(tmp_path / "small", world.cubes, world.scenes, 1, **tables)
    assert max(sizes) > 2
    monkeypatch.undo()
    fetch_into(tmp_path / "whole", world.cubes, world.scenes, 1, **tables)
    for info in cube_io.list_cubes(tmp_path / "whole"):
        a, b = (cube_io.read_raw(tmp_path / name / info.cube_id) for name in ("small", "whole"))
        for sensor in info.sensors:
            np.testing.assert_array_equal(a.pixels[sensor.name], b.pixels[sensor.name])
        np.testing.assert_array_equal(a.clear, b.clear)
        undilated = cube_io.read_raw(fetched / info.cube_id).clear
        assert (b.clear <= undilated).all()
        assert (b.clear < undilated).mean() > 0.001


def test_what_is_there_is_not_fetched_again(world, fetched, tmp_path):
    before = {f: f.stat().st_mtime_ns for f in fetched.rglob("*.tif")}
    done = fetch_into(fetched, world.cubes, world.scenes, s1={"orbits": "mean"})
    assert (done.kept, done.whole, done.files) == (3, 0, 0)
    assert {f: f.stat().st_mtime_ns for f in fetched.rglob("*.tif")} == before
    with pytest.raises(ValueError, match="s1: .*'orbits': 'mean'.* there, .*'first'.* requested"):
        fetch_into(fetched, world.cubes, world.scenes)


def test_sigma_and_gamma_are_not_mixed_in_a_folder(world, tmp_path):
    found, options = read(world.cubes, world.scenes)
    with Manifest(tmp_path) as book:
        assembly.claim(book, options)
    _, other = read(world.cubes, world.scenes, s1={"backscatter": "gamma0_rtc"})
    with Manifest(tmp_path) as book:
        with pytest.raises(ValueError, match="gamma0_rtc .* found some of sigma0: .* never mixed"):
            assembly.claim(book, other)


def test_cubes_of_one_sensor(world, tmp_path):
    done = fetch_into(tmp_path, world.cubes, world.scenes, 1, **NO_RADAR)
    assert done.whole + done.flagged == 1
    (info,) = cube_io.list_cubes(tmp_path)
    assert [sensor.name for sensor in info.sensors] == ["s2"] and info.has_clear
    assert "platforms" not in info.source and "s1" not in info.source["options"]


def test_max_gb_stops_between_groups(world, tmp_path):
    done = fetch_into(tmp_path, world.cubes, world.scenes, max_gb=1e-4, **NO_OPTICAL)
    assert done.left == 2 and done.whole + done.flagged == 1
    assert "stopped by max_gb with 2 cubes left" in done.text()
    (info,) = cube_io.list_cubes(tmp_path)
    assert [sensor.name for sensor in info.sensors] == ["s1"] and not info.has_clear


def test_a_scene_without_a_geotransform_is_refused_by_name(world, tmp_path):
    scenes = tmp_path / "scenes"
    shutil.copytree(world.scenes, scenes)
    for file in scenes.rglob("*vv.tif"):
        with rasterio.open(file) as raster:
            pixels, crs = raster.read(), raster.crs
        shape = {"height": pixels.shape[1], "width": pixels.shape[2], "count": 1}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(
                file, "w", driver="GTiff", dtype=pixels.dtype, crs=crs, **shape
            ) as raster:
                raster.write(pixels)
    with warnings.catch_warnings(record=True) as said:
        done = fetch_into(tmp_path / "cubes", world.cubes, scenes, 1, s2={"collection": ""})
    assert not [one for one in said if "geotransform" in str(one.message)]
    (reason,) = done.failed.values()
    assert "vv.tif: expected a georeferenced image, found no geotransform" in reason
