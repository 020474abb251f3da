"""Which orbits a cube is made of, chosen from a table of scenes."""

import datetime as dt

import pytest

from cropmap_jax.geo import periods
from cropmap_jax.sources import radar_orbits

MONTHS = periods.month_periods(dt.date(2017, 12, 1), dt.date(2018, 2, 1))


def _rows(direction, orbit, shares, day=3):
    """A scene of an orbit in each month, but where its share is None."""
    rows = []
    for month, share in zip(MONTHS, shares, strict=True):
        days = (month.start - periods.EPOCH).days + day
        if share is not None:
            rows.append([days * 86_400_000 + 20_000_000, orbit, direction, "A", share])
    return rows


def test_the_direction_with_most_complete_periods_wins_and_its_orbits_are_ordered():
    table = (
        _rows("ASCENDING", 37, (1.0, None, 1.0))
        + _rows("ASCENDING", 110, (0.9, 0.9, 0.9))
        + _rows("DESCENDING", 66, (0.3, 0.3, 0.3))
        + _rows("DESCENDING", 139, (1.0, 1.0, 1.0))
        + _rows("DESCENDING", 8, (0.3, 0.3, 0.4))
        + _rows("DESCENDING", 22, (0.3, 0.3, 0.3))
    )
    expected = ("descending", (139, 8, 22, 66))
    assert radar_orbits.choose_orbits(table, MONTHS) == expected
    assert radar_orbits.choose_orbits(table[::-1], MONTHS) == expected
    # More periods that are complete count for more than more ground in all of them.
    ascending = [row for row in table if row[2] == "ASCENDING"]
    assert radar_orbits.choose_orbits(ascending, MONTHS) == ("ascending", (37, 110))


def test_where_nothing_is_complete_more_ground_wins_and_then_more_scenes():
    table = _rows("ASCENDING", 37, (0.3, 0.3, 0.3)) + _rows("DESCENDING", 8, (0.6, 0.6, None))
    assert radar_orbits.choose_orbits(table, MONTHS)[0] == "descending"
    table = _rows("ASCENDING", 37, (0.0, None, None)) + _rows("DESCENDING", 8, (0.0, 0.0, None))
    assert radar_orbits.choose_orbits(table, MONTHS)[0] == "descending"


def test_a_corner_in_every_period_does_not_beat_the_whole_tile_in_most():
    table = _rows("ASCENDING", 37, (0.2, 0.2, 0.2)) + _rows("DESCENDING", 8, (1.0, 1.0, None))
    assert radar_orbits.choose_orbits(table, MONTHS)[0] == "descending"


def test_slices_of_one_pass_add_up_but_days_do_not():
    halves = _rows("DESCENDING", 8, (0.5, 0.5, 0.5)) * 2
    apart = _rows("ASCENDING", 37, (0.6, 0.6, 0.6)) + _rows("ASCENDING", 37, (0.6,) * 3, day=15)
    assert radar_orbits.choose_orbits(halves + apart, MONTHS) == ("descending", (8,))


def test_scenes_outside_the_periods_count_nothing():
    early = _rows("DESCENDING", 8, (1.0, 1.0, 1.0), day=-40)[:2]  # Before the first period.
    table = early + _rows("ASCENDING", 37, (0.5, None, None))
    assert radar_orbits.choose_orbits(table, MONTHS) == ("ascending", (37,))


def test_an_end_is_not_in_its_period():
    first, second = MONTHS[:2]
    day = (first.end - periods.EPOCH).days
    table = [[day * 86_400_000, 8, "ASCENDING", "A", 1.0]]
    table += [[day * 86_400_000 - 1, 37, "DESCENDING", "A", 1.0]]
    # Each is complete in one of the two; of equals the ascending one would be taken.
    assert radar_orbits.choose_orbits(table, [first])[0] == "descending"
    assert radar_orbits.choose_orbits(table, [second])[0] == "ascending"


def test_ties_are_broken_the_same_way_every_time():
    table = _rows("DESCENDING", 8, (1.0, 1.0, 1.0)) + _rows("ASCENDING", 37, (1.0, 1.0, 0.999))
    table += _rows("ASCENDING", 12, (1.0, 0.999, 1.0))
    assert radar_orbits.choose_orbits(table, MONTHS) == ("ascending", (12, 37))


@pytest.mark.parametrize(
    "table",
    [None, {"list": []}, [None], [[1, 2, "ASCENDING", "A"]], [[1, 2, "ASCENDING", "A", None]]],
)
def test_what_is_no_table_is_one_line(table):
    with pytest.raises(ValueError, match="orbits: expected rows of a time, orbit, .* found"):
        radar_orbits.choose_orbits(table, MONTHS)


def test_no_scene_is_no_orbit():
    assert radar_orbits.choose_orbits([], MONTHS) == ("ascending", ())
