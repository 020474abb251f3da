"""From files to the table of fields: what is read, split, repaired, named, dropped or left out."""

import json
import pathlib
import struct
import zipfile

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cropmap_jax.ground_truth import audit_log, finding, layers, polygons, settings
from cropmap_jax.ground_truth.audit_log import (
    DELETED,
    DUPLICATE,
    EMPTY,
    NOT_AN_AREA,
    NOT_FINITE,
    REPAIR,
    TOO_LARGE,
)

WHEAT = "\u06af\u0646\u062f\u0645"  # wheat in Persian
NAME = "\u0646\u0627\u0645"  # name


def square(col=0, row=0, size=0.01):
    """A field of about a hectare per 0.001 degrees squared, near Tehran."""
    return shapely.box(51 + 0.02 * col, 35 + 0.02 * row, 51 + 0.02 * col + size,
                       35 + 0.02 * row + size)  # fmt: skip


def write(path, geometries, crs="EPSG:4326", encoding="utf-8", **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = geopandas.GeoDataFrame(
        columns or {"id": range(len(geometries))}, geometry=list(geometries), crs=crs
    )
    pyogrio.write_dataframe(frame, path, encoding=encoding if path.suffix == ".shp" else None)
    return path


def read(folder, **given):
    """The table and the log of layers that are distinguished by what differs from these."""
    common = {"files": "a/*.shp", "season": "2021-2022"}
    rows = {
        key: settings.Layer(**{**common, **({} if "names" in row else {"crop": "pea"}), **row})
        for key, row in given.items()
    }
    log = audit_log.AuditLog()
    made = settings.Settings(source=str(folder), layers=rows, legend="isrc")
    settings.check(made)
    return layers.read_layers(made, log), log


def good(folder):
    """A file that has nothing to do with what is wrong with the others."""
    write(folder / "good" / "b.shp", [square(40)])
    return {"files": "good/*.shp"}


def problem(folder, files="a/*", **layer):
    """The one problem of a layer, next to another that is read as if nothing had happened."""
    table, log = read(folder, bad={"files": files, **layer}, good=good(folder))
    assert table.layer.tolist() == ["good"]
    assert len(log.problems) == 1
    return log.problems[0]


# --- what a table holds ---------------------------------------------------------------------------


def test_the_table(tmp_path):
    write(tmp_path / "a" / "y.shp", [square(2)])
    write(tmp_path / "a" / "x.shp", [square(0), square(1)])
    write(tmp_path / "p" / "x.gpkg", [shapely.Point(51.5, 35.5)])
    table, log = read(
        tmp_path, first={"files": "p/*.gpkg", "season": "1401-1402"}, second={"crop": "maize"}
    )
    assert tuple(table.columns) == layers.COLUMNS
    assert table.crs.to_epsg() == 4326 and isinstance(table.index, pd.RangeIndex)
    assert table.field.dtype == np.uint32 and table.field.tolist() == [1, 2, 3, 4]
    assert table.file.tolist() == ["p/x.gpkg", "a/x.shp", "a/x.shp", "a/y.shp"]
    assert table.row.tolist() == [0, 0, 1, 0]
    assert table.layer.tolist() == ["first"] + ["second"] * 3
    assert table.crop.tolist() == ["pea"] + ["maize"] * 3
    assert table.season.tolist() == ["1401-1402"] + ["2021-2022"] * 3
    assert table.kind.tolist() == ["point"] + ["polygon"] * 3
    assert set(table.name) == set(table.sheets) == {""}
    # 0.01 degrees are 913 m east and 1109 m north at 35 degrees: 101 ha.
    np.testing.assert_allclose(table.area_ha, [0, 101.25, 101.25, 101.25], atol=0.1)
    assert log == audit_log.AuditLog(read={"first": 1, "second": 3})


@pytest.mark.parametrize("crs", ["EPSG:32639", "EPSG:3857", "EPSG:31468", "EPSG:4267"])
def test_any_crs_comes_out_in_degrees(tmp_path, crs):
    place = [square()] if crs != "EPSG:31468" else [shapely.box(12, 50, 12.01, 50.01)]
    write(tmp_path / "a" / "x.shp", polygons.project(place, "EPSG:4326", crs), crs)
    table, _ = read(tmp_path, pea={})
    assert table.geometry[0].hausdorff_distance(place[0]) < 1e-6


def test_a_crs_and_an_encoding_of_the_config(tmp_path):
    flat = polygons.project([square(), square(1)], "EPSG:4326", "EPSG:32639")
    path = write(tmp_path / "a" / "x.shp", flat, "EPSG:32639", **{NAME: [WHEAT, "pea"]})
    path.with_suffix(".prj").unlink()
    path.with_suffix(".cpg").unlink()
    names = {WHEAT: "none_of_these", "pea": "pea"}
    table, log = read(tmp_path, other={
        "names": names, "name_column": NAME, "crs": "EPSG:32639", "encoding": "utf-8"
    })  # fmt: skip
    assert table.geometry[0].hausdorff_distance(square()) < 1e-6
    assert table.crop.tolist() == ["none_of_these", "pea"] and not log.problems


def test_names_and_sheets(tmp_path):
    kinds = ["spring", "Autumn ", "odd", None]
    texts = ["pea", " Wheat", "what", None]
    write(tmp_path / "a" / "x.shp", map(square, range(4)), text=texts, kind=kinds)
    table, log = read(tmp_path, other={
        "names": {"pea": "pea", "wheat": "none_of_these"},
        "name_column": "text",
        "sheets": ("S", "A"),
        "sheet_column": "kind",
        "sheet_values": {"spring": "S", "autumn": "A"},
    })  # fmt: skip
    assert table.crop.tolist() == ["pea", "none_of_these", "unknown", "unknown"]
    assert table.name.tolist() == ["pea", "Wheat", "what", ""]
    assert table.sheets.tolist() == ["S", "A", "", ""]
    assert log.notes == [
        "a/x.shp: config.layers.other.name_column: not listed, so unknown: what (1), no text (1)",
        "a/x.shp: config.layers.other.sheet_column: not listed, so of any season: odd (1), "
        "no text (1)",
    ]
    assert not log.problems and not log.drops


def test_numbers_serve_as_names(tmp_path):
    write(tmp_path / "a" / "x.shp", [square(), square(1), square(2)], code=[1.0, np.nan, 3.0])
    table, _ = read(tmp_path, other={"names": {"1": "pea", "3": "maize"}, "name_column": "code"})
    assert table.crop.tolist() == ["pea", "unknown", "maize"]
    assert table.name.tolist() == ["1", "", "3"]


# --- geometry -------------------------------------------------------------------------------------


def test_parts_heights_and_points_among_polygons(tmp_path):
    two = shapely.multipolygons([square(0), square(1)])
    mixed = shapely.geometrycollections(
        [square(2), shapely.LineString([(51, 35), (52, 36)]), shapely.multipoints([(51.9, 35.9)])]
    )
    shapes = [two, shapely.force_3d(square(3), 1200), mixed, shapely.Point(51.8, 35.8),
              shapely.MultiPoint([(51.6, 35.6), (51.7, 35.7)]),
              shapely.multipolygons([square(4)])]  # fmt: skip
    write(tmp_path / "a" / "x.gpkg", shapes)
    table, log = read(tmp_path, pea={"files": "a/*.gpkg"})
    assert table.row.tolist() == [0, 0, 1, 2, 2, 3, 4, 4, 5]
    flat, point = "polygon", "point"
    assert table.kind.tolist() == [flat] * 4 + [point] * 4 + [flat]
    assert set(table.geometry.geom_type) == {"Polygon", "Point"} and not table.has_z.any()
    assert table.field.is_unique
    assert log.counts == {"multipart features split": 3, "heights left out": 1}
    assert log.drops == [audit_log.Drop("pea", "a/x.gpkg", 2, NOT_AN_AREA, "LineString")]


def test_rings_are_repaired_or_dropped(tmp_path):
    # A spike of no area; a bow-tie, whose ring encloses nothing; a ring run round twice.
    spike = [(51, 35), (51.01, 35), (51.01, 35.02), (51.01, 35.01), (51, 35.01)]
    tie = [(51.1, 35.1), (51.2, 35.2), (51.2, 35.1), (51.1, 35.2)]
    # Its loop of 1 % falls off as a part of its own.
    loop = [(51.3, 35), (51.4, 35), (51.4, 35.11), (51.41, 35.11), (51.41, 35.1), (51.3, 35.1)]
    flat = [(51.6, 35), (51.7, 35), (51.65, 35)]
    shapes = [shapely.Polygon(ring) for ring in (spike, tie, square(9).exterior.coords, loop, flat)]
    write(tmp_path / "a" / "x.gpkg", shapes)
    table, log = read(tmp_path, pea={"files": "a/*.gpkg"})
    assert table.row.tolist() == [0, 2, 3, 3]
    assert shapely.is_valid(table.geometry.values).all()
    assert [(d.row, d.reason, d.detail) for d in log.drops] == [
        (1, REPAIR, "area +100 %"),
        (4, EMPTY, "ring without area"),
    ]
    assert log.counts == {"rings repaired": 2}
    # Before 1 - 0.01, after 1 + 0.01.
    assert log.notes == ["a/x.gpkg: 2 rings repaired, areas change by at most 2.0 % (row 3)"]


def test_what_is_no_field_is_dropped_with_a_reason(tmp_path):
    shapes = [square(), None, shapely.Polygon(), shapely.LineString([(51, 35), (52, 36)]),
              shapely.Polygon([(51, 35), (52, 35), (np.inf, 36)]), shapely.box(400, 35, 400.01, 36),
              shapely.MultiLineString([[(51, 35), (52, 36)], [(51, 36), (52, 35)]])]  # fmt: skip
    write(tmp_path / "a" / "x.gpkg", shapes)
    table, log = read(tmp_path, pea={"files": "a/*.gpkg"})
    assert table.row.tolist() == [0]
    assert {d.row: (d.reason, d.detail) for d in log.drops} == {
        1: (EMPTY, ""),
        2: (EMPTY, ""),
        3: (NOT_AN_AREA, "LineString"),
        4: (NOT_FINITE, "x inf, y 36"),
        5: (NOT_FINITE, "x 400.01, y 35"),
        6: (NOT_AN_AREA, "MultiLineString"),
    }
    assert log.read == {"pea": 7} and log.reasons("pea")[EMPTY] == 2


def test_rings_that_are_no_rings_do_not_end_the_file(tmp_path):
    rings = [[[51, 35], [51.1, 35]], [[51, 35], [51.1, 35], [51.1, 35.1], [51, 35]],
             [[51, 35], [51.1, 35], [51.1, 35.2]]]  # fmt: skip
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [r]}}
        for r in rings
    ]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": features})
    )
    table, log = read(tmp_path, pea={"files": "a/*.geojson"})
    assert table.row.tolist() == [1, 2] and [d.row for d in log.drops] == [0]


def test_duplicates_within_season_and_crop(tmp_path):
    points = [shapely.Point(51.5123, 35.5), shapely.Point(51.5123, 35.5),
              shapely.Point(51.5123, 35.50001)]  # fmt: skip
    write(tmp_path / "a" / "x.gpkg", [square(), square(1), square(), *points])
    # There and back again is the same place, but not to the last bit.
    flat = polygons.project([square(), points[0]], "EPSG:4326", "EPSG:3857")
    write(tmp_path / "b" / "x.gpkg", flat, "EPSG:3857")
    layer = {"files": "b/*"}
    table, log = read(
        tmp_path,
        pea={"files": "a/*"},
        more=layer,
        later={**layer, "season": "2022-2023"},
        other={**layer, "crop": "maize"},
    )
    assert [(d.layer, d.row, d.reason, d.detail) for d in log.drops] == [
        ("pea", 2, DUPLICATE, "a/x.gpkg row 0"),
        ("pea", 4, DUPLICATE, "a/x.gpkg row 3"),
        ("more", 0, DUPLICATE, "a/x.gpkg row 0"),
        ("more", 1, DUPLICATE, "a/x.gpkg row 3"),
    ]
    assert table.groupby("layer").size().to_dict() == {"pea": 4, "later": 2, "other": 2}
    assert table.field.tolist() == list(range(1, 9)) and table.index.tolist() == list(range(8))
    assert log.notes[0] == ("b/x.gpkg: read for config.layers.more, and again for "
                             "config.layers.later")  # fmt: skip


shapes = st.one_of(
    st.none(),
    st.builds(square, st.integers(0, 3)),
    st.builds(shapely.Point, st.integers(50, 52), st.integers(30, 32)),
    st.lists(st.tuples(st.integers(50, 54), st.integers(30, 34)), min_size=3, max_size=6).map(
        shapely.Polygon
    ),
    st.just(shapely.LineString([(51, 35), (52, 36)])),
    st.just(shapely.multipolygons([square(5), square(6)])),
)


@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(shapes, min_size=1, max_size=8))
def test_every_feature_is_kept_or_dropped(tmp_path, found):
    path = tmp_path / "a" / "x.gpkg"
    path.unlink(missing_ok=True)
    write(path, [square(20), *found])
    table, log = read(tmp_path, pea={"files": "a/*.gpkg"})
    message = set(table.row) | {d.row for d in log.drops}
    assert message == set(range(log.read["pea"])) == set(range(len(found) + 1))
    assert shapely.is_valid(table.geometry.values).all()
    assert set(table.geometry.geom_type) <= {"Polygon", "Point"}
    assert ((table.area_ha > 0) == (table.kind == "polygon")).all()


# --- what is left out, while the rest is read -----------------------------------------------------


@pytest.mark.parametrize("suffix", [".shx", ".prj", ".dbf"])
def test_parts_of_a_shapefile_that_are_missing(tmp_path, suffix):
    path = write(tmp_path / "a" / "x.shp", [square()], text=["pea"])
    path.with_suffix(suffix).unlink()
    found = problem(tmp_path, crop="", names={"pea": "pea"}, name_column="text")
    instead = ", or config.layers.bad.crs" * (suffix == ".prj")
    assert found == f"a/x.shp: expected x{suffix} next to it{instead}, found none"


def test_parts_of_a_shapefile_that_are_not_needed(tmp_path):
    path = write(tmp_path / "a" / "x.SHP", [square(), square(1)])
    for suffix in (".dbf", ".prj"):
        path.with_suffix(suffix).unlink()
    table, log = read(tmp_path, pea={"crs": "EPSG:4326", "files": "a/*"})
    assert len(table) == 2 and not log.problems


def test_columns_that_nobody_asks_for_may_be_written_in_anything(tmp_path):
    path = write(tmp_path / "a" / "x.shp", [square()], encoding="cp1256", **{NAME: [WHEAT]})
    path.with_suffix(".cpg").write_text("UTF-8")
    assert len(read(tmp_path, pea={})[0]) == 1


def test_files_that_are_cut_short_or_none(tmp_path):
    path = write(tmp_path / "a" / "x.shp", [square(), square(1)])
    whole = path.read_bytes()
    # 100 bytes of header, and 136 of each ring of five vertices.
    path.write_bytes(whole[:300])
    assert problem(tmp_path) == "a/x.shp: expected 372 bytes as its header says, found 300"
    path.write_bytes(b"hello")
    assert problem(tmp_path) == "a/x.shp: expected 100 bytes as its header says, found 5"
    path.write_bytes(struct.pack(">i", 1) + whole[4:])
    assert problem(tmp_path).startswith("a/x.shp: expected a file of vectors that GDAL reads, ")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "x.geojson").write_text("{")
    assert problem(tmp_path, "c/*").startswith("c/x.geojson: expected a file of vectors that GDAL")
    (tmp_path / "c" / "x.geojson").write_text("")
    assert problem(tmp_path, "c/*").startswith("c/x.geojson: expected a file of vectors that GDAL")


def test_parts_of_two_shapefiles(tmp_path):
    path = write(tmp_path / "a" / "x.shp", [square(), square(1)], text=["p", "q"])
    short = write(tmp_path / "c" / "x.shp", [square()], text=["p"])
    path.with_suffix(".dbf").write_bytes(short.with_suffix(".dbf").read_bytes())
    assert problem(tmp_path) == ("a/x.shp: expected 2 features as its header says, "
                                 "found 1: its parts do not belong together")  # fmt: skip


def test_an_empty_layer(tmp_path):
    write(tmp_path / "a" / "x.shp", [])
    assert problem(tmp_path) == "a/x.shp: expected features, found an empty layer"


def test_tables_and_several_layers(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.csv").write_text("name,area\npea,3\n")
    assert problem(tmp_path) == (
        "a/x.csv: expected a table with coordinates, found: no column of coordinates (latitude and "
        "longitude, x and y, or WKT) among name, area"
    )
    frame = geopandas.GeoDataFrame({"id": [0]}, geometry=[square()], crs=4326)
    for layer in ("roads", "fields"):
        pyogrio.write_dataframe(frame, tmp_path / "c.gpkg", layer=layer)
    assert problem(tmp_path, "*.gpkg") == ("c.gpkg: expected one layer with geometries, found "
                                           "roads, fields")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "none"),
        ('LOCAL_CS["plot",UNIT["m",1]]', "plot"),
    ],
)
def test_unknown_crs(tmp_path, text, found):
    path = write(tmp_path / "a" / "x.shp", [square()])
    path.with_suffix(".prj").write_text(text)
    message = problem(tmp_path)
    assert message.startswith(
        "a/x.shp: expected a geographic or projected coordinate system, found"
    )
    assert found in message and message.endswith("set config.layers.bad.crs, e.g. to EPSG:4326")
    table, log = read(tmp_path, pea={"crs": "EPSG:4326"})
    assert len(table) == 1 and not log.problems


def test_crs_that_is_nonsense(tmp_path):
    path = write(tmp_path / "a" / "x.shp", [square()])
    path.with_suffix(".prj").write_text("GEOGCS[nonsense")
    message = problem(tmp_path)
    assert message.startswith(
        "a/x.shp: expected a coordinate system, found one that cannot be read"
    )
    assert message.endswith("delete its .prj and set config.layers.bad.crs")
    path.with_suffix(".prj").unlink()
    for crs in ("EPSG:99999", "EPSG:4978", "EPSG:5773"):  # none, geocentric, heights
        assert f"found '{crs}': set config.layers.bad.crs" in problem(tmp_path, crs=crs)


def test_coordinates_of_another_crs(tmp_path):
    metres = polygons.project([square()], "EPSG:4326", "EPSG:32639")
    write(tmp_path / "a" / "x.shp", metres, "EPSG:4326")
    assert problem(tmp_path) == (
        "a/x.shp: expected coordinates of WGS 84, found x 500000 to 500912.5, y 3873043 to "
        "3874152, no place on Earth: is its coordinate system the right one?"
    )
    write(tmp_path / "c" / "x.shp", [square()], "EPSG:32639")
    assert problem(tmp_path, "c/*") == (
        "c/x.shp: expected coordinates of WGS 84 / UTM zone 39N, found x 51 to 51.01, y 35 to "
        "35.01, degrees: is its coordinate system the right one?"
    )
    # Half as far again as the edge of Mercator's world, from where PROJ comes back in at the other.
    write(tmp_path / "d" / "x.shp", [shapely.box(3e7, 4e6, 3.1e7, 4.1e6)], "EPSG:3857")
    assert "y 4000000 to 4100000, no place on Earth" in problem(tmp_path, "d/*")


def test_a_column_that_is_misspelt(tmp_path):
    write(tmp_path / "a" / "x.shp", [square()], Produkt=["pea"], check=["1"])
    layer = {"crop": "", "names": {"pea": "pea"}, "name_column": "product"}
    assert problem(tmp_path, **layer) == (
        "a/x.shp: expected a column 'product' (config.layers.bad.name_column), found Produkt, "
        "check; did you mean 'Produkt'?"
    )
    sheets = {"sheets": ("S",), "sheet_column": "what", "sheet_values": {"s": "S"}}
    assert problem(tmp_path, **sheets).endswith("(config.layers.bad.sheet_column), found Produkt, "
                                                "check")  # fmt: skip


def test_a_column_in_letters_that_look_alike(tmp_path):
    write(tmp_path / "a" / "x.shp", [square()], **{"\u0643\u064a": ["pea"]})
    table, _ = read(tmp_path, other={"names": {"pea": "pea"}, "name_column": "\u06a9\u06cc"})
    assert table.crop.tolist() == ["pea"]


@pytest.mark.parametrize("column", ["text", NAME])
@pytest.mark.parametrize("declared", ["", "ISO-8859-1", "1252"])
def test_utf8_that_is_declared_as_latin(tmp_path, column, declared):
    path = write(tmp_path / "a" / "x.shp", [square(), square(1)], **{column: [WHEAT, "pea"]})
    path.with_suffix(".cpg").write_text(declared)
    layer = {"names": {WHEAT: "none_of_these", "pea": "pea"}, "name_column": column}
    message = problem(tmp_path, crop="", **layer)
    read_right = WHEAT if column == "text" else NAME
    assert message.startswith(
        f"a/x.shp: expected texts in the encoding it declares, found UTF-8 ({read_right!r} is read"
    )
    assert message.endswith('set config.layers.bad.encoding = "utf-8"')
    table, log = read(tmp_path, other={**layer, "encoding": "utf-8"})
    assert table.crop.tolist() == ["none_of_these", "pea"] and not log.problems


def test_another_encoding_that_is_declared_as_utf8(tmp_path):
    path = write(tmp_path / "a" / "x.shp", [square()], encoding="cp1256", text=[WHEAT])
    path.with_suffix(".cpg").write_text("UTF-8")
    layer = {"names": {WHEAT: "none_of_these"}, "name_column": "text"}
    message = problem(tmp_path, crop="", **layer)
    assert message.startswith("a/x.shp: expected texts in the encoding it declares, found bytes")
    assert 'set config.layers.bad.encoding to what they were written in, such as "utf-8"' in message
    table, _ = read(tmp_path, other={**layer, "encoding": "cp1256"})
    assert table.crop.tolist() == ["none_of_these"]
    message = problem(tmp_path, crop="", **layer, encoding="utf-9")
    expected = 'config.layers.bad.encoding: expected one such as "utf-8" or "cp1256", found'
    assert message == f"{expected} 'utf-9'"


@pytest.mark.parametrize("text", ["R\u00fcben", "Bl\u00e9", "\u00e4"])
def test_latin_text_is_latin(tmp_path, text):
    write(tmp_path / "a" / "x.shp", [square()], encoding="ISO-8859-1", text=[text])
    table, _ = read(tmp_path, other={"names": {text: "sugarbeet"}, "name_column": "text"})
    assert table.crop.tolist() == ["sugarbeet"]


@pytest.mark.parametrize("encoding, text", [("cp1256", WHEAT), ("cp1251", "рожь")])
def test_another_script_that_is_read_as_latin(tmp_path, encoding, text):
    write(tmp_path / "a" / "x.shp", [square(), square(1)], encoding=encoding, crop=[text, "maize"])
    (tmp_path / "a" / "x.cpg").unlink()
    layer = {"name_column": "crop", "names": {text: "pea"}}
    message = problem(tmp_path, files="a/*.shp", **layer)
    # Of several encodings the first that gives one script is suggested.
    assert f"which may be {text!r} in" in message or encoding != "cp1256"
    assert "config.layers.bad.encoding to what they were written in, such as" in message
    table, _ = read(tmp_path, pea={"files": "a/*.shp", **layer, "encoding": encoding})
    assert list(table.crop) == ["pea", "unknown"]


def test_files_that_belong_to_another_one_are_none_of_their_own(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("x.gml", "x.xsd", "x.gfs", "y.tab", "y.dat", "y.map", "z.dat"):
        (tmp_path / "a" / name).write_text("")
    found = [p.name for p in sorted((tmp_path / "a").iterdir()) if finding.is_data(p)]
    assert found == ["x.gml", "y.tab", "z.dat"]


def test_a_name_that_a_fixed_width_has_cut_in_two(tmp_path):
    path = write(tmp_path / "a" / "x.shp", [square()], text=[WHEAT])
    path.with_suffix(".cpg").unlink()
    table = path.with_suffix(".dbf")
    last = WHEAT.encode()[-2:]
    table.write_bytes(table.read_bytes().replace(last, last[:1] + b" "))
    layer = {"names": {WHEAT: "none_of_these"}, "name_column": "text", "crop": ""}
    assert f"found UTF-8 ({WHEAT[:-1]!r} is read as" in problem(tmp_path, **layer)


def test_no_file_matches(tmp_path):
    write(tmp_path / "crops" / "Pea" / "x.shp", [square()])
    (tmp_path / "crops" / "Pea" / "._x.shp").write_bytes(b"of another system")
    start = "config.layers.bad.files: expected a file that matches"
    below = f"below {tmp_path}, found"
    assert problem(tmp_path, "crops/Maize/*.shp") == (
        f"{start} 'crops/Maize/*.shp' {below} no folder 'crops/Maize' next to Pea"
    )
    assert problem(tmp_path, "crops/Pea/*.gpkg").startswith(
        f"{start} 'crops/Pea/*.gpkg' {below} ._x.shp, x.cpg, x.dbf, x.prj, x.shp, x.shx in "
    )
    assert "found that pattern" in problem(tmp_path, "/crops/*.shp")
    table, log = read(tmp_path, pea={"files": "crops/**/*"}, bad={"files": "none/*"})
    assert len(table) == 1 and len(log.problems) == 1
    assert list(log.read.items()) == [("pea", 1), ("bad", 0)]


def test_nothing_at_all(tmp_path):
    with pytest.raises(ValueError, match=r"^config.source: expected a folder, found '.*/none'$"):
        read(tmp_path / "none", pea={})
    with pytest.raises(
        ValueError, match=r"found none that is usable in 0 files; config.layers.pea"
    ):
        read(tmp_path, pea={})
    write(tmp_path / "a" / "x.shp", [shapely.LineString([(51, 35), (52, 36)])])
    with pytest.raises(
        ValueError,
        match=r"usable in 1 files; 1 neither polygon nor point "
        r"\(first: a/x.shp, row 0: LineString\)$",
    ):
        read(tmp_path, pea={})


# --- real field data ------------------------------------------------------------------------------


def test_real_field_data(real_dir: pathlib.Path):
    from configs import prepare_isrc

    if not (real_dir / "isrc").is_dir():
        pytest.skip(f"no field data at {real_dir / 'isrc'}")
    config = prepare_isrc.get_config()
    config.source = str(real_dir / "isrc")
    log = audit_log.AuditLog()
    table = layers.read_layers(settings.read(config.to_dict()), log)
    assert table.field.tolist() == list(range(1, len(table) + 1))
    assert shapely.is_valid(table.geometry.values).all() and not table.has_z.any()
    assert log.read["pea"] == 2141 and log.read["other_points"] == 3351
    kept = table.groupby("layer").size()
    for layer, number in log.read.items():
        assert number == kept.get(layer, 0) + sum(log.reasons(layer).values()), layer
    absent = [line.split()[0] for line in log.problems]
    assert "config.layers.maize.files:" in absent and "config.layers.sugarbeet.files:" in absent
    assert set(table.crop[table.layer == "other_points"]) >= {"none_of_these", "unknown", "canola"}
    # All of it lies in Iran.
    assert (table.total_bounds > [44, 25, 44, 25]).all()
    assert (table.total_bounds < [64, 40, 64, 40]).all()


# --- unusual places, odd records, other files -----------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "crs"),
    [
        (shapely.Polygon([(179.999, -16), (-179.997, -16), (-179.997, -15.999),
                          (179.999, -15.999)]), 4326),
        (shapely.box(179.999, -16, 180.003, -15.999), 4326),
        (shapely.box(-180.001, -16, -179.997, -15.999), 4326),
        (shapely.box(20037397.02, -1804722.77, 20037842.3, -1804607.0), 3857),
        (shapely.MultiPolygon([shapely.box(179.999, -16, 180, -15.999),
                               shapely.box(-180, -16, -179.997, -15.999)]), 4326),
    ],
)  # fmt: skip
def test_a_field_across_180_degrees(tmp_path, shape, crs):
    write(tmp_path / "a" / "x.gpkg", [shape, square()], crs if crs == 4326 else crs)
    if crs == 3857:
        write(tmp_path / "a" / "x.gpkg", [shape, polygons.project([square()], 4326, 3857)[0]], crs)
    table, log = read(tmp_path, pea={"files": "a/*"})
    assert not log.drops and not log.problems and len(table) == 2
    west, _, east, _ = table.geometry[0].bounds
    assert east - west == pytest.approx(0.004, abs=2e-5)
    # 0.004 by 0.001 degrees at 16 degrees south are 428 m by 111 m.
    assert table.area_ha[0] == pytest.approx(4.74, rel=0.02)


def test_longitudes_up_to_360_degrees(tmp_path):
    write(tmp_path / "a" / "x.gpkg", [shapely.box(302.0, -10, 302.01, -9.99)])
    table, _ = read(tmp_path, pea={"files": "a/*"})
    assert table.geometry[0].bounds == pytest.approx((-58.0, -10, -57.99, -9.99))


def test_coordinates_that_were_left_empty_or_swapped(tmp_path):
    write(tmp_path / "a" / "x.gpkg", [shapely.Point(0, 0), square(), shapely.Point(0, 51)])
    table, log = read(tmp_path, pea={"files": "a/*"})
    assert table.row.tolist() == [1, 2] and log.drops[0].detail == "x 0, y 0"
    write(tmp_path / "c" / "x.gpkg", [shapely.Point(35, 151)])
    assert problem(tmp_path, "c/*").endswith("are latitude and longitude swapped?")


def test_what_is_larger_than_a_province_is_dropped(tmp_path):
    strip = shapely.LineString([(50, 30), (58, 38)]).buffer(0.0001)
    write(tmp_path / "a" / "x.gpkg", [square(), shapely.box(40, 30, 70, 60), strip])
    table, log = read(tmp_path, pea={"files": "a/*"})
    assert table.row.tolist() == [0]
    assert [(d.row, d.reason) for d in log.drops] == [(1, TOO_LARGE), (2, TOO_LARGE)]
    assert "km2, expected at most 1,000 (config.max_field_ha)" in log.drops[0].detail


def test_a_deleted_record_costs_that_record(tmp_path):
    path = write(tmp_path / "a" / "x.shp", [square(), square(1), square(2)], name=["a", "b", "c"])
    table = bytearray(path.with_suffix(".dbf").read_bytes())
    head, row = struct.unpack("<HH", table[8:12])
    table[head + row : head + row + 1] = b"*"
    path.with_suffix(".dbf").write_bytes(table)
    found, log = read(tmp_path, pea={"name_column": "name", "names": {"c": "pea"}})
    assert found.row.tolist() == [0, 2] and found.crop.tolist() == ["unknown", "pea"]
    assert [(d.row, d.reason) for d in log.drops] == [(1, DELETED)]


def test_zip_files(tmp_path):
    write(tmp_path / "s" / "x.shp", [square(), square(1)])
    parts = sorted((tmp_path / "s").iterdir())

    def pack(name, files, folder):
        (tmp_path / "a").mkdir(exist_ok=True)
        with zipfile.ZipFile(tmp_path / "a" / name, "w") as out:
            for file in files:
                out.write(file, f"{folder}/{file.name}")
            out.writestr("readme.txt", "a,b")
            out.writestr(f"__MACOSX/{folder}/._x.shp", "")

    pack("1.zip", parts, "deep/inside")
    pack("2.zip", [tmp_path / "a" / "1.zip"], "again")
    pack("3.zip", [p for p in parts if p.suffix != ".prj"], "without")
    (tmp_path / "a" / "4.zip").write_bytes(b"PK and no more")
    table, log = read(tmp_path, pea={"files": "a/*.zip"})
    assert table.file.tolist() == ["a/1.zip/deep/inside/x.shp"] * 2
    assert len(log.drops) == 2  # the same two, in the zip file in the second
    assert log.problems == [
        "a/4.zip: expected a zip file, found: File is not a zip file",
        "a/3.zip/without/x.shp: expected x.prj next to it, or config.layers.pea.crs, found none",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "<OGRVRTDataSource><OGRVRTLayer name='x'><SrcDataSource>{}</SrcDataSource>"
        "</OGRVRTLayer></OGRVRTDataSource>",
        "<?xml version='1.0'?>\n<!-- x --><OGRWFSDataSource><URL>http://127.0.0.1:9/</URL>"
        "</OGRWFSDataSource>",
        '{{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline ! read {}"}}',
    ],
)
@pytest.mark.parametrize("suffix", [".geojson", ".gml", ".vrt"])
def test_a_file_that_refers_elsewhere_is_not_followed(tmp_path, text, suffix):
    other = write(tmp_path / "other.gpkg", [square()])
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / f"x{suffix}").write_text(text.format(other))
    assert "found one that refers to other files or hosts" in problem(tmp_path)


def test_of_several_layers_the_one_with_the_column(tmp_path):
    write(tmp_path / "a" / "x.gpkg", [square()])
    frame = geopandas.GeoDataFrame({"crop": ["x"]}, geometry=[square(1)], crs=4326)
    pyogrio.write_dataframe(frame, tmp_path / "a" / "x.gpkg", layer="parcels")
    table, _ = read(tmp_path, a={"files": "a/*", "name_column": "crop", "names": {"x": "pea"}})
    assert table.crop.tolist() == ["pea"]
