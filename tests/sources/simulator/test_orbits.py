import datetime as dt
import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from cropmap_jax.geo.periods import to_day
from cropmap_jax.sources.simulator import orbits

BEFORE = to_day(dt.date(2021, 1, 1)), to_day(dt.date(2021, 12, 23))
AFTER = to_day(dt.date(2021, 12, 24)), to_day(dt.date(2022, 12, 31))


@hypothesis.given(st.integers(0, 11))
def test_sentinel_1_every_6_days_with_both_and_every_12_with_one(phase):
    both = orbits.pass_days(orbits.SENTINEL_1, phase, *BEFORE)
    one = orbits.pass_days(orbits.SENTINEL_1, phase, *AFTER)
    assert set(np.diff(both)) == {6} and set(np.diff(one)) == {12}
    assert set(one % 12) == {phase}
    # No pass is lost at the ends.
    assert both[0] < BEFORE[0] + 6 and both[-1] > BEFORE[1] - 6
    assert one[0] < AFTER[0] + 12 and one[-1] > AFTER[1] - 12


@hypothesis.given(st.integers(0, 9))
def test_sentinel_2_every_5_days(phase):
    days = orbits.pass_days(orbits.SENTINEL_2, phase, BEFORE[0], AFTER[1])
    assert set(np.diff(days)) == {5} and set(days % 10) == {phase, (phase + 5) % 10}


def test_last_days_are_inclusive():
    # Sentinel-1B served until 2021-12-23, day 18984 = 12 * 1582 of the epoch. It follows half a
    # cycle of 12 days behind, so it passes on that day where the phase is 6.
    last = to_day(dt.date(2021, 12, 23))
    assert last == 18984 and last % 12 == 0
    assert orbits.pass_days(orbits.SENTINEL_1, 6, last - 6, last + 24).tolist() == [
        last - 6, last, last + 6, last + 18,
    ]  # fmt: skip
    assert orbits.pass_days(orbits.SENTINEL_1, 6, last, last).tolist() == [last]


def test_nothing_before_the_launch():
    start = to_day(dt.date(2015, 7, 6))
    assert orbits.pass_days(orbits.SENTINEL_2, 0, start - 100, start - 1).size == 0
    # One satellite until 2017-07-06.
    alone = orbits.pass_days(orbits.SENTINEL_2, 0, start, to_day(dt.date(2017, 7, 5)))
    assert set(np.diff(alone)) == {10}


def test_sun_zenith():
    # 21 June 2022 is day 172. Declination 23.45 sin(360 (284 + 172) / 365) = 23.45 sin(449.75) =
    # 23.45 degrees; hour angle 15 (10.5 - 12) = -22.5 degrees. At 50 degrees north
    # cos z = sin 50 sin 23.45 + cos 50 cos 23.45 cos 22.5
    #       = 0.76604 * 0.39795 + 0.64279 * 0.91741 * 0.92388 = 0.84966, z = 31.82 degrees.
    summer = orbits.sun_zenith(to_day(dt.date(2022, 6, 21)), 50.0)
    assert math.degrees(summer) == pytest.approx(31.82, abs=0.01)
    # 21 December is day 355: 23.45 sin(360 * 639 / 365) = 23.45 sin(630.25) = -23.45 degrees, so
    # cos z = -0.30484 + 0.54482 = 0.23998, z = 76.12 degrees.
    winter = orbits.sun_zenith(to_day(dt.date(2022, 12, 21)), 50.0)
    assert math.degrees(winter) == pytest.approx(76.12, abs=0.01)
    # Towards the pole the sun stays below the horizon.
    assert orbits.sun_zenith(to_day(dt.date(2022, 12, 21)), 80.0) > math.pi / 2
