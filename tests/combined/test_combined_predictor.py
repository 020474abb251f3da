"""The weighted mean of several predictors, of members that see the same or other sensors."""

import numpy as np
import pytest
from inference.stand_ins import StandIn

from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.inference.combined import CombinedPredictor

RADAR, OPTICAL = SENTINEL


def saying(values, sensors=SENTINEL, halo=0, batch_size=2) -> StandIn:
    def answer(examples):
        return [np.tile(np.float32(values), (*e["wanted"].shape, 1)) for e in examples]

    return StandIn(answer, halo, batch_size, sensors=sensors)


def example(shape=(2, 3)) -> dict:
    pixels = {s.name: np.ones((2, *shape, len(s.bands)), s.dtype) for s in SENTINEL}
    return {
        "pixels": pixels,
        "day_of_year": np.zeros(2, np.int32),
        "wanted": np.ones(shape, bool),
    }


def test_the_mean_is_that_of_the_members_by_weight():
    members = [saying([0.8, 0.2], halo=3, batch_size=4), saying([0.4, 0.1], halo=16)]
    both = CombinedPredictor(members, (0.75, 0.25), SENTINEL, 2)
    assert (both.halo, both.batch_size, both.per_group) == (16, 2, False)
    for found in both.predict([example(), example((1, 1))]):
        np.testing.assert_allclose(found[0, 0], [0.7, 0.175], rtol=1e-6)
        assert found.dtype == np.float32
    apart = CombinedPredictor(members, (0.75, 0.25), SENTINEL, 2, apart=True)
    (found,) = apart.predict([example()])
    np.testing.assert_allclose(found[1, 2], [0.7, 0.175, 0.8, 0.2, 0.4, 0.1], rtol=1e-6)


def test_a_member_without_weight_is_asked_only_where_it_is_shown():
    members = [saying([0.8]), saying([0.4])]
    (found,) = CombinedPredictor(members, (1, 0), SENTINEL, 1).predict([example()])
    assert members[1].batches == [] and found[0, 0] == pytest.approx([0.8])
    (found,) = CombinedPredictor(members, (1, 0), SENTINEL, 1, True).predict([example()])
    np.testing.assert_allclose(found[0, 0], [0.8, 0.8, 0.4], rtol=1e-6)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (1, 0)])
def test_a_member_that_has_seen_nothing_of_a_pixel_has_no_part_in_it(weights):
    asked = example()
    asked["pixels"][OPTICAL.name][:, 0, 0] = OPTICAL.nodata
    asked["pixels"][RADAR.name][:, 0, 1] = RADAR.nodata
    optical = saying([0.8], (OPTICAL,))
    both = CombinedPredictor([optical, saying([0.4], (RADAR,))], weights, SENTINEL, 1)
    (found,) = both.predict([asked])
    mean = 0.8 * weights[0] + 0.4 * weights[1]
    # Not even where what is left has no weight of its own: it is all there is to ask.
    expected = [[0.4, 0.8, mean], [mean] * 3]
    np.testing.assert_allclose(found[..., 0], expected, rtol=1e-6)
