"""A user's Datasets taken apart: sensors, grid, periods, label, calendar; all of it checked."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

import cropmap_jax
from cropmap_jax.api import convention, grids, values
from cropmap_jax.api.convention import BOUNDS, TIME
from cropmap_jax.api.grids import Span
from cropmap_jax.api.values import Decoding
from cropmap_jax.geo import calendars, legend, periods, sensors
from cropmap_jax.geo.legend import IGNORE, Legend
from cropmap_jax.geo.periods import Period
from cropmap_jax.geo.sensors import SENSORS, Sensor

MADE_BY = "cropmap_jax.Cube.from_xarray"
UNLABELLED = Legend("unlabelled", (legend.make_class(0, 0, "unknown"),))
"""Of cubes that are only mapped."""
Harvest = Mapping[str, "dt.date | str | calendars.Season | Sequence[calendars.Season]"]


class Parts:
    """The Datasets of the sensors, of one grid and in order."""

    def __init__(
        self,
        data: xr.Dataset | Mapping[str, xr.Dataset],
        chosen: Sequence[str | Sensor] | None,
        decoding: Decoding,
    ):
        given: dict[str, Any] = {"": data}
        if isinstance(data, Mapping) and not isinstance(data, xr.Dataset):
            given = dict(data)
        for name, one in given.items():
            if not isinstance(one, xr.Dataset):
                raise ValueError(
                    f"data: expected an xarray.Dataset, or one by sensor, found "
                    f"{type(one).__name__}"
                )
            where = f"Dataset of {name}" if name else "Dataset"
            given[name] = grids.upright(one, where)
            if TIME not in given[name].dims:
                raise ValueError(
                    f"{where}: expected a dimension time, found "
                    f"{', '.join(map(str, one.dims)) or 'none'}; .expand_dims(time=[...]) adds it"
                )
        if not given:
            raise ValueError("data: expected a Dataset, found none")
        self._given = given
        self.first = next(iter(given.values()))
        self.facts: dict[str, Any] = convention.read_facts(self.first)
        self.sensors = self._choose(chosen, decoding)
        self.geobox = self._one_grid()

    def of(self, sensor: Sensor) -> tuple[xr.Dataset, str]:
        """The Dataset of a sensor, and what it is called in errors."""
        if "" in self._given:
            return self.first, "Dataset"
        if sensor.name not in self._given:
            raise ValueError(
                f"data: expected a Dataset of {sensor.name}, found {', '.join(self._given)}"
            )
        return self._given[sensor.name], f"Dataset of {sensor.name}"

    def _choose(
        self, chosen: Sequence[str | Sensor] | None, decoding: Decoding
    ) -> tuple[Sensor, ...]:
        known = dict(SENSORS) | {one.name: one for one in self.facts.get("sensors", ())}
        if chosen is not None:
            known |= {one.name: one for one in chosen if isinstance(one, Sensor)}
            wanted = [one.name if isinstance(one, Sensor) else one for one in chosen]
        elif "" not in self._given:
            wanted = list(self._given)
        elif self.facts:
            wanted = [one.name for one in self.facts["sensors"]]
        else:
            names = convention.variable_names(tuple(known.values()))
            wanted = [
                one.name
                for one in known.values()
                if values.find_variables(self.first, one, decoding, names)
            ]
            if not wanted:
                raise ValueError(
                    f"Dataset: expected bands of {' or '.join(known)}, such as B4 or VV, found "
                    f"{', '.join(map(str, self.first.data_vars)) or 'no variable'}; "
                    f"bands={{'B4': 'NAME'}} says what a band is called"
                )
        for name in wanted:
            if name not in known:
                raise ValueError(f"sensors: expected some of {', '.join(known)}, found {name!r}")
        return tuple(known[name] for name in wanted)

    def _one_grid(self) -> Any:
        boxes = {sensor.name: grids.geobox(*self.of(sensor)) for sensor in self.sensors}
        (first, box), *others = boxes.items()
        for name, other in others:
            if other != box:
                raise ValueError(
                    f"data: expected Datasets of one grid, found {first} of {_shown(box)} and "
                    f"{name} of {_shown(other)}; load both with the same geobox"
                )
        return box

    def periods(self, composite: str | None, given: Sequence[Span] | None) -> tuple[Period, ...]:
        """Periods of the cube: of all sensors, or those that reach over all of them."""
        found = {
            sensor.name: grids.target_periods(own, composite, given, where)
            for sensor in self.sensors
            for own, where in [self.of(sensor)]
        }
        (first, spans), *others = found.items()
        for name, other in others:
            if composite is not None and given is None:
                make = grids.COMPOSITES[composite]
                last = max(spans[-1].start, other[-1].start)
                spans = make(min(spans[0].start, other[0].start), last)
            elif other != spans:
                raise ValueError(
                    f"data: expected the same periods of all sensors, found {len(spans)} of "
                    f"{first} from {spans[0].start} and {len(other)} of {name} from "
                    f"{other[0].start}; composite='month' makes the same of both"
                )
        return spans


def _shown(box: Any) -> str:
    height, width = box.shape
    return f"{height} x {width} pixels of {box.affine.a:g} m in {box.crs}"


def by_name(value: float | Mapping[str, float], default: float) -> Mapping[str, float]:
    """A number for all sensors, or numbers by name, as numbers by name."""
    if isinstance(value, Mapping):
        return value
    return {} if value == default else {name: float(value) for name in SENSORS}


def days_of(data: xr.Dataset) -> tuple[Period, ...]:
    """The period of each observation: from `time_bounds`, else its day."""
    if BOUNDS in data:
        return periods.from_days(data[BOUNDS].values.astype("datetime64[D]").astype(np.int64))
    days = data[TIME].values.astype("datetime64[D]").astype(np.int64)
    return periods.from_days(np.stack([days, days + 1], 1))


def hidden(
    data: xr.Dataset, mask: str | None, masked: Sequence[int], where: str
) -> np.ndarray | None:
    """bool [T, H, W], where a class hides the ground, or there is none."""
    codes = values.numbers(data[str(mask)], where)
    hidden: np.ndarray = np.isnan(codes) | np.isin(codes, list(masked))
    return hidden


def raster(data: xr.Dataset, name: str | None, dtype: Any) -> np.ndarray | None:
    """A variable [y, x] of a Dataset; None where it is not there."""
    if name is None or name not in data:
        return None
    found: np.ndarray = data[name].transpose("y", "x").to_numpy().astype(dtype)
    return found


def label_of(
    data: xr.Dataset,
    name: str | None,
    classes: Legend | Mapping[int, str] | None,
    none_of_these: Sequence[int],
    facts: Mapping[str, Any],
) -> tuple[Legend, np.ndarray]:
    """Legend and label; all unknown where nothing is annotated."""
    found = raster(data, name, np.int64)
    if classes is None and facts:
        known: Legend = facts["legend"]
        codes = None if found is None else found.astype(np.uint8)
        return known, _unknown(data) if codes is None else codes
    if classes is None:
        if found is not None:
            raise ValueError(
                f"Dataset: expected legend={{code: name}} with {name!r}, found none; label=None "
                f"leaves it out"
            )
        return UNLABELLED, _unknown(data)
    if not isinstance(classes, Legend):
        rows = [legend.make_class(i, code, one) for i, (code, one) in enumerate(classes.items())]
        classes = Legend("own", tuple(rows), tuple(none_of_these))
    if found is None:
        return classes, _unknown(data)
    held = {*(one.code for one in classes.classes), *classes.none_of_these}
    missing = [int(code) for code in np.unique(found) if code not in held]
    return classes, classes.encode(found, f"Dataset: {name}", missing)


def _unknown(data: xr.Dataset) -> np.ndarray:
    return np.full((data.sizes["y"], data.sizes["x"]), IGNORE, np.uint8)


def source_of(
    facts: Mapping[str, Any], chosen: Sequence[Sensor], backscatter: str | None
) -> dict[str, Any]:
    """How a cube's pixels were made, as `geo.sensors.backscatter` reads it.

    Args:
      facts: of a Dataset of `read_cube`, whose source stays.
      chosen: sensors of the cube.
      backscatter: what radar measures; None: not known.

    Raises:
      ValueError: backscatter of a kind that nobody knows.
    """
    if backscatter not in (None, *sensors.BACKSCATTER):
        raise ValueError(
            f"backscatter: expected {' or '.join(sensors.BACKSCATTER)}, found {backscatter!r}"
        )
    source = dict(facts.get("source") or {})
    source = source or {"made_by": MADE_BY, "version": cropmap_jax.__version__}
    if backscatter is None:
        return source
    radar = {one.name: {"backscatter": backscatter} for one in chosen if sensors.has_radar([one])}
    return source | {"options": radar}


def season_of(spans: tuple[Period, ...]) -> str:
    """The years of periods, as seasons are called: "2021-2022"."""
    years = sorted({spans[0].start.year, (spans[-1].end - dt.timedelta(days=1)).year})
    return "-".join(map(str, years))


def harvest_of(given: Harvest) -> dict[str, tuple[calendars.Season, ...]]:
    """A calendar, from dates or seasons by crop."""
    out: dict[str, tuple[calendars.Season, ...]] = {}
    for crop, one in given.items():
        if isinstance(one, calendars.Season):
            out[crop] = (one,)
        elif isinstance(one, str | dt.date):
            date = periods.parse_date(str(one), f"harvest of {crop!r}")
            out[crop] = (calendars.Season(harvest_start=date),)
        else:
            out[crop] = tuple(one)
    return out
