import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from cropmap_jax.geo import composites
from cropmap_jax.sources.simulator import radar

AT_40 = np.deg2rad(40.0)


def soil(moisture, roughness, incidence=AT_40):
    return radar.soil_backscatter(np.array(moisture), np.array(roughness), incidence)


def test_soil_by_hand():
    # At 40 degrees: cot 1.19175, sin 0.64279, cos 0.76604. With 1 cm of roughness k h = 2 pi /
    # 5.547 = 1.13272. With 20 % of water:
    # VV: exponent -1.138 + 0.008 * 1.19175 * 20 = -0.94732, 10^ that = 0.112897;
    #     * 0.76604^1.528 = 0.66549; * 1.13272^(0.71 * 0.64279 = 0.45638) = 1.05854 -> 0.079531.
    # VH: exponent -2.325 + 0.011 * 1.19175 * 20 = -2.062815, and 1.5 dB = 0.15 on top:
    #     10^-1.912815 = 0.0122232; * 0.76604^-0.01 = 1.002669; * 1.13272^(0.44 * 0.64279 = 0.28283)
    #     = 1.035876 -> 0.0126955.
    assert radar.SOIL_VH_DB == 1.5
    np.testing.assert_allclose(soil(20.0, 1.0), [0.079531, 0.0126955], rtol=1e-4)


@hypothesis.given(st.floats(5, 35), st.floats(0.3, 3), st.floats(0.51, 0.79))
def test_wet_and_rough_soil_is_brighter_and_vv_above_vh(moisture, roughness, incidence):
    here = soil(moisture, roughness, incidence)
    assert (soil(moisture + 5, roughness, incidence) > here).all()
    assert (soil(moisture, roughness + 0.3, incidence) > here).all()
    assert here[0] > here[1] > 0
    assert (-26 < composites.linear_to_db(here)).all() and (composites.linear_to_db(here) < 0).all()


LEAF = np.array([0.1, 0.02]), np.array([[0.3, 0.2]])
STEM = np.array([0.2, 0.08]), np.array([[0.6, 0.2]])


def test_no_vegetation_is_soil():
    bare = soil([20.0], [1.0])
    none = (LEAF[0], np.zeros((1, 2)))
    np.testing.assert_allclose(radar.water_cloud(bare, [none, none], AT_40), bare, rtol=1e-6)


def test_a_deep_canopy_is_its_own():
    deep = (LEAF[0], np.full((1, 2), 50.0))
    found = radar.water_cloud(soil([35.0], [3.0]), [deep], AT_40)
    np.testing.assert_allclose(found, [LEAF[0] * np.cos(AT_40)], rtol=1e-6)


def test_two_constituents_by_hand():
    # VV: tau = 0.3 + 0.6 = 0.9, A = (0.1 * 0.3 + 0.2 * 0.6) / 0.9 = 0.16667, T2 = exp(-1.8 /
    # 0.76604) = 0.095405: 0.16667 * 0.76604 * 0.904595 + 0.05 * 0.095405 = 0.120263.
    # VH: tau = 0.4, A = (0.02 * 0.2 + 0.08 * 0.2) / 0.4 = 0.05, T2 = exp(-0.8 / 0.76604) =
    # 0.351929: 0.05 * 0.76604 * 0.648071 + 0.01 * 0.351929 = 0.028342.
    found = radar.water_cloud(np.array([[0.05, 0.01]]), [LEAF, STEM], AT_40)
    np.testing.assert_allclose(found, [[0.120263, 0.028342]], rtol=1e-4)


def test_speckle_is_that_of_one_image():
    noise = radar.speckle((4, 256, 256), np.random.default_rng(0))
    assert noise.shape == (4, 256, 256) and noise.dtype == np.float32 and noise.min() >= 0
    # 4 * 256^2 pixels, of which the 1-2-1 average leaves (3 / 8)^2 independent: 37 000 of deviation
    # 1 / sqrt(4.4), so the standard error of the mean is 0.0025.
    assert noise.mean() == pytest.approx(1.0, abs=0.01)
    assert 1 / noise.var() == pytest.approx(radar.LOOKS, rel=0.05)
    centred = noise - noise.mean()
    for axis in (1, 2):
        # Neighbours share two of three taps: (1 * 2 + 2 * 1) / (1 + 4 + 1); second ones 1 / 6.
        for lag, expected in ((1, 2 / 3), (2, 1 / 6), (3, 0.0)):
            ahead, behind = (np.take(centred, np.arange(a, a + 250), axis) for a in (lag, 0))
            assert (ahead * behind).mean() / noise.var() == pytest.approx(expected, abs=0.02)
    # Images are independent.
    assert abs((centred[0] * centred[1]).mean()) < 0.01


class Even:
    """A generator whose gamma noise is its mean everywhere."""

    @staticmethod
    def standard_gamma(shape, size, dtype):
        return np.full(size, shape, dtype)


def test_an_image_is_the_ground_blurred_by_hand():
    # 1-2-1 along each axis: of a bright pixel, 1/4 stays, 1/8 goes to each side, 1/16 to corners.
    ground = np.zeros((2, 7, 8), np.float32)
    ground[0, 3, 4], ground[1, 0, 0] = 16.0, 16.0
    found = radar.sense(ground, Even)
    assert found.shape == (2, 5, 6) and found.dtype == np.float32
    expected = np.zeros((2, 5, 6))
    expected[0, 1:4, 2:5] = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    # What lies on the rim only feeds its neighbour.
    expected[1, 0, 0] = 1.0
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_speckle_is_the_image_of_even_ground():
    one, two = (np.random.default_rng(5) for _ in range(2))
    ones = np.ones((3, 12, 14), np.float32)
    np.testing.assert_array_equal(radar.speckle((3, 10, 12), one), radar.sense(ones, two))
    bright = radar.sense(4 * ones, np.random.default_rng(5))
    np.testing.assert_array_equal(bright, 4 * radar.sense(ones, np.random.default_rng(5)))


def test_noise_is_of_the_ground_and_blurred_with_it():
    # Next to a bright half, dark ground shows 1/4 of the noise of the one column next to it, which
    # only the other axis averages: (1 + 4 + 1) / 16 = 3/8 of its variance, not (3/8)^2.
    ground = np.zeros((20_000, 3, 5), np.float32)
    ground[..., 3:] = 1.0
    seen = radar.sense(ground, np.random.default_rng(0))[:, 0]
    assert (seen[:, 0] == 0).all()
    np.testing.assert_allclose(seen.mean(0), [0, 0.25, 0.75], rtol=0.02)
    looks = seen[:, 1].mean() ** 2 / seen[:, 1].var()
    assert looks == pytest.approx(radar.LOOKS * 3 / 8, rel=0.05)


def test_more_looks_less_speckle():
    noise = radar.speckle((256, 256), np.random.default_rng(0), looks=44.0)
    assert 1 / noise.var() == pytest.approx(44.0, rel=0.1)
