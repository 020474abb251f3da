"""Fetches cubes: a group of neighbours at a time, period by period, each cube whole or not there.

What is killed loses the group that it was at; cubes that are there are never fetched again. What is
in memory does not grow with the number of cubes: one group's composites, and of one period's scenes
so much as `compositing.BLOCK_BYTES`.
"""

import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from cropmap_jax import scheduling
from cropmap_jax.geo import cube_io, files
from cropmap_jax.geo.periods import Period
from cropmap_jax.sources import appending, cube_keys, missing, verify
from cropmap_jax.sources import survey as survey_lib
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.manifest_rows import DONE, FAILED, FLAGGED, CubeRow, PieceRow
from cropmap_jax.sources.stac import assembly, compositing, spread
from cropmap_jax.sources.stac import options as options_lib
from cropmap_jax.sources.stac.errors import Gone, Refused, Unreachable
from cropmap_jax.sources.stac.groups import Group, group
from cropmap_jax.sources.stac.scenes import Scene, observations
from cropmap_jax.sources.stac.source import Seen, Source
from cropmap_jax.sources.stac.summary import Summary
from cropmap_jax.sources.survey import Todo
from cropmap_jax.sources.targets import Target

THRESHOLDS = missing.Thresholds(continuous=(options_lib.RADAR.name,))
"""What flags a cube, as in `export`."""
_FEWEST_IN_A_ROW = 25


def run(
    targets: Sequence[Target],
    options: options_lib.Options,
    source: Source,
    manifest: Manifest,
    cubes_dir: str | os.PathLike[str],
    progress: Callable[..., Iterable[CubeRow]] = lambda iterable, **_: iterable,
    max_gb: float | None = None,
    scheduler: scheduling.Scheduler | None = None,
    threads: int = 8,
) -> Summary:
    """Makes every cube that is not there yet; resumes where an earlier run stopped.

    A group of cubes that fails is noted in the manifest and the others continue; only when very
    many cubes fail in a row does the run stop.

    Args:
      targets: the cubes.
      options: of their pixels.
      source: of scenes.
      manifest: of `cubes_dir`.
      cubes_dir: folder of cubes.
      progress: wraps an iterable, called with `total`, `unit` and `desc`.
      max_gb: 1e9 bytes of pixels, uncompressed, after which no further group is begun; None for
        any number.
      scheduler: of the workers that fetch; None or one that works here for this process.
      threads: files that each of its workers reads at once.

    Raises:
      ValueError: two targets of one id; a folder that is there but was made of something else;
        access that was refused; what no cube can be made of.
      Unreachable: very many cubes failed in a row.
      OSError: no space or no permission.
      KeyboardInterrupt: Ctrl-C.
      In all these cases what was finished is kept.
    """
    began = time.monotonic()
    folder = pathlib.Path(cubes_dir)
    todo, kept = survey(targets, options, manifest, folder)
    assembly.claim(manifest, options)
    survey_lib.note(todo, manifest)
    manifest.clean()
    summary = Summary(kept=kept)
    work = Fetching(options, source, manifest, folder, summary, max_gb)
    if scheduler is not None and not scheduler.is_here:
        work.elsewhere = functools.partial(
            spread.rows, work, scheduler=scheduler, threads=threads, most=_FEWEST_IN_A_ROW
        )
    for _ in progress(work.rows(todo), total=len(todo), unit="cube", desc="fetch"):
        pass
    done = summary.whole + summary.flagged + len(summary.failed)
    summary.left = len(todo) - done
    summary.files += source.files
    summary.seconds = time.monotonic() - began
    return summary


def survey(
    targets: Sequence[Target],
    options: options_lib.Options,
    manifest: Manifest | None,
    folder: pathlib.Path,
) -> tuple[list[Todo], int]:
    """Cubes to be made or appended to, and how many are there; as `sources.survey.survey`."""
    return survey_lib.survey(
        targets, lambda t: assembly.cube_key(t, options), manifest, folder,
        lambda info, t: assembly.what_differs(info, t, options), "fetch",
    )  # fmt: skip


@dataclasses.dataclass(eq=False)
class Fetching:
    """A run: here, or of one group on a worker, which keeps notes for the manifest and works while
    `holder` has the folder, see `files.check_held`."""

    options: options_lib.Options
    source: Source
    manifest: Manifest | spread.Notes
    folder: pathlib.Path
    summary: Summary
    max_gb: float | None
    elsewhere: Callable[[Sequence[Todo]], Iterator[CubeRow]] | None = None
    holder: str | None = None

    def rows(self, todo: Sequence[Todo]) -> Iterator[CubeRow]:
        """Cubes as they are made or given up."""
        self.growing = {one.target.cube_id for one in todo if one.old is not None}
        there = [one for one in todo if one.there]
        for one in there:
            yield self._end(self._finish(one))
        if self.elsewhere is not None:
            yield from self.elsewhere([one for one in todo if not one.there])
            return
        in_a_row = 0
        for own in group([one for one in todo if not one.there]):
            if self.is_enough():
                return
            made = set()
            try:
                for row in self._group(own):
                    made.add(row.cube)
                    yield row
                in_a_row = 0
            except Refused:
                raise
            except (Unreachable, ValueError) as error:
                lost = [one for one in own.todo if one.target.cube_id not in made]
                rows = [self._fail(one, str(error)) for one in lost]
                in_a_row += len(rows)
                yield from map(self._end, rows)
                if in_a_row >= _FEWEST_IN_A_ROW:
                    raise Unreachable(
                        f"{in_a_row} cubes in a row failed, the last because: {error}; fix that, "
                        f"or wait, and run the same command again"
                    ) from None

    def is_enough(self) -> bool:
        """Whether `max_gb` was reached."""
        return self.max_gb is not None and self.summary.bytes >= self.max_gb * 1e9

    def note(self, made: spread.Made) -> None:
        """Notes what a worker did."""
        self.manifest.add_pieces(made.pieces)
        for row in made.cubes:
            self.manifest.mark(row)
            self._end(row)
        self.summary.gone |= made.gone
        self.summary.bytes += made.bytes
        self.summary.files += made.files

    def failed(self, one: Todo, reason: str) -> CubeRow:
        """The row of a cube that was given up."""
        return CubeRow(one.target.cube_id, one.key, FAILED, {}, reason)

    def _fail(self, one: Todo, reason: str) -> CubeRow:
        row = self.failed(one, reason)
        self.manifest.mark(row)
        return row

    def _end(self, row: CubeRow) -> CubeRow:
        self.summary.appended += row.state != FAILED and row.cube in self.growing
        if row.state == FAILED:
            self.summary.failed[row.cube] = row.reason
        elif row.state == FLAGGED:
            self.summary.flagged += 1
        else:
            self.summary.whole += 1
        return row

    def _finish(self, one: Todo) -> CubeRow:
        return survey_lib.finish(
            self.folder / one.target.cube_id, one, self.manifest, self.options.sensors, THRESHOLDS,
            self.options.label.kind != "none", "fetch",
        )  # fmt: skip

    def _group(self, own: Group) -> Iterator[CubeRow]:
        for one in own.todo:
            verify.check_grid(one.target.geobox, one.target.cube_id)
        made = {one.target.cube_id: assembly.Pixels(one, self.options) for one in own.todo}
        for sensor in self.options.sensors:
            began, before = time.monotonic(), self.source.files
            gone = self._sensor(own, sensor.name, made)
            self.summary.gone |= gone
            rows = [self._timing(own, sensor.name, began, before)]
            self.manifest.add_pieces(rows)
            self.summary.bytes += sum(row.bytes for row in rows)
        for one in own.todo:
            value = assembly.assemble(one, made.pop(one.target.cube_id), self.options)
            check = functools.partial(files.check_held, self.folder, self.holder, "--cubes")
            check()
            cube_io.write_cube(value, self.folder, one.old is not None, check)
            yield self._end(self._finish(one))

    def _timing(self, own: Group, sensor: str, began: float, before: int) -> PieceRow:
        """What a group took, for a plan of the rest: no file is kept of it."""
        height, width = own.box.shape
        count = self.source.files - before
        first = own.todo[0]
        return PieceRow(
            cube_keys.digest([sensor, *(one.key for one in own.todo)]),
            first.target.cube_id,
            sensor,
            f"{count}x{height}x{width}",
            DONE,
            bytes=4 * count * height * width,
            seconds=time.monotonic() - began,
        )

    def _sensor(self, own: Group, sensor: str, made: dict[str, assembly.Pixels]) -> set[str]:
        """Fills one sensor of a group's cubes; ids of items whose files are gone."""
        left_out = _gone_before(own, sensor)
        while True:
            seen = self.source.look(own, sensor, left_out)
            try:
                if sensor == options_lib.OPTICAL.name:
                    self._optical(own, seen, made)
                else:
                    self._radar(own, seen, made)
                return left_out
            except Gone as error:
                left_out |= set(error.scene_ids)

    def _optical(self, own: Group, seen: Seen, made: dict[str, assembly.Pixels]) -> None:
        sensor = options_lib.OPTICAL
        for t, period in list(enumerate(own.todo[0].target.periods))[own.kept :]:
            found = observations(_in(seen.scenes, period), own.crs)
            values, counts = compositing.optical(
                found, own.box, self.options.s2, self.source.read_optical, period
            )
            for one in own.todo:
                pixels, at = made[one.target.cube_id], own.window(one)
                pixels.values[sensor.name][t] = values[at]
                if pixels.clear is not None:
                    pixels.clear[t] = counts[at]
        for one in own.todo:
            made[one.target.cube_id].facts[sensor.name] = seen.facts(None)

    def _radar(self, own: Group, seen: Seen, made: dict[str, assembly.Pixels]) -> None:
        sensor, options = options_lib.RADAR, self.options.s1
        chosen = {one.target.cube_id: seen.orbits[one.target.cube_id] for one in own.todo}
        wanted = {(way, orbit) for way, orbits in chosen.values() for orbit in orbits}
        usable = [s for s in seen.scenes if (s.direction, s.orbit) in wanted]
        first = {one.target.cube_id: _first_radar(one, seen) for one in own.todo}
        for t, period in enumerate(own.todo[0].target.periods):
            todo = [one for one in own.todo if first[one.target.cube_id] <= t]
            found = _in(usable, period) if todo else []
            for rows, cols in compositing.blocks(own.box, len(found), 4) if found else []:
                power = compositing.powers(
                    found, own.box[rows, cols], options, self.source.read_radar
                )
                for one in todo:
                    self._radar_cube(own, one, (rows, found, power), chosen, made, t)
        for one in own.todo:
            name = one.target.cube_id
            made[name].facts[sensor.name] = seen.facts(name, one.target.periods)

    def _radar_cube(
        self,
        own: Group,
        one: Todo,
        block: tuple[slice, list[Scene], np.ndarray],
        chosen: dict[str, tuple[str, tuple[int, ...]]],
        made: dict[str, assembly.Pixels],
        t: int,
    ) -> None:
        rows, found, power = block
        name, (at_rows, at_cols) = one.target.cube_id, own.window(one)
        top, bottom = max(rows.start, at_rows.start), min(rows.stop, at_rows.stop)
        way, orbits = chosen[name]
        own_scenes = [n for n, s in enumerate(found) if s.direction == way and s.orbit in orbits]
        if top >= bottom or not own_scenes:
            return
        part = power[own_scenes, top - rows.start : bottom - rows.start, at_cols]
        values = compositing.radar(
            [found[n] for n in own_scenes], part, orbits, own.crs, self.options.s1
        )
        here = slice(top - at_rows.start, bottom - at_rows.start)
        made[name].values[options_lib.RADAR.name][t, here] = values


def _first_radar(one: Todo, seen: Seen) -> int:
    """The first period of which a cube's radar is read: all of them where its orbits are others
    than those of the periods that are there."""
    if one.old is None or not one.kept:
        return 0
    way, orbits = seen.orbits[one.target.cube_id]
    chosen = {"direction": way, "orbits": list(orbits)}
    return one.kept if appending.same_orbits(one.old, options_lib.RADAR.name, chosen) else 0


def _gone_before(own: Group, sensor: str) -> set[str]:
    """Ids of items whose files were not there when the periods that are kept were made."""
    known = (one.old.source.get("facts", {}) for one in own.todo if one.old and one.kept)
    return {name for facts in known for name in facts.get(sensor, {}).get("files_gone", ())}


def _in(found: Iterable[Scene], period: Period) -> list[Scene]:
    return [scene for scene in found if period.start <= scene.time.date() < period.end]
