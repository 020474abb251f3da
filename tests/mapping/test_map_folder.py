"""Finished maps read back: each place once, whatever overlaps."""

import json

import numpy as np
import pyproj
import pytest
from mapping import made_maps

from cropmap_jax.mapping import map_folder, map_strata, province_grid


def count(found, provinces=None):
    counting = map_strata.Counting(found, provinces, True)
    for _ in counting.run():
        pass
    return counting.counts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("maps")
    pixels = made_maps.blocks()
    pixels[:2] = 255
    made_maps.write(
        root / "map",
        ("a", pixels[:, :30], made_maps.grid((40, 30))),
        ("b", pixels[:, 30:], made_maps.grid((40, 30), col=30)),
        masked=10,
    )
    return root, pixels


def test_a_map_is_what_was_written(made):
    root, pixels = made
    found = map_folder.open_map(root / "map")
    assert [cube.cube_id for cube in found.cubes] == ["a", "b"]
    assert found.names == ("wheat", "sugarbeet", "none_of_these", "no_data")
    assert found.titles == ("Wheat", "Sugar beet", "None of these", "No data")
    assert found.colours == ("#e6ab02", "#1b9e77", "#dddddd", "#ffffff")
    assert (found.as_of, found.masked_ha) == ("2022-06-01", pytest.approx(0.2))
    counts = count(found)
    expected = [(pixels == value).sum() for value in (0, 1, 254, 255)]
    assert counts.pixels.tolist() == [expected]
    assert counts.hectares[0] == pytest.approx(np.array(expected) / 100)
    assert counts.confidence[:3] == pytest.approx(0.8) and np.isnan(counts.confidence[3])
    assert counts.shared_ha == 0 and counts.provinces == ("",)


def test_provinces_by_the_centres_of_pixels(made):
    root, pixels = made
    file = made_maps.provinces(root / "p.geojson", made_maps.grid((40, 60)))
    provinces = province_grid.read(file)
    counts = count(map_folder.open_map(root / "map"), provinces)
    assert counts.provinces == ("West", "East", "outside all provinces")
    for number, part in enumerate((pixels[:, :30], pixels[:, 30:])):
        expected = [(part == value).sum() for value in (0, 1, 254, 255)]
        assert counts.pixels[number].tolist() == expected
    assert counts.pixels[2].sum() == 0


def test_ground_outside_all_provinces_counts_too(made):
    root, pixels = made
    file = made_maps.provinces(root / "q.geojson", made_maps.grid((40, 20), col=-200))
    counts = count(map_folder.open_map(root / "map"), province_grid.read(file))
    assert counts.pixels[:2].sum() == 0 and counts.pixels[2].sum() == pixels.size


def overlapping(root):
    """Two cubes of neighbouring UTM zones on the same ground, near the border of the zones."""
    there = pyproj.Transformer.from_crs(4326, 32638, always_xy=True).transform(48.0, 35.0)
    left, top = (10 * round(v / 10) for v in there)
    first = made_maps.grid((60, 60), left=left, top=top, epsg=32638)
    turn = pyproj.Transformer.from_crs(32638, 32639, always_xy=True)
    x, y = turn.transform(left + 150, top - 150)
    second = made_maps.grid((60, 60), left=10 * round(x / 10), top=10 * round(y / 10))
    made_maps.write(
        root / "map",
        ("one", np.zeros((60, 60), np.uint8), first),
        ("two", np.ones((60, 60), np.uint8), second),
    )
    return map_folder.open_map(root / "map")


def test_ground_where_two_zones_overlap_counts_once(tmp_path):
    found = overlapping(tmp_path)
    one, two = found.cubes
    assert one.owned().all() and not two.owned().all()
    rows, cols = np.indices((60, 60))
    lon, lat = two.lonlat(rows, cols)
    inside = one.holds(lon, lat, pyproj.CRS(4326))
    assert (two.owned() == ~inside).all()
    counts = count(found)
    assert counts.pixels[0, :2].tolist() == [3600, int((~inside).sum())]
    assert counts.shared_ha == pytest.approx(inside.sum() / 100)
    # The two together cover what their outlines cover.
    outline = one.footprint.union(two.footprint)
    area = abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(outline)[0]) / 1e4
    assert counts.hectares.sum() == pytest.approx(area, rel=5e-3)


def test_points_are_found_where_the_pixels_are(tmp_path):
    found = overlapping(tmp_path)
    two = found.cubes[1]
    rows, cols = np.nonzero(two.owned())
    lon, lat = two.lonlat(rows, cols)
    at = map_folder.locate(found, lon.round(7), lat.round(7))
    assert (at.cube == 1).all() and (at.row == rows).all() and (at.col == cols).all()
    shared = np.argwhere(~two.owned())[:5].T
    at = map_folder.locate(found, *two.lonlat(*shared))
    assert (at.cube == 0).all()
    at = map_folder.locate(found, np.array([10.0, 48.0]), np.array([50.0, 35.5]))
    assert (at.cube == -1).all()


def test_a_digest_is_of_pixels_and_places(tmp_path):
    pixels = made_maps.blocks((8, 9))
    digests = []
    for name, changed, col in (("a", pixels, 0), ("b", pixels, 1), ("c", 2 - pixels // 254, 0)):
        made_maps.write(
            tmp_path / name, ("x", changed.astype(np.uint8) % 2, made_maps.grid((8, 9), col))
        )
        digests.append(count(map_folder.open_map(tmp_path / name)).digests.whole())
    again = count(map_folder.open_map(tmp_path / "a")).digests
    assert len(set(digests)) == 3 and again.whole() == digests[0] and list(again.cubes) == ["x"]


def test_what_is_no_finished_map(tmp_path):
    with pytest.raises(ValueError, match="--map .*nowhere: expected the folder of a map"):
        map_folder.open_map(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="found no <cube>/map.json"):
        map_folder.open_map(tmp_path)
    pixels = made_maps.blocks((8, 9))
    made_maps.write(tmp_path / "map", ("x", pixels, made_maps.grid((8, 9))))
    (tmp_path / "map" / "summary.csv").rename(tmp_path / "away.csv")
    with pytest.raises(ValueError, match="expected a finished map, found no summary.csv"):
        map_folder.open_map(tmp_path / "map")


def test_a_cube_without_metadata_is_told(tmp_path):
    pixels = made_maps.blocks((8, 9))
    places = [(name, pixels, made_maps.grid((8, 9), col=20 * i)) for i, name in enumerate("abc")]
    made_maps.write(tmp_path / "map", *places)
    assert map_folder.open_map(tmp_path / "map").notes == []
    for name in "ac":
        (tmp_path / "map" / name / "map.json").unlink()
    found = map_folder.open_map(tmp_path / "map")
    assert [cube.cube_id for cube in found.cubes] == ["b"]
    assert found.notes == [
        "2 folders (a, ...) without map.json: left out; predict again completes the map"
    ]


def test_maps_of_two_kinds_in_one_folder(tmp_path):
    pixels = made_maps.blocks((8, 9))
    parts = [(n, pixels, made_maps.grid((8, 9), 9 * i)) for i, n in enumerate("xy")]
    made_maps.write(tmp_path, *parts)
    file = tmp_path / "y" / "map.json"
    changed = json.loads(file.read_text())
    changed["settings"]["step"] = 4
    file.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="y/map.json: expected classes and settings as in x"):
        map_folder.open_map(tmp_path)


def test_a_value_that_is_no_class(tmp_path):
    made_maps.write(tmp_path, ("x", made_maps.blocks((8, 9)), made_maps.grid((8, 9))))
    found = map_folder.open_map(tmp_path)
    with pytest.raises(ValueError, match="crop.tif: expected pixel values of 2 classes.* found 7"):
        found.classes(np.array([[0, 7]]), found.cubes[0].path)


def test_provinces_without_names(tmp_path):
    import geopandas
    import shapely

    box = shapely.box(48, 35, 49, 36)
    frame = geopandas.GeoDataFrame({"a": ["x"], "b": ["y"]}, geometry=[box], crs=4326)
    frame.to_file(tmp_path / "p.gpkg")
    with pytest.raises(ValueError, match="expected --provinces_column .* found columns a, b"):
        province_grid.read(tmp_path / "p.gpkg")
    assert province_grid.read(tmp_path / "p.gpkg", "b").names == ("y",)
    frame.assign(b=[""]).to_file(tmp_path / "q.gpkg")
    with pytest.raises(ValueError, match="feature 1: expected a name in 'b', found none"):
        province_grid.read(tmp_path / "q.gpkg", "b")
    with pytest.raises(ValueError, match="--provinces .*: expected a file, found none"):
        province_grid.read(tmp_path / "none.gpkg")


def test_parts_of_one_name_are_one_province(tmp_path):
    import geopandas
    import shapely

    parts = [shapely.box(48, 35, 49, 36), shapely.box(50, 35, 51, 36)]
    frame = geopandas.GeoDataFrame({"name": ["East_Iran", "east iran"]}, geometry=parts, crs=4326)
    frame.to_file(tmp_path / "p.gpkg")
    found = province_grid.read(tmp_path / "p.gpkg")
    assert found.names == ("East_Iran",) and found.shapes[0].area == pytest.approx(2)
