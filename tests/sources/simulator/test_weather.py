import dataclasses

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from cropmap_jax.sources.simulator import weather, worlds

CLIMATES = {
    name: getattr(weather, name)
    for name in ("OCEANIC", "CONTINENTAL", "MEDITERRANEAN", "SEMI_ARID")
}
YEARS = 40
DAYS = 14610  # of 40 years


@pytest.fixture(scope="module", params=CLIMATES)
def long_record(request):
    climate = CLIMATES[request.param]
    return climate, weather.make_weather(climate, 0, DAYS - 1, np.random.default_rng(0))


def by_month(days, values):
    return np.array([values[weather.month_of(days) == m].mean() for m in range(12)])


def test_months_of_days():
    # 1970-01-31, 1970-02-01, 2020-12-31 (day 18627), 1969-12-31.
    assert weather.month_of(np.array([30, 31, 18627, -1])).tolist() == [0, 1, 11, 11]


def test_shapes(long_record):
    _, air = long_record
    assert air.days.tolist() == list(range(DAYS))
    for field in ("rain", "moisture", "cloud", "frozen"):
        value = getattr(air, field)
        assert value.shape == (DAYS,) and value.dtype == (bool if field == "frozen" else np.float32)
    assert (air.rain >= 0).all() and (0 <= air.cloud).all() and (air.cloud <= 1).all()


def test_rain_and_cloud_are_the_climates(long_record):
    climate, air = long_record
    wet = by_month(air.days, air.rain > 0)
    # Some 40 whole months are wet or dry by a factor with a deviation of 0.4: the standard error of
    # a share of 0.5 is 0.5 * 0.4 / sqrt(40) = 0.03.
    np.testing.assert_allclose(wet, climate.wet_days, atol=0.1)
    assert (air.rain > 0).mean() == pytest.approx(np.mean(climate.wet_days), abs=0.02)
    expected = np.multiply(climate.wet_days, climate.rain).mean()
    assert air.rain.mean() == pytest.approx(expected, rel=0.1)
    np.testing.assert_allclose(by_month(air.days, air.cloud), climate.cloud, atol=0.08)
    assert air.cloud.mean() == pytest.approx(np.mean(climate.cloud), abs=0.03)


def test_wet_days_come_in_spells(long_record):
    # P(wet | wet) - P(wet | dry) is the persistence of 0.3, and more as months differ.
    _, air = long_record
    wet = air.rain > 0
    assert wet[1:][wet[:-1]].mean() - wet[1:][~wet[:-1]].mean() > 0.25
    assert np.corrcoef(air.cloud[1:], air.cloud[:-1])[0, 1] > 0.5


def test_rain_comes_with_cloud(long_record):
    _, air = long_record
    assert air.cloud[air.rain > 0].mean() > air.cloud[air.rain == 0].mean() + 0.1


def test_ground_freezes_on_dry_days_only(long_record):
    climate, air = long_record
    dry = (air.rain == 0) & (np.append(0, air.rain[:-1]) == 0)
    assert not air.frozen[~dry].any()
    share = by_month(air.days[dry], air.frozen[dry])
    np.testing.assert_allclose(share, climate.frost, atol=0.08)
    assert not air.frozen[np.take(climate.frost, weather.month_of(air.days)) == 0].any()


def test_moisture_stays_within_its_limits(long_record):
    _, air = long_record
    assert air.moisture.min() >= weather.DRIEST and air.moisture.max() <= weather.FULL
    winter, summer = by_month(air.days, air.moisture)[[0, 6]]
    assert winter > summer + 10


def test_moisture_by_hand():
    # 3 mm more in 30 mm of soil are 10 % by volume. At 20 %, 3 mm evaporate by (20 - 5) / (38 - 5)
    # = 0.45455 of them: 20 + (0 - 1.36364) / 0.3 = 15.4545.
    assert weather.next_moisture(20.0, 3.0, 0.0) == pytest.approx(30.0)
    assert weather.next_moisture(20.0, 0.0, 3.0) == pytest.approx(15.4545, abs=1e-4)
    # Beyond 32 % half drains in a day: 30 + 10 -> 32 + 4.
    assert weather.next_moisture(30.0, 3.0, 0.0) == pytest.approx(36.0)
    assert weather.next_moisture(30.0, 300.0, 0.0) == weather.FULL
    assert weather.next_moisture(weather.DRIEST, 0.0, 9.0) == weather.DRIEST


@hypothesis.given(st.lists(st.floats(0, 80), min_size=12, max_size=12), st.integers(0, 9))
def test_rain_raises_moisture_from_its_day_on(water, day):
    rain, evaporation = np.array(water), np.full(12, 3.0)
    wetter = rain.copy()
    wetter[day] += 5.0
    less, more = (weather.soil_moisture(w, evaporation) for w in (rain, wetter))
    assert (more >= less - 1e-4).all()
    np.testing.assert_array_equal(more[:day], less[:day])
    assert more[day] > less[day] or less[day] == weather.FULL


def test_a_dry_spell_dries_the_soil():
    dry = weather.soil_moisture(np.zeros(30), np.full(30, 3.0))
    assert dry[0] < weather.START and (np.diff(dry) < 0).all() and dry[-1] < weather.DRIEST + 1


def test_fields_at_once_are_fields_one_by_one():
    water = np.random.default_rng(0).gamma(1.0, 3.0, (3, 20))
    evaporation = np.linspace(1, 5, 20)
    alone = [weather.soil_moisture(w, evaporation) for w in water]
    np.testing.assert_array_equal(weather.soil_moisture(water, evaporation), np.stack(alone))


def test_known_rain_comes_out_on_average():
    # The mm of a dry and a wet month, and of one that would take more than all its days.
    months = (82, 9, 95, 59, 51, 60, 77, 64, 78, 91, 300, 79)
    climate = weather.with_rain(weather.OCEANIC, months)
    assert climate.rain_spread == 0.0
    assert max(climate.wet_days) <= 0.6 and min(climate.wet_days) >= 0.08
    # By construction: the share of wet days times the mean of a wet day is the month's per day.
    daily = np.multiply(climate.wet_days, climate.rain)
    np.testing.assert_allclose(daily * 30.4, months, rtol=1e-6)
    air = weather.make_weather(climate, 0, DAYS - 1, np.random.default_rng(1))
    # A wet day's rain varies by 115 %; 40 Februaries have some 90 wet days.
    np.testing.assert_allclose(by_month(air.days, air.rain) * 30.4, months, rtol=0.15, atol=6)
    assert air.rain.sum() / YEARS == pytest.approx(sum(months), rel=0.05)


def test_a_seed_gives_one_weather():
    def draw(seed):
        return weather.make_weather(weather.OCEANIC, 100, 400, np.random.default_rng(seed))

    first, again, other = draw(3), draw(3), draw(4)
    for field in dataclasses.fields(weather.Weather):
        one, two = (getattr(air, field.name) for air in (first, again))
        np.testing.assert_array_equal(one, two)
    assert (first.rain != other.rain).any()


def test_climates_are_shares_and_amounts():
    used = {id(r.climate): r.climate for w in worlds.WORLDS.values() for r in w.regions}
    for climate in (*CLIMATES.values(), *used.values()):
        for name in ("wet_days", "rain", "evaporation", "cloud", "frost"):
            assert len(getattr(climate, name)) == 12
        for name in ("wet_days", "cloud", "frost"):
            assert all(0 <= v < 1 for v in getattr(climate, name))
        assert min(climate.rain) > 0 and min(climate.evaporation) > 0
