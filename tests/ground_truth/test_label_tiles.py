"""Labels on the grid: right to the pixel, and nothing of a split in another one."""

import collections

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from test_placement import (
    COL,
    EAST,
    EPSG,
    NEXT,
    ROW,
    YEAR,
    in_zone,
    place,
    requested,
    square,
    table,
)

from cropmap_jax.geo import grid, splits
from cropmap_jax.geo.cube_io import colour_table
from cropmap_jax.geo.tiles import read_tiles, write_tiles
from cropmap_jax.ground_truth import labels, placement, zones
from cropmap_jax.ground_truth.audit_log import TOO_SMALL, AuditLog

WHEAT, MAIZE, NONE, IGNORE = 0, 1, 254, 255
CODES = {"wheat": WHEAT, "maize": MAIZE, "none_of_these": NONE}


def made(fields, out, log=None, **changes):
    """(fields, tiles, {tile id: (label, field ids)}) of field data."""
    log = AuditLog() if log is None else log
    fields, places = placement.tile_fields(fields, requested(**changes), log)
    fields, tiles = labels.label_tiles(fields, places, requested(**changes), out, log)
    return fields, tiles, {t.tile_id: (read(out / t.label), read(out / t.fields)) for t in tiles}


def read(path) -> np.ndarray:
    with rasterio.open(path) as raster:
        return raster.read(1)


def pixels(left: int, bottom: int, wide: int, high: int, shrunk: float = 5.0) -> shapely.Polygon:
    """A field whose pixels, once shrunk, are a rectangle of so many from the tile's south-west.

    Its shrunk border lies a metre outside the rectangle of their edges' middles.
    """
    grow = shrunk - 4
    x, y = left * 10 - grow, bottom * 10 - grow
    return square(x, y, wide * 10 + 2 * grow, high * 10 + 2 * grow)


def test_labels_match_the_geometry_to_the_pixel(tmp_path):
    # A field per pixel code: its column and row are its size, so that no flip or shift can hide.
    wanted = np.full((128, 128), IGNORE, np.uint8)
    ids = np.zeros((128, 128), np.uint32)
    rows = []
    rng = np.random.default_rng(0)
    for i, j in np.ndindex(9, 9):
        wide, high = rng.integers(1, 12, 2)
        crop = ("wheat", "maize", "none_of_these")[rng.integers(3)]
        left, bottom = 14 * i + 1, 14 * j + 1
        rows.append((pixels(left, bottom, wide, high), crop))
        window = slice(128 - bottom - high, 128 - bottom), slice(left, left + wide)
        wanted[window], ids[window] = CODES[crop], len(rows)
    fields, (tile,), found = made(table(*rows), tmp_path)
    label, field = found[tile.tile_id]
    np.testing.assert_array_equal(label, wanted)
    np.testing.assert_array_equal(field, ids)
    assert fields.pixels.tolist() == np.bincount(ids.ravel())[1:].tolist()
    for crop, code in CODES.items():
        own = fields[fields.crop == crop]
        assert tile.crops[crop]["pixels"] == (wanted == code).sum()
        assert tile.crops[crop]["fields"] == len(own)
        assert tile.crops[crop]["area_ha"] == pytest.approx(own.area_ha.sum(), abs=1e-4)
    assert tile.unknown_pixels == (wanted == IGNORE).sum()


def test_rasters_lie_on_exactly_the_tile(tmp_path):
    fields, (tile,), _ = made(table((square(100, 100),), (square(900, 100), "maize")), tmp_path)
    assert tile.tile_id == f"{YEAR}_32639_0400_03000"
    assert (tile.label, tile.fields) == (f"labels/{tile.tile_id}.tif", f"fields/{tile.tile_id}.tif")
    assert (tile.season, tile.block, tile.split) == (YEAR, fields.block[0], fields.split[0])
    assert tile.geobox == grid.tile_geobox(EPSG, COL, ROW)
    with rasterio.open(tmp_path / tile.label) as raster:
        assert (raster.dtypes, raster.nodata, raster.shape) == (("uint8",), 255, (128, 128))
        assert raster.transform == tile.geobox.affine and raster.crs.to_epsg() == EPSG
        assert raster.compression.name == "zstd" and raster.descriptions == ("label, legend own",)
        table_of = raster.colormap(1)
        assert all(table_of[v] == c for v, c in colour_table(requested().classes_of).items())
    with rasterio.open(tmp_path / tile.fields) as raster:
        assert (raster.dtypes, raster.nodata, raster.count) == (("uint32",), 0, 1)
        assert raster.transform == tile.geobox.affine and raster.crs.to_epsg() == EPSG
    path = write_tiles([tile], tmp_path / "tiles.geojson", requested().classes_of, {})
    assert read_tiles(path)[0] == [tile]


def test_a_field_over_tiles_is_whole(tmp_path):
    # 20 pixels, 7 of them west of the tile's edge; the second field fills nine tiles and more.
    large = pixels(-30, 128 * 2 - 5, 128 * 3, 128 * 3)
    rows = [(pixels(128 * 3 - 7, 40, 20, 6),), (large, "maize")]
    fields, tiles, found = made(table(*rows), tmp_path, fractions={"train": 1.0})
    assert fields.pixels.tolist() == [120, (128 * 3) ** 2]
    total = collections.Counter()
    for tile in tiles:
        for crop, row in tile.crops.items():
            total[crop] += row["area_ha"]
            assert row["pixels"] == (found[tile.tile_id][0] == CODES[crop]).sum()
    assert total["maize"] == pytest.approx(fields.area_ha[1], rel=1e-4)
    assert total["wheat"] == pytest.approx(fields.area_ha[0], rel=1e-3)
    west, east = (f"{YEAR}_32639_{c:04d}_03000" for c in (402, 403))
    assert (found[west][1] == 1).sum() == 42 and (found[east][1] == 1).sum() == 78


def test_pixels_that_two_crops_claim_are_unknown_and_counted(tmp_path):
    log = AuditLog()
    rows = [(pixels(10, 10, 10, 10),), (pixels(15, 10, 10, 10), "maize"),
            (pixels(40, 10, 10, 10),), (pixels(45, 10, 10, 10),),
            (pixels(17, 10, 3, 2), "none_of_these"),
            (pixels(10, 10, 10, 10), "unknown")]  # fmt: skip
    fields, (tile,), found = made(table(*rows), tmp_path, log)
    label, ids = found[tile.tile_id]
    # Maize claims half of the wheat; the third crop six pixels of that; the two fields of wheat
    # share theirs, which count for the first; unknown claims nothing.
    assert (label[108:118, 10:15] == WHEAT).all() and (label[108:118, 20:25] == MAIZE).all()
    assert (label[108:118, 15:20] == IGNORE).all() and not ids[108:118, 15:20].any()
    assert fields.pixels.tolist() == [50, 50, 100, 50, 0, 0]
    assert log.counts["pixels claimed by two crops"] == 50
    assert log.counts["conflict maize / wheat"] == 50
    assert log.counts["conflict maize / none_of_these"] == 6
    assert log.counts["conflict none_of_these / wheat"] == 6
    # It has pixels, if nobody else claimed them.
    assert log.counts["fields all of whose pixels others claim"] == 1 and not log.drops
    assert (tile.crops["wheat"]["fields"], tile.crops["wheat"]["pixels"]) == (3, 200)
    assert "none_of_these" not in tile.crops and tile.unknown_pixels == 128**2 - 250


def test_a_field_is_unknown_in_a_block_of_another_split(tmp_path):
    log = AuditLog()
    # Of the second, 13 of 20 columns lie east of the border of blocks. The others lie on one side;
    # the first and the last, on ground of the second.
    rows = [(pixels(-6, 44, 2, 2),), (pixels(-7, 40, 20, 10),), (pixels(-60, 40, 20, 10),),
            (pixels(60, 40, 20, 10),), (pixels(-3, 44, 2, 2),)]  # fmt: skip
    fields, tiles, found = made(table(*rows), tmp_path, log)
    away, home = fields.split[2], fields.split[3]
    assert fields.split.tolist() == [away, home, away, home, away] and home != away
    west, east = (found[f"{YEAR}_32639_{c:04d}_03000"] for c in (399, 400))
    assert (east[1][78:88, :13] == 2).all() and (west[0][78:88, 121:] == IGNORE).all()
    assert fields.pixels.tolist() == [0, 130, 200, 200, 0]
    assert log.counts["fields cut at a border of splits"] == 1
    assert log.counts["pixels cut at a border of splits"] == 70
    assert log.counts["fields all of whose pixels others claim"] == 2
    (own,) = [t for t in tiles if t.tile_id.endswith("0399_03000")]
    area = pytest.approx(fields.area_ha[2], abs=1e-4)
    assert own.crops == {"wheat": {"fields": 1, "area_ha": area, "pixels": 200}}


def test_every_point_has_pixels_and_its_disc_is_not_shrunk(tmp_path):
    west, south = COL * grid.TILE_M, ROW * grid.TILE_M
    centre = shapely.Point(west + 205, south + 205)  # of a pixel: 9 centres within 15 m
    corner = shapely.Point(west + 400, south + 400)  # of four pixels: 4 within 7.1 m, then 15.8 m
    fields, (tile,), _ = made(table((centre,), (corner, "maize")), tmp_path)
    assert fields.pixels.tolist() == [9, 4]
    assert tile.crops["maize"] == {"fields": 1, "area_ha": 0.0, "pixels": 4}
    again, _, _ = made(table((centre,), (corner, "maize")), tmp_path, shrink_px=0.0)
    assert again.pixels.tolist() == [9, 4]


def test_fields_too_small_are_noted_and_stay_in_the_table(tmp_path):
    log = AuditLog()
    rows = [(pixels(10, 10, 9, 9),), (square(506, 106, 4), "maize"), (square(2000, 100, 9, 60),)]
    fields, tiles, _ = made(table(*rows), tmp_path, log)
    assert fields.pixels.tolist() == [81, 0, 0]
    assert [(d.row, d.reason, d.detail) for d in log.drops] == [
        (1, TOO_SMALL, "16 m2"), (2, TOO_SMALL, "540 m2")
    ]  # fmt: skip
    assert len(tiles) == 1 and log.counts["tiles without a labelled pixel"] == 1
    assert [p.name for p in (tmp_path / "labels").iterdir()] == [f"{tiles[0].tile_id}.tif"]


def test_shrinking_is_what_is_requested(tmp_path):
    rows = [(square(101, 101, 98),)]  # centres at 105 ... 195: 100 of them, 64 shrunk by 5 m
    for shrink, n in ((0.0, 100), (0.5, 64), (1.0, 64), (2.0, 36)):
        fields, _, _ = made(table(*rows), tmp_path, shrink_px=shrink)
        # The shrunk side is 98 - 20 * shrink metres, from 101 + 10 * shrink on.
        low, high = 101 + 10 * shrink, 199 - 10 * shrink
        side = sum(low < c < high for c in range(105, 200, 10))
        assert fields.pixels[0] == side**2 == n


def test_two_seasons_are_two_tiles_of_one_place(tmp_path):
    rows = [(square(100, 100),), (square(100, 100), "maize", NEXT)]
    _, tiles, found = made(table(*rows), tmp_path)
    assert [t.tile_id for t in tiles] == [f"{y}_32639_0400_03000" for y in (YEAR, NEXT)]
    assert tiles[0].geobox == tiles[1].geobox and tiles[0].split == tiles[1].split
    assert [np.unique(label).tolist() for label, _ in found.values()] == [[0, 255], [1, 255]]


def test_the_area_of_many_fields_is_not_biased(tmp_path):
    rng = np.random.default_rng(3)
    rows = []
    for i, j in np.ndindex(12, 12):
        x, y = 100 * i + rng.uniform(10, 20), 100 * j + rng.uniform(10, 20)
        turned = shapely.affinity.rotate(square(x, y, *rng.uniform(20, 60, 2)), rng.uniform(0, 90))
        rows.append((turned,))
    fields, _, _ = made(table(*rows), tmp_path, shrink_px=0.0)
    assert fields.pixels.sum() / 100 == pytest.approx(fields.area_ha.sum(), rel=0.02)


def test_rasters_of_an_earlier_run_are_replaced(tmp_path):
    made(table((square(100, 100),), (square(5000, 100),)), tmp_path, fractions={"train": 1.0})
    for name in ("labels", "fields"):
        assert len(list((tmp_path / name).iterdir())) == 2
        (tmp_path / name / "mine.tif").touch()
        (tmp_path / name / ".2021-2022_32639_0400_03000.77.part").touch()
    _, (tile,), _ = made(table((square(5000, 100),)), tmp_path, fractions={"train": 1.0})
    for name in ("labels", "fields"):
        found = {p.name for p in (tmp_path / name).iterdir()}
        assert found == {f"{tile.tile_id}.tif", "mine.tif"}


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    calls = []

    def full(self, data):
        calls.append(self)
        with open(self, "wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        made(table((square(100, 100),)), tmp_path)
    left = [f.name for f in tmp_path.rglob("*") if f.is_file()]
    assert calls and left == [".prepare.written.json"]


def test_progress_gets_the_total(tmp_path):
    asked_for = {}

    def progress(iterable, **kwargs):
        asked_for.update(kwargs)
        return iterable

    fields, places, log = place(table((square(1200, 100),)))
    labels.label_tiles(fields, places, requested(), tmp_path, log, progress)
    assert asked_for == {"total": 2, "unit": "tile", "desc": "label"}


somewhere = st.tuples(
    st.sampled_from([(48.0, 36.0), (48.05, 36.05), (48.4, 36.0)]),
    st.integers(-300, 300),  # metres east of a place, times three
    st.integers(-300, 300),
    st.sampled_from([12, 60, 300, 2500]),
    st.sampled_from(["wheat", "maize", "none_of_these", "unknown"]),
    st.sampled_from([YEAR, NEXT]),
)


@settings(max_examples=15)
@given(st.lists(somewhere, min_size=1, max_size=12), st.integers(0, 3))
def test_no_field_and_no_pixel_is_in_two_splits(tmp_path_factory, drawn, seed):
    rows = []
    for (lon, lat), east, north, wide, crop, season in drawn:
        lon, lat = lon + east * 3 / 90e3, lat + north * 3 / 111e3
        code = grid.utm_epsg(lon, lat)
        rows.append((in_zone(lon, lat, wide, code), crop, season, code))
    out = tmp_path_factory.mktemp("field_data")
    fields, tiles, found = made(table(*rows), out, seed=seed)
    splits.check_blocks([(t.tile_id, t.block, t.split) for t in tiles])
    assert splits.find_overlap(*zip(*{t.geobox: (t.block, t.geobox) for t in tiles}.values(),
                                    strict=True) if tiles else ((), ())) is None  # fmt: skip
    shapes = zones.footprints(fields, fields.epsg.to_numpy(), 15)
    inner = shapely.buffer(shapes, -5, join_style="mitre")
    pixel_count = collections.Counter()
    where = {}
    for tile in tiles:
        label, ids = found[tile.tile_id]
        left, _, _, top = tile.geobox.boundingbox
        rows, cols = np.nonzero(label != IGNORE)
        np.testing.assert_array_equal(ids > 0, label != IGNORE)
        epsg = tile.geobox.crs.to_epsg()
        for field in np.unique(ids[ids > 0]).tolist():
            one = fields.iloc[field - 1]
            # A labelled pixel is of a field of its crop, zone, season and split, inside it.
            assert (one.split, one.epsg, one.season) == (tile.split, epsg, tile.season)
            assert (label[ids == field] == CODES[one.crop]).all()
            r, c = np.nonzero(ids == field)
            x, y = left + c * 10 + 5, top - r * 10 - 5
            assert shapely.dwithin(inner[field - 1], shapely.points(x, y), 1e-6).all()
            pixel_count[field] += len(r)
        # No field of another split, season apart, holds a labelled pixel of this split.
        x, y = left + cols * 10 + 5, top - rows * 10 - 5
        for other in fields[(fields.epsg == epsg) & (fields.crop != "unknown")].itertuples():
            if other.split != tile.split and other.season == tile.season:
                assert not shapely.contains_xy(inner[other.Index], x, y).any()
        for key in zip([epsg] * len(x), x.tolist(), y.tolist(), strict=True):
            assert where.setdefault(key, tile.split) == tile.split
    assert fields.pixels.tolist() == [pixel_count[f] for f in fields.field]


def test_fields_at_the_border_of_zones_keep_their_pixels(tmp_path):
    rows = [(in_zone(48.0007, 36, 300, EPSG), "wheat", YEAR, EPSG),
            (in_zone(47.9960, 36, 200, 32638), "maize", YEAR, 32638),
            (in_zone(53.9990, 36, 200, EPSG), "maize", NEXT, EPSG),
            (in_zone(54.0010, 36, 300, EAST), "wheat", YEAR, EAST)]  # fmt: skip
    fields, tiles, _ = made(table(*rows), tmp_path, shrink_px=0.0, fractions={"train": 1.0})
    assert fields.epsg.tolist() == [EPSG, EPSG, EAST, EAST]
    # 900 and 400 pixels, but for the turn of the grid by 3.5 degrees and its stretch of 0.1 %.
    assert np.abs(fields.pixels - [900, 400, 400, 900]).max() <= 12
