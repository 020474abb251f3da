"""The table of indices: what is computed from the bands of a pixel, e.g. NDVI, by name.

A network or a baseline names the indices that it takes. They follow the bands of their sensor, as
if they were bands of it. Formulas use operators alone, so that they serve numpy and jax alike.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from cropmap_jax.geo.names import nearest
from cropmap_jax.geo.sensors import Sensor


@dataclasses.dataclass(frozen=True)
class Index:
    """One index.

    Args:
      name: letters, digits and "_".
      title: as people write it.
      sensor: of whose bands it is made.
      bands: names of them, in the order of the formula's arguments.
      formula: from arrays in the sensor's unit, NaN where missing, to an array of the same shape,
        not finite where it is missing.
      source: where the formula is from.
      range: physical range, which maps to [0, 1] where inputs are not standardised.
    """

    name: str
    title: str
    sensor: str
    bands: tuple[str, ...]
    formula: Callable[..., Any]
    source: str
    range: tuple[float, float] = (-1.0, 1.0)


class UnknownIndex(ValueError):
    """The name of an index that there is not, or that is not registered yet."""


def normalised_difference(a: Any, b: Any) -> Any:
    """(a - b) / (a + b)."""
    return (a - b) / (a + b)


def difference(a: Any, b: Any) -> Any:
    """a - b; of decibels, the ratio of two powers."""
    return a - b


def _optical(name: str, title: str, a: str, b: str, source: str) -> Index:
    return Index(name, title, "s2", (a, b), normalised_difference, source)


INDICES: dict[str, Index] = {
    index.name: index
    for index in (
        Index(
            "cross_ratio", "VH / VV (dB)", "s1", ("VH", "VV"), difference,
            "Veloso et al. 2017, Remote Sensing of Environment 199, 415-426",
            (-20.0, 5.0),
        ),
        _optical("ndvi", "NDVI", "B8", "B4", "Rouse et al. 1974, NASA SP-351, 309-317"),
        _optical(
            "ndmi", "NDMI", "B8", "B11",
            "Gao 1996, Remote Sensing of Environment 58, 257-266",
        ),
        _optical(
            "ndre", "NDRE", "B8", "B5",
            "Gitelson and Merzlyak 1994, Journal of Plant Physiology 143, 286-292",
        ),
        _optical(
            "ndti", "NDTI", "B11", "B12", "van Deventer et al. 1997, PE&RS 63, 87-93"
        ),
        _optical(
            "ngrdi", "NGRDI", "B3", "B4",
            "Tucker 1979, Remote Sensing of Environment 8, 127-150",
        ),
    )
}  # fmt: skip
"""The indices that are known by name."""


def register(index: Index) -> Index:
    """Makes an index known by name, and returns it.

    Raises:
      ValueError: another index has that name.
    """
    if INDICES.setdefault(index.name, index) != index:
        raise ValueError(f"index {index.name!r}: expected a new name, found one that is taken")
    return index


def find(names: Iterable[str], sensors: Sequence[Sensor], where: str) -> tuple[Index, ...]:
    """Indices by name, in the order given.

    Args:
      names: none twice; may be none at all.
      sensors: whose bands there are.
      where: what to name in an error, e.g. "config.indices".

    Raises:
      ValueError: begins with `where`, and names what is not known, or which band is not there.
    """
    names = tuple(names)
    bands = {sensor.name: sensor.bands for sensor in sensors}
    for name in names:
        if not isinstance(name, str) or name not in INDICES:
            hint = nearest(name, INDICES) if isinstance(name, str) else ""
            raise UnknownIndex(
                f"{where}: expected indices among {', '.join(INDICES)}, found {name!r:.100}{hint}; "
                f"a module that registers another one is named by --import"
            )
        index = INDICES[name]
        lacking = [band for band in index.bands if band not in bands.get(index.sensor, ())]
        if lacking:
            there = ", ".join(f"{sensor} ({' '.join(own)})" for sensor, own in bands.items())
            raise ValueError(
                f"{where}: {name} needs {', '.join(lacking)} of sensor {index.sensor}, found "
                f"{there}"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"{where}: expected each index once, found {', '.join(names)}")
    return tuple(INDICES[name] for name in names)


def of_sensor(found: Iterable[Index], sensor: Sensor) -> tuple[Index, ...]:
    """Those of some indices that are made of a sensor's bands."""
    return tuple(index for index in found if index.sensor == sensor.name)


def compute(values: Any, sensor: Sensor, found: Iterable[Index], xp: Any = np) -> Any:
    """Bands of a sensor and, behind them, its indices.

    Args:
      values: float [..., bands] in the sensor's unit, NaN where missing.
      sensor: whose values they are.
      found: indices, of this sensor and others.
      xp: numpy, or jax.numpy.

    Returns:
      float [..., bands + indices of the sensor], NaN where missing: an index is, where one of its
      bands is, or where its formula has no value.
    """
    own = of_sensor(found, sensor)
    if not own:
        return values
    at = {band: i for i, band in enumerate(sensor.bands)}
    with np.errstate(divide="ignore", invalid="ignore"):
        computed = [index.formula(*(values[..., at[b]] for b in index.bands)) for index in own]
    stacked = xp.stack(computed, axis=-1)
    return xp.concatenate([values, xp.where(xp.isfinite(stacked), stacked, xp.nan)], axis=-1)
