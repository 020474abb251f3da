import dataclasses

import numpy as np
import pytest

from cropmap_jax.sources.simulator import crops, iran, phenology, worlds
from cropmap_jax.sources.simulator.phenology import Annual, Perennial

KINDS = {f"{w.name}-{key}": kind.crop for w in worlds.WORLDS.values()
         for key, kind in w.kinds.items() if w.name != "france"}  # fmt: skip
KINDS |= {"deciduous": crops.DECIDUOUS, "coniferous": crops.CONIFEROUS}
ANNUAL = {key: crop for key, crop in KINDS.items() if isinstance(crop.growth, Annual)}
PERENNIAL = {key: crop for key, crop in KINDS.items() if isinstance(crop.growth, Perennial)}
AUTUMN = {key: crop for key, crop in ANNUAL.items() if crop.growth.sow < 0}
SPRING = {key: crop for key, crop in ANNUAL.items() if crop.growth.sow >= 0}
DAYS = np.arange(-170.0, 366.0)  # July before the harvest year to its last day
FIELDS = 30


def each(table):
    return pytest.mark.parametrize("crop", table.values(), ids=table)


def develop(crop, shift=0.0, seed=0, days=DAYS, count=FIELDS):
    return phenology.develop(crop, count, days, shift, np.random.default_rng(seed))


def own_leaf(course):
    return course.green - course.weeds


def at(day):
    return int(day - DAYS[0])


def test_france_grows_what_europe_grows():
    assert worlds.FRANCE.kinds == worlds.EUROPE.kinds


@each(KINDS)
def test_every_course_is_whole_and_sane(crop):
    course = develop(crop)
    for field in dataclasses.fields(course):
        value = getattr(course, field.name)
        assert value.shape == (FIELDS, len(DAYS)) and value.dtype == np.float32, field.name
        assert np.isfinite(value).all() and (value >= 0).all(), field.name
    for name in ("bloom", "bare_rows", "growing", "flooded"):
        assert getattr(course, name).max() <= 1, name
    assert (course.green >= course.weeds).all() and course.green.max() < 12
    assert course.brown.max() < 8 and course.stems.max() < 2.5
    assert (course.rough > 0.2).all() and (course.rough < 4.5).all()


@each(KINDS)
def test_a_seed_gives_one_course_and_other_days_the_same(crop):
    first, again = develop(crop, seed=1), develop(crop, seed=1, days=DAYS[100:200])
    for field in dataclasses.fields(first):
        one, two = (getattr(course, field.name) for course in (first, again))
        np.testing.assert_allclose(one[:, 100:200], two, rtol=1e-6)
    assert (develop(crop, seed=2).green != first.green).any()


@each(ANNUAL)
def test_green_at_the_peak_and_gone_after_harvest(crop):
    g = crop.growth
    course = develop(crop)
    leaf = own_leaf(course)
    highest = leaf.max(1)
    assert np.median(highest) == pytest.approx(g.peak, rel=0.25)
    when = DAYS[leaf.argmax(1)]
    assert (when > g.rise - 25).all() and (when < g.fall + 25).all()
    # A harvest shows within two weeks; fields vary by a deviation of 0.85 of the spread.
    gone = at(min(g.harvest + 3 * g.spread + 14, DAYS[-1]))
    assert leaf[:, gone].max() < 0.02 + (0.2 * g.peak if g.harvest > 290 else 0)
    if g.harvest < 290:
        assert course.stems[:, gone].max() < 0.02 and course.growing[:, gone].max() < 0.02


@each(SPRING)
def test_bare_before_emergence(crop):
    g = crop.growth
    leaf = own_leaf(develop(crop))
    # Emergence is 18 days after sowing, over some 10 days; sowing varies with the spread.
    assert leaf[:, at(g.sow - 2.5 * g.spread)].max() < 0.06 * g.peak
    assert leaf[:, : at(g.sow - 60)].max(initial=0) < 1e-3


@each(AUTUMN)
def test_autumn_crops_are_green_in_winter(crop):
    g = crop.growth
    leaf = own_leaf(develop(crop))
    january = leaf[:, at(14)]
    assert g.winter > 0
    assert 0.5 * g.winter < np.median(january) < 0.5 * g.peak and january.min() > 0.1
    # Nothing before sowing, and less in winter than at the peak.
    assert leaf[:, at(g.sow - 20)].max() < 0.1 and (january < leaf.max(1)).all()


@each(ANNUAL)
def test_a_shift_moves_the_season(crop):
    # All dates of a spring crop move together. An autumn one is sown earlier where it is colder,
    # so its spring moves and its autumn does not follow.
    for shift in (-12, 9):
        here, there = develop(crop), develop(crop, shift=float(shift))
        if crop.growth.sow >= 0:
            moved = np.roll(own_leaf(there), -shift, 1)
            inner = slice(20, -20)
            np.testing.assert_allclose(moved[:, inner], own_leaf(here)[:, inner], atol=1e-4)
        else:
            half = [
                (own_leaf(c) > 0.5 * own_leaf(c).max(1, keepdims=True)).argmax(1)
                for c in (here, there)
            ]
            assert np.median(half[1] - half[0]) == pytest.approx(shift, abs=3)
            first = [(own_leaf(c) > 0.05).argmax(1) for c in (here, there)]
            assert (np.median(first[1] - first[0]) < 0) == (shift > 0)


def test_sown_in_autumn_earlier_where_colder_by_half():
    sown = []
    for shift in (0.0, 10.0):
        growing = develop(crops.COMMON_WHEAT, shift).growing
        sown.append(DAYS[(growing > 0.5).argmax(1)])
    assert sown[1] - sown[0] == pytest.approx(-5, abs=1)


def test_fields_move_as_a_whole_by_their_spread():
    # Dates of one field: 0.8 of the spread in common and 0.4 of their own; so the rise varies by
    # sqrt(0.64 + 0.16) = 0.89 of the spread of 8 days.
    leaf = own_leaf(develop(crops.MAIZE, count=2000, days=DAYS[at(100) : at(300)]))
    half = 100 + (leaf > 0.5 * leaf.max(1, keepdims=True)).argmax(1)
    assert half.std() == pytest.approx(0.89 * 8, rel=0.15)
    assert half.mean() == pytest.approx(crops.MAIZE.growth.rise, abs=2)


@each({k: KINDS[k] for k in ("europe-sugar_beet", "iran-sugarbeet", "iran-sugarbeet_autumn")})
def test_beet_is_lifted_green(crop):
    g = crop.growth
    assert g.fall > g.harvest
    stems = develop(crop).stems
    # Stands until its harvest, and leaves as green matter.
    lifted = DAYS[-1] - (stems[:, ::-1] > 0.3).argmax(1)
    assert np.median(lifted) == pytest.approx(g.harvest, abs=4)
    assert np.median(own_leaf(develop(crop))[:, at(g.harvest - 12)]) > 0.5 * g.peak


def test_what_is_harvested_ripe_is_brown_and_leaves_stubble():
    g = crops.COMMON_WHEAT.growth
    course = develop(crops.COMMON_WHEAT)
    before, after = at(g.harvest - 10), at(g.harvest + 10)
    assert np.median(own_leaf(course)[:, before]) < 0.4
    assert np.median(course.brown[:, before]) == pytest.approx(g.brown * g.peak, rel=0.2)
    assert np.median(course.brown[:, after]) == pytest.approx(g.stubble, rel=0.2)
    # Dead stems hold (1 - dries) of their water.
    assert np.median(course.stems[:, before]) < 0.35 < np.median(course.stems[:, at(165)])
    # Tilled: the residue is gone, and the soil rough.
    late = at(g.harvest + 120)
    assert np.median(course.brown[:, late]) < 0.05
    assert (course.rough.max(1) > 1.5).all()


def test_bloom_of_rapeseed_and_of_nothing_without_one():
    g = crops.RAPESEED.growth
    bloom = develop(crops.RAPESEED).bloom
    assert np.median(DAYS[bloom.argmax(1)]) == pytest.approx(g.bloom, abs=3)
    assert (bloom.max(1) > 0.99).all()
    lasts = (bloom > 0.5).sum(1)
    assert np.median(lasts) == pytest.approx(g.bloom_days, rel=0.15)
    for crop in (crops.MAIZE, crops.GRASSLAND):
        assert develop(crop).bloom.max() == 0


def test_only_rice_stands_under_water():
    flooded = develop(crops.RICE).flooded
    g = crops.RICE.growth
    under = (flooded > 0.5).sum(1)
    np.testing.assert_allclose(under, g.flooded, atol=2)
    assert np.median(DAYS[(flooded > 0.5).argmax(1)]) == pytest.approx(g.sow, abs=3)
    for key, crop in KINDS.items():
        assert (develop(crop).flooded.max() > 0) == (key == "europe-rice")


def test_cover_crops_stand_before_spring_crops_and_end_with_the_seedbed():
    g = crops.MAIZE.growth
    weeds = develop(crops.MAIZE, count=400).weeds
    # 45 % of fields have 1.2 to 3.2 of leaf besides the weeds, whose median is 0.8 by season.
    assert (weeds[:, at(20)] > 1.2).mean() == pytest.approx(g.cover + 0.05, abs=0.1)
    assert weeds[:, at(g.sow + 3 * g.spread)].max() < 0.05


@each(ANNUAL)
def test_rows_show_on_bare_soil_only(crop):
    course = develop(crop)
    bare = course.green + course.brown < 0.05
    assert course.bare_rows[bare].min(initial=1) > 0.9
    assert course.bare_rows[course.green > 3].max(initial=0) < 0.05


@each(PERENNIAL)
def test_perennials_are_never_ploughed(crop):
    course = develop(crop)
    assert course.weeds.max() == course.flooded.max() == course.bare_rows.max() == 0
    assert (course.green > 0).all() and np.ptp(course.rough, 1).max() == 0
    summer, winter = (np.median(course.green[:, at(day)]) for day in (150, 14))
    assert summer > winter
    assert crop.growth.base * 0.5 < winter < crop.growth.base + crop.growth.amplitude


@each({k: c for k, c in PERENNIAL.items() if not c.growth.cuts})
def test_what_is_not_cut_repeats_year_by_year(crop):
    course = develop(crop, days=np.arange(-170.0, 600.0))
    np.testing.assert_allclose(course.green[:, :365], course.green[:, 365:730], rtol=1e-4)


@each({k: c for k, c in PERENNIAL.items() if c.growth.cuts})
def test_cuts(crop):
    # A cut takes 1 - left at once; nothing else makes the leaves fall by a tenth in a day.
    g = crop.growth
    green = develop(crop, count=300).green
    drops = green[:, 1:] < 0.9 * green[:, :-1]
    # Two cuts on two days in a row count as two, on one day as one.
    assert drops.sum(1).mean() == pytest.approx(g.cuts, rel=0.15)
    days = DAYS[1:][drops.any(0)]
    last = phenology.FIRST_CUT + phenology.CUTTING_DAYS + 1
    assert phenology.FIRST_CUT <= days.min() and days.max() <= last
    # Grows back by half in `regrow` days, of the few that are cut once.
    once = np.flatnonzero(drops.sum(1) == 1)
    for field in once[:5]:
        cut = int(drops[field].argmax()) + 1
        assert green[field, cut] / green[field, cut - 1] == pytest.approx(g.left, abs=0.06)


def test_lucerne_and_orchards_grow_in_summer_as_irrigation_asks():
    for crop in (iran.LUCERNE, iran.ORCHARD):
        growing = develop(crop).growing
        assert crop.irrigated
        assert growing[:, at(170)].min() > 0.5 > growing[:, at(0)].max()


def test_no_fields_no_course():
    assert develop(crops.LEY, count=0).green.shape == (0, len(DAYS))
