"""The original system's regions on made-up field data: every figure worked out by hand."""

import datetime as dt
import json
import pathlib
import runpy
import subprocess
import sys

import geopandas
import numpy as np
import openpyxl
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.seed import original_rois, original_table
from cropmap_jax.ground_truth import settings
from cropmap_jax.ground_truth.audit_log import AuditLog
from cropmap_jax.ground_truth.polygons import project
from cropmap_jax.ground_truth.seasons import MonthDay

D = dt.date
YEAR = "1400-1401"
NUMBERS = original_rois.Numbers()
CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = CHECKOUT / "benchmarks" / "seed" / "prepare_isrc.py"
# South-west corner of everything, in EPSG:3857: 51.1 E, 31.9 N.
X0, Y0 = 5_690_000, 3_750_000
TITLES = ("Province", "Planting Start", "Planting End", "Harvest Start", "Harvest End")
COTTON = ("02-15", "03-31", "07-15", "09-30")
SPRING = ("08-01", "09-30", "01-01", "02-31")
WINTER = ("07-01", "08-20", "11-11", "01-31")
BEETS = ("12-11", "02-10", "07-01", "09-10")


def days(*texts: str) -> tuple[MonthDay, ...]:
    return tuple(MonthDay(*map(int, text.split("-"))) for text in texts)


def square(x: float, y: float, side: float = 100, height: float = 0) -> shapely.Polygon:
    """A square or rectangle whose south-west corner is x, y metres of EPSG:3857 from the corner."""
    return shapely.box(X0 + x, Y0 + y, X0 + x + side, Y0 + y + (height or side))


def world(shapes) -> np.ndarray:
    return project(shapes, "EPSG:3857", "EPSG:4326")


def make_fields(*rows: tuple) -> geopandas.GeoDataFrame:
    """The table of fields from (crop, shape in EPSG:3857) or (crop, shape, changes)."""
    rows = [(*row, {})[:3] for row in rows]
    table = [
        {"field": i + 1, "layer": crop, "file": f"{crop}.shp", "row": i, "crop": crop, "sheets": "",
         "kind": shape.geom_type.lower(), "season": YEAR, "province": "Fars"} | changes
        for i, (crop, shape, changes) in enumerate(rows)
    ]  # fmt: skip
    shapes = world([row[1] for row in rows])
    return geopandas.GeoDataFrame(table, geometry=shapes, crs="EPSG:4326")


def make_settings(source: str = "field_data") -> settings.Settings:
    sheets = {
        "cotton": ["Cotton"], "onion": ["Onion_Spring", "Onion_Winter"],
        "sugarbeet": ["Beet_Spring", "Beet_Autumn"],
    }  # fmt: skip
    layers = {
        crop: {"files": f"{crop}.geojson", "season": YEAR, "crop": crop, "sheets": own}
        for crop, own in sheets.items()
    }
    layers["others"] = {"files": "others.geojson", "season": "1401-1402", "name_column": "name",
                        "names": {"fallow": "none_of_these", "beans": "unknown"}}  # fmt: skip
    return settings.read({
        "source": source, "legend": "isrc", "layers": layers,
        "calendar": {"file": "book.xlsx", "system": "jalali", "year_start": "07-01",
                     "columns": dict(zip(settings.COLUMNS, TITLES, strict=True))},
        "provinces": {"files": "provinces.geojson", "column": "name"},
    })  # fmt: skip


def make_outlines() -> geopandas.GeoDataFrame:
    """Fars to the west of x = 50 km, Yazd to the east, 100 km high."""
    shapes = world([square(-10_000, -10_000, 60_000, 1e5), square(50_000, -10_000, 60_000, 1e5)])
    return geopandas.GeoDataFrame({"province": ["Fars", "Yazd"]}, geometry=shapes, crs="EPSG:4326")


def make_row(sheet: str, texts: tuple, place: str = "fars") -> original_rois.Row:
    return original_rois.Row(sheet, place, days(*texts), f"book, {sheet}")


ROWS = [
    make_row("Cotton", COTTON), make_row("Onion_Spring", SPRING), make_row("Onion_Winter", WINTER),
    make_row("Onion_Winter", WINTER, "yazd"), make_row("Beet_Spring", BEETS),
    make_row("Beet_Autumn", ("07-01", "07-30", "03-11", "04-21")),
]  # fmt: skip


def make_rois(*rows: tuple, calendar=ROWS, log: AuditLog | None = None) -> geopandas.GeoDataFrame:
    return original_rois.make_rois(
        make_fields(*rows),
        make_outlines(),
        calendar,
        make_settings(),
        NUMBERS,
        log or AuditLog(),
    )


def corners(shape) -> list[float]:
    """Bounds in metres from the corner of everything."""
    return np.round(np.array(shape.bounds) - [X0, Y0, X0, Y0], 3).tolist()


# The rule of years. 1 Farvardin 1400 is 2021-03-21, 1 Farvardin 1401 is 2022-03-21; the first six
# months have 31 days, the next five 30.


@pytest.mark.parametrize(
    ("calendar", "planted", "harvested"),
    [
        # All in 1400: 31 Khordad is day 93, 15 Mehr is day 6 * 31 + 15 = 201.
        (COTTON, D(2021, 6, 21), D(2021, 10, 7)),
        # 30 Azar 1400 is day 186 + 90 = 276; the month falls from 9 to 1: 1 Farvardin 1401.
        (SPRING, D(2021, 12, 21), D(2022, 3, 21)),
        # All in 1400: 20 Aban is day 236, 11 Bahman is day 186 + 120 + 11 = 317.
        (WINTER, D(2021, 11, 11), D(2022, 1, 31)),
        # Falls while planting continues: 10 Ordibehesht is day 41, 1 Mehr is day 187 of 1401.
        (BEETS, D(2022, 4, 30), D(2022, 9, 23)),
        # Falls twice, but there is no third year: 1 Ordibehesht and 1 Farvardin 1401.
        (("12-01", "02-01", "01-01"), D(2022, 4, 21), D(2022, 3, 21)),
        # Days may fall, only months count.
        (("07-20", "07-01", "07-01"), D(2021, 9, 23), D(2021, 9, 23)),
    ],
)
def test_the_old_rule_of_years(calendar, planted, harvested):
    dates = original_rois.old_dates(days(*calendar[:3]), YEAR, "jalali", "here")
    assert dates[1:] == [planted, harvested]


@given(months=st.lists(st.integers(1, 12), min_size=3, max_size=3))
def test_old_dates_never_leave_the_two_years_and_never_return_to_the_first(months):
    dates = original_rois.old_dates([MonthDay(m, 1) for m in months], "2021-2022", "gregorian", "")
    years = [date.year for date in dates]
    assert years == sorted(years) and set(years) <= {2021, 2022}
    assert [date.month for date in dates] == months
    assert (years[-1] == 2021) == (months == sorted(months))


def test_a_day_that_the_year_lacks_is_reported_once_and_makes_no_region():
    # 1400 has 29 days in its last month.
    log, row = AuditLog(), make_row("Cotton", ("02-15", "03-31", "12-30", "12-30"))
    rois = make_rois(("cotton", square(0, 0)), ("cotton", square(9000, 0)), calendar=[row], log=log)
    assert rois.empty
    assert len(log.problems) == 1 and "book, Cotton" in log.problems[0]


# Clusters and boxes.


def test_centroids_up_to_2000_m_apart_share_a_region_and_chain():
    rois = make_rois(*(("cotton", square(x, 0)) for x in (0, 1990, 3980, 6000)))
    assert rois.fields.tolist() == [3, 1]
    # From 0 to 4080 m, and 100 m grown by 270 m on each side.
    assert corners(rois.geometry[0]) == [0, -270, 4080, 370]
    assert corners(rois.geometry[1]) == [5730, -270, 6370, 370]
    assert rois.crs == "EPSG:3857"


def test_box_of_a_large_field_is_not_grown():
    rois = make_rois(("cotton", square(0, 0, 700, 900)))
    assert corners(rois.geometry[0]) == [0, 0, 700, 900]


def test_each_crop_is_clustered_for_itself():
    rois = make_rois(
        ("cotton", square(0, 0)), ("onion", square(200, 0)), ("cotton", square(400, 0))
    )
    assert rois.groupby("crop").fields.unique().map(list).to_dict() == {"cotton": [2], "onion": [1]}


def test_parts_of_a_feature_are_one_feature():
    # Parts 8 km apart: their common centroid is 100 m from the field between them.
    parts = [("cotton", square(x, 0), {"row": 7}) for x in (0, 8000)]
    rois = make_rois(*parts, ("cotton", square(4000, 100)))
    assert rois.fields.tolist() == [2]
    assert corners(rois.geometry[0]) == [0, -220, 8100, 420]


def test_points_and_fields_without_a_class_make_no_region():
    rois = make_rois(
        ("cotton", square(0, 0)),
        ("cotton", shapely.Point(X0, Y0 + 9000)),
        ("none_of_these", square(5000, 0)),
        ("unknown", square(9000, 0)),
    )
    assert len(rois) == 1


# Provinces and calendars.


def test_province_of_a_box_on_a_border_is_that_of_its_larger_part():
    boxes = [square(x, 0, 640) for x in (49_000, 49_600, 49_720, 200_000)]
    found = original_rois.find_provinces(
        geopandas.GeoSeries(boxes, crs="EPSG:3857"), make_outlines()
    )
    assert found == ["Fars", "Fars", "Yazd", ""]


def test_province_that_holds_a_box_wins_over_one_that_cuts_it():
    outlines = make_outlines()
    outlines.loc[0, "geometry"] = shapely.union(*outlines.geometry[:2])
    outlines.loc[1, "geometry"] = world([square(100, -1000, 9000)])[0]
    boxes = geopandas.GeoSeries([square(0, 0, 640)], crs="EPSG:3857")
    assert original_rois.find_provinces(boxes, outlines) == ["Fars"]


def test_every_dated_calendar_of_the_province_makes_a_region():
    log = AuditLog()
    rois = make_rois(
        ("onion", square(0, 0)),
        ("onion", square(60_000, 0)),
        ("cotton", square(60_000, 0)),
        ("onion", square(200_000, 0)),
        log=log,
    )
    keys = ["roi", "cluster", "province", "sheet", "harvest_date"]
    assert rois[keys].values.tolist() == [
        [1, 1, "Fars", "Onion_Spring", D(2022, 3, 21)],
        [2, 1, "Fars", "Onion_Winter", D(2022, 1, 31)],
        [3, 2, "Yazd", "Onion_Winter", D(2022, 1, 31)],
    ]
    assert dict(log.counts) == {
        "original: clusters onion": 3,
        "original: clusters onion outside all provinces": 1,
        "original: clusters cotton": 1,
        "original: clusters cotton without a dated calendar": 1,
    }


def test_an_attribute_selects_the_sheet_and_the_fields_that_are_clustered():
    rois = make_rois(
        ("sugarbeet", square(0, 0), {"sheets": "Beet_Spring"}),
        ("sugarbeet", square(200, 0), {"sheets": "Beet_Autumn"}),
        ("sugarbeet", square(400, 0), {"sheets": "Beet_Spring"}),
    )
    found = rois[["roi", "cluster", "sheet", "fields"]].values.tolist()
    assert found == [[1, 1, "Beet_Spring", 2], [2, 2, "Beet_Autumn", 1]]


# What is counted.


def test_conflicting_dates_are_of_one_cluster():
    rois = make_rois(("onion", square(0, 0)), ("onion", square(60_000, 0)))
    assert original_table.conflicting(rois).tolist() == [True, True, False]


def test_annotated_share_counts_ground_once_and_only_the_regions_crop():
    rows = [
        ("cotton", square(0, 0)),
        ("cotton", square(50, 0)),  # overlaps the first by half
        ("onion", square(0, 200)),
        ("cotton", square(0, 0, 640), {"season": "1401-1402"}),
    ]
    rois = make_rois(*rows[:2])
    # 150 m x 100 m of a box of 640 m.
    expected = 15_000 / 640**2
    assert original_table.annotated(rois, make_fields(*rows)) == pytest.approx([expected], rel=1e-6)


def test_fields_of_other_crops_in_a_region():
    rows = [
        ("cotton", square(0, 0)),
        ("onion", square(300, 0)),  # the box ends at 370 m
        ("onion", square(400, 0)),
        ("onion", square(0, 200), {"season": "1401-1402"}),
        ("cotton", square(0, 200)),
    ]
    assert original_table.count_foreign(make_rois(rows[0]), make_fields(*rows)).tolist() == [1]


def test_shared_ground():
    # Boxes of 640 m from -270 m: the second begins 320 m further, the third far away.
    rows = [("cotton", square(0, 0)), ("onion", square(320, 0)), ("cotton", square(9000, 0))]
    rois = make_rois(*rows, calendar=[make_row("Cotton", COTTON), make_row("Onion_Winter", WINTER)])
    assert original_table.shared(rois) == pytest.approx((0.5 + 0.5 + 0) / 3)
    # With both calendars of onion, both of its boxes are shared wholly.
    rois = make_rois(*rows)
    assert original_table.shared(rois) == pytest.approx((0.5 + 1 + 1 + 0) / 4)


def test_pixels_on_the_ground():
    rois = make_rois(("cotton", square(0, 0)))
    # Latitude p of the box's centre on the sphere of the projection. There a metre of the map is
    # cos(p) N / a metres of ground to the east and cos(p) M / a to the north, with
    # N = a / w and M = a (1 - e2) / w^3, w^2 = 1 - e2 sin(p)^2, e2 = 0.00669438.
    p = 2 * np.arctan(np.exp((Y0 + 50) / 6378137)) - np.pi / 2
    w = np.sqrt(1 - 0.00669438 * np.sin(p) ** 2)
    expected = 640**2 * np.cos(p) ** 2 * (1 - 0.00669438) / w**4
    assert original_table.ground_m2(rois) == pytest.approx([expected], rel=1e-5)


# The whole way, from files.


def write_field_data(folder: pathlib.Path, change: dict | None = None) -> settings.Settings:
    """Cotton near an onion field, another onion field, five points; Cotton has no dates in Yazd."""
    layers = {
        "cotton": {"geometry": [square(0, 0), square(60_000, 0)]},
        "onion": {"geometry": [square(300, 0), square(60_000, 0)]},
        "others": {
            "geometry": [shapely.Point(X0 + x, Y0 + 2000) for x in range(5)],
            "name": ["fallow", "fallow", "beans", "beans", "beans"],
        },
        "provinces": {"geometry": make_outlines().to_crs(3857).geometry, "name": ["Fars", "Yazd"]},
    }
    for name, columns in layers.items():
        table = geopandas.GeoDataFrame({"id": range(len(columns["geometry"]))} | columns)
        table.set_crs("EPSG:3857").to_crs("EPSG:4326").to_file(folder / f"{name}.geojson")
    book = openpyxl.Workbook()
    book.remove(book.active)
    sheets = {
        "Cotton": [("Fars ", *COTTON), ("Yazd", *COTTON[:2], "-", "-")],
        "Onion_Spring": [("Fars", *SPRING), (), ("Yazd", "13-05", *SPRING[1:])],
        "Onion_Winter": [("fars", *WINTER), ("Yazd", *WINTER)],
        "Notes": [("Fars", *WINTER)],
    } | (change or {})  # fmt: skip
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in ((), TITLES, *rows):
            sheet.append(row)
    book.save(folder / "book.xlsx")
    return make_settings(str(folder))


def test_run_counts_every_defect(tmp_path):
    requested, log = write_field_data(tmp_path), AuditLog()
    text = original_rois.run(requested, {"cluster_m": 2000.0}, tmp_path / "out", log)
    table, left_out = text.split("left out: ", 1)
    assert table.rstrip() == (tmp_path / "out" / "seed_table.md").read_text("utf-8").rstrip()
    assert "sugarbeet.geojson" in left_out and "13-05" in left_out
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    by_name = {line[0]: line[1:] for line in lines}
    # Cotton in Fars; onion of spring and winter in Fars, of winter in Yazd.
    assert by_name["cotton"] == ["1", "1", "0", "1", "Cotton 1"]
    assert by_name["onion"] == ["2", "2", "1", "3", "Onion_Spring 1, Onion_Winter 2"]
    assert by_name["all"][:4] == ["3", "3", "1", "4"]
    old = {name: cells[0] for name, cells in by_name.items()}
    new = {name: cells[1] for name, cells in by_name.items()}

    name = "a field has the dates of every calendar of its crop"
    assert old[name].startswith("1 of 3 clusters have conflicting harvest dates (onion 1), in 2 of")
    assert new[name].startswith("1 of 4 fields keep several")
    # Cotton is harvested on 2021-10-07, after the season's first day, but planted before it; the
    # rule of the issue makes that 2022-10-07. Other dates stay.
    name = "calendars within one year are put in the first year"
    assert old[name] == (
        "0 of 4 regions are harvested before the season's first day, 2021-09-23; 1 are planted "
        "before it (cotton 1)"
    )
    assert new[name].startswith("1 of the regions get another harvest date; 0 are")
    # Each region of 640 m holds one field of 100 m: 2.44 %.
    assert "2.4% of the regions" in old["what is not annotated counts as negative"]
    # The cotton's box ends at 370 m and the onion begins at 300 m; the onion's boxes begin at 30 m
    # and the cotton ends at 100 m; in Yazd both lie on the same ground.
    name = "negatives that are fields of another crop"
    assert old[name].startswith("4 of 4 regions") and "(cotton 1, onion 3)" in old[name]
    # Boxes that are 300 m apart share 340 m of 640 m; each cluster once: (2 * 340 / 640 + 0) / 3.
    # With both onions of Fars: (340 / 640 + 1 + 1 + 0) / 4.
    name = "ground that lies in more than one region"
    assert old[name] == "63.3% of the pixels; 35.4% where each cluster counts once"
    name = "points are not used"
    assert old[name] == "5 distinct points: 0 of the crops, 5 of others"
    assert new[name] == "all are small discs: 3 unknown, 2 none_of_these"


def test_run_writes_regions_as_wgs_84_boxes(tmp_path):
    requested = write_field_data(tmp_path)
    original_rois.run(requested, {}, tmp_path / "out", AuditLog())
    found = json.loads((tmp_path / "out" / "rois.geojson").read_text(encoding="utf-8"))
    assert len(found["features"]) == 4
    first = found["features"][0]
    assert first["properties"] == {
        "crop": "cotton", "roi": 1, "cluster": 1, "province": "Fars", "sheet": "Cotton",
        "season": YEAR, "planting_end": "2021-06-21", "harvest_date": "2021-10-07", "fields": 1,
    }  # fmt: skip
    box = project([shapely.geometry.shape(first["geometry"])], "EPSG:4326", "EPSG:3857")[0]
    assert corners(box) == [-270, -270, 370, 370]
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert written == [".seed.written.json", "rois.geojson", "seed_table.md"]


def test_run_reads_gregorian_dates_of_a_spreadsheet(tmp_path):
    requested = write_field_data(
        tmp_path, {"Cotton": [("Fars", D(2020, 5, 1), "6/10", "10-01", "12-30")]}
    )
    layers = {k: {**vars(v), "season": "2021-2022"} for k, v in requested.layers.items()}
    calendar = {**vars(requested.calendar), "system": "gregorian", "year_start": "09-23"}
    changed = vars(requested) | {"layers": layers, "calendar": calendar}
    changed["provinces"] = vars(requested.provinces)
    rows = original_rois.read_rows(settings.read(changed))
    cotton = next(row for row in rows if row.sheet == "Cotton")
    assert (cotton.place, cotton.days) == ("fars", days("05-01", "06-10", "10-01", "12-30"))


def test_run_refuses_an_unknown_number(tmp_path):
    with pytest.raises(ValueError, match="config.original.*crs, cluster_m, least_m.*'cluster'"):
        original_rois.run(
            make_settings(str(tmp_path)), {"cluster": 1}, tmp_path / "out", AuditLog()
        )


def test_run_without_a_region_says_so_and_writes_nothing(tmp_path):
    requested = write_field_data(tmp_path)
    (tmp_path / "book.xlsx").unlink()
    with pytest.raises(ValueError, match="in a province for which its calendar has dates.*book"):
        original_rois.run(requested, {}, tmp_path / "out", AuditLog())
    assert not (tmp_path / "out").exists()


def test_config_has_the_original_numbers():
    config = runpy.run_path(str(CONFIG))["get_config"]().to_dict()
    assert original_rois.Numbers(**config.pop("original")) == NUMBERS
    assert settings.read(config | {"source": "x"}).repair_limit == 1.0


def test_real_polygons_give_the_figures_known_of_the_original(real_dir, tmp_path):
    config = runpy.run_path(str(CONFIG))["get_config"]().to_dict()
    numbers = config.pop("original")
    requested = settings.read(config | {"source": str(real_dir / "isrc")})
    text = original_rois.run(requested, numbers, tmp_path, AuditLog())
    # Known of the original system: 417 places of conflicting dates, 4.1 % of the pixels annotated.
    assert "| a field has the dates of every calendar of its crop | 417 of " in text
    assert "| 4.1% of the regions' pixels" in text


def test_the_command_writes_regions_and_table(tmp_path):
    folder = tmp_path / "crops" / "Canola" / "GCP" / "1400-1401"
    folder.mkdir(parents=True)
    # Two fields 1 km apart and one 11 km off: two clusters.
    shapes = [shapely.box(x, 36.0, x + 0.001, 36.001) for x in (54.0, 54.011, 54.12)]
    geopandas.GeoDataFrame({"Product": ["x"] * 3}, geometry=shapes, crs=4326).to_file(
        folder / "canola.shp"
    )
    (tmp_path / "provinces").mkdir()
    geopandas.GeoDataFrame(
        {"province": ["Golestan"]}, geometry=[shapely.box(53, 35, 56, 38)], crs=4326
    ).to_file(tmp_path / "provinces" / "p.shp")
    book = openpyxl.Workbook()
    book.active.title = "Canola"
    book.active.append(
        ["Province", "Planting Start Date", "Planting End Date", "Harvest Start Date",
         "Harvest End Date"]
    )  # fmt: skip
    book.active.append(["Golestan", "07-11", "09-20", "02-21", "05-31"])
    book.save(tmp_path / "CropsCalendar.xlsx")
    command = [sys.executable, "-m", "benchmarks.seed", f"--config={CONFIG}"]
    command += [f"--config.source={tmp_path}", f"--out={tmp_path / 'out'}"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rois = geopandas.read_file(tmp_path / "out" / "rois.geojson")
    assert sorted(rois.fields) == [1, 2] and set(rois.crop) == {"canola"}
    assert set(rois.harvest_date.astype(str).str[:10]) == {"2022-05-11"}
    assert (tmp_path / "out" / "seed_table.md").is_file()
    assert f"table: {tmp_path / 'out' / 'seed_table.md'}" in done.stdout


def test_a_mistake_is_one_line(tmp_path):
    command = [sys.executable, "-m", "benchmarks.seed", f"--config={CONFIG}"]
    command += [f"--config.source={tmp_path / 'nowhere'}", f"--out={tmp_path / 'out'}"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 1 and not (tmp_path / "out").exists()
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ") and "nowhere" in line


def test_without_the_extra_it_is_named():
    hide = "import sys; sys.modules['geopandas'] = None; sys.argv[1:] = ['--config=c', '--out=o']"
    main = "from benchmarks.seed import __main__ as seed; seed.main(None)"
    found = subprocess.run(
        [sys.executable, "-c", f"{hide}; {main}"],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert found.returncode == 1 and found.stdout == ""
    assert found.stderr == "error: benchmarks.seed needs geopandas: pip install -e '.[fields]'\n"
