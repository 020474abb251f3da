"""Features of pixels equal what is computed one by one, whatever the chip and what is wanted."""

import math

import numpy as np
import pytest

from cropmap_jax.baselines import features
from cropmap_jax.baselines.features import Features
from cropmap_jax.geo import indices
from cropmap_jax.geo.sensors import SENSORS, SENTINEL

DAYS = np.array([15, 46, 74])
ALL = tuple(indices.INDICES.values())


def random_pixels(shape=(11, 9), periods=3, seed=0, missing=0.3):
    rng = np.random.default_rng(seed)
    pixels = {}
    for sensor in SENTINEL:
        size = (periods, *shape, len(sensor.bands))
        low, high = (-2500, 1000) if sensor.unit == "dB" else (1, 10000)
        pixels[sensor.name] = rng.integers(low, high, size).astype(np.int16)
        pixels[sensor.name][rng.random(size[:-1]) < missing] = sensor.nodata
        # A single band, too: then an index is missing and other bands are not.
        pixels[sensor.name][rng.random(size) < 0.05] = sensor.nodata
    return pixels


def by_hand(pixels, side, row, col, period, sensor, bands, formula) -> float:
    """The mean of a formula over a square, pixel by pixel in double precision; NaN for none."""
    found = []
    stored = pixels[sensor.name]
    height, width = stored.shape[1:3]
    half = side // 2
    for r in range(max(row - half, 0), min(row + half + 1, height)):
        for c in range(max(col - half, 0), min(col + half + 1, width)):
            there = [int(stored[period, r, c, sensor.bands.index(band)]) for band in bands]
            if sensor.nodata not in there:
                found.append(formula(*(value / sensor.scale for value in there)))
    return math.fsum(found) / len(found) if found else math.nan


@pytest.mark.parametrize("chosen", [(), ALL])
@pytest.mark.parametrize("means", [(), (3,), (3, 7)])
def test_features_are_bands_indices_and_means_of_what_is_there(chosen, means):
    pixels = random_pixels()
    wanted = np.random.default_rng(1).random((11, 9)) < 0.4
    spec = Features(SENTINEL, 3, chosen, means, dates=False)
    found = spec.compute(pixels, DAYS, wanted)
    assert found.shape == (wanted.sum(), len(spec.names)) and found.dtype == np.float32
    expected = np.empty(found.shape)
    for i, (row, col) in enumerate(np.argwhere(wanted)):
        values = []
        for side in (1, *means):
            for sensor in SENTINEL:
                columns = [((band,), lambda v: v) for band in sensor.bands]
                columns += [(x.bands, x.formula) for x in chosen if x.sensor == sensor.name]
                values += [
                    by_hand(pixels, side, row, col, period, sensor, bands, formula)
                    for period in range(3)
                    for bands, formula in columns
                ]
        expected[i] = values
    # Sums of 49 differences: what cancels leaves float32's 1e-7 of values up to 25 dB.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    # Something is missing and something is there; with means less is missing.
    assert np.isnan(found).any() and np.isfinite(found).any()


def test_names_say_sensor_band_period_and_neighbourhood():
    spec = Features(SENTINEL, 2, (indices.INDICES["ndvi"],), (3,))
    names = spec.names
    assert names[:4] == ["s1 VV -2", "s1 VH -2", "s1 VV -1", "s1 VH -1"]
    assert names[4] == "s2 B2 -2" and names[14] == "s2 ndvi -2"
    assert names[26 + 4] == "s2 B2 -2 mean 3"
    assert names[-2:] == ["date cosine", "date sine"] and len(names) == 2 * 26 + 2


def test_a_pixels_features_do_not_depend_on_chip_or_neighbours_wanted():
    pixels = random_pixels((40, 33))
    spec = Features(SENTINEL, 3, ALL, (3, 7))
    everything = spec.compute(pixels, DAYS, np.ones((40, 33), bool)).reshape(40, 33, -1)
    rng = np.random.default_rng(3)
    # A few pixels far apart (patches), and many in a corner (a box).
    few, corner = np.zeros((40, 33), bool), np.zeros((40, 33), bool)
    few[rng.integers(0, 40, 6), rng.integers(0, 33, 6)] = True
    corner[25:, 20:] = True
    for wanted in (few, corner):
        np.testing.assert_array_equal(spec.compute(pixels, DAYS, wanted), everything[wanted])
    # A chip of its own that holds all that they see.
    piece = {name: values[:, 10:30, 5:28] for name, values in pixels.items()}
    inner = np.zeros((20, 23), bool)
    inner[3:-3, 3:-3] = True
    found = spec.compute(piece, DAYS, inner)
    np.testing.assert_array_equal(found, everything[13:27, 8:25].reshape(-1, found.shape[1]))
    assert spec.halo == 3


def test_the_date_is_that_of_the_last_period():
    spec = Features((), 3)
    found = spec.compute({}, np.array([0, 300, 365.25 / 4]), np.ones((2, 1), bool))
    np.testing.assert_allclose(found, [[0, 1], [0, 1]], atol=1e-7)
    assert spec.halo == 0 and spec.names == ["date cosine", "date sine"]


def test_nothing_wanted_costs_nothing():
    spec = Features(SENTINEL, 3, ALL, (3,))
    found = spec.compute(random_pixels(), DAYS, np.zeros((11, 9), bool))
    assert found.shape == (0, len(spec.names))


def test_indices_are_all_whose_bands_are_there_or_those_named():
    s1, s2 = SENTINEL
    assert features.choose_indices(None, SENTINEL, "x") == ALL
    assert [i.name for i in features.choose_indices(None, [s1], "x")] == ["cross_ratio"]
    assert features.choose_indices((), SENTINEL, "x") == ()
    with pytest.raises(ValueError, match=r"config.indices: ndvi needs B8, B4 of sensor s2, found"):
        features.choose_indices(("ndvi",), [SENSORS["s1"]], "config.indices")
    with pytest.raises(ValueError, match="did you mean 'ndvi'"):
        features.choose_indices(("ndvy",), [s2], "config.indices")


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ((4,), "expected odd sides in pixels, found 4"),
        ((3, 3), "each side once"),
        ((1,), "from 3 to 33, found 1"),
        (("3",), "from 3 to 33, found '3'"),
        (3, "expected a list of values, found 3"),
    ],
)
def test_sides_of_neighbourhoods_are_odd_and_different(sides, message):
    with pytest.raises(ValueError, match=f"config.means: .*{message}"):
        features.check_means(sides, "config.means")
