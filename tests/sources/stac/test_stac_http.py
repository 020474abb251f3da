"""Catalogues over loopback HTTP with range requests, and with faults."""

import json
import shutil
import socket

import numpy as np
import pytest
import rasterio
from range_server import RangeServer
from small_catalogue import NO_OPTICAL, NO_RADAR, fetch_into, read

from cropmap_jax.geo import cube_io
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.stac import access, fetch, reading
from cropmap_jax.sources.stac.errors import Refused, Unreachable
from cropmap_jax.sources.stac.source import Source

# Radar of one cube is some forty files: enough to see each fault, and quick.
RADAR = {"s2": {"collection": ""}}


@pytest.fixture
def served(world):
    with RangeServer(world.scenes) as server:
        yield server


@pytest.fixture(scope="module")
def expected(world, tmp_path_factory):
    """Radar of a cube, from the same files without a server."""
    folder = tmp_path_factory.mktemp("expected")
    fetch_into(folder, world.cubes, world.scenes, 1, **RADAR)
    (info,) = cube_io.list_cubes(folder)
    return cube_io.read_raw(info.path)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """GDAL's own repetitions would hide a fault that is there once."""
    monkeypatch.setitem(access.GDAL, "GDAL_HTTP_MAX_RETRY", "0")
    monkeypatch.setitem(access.GDAL, "GDAL_HTTP_VERSION", "1.1")


@pytest.fixture(autouse=True)
def only_here(monkeypatch):
    """No connection but to this machine; GDAL's are watched by the server's own list."""
    connect = socket.socket.connect

    def guarded(self, address):
        assert address[0] == "127.0.0.1", f"connects to {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def same(folder, expected):
    (info,) = cube_io.list_cubes(folder)
    raw = cube_io.read_raw(info.path, verify=True)
    np.testing.assert_array_equal(raw.pixels["s1"], expected.pixels["s1"])
    return raw


def radar_files(server):
    return [path for _, path, _ in server.requests if path.endswith(".tif")]


def test_a_static_catalogue_over_http(world, served, expected, tmp_path):
    done = fetch_into(tmp_path, world.cubes, f"{served.url}/files/catalog.json", 1, **RADAR)
    assert done.whole == 1
    same(tmp_path, expected)
    asked = [one for one in served.requests if one[1].endswith(".tif")]
    assert asked and all(part.startswith("bytes=") for how, _, part in asked if how == "GET")
    # Is it there, its header, and what lies behind that of files of more than 32 kB.
    assert len(asked) <= 3 * len(set(radar_files(served)))
    # Scenes of other sites, of the other direction and of one polarisation are not read.
    assert not any("_150_" in path or "1SSV" in path for path in radar_files(served))


def test_an_api_with_pages_gives_the_same(world, served, expected, tmp_path, monkeypatch):
    monkeypatch.setattr("cropmap_jax.sources.stac.catalogues._PAGE", 5)
    done = fetch_into(tmp_path, world.cubes, f"{served.url}/api", 1, **RADAR)
    assert done.whole == 1
    same(tmp_path, expected)
    assert sum(path == "/api/search" for _, path, _ in served.requests) > 2


def test_sentinel_2_of_an_api_too(world, served, tmp_path):
    done = fetch_into(tmp_path / "api", world.cubes, f"{served.url}/api", 1, **NO_RADAR)
    assert done.whole + done.flagged == 1
    fetch_into(tmp_path / "files", world.cubes, world.scenes, 1, **NO_RADAR)
    a, b = (cube_io.read_raw(next(tmp_path.glob(f"{name}/iran*"))) for name in ("api", "files"))
    np.testing.assert_array_equal(a.pixels["s2"], b.pixels["s2"])
    np.testing.assert_array_equal(a.clear, b.clear)
    # Of what is wholly clouded only the classification is read.
    assert sum("SCL" in p for p in radar_files(served)) > sum("B02" in p for p in
                                                              radar_files(served))  # fmt: skip


@pytest.mark.parametrize("fault", [429, 503, "cut"])
def test_what_passes_is_repeated(world, served, expected, tmp_path, fault):
    served.faults["vv.tif"] = [fault] * 3
    done = fetch_into(tmp_path, world.cubes, f"{served.url}/api", 1, **RADAR)
    assert (done.whole, done.failed, done.gone) == (1, {}, set())
    same(tmp_path, expected)
    assert served.faults["vv.tif"] == []


def test_a_search_that_is_refused_for_now_is_repeated(world, served, expected, tmp_path):
    served.faults["/api"] = [429, 503]
    served.faults["/api/search"] = [429, 429]
    fetch_into(tmp_path, world.cubes, f"{served.url}/api", 1, **RADAR)
    same(tmp_path, expected)
    assert served.faults == {"/api": [], "/api/search": []}


def test_what_stays_fails_the_cube_and_is_tried_again(world, served, expected, tmp_path):
    served.faults["vv.tif"] = [500] * 10_000
    done = fetch_into(tmp_path, world.cubes, f"{served.url}/api", 1, **RADAR)
    ((_, reason),) = done.failed.items()
    assert reason.startswith("item S1") and f"in {reading.TRIES} attempts" in reason
    assert not list(tmp_path.glob("iran*"))
    served.faults.clear()
    assert fetch_into(tmp_path, world.cubes, f"{served.url}/api", 1, **RADAR).whole == 1
    same(tmp_path, expected)


def signed(server):
    table = {"signing": "sas", "token": f"{server.url}/token"}
    return {"s1": table, **RADAR}


@pytest.mark.parametrize("uses", [70, 25])
def test_a_token_that_expires_is_renewed(world, served, expected, tmp_path, capfd, caplog, uses):
    served.token_uses = uses  # of some hundred; 25 are not enough for the radar of a month
    done = fetch_into(tmp_path, world.cubes, f"{served.url}/api", 1, **signed(served))
    assert done.whole == 1 and served.tokens > (1 if uses == 70 else 4)
    raw = same(tmp_path, expected)
    # Neither kept nor printed.
    out = capfd.readouterr()
    for text in (json.dumps(raw.info.source), out.out, out.err, caplog.text):
        assert "sig=" not in text
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"sig=" not in file.read_bytes()


def test_a_token_that_is_not_enough_is_one_line(world, served, tmp_path):
    served.token_uses = 0
    with pytest.raises(Refused, match="item S1.*: refused with 403: the token has expired") as info:
        fetch_into(tmp_path, world.cubes, f"{served.url}/api", 1, **signed(served))
    assert "sig=" not in str(info.value) and "\n" not in str(info.value)
    assert served.tokens == 2  # one new one was tried


def test_a_bearer_token_comes_from_the_environment(world, served, expected, tmp_path, monkeypatch):
    table = {"s1": {"signing": "bearer", "token": "MY_TOKEN"}, **RADAR}
    monkeypatch.delenv("MY_TOKEN", raising=False)
    with pytest.raises(ValueError, match="MY_TOKEN: expected a token in this environment"):
        fetch_into(tmp_path, world.cubes, f"{served.url}/api", 1, **table)
    served.bearer = "secret-of-mine"
    monkeypatch.setenv("MY_TOKEN", "another")
    with pytest.raises(Refused, match="refused with 403") as info:
        fetch_into(tmp_path, world.cubes, f"{served.url}/api", 1, **table)
    assert "another" not in str(info.value)
    monkeypatch.setenv("MY_TOKEN", "secret-of-mine")
    assert fetch_into(tmp_path, world.cubes, f"{served.url}/api", 1, **table).whole == 1
    raw = same(tmp_path, expected)
    assert "secret" not in json.dumps(raw.info.source)


def test_a_scene_that_vanishes_is_left_out_and_reported(world, served, expected, tmp_path):
    found, options = read(world.cubes, f"{served.url}/api", **RADAR)
    ids = [p.name for p in world.scenes.glob("sentinel-1-sigma0/*/*_1SDV_20220*_028_*_0")]
    site = found[0].cube_id.removeprefix("iran_").replace("_", "-")
    victim = next(i for i in sorted(ids) if site in i)
    served.gone = {victim}
    done = fetch_into(tmp_path, world.cubes, f"{served.url}/api", 1, **RADAR)
    assert done.gone == {victim} and victim in done.text()
    (info,) = cube_io.list_cubes(tmp_path)
    assert info.source["facts"]["s1"]["files_gone"] == [victim]
    raw = cube_io.read_raw(info.path)
    assert (raw.pixels["s1"] != expected.pixels["s1"]).any()


def test_files_in_another_crs_than_their_item_says(world, expected, tmp_path):
    """Files know best: one scene is warped to the next zone, its item stays as it is."""
    scenes = tmp_path / "scenes"
    shutil.copytree(world.scenes, scenes)
    (info,) = [i for i in cube_io.list_cubes(world.cubes) if i.cube_id == expected.info.cube_id]
    site = info.cube_id.removeprefix("iran_").replace("_", "-")
    folder = sorted(scenes.glob(f"sentinel-1-sigma0/{site}/*1SDV*_028_*"))[0]
    other = f"EPSG:{info.geobox.crs.to_epsg() - 1}"
    for file in folder.glob("*.tif"):
        with rasterio.open(file) as raster:
            data, profile, bounds = raster.read(1), raster.profile, raster.bounds
        affine, width, height = rasterio.warp.calculate_default_transform(
            profile["crs"], other, profile["width"], profile["height"], *bounds, resolution=10
        )
        warped = np.full((height, width), -32768, np.float32)
        rasterio.warp.reproject(
            data, warped, src_transform=profile["transform"], src_crs=profile["crs"],
            src_nodata=-32768, dst_transform=affine, dst_crs=other, dst_nodata=-32768,
        )  # fmt: skip
        profile |= {"crs": other, "transform": affine, "width": width, "height": height}
        with rasterio.open(file, "w", **profile | {"driver": "GTiff"}) as raster:
            raster.write(warped, 1)
    fetch_into(tmp_path / "cubes", world.cubes, scenes, 1, **RADAR)
    (there,) = cube_io.list_cubes(tmp_path / "cubes")
    found = cube_io.read_raw(there.path).pixels["s1"].astype(int)
    off = np.abs(found - expected.pixels["s1"])
    # One of some five passes of a month comes from a pixel next to it, once or twice resampled.
    assert (found == -32768).mean() < 0.01
    changed = off.max((1, 2, 3)) > 0
    assert changed.sum() == 1 and np.median(off[changed]) < 100


def test_many_failures_in_a_row_stop_the_run(world, served, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_FEWEST_IN_A_ROW", 2)
    served.faults["vv.tif"] = [500] * 100_000
    found, options = read(world.cubes, f"{served.url}/api", **NO_OPTICAL)
    with Manifest(tmp_path) as book:
        with pytest.raises(Unreachable, match="2 cubes in a row failed, the last because: item"):
            fetch.run(found, options, Source(options, 4), book, tmp_path)


def test_a_vrt_by_the_name_of_a_geotiff_is_refused(world, tmp_path):
    """It would have another file of this machine read, or another service asked."""
    folder = tmp_path / "scenes"
    shutil.copytree(world.scenes, folder)
    files = sorted(folder.rglob("*vv.tif"))
    kept = files[0].rename(tmp_path / "secret.tif")
    shutil.copy(kept, files[0])
    with rasterio.open(kept) as raster:
        shape, affine, wkt = raster.shape, raster.transform, raster.crs.to_wkt()
    text = (
        f'<VRTDataset rasterXSize="{shape[1]}" rasterYSize="{shape[0]}">'
        f"<SRS>{wkt.replace(chr(34), '&quot;')}</SRS>"
        f"<GeoTransform>{','.join(map(str, affine.to_gdal()))}</GeoTransform>"
        f'<VRTRasterBand dataType="Float32" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{kept}</SourceFilename><SourceBand>1</SourceBand>'
        f"</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    for file in files:
        file.write_text(text)
    with rasterio.open(files[0]) as raster:  # so it is a VRT that works
        assert raster.driver == "VRT" and np.isfinite(raster.read(1)).any()
    with RangeServer(folder) as server:
        place = f"{server.url}/files/catalog.json"
        done = fetch_into(tmp_path / "cubes", world.cubes, place, 1, **RADAR)
    (reason,) = done.failed.values()
    assert "expected GeoTIFFs or JPEG 2000, found" in reason and "by its content" in reason
