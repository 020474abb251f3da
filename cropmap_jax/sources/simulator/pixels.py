"""From units to pixels: what a tile's scenes look like, and their composites."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from cropmap_jax.geo import composites
from cropmap_jax.geo.periods import Period, to_days
from cropmap_jax.geo.sensors import SENSORS, Sensor
from cropmap_jax.sources.simulator import (
    clouds,
    fields,
    landscape,
    optics,
    orbits,
    radar,
    signals,
    weather,
)
from cropmap_jax.sources.simulator.fields import Ground, Growth

S1, S2 = SENSORS["s1"], SENSORS["s2"]
MARGIN_PX = 2
"""Pixels around a tile that the sensors' blur needs."""
RADAR_PX = MARGIN_PX - 1
"""Of these, what the radar's own blur leaves."""
LEAF_SPREAD, SOIL_SPREAD = 0.16, 0.10
"""Standard deviations, within a field, of ln(leaf area) and ln(soil brightness)."""
S2_NOISE, S2_HAZE = 0.02, 0.006
"""Noise of a reflectance, relative; and what aerosol adds to or takes from a scene in
blue."""
S1_TEXTURE_DB = 0.5
"""Standard deviation of backscatter from place to place within a field, the same on every date."""
S1_LOSS = 0.03
"""Share of radar passes that never become an image."""
# How haze falls off with wavelength, and how far a band's own resolution of 10 or 20 m blurs.
_HAZE = np.array([1.0, 0.8, 0.6, 0.55, 0.5, 0.45, 0.4, 0.4, 0.15, 0.1], np.float32)
_BLUR = np.array([0.12, 0.12, 0.12, 0.25, 0.25, 0.25, 0.12, 0.25, 0.25, 0.25], np.float32)


@dataclasses.dataclass(frozen=True)
class Track:
    """A ground track of Sentinel-1 over a site: phase, incidence and azimuth of look in radians."""

    phase: int
    incidence: float
    look: float


@dataclasses.dataclass(frozen=True)
class Scenes:
    """All that was seen of a site.

    Args:
      s2_days: int64 [N], days since 1970-01-01.
      skies: N skies, over the whole site.
      reflectance: float32 [N, units, 10], of whole units.
      by_leaf, by_soil: float32, the same shape: change of reflectance per unit of ln(leaf area) and
        of ln(soil brightness).
      s1_days: int64 [M].
      power: float32 [M, units, 2], linear sigma-0.
      leaf, soil: float32 [H, W], how much denser and brighter a pixel is than its field, as logs.
      texture: float32 [H, W, 2], dB.
      seed: for the noise of tiles.
      tracks: ground tracks of Sentinel-1.
      s1_track: int64 [M], index in `tracks` of each radar pass.
    """

    s2_days: np.ndarray
    skies: Sequence[clouds.Sky]
    reflectance: np.ndarray
    by_leaf: np.ndarray
    by_soil: np.ndarray
    s1_days: np.ndarray
    power: np.ndarray
    leaf: np.ndarray
    soil: np.ndarray
    texture: np.ndarray
    seed: int
    tracks: tuple[Track, ...] = ()
    s1_track: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))


def observe(
    ground: Ground,
    growth: Growth,
    air: weather.Weather,
    latitude: float,
    first: int,
    last: int,
    rng: np.random.Generator,
) -> Scenes:
    """Passes over a site from `first` to `last` inclusive, days since 1970-01-01."""
    s2_days = _s2_passes(first, last, rng)
    tracks = _tracks(rng)
    s1 = [(day, i) for i, track in enumerate(tracks)
          for day in orbits.pass_days(orbits.SENTINEL_1, track.phase, first, last)
          if rng.random() > S1_LOSS]  # fmt: skip
    s1.sort()
    s1_days = np.array([day for day, _ in s1], np.int64)
    shape = ground.unit.shape
    start = int(growth.days[0])
    skies = [
        clouds.make_sky(
            shape, float(air.cloud[day - start]), orbits.sun_zenith(int(day), latitude), rng
        )
        for day in s2_days
    ]
    light = _s2_units(ground, growth, s2_days - start)
    power = np.empty((len(s1), growth.units, len(S1.bands)), np.float32)
    for i, track in enumerate(tracks):
        own = np.array([j for j, (_, t) in enumerate(s1) if t == i], int)
        if len(own):
            power[own] = _s1_units(ground, growth, s1_days[own] - start, track)
    # Wind roughens water from pass to pass.
    water = len(ground.kind) + fields.WATER
    power[:, water] *= 10 ** rng.normal(0, 0.3, (len(s1), 1)).astype(np.float32)
    built = ground.cover == landscape.BUILT
    leaf = LEAF_SPREAD * clouds.smooth_noise(shape, 2.2, rng) * ~built
    soil = SOIL_SPREAD * clouds.smooth_noise(shape, 2.6, rng)
    soil = np.where(built, 0.3 * rng.standard_normal(shape), soil).astype(np.float32)
    texture = S1_TEXTURE_DB * np.stack([clouds.smooth_noise(shape, 1.5, rng) for _ in S1.bands], -1)
    texture += np.where(built, 3.0, 0.0)[..., None] * rng.standard_normal((*shape, 1))
    return Scenes(
        s2_days, skies, *light, s1_days, power, leaf, soil, texture.astype(np.float32),
        int(rng.integers(2**31)), tuple(tracks), np.array([track for _, track in s1], np.int64),
    )  # fmt: skip


def _s2_passes(first: int, last: int, rng: np.random.Generator) -> np.ndarray:
    """Days of one or, where swaths overlap, two tracks."""
    count = 1 if rng.random() < 0.6 else 2
    days = [orbits.pass_days(orbits.SENTINEL_2, int(rng.integers(10)), first, last)
            for _ in range(count)]  # fmt: skip
    return np.unique(np.concatenate(days))


def _tracks(rng: np.random.Generator) -> list[Track]:
    """One or two tracks of one pass direction, as an export takes them."""
    ascending = rng.random() < 0.5
    look = np.deg2rad(78.0 if ascending else 282.0)
    angles = [rng.uniform(33, 44)] if rng.random() < 0.6 else [rng.uniform(31, 36),
                                                                rng.uniform(40, 45)]  # fmt: skip
    return [Track(int(rng.integers(12)), float(np.deg2rad(angle)), look) for angle in angles]


def _s2_units(
    ground: Ground, growth: Growth, index: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    parcels = len(ground.kind)
    shape = (len(index), growth.units, len(S2.bands))
    out, by_leaf, by_soil = (np.zeros(shape, np.float32) for _ in range(3))
    for number in (fields.ROAD, fields.BUILT, fields.WATER):
        still = fields.still_reflectance(number, len(index))
        out[:, parcels + number] = still
        if number != fields.WATER:
            by_soil[:, parcels + number] = still
    for crop, units, course, soil, pale in growth.groups:
        seen = fields.take_days(course, index)
        own = soil.at(index)
        base = signals.reflectance(crop, seen, own, pale)
        more = signals.reflectance(crop, seen, own, pale, more_leaf=0.15)
        brighter = dataclasses.replace(own, brightness=own.brightness * np.float32(1.15))
        bright = signals.reflectance(crop, seen, brighter, pale)
        out[:, units] = base.swapaxes(0, 1)
        by_leaf[:, units] = (more - base).swapaxes(0, 1) / np.log(1.15)
        by_soil[:, units] = (bright - base).swapaxes(0, 1) / np.log(1.15)
    return out, by_leaf, by_soil


def _s1_units(ground: Ground, growth: Growth, index: np.ndarray, track: Track) -> np.ndarray:
    out = np.zeros((len(index), growth.units, len(S1.bands)), np.float32)
    for number in (fields.ROAD, fields.BUILT, fields.WATER):
        out[:, len(ground.kind) + number] = fields.still_backscatter(number)
    for crop, units, course, soil, _ in growth.groups:
        seen = fields.take_days(course, index)
        own = soil.at(index)
        power = signals.backscatter(crop, seen, own, track.incidence, track.look)
        out[:, units] = power.swapaxes(0, 1)
    return out


def tile_composites(
    ground: Ground, scenes: Scenes, row: int, col: int, size: int, periods: Sequence[Period]
) -> tuple[np.ndarray, np.ndarray]:
    """S1 (dB) and S2 (reflectance) composites of one tile, NaN where missing.

    Args:
      ground, scenes: the site.
      row, col: upper left corner in pixels of the site.
      size: side in pixels.
      periods: T periods, contiguous.

    Returns:
      float32 [T, size, size, 2] and [T, size, size, 10].
    """
    shape = (len(periods), size, size)
    s1, s2 = (np.full((*shape, len(sensor.bands)), np.nan, np.float32) for sensor in (S1, S2))
    for t, seen in enumerate(tile_images(ground, scenes, row, col, size, periods)):
        if len(seen.passes):
            s1[t] = _composite(composites.linear_to_db(seen.power), periods[t], S1)
        if seen.images:
            clear = [np.where(own[..., None], image, np.nan) for _, own, image in seen.images]
            s2[t] = _composite(np.stack(clear), periods[t], S2)
    return s1, s2


@dataclasses.dataclass(frozen=True)
class Seen:
    """What is seen of a tile in a period.

    Args:
      passes: int64 [N], indices of radar passes.
      power: float32 [N, size, size, 2], linear sigma-0.
      images: (index of an optical pass, bool [size, size] what its mask lets through, float32
        [size, size, 10] reflectance), of passes with any clear pixel in the tile.
    """

    passes: np.ndarray
    power: np.ndarray
    images: Sequence[tuple[int, np.ndarray, np.ndarray]]


def tile_images(
    ground: Ground, scenes: Scenes, row: int, col: int, size: int, periods: Sequence[Period]
) -> Iterator[Seen]:
    """The images that composites of a tile are made of, period by period.

    Args:
      ground, scenes: the site.
      row, col: upper left corner in pixels of the site.
      size: side in pixels.
      periods: T periods, contiguous.
    """
    rng = np.random.default_rng([scenes.seed, row, col])
    crop = _Crop(ground.unit.shape, row, col, size)
    unit = crop(ground.unit)
    texture = 10 ** (crop(scenes.texture) / 10)
    leaf, soil = crop(scenes.leaf)[..., None], crop(scenes.soil)[..., None]
    for start, end in to_days(periods):
        passes = np.flatnonzero((scenes.s1_days >= start) & (scenes.s1_days < end))
        power = np.zeros((0, size, size, len(S1.bands)), np.float32)
        if len(passes):
            ground_power = np.moveaxis(scenes.power[passes][:, unit] * texture, -1, 1)
            seen = np.moveaxis(radar.sense(ground_power, rng), 1, -1)
            power = seen[:, RADAR_PX:-RADAR_PX, RADAR_PX:-RADAR_PX]
        images = []
        for i in np.flatnonzero((scenes.s2_days >= start) & (scenes.s2_days < end)).tolist():
            clear = crop.inner(crop(scenes.skies[i].clear)[None])[0]
            if clear.any():
                images.append((i, clear, _s2_image(scenes, i, unit, leaf, soil, crop, rng)))
        yield Seen(passes, power, images)


def _composite(values: np.ndarray, period: Period, sensor: Sensor) -> np.ndarray:
    """The project's own composite, of observations that all lie in one period."""
    made, _ = composites.composite(values, [period] * len(values), [period], sensor)
    one: np.ndarray = made[0]
    return one


def _s2_image(
    scenes: Scenes,
    i: int,
    unit: np.ndarray,
    leaf: np.ndarray,
    soil: np.ndarray,
    crop: "_Crop",
    rng: np.random.Generator,
) -> np.ndarray:
    image = scenes.reflectance[i][unit]
    image += scenes.by_leaf[i][unit] * leaf
    image += scenes.by_soil[i][unit] * soil
    image *= crop(scenes.skies[i].light)[..., None]
    veil = crop(scenes.skies[i].veil)[..., None]
    image += veil * (optics.CLOUD - image)
    image = _blur(image)
    # One haze for all tiles of a scene; a longer seed, since tiles draw from [seed, row, col].
    haze = np.float32(S2_HAZE * np.random.default_rng([scenes.seed, i, 0, 1]).standard_normal())
    noise = rng.standard_normal(image.shape, np.float32)
    seen: np.ndarray = np.maximum(image * (1 + S2_NOISE * noise) + haze * _HAZE, 1e-4)
    return seen


def _blur(image: np.ndarray) -> np.ndarray:
    """The point spread of a band, three taps along each axis; drops MARGIN_PX on every side."""
    side, middle = _BLUR, 1 - 2 * _BLUR
    m = MARGIN_PX
    rows = side * (image[m - 1 : -m - 1] + image[m + 1 : image.shape[0] - m + 1])
    rows += middle * image[m:-m]
    out: np.ndarray = side * (rows[:, m - 1 : -m - 1] + rows[:, m + 1 : rows.shape[1] - m + 1])
    out += middle * rows[:, m:-m]
    return out


class _Crop:
    """Cuts a tile with its margin from a site, repeating the outermost pixels beyond the edge."""

    def __init__(self, shape: tuple[int, int], row: int, col: int, size: int):
        self._rows, self._cols = (
            np.clip(np.arange(start - MARGIN_PX, start + size + MARGIN_PX), 0, length - 1)
            for start, length in zip((row, col), shape, strict=True)
        )

    def __call__(self, array: np.ndarray) -> np.ndarray:
        return array[self._rows[:, None], self._cols[None]]

    @staticmethod
    def inner(stack: np.ndarray) -> np.ndarray:
        """Drops the margin of [N, H, W, ...]."""
        m = MARGIN_PX
        inside: np.ndarray = stack[:, m:-m, m:-m]
        return inside
