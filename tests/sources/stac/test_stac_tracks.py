"""Orbits of Sentinel-1 from time and place, against products whose orbit is known."""

import datetime as dt

import pytest

from cropmap_jax.sources.stac import tracks

# Of Level-1 products the relative orbit is (absolute orbit - 73) mod 175 + 1 of Sentinel-1A
# (sentiwiki.copernicus.eu), of OPERA's products it is in the name.
KNOWN = [
    # S1A_IW_GRDH_1SDV_20150222T170750_20150222T170815_004739, Germany
    ("A", "2015-02-22T17:07:50", 11, 50, ("ascending", 117)),
    # S1A_IW_GRDH_1SDV_20191215T004339_20191215T004404_030352, North America
    ("A", "2019-12-15T00:43:39", -100, 35, ("ascending", 5)),
    # S1A_IW_GRDH_1SDV_20201005T170824_20201005T170849_034664, Europe
    ("A", "2020-10-05T17:08:24", 11, 47, ("ascending", 117)),
    # S1A_IW_GRDH_1SDV_20240322T004029_20240322T004054_053087, Bengaluru
    ("A", "2024-03-22T00:40:29", 77.6, 13, ("descending", 165)),
    # OPERA_L2_RTC-S1_T034-071092-IW3_20230611T002900Z_20230928T203216Z_S1A_30_v1.0
    ("A", "2023-06-11T00:29:00", -97, 35, ("ascending", 34)),
    # OPERA_L2_RTC-S1_T047-100732-IW2_20250706T231126Z_20250712T063114Z_S1A_30_v1.0, Chile
    ("A", "2025-07-06T23:11:26", -72, -36, ("ascending", 47)),
    # OPERA_L2_RTC-S1_T047-100908-IW3_20200702T231843Z_20230305T140222Z_S1B_30_v0.1, Ecuador
    ("B", "2020-07-02T23:18:43", -79, -7, ("ascending", 47)),
    # OPERA_L2_RTC-S1_T025-052202-IW3_20250711T095922Z_20250927T073443Z_S1C_30_v1.0
    ("C", "2025-07-11T09:59:22", -50, 69, ("descending", 25)),
]


@pytest.mark.parametrize(("platform", "time", "lon", "lat", "expected"), KNOWN)
def test_orbits_of_known_products(platform, time, lon, lat, expected):
    when = dt.datetime.fromisoformat(time).replace(tzinfo=dt.UTC)
    # A few degrees and minutes do not matter.
    for off in (0, 3, -3):
        assert tracks.track(platform, when, lon, lat + off) == expected
    after = when + dt.timedelta(days=12)
    assert tracks.track(platform, after, lon, lat) == expected


def test_what_cannot_be_told_is_not_guessed():
    when = dt.datetime(2025, 7, 11, 9, 59, 22, tzinfo=dt.UTC)
    assert tracks.track("D", when, -50, 69) is None
    assert tracks.track("C", when.replace(year=2026), -50, 69) is None  # moved in between
    assert tracks.track("A", when, -50, 85) is None
    # A time at which no orbit passes there: half an orbit off.
    known = dt.datetime(2023, 6, 11, 0, 29, tzinfo=dt.UTC)
    assert tracks.track("A", known + dt.timedelta(minutes=49), -97, 35) is None
