"""What an export will cost, before any pixel moves.

Requests and bytes are those of `pieces`, so they are what the service will count unless it makes
requests be split or repeated. The rest is estimated, and `plan_text` prints from what.
"""

import collections
import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence

from cropmap_jax.geo import splits
from cropmap_jax.geo.periods import Period, month_periods, period_kind
from cropmap_jax.sources import sentinel1
from cropmap_jax.sources.earthengine import assembly, pieces, service
from cropmap_jax.sources.earthengine import options as options_lib
from cropmap_jax.sources.places import choose_pilot, disk_bytes, km2, places
from cropmap_jax.sources.targets import Target

__all__ = ["Pilot", "Plan", "choose_pilot", "make_plan", "places", "refine"]

ORBITS = "orbits"
"""Requests for a cube's list of radar scenes, from which its orbits are chosen; no pixels."""

DISK_BYTES = {"s1": 1.40, "s2": 1.35}
"""Bytes on disk of a value (2 in memory), as `cube_io` compresses it.

Measured on the 226 simulated cubes of configs/demo/simulate.py: Europe 1.39 and 1.23, Iran 1.41 and
1.40. Images of the service may take less: months without gaps of two small real stacks (WorldCereal
in Belgium, scaleag-vito in Tervuren) took 0.50 and 0.59 (S1), 0.91 and 0.97 (S2). Where pixels are
missing, next to nothing.
"""
FIXED_S = 2.0
PERIOD_S = {"s1": 1.0, "s2": 2.0}
"""Assumed seconds of a request, and what each of its periods adds. Guesses: a pilot measures."""
SCENES = {"s1": 8, "s2": 12}
"""Assumed scenes of a month that the service reads at one place, duplicates and overlaps counted.

A satellite pair passes every 5 (S2) or 6 days (S1), and most places lie in two orbits or tiles.
"""
READ_BANDS = {
    service.RADAR.name: len(service.RADAR.bands),
    service.OPTICAL.name: len(service.OPTICAL.bands) + 1,
}
"""Bands that are read of a scene: those of the cube, and what masks clouds."""
EECU_S = (0.1, 2.0)
"""Guessed EECU-seconds per million values read (pixels x scenes x bands), low and high.

Earth Engine publishes no such figure, and says that equal requests may differ widely.
Source: developers.google.com/earth-engine/guides/computation_overview.
"""
_MONTH_DAYS = 365.25 / 12


@dataclasses.dataclass(frozen=True)
class Pilot:
    """What a few cubes of a plan took.

    Args:
      seconds: mean seconds of a request, by kind, e.g. {"s1": 4.0, "s2": 9.5}.
      cubes: how many cubes.
      eecu_seconds: of all of them, where the service reports them (Cloud Monitoring); else None.
    """

    seconds: Mapping[str, float]
    cubes: int
    eecu_seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What an export will cost.

    Args:
      cubes: their number.
      km2: ground they cover, in all seasons together.
      splits: cubes per split.
      periods: (fewest, most) of a cube.
      kind: of a period, e.g. "month".
      first, last: first and last day of all periods, the last one included, ISO dates.
      requests: per kind: ORBITS, "s1", "s2" and, if it comes from the service, "label".
      moved: uncompressed bytes of their pixels, per kind.
      disk: bytes of the cubes, compressed, estimated.
      seconds: mean of a request, per kind.
      measured: kinds whose seconds were measured by a pilot.
      in_flight: requests at once.
      eecu_hours: (low, high).
      eecu_measured: whether they come from a pilot.
      scenes: S2 scenes per month, {place: {month: count}}; empty where they were not counted.
      passes: S1 passes, {place: {month: {satellite: count}}}; empty where they were not counted.
      expected: S1 passes of one orbit that may be expected, {satellite: {month: number}}.
      notes: lines on satellites that are not calibrated.
    """

    cubes: int
    km2: float
    splits: Mapping[str, int]
    periods: tuple[int, int]
    kind: str
    first: str
    last: str
    requests: Mapping[str, int]
    moved: Mapping[str, int]
    disk: float
    seconds: Mapping[str, float]
    in_flight: int
    eecu_hours: tuple[float, float]
    measured: frozenset[str] = frozenset()
    eecu_measured: bool = False
    scenes: Mapping[str, Mapping[Period, int]] = dataclasses.field(default_factory=dict)
    passes: Mapping[str, Mapping[Period, Mapping[str, int]]] = dataclasses.field(
        default_factory=dict
    )
    expected: Mapping[str, Mapping[Period, float]] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def hours(self) -> float:
        """Expected hours, at most `service.MAX_PER_SECOND` requests a second."""
        busy = sum(n * self.seconds[kind] for kind, n in self.requests.items()) / self.in_flight
        return max(busy, sum(self.requests.values()) / service.MAX_PER_SECOND) / 3600


def make_plan(
    targets: Sequence[Target],
    options: options_lib.Options,
    limits: pieces.Limits | None = None,
    in_flight: int = service.MAX_IN_FLIGHT,
    orbits_per_cube: int = 1,
    scenes: Mapping[str, Mapping[Period, int]] | None = None,
    passes: Mapping[str, Mapping[Period, Mapping[str, int]]] | None = None,
) -> Plan:
    """The plan of an export.

    Args:
      targets: what is to be exported.
      options: of the pixels; a label that does not come from EUCROPMAP is not requested.
      limits: of one request; those of the service if None.
      in_flight: requests at once.
      orbits_per_cube: requests by which a cube's orbits are looked up.
      scenes: {name of a place: {period: number of S2 scenes}}, see `places`.
      passes: {name of a place: {period: {satellite: number of S1 passes}}}.

    Raises:
      ValueError: no targets, limits that no request keeps within, or no satellite with images in
        the periods.
    """
    if not targets:
        raise ValueError("plan: expected at least one cube to export, found none")
    sensors = assembly.sensors_of(options)
    graphs = dict.fromkeys(sensors, "")
    requests = collections.Counter({ORBITS: len(targets) * orbits_per_cube})
    moved: collections.Counter[str] = collections.Counter()
    busy = collections.defaultdict(float, {ORBITS: FIXED_S * requests[ORBITS]})
    # How a cube is cut hangs on its shape and the number of its periods alone.
    alike = collections.defaultdict(list)
    for target in targets:
        alike[tuple(target.geobox.shape), len(target.periods)].append(target)
    for own in alike.values():
        for piece in pieces.pieces_of(own[0], graphs, limits, options.s2.count):
            requests[piece.sensor] += len(own)
            moved[piece.sensor] += len(own) * piece.nbytes
            seconds = FIXED_S + PERIOD_S.get(piece.sensor, 0.0) * len(piece.periods)
            busy[piece.sensor] += len(own) * seconds
    values = sum(_values_read(target) for target in targets)
    chosen, spans = options.s1.platforms, {target.periods for target in targets}
    months = {month for own in spans for month in month_periods(own[0].start, _last_day(own))}
    lengths = [len(target.periods) for target in targets]
    low, high = (values / 1e6 * rate / 3600 for rate in EECU_S)
    counts = collections.Counter(target.split for target in targets)
    return Plan(
        cubes=len(targets),
        km2=sum(km2(target) for target in targets),
        splits={name: counts[name] for name in splits.SPLITS if counts[name]},
        periods=(min(lengths), max(lengths)),
        kind=period_kind(targets[0].periods),
        first=min(own[0].start for own in spans).isoformat(),
        last=max(_last_day(own) for own in spans).isoformat(),
        requests={kind: n for kind, n in requests.items() if n},
        moved=dict(moved),
        disk=disk_bytes(targets, service.SENSORS, DISK_BYTES, options.s2.count),
        seconds={kind: busy[kind] / n for kind, n in requests.items() if n},
        in_flight=in_flight,
        eecu_hours=(low, high),
        scenes=dict(scenes or {}),
        passes=dict(passes or {}),
        expected=sentinel1.expected_passes(chosen, sorted(months)),
        notes=tuple(sentinel1.notes(chosen, spans)),
    )


def _last_day(periods: Sequence[Period]) -> dt.date:
    return periods[-1].end - dt.timedelta(days=1)


def _values_read(target: Target) -> float:
    """Values that the service reads for a cube: pixels x scenes x bands."""
    months = (target.periods[-1].end - target.periods[0].start).days / _MONTH_DAYS
    height, width = target.geobox.shape
    return height * width * months * sum(SCENES[k] * READ_BANDS[k] for k in SCENES)


def refine(plan: Plan, pilot: Pilot) -> Plan:
    """The plan with what a pilot measured: hours, and EECU-hours only if the service reported them.

    Raises:
      ValueError: a pilot of nothing, or of requests that the plan does not have.
    """
    wrong = set(pilot.seconds) - set(plan.requests)
    if wrong or pilot.cubes < 1 or not all(s > 0 for s in pilot.seconds.values()):
        raise ValueError(
            f"pilot: expected seconds above 0 of {', '.join(plan.requests)} and 1 or more cubes, "
            f"found {dict(pilot.seconds)} of {pilot.cubes}"
        )
    plan = dataclasses.replace(
        plan,
        seconds={**plan.seconds, **pilot.seconds},
        measured=plan.measured | set(pilot.seconds),
    )
    if pilot.eecu_seconds is None:
        return plan
    hours = pilot.eecu_seconds / 3600 * plan.cubes / pilot.cubes
    return dataclasses.replace(plan, eecu_hours=(hours, hours), eecu_measured=True)
