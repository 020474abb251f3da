import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.sources.simulator import optics

BANDS = SENSORS["s2"].bands
RED, NIR = BANDS.index("B4"), BANDS.index("B8")
SHARE = st.floats(0, 1)
AREA = st.floats(0, 9)
BARE = np.array([[0.2] * 10], np.float32)


def canopy(soil=BARE, green=0.0, brown=0.0, pale=0.0, straw=0.0, bloom=0.0):
    return optics.canopy_reflectance(
        soil, *(np.array([float(v)]) for v in (green, brown, pale, straw, bloom))
    )


def soil(moisture, brightness=1.0):
    return optics.soil_reflectance(np.array([float(moisture)]), np.array([float(brightness)]))


def ndvi(values):
    return (values[..., NIR] - values[..., RED]) / (values[..., NIR] + values[..., RED])


def test_spectra_are_of_the_bands_of_a_cube():
    spectra = (optics.PETALS, optics.WATER, optics.ASPHALT, optics.ROOFS, optics.CLOUD)
    leaves = (optics.GREEN, optics.PALE, optics.BROWN, optics.STRAW)
    for row in (*spectra, optics.SOIL_DRY, optics.SOIL_WET, *(leaf.deep for leaf in leaves)):
        assert row.shape == (len(BANDS),) and (row > 0).all() and (row < 1).all()
    # A leaf is green and not red, and the near infrared passes it.
    green = dict(zip(BANDS, optics.GREEN.deep, strict=True))
    assert green["B4"] < green["B3"] < green["B8"] and green["B2"] < green["B3"]


def test_no_leaves_is_soil():
    np.testing.assert_allclose(canopy(), BARE)


@pytest.mark.parametrize(
    ("leaf", "areas"),
    [
        (optics.GREEN, {"green": 80}),
        (optics.PALE, {"green": 80, "pale": 1}),
        (optics.BROWN, {"brown": 80}),
        (optics.STRAW, {"brown": 80, "straw": 1}),
    ],
)
def test_a_deep_canopy_hides_the_soil(leaf, areas):
    np.testing.assert_allclose(canopy(**areas)[0], leaf.deep, rtol=1e-5)


def test_a_canopy_by_hand():
    # Red: K = 1.12, deep 0.012, soil 0.2, area 1: 0.012 + 0.188 exp(-1.12) = 0.073341.
    assert canopy(green=1.0)[0, RED] == pytest.approx(0.073341, rel=1e-4)
    # With brown of the same area, depth 1.12 + 0.94 = 2.06 and deep (1.12 * 0.012 + 0.94 * 0.106) /
    # 2.06 = 0.054893: 0.054893 + 0.145107 exp(-2.06) = 0.073387.
    assert canopy(green=1.0, brown=1.0)[0, RED] == pytest.approx(0.073387, rel=1e-4)
    # In full bloom petals fill 0.35 of the view: 0.65 * 0.073341 + 0.35 * 0.24 = 0.131672.
    assert canopy(green=1.0, bloom=1.0)[0, RED] == pytest.approx(0.131672, rel=1e-4)


@hypothesis.given(st.floats(0, 45), st.floats(0.3, 1), AREA, AREA, SHARE, SHARE, SHARE)
def test_reflectance_is_a_share(moisture, brightness, green, brown, pale, straw, bloom):
    seen = canopy(soil(moisture, brightness), green, brown, pale, straw, bloom)
    assert seen.dtype == np.float32 and (seen > 0).all() and (seen < 0.7).all()


@hypothesis.given(st.floats(5, 30), st.floats(0.3, 1))
def test_wet_soil_is_darker(moisture, brightness):
    assert (soil(moisture + 4, brightness) < soil(moisture, brightness)).all()


def test_soil_is_dry_at_5_and_wet_at_35_percent():
    np.testing.assert_allclose(soil(5.0)[0], optics.SOIL_DRY, rtol=1e-6)
    np.testing.assert_allclose(soil(35.0, 0.5)[0], 0.5 * optics.SOIL_WET, rtol=1e-6)


@hypothesis.given(st.floats(5, 35), st.floats(0.35, 0.95), AREA, SHARE)
def test_more_green_is_a_higher_ndvi(moisture, brightness, green, pale):
    bare = soil(moisture, brightness)
    less, more = (ndvi(canopy(bare, area, pale=pale))[0] for area in (green, green + 0.2))
    assert more > less - 1e-6
    if green < 3:
        assert more > less + 1e-3
