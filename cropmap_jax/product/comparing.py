"""Whether a converted network answers what the run itself does."""

import dataclasses

import numpy as np

from cropmap_jax import runs
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference import calibrated
from cropmap_jax.inference.predictors import Example
from cropmap_jax.product.exporting import Runner
from cropmap_jax.product.program import Program
from cropmap_jax.runs import calibration as calibrations
from cropmap_jax.runs.calibration import Stored
from cropmap_jax.training.checkpoints import Restored

BOUND = 1e-4
"""Largest difference of a probability. Two orders of the same float32 sums differ by some 1e-6;
what is wrong, such as two bands exchanged, by far more."""
CALIBRATED = 1e-3
"""The same where probabilities are rescaled: p^(1/T) is steep near 0. Maps store whole percents."""
SHARE = 0.999
"""Of the probabilities that obey the bound where step functions rescale them: rounding may fall to
either side of a step. Else all do."""
_MISSING = 0.15
_SIDE, _SEED = 24, 0


@dataclasses.dataclass(frozen=True)
class Difference:
    """Of a converted network from its run.

    Args:
      largest: of all probabilities.
      counted: the one that has to obey the bound; the largest but of step functions.
      bound: what it may be.
      pixels: how many were compared.
    """

    largest: float
    counted: float
    bound: float
    pixels: int

    def to_json(self) -> dict[str, float]:
        """JSON-ready."""
        return {"largest": self.largest, "bound": self.bound, "pixels": self.pixels}


def compare(run: Restored, stored: Stored | None, program: Program, runner: Runner) -> Difference:
    """Compares on drawn pixels, of two shapes, with missing values and a pixel never seen.

    Args:
      run: the checkpoint.
      stored: its calibration.
      program: what was converted.
      runner: the converted network.

    Raises:
      ValueError: one says nothing where the other has a probability.
    """
    own = dataclasses.replace(run, recipe=program.recipe)  # in float32
    classes = len(run.recipe.legend)
    predictor = calibrations.apply(runs.predictor_of(own, 2), stored, classes)
    apart: list[np.ndarray] = []
    for number, shape in enumerate(_shapes(program)):
        arrays = sample(program, shape, _SEED + number)
        found = runner(arrays)
        expected = np.stack(predictor.predict(examples(program, arrays)))
        expected[_never_seen(arrays[:-1])] = np.nan
        if found.shape != expected.shape or (np.isnan(found) != np.isnan(expected)).any():
            raise ValueError(
                f"the converted network answers [{', '.join(map(str, found.shape))}] with "
                f"{np.isnan(found).sum()} missing, expected "
                f"[{', '.join(map(str, expected.shape))}] with {np.isnan(expected).sum()}"
            )
        apart.append(np.abs(found - expected)[np.isfinite(expected)])
    whole = np.sort(np.concatenate(apart))
    steps = stored is not None and stored.calibration.method == calibrated.ISOTONIC
    last = int(SHARE * (len(whole) - 1)) if steps else -1
    bound = BOUND if stored is None else CALIBRATED
    return Difference(float(whole[-1]), float(whole[last]), bound, len(whole) // classes)


def sample(program: Program, shape: tuple[int, int, int], seed: int) -> list[np.ndarray]:
    """Arguments of a program, drawn from the ranges of its sensors.

    Args:
      program: what takes them.
      shape: batch, height and width.
      seed: of the draw.

    Returns:
      float32 [B, T, H, W, bands] of each sensor, some missing band by band and some whole, those of
      the first pixel all; and int32 [B, T] days of the year.
    """
    rng = np.random.default_rng(seed)
    batch, height, width = shape
    periods = program.recipe.num_periods
    arrays = []
    for one in program.recipe.sensors:
        whole = (batch, periods, height, width, len(one.bands))
        values = _drawn(one, whole, rng)
        values[rng.random(whole[:-1]) < _MISSING] = np.nan
        values[rng.random(whole) < _MISSING / 10] = np.nan
        values[:, :, 0, 0] = np.nan
        arrays.append(values)
    ends = rng.integers(0, 365, (batch, 1))
    days = (ends + np.arange(periods) * 365 // 12) % 365 + 1
    return [*arrays, days.astype(np.int32)]


def _drawn(sensor: Sensor, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    low, high = sensor.range
    values = rng.uniform(low, high, shape).astype(np.float32)
    return sensor.decode(sensor.encode(values))


def _shapes(program: Program) -> list[tuple[int, int, int]]:
    """Two that nothing but the rule for height and width has in common."""
    multiple = program.recipe.size_multiple
    side = -(-_SIDE // multiple) * multiple
    return [(2, side, side), (1, side + multiple, 2 * side)]


def examples(program: Program, arrays: list[np.ndarray]) -> list[Example]:
    """The arguments of a program as a run's predictor takes them: stored, one by one."""
    *values, days = arrays
    sensors = program.recipe.sensors
    wanted = np.ones(values[0].shape[2:4], bool)
    return [
        Example(
            pixels={s.name: s.encode(x[i]) for s, x in zip(sensors, values, strict=True)},
            day_of_year=days[i],
            wanted=wanted,
        )
        for i in range(len(days))
    ]


def _never_seen(values: list[np.ndarray]) -> np.ndarray:
    seen = [np.isfinite(x).any((1, 4)) for x in values]
    never: np.ndarray = ~np.logical_or.reduce(seen)
    return never
