import dataclasses

import numpy as np
import pytest

from cropmap_jax.geo.legend import NONE_OF_THESE
from cropmap_jax.sources.simulator import crops, fields, landscape, weather, worlds

REGIONS = {f"{w.name}-{r.name}": (w, r) for w in worlds.WORLDS.values() for r in w.regions}
SHAPE = (72, 80)


def plant(world, region, seed=0, shape=SHAPE):
    return fields.plant(world, region, shape, np.random.default_rng(seed))


def air_of(region, first=18900, last=19266, seed=0):
    return weather.make_weather(region.climate, first, last, np.random.default_rng(seed))


@pytest.mark.parametrize(("world", "region"), REGIONS.values(), ids=REGIONS)
def test_truth_is_what_grows(world, region):
    ground = plant(world, region)
    parcels = len(ground.kind)
    assert ground.rows.shape == ground.kind.shape and ground.parcel.max() == parcels
    assert ground.truth.dtype == np.uint8 and ground.parcel.dtype == np.uint32
    assert {a.shape for a in (ground.unit, ground.parcel, ground.truth, ground.cover)} == {SHAPE}
    # What stands on a field is its unit's; all else has units of its own.
    assert ground.unit.min() >= 0 and ground.unit.max() < parcels + 5
    inside = ground.parcel > 0
    np.testing.assert_array_equal(inside, ground.unit < parcels)
    np.testing.assert_array_equal(ground.unit[inside], ground.parcel[inside].astype(int) - 1)
    of_cover = {
        landscape.WOOD: {fields.DECIDUOUS, fields.CONIFEROUS},
        landscape.ROAD: {fields.ROAD},
        landscape.BUILT: {fields.BUILT},
        landscape.WATER: {fields.WATER},
    }
    for cover, units in of_cover.items():
        assert set(np.unique(ground.unit[ground.cover == cover]) - parcels) <= units
    kinds = list(world.kinds.values())
    for number, kind in enumerate(ground.kind, 1):
        label = kinds[kind].label
        expected = NONE_OF_THESE if label is None else world.legend.index(label)
        assert (ground.truth[ground.parcel == number] == expected).all()
    wood = world.legend.index(world.wood) if world.wood else NONE_OF_THESE
    assert (ground.truth[ground.cover == landscape.WOOD] == wood).all()
    assert (ground.truth[~inside & (ground.cover != landscape.WOOD)] == NONE_OF_THESE).all()


def many_parcels(side=60):
    return np.arange(1, side * side + 1, dtype=np.uint32).reshape(side, side)


@pytest.mark.parametrize(("world", "region"), REGIONS.values(), ids=REGIONS)
def test_kinds_come_by_their_shares_and_never_without_weight(world, region):
    shares = np.array([k.share * region.weights.get(key, 1.0) for key, k in world.kinds.items()])
    counts = np.zeros(len(shares))
    for seed in range(2):
        rng = np.random.default_rng(seed)
        kind = fields._choose_kinds(world, region, many_parcels(), rng)
        assert kind.shape == (3600,) and (shares[kind] > 0).all()
        counts += np.bincount(kind, minlength=len(shares))
    # Chance, and that like grows next to like, move a share by some hundredths.
    np.testing.assert_allclose(counts / counts.sum(), shares / shares.sum(), atol=0.06)


def test_like_grows_next_to_like():
    world, region = worlds.IRAN, worlds.IRAN.regions[0]
    kind = fields._choose_kinds(world, region, many_parcels(), np.random.default_rng(0))
    grid = kind.reshape(60, 60)
    shares = np.bincount(kind) / len(kind)
    alike = (grid[:, 1:] == grid[:, :-1]).mean()
    assert alike > 1.15 * np.sum(shares**2)


def test_a_seed_gives_one_ground():
    world, region = worlds.EUROPE, worlds.EUROPE.regions[0]
    first, again, other = (plant(world, region, seed) for seed in (3, 3, 4))
    for field in dataclasses.fields(fields.Ground):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
    assert (first.truth != other.truth).any()


def grow(world, region, ground, air, seed=0):
    return fields.grow(world, region, ground, air, 18993, np.random.default_rng(seed))


def test_everything_that_grows_does_so_once():
    for world, region in list(REGIONS.values())[::4]:
        ground = plant(world, region)
        air = air_of(region)
        growth = grow(world, region, ground, air)
        parcels = len(ground.kind)
        assert growth.units == parcels + 5
        units = np.concatenate([units for _, units, *_ in growth.groups])
        assert sorted(units) == list(range(parcels + 2))  # and the two kinds of wood
        kinds = list(world.kinds.values())
        for crop, own, course, soil, pale in growth.groups:
            shape = (len(own), len(air.days))
            assert course.green.shape == soil.moisture.shape == shape and pale.shape == (len(own),)
            if own[0] < parcels:
                assert {kinds[k].crop for k in ground.kind[own]} == {crop}
                np.testing.assert_array_equal(soil.rows, ground.rows[own].astype(np.float32))
            else:
                assert crop in (crops.DECIDUOUS, crops.CONIFEROUS)


SUMMER = slice(19144 - 18900, 19205 - 18900)
"""June and July, in days of `air_of`."""


def test_watered_fields_stay_moist_through_a_dry_summer():
    world, region = worlds.IRAN, worlds.IRAN.regions[1]
    growth = grow(world, region, plant(world, region, seed=1), air_of(region))
    means = {crop.name: soil.moisture[:, SUMMER].mean() for crop, _, _, soil, _ in growth.groups}
    assert min(means[name] for name in ("cotton", "tomato", "sugar beet")) > 8
    assert means["barley"] < 7 and means["fallow"] < 7


class Turns:
    """A generator that draws the given rotations first and phases after."""

    def __init__(self, rotation, phase):
        self._left = [((*fields.ROTATION_DAYS, True), rotation), ((0, 14, False), phase)]

    def integers(self, low, high, size, endpoint=False):
        expected, values = self._left.pop(0)
        assert (low, high, endpoint) == expected and size == len(values)
        return np.array(values)


def watered(moisture):
    """Days on which each field gets water, where no rain falls."""
    return [np.flatnonzero(np.diff(own, prepend=weather.START) > 0) for own in moisture]


def test_irrigation_by_hand():
    # From 22 %, 6 mm a day evaporate by (level - 5) / 33: 22 - 6 * 17 / 33 / 0.3 = 11.697. The
    # second field has its turn the day after: 25 mm are 83.3 % of the 3 cm, 11.697 - 6 * 6.697 / 33
    # / 0.3 + 83.333 = 90.971, of which half of what is beyond 32 % drains, and 38 % is all that
    # fits; a day later 38 - 6 / 0.3 = 18 are left. The first has its turn on the first day, when
    # 22 % is still moist; the third does not grow.
    assert (fields.IRRIGATE_BELOW, fields.IRRIGATION_MM, fields.ROTATION_DAYS) == (20, 25, (7, 14))
    growing = np.array([[1.0], [1.0], [0.5]]) * np.ones(24)
    turns = Turns([7, 8, 8], [0, 7, 7])
    found = fields.irrigate(np.zeros(24), np.full(24, 6.0), growing, turns)
    dry = 11.697 - 6 * 6.697 / 33 / 0.3
    np.testing.assert_allclose(found[:, 0], 11.697, atol=1e-3)
    np.testing.assert_allclose(found[:, 1], [dry, 38.0, dry], atol=1e-3)
    assert found[1, 2] == pytest.approx(18.0, abs=1e-3)
    days = watered(found)
    assert [list(own) for own in days] == [[7, 14, 21], [1, 9, 17], []]


@pytest.mark.parametrize(("level", "expected"), [(20.0, 20.0), (19.9, 38.0)])
def test_a_turn_is_passed_by_from_20_percent_on(monkeypatch, level, expected):
    monkeypatch.setattr(weather, "START", level)
    found = fields.irrigate(np.zeros(1), np.zeros(1), np.ones((1, 1)), Turns([9], [0]))
    assert found.item() == pytest.approx(expected, abs=1e-4)


def test_a_turn_that_rain_makes_needless_is_not_made_up_for():
    # Rain on day 6 leaves 38 %, so day 7 is passed by, and the next turn is that of day 14.
    rain, growing = np.zeros(20), np.ones((1, 20))
    rain[6] = 40.0
    found = fields.irrigate(rain, np.full(20, 6.0), growing, Turns([7], [0]))
    assert list(watered(found)[0]) == [6, 14]
    assert found[0, 7] == pytest.approx(18.0, abs=1e-3)


def test_each_field_is_watered_on_a_rotation_of_its_own():
    # Without rain and at 6 mm a day a field is dry again long before its next turn.
    dry = np.zeros(120), np.full(120, 6.0), np.ones((300, 120))
    days = watered(fields.irrigate(*dry, np.random.default_rng(0)))
    rotations = [set(np.diff(own)) for own in days]
    assert all(len(own) == 1 for own in rotations)
    assert set.union(*rotations) == set(range(7, 15))
    # Among those of one rotation, every day is the first of some.
    for rotation in (7, 14):
        first = {own[0] % rotation for own, steps in zip(days, rotations, strict=True)
                 if steps == {rotation}}  # fmt: skip
        assert first == set(range(rotation))
    again = watered(fields.irrigate(*dry, np.random.default_rng(0)))
    assert all(np.array_equal(one, two) for one, two in zip(days, again, strict=True))


def test_fields_of_a_site_are_not_watered_in_lockstep():
    world, region = worlds.IRAN, worlds.IRAN.regions[1]
    air = air_of(region)
    air = dataclasses.replace(air, rain=np.zeros_like(air.rain))
    growth = grow(world, region, plant(world, region, seed=1), air)
    days = {}
    for crop, units, course, soil, _ in growth.groups:
        if crop.irrigated:
            # A field holds its own share of the water, but dries from day to day unless watered.
            rises = np.diff(soil.moisture, axis=1, prepend=50) > 1
            assert not rises[course.growing <= 0.5].any()
            days |= dict(zip(units, rises[:, SUMMER], strict=True))
    often = [own for own in days.values() if own.sum() >= 4]
    assert len(often) >= 8
    # Were it one calendar for all, two fields would share all their days.
    alike = [(one & two).sum() / one.sum() for i, one in enumerate(often) for two in often[:i]]
    assert np.mean(alike) < 0.3 and len({tuple(own) for own in often}) > len(often) / 2
    # The fields of one crop neither.
    (cotton,) = (units for crop, units, *_ in growth.groups if crop.name == "cotton")
    assert len({tuple(days[unit]) for unit in cotton}) > 1


def test_fields_are_watered_only_while_they_grow():
    rng = np.random.default_rng(0)
    rain = rng.gamma(0.1, 10.0, 200)
    evaporation = np.full(200, 5.0)
    growing = np.zeros((3, 200))
    growing[1, 60:120] = 1.0
    growing[2] = 1.0
    moisture = fields.irrigate(rain, evaporation, growing, np.random.default_rng(1))
    np.testing.assert_array_equal(moisture[0], weather.soil_moisture(rain, evaporation))
    np.testing.assert_array_equal(moisture[1, :60], moisture[0, :60])
    assert (moisture[1:] >= moisture[0] - 1e-3).all()
    # Moister while it is watered, and as rain alone leaves it long after.
    assert moisture[1, 60:120].mean() > moisture[0, 60:120].mean() + 2
    np.testing.assert_allclose(moisture[1, 180:], moisture[0, 180:], atol=0.1)
    assert moisture[2].mean() > moisture[0].mean() + 2


def test_weather_to_come_changes_nothing_before():
    world, region = worlds.IRAN, worlds.IRAN.regions[1]
    ground, air = plant(world, region), air_of(region)
    rain, moisture = air.rain.copy(), air.moisture.copy()
    rain[200:] += 9
    moisture[200:] = 35
    wetter = dataclasses.replace(air, rain=rain, moisture=moisture)
    pairs = zip(*(grow(world, region, ground, a).groups for a in (air, wetter)), strict=True)
    for (crop, _, course, soil, _), (_, _, course_2, soil_2, _) in pairs:
        np.testing.assert_array_equal(soil.moisture[:, :200], soil_2.moisture[:, :200])
        np.testing.assert_array_equal(course.green, course_2.green)
        assert (soil.moisture[:, 200:] != soil_2.moisture[:, 200:]).any(), crop.name


def test_days_of_a_course():
    world, region = worlds.IRAN, worlds.IRAN.regions[0]
    growth = grow(world, region, plant(world, region), air_of(region))
    course = growth.groups[0][2]
    some = fields.take_days(course, np.array([5, 3]))
    np.testing.assert_array_equal(some.green, course.green[:, [5, 3]])
    np.testing.assert_array_equal(some.flooded, course.flooded[:, [5, 3]])


def test_what_does_not_grow_does_not_change():
    for number in (fields.ROAD, fields.BUILT, fields.WATER):
        seen = fields.still_reflectance(number, 3)
        assert seen.shape == (3, 10) and (seen == seen[0]).all()
        power = fields.still_backscatter(number)
        assert power.shape == (2,) and power[0] > power[1] > 0
    # Walls throw back what water mirrors away.
    built, water = (fields.still_backscatter(n)[0] for n in (fields.BUILT, fields.WATER))
    assert built > 10 * water
