import dataclasses
import datetime as dt

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from scipy import ndimage

from cropmap_jax.geo.periods import month_periods, to_day
from cropmap_jax.sources.simulator import (
    clouds,
    fields,
    landscape,
    pixels,
    signals,
    weather,
    worlds,
)
from cropmap_jax.sources.simulator.pixels import MARGIN_PX

APRIL, MAY = month_periods(dt.date(2022, 4, 1), dt.date(2022, 5, 1))
FIRST = to_day(APRIL.start)
MAY_1 = to_day(MAY.start)
SIDE = 32


def patchwork(shape, units, seed=0):
    """Blocks of 8 x 8 pixels, each of one unit: no flip, turn or shift leaves it as it is."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, units, (shape[0] // 8, shape[1] // 8))
    return np.kron(blocks, np.ones((8, 8), int)).astype(np.int32)


def hand_made(unit, s2_days=(), s1_days=(), units=4, skies=None):
    """A clear sky over even units: u reflects 0.1 (u + 1) and scatters 0.02 (u + 1), in VH half."""
    shape = unit.shape
    zero, one = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    clear = clouds.Sky(np.ones(shape, bool), zero, one)
    tone = np.arange(1, units + 1, dtype=np.float32)
    reflectance = np.tile(0.1 * tone[:, None], (len(s2_days), 1, 10)).astype(np.float32)
    power = np.tile(tone[:, None] * [0.02, 0.01], (len(s1_days), 1, 1)).astype(np.float32)
    return pixels.Scenes(
        np.array(s2_days, np.int64), skies or [clear] * len(s2_days), reflectance,
        np.zeros_like(reflectance), np.zeros_like(reflectance), np.array(s1_days, np.int64), power,
        zero, zero, np.zeros((*shape, 2), np.float32), 7,
    )  # fmt: skip


def land(unit):
    none = np.zeros(unit.shape, np.uint8)
    kind = np.zeros(int(unit.max()) + 1, int)
    return fields.Ground(unit, unit.astype(np.uint32) + 1, kind, none, np.zeros(len(kind)), none)


def look(unit, scenes, row=0, col=0, size=None, periods=(APRIL, MAY)):
    return pixels.tile_composites(land(unit), scenes, row, col, size or unit.shape[0], periods)


class Even:
    """A generator whose gamma noise is its mean everywhere."""

    @staticmethod
    def standard_gamma(shape, size, dtype):
        return np.full(size, shape, dtype)


def radar_blur(ground):
    """The radar's 1-2-1 average along both axes of a site, its outermost pixels repeated."""
    for axis in (0, 1):
        ground = ndimage.convolve1d(ground.astype(float), [0.25, 0.5, 0.25], axis, mode="nearest")
    return ground


@pytest.fixture
def noiseless(monkeypatch):
    monkeypatch.setattr(pixels, "S2_NOISE", 0.0)
    monkeypatch.setattr(pixels, "S2_HAZE", 0.0)
    sense = pixels.radar.sense
    monkeypatch.setattr(pixels.radar, "sense", lambda power, rng: sense(power, Even))


def test_pixels_lie_where_their_units_do(noiseless):
    unit = patchwork((64, 96), 4)
    blurred = radar_blur(unit + 1)
    scenes = hand_made(unit, [FIRST], [FIRST])
    for row, col in ((0, 0), (0, 64), (32, 32), (24, 40)):
        s1, s2 = look(unit, scenes, row, col, 32)
        here = np.s_[row : row + 32, col : col + 32]
        assert s1.shape == (2, 32, 32, 2) and s2.shape == (2, 32, 32, 10)
        assert s1.dtype == s2.dtype == np.float32
        # The radar blurs over a pixel, by known weights.
        power = 10 ** (s1[0] / 10) / [0.02, 0.01]
        expected = np.broadcast_to(blurred[here][..., None], power.shape)
        np.testing.assert_allclose(power, expected, rtol=1e-4)
        # Cameras do as well: exact inside of the blocks, and nearly everywhere the nearest.
        inside = np.tile(np.pad(np.ones((6, 6), bool), 1), (4, 4))
        tone = s2[0] / 0.1
        expected = np.broadcast_to(unit[here][..., None] + 1, tone.shape)
        np.testing.assert_allclose(tone[inside], expected[inside], rtol=1e-4)
        assert (np.rint(tone) == expected).mean() > 0.9


def test_each_band_and_sensor_is_its_own(noiseless):
    unit = patchwork((SIDE, SIDE), 4)
    scenes = hand_made(unit, [FIRST], [FIRST])
    bands = np.arange(1, 11, dtype=np.float32) / 20
    scenes = dataclasses.replace(scenes, reflectance=np.broadcast_to(bands, (1, 4, 10)).copy())
    s1, s2 = look(unit, scenes)
    np.testing.assert_allclose(s2[0], np.broadcast_to(bands, s2[0].shape), rtol=1e-5)
    np.testing.assert_allclose(s1[0, ..., 0] - s1[0, ..., 1], 10 * np.log10(2), atol=1e-4)


def test_a_composite_is_of_its_period_and_no_other(noiseless):
    # A pass on the first of May is the first of May's, one on the last of April is April's.
    unit = np.zeros((SIDE, SIDE), np.int32)
    days = [FIRST - 1, FIRST, MAY_1 - 1, MAY_1, to_day(MAY.end) - 1, to_day(MAY.end)]
    scenes = hand_made(unit, days, days, units=1)
    values = np.array([9, 0.1, 0.3, 0.5, 0.7, 9], np.float32)
    scenes = dataclasses.replace(
        scenes,
        reflectance=np.broadcast_to(values[:, None, None], (6, 1, 10)).copy(),
        power=np.broadcast_to(values[:, None, None], (6, 1, 2)).copy(),
    )
    s1, s2 = look(unit, scenes)
    # Means of power and medians of reflectance: 0.2 and 0.6.
    np.testing.assert_allclose(s1[0], 10 * np.log10(0.2), atol=1e-4)
    np.testing.assert_allclose(s1[1], 10 * np.log10(0.6), atol=1e-4)
    np.testing.assert_allclose(s2[0], 0.2, rtol=1e-5)
    np.testing.assert_allclose(s2[1], 0.6, rtol=1e-5)


@hypothesis.given(st.integers(0, 60), st.integers(0, 2**31))
@hypothesis.settings(max_examples=15)
def test_what_comes_after_a_period_never_changes_it(day, seed):
    unit = patchwork((SIDE, SIDE), 3, seed)
    days = np.arange(FIRST, FIRST + 61, 7)
    scenes = hand_made(unit, days, days, units=3)
    later = days >= FIRST + day
    reflectance, power = scenes.reflectance.copy(), scenes.power.copy()
    reflectance[later] += 0.2
    power[later] *= 3
    changed = dataclasses.replace(scenes, reflectance=reflectance, power=power)
    before, after = look(unit, scenes), look(unit, changed)
    for t, period in enumerate((APRIL, MAY)):
        own = (days >= to_day(period.start)) & (days < to_day(period.end))
        for one, two in zip(before, after, strict=True):
            assert np.array_equal(one[t], two[t]) == (not (later & own).any())


def test_missing_where_and_only_where_nothing_is_clear():
    unit = patchwork((SIDE, SIDE), 4)
    first, second = np.zeros((2, SIDE, SIDE), bool)
    first[:20, :5], second[15:, :9] = True, True
    zero, one = np.zeros((SIDE, SIDE), np.float32), np.ones((SIDE, SIDE), np.float32)
    skies = [clouds.Sky(c, zero, one) for c in (first, second, np.zeros_like(first))]
    scenes = hand_made(unit, [FIRST, FIRST + 5, MAY_1], [MAY_1], skies=skies)
    s1, s2 = look(unit, scenes)
    np.testing.assert_array_equal(np.isfinite(s2[0]).all(-1), first | second)
    np.testing.assert_array_equal(np.isfinite(s2[0]).any(-1), first | second)
    assert np.isnan(s2[1]).all() and np.isnan(s1[0]).all() and np.isfinite(s1[1]).all()


def test_the_sky_lies_over_the_site_not_over_the_tile():
    unit = patchwork((64, 64), 4)
    clear = np.random.default_rng(0).random((64, 64)) < 0.5
    sky = clouds.Sky(clear, np.zeros((64, 64), np.float32), np.ones((64, 64), np.float32))
    scenes = hand_made(unit, [FIRST], skies=[sky])
    _, s2 = look(unit, scenes, 32, 24, 32)
    np.testing.assert_array_equal(np.isfinite(s2[0, ..., 0]), clear[32:, 24:56])


def test_overlooked_shadow_darkens_and_overlooked_cloud_whitens(noiseless):
    unit = np.zeros((SIDE, SIDE), np.int32)
    light, veil = np.ones((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.float32)
    light[:, :8], veil[:, 24:] = 0.45, 0.5
    sky = clouds.Sky(np.ones((SIDE, SIDE), bool), veil, light)
    _, s2 = look(unit, hand_made(unit, [FIRST], units=1, skies=[sky]))
    np.testing.assert_allclose(s2[0, :, :6], 0.045, rtol=1e-5)
    np.testing.assert_allclose(s2[0, :, 10:22], 0.1, rtol=1e-5)
    half = np.broadcast_to((0.1 + pixels.optics.CLOUD) / 2, s2[0, :, 26:].shape)
    np.testing.assert_allclose(s2[0, :, 26:], half, rtol=1e-5)


def test_ground_that_varies_within_a_field(noiseless):
    unit = np.zeros((SIDE, SIDE), np.int32)
    scenes = hand_made(unit, [FIRST], [FIRST], units=1)
    leaf = np.zeros((SIDE, SIDE), np.float32)
    leaf[:, 16:] = 0.5
    texture = np.zeros((SIDE, SIDE, 2), np.float32)
    texture[:16, :, 1] = 3.0
    scenes = dataclasses.replace(
        scenes, leaf=leaf, texture=texture, by_leaf=np.full((1, 1, 10), 0.1, np.float32)
    )
    s1, s2 = look(unit, scenes)
    np.testing.assert_allclose(s2[0, :, :15], 0.10, rtol=1e-5)
    np.testing.assert_allclose(s2[0, :, 17:], 0.15, rtol=1e-5)
    np.testing.assert_allclose(s1[0, ..., 0], 10 * np.log10(0.02), atol=1e-4)
    # The radar sees texture as part of the ground: 3 dB are a factor of 1.9953, blurred where it
    # ends.
    factor = np.full(SIDE, 1.0)
    factor[:15], factor[15], factor[16] = 1.9953, 0.75 * 1.9953 + 0.25, 0.25 * 1.9953 + 0.75
    expected = np.broadcast_to(10 * np.log10(0.01 * factor)[:, None], (SIDE, SIDE))
    np.testing.assert_allclose(s1[0, ..., 1], expected, atol=1e-4)


def test_tiles_of_a_site_fit_together(noiseless):
    # The blur at the rim of a tile draws on the tile next to it.
    unit = patchwork((64, 64), 4)
    scenes = hand_made(unit, [FIRST], [FIRST])
    whole = look(unit, scenes, 0, 0, 64)
    for row, col in ((0, 0), (0, 32), (32, 0), (32, 32)):
        part = look(unit, scenes, row, col, 32)
        window = np.s_[:, row : row + 32, col : col + 32]
        for one, two in zip(part, whole, strict=True):
            np.testing.assert_array_equal(one, two[window])


def test_noise_is_that_of_the_sensors():
    unit = np.zeros((64, 64), np.int32)
    scenes = hand_made(unit, np.arange(FIRST, FIRST + 30), [FIRST], units=1)
    images = [look(unit, dataclasses.replace(scenes, s2_days=np.array([FIRST]), seed=seed))[1][0]
              for seed in range(20)]  # fmt: skip
    inner = np.stack(images)
    # Relative noise of 2 % from pixel to pixel; haze of 0.006 in blue and a tenth of it in B12.
    np.testing.assert_allclose(inner.std((1, 2)).mean(0), 0.1 * 0.02, rtol=0.05)
    haze = inner.mean((1, 2)).std(0)
    assert 0.5 * pixels.S2_HAZE < haze[0] < 1.6 * pixels.S2_HAZE
    np.testing.assert_allclose(haze / haze[0], pixels._HAZE, atol=0.05)


def test_a_scene_has_one_haze_over_all_its_tiles(monkeypatch):
    monkeypatch.setattr(pixels, "S2_NOISE", 0.0)
    unit = np.zeros((64, 64), np.int32)
    # The first scene is hidden in one of the tiles: what it misses moves no other scene's haze.
    clear = np.ones((64, 64), bool)
    clear[:32, 32:] = False
    zero, one = np.zeros((64, 64), np.float32), np.ones((64, 64), np.float32)
    skies = [clouds.Sky(c, zero, one) for c in (clear, np.ones_like(clear))]
    scenes = hand_made(unit, [FIRST, MAY_1], [FIRST], units=1, skies=skies)
    corners = [(0, 0), (0, 32), (32, 0), (32, 32)]
    tiles = np.stack([look(unit, scenes, *corner, 32)[1] for corner in corners])
    for i in (0, 1):
        haze = pixels.S2_HAZE * np.random.default_rng([scenes.seed, i, 0, 1]).standard_normal()
        seen = [tile[i] for tile in tiles[[0, 2, 3] if i == 0 else slice(None)]]
        expected = np.broadcast_to(0.1 + haze * pixels._HAZE, np.shape(seen))
        np.testing.assert_allclose(seen, expected, rtol=1e-5)
    assert np.isnan(tiles[1, 0]).all()
    assert abs(tiles[0, 0] - tiles[0, 1]).max() > 1e-4
    other = look(unit, dataclasses.replace(scenes, seed=8), 0, 0, 32)[1]
    assert abs(other - tiles[0])[..., 0].min() > 1e-4


def test_a_tile_is_the_same_each_time_and_unlike_its_neighbours():
    unit = np.zeros((64, 64), np.int32)
    scenes = hand_made(unit, [FIRST], [FIRST], units=1)
    first, again, neighbour = (look(unit, scenes, 0, col, 32) for col in (0, 0, 32))
    for one, two, other in zip(first, again, neighbour, strict=True):
        np.testing.assert_array_equal(one, two)
        assert (one[0] != other[0]).all(-1).mean() > 0.9


def test_blur_by_hand():
    image = np.zeros((9, 9, 10), np.float32)
    image[4, 3] = 1.0
    found = pixels._blur(image)
    assert found.shape == (9 - 2 * MARGIN_PX, 9 - 2 * MARGIN_PX, 10)
    for band, side in enumerate(pixels._BLUR):
        taps = np.array([side, 1 - 2 * side, side])
        expected = np.zeros((5, 5))
        expected[1:4, 0:3] = np.outer(taps, taps)
        np.testing.assert_allclose(found[..., band], expected, atol=1e-6)


@pytest.fixture(scope="module")
def site():
    """A small site of Fars under its weather, and what was seen of it from March to May."""
    world, region = worlds.IRAN, worlds.IRAN.regions[1]
    ground = fields.plant(world, region, (64, 64), np.random.default_rng(1))
    days = to_day(dt.date(2022, 3, 1)), to_day(dt.date(2022, 5, 31))
    air = weather.make_weather(region.climate, days[0] - 60, days[1], np.random.default_rng(2))

    def see(air, seed=3):
        rng = np.random.default_rng(seed)
        growth = fields.grow(world, region, ground, air, 18993, np.random.default_rng(4))
        return pixels.observe(ground, growth, air, 29.6, *days, rng)

    return ground, air, see


SPRING = month_periods(dt.date(2022, 3, 1), dt.date(2022, 5, 1))


def test_passes_over_a_site(site):
    ground, air, see = site
    first, last = air.days[60], air.days[-1]
    for seed in range(8):
        scenes = see(air, seed)
        for days in (scenes.s1_days, scenes.s2_days):
            assert (np.diff(days) >= 0).all() and first <= days[0] and days[-1] <= last
        # One or two tracks of Sentinel-2 every 5 days, of one Sentinel-1 every 12.
        assert len(set(scenes.s2_days % 5)) in (1, 2) and len(set(scenes.s1_days % 12)) in (1, 2)
        assert 92 // 5 <= len(scenes.s2_days) <= 2 * 19
        assert scenes.reflectance.shape == (len(scenes.s2_days), len(ground.kind) + 5, 10)
        assert scenes.power.shape == (len(scenes.s1_days), len(ground.kind) + 5, 2)
        assert len(scenes.skies) == len(scenes.s2_days)
        assert (scenes.power > 0).all() and np.isfinite(scenes.power).all()
        assert (scenes.reflectance > 0).all() and (scenes.reflectance < 0.7).all()


def test_every_unit_shows_its_own_crop(site, monkeypatch):
    world, region = worlds.IRAN, worlds.IRAN.regions[1]
    ground, air, see = site
    track = pixels.Track(3, 0.7, 1.3)
    monkeypatch.setattr(pixels, "_tracks", lambda rng: [track])
    scenes = see(air)
    growth = fields.grow(world, region, ground, air, 18993, np.random.default_rng(4))
    passes = scenes.s2_days - air.days[0], scenes.s1_days - air.days[0]
    for crop, units, course, soil, pale in growth.groups:
        then = [(fields.take_days(course, index), soil.at(index)) for index in passes]
        seen = signals.reflectance(crop, *then[0], pale)
        power = signals.backscatter(crop, *then[1], track.incidence, track.look)
        for own, unit in enumerate(units):
            np.testing.assert_array_equal(scenes.reflectance[:, unit], seen[own])
            np.testing.assert_array_equal(scenes.power[:, unit], power[own])
    still = len(ground.kind) + fields.BUILT
    assert (scenes.reflectance[:, still] == pixels.optics.ROOFS).all()
    assert (scenes.power[:, still] == fields.still_backscatter(fields.BUILT)).all()


def test_denser_leaves_are_greener_and_brighter_soil_brighter(site):
    _, air, see = site
    scenes = see(air)
    plain, dense = scenes.reflectance, scenes.reflectance + 0.2 * scenes.by_leaf
    ndvi, denser = ((v[..., 6] - v[..., 2]) / (v[..., 6] + v[..., 2]) for v in (plain, dense))
    green = (ndvi > 0.4) & (ndvi < 0.85)
    assert green.any() and (denser > ndvi)[green].mean() > 0.95
    assert (scenes.by_soil >= -1e-6).all() and scenes.by_soil.max() > 0.1
    water = scenes.reflectance.shape[1] - 5 + fields.WATER
    assert (scenes.by_leaf[:, water] == 0).all() and (scenes.by_soil[:, water] == 0).all()


def test_observed_pixels_are_plausible(site):
    ground, air, see = site
    s1, s2 = pixels.tile_composites(ground, see(air), 0, 0, 64, SPRING)
    seen = s2[np.isfinite(s2)]
    assert seen.min() > 0 and seen.max() < 0.8 and 0.05 < np.median(seen) < 0.4
    assert np.isfinite(s1).all() and s1.min() > -45 and s1.max() < 12
    means = 10 * np.log10(np.mean(10 ** (s1 / 10), (0, 1, 2)))
    assert -15 < means[0] < -3 and 3 < means[0] - means[1] < 12


def test_fields_differ_more_between_than_within(site):
    # Were image and ground shifted or flipped against each other, fields would not explain pixels.
    ground, air, see = site
    s1, s2 = pixels.tile_composites(ground, see(air), 0, 0, 64, SPRING)

    def explained(values, unit):
        there = np.isfinite(values)
        own, values = unit[there], values[there]
        count = np.maximum(np.bincount(own), 1)
        mean = np.bincount(own, values) / count
        return 1 - np.mean((values - mean[own]) ** 2) / values.var()

    for values in (s2[1, ..., 6], s1[1, ..., 1]):
        straight = explained(values, ground.unit)
        flips = [explained(values, u) for u in
                 (ground.unit[::-1], ground.unit[:, ::-1], ground.unit.T)]  # fmt: skip
        shifts = [explained(values, np.roll(ground.unit, by, axis))
                  for by in (-1, 1) for axis in (0, 1)]  # fmt: skip
        assert straight > 2 * max(flips) and straight > max(shifts) + 0.02


def test_weather_after_a_period_leaves_its_composites_as_they_are(site):
    ground, air, see = site
    may = air.days >= to_day(dt.date(2022, 5, 1))
    wetter = dataclasses.replace(
        air,
        rain=np.where(may, air.rain + 12, air.rain),
        moisture=np.where(may, 36, air.moisture).astype(np.float32),
        frozen=air.frozen ^ may,
    )
    before, after = (pixels.tile_composites(ground, see(a), 0, 0, 64, SPRING)
                     for a in (air, wetter))  # fmt: skip
    for one, two in zip(before, after, strict=True):
        np.testing.assert_array_equal(one[:2], two[:2])
        assert not np.array_equal(one[2], two[2], equal_nan=True)


def test_cloud_to_come_leaves_the_skies_before_it_as_they_are(site):
    _, air, see = site
    may = air.days >= to_day(dt.date(2022, 5, 1))
    dull = dataclasses.replace(air, cloud=np.where(may, 0.99, air.cloud).astype(np.float32))
    clear, covered = see(air), see(dull)
    passed = clear.s2_days < to_day(dt.date(2022, 5, 1))
    for i in np.flatnonzero(passed):
        np.testing.assert_array_equal(clear.skies[i].clear, covered.skies[i].clear)
    hidden = [covered.skies[i].clear.mean() for i in np.flatnonzero(~passed)]
    assert np.mean(hidden) < 0.2


def test_the_sky_of_a_pass_is_that_of_its_day(site):
    _, air, see = site
    days = see(air).s2_days
    day = days[len(days) // 2]
    dull = dataclasses.replace(air, cloud=np.where(air.days == day, 1, 0).astype(np.float32))
    for passed, sky in zip(days, see(dull).skies, strict=True):
        assert (sky.clear == (passed != day)).all()


def test_villages_are_bright_and_water_is_dark(site):
    ground, air, see = site
    s1, _ = pixels.tile_composites(ground, see(air), 0, 0, 64, SPRING)
    power = 10 ** (s1 / 10)
    built = power[:, ground.cover == landscape.BUILT].mean((0, 1))
    field = power[:, ground.cover == landscape.FIELD].mean((0, 1))
    assert (built > 1.5 * field).all()
