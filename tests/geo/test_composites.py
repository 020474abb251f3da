"""Composites: physics of the mean, counts, and no day after a period's end."""

import datetime as dt
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropmap_jax.geo import composites, periods
from cropmap_jax.geo.periods import Period, from_day, month_periods
from cropmap_jax.geo.sensors import COMPOSITING, SENSORS, Sensor

S1, S2 = SENSORS["s1"], SENSORS["s2"]
HEAT = Sensor("heat", "Temperature", ("mean",), "degC", 100.0, (-40.0, 60.0))
BY_COMPOSITING = {sensor.compositing: sensor for sensor in (S1, S2, HEAT)}
JANUARY, FEBRUARY = month_periods(dt.date(2022, 1, 1), dt.date(2022, 2, 1))


def on(month: int, day: int, days: int = 1) -> Period:
    start = dt.date(2022, month, day)
    return Period(start, start + dt.timedelta(days=days))


def column(*values: float) -> np.ndarray:
    """[T, 1, 1, 1]"""
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


def test_s1_is_averaged_in_linear_power():
    # 0 dB is 1, 10 dB is 10: the mean 5.5 is 10 log10(5.5) = 7.404 dB; the mean of dB would be 5.
    found, count = composites.composite(column(0, 10), [on(1, 3), on(1, 9)], [JANUARY], S1)
    np.testing.assert_allclose(found, [[[[7.40363]]]], atol=1e-5)
    assert count.tolist() == [[[2]]] and count.dtype == np.uint16 and found.dtype == np.float32


def test_s2_is_the_median():
    # Of 0.1, 0.2 and a cloud of 0.9 it is 0.2; of two it is their mean.
    days = [on(1, 3), on(1, 9), on(1, 12)]
    found, _ = composites.composite(column(0.1, 0.9, 0.2), days, [JANUARY], S2)
    np.testing.assert_allclose(found.ravel(), [0.2], rtol=1e-6)
    found, _ = composites.composite(column(0.1, 0.4, np.nan), days, [JANUARY], S2)
    np.testing.assert_allclose(found.ravel(), [0.25], rtol=1e-6)


def test_a_mean_is_of_the_values_as_they_are():
    # -10, 0 and 25 degrees have the mean 5 and the median 0; what is missing is left out.
    days = [on(1, 3), on(1, 9), on(1, 12), on(1, 20)]
    found, count = composites.composite(column(-10, 0, 25, np.nan), days, [JANUARY], HEAT)
    assert found.tolist() == [[[[5.0]]]] and count.tolist() == [[[3]]]
    assert found.dtype == np.float32


@pytest.mark.parametrize("sensor", BY_COMPOSITING.values(), ids=BY_COMPOSITING)
def test_missing_is_not_zero_and_warns_of_nothing(sensor):
    values = np.full((2, 1, 2, 2), np.nan, np.float32)
    values[0, 0, 0] = [-7.0, np.nan]  # one band of one pixel, once
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        days = [on(1, 3), on(1, 9)]
        found, count = composites.composite(values, days, [JANUARY, FEBRUARY], sensor)
    np.testing.assert_allclose(found[0, 0, 0], [-7.0, np.nan], rtol=1e-6)
    assert np.isnan(found[0, 0, 1]).all() and np.isnan(found[1]).all()
    # An observation counts if any of its bands is there.
    assert count.tolist() == [[[1, 0]], [[0, 0]]]


def test_border_noise_becomes_missing():
    np.testing.assert_array_equal(
        composites.linear_to_db(np.array([1.0, 100.0, 0.0, -0.5])), [0.0, 20.0, np.nan, np.nan]
    )
    np.testing.assert_allclose(composites.db_to_linear(np.array([-10.0, 0.0, 30.0])), [0.1, 1, 1e3])


def test_a_dekad_over_the_turn_of_the_month_belongs_to_the_later_one():
    # 27 January to 5 February, last day 5 February; 22 to 31 January, last day in January.
    sources = [on(1, 27, 10), on(1, 22, 10), on(3, 1)]
    assert composites.assign(sources, [JANUARY, FEBRUARY]).tolist() == [1, 0, -1]
    # Before the first, and in a gap between targets.
    march = month_periods(dt.date(2022, 3, 1), dt.date(2022, 3, 1))[0]
    assert composites.assign([on(1, 1, 31), on(2, 5)], [march]).tolist() == [-1, -1]
    assert composites.assign([on(2, 5)], [JANUARY, march]).tolist() == [-1]


@st.composite
def timelines(draw):
    """Targets, contiguous or with gaps, and sources of any length anywhere around them."""
    steps = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 40)), min_size=1, max_size=8))
    targets, at = [], 19_000
    for gap, length in steps:
        targets.append(Period(from_day(at + gap), from_day(at + gap + length)))
        at += gap + length
    source = st.tuples(st.integers(18_950, at + 30), st.integers(1, 60))
    sources = draw(st.lists(source, min_size=1, max_size=12))
    return [Period(from_day(a), from_day(a + n)) for a, n in sources], targets


@given(timelines(), st.sampled_from(list(BY_COMPOSITING.values())))
def test_no_composite_uses_a_day_after_its_end(timeline, sensor):
    sources, targets = timeline
    # The value of an observation is the number of its last day, so a maximum shows a leak.
    last = np.array([periods.to_day(p.end) - 1 for p in sources])
    for target, span in enumerate(targets):
        inside = [p.start <= span.end and span.start <= from_day(d) < span.end
                  for p, d in zip(sources, last, strict=True)]  # fmt: skip
        index = composites.assign(sources, targets)
        assert (index == target).tolist() == inside
        assert all(p.end <= span.end for p, i in zip(sources, index, strict=True) if i == target)
    values = np.zeros((len(sources), 1, 1, 1), np.float32)
    _, count = composites.composite(values, sources, targets, sensor)
    for early, span in enumerate(targets):
        # Whatever comes after the end of a period, blanked out, leaves its composite as it was.
        blanked = values.copy()
        blanked[last >= periods.to_day(span.end)] = np.nan
        _, again = composites.composite(blanked, sources, targets, sensor)
        assert again[early] == count[early]


def test_every_way_of_compositing_is_tested():
    assert sorted(BY_COMPOSITING) == sorted(COMPOSITING)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="s2: 1 observations but 2 periods"):
        composites.composite(column(1), [JANUARY, FEBRUARY], [JANUARY], S2)


def test_real_dekads_make_months(real_dir):
    with np.load(real_dir / "cubes" / "tervuren_2022_potato.npz") as file:
        spans = [
            Period(*map(dt.date.fromisoformat, (a, b)))
            for a, b in zip(file["period_start"].tolist(), file["period_end"].tolist(), strict=True)
        ]
        s1, s2 = file["s1_db"][:, :12, :12], file["s2"][:, :12, :12]
    months = month_periods(dt.date(2022, 1, 1), dt.date(2022, 12, 1))
    found, count = composites.composite(s2, spans, months, S2)
    # Dekads nest in months: three each, and July's composite is the median of its three.
    present = np.isfinite(s2).any(-1)
    np.testing.assert_array_equal(count, present.reshape(12, 3, 12, 12).sum(1))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(found[6], np.nanmedian(s2[18:21], 0))
    radar, _ = composites.composite(s1, spans, months, S1)
    july = 10 * np.log10((10 ** (s1[18:21].astype(np.float64) / 10)).mean(0))
    np.testing.assert_allclose(radar[6], july, atol=1e-4)
    # Jensen: the mean in linear power is never below the mean in dB.
    assert (radar[6] >= s1[18:21].mean(0) - 1e-4).all()
