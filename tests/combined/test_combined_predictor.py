"""One answer of several predictors, of members that see the same or other sensors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference.stand_ins import StandIn

from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.inference.combined import CombinedPredictor
from cropmap_jax.inference.pools import SURELY, Pool

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


POOLS = {"each": Pool(), "softmax": Pool(True), "none": Pool(True, True)}


def test_log_probabilities_are_averaged_as_on_paper():
    # Odds of 4 and of 1: their root is 2, a probability of 2 / 3. Of classes that exclude each
    # other the roots .8 * .5, .1 * .2 and, for none of these, .1 * .3 are divided by their sum.
    two = [0.8, 0.1], [0.5, 0.2]
    found = {
        name: pool.probability(sum(pool.evidence(np.array(one)) for one in two) / 2)
        for name, pool in POOLS.items()
    }
    assert found["each"][0] == pytest.approx(2 / 3)
    roots = np.sqrt([0.8 * 0.5, 0.1 * 0.2, 0.1 * 0.3])
    np.testing.assert_allclose(found["none"], roots[:2] / roots.sum())
    np.testing.assert_allclose(found["softmax"], roots[:2] / roots[:2].sum())


@given(st.integers(0, 10_000), st.sampled_from(sorted(POOLS)))
def test_several_that_say_the_same_say_it_together(seed, name):
    given = np.random.default_rng(seed).dirichlet(np.ones(4))
    own = given[: 4 if name == "softmax" else 3]
    pool = POOLS[name]
    again = pool.probability(0.7 * pool.evidence(own) + 0.3 * pool.evidence(own))
    # But for what is less than SURELY, and what that leaves the others.
    np.testing.assert_allclose(again, own, atol=4 * SURELY)


def test_a_zero_is_no_veto():
    for pool in POOLS.values():
        both = pool.evidence(np.array([0.0, 0.3])) + pool.evidence(np.array([0.9, 0.1]))
        assert pool.probability(both / 2)[0] > 0.03


def test_members_answer_together_by_weight():
    members = [saying([0.8, 0.2], halo=3, batch_size=4), saying([0.5, 0.2], halo=16)]
    both = CombinedPredictor(members, (0.75, 0.25), SENTINEL, 2)
    assert (both.halo, both.batch_size, both.per_group) == (16, 2, False)
    # Odds of 4 ** 0.75.
    expected = [4**0.75 / (1 + 4**0.75), 0.2]
    for found in both.predict([example(), example((1, 1))]):
        np.testing.assert_allclose(found[0, 0], expected, rtol=1e-6)
        assert found.dtype == np.float32
    apart = CombinedPredictor(members, (0.75, 0.25), SENTINEL, 2, apart=True)
    (found,) = apart.predict([example()])
    np.testing.assert_allclose(found[1, 2], [*expected, 0.8, 0.2, 0.5, 0.2], rtol=1e-6)


def test_a_member_without_weight_is_asked_only_where_it_is_shown():
    members = [saying([0.8]), saying([0.4])]
    (found,) = CombinedPredictor(members, (1, 0), SENTINEL, 1).predict([example()])
    assert members[1].batches == [] and found[0, 0] == pytest.approx([0.8])
    (found,) = CombinedPredictor(members, (1, 0), SENTINEL, 1, apart=True).predict([example()])
    np.testing.assert_allclose(found[0, 0], [0.8, 0.8, 0.4], rtol=1e-6)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (1, 0)])
def test_a_member_that_has_seen_nothing_of_a_pixel_has_no_part_in_it(weights):
    asked = example()
    asked["pixels"][OPTICAL.name][:, 0, 0] = OPTICAL.nodata
    asked["pixels"][RADAR.name][:, 0, 1] = RADAR.nodata
    optical = saying([0.8], (OPTICAL,))
    both = CombinedPredictor([optical, saying([0.4], (RADAR,))], weights, SENTINEL, 1)
    (found,) = both.predict([asked])
    odds = 4 ** weights[0] * (2 / 3) ** weights[1]
    mean = odds / (1 + odds)
    # Not even where what is left has no weight of its own: it is all there is to ask.
    expected = [[0.4, 0.8, mean], [mean] * 3]
    np.testing.assert_allclose(found[..., 0], expected, rtol=1e-6)
