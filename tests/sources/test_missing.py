import dataclasses
import datetime as dt

import making
import matplotlib.image
import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube, cube_io
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.periods import month_periods
from cropmap_jax.geo.sensors import SENTINEL, Sensor
from cropmap_jax.sources import manifest, missing, missing_report, verify
from cropmap_jax.sources.manifest_rows import FAILED, FLAGGED, PLANNED, WHOLE, CubeRow
from cropmap_jax.sources.missing import Thresholds

PERIODS = month_periods(dt.date(2021, 11, 1), dt.date(2022, 2, 1))
MONTHS = [p.name for p in PERIODS]
RADAR = Thresholds(continuous=("s1",))


@pytest.fixture
def made(tmp_path):
    """A cube on disk: no S1 in its second period, no S2 in a quarter of the third."""
    one = making.make_cube("a", periods=PERIODS, missing=False, clear=True)
    one.clear[:2], one.clear[2, :16], one.clear[3] = 3, 0, 255
    one.clear[1, :17], one.clear[2, 16:] = 7, 5
    one.s1[1] = np.nan
    one.s2[2, :16, :16] = np.nan
    one.label[:8] = IGNORE
    cube_io.write_cube(one, tmp_path)
    return one


def test_what_is_missing_is_read_from_the_disk(made, tmp_path):
    assert verify.check_cube(tmp_path / "a", made.info) == {
        "s1": dict(zip(MONTHS, [0, 1, 0, 0], strict=True)),
        "s2": dict(zip(MONTHS, [0, 0, 0.25, 0], strict=True)),
        # Of 32 rows 17 have 7 and 15 have 3; 16 have 0 and 16 have 5.
        "clear": dict(zip(MONTHS, [3, 7, 2.5, 255], strict=True)),
        "label": float(np.mean(made.label == IGNORE)),
    }


@pytest.mark.parametrize(
    "field, value, said",
    [
        ("geobox", making.make_cube("b", tile=(401, 3000)).info.geobox, "geobox: "),
        ("periods", PERIODS[1:], "4 from 2021-11-01 to 2022-03-01 there, 3 from 2021-12-01"),
        ("split", "test", "split: train there, test requested"),
        ("season", "1999", "season"),
        ("harvest", {}, "harvest"),
    ],
)
def test_another_cube_than_was_requested_is_found_out(made, tmp_path, field, value, said):
    target = dataclasses.replace(made.info, **{field: value})
    with pytest.raises(ValueError, match=f"not the cube that was requested: .*{said}"):
        verify.check_cube(tmp_path / "a", target)


def test_a_picture_of_somebody_else_is_not_replaced(made, tmp_path):
    with manifest.Manifest(tmp_path) as book:
        (tmp_path / "missing.png").write_bytes(b"mine")
        with pytest.raises(ValueError, match=r"missing\.png: found a file that no export wrote"):
            missing_report.claim_picture(book, tmp_path)
        (tmp_path / "missing.png").unlink()
        missing_report.claim_picture(book, tmp_path)
        # Its own is drawn anew, also that of a folder of an older version, which has no note.
        (tmp_path / "missing.png").write_bytes(b"ours")
        missing_report.claim_picture(book, tmp_path)
    with manifest.Manifest(tmp_path / "older") as book:
        book.mark(CubeRow("a", "key", WHOLE, {}))
        (tmp_path / "older" / "missing.png").write_bytes(b"ours")
        missing_report.claim_picture(book, tmp_path / "older")


def test_damaged_pixels_are_found_out(made, tmp_path):
    file = tmp_path / "a" / "s2.tif"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"s2\.tif: damaged: expected checksum"):
        verify.check_cube(tmp_path / "a", made.info)


@pytest.mark.parametrize(
    "epsg, side, said",
    [(3035, 10.0, "expected a UTM zone"), (32632, 20.0, "expected pixels of 10 m, found 20 m")],
)
def test_only_true_utm_pixels_of_ten_metres_pass(epsg, side, said):
    box = (500_000, 5_600_000) if epsg == 32632 else (4_300_000, 3_200_000)
    geobox = GeoBox((64, 64), Affine(side, 0, box[0], 0, -side, box[1]), f"EPSG:{epsg}")
    with pytest.raises(ValueError, match=f"somewhere: {said}"):
        verify.check_grid(geobox, "somewhere")
    verify.check_grid(making.make_cube().info.geobox, "somewhere")


def _missing(s1, s2, label=0.5):
    return {
        "s1": dict(zip(MONTHS, s1, strict=False)),
        "s2": dict(zip(MONTHS, s2, strict=False)),
        "label": label,
    }


@pytest.mark.parametrize(
    "shares, said",
    [
        (_missing([0.5] * 4, [0.6] * 4), []),  # at the threshold, not above
        (_missing([0] * 4, [0.61] * 4), ["Sentinel-2: 61% missing, more than 60%"]),
        (_missing([0] * 4, [1, 1, 0.1, 0.1]), []),  # winter
        (_missing([0, 1, 0, 0], [0] * 4), ["Sentinel-1: nothing in 1 periods (2021-12-01)"]),
        (_missing([0.99, 0.9, 0.9, 0], [0] * 4), ["Sentinel-1: 70% missing, more than 60%"]),
        (_missing([0] * 4, [0] * 4, 1.0), ["label: nothing is known"]),
    ],
)
def test_flags(shares, said):
    assert missing.flags(shares, SENTINEL, RADAR) == said


def test_flags_are_of_the_thresholds_given_and_of_labels_that_are_to_be():
    shares = _missing([0, 1, 0, 0], [0.3] * 4, 1.0)
    assert missing.flags(shares, SENTINEL, Thresholds(), labelled=False) == []
    found = missing.flags(shares, SENTINEL, Thresholds(0.2, ("s1",)), labelled=False)
    assert [text[:10] for text in found] == ["Sentinel-1", "Sentinel-2", "Sentinel-1"]
    with pytest.raises(ValueError, match=r"threshold: expected a share of 0\.\.1, found 60"):
        Thresholds(60)


ROWS = [
    CubeRow("a", "k", WHOLE, _missing([0, 0, 0, 0.2], [1, 0.5, 0, 0])),
    CubeRow("b", "k", FLAGGED, _missing([0, 1, 0, 0], [0.5, 0.5, 0, 0.1]), "no S1"),
    CubeRow("c", "k", FAILED, {}, "gone"),
    CubeRow("d", "k", PLANNED, {}),
]


def test_shares_are_gathered_by_month_over_cubes():
    dekads = {"s1": {"2022-02-11": 0.4, "2022-02-21": 0.6}}
    found = missing.shares_by_month([*ROWS, CubeRow("e", "k", WHOLE, dekads)], SENTINEL)
    assert list(found) == ["2021-11", "2021-12", "2022-01", "2022-02"]
    assert found["2022-02"]["s1"].tolist() == [0.2, 0, 0.4, 0.6]
    assert found["2021-11"]["s2"].tolist() == [1, 0.5]


def test_the_table_says_what_is_there_and_what_is_not():
    lines = missing.table(ROWS, SENTINEL).splitlines()
    assert lines[0] == "cubes: 1 whole, 1 flagged, 1 failed, 1 planned"
    assert "2021-12        50.0% 100.0%      50.0%  50.0%" in lines
    assert lines[lines.index("flagged:") + 1] == "  b: no S1"
    assert lines[lines.index("failed:") + 1] == "  c: gone"
    assert missing.table([], SENTINEL) == "cubes: none"


def counted(row, counts):
    clear = dict(zip(MONTHS, counts, strict=True))
    return dataclasses.replace(row, missing={**row.missing, "clear": clear})


COUNTED = [counted(ROWS[0], [0, 1, 4, 6]), counted(ROWS[1], [0, 2, 5, 9]), *ROWS[2:]]


def test_the_table_says_how_many_observations_are_clear():
    lines = missing.table(COUNTED, SENTINEL).splitlines()
    assert lines[2] == "missing      S1 mean  worst    S2 mean  worst    clear S2: median  least"
    assert lines[4] == "2021-12        50.0% 100.0%      50.0%  50.0%               1.5      1"
    # A cube that was not counted leaves it to the others.
    mixed = missing.table([COUNTED[0], *ROWS[1:]], SENTINEL).splitlines()
    assert mixed[4].endswith("50.0%                 1      1")
    assert missing.shares_by_month(COUNTED, SENTINEL)["2022-02"]["clear"].tolist() == [6, 9]


def test_counts_have_a_panel_of_their_own(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(missing_report, "_save", lambda fig, path: figures.append(fig))
    missing_report.draw(missing.shares_by_month(COUNTED, SENTINEL), SENTINEL, tmp_path / "x.png")
    heights = [[bar.get_height() for bar in ax.patches] for ax in figures[0].axes]
    assert heights[2] == [0, 1.5, 4.5, 7.5] and len(heights) == 3


def test_a_long_list_of_failures_is_cut():
    rows = [CubeRow(f"c{i:02d}", "k", FAILED, {}, "why") for i in range(25)]
    assert missing.table(rows, SENTINEL).splitlines()[-2:] == [
        "  c09: why",
        "  and 15 more, in the manifest",
    ]


def test_the_report_is_a_table_and_a_picture(tmp_path):
    with manifest.Manifest(tmp_path) as book:
        picture = tmp_path / missing_report.PICTURE
        picture.touch()  # of an earlier run
        assert (
            missing_report.write_report(book, tmp_path, SENTINEL) == "cubes: none"
            and not picture.exists()
        )
        for row in ROWS:
            book.mark(row)
        text = missing_report.write_report(book, tmp_path, SENTINEL)
    assert text.startswith("cubes: 1 whole") and str(picture) in text
    assert matplotlib.image.imread(picture).ndim == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == [".export", missing_report.PICTURE]


def test_bars_are_as_high_as_the_mean(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(missing_report, "_save", lambda fig, path: figures.append(fig))
    missing_report.draw(missing.shares_by_month(ROWS, SENTINEL), SENTINEL, tmp_path / "x.png")
    heights = [[bar.get_height() for bar in ax.patches] for ax in figures[0].axes]
    assert heights == [[0, 0.5, 0, 0.1], [0.75, 0.5, 0, 0.05]]


HEAT = Sensor("heat", "Air temperature", ("mean",), "K", 100, (200, 330), dtype="uint16", nodata=0)


def test_another_sensor_is_measured_flagged_and_shown(made, tmp_path, monkeypatch):
    info = dataclasses.replace(
        made.info, cube_id="b", sensors=(*SENTINEL, HEAT), has_fields=False, has_clear=False
    )
    heat = np.full((len(PERIODS), *info.shape, 1), 280, np.float32)
    heat[1] = heat[2, :8] = np.nan
    cube_io.write_cube(cube.Cube(info, {**made.pixels, "heat": heat}, label=made.label), tmp_path)
    shares = verify.check_cube(tmp_path / "b", info)
    assert shares["heat"] == dict(zip(MONTHS, [0, 1, 0.25, 0], strict=True))
    thresholds = Thresholds(0.3, continuous=("heat",))
    assert missing.flags(shares, info.sensors, thresholds) == [
        "Air temperature: 31% missing, more than 30%",
        "Air temperature: nothing in 1 periods (2021-12-01)",
    ]
    rows = [CubeRow("b", "k", WHOLE, shares)]
    lines = missing.table(rows, info.sensors).splitlines()
    assert lines[2].endswith("S2 mean  worst   HEAT mean  worst")
    assert lines[5].endswith("   25.0%  25.0%") and len(lines[5]) == len(lines[2])
    figures = []
    monkeypatch.setattr(missing_report, "_save", lambda fig, path: figures.append(fig))
    missing_report.draw(
        missing.shares_by_month(rows, info.sensors), info.sensors, tmp_path / "x.png"
    )
    heights = [[bar.get_height() for bar in ax.patches] for ax in figures[0].axes]
    assert len(heights) == 3 and heights[2] == [0, 1, 0.25, 0]
