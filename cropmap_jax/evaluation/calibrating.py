"""Fits a calibration on annotated pixels, and tells by cross-validation what it is worth."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import optimize, special

from cropmap_jax.evaluation.dated import Outputs, Sample
from cropmap_jax.inference import calibrated
from cropmap_jax.inference.calibrated import ISOTONIC, PLATT, TEMPERATURE, Calibration, Knots

MIN_FIELDS = 20
"""With fewer there are not two for each of the FOLDS, and nothing is told from so few."""
FOLDS = 10
FEW = 5
"""Of fewer fields a block has no temperature of its own."""
MIN_BLOCKS = 5
"""From so many blocks on, each fold is whole blocks; else fields, which know more of each other."""
ENOUGH_FIELDS, ENOUGH_BLOCKS = 30, 3
"""Of a class, for a step function of its own: it has some ten steps, a temperature is one number.

Those of none of these and of the other classes together count as its negatives.
"""
DRAWS, LEVEL = 1000, 0.95
"""Of the bootstrap over fields of a gain, and of its interval."""
SURELY = 1e-6
"""What a probability of 0 counts as in a log loss."""
COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures that are looked for."""

Fit = Callable[[Sample], Calibration]


@dataclasses.dataclass(frozen=True)
class Found:
    """A calibration, and how it came about.

    Args:
      calibration: fitted on all rows.
      held_out: float32 [N, columns], probabilities of each row by a calibration of its method that
        has not seen its fold.
      how: JSON-ready: folds, log losses, temperatures of the folds, why this method.
    """

    calibration: Calibration
    held_out: np.ndarray
    how: dict[str, Any]


def rescaled(calibration: Calibration, sample: Sample) -> np.ndarray:
    """Probabilities of rows after a calibration, float32 [N, columns], see `Outputs.whole`."""
    found = calibration.columns(sample.probability)
    classes = sample.outputs.classes
    found[:, :classes] = np.where(sample.possible, found[:, :classes], 0)
    if sample.outputs.exclusive:
        found /= np.maximum(found.sum(-1, keepdims=True), np.finfo(np.float32).tiny)
    return found


def losses(outputs: Outputs, whole: np.ndarray, sample: Sample) -> np.ndarray:
    """Log loss of each row in nats, float64 [N]; of classes one by one, their mean.

    Args:
      outputs: what the columns are.
      whole: float [N, columns].
      sample: the rows.
    """
    rows = np.arange(len(sample))
    if outputs.exclusive:
        right = whole[rows, sample.truth].astype(np.float64)
        lost: np.ndarray = -np.log(np.clip(right, SURELY, 1))
        return lost
    is_class = sample.truth[:, None] == np.arange(outputs.classes)
    given = np.clip(np.where(is_class, whole, 1 - whole.astype(np.float64)), SURELY, 1)
    possible = sample.possible
    each: np.ndarray = -(np.log(given) * possible).sum(1) / np.maximum(possible.sum(1), 1)
    return each


def raw(outputs: Outputs) -> Calibration:
    """The calibration that changes nothing."""
    return Calibration(TEMPERATURE, outputs.exclusive, outputs.none_of_these, 1.0)


def fit_temperature(sample: Sample) -> Calibration:
    """The temperature of the least log loss, which has one minimum in 1/T (it is convex there)."""
    outputs = sample.outputs
    share = sample.weight / sample.weight.sum()

    def lost(log_t: float) -> float:
        one = dataclasses.replace(raw(outputs), temperature=float(np.exp(log_t)))
        return float(share @ losses(outputs, rescaled(one, sample), sample))

    bounds = (np.log(COLDEST), np.log(HOTTEST))
    best = optimize.minimize_scalar(lost, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return dataclasses.replace(raw(outputs), temperature=float(np.exp(best.x)))


def fit_platt(sample: Sample) -> Calibration:
    """Slope and offset of the logit of each class that has enough, of the least log loss."""
    base = fit_temperature(sample)
    pairs: list[tuple[float, float] | None] = []
    for crop in range(sample.outputs.classes):
        if not _enough(sample, crop):
            pairs.append(None)
            continue
        own = sample.possible[:, crop]
        values = np.clip(sample.probability[own, crop].astype(np.float64), SURELY, 1 - SURELY)
        logit, truth = special.logit(values), sample.truth[own] == crop
        share = sample.weight[own] / sample.weight[own].sum()

        def lost(at: np.ndarray, x: Any = logit, y: Any = truth, v: Any = share) -> Any:
            z = at[0] * x + at[1]
            gap = v * (special.expit(z) - y)
            return float(v @ (np.logaddexp(0, z) - y * z)), np.array([gap @ x, gap.sum()])

        start = [1 / base.temperature, 0.0]
        bounds = [(1 / HOTTEST, 1 / COLDEST), (-20, 20)]  # never a falling one
        best = optimize.minimize(lost, start, jac=True, method="L-BFGS-B", bounds=bounds).x
        pairs.append((float(best[0]), float(best[1])))
    return dataclasses.replace(base, method=PLATT, platt=tuple(pairs))


def fit_isotonic(sample: Sample) -> Calibration:
    """The rising step function of least squares of each column that has enough."""
    base = fit_temperature(sample)
    knots = [
        _steps(sample, column) if _enough(sample, column) else None
        for column in range(sample.outputs.columns)
    ]
    return dataclasses.replace(base, method=ISOTONIC, knots=tuple(knots))


def _enough(sample: Sample, column: int) -> bool:
    """Whether a column has what a function of its own needs."""
    own = sample.truth == column
    fields = len(np.unique(sample.field[own]))
    return fields >= ENOUGH_FIELDS and len(np.unique(sample.block[own])) >= ENOUGH_BLOCKS


def _steps(sample: Sample, column: int) -> Knots:
    """Ends are kept as far from 0 and 1 as so many fields can tell: 1 / (fields + 2)."""
    from sklearn.isotonic import IsotonicRegression  # it takes seconds to import

    classes = sample.outputs.classes
    own = sample.possible[:, column] if column < classes else np.ones(len(sample), bool)
    least = 1 / (len(np.unique(sample.field[own])) + 2)
    found = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
    values, truth = sample.probability[own, column], sample.truth[own] == column
    found.fit(values.astype(np.float64), truth.astype(np.float64), sample.weight[own])
    return (
        tuple(float(x) for x in found.X_thresholds_),
        tuple(float(y) for y in found.y_thresholds_),
    )


_FITS: dict[str, Fit] = {
    TEMPERATURE: fit_temperature,
    PLATT: fit_platt,
    ISOTONIC: fit_isotonic,
}


def methods(outputs: Outputs) -> list[str]:
    """The methods that there are for such outputs, the plainest first."""
    return [TEMPERATURE, ISOTONIC] if outputs.exclusive else list(calibrated.METHODS)


def folds(sample: Sample, seed: int = 0) -> tuple[np.ndarray, str]:
    """Fold of each row, int64 [N], and what folds are made of: "blocks" or "fields"."""
    unit, kind = (
        (sample.block, "blocks") if sample.blocks >= MIN_BLOCKS else (sample.field, "fields")
    )
    _, dense = np.unique(unit, return_inverse=True)
    count = int(dense.max()) + 1
    return (np.random.default_rng(seed).permutation(count) % FOLDS)[dense.ravel()], kind


def cross_validate(sample: Sample, fit: Fit, fold: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """What calibrations say about rows of folds that they have not seen.

    Returns:
      float32 [N, columns], and the temperature of each fold.
    """
    out = np.empty_like(sample.probability)
    temperatures = []
    for own in _each(fold):
        one = fit(sample.of(~own))
        temperatures.append(one.temperature)
        out[own] = rescaled(one, sample.of(own))
    return out, temperatures


def _each(fold: np.ndarray) -> Iterator[np.ndarray]:
    for number in np.unique(fold):
        yield fold == number


def gain(better: np.ndarray, sample: Sample, seed: int = 0) -> tuple[float, float, float]:
    """Mean of what each row gains, and its interval when fields are drawn again.

    Args:
      better: float64 [N].
      sample: the rows.
      seed: of the draws (percentile bootstrap, Efron & Tibshirani 1993).
    """
    _, field = np.unique(sample.field, return_inverse=True)
    count = int(field.max()) + 1
    won = np.bincount(field.ravel(), sample.weight * better, count)
    size = np.bincount(field.ravel(), sample.weight, count)
    drawn = np.random.default_rng(seed).integers(0, count, (DRAWS, count))
    means = won[drawn].sum(1) / size[drawn].sum(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(won.sum() / size.sum()), float(low), float(high)


def calibrate(sample: Sample, method: str = "auto") -> Found:
    """Fits a calibration.

    By itself it is a temperature, unless a method of more numbers has a lower log loss on fields
    (or blocks) that it has not seen, by more than chance: the interval of its gain lies above 0.

    Args:
      sample: the rows, of at least MIN_FIELDS fields.
      method: one of `methods`, or "auto".

    Raises:
      ValueError: too few fields, a method that there is not for such outputs, or one that no class
        has enough fields for.
    """
    outputs = sample.outputs
    if sample.fields < MIN_FIELDS:
        raise ValueError(
            f"expected {MIN_FIELDS} annotated fields or more that were seen, found {sample.fields}"
        )
    offered = methods(outputs)
    if method not in ("auto", *offered):
        raise ValueError(
            f"--method: expected {', '.join(offered)} or auto for this run, found {method!r}"
        )
    some = any(_enough(sample, column) for column in range(outputs.columns))
    if method not in ("auto", TEMPERATURE) and not some:
        raise ValueError(
            f"--method {method}: expected a class with {ENOUGH_FIELDS} fields in {ENOUGH_BLOCKS} "
            f"blocks, found none; a temperature needs fewer"
        )
    tried = [TEMPERATURE] if not some else offered if method == "auto" else [TEMPERATURE, method]
    fold, kind = folds(sample)
    held, losses_of = {"none": sample.probability}, {}
    temperatures: list[float] = []
    for name in dict.fromkeys(tried):
        held[name], every = cross_validate(sample, _FITS[name], fold)
        temperatures = temperatures or every
    for name, whole in held.items():
        losses_of[name] = losses(outputs, whole, sample)
    chosen, gains = (TEMPERATURE if method == "auto" else method), {}
    for name in held:
        if name == TEMPERATURE:
            continue
        mean, low, high = gain(losses_of[TEMPERATURE] - losses_of[name], sample)
        gains[name] = {"mean": mean, "low": low, "high": high}
        if method == "auto" and name != "none" and low > 0 and mean > _best(gains, chosen):
            chosen = name
    how = {
        "folds": kind,
        "count": len(np.unique(fold)),
        "log_loss": {n: float(np.average(v, weights=sample.weight)) for n, v in losses_of.items()},
        "gain_over_temperature": gains,
        "temperature_of_folds": temperatures,
        "temperature_of_blocks": _of_blocks(sample),
    }
    return Found(_FITS[chosen](sample), held[chosen], how)


def _of_blocks(sample: Sample) -> list[float]:
    """What each block of at least five fields would have had by itself.

    Where they lie far apart, so will what another place needs.
    """
    blocks = (sample.of(sample.block == number) for number in np.unique(sample.block))
    return [fit_temperature(own).temperature for own in blocks if own.fields >= FEW]


def _best(gains: dict[str, dict[str, float]], chosen: str) -> float:
    return gains[chosen]["mean"] if chosen in gains else 0.0
