"""Which scenes a simulated site has, and what is awkward about them, as about real ones.

Planted, by the number of a pass so that a season has some of each:
  * Sentinel-2: reprocessings of a datatake next to the old one, whose pixels are wrong; the change
    of processing baseline, from which on stored numbers are 1000 higher; datatakes cut into tiles
    that overlap and have empty ground; copies in the next UTM zone; a band that is missing where
    nothing is clear.
  * Sentinel-1: slices that overlap, reprocessings, passes of the other direction in the first half
    of the season, scenes of one polarisation.
"""

import dataclasses
import datetime as dt
import math

import numpy as np

from cropmap_jax.geo.periods import EPOCH
from cropmap_jax.sources.simulator import pixels

OFFSET_SINCE = dt.date(2022, 1, 25)
"""First day of processing baseline 04.00, whose Level-2A has BOA_ADD_OFFSET = -1000.

Source: sentiwiki.copernicus.eu/web/s2-products.
"""
OFFSET_DN = 1000
"""Added to what is stored since then; 0 stays no data."""
BEFORE, SINCE, AGAIN = "03.01", "04.00", "05.10"
"""Processing baselines: before that day, since then, and of all that was reprocessed."""
SPOILT = 0.8
"""Factor on the pixels of scenes that must not be used."""
OTHER_ORBIT = 150
_OPTICAL_TIME = dt.time(7, 21, 30)
_RADAR_TIMES = {"ascending": dt.time(14, 41, 5), "descending": dt.time(2, 37, 40)}


@dataclasses.dataclass(frozen=True)
class OpticalScene:
    """A Sentinel-2 scene.

    Args:
      scene_id: its name.
      index: of the pass.
      time: of the datatake, UTC.
      platform: "sentinel-2a" or "sentinel-2b".
      baseline: of the processing, e.g. "04.00".
      piece: "W" or "E" of a datatake that is cut, "A" whole, "Z" in the next UTM zone.
      spoilt: whether its pixels are wrong: an older processing.
      lacks: names of bands that it lacks.
    """

    scene_id: str
    index: int
    time: dt.datetime
    platform: str
    baseline: str
    piece: str
    spoilt: bool = False
    lacks: tuple[str, ...] = ()

    @property
    def offset(self) -> int:
        """What is added to reflectance x 10000 in its files."""
        return OFFSET_DN if self.baseline >= SINCE else 0


@dataclasses.dataclass(frozen=True)
class RadarScene:
    """A Sentinel-1 scene.

    Args:
      scene_id: its name.
      index: of the pass.
      time: of its first line, UTC.
      platform: "sentinel-1a" or "sentinel-1b".
      direction: "ascending" or "descending".
      orbit: relative orbit number.
      rows: (first, last, exclusive) as shares of the site's height.
      processed: UTC.
      bands: "vv", or "vv" and "vh".
      factor: on its power; 1 where it may be used.
    """

    scene_id: str
    index: int
    time: dt.datetime
    platform: str
    direction: str
    orbit: int
    rows: tuple[float, float]
    processed: dt.datetime
    bands: tuple[str, ...] = ("vv", "vh")
    factor: float = 1.0


def _moment(day: int, time: dt.time) -> dt.datetime:
    return dt.datetime.combine(EPOCH + dt.timedelta(days=int(day)), time, dt.UTC)


def optical_scenes(site: str, scenes: pixels.Scenes) -> list[OpticalScene]:
    """The Sentinel-2 scenes of a site, pass by pass.

    Args:
      site: its name, part of theirs.
      scenes: what is seen of it.
    """
    out = []
    for i, day in enumerate(scenes.s2_days):
        time = _moment(day, _OPTICAL_TIME)
        natural = SINCE if time.date() >= OFFSET_SINCE else BEFORE
        platform = "a" if day % 10 < 5 else "b"
        lacks = () if scenes.skies[i].clear.any() else ("B8A",)

        def add(
            piece: str, baseline: str, spoilt: bool = False, i: int = i, time: dt.datetime = time,
            platform: str = platform, lacks: tuple[str, ...] = lacks,
        ) -> None:  # fmt: skip
            name = f"S2{platform.upper()}_MSIL2A_{time:%Y%m%dT%H%M%S}_N{baseline.replace('.', '')}"
            out.append(OpticalScene(
                f"{name}_{site}{piece}", i, time, f"sentinel-2{platform}", baseline, piece, spoilt,
                lacks,
            ))  # fmt: skip

        baselines = [natural] + ([AGAIN] if i % 5 == 2 else [])
        pieces = ["W", "E"] if i % 3 == 1 else ["A"]
        pieces += ["Z"] if i % 4 == 3 else []
        for baseline in baselines:
            for piece in pieces:
                add(piece, baseline, baseline != baselines[-1])
    return out


def radar_scenes(site: str, scenes: pixels.Scenes, middle: int) -> list[RadarScene]:
    """The Sentinel-1 scenes of a site, pass by pass.

    Args:
      site: its name, part of theirs.
      scenes: what is seen of it.
      middle: day in the middle of the season, days since 1970-01-01: passes of the other direction
        end there, so that it is the less complete one.
    """
    out: list[RadarScene] = []
    for m, (day, number) in enumerate(zip(scenes.s1_days, scenes.s1_track, strict=True)):
        track = scenes.tracks[number]
        ways = ["ascending", "descending"]
        way, other = ways if track.look < math.pi else ways[::-1]
        # The twin follows half a cycle later.
        platform = "a" if (day - track.phase) % 12 == 0 else "b"
        orbit = 28 + 73 * int(number)
        rows = [(0.0, 0.55), (0.45, 1.0)] if m % 2 else [(0.0, 1.0)]
        done = [1.0] if m % 6 != 3 else [SPOILT, 1.0]
        for k, reach in enumerate(rows):
            time = _moment(day, _RADAR_TIMES[way]) + dt.timedelta(seconds=25 * k)
            for version, factor in enumerate(done):
                out.append(_radar(site, m, time, platform, way, orbit, reach, version, factor))
        if m % 7 == 5:
            time = _moment(day, _RADAR_TIMES[way]) + dt.timedelta(days=1)
            single = _radar(site, m, time, platform, way, orbit + 1, (0.0, 1.0), 0, SPOILT)
            name = single.scene_id.replace("1SDV", "1SSV")
            out.append(dataclasses.replace(single, scene_id=name, bands=("vv",)))
        if m % 2 == 0 and day + 3 < middle:
            time = _moment(day + 3, _RADAR_TIMES[other])
            whole = (0.0, 1.0)
            out.append(
                _radar(site, m, time, platform, other, OTHER_ORBIT, whole, 0, SPOILT)
            )  # fmt: skip
    return out


def _radar(
    site: str,
    index: int,
    time: dt.datetime,
    platform: str,
    direction: str,
    orbit: int,
    rows: tuple[float, float],
    version: int,
    factor: float,
) -> RadarScene:
    name = f"S1{platform.upper()}_IW_GRDH_1SDV_{time:%Y%m%dT%H%M%S}_{orbit:03d}_{site}_{version}"
    processed = time + dt.timedelta(days=1 + 400 * version)
    return RadarScene(
        name, index, time, f"sentinel-1{platform}", direction, orbit, rows, processed,
        factor=factor,
    )  # fmt: skip


def classes_of(reflectance: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """A scene classification (SCL): vegetation and bare soil where clear, else cloud or shadow.

    Args:
      reflectance: float32 [H, W, 10].
      clear: bool [H, W].

    Returns:
      uint8 [H, W], classes 3, 4, 5, 8, 9 and 10 of Level-2A.
    """
    red, infrared = reflectance[..., 2], reflectance[..., 6]
    green = (infrared - red) > 0.4 * (infrared + red)
    height, width = clear.shape
    turn = (np.arange(height)[:, None] // 16 + np.arange(width)[None] // 16) % 4
    hidden = np.array([9, 8, 3, 10], np.uint8)[turn]
    found: np.ndarray = np.where(clear, np.where(green, 4, 5), hidden).astype(np.uint8)
    return found
