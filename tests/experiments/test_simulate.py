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


def test_the_iranian_world_can_be_delivered(tmp_path):
    out = tmp_path / "delivery"
    small = (*SMALL, "--config.sites.test=0", "--config.last=2022-05-31")
    done = run(tmp_path / "cubes", "--delivery", str(out), small=small)
    assert done.returncode == 0, done.stderr[-2000:]
    *_, where, what, following = done.stdout.splitlines()
    assert where == f"delivery: {out}"
    assert " fields of " in what and " points of other crops; in other forms: " in what
    assert following == (
        "next: python -m experiments.prepare --config configs/prepare_isrc.py "
        f"--config.source={out} --out DIR"
    )
    assert (out / "CropsCalendar.xlsx").is_file() and list(out.glob("crops/*/GCP/1400-1401/*.shp"))
    # What cannot be delivered is said before anything is simulated.
    wrong = run(tmp_path / "europe", "--delivery", str(tmp_path / "no"),
                small=("--config", "configs/simulate.py"))  # fmt: skip
    assert wrong.returncode == 1 and wrong.stdout == ""
    assert wrong.stderr.startswith("error: --delivery: expected a world of the legend 'isrc'")
    assert not (tmp_path / "europe").exists() and not (tmp_path / "no").exists()
