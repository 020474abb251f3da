"""Values of a user's Dataset as a cube stores them: bands found, decoded, masked, composited."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from cropmap_jax.api.convention import TIME
from cropmap_jax.geo import composites
from cropmap_jax.geo.periods import Period
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.sources.ingest import plausible, satellites

POWER = "power"
"""Unit of backscatter that is not in dB."""


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How numbers become values in a sensor's unit.

    Args:
      bands: the variable of a band, by the band's name; None for a band that is not there.
      scale, offset: by sensor or band: value = number * scale + offset; 1 and 0 where not named.
      units: by sensor: "power" of backscatter that is not in dB.
    """

    bands: Mapping[str, str | None]
    scale: Mapping[str, float]
    offset: Mapping[str, float]
    units: Mapping[str, str]

    def of(self, table: Mapping[str, float], sensor: Sensor, band: str, default: float) -> float:
        """A number of a band, else of its sensor."""
        return float(table.get(band, table.get(sensor.name, default)))


def find_variables(
    value: xr.Dataset, sensor: Sensor, decoding: Decoding, known: Mapping[tuple[str, str], str]
) -> dict[str, str | None]:
    """The variable of each band of a sensor, None of one that is named as missing.

    Looked for, in this order: what `bands` says, the name that read_cube gives it, and that with
    two digits (B02) or in small letters.
    """
    found: dict[str, str | None] = {}
    for band in sensor.bands:
        own = known[sensor.name, band]
        key = own if own in decoding.bands else band
        if key in decoding.bands:
            found[band] = decoding.bands[key]
            continue
        padded = f"{band[0]}{band[1:]:>02}" if band[1:].isdecimal() else band
        names = dict.fromkeys((own, band, padded, band.lower(), padded.lower()))
        there = [name for name in names if name in value.data_vars]
        if there:
            found[band] = there[0]
    return found


def check_variables(
    value: xr.Dataset, sensor: Sensor, found: Mapping[str, str | None], where: str
) -> None:
    """Requires a variable of every band, or word that there is none.

    Raises:
      ValueError: names the bands that are missing, and what is there.
    """
    there = ", ".join(map(str, value.data_vars)) or "none"
    missing = [band for band in sensor.bands if band not in found]
    if missing:
        raise ValueError(
            f"{where}: expected bands {', '.join(sensor.bands)} of {sensor.title}, found no "
            f"{', '.join(missing)} among {there}; bands={{'{missing[0]}': 'NAME'}} says what a "
            f"band is called, None that it is not there"
        )
    for band, name in found.items():
        if name is not None and name not in value.data_vars:
            raise ValueError(
                f"{where}: bands: expected a variable as {band}, found {name!r}, which is not "
                f"among {there}"
            )


def stored(
    value: xr.Dataset,
    sensor: Sensor,
    found: Mapping[str, str | None],
    decoding: Decoding,
    hidden: np.ndarray | None,
    where: str,
) -> np.ndarray:
    """Numbers in the sensor's stored unit, not rounded; power as it is.

    In that unit, as `fetch` computes: numbers that were stored once are exact in it.

    Args:
      value: `time`, `y`, `x` of each variable.
      sensor: whose bands.
      found: from `find_variables`.
      decoding: scales, offsets and units.
      hidden: bool [T, H, W], what is masked; None for nothing.
      where: what to name in an error.

    Returns:
      float32 [T, H, W, bands], NaN where missing.

    Raises:
      ValueError: numbers that cannot be in the unit that they are said to be in.
    """
    power = decoding.units.get(sensor.name) == POWER
    shape = tuple(value.sizes[axis] for axis in (TIME, "y", "x"))
    out = np.full((*shape, len(sensor.bands)), np.nan, np.float32)
    factor = 1.0 if power else sensor.scale
    for i, band in enumerate(sensor.bands):
        name = found[band]
        if name is None:
            continue
        own = numbers(value[name], where)
        scale = decoding.of(decoding.scale, sensor, band, 1.0)
        offset = decoding.of(decoding.offset, sensor, band, 0.0)
        out[..., i] = own * np.float32(scale * factor) + np.float32(offset * factor)
    if hidden is not None:
        out[hidden] = np.nan
    _check_typical(out / factor, sensor, power, where)
    return out


def numbers(array: xr.DataArray, where: str) -> np.ndarray:
    """A variable as float32 [time, y, x], NaN where it is declared as missing.

    Raises:
      ValueError: other dimensions, or no numbers.
    """
    if set(array.dims) != {TIME, "y", "x"}:
        raise ValueError(
            f"{where}: expected {array.name} with dimensions time, y, x, found "
            f"{', '.join(map(str, array.dims))}"
        )
    array = array.transpose(TIME, "y", "x")
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{where}: expected numbers as {array.name}, found {array.dtype}")
    raw = array.to_numpy()
    out: np.ndarray = np.array(raw, np.float32)
    for key in ("_FillValue", "nodata", "missing_value"):
        for about in (array.attrs, array.encoding):
            fill: Any = about.get(key)
            # Of what was decoded, xarray keeps in `encoding` the number that has become NaN.
            decoded = about is array.encoding and raw.dtype.kind == "f"
            if fill is not None and not decoded and np.isfinite(fill):
                out[raw == raw.dtype.type(fill)] = np.nan
    out[~np.isfinite(out)] = np.nan
    return out


def _check_typical(values: np.ndarray, sensor: Sensor, power: bool, where: str) -> None:
    """Refuses numbers whose median is no value that the sensor measures."""
    there = values[np.isfinite(values)]
    if not len(there):
        return
    low, high = sensor.range
    # Twice as far as a network's inputs reach: clouds and water lie within that.
    low, high = low - (high - low), high + (high - low)
    if power:
        low, high = 0.0, 100.0
    typical = float(np.median(there))
    if not low <= typical <= high:
        unit = "linear power" if power else sensor.unit
        raise ValueError(
            f"{where}: expected {sensor.title} in {unit}, found a median of {typical:g}; "
            f"scale={{'{sensor.name}': 0.0001}} and offset make values of numbers, "
            f"units={{'{sensor.name}': 'power'}} is for backscatter that is not in dB"
        )


def describe_loud(values: np.ndarray, sensor: Sensor, dates: Sequence[dt.date]) -> str:
    """Whether backscatter can hardly be dB, as `ingest` judges it; "" where it can.

    Args:
      values: from `stored`, not power.
      sensor: whose values.
      dates: first day of each observation or period.
    """
    loud = satellites.product(sensor).count_loud(values, satellites.Units())
    text = "" if loud is None else plausible.describe_loud(loud, dates)
    return f"{text}; is it units={{'{sensor.name}': 'power'}}?" if text else ""


def finish(
    values: np.ndarray,
    sources: Sequence[Period] | None,
    targets: tuple[Period, ...],
    sensor: Sensor,
    power: bool,
) -> np.ndarray:
    """Composites of values, if they are observations, as a cube stores them.

    Backscatter in power counts where both of its bands are there and above 0, and is averaged as
    power; all else is composited as the sensor says, as `fetch` does.

    Args:
      values: from `stored`.
      sources: days of the observations; None: they are composites of the targets.
      targets: periods of the cube.
      sensor: whose values.
      power: whether they are linear power.

    Returns:
      [P, H, W, bands] of the sensor's dtype, its no-data where missing.
    """
    if power:
        with np.errstate(invalid="ignore"):
            values = np.where((values > 0).all(-1, keepdims=True), values, np.float32(np.nan))
        if sources is not None:
            shape = (len(targets), *values.shape[1:])
            index, made = composites.assign(sources, targets), np.full(shape, np.nan, np.float32)
            for target in np.unique(index[index >= 0]):
                made[target] = composites.mean(values[index == target])
            values = made
        return sensor.encode(composites.linear_to_db(values))
    if sources is not None:
        if sensor.compositing == "mean_power":
            values, _ = composites.composite(
                values / np.float32(sensor.scale), sources, targets, sensor
            )
            return sensor.encode(values)
        values, _ = composites.composite(values, sources, targets, sensor)
    return sensor.store(values)
