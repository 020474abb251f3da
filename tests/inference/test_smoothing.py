"""Probabilities over a window of pixels that look alike: by hand, across an edge, across a seam."""

import datetime as dt

import making
import numpy as np
import pytest
from inference.stand_ins import StandIn
from mapping import small_maps

from cropmap_jax.geo import cube_io
from cropmap_jax.geo.sensors import SENSORS, SENTINEL
from cropmap_jax.inference import smoothing
from cropmap_jax.inference.engine import Engine, Request, View
from cropmap_jax.inference.raster_source import RasterSource
from cropmap_jax.inference.smoothing import EDGE, NEAR, Smoothing, smooth
from cropmap_jax.inference.tiling import bounds
from cropmap_jax.mapping.cubes import join


def noise(shape, seed=0, periods=3, edge=0.05):
    """Probabilities that add up to 1, and an image with gaps; some ground was never seen."""
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet([1, 1, 1], shape).astype(np.float32)
    image = rng.normal(0.5, edge, (periods, *shape)).astype(np.float32)
    image[rng.random(image.shape) < 0.3] = np.nan
    probability[rng.random(shape) < 0.1] = np.nan
    return probability, image


def by_hand(probability, image, window):
    """The formula of `smooth`, pixel by pixel, in float64."""
    height, width, _ = probability.shape
    out, reach = np.full(probability.shape, np.nan), window // 2
    for row, col in np.argwhere(~np.isnan(probability[..., 0])):
        total, weight = 0, 0
        for r in range(max(row - reach, 0), min(row + reach + 1, height)):
            for c in range(max(col - reach, 0), min(col + reach + 1, width)):
                p = np.float64(probability[r, c])
                difference = np.float64(image[:, r, c]) - np.float64(image[:, row, col])
                d2 = np.square(difference[~np.isnan(difference)])
                alike = (1 - d2.mean() / EDGE**2) if len(d2) else 0
                near = np.exp(-((r - row) ** 2 + (c - col) ** 2) / (2 * (NEAR * window) ** 2))
                w = 1 if (r, c) == (row, col) else near * max(alike, 0) ** 2
                if not np.isnan(p).any() and w:
                    total, weight = total + w * p, weight + w
        out[row, col] = total / weight
    return out


@pytest.mark.parametrize(("shape", "window"), [((7, 9), 3), ((6, 5), 7), ((1, 8), 5), ((2, 1), 3)])
def test_the_formula_by_hand(shape, window):
    probability, image = noise(shape)
    found = smooth(probability, image, Smoothing(window))
    assert found.dtype == np.float32
    # Sums of at most 49 float32 values near 1.
    np.testing.assert_allclose(found, by_hand(probability, image, window), atol=1e-5)
    assert np.nanmax(np.abs(found - probability)) > 0.1 or shape == (2, 1)


def test_probabilities_stay_probabilities_and_add_up_to_what_they_did():
    probability, image = noise((40, 50), seed=1)
    probability[..., 2] *= 0  # what is left to 1 is none of these
    before = probability.sum(-1)
    found = smooth(probability, image * 0, Smoothing(5))
    assert (np.isnan(found) == np.isnan(probability)).all()
    values = found[~np.isnan(found)]
    assert (values >= 0).all() and (values <= 1).all()
    # The sum is smoothed like each of its parts.
    alone = smooth(before[..., None], image * 0, Smoothing(5))[..., 0]
    np.testing.assert_allclose(found.sum(-1), alone, atol=1e-5)
    whole = noise((40, 50), seed=2)[0]
    np.testing.assert_allclose(
        np.nansum(smooth(whole, image, Smoothing(7)), -1), np.nansum(whole, -1), atol=1e-5
    )


def two_fields():
    """One crop to the left, another to the right, and in each a pixel taken for the other one."""
    image = np.full((2, 12, 12), 0.3, np.float32)
    image[1, :, 6:] += 1.5 * EDGE  # they differ in one of two months alone
    probability = np.zeros((12, 12, 2), np.float32)
    probability[:, :6], probability[:, 6:] = (0.8, 0.2), (0.1, 0.9)
    return probability, image


def test_a_strong_edge_is_kept_and_nothing_crosses_it():
    probability, image = two_fields()
    found = smooth(probability, image, Smoothing(7))
    # Both fields are of one value: what is left of the edge stays what it was, to rounding.
    np.testing.assert_allclose(found, probability, atol=1e-6)
    image[:] = 0.3  # no edge: the two run into each other
    assert smooth(probability, image, Smoothing(7))[6, 5, 0] < 0.7


def test_a_single_wrong_pixel_is_removed():
    probability, image = two_fields()
    probability[5, 3], probability[5, 6] = (0.1, 0.9), (0.7, 0.3)  # the second lies at the edge
    found = smooth(probability, image, Smoothing(5))
    assert (found[:, :6].argmax(-1) == 0).all() and (found[:, 6:].argmax(-1) == 1).all()


def test_without_an_image_nothing_changes():
    probability, image = noise((9, 9))
    found = smooth(probability, np.full_like(image, np.nan), Smoothing(5))
    np.testing.assert_array_equal(found, probability)


def test_a_piece_with_its_surroundings_is_smoothed_as_the_whole_is():
    probability, image = noise((60, 70), seed=3)
    found = smooth(probability, image, Smoothing(7))
    rows, cols = slice(20, 41), slice(10, 33)
    around = slice(17, 44), slice(7, 36)
    piece = smooth(probability[around], image[:, *around], Smoothing(7))[3:-3, 3:-3]
    np.testing.assert_array_equal(piece, found[rows, cols])


def test_ndvi_is_what_guides():
    stored = np.full((1, 1, 2, 10), -32768, np.int16)
    stored[0, 0, 0, [2, 6]] = 1000, 3000  # B4 and B8
    stored[0, 0, 1, 2] = 1000
    found = smoothing.guide({"s2": stored}, SENTINEL)
    np.testing.assert_allclose(found, [[[0.5, np.nan]]], atol=1e-6)


@pytest.mark.parametrize("window", [-1, 1, 2, 6, 33])
def test_a_window_out_of_range_is_refused(window):
    with pytest.raises(ValueError, match=f"--smooth: expected .* odd .* found {window}"):
        smoothing.find(window, SENTINEL)


def test_sensors_without_ndvi_are_refused():
    assert smoothing.find(0, [SENSORS["s1"]]) is None and smoothing.radius(None) == 0
    assert smoothing.find(5, SENTINEL) == Smoothing(5) and Smoothing(5).radius == 2
    with pytest.raises(ValueError, match="--smooth: ndvi needs B8, B4 of sensor s2, found s1"):
        smoothing.find(5, [SENSORS["s1"]])


def say_noise(examples):
    """Probabilities that follow from the pixels of the last period."""
    last = [np.nan_to_num(e["pixels"]["s2"][-1].astype(np.float32)) for e in examples]
    return [np.abs(np.sin(values[..., :3] / 50)) for values in last]


def predict(cubes_dir, smoothed, wanted=None, halo=3):
    """Probabilities of all ground of the only group of a folder, and its pixels."""
    infos = cube_io.list_cubes(cubes_dir)
    (group,) = join(infos, 2, dt.date(2022, 6, 1), halo)
    source = RasterSource({info.cube_id: info.path for info in infos})
    engine = Engine(source, StandIn(say_noise, halo=halo))
    running = smoothing.over(engine, smoothed, SENTINEL)
    whole, view = bounds(group.tiling.boxes), View(group)
    requests = []
    for number in group.ordered(9):
        for box in group.pieces(number):
            mask = None if wanted is None else wanted[box.inside(whole)]
            if mask is None or mask.any():
                packed = None if mask is None else np.packbits(mask)
                requests.append(Request(view, box, packed))
    for request in requests:
        running.expect(request)
    out = np.full((*whole.shape, 3), np.nan, np.float32)
    seen = np.zeros((2, *whole.shape, 10), np.int16)
    for request in requests:
        # Asked with a request that is another object than the one announced, as scores do.
        request = Request(request.view, request.box, request.wanted)
        here = request.box.inside(whole)
        out[here] = running.probability(request)
        seen[:, *here] = running.pixels(request)["s2"]
    assert engine.size == 0
    return out, seen


def test_cubes_of_the_same_ground_are_smoothed_as_one(tmp_path):
    whole = making.make_cube("whole", (90, 150), fields=False)
    one = small_maps.write(tmp_path / "one", whole)
    all_rows, left, right = slice(0, 90), slice(0, 61), slice(61, 150)
    two = small_maps.write(
        tmp_path / "two",
        small_maps.piece(whole, "a", all_rows, left),
        small_maps.piece(whole, "b", slice(0, 40), right),
        small_maps.piece(whole, "c", slice(40, 90), right),
    )
    plain, seen = predict(one, None)
    found, again = predict(one, Smoothing(5))
    divided, pixels = predict(two, Smoothing(5))
    np.testing.assert_array_equal(divided, found)
    for values in (again, pixels):
        np.testing.assert_array_equal(values, seen)
    expected = smooth(plain, smoothing.guide({"s2": seen}, SENTINEL), Smoothing(5))
    np.testing.assert_array_equal(found, expected)
    assert np.nanmax(np.abs(found - plain)) > 0.1


def test_where_some_pixels_are_wanted_they_are_what_they_would_be_among_all(tmp_path):
    whole = making.make_cube("whole", (90, 150), fields=False)
    cubes = small_maps.write(tmp_path, whole)
    wanted = np.random.default_rng(0).random((90, 150)) < 0.01
    wanted[:, 100:] = False
    found, _ = predict(cubes, Smoothing(7), wanted)
    every, _ = predict(cubes, Smoothing(7))
    np.testing.assert_array_equal(found[wanted], every[wanted])
    assert np.isnan(found[~wanted]).all() and wanted.any()
