import pathlib
import subprocess
import sys

from cropmap_jax.geo import cube_io

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
# A tile of two splits each, over two months.
SMALL = (
    "--config", "configs/simulate.py:iran", "--config.tiles=1", "--config.sites.train=1",
    "--config.sites.validation=0", "--config.sites.test=1", "--config.first=2022-05-01",
    "--config.last=2022-06-30",
)  # fmt: skip


def run(cubes, *flags, small=SMALL):
    command = [sys.executable, "-m", "experiments.simulate", *small, "--cubes", str(cubes), *flags]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)


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


def test_a_mistake_is_a_line(tmp_path):
    wrong = run(tmp_path / "cubes", small=("--config", "configs/simulate.py:atlantis"))
    assert wrong.returncode == 1 and wrong.stdout == ""
    assert wrong.stderr.splitlines() == [
        "error: config.world: expected one of europe, iran, france, found 'atlantis'"
    ]
    assert not (tmp_path / "cubes").exists()
