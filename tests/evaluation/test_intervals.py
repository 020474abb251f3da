"""Intervals hold the truth as often as they say, and are silent where there is nothing to say."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from cropmap_jax.evaluation import figures, intervals
from cropmap_jax.evaluation.metrics import Counts


def simulated(rng, draws: int, blocks: int, hard: bool = True) -> np.ndarray:
    """int64 [draws, blocks, 4]: blocks of other sizes, shares of the crop, recalls and errors."""
    a, b, c, d = (8, 3, 1.5, 20) if hard else (30, 1, 1, 150)
    shape = (draws, blocks)
    size = rng.lognormal(7, 0.6, shape)
    positive = (size * rng.beta(2, 8, shape)).astype(int)
    negative = size.astype(int) - positive
    tp = rng.binomial(positive, rng.beta(a, b, shape))
    fp = rng.binomial(negative, rng.beta(c, d, shape))
    return np.stack([tp, fp, positive - tp, negative - fp], -1)


def truth(hard: bool) -> float:
    """F1 of as many blocks as make no difference any more."""
    counts = simulated(np.random.default_rng(1), 1, 400_000, hard).sum((0, 1))
    return float(intervals.scores(counts.astype(float))["f1"])


def coverage(blocks: int, draws: int, hard: bool, seed: int = 0) -> float:
    """How many of the intervals hold the truth."""
    expected, weights = truth(hard), intervals.weights(blocks)
    held = 0
    for counts in simulated(np.random.default_rng(seed), draws, blocks, hard).astype(float):
        value = float(intervals.scores(counts.sum(0))["f1"])
        drawn = intervals.scores(weights @ counts)["f1"]
        found = intervals.figure(value, drawn, blocks, blocks, "block")
        held += found.low <= expected <= found.high
    return held / draws


@pytest.mark.parametrize("hard", [True, False])
def test_of_200_intervals_95_in_100_hold_the_truth(hard):
    # F1 0.72 and 0.97. Of 200 draws at 95 %, three standard deviations are 4.6 %.
    assert 0.92 <= coverage(40, 200, hard) <= 0.98


def test_with_five_blocks_they_are_wide_enough():
    # Percentiles of the draws hold it in 81 % of the cases.
    assert 0.92 <= coverage(5, 500, True) <= 0.98
    assert 0.92 <= coverage(5, 500, False) <= 0.98


def test_so_is_the_interval_of_a_mean_over_crops():
    expected, rng, held = truth(True), np.random.default_rng(0), 0
    for _ in range(150):
        # [blocks, crops, 4]: four crops that are equally hard.
        counts = simulated(rng, 4, 5).swapaxes(0, 1)
        found = figures.Resampled(counts, "block").macro(range(4))[0]["f1"]
        held += found.low <= expected <= found.high
    # Three standard deviations of 150 draws at 95 % are 5.3 %.
    assert held / 150 >= 0.89


def test_an_interval_is_that_of_t_on_the_scale_of_the_arcsine():
    drawn = np.array([0.5, 0.7, 0.6, 0.8])
    found = intervals.figure(0.6, drawn, 5, 4, "block")
    spread = np.arcsin(np.sqrt(drawn)).std(ddof=1)
    half = stats.t.ppf(0.975, 3) * np.sqrt(5 / 4) * spread
    expected = np.sin(np.arcsin(np.sqrt(0.6)) + np.array([-half, half])) ** 2
    assert [found.low, found.high] == pytest.approx(expected.tolist())
    # Between -1 and 1, as differences and kappa are.
    wide = intervals.figure(0.2, 2 * drawn - 1, 5, 4, "block", span=(-1.0, 1.0))
    assert [wide.low, wide.high] == pytest.approx((2 * expected - 1).tolist())


def test_an_interval_stays_between_0_and_1():
    found = intervals.figure(0.02, np.array([0, 0.02, 0.1, 0.3]), 2, 2, "block")
    assert (found.low, found.high) == (0, 1)
    # Few draws that are much higher do not make it all of 0 to 1.
    drawn = np.array([0.0] * 20 + [0.002] * 60 + [0.05] * 20)
    assert intervals.figure(0.002, drawn, 30, 30, "field").high < 0.1


def test_no_interval_without_a_reason():
    drawn = np.array([0.5, np.nan, 0.6])
    assert intervals.figure(None, drawn, 3, 3, "block", "why").reason == "why"
    assert "one field alone" in intervals.figure(0.5, drawn, 3, 1, "field").reason
    same = intervals.figure(1.0, np.ones(3), 3, 3, "block")
    assert same.value == 1 and same.low is None and "every block says the same" in same.reason
    assert intervals.figure(0.5, drawn, 3, 3, "block").reason is None
    assert intervals.figure(0.5, np.full(3, np.nan), 3, 3, "block").low is None


def test_draws_are_the_same_for_the_same_seed_and_of_as_many_groups():
    one = intervals.weights(7)
    assert (one == intervals.weights(7)).all() and (one.sum(1) == 7).all()
    assert one.shape == (intervals.DRAWS, 7) and abs(one.mean(0) - 1).max() < 0.15
    assert (one != intervals.weights(7, seed=1)).any()


def test_scores_of_draws_are_those_of_counts():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 3, (200, 4))
    found = intervals.scores(counts.astype(float))
    for i, row in enumerate(counts.tolist()):
        expected = Counts(*row).scores()
        for name in figures.NAMES:
            value = None if np.isnan(found[name][i]) else found[name][i]
            assert value == expected[name], (row, name)


@pytest.mark.parametrize("seed", range(20))
def test_scores_equal_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    true, shown = rng.random((2, 40)) < rng.random((2, 1))
    tp, fp = int((true & shown).sum()), int((~true & shown).sum())
    fn, tn = int((true & ~shown).sum()), int((~true & ~shown).sum())
    found = Counts(tp=tp, fp=fp, fn=fn, tn=tn).scores()
    if true.any() and not true.all():
        expected = sklearn_metrics.precision_recall_fscore_support(
            true, shown, average="binary", zero_division=np.nan
        )
        assert found["recall"] == pytest.approx(expected[1])
        assert found["f1"] == pytest.approx(expected[2])
        if shown.any():
            assert found["precision"] == pytest.approx(expected[0])
        else:
            assert found["precision"] is None
        assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(true, shown))


def test_columns_are_compared_draw_by_draw():
    # What makes one block worse does so for both columns: only their difference is sure.
    rng = np.random.default_rng(0)
    recall = rng.random(12)
    first = np.stack([100 * recall, 0 * recall, 100 - 100 * recall, 100 + 0 * recall], -1)
    second = first + np.array([-5, 0, 5, 0])
    made = figures.Resampled(np.stack([first, second], 1).round().astype(int).clip(0), "block")
    change = made.change(0, 1)
    assert change.low < change.value < change.high < 0
    apart = [made.figures(column, None)["f1"] for column in (0, 1)]
    assert apart[0].low < apart[1].value and apart[1].high > apart[0].value
    mean, kept = made.macro([0, 1])
    assert kept == [0, 1]
    assert mean["f1"].value == pytest.approx((apart[0].value + apart[1].value) / 2)
    assert made.macro_change([0], [1]) == change


def test_a_crop_in_one_block_has_no_interval():
    counts = np.array([[[5, 1, 2, 9]], [[0, 0, 0, 20]], [[0, 1, 0, 20]]])
    found = figures.Resampled(counts, "block").figures(0, None)
    assert found["f1"].reason == found["recall"].reason == "no interval: it is of one block alone"
    assert found["precision"].low is not None
    assert "3 blocks" in figures.describe("block", 3)["words"]
    assert "20 pixels" in figures.describe("field", 1)["words"]


def test_a_mean_without_a_value_says_why():
    counts = np.zeros((3, 2, 4), np.int64)
    counts[..., 2:] = 5  # two crops that grow there, and nothing is mapped as them
    found, kept = figures.Resampled(counts, "block").macro([0, 1])
    assert kept == [0, 1] and found["f1"].value == 0
    assert found["precision"].reason == "nothing is mapped as any of them"
    counts[..., 2] = 0
    found, kept = figures.Resampled(counts, "block").macro([0, 1])
    assert kept == [] and found["precision"].reason == "no crop has an F1"


def test_what_is_drawn_in_words():
    one, two = (figures.describe("field", groups)["words"] for groups in (1, 2))
    assert "95 % intervals: 1 field or square of 20 x 20 pixels outside fields of the split" in one
    assert "95 % intervals: 2 fields and squares of 20 x 20 pixels outside fields of" in two
    assert "1 block of" in figures.describe("block", 1)["words"]
