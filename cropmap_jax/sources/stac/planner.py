"""What a fetch will cost, before any pixel moves: scenes, files, bytes, hours.

Scenes are counted where the catalogue answers, else assumed from how often satellites pass. The
rest is estimated; what from is printed.
"""

import collections
import dataclasses
import datetime as dt
import math
from collections.abc import Mapping, Sequence

from cropmap_jax.geo import splits
from cropmap_jax.geo.periods import Period, period_kind
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.places import (
    disk_bytes,
    hours_text,
    km2,
    place_names,
    places,
    size_text,
)
from cropmap_jax.sources.stac import options as options_lib
from cropmap_jax.sources.stac.groups import group
from cropmap_jax.sources.stac.source import Source
from cropmap_jax.sources.survey import Todo
from cropmap_jax.sources.targets import Target

SCENES = {"s1": 8.0, "s2": 12.0}
"""Assumed scenes of a month at one place, as in plans of `export`: a pair of satellites passes
every 5 (Sentinel-2) or 6 days (Sentinel-1), and most places lie in two orbits or tiles."""
CLEAR = 0.6
"""Assumed share of Sentinel-2 scenes with any clear pixel over a group of cubes: of the others only
the classification is read."""
BLOCK_PX = 1024
"""Assumed side of a COG's block, which is read whole: 512 or 1024."""
VALUE_BYTES = {"s1": 3.0, "s2": 1.4}
"""Assumed bytes of a value as COGs are compressed: float32 and uint16."""
REQUESTS = 2
"""Assumed requests of a file: its header, and blocks that lie next to each other."""
FILE_S = 0.5
"""Assumed seconds of one file, until a pilot has run."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a fetch will cost.

    Args:
      cubes: their number.
      groups: of cubes that are fetched together.
      km2: ground.
      splits: cubes per split.
      periods: (fewest, most) of a cube.
      kind: of a period.
      first, last: days of all periods, the last one included.
      scenes: {sensor: scenes of all groups}.
      files: {sensor: files of one band of one scene}.
      moved: {sensor: bytes}.
      disk: bytes of the cubes.
      seconds: of a file.
      measured: whether they were, by a pilot.
      threads: files at once.
      counted: {sensor: {place: {period: scenes}}}, of sensors whose catalogue answered.
      why: {sensor: why it was not counted}.
    """

    cubes: int
    groups: int
    km2: float
    splits: Mapping[str, int]
    periods: tuple[int, int]
    kind: str
    first: str
    last: str
    scenes: Mapping[str, float]
    files: Mapping[str, float]
    moved: Mapping[str, float]
    disk: float
    seconds: float
    measured: bool
    threads: int
    counted: Mapping[str, Mapping[str, Mapping[Period, int]]]
    why: Mapping[str, str]

    @property
    def hours(self) -> float:
        """Expected, with all threads busy."""
        return sum(self.files.values()) * self.seconds / self.threads / 3600


def count_scenes(
    found: Sequence[Target], source: Source, sensor: str
) -> dict[str, dict[Period, int]]:
    """Scenes of each period at the middle of each place, by one search per place."""
    out = {}
    for place in places(found):
        west, south, east, north = place.box
        x, y = (west + east) / 2, (south + north) / 2
        scenes, _ = source.find(sensor, (x, y, x + 1e-4, y + 1e-4), place.periods)
        days = [scene.time.date() for scene in scenes]
        out[place.name] = {p: sum(p.start <= day < p.end for day in days) for p in place.periods}
    return out


def make_plan(
    found: Sequence[Target],
    options: options_lib.Options,
    threads: int,
    counted: Mapping[str, Mapping[str, Mapping[Period, int]]] | None = None,
    why: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of a fetch.

    Args:
      found: what is to be fetched.
      options: of the pixels.
      threads: files at once.
      counted: of `count_scenes`, by sensor.
      why: why a sensor's scenes were not counted.

    Raises:
      ValueError: no targets.
    """
    if not found:
        raise ValueError("plan: expected at least one cube to fetch, found none")
    groups = group([Todo(target, "") for target in found])
    names = dict(zip((t.cube_id for t in found), place_names(found), strict=True))
    counted = counted or {}
    scenes, files, moved = (dict.fromkeys((s.name for s in options.sensors), 0.0) for _ in "123")
    for own in groups:
        target = own.todo[0].target
        place = names[target.cube_id]
        height, width = own.box.shape
        # What a window at any place touches, on average.
        touched = math.prod(side + BLOCK_PX for side in (height, width))
        for sensor in options.sensors:
            known = counted.get(sensor.name)
            days = (target.periods[-1].end - target.periods[0].start).days
            number = (
                sum(known[place][p] for p in target.periods)
                if known is not None
                else SCENES[sensor.name] * days / (365.25 / 12)
            )
            each = _files(sensor.name, options)
            scenes[sensor.name] += number
            files[sensor.name] += number * each
            moved[sensor.name] += number * each * touched * VALUE_BYTES[sensor.name]
    spans = [target.periods for target in found]
    lengths = [len(own) for own in spans]
    last = max(own[-1].end for own in spans) - dt.timedelta(days=1)
    counts = collections.Counter(target.split for target in found)
    counted_s2 = options.s2.count and bool(options.s2.collection)
    return Plan(
        cubes=len(found),
        groups=len(groups),
        km2=sum(map(km2, found)),
        splits={name: counts[name] for name in splits.SPLITS if counts[name]},
        periods=(min(lengths), max(lengths)),
        kind=period_kind(found[0].periods),
        first=min(own[0].start for own in spans).isoformat(),
        last=last.isoformat(),
        scenes=scenes,
        files=files,
        moved=moved,
        disk=disk_bytes(found, options.sensors, {}, counted_s2),
        seconds=FILE_S,
        measured=False,
        threads=threads,
        counted=dict(counted),
        why=dict(why or {}),
    )


def _files(sensor: str, options: options_lib.Options) -> float:
    if sensor == "s1":
        return float(len(options.s1.assets))
    return 1 + CLEAR * len(options.s2.assets)


def refine(plan: Plan, manifest: Manifest) -> Plan:
    """The plan with the seconds that files took in a pilot, whose groups are in the manifest."""
    seconds = files = 0.0
    for row in manifest.cubes():
        for piece in manifest.pieces(row.cube):
            count, height, width = map(int, piece.shape.split("x"))
            seconds, files = seconds + piece.seconds, files + count
    if not files:
        return plan
    # Of a run, whose threads read at once: as if each file took so long in one of them.
    each = seconds / files * plan.threads
    return dataclasses.replace(plan, seconds=each, measured=True)


def text(plan: Plan) -> str:
    """The plan in some twenty lines."""
    fewest, most = plan.periods
    each = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    dealt = ", ".join(f"{n:,} {name}" for name, n in plan.splits.items())
    note = "as a pilot took" if plan.measured else "assumed until a pilot has run"
    lines = [
        f"cubes       {plan.cubes:,}, {plan.km2:,.0f} km2, in {plan.groups:,} groups: {dealt}",
        f"periods     {each} per cube ({plan.kind}), {plan.first} to {plan.last}",
        "",
        f"            {'scenes':>12}{'files':>12}{'requests':>12}{'to move':>12}",
    ]
    for sensor, scenes in plan.scenes.items():
        files, size = plan.files[sensor], size_text(plan.moved[sensor])
        cells = f"{scenes:>12,.0f}{files:>12,.0f}{files * REQUESTS:>12,.0f}{size:>12}"
        mark = "" if sensor in plan.counted else "  scenes assumed"
        lines.append(f"  {sensor:<10}{cells}{mark}")
    lines += [
        "",
        f"assumed     {CLEAR:.0%} of Sentinel-2 scenes have clear ground; files with blocks of "
        f"{BLOCK_PX} px,",
        f"            {VALUE_BYTES['s2']:g} (S2) and {VALUE_BYTES['s1']:g} bytes a value (S1), "
        f"{REQUESTS} requests a file",
        f"disk        {size_text(plan.disk)} of cubes, as simulated ones compress",
        f"time        {hours_text(plan.hours)}, {plan.threads} files at once; {plan.seconds:.2f} s "
        f"a file, {note}",
    ]
    for sensor, why in plan.why.items():
        assumed = f"{SCENES[sensor]:g} scenes a month"
        lines.append(f"{sensor}: {why}; {assumed} assumed, from the revisit schedule")
    for sensor, rows in plan.counted.items():
        lines += ["", f"{sensor}: scenes at the middle of a place (0: the month will be missing)"]
        for place, row in rows.items():
            cells = " ".join(f"{p.start:%Y-%m} {n}," for p, n in row.items()).rstrip(",")
            lines.append(f"  {place}: {cells}")
        empty = [f"{place} {p.start:%Y-%m}" for place, row in rows.items()
                 for p, n in row.items() if not n]  # fmt: skip
        if empty:
            lines.append(f"  no scene at all: {', '.join(empty)}")
    return "\n".join(lines)
