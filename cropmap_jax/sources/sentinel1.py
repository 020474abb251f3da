"""Sentinel-1's satellites: when each is in service and calibrated, and which make a composite."""

import dataclasses
import datetime as dt
import re
from collections.abc import Iterable, Sequence
from typing import Any

from cropmap_jax.geo.names import nearest
from cropmap_jax.geo.periods import Period, to_day

DAY_MS = 86_400_000
REPEAT_DAYS = 12
"""After so many days each satellite passes over the same ground track.

Source: hyp3-docs.asf.alaska.edu/sentinel1.
"""


@dataclasses.dataclass(frozen=True)
class Platform:
    """A Sentinel-1 satellite.

    Args:
      name: e.g. "S1A".
      number: what its images have as `platform_number`.
      launched: day of its launch.
      calibrated: first whole day whose IW images are calibrated; None while no source states it.
      ended: last day of images; None while it is in service.
    """

    name: str
    number: str
    launched: dt.date
    calibrated: dt.date | None
    ended: dt.date | None = None


PLATFORMS = (
    # Operational data from the beginning of October 2014, the collection's first day:
    # esa.int, "First Copernicus satellite exceeds design working life", and the catalogue. Its end:
    # dataspace.copernicus.eu/news/2026-5-28-sentinel-1-orbital-reconfiguration-dates and
    # .../2026-6-30-copernicus-sentinel-1a-satellite-end-operations-after-12-years-service.
    Platform("S1A", "A", dt.date(2014, 4, 3), dt.date(2014, 10, 3), dt.date(2026, 6, 29)),
    # In-orbit commissioning review passed: sentinel.esa.int/web/success-stories/-/
    # flying-colours-for-sentinel-1b. Its end: esa.int, "Mission ends for Copernicus Sentinel-1B".
    Platform("S1B", "B", dt.date(2016, 4, 25), dt.date(2016, 9, 14), dt.date(2021, 12, 23)),
    # IW images are calibrated since the afternoon of 19 May: sar-mpc.eu/about/news, and
    # sentinels.copernicus.eu/-/sentinel-1c-products-are-now-calibrated.
    Platform("S1C", "C", dt.date(2024, 12, 5), dt.date(2025, 5, 20)),
    # Calibrated data are available from 17 April: hyp3-docs.asf.alaska.edu/sentinel1, after
    # sentinels.copernicus.eu/-/sentinel-1d-user-data-opening-from-17-april-2026.
    Platform("S1D", "D", dt.date(2025, 11, 4), dt.date(2026, 4, 17)),
)
"""Launches: hyp3-docs.asf.alaska.edu/sentinel1. All as read in November 2026."""

_BY_NAME = {platform.name: platform for platform in PLATFORMS}
_BY_NUMBER = {platform.number: platform for platform in PLATFORMS}
_SPELLING = re.compile(r"(?:sentinel[ _-]?1|s1)[ _-]?([a-z])", re.IGNORECASE)


def names_of(value: object, where: str) -> tuple[str, ...]:
    """Names as `PLATFORMS` has them, sorted, each once.

    Args:
      value: a list or tuple of names such as "S1A", "Sentinel-1A" or "A"; () for none.
      where: what to name in an error.

    Raises:
      ValueError: something else, or an unknown satellite: suggests the nearest one.
    """
    known = ", ".join(_BY_NAME)
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where}: expected a list such as ('S1A', 'S1C'), found {value!r}")
    found = set()
    for item in value:
        match = _SPELLING.fullmatch(item.strip()) if isinstance(item, str) else None
        name = f"S1{(match[1] if match else str(item).strip()).upper()}"
        if name not in _BY_NAME:
            raise ValueError(
                f"{where}: expected satellites of {known}, found {item!r}{nearest(name, _BY_NAME)}"
            )
        found.add(name)
    return tuple(sorted(found))


def usable(chosen: Sequence[str], periods: Sequence[Period]) -> dict[Platform, dt.date | None]:
    """The satellites whose images may be used, in the order of `PLATFORMS`.

    Args:
      chosen: names, of which all images are used, calibrated or not; () for all satellites, each
        from the day on from which its images are calibrated.
      periods: P periods.

    Returns:
      {platform: first day that is used, or None where no day of the periods is left out}; only
      those that may have images in the periods.

    Raises:
      ValueError: there is none.
    """
    start, end = min(p.start for p in periods), max(p.end for p in periods)
    found = {}
    for platform in PLATFORMS:
        first = platform.launched if chosen else platform.calibrated
        wanted = not chosen or platform.name in chosen
        if not wanted or first is None or first >= end:
            continue
        if platform.ended is None or platform.ended >= start:
            found[platform] = first if first > start and not chosen else None
    if not found:
        served = ", ".join(f"{p.name} {_service(p)}" for p in PLATFORMS)
        raise ValueError(
            f"s1.platforms: expected a satellite with images between {start} and {end} "
            f"({served}), found {', '.join(chosen) or 'none that is calibrated'}"
        )
    return found


def _service(platform: Platform) -> str:
    return f"{platform.launched} to {platform.ended or 'today'}"


def to_json(chosen: Sequence[str], periods: Sequence[Period]) -> dict[str, str | None]:
    """What `usable` returns, {name: first day that is used, or None}, JSON-ready."""
    found = usable(chosen, periods)
    return {p.name: since.isoformat() if since else None for p, since in found.items()}


def count_passes(
    table: Iterable[Sequence[Any]],
    periods: Sequence[Period],
    direction: str = "",
    orbits: Sequence[int] | None = None,
) -> dict[str, dict[str, int]]:
    """Passes of each satellite in each period: its scenes of one orbit on one day, UTC, are one.

    Args:
      table: rows that begin like those of `graphs.orbit_table`.
      periods: P periods.
      direction: "ascending" or "descending"; "" for both.
      orbits: relative orbit numbers that count; None for all.

    Returns:
      {period's name: {platform's name: passes}}; {} for a period without any.
    """
    seen: dict[str, dict[str, set[tuple[int, int, str]]]] = {period.name: {} for period in periods}
    for time, orbit, way, number, *_ in table:
        day = int(time // DAY_MS)
        if direction not in ("", way.lower()) or (orbits is not None and int(orbit) not in orbits):
            continue
        name = _BY_NUMBER[number].name if number in _BY_NUMBER else f"S1{number}"
        for period in periods:
            if to_day(period.start) <= day < to_day(period.end):
                seen[period.name].setdefault(name, set()).add((day, int(orbit), way))
    return {period: {name: len(own[name]) for name in sorted(own)} for period, own in seen.items()}


def expected_passes(
    chosen: Sequence[str], months: Sequence[Period]
) -> dict[str, dict[Period, float]]:
    """Passes of one orbit, if each satellite in service acquires every one: {name: {month: n}}."""
    out: dict[str, dict[Period, float]] = {}
    for platform, since in usable(chosen, months).items():
        first = since or platform.launched
        out[platform.name] = {}
        for month in months:
            start = max(month.start, first)
            end = month.end
            if platform.ended is not None:
                end = min(end, platform.ended + dt.timedelta(days=1))
            days = max(0, (end - start).days)
            out[platform.name][month] = days / REPEAT_DAYS
    return out


def notes(chosen: Sequence[str], spans: Iterable[Sequence[Period]]) -> list[str]:
    """What a user should know of calibration in the periods of any of the spans, a line each."""
    found: dict[str, dt.date | None] = {}
    for periods in spans:
        start, end = min(p.start for p in periods), max(p.end for p in periods)
        for platform in PLATFORMS if not chosen else [_BY_NAME[name] for name in chosen]:
            if platform.launched < end and (platform.ended is None or platform.ended >= start):
                if platform.calibrated is None or platform.calibrated > start:
                    found[platform.name] = platform.calibrated
    out = []
    for name, since in found.items():
        until = f"before {since}" if since else "(no source says since when they would be)"
        outcome = "used all the same, as s1.platforms names it" if chosen else "left out"
        out.append(f"note: images of {name} are not calibrated {until}; {outcome}")
    return out


def uncalibrated(table: Iterable[Sequence[Any]]) -> list[Sequence[Any]]:
    """The rows of images that are not calibrated, or of which no source states that they are.

    Args:
      table: rows that begin like those of `graphs.orbit_table`.
    """
    out = []
    for row in table:
        platform = _BY_NUMBER.get(row[3])
        since = platform.calibrated if platform else None
        if since is None or row[0] < to_day(since) * DAY_MS:
            out.append(row)
    return out
