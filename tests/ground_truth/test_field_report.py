"""The report's counts, by hand; see small_table."""

import csv
import dataclasses
import json

import pytest
from ground_truth import small_table

from cropmap_jax.ground_truth import audit_log, markdown, report

SPAN = {small_table.YEAR: ("2021-07-01", "2022-05-31")}


@pytest.fixture
def log():
    return small_table.log()


@pytest.fixture
def summary(log):
    return summarise(log)


def summarise(log, fields=None, settings=small_table.SETTINGS):
    fields = small_table.fields() if fields is None else fields
    return report.summarise(fields, small_table.tiles(), settings, log, SPAN)


def test_json_holds_the_summary(summary):
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_layers_by_hand(summary):
    found = {k: [r[n] for n in ("read", "more_by_splitting", "left_out", "kept")]
             for k, r in summary["layers"].items()}  # fmt: skip
    # One onion of four was neither kept nor dropped: its file was left out.
    assert found == {"wheat": [3, 0, 0, 1], "onion": [4, 0, 1, 3], "others": [4, 0, 0, 3]}
    dropped = {k: r["dropped"] for k, r in summary["layers"].items()}
    assert dropped["wheat"] == {audit_log.TOO_SMALL: 1, audit_log.DUPLICATE: 1}
    assert dropped["onion"] == {} and dropped["others"] == {audit_log.NOT_FINITE: 1}
    assert [r["dropped_unnamed"] for r in summary["layers"].values()] == [0, 0, 1]


def test_parts_of_a_multipolygon_are_more_rows_than_features(log):
    log.read["wheat"] = 2
    assert summarise(log)["layers"]["wheat"]["more_by_splitting"] == 1


def test_a_field_that_others_cover_is_kept_though_it_labels_nothing(log):
    log.drops = [d for d in log.drops if d.reason != audit_log.TOO_SMALL]
    assert summarise(log)["layers"]["wheat"]["kept"] == 2


def test_a_part_that_labels_is_kept_though_another_part_was_too_small(log):
    log.drop("wheat", "w.shp", 0, audit_log.TOO_SMALL)
    assert summarise(log)["layers"]["wheat"]["kept"] == 1


def test_crops_by_hand(summary):
    crops = summary["crops"]
    assert list(crops) == ["wheat", "maize", "onion", "none_of_these", "unknown"]
    table = {
        name: [r[n] for n in ("in", "kept", "fields", "points", "tiles", "area_ha")]
        + list(r["pixels"].values())
        for name, r in crops.items()
    }
    assert table == {
        # Three features of the layer of wheat, and the point named so; 120 m x 120 m.
        "wheat": [4, 2, 1, 1, 2, 1.44, 109, 0, 0],
        "maize": [0, 0, 0, 0, 0, 0.0, 0, 0, 0],
        # 80 m, 60 m and 100 m squares.
        "onion": [3, 3, 3, 0, 2, 2.0, 52, 0, 64],
        "none_of_these": [1, 1, 0, 1, 1, 0.0, 9, 0, 0],
        "unknown": [1, 1, 0, 1, 0, 0.0, 0, 0, 0],
    }
    assert crops["onion"]["share"] == {"train": 0.4483, "validation": 0.0, "test": 0.5517}
    assert crops["maize"]["share"] == dict.fromkeys(("train", "validation", "test"))
    assert sum(r["in"] for r in crops.values()) + summary["drops_without_crop"] == 10
    assert summary["too_small"] == 1
    assert summary["fractions"] == {"train": 0.8, "validation": 0.0, "test": 0.2}


def test_seasons_of_a_crop_by_hand(summary):
    first, second = summary["crops"]["wheat"]["seasons"].values()
    assert list(summary["crops"]["wheat"]["seasons"]) == [small_table.YEAR, small_table.NEXT]
    assert (first["fields"], first["points"], first["tiles"], first["area_ha"]) == (1, 0, 1, 1.44)
    assert (second["fields"], second["points"], second["tiles"]) == (0, 1, 1)
    assert (first["pixels"]["train"], second["pixels"]["train"]) == (100, 9)


def test_states_add_up_to_all_pixels_of_the_tiles(summary):
    states = summary["states"]
    assert states["wheat"] == {"train": 109, "validation": 0, "test": 0}
    assert states["none_of_these"]["train"] == 9
    unknown = {"train": 2 * 128**2 - 170, "validation": 0, "test": 128**2 - 64}
    assert states["unknown"] == unknown
    assert sum(sum(row.values()) for row in states.values()) == 3 * 128**2
    assert summary["tiles"] == {"train": 2, "validation": 0, "test": 1}
    assert summary["blocks"] == {"train": 1, "validation": 0, "test": 1}


def test_candidate_seasons_by_hand(summary):
    found = summary["calendars"]
    # Of the two onions in the west, an attribute chose the season of one; the third has none.
    assert found["several"] == {"wheat": 0, "maize": 0, "onion": 1}
    assert found["chosen"] == {"wheat": 0, "maize": 0, "onion": 1}
    assert found["none"] == [
        {"crop": "onion", "province": "Yazd", "season": small_table.YEAR, "fields": 1}
    ]


def test_a_chosen_sheet_without_dates_leaves_no_season(log):
    fields = small_table.fields()
    fields.loc[fields.field == 3, "sheets"] = "Onion_Autumn"
    found = summarise(log, fields)["calendars"]
    assert found["several"]["onion"] == 0 and [r["province"] for r in found["none"]] == [
        "Qom",
        "Yazd",
    ]


def test_conflicts_repairs_and_months(summary):
    assert summary["conflicts"] == {"pixels": 7, "pairs": {"onion / wheat": 7}}
    assert summary["cut_fields"] == 1 and summary["counts"]["rings repaired"] == 2
    # July 2021 to May 2022.
    assert summary["months"] == {
        small_table.YEAR: {"first": "2021-07-01", "last": "2022-05-31", "months": 11}
    }


def test_months_that_are_no_dates_are_named(log):
    with pytest.raises(ValueError, match="months to export: .*found '2022-13-01'"):
        report.summarise(small_table.fields(), [], small_table.SETTINGS, log,
                         {"a": ("2022-13-01", "2022-05-31")})  # fmt: skip


def test_text_by_hand(summary):
    lines = report.text(summary).splitlines()
    header, wheat = lines[1:3]
    assert header.split() == ["crop", "in", "kept", "tiles", "ha", "train", "validation", "test"]
    assert wheat.split() == ["wheat", "4", "2", "2", "1.4", "109", "0", "0"]
    assert {len(line) for line in lines[1:9]} == {len(header)} and len(header) < 100
    assert lines[7].split() == ["tiles", "2", "0", "1"]
    assert "dropped: 1 same ground and crop as another" in lines
    assert "1 field with several candidate seasons" in lines
    assert "2021-2022: export 2021-07-01 to 2022-05-31, 11 months" in lines
    assert lines[-1] == "problem: o2.shp: expected a .shx next to it, found none"


def test_the_report_is_written_whole_and_replaced(summary, log, tmp_path):
    out = tmp_path / "new" / "out"
    assert report.write(summary, log, out) == out / "report.md"
    report.write(summary, log, out, ["map_crops.png"])
    assert sorted(f.name for f in out.iterdir()) == ["report.json", "report.md"]
    found = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert found == summary | {"drops": [dataclasses.asdict(d) for d in log.drops]}
    text = (out / "report.md").read_text(encoding="utf-8")
    assert "7 fields and points in 3 tiles of 2 blocks; legend own. Not counted: 1" in text
    assert "![map_crops.png](map_crops.png)" in text
    # A bar in a text does not add a column.
    assert text.endswith("| p.shp | 3 | coordinates outside the Earth | inf \\| nan |\n")
    for line in (
        "| wheat | 2021-2022 | 1 | 0 | 1 | 1.4 | 100 | 0 | 0 |",
        "| wheat | 2021-2022 | wheat | 3 | 0 | 0 | 1 | 2 | 1 no pixel centre inside once shrunk, "
        "1 same ground and crop as another |",
        "| requested | 80% | 0% | 20% |",
        "| onion | 44.8% | 0.0% | 55.2% |",
        "| unknown | 32,598 | 0 | 16,320 | 48,918 | 99.52% |",
        "| onion | Yazd | 2021-2022 | 1 |",
        "| of conflicts: onion / wheat | 7 |",
        "- o2.shp: expected a .shx next to it, found none",
        "No ground of: maize.",
    ):
        assert f"\n{line}\n" in text


def test_tables_of_the_report_have_as_many_cells_as_titles(summary, log, tmp_path):
    lines = report.write(summary, log, tmp_path).read_text(encoding="utf-8").splitlines()
    tables, width = 0, 0
    for line in lines:
        cells = line.replace("\\|", "").count("|")
        tables += cells > 0 and width == 0
        assert cells == width or 0 in (cells, width), line
        width = cells
    assert tables >= 8


def test_many_drops_go_to_a_file(summary, log, tmp_path):
    for row in range(markdown.MOST_ROWS):
        log.drop("others", "نام.shp", row, audit_log.EMPTY)
    text = report.write(summary, log, tmp_path).read_text(encoding="utf-8")
    assert "203 rows: see [drops.csv](drops.csv)" in text and "| p.shp |" not in text
    with open(tmp_path / "drops.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 203 and rows[2]["detail"] == "inf | nan"
    assert rows[-1]["file"] == "نام.shp" and rows[-1]["row"] == "199"


def test_without_workbook_and_tiles_the_report_says_so(log, tmp_path):
    settings = dataclasses.replace(small_table.SETTINGS, calendar=None)
    found = report.summarise(small_table.fields()[:0], [], settings, log, {})
    text = report.write(found, log, tmp_path).read_text(encoding="utf-8")
    assert "No workbook: no crop has a harvest date." in text
    assert "0 fields and points in 0 tiles of 0 blocks" in text
    assert report.text(found).splitlines()[2].split()[:3] == ["wheat", "2", "0"]
