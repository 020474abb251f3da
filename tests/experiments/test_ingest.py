import os
import pathlib
import signal
import subprocess
import sys

import numpy as np

from cropmap_jax.geo import cube_io
from cropmap_jax.sources.ingest import run as ingest_run
from cropmap_jax.sources.ingest.options import Options
from tests.sources import own_stack

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
SPLIT = "columns:train=0-9,test=10-14"
# Runs the command after a piece of Python: sys.argv[1] is that piece, the rest are its flags.
LAUNCH = (
    "import runpy, sys; exec(sys.argv.pop(1)); "
    "runpy.run_module('experiments.ingest', run_name='__main__')"
)


def run(tmp_path, *flags, first="pass"):
    command = [sys.executable, "-c", LAUNCH, first, *flags]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)


def flags(tmp_path, file, *more):
    return [f"--input={file}", f"--cubes={tmp_path / 'cubes'}", *more]


def test_the_command_ends_with_a_table_and_what_to_run_next(tmp_path):
    file = own_stack.write_npz(tmp_path)
    more = [
        "--none_of_these=Other",
        "--unknown=Cloud",
        "--harvest=*=2022-09-01",
        f"--split={SPLIT}",
    ]
    done = run(tmp_path, *flags(tmp_path, file, *more))
    assert done.returncode == 0, done.stderr
    table = done.stdout.splitlines()
    assert table[0].split()[:2] == ["cube", "split"]
    assert [line.split()[0] for line in table[1:3]] == ["stack-train-0", "stack-test-0"]
    assert table[-2:] == [
        f"cubes: {tmp_path / 'cubes'}",
        f"next: python -m experiments.build --cubes {tmp_path / 'cubes'} --data_dir data "
        "--name mine",
    ]
    infos = cube_io.list_cubes(tmp_path / "cubes")
    assert [info.split for info in infos] == ["test", "train"]
    # The flags' defaults are those of Options: the same again through Python changes nothing.
    options = Options(
        str(file),
        str(tmp_path / "cubes"),
        none_of_these=["Other"],
        unknown=["Cloud"],
        harvest=["*=2022-09-01"],
        split=SPLIT,
    )
    assert ingest_run.ingest(options).count("already there") == 2


def test_a_mistake_is_one_line(tmp_path):
    file = own_stack.write_npz(tmp_path)
    done = run(tmp_path, *flags(tmp_path, file, "--none_of_these=Othr"))
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.splitlines() == [
        "error: --none_of_these Othr: no class of the input; did you mean 'other'? expected one of "
        "Other, Maize, Spring wheat, Cloud"
    ]


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path):
    # Files over 2,000 bytes fail as on a full disk; without its signal, the limit is an error.
    limit = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"
    )
    done = run(tmp_path, *flags(tmp_path, own_stack.write_npz(tmp_path)), first=limit)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: ") and "could not be written (File too large)" in error
    assert str(tmp_path / "cubes" / "stack") in error
    assert list((tmp_path / "cubes").iterdir()) == []


def test_killed_while_writing_the_same_command_resumes(tmp_path):
    file = own_stack.write_npz(tmp_path)
    # A cube is five files; the eighth is the third of the second cube.
    kill = (
        "import os, signal; from cropmap_jax.geo import files; write, count = "
        "files.write_synced, []; files.write_synced = lambda *a: (count.append(a), "
        "os.kill(os.getpid(), signal.SIGKILL) if len(count) == 8 else write(*a))"
    )
    done = run(tmp_path, *flags(tmp_path, file, f"--split={SPLIT}"), first=kill)
    assert done.returncode == -signal.SIGKILL
    (whole,) = cube_io.list_cubes(tmp_path / "cubes")
    before = (whole.path / "item.json").stat().st_mtime_ns
    # The whole one, a hidden half and the lock of the dead process, which holds nobody up.
    assert len(os.listdir(tmp_path / "cubes")) == 3
    text = ingest_run.ingest(Options(str(file), str(tmp_path / "cubes"), split=SPLIT))
    assert text.count("already there") == 1 and text.count("written") == 1
    assert (whole.path / "item.json").stat().st_mtime_ns == before
    cubes = [cube_io.read_cube(i.path, verify=True) for i in cube_io.list_cubes(tmp_path / "cubes")]
    assert [c.info.cube_id for c in cubes] == ["stack-test-0", "stack-train-0"]
    np.testing.assert_allclose(cubes[0].s2, own_stack.s2()[:, :, 10:], atol=0.000051)
