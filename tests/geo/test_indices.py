"""The table of indices: values by hand, what is missing, and names."""

import jax.numpy as jnp
import numpy as np
import pytest

from cropmap_jax.geo import indices
from cropmap_jax.geo.sensors import SENSORS, SENTINEL

S1, S2 = SENSORS["s1"], SENSORS["s2"]
ALL = tuple(indices.INDICES.values())


def test_indices_are_their_formulas():
    # B2 to B12: an ordinary vegetated pixel.
    s2 = np.array([0.03, 0.06, 0.04, 0.10, 0.25, 0.30, 0.36, 0.38, 0.20, 0.10])
    found = indices.compute(s2, S2, ALL)
    np.testing.assert_array_equal(found[:10], s2)
    ndvi, ndmi, ndre, ndti, ngrdi = 0.32 / 0.40, 0.16 / 0.56, 0.26 / 0.46, 0.10 / 0.30, 0.02 / 0.10
    np.testing.assert_allclose(found[10:], [ndvi, ndmi, ndre, ndti, ngrdi], rtol=1e-12)
    np.testing.assert_allclose(indices.compute(np.array([-9.0, -15.5]), S1, ALL)[2:], [-6.5])


@pytest.mark.parametrize("xp", [np, jnp])
def test_an_index_is_missing_where_a_band_is_or_where_it_has_no_value(xp):
    s2 = np.full((3, 10), 0.2)
    s2[1, S2.bands.index("B8")] = np.nan
    s2[2] = 0  # 0 / 0
    found = np.asarray(indices.compute(xp.asarray(s2), S2, ALL, xp))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1, 10:]).tolist() == [True, True, True, False, False]
    assert np.isnan(found[2, 10:]).all() and np.isfinite(found[2, :10]).all()


def test_each_index_stands_behind_the_bands_of_its_own_sensor():
    assert [index.name for index in indices.of_sensor(ALL, S1)] == ["cross_ratio"]
    values = np.zeros((2, 10))
    assert indices.compute(values, S2, indices.of_sensor(ALL, S1)) is values


@pytest.mark.parametrize(
    ("names", "sensors", "message"),
    [
        (("nvdi",), SENTINEL, "c: expected indices among .*found 'nvdi'; did you mean 'ndvi'"),
        ((3,), SENTINEL, "c: expected indices among .*found 3;"),
        (("ndvi", "ndvi"), SENTINEL, "c: expected each index once"),
        (("ndvi",), (S1,), r"c: ndvi needs B8, B4 of sensor s2, found s1 \(VV VH\)"),
    ],
)
def test_names_that_cannot_be_cost_one_line(names, sensors, message):
    with pytest.raises(ValueError, match=message):
        indices.find(names, sensors, "c")


def test_a_registered_index_is_found():
    own = indices.Index("own", "Own", "s1", ("VV",), lambda vv: vv, "nowhere")
    try:
        assert indices.register(own) is indices.register(own)
        assert indices.find(["own"], SENTINEL, "c") == (own,)
        with pytest.raises(ValueError, match="'ndvi': expected a new name"):
            indices.register(indices.Index("ndvi", "", "s1", ("VV",), lambda vv: vv, ""))
    finally:
        indices.INDICES.pop("own")
