"""The workbook of calendars: rows to seasons, and what is logged of those that cannot be read."""

import dataclasses
import datetime as dt
import pathlib
import zipfile

import geopandas
import openpyxl
import pytest
import shapely

from cropmap_jax.geo.calendars import Season
from cropmap_jax.ground_truth import crop_calendar, seasons
from cropmap_jax.ground_truth.audit_log import AuditLog
from cropmap_jax.ground_truth.settings import COLUMNS, CropCalendar, Layer, Provinces, Settings

D = dt.date
TITLES = ("Province", "Planting Start", "Planting End", "Harvest Start", "Harvest End")
CALENDAR = CropCalendar("book.xlsx", "jalali", "07-01", dict(zip(COLUMNS, TITLES, strict=True)))
PLACES = ("Fars", "East_Azerbaijan", "Kohgiluyeh_and_Boyer-Ahmad")
# Planted 1 Khordad to 31 Tir 1401 (day 124: 2022-07-22), harvested from 1 Mehr 1401 (2022-09-23)
# to 29 Mehr; and planted in autumn, from 1 Mehr 1400 to 30 Mehr (2021-10-22), harvested from
# 1 Khordad 1401 (2022-05-22) to 31 Khordad (2022-06-21).
SPRING = ("03-01", "04-31", "07-01", "07-29")
AUTUMN = ("07-01", "07-30", "03-01", "03-31")
IN_SPRING = Season(D(2022, 9, 23), D(2022, 10, 21), D(2022, 7, 22))
IN_AUTUMN = Season(D(2022, 5, 22), D(2022, 6, 21), D(2021, 10, 22))


def named(season: Season, sheet: str) -> Season:
    return dataclasses.replace(season, season=sheet)


def make_settings(folder: pathlib.Path, year: str = "1400-1401", **changes) -> Settings:
    """Field data of onions, of two sheets, and maize."""
    crops = {"maize": ("Maize",), "onion": ("Onion_Spring", "Onion_Autumn")}
    layers = {crop: Layer("*", year, crop, sheets=sheets) for crop, sheets in crops.items()}
    defaults = dict(
        source=str(folder), layers=layers, classes=("onion", "maize", "pea"), calendar=CALENDAR,
        provinces=Provinces("provinces.geojson", "name"),
    )  # fmt: skip
    return Settings(**defaults | changes)


def write(folder: pathlib.Path, **sheets) -> pathlib.Path:
    """A workbook with the given rows, below titles unless they bring their own, and provinces."""
    outlines = [shapely.box(50 + i, 30, 51 + i, 31) for i in range(len(PLACES))]
    table = geopandas.GeoDataFrame({"name": PLACES}, geometry=outlines, crs="EPSG:4326")
    table.to_file(folder / "provinces.geojson")
    book = openpyxl.Workbook()
    book.remove(book.active)
    whole = {"Maize": [], "Onion_Spring": [], "Onion_Autumn": []} | sheets
    for name, rows in whole.items():
        sheet = book.create_sheet(name)
        own = any("Province" in row for row in rows)
        for row in rows if own else [TITLES, *rows]:
            sheet.append(row)
    book.save(folder / "book.xlsx")
    return folder / "book.xlsx"


def read(folder: pathlib.Path, **changes) -> tuple[crop_calendar.Calendars | None, AuditLog]:
    log = AuditLog()
    return crop_calendar.read_calendars(make_settings(folder, **changes), log), log


# What is read.


def test_all_sheets_of_a_crop_are_candidates(tmp_path):
    write(
        tmp_path,
        Maize=[("Fars", *SPRING)],
        Onion_Spring=[("Fars", *SPRING)],
        Onion_Autumn=[("Fars", *AUTUMN), ("East_Azerbaijan", *AUTUMN)],
    )
    found, log = read(tmp_path)
    spring, autumn = named(IN_SPRING, "Onion_Spring"), named(IN_AUTUMN, "Onion_Autumn")
    assert found.candidates("onion", "Fars", "1400-1401") == (spring, autumn)
    assert found.candidates("onion", "East_Azerbaijan", "1400-1401") == (autumn,)
    assert found.candidates("maize", "East_Azerbaijan", "1400-1401") == ()
    assert found.candidates("pea", "Fars", "1400-1401") == ()
    # Crops come in the order of the legend, and those without dates are not there.
    everything = found.calendar("Fars", "1400-1401")
    assert list(everything.items()) == [
        ("onion", (spring, autumn)),
        ("maize", (named(IN_SPRING, "Maize"),)),
    ]
    assert list(found.calendar("East_Azerbaijan", "1400-1401")) == ["onion"]
    assert (log.problems, log.notes) == ([], [])


def test_an_attribute_decides_between_sheets(tmp_path):
    write(
        tmp_path,
        Maize=[("Fars", *SPRING)],
        Onion_Spring=[("Fars", *SPRING)],
        Onion_Autumn=[("Fars", *AUTUMN), ("East_Azerbaijan", *AUTUMN)],
    )
    found, _ = read(tmp_path)
    spring, autumn = named(IN_SPRING, "Onion_Spring"), named(IN_AUTUMN, "Onion_Autumn")
    where = ("Fars", "1400-1401")
    assert found.candidates("onion", *where, {"Onion_Autumn"}) == (autumn,)
    # The order is that of the config, and an empty word is no choice.
    assert found.candidates("onion", *where, ["Onion_Autumn", "Onion_Spring"]) == (spring, autumn)
    assert found.candidates("onion", *where, "".split(";")) == (spring, autumn)
    # What was chosen has no dates here: nothing else is put in its place.
    assert found.candidates("onion", "East_Azerbaijan", "1400-1401", {"Onion_Spring"}) == ()
    chosen = found.calendar(*where, {"onion": {"Onion_Spring"}, "none_of_these": set()})
    assert chosen == {"onion": (spring,), "maize": (named(IN_SPRING, "Maize"),)}


def test_each_agricultural_year_has_its_own_dates(tmp_path):
    write(tmp_path, Maize=[("Fars", *SPRING)])
    layers = {
        "maize": Layer("*", "1400-1401", "maize", sheets=("Maize",)),
        "points": Layer("*", "1401-1402", name_column="name", names={"corn": "maize"}),
    }
    found, _ = read(tmp_path, layers=layers)
    assert found.candidates("maize", "Fars", "1401-1402")[0].harvest_start == D(2023, 9, 23)
    assert found.candidates("maize", "Fars", "1400-1401")[0].harvest_start == D(2022, 9, 23)
    with pytest.raises(ValueError, match="season of 1400-1401, 1401-1402, found '1402-1403'"):
        found.candidates("maize", "Fars", "1402-1403")


@pytest.mark.parametrize("spelling", ["east azerbaijan", " EAST-Azerbaijan ", "East__Azerbaijan"])
def test_provinces_are_the_same_however_they_are_spelled(tmp_path, spelling):
    write(tmp_path, Maize=[(spelling, *SPRING)])
    found, log = read(tmp_path)
    assert len(found.candidates("maize", "East_Azerbaijan", "1400-1401")) == 1
    assert log.problems == []


def test_untidy_sheets(tmp_path):
    """Spaces, empty rows above and between, another order of columns, a column of remarks."""
    rows = [
        (),
        (" Harvest  start ", "Harvest End", "Remark", "Province", "Planting Start", "PLANTING END"),
        ("07-01 ", " 07-29", "late", " Fars ", "03-01", "04-31"),
        (None, None, None, None, " "),
        (None, None, "only a remark"),
        ("07-01", "07-32", None, "East_Azerbaijan", "03-01", "04-31"),
    ]
    write(tmp_path, Maize=rows)
    found, log = read(tmp_path)
    assert found.candidates("maize", "Fars", "1400-1401") == (named(IN_SPRING, "Maize"),)
    (problem,) = log.problems
    assert problem.startswith("book.xlsx, sheet 'Maize', row 6, Harvest End: ")


def test_a_gregorian_book_may_hold_dates(tmp_path):
    """As a spreadsheet makes them of "1 April"; the year in the cell does not count."""
    cells = (dt.datetime(2025, 10, 1), dt.datetime(2025, 11, 30), dt.date(2025, 7, 1), "07/31")
    write(tmp_path, Maize=[("Fars", *cells)])
    calendar = dataclasses.replace(CALENDAR, system="gregorian", year_start="10-01")
    found, log = read(tmp_path, year="2021-2022", calendar=calendar)
    expected = Season(D(2022, 7, 1), D(2022, 7, 31), D(2021, 11, 30), "Maize")
    assert found.candidates("maize", "Fars", "2021-2022") == (expected,)
    assert log.problems == []


def test_without_provinces_all_rows_are_candidates(tmp_path):
    write(
        tmp_path,
        Maize=[("here", *SPRING), ("there", *AUTUMN)],
        Onion_Spring=[TITLES[1:] + ("Province of old",), SPRING],
    )
    columns = CALENDAR.columns | {"province": "Province"}
    found, log = read(
        tmp_path, provinces=None, calendar=dataclasses.replace(CALENDAR, columns=columns)
    )
    both = (named(IN_SPRING, "Maize"), named(IN_AUTUMN, "Maize"))
    assert found.candidates("maize", "", "1400-1401") == both
    assert "row 3, there: not the first row for its place" in " ".join(log.notes)


def test_columns_that_a_workbook_lacks(tmp_path):
    titles = ("Planting End", "Harvest Start")
    book = openpyxl.Workbook()
    book.active.title = "Maize"
    for row in (titles, ("04-31", "07-01")):
        book.active.append(row)
    book.save(tmp_path / "book.xlsx")
    layers = {"maize": Layer("*", "1400-1401", "maize", sheets=("Maize",))}
    columns = dict(zip(COLUMNS, ("", "", *titles, ""), strict=True))
    calendar = dataclasses.replace(CALENDAR, columns=columns)
    found, log = read(tmp_path, layers=layers, provinces=None, calendar=calendar)
    expected = Season(D(2022, 9, 23), None, D(2022, 7, 22), "Maize")
    assert found.candidates("maize", "", "1400-1401") == (expected,)
    assert (log.problems, log.notes) == ([], [])


def test_a_size_that_is_too_small_hides_no_rows(tmp_path):
    """Some programs write <dimension ref="A1"/>, and readers that stream believe it."""
    path = write(tmp_path, Maize=[("Fars", *SPRING)])
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    parts = {
        n: p.replace(b'<dimension ref="A1:E2"', b'<dimension ref="A1"') for n, p in parts.items()
    }
    assert any(b'<dimension ref="A1" ' in p or b'<dimension ref="A1"/' in p for p in parts.values())
    with zipfile.ZipFile(path, "w") as new:
        for name, part in parts.items():
            new.writestr(name, part)
    found, _ = read(tmp_path)
    assert len(found.candidates("maize", "Fars", "1400-1401")) == 1


# What is left out, and noted.


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        (1, "13-05", "a month from 01 to 12, found '13-05'"),
        (2, "00-10", "a month from 01 to 12, found '00-10'"),
        (3, "12-31", "a day from 01 to 30 in month 12 (jalali), found '12-31'"),
        (4, "August", "text such as 07-15 (month, day), found 'August'"),
        (3, dt.datetime(2022, 7, 1), "such as 07-15 (month, day), found 2022-07-01 00:00:00"),
        (3, 7.01, "text such as 07-15 (month, day), found 7.01 (float)"),
    ],
)
def test_a_bad_date_leaves_one_row_out(tmp_path, column, value, expected):
    bad = ["East_Azerbaijan", *SPRING]
    bad[column] = value
    write(tmp_path, Maize=[("Fars", *SPRING), (), bad])
    found, log = read(tmp_path)
    (problem,) = log.problems
    assert problem.startswith(f"book.xlsx, sheet 'Maize', row 4, {TITLES[column]}: expected ")
    assert expected in problem
    assert found.candidates("maize", "East_Azerbaijan", "1400-1401") == ()
    assert len(found.candidates("maize", "Fars", "1400-1401")) == 1


def test_a_leap_day_is_refused_in_common_years_only(tmp_path):
    # 30 Esfand is in 1399 (and 2021-03-20), not in 1400.
    row = ("Fars", "10-01", "12-30", "04-01", "04-31")
    write(tmp_path, Maize=[row])
    layers = {y: Layer("*", y, "maize", sheets=("Maize",)) for y in ("1399-1400", "1400-1401")}
    found, log = read(tmp_path, layers=layers)
    assert log.problems == [
        "book.xlsx, sheet 'Maize', row 2, Fars: planting end: expected a day up to 29 in month 12 "
        "of 1400 (jalali), found 12-30"
    ]
    assert found.candidates("maize", "Fars", "1399-1400")[0].planting == D(2021, 3, 20)
    assert found.candidates("maize", "Fars", "1400-1401") == ()


def test_harvest_while_planting_continues_is_reported_once(tmp_path):
    write(tmp_path, Maize=[("Fars", "03-01", "05-01", "04-01", "06-01")])
    layers = {y: Layer("*", y, "maize", sheets=("Maize",)) for y in ("1399-1400", "1400-1401")}
    found, log = read(tmp_path, layers=layers)
    assert log.problems == [
        "book.xlsx, sheet 'Maize', row 2, Fars: expected a harvest that starts after planting "
        "(03-01 to 05-01), found 04-01"
    ]
    assert found.calendar("Fars", "1400-1401") == {}


def test_dashes_are_noted(tmp_path):
    rows = [("Fars", "03-01", "04-31", "-", "-"), ("East_Azerbaijan", "03-01", "-", "07-01", "-")]
    write(tmp_path, Maize=rows)
    found, log = read(tmp_path)
    assert log.notes == [
        "book.xlsx, sheet 'Maize', row 2, Fars: no harvest date",
        "book.xlsx, sheet 'Maize', row 3, East_Azerbaijan: no end of planting",
    ]
    assert found.seasons == {"1400-1401": {}}
    assert log.problems == []


def test_a_harvest_of_most_of_a_year_is_noted_and_kept(tmp_path):
    # From 11 Aban to 30 Mehr of the next year: 365 less 11 days. From 1 Mehr to 1 Farvardin are
    # 179 days (five months of 30 and one of 29), to the 22nd 21 more: 200; to the 23rd 201.
    rows = [
        ("Fars", "04-01", "05-31", "08-11", "07-30"),
        ("East_Azerbaijan", "03-01", "04-31", "07-01", "01-22"),
        ("Kohgiluyeh and Boyer-Ahmad", "03-01", "04-31", "07-01", "01-23"),
    ]
    write(tmp_path, Maize=rows)
    found, log = read(tmp_path)
    ends = [found.candidates("maize", p, "1400-1401")[0] for p in PLACES]
    assert [(s.harvest_end - s.harvest_start).days for s in ends] == [354, 200, 201]
    assert log.notes == [
        f"book.xlsx, sheet 'Maize', row {row}: harvest from {span} is longer than 200 days, one of "
        "the two is probably wrong"
        for row, span in (
            ("2, Fars", "08-11 to 07-30"),
            ("4, Kohgiluyeh and Boyer-Ahmad", "07-01 to 01-23"),
        )
    ]


def test_two_rows_of_one_province_are_both_candidates(tmp_path):
    write(tmp_path, Maize=[("Fars", *SPRING), ("fars", *AUTUMN), ("FARS", *SPRING)])
    found, log = read(tmp_path)
    both = (named(IN_SPRING, "Maize"), named(IN_AUTUMN, "Maize"))
    assert found.candidates("maize", "Fars", "1400-1401") == both
    (note,) = log.notes
    assert note.startswith("book.xlsx, sheet 'Maize', row 3, fars: not the first row for its place")


def test_an_unknown_province(tmp_path):
    rows = [("Farse", *SPRING), ("Fars", *SPRING), ("Tehran", *SPRING), (None, *SPRING)]
    write(tmp_path, Maize=rows)
    found, log = read(tmp_path)
    at = "book.xlsx, sheet 'Maize', row"
    assert log.problems == [
        f"{at} 2: expected a province of provinces.geojson, found 'Farse'; did you mean 'Fars'?",
        f"{at} 4: expected a province of provinces.geojson, found 'Tehran'",
        f"{at} 5: expected a province, found none",
    ]
    assert list(found.seasons["1400-1401"]) == [("Maize", "fars")]


def test_provinces_that_cannot_be_read_hide_no_row(tmp_path):
    write(tmp_path, Maize=[("Fars", *SPRING)])
    (tmp_path / "provinces.geojson").write_text("{")
    found, log = read(tmp_path)
    # read_provinces reports the file.
    assert log.problems == []
    assert len(found.candidates("maize", "Fars", "1400-1401")) == 1


def test_a_misspelt_column_leaves_its_sheet_out(tmp_path):
    titles = ("Province", "Planting Start", "Plantin End", "Harvest Start", "Harvest End")
    write(tmp_path, Maize=[titles, ("Fars", *SPRING)], Onion_Spring=[("Fars", *SPRING)])
    found, log = read(tmp_path)
    assert log.problems == [
        "book.xlsx, sheet 'Maize': expected a column 'Planting End' (config.calendar.columns."
        "planting_end), found Province, Planting Start, Plantin End, Harvest Start, Harvest End; "
        "did you mean 'Plantin End'?"
    ]
    assert list(found.calendar("Fars", "1400-1401")) == ["onion"]


def test_a_misspelt_sheet(tmp_path):
    write(tmp_path, Maize=[("Fars", *SPRING)])
    layers = {"corn": Layer("*", "1400-1401", "maize", sheets=("Maize", "Onion_Sprin"))}
    found, log = read(tmp_path, layers=layers)
    assert log.problems == [
        "book.xlsx: expected a sheet 'Onion_Sprin' (config.layers.corn.sheets), found Maize, "
        "Onion_Spring, Onion_Autumn; did you mean 'Onion_Spring'?"
    ]
    assert log.notes == ["book.xlsx: sheets that no layer names: Onion_Spring, Onion_Autumn"]
    assert list(found.calendar("Fars", "1400-1401")) == ["maize"]


def test_an_empty_sheet(tmp_path):
    path = write(tmp_path, Onion_Spring=[("Fars", *SPRING)])
    book = openpyxl.load_workbook(path)
    book["Maize"].delete_rows(1)
    book.save(path)
    found, log = read(tmp_path)
    assert log.problems == [
        "book.xlsx, sheet 'Maize': expected a row of titles, found an empty sheet"
    ]
    assert list(found.calendar("Fars", "1400-1401")) == ["onion"]


def test_crops_without_sheets_are_noted(tmp_path):
    write(tmp_path, Maize=[("Fars", *SPRING)])
    layers = {
        "maize": Layer("*", "1400-1401", "maize", sheets=("Maize", "Onion_Spring")),
        "names": Layer("*", "1400-1401", name_column="x", names={"a": "pea", "b": "unknown"}),
    }
    found, log = read(tmp_path, layers=layers)
    assert log.notes[0] == "config.layers: no sheets for pea: it has no harvest dates"
    assert found.sheets == {"maize": ("Maize", "Onion_Spring"), "pea": ()}


# Books that are none.


def test_without_a_workbook_there_are_no_calendars(tmp_path):
    assert read(tmp_path, calendar=None)[0] is None
    found, log = read(tmp_path)
    assert found is None
    assert log.problems == ["book.xlsx (config.calendar.file): expected a workbook, found none"]
    (tmp_path / "Boock.xlsx").touch()
    assert read(tmp_path)[1].problems[0].endswith("found none; did you mean 'Boock.xlsx'?")


@pytest.mark.parametrize(
    "content", [b"", b"Province;Planting", b"\xd0\xcf\x11\xe0 an .xls", "half"]
)
def test_files_that_are_no_workbook(tmp_path, content):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:3000] if content == "half" else content)
    found, log = read(tmp_path)
    assert found is None
    (problem,) = log.problems
    assert problem.startswith("book.xlsx (config.calendar.file): expected a workbook in .xlsx, ")


def test_other_archives_and_endings_are_no_workbook(tmp_path):
    path = write(tmp_path)
    path.rename(tmp_path / "book.xls")
    calendar = dataclasses.replace(CALENDAR, file="book.xls")
    found, log = read(tmp_path, calendar=calendar)
    assert found is None and "expected a workbook in .xlsx" in log.problems[0]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "no workbook")
    found, log = read(tmp_path)
    assert found is None and "expected a workbook in .xlsx" in log.problems[0]


# The config.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"year": "1400-1402"}, r"config\.layers\.maize\.season: .* found '1400-1402'"),
        ({"year": "2021-2022"}, r"config\.layers\.maize\.season: .* jalali .* '2021-2022'"),
        ({"year_start": "13-01"}, r"config\.calendar\.year_start: .* found '13-01'"),
        (
            {"columns": CALENDAR.columns | {"harvest_start": ""}},
            r"columns\.harvest_start: .* title",
        ),
        ({"columns": CALENDAR.columns | {"province": ""}}, r"columns\.province: expected a title"),
    ],
)
def test_a_config_without_meaning_is_an_error(tmp_path, changes, message):
    year = {"year": changes["year"]} if "year" in changes else {}
    rest = {k: v for k, v in changes.items() if k != "year"}
    with pytest.raises(ValueError, match=message):
        read(tmp_path, calendar=dataclasses.replace(CALENDAR, **rest), **year)


# Fields without a date.


def test_fields_without_a_date_are_noted(tmp_path):
    write(tmp_path, Maize=[("Fars", *SPRING)], Onion_Spring=[("Fars", *SPRING)])
    found, log = read(tmp_path)
    rows = [
        ("maize", "Fars", ""),
        ("maize", "East_Azerbaijan", ""),
        ("maize", "East_Azerbaijan", ""),
        ("onion", "Fars", "Onion_Spring"),
        ("onion", "Fars", "Onion_Autumn"),
        ("unknown", "East_Azerbaijan", ""),
        ("none_of_these", "East_Azerbaijan", ""),
    ]
    fields = geopandas.GeoDataFrame(rows, columns=["crop", "province", "sheets"])
    crop_calendar.note_undated(fields.assign(season="1400-1401"), found, log)
    assert log.notes == [
        "1400-1401: no harvest date for 2 of maize in East_Azerbaijan",
        "1400-1401: no harvest date for 1 of onion (Onion_Autumn) in Fars",
    ]
    assert log.counts == {"fields without a harvest date": 3}
    crop_calendar.note_undated(fields, None, log)
    assert len(log.notes) == 2


# The competition's workbook, which is not part of the project.


def test_no_row_of_the_real_workbook_is_harvested_while_it_is_planted(real_dir):
    source = real_dir / "isrc"
    if not (source / "CropsCalendar.xlsx").is_file():
        pytest.skip(f"no CropsCalendar.xlsx in {source}")
    titles = [
        "Province",
        *(f"{a} {b} Date" for a in ("Planting", "Harvest") for b in ("Start", "End")),
    ]
    calendar = CropCalendar(
        "CropsCalendar.xlsx", "jalali", "07-01", dict(zip(COLUMNS, titles, strict=True))
    )
    names = openpyxl.load_workbook(source / calendar.file, read_only=True).sheetnames
    years = ["1399-1400", "1400-1401", "1401-1402", "1403-1404"]
    layers = {
        f"{name} {year}": Layer("*", year, name.lower(), sheets=(name,))
        for name in names
        for year in years
    }
    settings = Settings(
        str(source), layers, classes=tuple(n.lower() for n in names), calendar=calendar,
        provinces=Provinces("provinces/*.shp", "province"),
    )  # fmt: skip
    log = AuditLog()
    found = crop_calendar.read_calendars(settings, log)
    # Every row of every sheet is read in every year: nothing is refused.
    assert log.problems == []
    undated = [note for note in log.notes if note.endswith("no harvest date")]
    long = [note for note in log.notes if "longer than 200 days" in note]
    assert [n.split("sheet ")[1] for n in undated] == [
        "'Canola', row 2, Ardabil: no harvest date",
        "'Onion_Spring', row 5, Fars: no harvest date",
    ]
    assert len(long) == 1 and "sheet 'Maize', row 7, Fars: " in long[0]
    assert len(log.notes) == 3
    for text in years:
        year = seasons.parse_year(text, "jalali", "07-01", "season")
        rows = [season for own in found.seasons[text].values() for season in own]
        assert len(rows) == 74
        for season in rows:
            assert year.first <= season.planting <= year.last
            assert season.planting < season.harvest_start <= season.harvest_end
            assert (season.harvest_start - season.planting).days < 366


def test_a_crop_of_several_seasons_a_year(tmp_path):
    dates = {"onion": (("10-01", "11-01", "05-01", "06-01"), ("05-15", "06-15", "09-20", "-")),
             "maize": ("04-01", "05-01", "06-15", "-")}  # fmt: skip
    own = CropCalendar(year_start="10-01", dates=dates)
    found, log = read(tmp_path, calendar=own, provinces=None, year="2021-2022")
    first, second = found.candidates("onion", "", "2021-2022")
    assert (first.season, first.harvest_start) == ("onion 1", D(2022, 5, 1))
    assert (second.season, second.harvest_start) == ("onion 2", D(2022, 9, 20))
    # 45 days of maize: in doubt, and used.
    assert found.candidates("maize", "", "2021-2022")[0].harvest_start == D(2022, 6, 15)
    (doubt,) = log.doubts
    assert doubt.startswith("config.calendar.dates.maize: harvest starts 45 days after planting")


def test_a_row_may_say_a_year_later(tmp_path):
    rows = [("Fars", "03-01", "04-31", "07-01+1", "07-29"), ("Fars", "-", "04-31", "06-01", "-")]
    write(tmp_path, Maize=rows)
    found, log = read(tmp_path)
    later, short = found.candidates("maize", "Fars", "1400-1401")
    assert later.harvest_start == D(2023, 9, 23)
    assert [line.split(": ", 1)[0] for line in log.doubts] == [
        "book.xlsx, sheet 'Maize', row 2, Fars", "book.xlsx, sheet 'Maize', row 3, Fars",
    ]  # fmt: skip
