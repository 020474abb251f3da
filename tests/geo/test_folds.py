"""How ground is divided: squares, units dealt out evenly, and maps of folds as text."""

import base64
import itertools
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cropmap_jax.geo import folds


def test_two_folds_of_squares_are_a_checkerboard():
    found = folds.squares((5, 7), 2, 2)
    expected = [
        [0, 0, 1, 1, 0, 0, 1],
        [0, 0, 1, 1, 0, 0, 1],
        [1, 1, 0, 0, 1, 1, 0],
        [1, 1, 0, 0, 1, 1, 0],
        [0, 0, 1, 1, 0, 0, 1],
    ]
    assert found.dtype == np.uint8 and found.tolist() == expected


@pytest.mark.parametrize("count", [2, 3, 4, 5, 7, 100])
def test_squares_that_share_a_side_are_of_different_folds(count):
    found = folds.squares((30, 40), 1, count)
    assert (found[1:] != found[:-1]).all() and (found[:, 1:] != found[:, :-1]).all()
    if count > 3:
        assert (found[1:, 1:] != found[:-1, :-1]).all() and (found[1:, :-1] != found[:-1, 1:]).all()
    assert set(folds.squares((200, 200), 1, count).ravel()) == set(range(count))


@given(
    pixels=arrays.arrays(
        np.int64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(0, 50)
    ),
    count=st.integers(2, 6),
)
def test_units_of_a_class_are_dealt_out_evenly(pixels, count):
    found = folds.deal(pixels, count)
    assert found.shape == (len(pixels),) and found.max() < count
    kind = pixels.argmax(1)
    for one in np.unique(kind):
        held = np.bincount(found[kind == one], minlength=count)
        assert held.max() - held.min() <= 1
    np.testing.assert_array_equal(found, folds.deal(pixels, count))


def test_large_and_small_units_are_balanced():
    # 9 and 1 together hold as much as 6 and 4.
    found = folds.deal(np.array([[9], [6], [4], [1]]), 2)
    assert found[0] == found[3] != found[1] == found[2]
    # A fold that got more of one class gets less of the next.
    found = folds.deal(np.array([[7, 0], [0, 5], [0, 5], [0, 2]]), 2)
    assert np.bincount(found, [7, 5, 5, 2]).tolist() in ([12, 7], [7, 12])


def test_a_map_of_folds_comes_back():
    found = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (7, 5))
    again = folds.decode(folds.encode(found), (7, 5), 3, "x")
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("!", "expected a map of folds"),
        ("AAAA", "expected a map of folds"),
        (folds.encode(np.zeros((5, 7))), None),
        (folds.encode(np.zeros((5, 6))), "expected 35 pixels of folds 0 to 2"),
        (folds.encode(np.full((5, 7), 3)), "expected 35 pixels of folds 0 to 2"),
        (base64.b64encode(zlib.compress(bytes(10**7))).decode(), "expected 35 pixels"),
    ],
)
def test_another_text_is_refused(text, says):
    if says is None:
        folds.decode(text, (5, 7), 3, "x")
        return
    with pytest.raises(ValueError, match=f"x: {says}"):
        folds.decode(text, (5, 7), 3, "x")


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ((1, "field"), "--folds: expected 2 to 100, found 1"),
        ((101, "field"), "--folds: expected 2 to 100, found 101"),
        ((2, "fields"), "--by: expected field, block, checkerboard, found 'fields'"),
        ((2, "checkerboard"), "--side: expected the side .* found none"),
        ((2, "block", 20), "--side: expected none with --by block, found 20"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule, says):
    with pytest.raises(ValueError, match=says):
        folds.Rule(*rule)


def test_a_rule_reads_as_its_flags():
    rules = (folds.Rule(5, "field"), folds.Rule(2, "checkerboard", 20))
    assert [str(rule) for rule in rules] == [
        "--folds 5 --by field",
        "--folds 2 --by checkerboard --side 20",
    ]
    assert len({str(rule) for rule in itertools.chain(rules, rules)}) == 2
