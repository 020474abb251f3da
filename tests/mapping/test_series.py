"""A series of maps: planted changes found again, months appended, a table of parcels, STAC."""

import datetime as dt
import json
import re
import shutil

import geopandas
import making
import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio
import shapely
from inference.stand_ins import StandIn
from mapping import small_maps
from mapping.small_maps import read

from cropmap_jax.geo import periods
from cropmap_jax.geo.sensors import SENSORS
from cropmap_jax.mapping import crop_map, finished, series
from cropmap_jax.viewer.shown import Shown

FIRST, LAST = "2022-06-01", "2022-09-01"
DATES = tuple(dt.date(2022, month, 1) for month in (6, 7, 8, 9))
SHAPE = (64, 128)
WINDOW = 2
"""Periods that the runs of `small_maps` see."""


def planted(seed: int = 0) -> np.ndarray:
    """Class as of each date, [dates, H, W]: patches of 8 pixels, each of which may change."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 3, (len(DATES), SHAPE[0] // 8, SHAPE[1] // 8))
    for n in range(1, len(DATES)):
        stays = rng.random(small.shape[1:]) < 0.7
        small[n][stays] = small[n - 1][stays]
    return small.repeat(8, 1).repeat(8, 2)


def ground(classes=None, months=9):
    """The class as of a date is the backscatter of the period that ends then, in dB / 100."""
    made = making.make_cube("whole", SHAPE, fields=False, missing=False)
    classes = planted() if classes is None else classes
    made.s1[-len(DATES) :, ..., 0] = classes / SENSORS["s1"].scale
    # Nothing is seen in June and July of some ground, and in April and May of other.
    for array in (made.s1, made.s2):
        array[6:8, :4, :8] = np.nan
        array[4:6, :4, 8:16] = np.nan
    pixels = {name: values[:months] for name, values in made.pixels.items()}
    return small_maps.changed(
        type(made)(made.info, pixels, made.label), periods=made.info.periods[:months]
    )


def expected_maps() -> np.ndarray:
    maps = planted().astype(np.uint8)
    maps[1, :4, :8] = 254  # the last of two periods is missing, and so what is said
    maps[2, :4, :8] = 255
    maps[0, :4, 8:16] = 255
    return maps


def say(examples):
    """The class of the last period as its probability."""
    last = [e["pixels"]["s1"][-1, ..., 0].astype(int) for e in examples]
    return [np.where(one[..., None] == np.arange(3), 0.9, 0.05) for one in last]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return small_maps.save_checkpoint(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    return write_cubes(tmp_path_factory.mktemp("cubes"))


def write_cubes(folder, classes=None, months=9):
    return small_maps.write(folder, *small_maps.quarters(ground(classes, months), 64))


def make(workdir, cubes, out, first=FIRST, function=say, **options):
    """Runs all of it; the result, and which dates had how many parts to predict."""
    settings = {"as_of": LAST, "batch_size": 2} | options
    chosen = crop_map.Options(workdir=str(workdir), cubes=str(cubes), out=str(out), **settings)
    parts = {}
    with series.Series(chosen, first, StandIn(function, halo=3)) as made:
        for date in made.dates:
            with made.maker(date) as maker:
                parts[date.isoformat()] = maker.parts
                for _ in maker.run():
                    pass
                maker.finish()
        return made, made.finish(), parts


@pytest.fixture(scope="module")
def made(workdir, cubes, tmp_path_factory):
    out = tmp_path_factory.mktemp("series") / "map"
    return out, *make(workdir, cubes, out)


def files_of(out):
    kinds = (".tif", ".vrt", ".csv", ".png", ".qml", ".json")
    return {
        str(f.relative_to(out)): f.read_bytes()
        for f in sorted(out.rglob("*"))
        if f.suffix in kinds and not f.name.startswith(".")
    }


def test_planted_changes_are_found_on_their_dates(made):
    out, _, result, parts = made
    maps = expected_maps()
    for n, date in enumerate(DATES):
        np.testing.assert_array_equal(read(out / f"{date}" / "crop_32639.vrt"), maps[n])
    days = read(out / "since" / "since_32639.vrt")
    held = np.zeros(SHAPE, int)
    for row, col in np.ndindex(*SHAPE):
        own = maps[:, row, col]
        n = min(n for n in range(4) if (own[n:] == own[3]).all())
        held[row, col] = periods.to_day(DATES[n])
    np.testing.assert_array_equal(days, held)
    assert len(np.unique(days)) == 4 and list(parts.values()) == [2] * 4
    assert (days[:4, :8] == periods.to_day(DATES[3])).all()
    with rasterio.open(result.since[0]) as raster:
        assert (raster.nodata, raster.dtypes, raster.units) == (
            0, ("uint16",), ("days since 1970-01-01",),
        )  # fmt: skip
    rows = (out / "since" / "since.csv").read_text().splitlines()
    cells = rows[1].split(",")
    assert rows[0] == "class,title,hectares,2022-06-01,2022-07-01,2022-08-01,2022-09-01"
    for n in range(4):
        here = (days == periods.to_day(DATES[n])) & (maps[3] == 0)
        assert float(cells[3 + n]) == pytest.approx(here.sum() / 100)
    assert "by 2022-06-01" in result.table and result.fields is None


def test_what_a_series_consists_of(made):
    out, *_ = made
    assert small_maps.shown(out) == [
        *(f"{d}" for d in DATES), "collection.json", "items", "series.json", "since",
    ]  # fmt: skip
    assert small_maps.shown(out / "since") == [
        "c00", "c01", "since.csv", "since_32639.png", "since_32639.qml", "since_32639.vrt",
    ]  # fmt: skip
    record = json.loads((out / "series.json").read_text())
    assert record["format"] == "cropmap_jax map series" and record["version"] == 1
    assert record["dates"] == [f"{d}" for d in DATES]
    assert record["maps"] == {f"{d}": f"{d}" for d in DATES}
    assert record["since"] == {"32639": "since/since_32639.vrt"}
    style = (out / "since" / "since_32639.qml").read_text()
    assert f'value="{periods.to_day(DATES[1])}"' in style and "since 2022-07-01" in style


def test_each_map_is_the_one_that_predict_makes_alone(workdir, cubes, made, tmp_path):
    small_maps.make_map(workdir, cubes, tmp_path, StandIn(say, halo=3).predict, as_of="2022-08-01")
    alone, own = files_of(tmp_path), files_of(made[0] / "2022-08-01")
    differ = {name for name in alone if alone[name] != own[name]}
    assert alone.keys() == own.keys()
    assert {name for name in differ if not name.endswith("map.json")} == set()


def test_an_appended_month_adds_one_map_and_leaves_the_others(workdir, made, tmp_path):
    cubes = write_cubes(tmp_path / "cubes", months=8)
    out = tmp_path / "map"
    early, _, parts = make(workdir, cubes, out, as_of="2022-08-01")
    assert list(parts) == ["2022-06-01", "2022-07-01", "2022-08-01"] and early.notes == []
    before = {f: f.stat().st_mtime_ns for f in out.glob("2022-0*/c*/*")}
    write_cubes(cubes, months=9)
    _, _, parts = make(workdir, cubes, out)
    assert parts == {"2022-06-01": 0, "2022-07-01": 0, "2022-08-01": 0, "2022-09-01": 2}
    assert {f: f.stat().st_mtime_ns for f in before} == before
    assert files_of(out) == files_of(made[0])


def test_what_a_changed_cube_decides_is_recomputed_with_its_neighbours(workdir, made, tmp_path):
    out = shutil.copytree(made[0], tmp_path / "map")
    other = planted()
    other[1, 40, 100:] = (other[1, 40, 100:] + 1) % 3  # June, in the eastern cube
    cubes = write_cubes(tmp_path / "cubes", other)
    _, _, parts = make(workdir, cubes, out)
    # June is in the windows of two dates; the western cube lies within the halo of the eastern.
    assert parts == {"2022-06-01": 0, "2022-07-01": 2, "2022-08-01": 2, "2022-09-01": 0}
    make(workdir, cubes, tmp_path / "fresh")
    assert files_of(out) == files_of(tmp_path / "fresh")
    days = read(out / "since" / "since_32639.vrt")
    assert (days != read(made[0] / "since" / "since_32639.vrt")).any()


def test_labels_and_sources_of_cubes_change_no_map(workdir, made, tmp_path):
    out = shutil.copytree(made[0], tmp_path / "map")
    whole = ground()
    whole = small_maps.changed(whole, source={"made_by": "somebody else"}, split="test")
    whole.label[:] = 0
    cubes = small_maps.write(tmp_path / "cubes", *small_maps.quarters(whole, 64))
    assert set(make(workdir, cubes, out)[2].values()) == {0}


def test_an_interrupted_series_resumes(workdir, cubes, made, tmp_path):
    left = [3]

    def fragile(examples):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return say(examples)

    out = tmp_path / "map"
    with pytest.raises(KeyboardInterrupt):
        make(workdir, cubes, out, function=fragile, batch_size=1)
    assert not (out / "series.json").exists() and (out / "2022-06-01" / "summary.csv").exists()
    _, _, parts = make(workdir, cubes, out, batch_size=1)
    assert parts["2022-06-01"] == 0 and parts["2022-09-01"] == 2
    assert files_of(out) == files_of(made[0])


def test_a_series_is_listed_again_when_all_of_it_is_there(
    workdir, made, cubes, tmp_path, monkeypatch
):
    out = tmp_path / "map"
    make(workdir, cubes, out, as_of="2022-08-01")
    calls, real = [], series.since.make_cube

    def killed(*args):
        if calls:
            raise KeyboardInterrupt
        calls.append(real(*args))
        return calls[0]

    with monkeypatch.context() as patched:
        patched.setattr(series.since, "make_cube", killed)
        with pytest.raises(KeyboardInterrupt):
            make(workdir, cubes, out)
    assert calls and not (out / "series.json").exists()
    make(workdir, cubes, out)
    assert files_of(out) == files_of(made[0])


def test_parcels_get_the_date_of_their_class(workdir, cubes, tmp_path):
    x, y = small_maps.CORNER
    at = [(r, c) for r in range(0, 64, 8) for c in range(16, 128, 8)]
    boxes = [shapely.box(x + 10 * c, y - 10 * r - 80, x + 10 * c + 80, y - 10 * r) for r, c in at]
    frame = geopandas.GeoDataFrame({"map_crop": "mine"}, geometry=boxes, crs=making.EPSG,
                                   index=range(len(at)))  # fmt: skip
    frame.loc[len(at)] = ["far", shapely.box(x - 9e4, y, x - 8e4, y + 100)]
    frame.to_file(tmp_path / "mine.gpkg")
    out = tmp_path / "map"
    _, result, _ = make(workdir, cubes, out, fields=str(tmp_path / "mine.gpkg"))
    assert result.fields == out / "since" / "fields.gpkg"
    table = geopandas.read_file(result.fields)
    names, maps = making.LEGEND.names, planted()
    for (row, col), found in zip(at, table.itertuples(), strict=False):
        own = maps[:, row, col]
        n = min(n for n in range(4) if (own[n:] == own[3]).all())
        assert (found.map_crop, found.map_crop_2) == ("mine", names[own[3]])
        assert found.map_since == f"{DATES[n]}"
        assert found.map_changes == (own[1:] != own[:-1]).sum()
        before = None if pd.isna(found.map_before) else found.map_before
        assert before == (names[own[n - 1]] if n else None)
    last = table.iloc[-1]
    assert pd.isna(last.map_since) and last.map_remark == "outside the map"
    record = json.loads((out / "series.json").read_text())
    assert record["since_fields"] == "since/fields.gpkg"
    assert len(geopandas.read_file(out / "2022-09-01" / "fields.gpkg").columns) == (
        len(table.columns) - 3
    )


def test_the_collection_is_stac_and_its_links_are_relative(made):
    out, *_ = made
    for file in (out / "collection.json", *(out / "items").iterdir()):
        value = json.loads(file.read_text())
        pystac.validation.validate_dict(value | {"stac_extensions": []})
        hrefs = [link["href"] for link in value["links"]]
        hrefs += [asset["href"] for asset in value["assets"].values()]
        assert hrefs and all(href.startswith(("./", "../")) for href in hrefs)
        assert all((file.parent / href).exists() for href in hrefs)
    collection = pystac.Collection.from_file(str(out / "collection.json"))
    items = list(collection.get_items())
    assert [item.id for item in items] == [f"{d}" for d in DATES]
    assert [item.datetime.date() for item in items] == list(DATES)
    assert all(set(item.assets) == {"crops", "confidence"} for item in items)
    classes = items[0].assets["crops"].extra_fields["classification:classes"]
    assert [row["value"] for row in classes] == [0, 1, 2, 254, 255]
    assert collection.assets["since_32639"].href.endswith("since/since_32639.vrt")


def test_odc_stac_opens_the_collection_as_a_time_series(made):
    stac = pytest.importorskip("odc.stac", reason="needs odc-stac (extra: stac)")
    out, *_ = made
    collection = pystac.Collection.from_file(str(out / "collection.json"))
    loaded = stac.load(collection.get_items(), bands=["crops", "confidence"])
    assert [str(t)[:10] for t in loaded.time.values] == [f"{d}" for d in DATES]
    assert loaded.crops.dtype == np.uint8 and loaded.crops.nodata == 255
    np.testing.assert_array_equal(loaded.crops.values, expected_maps())
    for n, date in enumerate(DATES):
        shown = read(out / f"{date}" / "confidence_32639.vrt")
        np.testing.assert_array_equal(loaded.confidence.values[n], shown)
    x, y = small_maps.CORNER
    assert (loaded.x.values[0], loaded.y.values[0]) == (x + 5, y - 5)


def test_a_series_over_two_zones_has_rasters_and_items_of_each(workdir, tmp_path):
    west, east = small_maps.quarters(ground(), 64)
    east = small_maps.moved(east, epsg=32640)
    out = tmp_path / "map"
    _, result, _ = make(workdir, small_maps.write(tmp_path / "cubes", west, east), out, "2")
    record = json.loads((out / "series.json").read_text())
    assert record["since"] == {z: f"since/since_{z}.vrt" for z in ("32639", "32640")}
    maps = expected_maps()
    for zone, cols in (("32639", slice(0, 64)), ("32640", slice(64, 128))):
        for date, image in zip(DATES[2:], maps[2:, :, cols], strict=True):
            found = json.loads((out / "items" / f"{date}_{zone}.json").read_text())
            assert found["properties"]["proj:code"] == f"EPSG:{zone}"
            file = out / "items" / found["assets"]["crops"]["href"]
            np.testing.assert_array_equal(read(file), image)
        held = np.where(maps[2, :, cols] == maps[3, :, cols], *map(periods.to_day, DATES[2:]))
        np.testing.assert_array_equal(read(out / record["since"][zone]), held)
    shown = Shown(out)
    assert shown.dates == record["dates"] and len(shown.map(1).cubes) == 2
    assert all(shown.since_file(name) is not None for name in ("c00", "c01"))
    assert len(result.since) == 2


def test_the_dates_that_are_mapped(workdir, cubes, tmp_path):
    def dates(first="", **options):
        settings = {"as_of": LAST, "out": str(tmp_path / "map")} | options
        chosen = crop_map.Options(workdir=str(workdir), cubes=str(cubes), **settings)
        found = series.Series(chosen, first, StandIn(say))
        return [f"{d}" for d in found.dates], found.notes

    # Wheat has no date of planting: from the end of December on.
    assert dates()[0] == [f"2022-{m:02d}-01" for m in range(1, 10)]
    assert dates("3")[0] == ["2022-07-01", "2022-08-01", "2022-09-01"]
    assert dates("2022-07-02")[0] == ["2022-08-01", "2022-09-01"]
    found, notes = dates("2", as_of="2022-08-20")
    assert found == ["2022-07-01", "2022-08-01"]
    assert (
        "the last map is as of 2022-08-01, when the last period by --as_of 2022-08-20" in notes[0]
    )


def test_no_date_is_mapped_before_anything_is_planted():
    made = making.make_cube("c", 8, fields=False)
    seasons = {n: made.info.harvest["maize"] for n in made.info.harvest}  # planted on 4 May
    info = small_maps.changed(made, harvest=seasons).info
    found = series.find_dates([info], small_maps.make_recipe(), dt.date(2022, 9, 1))
    assert found[0] == dt.date(2022, 6, 1) and len(found) == 4
    with pytest.raises(ValueError, match="cube c: expected the end of a period from planting"):
        series.find_dates([info], small_maps.make_recipe(), dt.date(2022, 5, 3))


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("2022-10-01", "--series_from: expected a date by --as_of 2022-09-01, found 2022-10-01"),
        ("0", "--series_from: expected a date, or 1 date or more, found '0'"),
        ("spring", "--series_from: expected a date like 2022-09-01, found 'spring'"),
    ],
)
def test_a_first_date_that_cannot_be(workdir, cubes, tmp_path, first, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        make(workdir, cubes, tmp_path / "map", first)
    assert not (tmp_path / "map").exists()


def test_a_map_and_a_series_do_not_share_a_folder(workdir, cubes, made, tmp_path):
    small_maps.make_map(workdir, cubes, tmp_path / "map", say)
    before = files_of(tmp_path / "map")
    with pytest.raises(ValueError, match="expected the folder of a series, .* found a map"):
        make(workdir, cubes, tmp_path / "map")
    assert files_of(tmp_path / "map") == before
    with pytest.raises(ValueError, match="found a series of maps; give --series"):
        series.check_no_series(made[0])
    series.check_no_series(tmp_path / "map")
    (tmp_path / "mine" / "since").mkdir(parents=True)
    with pytest.raises(ValueError, match="found since, which predict_series did not write"):
        make(workdir, cubes, tmp_path / "mine")


def test_other_settings_are_refused_and_maps_of_other_dates_are_named(
    workdir, cubes, made, tmp_path
):
    out = shutil.copytree(made[0], tmp_path / "map")
    with pytest.raises(ValueError, match=r"2022-06-01/c00/map.json.*threshold: was 0.5, now 0.6"):
        make(workdir, cubes, out, threshold=0.6)
    assert (out / "series.json").exists()
    found, _, _ = make(workdir, cubes, out, "2")
    assert "2 maps of an earlier run are not part of this series" in found.notes[0]
    assert json.loads((out / "series.json").read_text())["dates"] == ["2022-08-01", "2022-09-01"]
    assert sorted(p.name for p in (out / "items").iterdir()) == [
        "2022-08-01.json", "2022-09-01.json",
    ]  # fmt: skip


def test_another_date_into_a_map_points_to_the_series(workdir, cubes, tmp_path):
    small_maps.make_map(workdir, cubes, tmp_path, say)
    with pytest.raises(ValueError, match=r"another --out \(a map per date: --series\)"):
        small_maps.make_map(workdir, cubes, tmp_path, say, as_of="2022-07-01")
    assert finished.read_metadata(tmp_path / "c00")["settings"]["as_of"] == small_maps.AS_OF
