"""Provinces: reading their outlines, and the one that each field lies in."""

import dataclasses

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from cropmap_jax.ground_truth import provinces
from cropmap_jax.ground_truth.audit_log import OUTSIDE, AuditLog, Drop
from cropmap_jax.ground_truth.provinces import assign
from cropmap_jax.ground_truth.settings import Layer, Provinces, Settings

WORLD = "EPSG:4326"


def outlines(**boxes) -> geopandas.GeoDataFrame:
    """Provinces from (west, south, east, north) in degrees."""
    shapes = [shapely.box(*box) for box in boxes.values()]
    return geopandas.GeoDataFrame({"province": list(boxes)}, geometry=shapes, crs=WORLD)


def fields(*shapes) -> geopandas.GeoDataFrame:
    count = len(shapes)
    table = {"field": np.arange(7, 7 + count, dtype=np.uint32), "layer": "maize", "file": "m.shp"}
    table["row"] = np.arange(count)
    return geopandas.GeoDataFrame(table, geometry=list(shapes), crs=WORLD, index=range(count))


def make_settings(folder, column: str = "name", files: str = "provinces/*") -> Settings:
    layers = {"maize": Layer("*", "2022", "maize")}
    return Settings(str(folder), layers, classes=("maize",), provinces=Provinces(files, column))


def write(folder, table: geopandas.GeoDataFrame, name: str = "a.shp", crs: str = WORLD) -> None:
    (folder / "provinces").mkdir(exist_ok=True)
    table.to_crs(crs).rename(columns={"province": "name"}).to_file(folder / "provinces" / name)


def read(folder, **changes) -> tuple[geopandas.GeoDataFrame | None, list[str]]:
    log = AuditLog()
    return provinces.read_provinces(make_settings(folder, **changes), log), log.problems


# Names.


def test_spellings_of_one_place():
    keys = {provinces.place_key(n) for n in ("Boyer-Ahmad", " boyer_ahmad", "BOYER  AHMAD ")}
    assert keys == {"boyer ahmad"}
    # Ye as an Arabic and as a Persian keyboard writes it.
    assert provinces.place_key("\u064a\u0632\u062f") == provinces.place_key("\u06cc\u0632\u062f")


# Reading.


def test_provinces_come_in_longitude_and_latitude(tmp_path):
    made = outlines(Fars=(51, 28, 54, 31), Yazd=(54, 30, 56, 33))
    write(tmp_path, made, crs="EPSG:3857")
    found, problems = read(tmp_path)
    assert problems == []
    assert found.crs == WORLD
    assert found.columns.tolist() == ["province", "geometry"]
    assert found.province.tolist() == ["Fars", "Yazd"]
    assert shapely.equals_exact(found.geometry, made.geometry, 1e-9, normalize=True).all()


def test_features_of_one_name_are_one_province(tmp_path):
    write(tmp_path, outlines(Fars=(51, 28, 52, 31), Yazd=(54, 30, 56, 33)))
    write(tmp_path, outlines(fars=(52, 28, 54, 31), FARS=(57, 28, 58, 29)), "b.shp")
    found, problems = read(tmp_path)
    assert problems == []
    assert found.province.tolist() == ["Fars", "Yazd"]
    # 1 x 3 and 2 x 3 square degrees that touch, and an exclave of one.
    assert found.geometry[0].area == pytest.approx(10)
    assert len(found.geometry[0].geoms) == 2


def test_rings_are_repaired_and_heights_forgotten(tmp_path):
    # A bow tie of two triangles, each with a base of 2 and a height of 1.
    bow = shapely.Polygon([(50, 30, 9), (52, 32, 9), (52, 30, 9), (50, 32, 9)])
    write(tmp_path, geopandas.GeoDataFrame({"name": ["Fars"]}, geometry=[bow], crs=WORLD), "a.gpkg")
    found, problems = read(tmp_path)
    assert problems == []
    assert found.geometry[0].is_valid and not found.geometry[0].has_z
    assert found.geometry[0].area == pytest.approx(2)


def test_no_provinces_and_no_files(tmp_path):
    settings = dataclasses.replace(make_settings(tmp_path), provinces=None)
    assert provinces.read_provinces(settings, AuditLog()) is None
    assert provinces.known_places(settings) is None
    for files in ("places/*.shp", "/places/*.shp"):
        found, (problem,) = read(tmp_path, files=files)
        assert found is None
        assert problem.startswith(f"config.provinces.files: expected files that match {files!r} ")
        assert str(tmp_path) in problem and problem.endswith("found none")


def test_a_misspelt_column(tmp_path):
    write(tmp_path, outlines(Fars=(51, 28, 52, 31)).assign(area=1.0))
    found, problems = read(tmp_path, column="nam")
    assert found is None
    assert problems == [
        "provinces/a.shp: expected a column 'nam' (config.provinces.column), found name, area; "
        "did you mean 'name'?"
    ]


@pytest.mark.parametrize("suffix", [".prj", ".dbf", ".shx"])
def test_a_missing_part_leaves_its_file_out(tmp_path, suffix):
    write(tmp_path, outlines(Fars=(51, 28, 52, 31)))
    write(tmp_path, outlines(Yazd=(54, 30, 56, 33)), "b.shp")
    (tmp_path / "provinces" / f"b{suffix}").unlink()
    found, (problem,) = read(tmp_path)
    assert problem.startswith(f"provinces/b.shp: expected b{suffix} next to it")
    assert found.province.tolist() == ["Fars"]


def test_files_that_hold_no_provinces(tmp_path):
    write(tmp_path, outlines(Fars=(51, 28, 52, 31)))
    (tmp_path / "provinces" / "b.geojson").write_text("no json")
    (tmp_path / "provinces" / "c.csv").write_text("name\nYazd\n")
    empty = '{"type": "FeatureCollection", "features": []}'
    (tmp_path / "provinces" / "d.geojson").write_text(empty)
    found, problems = read(tmp_path)
    assert found.province.tolist() == ["Fars"]
    assert [p.split(": expected ")[0] for p in problems] == [
        "provinces/b.geojson", "provinces/c.csv", "provinces/d.geojson",
    ]  # fmt: skip


def test_a_wrong_coordinate_system(tmp_path):
    # Metres that claim to be degrees.
    table = outlines(Fars=(51, 28, 52, 31)).to_crs(3857).set_crs(WORLD, allow_override=True)
    write(tmp_path, table, "a.gpkg")
    found, (problem,) = read(tmp_path)
    assert found is None
    # 51 degrees are 51 / 180 of half the equator, pi 6378137 m: 5677294 m.
    assert problem.startswith("provinces/a.gpkg: expected coordinates of WGS 84, found x 5677294 ")


def test_features_without_name_or_ground_are_left_out(tmp_path):
    box = (51, 28, 52, 31)
    table = outlines(Fars=box, Yazd=box, Qom=box, Ilam=box, Semnan=(51, 89, 52, 92))
    table["province"] = [" Fars ", " ", "Qom", "Ilam", "Semnan"]
    table.loc[2, "geometry"] = shapely.Polygon()
    table.loc[3, "geometry"] = shapely.Point(51, 30)
    write(tmp_path, table, "a.gpkg")
    found, problems = read(tmp_path)
    assert found.province.tolist() == ["Fars"]
    at = "provinces/a.gpkg, feature"
    assert problems[:3] == [
        f"{at} 1: expected a name in 'name', found none",
        f"{at} 2: expected a polygon, found none",
        f"{at} 3: expected a polygon, found none",
    ]
    assert len(problems) == 4
    assert problems[3].startswith(f"{at} 4: expected a polygon, found x ")
    assert problems[3].endswith(", y 92")


def test_known_places_need_no_outlines(tmp_path):
    write(tmp_path, outlines(Fars=(51, 28, 52, 31), East_Azerbaijan=(54, 30, 56, 33)))
    known = {"fars": "Fars", "east azerbaijan": "East_Azerbaijan"}
    assert provinces.known_places(make_settings(tmp_path)) == known
    assert provinces.known_places(make_settings(tmp_path, column="nam")) is None


# Assigning.


def test_a_field_belongs_where_its_representative_point_lies():
    places = outlines(west=(50, 30, 51, 31), east=(51, 30, 52, 31))
    found = assign(
        fields(
            shapely.Point(51.2, 30.5),
            shapely.box(50.2, 30.2, 50.3, 30.3),
            # Across the border: from 50.9 to 51.3, its middle is 51.1.
            shapely.box(50.9, 30.4, 51.3, 30.5),
        ),
        places, 5.0, log := AuditLog(),
    )  # fmt: skip
    assert found.province.tolist() == ["east", "west", "east"]
    assert found.field.tolist() == [7, 8, 9] and found.field.dtype == np.uint32
    assert (log.drops, log.counts) == ([], {})


def test_a_field_in_a_gap_belongs_where_most_of_it_lies():
    # Nobody's land from 50.9 to 51; the field from 50.6 to 51.2 has its middle, 50.9, on its edge:
    # 0.3 lie in the west and 0.2 in the east; the second, from 50.8 to 51.1, has 0.1 in both: the
    # first province in the file.
    places = outlines(east=(51, 30, 52, 31), west=(50, 30, 50.90625, 31))
    table = fields(
        shapely.box(50.625, 30.4, 51.1875, 30.5), shapely.box(50.8125, 30.4, 51.09375, 30.5)
    )
    assert 50.90625 <= shapely.point_on_surface(table.geometry[0]).x < 51
    log = AuditLog()
    assert assign(table, places, 5.0, log).province.tolist() == ["west", "east"]
    assert log.counts == {}


def test_the_first_of_overlapping_provinces_holds_a_field():
    places = outlines(a=(50, 30, 52, 31), b=(50, 30, 52, 31))
    table = fields(shapely.Point(51, 30.5), shapely.Point(51.5, 30.5))
    assert assign(table, places, 5.0, AuditLog()).province.tolist() == ["a", "a"]
    assert assign(table, places[::-1], 5.0, AuditLog()).province.tolist() == ["b", "b"]


def test_a_field_just_outside_belongs_to_the_nearest():
    # A degree of a meridian at latitude 31 is 110.87 km: 0.04 degrees are 4.43 km, 0.05 are 5.54.
    table = fields(
        shapely.Point(50.5, 31.04), shapely.Point(50.5, 31.05), shapely.Point(50.5, 30.9)
    )
    table["row"] = [3, 4, 5]
    log = AuditLog()
    found = assign(table, outlines(Fars=(50, 30, 51, 31)), 5.0, log)
    assert found.province.tolist() == ["Fars", "Fars"]
    assert found.field.tolist() == [7, 9]
    assert found.index.tolist() == [0, 1]
    assert log.counts == {"fields just outside all provinces": 1}
    assert log.drops == [Drop("maize", "m.shp", 4, OUTSIDE, "5.5 km from Fars")]


def test_near_is_meant_on_the_ground():
    # At latitude 60 a degree of a parallel is 55.80 km, one of a meridian 111.42 km: 0.08 degrees
    # west of one are 4.46 km, 0.06 north of the other 6.7 km. In degrees, the second is nearer.
    places = outlines(north=(10, 58, 11, 60), east=(10.58, 59, 12, 62))
    table = fields(shapely.Point(10.5, 60.06))
    assert assign(table, places, 5.0, AuditLog()).province.tolist() == ["east"]
    log = AuditLog()
    assert assign(table, places, 4.0, log).empty
    assert log.drops[0].detail == "4.5 km from east"


def test_the_first_of_equally_near_provinces():
    # North of the corner that both share.
    places = outlines(west=(50, 30, 51, 31), east=(51, 30, 52, 31))
    table = fields(shapely.Point(51, 31.01))
    assert assign(table, places, 5.0, AuditLog()).province.tolist() == ["west"]
    assert assign(table, places[::-1], 5.0, AuditLog()).province.tolist() == ["east"]


def test_a_polygon_is_as_near_as_its_nearest_edge():
    # From 0.02 to 0.3 degrees north of the province: 2.2 km at latitude 31.
    table = fields(shapely.box(50.4, 31.02, 50.5, 31.3))
    log = AuditLog()
    assert len(assign(table, outlines(Fars=(50, 30, 51, 31)), 2.3, log)) == 1
    assert assign(table, outlines(Fars=(50, 30, 51, 31)), 2.1, log).empty


def test_without_provinces_all_lie_in_one_place():
    table = fields(shapely.Point(0, 0), shapely.Point(90, 45)).set_index(np.array([4, 9]))
    found = assign(table, None, 5.0, AuditLog())
    assert found.province.tolist() == ["", ""]
    assert found.index.tolist() == [0, 1]


def test_no_fields():
    found = assign(fields(), outlines(Fars=(50, 30, 51, 31)), 5.0, AuditLog())
    assert found.empty and "province" in found


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(49.9, 52.1), st.floats(29.9, 31.1)), max_size=8))
def test_no_field_is_lost_or_kept_too_far_out(spots):
    places = outlines(west=(50, 30, 51, 31), east=(51, 30, 52, 31))
    log = AuditLog()
    found = assign(fields(*(shapely.Point(s) for s in spots)), places, 5.0, log)
    dropped = {drop.row for drop in log.drops}
    assert set(found.row) | dropped == set(range(len(spots)))
    assert not set(found.row) & dropped
    for place, spot in zip(found.province, found.geometry, strict=True):
        # 5 km are 0.0453 degrees of latitude or more of longitude, at most 0.0525.
        own = places.geometry[places.province == place].iloc[0]
        assert own.distance(spot) < 0.0525


def test_the_real_provinces(real_dir):
    source = real_dir / "isrc"
    if not (source / "provinces").is_dir():
        pytest.skip(f"no provinces in {source}")
    found, problems = read(source, column="province", files="provinces/*.shp")
    assert problems == []
    assert len(found) == 31
    assert found.geometry.is_valid.all()
    # Iran lies between 44 and 64 degrees east, 25 and 40 north.
    assert np.abs(found.total_bounds - (44, 25, 63.3, 39.8)).max() < 0.2
    # The capital, and a place 37 km out in the Caspian Sea.
    table = fields(shapely.Point(51.39, 35.69), shapely.Point(50.9, 37.2))
    log = AuditLog()
    assert assign(table, found, 5.0, log).province.tolist() == ["Tehran"]
    assert log.drops[0].row == 1
