"""Notes for the reader of a map, although nothing failed: facts of cubes and checkpoint that do not
fit together."""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from cropmap_jax import runs
from cropmap_jax.geo import as_of_windows, calendars, cube, periods, sensors
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.mapping import far_ground
from cropmap_jax.mapping.metadata import MapMetadata, last_image, seen_by_sensor
from cropmap_jax.training.checkpoints import Restored
from cropmap_jax.training.recipe import Recipe

USUAL_PIXEL_M = 10.0
SPARSE = 0.5
"""Share of a sensor's values in the window below which there is a note."""
_SPARSELY = "less than half of the window has values"
_NAMED = 3
"""How many cubes a note names."""


def before(infos: list[cube.CubeInfo], recipe: Recipe, as_of: dt.date) -> list[str]:
    """Notes that need no pixels, a line each.

    Args:
      infos: the cubes, at least one, which `cubes.find_cubes` allowed.
      recipe: the checkpoint's.
      as_of: exclusive date of the prediction.
    """
    notes, pixel_m = [], infos[0].geobox.affine.a
    if recipe.pixel_m is None and not np.isclose(pixel_m, USUAL_PIXEL_M, rtol=1e-3):
        notes.append(
            f"pixels measure {pixel_m:g} m, and the checkpoint does not record on which it was "
            f"trained"
        )
    old, ends, over, last, cut, lost = [], [], [], [], [], 0
    for info in infos:
        found = as_of_windows.as_of_window(
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
    notes += _other_backscatter(infos, recipe)
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


def _other_backscatter(infos: list[cube.CubeInfo], recipe: Recipe) -> list[str]:
    """A note where cubes measure radar backscatter in another way than those trained on."""
    kinds = {i.cube_id: sensors.backscatter(i.source, recipe.sensors) for i in infos}
    trained = recipe.backscatter
    other = [name for name, kind in kinds.items() if kind is not None and kind != trained]
    if trained is None or not other:
        return []
    return [
        f"radar backscatter of {_cubes(other, len(infos))} is {kinds[other[0]]}, and the network "
        f"was trained on {trained}: values differ by 0.6 to 1.6 dB, more on slopes; expect a worse "
        f"map, or train on cubes of that kind"
    ]


def elsewhere(infos: Sequence[cube.CubeInfo], restored: Restored) -> list[str]:
    """A note where cubes lie far from the ground that the model learnt from.

    Args:
      infos: the cubes, at least one.
      restored: the run.

    Raises:
      ValueError: the run records something else than where its cubes lie.
    """
    km = far_ground.kilometres(infos, restored)
    if km is None or km.max() <= far_ground.FAR_KM:
        return []
    far = km > far_ground.FAR_KM
    names = [info.cube_id for info, is_far in zip(infos, far, strict=True) if is_far]
    low, high = km[far].min(), km[far].max()
    span = f"nearest {low:,.0f} km, farthest {high:,.0f} km" if len(names) > 1 else f"{low:,.0f} km"
    return [
        f"{_cubes(names, len(infos))} {'lies' if len(names) == 1 else 'lie'} more than "
        f"{far_ground.FAR_KM:.0f} km from the ground that the model learnt from ({span}): seasons "
        f"and varieties may differ from those that it knows"
    ]


def after(maps: Iterable[MapMetadata], trained: dict[Sensor, list[str]]) -> list[str]:
    """Notes from what was seen in the pixels, a line each.

    Args:
      maps: metadata of the maps of all cubes; those of older maps, which do not say what was
        seen, are skipped.
      trained: bands by sensor, see `trained_bands`.
    """
    blind, old, ages = [], [], []
    lacks: dict[tuple[str, str], list[str]] = {}
    every = 0
    for metadata in maps:
        every += 1
        if "seen" not in metadata:
            continue
        name, last = metadata["cube"], last_image(metadata)
        if last is None:
            blind.append(name)
            continue
        if last.isoformat() != metadata["window_end"]:
            old.append(name)
            ages.append((dt.date.fromisoformat(metadata["settings"]["as_of"]) - last).days)
        for found in _lacks(metadata, trained):
            lacks.setdefault(found, []).append(name)
    notes = []
    if blind:
        notes.append(
            f"no value of any image in the window of {_cubes(blind, every)}: nothing is mapped"
        )
    for (what, lack), names in lacks.items():
        if lack != _SPARSELY:
            notes.append(
                f"{what}: {lack} in the window of {_cubes(names, every)}, although the network "
                f"was trained with it"
            )
    if old:
        notes.append(
            f"the last periods of {_cubes(old, every)} hold no value: the last image is up to "
            f"{max(ages)} days older than --as_of"
        )
    for (what, lack), names in lacks.items():
        if lack == _SPARSELY:
            notes.append(f"{what}: {lack} in {_cubes(names, every)}")
    return notes


def _lacks(metadata: MapMetadata, trained: dict[Sensor, list[str]]) -> Iterator[tuple[str, str]]:
    """(title, what it lacks) of the sensors that the network was trained with."""
    missing, first = metadata["seen"]["missing_bands"], metadata["periods_before_the_cube"]
    seen = seen_by_sensor(metadata)
    for sensor, bands in trained.items():
        if sensor.name not in seen:  # made with another checkpoint
            continue
        gone = [band for band in bands if band in missing[sensor.name]]
        if gone:
            yield sensor.title, "no value" + (f" of {', '.join(gone)}" if gone != bands else "")
        # What lies before the cube has a note of its own.
        if gone != bands and np.mean(seen[sensor.name][first:]) < SPARSE:
            yield sensor.title, _SPARSELY


def trained_bands(restored: Restored) -> dict[Sensor, list[str]]:
    """Bands that the network uses; those that training never saw have no weights.

    Returns:
      Names by sensor, see `runs.unused_bands`.
    """
    recipe = restored.recipe
    unused = runs.unused_bands(restored)
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
