"""Stored numbers to network inputs, on the device: scaled, missing values 0 next to their mask.

Either by physical ranges, by which a network means the same by 0.4 everywhere; or standardised,
by statistics of the pixels that it was trained on. Both are stored with the network: nothing is
ever scaled by what an image holds itself, so the change from month to month survives (a per-image
min-max loses it).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cropmap_jax.data import checks
from cropmap_jax.data.examples import Batch
from cropmap_jax.geo import indices
from cropmap_jax.geo.indices import Index
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.training import neighbourhoods

Scaling = Mapping[str, tuple[float, float]]
"""By sensor, the range of values in its unit that maps to [0, 1]; values outside are clipped."""

Statistics = Mapping[str, tuple[Any, Any]]
"""By sensor, mean and standard deviation, [T, bands + indices] each, in the units of the values;
NaN where no training pixel has a value."""
CLIP = 10.0
"""Standard deviations that an input may be from its mean: beyond are faults of the images."""


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


def scale(
    batch: Batch,
    sensors: Sequence[Sensor],
    scaling: Scaling,
    found: Sequence[Index] = (),
    statistics: Statistics | None = None,
    sides: Sequence[int] = (1,),
    margin: int = 0,
) -> Batch:
    """Scales stored pixels, adds indices and splits off validity.

    Args:
      batch: "pixels" by sensor [B, T, H, W, bands] as stored, and whatever else.
      sensors: that are used; pixels of others are dropped.
      scaling: physical ranges, for inputs that are not standardised.
      found: indices, which follow the bands of their sensor.
      statistics: to standardise with; None: physical ranges to [0, 1].
      sides: of squares around each pixel, see `neighbourhoods`; 1 is the pixel itself.
      margin: pixels at each edge that are seen in squares around others, and not returned.

    Returns:
      The batch with "pixels" float32 [B, T, h, w, sides x (bands + indices)], 0 where missing: one
      side after the other, means of the bands and indices of these means. And "valid", float32 of
      the same shapes, 1 where a value is there. Standardised values lie within +-CLIP; a band or an
      index that has no statistics counts as missing.
    """

    def one(sensor: Sensor, side: int) -> tuple[jax.Array, jax.Array]:
        stored, (low, high) = batch["pixels"][sensor.name], scaling[sensor.name]
        if side == 1:
            stored = neighbourhoods.inner(stored, margin)
            valid, values = stored != sensor.nodata, stored.astype(jnp.float32) / sensor.scale
        else:
            valid, values = neighbourhoods.means(stored, sensor, side, margin)
        own = indices.of_sensor(found, sensor)
        if own:
            values = indices.compute(jnp.where(valid, values, jnp.nan), sensor, own, jnp)
            valid = jnp.isfinite(values)
        if statistics is not None:
            # The arrays are constants of the compiled step.
            mean, std = (
                np.array(part, np.float32)[:, None, None, :] for part in statistics[sensor.name]
            )
            valid = valid & np.isfinite(mean)
            unit = jnp.clip((values - np.nan_to_num(mean)) / np.nan_to_num(std, nan=1), -CLIP, CLIP)
        elif own:
            lows, highs = (
                np.array([(low, high)[i]] * len(sensor.bands) + [x.range[i] for x in own])
                for i in (0, 1)
            )
            unit = jnp.clip((values - lows) / (highs - lows), 0.0, 1.0)
        else:
            unit = jnp.clip((values - low) / (high - low), 0.0, 1.0)
        # Missing becomes 0 by selection, only after scaling: never a product with a missing value.
        return jnp.where(valid, unit, 0.0), valid.astype(jnp.float32)

    pixels, valid = {}, {}
    for sensor in sensors:
        scaled = [one(sensor, side) for side in sides]
        if len(scaled) == 1:
            pixels[sensor.name], valid[sensor.name] = scaled[0]
        else:
            own = (jnp.concatenate(part, axis=-1) for part in zip(*scaled, strict=True))
            pixels[sensor.name], valid[sensor.name] = own
    return {**batch, "pixels": pixels, "valid": valid}
