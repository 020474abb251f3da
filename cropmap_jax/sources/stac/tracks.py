"""Pass direction and relative orbit of a Sentinel-1 image, from when and where it was taken.

For files whose names and items do not say. The satellites keep to a ground track of 175 orbits in
12 days, flown at dawn and dusk: an image is of an ascending pass where it is evening, and its
orbit's number follows from when that orbit crossed the equator.
Sources: sentiwiki.copernicus.eu/web/s1-mission (orbit: 175 in 12 days, 98.18 degrees, 18:00 at the
ascending node). The phases were found from names of OPERA products, which hold the burst's number
along the track (T034-071092-IW3 of 2023-06-11T00:29:00, T047-099147-IW1 of 2026-02-25T21:57:26; a
burst lasts 2.758273 s, ESA's burst id map), and agree with absolute orbits of Level-1 products.
"""

import datetime as dt
import math

ORBITS = 175
"""In one cycle."""
_CYCLE_S = 12 * 86400.0
_ORBIT_S = _CYCLE_S / ORBITS
_INCLINATION = math.radians(98.18)
_EPOCH = dt.datetime(2014, 1, 1, tzinfo=dt.UTC)
_PHASES = {"A": 24.53, "B": 112.03, "C": 112.02}
"""By satellite: orbits since `_EPOCH`, less the relative orbit; of a whole cycle."""
_UNTIL = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
"""The satellites were moved along their orbit in mid-2026
(dataspace.copernicus.eu/news/2026-5-28-sentinel-1-orbital-reconfiguration-dates); Sentinel-1D's
phase is not known here."""
_MOST_OFF = 0.3
"""Orbits by which a crossing of the equator may be off; the place is known to a few degrees."""
_NODE_HOURS = 18.0
_FARTHEST = 80.0
"""Degrees of latitude up to which it is evening in all of an ascending pass."""


def track(platform: str, time: dt.datetime, lon: float, lat: float) -> tuple[str, int] | None:
    """Pass direction and relative orbit of an image.

    Args:
      platform: the satellite's letter.
      time: of the acquisition, UTC, to a few minutes.
      lon, lat: of its middle, degrees.

    Returns:
      ("ascending" or "descending", 1 to 175); None where they cannot be told.
    """
    if platform not in _PHASES or time >= _UNTIL or abs(lat) > _FARTHEST:
        return None
    seconds = (time - _EPOCH).total_seconds()
    local = (seconds / 3600 + lon / 15) % 24
    ascending = abs((local - _NODE_HOURS + 12) % 24 - 12) < 6
    # Angle along the orbit since it crossed the equator northwards.
    angle = math.asin(max(-1.0, min(1.0, math.sin(math.radians(lat)) / math.sin(_INCLINATION))))
    angle = angle if ascending else math.pi - angle
    since = (angle % (2 * math.pi)) / (2 * math.pi) * _ORBIT_S
    number = (seconds - since) / _ORBIT_S - _PHASES[platform]
    if abs(number - round(number)) > _MOST_OFF:
        return None
    return "ascending" if ascending else "descending", (round(number) - 1) % ORBITS + 1
