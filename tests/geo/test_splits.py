"""Splits are places: nothing is in two of them."""

import collections

import numpy as np
import pyproj
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import grid, splits
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE


@pytest.mark.parametrize(
    ("block", "seed", "split"),
    [
        # The first 16 hexadecimal digits of sha256("0:32639_0050_00375") are 78776a8befdbebe9:
        # over 2**64 that is 0.4706, below 0.7.
        ("32639_0050_00375", 0, "train"),
        ("32639_0054_00375", 0, "validation"),  # c71b..., 0.7778, between 0.7 and 0.85
        ("32639_0051_00375", 0, "train"),  # 8e2c..., 0.5554
        ("32639_0051_00375", 1, "test"),  # f226..., 0.9459: another seed, another draw
    ],
)
def test_assignment_is_the_same_everywhere(block, seed, split):
    assert splits.assign_split(block, seed=seed) == split


def test_shares_come_out_as_requested():
    count = collections.Counter(splits.assign_split(f"32639_{i:04d}_00000") for i in range(4000))
    # Binomial: 4000 draws at 0.7 and 0.15 have standard deviations of 29 and 23; four of them.
    for split, share, four_sigma in (("train", 0.7, 116), ("validation", 0.15, 91)):
        assert abs(count[split] - 4000 * share) < four_sigma
    only = {splits.assign_split(str(i), {"test": 1.0}) for i in range(50)}
    assert only == {"test"}


@pytest.mark.parametrize(
    "wrong",
    [{"train": 0.5}, {"train": 0.5, "dev": 0.5}, {"train": 1.5, "test": -0.5}, {}],
)
def test_shares_that_do_not_add_up_are_refused(wrong):
    with pytest.raises(ValueError, match="fractions: expected shares of .* add to 1, found"):
        splits.assign_split("a", wrong)


def test_connected_fields_by_hand():
    label = np.array(
        [
            [0, 0, 1, 255, 0],
            [254, 0, 255, 1, 255],
            [254, 1, 255, 0, 0],
        ],
        np.uint8,
    )
    # Neighbours over a corner are one field. Class 0: upper left, upper right, lower right.
    # Class 1: the corner-joined pair, and the one below that 255 keeps apart.
    fields = splits.connected_fields(label)
    assert fields.tolist() == [[1, 1, 4, 0, 2], [0, 1, 0, 4, 0], [0, 5, 0, 3, 3]]
    assert fields.dtype == np.uint32


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
                  elements=st.sampled_from([0, 1, 253, 254, 255])))  # fmt: skip
def test_connected_fields_hold_one_class_each(label):
    fields = splits.connected_fields(label)
    np.testing.assert_array_equal(fields > 0, label < NONE_OF_THESE)
    for field in np.unique(fields[fields > 0]):
        assert len(np.unique(label[fields == field])) == 1
    # Equal neighbours are in one field.
    same = (label[:, 1:] == label[:, :-1]) & (label[:, 1:] < NONE_OF_THESE)
    assert (fields[:, 1:] == fields[:, :-1])[same].all()


def test_confine_fields_by_hand():
    fields = np.array([[1, 1, 1, 2, 2, 3], [0, 0, 0, 2, 2, 3]], np.uint32)
    label = np.array([[4, 4, 4, 5, 5, 6], [254, 255, 254, 5, 5, 6]], np.uint8)
    part = np.array([[0, 0, 1, 1, 2, -1], [0, 0, 1, 1, 2, -1]])
    # Field 1 keeps its two pixels in part 0 and loses one; field 2 is halved between parts 1 and 2
    # and stays in the first; field 3 lies in no part and is left alone, as is ground without field.
    assert splits.confine_fields(label, fields, part).tolist() == [
        [4, 4, 255, 5, 255, 6],
        [254, 255, 254, 5, 255, 6],
    ]
    assert label[0, 2] == 4  # the argument is not written to


shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=10)


@given(shapes, st.data())
def test_no_pixel_and_no_field_is_in_two_splits(shape, data):
    ids = st.integers(0, 5) | st.just(4_000_000_000)
    fields = data.draw(hnp.arrays(np.uint32, shape, elements=ids))
    part = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(-1, 2)))
    label = np.where(fields > 0, 7, 254).astype(np.uint8)
    confined = splits.confine_fields(label, fields, part)
    for field in np.unique(fields[fields > 0]):
        own = fields == field
        known = own & (confined != IGNORE) & (part >= 0)
        assert len(np.unique(part[known])) <= 1
        # It keeps its largest share, whole.
        count = np.bincount(part[own & (part >= 0)], minlength=1)
        assert known.sum() == count.max()
    changed = confined != label
    assert (confined[changed] == IGNORE).all()
    assert (fields[changed] > 0).all() and (part[changed] >= 0).all()


def test_check_blocks_names_both_cubes():
    splits.check_blocks([("a", "b1", "train"), ("b", "b1", "train"), ("c", "b2", "test")])
    with pytest.raises(ValueError, match="cubes a and c: one block b1 is in two .*train and test"):
        splits.check_blocks([("a", "b1", "train"), ("b", "b2", "test"), ("c", "b1", "test")])
    with pytest.raises(ValueError, match="cube a: expected a split of train, .*, found dev"):
        splits.check_blocks([("a", "b1", "dev")])


def square(crs: int, x: float, y: float, pixels: int = 32) -> GeoBox:
    return GeoBox((pixels, pixels), Affine(10, 0, x, 0, -10, y), f"EPSG:{crs}")


def near(epsg: int, lon: float, lat: float) -> GeoBox:
    """32 x 32 pixels whose upper left corner is the pixel corner nearest to a place."""
    transformer = pyproj.Transformer.from_crs(4326, epsg, always_xy=True)
    x, y = transformer.transform(lon, lat)
    return square(epsg, round(x / 10) * 10, round(y / 10) * 10)


@pytest.mark.parametrize("step", [(320, 0), (0, 320), (-320, 0), (320, 320), (5000, 0)])
def test_touching_cubes_do_not_overlap(step):
    a = square(32639, 540000, 3950000)
    b = square(32639, 540000 + step[0], 3950000 + step[1])
    assert splits.find_overlap(["a", "b"], [a, b]) is None


@pytest.mark.parametrize("step", [(310, 0), (0, 310), (310, -310), (-310, 310)])
def test_one_shared_pixel_is_found(step):
    a = square(32639, 540000, 3950000)
    apart = square(32639, 550000, 3950000)
    b = square(32639, 540000 + step[0], 3950000 + step[1])
    first, second, area = splits.find_overlap(["a", "x", "b"], [a, apart, b])
    assert (first, second) == ("a", "b")
    # One row of 32 pixels of 100 m2, or a single corner pixel.
    assert area == pytest.approx(3200 if 0 in step else 100, rel=0.01)


def test_neighbouring_tiles_do_not_overlap():
    at = [(c, r) for c in (400, 401) for r in (3000, 3001, 3002)]
    boxes = [grid.tile_geobox(32639, *a) for a in at]
    assert splits.find_overlap([str(a) for a in at], boxes) is None
    found = splits.find_overlap([*map(str, at), "again"], [*boxes, boxes[4]])
    assert found[:2] == ("(401, 3001)", "again")
    assert found[2] == pytest.approx(1280**2, rel=1e-4)


def test_both_sides_of_a_zone_border_are_one_place():
    # 6 degrees east, 50.5 north: at this latitude 0.001 degrees of longitude are 71 m, so grids
    # of 320 m that begin 0.002 degrees apart share a strip of about 178 m.
    west, east = near(32631, 5.999, 50.5), near(32632, 6.001, 50.5)
    first, second, area = splits.find_overlap(["west", "east"], [west, east])
    assert (first, second) == ("west", "east")
    assert 120 * 250 < area < 200 * 320
    # 0.005 degrees are 355 m, more than a side even turned by the 4.6 degrees between the norths.
    apart = near(32632, 6.006, 50.5)
    assert splits.find_overlap(["west", "apart"], [west, apart]) is None


@pytest.mark.parametrize(("metres", "found"), [(-5, False), (5, False), (20, True)])
def test_less_than_a_pixel_across_zones_is_forgiven(metres, found):
    # In zone 32 the grid of zone 31 is turned by 4.6 degrees, so its easternmost point is a corner.
    # A grid of zone 32 begins so many metres west of that corner.
    west = near(32631, 5.999, 50.5)
    _, south, edge, north = west.extent.to_crs("EPSG:32632").boundingbox
    east = square(32632, edge - metres, (south + north) / 2 + 160)
    assert (splits.find_overlap(["west", "east"], [west, east]) is not None) is found


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("zone", [32601, 32609, 32630, 32638, 32640, 32660, 32739])
def test_far_zones_share_nothing(zone):
    # One and the same column and row in another zone is another place.
    boxes = [grid.tile_geobox(32639, 400, 300), grid.tile_geobox(zone, 400, 300)]
    assert splits.find_overlap(["here", "far"], boxes) is None
