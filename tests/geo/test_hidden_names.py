"""Hidden names on disks that machines share: no two writes meet, and who has ended is told."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from cropmap_jax.geo import files, hidden_names

ELSEWHERE = "0123abcd"

# Says under which hidden name it writes, and waits until it is told to end.
WRITER = """
import os, pathlib, sys
from cropmap_jax.geo import files
folder, text = pathlib.Path(sys.argv[1]), sys.argv[2]
files.tidy(folder)
with files.replacing(folder / "c00") as part:
    part.mkdir()
    (part / "first").write_text(text)
    print(os.getpid(), part.name, flush=True)
    sys.stdin.readline()
    (part / "second").write_text(text)
"""
CONTAINER = (
    "unshare",
    "--user",
    "--map-root-user",
    "--pid",
    "--fork",
    "--mount-proc",
    "--kill-child",
)


def name_of(machine=None, pid=None, started=None, kind="part"):
    """A hidden name for "c00"; of this process where nothing else is said."""
    own = hidden_names.new(hidden_names.pathlib.Path("c00"))[0].name.split(".")[2].split("-")
    changes = (machine, pid, started, None)
    mark = "-".join(
        str(mine if new is None else new) for mine, new in zip(own, changes, strict=True)
    )
    return f".c00.{mark}.{kind}"


def make(folder, name):
    """A folder of that name with a file in it."""
    path = folder / name
    path.mkdir()
    (path / "s2.tif").write_text("half")
    return path


def writer(folder, text, *before):
    """A process that writes; how it calls itself, and its hidden name."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [*before, sys.executable, "-c", WRITER, folder, text],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    pid, name = process.stdout.readline().split()
    return process, int(pid), name


def test_each_write_has_a_name_of_its_own(tmp_path):
    made = [path for _ in range(50) for path in files.hidden(tmp_path / "c00")]
    assert len(set(made)) == 100
    assert {files.unfinished(path) for path in made} == {"c00"}
    assert {path.suffix for path in made} == {".part", ".old"}
    part, old = files.hidden(tmp_path / "c00")
    assert part.with_suffix("") == old.with_suffix("")


def test_what_a_process_of_this_machine_writes_is_left_over_when_that_has_ended(tmp_path):
    process, pid, name = writer(tmp_path, "x")
    with process:
        assert pid == process.pid and not hidden_names.is_left(tmp_path / name)
        process.send_signal(signal.SIGSTOP)
        files.tidy(tmp_path)
        assert (tmp_path / name / "first").exists()
        process.kill()
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert hidden_names.is_left(tmp_path / name)  # nobody has asked yet how it ended
    assert hidden_names.is_left(tmp_path / name)
    files.tidy(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_id_that_another_process_has_by_now(tmp_path):
    assert not hidden_names.is_left(make(tmp_path, name_of()))
    assert hidden_names.is_left(make(tmp_path, name_of(started="1")))
    assert hidden_names.is_left(make(tmp_path, name_of(pid=10**15)))


def test_where_the_system_does_not_say_when_a_process_began_age_tells(tmp_path, monkeypatch):
    path = make(tmp_path, name_of(started="0"))
    assert not hidden_names.is_left(path)
    monkeypatch.setattr(hidden_names, "FORGOTTEN_S", -1)
    assert hidden_names.is_left(path)
    assert not hidden_names.is_left(make(tmp_path, name_of()))


def test_what_another_machine_writes_is_left_over_when_it_is_forgotten(tmp_path, monkeypatch):
    # The process of that id runs here, or does not: it is not the one that writes.
    paths = [make(tmp_path, name_of(ELSEWHERE, pid)) for pid in (os.getpid(), 10**7)]
    files.tidy(tmp_path)
    assert all((path / "s2.tif").exists() for path in paths)
    time.sleep(0.02)
    with open(paths[0] / "s2.tif", "a") as file:  # which changes nothing of the folder itself
        file.write("more")
    last = os.lstat(paths[0] / "s2.tif").st_ctime
    assert os.lstat(paths[1]).st_ctime < last
    monkeypatch.setattr(hidden_names.time, "time", lambda: last + hidden_names.FORGOTTEN_S)
    assert [hidden_names.is_left(path) for path in paths] == [False, True]
    files.tidy(tmp_path)
    assert list(tmp_path.iterdir()) == paths[:1]


def test_what_earlier_versions_left_is_cleared_away_and_what_is_no_hidden_name_stays(tmp_path):
    for name in (f".c00.{os.getpid()}.part", ".c00.7.old", ".c00.part", ".c00.1-2-3-4.part", "c00"):
        make(tmp_path, name)
    files.tidy(tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".c00.1-2-3-4.part", ".c00.part", "c00"]


def test_what_is_removed_while_it_is_written_never_gets_its_name(tmp_path, monkeypatch):
    """As of a worker that slept for a day."""
    removed = files.remove

    def half(path):
        if path.is_dir():
            next(path.iterdir()).unlink()  # then the writer has its turn

    with pytest.raises(OSError, match="c00: could not be written"):
        with files.replacing(tmp_path / "c00") as part:
            part.mkdir()
            (part / "s1.tif").touch()
            with monkeypatch.context() as patched:
                patched.setattr(hidden_names, "is_left", lambda path: True)
                patched.setattr(files, "remove", half)
                files.tidy(tmp_path)
            files.write_synced(part / "s2.tif", b"x")
    assert not (tmp_path / "c00").exists()
    for path in tmp_path.iterdir():
        removed(path)


def test_two_that_end_at_the_same_moment_where_names_cannot_be_exchanged(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    real, others = type(tmp_path).rename, []

    def rename(self, target):
        if self.suffix == ".part" and not others:
            others.append(make(tmp_path, "c00"))  # the other one has just ended
        return real(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", rename)
    with files.replacing(tmp_path / "c00") as part:
        make(tmp_path, part.name)
        (part / "own").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["c00"] and others
    assert (tmp_path / "c00" / "own").exists()


def test_containers_with_the_same_process_id_write_the_same_folder(tmp_path):
    if (
        not shutil.which("unshare")
        or subprocess.run([*CONTAINER, "true"], stderr=subprocess.DEVNULL).returncode
    ):
        pytest.skip("needs user and process namespaces (unshare)")
    found = [writer(tmp_path, text, *CONTAINER) for text in ("one", "two")]
    try:
        assert [pid for _, pid, _ in found] == [1, 1]
        names = [name for _, _, name in found]
        assert len(set(names)) == 2
        for name, text in zip(names, ("one", "two"), strict=True):
            assert (tmp_path / name / "first").read_text() == text
        files.tidy(tmp_path)  # what this machine does not know to have ended stays
        for (process, _, _), text in zip(found, ("one", "two"), strict=True):
            process.communicate("\n", timeout=30)
            assert process.returncode == 0
            assert {p.name: p.read_text() for p in (tmp_path / "c00").iterdir()} == {
                "first": text,
                "second": text,
            }
        assert [path.name for path in tmp_path.iterdir()] == ["c00"]
    finally:
        for process, _, _ in found:
            process.kill()
            process.communicate()
