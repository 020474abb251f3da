"""Samples of a map: drawn by chance alone, and refused where they are not what was drawn."""

import json
import re

import numpy as np
import pytest
from mapping import made_maps
from mapping.test_map_folder import count, overlapping

from cropmap_jax.mapping import (
    map_folder,
    map_strata,
    province_grid,
    sample_design,
    sample_files,
    sample_lookup,
)

SHAPE = (40, 60)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A map of two cubes with a strip of no data, and the provinces west and east."""
    root = tmp_path_factory.mktemp("sample")
    pixels = made_maps.blocks(SHAPE)
    pixels[:2] = 255
    made_maps.write(
        root / "map",
        ("a", pixels[:, :30], made_maps.grid((40, 30))),
        ("b", pixels[:, 30:], made_maps.grid((40, 30), col=30)),
    )
    found = map_folder.open_map(root / "map")
    file = made_maps.provinces(root / "p.geojson", made_maps.grid(SHAPE))
    provinces = province_grid.read(file)
    return root, found, provinces, count(found, provinces)


def draw(found, provinces, strata, sizes, seed=0):
    drawing = map_strata.Drawing(found, provinces, strata, np.array(sizes), seed)
    for _ in drawing.run():
        pass
    return drawing.points()


def shown_at(found, located):
    out = np.zeros(len(located.cube), int)
    for number, own in located.by_cube():
        cube = found.cubes[number]
        out[own] = found.classes(cube.read(), "")[located.row[own], located.col[own]]
    return out


def test_points_are_of_their_stratum_and_none_comes_twice(made):
    _, found, provinces, counts = made
    strata = map_strata.make_strata(counts, found.no_data, True, False, 0)
    assert sum(s.pixels for s in strata) == 38 * 60
    assert {(s.map_class, s.province) for s in strata} == {(c, p) for c in range(3) for p in (0, 1)}
    assert sorted(s.code for s in strata) == ["s1", "s2", "s3", "s4", "s5", "s6"]
    located, stratum = draw(found, provinces, strata, [7] * 6)
    assert np.bincount(stratum).tolist() == [7] * 6
    places = set(zip(located.cube, located.row, located.col, strict=True))
    assert len(places) == 42
    assert shown_at(found, located).tolist() == [strata[h].map_class for h in stratum]
    # The cubes are the provinces.
    assert located.cube.tolist() == [strata[h].province for h in stratum]


def test_all_pixels_of_a_stratum_can_be_drawn(made):
    _, found, _, counts = made
    strata = map_strata.make_strata(counts, found.no_data, False, True, 0)
    located, stratum = draw(found, None, strata, [s.pixels for s in strata])
    places = set(zip(located.cube, located.row, located.col, strict=True))
    assert len(places) == 40 * 60 == len(stratum)


def test_the_seed_decides_and_nothing_else(made):
    _, found, _, counts = made
    strata = map_strata.make_strata(counts, found.no_data, False, False, 0)
    one, two, other = (draw(found, None, strata, [20] * 3, seed)[0] for seed in (5, 5, 6))
    assert (one.row == two.row).all() and (one.col == two.col).all()
    assert not (one.row == other.row).all()


def test_every_pixel_has_the_same_chance(made):
    """Each of a stratum's pixels is drawn in 60 of 300 draws of a fifth: within 5 standard
    deviations (7) for all of them, and the two cubes get their shares."""
    _, found, _, counts = made
    strata = map_strata.make_strata(counts, found.no_data, False, False, 0)[:1]
    (stratum,) = strata
    hits, draws = {}, 300
    size = stratum.pixels // 5
    for seed in range(draws):
        located, _ = draw(found, None, strata, [size], seed)
        for place in zip(located.cube, located.row, located.col, strict=True):
            hits[place] = hits.get(place, 0) + 1
    p = size / stratum.pixels
    spread = np.sqrt(draws * p * (1 - p))
    assert len(hits) == stratum.pixels
    assert np.abs(np.array(list(hits.values())) - draws * p).max() < 5 * spread


def test_ground_of_two_zones_is_drawn_once(tmp_path):
    found = overlapping(tmp_path)
    strata = map_strata.make_strata(count(found), found.no_data, False, False, 0)
    located, stratum = draw(found, None, strata, [s.pixels for s in strata])
    two = found.cubes[1]
    own = located.cube == 1
    assert own.sum() == strata[1].pixels == two.owned().sum()
    assert two.owned()[located.row[own], located.col[own]].all()


def sample(made, tmp_path, by_province=False, no_data="outside", sizes=None):
    """A sample as `sample_points` writes it, with the map's class as reference."""
    _, found, provinces, counts = made
    strata = map_strata.make_strata(counts, found.no_data, by_province, no_data == "stratum", 0)
    sizes = np.array(sizes or [10] * len(strata))
    located, stratum = draw(found, provinces if by_province else None, strata, sizes)
    shown, rows = shown_at(found, located), []
    for i, h in enumerate(stratum):
        cube = found.cubes[located.cube[i]]
        lon, lat = cube.lonlat(located.row[i : i + 1], located.col[i : i + 1])
        row = {"id": i + 1, "lon": round(float(lon[0]), 7), "lat": round(float(lat[0]), 7)}
        reference = found.names[shown[i] % 3]
        rows.append(row | {"stratum": strata[h].code, "reference": reference, "note": ""})
    points = [{k: row[k] for k in ("id", "lon", "lat", "stratum")} for row in rows]
    more = {"date": "2022-07-01", "seed": 0, "no_data": no_data}
    text = sample_design.to_json(found, counts, strata, sizes, points, more)
    (tmp_path / "design.json").write_bytes(text)
    sample_files.write(tmp_path / "points.csv", rows)
    return str(tmp_path / "design.json"), str(tmp_path / "points.csv"), rows


def test_a_sample_comes_back_as_it_was_drawn(made, tmp_path):
    _, found, provinces, counts = made
    design_file, points, rows = sample(made, tmp_path, sizes=[4, 5, 6])
    design = sample_design.read(design_file, found, counts)
    assert [s.points for s in design.strata] == [4, 5, 6] and design.notes == ()
    answers = sample_files.read(points, design, found)
    shown, home = sample_lookup.look_up(found, design, provinces, "--points x")
    assert answers.reference.tolist() == shown.tolist()
    assert [design.strata[h].map_class for h in design.stratum] == shown.tolist()
    assert set(home) <= {0, 1}
    like_class, like_province = sample_lookup.shares_of_strata(design, counts, provinces)
    assert like_class.shape == (3, 4) and like_class.sum() == 3
    assert like_province.sum(1) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["gpkg", "geojson", "csv"])
def test_points_in_any_order_format_and_spelling(made, tmp_path, kind):
    _, found, _, counts = made
    design_file, _, rows = sample(made, tmp_path)
    spelt = {"wheat": "WHEAT ", "sugarbeet": "Sugar  beet", "none_of_these": "other"}
    changed = [row | {"reference": spelt[row["reference"]]} for row in rows][::-1]
    sample_files.write(tmp_path / f"again.{kind}", changed)
    design = sample_design.read(design_file, found, counts)
    answers = sample_files.read(str(tmp_path / f"again.{kind}"), design, found)
    expected = [found.names.index(row["reference"]) for row in rows]
    assert answers.reference.tolist() == expected


def test_a_point_without_a_reference_has_a_reason(made, tmp_path):
    _, found, _, counts = made
    design_file, _, rows = sample(made, tmp_path)
    design = sample_design.read(design_file, found, counts)
    rows[3] |= {"reference": "", "note": "under clouds"}
    made_maps.write_rows(tmp_path / "p.csv", rows)
    answers = sample_files.read(str(tmp_path / "p.csv"), design, found)
    assert answers.reference[3] == -1 and answers.notes == {3: "under clouds"}
    rows[3]["note"] = ""
    made_maps.write_rows(tmp_path / "p.csv", rows)
    with pytest.raises(ValueError, match="found none for 1 of 30 .id 4.; interpret them, or say"):
        sample_files.read(str(tmp_path / "p.csv"), design, found)


def moved(rows):
    rows[2]["lat"] = rows[2]["lat"] + 1e-4


def added(rows):
    rows.append(rows[0] | {"id": 99})


def twice(rows):
    rows.append(dict(rows[0]))


def other_class(rows):
    rows[1]["reference"] = "sugerbeet"


def other_stratum(rows):
    rows[0]["stratum"] = "s9"


@pytest.mark.parametrize(
    "change, message",
    [
        (moved, "found 1 that were moved .id 3 by 11.1 m."),
        (added, "found 1 that are not of it .id 99.; points that were added were not drawn"),
        (twice, "expected each point once, found id '1' twice"),
        (lambda rows: rows.pop(4), "expected all 30 points of the design, found none of id 5"),
        (other_class, "point 2: expected a class .wheat, sugarbeet, none_of_these., found "
                      "'sugerbeet'; did you mean 'sugarbeet'"),
        (other_stratum, "point 1: expected stratum s., found s9"),
        (lambda rows: [row.pop("reference") for row in rows], "expected a column 'reference'"),
    ],
)  # fmt: skip
def test_points_that_are_not_those_of_the_design(made, tmp_path, change, message):
    _, found, _, counts = made
    design_file, _, rows = sample(made, tmp_path)
    design = sample_design.read(design_file, found, counts)
    change(rows)
    made_maps.write_rows(tmp_path / "p.csv", rows)
    with pytest.raises(ValueError, match=f"^--points .*p.csv.*{message}") as raised:
        sample_files.read(str(tmp_path / "p.csv"), design, found)
    assert "\n" not in str(raised.value)


def test_polygons_are_no_points(made, tmp_path):
    import geopandas
    import shapely

    _, found, _, counts = made
    design_file, _, rows = sample(made, tmp_path)
    design = sample_design.read(design_file, found, counts)
    shapes = [shapely.Point(row["lon"], row["lat"]).buffer(1e-4) for row in rows]
    frame = geopandas.GeoDataFrame(rows, geometry=shapes, crs=4326)
    frame.to_file(tmp_path / "fields.gpkg")
    with pytest.raises(ValueError, match="found polygons; annotated fields were chosen"):
        sample_files.read(str(tmp_path / "fields.gpkg"), design, found)


def one_point(value):
    (stratum,) = [s for s in value["strata"] if s["map_class"] == "wheat"]
    stratum["points"] = 1
    keep = next(p for p in value["points"] if p["stratum"] == stratum["code"])
    value["points"] = [p for p in value["points"] if p["stratum"] != stratum["code"] or p is keep]


def no_points(value):
    one_point(value)
    (stratum,) = [s for s in value["strata"] if s["map_class"] == "wheat"]
    stratum["points"] = 0
    value["points"] = [p for p in value["points"] if p["stratum"] != stratum["code"]]


def no_stratum(value):
    no_points(value)
    value["strata"] = [s for s in value["strata"] if s["map_class"] != "wheat"]


@pytest.mark.parametrize(
    "change, message",
    [
        (one_point, "stratum s. .wheat.*: expected two points or more, found one, which has no"),
        (no_points, "stratum s. .wheat.*: expected points, found none: its area cannot be"),
        (no_stratum, "class wheat has 7.* ha on the map and no stratum"),
        (lambda v: v.update(selection="convenience"),
         "selection: expected one of stratified_random.* found 'convenience': fields or points "
         "that were chosen"),
        (lambda v: v["map"].update(digest="0"), "expected the map that the sample was drawn from"),
        (lambda v: v["strata"][0].update(hectares=1.0), "expected strata of the .* found 1.0 ha"),
        (lambda v: v["strata"][0].update(map_class="oats"), "expected a class of the map.*'oats'"),
        (lambda v: v["points"].pop(), "expected 10 points as it says, found 9 in its list"),
        (lambda v: v["points"][0].update(stratum="s7"), "expected the code of a stratum, found"),
        (lambda v: v["points"][0].update(lat=91), "expected a latitude in degrees, found 91"),
        (lambda v: v["points"][0].update(id=2), "expected each point once, found id '2' twice"),
        (lambda v: v.pop("map"), "expected property 'map', found none"),
        (lambda v: v.pop("strata"), "expected property 'strata', found none"),
        (lambda v: v.update(format=2), "expected format 1 of a sample's design, found 2"),
        (lambda v: v["strata"][0].update(code=v["strata"][1]["code"]), "expected each stratum on"),
    ],
)  # fmt: skip
def test_designs_that_are_refused(made, tmp_path, change, message):
    _, found, _, counts = made
    file, _, _ = sample(made, tmp_path)
    value = json.loads((tmp_path / "design.json").read_text())
    change(value)
    (tmp_path / "design.json").write_text(json.dumps(value))
    with pytest.raises(ValueError, match=f"^--design .*design.json.*{message}") as raised:
        sample_design.read(file, found, counts)
    assert "\n" not in str(raised.value)


def test_without_a_design_points_are_a_convenience_sample(made):
    _, found, _, counts = made
    with pytest.raises(ValueError, match="--points: expected --design .* no probability sample"):
        sample_design.read("", found, counts)


def test_a_map_that_has_changed_names_its_cubes(made, tmp_path):
    root, found, _, counts = made
    file, _, _ = sample(made, tmp_path)
    pixels = made_maps.blocks((40, 30), seed=1)
    made_maps.write(
        tmp_path / "map",
        ("a", found.cubes[0].read(), made_maps.grid((40, 30))),
        ("b", pixels, made_maps.grid((40, 30), col=30)),
        ("c", pixels, made_maps.grid((40, 30), col=60)),
    )
    other = map_folder.open_map(tmp_path / "map")
    with pytest.raises(ValueError, match=r"cubes 1 changed \(b\), 1 new \(c\); draw"):
        sample_design.read(file, other, count(other))


def declared(found, counts, points, **changes):
    """A design of a simple random sample that somebody drew elsewhere."""
    hectares = float(counts.hectares[:, : found.no_data].sum())
    stratum = {"code": "all", "hectares": hectares, "points": len(points)}
    value = {"format": 1, "drawn_by": "me", "selection": "simple_random", "strata": [stratum]}
    return value | {"points": [p | {"stratum": "all"} for p in points]} | changes


def places(found, row, col):
    lon, lat = found.cubes[0].lonlat(np.array(row), np.array(col))
    each = zip(lon.tolist(), lat.tolist(), strict=True)
    return [{"id": f"p{i}", "lon": x, "lat": y} for i, (x, y) in enumerate(each)]


def test_a_sample_that_was_drawn_elsewhere(made, tmp_path):
    _, found, provinces, counts = made
    points = places(found, [5, 6, 7], [5, 6, 7])
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(declared(found, counts, points)))
    design = sample_design.read(str(file), found, counts)
    assert design.strata[0].pixels == pytest.approx(38 * 60)
    assert "drawn elsewhere" in design.notes[0] and "names no map" in design.notes[1]
    shown, _ = sample_lookup.look_up(found, design, provinces, "--points x")
    pixels = found.cubes[0].read()
    assert shown.tolist() == found.classes(pixels, "")[[5, 6, 7], [5, 6, 7]].tolist()
    assert sample_lookup.shares_of_strata(design, counts, provinces) == (None, None)
    small = declared(found, counts, points)
    small["strata"][0]["hectares"] = 12.0
    file.write_text(json.dumps(small))
    with pytest.raises(ValueError, match="add up to the 22.8 ha of the map, found 12.0 ha"):
        sample_design.read(str(file), found, counts)


def test_points_that_lie_together_are_noticed(tmp_path):
    """Forty points in one of nine cubes, and forty all over them."""
    cubes = [
        (f"c{r}{c}", made_maps.blocks((20, 30), r), made_maps.grid((20, 30), 30 * c, 20 * r))
        for r in range(3)
        for c in range(3)
    ]
    made_maps.write(tmp_path / "map", *cubes)
    found = map_folder.open_map(tmp_path / "map")
    counts = count(found)
    rng = np.random.default_rng(0)
    all_over = []
    for i in range(40):
        lon, lat = found.cubes[rng.integers(9)].lonlat(*rng.integers(0, 20, (2, 1)))
        all_over.append({"id": i, "lon": float(lon[0]), "lat": float(lat[0])})
    together = places(found, rng.integers(0, 20, 40), rng.integers(0, 30, 40))
    for points, notes in ((all_over, 0), (together, 1)):
        (tmp_path / "mine.json").write_text(json.dumps(declared(found, counts, points)))
        design = sample_design.read(str(tmp_path / "mine.json"), found, counts)
        assert len(sample_lookup.check_spread(found, design, counts)) == notes


@pytest.mark.parametrize(
    "row, message",
    [(-3, "found 1 outside of it .id p1."), (1, "found 1 on no data .id p1., which is no part")],
)
def test_points_where_the_map_shows_nothing(made, tmp_path, row, message):
    _, found, provinces, counts = made
    file = tmp_path / "mine.json"
    points = places(found, [5, row, 7], [5, 6, 7])
    file.write_text(json.dumps(declared(found, counts, points)))
    design = sample_design.read(str(file), found, counts)
    with pytest.raises(ValueError, match=f"^--points x: .*{message}"):
        sample_lookup.look_up(found, design, provinces, "--points x")


def test_a_point_on_another_class_than_its_stratum(made, tmp_path):
    _, found, _, counts = made
    file, _, _ = sample(made, tmp_path)
    value = json.loads((tmp_path / "design.json").read_text())
    one = value["points"][0]
    other = next(p for p in value["points"] if p["stratum"] != one["stratum"])
    one["stratum"], other["stratum"] = other["stratum"], one["stratum"]
    (tmp_path / "design.json").write_text(json.dumps(value))
    design = sample_design.read(file, found, counts)
    with pytest.raises(ValueError, match=re.escape("on the map as its stratum says, found")):
        sample_lookup.look_up(found, design, None, "--points x")


def test_no_data_as_a_stratum(made, tmp_path):
    _, found, provinces, counts = made
    file, points, _ = sample(made, tmp_path, no_data="stratum")
    design = sample_design.read(file, found, counts)
    assert design.with_no_data and len(design.strata) == 4
    shown, _ = sample_lookup.look_up(found, design, provinces, "--points x")
    assert (shown == found.no_data).sum() == 10
    value = json.loads((tmp_path / "design.json").read_text())
    value["no_data"] = "outside"
    (tmp_path / "design.json").write_text(json.dumps(value))
    with pytest.raises(ValueError, match="found a stratum of no_data"):
        sample_design.read(file, found, counts)


def test_shares_of_strata_that_are_of_provinces(made, tmp_path):
    _, found, provinces, counts = made
    _, _, _ = sample(made, tmp_path, by_province=True)
    value = json.loads((tmp_path / "design.json").read_text())
    value["provinces"] = {"digest": provinces.digest}
    (tmp_path / "design.json").write_text(json.dumps(value))
    design = sample_design.read(str(tmp_path / "design.json"), found, counts)
    like = sample_lookup.shares_of_strata(design, counts, provinces)[1]
    own = [counts.provinces.index(s.province) for s in design.strata]
    assert like.tolist() == np.eye(3)[own].tolist()
