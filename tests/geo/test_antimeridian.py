"""Shapes across 180 degrees."""

import numpy as np
import pytest
import shapely

from cropmap_jax.geo import antimeridian

JUMPING = shapely.Polygon([(179.9, -16), (-179.8, -16), (-179.8, -15), (179.9, -15)])
WHOLE = shapely.box(179.9, -16, 180.2, -15)
HALVES = shapely.MultiPolygon(
    [shapely.box(179.9, -16, 180, -15), shapely.box(-180, -16, -179.8, -15)]
)


@pytest.mark.parametrize("shape", [JUMPING, HALVES])
def test_what_jumps_or_was_cut_becomes_whole(shape):
    found, far = antimeridian.unwrap([shape, shapely.box(5, 51, 6, 52)])
    assert found.geom_type == "Polygon" and far.equals(shapely.box(5, 51, 6, 52))
    assert found.symmetric_difference(WHOLE).area < 1e-9


@pytest.mark.parametrize(
    "ring",
    [
        [(0, 80), (120, 80), (-120, 80)],  # around the pole: it does not close
        [(-180, -90), (180, -90), (180, 90), (-180, 90)],  # the whole Earth
    ],
)
def test_a_ring_around_the_earth_is_none(ring):
    assert antimeridian.unwrap([shapely.Polygon(ring)])[0] is None
    assert antimeridian.unwrap([None])[0] is None


def test_a_shape_is_turned_to_where_its_middle_lies():
    boxes = [shapely.box(185, 0, 186, 1), shapely.box(-181, 0, -179.5, 1)]
    shapes = [boxes[0], WHOLE, boxes[1], shapely.Point(180, 1)]
    left = shapely.bounds(antimeridian.settle(shapes))[:, 0]
    np.testing.assert_allclose(left, [-175, -180.1, 179, -180])


@pytest.mark.parametrize("turn", [0.0, -360.0])
def test_files_hold_both_halves(turn):
    shape = shapely.transform(WHOLE, lambda xy: xy + [turn, 0])
    found, inside, point = antimeridian.cut(
        [shape, shapely.box(0, 0, 180, 1), shapely.Point(181, 2)]
    )
    assert found.geom_type == "MultiPolygon" and found.equals(HALVES.normalize())
    assert inside.equals(shapely.box(0, 0, 180, 1)) and point.equals(shapely.Point(-179, 2))


def test_longitudes():
    assert antimeridian.wrap([180, 190, -190, 179]).tolist() == [-180, -170, 170, 179]
