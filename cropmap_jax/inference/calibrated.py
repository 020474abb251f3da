"""Probabilities that mean what they say: a network's own, rescaled by what validation showed.

    exclusive          q_i = f_i(p_i) r_i / sum_j f_j(p_j) r_j,  j over classes and none of these
    one by one         odds(q_i) = odds(f_i(p_i)) r_i

f is p^(1/T) (temperature scaling: Guo et al. 2017, On calibration of modern neural networks, ICML,
written for probabilities in place of logits), for classes one by one sigmoid(a logit(p) + b) with
a = 1/T, b = 0 or with a and b per class (Platt 1999, Probabilistic outputs for support vector
machines), or a rising step function per class (isotonic regression: Zadrozny & Elkan 2002,
Transforming classifier scores into accurate multiclass probability estimates, KDD, who also divide
by the sum). r is 1, or the ratio of how common a class is on all ground and on annotated ground
(Saerens, Latinne & Decaestecker 2002, Neural Computation 14, 21-41).
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference.predictors import Example, Predictor

TEMPERATURE, PLATT, ISOTONIC = "temperature", "platt", "isotonic"
METHODS = (TEMPERATURE, PLATT, ISOTONIC)
STEPS = 4096
"""Entries of the table that a step function is looked up in: a quarter of a thousandth apart."""
_LEAST = float(np.finfo(np.float32).tiny)
LOGIT = 1e-7
"""How near to 0 and 1 a probability counts as that number when its odds are taken."""

Knots = tuple[tuple[float, ...], tuple[float, ...]]
"""A rising function: where (from 0 to 1) and its values there; linear between, flat beyond."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How probabilities are rescaled.

    Args:
      method: one of METHODS.
      exclusive, none_of_these: whether classes exclude each other, and whether what they lack to 1
        is that of none of these, see `losses.Loss`.
      temperature: T.
      platt: per class (a, b); None for a = 1/T, b = 0. Only of classes one by one.
      knots: per column (classes, then none of these where it has one) of an isotonic f; None for
        p^(1/T).
      ratios: r per column; empty for 1.
    """

    method: str
    exclusive: bool
    none_of_these: bool
    temperature: float
    platt: tuple[tuple[float, float] | None, ...] = ()
    knots: tuple[Knots | None, ...] = ()
    ratios: tuple[float, ...] = ()

    @property
    def has_none(self) -> bool:
        """Whether none of these is a column of its own."""
        return self.exclusive and self.none_of_these

    def __call__(self, probability: np.ndarray) -> np.ndarray:
        """Rescales probabilities.

        Args:
          probability: float32 [..., classes]; NaN stays NaN.

        Returns:
          float32 [..., classes].
        """
        flat = np.asarray(probability, np.float32).reshape(-1, probability.shape[-1])
        with np.errstate(all="ignore"):  # what nobody has seen may be anything
            if self.exclusive:
                out = self._exclusive(flat)
            else:
                out = self.columns(flat)
        return out.reshape(probability.shape)

    def _exclusive(self, flat: np.ndarray) -> np.ndarray:
        ones = np.ones(flat.shape[1], np.float32)
        # A product with ones: numpy sums few columns a fifth as fast.
        total = flat @ ones
        rest = np.maximum(1 - total, 0)[:, None] if self.has_none else None
        found, none = self._scaled(flat, rest)
        # Of a step function, NaN is lost; the sum still knows it.
        total *= 0
        total += found @ ones
        if none is not None:
            total += none[:, 0]
        found /= np.maximum(total, _LEAST)[:, None]
        return found

    def _scaled(
        self, flat: np.ndarray, rest: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """f(p) r of the classes and, if given, of none of these."""
        count = flat.shape[1]
        tables = self.tables or [None] * (count + 1)
        found = self._each(flat, tables[:count])
        none = None if rest is None else self._each(rest, tables[count:])
        if self.ratios:
            found *= np.array(self.ratios[:count], np.float32)
            if none is not None:
                none *= np.float32(self.ratios[-1])
        return found, none

    def _each(self, values: np.ndarray, tables: Sequence[np.ndarray | None]) -> np.ndarray:
        if all(table is None for table in tables):
            return _power(values, self.temperature)
        out = np.empty_like(values)
        for i, table in enumerate(tables):
            own = values[:, i]
            out[:, i] = _power(own, self.temperature) if table is None else _look_up(table, own)
        return out

    def columns(self, whole: np.ndarray) -> np.ndarray:
        """Rescales [N, columns], with none of these where it has a column; float32 [N, columns]."""
        given = np.asarray(whole, np.float32)
        with np.errstate(all="ignore"):
            if not self.exclusive:
                return self._one_by_one(given)
            found, _ = self._scaled(given, None)
            shares: np.ndarray = found / np.maximum(found.sum(-1, keepdims=True), _LEAST)
            return shares

    def _one_by_one(self, flat: np.ndarray) -> np.ndarray:
        logit = _logit(flat)
        found = logit / np.float32(self.temperature)
        for i, pair in enumerate(self.platt):
            if pair is not None:
                found[:, i] = np.float32(pair[0]) * logit[:, i] + np.float32(pair[1])
        for i, table in enumerate(self.tables):
            if table is not None:
                found[:, i] = _logit(_look_up(table, flat[:, i])) + 0 * flat[:, i]
        if self.ratios:
            found += np.log(np.array(self.ratios, np.float32))
        out: np.ndarray = 1 / (1 + np.exp(-found))
        return out

    @functools.cached_property
    def tables(self) -> list[np.ndarray | None]:
        """Of each column the table that its step function is looked up in; empty for none."""
        at = np.arange(STEPS + 1) / STEPS
        return [
            None if one is None else np.interp(at, one[0], one[1]).astype(np.float32)
            for one in self.knots
        ]


def _power(values: np.ndarray, temperature: float) -> np.ndarray:
    """p^(1/T); 0 stays 0. Half the time of numpy's power."""
    out: np.ndarray = np.log(values)
    out *= np.float32(1 / temperature)
    np.exp(out, out=out)
    return out


def _logit(values: np.ndarray) -> np.ndarray:
    near = np.clip(values, LOGIT, 1 - LOGIT)
    out: np.ndarray = np.log(near / (1 - near))
    return out


def _look_up(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The nearest entry; of NaN the first one."""
    found: np.ndarray = table.take((values * STEPS + 0.5).astype(np.int32), mode="clip")
    return found


class CalibratedPredictor:
    """A predictor whose probabilities are rescaled; a `Predictor`.

    Args:
      predictor: the run's own.
      calibration: how.
      classes: how many the legend has; what a predictor answers beyond these (members of combined
        runs) is left as it is.
    """

    def __init__(self, predictor: Predictor, calibration: Calibration, classes: int):
        self.sensors: Sequence[Sensor] = predictor.sensors
        self.halo, self.batch_size = predictor.halo, predictor.batch_size
        self.per_group = predictor.per_group
        self._predictor, self._calibration, self._classes = predictor, calibration, classes

    def predict(self, examples: list[Example], group: int = 0) -> list[np.ndarray]:
        """See `Predictor.predict`."""
        return [self._rescale(one) for one in self._predictor.predict(examples, group)]

    def _rescale(self, answer: np.ndarray) -> np.ndarray:
        found = self._calibration(answer[..., : self._classes])
        if answer.shape[-1] == self._classes:
            return found
        return np.concatenate([found, answer[..., self._classes :]], -1)
