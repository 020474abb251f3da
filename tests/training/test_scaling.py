"""Stored numbers to network inputs."""

import numpy as np
import pytest

from cropmap_jax import models
from cropmap_jax.geo import indices
from cropmap_jax.geo.sensors import SENSORS, SENTINEL, Sensor
from cropmap_jax.training import scaling
from cropmap_jax.training.scaling import scale

NODATA = -32768
RANGES = scaling.default(SENTINEL)


def scaled(ranges=RANGES, sensors=SENTINEL, **pixels):
    return scale({"pixels": pixels}, sensors, ranges)


def test_the_default_ranges_are_those_of_the_original_system():
    assert RANGES == {"s1": (-25.0, 10.0), "s2": (0.0, 1.0)}


def test_scale_by_hand():
    # S1 in dB x 100 over [-25, 10] dB: -7.5 dB lies in the middle. S2 in reflectance x 10000.
    s1 = np.array([-2500, -750, 1000, -9999, 1200, NODATA, 0], np.int16)
    s2 = np.array([0, 2500, 10_000, -200, 16_000, NODATA, 1], np.int16)
    batch = scale({"pixels": {"s1": s1, "s2": s2}, "label": s1}, SENTINEL, RANGES)
    pixels, valid = batch["pixels"], batch["valid"]
    np.testing.assert_allclose(pixels["s1"], [0, 0.5, 1, 0, 1, 0, 25 / 35], rtol=1e-6)
    np.testing.assert_allclose(pixels["s2"], [0, 0.25, 1, 0, 1, 0, 1e-4], rtol=1e-6)
    # 0 reflectance and what is clipped to 0 are there; nodata is not.
    assert valid["s1"].tolist() == valid["s2"].tolist() == [1, 1, 1, 1, 1, 0, 1]
    assert batch["label"] is s1


def test_a_sensor_has_its_own_scale_dtype_and_nodata():
    # Degrees x 2 in a byte, 255 missing: 20 degrees lie in the middle of 0 to 40.
    heat = Sensor("heat", "Heat", ("T",), "degC", 2.0, (0.0, 40.0), "mean", "uint8", 255)
    stored = np.array([0, 40, 80, 254, 255], np.uint8)
    s1 = np.zeros(5, np.int16)
    batch = scaled(scaling.default([heat]), [heat], heat=stored, s1=s1)
    assert batch["pixels"].keys() == batch["valid"].keys() == {"heat"}  # s1 is not used
    assert batch["pixels"]["heat"].tolist() == [0, 0.5, 1, 1, 0]
    assert batch["valid"]["heat"].tolist() == [1, 1, 1, 1, 0]


def test_scale_takes_the_ranges_it_is_given():
    s1, s2 = np.array([-1000], np.int16), np.array([3000], np.int16)
    found = scaled({"s1": (-20.0, 0.0), "s2": (0.1, 0.5)}, s1=s1, s2=s2)["pixels"]
    np.testing.assert_allclose([found["s1"][0], found["s2"][0]], [0.5, 0.5], rtol=1e-6)


def test_missing_is_zero_even_where_its_code_lies_within_the_range():
    stored = np.array([NODATA], np.int16)
    found = scaled({"s1": (-400.0, 0.0), "s2": (-4.0, 0.0)}, s1=stored, s2=stored)
    values = [float(found[part][s][0]) for part in ("pixels", "valid") for s in ("s1", "s2")]
    assert values == [0, 0, 0, 0]


@pytest.mark.parametrize("margin", [0, 1, 2, 3])
@pytest.mark.parametrize("sides", [(1,), (1, 3), (5, 1)])
def test_squares_hold_means_of_what_is_there_and_indices_of_the_means(sides, margin):
    rng, (s1, s2) = np.random.default_rng(0), SENTINEL
    shape = (2, 3, 9, 7)
    stored = {
        s.name: np.where(
            rng.random((*shape, len(s.bands))) < 0.6,
            s.nodata,
            rng.integers(-2000, 30_000, (*shape, len(s.bands))),
        ).astype(s.dtype)
        for s in SENTINEL
    }
    wanted = indices.find(("cross_ratio", "ndvi"), SENTINEL, "indices")
    wide = {"s1": (-400.0, 400.0), "s2": (-4.0, 4.0)}
    found = scale({"pixels": stored}, SENTINEL, wide, wanted, sides=sides, margin=margin)
    for sensor, (low, high) in ((s1, wide["s1"]), (s2, wide["s2"])):
        values = sensor.decode(stored[sensor.name]).astype(np.float64)
        own = indices.of_sensor(wanted, sensor)
        lows = [low] * len(sensor.bands) + [index.range[0] for index in own]
        highs = [high] * len(sensor.bands) + [index.range[1] for index in own]
        b, t, y, x = 1, 2, margin, 6 - margin  # at an edge where there is no margin
        expected, valid = [], []
        for side in sides:
            reach = side // 2
            square = values[b, t, max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]  # fmt: skip  # noqa: E501
            count = np.isfinite(square).sum((0, 1))
            mean = np.where(count, np.nansum(square, (0, 1)) / np.maximum(count, 1), np.nan)
            mean = indices.compute(mean, sensor, own)
            valid.append(np.isfinite(mean))
            unit = np.clip((mean - lows) / (np.array(highs) - lows), 0, 1)
            expected.append(np.where(valid[-1], unit, 0))
        pixels, there = (np.asarray(found[part][sensor.name]) for part in ("pixels", "valid"))
        assert pixels.shape == there.shape == (2, 3, 9 - 2 * margin, 7 - 2 * margin, len(sides) * len(lows))  # fmt: skip  # noqa: E501
        place = (b, t, y - margin, x - margin)
        np.testing.assert_array_equal(there[place], np.concatenate(valid))
        np.testing.assert_allclose(pixels[place], np.concatenate(expected), rtol=1e-5, atol=1e-6)


def test_the_sums_of_the_largest_square_do_not_overflow():
    heat = Sensor("heat", "Heat", ("T",), "degC", 1.0, (0.0, 65_535.0), "mean", "uint16", 0)
    side = models.registry.MOST_SIDE
    stored = np.full((1, 1, side, side, 1), 65_535, np.uint16)
    found = scale({"pixels": {"heat": stored}}, [heat], scaling.default([heat]), sides=(side,))
    np.testing.assert_allclose(found["pixels"]["heat"], 1, rtol=1e-6)


@pytest.mark.parametrize("sensor", SENSORS)
def test_every_stored_value_scales_to_a_number_between_0_and_1(sensor):
    stored = np.arange(-(2**15), 2**15).astype(np.int16)
    batch = scaled(s1=stored, s2=stored)
    values = np.asarray(batch["pixels"][sensor])
    assert values.dtype == np.float32
    assert ((values >= 0) & (values <= 1)).all()  # false for NaN
    assert (np.diff(values[1:]) >= 0).all()
    assert np.flatnonzero(np.asarray(batch["valid"][sensor]) == 0).tolist() == [0]
    assert values[0] == 0


@pytest.mark.parametrize(
    "ranges, expected",
    [
        ({"s2": (1.0, 1.0)}, "config.scaling.s2: expected low < high"),
        ({"s2": (1.0, 0.0)}, "config.scaling.s2: expected low < high"),
        ({"s2": (1.0,)}, "config.scaling.s2"),
        ({"s2": (0.0, float("nan"))}, "config.scaling.s2"),
        ({"s3": (0.0, 1.0)}, "config.scaling"),
    ],
)
def test_ranges_that_cannot_be_are_refused(ranges, expected):
    with pytest.raises(ValueError, match=expected):
        scaling.check(RANGES | ranges, SENTINEL)
