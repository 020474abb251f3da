import dataclasses
import datetime as dt
import errno
import pathlib
import re
import runpy
import shutil

import geopandas
import hypothesis
import hypothesis.strategies as st
import jdatetime
import numpy as np
import openpyxl
import pandas
import pytest
import rasterio.features
import shapely
from affine import Affine
from scipy import ndimage
from sources.simulator.black_cubes import simulate

from cropmap_jax.geo import cube_io, files, grid
from cropmap_jax.geo.legend import IGNORE, ISRC, NONE_OF_THESE
from cropmap_jax.sources.simulator import field_data, field_data_files, sites, worlds

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
CONFIG = runpy.run_path(str(CHECKOUT / "configs" / "prepare_isrc.py"))["get_config"]().to_dict()
# A site of each region and a second one in Khuzestan.
SETTINGS = sites.Settings(
    world="iran", sites={"train": 6}, tiles=2, first="2022-04-01", last="2022-04-30",
    label="teams", annotated=0.25,
)  # fmt: skip
SMALL = dataclasses.replace(SETTINGS, label="truth", tiles=1, sites={"test": 1})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("iran")
    ground = simulate(SETTINGS, root)
    summary = field_data.write(SETTINGS, root / "cubes", root / "field_data")
    return root, ground, summary


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    root = tmp_path_factory.mktemp("small")
    return root, simulate(SMALL, root)[0]


@pytest.fixture(scope="module")
def layers(made):
    """{class, or "other": its layer as it was written}."""
    root, _, _ = made
    found = {}
    for key, layer in CONFIG["layers"].items():
        for file in (root / "field_data").glob(layer["files"]):
            assert key not in found
            found[key] = geopandas.read_file(file)
    return found


def read_labels(root):
    for info in cube_io.list_cubes(root / "cubes"):
        rasters = []
        for name in ("label", "fields"):
            with rasterio.open(info.path / f"{name}.tif") as raster:
                rasters.append(raster.read(1))
        yield info, *rasters


def polygons(layers):
    """Every written part in EPSG:4326 with its class."""
    parts = [
        layer.to_crs(4326).assign(crop=key).explode(index_parts=False)
        for key, layer in layers.items() if key in ISRC.names
    ]  # fmt: skip
    return pandas.concat(parts, ignore_index=True)


def at(place, site):
    """(row, column) in a site's mosaic of points in its zone."""
    corner = grid.tile_geobox(site.region.epsg, site.col, site.row + SETTINGS.tiles - 1).affine
    rows = np.floor((corner.f - shapely.get_y(place)) / 10).astype(int)
    return rows, np.floor((shapely.get_x(place) - corner.c) / 10).astype(int)


def grown(places, ground):
    """Kind that truly grows at each point of a GeoSeries; each lies in one site."""
    keys, found = list(worlds.IRAN.kinds), [None] * len(places)
    for site in sites.list_sites(SETTINGS):
        own = ground[site.number]
        row, col = at(places.to_crs(site.region.epsg).array, site)
        inside = (row >= 0) & (col >= 0) & (row < len(own.parcel)) & (col < len(own.parcel))
        for i in np.flatnonzero(inside):
            assert found[i] is None
            found[i] = keys[own.kind[own.parcel[row[i], col[i]] - 1]]
    return found


def test_labels_rasterised_again_equal_the_cubes(made, layers):
    root, _, _ = made
    every, seen = polygons(layers), set()
    for info, label, _ in read_labels(root):
        box = info.geobox.extent.boundingbox
        own = every.to_crs(info.geobox.crs.to_epsg()).cx[box.left : box.right, box.bottom : box.top]
        again = rasterio.features.rasterize(
            [(g, ISRC.index(crop)) for g, crop in zip(own.geometry, own.crop, strict=True)],
            out_shape=label.shape, transform=info.geobox.affine, fill=IGNORE, dtype="uint8",
        ) if len(own) else np.full_like(label, IGNORE)  # fmt: skip
        np.testing.assert_array_equal(again, np.where(label == NONE_OF_THESE, IGNORE, label))
        seen |= {(info.province, int(c)) for c in np.unique(label)}
    # All classes were there, in all provinces.
    assert {c for _, c in seen} == {*range(8), NONE_OF_THESE, IGNORE}
    assert len({p for p, _ in seen}) == 5


def test_every_field_is_written_once_and_whole(made, layers):
    # Also those on several tiles; but for the feature that is there twice.
    root, _, summary = made
    expected, several = {}, set()
    for info, label, ids in read_labels(root):
        for number in np.unique(ids[ids > 0]):
            crop = int(label[ids == number][0])
            several |= {(info.block, int(number))} & set(expected)
            expected[info.block, int(number)] = crop
    assert len(several) > 5
    parts = polygons(layers).crop.value_counts().to_dict()
    assert parts.pop(field_data.TWICE_CROP) - 1 == summary.fields[field_data.TWICE_CROP]
    assert parts == {k: v for k, v in summary.fields.items() if k != field_data.TWICE_CROP}
    for crop, count in summary.fields.items():
        assert count == sum(c == ISRC.index(crop) for c in expected.values())
    negatives = sum(c == NONE_OF_THESE for c in expected.values())
    assert sum(summary.points.values()) == len(layers["other_points"]) == negatives > 20
    pixels = sum(int((label < 8).sum()) for _, label, _ in read_labels(root))
    assert summary.hectares == pytest.approx(pixels / 100, rel=1e-9)


def test_a_point_lies_deep_in_each_field_of_other_crops_and_its_name_is_true(made, layers):
    root, ground, summary = made
    points = layers["other_points"]
    assert points.crs.to_epsg() == 4326 and set(points.geom_type) == {"Point"}
    names = dict(zip(grown(points.geometry, ground), points["نام_م"], strict=True))
    assert {k: field_data.KINDS[k][0] for k in names} == names and len(names) >= 6
    assert points["نام_م"].value_counts().to_dict() == summary.points
    fields_of = set()
    for info, label, ids in read_labels(root):
        place = points.geometry.to_crs(info.geobox.crs.to_epsg()).array
        col = (shapely.get_x(place) - info.geobox.affine.c) / 10
        row = (info.geobox.affine.f - shapely.get_y(place)) / 10
        for r, c in zip(row, col, strict=True):
            if 0 <= r < 128 and 0 <= c < 128:
                assert label[int(r), int(c)] == NONE_OF_THESE
                fields_of.add((info.block, int(ids[int(r), int(c)])))
    assert len(fields_of) == len(points)


def test_products_are_true(made, layers):
    # That of sugar beet names its season.
    _, ground, _ = made
    every = polygons(layers)
    kinds = grown(every.geometry.to_crs(3857).representative_point(), ground)
    assert [field_data.KINDS[k][0] for k in kinds] == list(every.Product)
    assert {"چغندر قند بهاره", "چغندر قند پاییزه", "کلزا", "Tomato"} <= set(every.Product)
    assert set(every.Agriyear) == {"1400-01"}


def test_some_layers_have_other_forms(made, layers):
    _, _, summary = made
    crs = {key: layer.crs.to_epsg() for key, layer in layers.items()}
    assert crs.pop("maize") == 32639 and set(crs.values()) == {4326}
    solid = {key for key, layer in layers.items() if layer.has_z.any()}
    assert solid == {"pea"} and layers["pea"].has_z.all()
    parts = {k: shapely.get_num_geometries(v.geometry.array) for k, v in layers.items()}
    assert sorted(parts.pop("onion"))[-2:] == [1, 2] and max(map(max, parts.values())) == 1
    twice = layers["canola"].geometry.normalize()
    assert twice.duplicated().sum() == 1
    again = layers["canola"].geometry[twice.duplicated(keep=False)]
    first, second = (list(g.exterior.coords) for g in again)
    assert first[0] != second[0] and set(first) == set(second)
    assert not layers["maize"].geometry.normalize().duplicated().any()
    assert all(layer.geometry.is_valid.all() for layer in layers.values())
    assert summary.forms == {
        "feature that is there twice": 1,
        "fields in EPSG:32639": len(layers["maize"]),
        "feature of two parts": 1,
        "fields in 3-D": len(layers["pea"]),
        "points of a name that the config does not list": summary.points["آفتابگردان"],
    }
    assert str(summary).startswith(f"{sum(summary.fields.values())} fields of 8 crops, ")
    assert f"; {len(layers['other_points'])} points of other crops; " in str(summary)


def test_the_config_fits(made, layers):
    root, _, _ = made
    assert set(layers) == {*ISRC.names, "other_points"}
    for file in (root / "field_data").rglob("*.shp"):
        assert file.with_suffix(".cpg").read_text() == "UTF-8"
        assert all(file.with_suffix(s).is_file() for s in (".shx", ".dbf", ".prj"))
    names = CONFIG["layers"]["other_points"]["names"]
    for key, kind in worlds.IRAN.kinds.items():
        text, sheet = field_data.KINDS[key]
        if kind.label is None:
            assert names.get(text) == (None if key == field_data.UNLISTED else "none_of_these")
        else:
            assert sheet in CONFIG["layers"][kind.label]["sheets"]
    values = CONFIG["layers"]["sugarbeet"]["sheet_values"]
    assert values == dict(field_data.KINDS[k] for k in ("sugarbeet", "sugarbeet_autumn"))
    book = openpyxl.load_workbook(root / "field_data" / CONFIG["calendar"]["file"])
    sheets = {s for layer in CONFIG["layers"].values() for s in layer.get("sheets", ())}
    assert set(book.sheetnames) == sheets
    for sheet in book:
        assert {c.value for c in sheet[1]} == set(CONFIG["calendar"]["columns"].values())


def after(text, day):
    """First day from `day` on that has a Jalali month and day."""
    month, number = map(int, text.split("-"))
    year = jdatetime.date.fromgregorian(date=day).year
    days = (jdatetime.date(y, month, number).togregorian() for y in (year, year + 1))
    return next(d for d in days if d >= day)


def test_calendars_are_those_of_the_world(made):
    root, _, _ = made
    book = openpyxl.load_workbook(root / "field_data" / "CropsCalendar.xlsx")
    crops = {sheet: crop for crop in ISRC.names for sheet in CONFIG["layers"][crop]["sheets"]}
    found = {region.name: {} for region in worlds.IRAN.regions}
    for sheet in book:
        rows = list(sheet.iter_rows(min_row=2, values_only=True))
        assert [row[0] for row in rows] == list(found)
        for province, *dates in rows:
            if dates == ["-"] * 4:
                continue
            start = after(dates[0], dt.date(2021, 9, 23) - dt.timedelta(28))
            end = after(dates[1], dt.date(2021, 9, 23))
            assert end - start == dt.timedelta(28) and end <= dt.date(2022, 9, 22)
            harvest = after(dates[2], start)
            crop = crops[sheet.title]
            own = found[province].setdefault(crop, set())
            own.add((end, harvest, after(dates[3], harvest)))
    for region in worlds.IRAN.regions:
        assert found[region.name] == {
            crop: {(s.planting, s.harvest_start, s.harvest_end) for s in seasons}
            for crop, seasons in worlds.IRAN.calendar(region).items()
        }
    assert all(row[1] == "-" for row in book["Onion_Winter"].iter_rows(min_row=2, values_only=True))


def test_a_season_belongs_to_its_kind():
    # Khuzestan sows lentils, pea and sugar beet in autumn alone; Fars sugar beet in spring alone.
    khuzestan, fars = (field_data.seasons_of(worlds.IRAN, r) for r in worlds.IRAN.regions[:2])
    assert {"lentils", "pea", "sugarbeet", "onion_late"}.isdisjoint(khuzestan)
    assert khuzestan["sugarbeet_autumn"].planting.year == 2021
    assert fars["sugarbeet"].planting == dt.date(2022, 4, 26)  # 1 January, 120 days, 5 days early
    assert "sugarbeet_autumn" not in fars and "wheat" not in fars
    # No region of the world sows a crop twice; one that sows all has every kind's own dates.
    both = dataclasses.replace(worlds.IRAN.regions[1], weights={}, shift=0)
    new_year = dt.date(2022, 1, 1)
    assert {
        key: tuple((day - new_year).days for day in (s.planting, s.harvest_start, s.harvest_end))
        for key, s in field_data.seasons_of(worlds.IRAN, both).items()
    } == worlds.IRAN.seasons


def test_provinces_hold_their_sites(made, layers):
    root, _, _ = made
    provinces = geopandas.read_file(root / "field_data" / "provinces")
    assert provinces.crs.to_epsg() == 3857
    assert list(provinces.province) == [r.name for r in worlds.IRAN.regions]
    assert "Razavi Khorasan" in set(provinces.province)
    places = provinces.set_index("province").geometry
    for info in cube_io.list_cubes(root / "cubes"):
        tile = geopandas.GeoSeries([shapely.box(*info.geobox.extent.boundingbox)],
                                   crs=info.geobox.crs.to_epsg()).to_crs(3857)  # fmt: skip
        assert places.index[places.contains(tile[0].buffer(4000))].tolist() == [info.province]


def test_a_seed_gives_the_same_field_data(made, tmp_path):
    root, _, summary = made
    assert field_data.write(SETTINGS, root / "cubes", tmp_path / "again") == summary
    for file in (root / "field_data").rglob("*.shp"):
        other = tmp_path / "again" / file.relative_to(root / "field_data")
        assert other.read_bytes() == file.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["again"]


def test_the_truth_of_all_fields_can_be_written(small, tmp_path):
    root, ground = small
    summary = field_data.write(SMALL, root / "cubes", tmp_path / "out")
    parcels = len(np.unique(ground.parcel[ground.parcel > 0]))
    assert sum(summary.fields.values()) + sum(summary.points.values()) == parcels
    assert list(geopandas.read_file(tmp_path / "out" / "provinces").province) == ["Khuzestan"]


@hypothesis.given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.floats(0.2, 0.9))
def test_outlines_follow_pixel_edges(seed, size, share):
    rng = np.random.default_rng(seed)
    ids = ndimage.label(rng.random((size, size)) < share)[0].astype(np.uint32)
    affine = Affine(10, 0, 700_000, 0, -10, 4_000_000)
    numbers, outlines = field_data.outline(ids, affine)
    assert list(numbers) == list(range(1, int(ids.max()) + 1))
    assert shapely.is_valid(outlines).all() and set(shapely.get_type_id(outlines)) <= {3}
    np.testing.assert_array_equal(shapely.area(outlines), 100 * np.bincount(ids.ravel())[1:])
    assert (shapely.get_coordinates(outlines) % 10 == 0).all()
    there = geopandas.GeoSeries(outlines, crs=32639).to_crs(4326).to_crs(32639)
    again = np.zeros_like(ids)
    if len(there):
        rasterio.features.rasterize(zip(there, numbers, strict=True), out=again, transform=affine)
    np.testing.assert_array_equal(again, ids)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"world": "europe", "label": "map"},
         "--field_data: expected a world of the legend 'isrc' .*found world 'europe' of "
         "'eucropmap' and 'map'"),
        ({"world": "france", "label": "truth"}, "found world 'france' of 'eucropmap' and 'truth'"),
        ({"sites": {"train": 7}}, "iran_[0-9_]+: expected a simulated cube, found none"),
        ({"seed": 3}, "expected a cube simulated with the same settings, found seed: 0 there, 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused(made, tmp_path, change, message):
    root, _, _ = made
    settings = dataclasses.replace(SETTINGS, **change)
    with pytest.raises(ValueError, match=message):
        field_data.write(settings, root / "cubes", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_alone(made, tmp_path):
    root, _, _ = made
    (tmp_path / "mine").write_text("x")
    for path in (tmp_path, tmp_path / "mine"):
        with pytest.raises(
            ValueError, match=re.escape(f"new folder or an empty one, found {path}")
        ):
            field_data.write(SETTINGS, root / "cubes", path)
    assert (tmp_path / "mine").read_text() == "x"


def test_cubes_of_other_ground_are_refused(small, tmp_path):
    # As after a change of the simulator that did not count its version up.
    shutil.copytree(small[0] / "cubes", tmp_path / "cubes")
    (file,) = (tmp_path / "cubes").glob("*/label.tif")
    with rasterio.open(file, "r+") as raster:
        raster.write((raster.read() + 1) % 8)
    with pytest.raises(ValueError, match="fields that this version makes at Khuzestan, 32639_"):
        field_data.write(SMALL, tmp_path / "cubes", tmp_path / "out")


def test_without_any_field_nothing_is_written(tmp_path):
    settings = dataclasses.replace(SMALL, label="teams", annotated=1e-6)
    simulate(settings, tmp_path)
    with pytest.raises(ValueError, match="cubes: expected annotated fields, found none"):
        field_data.write(settings, tmp_path / "cubes", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("ending", [".shp", ".shx", ".dbf", ".prj", ".cpg"])
def test_a_file_that_was_cut_short_leaves_nothing(small, tmp_path, monkeypatch, ending):
    # As GDAL leaves one on a full disk, without an error.
    write = geopandas.GeoDataFrame.to_file

    def cut(layer, path, **kwargs):
        write(layer, path, **kwargs)
        with open(path.with_suffix(ending), "r+b") as file:
            file.truncate(0 if ending in (".prj", ".cpg") else 150)

    monkeypatch.setattr(geopandas.GeoDataFrame, "to_file", cut)
    with pytest.raises(OSError, match=r"Canola.*\.shp: could not be written \(what was read back"):
        field_data.write(SMALL, small[0] / "cubes", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_workbook_without_space_leaves_nothing(small, tmp_path, monkeypatch):
    def full(path, data):
        raise files.not_written(path, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(field_data_files.files, "write_bytes", full)
    with pytest.raises(OSError, match=r"CropsCalendar\.xlsx: could not be written \(No space"):
        field_data.write(SMALL, small[0] / "cubes", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_one_process_writes_field_data_at_a_time(small, tmp_path):
    with (
        files.Lock(tmp_path / ".out.part", "--field_data"),
        pytest.raises(ValueError, match="in use"),
    ):
        field_data.write(SMALL, small[0] / "cubes", tmp_path / "out")
    # Nor does one replace what came to be there meanwhile.
    with pytest.raises(OSError, match="out: could not be written"):
        with field_data_files.making(tmp_path / "out") as part:
            part.mkdir()
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "mine").touch()
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "mine"]


def test_interrupted_nothing_is_left(small, tmp_path, monkeypatch):
    root, _ = small

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(field_data, "_write_workbook", stop)
    with pytest.raises(KeyboardInterrupt):
        field_data.write(SMALL, root / "cubes", tmp_path / "out")
    assert not list(tmp_path.iterdir())
    # What a killed run left is no hindrance, and an empty folder is taken.
    monkeypatch.undo()
    (tmp_path / ".out.part" / "crops").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    field_data.write(SMALL, root / "cubes", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
