"""All probabilities of annotated pixels as of every date, next to what `evaluate` asks."""

import dataclasses

import numpy as np
import pytest
from evaluation.test_cube_predictions import grounds
from inference.stand_ins import StandIn
from training import small_data
from training.small_data import NUMBER, PERIOD, day

from cropmap_jax.evaluation import cube_predictions, dated
from cropmap_jax.evaluation.dated import Outputs
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE

OUTPUTS = Outputs(3, exclusive=True, none_of_these=True)
DATES = np.array(
    [
        [day("2022-06-01"), day("2022-03-01"), day("2022-06-01")],
        [day("2022-07-01"), day("2022-04-01"), day("2022-07-01")],
    ]
)


def dataset_of(made):
    data = small_data.make_dataset(made)
    return dataclasses.replace(data, cubes=[row | {"block": row["id"]} for row in data.cubes])


def say(examples):
    """Probabilities that differ by place, period and class, and leave something."""
    out = []
    for example in examples:
        last = example["pixels"]["s1"][-1].astype(float)
        at = (0.01 * last[..., NUMBER] + 0.1 * last[..., PERIOD]) % 1
        out.append(np.stack([0.3 * at, 0.2 * (1 - at), 0.4 * at * (1 - at)], -1))
    return out


def test_each_crop_on_its_own_date_is_what_evaluate_asks():
    data = small_data.make_dataset(grounds())
    found = list(dated.by_date(StandIn(say), "test", data, 3, DATES))
    expected = cube_predictions.predict_dataset(
        StandIn(say), "test", data, 3, [0, 1, 2], DATES, lambda index, label: False
    )
    for cube, one in zip(found, expected, strict=True):
        assert sorted(crop for part in cube for crop in part.crops) == [0, 1, 2]
        for part in cube:
            assert part.prediction.probability.shape[-1] == 3
            assert len(set(part.prediction.as_of)) == 1
            for crop in part.crops:
                np.testing.assert_array_equal(
                    part.prediction.probability[..., crop], one.probability[..., crop]
                )
                assert part.prediction.as_of[0] == one.as_of[crop]


def test_rows_are_annotated_pixels_of_each_date_whose_class_is_planted():
    made = grounds()
    data = dataset_of(made)
    planting = np.array([[0, 0, day("2022-05-01")]] * 2)
    data = dataclasses.replace(data, planting=planting)
    sample = dated.gather(StandIn(say), OUTPUTS, "test", data, 3, DATES)
    label = np.concatenate([ground.label.ravel() for ground in made])
    annotated, third = (label != IGNORE).sum(), (label == 2).sum()
    # On the early date of the second crop the third is not planted: its pixels have no row.
    assert len(sample) == 2 * annotated - third
    early = next(g for g, own in enumerate(sample.groups) if own == (1,))
    own = sample.group == early
    assert not (sample.truth[own] == 2).any() and not sample.possible[own, 2].any()
    assert (sample.probability[own, 2] == 0).all()
    np.testing.assert_allclose(sample.probability.sum(1), 1, atol=1e-6)
    assert (sample.truth == 3).sum() == 2 * (label == NONE_OF_THESE).sum()
    # Two crops share the late date, which counts twice.
    assert sample.weight[~own].sum() > 1.5 * sample.weight[own].sum()


@pytest.mark.parametrize("every", [1, 3])
def test_a_field_counts_as_the_root_of_its_pixels_however_many_are_looked_at(every):
    data = small_data.make_dataset(grounds(1))
    ((one, *_),) = dated.by_date(StandIn(say), "test", data, 3, DATES[:1])
    found = dated.pixels_of(one.prediction, every)
    whole = dated.pixels_of(one.prediction)
    for field in np.unique(whole.field):
        size = (whole.field == field).sum()
        assert found.weight[found.field == field].sum() == pytest.approx(np.sqrt(size))
        assert (found.field == field).sum() == -(-size // every)


def test_without_none_of_these_its_pixels_say_nothing():
    outputs = Outputs(3, exclusive=True, none_of_these=False)
    data = dataset_of(grounds())
    sample = dated.gather(StandIn(say), outputs, "test", data, 3, DATES)
    assert (sample.truth < 3).all() and sample.probability.shape[1] == 3
    np.testing.assert_allclose(sample.probability.sum(1), 1, atol=1e-6)
    alone = Outputs(3, exclusive=False, none_of_these=False)
    sample = dated.gather(StandIn(say), alone, "test", data, 3, DATES)
    assert (sample.truth == 3).any() and sample.probability.shape[1] == 3
