"""Cubes that are there and grow: which of their periods are kept, and what is made of both parts.

A cube grows where it was made of the same as is requested now, but for the end of its periods. What
comes of it has the pixels that a cube made whole would have: composites of one period do not depend
on other periods, but for the choice of radar orbits, which is made over all of them. It is made
again, and where it differs all of the radar is fetched again.
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cropmap_jax.geo import cube, cube_io
from cropmap_jax.sources.targets import Target

PARTS = "parts"
"""In the source of a cube that grew: [[first day of the periods, day they were made], ...]."""
_DATES = ("fetched", "exported")
"""Where sources say when the newest periods of a cube were made."""


def kept_periods(
    info: cube.CubeInfo, target: Target, key_of: Callable[[Target], str]
) -> int | None:
    """How many periods of a cube stay as they are; None where it was made of something else.

    Those that had not ended on the day they were made do not stay.

    Args:
      info: the cube that is there.
      target: what it is to be.
      key_of: digest of all that decides what is in a target's cube.
    """
    count = len(info.periods)
    if tuple(target.periods[:count]) != tuple(info.periods):
        return None
    try:
        key = key_of(dataclasses.replace(target, periods=info.periods))
    except ValueError:  # a satellite of this request was not there yet
        return None
    if info.source.get("key") != key:
        return None
    made = made_on(info.source)
    return sum(period.end <= made for period in info.periods)


def made_on(source: Mapping[str, Any]) -> dt.date:
    """The day on which the newest periods of a cube were made; the last of all days if unknown."""
    for name in _DATES:
        try:
            return dt.date.fromisoformat(str(source.get(name)))
        except ValueError:
            continue
    return dt.date.max


def as_long(target: Target, info: cube.CubeInfo) -> Target:
    """The target with the periods of a cube, where it only has more of them."""
    count = len(info.periods)
    more = tuple(target.periods[:count]) == tuple(info.periods)
    return dataclasses.replace(target, periods=info.periods) if more else target


def rest_of(target: Target, kept: int) -> Target:
    """The target of the periods that are to be fetched."""
    return dataclasses.replace(target, periods=target.periods[kept:]) if kept else target


def read(old: cube.CubeInfo, verb: str) -> cube_io.RawCube:
    """The pixels of a cube that grows, its checksums verified.

    Args:
      old: the cube.
      verb: what the command does, for messages: "export" or "fetch".

    Raises:
      ValueError: it is damaged; names the file.
    """
    try:
        return cube_io.read_raw(old.folder, verify=True)
    except ValueError as error:
        raise ValueError(f"{error}; delete {old.folder} to {verb} it again") from error


def same_orbits(old: cube.CubeInfo, sensor: str, facts: Mapping[str, Any]) -> bool:
    """Whether the radar of a cube's kept periods is what a cube made whole would have.

    Orbits that come in with new periods had no scene in the kept ones; the others must be of the
    same direction and in the same order.

    Args:
      old: the cube that is there.
      sensor: the radar's name.
      facts: direction and orbits as chosen now, over all periods.
    """
    was = old.source.get("facts", {}).get(sensor, {})
    before = list(was.get("orbits", ()))
    again = [orbit for orbit in facts["orbits"] if orbit in before]
    return was.get("direction") == facts["direction"] and again == before


def joined(kept: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Periods of two parts, one after the other."""
    return np.concatenate([kept, new.astype(kept.dtype, copy=False)])


def parts_of(old: cube.CubeInfo | None, kept: int, target: Target, today: str) -> dict[str, Any]:
    """What a cube's source says of when its periods were made; {} of one that was made whole.

    Args:
      old: the cube that was there; None where there was none.
      kept: how many of its periods stay.
      target: what the cube is to be.
      today: ISO date.
    """
    if old is None or not kept:
        return {}
    begin = old.periods[0].start.isoformat()
    before = old.source.get(PARTS) or [[begin, made_on(old.source).isoformat()]]
    first = target.periods[kept].start.isoformat()
    return {PARTS: [own for own in before if own[0] < first] + [[first, today]]}
