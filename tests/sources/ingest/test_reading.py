import numpy as np
import pytest

from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.sources.ingest.bands import Bands
from cropmap_jax.sources.ingest.reading import read_window
from cropmap_jax.sources.ingest.satellites import SCL_CLOUDY, Units

ALL = slice(0, 1)


def make_bands(values, sensor="s1", bands=None, **more):
    """Bands of [T, 1, 1, B] given as [T, B]."""
    pixels = np.asarray(values, np.float32)[:, None, None]
    sensor = SENSORS[sensor]
    names = bands or sensor.bands[: pixels.shape[-1]]
    return Bands(sensor, "file", (), tuple(names), lambda rows, cols: pixels, **more)


def read(found, **units):
    return read_window(found, Units(**units), ALL, ALL)[0][:, 0, 0]


def test_dn_is_amplitude_and_0_is_missing():
    # 20 log10(4000) - 83 = 72.0412 - 83 = -10.9588; 20 log10(1000) - 83 = -23.
    db = read(make_bands([[4000, 1000], [0, 1000]]), s1_unit="dn")
    np.testing.assert_allclose(db, [[-10.9588, -23], [np.nan, -23]], atol=1e-4)


def test_linear_is_power_and_what_is_not_positive_is_missing():
    db = read(make_bands([[0.1, 0.01], [0, 1]]), s1_unit="linear")
    np.testing.assert_allclose(db, [[-10, -20], [np.nan, 0]], atol=1e-5)


def test_reflectance_is_scaled_and_shifted():
    values = [[1400] + [2000] * 9]
    plain = read(make_bands(values, "s2", integer=True))
    shifted = read(make_bands(values, "s2", integer=True), s2_offset=-1000)
    other = read(make_bands(values, "s2"), s2_scale=4000)
    np.testing.assert_allclose(plain[0, :2], [0.14, 0.2], rtol=1e-6)
    np.testing.assert_allclose(shifted[0, :2], [0.04, 0.1], rtol=1e-6)
    np.testing.assert_allclose(other[0, :2], [0.35, 0.5], rtol=1e-6)


def test_the_scene_classification_masks_every_band_of_its_date():
    found = make_bands([[0.1, 4], [0.2, 9], [0.3, 3]], "s2", bands=("B4", "SCL"))
    masked = read(found, scl_classes=SCL_CLOUDY)
    b4 = SENSORS["s2"].bands.index("B4")
    np.testing.assert_allclose(masked[:, b4], [0.1, np.nan, np.nan], rtol=1e-6)
    assert np.isnan(np.delete(masked, b4, 1)).all()
    np.testing.assert_allclose(read(found)[:, b4], [0.1, 0.2, 0.3], rtol=1e-6)


@pytest.mark.parametrize(
    "values, sensor, units, message",
    [
        ([[-10, np.inf]], "s1", {}, "expected finite values, or NaN where missing, found 1"),
        (
            [[-9998, -12]] * 3,
            "s1",
            {},
            "found dB -9998 (3 of 6 values below -100); expected -100 or",
        ),
        ([[4000, 300]], "s1", {}, "--s1_unit db: found a median of"),
        ([[-10, -12]], "s1", {"s1_unit": "linear"}, "found 2 negative ones; dB is --s1_unit db"),
        ([[-10, -12]], "s1", {"s1_unit": "dn"}, "found 2 negative ones; dB is --s1_unit db"),
        ([[0.1, 0.01]], "s1", {"s1_unit": "dn"}, "--s1_unit dn: found a median of"),
        ([[4000, 900]], "s1", {"s1_unit": "linear"}, "--s1_unit linear: found a median of"),
        ([[900] * 10], "s2", {}, "--s2_scale: found a median of 900 reflectance"),
        (
            [[-0.9] + [0.1] * 9],
            "s2",
            {},
            "found reflectance -0.9 (1 of 10 values below -0.5); expected",
        ),
    ],
)
def test_values_in_another_unit_are_refused(values, sensor, units, message):
    with pytest.raises(ValueError, match="^file: ") as error:
        read(make_bands(values, sensor), **units)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "units, message",
    [
        ({"s1_unit": "dB"}, "--s1_unit: expected db, linear, dn, found 'dB'"),
        ({"s2_scale": 0}, "--s2_scale: expected a positive number, found 0"),
    ],
)
def test_units_that_there_are_not(units, message):
    with pytest.raises(ValueError, match=message):
        Units(**units)
