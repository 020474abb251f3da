import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import grid, splits
from cropmap_jax.sources.ingest.splits import parse_split, split_map


def make_geobox(height=12, width=15, pixel=10.0):
    return GeoBox((height, width), Affine(pixel, 0, 600000, 0, -pixel, 5600000), "EPSG:32631")


def rectangles(found):
    return [(p.rows.start, p.rows.stop, p.cols.start, p.cols.stop) for p in found]


@pytest.mark.parametrize("split", splits.SPLITS)
def test_a_whole_raster_is_one_cube_of_its_block(split):
    geobox = make_geobox()
    ((part,), notes) = parse_split(split, "mine", geobox)
    assert (part.cube_id, part.split, part.block) == ("mine", split, grid.block_id(geobox))
    assert rectangles([part]) == [(0, 12, 0, 15)] and notes == []


def test_columns_are_inclusive_and_gaps_are_noted():
    text = "columns:test=10-12,train=1-4,train=5-8"
    found, notes = parse_split(text, "mine", make_geobox())
    assert [p.cube_id for p in found] == ["mine-train-0", "mine-train-1", "mine-test-0"]
    assert rectangles(found) == [(0, 12, 1, 5), (0, 12, 5, 9), (0, 12, 10, 13)]
    assert notes == ["columns 0-0, 9-9, 13-14 are in no part of --split and left out"]
    splits.check_blocks([(p.cube_id, p.block, p.split) for p in found])


def test_rows_count_from_the_top():
    found, notes = parse_split("rows:validation=0-3,test=4-11", "m", make_geobox())
    assert rectangles(found) == [(0, 4, 0, 15), (4, 12, 0, 15)] and notes == []
    assert [p.split for p in found] == ["validation", "test"]


def test_blocks_are_drawn_by_name_row_and_column():
    text = "blocks:5:train=0.5,test=0.5:seed=3"
    found, _ = parse_split(text, "mine", make_geobox())
    # 12 rows are 5 + 7 (a rest of 2 is shorter than half a block), 15 columns 3 x 5.
    assert rectangles(found)[:3] == [(0, 5, 0, 5), (0, 5, 5, 10), (0, 5, 10, 15)]
    assert rectangles(found)[3:] == [(5, 12, 0, 5), (5, 12, 5, 10), (5, 12, 10, 15)]
    assert found[4].cube_id == "mine-r1-c1"
    shares = {"train": 0.5, "test": 0.5}
    assert [p.split for p in found] == [
        splits.assign_split(f"mine:{r}:{c}", shares, 3) for r in range(2) for c in range(3)
    ]
    assert len({p.block for p in found}) == 6
    assert found[4].block.endswith("-x600050-y5599950")


@pytest.mark.parametrize("pixel, rest", [(10.0, 1024), (20.0, 512)])
def test_blocks_measure_about_10_km_by_default(pixel, rest):
    found, _ = parse_split("blocks", "m", make_geobox(16, 3000, pixel))
    assert found[0].cols == slice(0, rest)
    assert parse_split("blocks", "m", make_geobox())[0][0].cube_id == "m"


@hypothesis.given(
    height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 45), rows=st.booleans()
)
def test_no_pixel_is_in_two_parts_and_blocks_leave_none_out(height, width, size, rows):
    geobox = make_geobox(height, width)
    found, _ = parse_split(f"blocks:{size}", "m", geobox)
    count = np.zeros((height, width), int)
    for part in found:
        count[part.rows, part.cols] += 1
    assert (count == 1).all()
    assert (split_map(found, (height, width)) >= 0).all()


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "expected train | validation | test, columns:"),
        ("training", "expected train | validation | test, columns:"),
        ("train:0-3", "expected train | validation | test, columns:"),
        ("columns", "expected train | validation | test, columns:"),
        ("columns:train=0-20", "expected columns 0-14 from low to high, found 'train=0-20'"),
        ("rows:train=0-12", "expected rows 0-11 from low to high, found 'train=0-12'"),
        ("rows:train=5-3", "expected rows 0-11 from low to high, found 'train=5-3'"),
        ("columns:train=0-5,test=5-9", "share no columns, found train=0-5 and test=5-9"),
        ("columns:train=0-5,tset=6-9", "inclusive range like train=0-52, found 'tset=6-9'"),
        ("columns:train=0:5", "inclusive range like train=0-52, found 'train=0:5'"),
        ("blocks:0", "expected a positive size"),
        ("blocks:x", "found 'x'"),
        ("blocks:4:train=0.5", "that add to 1, found {'train': 0.5}"),
        ("blocks:4:train=1.5,test=-0.5", "shares from 0 to 1"),
        ("blocks:4:seed=x", "found 'seed=x'"),
    ],
)
def test_splits_that_there_are_not(text, message):
    with pytest.raises(ValueError) as error:
        parse_split(text, "m", make_geobox())
    assert str(error.value).startswith(f"--split {text!r}: ") and message in str(error.value)
