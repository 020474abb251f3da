"""The command, as a newcomer types it."""

import os
import pathlib
import subprocess
import sys

import geopandas
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
