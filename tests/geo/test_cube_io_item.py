"""The STAC Item of a cube: the core by its schema, the extensions by their rules.

The core schemas come with pystac. Those of the extensions are only on the net, so their rules for
the fields we use are written out here, with the version that `stac_extensions` declares.
"""

import dataclasses
import hashlib
import json
import re
import urllib.request

import making
import pystac
import pytest
import rasterio
import shapely.geometry
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube_io, legend

ASSETS = ("s1", "s2", "label", "fields", "clear")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    made = making.make_cube("tehran", size=(20, 30), province="Tehran", clear=True)
    return cube_io.write_cube(made, tmp_path_factory.mktemp("cubes"))


@pytest.fixture(scope="module")
def item(path) -> dict:
    return json.loads((path / "item.json").read_text("utf-8"))


def test_core_is_valid_stac(item):
    core = item | {"stac_extensions": []}
    assert pystac.Item.from_dict(core).validate() == [
        "https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/item.json"
    ]
    with pytest.raises(pystac.STACValidationError):
        pystac.validation.validate_dict(core | {"bbox": [1, 2, 3]})


def test_pystac_reads_the_file(path):
    item = pystac.Item.from_file(str(path / "item.json"))
    assert item.id == "tehran" and set(item.assets) == {*ASSETS}
    for name, asset in item.assets.items():
        assert asset.get_absolute_href() == str(path / f"{name}.tif")
        assert asset.media_type == "image/tiff; application=geotiff"


def test_declares_what_it_uses(item):
    prefixes = {re.match("https://stac-extensions.github.io/(.*?)/", url)[1]
                for url in item["stac_extensions"]}  # fmt: skip
    fields = set(item["properties"]).union(*map(set, item["assets"].values()))
    short = {"projection": "proj", "file": "file", "classification": "classification"}
    used = {key.split(":")[0] for key in fields if ":" in key} - {"cropmap"}
    assert {short[p] for p in prefixes} == used
    assert len(item["stac_extensions"]) == 3


def test_time_covers_all_periods(item):
    found = item["properties"]
    # Our spans are half open, STAC's are closed: the last second of 31 August.
    assert found["datetime"] is None
    assert found["start_datetime"] == "2021-12-01T00:00:00Z"
    assert found["end_datetime"] == "2022-08-31T23:59:59Z"
    assert found["cropmap:periods"][0] == ["2021-12-01", "2022-01-01"]
    assert len(found["cropmap:periods"]) == 9


def test_outline_is_in_degrees_and_counterclockwise(item):
    outline = shapely.geometry.shape(item["geometry"])
    # The centre lies 512150 m east and 3841180 m north. Degrees of meridian average 110.72 km up
    # to there: 3841180 / 0.9996 / 110720 = 34.71. A degree of longitude is 91.5 km at that
    # latitude: 12150 m from the central meridian are 0.133 degrees.
    assert outline.centroid.coords[0] == pytest.approx((51.133, 34.71), abs=0.005)
    # 300 m and 200 m at that latitude.
    west, south, east, north = item["bbox"]
    assert east - west == pytest.approx(300 / (111_320 * 0.822), rel=0.01)
    assert north - south == pytest.approx(200 / 110_940, rel=0.01)
    assert item["bbox"] == pytest.approx(outline.bounds, abs=1e-7)
    assert outline.exterior.is_ccw  # RFC 7946


@pytest.mark.parametrize("asset", ASSETS)
def test_projection_v2_agrees_with_every_raster(item, path, asset):
    assert (
        "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
        in (item["stac_extensions"])
    )
    found = item["properties"]
    with rasterio.open(path / f"{asset}.tif") as raster:
        assert found["proj:code"] == f"EPSG:{raster.crs.to_epsg()}" == "EPSG:32639"
        assert found["proj:shape"] == [raster.height, raster.width] == [20, 30]
        assert found["proj:transform"] == list(raster.transform)[:6]


def test_projection_without_a_code_is_in_wkt2(tmp_path):
    made = making.make_cube(size=16)
    crs = "+proj=laea +lat_0=32 +lon_0=53 +datum=WGS84 +units=m"
    geobox = GeoBox((16, 16), Affine(10, 0, 1000, 0, -10, 2000), crs)
    made = dataclasses.replace(made, info=dataclasses.replace(made.info, geobox=geobox))
    item = json.loads((cube_io.write_cube(made, tmp_path) / "item.json").read_text("utf-8"))
    assert item["properties"].get("proj:code") is None
    assert item["properties"]["proj:wkt2"].startswith("PROJCRS[")
    assert pystac.Item.from_dict(item | {"stac_extensions": []}).validate()


@pytest.mark.parametrize("asset", ASSETS)
def test_file_v2_1_checksum_is_a_multihash(item, path, asset):
    assert "https://stac-extensions.github.io/file/v2.1.0/schema.json" in item["stac_extensions"]
    found = item["assets"][asset]["file:checksum"]
    assert re.fullmatch("[a-f0-9]+", found)
    # Multihash: the code of sha2-256, 0x12, the length of the digest, 0x20 = 32, the digest.
    code, length, digest = (p := bytes.fromhex(found))[0], p[1], p[2:]
    assert (code, length, len(digest)) == (0x12, 32, 32)
    assert digest == hashlib.sha256((path / f"{asset}.tif").read_bytes()).digest()


@pytest.mark.parametrize("classes", [making.LEGEND, legend.EUCROPMAP, legend.ISRC])
def test_classification_v2_classes(tmp_path, classes):
    made = making.make_cube(size=16, legend=classes)
    item = json.loads((cube_io.write_cube(made, tmp_path) / "item.json").read_text("utf-8"))
    assert (
        "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
        in (item["stac_extensions"])
    )
    rows = item["assets"]["label"]["classification:classes"]
    assert [r["value"] for r in rows] == [*range(len(classes)), 254, 255]
    assert [r["name"] for r in rows] == [*classes.names, "none_of_these", "unknown"]
    for row in rows:
        assert isinstance(row["value"], int)
        assert re.fullmatch("[0-9A-Za-z-_]+", row["name"])
        assert re.fullmatch("[0-9A-F]{6}", row.get("color_hint", "000000"))
        assert row.get("nodata", False) is (row["value"] == 255)
    assert all("classification:classes" not in item["assets"][a] for a in ("s1", "s2", "fields"))


def test_cropmap_properties(item):
    found = item["properties"]
    # Tile (400, 3000): 400 / 8 = 50, 3000 / 8 = 375.
    assert found["cropmap:block"] == "32639_0050_00375"
    assert (found["cropmap:legend"], found["cropmap:split"]) == ("making", "train")
    assert (found["cropmap:season"], found["cropmap:province"]) == ("2021-2022", "Tehran")
    assert found["cropmap:source"] == {"made_by": "tests/making.py", "seed": 0}
    # Three classes, harvests on 1 July, 31 days later and 62 days later; planting 120 days before.
    assert found["cropmap:harvest"]["rapeseed"] == [
        {
            "season": "2021-2022",
            "planting": "2022-04-03",
            "harvest_start": "2022-08-01",
            "harvest_end": "2022-08-21",
        }
    ]
    assert found["cropmap:harvest"]["wheat"][0]["planting"] is None


def test_writing_fetches_nothing(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"fetched {args[:1]}")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    cube_io.read_cube(cube_io.write_cube(making.make_cube(size=16), tmp_path), verify=True)
