"""Which Sentinel-1 satellites are used, by rule."""

import datetime as dt

import pytest

from cropmap_jax.geo.periods import Period, month_periods
from cropmap_jax.sources import sentinel1


def months(first: str, last: str) -> tuple[Period, ...]:
    return month_periods(dt.date.fromisoformat(first), dt.date.fromisoformat(last))


@pytest.mark.parametrize(
    "first, last, expected",
    [
        ("2018-03-01", "2018-08-01", {"S1A": None, "S1B": None}),
        ("2021-12-23", "2022-01-01", {"S1A": None, "S1B": None}),
        ("2022-01-01", "2022-12-01", {"S1A": None}),
        ("2025-03-01", "2025-04-01", {"S1A": None}),
        ("2025-05-01", "2025-05-01", {"S1A": None, "S1C": "2025-05-20"}),
        ("2025-06-01", "2025-08-01", {"S1A": None, "S1C": None}),
        ("2026-04-01", "2026-06-01", {"S1A": None, "S1C": None, "S1D": "2026-04-17"}),
        ("2026-07-01", "2026-09-01", {"S1C": None, "S1D": None}),
    ],
)
def test_by_default_what_is_calibrated_on_each_date(first, last, expected):
    assert sentinel1.to_json((), months(first, last)) == expected


def test_a_list_overrides_calibration_and_nothing_else():
    spring = months("2025-03-01", "2025-06-01")
    assert sentinel1.to_json(("S1B", "S1C"), spring) == {"S1C": None}
    assert sentinel1.notes(("S1B", "S1C"), [spring]) == [
        "note: images of S1C are not calibrated before 2025-05-20; used all the same, as "
        "s1.platforms names it"
    ]
    assert sentinel1.notes((), [spring, months("2018-01-01", "2018-02-01")]) == [
        "note: images of S1C are not calibrated before 2025-05-20; left out"
    ]
    assert sentinel1.notes(("S1C",), [months("2025-06-01", "2025-07-01")]) == []


def test_a_satellite_without_a_date_is_used_only_when_named(monkeypatch):
    new = sentinel1.Platform("S1X", "X", dt.date(2026, 1, 1), None)
    monkeypatch.setattr(sentinel1, "PLATFORMS", (*sentinel1.PLATFORMS, new))
    monkeypatch.setitem(sentinel1._BY_NAME, "S1X", new)
    spans = months("2026-08-01", "2026-09-01")
    assert sentinel1.to_json((), spans) == {"S1C": None, "S1D": None}
    assert sentinel1.to_json(("S1X",), spans) == {"S1X": None}
    assert "no source says since when" in sentinel1.notes(("S1X",), [spans])[0]


def test_expected_passes_are_days_in_service_by_twelve():
    found = sentinel1.expected_passes((), months("2025-05-01", "2025-06-01"))
    may, june = months("2025-05-01", "2025-06-01")
    assert found == {"S1A": {may: 31 / 12, june: 30 / 12}, "S1C": {may: 1.0, june: 30 / 12}}
    june, july = months("2026-06-01", "2026-07-01")
    found = sentinel1.expected_passes(("S1A",), (june, july))
    assert found == {"S1A": {june: 29 / 12, july: 0}}


def test_passes_are_days_of_an_orbit():
    day = 86_400_000
    first, second = spans = (
        Period(dt.date(1970, 1, 1), dt.date(1970, 1, 11)),
        Period(dt.date(1970, 1, 11), dt.date(1970, 1, 21)),
    )
    rows = [
        [day, 8, "ASCENDING", "A"], [day + 9, 8, "ASCENDING", "A"],  # two slices of one pass
        [day, 9, "ASCENDING", "A"], [10 * day - 1, 8, "ASCENDING", "C"],
        [10 * day, 8, "ASCENDING", "C"], [11 * day, 8, "DESCENDING", "B"], [11 * day, 7, "", "Z"],
    ]  # fmt: skip
    assert sentinel1.count_passes(rows, spans) == {
        first.name: {"S1A": 2, "S1C": 1}, second.name: {"S1B": 1, "S1C": 1, "S1Z": 1},
    }  # fmt: skip
    assert sentinel1.count_passes(rows, spans, "ascending", (8,)) == {
        first.name: {"S1A": 1, "S1C": 1}, second.name: {"S1C": 1},
    }  # fmt: skip
