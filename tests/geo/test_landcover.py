"""Land cover: tables of codes, what of them is none of the classes, and the raster of a cube."""

import dataclasses
import json

import making
import numpy as np
import pytest

from cropmap_jax.geo import cube_io, landcover
from cropmap_jax.geo.landcover import WORLDCOVER, Choice, LandCover, none_by_map
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE


def with_cover(one, codes):
    info = dataclasses.replace(one.info, landcover=WORLDCOVER)
    return dataclasses.replace(one, info=info, landcover=codes)


def test_what_lies_at_an_edge_or_is_annotated_is_left_out():
    codes = np.full((7, 9), 50, np.uint8)
    codes[3, 4] = 40  # cropland
    codes[0, 8] = 80  # water next to a village is no edge
    label = np.full(codes.shape, IGNORE, np.uint8)
    label[6, 0], label[6, 1], label[6, 2] = 0, NONE_OF_THESE, IGNORE
    expected = np.ones(codes.shape, bool)
    expected[2:5, 3:6] = False
    expected[6, :2] = False
    np.testing.assert_array_equal(none_by_map(codes, label, (50, 80)), expected)
    expected[2:5, 3:6] = True
    expected[3, 4] = False
    np.testing.assert_array_equal(none_by_map(codes, label, (50, 80), 0), expected)
    assert not none_by_map(codes, label, ()).any()
    # Two pixels of erosion take a 5 x 5 square out of it, and the raster's edge none.
    assert none_by_map(codes, label, (50, 80), 2).sum() == 7 * 9 - 25 - 2


def test_ground_that_the_map_leaves_out_is_another_cover():
    codes = np.full((5, 5), 80, np.uint8)
    codes[2, 2] = landcover.NO_CODE
    weak = none_by_map(codes, np.full((5, 5), IGNORE, np.uint8), WORLDCOVER.none_of_these)
    assert weak.sum() == 16 and not weak[1:4, 1:4].any()


def test_a_choice_is_of_the_codes_of_the_map():
    assert Choice().codes_of(WORLDCOVER) == (10, 50, 60, 70, 80, 90, 95)
    assert (
        Choice((80, 50)).codes_of(WORLDCOVER) == (80, 50) and Choice(()).codes_of(WORLDCOVER) == ()
    )
    with pytest.raises(
        ValueError, match="^--landcover_none: found code 55, which land cover 'world"
    ):
        Choice((50, 55)).codes_of(WORLDCOVER)
    with pytest.raises(
        ValueError, match="^--landcover_erosion: expected 0 to 100 pixels, found -1"
    ):
        Choice(erosion=-1)


def test_a_table_of_ones_own(tmp_path):
    file = tmp_path / "mine.json"
    value = {
        "name": "mine",
        "classes": [{"code": 1, "name": "Town"}, {"code": 2, "name": "Fields"}],
        "none_of_these": [1],
    }
    file.write_text(json.dumps(value))
    table = landcover.load(str(file))
    assert table.codes == (1, 2) and table.none_of_these == (1,)
    assert LandCover.from_json(json.loads(json.dumps(table.to_json())), "x") == table
    assert landcover.load("worldcover") is WORLDCOVER


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"none_of_these": [3]},
            "none_of_these: found code 3, which land cover 'mine' does not hold",
        ),
        ({"none_of_these": 1}, "expected a list as none_of_these, found 1"),
        ({"classes": []}, "expected at least one class, found none"),
        ({"classes": [{"code": 256, "name": "a"}]}, "expected codes from 1 to 255, found 256"),
        ({"classes": [{"code": 0, "name": "a"}]}, "expected codes from 1 to 255, found 0"),
        ({"classes": [{"code": "1", "name": "a"}]}, "expected a whole number as code, found '1'"),
        ({"classes": [{"code": 1}]}, "found dict with a problem at 'name'"),
        ({"classes": [{"code": 1, "name": "a"}, {"code": 1, "name": "b"}]}, "code 1 is repeated"),
        (
            {"classes": [{"code": 1, "name": "a", "colour": "red"}]},
            "expected a colour like #a57000",
        ),
    ],
)
def test_a_table_that_is_wrong_is_named(tmp_path, change, message):
    file = tmp_path / "mine.json"
    value = {"name": "mine", "classes": [{"code": 1, "name": "a"}], "none_of_these": [1]}
    file.write_text(json.dumps(value | change))
    with pytest.raises(ValueError) as error:
        landcover.load(str(file), "--landcover_table")
    assert message in str(error.value) and str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_a_cube_keeps_the_codes_and_their_table(tmp_path):
    codes = np.random.default_rng(0).choice(np.array([0, 10, 40, 80], np.uint8), (32, 32))
    one = with_cover(making.make_cube(), codes)
    folder = cube_io.write_cube(one, tmp_path)
    again = cube_io.read_cube(folder, verify=True)
    assert again.info.landcover == WORLDCOVER
    np.testing.assert_array_equal(again.landcover, codes)
    np.testing.assert_array_equal(again.label, one.label)
    with cube_io.open_cube(folder) as reader:
        np.testing.assert_array_equal(
            reader.read(slice(3, 9), slice(5, 20)).landcover, codes[3:9, 5:20]
        )
    # Written over, with and without it.
    cube_io.write_cube(making.make_cube(), tmp_path, overwrite=True)
    assert not (folder / "landcover.tif").exists()
    plain = cube_io.read_cube(folder)
    assert plain.landcover is None and not plain.info.has_landcover
    assert "landcover" not in (folder / "item.json").read_text()


def test_codes_without_a_class_are_refused(tmp_path):
    codes = np.full((32, 32), 55, np.uint8)
    with pytest.raises(ValueError, match="^cube cube: land cover: found code 55, which land cover"):
        cube_io.write_cube(with_cover(making.make_cube(), codes), tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="expected landcover uint8"):
        cube_io.write_cube(with_cover(making.make_cube(), codes.astype(np.int16)), tmp_path)


def test_an_item_that_lost_one_of_them_is_refused(tmp_path):
    folder = cube_io.write_cube(
        with_cover(making.make_cube(), np.full((32, 32), 40, np.uint8)), tmp_path
    )
    item = json.loads((folder / "item.json").read_text())
    for change in ("properties", "assets"):
        changed = json.loads(json.dumps(item))
        del changed[change][{"properties": "cropmap:landcover", "assets": "landcover"}[change]]
        (folder / "item.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match="expected cropmap:landcover and assets/landcover"):
            cube_io.read_info(folder)
