"""Stored integers to network inputs."""

import numpy as np
import pytest

from cropmap_jax.geo import cube
from cropmap_jax.training import scaling
from cropmap_jax.training.scaling import Scaling, scale


def test_nodata_and_steps_are_those_of_the_cube():
    found = scaling._NODATA, scaling._S1_STEPS, scaling._S2_STEPS
    assert found == (cube.NODATA, cube.S1_SCALE, cube.S2_SCALE)


def test_scale_by_hand():
    # S1 in dB x 100 over [-25, 10] dB: -7.5 dB lies in the middle. S2 in reflectance x 10000.
    s1 = np.array([-2500, -750, 1000, -9999, 1200, cube.NODATA, 0], np.int16)
    s2 = np.array([0, 2500, 10_000, -200, 16_000, cube.NODATA, 1], np.int16)
    batch = scale({"s1": s1, "s2": s2, "label": s1}, Scaling())
    np.testing.assert_allclose(batch["s1"], [0, 0.5, 1, 0, 1, 0, 25 / 35], rtol=1e-6)
    np.testing.assert_allclose(batch["s2"], [0, 0.25, 1, 0, 1, 0, 1e-4], rtol=1e-6)
    # 0 reflectance and what is clipped to 0 are there; nodata is not.
    assert batch["s1_valid"].tolist() == batch["s2_valid"].tolist() == [1, 1, 1, 1, 1, 0, 1]
    assert batch["label"] is s1


def test_scale_takes_the_ranges_it_is_given():
    batch = {"s1": np.array([-1000], np.int16), "s2": np.array([3000], np.int16)}
    found = scale(batch, Scaling(s1_db=(-20.0, 0.0), s2=(0.1, 0.5)))
    np.testing.assert_allclose([found["s1"][0], found["s2"][0]], [0.5, 0.5], rtol=1e-6)


def test_missing_is_zero_even_where_its_code_lies_within_the_range():
    stored = np.array([cube.NODATA], np.int16)
    found = scale({"s1": stored, "s2": stored}, Scaling(s1_db=(-400.0, 0.0), s2=(-4.0, 0.0)))
    assert [float(found[k][0]) for k in ("s1", "s2", "s1_valid", "s2_valid")] == [0, 0, 0, 0]


@pytest.mark.parametrize("sensor", ["s1", "s2"])
def test_every_stored_value_scales_to_a_number_between_0_and_1(sensor):
    stored = np.arange(-(2**15), 2**15).astype(np.int16)
    batch = scale({"s1": stored, "s2": stored}, Scaling())
    values = np.asarray(batch[sensor])
    assert values.dtype == np.float32
    assert ((values >= 0) & (values <= 1)).all()  # false for NaN
    assert (np.diff(values[1:]) >= 0).all()
    assert np.flatnonzero(np.asarray(batch[f"{sensor}_valid"]) == 0).tolist() == [0]
    assert values[0] == 0


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (1.0, 0.0)])
def test_an_empty_range_is_refused(bounds):
    with pytest.raises(ValueError, match="config.scaling.s2: expected low < high"):
        Scaling(s2=bounds)
