"""Items as catalogues write them, and what is wrong with some."""

import copy
import dataclasses
import datetime as dt
import math

import pystac
import pytest
from small_catalogue import CHECKOUT, local_config

from cropmap_jax.sources.stac import config, errors, items, scenes
from cropmap_jax.sources.stac import options as options_lib
from cropmap_jax.sources.stac.access import Access

BOX = [49.0, 32.0, 50.0, 33.0]
SQUARE = {
    "type": "Polygon",
    "coordinates": [[[49, 32], [50, 32], [50, 33], [49, 33], [49, 32]]],
}


def item(name, properties, assets, time="2022-03-04T07:26:41Z") -> pystac.Item:
    return pystac.Item.from_dict({
        "type": "Feature", "stac_version": "1.0.0", "id": name, "geometry": SQUARE, "bbox": BOX,
        "properties": {"datetime": time, **properties}, "assets": assets, "links": [],
        "collection": "some", "stac_extensions": [],
    })  # fmt: skip


def options(name, **changes) -> options_lib.S2Options:
    """Of a preset, Sentinel-2 alone."""
    value = local_config("", "", name)
    return options_lib.S2Options(**{**config_of(value["s2"]), **changes})


def config_of(table):
    return {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}


# As api/stac/v1/collections/sentinel-2-l2a/items of Planetary Computer: no numbers at assets.
PC = {
    "platform": "Sentinel-2A", "proj:epsg": 32639, "s2:mgrs_tile": "39SUT",
    "s2:datatake_id": "GS2A_20220304T072641_034980_N04.00", "s2:processing_baseline": "04.00",
    "s2:generation_time": "2022-03-05T02:11:55.000Z",
    "s2:datastrip_id": "S2A_OPER_MSI_L2A_DS_ESRI_20220305T021156_S20220304T072958_N04.00",
}  # fmt: skip
PC_ASSETS = {
    name: {"href": f"https://a.blob.core.windows.net/s2/{name}.tif", "type": "image/tiff"}
    for name in ("B02", "B8A", "SCL")
}
# As sentinel-2-c1-l2a of Earth Search.
ES = {
    "platform": "sentinel-2a", "proj:epsg": 32639, "mgrs:utm_zone": 39, "mgrs:latitude_band": "S",
    "mgrs:grid_square": "UT", "s2:processing_baseline": "05.10",
    "s2:datatake_id": "GS2A_20220304T072641_034980_N05.10",
}  # fmt: skip
ES_BAND = {"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": -0.1}
ES_ASSETS = {
    "blue": {"href": "https://e84.s3.amazonaws.com/B02.tif", "raster:bands": [ES_BAND]},
    "scl": {"href": "https://e84.s3.amazonaws.com/SCL.tif"},
}
# As sentinel-2-l2a of CDSE: STAC 1.1, JPEG 2000 in S3; numbers at the asset.
CDSE = {
    "platform": "sentinel-2a", "proj:code": "EPSG:32639", "grid:code": "MGRS-39SUT",
    "processing:version": "05.10", "eopf:datatake_id": "GS2A_20220304T072641_034980_N05.10",
    "processing:datetime": "2023-05-01T00:00:00Z",
}  # fmt: skip
CDSE_ASSETS = {
    "B02_10m": {
        "href": "s3://eodata/Sentinel-2/MSI/B02_10m.jp2", "nodata": 0, "data_type": "uint16",
        "raster:scale": 0.0001, "raster:offset": -0.1, "bands": [{"name": "B02"}],
    },
    "SCL_20m": {"href": "s3://eodata/Sentinel-2/MSI/SCL_20m.jp2"},
}  # fmt: skip


def test_planetary_computers_numbers_follow_from_the_baseline():
    own = options("planetary_computer")
    found = items.optical(item("a", PC, PC_ASSETS), own)
    assert found.assets["B2"] == scenes.Asset(PC_ASSETS["B02"]["href"], 1.0, -1000.0, 0.0)
    assert set(found.assets) == {"B2", "B8A", "SCL"} and found.crs == "EPSG:32639"
    assert found.take == ("GS2A_20220304T072641_034980",)
    assert found.copy == (*found.take, "39SUT", "20220304T072958")
    before = item("a", PC | {"s2:processing_baseline": "03.01"}, PC_ASSETS)
    assert items.optical(before, own).assets["B2"].shift == 0.0
    unknown = item("a", {k: v for k, v in PC.items() if k != "s2:processing_baseline"}, PC_ASSETS)
    with pytest.raises(ValueError, match="item a: expected a processing baseline"):
        items.optical(unknown, own)


def test_the_products_name_says_what_properties_do_not():
    name = "S2A_MSIL2A_20220304T072641_N0510_R049_T39SUT_20230501T000000"
    found = items.optical(item(name, {"platform": "sentinel-2a"}, PC_ASSETS),
                           options("planetary_computer"))  # fmt: skip
    assert found.copy == ("20220304T072641", "39SUT", "") and found.rank[0] == (5, 10)
    assert found.assets["B2"].shift == -1000.0


def test_earth_search_and_cdse_say_it_in_their_items():
    es = items.optical(item("b", ES, ES_ASSETS), options("earth_search"))
    assert es.assets["B2"] == scenes.Asset(ES_ASSETS["blue"]["href"], 1.0, -1000.0, 0.0)
    assert es.copy[1] == "39SUT" and "scl" in es.assets
    cdse = items.optical(item("c", CDSE, CDSE_ASSETS), options("cdse"))
    path = "/vsis3/eodata/Sentinel-2/MSI/B02_10m.jp2"
    assert cdse.assets["B2"] == scenes.Asset(path, 1.0, -1000.0, 0.0)
    assert cdse.crs == "EPSG:32639" and cdse.rank[:2] == ((5, 10), "2023-05-01T00:00:00+00:00")


def test_the_newest_of_a_copy_counts_and_a_strip_is_no_copy():
    own = options("planetary_computer")
    newer = PC | {"s2:processing_baseline": "05.10", "s2:generation_time": "2023-01-01T00:00:00Z"}
    newer["s2:datatake_id"] = PC["s2:datatake_id"].replace("04.00", "05.10")
    # Made again with the same baseline, later.
    later = PC | {"s2:generation_time": "2022-04-01T00:00:00Z"}
    strip = PC | {
        "s2:datastrip_id": PC["s2:datastrip_id"].replace("_S20220304T072958", "_S20220304T073010")
    }
    tile = PC | {"s2:mgrs_tile": "39SVT"}
    made = {name: items.optical(item(name, props, PC_ASSETS), own)
            for name, props in (("old", PC), ("later", later), ("newer", newer), ("strip", strip),
                                ("tile", tile))}  # fmt: skip
    for order in (list(made.values()), list(made.values())[::-1]):
        found, replaced = scenes.newest(order)
        assert {s.scene_id for s in found} == {"newer", "strip", "tile"} and replaced == 2
    (only,) = scenes.observations(found, "EPSG:32639")
    assert len(only) == 3
    found, _ = scenes.newest([made["old"], made["later"]])
    assert [s.scene_id for s in found] == ["later"]


def test_scenes_of_the_own_zone_come_first():
    own = options("planetary_computer")
    a, b = (items.optical(item(n, PC | {"proj:epsg": e, "s2:mgrs_tile": n}, PC_ASSETS), own)
            for n, e in (("a", 32638), ("b", 32639)))  # fmt: skip
    for crs, expected in (("EPSG:32639", ["b", "a"]), ("EPSG:32638", ["a", "b"])):
        (take,) = scenes.observations([a, b], crs)
        assert [s.scene_id for s in take] == expected


def test_an_asset_without_a_scale_is_one_line():
    assets = copy.deepcopy(ES_ASSETS)
    del assets["blue"]["raster:bands"][0]["scale"]
    with pytest.raises(ValueError, match="item b: asset blue: expected a scale .* s2.scale gives"):
        items.optical(item("b", ES, assets), options("earth_search"))
    found = items.optical(item("b", ES, assets), options("earth_search", scale=0.0001))
    assert found.assets["B2"].factor == 1.0
    assets["blue"]["raster:bands"][0]["scale"] = "much"
    with pytest.raises(ValueError, match="item b: expected scale to be a number, found 'much'"):
        items.optical(item("b", ES, assets), options("earth_search"))


@pytest.mark.parametrize(
    ("href", "said"),
    [
        ("ftp://x/B02.tif", "expected an address of http, https or s3, or a path, found 'ftp:'"),
        ("https://x/B02.vrt", "expected a GeoTIFF or JPEG 2000, found 'https://x/B02.vrt'"),
    ],
)
def test_other_files_are_refused(href, said):
    assets = copy.deepcopy(PC_ASSETS)
    assets["B02"]["href"] = href
    with pytest.raises(ValueError, match=f"item a: asset B02: {said}"):
        items.optical(item("a", PC, assets), options("planetary_computer"))


# Sentinel-1 ---------------------------------------------------------------------------------------

RTC = options_lib.S1Options(
    catalogue="x", collection="sentinel-1-rtc", assets={"VV": "vv", "VH": "vh"}
)
S1 = {
    "platform": "SENTINEL-1A", "sar:instrument_mode": "IW", "sar:product_type": "GRD",
    "sat:orbit_state": "descending", "sat:relative_orbit": 64, "proj:epsg": 32639,
    "start_datetime": "2022-03-05T02:41:10Z", "end_datetime": "2022-03-05T02:41:35Z",
}  # fmt: skip
S1_ASSETS = {name: {"href": f"https://a/{name}.rtc.tiff"} for name in ("vv", "vh")}
NAME = "S1A_IW_GRDH_1SDV_20220305T024110_20220305T024135_042174_05068E_rtc"


def test_a_radar_scene():
    found = items.radar(item(NAME, S1, S1_ASSETS, "2022-03-05T02:41:22Z"), RTC)
    assert (found.orbit, found.direction, found.platform) == (64, "descending", "A")
    assert found.time == dt.datetime(2022, 3, 5, 2, 41, 10, tzinfo=dt.UTC)
    assert found.take == ("A", "64", "2022-03-05") and found.copy == (*found.take, "02:41:10")
    assert found.assets["VV"].factor == 1.0 and math.isnan(found.assets["VV"].nodata)


def test_what_lacks_a_polarisation_or_is_of_another_mode_is_left_out():
    assert items.radar(item(NAME, S1, {"vv": S1_ASSETS["vv"]}), RTC) is None
    assert items.radar(item(NAME, S1 | {"sar:instrument_mode": "EW"}, S1_ASSETS), RTC) is None


@pytest.mark.parametrize(
    ("name", "changes", "backscatter", "said"),
    [
        (NAME, {"sat:orbit_state": "left"}, "gamma0_rtc", "expected sat:orbit_state"),
        ("S1A_grd", {}, "gamma0_rtc", "expected gamma0_rtc .* found product type GRD: .*never mix"),
        (NAME, {"sar:product_type": "RTC"}, "sigma0", "expected sigma0 .* product type RTC"),
        ("x", {"platform": "other"}, "sigma0", "expected platform 'sentinel-1a' or the like"),
    ],
)
def test_what_is_wrong_with_a_radar_item_is_one_line(name, changes, backscatter, said):
    own = options_lib.S1Options("x", "y", assets=RTC.assets, backscatter=backscatter)
    with pytest.raises(ValueError, match=f"item {name}: {said}"):
        items.radar(item(name, S1 | changes, S1_ASSETS), own)


def test_digital_numbers_are_no_backscatter():
    assets = copy.deepcopy(S1_ASSETS)
    assets["vv"]["raster:bands"] = [{"data_type": "uint16"}]
    with pytest.raises(ValueError, match="asset vv: expected calibrated .* found digital"):
        items.radar(item(NAME, S1, assets), RTC)


def test_two_kinds_in_one_search_are_refused():
    a = items.radar(item(NAME, S1, S1_ASSETS), RTC)
    b = items.radar(item("b", S1 | {"sar:product_type": "RTC"}, S1_ASSETS), RTC)
    scenes.check_one_kind([a, a])
    with pytest.raises(ValueError, match=f"items {NAME} and b: expected one kind .* GRD and RTC"):
        scenes.check_one_kind([a, b])


# Options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "changes", "said"),
    [
        ("s2", {"scl_masked": ()}, "s2.scl_masked: expected classes of 0..11"),
        ("s2", {"scl_masked": (3, 12)}, "s2.scl_masked: .* found \\(3, 12\\)"),
        ("s2", {"dilate_px": 0.5}, "s2.dilate_px: expected a whole number of 0 to 100, found 0.5"),
        ("s2", {"offset": "auto"}, "s2.offset: expected one of item, .*, none, found 'auto'"),
        ("s2", {"assets": {"B1": "B01"}}, "s2.assets: expected assets of B2, .* found 'B1'"),
        ("s2", {"scale": 0}, "s2.scale: expected a number above 0 or None, found 0"),
        ("s2", {"signing": "sas"}, "s2.token: expected .* signing of sas, .* found none"),
        ("s1", {"signing": "bearer", "token": "ey.a.b"}, "s1.token: expected the name of an env"),
        ("s1", {"token_hosts": ("https://x/",)}, "s1.token_hosts: expected names of hosts such as"),
        ("s1", {"orbits": "all"}, "s1.orbits: expected one of first, mean, found 'all'"),
        ("s1", {"backscatter": "beta0"}, "s1.backscatter: expected one of gamma0_rtc, sigma0"),
        ("s1", {"platforms": ("S1Z",)}, "s1.platforms: expected satellites of"),
        ("s1", {"colection": "x"}, "config.s1: .* found 'colection'; did you mean 'collection'"),
        ("label", {"kind": "map"}, "label.file: expected a GeoTIFF with kind 'map'"),
        ("label", {"landcover_table": "x"}, "config.label|label.landcover_table: expected one of"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_config_is_one_line(table, changes, said):
    value = local_config("cubes", "scenes")
    value[table] |= changes
    with pytest.raises(ValueError, match=said) as info:
        config.read_config(value)
    assert "\n" not in str(info.value) and "ey.a.b" not in str(info.value)


def test_an_orbit_that_an_item_does_not_name():
    props = {k: v for k, v in S1.items() if not k.startswith("sat:")}
    found = items.radar(
        item(NAME, props | {"start_datetime": "2022-03-14T02:41:10Z"}, S1_ASSETS), RTC
    )
    assert (found.orbit, found.direction) == (64, "descending")
    tile = items.radar(item(NAME, S1 | {"odc:region_code": "N35E051"}, S1_ASSETS), RTC)
    other = items.radar(item(NAME, S1 | {"odc:region_code": "N35E052"}, S1_ASSETS), RTC)
    assert tile.take == other.take and tile.copy != other.copy


def test_files_of_a_public_bucket_and_places_that_only_gdal_knows():
    own = options_lib.Catalogue("x", "y", "public_s3", "s3.af-south-1.amazonaws.com")
    sign = Access(own).sign
    assert sign("/vsis3/bucket/a b/c.tif") == (
        "https://bucket.s3.af-south-1.amazonaws.com/a%20b/c.tif"
    )
    assert sign("https://x/y.tif") == "https://x/y.tif"
    for href in ("/vsicurl/http://127.0.0.1/x.tif", "/vsizip/{/home/x.zip}/a.tif"):
        value = item(NAME, S1, {"vv": {"href": href}, "vh": {"href": href}})
        with pytest.raises(
            ValueError, match="asset vv: expected an address or a path, found '/vsi"
        ):
            items.radar(value, RTC)


def test_a_token_is_sent_to_nobody_that_it_is_not_meant_for(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "secret-of-mine")
    own = options_lib.Catalogue("https://stac.example/v1", "y", "bearer", "MY_TOKEN")
    known = Access(dataclasses.replace(own, token_hosts=("files.example",)))
    for href in ("https://stac.example/files/a.tif", "https://files.example/a.tif"):
        assert known.sign(href) == href
        assert known.headers(href) == {"Authorization": "Bearer secret-of-mine"}
    for ask in (Access(own).sign, Access(own).headers):
        with pytest.raises(ValueError, match="https://files.example: .* token_hosts of 'y' if"):
            ask("https://files.example/a.tif")
    with pytest.raises(ValueError, match="expected https with signing 'bearer', found http"):
        known.headers("http://files.example/a.tif")
    # Of a catalogue on the disk, no host is its own.
    with pytest.raises(ValueError, match="https://stac.example: .* token_hosts of 'y' if"):
        Access(dataclasses.replace(own, catalogue="/scenes")).sign("https://stac.example/a.tif")


def test_an_azure_token_is_for_azure(monkeypatch):
    own = options_lib.Catalogue("https://stac.example/v1", "y", "sas", "https://tokens.example/y")
    known = Access(dataclasses.replace(own, token_hosts=("files.example",)))
    monkeypatch.setattr(known, "_token", lambda: "sig=1")
    for host in ("y.blob.core.windows.net", "stac.example", "files.example"):
        assert known.sign(f"https://{host}/a.tif") == f"https://{host}/a.tif?sig=1"
    for host in ("blob.core.windows.net.example", "other.example"):
        assert known.sign(f"https://{host}/a.tif") == f"https://{host}/a.tif"


def test_access_is_no_part_of_what_a_cube_is_made_of():
    own = options_lib.S2Options("x", "y", "sas", "https://t", assets={"B2": "B02"})
    assert "token" not in options_lib.Options(s2=own).to_json()["s2"]
    assert "signing" not in options_lib.Options(s2=own).to_json()["s2"]
    assert "token_hosts" not in options_lib.Options(s2=own).to_json()["s2"]


@pytest.mark.parametrize(
    "name", [*(f.stem[6:] for f in sorted((CHECKOUT / "configs").glob("fetch_*.py")))]
)
def test_every_preset_can_be_read(world, name):
    found, own = config.read_config(local_config(world.cubes, "https://stac.example/v1", name))
    assert len(own.s2.assets) == 10 and own.s2.assets["B8A"] != own.s2.assets["B8"]
    assert len(found) == 3 and own.s2.collection
    assert [s.name for s in own.sensors] == (["s1", "s2"] if own.s1.collection else ["s2"])


def test_a_map_for_cubes_has_their_legend(world):
    file = {"kind": "map", "file": "map.tif"}
    value = local_config(world.cubes, "https://stac.example/v1", label=file)
    with pytest.raises(ValueError, match="config.label.legend: expected the legend .* of cubes, "):
        config.read_config(value)


def test_regions_bring_no_labels_and_a_map_may():
    value = local_config("", "https://stac.example/v1")
    here = {
        "box": (1.5, 48.0, 1.6, 48.1),
        "country": "x",
        "harvest": "2018-08-01",
        "split": "train",
    }
    value |= {"kind": "regions", "regions": {"here": here}}
    with pytest.raises(ValueError, match="config.label.kind: expected 'map' or 'none' for regions"):
        config.read_config(value)
    value["label"] |= {"kind": "map", "file": "eucropmap.tif"}
    found, own = config.read_config(value)
    assert len(found) > 20 and own.label.file == "eucropmap.tif" and len(found[0].periods) == 7
    value["label"]["legend"] = str(CHECKOUT / "configs" / "legends" / "cdl.json")
    assert {t.legend.name for t in config.read_config(value)[0]} == {"cdl"}
    value["tiles"] = "tiles.geojson"
    with pytest.raises(ValueError, match="config: expected keys among .* found 'tiles'"):
        config.read_config(value)
    value |= {"tiles": "", "regions": {"here": here | {"harvest": "2015-01-01"}}}
    with pytest.raises(
        ValueError, match="region here: expected periods since the catalogue has S1"
    ):
        config.read_config(value)


def test_what_an_address_holds_of_tokens_is_not_recorded():
    secret = "https://me:secret@example.org/stac?sig=secret"
    options = options_lib.S2Options(catalogue=secret, collection="c", assets={"B2": "B02"})
    found = options_lib.Options(s2=options).to_json()["s2"]
    assert found["catalogue"] == "https://example.org/stac"
    assert errors.clean(f"no answer of {secret}, twice") == (
        "no answer of https://example.org/stac twice"
    )
    plain = "https://earth-search.aws.element84.com/v1"
    assert errors.clean(plain) == errors.public(plain) == plain
