"""The whole way, on small field data whose tiles are known."""

import datetime as dt
import json
import runpy
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from sources.simulator.black_cubes import simulate

from cropmap_jax.geo import cube_io, files, grid, tiles
from cropmap_jax.geo.calendars import Season
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.ground_truth import prepare, settings
from cropmap_jax.ground_truth.audit_log import AuditLog
from cropmap_jax.sources.simulator import field_data, sites

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
EPSG, COL, ROW = 32631, 400, 4400
"""A tile in Champagne."""


def config(name="prepare_own.py"):
    return runpy.run_path(str(CONFIGS / name))["get_config"]()


def read(path):
    with rasterio.open(path) as raster:
        return raster.read(1)


def square(col, row, side, dx=0.0):
    """Lower left corner in pixels from the tile's, side in pixels, in metres of the zone."""
    left, bottom = COL * grid.TILE_M + 10 * col + dx, ROW * grid.TILE_M + 10 * row
    return shapely.box(left, bottom, left + 10 * side, bottom + 10 * side)


@pytest.fixture
def own(tmp_path):
    """Four fields in one shapefile, in Lambert 93, as configs/prepare_own.py reads them."""
    names = ["winter wheat", "maize", "grassland", "beets"]
    shapes = [square(10, 20, 8), square(40, 20, 6), square(60, 60, 5), square(80, 80, 9)]
    table = geopandas.GeoDataFrame({"crop": names}, geometry=shapes, crs=EPSG).to_crs(2154)
    (tmp_path / "mine").mkdir()
    table.to_file(tmp_path / "mine" / "fields.shp")
    return tmp_path


def run(root, changes=None, source="mine", out="out"):
    requested = config()
    requested.source = str(root / source)
    with requested.unlocked():
        requested.update(changes or {})
    log = AuditLog()
    summary = prepare.prepare(settings.read(requested.to_dict()), root / out, log)
    return summary, log


def test_fields_of_ones_own_become_a_tile_with_dates(own):
    _, log = run(own, {"shrink_px": 0.0})
    found, legend, about = tiles.read_tiles(own / "out" / "tiles.geojson")
    (tile,) = found
    assert legend.names == ("wheat", "maize")
    assert tile.tile_id == f"2023-2024_{grid.tile_id(EPSG, COL, ROW)}"
    assert tile.geobox == grid.tile_geobox(EPSG, COL, ROW)
    assert tile.block == grid.block_id(tile.geobox)
    label = read(own / "out" / tile.label)
    expected = np.full((128, 128), IGNORE, np.uint8)
    # Rows count from the north: a square from 20 to 28 lies in rows 100 to 108.
    expected[100:108, 10:18] = 0
    expected[102:108, 40:46] = 1
    expected[63:68, 60:65] = NONE_OF_THESE
    np.testing.assert_array_equal(label, expected)
    numbers = read(own / "out" / tile.fields)
    assert {int(n) for n in np.unique(numbers[label == 1])} == {2}
    # Maize is planted until 20 May 2024 and harvested from 20 September.
    assert tile.harvest["maize"] == (
        Season(dt.date(2024, 9, 20), dt.date(2024, 10, 31), dt.date(2024, 5, 20), "maize"),
    )
    # Wheat is harvested from 10 July: 60 days before, on 11 May, the window of six months that has
    # ended begins with November. 30 days before 20 September July has ended.
    assert about["months"] == {"2023-2024": ["2023-11-01", "2024-07-31"]}
    kept = geopandas.read_file(own / "out" / "fields.gpkg", layer="fields")
    assert kept.crop.tolist() == ["wheat", "maize", "none_of_these", "unknown"]
    np.testing.assert_allclose(kept.area_ha, [0.64, 0.36, 0.25, 0.81], rtol=2e-3)
    assert any("beets" in note for note in log.notes) and not log.problems


def test_a_field_is_labelled_inside_its_border(own):
    run(own, {"shrink_px": 0.7})
    (tile,), _, _ = tiles.read_tiles(own / "out" / "tiles.geojson")
    label = read(own / "out" / tile.label)
    # Of 80 m the middle 66 hold the centres at 15 to 65 m, of 60 m those at 15 to 45 m.
    assert [int((label == v).sum()) for v in (0, 1)] == [36, 16]


def test_strict_settings_stop_at_a_problem_and_leave_nothing(own):
    (own / "mine" / "fields.prj").unlink()
    with pytest.raises(ValueError, match=r"fields\.shp: .*\.prj"):
        run(own, {"strict": True})
    assert not (own / "out").exists()


def test_field_data_of_which_nothing_can_be_read_are_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"config\.source"):
        run(tmp_path, source="nowhere")
    assert not (tmp_path / "out").exists()


def test_a_second_run_replaces_the_first(own):
    run(own, {"shrink_px": 0.0})
    before = {p.relative_to(own) for p in (own / "out").rglob("*") if p.is_file()}
    table = geopandas.read_file(own / "mine" / "fields.shp")
    table.geometry = table.translate(xoff=3 * grid.TILE_M)
    table.to_file(own / "mine" / "fields.shp")
    run(own, {"shrink_px": 0.0})
    found, _, _ = tiles.read_tiles(own / "out" / "tiles.geojson")
    after = {p.relative_to(own) for p in (own / "out").rglob("*.tif")}
    assert {Path("out") / t.label for t in found} | {Path("out") / t.fields for t in found} == after
    assert not after & before


@pytest.fixture(scope="module")
def iran(tmp_path_factory):
    root = tmp_path_factory.mktemp("iran")
    requested = sites.Settings(
        world="iran", sites={"train": 6}, tiles=2, first="2022-04-01", last="2022-04-30",
        label="teams", annotated=0.25,
    )  # fmt: skip
    simulate(requested, root)
    field_data.write(requested, root / "cubes", root / "field_data")
    value = config("prepare_isrc.py").to_dict() | {
        "source": str(root / "field_data"), "shrink_px": 0.0,
    }  # fmt: skip
    log = AuditLog()
    prepare.prepare(settings.read(value), root / "out", log)
    return root, log


def test_labels_of_field_data_are_those_they_were_drawn_from_to_the_pixel(iran):
    root, _ = iran
    found, _, _ = tiles.read_tiles(root / "out" / "tiles.geojson")
    labels = {t.tile_id: (t, read(root / "out" / t.label)) for t in found}
    compared = 0
    for info in cube_io.list_cubes(root / "cubes"):
        place = info.cube_id.removeprefix("iran_")
        label = cube_io.read_raw(info.path).label
        wanted = np.where(label == NONE_OF_THESE, IGNORE, label)
        tile, drawn = labels.get(f"1400-1401_{place}", (None, np.full_like(label, IGNORE)))
        np.testing.assert_array_equal(drawn, wanted, err_msg=info.cube_id)
        compared += int((wanted != IGNORE).sum())
        if tile is None:
            continue
        # The dates went through Jalali month-days and back.
        expected = {c: {s.harvest_start for s in own} for c, own in info.harvest.items()}
        assert {c: {s.harvest_start for s in own} for c, own in tile.harvest.items()} == expected
        assert tile.province == info.province
    assert compared > 50_000


def test_points_of_the_next_year_have_tiles_of_their_own_in_the_same_blocks(iran):
    root, _ = iran
    found, _, _ = tiles.read_tiles(root / "out" / "tiles.geojson")
    splits = {}
    for tile in found:
        assert splits.setdefault(tile.block, tile.split) == tile.split
    later = [t for t in found if t.season == "1401-1402"]
    assert later and all(set(t.crops) == {"none_of_these"} for t in later)
    assert {t.season for t in found} == {"1400-1401", "1401-1402"}


def test_everything_in_the_field_data_is_accounted_for(iran):
    root, log = iran
    summary = json.loads((root / "out" / "report.json").read_text())
    table = geopandas.read_file(root / "out" / "fields.gpkg", layer="fields")
    points = geopandas.read_file(root / "out" / "fields.gpkg", layer="points")
    dropped = [d for d in log.drops if d.reason != "no pixel centre inside once shrunk"]
    split = log.counts["multipart features split"]
    assert sum(log.read.values()) + split == len(table) + len(points) + len(dropped)
    assert summary["problems"] == log.problems


def tile(season, crop_dates):
    harvest = {
        crop: tuple(Season(dt.date.fromisoformat(d)) for d in dates)
        for crop, dates in crop_dates.items()
    }
    return tiles.Tile(
        f"{season}_x", grid.tile_geobox(EPSG, COL, ROW), season, "b", "train", "", harvest, {}, 0,
        "", "",
    )  # fmt: skip


def test_months_to_export_reach_from_the_first_window_to_the_last():
    requested = settings.Settings("s", {}, lead_days=(30, 60), num_periods=6)
    found = prepare.month_spans(
        [tile("a", {"pea": ["2022-06-11", "2022-07-02"]}), tile("a", {"onion": ["2021-12-12"]}),
         tile("b", {})],
        requested,
    )  # fmt: skip
    # 12 December less 60 days is 13 October: September has ended, and six months begin in April.
    # 2 July less 30 days is 2 June: May has ended. The second year has no dates.
    assert found == {"a": ("2021-04-01", "2022-05-31")}


def test_the_province_of_a_tile_is_that_of_most_of_its_ground():
    assert prepare.largest_share(["Fars", "Yazd", "Fars"], [1.0, 2.5, 1.0]) == "Yazd"
    assert prepare.largest_share(["Yazd", "Fars", "Fars"], [0.0, 0.0, 0.0]) == "Fars"
    assert prepare.largest_share(["Yazd", "Fars"], [0.0, 0.0]) == "Fars"


def test_an_attribute_narrows_the_seasons_only_where_it_speaks_for_every_field():
    crops = ["onion", "onion", "pea", "pea", "beet"]
    sheets = ["Spring", "Winter;Spring", "Autumn", "", "Early"]
    expected = {"onion": {"Spring", "Winter"}, "beet": {"Early"}}
    assert prepare.chosen_sheets(crops, sheets) == expected


# --- what may be written, and where ---------------------------------------------------------------


def test_only_what_the_command_wrote_is_replaced_or_removed(own):
    out = own / "out"
    out.mkdir()
    (out / "report.md").write_text("mine")
    with pytest.raises(ValueError, match="--out .*: found report.md, which prepare did not write"):
        run(own)
    assert sorted(p.name for p in out.iterdir()) == ["report.md"]
    (out / "report.md").rename(out / "drops.csv.mine")
    (out / "labels").mkdir()
    (out / "labels" / "2020-2021_32631_0001_00001.tif").write_text("mine")
    run(own)
    run(own)
    assert (out / "labels" / "2020-2021_32631_0001_00001.tif").read_text() == "mine"
    assert (out / "drops.csv.mine").read_text() == "mine"


def test_drops_of_an_earlier_run_are_removed(own, monkeypatch):
    monkeypatch.setattr("cropmap_jax.ground_truth.markdown.MOST_ROWS", -1)
    path = own / "mine" / "fields.shp"
    geopandas.read_file(path).iloc[[0, 0, 1]].to_file(path)
    run(own)
    assert (own / "out" / "drops.csv").is_file()
    monkeypatch.undo()
    run(own)
    assert not (own / "out" / "drops.csv").exists()


@pytest.mark.parametrize("out", ["mine", "."])
def test_what_is_read_may_not_lie_in_what_is_written(own, out):
    before = sorted(own.rglob("*"))
    with pytest.raises(ValueError, match="--out .*: holds config.layers.fields.files .*/fields"):
        run(own, out=out)
    assert sorted(own.rglob("*")) == before


def test_urls_are_no_folders(own):
    with pytest.raises(ValueError, match="config.source 's3://b/x': expected a path"):
        prepare.check_folders(settings.read(config().to_dict() | {"source": "s3://b/x"}), own)
    with pytest.raises(ValueError, match="--out '/vsimem/x': expected a path on this machine"):
        run(own, out="/vsimem/x")


def test_one_process_a_folder(own):
    with files.Lock(own / "out", "--out"), pytest.raises(ValueError, match="--out .*: in use by"):
        run(own)
    assert not (own / "out" / "tiles.geojson").exists()


@pytest.mark.parametrize("silent", [False, True])
def test_a_geopackage_that_was_not_written(own, monkeypatch, silent):
    run(own)
    before = (own / "out" / "fields.gpkg").read_bytes()
    real = geopandas.GeoDataFrame.to_file

    def full(self, path, **how):
        real(self.iloc[:1], path, **how)
        if not silent:
            raise pyogrio.errors.DataSourceError("sqlite3_exec(COMMIT) failed: disk I/O error")

    monkeypatch.setattr(geopandas.GeoDataFrame, "to_file", full)
    with pytest.raises(OSError, match=r"fields.gpkg: could not be written \(.*nothing was kept"):
        run(own)
    assert (own / "out" / "fields.gpkg").read_bytes() == before
    assert not list((own / "out").glob(".*.part")) and not (own / "out" / "tiles.geojson").exists()


def test_names_of_users_are_no_markup_and_no_formulas(own):
    path = own / "mine" / "fields.shp"
    table = geopandas.read_file(path)
    table["crop"] = ["=1+1", "<b>x</b>|y", "گندم", "$a_b$"]
    table.to_file(path, encoding="utf-8")
    summary, _ = run(own, {"layers": {"fields": {"names": {"گندم": "wheat"}}}})
    text = (own / "out" / "report.md").read_text(encoding="utf-8")
    assert r"\<b\>x\</b\>\|y (1)" in text and "<b>" not in text
    assert summary["crops"]["wheat"]["kept"] == 1


def test_fields_of_the_date_line_are_cut_in_files(tmp_path):
    (tmp_path / "mine").mkdir()
    x, y = pyproj.Transformer.from_crs(4326, 3832, always_xy=True).transform(180.0, -16.85)
    shapes = [shapely.box(x - 150, y, x + 150, y + 300)]
    table = geopandas.GeoDataFrame({"crop": ["maize"]}, geometry=shapes, crs=3832)
    table.to_file(tmp_path / "mine" / "fields.gpkg")
    run(tmp_path)
    (field,) = geopandas.read_file(tmp_path / "out" / "fields.gpkg").itertuples()
    assert field.epsg in (32701, 32760) and field.pixels > 500
    assert field.geometry.geom_type == "MultiPolygon" and field.geometry.bounds[::2] == (-180, 180)
    value = json.loads((tmp_path / "out" / "tiles.geojson").read_text())
    (shape,) = (shapely.geometry.shape(f["geometry"]) for f in value["features"])
    assert shape.geom_type == "MultiPolygon" and shape.is_valid
    assert len(tiles.read_tiles(tmp_path / "out" / "tiles.geojson")[0]) == 1


# Nothing usable, and settings that are none -------------------------------------------------------


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"shrink_px": 40.0}, "a field that labels a pixel, found none among 4; 3 no pixel centre"),
        ({"seed": -1}, r"config.seed: expected 0 or more, found -1"),
        ({"num_periods": 10**9}, r"config.num_periods: expected 1 to 120 months"),
    ],
)
def test_a_run_without_a_labelled_pixel_is_an_error(own, changes, message):
    with pytest.raises(ValueError, match=message):
        run(own, changes)
    assert not (own / "out" / "tiles.geojson").exists()


def test_fields_of_no_known_class_or_beyond_the_grid_leave_no_folder(own):
    table = geopandas.read_file(own / "mine" / "fields.shp")
    table.assign(crop="rice").to_file(own / "mine" / "fields.shp")
    with pytest.raises(ValueError, match="a field of a known class, found none .* rice \\(4\\)"):
        run(own)
    shapes = [shapely.box(20 + i, 84.5, 20.1 + i, 84.51) for i in range(4)]
    table.set_geometry(shapes, crs=4326).to_file(own / "mine" / "fields.shp")
    with pytest.raises(ValueError, match="found none among 4; 4 "):
        run(own)
    assert not (own / "out").exists()


def test_a_file_where_a_folder_of_rasters_is_meant(own):
    (own / "out").mkdir()
    (own / "out" / "labels").write_text("mine")
    with pytest.raises(ValueError, match="--out .*found a file labels, expected a folder"):
        run(own)
    assert (own / "out" / "labels").read_text() == "mine"
