"""Tables with coordinates: CSV as people write it, and Parquet."""

import numpy as np
import pandas as pd
import pytest
import shapely

from cropmap_jax.ground_truth import tables


def read(folder, text, encoding="utf-8", **settings):
    path = folder / "fields.csv"
    path.write_bytes(text.encode(encoding))
    return tables.read(path, **settings)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("crop,latitude,longitude\nمعلوم,51.5,5.25\n", "utf-8"),
        ("\ufeffLat;Lon;crop\r\n51,5;5,25;معلوم\r\n", "utf-8"),
        ("sep=;\nlat;lon;crop\n51,5;5,25;معلوم\n", "utf-8"),
        ("lat\tlng\tcrop\n51.5\t5.25\tمعلوم\n", "utf-16"),
        ("x,y,crop\n5.25,51.5,معلوم\n", "utf-8"),
        ('crop|WKT\nمعلوم|"POINT (5.25 51.5)"\n', "utf-8"),
        ("lat,lon,crop\n۵۱٫۵,۵٫۲۵,معلوم\n", "utf-8"),
    ],
)
def test_coordinates_in_degrees(tmp_path, text, encoding):
    found = read(tmp_path, text, encoding)
    assert found.crs == "EPSG:4326" and not found.strays
    assert found.geometry[0].equals(shapely.Point(5.25, 51.5))
    assert found.frame.crop.tolist() == ["معلوم"]


def test_metres_need_a_coordinate_system(tmp_path):
    text = "x,y\n512345.5,5650000\n"
    assert not read(tmp_path, text).crs
    assert read(tmp_path, text, crs="EPSG:32631").crs == "EPSG:32631"
    assert read(tmp_path, "geom\nSRID=32631;POINT (1000 2000)\n").crs == "EPSG:32631"


def test_a_polygon_longer_than_a_cell(tmp_path):
    shape = shapely.Point(0, 0).buffer(1, quad_segs=4000)
    found = read(tmp_path, f"wkt;crop\n{shape.wkt};maize\n")
    assert len(shape.wkt) > 131_072 and found.geometry[0].equals_exact(shape, 1e-9)


def test_an_odd_row_costs_that_row(tmp_path):
    text = "lat,lon,crop\n51,5,a\n,5,b\nx,5,c\n51,5,2,d\n51\n\n52,6,e\n"
    found = read(tmp_path, text)
    assert [g is None for g in found.geometry] == [False, True, True, True, True, False]
    assert found.strays == {2: "x '5', y 'x'", 3: "4 cells, expected 3"}
    wkb = [shapely.Point(1, 2).wkb, b"\x01\x03", None]
    pd.DataFrame({"geometry": wkb, "n": [1, 2, 3]}).to_parquet(tmp_path / "a.parquet")
    found = tables.read(tmp_path / "a.parquet")
    assert [g is None for g in found.geometry] == [False, True, True] and list(found.strays) == [1]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_table_without_places(tmp_path, name):
    frame = pd.DataFrame({"crop": ["maize"], "area": [1.0]})
    frame.to_csv(tmp_path / name) if name == "a.csv" else frame.to_parquet(tmp_path / name)
    with pytest.raises(ValueError, match="no column of coordinates .* among .*crop, area"):
        tables.read(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1.234,5", 1234.5), ("1,234.5", 1234.5), ("-3", -3), ("\u22123,5", -3.5), ("1 000", 1000)],
)
def test_numbers(text, value):
    assert tables.parse_number(text) == value


def test_geoparquet_says_its_coordinate_system(tmp_path):
    import geopandas

    frame = geopandas.GeoDataFrame({"n": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs=32631)
    for name, encoding in (("a.parquet", "WKB"), ("b.parquet", "geoarrow")):
        frame.to_parquet(tmp_path / name, geometry_encoding=encoding)
        found = tables.read(tmp_path / name)
        assert found.crs == "EPSG:32631" and list(found.frame.columns) == ["n"]
        assert np.array_equal(shapely.bounds(found.geometry), [[0, 0, 1, 1]])
