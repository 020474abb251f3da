"""The command, as a newcomer types it."""

import os
import pathlib
import subprocess
import sys

import geopandas
import openpyxl
import pytest
import shapely

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]


def prepare(*arguments):
    command = [sys.executable, "-m", "experiments.prepare", *map(str, arguments)]
    return subprocess.run(command, cwd=CHECKOUT, env=os.environ, capture_output=True, text=True)


@pytest.fixture
def mine(tmp_path):
    shapes = [shapely.box(4.0 + 0.002 * i, 49.0, 4.001 + 0.002 * i, 49.001) for i in range(3)]
    table = geopandas.GeoDataFrame(
        {"crop": ["winter wheat", "maize", "mixed"]}, geometry=shapes, crs=4326
    )
    table.to_file(tmp_path / "fields.gpkg")
    return tmp_path


def test_fields_become_tiles_a_report_and_maps(mine):
    done = prepare(
        "--config=configs/prepare_own.py", f"--config.source={mine}", f"--out={mine / 'out'}"
    )
    assert done.returncode == 0, done.stderr
    written = {p.name for p in (mine / "out").iterdir()}
    assert written == {
        ".prepare.written.json", "fields", "fields.gpkg", "labels", "map_crops.png",
        "map_detail.png", "map_splits.png", "report.json", "report.md", "tiles.geojson",
    }  # fmt: skip
    words = [line.split() for line in done.stdout.splitlines() if line.strip()]
    rows = {w[0]: w for w in words}
    assert rows["wheat"][1:3] == ["1", "1"] and rows["maize"][1:3] == ["1", "1"]
    assert f"tiles: {mine / 'out' / 'tiles.geojson'}" in done.stdout


def test_a_mistake_is_one_line(mine):
    done = prepare(
        "--config=configs/prepare_own.py", f"--config.source={mine / 'nowhere'}",
        f"--out={mine / 'out'}",
    )  # fmt: skip
    assert done.returncode == 1 and not (mine / "out").exists()
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ") and "nowhere" in line


def test_the_seed_config_makes_regions_of_interest(tmp_path):
    folder = tmp_path / "crops" / "Canola" / "GCP" / "1400-1401"
    folder.mkdir(parents=True)
    # Two fields 1 km apart and one 11 km off: two clusters.
    shapes = [shapely.box(x, 36.0, x + 0.001, 36.001) for x in (54.0, 54.011, 54.12)]
    geopandas.GeoDataFrame({"Product": ["x"] * 3}, geometry=shapes, crs=4326).to_file(
        folder / "canola.shp"
    )
    (tmp_path / "provinces").mkdir()
    geopandas.GeoDataFrame(
        {"province": ["Golestan"]}, geometry=[shapely.box(53, 35, 56, 38)], crs=4326
    ).to_file(tmp_path / "provinces" / "p.shp")
    book = openpyxl.Workbook()
    book.active.title = "Canola"
    book.active.append(
        ["Province", "Planting Start Date", "Planting End Date", "Harvest Start Date",
         "Harvest End Date"]
    )  # fmt: skip
    book.active.append(["Golestan", "07-11", "09-20", "02-21", "05-31"])
    book.save(tmp_path / "CropsCalendar.xlsx")
    done = prepare(
        "--config=configs/seed/prepare_isrc.py", f"--config.source={tmp_path}",
        f"--out={tmp_path / 'out'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rois = geopandas.read_file(tmp_path / "out" / "rois.geojson")
    assert sorted(rois.fields) == [1, 2] and set(rois.crop) == {"canola"}
    assert set(rois.harvest_date.astype(str).str[:10]) == {"2022-05-11"}
    assert (tmp_path / "out" / "seed_table.md").is_file()
