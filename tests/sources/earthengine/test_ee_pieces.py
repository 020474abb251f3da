import dataclasses
import datetime as dt
import types

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import grid, periods
from cropmap_jax.sources.earthengine import pieces, service

TILE = grid.tile_geobox(32631, 412, 4000)
MONTHS = periods.month_periods(dt.date(2021, 10, 1), dt.date(2022, 9, 1))
GRAPHS = {"s1": "a" * 64, "s2": "b" * 64, "label": "c" * 64}


def target(geobox=TILE, months=MONTHS, cube_id="t"):
    return types.SimpleNamespace(cube_id=cube_id, geobox=geobox, periods=months)


def box(height, width):
    return GeoBox((height, width), Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0), 32631)


def piece(**changes):
    values = dict(cube_id="t", sensor="s2", first=0, last=0, row=0, col=0, height=128, width=128)
    return pieces.Piece(**{**values, "source": "x", **changes})


def test_a_tile_of_twelve_months_is_one_request_per_sensor():
    s1, s2, label = pieces.pieces_of(target(), GRAPHS)
    assert [p.sensor for p in (s1, s2, label)] == ["s1", "s2", "label"]
    # 128 x 128 pixels, 12 months, 2 and 10 bands of 2 bytes; a label has no months.
    assert (s1.nbytes, s2.nbytes, label.nbytes) == (786_432, 3_932_160, 32_768)
    assert s2.bands[:2] == ("p00_B2", "p00_B3") and s2.bands[-1] == "p11_B12"
    assert s1.bands[:3] == ("p00_VV", "p00_VH", "p01_VV") and len(s1.bands) == 24
    assert label.bands == ("label",) and list(label.periods) == [0]
    assert s2.window == (slice(0, 128), slice(0, 128))
    assert pieces.Limits().bytes < service.MAX_BYTES


def test_a_count_of_clear_observations_is_one_more_band_of_each_period_of_s2():
    plain, counted = (pieces.pieces_of(target(), GRAPHS, count=c) for c in (False, True))
    assert [p.count for p in counted] == [False, True, False]
    assert counted[1].bands[:12] == (*plain[1].bands[:10], "p00_clear", "p01_B2")
    assert len(counted[1].bands) == 12 * 11 and counted[1].nbytes == 128 * 128 * 132 * 2
    # What is asked for otherwise is not asked for again; what is asked for in S2 is another thing.
    assert counted[0].key == plain[0].key and counted[2].key == plain[2].key
    assert counted[1].key != plain[1].key
    halves = pieces.split(counted[1])
    assert halves[1].bands[0] == "p06_B2" and halves[1].bands[-1] == "p11_clear"
    # The limits see it: five periods of ten bands, but four of eleven.
    limits = pieces.Limits(bytes=10 * 10 * 2 * 50, bands=50)
    for count, most in ((False, 5), (True, 4)):
        cut = pieces.pieces_of(target(box(10, 10)), {"s2": "b"}, limits, count)
        assert max(len(p.periods) for p in cut) <= most
        assert max(p.nbytes for p in cut) <= limits.bytes
        assert len(cut) == 3


@pytest.mark.parametrize(
    "limits, expected",
    [
        # Five periods of 10 bands fit; three requests of four are as many as 5 + 5 + 2.
        (dict(bands=59), [(0, 3, 0, 0, 8, 6), (4, 7, 0, 0, 8, 6), (8, 11, 0, 0, 8, 6)]),
        # A period of 8 x 6 pixels is 960 bytes: all but one byte of two.
        (dict(bytes=12 * 960), [(0, 11, 0, 0, 8, 6)]),
        (dict(bytes=12 * 960 - 1), [(0, 5, 0, 0, 8, 6), (6, 11, 0, 0, 8, 6)]),
        # No period fits: the longer side is cut, and then each part holds one.
        (dict(bytes=959, bands=10), [(t, t, r, 0, 4, 6) for t in range(12) for r in (0, 4)]),
        (dict(side=6), [(0, 11, 0, 0, 4, 6), (0, 11, 4, 0, 4, 6)]),
    ],
)
def test_what_does_not_fit_is_cut_by_period_before_it_is_cut_in_space(limits, expected):
    found = pieces.pieces_of(target(box(8, 6)), {"s2": "b"}, pieces.Limits(**limits))
    assert [(p.first, p.last, p.row, p.col, p.height, p.width) for p in found] == expected


@given(st.data())
def test_pieces_cover_a_cube_exactly_once_whatever_the_limits_also_after_splits(data):
    side, count = st.integers(1, 90), st.integers(1, 14)
    height, width, months = data.draw(side), data.draw(side), data.draw(count)
    sensor = data.draw(st.sampled_from(pieces.SENSORS))
    limits = pieces.Limits(
        bytes=data.draw(st.integers(20, 100_000)),
        side=data.draw(st.integers(1, 100)),
        bands=data.draw(st.integers(10, 150)),
    )
    asked = target(box(height, width), MONTHS[:1] * months)
    todo, done = pieces.pieces_of(asked, {sensor: "g"}, limits), []
    for one in todo:
        assert one.nbytes <= limits.bytes and len(one.bands) <= limits.bands
        assert max(one.height, one.width) <= limits.side
    splits = data.draw(st.integers(0, 12))
    while todo:
        one = todo.pop()
        parts = pieces.split(one) if splits > 0 else None
        splits -= 1
        if parts is None:
            done.append(one)
        else:
            assert len(parts) > 1 and all(part.nbytes < one.nbytes for part in parts)
            todo += parts
    times = np.zeros((1 if sensor in pieces.MAPS else months, height, width), int)
    for one in done:
        times[one.periods.start : one.periods.stop, *one.window] += 1
    assert (times == 1).all()
    assert len({one.key for one in done}) == len(done)


def test_splitting_ends_and_no_side_falls_below_16_pixels_by_it():
    todo, smallest = [piece(last=11, height=128, width=100)], []
    while todo:
        one = todo.pop()
        parts = pieces.split(one)
        smallest += [one] if parts is None else []
        todo += parts or []
    # 128 / 8 = 16 rows; 100 columns in 4 parts of 25, since half of 25 is less than 16.
    assert {(len(p.periods), p.height, p.width) for p in smallest} == {(1, 16, 25)}
    assert len(smallest) == 12 * 8 * 4


def test_split_by_period_first_then_in_four_then_along_the_long_side():
    assert [(p.first, p.last) for p in pieces.split(piece(first=3, last=7))] == [(3, 4), (5, 7)]
    four = pieces.split(piece(first=3, last=3, row=8, col=4, height=33, width=32))
    assert [(p.row, p.col, p.height, p.width) for p in four] == [
        (8, 4, 16, 16),
        (8, 20, 16, 16),
        (24, 4, 17, 16),
        (24, 20, 17, 16),
    ]
    assert {(p.first, p.last) for p in four} == {(3, 3)}
    assert [(p.row, p.height) for p in pieces.split(piece(height=40, width=31))] == [
        (0, 20),
        (20, 20),
    ]
    assert pieces.split(piece(height=31, width=31)) is None


def test_a_key_changes_with_all_that_decides_the_pixels_and_with_nothing_else():
    def keys(asked, graphs=GRAPHS, limits=None):
        return [p.key for p in pieces.pieces_of(asked, graphs, limits)]

    same = keys(target())
    assert same == keys(target(geobox=grid.tile_geobox(32631, 412, 4000), months=list(MONTHS)))
    later = periods.month_periods(dt.date(2021, 11, 1), dt.date(2022, 10, 1))
    others = [
        keys(target(cube_id="u")),
        keys(target(geobox=grid.tile_geobox(32631, 412, 4001))),
        keys(target(geobox=grid.tile_geobox(32632, 412, 4000))),
        keys(target(months=later)),
        keys(target(), {name: digest[::-1] + "0" for name, digest in GRAPHS.items()}),
        keys(target(), limits=pieces.Limits(side=64)),
    ]
    assert all(set(same).isdisjoint(other) for other in others)
    for field in ("first", "last", "row", "col", "height", "width"):
        one = piece(first=1, last=2, row=3)
        assert dataclasses.replace(one, **{field: getattr(one, field) + 1}).key != one.key
    # A change to one sensor leaves what was fetched of the others as it is.
    assert keys(target(), {**GRAPHS, "s2": "d"})[::2] == same[::2]
    assert len(same[0]) == 64


def test_the_grid_of_a_piece_is_its_window_of_the_cubes_grid():
    found = pieces.grid_of(piece(row=16, col=32, height=48, width=64), TILE)
    x, y = TILE.affine.c, TILE.affine.f
    assert found == {
        "dimensions": {"width": 64, "height": 48},
        "affineTransform": {
            "scaleX": 10.0,
            "shearX": 0.0,
            "translateX": x + 320,
            "shearY": 0.0,
            "scaleY": -10.0,
            "translateY": y - 160,
        },
        "crsCode": "EPSG:32631",
    }


def test_the_grid_of_a_piece_follows_a_sheared_affine():
    sheared = GeoBox((8, 8), Affine(10.0, 1.0, 100.0, 2.0, -10.0, 200.0), 32631)
    found = pieces.grid_of(piece(row=3, col=5, height=2, width=2), sheared)["affineTransform"]
    # 100 + 10 * 5 + 1 * 3, 200 + 2 * 5 - 10 * 3
    assert (found["translateX"], found["translateY"]) == (153.0, 180.0)
    assert (found["shearX"], found["shearY"]) == (1.0, 2.0)


def test_what_cannot_be_cut_is_refused():
    own = GeoBox((8, 8), TILE.affine, "+proj=laea +lat_0=50 +lon_0=4 +datum=WGS84")
    with pytest.raises(ValueError, match="^t: expected a CRS with an EPSG code .*found"):
        pieces.grid_of(piece(), own)
    with pytest.raises(
        ValueError, match="^t: expected a sensor of s1, s2, label, landcover, found 's3'"
    ):
        pieces.pieces_of(target(), {"s3": "x"})
    for limits in (pieces.Limits(bytes=19), pieces.Limits(bands=9), pieces.Limits(side=0)):
        with pytest.raises(ValueError, match="^limits: expected at least 20 bytes, 10 bands"):
            pieces.pieces_of(target(), {"s2": "x"}, limits)
