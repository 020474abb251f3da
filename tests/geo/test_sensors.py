"""Sensors: how values are stored, what a row of the table must be, and finding rows by name."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cropmap_jax.geo import sensors
from cropmap_jax.geo.sensors import SENSORS, SENTINEL, Sensor

HEAT = Sensor("heat", "Heat", ("T", "dT"), "degC", 2.0, (0.0, 40.0), "mean", "uint8", 255)
BOTH = pytest.mark.parametrize("sensor", ["s1", "s2"])


def test_encode_by_hand():
    # dB * 100 and reflectance * 10000, rounded; out of range clips short of the nodata value.
    assert SENSORS["s1"].encode(np.array([-12.345, 0.0, np.nan])).tolist() == [-1234, 0, -32768]
    assert SENSORS["s2"].encode(np.array([0.12345, 0.0, 9.9])).tolist() == [1234, 0, 32767]
    assert SENSORS["s1"].encode(np.array([-999.0, np.inf, -np.inf])).tolist() == [
        -32767,
        -32768,
        -32768,
    ]


@BOTH
def test_every_stored_value_survives(sensor):
    stored = np.arange(-32768, 32768).astype(np.int16)
    values = SENSORS[sensor].decode(stored)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(values), stored == -32768)
    again = SENSORS[sensor].encode(values)
    assert again.dtype == np.int16
    np.testing.assert_array_equal(again, stored)


FLOATS = st.floats(width=32, allow_infinity=False) | st.floats(-330, 330, width=32)


@BOTH
@example(values=np.array([3.4028235e34, -3.4028235e38], np.float32))  # times the scale, infinite
@given(values=hnp.arrays(np.float32, st.integers(1, 20), elements=FLOATS))
def test_nodata_means_missing_and_nothing_else(sensor, values):
    stored = SENSORS[sensor].encode(values)
    np.testing.assert_array_equal(stored == -32768, np.isnan(values))
    back = SENSORS[sensor].decode(stored)
    np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
    # Half a step, and a 2**-22 of the value for two float32 roundings.
    scale = SENSORS[sensor].scale
    inside = np.abs(values) <= 32767 / scale
    error = np.abs(back - values.astype(np.float64))[inside]
    assert (error <= 0.5 / scale + np.abs(values[inside]) * 2.0**-22).all()
    outside = ~inside & ~np.isnan(values)
    np.testing.assert_allclose(back[outside], np.sign(values[outside]) * 32767 / scale, rtol=1e-6)


def test_an_unsigned_byte_holds_what_it_can():
    # Half degrees from 0 to 127; 255 is missing, so what is warmer clips to 254.
    stored = HEAT.encode(np.array([-3.0, 0.26, 20.0, 999.0, np.nan, np.inf]))
    assert stored.dtype == np.uint8 and stored.tolist() == [0, 1, 40, 254, 255, 255]
    np.testing.assert_array_equal(HEAT.decode(stored), [0, 0.5, 20, 127, np.nan, np.nan])


@pytest.mark.parametrize("sensor", [*SENTINEL, HEAT])
def test_a_sensor_survives_json(sensor):
    again = Sensor.from_json(json.loads(json.dumps(sensor.to_json())), "here")
    assert again == sensor and hash(again) == hash(sensor)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "S1"}, "'S1'.*name of lower-case letters"),
        ({"name": "label"}, "'label'.*name .* none of clear"),
        ({"name": "../x"}, "name of lower-case letters"),
        ({"name": ""}, "name of lower-case letters"),
        ({"bands": ()}, "expected bands"),
        ({"bands": ("T", "T")}, "expected bands with names that differ"),
        ({"bands": ("a/b",)}, "hold no '/'"),
        ({"bands": ("a\nb",)}, "expected bands"),
        ({"bands": (1,)}, "expected bands"),
        ({"title": "x" * 101}, "title to be a short text"),
        ({"unit": None}, "unit to be a short text"),
        ({"compositing": "max"}, "compositing among mean_power, mean, median, found 'max'"),
        ({"dtype": "float32"}, "dtype among uint8, int16, uint16, found 'float32'"),
        ({"scale": 0.0}, "scale from 1e-9"),
        ({"scale": float("nan")}, "scale from 1e-9"),
        ({"scale": True}, "scale from 1e-9"),
        ({"range": (1.0, 1.0)}, "range"),
        ({"range": (0.0, float("inf"))}, "range"),
        ({"nodata": 256}, "nodata that uint8 holds, found 256"),
        ({"nodata": -1}, "nodata that uint8 holds"),
        ({"nodata": 1.5}, "nodata that uint8 holds"),
    ],
)
def test_a_row_that_cannot_be_is_refused(changes, expected):
    with pytest.raises(ValueError, match=f"^sensor .*{expected}"):
        dataclasses.replace(HEAT, **changes)
    value = HEAT.to_json() | changes
    with pytest.raises(ValueError, match=f"^item.json: .*{expected.removeprefix('^')}|^item.json"):
        Sensor.from_json(value, "item.json")


@pytest.mark.parametrize("value", [3, "s1", [], [3], [{}], {"s1": 1}, [None], [HEAT.to_json()] * 2])
def test_a_list_of_sensors_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match="^here"):
        sensors.from_json(value, "here")


def test_older_files_hold_sentinel():
    assert sensors.from_json(None, "here") == SENTINEL == tuple(SENSORS.values())


def test_sensors_are_found_by_name_in_the_order_given():
    assert sensors.find(["s2", "s1"], "here") == SENTINEL[::-1]
    assert sensors.find(("heat",), "here", [*SENTINEL, HEAT]) == (HEAT,)
    for names in (["s3"], [], ["s1", "s1"], [["s1"]], [None], [1]):
        with pytest.raises(ValueError, match="^here: expected sensors among s1, s2, each once"):
            sensors.find(names, "here")


def test_a_name_is_registered_once(monkeypatch):
    monkeypatch.setattr(sensors, "SENSORS", dict(SENSORS))
    assert sensors.register(HEAT) is HEAT and sensors.register(HEAT) is HEAT
    assert sensors.find(["heat"], "here") == (HEAT,)
    with pytest.raises(ValueError, match="'heat': expected a new name"):
        sensors.register(dataclasses.replace(HEAT, scale=1.0))
