"""Stored numbers to network inputs, on the device: scaled, missing values 0 next to their mask.

Dataset statistics are reported, never applied: a network then means the same by 0.4 everywhere,
and the change of backscatter from month to month survives (a per-image min-max loses it).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from cropmap_jax.data import checks
from cropmap_jax.data.examples import Batch
from cropmap_jax.geo.sensors import Sensor

Scaling = Mapping[str, tuple[float, float]]
"""By sensor, the range of values in its unit that maps to [0, 1]; values outside are clipped."""


def default(sensors: Sequence[Sensor]) -> dict[str, tuple[float, float]]:
    """The physical range of each sensor."""
    return {sensor.name: sensor.range for sensor in sensors}


def check(value: Any, sensors: Sequence[Sensor], name: str = "config.scaling") -> None:
    """Requires two finite numbers, the lower one first, for each sensor.

    Args:
      value: {sensor: (low, high)}.
      sensors: that a network uses.
      name: where it stands, for the message.

    Raises:
      ValueError: says which is wrong.
    """
    checks.keys(name, value, [sensor.name for sensor in sensors])
    for sensor, both in value.items():
        where = f"{name}.{sensor}"
        checks.values(where, both, 2)
        for bound in both:
            checks.real(where, bound, -1e6, 1e6)
        if not both[0] < both[1]:
            raise ValueError(f"{where}: expected low < high, found {both[0]}, {both[1]}")


def scale(batch: Batch, sensors: Sequence[Sensor], scaling: Scaling) -> Batch:
    """Scales stored pixels and splits off their validity.

    Args:
      batch: "pixels" by sensor [B, T, H, W, bands] as stored, and whatever else.
      sensors: that are used; pixels of others are dropped.
      scaling: physical ranges.

    Returns:
      The batch with "pixels" float32 in [0, 1], 0 where missing, and "valid", float32 of the same
      shapes, 1 where a value is there.
    """

    def one(sensor: Sensor) -> tuple[jax.Array, jax.Array]:
        stored, (low, high) = batch["pixels"][sensor.name], scaling[sensor.name]
        valid = stored != sensor.nodata
        unit = (stored.astype(jnp.float32) / sensor.scale - low) / (high - low)
        # Missing becomes 0 by selection, only after scaling: never a product with a missing value.
        return jnp.where(valid, jnp.clip(unit, 0.0, 1.0), 0.0), valid.astype(jnp.float32)

    scaled = {sensor.name: one(sensor) for sensor in sensors}
    pixels, valid = ({name: pair[i] for name, pair in scaled.items()} for i in (0, 1))
    return {**batch, "pixels": pixels, "valid": valid}
