"""A scene as compositing needs it, and which of several versions of one counts."""

import dataclasses
import datetime as dt
import math
from collections.abc import Iterable, Mapping
from typing import Any

import shapely


@dataclasses.dataclass(frozen=True)
class Asset:
    """One band of a scene.

    Args:
      href: address or path of its file.
      factor, shift: stored number of the cube's sensor = value * factor + shift.
      nodata: value that stands for none, next to what the file says; NaN for none.
    """

    href: str
    factor: float = 1.0
    shift: float = 0.0
    nodata: float = math.nan


@dataclasses.dataclass(frozen=True)
class Scene:
    """One scene.

    Args:
      scene_id: of its item.
      time: of its acquisition, UTC.
      take: what it is a part of: scenes of one take are one observation.
      copy: scenes of one copy are processings of the same data, of which the newest counts.
      rank: sorts the newest processing last.
      crs: of its files as the item says, e.g. "EPSG:32639"; "" unknown.
      outline: its footprint in degrees.
      assets: {band: asset}; of Sentinel-2 also the classification, by its own name.
      orbit, direction, platform: of Sentinel-1.
      kind: `sar:product_type` of Sentinel-1, or "".
    """

    scene_id: str
    time: dt.datetime
    take: tuple[str, ...]
    copy: tuple[str, ...]
    rank: tuple[Any, ...]
    crs: str
    outline: shapely.Geometry
    assets: Mapping[str, Asset]
    orbit: int = 0
    direction: str = ""
    platform: str = ""
    kind: str = ""


def newest(found: Iterable[Scene]) -> tuple[list[Scene], int]:
    """The newest processing of each scene, by time and id, and how many others there were."""
    best: dict[tuple[str, ...], Scene] = {}
    count = 0
    for scene in found:
        count += 1
        other = best.get(scene.copy)
        if other is None or other.rank < scene.rank:
            best[scene.copy] = scene
    return sorted(best.values(), key=lambda s: (s.time, s.scene_id)), count - len(best)


def observations(found: Iterable[Scene], crs: str) -> list[list[Scene]]:
    """Scenes by take, in order of time; within one those of the cube's own CRS come first.

    Args:
      found: scenes, each in one processing.
      crs: of the cube, e.g. "EPSG:32639": what was never resampled is to be preferred.
    """
    takes: dict[tuple[str, ...], list[Scene]] = {}
    for scene in sorted(found, key=lambda s: (s.time, s.scene_id)):
        takes.setdefault(scene.take, []).append(scene)
    return [sorted(own, key=lambda s: (s.crs != crs, s.scene_id)) for own in takes.values()]


def check_one_kind(found: Iterable[Scene]) -> None:
    """Requires radar scenes of one product type.

    Raises:
      ValueError: names two scenes of two.
    """
    seen: dict[str, str] = {}
    for scene in found:
        seen.setdefault(scene.kind, scene.scene_id)
    if len(seen) > 1:
        (a, first), (b, second) = list(seen.items())[:2]
        raise ValueError(
            f"items {first} and {second}: expected one kind of radar product, found {a or 'none'} "
            f"and {b or 'none'}: sigma-0 and gamma-0 RTC are never mixed"
        )
