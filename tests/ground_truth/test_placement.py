"""Zone, tile, block and split of every field, checked against places worked out by hand."""

import itertools

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from cropmap_jax.geo import grid, splits
from cropmap_jax.ground_truth import layers, placement, zones
from cropmap_jax.ground_truth.audit_log import NOT_FINITE, AuditLog
from cropmap_jax.ground_truth.polygons import ground_area_ha, project
from cropmap_jax.ground_truth.settings import Layer, Settings, read

EPSG, EAST = 32639, 32640
COL, ROW = 400, 3000  # south-west tile of a block; 400 = 50 * 8, 3000 = 375 * 8
YEAR, NEXT = "2021-2022", "2022-2023"


def requested(**changes) -> Settings:
    value = {"source": "", "layers": {"a": Layer("a.shp", YEAR, crop="wheat")},
             "classes": ("wheat", "maize"), "fractions": {"train": 0.5, "test": 0.5}}  # fmt: skip
    return Settings(**(value | changes))


def table(*rows) -> geopandas.GeoDataFrame:
    """Fields from (geometry in metres, crop, season, EPSG code of the metres)."""
    rows = [(*row, *("wheat", YEAR, EPSG)[len(row) - 1 :]) for row in rows]
    shapes = [project([shape], code, 4326)[0] for shape, _, _, code in rows]
    points = [shape.geom_type == "Point" for shape in shapes]
    columns = {
        "field": np.arange(1, len(rows) + 1, dtype=np.uint32),
        "layer": "a", "file": "a.shp", "row": np.arange(len(rows)),
        "kind": ["point" if p else "polygon" for p in points],
        "crop": [crop for _, crop, _, _ in rows], "season": [year for _, _, year, _ in rows],
        "area_ha": ground_area_ha(np.array(shapes, object)) if rows else [],
    }  # fmt: skip
    return geopandas.GeoDataFrame(columns, geometry=shapes, crs="EPSG:4326")


def square(x: float, y: float, wide: float = 100, high: float | None = None) -> shapely.Polygon:
    """A rectangle so many metres from the corner of tile (COL, ROW)."""
    west, south = COL * grid.TILE_M + x, ROW * grid.TILE_M + y
    return shapely.box(west, south, west + wide, south + (high or wide))


def in_zone(lon: float, lat: float, wide: float, code: int = EPSG) -> shapely.Polygon:
    """A square in metres of a zone around a place."""
    (centre,) = project([shapely.Point(lon, lat)], 4326, code)
    return shapely.box(*(np.array(centre.coords[0] * 2) + np.array([-1, -1, 1, 1]) * wide / 2))


def place(fields, **changes):
    log = AuditLog()
    out, places = placement.tile_fields(fields, requested(**changes), log)
    return out, places, log


def test_a_field_in_one_tile():
    fields, places, log = place(table((square(200, 300),)))
    (row,) = fields.itertuples()
    assert (row.epsg, row.tile, row.block) == (EPSG, "32639_0400_03000", "32639_0050_00375")
    assert row.split in ("train", "test")
    assert places == {YEAR: [(EPSG, COL, ROW, row.block, row.split)]}
    assert not log.counts and not log.drops


def test_a_field_over_four_tiles_is_at_home_in_the_one_that_holds_most():
    # 100 m, of which 30 m lie west and 20 m south of the corner at (1280, 1280).
    fields, places, _ = place(table((square(1250, 1260),)))
    assert fields.tile[0] == "32639_0401_03001"
    assert [p[:3] for p in places[YEAR]] == [(EPSG, c, r) for c in (400, 401) for r in (3000, 3001)]


def test_a_field_larger_than_tiles():
    # From the middle of one tile to the middle of the third after it: 1, 1/2 or 1/4 of each.
    fields, places, _ = place(table((square(640, 640, 3 * 1280),)))
    assert len(places[YEAR]) == 16
    assert fields.tile[0] == "32639_0401_03001"  # of four full ones, the south-western
    parts = zones.cut(zones.footprints(fields, np.array([EPSG]), 15), np.array([EPSG]))
    full = 1280**2
    expected = [full * a * b for b in (0.5, 1, 1, 0.5) for a in (0.5, 1, 1, 0.5)]
    np.testing.assert_allclose(parts.area, expected, rtol=1e-6)


def test_a_tile_that_the_rectangle_of_a_field_touches_but_not_the_field():
    corner = [(100, 100), (1400, 100), (100, 1400)]  # leaves out the tile in the north-east
    west, south = COL * grid.TILE_M, ROW * grid.TILE_M
    triangle = shapely.Polygon([(west + x, south + y) for x, y in corner])
    _, places, _ = place(table((triangle,)))
    assert [p[:3] for p in places[YEAR]] == [
        (EPSG, 400, 3000),
        (EPSG, 400, 3001),
        (EPSG, 401, 3000),
    ]


def test_a_point_keeps_the_tiles_that_its_disc_touches():
    point = shapely.Point(COL * grid.TILE_M + 10, ROW * grid.TILE_M + 600)
    fields, places, _ = place(table((point,)))
    assert [p[1] for p in places[YEAR]] == [399, 400] and fields.tile[0] == "32639_0400_03000"
    _, places, _ = place(table((point,)), point_radius_m=9)
    assert [p[1] for p in places[YEAR]] == [400]


def test_a_field_over_a_border_of_blocks_goes_where_more_of_it_is():
    # 40 of 100 m lie west of the block; two more fields make two splits of the two blocks.
    fields, _, _ = place(table((square(-40, 300),), (square(-900, 300),), (square(300, 300),)))
    assert fields.block.tolist() == ["32639_0050_00375", "32639_0049_00375", "32639_0050_00375"]
    assert fields.split[0] == fields.split[2] != fields.split[1]


def test_the_larger_share_of_a_field_is_a_split_not_a_block(monkeypatch):
    # Four blocks meet; the shares of the field are 4 (SW), 2 (NW), 3 (SE) and 1 (NE), and all but
    # the first are in one split.
    parts = [(-4, -1, 4), (-2, 0, 2), (0, -1, 3), (0, 0, 1)]
    field = shapely.union_all([square(x * 90, y * 90, wide * 90, 90) for x, y, wide in parts])
    assigned = ["test", "train", "train", "train"]
    monkeypatch.setattr(placement.balance_splits, "balance_blocks", lambda *_: assigned)
    fields, places, _ = place(table((field,)))
    assert sorted({(p.block, p.split) for p in places[YEAR]}) == [
        ("32639_0049_00374", "test"), ("32639_0049_00375", "train"),
        ("32639_0050_00374", "train"), ("32639_0050_00375", "train"),
    ]  # fmt: skip
    assert (fields.split[0], fields.block[0]) == ("train", "32639_0050_00374")
    assert fields.tile[0] == "32639_0400_02999"


def test_a_block_has_one_split_in_all_seasons():
    rows = [
        (square(i * grid.BLOCK_M + 300, 300), "wheat", y) for i in range(6) for y in (YEAR, NEXT)
    ]
    fields, places, _ = place(table(*rows))
    assert fields.split[::2].tolist() == fields.split[1::2].tolist()
    assert places[YEAR] == places[NEXT] and list(places) == [YEAR, NEXT]
    assert sorted(fields.split[::2]) == ["test"] * 3 + ["train"] * 3


def test_splits_balance_area_and_fields_of_every_crop():
    rng = np.random.default_rng(0)
    rows = []
    for i, j in itertools.product(range(10), range(10)):
        crop = "wheat" if i < 5 else "maize"
        for k in range(rng.integers(1, 6)):
            side = float(rng.choice([40, 80, 400]))
            x, y = i * grid.BLOCK_M + 600 * k + 20, j * grid.BLOCK_M + 20
            rows.append((square(x, y, side), crop))
    fields, _, _ = place(table(*rows), fractions={"train": 0.6, "validation": 0.2, "test": 0.2})
    for crop in ("wheat", "maize"):
        own = fields[fields.crop == crop]
        for split, fraction in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
            there = own.split == split
            assert abs(there.mean() - fraction) < 0.03
            assert abs(own.area_ha[there].sum() / own.area_ha.sum() - fraction) < 0.03


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("second", [YEAR, NEXT])
def test_tiles_of_two_zones_that_overlap_become_one_zone(swap, second):
    # 48 degrees east is the border of zones 39 ... 38 and 39; fields 60 m on both sides of it, the
    # western one larger: both go to zone 38, in whatever order and season they come.
    rows = [(in_zone(47.9990, 36, 120, 32638), "wheat", YEAR, 32638),
            (in_zone(48.0007, 36, 80, EPSG), "wheat", second, EPSG)]  # fmt: skip
    fields, places, log = place(table(*(rows[::-1] if swap else rows)))
    assert fields.epsg.tolist() == [32638, 32638]
    assert all(tile.startswith("32638_") for tile in fields.tile)
    assert {p.epsg for own in places.values() for p in own} == {32638}
    assert log.counts["fields moved to the neighbouring UTM zone"] == 1
    assert log.counts["places where tiles of two UTM zones would overlap"] == 1


def test_fields_of_two_zones_apart_stay():
    rows = [(in_zone(47.95, 36, 120, 32638), "wheat", YEAR, 32638),
            (in_zone(48.05, 36, 80, EPSG), "wheat", YEAR, EPSG)]  # fmt: skip
    fields, _, log = place(table(*rows))
    assert fields.epsg.tolist() == [32638, EPSG] and not log.counts


def test_a_chain_of_fields_over_the_border_ends():
    # Each overlaps the next: whatever is decided for one pair overlaps the next pair again.
    lons = 47.9985 + np.arange(-12, 13) * 0.003
    rows = [(in_zone(lon, 36, 60 + 3 * i, code), "wheat", YEAR, code)
            for i, lon in enumerate(lons) for code in [grid.utm_epsg(lon, 36)]]  # fmt: skip
    fields, places, log = place(table(*rows))
    assert set(fields.epsg) == {EPSG}  # the eastern ones are larger
    assert log.counts["fields moved to the neighbouring UTM zone"] == 13


def shared_ground(places) -> list[tuple]:
    """Pairs of tiles with more than a square metre in common: a millimetre along a side."""
    unique = sorted({p for own in places.values() for p in own})
    plane = "+proj=laea +lat_0=36 +lon_0=48 +ellps=WGS84 +units=m"
    grounds = np.empty(len(unique), object)
    for i, one in enumerate(unique):
        box = shapely.segmentize(grid.tile_geobox(*one[:3]).extent.geom, 80)
        grounds[i] = project([box], one.epsg, plane)[0]
    i, j = shapely.STRtree(grounds).query(grounds, predicate="intersects")
    common = shapely.area(shapely.intersection(grounds[i], grounds[j]))
    return [(unique[a], unique[b]) for a, b in zip(i[common > 1], j[common > 1], strict=True)
            if a != b]  # fmt: skip


near_border = st.tuples(
    st.integers(-40, 40),  # 400ths of a degree from 48 east
    st.integers(-20, 20),  # and from 36 north
    st.sampled_from([30, 200, 900, 3000]),
    st.sampled_from(["wheat", "maize", "none_of_these", "unknown"]),
    st.sampled_from([YEAR, NEXT]),
)


@settings(max_examples=20)
@given(st.lists(near_border, min_size=1, max_size=12), st.integers(0, 3))
def test_no_ground_is_in_two_zones_or_splits(drawn, seed):
    rows = []
    for east, north, wide, crop, season in drawn:
        lon, lat = 48 + east / 400, 36 + north / 400
        code = grid.utm_epsg(lon, lat)
        rows.append((in_zone(lon, lat, wide, code), crop, season, code))
    fields, places, _ = place(table(*rows), seed=seed)
    assert shared_ground(places) == []
    kept = {(season, grid.tile_id(*p[:3])): p for season, own in places.items() for p in own}
    splits.check_blocks([(name, p.block, p.split) for (_, name), p in kept.items()])
    for row in fields[(fields.crop != "unknown") | (fields.tile != "")].itertuples():
        at = kept[row.season, row.tile]
        assert (at.epsg, at.block, at.split) == (row.epsg, row.block, row.split)
    # All ground of known fields lies in tiles that are kept, and no other tile is kept.
    known = fields[fields.crop != "unknown"]
    zone, season = known.epsg.to_numpy(), known.season.to_numpy()
    parts = zones.cut(zones.footprints(known, zone, 15), zone)
    keys = parts[["at", "epsg", "col", "row"]].to_numpy(int).tolist()
    assert {(season[i], grid.tile_id(*key)) for i, *key in keys} == set(kept)
    # Area is kept: UTM stretches it by less than 0.1 % here.
    assert parts.area.sum() / 1e4 == pytest.approx(known.area_ha.sum(), rel=2e-3, abs=1e-9)


def test_tiles_that_share_ground_would_be_found():
    # The test above can fail: at the border, tiles of both zones do share ground.
    (x, y), (u, v) = (project([shapely.Point(48, 36)], 4326, e)[0].coords[0] for e in (32638, EPSG))
    pair = [placement.Place(e, int(a // grid.TILE_M), int(b // grid.TILE_M), "", "")
            for e, a, b in ((32638, x, y), (EPSG, u, v))]  # fmt: skip
    assert len(shared_ground({YEAR: pair})) == 2


def test_real_fields_share_no_ground(real_dir):
    from configs import prepare_isrc

    if not (real_dir / "isrc").is_dir():
        pytest.skip(f"no field data at {real_dir / 'isrc'}")
    config = prepare_isrc.get_config()
    config.source = str(real_dir / "isrc")
    wanted, log = read(config.to_dict()), AuditLog()
    fields, places = placement.tile_fields(layers.read_layers(wanted, log), wanted, log)
    assert shared_ground(places) == []
    assert log.counts["fields moved to the neighbouring UTM zone"] > 0
    splits.check_blocks([(grid.tile_id(*p[:3]), p.block, p.split)
                         for own in places.values() for p in own])  # fmt: skip
    for crop in wanted.classes_of.names:
        own = fields[fields.crop == crop]
        for split, fraction in wanted.fractions.items() if len(own) > 100 else ():
            there = own.split == split
            assert abs(there.mean() - fraction) < 0.01
            assert abs(own.area_ha[there].sum() / own.area_ha.sum() - fraction) < 0.02


def test_unknown_fields_keep_no_tile():
    rows = [(square(100, 100), "wheat"), (square(500, 500), "unknown"),
            (square(500, 500), "unknown", NEXT), (square(3000, 500), "unknown"),
            (square(1240, 100), "unknown")]  # fmt: skip
    fields, places, _ = place(table(*rows))
    home = ("32639_0400_03000", "32639_0050_00375", fields.split[0])
    found = list(zip(fields.tile, fields.block, fields.split, strict=True))
    # The last lies for the most part in a tile that nobody keeps.
    assert found == [home, home, ("", "", ""), ("", "", ""), home]
    assert fields.epsg.tolist() == [EPSG] * 5 and len(places[YEAR]) == 1 and NEXT not in places


def test_unknown_fields_find_the_tile_of_the_next_zone():
    rows = [(in_zone(48.0007, 36, 120, EPSG), "wheat", YEAR, EPSG),
            (in_zone(47.9990, 36, 80, 32638), "unknown", YEAR, 32638)]  # fmt: skip
    fields, places, log = place(table(*rows))
    assert fields.epsg.tolist() == [EPSG, EPSG] and fields.tile[0] == fields.tile[1]
    assert not log.counts
    only, places, _ = place(table(rows[1]))
    assert only.epsg[0] == 32638 and only.tile[0] == "" and places == {}


@pytest.mark.parametrize("lat", [-21, 0.5, 18, 35, 52, 66])
def test_the_antimeridian_is_a_border_like_any_other(lat):
    # 100 m on both sides of it.
    off = 0.0009 / np.cos(np.radians(lat))
    codes = grid.utm_epsg(179, lat), grid.utm_epsg(-179, lat)
    rows = [(in_zone(180 - off, lat, 120, codes[0]), "wheat", YEAR, codes[0]),
            (in_zone(off - 180, lat, 80, codes[1]), "wheat", YEAR, codes[1])]  # fmt: skip
    fields, _, log = place(table(*rows))
    assert fields.epsg.tolist() == [codes[0]] * 2
    assert log.counts["fields moved to the neighbouring UTM zone"] == 1


def test_north_and_south_of_the_equator_share_no_ground():
    rows = [(in_zone(51, 0.0010, 80, EPSG), "wheat", YEAR, EPSG),
            (in_zone(51, -0.0010, 120, 32739), "wheat", YEAR, 32739)]  # fmt: skip
    fields, _, _ = place(table(*rows))
    assert fields.epsg.tolist() == [32739, 32739]


def test_fields_without_a_zone_are_dropped():
    fields = table((square(100, 100),), (square(100, 400),))
    fields.loc[0, "geometry"] = shapely.box(50, 84.9, 50.1, 85.0)
    out, places, log = place(fields)
    assert out.field.tolist() == [2] and out.index.tolist() == [0] and len(places[YEAR]) == 1
    (drop,) = log.drops
    assert (drop.file, drop.row, drop.reason) == ("a.shp", 0, NOT_FINITE)
    assert drop.detail == "latitude 84.9000 to 85.0000, expected -80 to 84"


def test_a_season_that_is_no_file_name_is_refused():
    with pytest.raises(ValueError, match="config.layers: expected seasons .* found '2021/2022'"):
        place(table((square(100, 100), "wheat", "2021/2022")))


def test_the_table_that_goes_in_is_not_changed():
    fields = table((square(100, 100),))
    columns = list(fields.columns)
    out, _, _ = place(fields)
    assert list(fields.columns) == columns
    assert list(out.columns) == [*columns, "epsg", "tile", "block", "split"]


# --- at the edges ---------------------------------------------------------------------------------


def degrees(*shapes) -> geopandas.GeoDataFrame:
    return table(*((shape, "wheat", YEAR, 4326) for shape in shapes))


@pytest.mark.parametrize(
    ("box", "zones"),
    [
        ((179.998, -16.5, 180.003, -16.495), {32701}),
        ((179.99, -16.5, 180.001, -16.495), {32760}),
        ((-180.0, 50.0, -179.995, 50.005), {32601}),
        ((36.5, -0.003, 36.505, 0.002), {32637, 32737}),
        ((15.0, 78.2, 15.01, 78.205), {32633}),
    ],
)
def test_a_field_is_in_the_zone_that_it_lies_in(box, zones):
    fields, places, log = place(degrees(shapely.box(*box)))
    assert set(fields.epsg) <= zones and not log.drops
    for epsg, col, row, *_ in places[YEAR]:
        lon, lat = grid.to_lonlat(grid.tile_geobox(epsg, col, row))
        assert abs((lon - box[0] + 180) % 360 - 180) < 0.2 and abs(lat - box[1]) < 0.05


def test_tiles_have_a_bound():
    rows = [(square(100 + 5120 * i, 100), "wheat", YEAR, EPSG) for i in range(3)]
    with pytest.raises(ValueError, match=r"at most 2 tiles \(config.max_tiles\), found 3"):
        place(table(*rows), max_tiles=2)


def test_ground_of_another_zone_is_no_tile():
    zones.check([(32701, 140, 6385)])
    with pytest.raises(ValueError, match="tile 32601_0140_06385: expected ground of UTM zone"):
        zones.check([(32701, 140, 6385), (32601, 140, 6385)])  # 85 degrees north or so
    with pytest.raises(ValueError, match="expected ground of UTM zone EPSG:32630"):
        zones.check([(32630, 2000, 3000)])
