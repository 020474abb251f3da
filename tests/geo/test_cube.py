"""Cubes in memory: parts that have to agree."""

import dataclasses
import datetime as dt

import making
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import calendars, cube
from cropmap_jax.geo.periods import Period


def test_check_label_lists_what_it_found():
    label = np.array([[0, 2, 254, 255]], np.uint8)
    cube.check_label(label, making.LEGEND, "label.tif")
    with pytest.raises(
        ValueError, match=r"label\.tif: found label 3, 253; .*'making' holds 0\.\.2"
    ):
        cube.check_label(np.array([3, 0, 253], np.uint8), making.LEGEND, "label.tif")


MADE = making.make_cube("made", size=16)
CLEAR = making.make_cube("made", size=16, clear=True)


def with_info(**changes) -> cube.Cube:
    return dataclasses.replace(MADE, info=dataclasses.replace(MADE.info, **changes))


def on(crs: str, x: float, y: float) -> GeoBox:
    return GeoBox((16, 16), Affine(10, 0, x, 0, -10, y), crs)


JANUARY = Period(dt.date(2022, 1, 1), dt.date(2022, 2, 1))
GAP = (JANUARY, Period(dt.date(2022, 3, 1), dt.date(2022, 4, 1)))
WHEN = calendars.Season(dt.date(2022, 7, 1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (with_info(geobox=on("EPSG:3857", 5720000, 4257000)), "true metres .*found EPSG:3857"),
        (with_info(geobox=on("EPSG:4326", 51, 35)), "true metres .*found EPSG:4326"),
        (with_info(periods=()), "at least one period, found none"),
        (with_info(periods=GAP), "contiguous periods, found .*2022-02-01 followed by 2022-03-01"),
        (with_info(periods=MADE.info.periods[1:]), r"s1 float32 \[8, 16, 16, 2\], found .*\[9, 16"),
        (with_info(has_fields=False), "has_fields is False"),
        (with_info(has_clear=True), "has_clear is True, clear .*NoneType"),
        (dataclasses.replace(CLEAR, clear=CLEAR.clear[1:]), r"clear uint8 \[9, .*found .*\[8, 16"),
        (dataclasses.replace(CLEAR, clear=CLEAR.clear + 0.0), "clear uint8 .*found float64"),
        (with_info(harvest={"whaet": (WHEN,)}), "'whaet'.*'making'.*expected one of wheat, rape"),
        (dataclasses.replace(MADE, s2=MADE.s2[..., :9]), r"s2 .*16, 10\], found .*16, 9\]"),
        (dataclasses.replace(MADE, s1=MADE.s1.astype(float)), "s1 float32 .*found float64"),
        (dataclasses.replace(MADE, label=MADE.label.T.astype(int)), "label uint8 .*found int64"),
        (dataclasses.replace(MADE, label=MADE.label[:8]), r"label .*\[16, 16\], found .*\[8, 16\]"),
        (dataclasses.replace(MADE, fields=MADE.fields.astype(int)), "fields uint32 .*found int64"),
        (dataclasses.replace(MADE, label=MADE.label | 8), r"found label 8.*holds 0\.\.2"),
    ],
)
def test_parts_that_do_not_agree_are_refused(wrong, message):
    with pytest.raises(ValueError, match=f"^cube made: .*{message}"):
        cube.validate(wrong)


@pytest.mark.parametrize("name", ["", ".hidden", "..", "a/b", "a b", "é", "a\n"])
def test_ids_that_are_no_folder_names_are_refused(name):
    with pytest.raises(ValueError, match="expected an id of letters, digits"):
        cube.validate(with_info(cube_id=name))


def test_what_is_right_passes():
    cube.validate(MADE)
    cube.validate(with_info(cube_id="A-1_b.2", harvest={"*": (WHEN,)}))


def test_place_is_the_cube_where_no_province_is_known():
    assert MADE.info.place == "made"
    assert with_info(province="Fars").info.place == "Fars"
    assert MADE.info.shape == (16, 16)


def test_what_a_cube_may_lack_is_there_or_raises(tmp_path):
    assert dataclasses.replace(MADE.info, path=tmp_path).folder == tmp_path
    with pytest.raises(ValueError, match="cube made: expected a cube on disk, found one in memory"):
        assert MADE.info.folder
    assert MADE.info.crs.to_epsg() == making.EPSG
    nowhere = GeoBox((16, 16), MADE.info.geobox.affine, None)
    with pytest.raises(ValueError, match="cube made: expected a grid with a CRS, found none"):
        assert dataclasses.replace(MADE.info, geobox=nowhere).crs
