"""What the reader of a map should know although nothing failed: facts of cubes and checkpoint that
do not fit together."""

import datetime as dt
from collections.abc import Iterable

import numpy as np

from cropmap_jax.geo import calendars, cube, periods, windows
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.mapping.metadata import last_image, seen_by_sensor
from cropmap_jax.training import steps
from cropmap_jax.training.checkpoints import Restored
from cropmap_jax.training.recipe import Recipe

USUAL_PIXEL_M = 10.0
SPARSE = 0.5
"""Share of a sensor's values in the window below which there is a note."""
_NAMED = 3
"""How many cubes a note names."""


def before(infos: list[cube.CubeInfo], recipe: Recipe, as_of: dt.date) -> list[str]:
    """Notes that need no pixels, a line each."""
    notes, pixel_m = [], infos[0].geobox.affine.a
    if recipe.pixel_m is None and not np.isclose(pixel_m, USUAL_PIXEL_M, rtol=1e-3):
        notes.append(
            f"pixels measure {pixel_m:g} m, and the checkpoint does not record on which it was "
            f"trained"
        )
    old, ends, over, last, cut, lost = [], [], [], [], [], 0
    for info in infos:
        found = windows.as_of_window(
            periods.to_days(info.periods), periods.to_day(as_of), recipe.num_periods
        )
        newest = info.periods[found.indices[-1]]
        if as_of - newest.end > newest.end - newest.start:
            old.append(info.cube_id)
            ends.append(newest.end)
        harvested = _last_harvest(info, recipe)
        if harvested and harvested < as_of:
            over.append(info.cube_id)
            last.append(harvested)
        if found.missing:
            cut.append(info.cube_id)
            lost = max(lost, found.missing)
    every = len(infos)
    if old:
        notes.append(
            f"images of {_cubes(old, every)} end {_span(ends)}, {_days(as_of, ends)} before "
            f"--as_of {as_of}: the map shows what could be known by then"
        )
    if over:
        notes.append(
            f"the season of {_cubes(over, every)} is over: the last harvest was {_span(last)}, "
            f"before --as_of {as_of}; this map is not a forecast"
        )
    if cut:
        notes.append(
            f"the window of {recipe.num_periods} periods begins before the images of "
            f"{_cubes(cut, every)}: up to {lost} of its periods are missing"
        )
    return notes


def after(records: Iterable[dict], trained: dict[Sensor, list[str]]) -> list[str]:
    """Notes from what was seen in the pixels, a line each.

    Args:
      records: of all cubes; a record that does not say what was seen is passed over.
      trained: see `trained_bands`.
    """
    blind, old, ages = [], [], []
    absent: dict[tuple[str, str], list[str]] = {}
    sparse: dict[str, list[str]] = {}
    every = 0
    for record in records:
        every += 1
        name, seen = record["cube"], record.get("seen")
        if seen is None:
            continue
        shares = {sensor: np.array(values) for sensor, values in seen_by_sensor(record).items()}
        last = last_image(record)
        if last is None:
            blind.append(name)
            continue
        if last.isoformat() != record["window_end"]:
            old.append(name)
            ages.append((dt.date.fromisoformat(record["settings"]["as_of"]) - last).days)
        for sensor, bands in trained.items():
            if sensor.name not in shares:  # a map of another checkpoint's
                continue
            gone = [band for band in bands if band in seen["missing_bands"][sensor.name]]
            what = sensor.title
            if gone and len(gone) == len(bands):
                absent.setdefault((what, "no value"), []).append(name)
            elif gone:
                absent.setdefault((what, f"no value of {', '.join(gone)}"), []).append(name)
            within = shares[sensor.name][record["periods_before_the_cube"] :]
            if gone != bands and within.mean() < SPARSE:
                sparse.setdefault(what, []).append(name)
    notes = []
    if blind:
        notes.append(
            f"no value of any image in the window of {_cubes(blind, every)}: nothing is mapped"
        )
    for (what, lack), names in absent.items():
        notes.append(
            f"{what}: {lack} in the window of {_cubes(names, every)}, although the network was "
            f"trained with it"
        )
    if old:
        notes.append(
            f"the last periods of {_cubes(old, every)} hold no value: the last image is up to "
            f"{max(ages)} days older than --as_of"
        )
    for what, names in sparse.items():
        notes.append(f"{what}: less than half of the window has values in {_cubes(names, every)}")
    return notes


def trained_bands(restored: Restored) -> dict[Sensor, list[str]]:
    """Bands that the network listens to; those that training never saw have no weights.

    Returns:
      Names by sensor, see `training.steps.init_variables`.
    """
    recipe = restored.recipe
    unused = steps.unused_bands(recipe, restored.params)
    return {
        s: [band for i, band in enumerate(s.bands) if i not in unused.get(s.name, ())]
        for s in recipe.sensors
    }


def _last_harvest(info: cube.CubeInfo, recipe: Recipe) -> dt.date | None:
    found = [
        season.harvest_end or season.harvest_start
        for name in recipe.legend.names
        for season in info.harvest.get(name) or info.harvest.get(calendars.ANY_CROP) or ()
    ]
    return max(found, default=None)


def _cubes(names: list[str], every: int) -> str:
    if every == 1:
        return f"cube {names[0]}"
    if len(names) == every:
        return "both cubes" if every == 2 else f"all {every} cubes"
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"{len(names)} of {every} cubes ({shown})"


def _span(dates: list[dt.date]) -> str:
    first, last = min(dates), max(dates)
    return f"{first}" if first == last else f"{first} to {last}"


def _days(as_of: dt.date, dates: list[dt.date]) -> str:
    low, high = (as_of - max(dates)).days, (as_of - min(dates)).days
    return f"{low} days" if low == high else f"{low} to {high} days"
