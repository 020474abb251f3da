"""When the satellites pass: each ground track repeats, and satellites come and go."""

import dataclasses
import datetime as dt

import numpy as np

from cropmap_jax.geo.periods import to_day


@dataclasses.dataclass(frozen=True)
class Satellite:
    """One satellite: days between passes of a track, days after the first one, and its service."""

    cycle: int
    offset: int
    start: dt.date
    end: dt.date | None


# Sources: Copernicus Sentinel-1 and Sentinel-2 mission pages (orbit cycles of 12 and 10 days, the
# twins half a cycle apart; Sentinel-1B's last acquisition on 2021-12-23). Starts are those of
# routine data.
SENTINEL_1 = (
    Satellite(12, 0, dt.date(2014, 10, 3), None),
    Satellite(12, 6, dt.date(2016, 9, 26), dt.date(2021, 12, 23)),
)
SENTINEL_2 = (
    Satellite(10, 0, dt.date(2015, 7, 6), None),
    Satellite(10, 5, dt.date(2017, 7, 6), None),
)


def pass_days(fleet: tuple[Satellite, ...], phase: int, first: int, last: int) -> np.ndarray:
    """Days on which a track is seen.

    Args:
      fleet: satellites that share the track.
      phase: day within the cycle, 0 up to the cycle, that sets one track apart from another.
      first, last: inclusive, days since 1970-01-01.

    Returns:
      int64, sorted, days since 1970-01-01.
    """
    days = np.arange(first, last + 1)
    seen = np.zeros(len(days), bool)
    for satellite in fleet:
        end = to_day(satellite.end) if satellite.end else last
        serves = (days >= to_day(satellite.start)) & (days <= end)
        seen |= serves & ((days - phase - satellite.offset) % satellite.cycle == 0)
    return days[seen]


def sun_zenith(day: int, latitude: float) -> float:
    """Sun zenith angle in radians at about 10:30 local solar time.

    Source: Cooper (1969), doi:10.1016/0038-092X(69)90047-4, for the declination.

    Args:
      day: days since 1970-01-01.
      latitude: degrees.
    """
    start_of_year = np.datetime64(day, "D").astype("datetime64[Y]").astype("datetime64[D]")
    day_of_year = day - int(start_of_year.astype(int)) + 1
    declination = np.deg2rad(23.45) * np.sin(2 * np.pi * (284 + day_of_year) / 365)
    hour = np.deg2rad(15 * (10.5 - 12))
    phi = np.deg2rad(latitude)
    cosine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour)
    return float(np.arccos(np.clip(cosine, -1, 1)))
