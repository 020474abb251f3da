"""Simulated against real landscapes: the tables, the comparison, speckle and missing shares."""

import datetime as dt
import json

import making
import numpy as np
import pandas as pd
import pytest
import rasterio

from benchmarks.simulator import __main__ as command
from benchmarks.simulator import (
    compare,
    missing,
    monthly,
    parcels,
    priors,
    real,
    simulated,
    speckle,
)
from cropmap_jax.geo import periods
from cropmap_jax.geo.sensors import SENSORS

MONTHS = periods.month_periods(dt.date(2020, 9, 1), dt.date(2021, 8, 1))


def table(crop, variable, means, n=10, first=1):
    """A monthly table of one curve that starts in month `first`."""
    rows = [(crop, first + i, variable, mean, 0.1, n) for i, mean in enumerate(means)]
    return pd.DataFrame(rows, columns=list(monthly.COLUMNS))


# Months and class means.


def test_months_count_from_the_harvest_year():
    assert monthly.season_months(MONTHS, 2021).tolist() == [-3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert [monthly.month_name(m) for m in (-3, 0, 1, 12, 13)] == [
        "Sep-1",
        "Dec-1",
        "Jan",
        "Dec",
        "Jan+1",
    ]


def test_a_period_counts_for_the_month_of_its_last_day():
    span = periods.Period(dt.date(2021, 4, 25), dt.date(2021, 5, 5))
    assert monthly.season_months([span], 2021).tolist() == [5]


def test_ndvi_is_missing_where_it_has_no_meaning():
    s2 = np.zeros((3, 10))
    red, nir = SENSORS["s2"].bands.index("B4"), SENSORS["s2"].bands.index("B8")
    s2[0, [red, nir]] = 0.1, 0.3
    s2[1, [red, nir]] = np.nan, 0.3
    # (0.3 - 0.1) / (0.3 + 0.1) = 0.5; the last has no light at all.
    np.testing.assert_allclose(monthly.ndvi(s2), [0.5, np.nan, np.nan])


def test_class_means_of_radar_are_means_of_power():
    # Powers 0.1 and 0.3: the mean is 0.2 = -6.99 dB, not the mean of -10 and -5.23 dB.
    power = np.array([[0.1, 0.3]])
    rows = monthly.tabulate({"VV": power, "VH": power / 10}, np.array([5]), ["maize", "maize"])
    rows = rows.set_index("variable")
    assert rows.loc["VV", "mean"] == pytest.approx(10 * np.log10(0.2))
    # The two differ by 10 log10(3) = 4.77 dB, and a spread of two is their difference / sqrt(2).
    assert rows.loc["VV", "sd_between"] == pytest.approx(10 * np.log10(3) / np.sqrt(2))
    assert rows.loc["VH-VV", "mean"] == pytest.approx(-10)
    assert rows.loc["VH-VV", "sd_between"] == pytest.approx(0, abs=1e-9)
    assert rows.n.tolist() == [2, 2, 2]


def test_class_means_weigh_parcels_equally_and_pass_over_gaps():
    values = np.array([[0.2, np.nan], [0.4, 0.5], [np.nan, np.nan]])
    rows = monthly.tabulate({"NDVI": values}, np.array([1, 1, 2]), ["maize", "maize"])
    # January: parcels at (0.2 + 0.4) / 2 = 0.3 and 0.5; February: none.
    assert rows["mean"].tolist() == [pytest.approx(0.4), pytest.approx(np.nan, nan_ok=True)]
    assert rows.n.tolist() == [2, 0]


def test_tabulate_names_the_shapes():
    with pytest.raises(
        ValueError, match=r"NDVI: expected \[2 periods, 1 parcels\], found \[2, 3\]"
    ):
        monthly.tabulate({"NDVI": np.zeros((2, 3))}, np.array([1, 2]), ["maize"])


# Parcels.


def test_interior_pixels_have_a_neighbourhood_of_one_parcel():
    ids = np.zeros((6, 7), np.uint32)
    ids[:, :4], ids[:, 4:] = 1, 2
    inside = parcels.interior(ids)
    # Columns 3 and 4 touch the other parcel, the outermost ones the edge of the image.
    assert np.argwhere(inside).tolist() == [[r, c] for r in range(1, 5) for c in (1, 2, 5)]
    assert not parcels.interior(np.zeros((4, 4), np.uint32)).any()


def test_parcel_means_count_what_is_there():
    ids = np.ones((5, 5), np.uint32)
    image = np.full((2, 5, 5), np.nan)
    image[0, 1:4, 1:4] = np.arange(9).reshape(3, 3)
    image[0, 2, 2] = np.nan
    values, found = parcels.parcel_means({"x": image}, ids, 9)
    assert found.tolist() == [1]
    # 0 to 8 without the 4 in the middle: mean 4.
    np.testing.assert_array_equal(values["x"], [[4], [np.nan]])
    assert parcels.parcel_means({"x": image}, ids, 10)[1].size == 0


def test_label_parcels_are_connected_components():
    label = np.array([[0, 0, 1], [1, 0, 1], [1, 255, 0]], np.uint8)
    ids, of = parcels.label_parcels(label, 2)
    assert of == {1: 0, 2: 0, 3: 1, 4: 1}
    assert ids.tolist() == [[1, 1, 3], [4, 1, 3], [4, 0, 2]]


# The comparison.


def test_compare_monthly_on_hand_values():
    curve = np.array([0.2, 0.3, 0.5, 0.8, 0.6, 0.3])
    (row,) = (
        compare.compare_monthly(
            table("maize", "NDVI", curve), table("maize", "NDVI", curve + 0.1, n=4), ["maize"]
        )
        .query("variable == 'NDVI'")
        .to_dict("records")
    )
    assert row["months"] == 6 and row["real_parcels"] == 10 and row["simulated_parcels"] == 4
    assert row["r"] == pytest.approx(1) and row["amplitude"] == pytest.approx(0.6)
    assert row["difference"] == pytest.approx(0.1) and row["bias"] == pytest.approx(0.1)
    assert row["verdict"] == compare.PASS


@pytest.mark.parametrize(
    "variable, real_means, simulated_means, verdict",
    [
        ("NDVI", [0.2, 0.3, 0.5, 0.8, 0.6, 0.3], [0.33, 0.43, 0.63, 0.93, 0.73, 0.43], "fail"),
        ("NDVI", [0.5, 0.6, 0.5, 0.6, 0.5, 0.6], [0.6, 0.5, 0.6, 0.5, 0.6, 0.5], "fail"),
        # A flat simulation has no correlation and does not pass where a season is there.
        ("VV", [-10, -9, -8, -12, -13, -10], [-10, -10, -10, -10, -10, -10], "fail"),
        # Under 3 dB of season only the bias counts.
        ("VV", [-10, -9, -8, -8, -9, -10], [-7.6, -7.6, -7.6, -7.6, -7.6, -7.6], "pass"),
        ("VH", [-20, -19, -16, -16, -19, -20], [-17.4, -16.4, -13.4, -13.4, -16.4, -17.4], "fail"),
        ("VH", [-20, -19, -16, -16, -19, -20], [-17.6, -16.6, -13.6, -13.6, -16.6, -17.6], "pass"),
    ],
)
def test_rules(variable, real_means, simulated_means, verdict):
    rows = compare.compare_monthly(
        table("maize", variable, real_means), table("maize", variable, simulated_means)
    )
    assert rows.set_index("variable").loc[variable, "verdict"] == verdict


def test_months_without_enough_parcels_do_not_count():
    real_table = table("maize", "VV", [-10, -9, -8, -8, -9, -10, -11])
    real_table.loc[[0, 1], "n"] = 4
    other = table("maize", "VV", [-9] * 7)
    row = compare.compare_monthly(real_table, other).set_index("variable").loc["VV"]
    assert row.months == 5 and row.verdict == compare.NO_DATA
    assert compare.compare_monthly(real_table, other, min_parcels=4).months.max() == 7


def test_crops_that_nobody_has_are_no_data():
    curve = table("maize", "VV", [-9] * 7)
    rows = compare.compare_monthly(curve, curve, ["sugar_beet"])
    assert rows.verdict.tolist() == [compare.NO_DATA] * 3


def test_compare_refuses_other_tables():
    curve = table("maize", "VV", [-9] * 7)
    with pytest.raises(ValueError, match=r"simulated: expected the columns .* found no \['n'\]"):
        compare.compare_monthly(curve, curve.drop(columns="n"))
    with pytest.raises(ValueError, match=r"real: .* found maize, month 1, VV twice"):
        compare.compare_monthly(pd.concat([curve, curve]), curve)


def test_one_reference_passes_as_a_whole_or_not_at_all():
    rows = pd.DataFrame(
        [
            ("maize", "VV", 4.0, compare.FAIL, "a"),
            ("maize", "VV", 5.0, compare.PASS, "b"),
            ("maize", "VH", 4.0, compare.FAIL, "a"),
            ("maize", "VH", np.nan, compare.NO_DATA, "b"),
            ("beet", "VH", np.nan, compare.NO_DATA, "a"),
            # A flat reference asks for no season, but the other one shows that there is one.
            ("wheat", "VH", 4.0, compare.FAIL, "a"),
            ("wheat", "VH", 2.0, compare.PASS, "b"),
            ("rye", "VH", 1.0, compare.FAIL, "a"),
            ("rye", "VH", 2.0, compare.PASS, "b"),
        ],
        columns=["crop", "variable", "amplitude", "verdict", "reference"],
    )
    assert compare.verdicts(rows).to_numpy().tolist() == [
        ["maize", "VV", "pass", "b"],
        ["maize", "VH", "fail", "a"],
        ["beet", "VH", "no data", ""],
        ["wheat", "VH", "fail", "a"],
        ["rye", "VH", "pass", "b"],
    ]


# Speckle.


@pytest.mark.parametrize("looks", [1, 4.4, 40])
def test_enl_of_gamma_speckle_is_its_number_of_looks(looks):
    rng = np.random.default_rng(0)
    # Another backscatter on each date, which is no speckle.
    power = rng.gamma(looks, 1 / looks, (3, 200, 200)) * np.array([0.01, 0.1, 1])[:, None, None]
    found = speckle.speckle_statistics(power, np.ones((200, 200), int))
    assert found.enl == pytest.approx(looks, rel=0.05)
    assert found.lag1 == pytest.approx(0, abs=0.01)
    assert found.fields == 1 and len(found.cv2) == 3


def test_correlation_of_a_smoothed_image_is_that_of_its_filter():
    white = np.random.default_rng(1).gamma(4, 0.25, (2, 302, 300))
    power = (white[:, :-2] + 2 * white[:, 1:-1] + white[:, 2:]) / 4
    found = speckle.speckle_statistics(power, np.ones((300, 300), int))
    # Taps 1 2 1 along y: (2 + 2) / 6 and 1 / 6 at distances of one and two, 0 beyond.
    np.testing.assert_allclose(found.along_y, [2 / 3, 1 / 6, 0], atol=0.02)
    np.testing.assert_allclose(found.along_x, 0, atol=0.02)
    # The filter leaves (1 + 4 + 1) / 16 of the variance: 4 looks become 4 x 16 / 6.
    assert found.enl == pytest.approx(4 * 16 / 6, rel=0.05)


def test_differences_between_fields_are_no_speckle():
    fields = np.repeat([[1, 2, 0]], 10, 0).repeat(10, 1)
    power = np.where(fields == 2, 5.0, 1.0)[None] * np.ones((2, 1, 1))
    found = speckle.speckle_statistics(power, fields)
    assert found.enl == np.inf and found.fields == 2
    assert found.to_json()["samples"] == 4


def test_speckle_refuses_what_it_cannot_use():
    ones = np.ones((2, 10, 10))
    with pytest.raises(ValueError, match="expected linear power above 0, found -10"):
        speckle.speckle_statistics(-10 * ones, np.ones((10, 10), int))
    with pytest.raises(ValueError, match=r"expected \[T, 9, 9\], found \[2, 10, 10\]"):
        speckle.speckle_statistics(ones, np.ones((9, 9), int))
    with pytest.raises(ValueError, match="one of 25 pixels or more, found none"):
        speckle.speckle_statistics(ones, np.eye(10, dtype=int))
    with pytest.raises(ValueError, match=r"share in \(0, 1\], found 0"):
        speckle.homogeneous_windows(ones, 5, 0)
    with pytest.raises(ValueError, match="expected a window of 11 x 11 pixels"):
        speckle.homogeneous_windows(ones, 11)
    with pytest.raises(ValueError, match="images: expected at least one"):
        speckle.pooled_speckle([])


def test_homogeneous_windows_leave_out_boundaries_and_gaps():
    power = np.ones((3, 10, 16))
    power[:, :, 7:] = 2  # a boundary within the middle windows
    power[1, 0, 0] = np.nan
    power[2] = np.nan  # a date without an image is passed over
    kept = speckle.homogeneous_windows(power, 5, share=0.6)
    # Windows 1 2 3 / 4 5 6 of 5 x 5: 2 and 5 hold the boundary, 1 the gap; 3 of 5 are kept.
    assert set(np.unique(kept)) == {0, 3, 4, 6}


def test_pooled_speckle_is_of_all_images():
    rng = np.random.default_rng(2)
    images = [rng.gamma(5, 0.2, (t, size, 70)) for t, size in ((3, 140), (5, 70))]
    found = speckle.pooled_speckle(images, 10)
    # A quarter of 14 x 7 and of 7 x 7 windows: 24 and 12, on 3 and 5 dates.
    assert found.fields == 36 and len(found.cv2) == 24 * 3 + 12 * 5
    assert found.enl == pytest.approx(5, rel=0.15)


def test_speckle_verdict():
    def like(enl, lag1):
        return speckle.Speckle(enl, enl, enl, (lag1,), (lag1,), 1, np.ones(1))

    real_ones = [like(10, 0.6), like(20, 0.7)]
    assert compare.speckle_verdict(like(5.1, 0.5), real_ones) == compare.PASS
    assert compare.speckle_verdict(like(41, 0.6), real_ones) == compare.FAIL
    assert compare.speckle_verdict(like(15, 0.0), real_ones) == compare.FAIL


# Missing Sentinel-2.


def test_missing_share():
    s2 = np.ones((4, 10, 10, 10), np.float32)
    s2[0] = np.nan
    s2[1, :5] = np.nan
    s2[2, ..., 7] = np.nan  # one band that is never there is no cloud
    rows = missing.missing_share(s2, MONTHS[2:6])
    assert rows.share.tolist() == [1, 0.5, 0, 0]
    assert rows.state.tolist() == ["lost", "partly", "whole", "whole"]
    assert rows.month.tolist() == [11, 12, 1, 2]
    assert rows.start.tolist()[0] == "2020-11-01"
    by_month = missing.by_month(pd.concat([rows, rows.assign(share=0.0, state="whole")]))
    assert by_month.loc[11].to_dict() == {
        "share": 0.5,
        "whole": 0.5,
        "partly": 0,
        "lost": 0.5,
        "n": 2,
    }
    with pytest.raises(ValueError, match=r"s2: expected \[3, H, W, B\], found \[4, 10, 10, 10\]"):
        missing.missing_share(s2, MONTHS[:3])


def test_missing_comparison_is_over_the_months_of_both():
    def shares(values):
        months = pd.Index(range(1, len(values) + 1), name="month")
        return pd.DataFrame({"share": values}, index=months)

    row = compare.missing_comparison(shares([0.6, 0.2, 0.9]), shares([0.5, 0.1]))
    assert row["months"] == 2 and row["real"] == pytest.approx(0.4)
    assert row["simulated"] == pytest.approx(0.3) and row["verdict"] == compare.PASS
    far = compare.missing_comparison(shares([0.6, 0.2]), shares([0.2, 0.1]))
    assert far["verdict"] == compare.FAIL


# Simulated cubes on disk.


def write_truth(folder, cube, **rasters):
    for name, values in rasters.items():
        path = folder / cube.info.cube_id / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width = values.shape
        grid = {"transform": cube.info.geobox.affine, "crs": "EPSG:32639"}
        profile = {"driver": "GTiff", "count": 1, "dtype": values.dtype} | grid
        with rasterio.open(path, "w", height=height, width=width, **profile) as raster:
            raster.write(values, 1)


def test_simulated_monthly_pools_the_parcels_of_all_cubes(tmp_path):
    cubes = [making.make_cube(f"c{i}", 16, seed=i, missing=False) for i in range(2)]
    parcel = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((8, 8))).astype(np.uint32)
    truth = np.kron([[0, 1], [1, 254]], np.ones((8, 8))).astype(np.uint8)
    for one in cubes:
        write_truth(tmp_path, one, truth=truth, parcel=parcel)
    rows = simulated.simulated_monthly(cubes, tmp_path)
    # Months of making.PERIODS: December 2021 to August 2022; harvest 2022.
    assert sorted(rows.month.unique()) == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert set(rows.crop) == {"wheat", "rapeseed"}
    counts = rows[rows.variable == "NDVI"].groupby("crop").n.unique().map(list).to_dict()
    assert counts == {"wheat": [2], "rapeseed": [4]}
    # The upper left parcel's interior is rows and columns 1 to 6: 0 lies at the image's edge and 7
    # next to another parcel.
    expected = np.mean([monthly.ndvi(one.pixels["s2"][3, 1:7, 1:7]).mean() for one in cubes])
    found = rows.query("crop == 'wheat' and month == 3 and variable == 'NDVI'")["mean"].item()
    assert found == pytest.approx(expected, rel=1e-4)


def test_simulated_monthly_says_what_does_not_fit(tmp_path):
    one = making.make_cube("c", 16)
    with pytest.raises(ValueError, match=r"c.truth\.tif: expected the true truth of the cube"):
        simulated.simulated_monthly([one], tmp_path)
    zeros = np.zeros((16, 16))
    write_truth(tmp_path, one, truth=zeros.astype(np.uint8), parcel=zeros.astype(np.uint32))
    with pytest.raises(ValueError, match="expected a parcel of a known class .* found none in 1"):
        simulated.simulated_monthly([one], tmp_path)
    write_truth(tmp_path, one, truth=np.zeros((8, 16), np.uint8))
    with pytest.raises(ValueError, match="expected the grid of cube c, found"):
        simulated.read_truth(tmp_path, one.info, "truth")


def test_parcels_have_one_class():
    parcel = np.array([[1, 1, 2], [0, 0, 3]])
    crops = simulated.parcel_crops(np.array([[0, 0, 1], [1, 1, 254]]), parcel, ("wheat", "maize"))
    assert crops == {1: "wheat", 2: "maize", 3: ""}
    with pytest.raises(ValueError, match="found two on parcel 1"):
        simulated.parcel_crops(np.array([[0, 1, 1], [1, 1, 1]]), parcel, ("wheat", "maize"))
    with pytest.raises(ValueError, match=r"expected 0\.\.1, 254 or 255, found 7"):
        simulated.parcel_crops(np.full((2, 3), 7), parcel, ("wheat", "maize"))


# Real data, where they are there.


def test_french_reference(real_dir):
    rows = real.french_reference(real_dir).set_index(["crop", "month", "variable"])
    # Counted in the table itself: 55 parcels of winter wheat, 88 of maize, no sugar beet.
    assert rows.loc[("common_wheat", 5, "VV"), "n"] == 55
    assert rows.loc[("maize", 8, "NDVI"), "n"] == 88
    assert "sugar_beet" not in rows.index.get_level_values("crop")
    # What any year shows: wheat green in May and ripe in July, maize the other way round.
    wheat, maize = (rows.loc[crop]["mean"] for crop in ("common_wheat", "maize"))
    assert wheat[5, "NDVI"] > 0.8 and wheat[7, "NDVI"] < 0.3
    assert maize[5, "NDVI"] < 0.35 and maize[8, "NDVI"] > 0.8
    # A closed cereal canopy attenuates VV, bare wet soil in November does not.
    assert wheat[5, "VV"] < wheat[-1, "VV"] - 5


def test_missing_real_data_are_named(tmp_path, capsys):
    with pytest.raises(
        ValueError, match=r"--real .*: expected tables/france.*, found no such file"
    ):
        real.french_reference(tmp_path)
    words = [
        "believable",
        "--real",
        str(tmp_path),
        "--cubes",
        str(tmp_path),
        "--out",
        str(tmp_path),
    ]
    assert command.main(words) == 1
    assert "expected cubes" in capsys.readouterr().err


def test_believable_end_to_end(real_dir, tmp_path):
    cubes, truth = tmp_path / "cubes", tmp_path / "truth"
    making.make_cubes(cubes, ("train", "test"), size=40, missing=False)
    for one in simulated.read_cubes(cubes):
        write_truth(truth, one, truth=one.label, parcel=one.fields)
    out = tmp_path / "pictures"
    words = ["--real", str(real_dir), "--cubes", str(cubes), "--out", str(out)]
    assert command.main(["believable", *words]) == 0
    results = json.loads((out / "believable.json").read_text())
    judged = {(row["crop"], row["variable"]) for row in results["verdicts"]}
    assert {("sugar_beet", "NDVI"), ("rapeseed", "VH"), ("potatoes", "VV")} <= judged
    # The fake cubes have no wheat under that name; their rapeseed has no radar of rapeseed.
    verdicts = {(row["crop"], row["variable"]): row["verdict"] for row in results["verdicts"]}
    assert verdicts["common_wheat", "NDVI"] == "no data"
    assert verdicts["rapeseed", "VH"] in ("pass", "fail")
    assert {f.name for f in out.iterdir()} == {
        "believable.json",
        "believable_monthly.png",
        "believable_missing.png",
        "believable_speckle.png",
    }


def test_estimated_shares_against_the_truth_by_hand():
    # 1 and 1.5 times the truth: relative errors of 0 and 0.5.
    found = priors.compare(np.array([0.1, 0.3]), np.array([0.1, 0.2]))
    assert found == pytest.approx((0.25, 1.0, 1.5))
