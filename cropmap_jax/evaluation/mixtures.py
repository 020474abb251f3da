"""Weights of a pool of methods that make what is known most likely, and whether they are worth
having: numbers only."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import optimize, special

from cropmap_jax.inference.pools import SURELY

MIN_FIELDS = 20
"""With fewer fields there are not two for each of the FOLDS: nothing is told from so few."""
FOLDS = 10
"""Parts that the fields are dealt into: each is judged by weights that have not seen it."""
DRAWS = 2000
"""Draws of fields, with replacement, that the interval of the gain comes from."""
LEVEL = 0.95
"""Of that interval."""


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
    """Mean over the questions by their weight of the log of what the pool gives to the truth, in
    nats."""
    return float(np.average(_log(answers, weights), weights=answers.weights))


def _odds(answers: Answers) -> np.ndarray:
    """float64 [N, methods], log of the odds that each gives to the truth."""
    found: np.ndarray = special.logit(np.clip(answers.truth, SURELY, 1 - SURELY).astype(np.float64))
    return found


def _log(answers: Answers, weights: np.ndarray) -> np.ndarray:
    found: np.ndarray = special.log_expit(_odds(answers) @ weights)
    return found


def fit(answers: Answers, kinds: Sequence[int]) -> np.ndarray:
    """Weights of the pool that make the answers most likely, the same within a kind.

        maximise sum_i v_i log s(sum_m w_m logit p_im)  over  w >= 0, sum w = 1

    with s the logistic function: the `Pool` of questions with two outcomes. The sum is concave, so
    that the maximum is the only one but for methods that answer alike. Methods of one kind, such as
    seeds of one network, are as good as each other before anything is known; weights of their own
    fit what a few fields happen to say.

    Args:
      answers: of the methods.
      kinds: number of the kind of each, from 0.

    Returns:
      float64 [methods].
    """
    member = np.eye(max(kinds) + 1)[list(kinds)]
    share_of = member / member.sum(0)  # [methods, kinds]
    odds = _odds(answers) @ share_of
    count = odds.shape[1]
    share = answers.weights / answers.weights.sum()

    def lost(weights: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = odds @ weights
        return -float(share @ special.log_expit(mixed)), -(odds.T @ (share * special.expit(-mixed)))

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
    whole: np.ndarray = share_of @ (weights / weights.sum())
    return whole


def gain(answers: Answers, kinds: Sequence[int], seed: int = 0) -> Gain:
    """The gain of fitted weights over equal ones, by cross-validation over fields.

    Fields are dealt into FOLDS; each fold is judged by weights that the others gave. The interval
    is of the mean when fields are drawn again (the percentile bootstrap, Efron & Tibshirani 1993):
    pixels of one field say little about other fields.

    Args:
      answers: of at least MIN_FIELDS fields.
      kinds: as for `fit`.
      seed: of the folds and draws.
    """
    rng = np.random.default_rng(seed)
    count = int(answers.fields.max()) + 1
    fold = rng.permutation(count) % FOLDS
    equal = np.full(answers.truth.shape[1], 1 / answers.truth.shape[1])
    better = np.zeros(len(answers.weights))
    for number in range(FOLDS):
        own = fold[answers.fields] == number
        weights = fit(answers.of(~own), kinds)
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
