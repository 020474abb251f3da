"""Which cubes there will be, and in which months. Nothing here speaks to the service."""

import dataclasses
import datetime as dt
import json
import pathlib
import runpy

import numpy as np
import openpyxl
import pyproj
import pytest
import shapely
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import calendars, cube, grid, legend, splits, tiles
from cropmap_jax.geo.periods import month_periods
from cropmap_jax.sources import targets
from cropmap_jax.sources.earthengine import options
from cropmap_jax.sources.earthengine.service import ARCHIVE
from cropmap_jax.sources.regions import Region, read_regions
from cropmap_jax.sources.timing import Timing, harvest_periods

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"
TODAY = dt.date(2026, 1, 1)
# In zone 31, 20 km by 22 km.
BOX = (2.0, 48.0, 2.27, 48.2)


def region(box=BOX, name="a", harvest=dt.date(2018, 8, 1), split="", country="france"):
    return Region(name, box, country, harvest, split)


def of_regions(*regions, timing=None, **others):
    others = {"today": TODAY} | others
    return targets.targets_of_regions(regions, timing or Timing(), ARCHIVE, **others)


def months(first, last, count):
    found = month_periods(dt.date.fromisoformat(first), dt.date.fromisoformat(last))
    assert len(found) == count
    return found


def test_a_region_becomes_all_tiles_wholly_inside_it():
    found = of_regions(region())
    box = shapely.box(*BOX)
    names = {t.cube_id for t in found}
    assert len(names) == len(found)
    # Every tile of the grid near the region, one by one.
    x, y = pyproj.Transformer.from_crs(4326, 32631, always_xy=True).transform(2.13, 48.1)
    col, row = int(x // grid.TILE_M), int(y // grid.TILE_M)
    near = [(col + i, row + j) for i in range(-14, 15) for j in range(-14, 15)]
    shapes = tiles.outlines([grid.tile_geobox(32631, *at) for at in near], steps=16)
    inside = [box.covers(shape) for shape in shapes]
    expected = {
        f"2017-2018_{grid.tile_id(32631, *at)}" for at, ok in zip(near, inside, strict=True) if ok
    }
    assert names == expected
    touched = sum(box.intersects(shape) for shape in shapes)
    assert 0 < len(expected) < touched


def test_what_a_target_of_a_region_says():
    found = of_regions(region(split="validation"))[0]
    assert found.geobox == grid.tile_geobox(32631, *map(int, found.cube_id.split("_")[2:]))
    assert found.season == "2017-2018" and found.split == "validation"
    assert found.block == grid.block_id(found.geobox) and found.province == "france"
    assert found.harvest == {"*": (calendars.Season(dt.date(2018, 8, 1)),)}
    assert found.legend is legend.EUCROPMAP
    assert found.label_file is None and found.fields_file is None
    # A cube can be made of it.
    info = cube.CubeInfo(
        found.cube_id, found.geobox, found.periods, found.legend, found.block, found.split,
        found.season, found.harvest, found.province,
    )  # fmt: skip
    t = len(found.periods)
    cube.validate(cube.Cube(
        info, label=np.zeros((128, 128), np.uint8),
        s1=np.zeros((t, 128, 128, 2), np.float32), s2=np.zeros((t, 128, 128, 10), np.float32),
    ))  # fmt: skip


def test_a_region_across_two_zones_lies_in_the_one_of_its_centre():
    found = of_regions(region((-0.1, 52.0, 0.4, 52.1)))
    assert {t.geobox.crs.to_epsg() for t in found} == {32631}
    west = min(grid.to_lonlat(t.geobox)[0] for t in found)
    assert west < 0
    south = of_regions(region((35.0, -20.2, 35.2, -20.0)))
    assert {t.geobox.crs.to_epsg() for t in south} == {32736}


def test_a_region_that_holds_no_whole_tile_is_refused():
    with pytest.raises(ValueError, match="region a: expected at least one tile"):
        of_regions(region((2.0, 48.0, 2.02, 48.01)))


def test_regions_may_touch_but_not_overlap():
    left, right = region((2.0, 48.0, 2.3, 48.2)), region((2.3, 48.0, 2.6, 48.2), "b")
    found = of_regions(left, right)
    pair = splits.find_overlap([t.cube_id for t in found], [t.geobox for t in found])
    assert pair is None and len({t.cube_id for t in found}) == len(found)
    with pytest.raises(ValueError, match="regions a and b: expected regions that share no ground"):
        of_regions(left, region((2.299, 48.1, 2.6, 48.3), "b"))
    # Another season is another set of cubes.
    later = region(name="b", harvest=dt.date(2022, 8, 1))
    both = of_regions(region(), later)
    assert len({t.cube_id for t in both}) == len(both) == 2 * len(of_regions(region()))


def test_two_regions_of_one_name_are_refused():
    with pytest.raises(ValueError, match="different names"):
        of_regions(region(), region((5.0, 48.0, 5.2, 48.2)))


def test_blocks_are_dealt_out_region_by_region():
    a, b = region(), region((5.0, 48.0, 5.6, 48.3), "b")
    alone, both = of_regions(a), of_regions(a, b)
    assert both[: len(alone)] == alone
    for own in (alone, both[len(alone) :]):
        assert {t.split for t in own} == {"train", "test"}
        share = np.mean([t.split == "test" for t in own])
        assert 0.05 < share < 0.3
    splits.check_blocks([(t.cube_id, t.block, t.split) for t in both])
    other = of_regions(a, b, seed=1)
    assert [t.split for t in other] != [t.split for t in both]


def test_neighbours_share_a_block_without_a_clash_of_splits():
    free = region((2.0, 48.0, 2.305, 48.2))
    fixed = region((2.305, 48.0, 2.6, 48.2), "b", split="validation")
    found = of_regions(free, fixed)
    shared = {t.block for t in of_regions(free)} & {t.block for t in of_regions(fixed)}
    assert shared and all(t.split == "validation" for t in found if t.block in shared)
    with pytest.raises(ValueError, match="is in two splits"):
        of_regions(dataclasses.replace(free, split="test"), fixed)


def test_the_year_of_the_map_is_that_of_the_harvest():
    assert of_regions(region(), map_year=2018)
    with pytest.raises(ValueError, match="region a: expected a harvest in 2022"):
        of_regions(region(), map_year=2022)


def test_periods_of_regions_by_anchor():
    plain = of_regions(region())
    assert {t.periods for t in plain} == {months("2017-12-01", "2018-06-30", 7)}
    harvest = of_regions(region(), timing=Timing("harvest"))
    assert {t.periods for t in harvest} == {months("2018-01-01", "2018-06-30", 6)}
    fixed = of_regions(region(), timing=Timing(months=("2017-10-01", "2018-09-15")))
    assert {t.periods for t in fixed} == {months("2017-10-01", "2018-09-30", 12)}


def test_dates_that_nothing_was_observed_on():
    # The months needed end with June.
    assert of_regions(region(), today=dt.date(2018, 7, 1))
    with pytest.raises(ValueError, match="region a: expected periods that have ended by today"):
        of_regions(region(), today=dt.date(2018, 6, 30))
    # From December 2016, and from March 2017.
    with pytest.raises(ValueError, match=r"region a: .* S2 \(from 2017-03-28\), found 2016-12-01"):
        of_regions(region(harvest=dt.date(2017, 8, 1)))
    with pytest.raises(ValueError, match=r"S1 \(from 2014-10-03\) and S2 \(from 2017-03-28\)"):
        of_regions(region(harvest=dt.date(2015, 4, 1)))


# Labelled tiles.

PEA, TOMATO = dt.date(2022, 6, 11), dt.date(2022, 9, 5)
AMOUNTS = {"fields": 1, "area_ha": 1.0, "pixels": 100}


def seasons(*dates):
    return tuple(calendars.Season(date) for date in dates)


def tile(col, crops=("pea",), harvest=None, season="2021-2022", province="Fars"):
    geobox = grid.tile_geobox(32639, col, 3000)
    if harvest is None:
        harvest = {"pea": seasons(PEA, PEA + dt.timedelta(11)), "tomato": seasons(TOMATO)}
    name = f"{season}_{grid.tile_id(32639, col, 3000)}"
    return tiles.Tile(
        name, geobox, season, grid.block_id(geobox), "train", province, harvest,
        {crop: AMOUNTS for crop in crops}, 16284, f"labels/{name}.tif", f"fields/{name}.tif",
    )  # fmt: skip


def write(folder, *rows, about=None):
    spans = {"2021-2022": ["2021-10-01", "2022-08-31"]}
    for row in rows:
        for name in (row.label, row.fields):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).touch()
    return tiles.write_tiles(
        rows, folder / "tiles.geojson", legend.ISRC, {"months": spans} if about is None else about
    )


def of_tiles(path, timing=None, **others):
    return targets.targets_of_tiles(path, timing or Timing(), ARCHIVE, today=TODAY, **others)


def test_tiles_keep_what_prepare_said(tmp_path):
    rows = tile(400), tile(401, ("tomato", tiles.NONE), season="2022-2023")
    spans = {"2021-2022": ["2021-10-01", "2022-08-31"], "2022-2023": ["2022-11-01", "2023-01-31"]}
    found = of_tiles(write(tmp_path, *rows, about={"months": spans}))
    assert [t.cube_id for t in found] == [row.tile_id for row in rows]
    assert found[0].periods == months("2021-10-01", "2022-08-31", 11)
    assert found[1].periods == months("2022-11-01", "2023-01-31", 3)
    for target, row in zip(found, rows, strict=True):
        for key in ("geobox", "season", "block", "split", "province", "harvest"):
            assert getattr(target, key) == getattr(row, key)
        assert target.legend == legend.ISRC
        assert target.label_file == tmp_path / row.label
        assert target.fields_file == tmp_path / row.fields


def test_months_of_tiles_may_be_given(tmp_path):
    path = write(tmp_path, tile(400, harvest={}), about={})
    with pytest.raises(ValueError, match="expected months of season 2021-2022, found none"):
        of_tiles(path)
    fixed = Timing(months=("2022-01-01", "2022-03-31"))
    assert of_tiles(path, fixed)[0].periods == months("2022-01-01", "2022-03-31", 3)


def test_tiles_before_harvest(tmp_path):
    # The earliest candidate season of the crop that is labelled.
    path = write(tmp_path, tile(400), tile(401, ("tomato", tiles.NONE)))
    timing = Timing("harvest")
    found = of_tiles(path, timing)
    assert [t.periods[-1].end for t in found] == [dt.date(2022, 5, 11), dt.date(2022, 8, 5)]
    assert {len(t.periods) for t in found} == {6}
    # One crop for all tiles, whatever is labelled there.
    found = of_tiles(path, timing, crop="pea")
    assert {t.periods for t in found} == {harvest_periods(PEA, 6)}


def test_a_province_without_a_date_has_the_median_of_the_others(tmp_path):
    rows = tile(400), tile(401, harvest={}, province="Yazd")
    found = of_tiles(write(tmp_path, *rows), Timing("harvest"))
    assert found[1].periods == found[0].periods


@pytest.mark.parametrize(
    ("crops", "told"),
    [
        (("pea", "tomato"), "in 1 of 2 tiles, e.g. pea 2022-06-11, tomato 2022-09-05 in 2021-2022"),
        ((tiles.NONE,), "in 1 of 2 tiles, e.g. none in 2021-2022_32639_0401"),
        (("onion",), "in 1 of 2 tiles, e.g. none in"),
    ],
)
def test_tiles_of_several_or_no_harvest_dates_are_refused(tmp_path, crops, told):
    path = write(tmp_path, tile(400), tile(401, crops))
    with pytest.raises(ValueError, match=f"anchor 'harvest': expected one harvest date.*{told}"):
        of_tiles(path, Timing("harvest"))


def test_a_crop_is_checked(tmp_path):
    path = write(tmp_path, tile(400))
    with pytest.raises(ValueError, match="crop 'tomatoe' is not in legend"):
        of_tiles(path, Timing("harvest"), crop="tomatoe")
    with pytest.raises(ValueError, match="crop: expected anchor 'harvest'"):
        of_tiles(path, crop="pea")
    with pytest.raises(ValueError, match="in 1 of 1 tiles, e.g. none"):
        of_tiles(path, Timing("harvest"), crop="onion")


def test_broken_lists_of_tiles(tmp_path):
    row = tile(400)
    with pytest.raises(ValueError, match="expected tiles, found none"):
        of_tiles(write(tmp_path))
    path = write(tmp_path, row)
    (tmp_path / row.fields).unlink()
    with pytest.raises(ValueError, match=f"tile {row.tile_id}: expected .*{row.fields}, found no"):
        of_tiles(path)
    path = write(
        tmp_path,
        dataclasses.replace(row, geobox=GeoBox((64, 64), row.geobox.affine, row.geobox.crs)),
    )
    with pytest.raises(ValueError, match=r"expected a tile of 128 x 128 .* found \(64, 64\)"):
        of_tiles(path)


def test_tiles_of_months_that_are_not_over(tmp_path):
    path = write(tmp_path, tile(400))
    with pytest.raises(ValueError, match="tiles.geojson: season 2021-2022: .* ended by today"):
        targets.targets_of_tiles(path, Timing(), ARCHIVE, today=dt.date(2022, 8, 31))


# The nine regions.


@pytest.fixture(scope="module")
def europe():
    config = runpy.run_path(str(CONFIGS / "export_eucropmap.py"))["get_config"]().to_dict()
    regions = read_regions(config["regions"])
    keys = ("anchor", "num_periods", "lead_days", "months")
    timing = Timing(**{key: config[key] for key in keys})
    found = targets.targets_of_regions(
        regions,
        timing,
        ARCHIVE,
        config["label"]["year"],
        config["fractions"],
        config["seed"],
        TODAY,
    )  # fmt: skip
    return regions, found


def test_the_nine_regions_make_sound_targets(europe):
    regions, found = europe
    assert len(regions) == 9 and len({t.cube_id for t in found}) == len(found)
    valid = {r.name for r in regions if r.split == "validation"}
    assert valid == {"england_valid", "france_valid"}
    # 27,500 km2, less what the tiles at the edges leave out.
    assert 26_000 < len(found) * 1.28**2 < 27_500
    ends = {t.province: t.periods[-1].end for t in found}
    assert ends["spain"] == dt.date(2018, 5, 1) and ends["france"] == dt.date(2018, 8, 1)
    for country in {r.country for r in regions}:
        own = [t.split for t in found if t.province == country]
        assert 0.1 < np.mean([s == "test" for s in own if s != "validation"]) < 0.2, country


def test_the_regions_are_those_of_the_original_workbook(europe, real_dir):
    sheet = openpyxl.load_workbook(real_dir / "eucropmap" / "europe_rois.xlsx").active
    rows = [[cell.value for cell in row[:4]] for row in sheet.iter_rows(min_row=2)]
    expected = {}
    for ring, harvest, _, name in rows:
        points = np.array(json.loads(ring))[0]
        box = (*points.min(0).round(4), *points.max(0).round(4))
        expected[name.replace("hungry", "hungary")] = (box, str(harvest)[:10])
    found = {r.name: (r.box, r.harvest.isoformat()) for r in europe[0]}
    assert found == expected


def test_the_config_of_tiles_names_what_is_asked(tmp_path):
    config = runpy.run_path(str(CONFIGS / "export_isrc.py"))["get_config"]()
    assert config.kind == "tiles" and config.label.kind == "tiles"
    timing = Timing(config.anchor, config.num_periods, months=config.months)
    assert of_tiles(write(tmp_path, tile(400)), timing, crop=config.crop)


@pytest.mark.parametrize("name", ["export_eucropmap.py", "export_isrc.py"])
def test_options_of_the_configs_are_the_defaults(name):
    config = runpy.run_path(str(CONFIGS / name))["get_config"]().to_dict()
    assert options.S1Options(**config["s1"]) == options.S1Options()
    assert options.S2Options(**config["s2"]) == options.S2Options()
    kind = "eucropmap" if config["kind"] == "regions" else "tiles"
    assert options.LabelOptions(**config["label"]).kind == kind
