"""Lists of tiles on disk: what is written is read, and what is wrong is named."""

import datetime as dt
import json

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import grid, tiles
from cropmap_jax.geo.calendars import Season
from cropmap_jax.geo.legend import ISRC

HARVEST = {
    "onion": (
        Season(dt.date(2022, 5, 1), dt.date(2022, 6, 1), dt.date(2021, 11, 1), "Onion_Winter"),
        Season(dt.date(2022, 9, 1), season="Onion_Spring"),
    )
}
ABOUT = {"months": {"1400-1401": ["2021-03-01", "2022-12-31"]}, "source": "کلزا"}


def tile(col: int, split: str = "train", epsg: int = 32639, **changes) -> tiles.Tile:
    geobox = grid.tile_geobox(epsg, col, 3012)
    name = f"1400-1401_{grid.tile_id(epsg, col, 3012)}"
    crops = {
        "onion": {"fields": 2, "area_ha": 3.25, "pixels": 290},
        "none_of_these": {"fields": 1, "area_ha": 0.0, "pixels": 7},
    }
    value = {
        "tile_id": name, "geobox": geobox, "season": "1400-1401", "split": split,
        "block": grid.block_id(geobox), "province": "قم", "harvest": HARVEST, "crops": crops,
        "unknown_pixels": 16087, "label": f"labels/{name}.tif", "fields": f"fields/{name}.tif",
    }  # fmt: skip
    return tiles.Tile(**(value | changes))


TILES = [tile(412), tile(413), tile(420, "test"), tile(300, epsg=32640, harvest={}, crops={})]


def test_what_is_written_is_read(tmp_path):
    path = tiles.write_tiles(TILES, tmp_path / "tiles.geojson", ISRC, ABOUT)
    assert tiles.read_tiles(path) == (TILES, ISRC, ABOUT)
    assert [p.name for p in tmp_path.iterdir()] == ["tiles.geojson"]
    tiles.write_tiles([], path, ISRC, {})
    assert tiles.read_tiles(path) == ([], ISRC, {})


def test_the_file_is_geojson_that_gdal_reads(tmp_path):
    import geopandas

    path = tiles.write_tiles(TILES, tmp_path / "tiles.geojson", ISRC, ABOUT)
    value = json.loads(path.read_text(encoding="utf-8"))
    assert set(value) == {"type", "cropmap", "features"}
    assert value["features"][0]["properties"]["proj:transform"] == [10, 0, 527360, 0, -10, 3856640]
    table = geopandas.read_file(path)
    assert table.crs.to_epsg() == 4326 and len(table) == 4
    # Counterclockwise, as RFC 7946 has it, and where the tile is.
    assert shapely.is_ccw(shapely.get_exterior_ring(table.geometry.values)).all()
    for shape, one in zip(table.geometry, TILES, strict=True):
        lon, lat = grid.to_lonlat(one.geobox)
        assert shape.centroid.distance(shapely.Point(lon, lat)) < 1e-5


@given(
    st.sampled_from([32601, 32639, 32660, 32739]), st.integers(150, 600), st.integers(2300, 5500)
)
def test_outlines_are_exact_to_two_millimetres(epsg, col, row):
    geobox = grid.tile_geobox(epsg, col, row)
    (shape,) = tiles.outlines([geobox], steps=8)
    back = pyproj.Transformer.from_crs(4326, epsg, always_xy=True)
    lon, lat = shapely.get_coordinates(shapely.segmentize(shape, 1e-3)).T
    x, y = back.transform((lon + 180) % 360 - 180, lat)
    left, bottom, right, top = geobox.boundingbox
    off = np.minimum.reduce([abs(x - left), abs(x - right), abs(y - bottom), abs(y - top)])
    assert off.max() < 2e-3
    assert shapely.is_ccw(shape.exterior) and np.ptp(lon) < 0.2


def test_outlines_of_mixed_zones_keep_their_order():
    boxes = [grid.tile_geobox(e, c, 3012) for e, c in ((32639, 412), (32640, 412), (32639, 413))]
    found = tiles.outlines(iter(boxes))
    centres = [grid.to_lonlat(box)[0] for box in boxes]
    np.testing.assert_allclose([s.centroid.x for s in found], centres, atol=1e-5)
    assert len(shapely.get_coordinates(found[0])) == 5
    assert len(tiles.outlines([])) == 0


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    path = tiles.write_tiles(TILES, tmp_path / "tiles.geojson", ISRC, ABOUT)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="tiles.geojson: expected `about` that JSON can hold"):
        tiles.write_tiles(TILES, path, ISRC, {"when": dt.date(2022, 1, 1)})

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.PosixPath.rename", full)
    with pytest.raises(OSError, match="No space"):
        tiles.write_tiles(TILES[:1], path, ISRC, ABOUT)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_tile_without_a_code_is_refused(tmp_path):
    local = "+proj=tmerc +lat_0=35 +lon_0=51 +k=1 +ellps=WGS84 +units=m"
    odd = tile(412, geobox=GeoBox((128, 128), Affine(10, 0, 0, 0, -10, 0), local))
    with pytest.raises(ValueError, match="tile 1400-1401_.*: expected a CRS with an EPSG code"):
        tiles.write_tiles([odd], tmp_path / "tiles.geojson", ISRC, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("cropmap"), "expected a list of tiles: GeoJSON with 'cropmap'"),
        (lambda v: v["features"][1].pop("id"), "expected a list of tiles: .* problem at 'id'"),
        (lambda v: v["cropmap"]["legend"].pop("classes"), "legend: expected .*'classes'"),
        (lambda v: v["features"].append(v["features"][0]), "tile 1400-1401_32639_0412_03012: "
                                                           "expected one of this id"),
        (lambda v: v["features"][1]["properties"].update(split="test"),
         "one block 32639_0051_00376 is in two splits, train and test"),
        (lambda v: v["features"][2]["properties"].update(split="dev"), "expected a split of train"),
    ],
)  # fmt: skip
def test_a_wrong_list_is_refused(tmp_path, change, message):
    path = tiles.write_tiles(TILES, tmp_path / "tiles.geojson", ISRC, ABOUT)
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        tiles.read_tiles(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block": None}, "expected property 'block', found none"),
        ({"proj:code": "EPSG:1"}, "expected proj:code like EPSG:32639, found 'EPSG:1'"),
        ({"proj:shape": [128]}, r"expected proj:shape \[height, width\], found \[128\]"),
        ({"proj:transform": [10, 0, 0]}, "expected proj:transform of 6 numbers"),
        ({"proj:transform": "abcdef"}, "expected the feature of a tile, found could not convert"),
        ({"crops": {"potato": {}}}, "expected crops of legend 'isrc', found 'potato'"),
        ({"crops": {"onion": {"fields": 1}}}, "expected property 'area_ha', found none"),
        ({"harvest": {"onion": [{"harvest_start": "2022-13-01"}]}}, "found '2022-13-01'"),
        ({"harvest": []}, "expected the feature of a tile, found 'list' object"),
    ],
)
def test_a_wrong_tile_is_named(tmp_path, change, message):
    path = tiles.write_tiles(TILES, tmp_path / "tiles.geojson", ISRC, ABOUT)
    value = json.loads(path.read_text(encoding="utf-8"))
    props = value["features"][1]["properties"]
    props.update(change)
    if None in change.values():
        del props[next(iter(change))]
    path.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        tiles.read_tiles(path)
    assert str(error.value).startswith(f"{path}: tile 1400-1401_32639_0413_03012: ")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"features": 1, "cropmap": {}}', "\xff"])
def test_what_is_no_list_is_refused(tmp_path, text):
    path = tmp_path / "tiles.geojson"
    with pytest.raises(ValueError, match="tiles.geojson: expected a list of tiles, found no file"):
        tiles.read_tiles(path)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="tiles.geojson: expected a list of tiles"):
        tiles.read_tiles(path)
