"""Labels of a map on this machine, nearest on the cube's grid."""

import dataclasses
import datetime as dt
import pathlib

import numpy as np
import pyproj
import pytest
import rasterio
from rasterio.transform import from_bounds

from cropmap_jax.geo import crosswalk, grid, legend
from cropmap_jax.geo.legend import EUCROPMAP, IGNORE, NONE_OF_THESE
from cropmap_jax.geo.periods import Period
from cropmap_jax.sources.stac import labels
from cropmap_jax.sources.stac.options import LabelOptions
from cropmap_jax.sources.targets import Target

BOX = grid.tile_geobox(32631, 390, 4000)
TARGET = Target(
    "2017-2018_x", BOX, (Period(dt.date(2018, 3, 1), dt.date(2018, 4, 1)),), "2017-2018", "b",
    "train", "", {}, EUCROPMAP,
)  # fmt: skip
CODES = (211, 216, 500, 100, 0)


@pytest.fixture
def raster(tmp_path):
    """Stripes of codes, 0.001 degrees wide, from a whole degree on; 0 is ground outside of it."""
    west, south, east, north = 2.9, 46.0, 3.2, 46.4
    shape = (400, 300)
    codes = np.tile(np.take(CODES, np.arange(300) % len(CODES)), (400, 1)).astype(np.uint16)

    def write(values=codes, **more):
        file = tmp_path / "map.tif"
        profile = {"driver": "GTiff", "dtype": values.dtype, "count": 1, "height": shape[0],
                   "width": shape[1], "crs": "EPSG:4326", "nodata": 0,
                   "transform": from_bounds(west, south, east, north, 300, 400)}  # fmt: skip
        with rasterio.open(file, "w", **profile | more) as opened:
            opened.write(values, 1)
        return file

    return write


def test_codes_of_a_map_are_the_nearest(raster):
    label, fields = labels.read(TARGET, LabelOptions("map", str(raster())))
    a = BOX.affine
    x, y = np.meshgrid(a.c + 10 * (np.arange(128) + 0.5), a.f - 10 * (np.arange(128) + 0.5))
    lon, _ = pyproj.Transformer.from_crs(32631, 4326, always_xy=True).transform(x, y)
    place = (lon - 2.9) / 0.001
    codes = np.take(CODES, np.floor(place).astype(int) % len(CODES))
    expected = EUCROPMAP.encode(codes, "", missing=(0,))
    sure = np.abs(place - np.rint(place)) > 0.02  # not on a border between two
    np.testing.assert_array_equal(label[sure], expected[sure])
    assert fields is None and {IGNORE} < set(np.unique(label)) and sure.mean() > 0.9


def test_a_cube_without_labels_is_unknown():
    label, fields = labels.read(TARGET, LabelOptions("none"))
    assert (label == IGNORE).all() and fields is None
    assert labels.landcover(TARGET, LabelOptions("none")) is None


def test_the_file_is_part_of_what_a_cube_is_made_of(raster):
    file = raster()
    before = labels.digests(TARGET, LabelOptions("map", str(file)))
    raster(np.full((400, 300), 211, np.uint16))
    after = labels.digests(TARGET, LabelOptions("map", str(file)))
    assert len(before) == len(after) == 1 and before != after
    with pytest.raises(ValueError, match="nowhere.tif: expected a GeoTIFF, found no file"):
        labels.digests(TARGET, LabelOptions("map", "nowhere.tif"))


def test_another_map_is_refused(raster):
    with pytest.raises(ValueError, match="map.tif: 2017-2018_x"):
        labels.read(TARGET, LabelOptions("map", str(raster(np.full((400, 300), 7, np.uint16)))))
    with pytest.raises(ValueError, match="expected one band of integers with a CRS, found 1 of fl"):
        file = raster(np.ones((400, 300), np.float32), dtype="float32")
        labels.read(TARGET, LabelOptions("map", str(file)))


LEGENDS = pathlib.Path(__file__).resolve().parents[3] / "configs" / "legends"


def test_every_legend_of_the_folder_can_be_read():
    found = {path.stem: legend.load_legend(str(path)) for path in LEGENDS.glob("*.json")}
    assert {name: len(one) for name, one in found.items()} == {
        "cdl": 22, "worldcereal_maize": 1, "worldcereal_temporarycrops": 1, "dynamic_world": 1,
    }  # fmt: skip
    assert all(one.name == name for name, one in found.items())
    walk = crosswalk.find(str(LEGENDS / "cdl_to_isrc.csv"), found["cdl"], legend.ISRC, "crosswalk")
    assert sorted(walk) == list(range(8)) and found["cdl"].names[walk[3]] == "corn"


@pytest.mark.parametrize("others", ["", "unknown", "none_of_these"])
def test_a_map_with_a_legend_of_its_own(raster, others):
    known = legend.load_legend(str(LEGENDS / "cdl.json"))
    codes = np.array([1, 54, 176, 26, 0])  # corn, tomatoes, pasture, two crops, background
    file = raster(np.tile(np.take(codes, np.arange(300) % 5), (400, 1)).astype(np.uint8), nodata=0)
    target = dataclasses.replace(TARGET, legend=known)
    options = LabelOptions("map", str(file), legend="cdl.json", others=others)
    if not others:
        with pytest.raises(ValueError, match="found code 26, which legend 'cdl' does not hold"):
            labels.read(target, options)
        return
    label, _ = labels.read(target, options)
    other = {"unknown": IGNORE, "none_of_these": NONE_OF_THESE}[others]
    assert set(np.unique(label)) == {known.index("corn"), known.index("tomatoes"), NONE_OF_THESE,
                                     IGNORE}  # fmt: skip
    # Stripes are alike in width: a fifth of the ground each.
    share = {value: (label == value).mean() for value in (0, 21, NONE_OF_THESE, IGNORE)}
    assert share[other] == pytest.approx(0.4, abs=0.06)
    assert share[0] == pytest.approx(0.2, abs=0.06)


def test_a_code_that_the_legend_holds_is_not_unknown(raster):
    known = legend.load_legend(str(LEGENDS / "worldcereal_maize.json"))
    file = raster(np.where(np.arange(300) % 2, 100, 0)[None].repeat(400, 0).astype(np.uint8),
                  nodata=255)  # fmt: skip
    label, _ = labels.read(
        dataclasses.replace(TARGET, legend=known), LabelOptions("map", str(file))
    )
    assert set(np.unique(label)) == {0, NONE_OF_THESE}
