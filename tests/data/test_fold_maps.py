"""No pixel, no field and no place is in two folds, whatever the rule, the cubes and their seasons.

Cubes here lie on a grid of 2 x 2 that touch, in one or two seasons. Fields are drawn on the whole
ground, so they cross cubes, squares and blocks.
"""

import dataclasses

import making
import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from cropmap_jax.data import fold_maps
from cropmap_jax.geo import folds, splits
from cropmap_jax.geo.folds import UNUSED, Rule
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

SIDE = 12
"""Of a cube in pixels."""
CORNERS = [(0, 0), (0, SIDE), (SIDE, 0), (SIDE, SIDE)]


def ground(rng, given_ids: bool, blob: int):
    """Label and fields of the whole ground: rectangles over unknown and none-of-these."""
    label = np.where(rng.random((2 * SIDE, 2 * SIDE)) < 0.2, NONE_OF_THESE, IGNORE).astype(np.uint8)
    if blob:
        label[:, : blob * 4] = NONE_OF_THESE  # more than a fold's share of such ground
    fields = np.zeros(label.shape, np.uint32)
    for number in range(1, 12):
        row, col = rng.integers(0, 2 * SIDE - 2, 2)
        height, width = rng.integers(1, 9, 2)
        here = slice(row, row + height), slice(col, col + width)
        label[here] = rng.choice([0, 1, 2, NONE_OF_THESE])
        fields[here] = number
    return label, fields if given_ids else np.zeros_like(fields)


def cubes_of(grounds, given_ids, blocks=4):
    """Infos of four cubes per season, and what reads them."""
    base = making.make_cube(size=SIDE).info
    a = base.geobox.affine
    infos, annotation = [], []
    for season, (label, fields) in enumerate(grounds):
        for i, (row, col) in enumerate(CORNERS):
            affine = a @ Affine.translation(col, row)
            infos.append(
                dataclasses.replace(
                    base,
                    cube_id=f"s{season}-{i}",
                    geobox=GeoBox((SIDE, SIDE), affine, base.geobox.crs),
                    season=str(season),
                    block=f"block{i % blocks}",
                    has_fields=given_ids,
                )
            )
            own = slice(row, row + SIDE), slice(col, col + SIDE)
            annotation.append((label[own], fields[own]))

    def read(number):
        label, fields = annotation[number]
        if not given_ids:
            fields = splits.connected_fields(label)
        return label, fields

    return infos, read


def whole(maps, season):
    """The maps of a season's four cubes as one, uint8 [2 SIDE, 2 SIDE]."""
    out = np.zeros((2 * SIDE, 2 * SIDE), np.uint8)
    for (row, col), text in zip(CORNERS, maps[4 * season :], strict=False):
        own = slice(row, row + SIDE), slice(col, col + SIDE)
        out[own] = folds.decode(text, (SIDE, SIDE), 100, "here")
    return out


_EVERY = [Rule(count, by) for by in ("field", "block") for count in (2, 3)]
_EVERY += [Rule(count, "checkerboard", side) for count, side in ((2, 5), (3, 3), (5, 4))]
RULES = st.sampled_from(_EVERY)


@settings(max_examples=60, deadline=None)
@given(RULES, st.integers(0, 10**6), st.booleans(), st.integers(1, 2), st.integers(0, 3))
def test_no_pixel_no_field_and_no_place_is_in_two_folds(rule, seed, given_ids, seasons, blob):
    rng = np.random.default_rng(seed)
    grounds = [ground(rng, given_ids, blob) for _ in range(seasons)]
    infos, read = cubes_of(grounds, given_ids)
    try:
        maps = fold_maps.fold_maps(rule, infos, read)
    except ValueError as error:
        # Two seasons of large fields may make one field of all.
        assert "expected at least" in str(error) or "found none in fold" in str(error)
        return
    assert maps == fold_maps.fold_maps(rule, infos, read)
    placed = np.full((2 * SIDE, 2 * SIDE), UNUSED)
    for season, (label, fields) in enumerate(grounds):
        found = whole(maps, season)
        assert (found[label == IGNORE] == UNUSED).all()
        used = found != UNUSED
        assert (found[used] < rule.count).all()
        # Without fields that were given, and if fields are dealt out whole, nothing is lost.
        if rule.by == "field" or not given_ids:
            assert used[label != IGNORE].all()
        for number in np.unique(fields[fields > 0]):
            own = (fields == number) & (label != IGNORE)
            parts = np.unique(found[own & used])
            assert len(parts) <= 1, f"field {number} is in folds {parts}"
        # What is known of a place in another season is in the same fold.
        both = used & (placed != UNUSED)
        assert (placed[both] == found[both]).all()
        placed[used] = found[used]
        if rule.by == "field" and not given_ids:
            parts = splits.connected_fields(label)
            for number in range(1, int(parts.max()) + 1):
                assert len(np.unique(found[parts == number])) == 1
        if not given_ids:
            cut = fold_maps.cut_components(label, found)
            for number in np.unique(cut[cut > 0]):
                assert len(np.unique(found[cut == number])) == 1


def test_a_field_stays_where_most_of_it_lies():
    label = np.full((2 * SIDE, 2 * SIDE), NONE_OF_THESE, np.uint8)
    fields = np.zeros(label.shape, np.uint32)
    label[3:5, 2:7], fields[3:5, 2:7] = 0, 7  # six pixels in the first square, four in the next
    infos, read = cubes_of([(label, fields)], True)
    found = whole(fold_maps.fold_maps(Rule(2, "checkerboard", 5), infos, read), 0)
    assert (found[3:5, 2:5] == 0).all() and (found[3:5, 5:7] == UNUSED).all()
    assert (np.delete(found[0], 0) != UNUSED).all()
    # A map without fields: squares alone decide, from the corner of each cube.
    infos, read = cubes_of([(label, fields)], False)
    found = whole(fold_maps.fold_maps(Rule(2, "checkerboard", 5), infos, read), 0)
    np.testing.assert_array_equal(found, np.tile(folds.squares((SIDE, SIDE), 5, 2), (2, 2)))


def test_open_ground_goes_with_the_nearest_field():
    label = np.full((2 * SIDE, 2 * SIDE), NONE_OF_THESE, np.uint8)
    fields = np.zeros(label.shape, np.uint32)
    label[:, 2], fields[:, 2] = 0, 1
    label[:, 9], fields[:, 9] = 0, 2
    infos, read = cubes_of([(label, fields)], True)
    maps = fold_maps.fold_maps(Rule(2, "field"), infos[:1], read)
    found = folds.decode(maps[0], (SIDE, SIDE), 2, "x")
    left, right = found[0, 2], found[0, 9]
    assert left != right
    assert (found[:, :6] == left).all() and (found[:, 6:] == right).all()


def test_small_patches_of_none_of_these_are_dealt_out_whole():
    label = np.full((2 * SIDE, 2 * SIDE), IGNORE, np.uint8)
    label[:2, ::3] = NONE_OF_THESE
    label[6, 0], label[6, 6] = 0, 0
    infos, read = cubes_of([(label, np.zeros(label.shape, np.uint32))], True)
    found = whole(fold_maps.fold_maps(Rule(2, "field"), infos, read), 0)
    assert (found[0] == found[1]).all()
    assert np.bincount(found[0, ::3]).tolist() == [4, 4] and found[6, 0] != found[6, 6]


def test_rules_that_do_not_suit_are_refused():
    label = np.full((2 * SIDE, 2 * SIDE), IGNORE, np.uint8)
    label[:2, :2] = 0
    infos, read = cubes_of([(label, np.zeros(label.shape, np.uint32))], False)
    with pytest.raises(
        ValueError, match="--folds 2 --by field: expected at least 2 fields, found 1"
    ):
        fold_maps.fold_maps(Rule(2, "field"), infos, read)
    with pytest.raises(ValueError, match="at least 2 blocks with annotated pixels, found 1"):
        fold_maps.fold_maps(Rule(2, "block"), infos, read)
    with pytest.raises(
        ValueError, match="found none in fold 1; expected fewer --folds or a smaller"
    ):
        fold_maps.fold_maps(Rule(2, "checkerboard", 12), infos, read)


def test_seasons_on_other_grids_are_refused():
    base = making.make_cube(size=SIDE).info
    moved = base.geobox.affine @ Affine.translation(3, 0)
    other = dataclasses.replace(
        base, cube_id="other", season="later", geobox=GeoBox((SIDE, SIDE), moved, base.geobox.crs)
    )
    # 9 x 12 pixels, less a centimetre on each side.
    with pytest.raises(
        ValueError, match="cubes cube and other of different seasons share 10796 m²"
    ):
        fold_maps.fold_maps(Rule(2, "block"), [base, other], lambda number: None)
