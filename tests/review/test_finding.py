"""What looks wrong of a field: its label, its outline, its season; on fields that are known."""

import numpy as np
import pytest

from cropmap_jax.geo.legend import NONE_OF_THESE
from cropmap_jax.review import mislabelled, outlines, pieces, reviewed, seasons, visits
from cropmap_jax.review.patches import Patch
from cropmap_jax.review.pieces import Piece


def field(label, probability, number=0):
    """A field of one pixel."""
    values = np.asarray(probability, np.float32).reshape(1, 1, -1)
    piece = Piece(0, number + 1, label, 0, 0, 0, np.ones((1, 1), bool), values)
    whole = np.asarray(probability, float)
    return reviewed.Field(number, (piece,), label, 1, whole, whole)


def test_a_label_is_suspect_where_another_class_is_four_times_as_probable():
    fields = [
        field(0, (0.9, 0.05, 0.05)),
        field(1, (0.7, 0.17, 0.13)),  # 4.1 times
        field(1, (0.7, 0.18, 0.12)),  # 3.9 times
        field(2, (0.5, 0.5, 0.0)),
    ]
    found = mislabelled.find(fields)
    np.testing.assert_array_equal(found.suspect, [False, True, False, True])
    np.testing.assert_array_equal(found.suggested, [1, 0, 0, 0])
    np.testing.assert_allclose(found.odds[:3], [0.05 / 0.9, 0.7 / 0.17, 0.7 / 0.18])
    assert np.isfinite(found.odds).all()
    # The probabilities of fields stay as they were.
    np.testing.assert_allclose(fields[0].geometric, (0.9, 0.05, 0.05))


def ground(noise=0.1):
    """float32 [24, 24, 5]: one field of 8 x 8 in the middle of others."""
    values = np.random.default_rng(0).normal(0, noise, (24, 24, 5)).astype(np.float32)
    values[8:16, 8:16] += 1.0
    return values


@pytest.mark.parametrize("rows, cols", [(2, 0), (0, -2), (-2, 2), (1, -1)])
def test_an_outline_that_was_moved_is_put_back(rows, cols):
    own = np.zeros((24, 24), bool)
    own[8 + rows : 16 + rows, 8 + cols : 16 + cols] = True
    found = outlines.judge(ground(), own, np.full(5, 0.1))
    assert (found.rows, found.cols) == (-rows, -cols) and found.gain > outlines.LIMIT


def test_an_outline_in_its_place_and_one_within_even_ground_are_left_alone():
    own = np.zeros((24, 24), bool)
    own[8:16, 8:16] = True
    assert outlines.judge(ground(), own, np.full(5, 0.1)).gain < outlines.LIMIT
    # Drawn well inside of a field, what it gains is as even as what it gives up.
    inner = np.zeros((24, 24), bool)
    inner[10:14, 10:14] = True
    assert outlines.judge(ground(), inner, np.full(5, 0.1)).gain < outlines.LIMIT
    # Nothing to compare with.
    assert outlines.judge(ground(), own, np.zeros(0)) == outlines.Shift(0.0, 0, 0)
    assert outlines.judge(np.full((24, 24, 5), np.nan), own, np.ones(5)).gain == 0


def test_where_most_fields_are_uneven_the_limit_is_higher():
    assert outlines.limit([]) == outlines.limit([0.0] * 99 + [5.0]) == outlines.LIMIT
    uneven = np.linspace(0, 1, 101)  # median 0.5, median absolute deviation 0.25
    assert outlines.limit(uneven) == pytest.approx(0.5 + 3 * 1.4826 * 0.25)


def test_spread_is_that_within_fields_and_never_zero():
    own = np.ones((8, 8), bool)
    values = ground(0.1)[8:16, 8:16]
    values[..., 0] = 3.0  # a band that never varies says nothing
    found = outlines.spread([(values, own), (values, np.zeros((8, 8), bool))])
    assert np.isinf(found[0]) and np.all((found[1:] > 0.05) & (found[1:] < 0.2))


def patch(curve):
    """NDVI of a field of 2 x 2 pixels, month by month from day 100 on."""
    greenness = np.broadcast_to(np.asarray(curve, np.float32)[:, None, None], (len(curve), 2, 2))
    starts = 100 + 30 * np.arange(len(curve))
    return Patch({}, greenness, np.stack([starts, starts + 30], 1))


@pytest.mark.parametrize(
    "curve, outside",
    [
        ((0.2, 0.3, 0.8, 0.3, 0.2), 0),  # greenest on day 175, between planting and harvest
        ((0.2, 0.2, 0.2, 0.3, 0.9), 35 - 20),  # on day 235
        ((0.5, 0.5, 0.5, 0.5, 0.6), 0),  # evergreen
        ((np.nan,) * 5, 0),
    ],
)
def test_a_field_that_is_green_after_harvest_is_out_of_season(curve, outside):
    slack = seasons.SLACK_DAYS
    found = seasons.judge(patch(curve), np.ones((2, 2), bool), 120, 220 - slack)
    assert found.outside == outside
    assert seasons.judge(patch(curve), np.ones((2, 2), bool), 0, 0).outside == 0


def test_a_visit_goes_to_the_unsure_the_large_and_those_whose_time_is_near():
    probability = np.array([[0.98, 0.01, 0.01], [0.34, 0.33, 0.33], [0.34, 0.33, 0.33]])
    far = np.array([[0, 0], [1e5, 0], [2e5, 0]], float)
    hectares, days = np.array([1.0, 1.0, 1.0]), np.array([60.0, 60.0, 20.0])
    both = visits.Candidates(probability, hectares, days, far)
    assert visits.choose(both, 1).tolist() == [2]
    larger = visits.Candidates(probability, np.array([1, 9, 1.0]), days, far)
    assert visits.choose(larger, 2).tolist() == [1, 2]
    assert sorted(visits.choose(both, 9)) == [0, 1, 2]


def test_the_next_visit_is_not_next_door_with_the_same_question():
    probability = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.55, 0.45]])
    places = np.array([[0, 0], [50, 0], [9000, 0]], float)
    found = visits.Candidates(probability, np.ones(3), np.full(3, np.nan), places)
    assert visits.choose(found, 2).tolist() == [0, 2]


def test_pieces_are_cut_with_what_is_around_them_and_come_back_from_their_file(tmp_path):
    label, fields = np.full((9, 9), 255, np.uint8), np.zeros((9, 9), np.uint32)
    label[0:2, 3:5], fields[0:2, 3:5] = 1, 7
    label[6, 6], fields[6, 6] = NONE_OF_THESE, 8
    shares = np.random.default_rng(0).random((9, 9, 3)).astype(np.float16).astype(np.float32)
    found = pieces.cut(4, 2, label, fields, shares, 2)
    assert [(p.field, p.label, p.top, p.left, p.own.shape) for p in found] == [
        (7, 1, 0, 1, (4, 6)),
        (8, NONE_OF_THESE, 4, 4, (5, 5)),
    ]
    np.testing.assert_array_equal(found[0].probability, shares[0:4, 1:7])
    assert found[0].own.sum() == 4 and found[0].own[0:2, 2:4].all()
    pieces.save(tmp_path / "a.npz", found, 2)
    for one, other in zip(found, pieces.load(tmp_path / "a.npz"), strict=True):
        np.testing.assert_array_equal(one.probability, other.probability)
        np.testing.assert_array_equal(one.own, other.own)
        assert (one.cube, one.fold, one.left) == (other.cube, other.fold, other.left)
    (tmp_path / "b.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"b\.npz: expected predictions"):
        pieces.load(tmp_path / "b.npz")
