"""Folders of files without a catalogue: what their names say, and cubes of them."""

import datetime as dt
import json
import os
import re

import numpy as np
import pytest
import rasterio
from affine import Affine
from small_catalogue import fetch_into, local_config

from cropmap_jax.geo import cube_io, grid
from cropmap_jax.sources.stac import catalogues, config, items, naming, scenes
from cropmap_jax.sources.stac.access import Access

TILE = grid.tile_geobox(32631, 390, 4000)  # France


def write(file, values=1.0, dtype="float32"):
    file.parent.mkdir(parents=True, exist_ok=True)
    a = TILE.affine
    with rasterio.open(
        file, "w", driver="GTiff", dtype=dtype, count=1, height=8, width=8, crs="EPSG:32631",
        transform=Affine(160, 0, a.c, 0, -160, a.f),
    ) as raster:  # fmt: skip
        raster.write(np.full((8, 8), values, dtype), 1)


def scenes_of(folder, sensor, **changes):
    """Scenes of a sensor in a folder, by `configs/fetch_files.py`."""
    value = local_config("", folder, "files")
    for name in ("s1", "s2"):
        value[name] |= {"catalogue": str(folder)} | (changes if name == sensor else {})
    table = value[sensor]
    if sensor == "s1":
        own, parse = config.options_lib.S1Options(**table), items.radar
    else:
        table["scl_masked"] = tuple(table["scl_masked"])
        own, parse = config.options_lib.S2Options(**table), items.optical
    finder = catalogues.open_catalogue(own, Access(own), lambda item: parse(item, own), 100)
    box = TILE.extent.to_crs("EPSG:4326").boundingbox
    return finder.find(tuple(box), dt.date(2015, 1, 1), dt.date(2030, 1, 1))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/T31UFS_20230401T105621_B02_10m.tif",
         {"tile": "31UFS", "date": "20230401T105621", "band": "B02", "size": "10"}),
        ("T31UFS_20230401T105621_SCL.jp2",
         {"tile": "31UFS", "date": "20230401T105621", "band": "SCL"}),
        ("31/U/FS/2023/4/S2A_31UFS_20230401_0_L2A/B8A.tif",
         {"platform": "S2A", "tile": "31UFS", "date": "20230401", "band": "B8A"}),
        ("S2B_T31UFS_20230401T105621_L2A/SCL.tif",
         {"platform": "S2B", "tile": "31UFS", "date": "20230401T105621", "band": "SCL"}),
        ("33_T_UM_2018_7_S2A_33TUM_20180718_0_L2A_B02.tif", None),
        ("S2A_33TUM_20180718_0_L2A_B02.tif",
         {"platform": "S2A", "tile": "33TUM", "date": "20180718", "band": "B02"}),
        ("T31UFS_20230401T105621_TCI_10m.tif", None),
    ],
)  # fmt: skip
def test_names_of_sentinel_2(path, expected):
    assert naming.read(path, naming.patterns(["auto"], "s2")) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("x/S1A_IW_20180128T161201_DVP_RTC30_G_gpuned_FD6A_VV.tif",
         {"platform": "S1A", "date": "20180128T161201", "kind": "g", "unit": "p", "id": "FD6A",
          "band": "VV"}),
        ("S1A_IW_20180128T161201_DVP_RTC30_G_gpuned_FD6A_dem.tif", None),
        ("OPERA_L2_RTC-S1_T047-100732-IW2_20250706T231126Z_20250712T063114Z_S1A_30_v1.0_VH.tif",
         {"orbit": "047", "tile": "100732-IW2", "date": "20250706T231126Z", "platform": "S1A",
          "made": "20250712T063114Z", "band": "VH"}),
        ("S1A__IW___A_20210914T191350_VV_gamma0-rtc_db.tif",
         {"platform": "S1A", "direction": "A", "date": "20210914T191350", "band": "VV",
          "kind": "gamma0", "ground": "rtc", "unit": "_db"}),
        ("S1A_IW_GRDH_1SDV_20240322T004029_20240322T004054_053087_066E0A_9C2C/measurement/"
         "iw-vv.rtc.tiff", {"platform": "S1A", "date": "20240322T004029", "band": "vv"}),
        ("S1A_IW_GRDH_1SDV_20240322T004029_20240322T004054_053087_066E0A_rtc_VH.tif",
         {"platform": "S1A", "date": "20240322T004029", "band": "VH"}),
        ("S1A_IW_GRDH_1SDV_20240322T004029_20240322T004054_053087_066E0A_9C2C.SAFE/measurement/"
         "s1a-iw-grd-vv-20240322t004029-20240322t004054-053087-066e0a-001.tiff", None),
    ],
)  # fmt: skip
def test_names_of_sentinel_1(path, expected):
    assert naming.read(path, naming.patterns(["auto"], "s1")) == expected


def test_a_pattern_of_ones_own():
    (known,) = naming.patterns(["{platform}/{date}/*_{tile}_{band}.tif"], "s2")
    assert naming.read("in/sentinel-2a/2023-04-01/x_y_31UFS_B02.tif", [known]) == {
        "platform": "sentinel-2a", "date": "2023-04-01", "tile": "31UFS", "band": "B02",
    }  # fmt: skip
    assert naming.read("2023-04-01/x_31UFS_B02.tif", [known]) is None
    for wrong, said in (
        ("{date}_{tile}.tif", "s2.files: expected {band} in the pattern '{date}_{tile}.tif'"),
        ("{dat}_{band}.tif", "s2.files: expected fields of .*; did you mean 'date'"),
        ("sen2cors", "s2.files: expected auto, sen2cor, earth_search or .*did you mean 'sen2cor'"),
    ):
        with pytest.raises(ValueError, match=re.escape(said).replace(r"\.\*", ".*")):
            naming.patterns([wrong], "s2")


def test_of_several_pixel_sizes_the_finest_counts(tmp_path):
    for name in ("B02_10m", "B02_20m", "B8A_20m", "SCL_20m", "SCL_60m", "TCI_10m"):
        write(tmp_path / "R" / f"T31UFS_20230401T105621_{name}.tif", 5, "uint16")
        write(tmp_path / "R" / f"T31UFS_20211201T105621_{name}.tif", 5, "uint16")
    old, new = scenes_of(tmp_path, "s2")
    assert {band: os.path.basename(a.href)[-11:-4] for band, a in new.assets.items()} == {
        "B2": "B02_10m", "B8A": "B8A_20m", "SCL": "SCL_20m",
    }  # fmt: skip
    assert new.crs == "EPSG:32631" and new.time.isoformat() == "2023-04-01T10:56:21+00:00"
    # From the day of the baseline on; a setting says otherwise.
    assert (old.assets["B2"].shift, new.assets["B2"].shift, new.assets["B2"].factor) == (
        0,
        -1000,
        1,
    )
    assert [s.assets["B2"].shift for s in scenes_of(tmp_path, "s2", offset="always")] == [-1000] * 2
    write(tmp_path / "again" / "T31UFS_20230401T105621_B02_10m.tif", 5, "uint16")
    with pytest.raises(ValueError, match="B02_10m.tif: expected one file of B02 of a scene, found"):
        scenes_of(tmp_path, "s2")


def test_radar_without_an_orbit_in_its_name(tmp_path):
    stem = "S1A_IW_20201005T170824_DVP_RTC30_G_gpuned_FD6A"
    for band in ("VV", "VH"):
        write(tmp_path / stem / f"{stem}_{band}.tif", 0.1)
    (scene,) = scenes_of(tmp_path, "s1")
    assert (scene.direction, scene.orbit, scene.platform) == ("ascending", 117, "A")
    for changes, said in (
        ({"backscatter": "sigma0"}, r"expected sigma0 \(s1.backscatter\), found 'gamma0_rtc' by"),
        ({"unit": "db"}, r"expected db \(s1.unit\), found 'power' by the names of its files"),
    ):
        with pytest.raises(ValueError, match=said):
            scenes_of(tmp_path, "s1", **changes)
    (tmp_path / "x").mkdir()
    for band in ("VV", "VH"):
        write(tmp_path / "x" / f"S1A_20201005_{band}.tif", 0.1)
    with pytest.raises(
        ValueError, match="item S1A_20201005: expected sat:orbit_state and .*{orbit"
    ):
        scenes_of(tmp_path / "x", "s1", files="{platform}_{date}_{band}.tif")


def test_bursts_of_one_second_are_two(tmp_path):
    for burst in ("071092-IW3", "071093-IW1"):
        for made in ("20230928T203216Z", "20231003T000000Z"):
            name = f"OPERA_L2_RTC-S1_T034-{burst}_20230611T172900Z_{made}_S1A_30_v1.0"
            for band in ("VV", "VH"):
                write(tmp_path / f"{name}_{band}.tif", 0.1)
    found, replaced = scenes.newest(scenes_of(tmp_path, "s1"))
    assert [s.scene_id[4:14] for s in found] == ["071092-IW3", "071093-IW1"] and replaced == 2
    assert {s.orbit for s in found} == {34} and all("20231003" in s.scene_id for s in found)


def test_ground_range_products_are_refused_and_it_is_said_what_to_do(tmp_path):
    (tmp_path / "S1A_IW_GRDH_1SDV_20240322T004029_20240322T004054_053087_066E0A_9C2C.SAFE").mkdir()
    for files in ("auto", ""):
        with pytest.raises(ValueError, match="found a Level-1 product .GRD or SLC. .* s1.files"):
            scenes_of(tmp_path, "s1", files=files)
    with pytest.raises(
        ValueError, match="named as auto .sen2cor, earth_search. .s2.files., found no"
    ):
        scenes_of(tmp_path, "s2")
    write(tmp_path / "blue.tif")
    with pytest.raises(ValueError, match="found others such as blue.tif"):
        scenes_of(tmp_path, "s2")
    with pytest.raises(ValueError, match="config.catalogue: expected a folder of files named"):
        scenes_of(tmp_path / "blue.tif", "s2")


def test_cubes_of_loose_files_are_those_of_their_catalogue(world, tmp_path):
    loose = tmp_path / "loose"
    loose.mkdir()
    for path in world.scenes.glob("*/*/*/*.json"):
        item = json.loads(path.read_text())
        props, radar = item["properties"], "sat:relative_orbit" in item["properties"]
        time = re.sub(r"[-:]|\.\d+", "", props["datetime"])
        made = props.get("s2:generation_time") or props.get("processing:datetime") or time
        made = re.sub(r"[-:]|\.\d+|\+.*", "", made).rstrip("Z")
        if radar:
            name = f"{props['platform']}_{props['sat:orbit_state']}_{props['sat:relative_orbit']}"
            name += f"_{time}_{path.parents[1].name}_{made}"
        else:
            name = f"{props['platform']}_{time}_{props['s2:mgrs_tile']}"
            name += f"_{props['s2:processing_baseline'].replace('.', '')}_{made}"
        for key, asset in item["assets"].items():
            if asset["href"].endswith(".tif"):
                os.link(path.parent / asset["href"], loose / f"{name}_{key}.tif")
    fetch_into(tmp_path / "a", world.cubes, world.scenes, 1)
    own = {
        "s1": {"files": "{platform}_{direction}_{orbit}_{date}_{tile}_{made}_{band}.tif"},
        "s2": {"files": "{platform}_{date}_{tile}_{baseline}_{made}_{band}.tif", "scale": 1e-4,
               "offset": "baseline"},
    }  # fmt: skip
    done = fetch_into(tmp_path / "b", world.cubes, loose, 1, **own)
    assert done.failed == {}
    (info,) = cube_io.list_cubes(tmp_path / "a")
    a, b = (cube_io.read_raw(tmp_path / name / info.cube_id) for name in "ab")
    for sensor in ("s1", "s2"):
        np.testing.assert_array_equal(a.pixels[sensor], b.pixels[sensor])
    np.testing.assert_array_equal(a.clear, b.clear)
    assert (a.pixels["s2"] != -32768).any() and (a.pixels["s1"] != -32768).any()
