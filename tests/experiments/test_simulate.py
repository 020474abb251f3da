import pathlib
import subprocess
import sys

import pytest

from cropmap_jax.geo import cube_io, files

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
# A tile of two splits each, over two months.
SMALL = (
    "--config", "configs/simulate.py:iran", "--config.tiles=1", "--config.sites.train=1",
    "--config.sites.validation=0", "--config.sites.test=1", "--config.first=2022-05-01",
    "--config.last=2022-06-30",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def commands(starter):
    """What runs the commands."""
    global start
    start = starter


def run(cubes, *flags, small=SMALL):
    return start.run("simulate", *small, "--cubes", cubes, *flags)


def test_two_processes_simulate_two_sites_and_say_what_to_run_next(tmp_path):
    root, first = tmp_path, run(tmp_path / "cubes", "--workers=2")
    assert first.returncode == 0, first.stderr[-2000:]
    lines = first.stdout.splitlines()
    assert lines[0] == "2 cubes simulated, 0 were there"
    assert lines[1].startswith("3 km2 in ") and lines[1].endswith(" km2 a minute")
    assert lines[2:] == [
        f"cubes: {root / 'cubes'}",
        f"truth: {root / 'truth'} (for checking)",
        f"next: python -m experiments.build --cubes {root / 'cubes'} --data_dir DIR",
    ]
    assert "2/2" in first.stderr and "site" in first.stderr
    infos = cube_io.list_cubes(root / "cubes")
    assert [(i.split, i.legend.name, len(i.periods)) for i in infos] == [
        ("train", "isrc", 2), ("test", "isrc", 2),
    ]  # fmt: skip
    for info in infos:
        cube_io.verify_checksums(info)
        assert (root / "truth" / info.cube_id / "truth.tif").is_file()


def test_scenes_come_with_a_catalogue_and_what_to_run_next(tmp_path):
    scenes = tmp_path / "scenes"
    small = (*SMALL, "--config.sites.test=0", "--config.last=2022-05-31", "--workers=1")
    done = run(tmp_path / "cubes", "--scenes", str(scenes), small=small)
    assert done.returncode == 0, done.stderr[-2000:]
    count = len(list(scenes.glob("*/*/*/*.json")))
    assert f"scenes: {count} in {scenes / 'catalog.json'}" in done.stdout.splitlines() and count
    assert not list(scenes.rglob(".*"))
    wrong = run(tmp_path / "cubes", f"--scenes={tmp_path / 'cubes'}", small=small)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith(f"error: --scenes {tmp_path / 'cubes'}: is --cubes ")


def test_workers_of_a_scheduler_simulate_a_site_each(tmp_path):
    pytest.importorskip("distributed", reason="extra: dask")
    small = (*SMALL, "--config.sites.test=0", "--config.last=2022-05-31")
    done = run(tmp_path / "cubes", "--scheduler=local:1", small=small)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        "scheduler: local:1, processes of this machine; workers: 1",
        "1 cubes simulated, 0 were there",
    ]
    assert not list((tmp_path / "cubes").glob(".*"))
    wrong = run(tmp_path / "cubes", "--scheduler=local:1", "--workers=2", small=small)
    assert wrong.stderr == "error: --workers: expected none with --scheduler, found 2\n"


def test_a_mistake_is_a_line(tmp_path):
    wrong = run(tmp_path / "cubes", small=("--config", "configs/simulate.py:atlantis"))
    assert wrong.returncode == 1 and wrong.stdout == ""
    assert wrong.stderr.splitlines() == [
        "error: config.world: expected one of europe, iran, france, found 'atlantis'"
    ]
    assert not (tmp_path / "cubes").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--truth=gs://bucket/truth"], "--truth 'gs://bucket/truth': expected a path on this"),
        (["--truth={}"], "--truth {0}: is --cubes {0}"),
        (["--field_data={}/d"], "--field_data {0}/d: lies in --cubes {0}"),
    ],
)
def test_folders_are_here_and_apart(tmp_path, flags, message):
    cubes = str(tmp_path / "cubes")
    wrong = run(cubes, *(flag.format(cubes) for flag in flags))
    assert wrong.returncode == 1 and wrong.stdout == ""
    (line,) = wrong.stderr.splitlines()
    assert line.startswith("error: " + message.format(cubes))
    assert not list(tmp_path.iterdir())


def test_one_command_writes_a_folder_at_a_time(tmp_path):
    with files.Lock(tmp_path / "truth", "--truth"):
        wrong = run(tmp_path / "cubes")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith(f"error: --truth {tmp_path / 'truth'}: in use by ")


def test_sigterm_ends_it_in_a_line_and_nothing_unfinished_is_left(tmp_path):
    command = [sys.executable, "-m", "experiments.simulate", *SMALL, "--config.tiles=8",
               "--cubes", str(tmp_path / "cubes"), "--workers=2"]  # fmt: skip
    started = subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True)
    said = ""
    while "0/2" not in said and started.poll() is None:
        said += started.stderr.read(1)
    started.terminate()
    _, error = started.communicate(timeout=60)
    assert started.returncode == 143
    assert error.splitlines()[-1].startswith("stopped by SIGTERM: run the same command again")
    assert "Traceback" not in error
    assert not [path for path in tmp_path.rglob(".*")]


def test_the_iranian_world_comes_as_field_data_too(tmp_path):
    out = tmp_path / "field_data"
    small = (*SMALL, "--config.sites.test=0", "--config.last=2022-05-31")
    done = run(tmp_path / "cubes", "--field_data", str(out), small=small)
    assert done.returncode == 0, done.stderr[-2000:]
    *_, where, what, following = done.stdout.splitlines()
    assert where == f"field data: {out}"
    assert " fields of " in what and " points of other crops; in other forms: " in what
    assert following == (
        "next: python -m experiments.prepare --config configs/prepare_isrc.py "
        f"--config.source={out} --out DIR"
    )
    assert (out / "CropsCalendar.xlsx").is_file() and list(out.glob("crops/*/GCP/1400-1401/*.shp"))
    # What cannot be written is reported before anything is simulated.
    wrong = run(tmp_path / "europe", "--field_data", str(tmp_path / "no"),
                small=("--config", "configs/simulate.py"))  # fmt: skip
    assert wrong.returncode == 1 and wrong.stdout == ""
    assert wrong.stderr.startswith("error: --field_data: expected a world of the legend 'isrc'")
    assert not (tmp_path / "europe").exists() and not (tmp_path / "no").exists()
