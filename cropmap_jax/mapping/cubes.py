"""Which cubes of a folder a checkpoint can map together."""

import datetime as dt
import hashlib
import json
import math
import os

from cropmap_jax.geo import as_of_windows, calendars, cube, cube_io, cube_item, periods, splits
from cropmap_jax.inference import mosaic_groups
from cropmap_jax.inference.mosaic_groups import MosaicGroup
from cropmap_jax.training.recipe import Recipe

_SIZE = 1e-3
"""Relative difference up to which pixel sizes count as one: a seventh of a pixel over a chip."""
MOST_DAYS = 366
"""Images that ended longer ago than this show nothing of the season of the as-of date."""


def find_cubes(
    cubes_dir: str | os.PathLike[str], recipe: Recipe, as_of: dt.date, season: str | None = None
) -> list[cube.CubeInfo]:
    """Reads every cube's item and checks that the checkpoint can map the cubes together.

    Args:
      cubes_dir: folder of cubes.
      recipe: the checkpoint's, which decides on sensors, periods, pixels and classes.
      as_of: exclusive date of the prediction.
      season: which cubes to map; None where all are of one season.

    Returns:
      The cubes, sorted by id.

    Raises:
      ValueError: no cubes, several seasons and none named, shared ground, other sensors,
        periods of another kind or pixels of another size than in training, pixels of several sizes,
        an as-of date before a cube's first period has ended, before any of its classes is planted,
        or more than a year after the last image of all.
    """
    infos = _of_season(cube_io.list_cubes(cubes_dir), cubes_dir, season)
    check(infos, recipe, as_of)
    return infos


def check(
    infos: list[cube.CubeInfo], recipe: Recipe, as_of: dt.date, flag: str = "--as_of"
) -> None:
    """Requires that the checkpoint can map cubes of one season together.

    Args:
      infos: at least one cube, on disk or in memory.
      recipe: the checkpoint's.
      as_of: exclusive date of the prediction.
      flag: what errors call it.

    Raises:
      ValueError: as `find_cubes`.
    """
    _check_overlap(infos)
    for info in infos:
        _check(info, recipe, as_of)
    _check_pixels(infos, recipe)
    _check_age(infos, as_of, flag)


def join(
    infos: list[cube.CubeInfo], num_periods: int, as_of: dt.date, halo: int
) -> list[MosaicGroup]:
    """Mosaic groups of cubes, those on disk with a hash of what is seen; see `mosaic_groups.join`.

    Args:
      infos: the cubes, which `check` allowed.
      num_periods: periods of the window.
      as_of: exclusive date of the prediction.
      halo: pixels that the predictor sees around a part.

    Raises:
      ValueError: names the first cube of which no period has ended by the as-of date.
    """
    described = [mosaic_groups.describe(info, _digest(info, num_periods, as_of)) for info in infos]
    return mosaic_groups.join(described, num_periods, periods.to_day(as_of), halo)


def _digest(info: cube.CubeInfo, num_periods: int, as_of: dt.date) -> str:
    """Hash of all of a cube that its map is made from: a period that is appended after the window
    makes no other map, nor do labels. Of the whole item where that has no hashes of periods; "" of
    a cube in memory."""
    if info.path is None:
        return ""
    spans = periods.to_days(info.periods)
    window = as_of_windows.as_of_window(
        spans, periods.to_day(as_of), num_periods, f"cube {info.cube_id}"
    )
    item = cube_item.read_item(info.folder / cube_io.ITEM)
    seen = {}
    for sensor in info.sensors:
        each = cube_item.period_digests(item, sensor.name, len(spans))
        if each is None:
            return hashlib.sha256((info.folder / cube_io.ITEM).read_bytes()).hexdigest()[:32]
        own = [each[i] for i in window.indices if i != as_of_windows.MISSING]
        seen[sensor.name] = [sensor.to_json(), own]
    found = {
        "cube": [info.cube_id, info.season, calendars.to_json(info.harvest)],
        "grid": [list(info.shape), list(info.geobox.affine)[:6], str(info.geobox.crs)],
        "window": window.spans.tolist(),
        "seen": seen,
    }
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:32]


def _of_season(
    infos: list[cube.CubeInfo], where: str | os.PathLike[str], season: str | None
) -> list[cube.CubeInfo]:
    seasons = sorted({info.season for info in infos})
    if season is None and len(seasons) == 1:
        return infos
    if season not in seasons:
        found = "none" if season is None else repr(season)
        raise ValueError(
            f"--season: expected one of {', '.join(repr(s) for s in seasons)} (the seasons of the "
            f"cubes in {where}), found {found}"
        )
    return [info for info in infos if info.season == season]


def _check_overlap(infos: list[cube.CubeInfo]) -> None:
    # One CRS at a time: where two UTM zones meet, their tiles cannot but overlap.
    for crs in {str(info.geobox.crs) for info in infos}:
        own = [info for info in infos if str(info.geobox.crs) == crs]
        found = splits.find_overlap([i.cube_id for i in own], [i.geobox for i in own])
        if found:
            raise ValueError(
                f"cubes {found[0]} and {found[1]}: expected no shared ground, found "
                f"{found[2]:.0f} m²; one place can be mapped once"
            )


def _check(info: cube.CubeInfo, recipe: Recipe, as_of: dt.date) -> None:
    where = f"cube {info.cube_id}"
    kind = periods.period_kind(info.periods)
    if kind != recipe.period_kind:
        raise ValueError(
            f"{where}: expected periods of a {recipe.period_kind} as in training, found {kind}"
        )
    recipe.check_sensors(info.sensors, where)
    excluded = unplanted(info, recipe, as_of)
    if len(excluded) == len(recipe.legend):
        raise ValueError(
            f"{where}: as-of {as_of} lies before the planting of every class; expected "
            f"{min(excluded.values())} or later"
        )
    spans = periods.to_days(info.periods)
    as_of_windows.as_of_window(spans, periods.to_day(as_of), recipe.num_periods, where)


def _check_pixels(infos: list[cube.CubeInfo], recipe: Recipe) -> None:
    first, wanted = infos[0], recipe.pixel_m
    for info in infos:
        size, known = info.geobox.affine.a, first.geobox.affine.a
        if not math.isclose(size, known, rel_tol=_SIZE):
            raise ValueError(
                f"cubes {first.cube_id} and {info.cube_id}: expected pixels of one size, found "
                f"{known:g} m and {size:g} m; map them separately, each with a network of its own"
            )
        if wanted is not None and not math.isclose(size, wanted, rel_tol=_SIZE):
            raise ValueError(
                f"cube {info.cube_id}: expected pixels of {wanted:g} m as in training, found "
                f"{size:g} m; resample the images, or train on cubes of that size"
            )


def _check_age(infos: list[cube.CubeInfo], as_of: dt.date, flag: str) -> None:
    newest = max(infos, key=lambda info: info.periods[-1].end)
    end = newest.periods[-1].end
    if (as_of - end).days > MOST_DAYS:
        raise ValueError(
            f"{flag} {as_of}: expected a date within a year of the last image, found cubes whose "
            f"images end by {end} (cube {newest.cube_id})"
        )


def unplanted(info: cube.CubeInfo, recipe: Recipe, as_of: dt.date) -> dict[str, dt.date]:
    """Classes that cannot stand in the field on the as-of date, and when they are planted."""
    dates = {name: calendars.planting(info.harvest, name) for name in recipe.legend.names}
    return {name: date for name, date in dates.items() if date and date > as_of}
