"""Files of parcels: what is read of them, what is written, and what is refused."""

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely

from cropmap_jax.mapping import field_table, parcels

CRS = "EPSG:32639"
SQUARE = shapely.box(500_000, 3_800_000, 500_100, 3_800_050)
BOW = shapely.Polygon([(0, 0), (100, 100), (100, 0), (0, 100)])  # crosses itself
FORMATS = ("a.gpkg", "a.parquet", "a.geoparquet", "a.fgb")


def frame(*shapes, crs=CRS, **columns):
    return geopandas.GeoDataFrame(columns, geometry=list(shapes), crs=crs)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_comes_back_as_it_was(tmp_path, name):
    given = frame(
        SQUARE,
        shapely.transform(BOW, lambda xy: xy + [500_200, 3_800_000]),
        shapely.transform(SQUARE, lambda xy: xy + [0, 500]),
        نام=["گندم", None, "x"],
        area=[1.5, np.nan, 3],
    )
    field_table.write(tmp_path / name, given, "2022-06-01")
    first = (tmp_path / name).read_bytes()
    found = parcels.read(tmp_path / name)
    assert found.suffix == (tmp_path / name).suffix and found.frame.crs == CRS
    back = found.frame.sort_values("area")  # a FlatGeobuf has an order of its own
    assert list(back.columns) == ["نام", "area", "geometry"]
    assert back["نام"].tolist()[:2] == ["گندم", "x"] and len(back) == 3
    # UTM near its middle: 0.9996 squared. What crosses itself is repaired: two triangles.
    np.testing.assert_allclose(sorted(found.hectares), np.array([0.5, 0.5, 0.5]) / 0.9996**2,
                               rtol=1e-4)  # fmt: skip
    field_table.write(tmp_path / name, given, "2022-06-01")
    assert (tmp_path / name).read_bytes() == first
    assert not [path for path in tmp_path.iterdir() if path.name != name]


def test_the_digest_is_of_shapes_and_not_of_columns():
    def digest(*shapes, crs=CRS, **columns):
        given = frame(*shapes, crs=crs, **columns)
        lonlat = np.asarray(given.to_crs(4326).geometry.values, object)
        return parcels.Parcels(given, lonlat, ".gpkg").digest

    other = shapely.transform(SQUARE, lambda xy: xy + 1)
    assert digest(SQUARE, other) == digest(SQUARE, other, name=["a", "b"])
    assert len({digest(SQUARE, other), digest(other, SQUARE), digest(SQUARE)}) == 3


def refused(path, match, layer=""):
    with pytest.raises(ValueError, match=match) as error:
        parcels.read(path, layer)
    assert "\n" not in str(error.value) and str(error.value).startswith("--fields")


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path):
    refused(tmp_path / "none.gpkg", "none.gpkg: expected a file, found none")
    refused(tmp_path / "a.shp", "expected a GeoPackage, GeoParquet or FlatGeobuf .* found '.shp'")
    for name in FORMATS:
        (tmp_path / name).write_bytes(b"no")
        refused(tmp_path / name, f"{name}: expected a .* found: ")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "plain.parquet")
    refused(tmp_path / "plain.parquet", "no column of coordinates")


def test_what_holds_no_parcels_is_refused_in_one_line(tmp_path):
    frame().to_parquet(tmp_path / "empty.parquet")
    refused(tmp_path / "empty.parquet", "expected features, found an empty layer")
    frame(shapely.Point(5e5, 38e5)).to_file(tmp_path / "points.gpkg")
    refused(tmp_path / "points.gpkg", r"expected polygons, found no area \(Point\)")
    for name in ("nowhere.parquet", "nowhere.geoparquet"):
        frame(SQUARE, crs=None).to_parquet(tmp_path / name)
        refused(tmp_path / name, "geographic or projected coordinate system, found 'none'")
    frame(SQUARE, crs=4326).to_file(tmp_path / "degrees.fgb")
    refused(tmp_path / "degrees.fgb", "expected coordinates of WGS 84, found x 500000")


def test_of_several_layers_one_is_named(tmp_path):
    file = tmp_path / "two.gpkg"
    frame(SQUARE).to_file(file, layer="a")
    frame(SQUARE, SQUARE).to_file(file, layer="b")
    refused(file, "expected one layer with geometries, found a, b; choose one with --fields_layer")
    refused(file, "expected a layer 'c' with geometries, found a, b", "c")
    assert len(parcels.read(file, "b")) == 2
