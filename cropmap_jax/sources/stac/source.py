"""The scenes of a group of cubes: searched, the newest of each, and the radar orbits chosen."""

import collections
import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pystac
import shapely
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import tiles
from cropmap_jax.geo.periods import Period
from cropmap_jax.sources import radar_orbits, sentinel1
from cropmap_jax.sources.stac import access as access_lib
from cropmap_jax.sources.stac import catalogues, items, scenes
from cropmap_jax.sources.stac import options as options_lib
from cropmap_jax.sources.stac.groups import Group
from cropmap_jax.sources.stac.reading import Reader
from cropmap_jax.sources.stac.scenes import Scene


@dataclasses.dataclass(frozen=True)
class Seen:
    """The scenes of a group of cubes.

    Args:
      scenes: each in its newest processing, in order of time.
      replaced: how many older processings there were.
      gone: ids of items whose files are not there.
      orbits: {cube's id: (direction, relative orbits)} of Sentinel-1.
      rows: {cube's id: rows as of `radar_orbits.choose_orbits`}.
    """

    scenes: list[Scene]
    replaced: int
    gone: tuple[str, ...] = ()
    orbits: dict[str, tuple[str, tuple[int, ...]]] = dataclasses.field(default_factory=dict)
    rows: dict[str, list[list[Any]]] = dataclasses.field(default_factory=dict)

    def facts(self, cube_id: str | None, periods: Sequence[Period] = ()) -> dict[str, Any]:
        """What a cube's source records of its scenes, JSON-ready."""
        ids = sorted(scene.scene_id for scene in self.scenes)
        out: dict[str, Any] = {
            "items": len(ids),
            "items_sha256": hashlib.sha256("\n".join(ids).encode()).hexdigest(),
            "older_processings": self.replaced,
        }
        if self.gone:
            out["files_gone"] = sorted(self.gone)
        lacking = collections.Counter(
            band for scene in self.scenes for band in self._bands() if band not in scene.assets
        )
        if lacking:
            out["assets_missing"] = dict(sorted(lacking.items()))
        if cube_id is not None:
            way, numbers = self.orbits[cube_id]
            table = self.rows[cube_id]
            out |= {"direction": way, "orbits": list(numbers)}
            out["passes"] = sentinel1.count_passes(table, periods, way, numbers)
            early = sentinel1.count_passes(sentinel1.uncalibrated(table), periods, way, numbers)
            if any(early.values()):
                out["uncalibrated"] = {name: own for name, own in early.items() if own}
        return out

    def _bands(self) -> set[str]:
        return {band for scene in self.scenes for band in scene.assets}


class Source:
    """The catalogues of a run; opened when it is made.

    Args:
      options: which.
      threads: files that are read at once.
      only: the one sensor whose catalogue is opened, for its scenes alone; "" for all.

    Raises:
      ValueError: a catalogue that is none, an unknown collection, a token that is missing.
      Unreachable, Refused: no answer, or no access.
    """

    def __init__(self, options: options_lib.Options, threads: int = 8, only: str = ""):
        access_lib.quiet()
        self._options = options
        self._finders: dict[str, catalogues.Finder] = {}
        self._readers: dict[str, Reader] = {}
        for sensor, own in (("s1", options.s1), ("s2", options.s2)):
            if own.collection and only in ("", sensor):
                access = access_lib.Access(own, reads=not only)
                clouds = options.s2.max_cloud if sensor == "s2" else 100.0
                parse = self._parse_radar if sensor == "s1" else self._parse_optical
                self._finders[sensor] = catalogues.open_catalogue(own, access, parse, clouds)
                self._readers[sensor] = Reader(access, threads)

    def _parse_optical(self, item: pystac.Item) -> Scene:
        return items.optical(item, self._options.s2)

    def _parse_radar(self, item: pystac.Item) -> Scene | None:
        return items.radar(item, self._options.s1)

    @property
    def files(self) -> int:
        """Files read so far, of one band of one scene each."""
        return sum(reader.reads for reader in self._readers.values())

    def read_optical(
        self, found: Sequence[Scene], bands: Sequence[str], box: GeoBox
    ) -> dict[str, np.ndarray]:
        """As `Reader.read`."""
        return self._readers["s2"].read(found, bands, box)

    def read_radar(
        self, found: Sequence[Scene], bands: Sequence[str], box: GeoBox
    ) -> dict[str, np.ndarray]:
        """As `Reader.read`."""
        return self._readers["s1"].read(found, bands, box)

    def find(
        self, sensor: str, box: catalogues.Box, periods: Sequence[Period]
    ) -> tuple[list[Scene], int]:
        """Scenes of a sensor in a box of degrees, the newest of each, and how many were older."""
        first, last = min(p.start for p in periods), max(p.end for p in periods)
        found = self._finders[sensor].find(box, first, last)
        if sensor == "s1":
            usable = sentinel1.usable(self._options.s1.platforms, periods)
            since = {platform.number: day for platform, day in usable.items()}
            found = [
                scene for scene in found
                if scene.platform in since
                and (since[scene.platform] is None or scene.time.date() >= since[scene.platform])  # type: ignore[operator]
            ]  # fmt: skip
            scenes.check_one_kind(found)
        return scenes.newest(found)

    def look(self, own: Group, sensor: str, left_out: set[str]) -> Seen:
        """The scenes of a group of cubes.

        Args:
          own: the group.
          sensor: "s1" or "s2".
          left_out: ids of items whose files are not there.

        Raises:
          ValueError: none at all: the catalogue does not reach there, or then.
        """
        periods = own.todo[0].target.periods
        outlines = tiles.outlines(one.target.geobox for one in own.todo)
        west, south, east, north = (round(float(v), 6) for v in shapely.total_bounds(outlines))
        found, replaced = self.find(sensor, (west, south, east, north), periods)
        found = [scene for scene in found if scene.scene_id not in left_out]
        if not found:
            options = self._options.s1 if sensor == "s1" else self._options.s2
            raise ValueError(
                f"{own.todo[0].target.cube_id}: expected items of {options.collection} from "
                f"{periods[0].start} to {periods[-1].end} at {(west + east) / 2:.3f} E, "
                f"{(south + north) / 2:.3f} N, found none: outside of what the catalogue holds?"
            )
        seen = Seen(found, replaced, tuple(left_out))
        if sensor == "s1":
            for one, outline in zip(own.todo, outlines, strict=True):
                self._choose(seen, one.target.cube_id, outline, periods)
        return seen

    def _choose(
        self, seen: Seen, cube_id: str, outline: shapely.Geometry, periods: Sequence[Period]
    ) -> None:
        wanted = self._options.s1.direction
        rows = []
        for scene in seen.scenes:
            share = shapely.area(shapely.intersection(scene.outline, outline)) / outline.area
            if share > 0 and wanted in ("auto", scene.direction):
                time = scene.time.timestamp() * 1000
                rows.append([time, scene.orbit, scene.direction.upper(), scene.platform, share])
        seen.rows[cube_id] = rows
        seen.orbits[cube_id] = radar_orbits.choose_orbits(rows, periods)
