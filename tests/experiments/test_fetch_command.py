"""The command as a user runs it, and one line for each mistake."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("distributed", reason="needs distributed (extra: dask)")
pytest.importorskip("odc.stac", reason="needs odc-stac (extra: stac)")
pytest.importorskip("pystac_client", reason="needs pystac-client (extra: stac)")

from cropmap_jax.geo import cube_io
from cropmap_jax.sources.simulator import run as simulator
from cropmap_jax.sources.simulator import scene_catalogue, sites

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
SETTINGS = sites.Settings(
    "iran", {"train": 2}, tiles=1, first="2022-01-01", last="2022-02-28", label="teams",
    annotated=0.2, seed=2,
)  # fmt: skip
QUICK = ("--config.s2.collection=",)
"""Radar alone, a tenth of the files."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    simulator.simulate(SETTINGS, folder / "cubes", folder / "truth", workers=1)
    scene_catalogue.write(SETTINGS, folder / "scenes")
    return folder


@pytest.fixture(scope="module", autouse=True)
def commands(starter):
    """What runs the commands."""
    global start
    start = starter


def run(world, out, *flags, catalogue=None, config="local", alone=False):
    """`alone`: with this process's environment as it is now."""
    place = world / "scenes" if catalogue is None else catalogue
    words = [
        "--config", f"configs/fetch_{config}.py", "--config.kind=cubes",
        f"--config.cubes={world / 'cubes'}", f"--config.catalogue={place}", "--cubes", str(out),
        *flags,
    ]  # fmt: skip
    if not alone:
        return start.run("fetch", *words)
    command = [sys.executable, "-m", "experiments.fetch", *words]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300)


def fail(*arguments, **more):
    done = run(*arguments, **more)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr[-2000:]
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return line.removeprefix("error: ")


def test_a_pilot_then_the_rest(world, tmp_path):
    out = tmp_path / "cubes"
    first = run(world, out, *QUICK, "--pilot=1")
    assert first.returncode == 0, first.stderr[-2000:]
    assert "1 cubes made (0 flagged), 0 were there, 0 failed" in first.stdout
    assert "as a pilot took" in first.stdout
    assert first.stdout.splitlines()[-2:] == [
        f"cubes: {out}",
        "next: the same command without --pilot and --max_gb fetches the rest",
    ]
    plan = run(world, out, *QUICK, "--plan")
    assert "there       1 cubes, which are not fetched again" in plan.stdout
    assert "cubes       1, 2 km2, in 1 groups" in plan.stdout
    second = run(world, out, *QUICK, "--scheduler=local:1")
    assert second.returncode == 0, second.stderr[-2000:]
    assert "1 cubes made (0 flagged), 1 were there, 0 failed" in second.stdout
    assert (out / "missing.png").is_file() and len(list(cube_io.list_cubes(out))) == 2
    expected = f"next: python -m experiments.build --dataset isrc --cubes {out} --data_dir DIR"
    assert second.stdout.splitlines()[-1] == expected


def test_a_plan_counts_scenes_and_writes_nothing(world, tmp_path):
    done = run(world, tmp_path / "cubes", "--plan")
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert lines[0].startswith("cubes       2, 3 km2, in 2 groups: 2 train")
    assert "scenes assumed" not in done.stdout
    rows = [line for line in lines if line.strip().startswith("Khuzestan")]
    assert len(rows) == 2 and all("2022-01 " in row and "2022-02 " in row for row in rows)
    assert not (tmp_path / "cubes").exists()


def test_a_plan_without_a_connection_says_so(world, tmp_path):
    done = run(world, tmp_path / "cubes", "--plan", catalogue="http://127.0.0.1:9/stac")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("scenes assumed") == 2
    assert "s2: the catalogue could not be asked (http://127.0.0.1:9/stac: " in done.stdout
    assert "12 scenes a month assumed, from the revisit schedule" in done.stdout


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--config.s1.collection=sentinel-1-sigma"],
         "expected a collection of sentinel-1-sigma0, sentinel-2-l2a, found 'sentinel-1-sigma'; "
         "did you mean 'sentinel-1-sigma0'?"),
        (["--config.s1.backscatter=gamma0_rtc"],
         "expected gamma0_rtc (s1.backscatter), found product type GRD: sigma-0 and gamma-0 RTC "
         "are never mixed"),
        (["--config.s1.collection=", "--config.s2.collection="],
         "config.s1.collection, config.s2.collection: expected one, found none"),
        (["--config.cubes={}/nowhere"], "found"),
        (["--cubes={}/scenes/here"], "lies in config.s1.catalogue"),
    ],
)  # fmt: skip
def test_a_mistake_is_a_line(world, tmp_path, flags, said):
    line = fail(world, tmp_path / "out", *(flag.format(world) for flag in flags))
    assert said in line
    assert not (tmp_path / "out" / "missing.png").exists()


def test_no_catalogue_there_is_a_line(world, tmp_path):
    (tmp_path / "empty").mkdir()
    line = fail(world, tmp_path / "out", catalogue=tmp_path / "empty")
    assert line.startswith("config.catalogue: expected the address of a STAC catalogue, its ")
    (tmp_path / "empty" / "catalog.json").write_text("{}")
    line = fail(world, tmp_path / "out", catalogue=tmp_path / "empty")
    assert "expected a STAC catalogue, found one that cannot be read" in line
    line = fail(world, tmp_path / "out", catalogue="http://127.0.0.1:9/stac")
    assert line.startswith("http://127.0.0.1:9/stac: ")


def changed(world, tmp_path, change):
    """A copy of the radar's part of the catalogue, each item changed."""
    shutil.copytree(world / "scenes", tmp_path / "scenes")
    for file in (tmp_path / "scenes").glob("sentinel-*/*/*/*.json"):
        item = json.loads(file.read_text())
        change(item)
        file.write_text(json.dumps(item))
    return tmp_path / "scenes"


def test_an_asset_without_a_scale_is_a_line(world, tmp_path):
    def change(item):
        for asset in item["assets"].values():
            for band in asset.get("raster:bands", asset.get("bands")):
                band.pop("scale", None)
                band.pop("raster:scale", None)

    line = fail(world, tmp_path / "out", catalogue=changed(world, tmp_path, change))
    assert line.startswith("item S2") and "expected a scale in bands or raster:bands" in line


def test_two_kinds_of_radar_are_a_line(world, tmp_path):
    def change(item):
        if item["id"].endswith("_1"):
            item["properties"]["sar:product_type"] = "OTHER"

    line = fail(world, tmp_path / "out", *QUICK, catalogue=changed(world, tmp_path, change))
    assert "expected one kind of radar product, found GRD and OTHER" in line


def test_a_place_or_a_month_that_the_catalogue_lacks(world, tmp_path):
    """Nothing at all fails the cube, an empty month flags it."""

    def change(item):
        if item["id"].startswith("S1"):
            item["properties"]["datetime"] = item["properties"]["datetime"].replace(
                "2022-01", "2019-01"
            )
            if "-02776" in item["id"]:
                item["geometry"]["coordinates"] = [[[0, 0], [1, 0], [1, 1], [0, 0]]]

    there = changed(world, tmp_path, change)
    done = run(world, tmp_path / "out", *QUICK, catalogue=there)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "1 cubes made (1 flagged), 0 were there, 1 failed" in done.stdout
    assert "Sentinel-1: nothing in 1 periods (2022-01-01)" in done.stdout
    assert "expected items of sentinel-1-sigma0 from 2022-01-01 to 2022-03-01" in done.stdout
    assert "found none: outside of what the catalogue holds?" in done.stdout
    shutil.rmtree(next((tmp_path / "out").glob("iran*")))
    (last,) = [f for f in (world / "cubes").glob("iran*") if "02776" not in f.name]
    only = tmp_path / "one"
    shutil.copytree(world / "cubes", only / "cubes", ignore=lambda _, n: [last.name])
    os.symlink(there, only / "scenes")
    assert fail(only, tmp_path / "other", *QUICK).startswith("no cube could be fetched: iran_")


def test_missing_keys_are_a_line(world, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    flags = {"config": "cdse", "catalogue": "http://127.0.0.1:9/stac"}
    line = fail(world, tmp_path / "out", **flags, alone=True)
    assert line == "AWS_ACCESS_KEY_ID: expected S3 keys in the environment, found none"
    done = run(world, tmp_path / "out", "--plan", **flags)  # a search needs none
    assert done.returncode == 0 and "scenes assumed" in done.stdout
    assert "http://127.0.0.1:9/stac: no answer)" in done.stdout
