"""The command, run as a user runs it, killed, and run again."""

import os
import pathlib
import signal
import subprocess
import sys

import making
import numpy as np
import pytest
from mapping import small_maps

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
ENV = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
# Killed when the first cube's rasters are written and its metadata is not.
KILL = (
    "import os, runpy, signal; from cropmap_jax.geo import files; write = files.write_synced; "
    "files.write_synced = lambda path, data: os.kill(os.getpid(), signal.SIGKILL) "
    "if path.name == 'map.json' else write(path, data); "
    "runpy.run_module('experiments.predict', run_name='__main__')"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    small_maps.save_checkpoint(root / "run")
    whole = making.make_cube("whole", (64, 128), fields=False)
    small_maps.write(root / "cubes", *small_maps.quarters(whole, 64))
    return root


def words(root, **flags):
    settings = {"workdir": root / "run", "cubes": root / "cubes", "out": root / "map"}
    settings |= {"as_of": small_maps.AS_OF, "threshold": 0.4} | flags
    return [f"--{name}={value}" for name, value in settings.items()]


def test_a_killed_map_is_gone_on_with(world, starter):
    done = subprocess.run(
        [sys.executable, "-c", KILL, *words(world)],
        cwd=CHECKOUT, env=ENV, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = (world / "map").glob(".c00.*")
    assert (left / "crop.tif").is_file() and not small_maps.shown(world / "map")
    done = starter.run("predict", *words(world))
    assert done.returncode == 0, done.stderr[-2000:]
    assert {p.name for p in (world / "map").iterdir()} >= {"c00", "c01", "summary.csv"}
    assert sorted(p.name for p in (world / "map").glob(".*")) == small_maps.HIDDEN
    assert "hectares" in done.stdout and "2 cubes" in done.stdout
    assert f"map: {world / 'map' / 'crop_32639.vrt'}" in done.stdout
    assert "next: open" in done.stdout and "predict: 100%" in done.stderr
    crop = small_maps.read(world / "map" / "crop_32639.vrt")
    assert crop.shape == (64, 128) and set(np.unique(crop)) <= {0, 1, 2, 254}


def test_a_mistake_is_one_line(world, starter):
    done = starter.run("predict", *words(world, cubes=world / "none"))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert lines == [f"error: {world / 'none'}: expected a folder of cubes, found none"]


def test_a_series_of_a_run_and_the_month_that_comes(world, starter):
    """With a network, from the command: the second run maps the date that is new."""
    flags = {"out": world / "series", "series_from": "2022-05-01", "as_of": "2022-06-01"}
    done = starter.run("predict", "--series", *words(world, **flags))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "== as of 2022-05-01 (1 of 2)" in done.stdout
    assert "hectares that hold since" in done.stdout
    assert f"since when: {world / 'series' / 'since' / 'since_32639.vrt'}" in done.stdout
    done = starter.run("predict", "--series", *words(world, **flags | {"as_of": "2022-07-01"}))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("mapped already: 2 of 2 cubes") == 2
    assert "predict 2022-07-01: 100%" in done.stderr and "predict 2022-06-01" not in done.stderr
    done = starter.run("predict", *words(world, out=world / "series"))
    assert done.returncode == 1 and "found a series of maps; give --series" in done.stderr
