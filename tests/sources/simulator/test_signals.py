import dataclasses

import numpy as np
import pytest

from cropmap_jax.geo import composites
from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.sources.simulator import crops, optics, phenology, radar, signals, worlds
from cropmap_jax.sources.simulator.phenology import Annual

KINDS = {f"{w.name}-{key}": kind.crop for w in (worlds.EUROPE, worlds.IRAN)
         for key, kind in w.kinds.items()}  # fmt: skip
KINDS |= {"deciduous": crops.DECIDUOUS, "coniferous": crops.CONIFEROUS}
BANDS = SENSORS["s2"].bands
RED, NIR = BANDS.index("B4"), BANDS.index("B8")
DAYS = np.arange(-90.0, 275.0, 5.0)
AT_38 = np.deg2rad(38.0)


def still(count=1, days=1, **states):
    """A course that stands still; all that is not given is 0, the soil 1 cm rough."""
    names = [f.name for f in dataclasses.fields(phenology.Course)]
    values = dict.fromkeys(names, 0.0) | {"rough": 1.0} | states
    return phenology.Course(*(np.full((count, days), values[n], np.float32) for n in names))


def ground(moisture=20.0, frozen=False, rows=0.0, brightness=0.6):
    return signals.Soil(
        np.array([brightness], np.float32), np.array([[moisture]], np.float32),
        np.array([frozen]), np.array([rows], np.float32),
    )  # fmt: skip


def db(crop, course, soil, look=0.0):
    return composites.linear_to_db(signals.backscatter(crop, course, soil, AT_38, look))[0, 0]


def ndvi(values):
    return (values[..., NIR] - values[..., RED]) / (values[..., NIR] + values[..., RED])


@pytest.mark.parametrize("crop", KINDS.values(), ids=KINDS)
def test_every_crop_looks_as_crops_do(crop):
    rng = np.random.default_rng(0)
    count = 15
    course = phenology.develop(crop, count, DAYS, 0.0, rng)
    moisture = 22 + 10 * np.cos(2 * np.pi * DAYS / 365)
    soil = signals.draw_soil(moisture, moisture > 31.9, rng.uniform(0, np.pi, count), rng)
    seen = signals.reflectance(crop, course, soil, rng.normal(0, 0.08, count))
    assert seen.shape == (count, len(DAYS), 10) and seen.dtype == np.float32
    assert (seen > 0).all() and (seen < 0.65).all()
    power = signals.backscatter(crop, course, soil, AT_38, 1.3)
    assert power.shape == (count, len(DAYS), 2) and power.dtype == np.float32
    values = composites.linear_to_db(power)
    assert (values > -30).all() and (values < 0).all()
    # The cross term is the smaller, on every date.
    assert (values[..., 1] < values[..., 0]).all()
    green, high = ndvi(seen), course.green.argmax(1)
    if isinstance(crop.growth, Annual):
        leaf = course.green.max(1)
        assert (green[np.arange(count), high] > np.where(leaf > 1.5, 0.55, 0.3)).all()
    # PROSAIL's wet soil alone has an NDVI of 0.28.
    bare = (course.green + course.brown) < 0.05
    assert green[bare].max(initial=0) < 0.4


def test_leaves_hide_the_soil_but_for_its_gaps():
    # Area 80: what is left is 0.94 of the deep canopy and 0.06 of the soil.
    crop = dataclasses.replace(
        crops.MAIZE, growth=dataclasses.replace(crops.MAIZE.growth, pale=0.0)
    )
    soil = ground()
    bare = optics.soil_reflectance(soil.moisture, soil.brightness[:, None])[0, 0]
    seen = signals.reflectance(crop, still(green=80.0), soil, np.zeros(1))[0, 0]
    np.testing.assert_allclose(seen, 0.94 * optics.GREEN.deep + 0.06 * bare, rtol=1e-4)
    np.testing.assert_allclose(
        signals.reflectance(crop, still(), soil, np.zeros(1))[0, 0], bare, rtol=1e-5
    )


def test_paler_fields_and_more_leaf():
    course, soil = still(green=2.0), ground()
    plain = signals.reflectance(crops.MAIZE, course, soil, np.zeros(1))
    pale = signals.reflectance(crops.MAIZE, course, soil, np.array([0.3]))
    assert ndvi(pale)[0, 0] < ndvi(plain)[0, 0]
    more = signals.reflectance(crops.MAIZE, course, soil, np.zeros(1), more_leaf=0.1)
    denser = signals.reflectance(crops.MAIZE, still(green=2.2), soil, np.zeros(1))
    np.testing.assert_allclose(more, denser, rtol=1e-5)


def test_water_between_rice_is_dark():
    dry, wet = (
        signals.reflectance(crops.RICE, still(flooded=f), ground(), np.zeros(1))[0, 0]
        for f in (0.0, 1.0)
    )
    assert wet[NIR] < 0.5 * dry[NIR] and ndvi(wet) < ndvi(dry)
    dark = db(crops.RICE, still(flooded=1.0), ground()) - db(crops.RICE, still(), ground())
    np.testing.assert_allclose(dark, signals.FLOODED_DB, atol=1e-4)


def test_bare_soil_is_the_soil_model():
    expected = radar.soil_backscatter(np.array(20.0), np.array(1.0), AT_38)
    found = signals.backscatter(crops.MAIZE, still(), ground(), AT_38, 0.0)[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_rows_are_bright_where_the_radar_looks_across_them():
    crop = crops.POTATO
    course = still(bare_rows=1.0)
    look = np.deg2rad(78.0)
    along = db(crop, course, ground(rows=look), look)
    flat = db(crop, still(), ground(rows=look), look)
    np.testing.assert_allclose(along, flat, atol=1e-4)
    # Straight across, VV gains the crop's 2 dB and VH half of them; at 45 degrees half of that.
    across = db(crop, course, ground(rows=look + np.pi / 2), look)
    np.testing.assert_allclose(across - flat, [2.0, 1.0], atol=1e-4)
    oblique = db(crop, course, ground(rows=look + np.pi / 4), look)
    np.testing.assert_allclose(oblique - flat, [1.0, 0.5], atol=1e-4)
    # Either way along a row is the same.
    back = db(crop, course, ground(rows=look - np.pi / 2), look)
    np.testing.assert_allclose(back, across, atol=1e-4)


def test_frozen_ground_is_like_dry_ground():
    frozen, dry = db(crops.LEY, still(), ground(30.0, True)), db(crops.LEY, still(), ground(10.0))
    np.testing.assert_allclose(frozen, dry, atol=1e-4)
    np.testing.assert_allclose(
        db(crops.LEY, still(), ground(7.0, True)), db(crops.LEY, still(), ground(7.0)), atol=1e-4
    )


def test_wet_plants_scatter_more():
    # A canopy too deep to see the soil: 0.12 dB per volume %, between 12 and 36 %.
    course = still(green=300.0)
    wet, dry = db(crops.LEY, course, ground(30.0)), db(crops.LEY, course, ground(20.0))
    np.testing.assert_allclose(wet - dry, 1.2, atol=1e-3)
    # At 25 % it is the structure's own, times cos 38 = 0.78801.
    leaf = 10 * np.log10(np.multiply(crops.LEY.structure.leaf, 0.78801))
    np.testing.assert_allclose(db(crops.LEY, course, ground(25.0)), leaf, atol=1e-3)


def test_weeds_scatter_as_weeds_whatever_the_crop():
    course = still(green=2.0, weeds=2.0)
    np.testing.assert_allclose(
        db(crops.MAIZE, course, ground()), db(crops.COMMON_WHEAT, course, ground()), atol=1e-5
    )


def test_soils_vary_around_their_weather():
    moisture = np.array([5.0, 20.0, 40.0])
    rng = np.random.default_rng(0)
    soil = signals.draw_soil(moisture, np.array([False, True, False]), np.zeros(4000), rng)
    assert soil.moisture.shape == (4000, 3) and soil.brightness.shape == (4000,)
    np.testing.assert_allclose(soil.moisture[:, :2].mean(0), [5, 20], rtol=0.02)
    assert soil.moisture.min() >= 3 and soil.moisture.max() <= 42
    # A soil holds more or less on every day: days are in step, but for the limits.
    step = soil.moisture[:, 1] / soil.moisture[:, 0]
    assert (np.abs(step - 4) < 1e-4).mean() > 0.99
    assert soil.brightness.min() >= 0.35 and soil.brightness.max() <= 0.95
    own = np.stack([moisture, 2 * moisture])
    each = signals.draw_soil(own, np.zeros(3, bool), np.zeros(2), rng)
    assert each.moisture[1, 1] > each.moisture[0, 1]
    some = soil.at(np.array([2, 0]))
    np.testing.assert_array_equal(some.moisture, soil.moisture[:, [2, 0]])
    assert some.frozen.tolist() == [False, False] and some.rows is soil.rows
