"""Since when the last class has held: of arrays, of maps in files, of parcels."""

import datetime as dt

import numpy as np
import pytest
import rasterio
from mapping import made_maps

from cropmap_jax.geo import cube, periods
from cropmap_jax.mapping import since, since_products

DATES = (dt.date(2022, 4, 1), dt.date(2022, 5, 1), dt.date(2022, 6, 1), dt.date(2022, 7, 1))
A, B, NONE, NO = 0, 1, 254, 255
CASES = [  # as of the four dates; the index of the date since which the last holds
    ((A, A, A, A), 0),
    ((B, A, A, A), 1),
    ((A, B, A, A), 2),
    ((A, A, A, B), 3),
    ((A, B, A, B), 3),
    ((NONE, NONE, A, NONE), 3),
    ((A, NONE, NONE, NONE), 1),
    ((A, NO, A, A), 2),
    ((NO, NO, NO, A), 3),
    ((A, A, A, NO), None),
]


def test_the_earliest_date_from_which_on_the_class_is_the_same():
    maps = [np.array([[case[n] for case, _ in CASES]], np.uint8) for n in range(4)]
    days = since.since(maps, DATES)
    assert days.dtype == np.uint16
    expected = [0 if n is None else periods.to_day(DATES[n]) for _, n in CASES]
    assert days.tolist() == [expected]
    assert periods.from_day(days[0, 1]) == dt.date(2022, 5, 1)
    assert since.since(maps[-1:], DATES[-1:]).tolist() == [
        [0 if case[-1] == NO else periods.to_day(DATES[-1]) for case, _ in CASES]
    ]


def test_it_is_what_a_search_pixel_by_pixel_finds():
    rng = np.random.default_rng(0)
    maps = rng.choice(np.array([A, B, NONE, NO], np.uint8), (4, 30, 30), p=[0.5, 0.2, 0.2, 0.1])
    days = since.since(list(maps), DATES)
    for row, col in np.ndindex(30, 30):
        own = maps[:, row, col]
        held = [n for n in range(4) if (own[n:] == own[3]).all() and own[3] != NO]
        assert days[row, col] == (periods.to_day(DATES[min(held)]) if held else 0)


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(1)
    geobox = made_maps.grid((20, 30))
    out = []
    for date in DATES:
        pixels = rng.choice(np.array([A, B, NONE, NO], np.uint8), (20, 30))
        made_maps.write(tmp_path / f"{date}", ("c", pixels, geobox))
        out.append(tmp_path / f"{date}" / "c")
    info = cube.CubeInfo("c", geobox, made_maps.MONTHS, made_maps.LEGEND, "b", "test", "2021-2022")
    (tmp_path / "since").mkdir()
    return tmp_path, info, out


def test_a_raster_of_maps_in_files_and_its_counts(folders):
    root, info, maps = folders
    found = since.make_cube(root / "since", info, maps, DATES, made_maps.LEGEND)
    images = [rasterio.open(folder / "crop.tif").read(1) for folder in maps]
    with rasterio.open(root / "since" / "c" / "since.tif") as raster:
        assert (raster.dtypes, raster.nodata) == (("uint16",), 0)
        assert raster.units == ("days since 1970-01-01",)
        assert raster.transform == info.geobox.affine and raster.crs.to_epsg() == 32639
        assert raster.tags(1)["DATE_19083"] == "2022-04-01" and raster.tags(ns="IMAGE_STRUCTURE")[
            "LAYOUT"] == "COG"  # fmt: skip
        days = raster.read(1)
    np.testing.assert_array_equal(days, since.since(images, DATES))
    counted = {
        (date, name): n for date, own in found.pixels.items() for name, n in own.items()
    }  # fmt: skip
    for date in DATES:
        for value, name in ((A, "wheat"), (B, "sugarbeet"), (NONE, "none_of_these")):
            here = (days == periods.to_day(date)) & (images[-1] == value)
            assert counted.pop((date.isoformat(), name), 0) == here.sum()
    assert not counted
    total = since_products.hectares(made_maps.LEGEND, DATES, [found, found])
    rows = since_products.table_rows(total, made_maps.LEGEND, DATES)
    assert [row["class"] for row in rows] == ["wheat", "sugarbeet", "none_of_these"]
    assert rows[0]["hectares"] == pytest.approx(2 * (images[-1] == A).sum() * 0.01)
    assert sum(rows[1][d.isoformat()] for d in DATES) == pytest.approx(rows[1]["hectares"])
    text = since_products.table_text(rows, DATES)
    assert text.splitlines()[0].split()[-5:] == [
        "by", "2022-04-01", "2022-05-01", "2022-06-01", "2022-07-01",
    ]  # fmt: skip
    assert len(text.splitlines()) == 4


def test_it_is_computed_again_when_a_map_changes_and_only_then(folders, monkeypatch):
    root, info, maps = folders
    arguments = (root / "since", info, maps, DATES, made_maps.LEGEND)
    found = since.make_cube(*arguments)
    with monkeypatch.context() as patched:
        patched.setattr(since, "_read", lambda *_: pytest.fail("read a map again"))
        assert since.make_cube(*arguments) == found
    (maps[1] / "map.json").write_bytes((maps[1] / "map.json").read_bytes() + b"\n")
    monkeypatch.setattr(since, "since", lambda images, _: np.full(images[0].shape, 7, np.uint16))
    assert since.make_cube(*arguments) != found


def test_a_damaged_map_is_named(folders):
    root, info, maps = folders
    (maps[2] / "crop.tif").write_bytes(b"no raster")
    with pytest.raises(ValueError, match="2022-06-01/c/crop.tif"):
        since.make_cube(root / "since", info, maps, DATES, made_maps.LEGEND)
    assert not (root / "since" / "c").exists()


def test_parcels_have_the_date_what_was_before_and_how_often_it_changed():
    rows = [
        ("a a a a", "2022-04-01", None, 0),
        ("b a a a", "2022-05-01", "b", 1),
        ("b a b a", "2022-07-01", "b", 3),
        ("a - a a", "2022-06-01", None, 2),
        ("a a a -", None, None, 1),
        ("- - - -", None, None, 0),
        ("- - - b", "2022-07-01", None, 1),
    ]
    columns = [
        [None if (v := text.split()[n]) == "-" else v for text, *_ in rows] for n in range(4)
    ]
    columns[1][3] = float("nan")  # as GDAL gives what is missing
    found = since.of_parcels(columns, DATES)
    assert found["since"].tolist() == [row[1] for row in rows]
    assert found["before"].tolist() == [row[2] for row in rows]
    assert found["changes"].tolist() == [row[3] for row in rows]


def test_colours_become_lighter_with_the_date():
    light = [sum(rgb) for rgb in since_products.date_colours(9)]
    assert light == sorted(light) and len(set(light)) == 9
    assert since_products.date_colours(1) == since_products.date_colours(5)[:1]
    assert since_products.labels(DATES)[:2] == ["since 2022-04-01 or earlier", "since 2022-05-01"]
