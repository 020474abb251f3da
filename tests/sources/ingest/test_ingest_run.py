import datetime as dt
import json
import os
import warnings

import numpy as np
import pytest
import xarray as xr

import cropmap_jax
from cropmap_jax.geo import composites, cube_io, periods, splits
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.sources.ingest import run
from cropmap_jax.sources.ingest.options import Options
from cropmap_jax.sources.ingest.satellites import SCL_CLOUDY
from tests.sources import own_stack


def options(path, tmp_path, **flags):
    return Options(str(path), str(tmp_path / "cubes"), **flags)


def ingest(path, tmp_path, **flags):
    """Cubes by id, and what was printed."""
    text = run.ingest(options(path, tmp_path, **flags))
    infos = cube_io.list_cubes(tmp_path / "cubes")
    return {i.cube_id: cube_io.read_cube(i.path, verify=True) for i in infos}, text


def refuses(path, tmp_path, message, **flags):
    with pytest.raises(ValueError) as error:
        run.ingest(options(path, tmp_path, **flags))
    assert message in str(error.value) and "\n" not in str(error.value)


def quiet():
    """All-NaN pixels are expected."""
    return warnings.catch_warnings(action="ignore")


def stamps(tmp_path):
    return {f: f.stat().st_mtime_ns for f in (tmp_path / "cubes").rglob("*") if f.is_file()}


def days(*texts):
    return [dt.date.fromisoformat(text) for text in texts]


def spans_npz(folder, pairs, **changes):
    """An .npz with other periods, as many as there are pairs of dates."""
    starts, ends = (np.array([pair[i] for pair in pairs]) for i in (0, 1))
    more = {"s1_db": own_stack.s1_db(len(pairs)), "s2": own_stack.s2(len(pairs))} | changes
    return own_stack.write_npz(folder, period_start=starts, period_end=ends, **more)


# Compositing --------------------------------------------------------------------------------------

OVERLAPPING = [
    ("2022-01-05", "2022-01-06"),
    ("2022-01-25", "2022-02-01"),
    ("2022-01-26", "2022-02-02"),  # ends on 1 February: no part of January's composite
    ("2022-02-27", "2022-02-28"),
    ("2022-02-28", "2022-03-01"),
    ("2022-04-30", "2022-05-01"),
]


def test_months_take_what_ended_in_them(tmp_path):
    file = spans_npz(tmp_path, OVERLAPPING)
    got = ingest(file, tmp_path, months=True)[0]["stack"]
    assert got.info.periods == periods.month_periods(*days("2022-01-01", "2022-04-30"))
    s1, s2 = own_stack.s1_db(6).astype(float), own_stack.s2(6).astype(float)
    groups = [[0, 1], [2, 3, 4], [], [5]]
    for month, chosen in enumerate(groups):
        if not chosen:
            assert np.isnan(got.s1[month]).all() and np.isnan(got.s2[month]).all()
            continue
        power = np.mean([10 ** (s1[i] / 10) for i in chosen], axis=0)
        np.testing.assert_allclose(got.s1[month], 10 * np.log10(power), atol=0.0051)
        np.testing.assert_allclose(got.s2[month], np.median(s2[chosen], 0), atol=0.000051)
    counts = [2.0, 3.0, 0.0, 1.0]
    assert got.info.source["clear_observations"] == {"s1": counts, "s2": counts}


@pytest.mark.parametrize("kind", ["months", "dekads"])
@pytest.mark.parametrize("change", range(len(OVERLAPPING)))
def test_no_composite_sees_a_day_after_its_end(tmp_path, kind, change):
    """Another value in one observation never changes a period that ended before it."""
    plain = spans_npz(tmp_path, OVERLAPPING)
    s1, s2 = own_stack.s1_db(6), own_stack.s2(6)
    s1[change] += 1
    s2[change] += 1
    (tmp_path / "other").mkdir()
    other = spans_npz(tmp_path / "other", OVERLAPPING, s1_db=s1, s2=s2)
    before = ingest(plain, tmp_path, **{kind: True})[0]["stack"]
    after = ingest(other, tmp_path / "other", **{kind: True})[0]["stack"]
    last_day = dt.date.fromisoformat(OVERLAPPING[change][1])
    changed = [
        p.end
        for i, p in enumerate(before.info.periods)
        if not np.array_equal(before.s1[i], after.s1[i], equal_nan=True)
        or not np.array_equal(before.s2[i], after.s2[i], equal_nan=True)
    ]
    assert len(changed) == 1 and min(changed) >= last_day


def test_dekads_and_missing_values(tmp_path):
    s2 = own_stack.s2(6)
    s2[0, :, :5] = np.nan
    file = spans_npz(tmp_path, OVERLAPPING, s2=s2)
    got = ingest(file, tmp_path, dekads=True)[0]["stack"]
    assert [p.name for p in got.info.periods[:3]] == ["2022-01-01", "2022-01-11", "2022-01-21"]
    assert np.isnan(got.s2[0, :, :5]).all() and np.isnan(got.s2[1]).all()
    np.testing.assert_allclose(got.s2[0, :, 5:], s2[0, :, 5:], atol=0.000051)
    # Ten of fifteen columns were clear in the first dekad.
    assert got.info.source["clear_observations"]["s2"][:3] == [0.67, 0, 1]


@pytest.mark.parametrize(
    "pairs, flags, message",
    [
        (OVERLAPPING, {}, "found single days; --months or --dekads composites observations"),
        ([("2022-01-01", "2022-02-01"), ("2022-03-01", "2022-04-01")], {}, "contiguous periods"),
        ([("2022-01-01", "2022-02-01"), ("2021-12-01", "2022-01-01")], {}, "--months or --dekads"),
        ([("2022-01-01", "2022-03-01")], {"months": True}, "--months: expected periods of at most"),
        ([("2022-01-01", "2022-02-01")], {"dekads": True}, "--dekads: expected periods of at most"),
        ([("2022-01-01", "2022-02-01")], {"dekads": True, "months": True}, "expected one of them"),
    ],
)
def test_periods_that_do_not_fit(tmp_path, pairs, flags, message):
    refuses(spans_npz(tmp_path, pairs), tmp_path, message, **flags)
    assert not (tmp_path / "cubes").exists()


def test_sensors_of_different_periods_want_compositing(tmp_path):
    folder = own_stack.write_folder(tmp_path / "stack")
    rows = own_stack.period_rows()
    rows[-1] = ("s2", "2022-01-01", "2022-01-29")
    own_stack.write_dates(folder, rows)
    message = "s2.tif: expected the periods of "
    refuses(folder, tmp_path, message, legend="isrc")
    assert ingest(folder, tmp_path, legend="isrc", months=True)[0]["stack"].info.periods == (
        own_stack.PERIODS
    )


# Splits and fields --------------------------------------------------------------------------------


def test_columns_become_cubes_and_a_crossing_field_stays_in_one(tmp_path):
    file = own_stack.write_npz(tmp_path)
    cubes, text = ingest(file, tmp_path, split="columns:train=1-9,test=10-14", **own_stack.EXTRA)
    assert list(cubes) == ["stack-test-0", "stack-train-0"]
    train, test = cubes["stack-train-0"], cubes["stack-test-0"]
    own_stack.assert_pixels(train, own_stack.s1_db()[:, :, 1:10], own_stack.s2()[:, :, 1:10])
    own_stack.assert_pixels(test, own_stack.s1_db()[:, :, 10:], own_stack.s2()[:, :, 10:])
    assert test.info.geobox.affine.c == own_stack.AFFINE[2] + 100
    # Both wheat fields have columns 8-9 in train and 10-13 in test, which keeps them.
    want = own_stack.expected_label()
    want[1:5, 8:10] = want[7:11, 8:10] = IGNORE
    np.testing.assert_array_equal(train.label, want[:, 1:10])
    np.testing.assert_array_equal(test.label, want[:, 10:])
    assert (train.info.split, test.info.split) == ("train", "test")
    splits.check_blocks([(c.info.cube_id, c.info.block, c.info.split) for c in cubes.values()])
    ids = [set(c.fields[c.label < NONE_OF_THESE].tolist()) for c in cubes.values()]
    assert ids[0] and ids[1] and not ids[0] & ids[1]
    assert "columns 0-0 are in no part of --split and left out" in text
    assert "16 pixels of fields that cross into another split are unknown" in text


def test_a_label_that_covers_all_may_do_without_fields(tmp_path):
    file = own_stack.write_npz(tmp_path)
    flags = {"split": "columns:train=0-9,test=10-14", "fields": "none"} | own_stack.EXTRA
    cubes, text = ingest(file, tmp_path, **flags)
    label = np.concatenate([cubes[f"stack-{s}-0"].label for s in ("train", "test")], 1)
    np.testing.assert_array_equal(label, own_stack.expected_label())
    assert cubes["stack-test-0"].fields is None and "cross" not in text


def test_a_field_may_cross_blocks_of_one_split(tmp_path):
    file = own_stack.write_npz(tmp_path)
    cubes, _ = ingest(file, tmp_path, split="blocks:5:train=1", **own_stack.EXTRA)
    assert len(cubes) == 6 and {c.info.split for c in cubes.values()} == {"train"}
    whole = np.full((own_stack.H, own_stack.W), 1, np.uint8)
    for value in cubes.values():
        affine = value.info.geobox.affine
        row = round((own_stack.AFFINE[5] - affine.f) / 10)
        col = round((affine.c - own_stack.AFFINE[2]) / 10)
        window = slice(row, row + value.info.shape[0]), slice(col, col + value.info.shape[1])
        whole[window] = value.label
        own_stack.assert_pixels(value, own_stack.s1_db()[:, *window], own_stack.s2()[:, *window])
    np.testing.assert_array_equal(whole, own_stack.expected_label())


def test_blocks_without_any_value_are_left_out(tmp_path):
    s1, s2 = own_stack.s1_db(), own_stack.s2()
    s1[:, :6, :6], s2[:, :6, :6] = np.nan, np.nan
    file = own_stack.write_npz(tmp_path, s1_db=s1, s2=s2)
    cubes, text = ingest(file, tmp_path, split="blocks:6:train=1")
    assert len(cubes) == 5 and "stack-r0-c0" not in cubes
    assert "stack-r0-c0: no valid value of S1 or S2, left out" in text
    assert "no block was drawn for validation, test" in text


@pytest.mark.parametrize("split, cols", [("columns:train=0-4,test=5-14", 5), ("train", 15)])
def test_a_part_without_any_value_is_refused(tmp_path, split, cols):
    s1, s2 = own_stack.s1_db(), own_stack.s2()
    s1[:, :, :cols], s2[:, :, :cols] = np.nan, np.nan
    file = own_stack.write_npz(tmp_path, s1_db=s1, s2=s2)
    refuses(file, tmp_path, "found none of S1 or S2", split=split)
    assert not (tmp_path / "cubes").exists()


def test_a_split_whose_fields_all_lie_elsewhere_is_told(tmp_path):
    # One component wall to wall, most of it in training: blocks of 5 give other splits, too.
    file = own_stack.write_npz(tmp_path, label=np.full_like(own_stack.label(), 2))
    split = "blocks:5:train=0.7,test=0.3:seed=11"
    cubes, text = ingest(file, tmp_path, split=split)
    assert {made.info.split for made in cubes.values()} == {"train", "test"}
    assert (
        "test has no labelled pixel: every field there lies mostly in another split; for a "
        "wall-to-wall map add --fields none"
    ) in text
    assert "train has no labelled" not in text
    _, text = ingest(file, tmp_path, split=split, fields="none", overwrite=True)
    assert "has no labelled pixel" not in text


def test_a_part_without_annotation_is_refused(tmp_path):
    label = own_stack.label()
    label[:, :8] = 255
    file = own_stack.write_npz(tmp_path, label=label)
    flags = {"split": "columns:test=0-7,train=8-14"}
    refuses(file, tmp_path, "expected annotated pixels in every part, found none in", **flags)
    label[:] = 255
    label[1:5, 7:14] = 2
    file = own_stack.write_npz(tmp_path, label=label)
    refuses(file, tmp_path, "its fields lie mostly in another split (--fields none", **flags)
    assert not (tmp_path / "cubes").exists()


# What a cube records of itself --------------------------------------------------------------------


def test_a_cube_records_how_it_was_made(tmp_path):
    file = own_stack.write_npz(tmp_path)
    flags = {"harvest": ["maize=2022-06-01:2022-09-15"], "season": "2022", "name": "mine"}
    value = ingest(file, tmp_path, **flags, **own_stack.EXTRA)[0]["mine"]
    source = value.info.source
    assert (source["kind"], source["input"]) == ("ingest", "stack.npz")
    assert source["version"] == cropmap_jax.__version__
    assert source["options"]["harvest"] == flags["harvest"]
    assert source["options"]["none_of_these"] == ["Other"]
    assert len(source["sha256"]) == 64 and "clear_observations" not in source
    assert str(tmp_path) not in json.dumps(dict(value.info.source))
    assert value.info.season == "2022" and value.info.cube_id == "mine"
    (season,) = value.info.harvest["maize"]
    assert str(season.harvest_start) == "2022-09-15" and str(season.planting) == "2022-06-01"


def test_the_table_counts_pixels_and_missing_values(tmp_path):
    s2 = own_stack.s2()
    s2[0], s2[..., 7] = np.nan, np.nan
    file = own_stack.write_npz(tmp_path, s2=s2[..., :7], s2_bands=np.array(SENSORS["s2"].bands[:7]))
    _, text = ingest(file, tmp_path, **own_stack.EXTRA)
    header, row, *notes = text.splitlines()
    assert header.split()[:2] == ["cube", "split"]
    # A third of seven bands and all of three: (7 / 3 + 3) / 10 = 53 %.
    assert row.split()[:9] == ["stack", "train", "15", "x", "12", "3", "(month)", "0%", "53%"]
    # 10 x 5 maize, 2 x 4 x 6 wheat, the corner and all else; 15 + 12 - 1 in the last row or first
    # column.
    assert row.endswith("written  maize 50, spring_wheat 48, none_of_these 56, unknown 26")
    # What else is noted is of a ramp that is no ground, see `test_plausible`.
    assert notes[0] == "note: S2: B8A, B11, B12 absent from the input, missing in the cubes"
    assert all("stack.npz: s2: " in note and "s2_offset" in note for note in notes[1:])


def test_the_scene_classification_of_a_stack(tmp_path):
    scl = np.full((own_stack.T, own_stack.H, own_stack.W, 1), 4, np.float32)
    scl[1, 2, 3], scl[2, 5, 6] = 8, 7
    names = np.array([*SENSORS["s2"].bands, "SCL"])
    s2 = np.concatenate([own_stack.s2(), scl], -1)
    file = own_stack.write_npz(tmp_path, s2=s2, s2_bands=names)
    want = own_stack.s2()
    own_stack.assert_pixels(ingest(file, tmp_path)[0]["stack"], own_stack.s1_db(), want)
    want[1, 2, 3] = np.nan
    masked, _ = ingest(file, tmp_path, scl_classes=SCL_CLOUDY, overwrite=True)
    own_stack.assert_pixels(masked["stack"], own_stack.s1_db(), want)
    file = own_stack.write_npz(tmp_path)
    refuses(file, tmp_path, "--scl_mask: expected a band SCL of S2", scl_classes=["3"])
    refuses(file, tmp_path, "--scl_classes: expected numbers 0-11, found x", scl_classes=["x"])


# Again, and in the way ----------------------------------------------------------------------------


def test_what_is_there_is_left_alone_and_what_is_not_is_made(tmp_path):
    file = own_stack.write_npz(tmp_path)
    flags = {"split": "columns:train=0-9,test=10-14", "months": True}
    cubes, _ = ingest(file, tmp_path, **flags)
    before = stamps(tmp_path)
    assert cubes["stack-test-0"].info.source["clear_observations"]
    _, text = ingest(file, tmp_path, **flags)
    assert stamps(tmp_path) == before and text.count("already there") == 2
    for path in (tmp_path / "cubes" / "stack-test-0").iterdir():
        path.unlink()
    (tmp_path / "cubes" / "stack-test-0").rmdir()
    again, text = ingest(file, tmp_path, **flags)
    assert text.count("already there") == 1 and text.count("written") == 1
    assert {f: t for f, t in stamps(tmp_path).items() if "train" in f.parent.name} == {
        f: t for f, t in before.items() if "train" in f.parent.name
    }
    np.testing.assert_array_equal(again["stack-test-0"].s2, cubes["stack-test-0"].s2)


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"unknown": ["Cloud"]}, "--unknown was [], is ['Cloud']"),
        ({"harvest": ["*=2022-08-01"]}, "--harvest was [], is ['*=2022-08-01']"),
        ({"season": "2030"}, "--season was '', is '2030'"),
        ({"s2_offset": 0.1}, "--s2_offset was 0.0, is 0.1"),
    ],
)
def test_another_source_is_not_overwritten_unless_requested(tmp_path, flags, message):
    file = own_stack.write_npz(tmp_path)
    ingest(file, tmp_path)
    before = stamps(tmp_path)
    refuses(
        file,
        tmp_path,
        f"exists already, made from other input or settings ({message}); expected",
        **flags,
    )
    assert stamps(tmp_path) == before
    cubes, text = ingest(file, tmp_path, overwrite=True, **flags)
    assert "written" in text and stamps(tmp_path).keys() == before.keys()


def test_other_pixels_are_not_overwritten_unless_requested(tmp_path):
    ingest(own_stack.write_npz(tmp_path), tmp_path)
    s2 = own_stack.s2()
    s2[0, 0, 0, 0] = 0.7
    file = own_stack.write_npz(tmp_path, s2=s2)
    refuses(file, tmp_path, "made from other input or settings (sha256 was ")
    got, _ = ingest(file, tmp_path, overwrite=True)
    own_stack.assert_pixels(got["stack"], own_stack.s1_db(), s2)


def test_a_legend_file_with_other_classes_is_another_source(tmp_path):
    file = own_stack.write_npz(tmp_path, class_names=None, label=own_stack.label() % 253 % 3)
    legend = own_stack.write_legend(tmp_path)
    ingest(file, tmp_path, legend=str(legend))
    legend.write_text(legend.read_text().replace("maize", "oats"))
    refuses(
        file, tmp_path, "made from other input or settings (its legend differs)", legend=str(legend)
    )


def test_folders_in_the_way(tmp_path):
    file = own_stack.write_npz(tmp_path)
    (tmp_path / "cubes" / "stack").mkdir(parents=True)
    refuses(file, tmp_path, "stack is there and is not just a cube (found nothing)")
    (tmp_path / "cubes" / "stack").rmdir()
    (tmp_path / "cubes").rmdir()
    (tmp_path / "cubes").write_text("")
    refuses(file, tmp_path, "expected a folder, found a file")
    refuses(file, tmp_path, "--name: expected letters, digits", name="a/b")
    refuses(file, tmp_path, "--name: expected at most 150 letters, found 300", name="a" * 300)


def test_ground_of_another_cube_is_refused_before_writing(tmp_path):
    file = own_stack.write_npz(tmp_path)
    ingest(file, tmp_path, name="first")
    before = stamps(tmp_path)
    refuses(file, tmp_path, "found first, which second would overlap; remove it", name="second")
    refuses(file, tmp_path, "is in two splits, train and test", name="b", split="test", season="x")
    assert stamps(tmp_path) == before
    next_to_it = np.array(own_stack.AFFINE) + [0, 0, 10 * own_stack.W, 0, 0, 0]
    file = own_stack.write_npz(tmp_path, transform=next_to_it)
    cubes, _ = ingest(file, tmp_path, name="second")
    assert list(cubes) == ["first", "second"]
    file = own_stack.write_npz(tmp_path)
    cubes, _ = ingest(file, tmp_path, name="third", season="2030")
    assert list(cubes) == ["first", "second", "third"]


def test_every_part_is_checked_before_the_first_is_written(tmp_path):
    s2 = own_stack.s2()
    s2[2, 3, 14, 0] = np.inf
    file = own_stack.write_npz(tmp_path, s2=s2)
    flags = {"split": "columns:train=0-9,test=10-14"}
    refuses(file, tmp_path, "s2: expected finite values, or NaN where missing, found 1", **flags)
    assert not (tmp_path / "cubes").exists()


# Real data ----------------------------------------------------------------------------------------


def test_belgium_as_it_is(tmp_path, real_dir):
    file = real_dir / "cubes" / "belgium_2021_worldcereal.npz"
    cubes, text = ingest(
        file, tmp_path, name="belgium", none_of_these=["not_temporary_crop"], fields="none"
    )
    data, got = np.load(file), cubes["belgium"]
    own_stack.assert_pixels(got, data["s1_db"], data["s2"])
    assert got.info.legend.names == tuple(data["class_names"][1:])
    assert got.info.season == "2020-2022" and len(got.info.periods) == 20
    want = np.array([NONE_OF_THESE, 0, 1, 2, 3] + [IGNORE] * 251)
    np.testing.assert_array_equal(got.label, want[data["label"]])
    assert "maize 267, none_of_these 1729, unknown 357" in text


def test_tervuren_by_months_and_columns(tmp_path, real_dir):
    file = real_dir / "cubes" / "tervuren_2022_potato.npz"
    cubes, text = ingest(
        file,
        tmp_path,
        name="tervuren",
        months=True,
        split="columns:train=0-52,test=53-62",
        none_of_these=["other_or_unmapped"],
        harvest=["potato=2022-10-01"],
    )
    data = np.load(file)
    whole = {
        key: np.concatenate([getattr(cubes[f"tervuren-{s}-0"], key) for s in ("train", "test")], -2)
        for key in ("s1", "s2")
    }
    for month in (0, 6, 11):
        dekads = slice(3 * month, 3 * month + 3)
        with quiet():
            power = np.nanmean(10 ** (data["s1_db"][dekads].astype(float) / 10), axis=0)
            median = np.nanmedian(data["s2"][dekads].astype(float), axis=0)
        np.testing.assert_allclose(whole["s1"][month], 10 * np.log10(power), atol=0.0052)
        np.testing.assert_allclose(whole["s2"][month], median, atol=0.000052)
    # 572 and 168 potato pixels lie on either side; one field reaches over the edge by 9.
    label = {s: cubes[f"tervuren-{s}-0"].label for s in ("train", "test")}
    assert (label["train"] == 0).sum() == 572
    assert (label["test"] == 0).sum() == 159 and (label["test"] == IGNORE).sum() == 9
    assert str(cubes["tervuren-test-0"].info.harvest["potato"][0].harvest_start) == "2022-10-01"
    assert cubes["tervuren-test-0"].info.geobox.affine.c == 609430 + 530


def test_scenes_with_dates_of_their_own(tmp_path, real_dir):
    folder = tmp_path / "scene"
    folder.mkdir()
    for sensor, name in (("s1", "sentinel1_grd"), ("s2", "sentinel2_l2a")):
        os.symlink(real_dir / "scenes" / f"cdse_{name}.nc", folder / f"{sensor}.nc")
    flags = {"s1_unit": "dn", "months": True, "legend": "isrc"}
    cubes, text = ingest(folder, tmp_path, scl_classes=SCL_CLOUDY, **flags)
    got = cubes["scene"]
    assert [p.name for p in got.info.periods] == ["2023-04-01"]
    with xr.open_dataset(folder / "s1.nc") as s1, xr.open_dataset(folder / "s2.nc") as s2:
        # dB = 20 log10(DN) - 83, so power = DN^2 / 10^8.3.
        power = (s1["S1-SIGMA0-VH"].values.astype(float) ** 2 / 10**8.3).mean(0)
        np.testing.assert_allclose(got.s1[0, ..., 1], 10 * np.log10(power), atol=0.0052)
        red = s2["S2-L2A-B04"].values / 10000.0
        red[np.isin(s2["S2-L2A-SCL"].values, (3, 8, 9, 10, 11))] = np.nan
        with quiet():
            np.testing.assert_allclose(got.s2[0, ..., 2], np.nanmedian(red, 0), atol=0.000052)
        clear = np.isfinite(red).sum(0).mean()
        assert got.info.source["clear_observations"] == {"s1": [10.0], "s2": [round(clear, 2)]}
        assert got.info.geobox.affine.c == s1.x.values[0] - 5
        assert got.info.geobox.affine.f == s1.y.values[0] + 5
    absent = [SENSORS["s2"].bands.index(b) for b in ("B2", "B3", "B5", "B6", "B7", "B8A", "B12")]
    assert np.isnan(got.s2[..., absent]).all()
    assert "not used: S2-L2A-B01, S2-L2A-AOT" in text
    refuses(folder, tmp_path, "found single days; --months", **flags | {"months": False})


def test_counts_agree_with_composites(tmp_path):
    """`clear_observations` are means of the counts that `composite` returns."""
    s2 = own_stack.s2(6)
    s2[1, :6] = np.nan
    got = ingest(spans_npz(tmp_path, OVERLAPPING, s2=s2), tmp_path, months=True)[0]["stack"]
    spans = [periods.Period(*days(*pair)) for pair in OVERLAPPING]
    _, counts = composites.composite(s2, spans, got.info.periods, SENSORS["s2"])
    assert got.info.source["clear_observations"]["s2"] == counts.mean((1, 2)).tolist()


# Notes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixel, noted", [(10.0, False), (20.0, True), (30.0, True)])
def test_pixels_that_do_not_measure_10_m_are_noted(tmp_path, pixel, noted):
    affine = np.array([pixel, 0, 600000.0, 0, -pixel, 5600000.0])
    _, text = ingest(own_stack.write_npz(tmp_path, transform=affine), tmp_path)
    assert (f"note: pixels measure {pixel:g} m" in text) == noted


def test_ratios_of_bands_are_listed_and_not_taken(tmp_path):
    s1 = own_stack.s1_db()
    more = np.concatenate([s1[..., :1], s1[..., :1] - s1[..., 1:]], -1)
    file = own_stack.write_npz(tmp_path, s1_db=more, s1_bands=np.array(["VV", "VV_VH"]))
    cubes, text = ingest(file, tmp_path)
    assert np.isnan(cubes["stack"].s1[..., 1]).all() and "s1_db: not used: VV_VH" in text
    np.testing.assert_allclose(cubes["stack"].s1[..., 0], s1[..., 0], atol=0.0051)


def test_an_input_that_is_all_fill_says_so(tmp_path):
    file = own_stack.write_npz(tmp_path, s1_db=None, s2=np.full((3, 12, 15, 10), -9999, np.int16))
    refuses(file, tmp_path, "found none of S1 or S2 for stack (fill values: S2 -9999 (5400))")


def test_the_name_of_an_input_in_another_script(tmp_path):
    first = own_stack.write_npz(tmp_path, "مزرعه الف.npz")
    other = own_stack.write_npz(
        tmp_path, "مزرعه ب.npz", transform=np.array([10, 0, 7e5, 0, -10, 56e5])
    )
    ingest(first, tmp_path)
    cubes, _ = ingest(other, tmp_path)
    assert len(cubes) == 2 and all(name.isascii() for name in cubes)
