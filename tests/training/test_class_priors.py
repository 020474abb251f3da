"""Shares of classes on unknown ground: by hand, and on grounds whose shares are known."""

import numpy as np
import pytest
from training import small_data
from training.small_data import Ground

from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.training import class_priors


def test_best_bin_by_hand():
    # Of 200 positives all score 2; of 100 unknown 30 do, and 70 score 1. At 2 the ratio is 0.3 / 1,
    # at 1 it is 1 / 1, and the slack is the same: s* = 2.
    positive, unknown = np.full(200, 2.0), np.repeat([2.0, 1.0], [30, 70])
    assert class_priors.best_bin(positive, unknown) == pytest.approx(0.3)
    # Scores that say nothing: everything may be the class.
    assert class_priors.best_bin(np.ones(50), np.ones(50)) == 1
    # Nothing unknown scores as positives do.
    assert class_priors.best_bin(np.full(50, 2.0), np.ones(50)) == 0


def test_few_positives_at_the_top_are_no_evidence():
    # One of 400 positives scores 3 and no unknown pixel: 0 / (1 / 400), whose slack is 400 times as
    # large; at 2 it is 0.25 / 1.
    positive = np.append(np.full(399, 2.0), 3.0)
    assert class_priors.best_bin(positive, np.repeat([2.0, 1.0], [100, 300])) == pytest.approx(0.25)


def make_data(shares, annotated):
    """Eight cubes of classes that images tell apart; what is annotated is chosen by class."""
    rng = np.random.default_rng(0)
    grounds, truths = [], []
    for _ in range(8):
        truth = rng.choice(4, (32, 32), p=[*shares, 1 - sum(shares)])
        known = rng.random(truth.shape) < np.array([*annotated, 0.02])[truth]
        states = np.where(truth == 3, NONE_OF_THESE, truth).astype(np.uint8)
        grounds.append(Ground("train", np.where(known, states, np.uint8(IGNORE))))
        truths.append(truth)
    data = small_data.make_dataset(grounds, chip=32)
    for record, truth in zip(data.records["train"], truths, strict=True):
        colour = np.array([1000, 3000, 5000, 7000])[truth]
        noise = rng.normal(0, 200, record["s2"].shape)
        record["s2"] = (colour[None, :, :, None] * np.linspace(0.5, 1, 10) + noise).astype(np.int16)
        record["s2"][..., ::3] -= (np.arange(4) % 2 * 800)[truth][None, :, :, None].astype(np.int16)
    return data


def test_shares_are_those_of_the_ground_and_not_of_what_is_annotated():
    """A rare class is annotated most often, as by teams that look for it."""
    data = make_data((0.05, 0.2, 0.4), (0.5, 0.1, 0.05))
    counts = data.split("train").pixels.sum(0)
    assert counts[0] > 0.8 * counts[2]  # annotated about as often as one eight times as common
    found = class_priors.estimate(data, pixels=8000)
    # The annotated half of the rare class is missing from unknown ground.
    np.testing.assert_allclose(found, [0.03, 0.2, 0.41], atol=0.04)
    assert (found == np.round(found, 4)).all()
    np.testing.assert_array_equal(found, class_priors.estimate(data, pixels=8000))


def test_a_class_of_one_cube_cannot_be_compared():
    label = np.full((8, 8), IGNORE, np.uint8)
    label[0, :3] = 0, 1, 2
    data = small_data.make_dataset([Ground("train", label)])
    with pytest.raises(ValueError, match="^config.unknown.priors: .* rye is annotated in too few"):
        class_priors.estimate(data, pixels=100)
