"""Cutting ground and weighing chips: the same however the ground comes in cubes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropmap_jax.inference.tiling import Box, Tiling, bounds

TILE = 128


def make(boxes, part_px=TILE, halo_px=16) -> Tiling:
    return Tiling(boxes, halo_px, part_px)


def tiles(*places) -> list[Box]:
    """Boxes of tiles by row and column."""
    return [Box(r * TILE, c * TILE, (r + 1) * TILE, (c + 1) * TILE) for r, c in places]


def shares(tiling: Tiling, box: Box) -> np.ndarray:
    """[parts, H, W] what each part's chip contributes; adds up to 1."""
    weights = np.stack([tiling.weights(part, box) for part in tiling.covering(box)])
    assert (weights.sum(0) > 0).all()
    return weights / weights.sum(0)


def test_boxes_by_hand():
    box = Box(2, 3, 5, 9)
    assert box.shape == (3, 6)
    assert box.grow(1) == (1, 2, 6, 10)
    assert box.shift(-2, 1) == (0, 4, 3, 10)
    assert box.common(Box(4, 0, 9, 5)) == (4, 3, 5, 5)
    assert box.common(Box(5, 3, 9, 9)) is None  # only touches
    assert Box(3, 4, 4, 6).inside(box) == (slice(1, 2), slice(1, 3))
    assert bounds([box, Box(0, 8, 1, 12)]) == (0, 3, 5, 12)


@pytest.mark.parametrize(
    ("length", "edges"),
    [
        (100, [100]),
        (128, [128]),
        (130, [65, 130]),  # not 128 and 2
        (384, [128, 256, 384]),
        (520, [104, 208, 312, 416, 520]),
        (257, [86, 172, 258]),  # three of 85 and two thirds
    ],
)
def test_parts_are_equal_and_tiles_on_the_tile_grid(length, edges):
    tiling = make([Box(0, 0, 10, length)])
    assert [tiling.cell(part).right for part in tiling.parts(tiling.boxes[0])] == edges


def test_chips_of_three_by_three_tiles():
    tiling = make(tiles(*((r, c) for r in range(3) for c in range(3))))
    assert tiling.chip((1, 1)) == (112, 112, 272, 272)
    # What the edge cuts off at the top and left is added below and to the right.
    assert tiling.chip((0, 0)) == (0, 0, 160, 160)
    assert tiling.chip((2, 1)) == (224, 112, 384, 272)
    assert {tiling.chip(part).shape for part in tiling.parts(Box(0, 0, 384, 384))} == {(160, 160)}


def test_chips_end_where_pixels_end():
    assert make(tiles((0, 0))).chip((0, 0)) == (0, 0, 128, 128)
    # Two tiles that touch at a corner: the chip of each reaches into the other.
    corner = make(tiles((0, 0), (1, 1)))
    assert corner.chip((0, 0)) == (0, 0, 160, 160)
    assert corner.parts(Box(0, 0, 256, 256)) == [(0, 0), (1, 1)]
    # A strip of five pixels next door is all that there is to add.
    narrow = make([Box(0, 0, 128, 123), Box(0, 123, 128, 128)])
    assert narrow.parts(Box(0, 0, 128, 128)) == [(0, 0)]
    assert narrow.chip((0, 0)) == (0, 0, 128, 128)


def test_a_tiling_does_not_know_how_its_ground_is_divided():
    whole = make([Box(0, 0, 256, 384)])
    strips = make([Box(0, 0, 256, 50), Box(0, 50, 101, 384), Box(101, 50, 256, 384)])
    square = make(tiles(*((r, c) for r in range(2) for c in range(3))))
    box = Box(0, 0, 256, 384)
    for other in (strips, square):
        assert other.parts(box) == whole.parts(box)
        assert [other.chip(p) for p in other.parts(box)] == [
            whole.chip(p) for p in whole.parts(box)
        ]
    assert strips.cubes(Box(90, 40, 110, 60)) == [0, 1, 2]
    assert strips.cubes(Box(90, 60, 100, 70)) == [1]


def test_weights_across_a_border_by_hand():
    tiling = make([Box(0, 0, 128, 256)], halo_px=16)
    row = tiling.weights((0, 0), Box(64, 108, 65, 148))[0]
    # Pixel 112 is the first of 32 across the border at 128; its centre lies half a pixel in.
    assert row[:4].tolist() == [1, 1, 1, 1]
    np.testing.assert_allclose(row[4:36], 1 - (np.arange(32) + 0.5) / 32)
    assert row[36:].tolist() == [0, 0, 0, 0]
    other = tiling.weights((0, 1), Box(64, 108, 65, 148))[0]
    np.testing.assert_allclose(row + other, 1)


def test_without_a_halo_parts_do_not_overlap_and_count_alone():
    tiling = make([Box(0, 0, 128, 200)], halo_px=0)
    left, right = Box(0, 0, 128, 100), Box(0, 100, 128, 200)
    assert [tiling.chip(part) for part in tiling.parts(tiling.boxes[0])] == [left, right]
    assert tiling.covering(left) == [(0, 0)] and tiling.covering(right) == [(0, 1)]
    row = tiling.weights((0, 0), Box(64, 98, 65, 102))[0]
    assert row.tolist() == [1, 1, 0, 0]
    # What an edge cuts off is not made up for elsewhere: nothing beyond the part needs to be seen.
    assert make([Box(0, 0, 5, 257)], halo_px=0).chip((0, 2)) == (0, 172, 5, 257)


def test_shares_change_by_one_part_in_32_from_pixel_to_pixel():
    tiling = make(tiles(*((r, c) for r in range(3) for c in range(3))))
    found = shares(tiling, tiling.boxes[4])
    assert len(found) == 9
    for axis in (1, 2):
        assert np.abs(np.diff(found, axis=axis)).max() == pytest.approx(1 / 32)


@given(
    places=st.sets(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1),
    halo=st.integers(0, 20),
)
def test_every_pixel_is_covered_and_no_chip_starts_or_ends_with_a_jump(places, halo):
    anchored = sorted({(r - min(places)[0], c - min(p[1] for p in places)) for r, c in places})
    tiling = make([Box(40 * r, 40 * c, 40 * r + 40, 40 * c + 40) for r, c in anchored], 40, halo)
    whole = bounds(tiling.boxes)
    height, width = whole.shape
    total = {part: np.zeros((height, width)) for part in tiling.parts(whole)}
    known = np.zeros((height, width), bool)
    for box in tiling.boxes:
        here = box.inside(whole)
        known[here] = True
        for part, share in zip(tiling.covering(box), shares(tiling, box), strict=True):
            assert box.common(tiling.chip(part))
            total[part][here] = share
    for part, share in total.items():
        # All of the chip's weight lies where the chip has a prediction.
        outside = np.ones((height, width), bool)
        outside[tiling.chip(part).inside(whole)] = False
        assert share[outside].max(initial=0) == 0
        # Alone, one weight falls by 1 / (2 halo) a pixel. Where neighbours are absent it is divided
        # by the weights that are there: at least a quarter, in the corner of the only part.
        for axis in (0, 1):
            step = np.abs(np.diff(share, axis=axis))
            both = np.logical_and(*(np.take(known, i, axis) for i in _pairs(known.shape[axis])))
            assert step[both].max(initial=0) <= (4 / (2 * halo) + 1e-9 if halo else 1)


def _pairs(length: int):
    return range(length - 1), range(1, length)
