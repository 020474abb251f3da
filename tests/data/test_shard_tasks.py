"""Datasets whose shards workers write: the same bytes, and errors in the same words."""

import importlib
import os
import pathlib
import signal
import sys
from importlib.util import find_spec

import making
import pytest
from scheduling.pickling import Pickling

from cropmap_jax import scheduling
from cropmap_jax.data import cube_builder, read_plan
from cropmap_jax.geo import cube_io
from cropmap_jax.geo.folds import Rule

sys.path.append(str(pathlib.Path(__file__).parents[2] / "datasets"))
SPLITS = ("train", "train", "validation", "test")


def build(cubes_dir, data_dir, scheduler=None, **settings):
    builder = importlib.import_module("cubes.cubes_dataset_builder").Builder
    settings = {"chip": 16, "overlap": 4, "scheduler": scheduler} | settings
    cube_builder.build(builder, "small", cubes_dir, data_dir, **settings)
    return pathlib.Path(data_dir) / "cubes" / "small"


def content(folder: pathlib.Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cubes")
    making.make_cubes(folder, SPLITS, size=(40, 56))
    return folder


@pytest.fixture
def in_pieces(monkeypatch):
    """Windows of a few chips, and shards that end within a window and within a cube."""
    monkeypatch.setattr(read_plan, "READ_BYTES", 200_000)
    monkeypatch.setattr(read_plan, "SHARD_BYTES", 300_000)


@pytest.mark.parametrize("rule", [None, Rule(2, "block"), Rule(3, "field")])
def test_each_byte_is_that_of_one_process(cubes, in_pieces, tmp_path, monkeypatch, rule):
    here = build(cubes, tmp_path / "here", folds=rule)
    monkeypatch.chdir(cubes.parent)
    scheduler = Pickling(last_first=True)
    made = build(cubes.name, tmp_path / "made", scheduler, folds=rule)
    assert content(made) == content(here)
    assert sorted(scheduler.required) == ["--cubes", "--data_dir"]
    # Of cubes that are in several shards one worker compares the checksums, and counts a window.
    assert sum(task.before is not None for task in scheduler.tasks) >= 3
    assert len(scheduler.tasks) > 2 * len(SPLITS)
    assert [path.name for path in made.iterdir()] == ["1.0.0"]


@pytest.fixture(scope="module")
def cluster():
    if find_spec("distributed") is None:
        pytest.skip("extra: dask")
    with scheduling.open_scheduler("local:2") as opened:
        yield opened


def test_a_killed_worker_costs_nothing_but_time(cubes, in_pieces, cluster, tmp_path):
    killed = []

    class Killing(scheduling.Scheduler):
        is_here, require = False, cluster.require

        def run(self, function, tasks, name=str):
            for done in cluster.run(function, tasks, name):
                if not killed:
                    killed.append(next(iter(cluster._client.run(os.getpid).values())))
                    os.kill(killed[0], signal.SIGKILL)
                yield done

    made = build(cubes, tmp_path / "made", Killing())
    assert killed and content(made) == content(build(cubes, tmp_path / "here"))


def test_a_damaged_cube_is_the_same_line_and_nothing_stays(cubes, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_demands", type(cluster._demands)())  # of the build before
    raster = sorted(cubes.rglob("s2.tif"))[2]
    whole = raster.read_bytes()
    lines = []
    raster.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        for scheduler in (None, cluster):
            with pytest.raises(ValueError) as caught:
                build(cubes, tmp_path / "data", scheduler)
            lines.append(str(caught.value))
            assert not (tmp_path / "data").exists()
    finally:
        raster.write_bytes(whole)
    assert lines[0] == lines[1] and lines[0].startswith(f"{raster}: ")
    cube_io.read_raw(raster.parent, verify=True)
