"""Chips: what is cut lies where it was, and every pixel is covered."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropmap_jax.data import chips


@pytest.mark.parametrize(
    ("length", "size", "overlap", "expected"),
    [
        (128, 64, 0, [0, 64]),
        (100, 64, 0, [0, 64]),  # the second runs over the edge
        (100, 64, 16, [0, 36]),  # the second is pulled back: 100 - 64
        (128, 64, 16, [0, 48, 64]),
        (40, 64, 16, [0]),
        (64, 64, 63, [0]),
        (66, 64, 63, [0, 1, 2]),
    ],
)
def test_origins_by_hand(length, size, overlap, expected):
    assert chips.chip_origins(length, size, overlap) == expected


@pytest.mark.parametrize("wrong", [(0, 4, 0), (4, 0, 0), (4, 4, 4), (4, 4, -1)])
def test_origins_refuse(wrong):
    found = "length {}, size {}, overlap {}".format(*wrong)
    with pytest.raises(ValueError, match=f"chips: expected .*overlap < size, found {found}"):
        chips.chip_origins(*wrong)


lengths, sizes = st.integers(1, 90), st.integers(1, 40)


@given(lengths, sizes, st.data())
def test_origins_cover_without_waste(length, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    origins = chips.chip_origins(length, size, overlap)
    count = np.zeros(length, int)
    for start in origins:
        count[start : start + size] += 1
    assert (count > 0).all()
    assert origins == sorted(set(origins))
    if overlap == 0:
        assert (count == 1).all()
    elif length >= size:
        assert all(0 <= start <= length - size for start in origins)
        gaps = np.diff(origins)
        assert (gaps[:-1] == size - overlap).all() and (gaps <= size - overlap).all()


@given(lengths, lengths, sizes, st.data())
def test_what_was_cut_lies_where_it_was_and_nothing_is_lost(height, width, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    whole = np.arange(height * width * 2).reshape(height, width, 2).astype(np.float32)
    found = np.full((height + size, width + size, 2), np.nan, np.float32)
    for row in chips.chip_origins(height, size, overlap):
        for col in chips.chip_origins(width, size, overlap):
            chip = chips.cut(whole, row, col, size, fill=np.nan)
            assert chip.shape == (size, size, 2)
            found[row : row + size, col : col + size] = chip
    np.testing.assert_array_equal(found[:height, :width], whole)
    assert np.isnan(found[height:]).all() and np.isnan(found[:, width:]).all()


def test_cut_pads_below_and_to_the_right_only():
    array = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(
        chips.cut(array, 1, 1, 3, fill=-9), [[4, 5, -9], [-9, -9, -9], [-9, -9, -9]]
    )


def test_cut_takes_the_spatial_axes_it_is_told():
    cube = np.arange(2 * 4 * 5 * 3).reshape(2, 4, 5, 3)
    np.testing.assert_array_equal(chips.cut(cube, 1, 2, 3, 0, axis=1), cube[:, 1:4, 2:5])
    assert chips.cut(cube, 3, 3, 3, 0, axis=1).shape == (2, 3, 3, 3)
