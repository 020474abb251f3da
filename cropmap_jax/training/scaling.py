"""Fixed, physical scaling, applied on the device: stored integers to network inputs and masks.

Dataset statistics are reported, never applied: a network then means the same by 0.4 everywhere,
and the change of backscatter from month to month survives (a per-image min-max loses it).
"""

import dataclasses

import jax
import jax.numpy as jnp

from cropmap_jax.data import checks

_NODATA = -32768
_S1_STEPS = 100.0  # stored int16 is dB * 100
_S2_STEPS = 10000.0  # stored int16 is reflectance * 10000


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Physical ranges that map to [0, 1]; values outside are clipped.

    Args:
      s1_db: dB range of VV and VH, the seed system's [-25, 10].
      s2: surface reflectance range.
    """

    s1_db: tuple[float, float] = (-25.0, 10.0)
    s2: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self):
        check(dataclasses.asdict(self))


def check(value: dict, name: str = "config.scaling") -> None:
    """Requires two finite numbers, the lower one first, for each sensor.

    Args:
      value: {"s1_db": (low, high), "s2": (low, high)}.
      name: where it stands, for the message.

    Raises:
      ValueError: says which is wrong.
    """
    sensors = ("s1_db", "s2")
    checks.keys(name, value, sensors)
    for sensor in sensors:
        where, both = f"{name}.{sensor}", value[sensor]
        checks.values(where, both, 2)
        for bound in both:
            checks.real(where, bound, -1000, 1000)
        if not both[0] < both[1]:
            raise ValueError(f"{where}: expected low < high, found {both[0]}, {both[1]}")


def scale(batch: dict, scaling: Scaling) -> dict:
    """Scales stored pixels and splits off their validity.

    Args:
      batch: s1 int16 [B, T, H, W, 2], s2 int16 [B, T, H, W, 10] and whatever else.
      scaling: physical ranges.

    Returns:
      The batch with s1 and s2 float32 in [0, 1], 0 where missing, and s1_valid, s2_valid float32
      of the same shapes, 1 where a value is there.
    """

    def one(stored: jax.Array, steps: float, low: float, high: float):
        valid = stored != _NODATA
        unit = (stored.astype(jnp.float32) / steps - low) / (high - low)
        # Missing becomes 0 by selection, only after scaling: never a product with a missing value.
        return jnp.where(valid, jnp.clip(unit, 0.0, 1.0), 0.0), valid.astype(jnp.float32)

    s1, s1_valid = one(batch["s1"], _S1_STEPS, *scaling.s1_db)
    s2, s2_valid = one(batch["s2"], _S2_STEPS, *scaling.s2)
    return batch | {"s1": s1, "s2": s2, "s1_valid": s1_valid, "s2_valid": s2_valid}
