"""Mended rings, areas on the ground, copies, and exactly the pixels whose centres are inside."""

import math

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import assume, given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from shapely import ops

from cropmap_jax.geo import grid
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.ground_truth import polygons

TILE = grid.tile_geobox(32639, 400, 3000)  # west edge 512000 m, north edge 3841280 m
WEST, NORTH = 512000.0, 3841280.0
SMALL = GeoBox((12, 16), TILE.affine, TILE.crs)

corners = st.tuples(st.integers(0, 40), st.integers(0, 40))
rings = st.lists(corners, min_size=3, max_size=9)


def pixels(row, col, height=1, width=1):
    """The rectangle of some pixels of the tile."""
    left, top = WEST + 10 * col, NORTH - 10 * row
    return shapely.box(left, top - 10 * height, left + 10 * width, top)


def centres(geobox):
    """x and y [H, W] of pixel centres, written out apart from the code under test."""
    a, (height, width) = geobox.affine, geobox.shape
    col, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return a.a * col + a.b * row + a.c, a.d * col + a.e * row + a.f


def star(rng, x, y, radius):
    """A polygon whose corners lie at random angles and distances around a place."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(5, 25)))
    distance = radius * rng.uniform(0.5, 1, len(angle))
    ring = np.column_stack([x + distance * np.cos(angle), y + distance * np.sin(angle)])
    return shapely.Polygon(ring)


# --- repair ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ring", "area", "change"),
    [
        # Two triangles of area 1 that meet in (1, 1); run in opposite directions, they had none.
        ([(0, 0), (2, 2), (2, 0), (0, 2)], 2, 1),
        # A square of 100 with a spike of no area.
        ([(0, 0), (10, 0), (10, 20), (10, 10), (0, 10)], 100, 0),
        # The square run round twice: its ring encloses 200.
        ([(0, 0), (10, 0), (10, 10), (0, 10)] * 2, 100, 0.5),
        # The ring crosses itself in (10, 10) and runs round a square of 1 the other way: 100 - 1.
        ([(0, 0), (10, 0), (10, 11), (11, 11), (11, 10), (0, 10)], 101, 2 / 101),
        # Valid, and so left alone.
        ([(0, 0), (10, 0), (10, 10), (0, 10)], 100, 0),
        # There and back again: nothing is left of nothing.
        ([(0, 0), (10, 0), (5, 0)], 0, 0),
    ],
)
def test_repair(ring, area, change):
    repaired, found = polygons.repair([shapely.Polygon(ring)])
    assert shapely.is_valid(repaired).all()
    assert repaired[0].area == pytest.approx(area)
    np.testing.assert_allclose(found, [change], atol=1e-12)


def test_repair_keeps_holes_and_drops_heights_and_nothing():
    hole = shapely.Polygon(
        [(0, 0, 7), (10, 0, 7), (10, 10, 7), (10, 15, 7), (10, 10, 7), (0, 10, 7)],
        [[(2, 2, 7), (4, 2, 7), (4, 4, 7), (2, 4, 7)]],
    )
    repaired, change = polygons.repair([hole, None, shapely.Polygon(), shapely.box(0, 0, 1, 1)])
    assert not shapely.has_z(repaired).any()
    np.testing.assert_allclose(shapely.area(repaired), [96, 0, 0, 1])
    assert shapely.is_empty(repaired).tolist() == [False, True, True, False]
    np.testing.assert_allclose(change, 0, atol=1e-12)


@given(st.lists(rings, min_size=1, max_size=4))
def test_repair_always_ends_in_valid_polygons(found):
    repaired, change = polygons.repair([shapely.Polygon(ring) for ring in found])
    assert shapely.is_valid(repaired).all()
    assert set(shapely.get_type_id(repaired)) <= {3, 6}
    assert ((change >= 0) & (change <= 1)).all()


# --- areas and coordinates ------------------------------------------------------------------------


def test_ground_area_by_hand():
    # At the equator a hundredth of a degree measures 6378137 * pi / 18000 = 1113.195 m eastwards
    # and, with the radius of the meridian there, 6335439.327 * pi / 18000 = 1105.743 m northwards.
    square = shapely.box(51, -0.005, 51.01, 0.005)
    hole = [(51, 0), (51.005, 0), (51.005, 0.005), (51, 0.005)]
    hectares = 1113.1949 * 1105.7428 / 1e4
    shapes = [
        square,
        shapely.Polygon(square.exterior.coords, [hole]),
        shapely.Polygon(square.exterior.coords, [hole[::-1]]),
        shapely.Polygon(square.exterior.coords[::-1], [hole]),
        shapely.multipolygons([square, shapely.box(52, -0.005, 52.01, 0.005)]),
        shapely.Point(51, 0),
        shapely.Polygon(),
    ]
    expected = np.array([1, 0.75, 0.75, 0.75, 2, 0, 0]) * hectares
    np.testing.assert_allclose(polygons.ground_area_ha(shapes), expected, rtol=1e-6)
    assert polygons.ground_area_ha([]).shape == (0,)


def test_ground_area_is_that_of_utm_over_its_scale():
    # On its central meridian UTM is 0.9996 of the ground.
    rng = np.random.default_rng(0)
    flat = np.array([star(rng, 500_000, y, 150) for y in range(3_000_000, 4_000_000, 100_000)])
    lonlat = polygons.project(flat, "EPSG:32639", "EPSG:4326")
    expected = shapely.area(flat) / 0.9996**2 / 1e4
    np.testing.assert_allclose(polygons.ground_area_ha(lonlat), expected, rtol=1e-5)


def test_project_is_x_before_y_and_flat():
    # x = 500000 m is the central meridian of zone 39, 51 degrees east; y = 0 the equator.
    solid = shapely.LineString([(500_000, 0, 9), (500_000, 10, 9)])
    line, none, empty = polygons.project([solid, None, shapely.Polygon()], "EPSG:32639", 4326)
    assert none is None and empty.is_empty and not line.has_z
    np.testing.assert_allclose(shapely.get_coordinates(line)[0], [51, 0], atol=1e-9)
    assert line.coords[1][1] > 0
    # EPSG:31468 has northing before easting; its false easting lies on 12 degrees east, and 5500 km
    # from the equator is 5500 / 10002 * 90 = 49.5 degrees north, if degrees were all of one length.
    (german,) = polygons.project([shapely.Point(4_500_000, 5_500_000)], "EPSG:31468", 4326)
    assert german.x == pytest.approx(12, abs=0.01) and german.y == pytest.approx(49.6, abs=0.2)


@given(st.floats(48, 54), st.floats(10, 60))
def test_project_there_and_back(lon, lat):
    shape = np.array([shapely.box(lon, lat, lon + 0.01, lat + 0.01)])
    flat = polygons.project(shape, "EPSG:4326", "EPSG:32639")
    back = polygons.project(flat, "EPSG:32639", "EPSG:4326")
    np.testing.assert_allclose(
        shapely.get_coordinates(back), shapely.get_coordinates(shape), atol=1e-9
    )


def test_project_refuses_what_is_no_crs():
    with pytest.raises(pyproj.exceptions.ProjError):
        polygons.project([shapely.Point(0, 0)], "EPSG:99999", 4326)


def test_disc():
    (round_,) = polygons.disc([shapely.Point(WEST, NORTH)], 15)
    assert round_.area == pytest.approx(math.pi * 15**2, rel=2e-3)
    assert round_.centroid.distance(shapely.Point(WEST, NORTH)) < 1e-6


# --- duplicates -----------------------------------------------------------------------------------


def test_duplicates_by_hand():
    square = shapely.box(0, 0, 100, 100)
    again = shapely.Polygon([(100, 100), (0, 100), (0, 0), (50, 0), (100, 0)])
    shapes = [
        square,
        again,  # another first vertex, another direction, one more vertex
        square,  # in another group
        shapely.box(1, 0, 101, 100),  # 99 / 101 = 0.98 in common
        shapely.box(5, 0, 105, 100),  # 95 / 105 = 0.90
        shapely.Polygon(),
        shapely.Polygon(),
        shapely.box(200, 0, 300, 100),
        shapely.multipolygons([shapely.box(200, 0, 250, 100), shapely.box(250, 0, 300, 100)]),
    ]
    groups = ["a", "a", "b", "a", "a", "a", "a", "a", "a"]
    shapes[8] = shapely.unary_union(shapes[8])
    assert polygons.duplicates(shapes, groups).tolist() == [-1, 0, -1, 0, -1, -1, -1, -1, 7]
    assert polygons.duplicates([], []).tolist() == []


def test_every_duplicate_has_an_original_that_stays():
    # Steps of 2 %: each has 0.96 in common with its neighbours, 0.92 with those two steps away.
    row = [shapely.box(2 * i, 0, 100 + 2 * i, 100) for i in range(5)]
    assert polygons.duplicates(row, ["a"] * 5).tolist() == [-1, 0, -1, 2, -1]
    # A copy of a duplicate points at the original.
    assert polygons.duplicates([row[0], row[1], row[1]], ["a"] * 3).tolist() == [-1, 0, 0]


def test_many_copies_of_one_polygon_are_no_trouble():
    found = polygons.duplicates([shapely.box(0, 0, 1, 1)] * 20_000, ["a"] * 20_000)
    assert found[0] == -1 and (found[1:] == 0).all()


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.booleans()), max_size=12))
def test_duplicates_against_every_pair(places):
    shapes = [shapely.box(x, y, x + 100, y + 100) for x, y, _ in places]
    groups = [str(group) for *_, group in places]
    expected: list[int] = []
    for j, shape in enumerate(shapes):
        found = -1
        for i in range(j):
            same = shapes[i].intersection(shape).area / shapes[i].union(shape).area >= 0.95
            if same and groups[i] == groups[j] and expected[i] < 0:
                found = i
                break
        expected.append(found)
    assert polygons.duplicates(shapes, groups).tolist() == expected


# --- pixels ---------------------------------------------------------------------------------------


def test_pixels_that_encode_their_own_place():
    height, width = SMALL.shape
    order = np.arange(height * width)
    shapes = [pixels(*divmod(i, width)) for i in order]
    found = polygons.rasterise(shapes, (order + 1).astype(np.uint32), SMALL)
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(found, 1 + order.reshape(height, width))


@given(st.lists(st.booleans(), min_size=48, max_size=48))
def test_a_union_of_pixels_comes_back(mask):
    box = GeoBox((6, 8), TILE.affine, TILE.crs)
    mask = np.array(mask).reshape(6, 8)
    shape = shapely.union_all([pixels(r, c) for r, c in np.argwhere(mask)])
    found = polygons.rasterise([shape], np.array([7], np.uint8), box)
    np.testing.assert_array_equal(found, np.where(mask, 7, 0))


@given(rings, st.sampled_from([0.0, 5.0, 12.5]))
def test_pixels_are_those_whose_centre_is_inside(ring, shrink):
    # Corners on a lattice of 4 m, so that centres on a border occur: they lie outside.
    shape = shapely.Polygon([(WEST + 4 * x, NORTH - 4 * y) for x, y in ring])
    assume(shape.is_valid)
    found = polygons.rasterise([shape], np.array([1], np.uint8), SMALL, shrink)
    inner = shape.buffer(-shrink, join_style="mitre") if shrink else shape
    x, y = centres(SMALL)
    expected = [inner.contains(p) for p in shapely.points(x.ravel(), y.ravel())]
    np.testing.assert_array_equal(found.ravel(), np.array(expected, np.uint8))


@given(rings, st.integers(0, 11), st.integers(0, 15))
def test_a_grid_in_pieces_is_the_grid(ring, row, col):
    shape = shapely.Polygon([(WEST - 20 + 5 * x, NORTH + 20 - 5 * y) for x, y in ring])
    assume(shape.is_valid)
    one = np.array([1], np.uint8)
    whole = polygons.rasterise([shape], one, SMALL)
    corner = Affine(10, 0, WEST + 10 * col, 0, -10, NORTH - 10 * row)
    part = GeoBox((12 - row, 16 - col), corner, TILE.crs)
    np.testing.assert_array_equal(polygons.rasterise([shape], one, part), whole[row:, col:])


def test_rotated_grids_and_other_units():
    turned = GeoBox((40, 30), Affine(8, 3, WEST, 3, -8, NORTH), TILE.crs)
    shape = star(np.random.default_rng(1), WEST + 150, NORTH - 80, 120)
    x, y = centres(turned)
    expected = shapely.contains_xy(shape, x, y)
    assert expected.sum() > 100
    found = polygons.rasterise([shape], np.array([1], np.uint8), turned)
    np.testing.assert_array_equal(found, expected)


def test_rasterised_area_is_without_bias():
    # Fields of 0.2 to 5 ha at any place in the pixel.
    rng = np.random.default_rng(2)
    known, found = [], []
    for _ in range(400):
        x, y = rng.uniform(300, 900, 2)
        shape = star(rng, WEST + x, NORTH - y, rng.uniform(40, 200))
        known.append(shape.area)
        found.append(100.0 * polygons.rasterise([shape], np.ones(1, np.uint8), TILE).sum())
    known, found = np.array(known), np.array(found)
    assert abs(found.sum() / known.sum() - 1) < 0.005
    small = known < np.median(known)
    assert abs(found[small].sum() / known[small].sum() - 1) < 0.02


def test_shrinking_takes_a_rim_off():
    # 10 x 6 pixels, and the centres of the outer ones lie on the border shrunk by half a pixel.
    shape, one = pixels(2, 3, 6, 10), np.array([1], np.uint8)
    assert polygons.rasterise([shape], one, SMALL).sum() == 60
    assert polygons.rasterise([shape], one, SMALL, 4.9).sum() == 60
    assert polygons.rasterise([shape], one, SMALL, 5.0).sum() == 8 * 4
    # A hole grows, and what is narrower than twice the rim is gone.
    hollow = shape.difference(pixels(4, 5, 2, 2))
    assert polygons.rasterise([hollow], one, SMALL, 4.9).sum() == 60 - 4
    assert polygons.rasterise([hollow], one, SMALL, 5.1).sum() == 8 * 4 - 16
    assert polygons.rasterise([pixels(2, 3, 1, 10)], one, SMALL, 5.0).sum() == 0


def test_the_first_polygon_wins_and_others_do_no_harm():
    shapes = [pixels(1, 1, 3, 3), pixels(0, 0, 8, 8), None, shapely.Polygon(), pixels(99, 99)]
    found = polygons.rasterise(shapes, np.array([0, 9, 5, 5, 5], np.uint32), SMALL)
    expected = np.zeros((12, 16))
    expected[:8, :8] = 9
    expected[1:4, 1:4] = 0
    np.testing.assert_array_equal(found, expected)
    assert not polygons.rasterise([], np.array([], np.uint8), SMALL).any()


@given(st.floats(0, 1), st.floats(0.1, 3), st.floats(0, 2 * math.pi))
def test_no_pixel_on_both_sides_of_a_border(start, slope, turn):
    middle = shapely.Point(WEST + 80 + start, NORTH - 60)
    square = pixels(-4, -4, 20, 24)
    east, north = 500 * math.cos(turn), 500 * math.sin(turn)
    ends = (middle.x - 500, middle.y - 500 * slope), (middle.x + east, middle.y + north)
    line = shapely.LineString([ends[0], middle.coords[0], ends[1]])
    halves = shapely.get_parts(ops.split(square, line))
    _, _, conflict = polygons.claims(
        halves, np.arange(len(halves), dtype=np.uint8), np.arange(1, 1 + len(halves)), SMALL, 0.0
    )
    assert not conflict.any()


def test_one_value_per_polygon_is_needed():
    with pytest.raises(ValueError, match=r"^values: expected shape \(1,\), found \(2,\)$"):
        polygons.rasterise([pixels(0, 0)], np.array([1, 2], np.uint8), SMALL)
    with pytest.raises(ValueError, match=r"^ids: expected shape"):
        polygons.claims([pixels(0, 0)], np.array([1], np.uint8), np.array([]), SMALL, 0.0)


# --- claims ---------------------------------------------------------------------------------------


def test_claims_by_hand():
    # 255 is unknown: neither a claim nor a doubt. 254 (none of these) is a claim like any other.
    shapes = [pixels(0, 0, 1, 4), pixels(0, 1, 1, 4), pixels(0, 2, 1, 4), pixels(0, 0, 1, 16),
              pixels(0, 8, 1, 2), pixels(0, 9, 1, 2)]  # fmt: skip
    classes = np.array([3, 3, 5, IGNORE, NONE_OF_THESE, 3], np.uint8)
    ids = np.array([11, 12, 13, 14, 15, 16], np.uint32)
    row = GeoBox((1, 12), TILE.affine, TILE.crs)
    label, fields, conflict = polygons.claims(shapes, classes, ids, row, 0.0)
    assert (label.dtype, fields.dtype, conflict.dtype) == (np.uint8, np.uint32, bool)
    n, u = NONE_OF_THESE, IGNORE
    assert label.tolist() == [[3, 3, u, u, u, 5, u, u, n, u, 3, u]]
    assert fields.tolist() == [[11, 11, 0, 0, 0, 13, 0, 0, 15, 0, 16, 0]]
    assert conflict.tolist() == [[False] * 2 + [True] * 3 + [False] * 4 + [True] + [False] * 2]


rectangles = st.tuples(
    st.integers(0, 9), st.integers(0, 9), st.integers(1, 8), st.integers(1, 8),
    st.sampled_from([0, 1, NONE_OF_THESE, IGNORE]),
)  # fmt: skip


@given(st.lists(rectangles, max_size=6), st.randoms(use_true_random=False))
def test_claims_pixel_by_pixel(found, shuffle):
    def claim(rows):
        classes = np.array([r[4] for r in rows], np.uint8)
        return polygons.claims([pixels(*r[:4]) for r in rows], classes, ids[: len(rows)], SMALL, 0)

    ids = np.arange(1, 7, dtype=np.uint32)
    label, fields, conflict = claim(found)
    for row in range(12):
        for col in range(16):
            over = [k for k, (r, c, h, w, kind) in enumerate(found)
                    if kind != IGNORE and r <= row < r + h and c <= col < c + w]  # fmt: skip
            kinds = {found[k][4] for k in over}
            known = len(kinds) == 1
            assert label[row, col] == (kinds.pop() if known else IGNORE)
            assert fields[row, col] == (over[0] + 1 if known else 0)
            assert conflict[row, col] == (len({found[k][4] for k in over}) > 1)
    mixed = list(found)
    shuffle.shuffle(mixed)
    again = claim(mixed)
    np.testing.assert_array_equal(again[0], label)
    np.testing.assert_array_equal(again[2], conflict)
