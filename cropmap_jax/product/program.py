"""A network with all that it takes to be used: from values in their units to probabilities.

What a cube stores, a network's `inputs` and a calibration apply, is inside; what is handed in is
reflectance and dB, NaN where missing.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference import calibrated
from cropmap_jax.inference.calibrated import Calibration
from cropmap_jax.training import steps
from cropmap_jax.training.checkpoints import Restored
from cropmap_jax.training.recipe import Recipe

DAYS, OUTPUT = "day_of_year", "probability"
AXES = ("batch", "time", "height", "width", "bands")
_LEAST = float(np.finfo(np.float32).tiny)


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A function of arrays; computes in float32, whatever the run trained in.

    Args:
      recipe: how inputs become probabilities; its model's dtype is float32.
      variables: of the network.
      calibration: None for the network's own probabilities.
    """

    recipe: Recipe
    variables: dict[str, Any]
    calibration: Calibration | None = None

    @property
    def names(self) -> list[str]:
        """Of the arguments, in order: the sensors, then DAYS."""
        return [*(sensor.name for sensor in self.recipe.sensors), DAYS]

    def shapes(self, batch: Any, height: Any, width: Any) -> list[jax.ShapeDtypeStruct]:
        """Of the arguments.

        Args:
          batch, height, width: whole numbers, or symbolic dimensions of `jax.export`.
        """
        periods = self.recipe.num_periods
        each = [
            jax.ShapeDtypeStruct((batch, periods, height, width, len(one.bands)), jnp.float32)
            for one in self.recipe.sensors
        ]
        return [*each, jax.ShapeDtypeStruct((batch, periods), jnp.int32)]

    def __call__(self, *arrays: jax.Array) -> jax.Array:
        """Probabilities of the classes.

        Args:
          arrays: of each sensor float32 [B, T, H, W, bands] in its unit, NaN where missing; and
            int32 [B, T], the day of the year in the middle of each period, 0 before the first.

        Returns:
          float32 [B, H, W, classes]; NaN where no sensor has any value.
        """
        *values, days = arrays
        sensors = self.recipe.sensors
        pixels = {s.name: stored(s, x) for s, x in zip(sensors, values, strict=True)}
        step = steps.make_predict_step(self.recipe)
        found = step(self.variables, {"pixels": pixels, "day_of_year": days})
        if self.calibration is not None:
            found = rescale(self.calibration, found)
        seen = [jnp.isfinite(x).any((1, 4)) for x in values]
        there = jnp.stack(seen).any(0)
        return jnp.where(there[..., None], found, jnp.nan)


def of_run(run: Restored, calibration: Calibration | None) -> Program:
    """The program of a network's checkpoint."""
    recipe = dataclasses.replace(run.recipe, model={**run.recipe.model, "dtype": "float32"})
    variables = jax.tree.map(np.asarray, run.variables)
    return Program(recipe, variables, calibration)


def stored(sensor: Sensor, values: jax.Array) -> jax.Array:
    """Values as a cube stores them, `Sensor.encode` on the device; int32.

    A network has never seen others, and sums over squares of whole numbers are exact.
    """
    info = np.iinfo(sensor.dtype)
    low, high = info.min + (sensor.nodata == info.min), info.max - (sensor.nodata == info.max)
    there = jnp.isfinite(values)
    scaled = jnp.where(there, values, 0.0) * np.float32(sensor.scale)
    whole = jnp.clip(jnp.round(scaled), np.float32(low), np.float32(high)).astype(jnp.int32)
    return jnp.where(there, whole, np.int32(sensor.nodata))


def rescale(calibration: Calibration, probability: jax.Array) -> jax.Array:
    """`Calibration.__call__` on the device: the same formulas, of arrays without NaN.

    Args:
      calibration: how.
      probability: float32 [..., classes].
    """
    count = probability.shape[-1]
    columns = [probability[..., i] for i in range(count)]
    if not calibration.exclusive:
        return jnp.stack(_one_by_one(calibration, columns), -1)
    if calibration.has_none:
        columns.append(jnp.maximum(1 - probability.sum(-1), 0))
    tables = _tables(calibration, len(columns))
    ratios = calibration.ratios or (1.0,) * len(columns)
    found = [
        np.float32(ratio)
        * (_power(x, calibration.temperature) if table is None else _look_up(table, x))
        for x, table, ratio in zip(columns, tables, ratios, strict=True)
    ]
    total = jnp.maximum(sum(found[1:], found[0]), np.float32(_LEAST))
    return jnp.stack([one / total for one in found[:count]], -1)


def _one_by_one(calibration: Calibration, columns: Sequence[jax.Array]) -> list[jax.Array]:
    pairs = calibration.platt or (None,) * len(columns)
    tables = _tables(calibration, len(columns))
    ratios = calibration.ratios or (1.0,) * len(columns)
    out = []
    for x, pair, table, ratio in zip(columns, pairs, tables, ratios, strict=True):
        logit = _logit(x)
        if table is not None:
            found = _logit(_look_up(table, x))
        elif pair is not None:
            found = np.float32(pair[0]) * logit + np.float32(pair[1])
        else:
            found = logit / np.float32(calibration.temperature)
        # The logarithm of a ratio of 0 is minus infinity: such a class has probability 0.
        out.append(jnp.zeros_like(x) if ratio == 0 else _sigmoid(found + np.float32(np.log(ratio))))
    return out


def _sigmoid(x: jax.Array) -> jax.Array:
    return 1 / (1 + jnp.exp(-x))


def _tables(calibration: Calibration, count: int) -> Sequence[np.ndarray | None]:
    return calibration.tables or [None] * count


def _power(values: jax.Array, temperature: float) -> jax.Array:
    return jnp.exp(jnp.log(values) * np.float32(1 / temperature))


def _logit(values: jax.Array) -> jax.Array:
    near = jnp.clip(values, np.float32(calibrated.LOGIT), np.float32(1 - calibrated.LOGIT))
    return jnp.log(near / (1 - near))


def _look_up(table: np.ndarray, values: jax.Array) -> jax.Array:
    at = (values * np.float32(calibrated.STEPS) + np.float32(0.5)).astype(jnp.int32)
    return jnp.asarray(table)[jnp.clip(at, 0, calibrated.STEPS)]
