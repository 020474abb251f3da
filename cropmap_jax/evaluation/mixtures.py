"""Weights of a mixture of methods that make what is known most likely, and whether they are worth
having: numbers only."""

import dataclasses

import numpy as np
from scipy import optimize

MIN_FIELDS = 20
"""With fewer fields there are not two for each of the FOLDS: nothing is told from so few."""
FOLDS = 10
"""Parts that the fields are dealt into: each is judged by weights that have not seen it."""
DRAWS = 2000
"""Draws of fields, with replacement, that the interval of the gain comes from."""
LEVEL = 0.95
"""Of that interval."""
SURELY = 1e-6
"""What a probability of 0 counts as: a forest's says no more than that none of its trees agreed."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """What each method says about what is known: the probability that it gives to the truth.

    Args:
      truth: float [N, methods], probability of what is true in N questions.
      weights: float [N], how much each question counts.
      fields: int [N], number of the field that each is about, from 0.
    """

    truth: np.ndarray
    weights: np.ndarray
    fields: np.ndarray

    def of(self, chosen: np.ndarray) -> "Answers":
        """Some of the questions."""
        return Answers(self.truth[chosen], self.weights[chosen], self.fields[chosen])


@dataclasses.dataclass(frozen=True)
class Gain:
    """How much better fitted weights are than equal ones on fields that they have not seen.

    Args:
      mean: of the log-likelihood of a question, in nats.
      low, high: its interval.
    """

    mean: float
    low: float
    high: float


def log_likelihood(answers: Answers, weights: np.ndarray) -> float:
    """Mean of log sum_m w_m p_im over the questions i by their weight, in nats."""
    return float(np.average(_log(answers, weights), weights=answers.weights))


def _log(answers: Answers, weights: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.log(np.clip(answers.truth, SURELY, 1) @ weights)
    return found


def fit(answers: Answers) -> np.ndarray:
    """Weights of the mixture that make the answers most likely.

        maximise sum_i v_i log sum_m w_m p_im  over  w >= 0, sum w = 1

    The sum is concave, so that the maximum is the only one but for methods that answer alike.
    Source: Redner & Walker, Mixture densities, maximum likelihood and the EM algorithm, SIAM Review
    26 (1984), of the problem; solved by scipy's SLSQP, since EM takes thousands of steps where
    methods are nearly alike.

    Returns:
      float64 [methods].
    """
    count = answers.truth.shape[1]
    truth = np.clip(answers.truth, SURELY, 1).astype(np.float64)
    share = answers.weights / answers.weights.sum()

    def lost(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = truth @ weights
        return -float(share @ np.log(mixed)), -(truth.T @ (share / mixed))

    found = optimize.minimize(
        lost,
        np.full(count, 1 / count),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    weights: np.ndarray = np.clip(found.x, 0, None)
    weights[weights < 1e-4] = 0  # what a solver leaves of a zero costs a whole prediction
    whole: np.ndarray = weights / weights.sum()
    return whole


def gain(answers: Answers, seed: int = 0) -> Gain:
    """The gain of fitted weights over equal ones, by cross-validation over fields.

    Fields are dealt into FOLDS; each fold is judged by weights that the others gave. The interval
    is of the mean when fields are drawn again (the percentile bootstrap, Efron & Tibshirani 1993):
    pixels of one field say little about other fields.

    Args:
      answers: of at least MIN_FIELDS fields.
      seed: of the folds and draws.
    """
    rng = np.random.default_rng(seed)
    count = int(answers.fields.max()) + 1
    fold = rng.permutation(count) % FOLDS
    equal = np.full(answers.truth.shape[1], 1 / answers.truth.shape[1])
    better = np.zeros(len(answers.weights))
    for number in range(FOLDS):
        own = fold[answers.fields] == number
        weights = fit(answers.of(~own))
        held = answers.of(own)
        better[own] = _log(held, weights) - _log(held, equal)
    won = np.bincount(answers.fields, answers.weights * better, count)
    size = np.bincount(answers.fields, answers.weights, count)
    means = np.empty(DRAWS)
    for i in range(DRAWS):
        drawn = rng.integers(0, count, count)
        means[i] = won[drawn].sum() / size[drawn].sum()
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Gain(float(won.sum() / size.sum()), float(low), float(high))
