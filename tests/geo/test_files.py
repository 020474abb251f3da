"""Whole or not there; one process at a time; only what is ours; apart and on this machine."""

import os
import subprocess
import sys

import pytest

from cropmap_jax.geo import files


def names(folder) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_a_folder_takes_the_place_of_another(tmp_path):
    for text in ("one", "two"):
        with files.replacing(tmp_path / "map") as part:
            part.mkdir()
            (part / text).write_text(text)
            assert (tmp_path / "map" / "two").exists() is False
    assert names(tmp_path) == ["map", "map/two"]


def test_a_link_to_a_folder_is_replaced_and_the_folder_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").touch()
    (tmp_path / "map").symlink_to(tmp_path / "real")
    with files.replacing(tmp_path / "map") as part:
        part.mkdir()
    assert names(tmp_path) == ["map", "real", "real/old"]


@pytest.mark.parametrize("error", [RuntimeError("ours"), OSError(28, "No space left on device")])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "old").write_text("old")
    with pytest.raises(type(error)) as raised, files.replacing(tmp_path / "map") as part:
        part.mkdir()
        (part / "new").write_text("half")
        raise error
    if isinstance(error, OSError):
        assert f"{tmp_path / 'map'}: could not be written (No space left" in str(raised.value)
    assert names(tmp_path) == ["map", "map/old"]


def test_what_a_check_refuses_takes_no_place(tmp_path):
    def check():
        assert (tmp_path / "a.csv").read_text() == "old" and written == ["new"]
        raise ValueError("not any more")

    (tmp_path / "a.csv").write_text("old")
    written = []
    with pytest.raises(ValueError, match="not any more"):
        with files.replacing(tmp_path / "a.csv", check=check) as part:
            part.write_text("new")
            written.append(part.read_text())
    assert (tmp_path / "a.csv").read_text() == "old" and names(tmp_path) == ["a.csv"]


def test_a_folder_that_cannot_be_replaced_stays(tmp_path):
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "old").write_text("old")
    with pytest.raises(OSError, match="nothing was kept"), files.replacing(tmp_path / "map"):
        pass  # nothing was written that could take its place
    assert names(tmp_path) == ["map", "map/old"]


def test_a_file_is_replaced_as_a_whole(tmp_path):
    file = tmp_path / "a.csv"
    files.write_bytes(file, b"one")
    files.write_bytes(file, b"two")
    assert file.read_bytes() == b"two" and names(tmp_path) == ["a.csv"]


def test_a_writer_that_leaves_other_files_is_alone_in_a_folder(tmp_path):
    file = tmp_path / "fields.gpkg"
    file.write_text("old")
    with files.replacing(file, alone=True) as part:
        part.write_text("new")
        part.with_name("fields.gpkg-journal").touch()
        assert part.name == file.name and file.read_text() == "old"
    assert file.read_text() == "new" and names(tmp_path) == ["fields.gpkg"]
    with pytest.raises(RuntimeError), files.replacing(file, alone=True) as part:
        part.write_text("half")
        raise RuntimeError
    assert file.read_text() == "new" and names(tmp_path) == ["fields.gpkg"]


def test_hidden_names_lead_back_to_the_name(tmp_path):
    for name in ("c00", "c00.5", "a.b.tif"):
        assert [files.unfinished(p) for p in files.hidden(tmp_path / name)] == [name, name]
    for name in ("c00", ".hidden", ".notes.part", "c00.5.part"):
        assert files.unfinished(tmp_path / name) is None


def test_tidying_removes_what_was_left_unfinished_and_nothing_else(tmp_path):
    for name in (".c00.123.part", ".c00.v1.9.old", "c00", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "crop.tif").touch()
    for name in (".crop.vrt.7.part", ".notes.part", "crop.vrt"):
        (tmp_path / name).touch()
    files.tidy(tmp_path)
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == [".hidden", ".notes.part", "c00", "crop.vrt"]


# One process at a time ----------------------------------------------------------------------------


def test_a_locked_folder_is_refused_with_who_holds_it(tmp_path):
    with files.Lock(tmp_path / "new", "--cubes"):
        with pytest.raises(ValueError, match=rf"--cubes .*new: in use by .*process {os.getpid()}"):
            files.Lock(tmp_path / "new", "--cubes").__enter__()
    with files.Lock(tmp_path / "new", "--cubes"):
        pass
    assert names(tmp_path) == ["new"]


def test_a_file_is_no_folder_to_lock(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(ValueError, match="--cubes .*a: expected a folder, found a file"):
        files.Lock(tmp_path / "a", "--cubes").__enter__()


@pytest.mark.parametrize("make", ["symlink", "link", "pipe", "folder"])
def test_what_lies_elsewhere_too_is_no_lock(tmp_path, make):
    notes, folder = tmp_path / "notes.txt", tmp_path / "cubes"
    notes.write_text("mine")
    folder.mkdir()
    lock = folder / files.Lock.NAME
    {
        "symlink": lambda: lock.symlink_to(notes),
        "link": lambda: lock.hardlink_to(notes),
        "pipe": lambda: os.mkfifo(lock),
        "folder": lock.mkdir,
    }[make]()
    with pytest.raises(ValueError, match="lock: expected a lock, found"):
        files.Lock(folder, "--cubes").__enter__()
    assert notes.read_text() == "mine" and os.path.lexists(lock)


def test_a_lock_that_somebody_took_away_is_not_given_back_twice(tmp_path):
    lock = tmp_path / files.Lock.NAME
    with files.Lock(tmp_path, "--cubes"):
        lock.unlink()
        lock.write_text("of another")
    assert lock.read_text() == "of another"


def test_the_lock_of_a_killed_process_does_not_hold(tmp_path):
    code = (
        "import sys, time; from cropmap_jax.geo import files\n"
        "with files.Lock(sys.argv[1], '--cubes'): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(ValueError, match=f"process {process.pid} on"):
        files.Lock(tmp_path, "--cubes").__enter__()
    process.kill()
    process.communicate()
    assert (tmp_path / files.Lock.NAME).exists()
    with files.Lock(tmp_path, "--cubes"):
        pass


# Whose it is --------------------------------------------------------------------------------------


def test_somebody_elses_files_are_neither_claimed_nor_removed(tmp_path):
    (tmp_path / "crop.qml").write_text("precious")
    written = files.Written(tmp_path, "predict")
    with pytest.raises(ValueError, match="found crop.qml, which predict did not write"):
        written.claim("crop.tif", "crop.qml")
    assert "crop.tif" not in files.Written(tmp_path, "predict")
    written.remove("crop.qml")
    assert (tmp_path / "crop.qml").read_text() == "precious"


def test_what_a_killed_run_wrote_can_be_written_again(tmp_path):
    files.Written(tmp_path, "predict").claim("crop.tif")
    (tmp_path / "crop.tif").write_text("half")
    again = files.Written(tmp_path, "predict")
    again.claim("crop.tif")
    again.remove("crop.tif")
    assert not (tmp_path / "crop.tif").exists() and again.names() == {"crop.tif"}
    with pytest.raises(ValueError, match="evaluate did not write"):
        (tmp_path / "crop.tif").touch()
        files.Written(tmp_path, "evaluate").claim("crop.tif")


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '["../x"]', '["/etc/passwd"]', '[""]', '["."]'])
def test_a_record_that_is_none_is_refused(tmp_path, text):
    (tmp_path / ".predict.written.json").write_text(text)
    with pytest.raises(ValueError, match=r"\.predict\.written\.json: expected a list"):
        files.Written(tmp_path, "predict")


# Apart, and here ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("out", "relation"), [("a", "is"), ("a/b", "lies in"), (".", "holds")])
def test_output_and_input_lie_apart(tmp_path, out, relation):
    with pytest.raises(ValueError, match=f"--out .*: {relation} --cubes"):
        files.check_apart({"--out": tmp_path / out}, {"--cubes": tmp_path / "a"})
    files.check_apart({"--out": tmp_path / "ab"}, {"--cubes": tmp_path / "a", "--init": ""})


def test_a_link_to_the_input_is_the_input(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match="is --cubes"):
        files.check_apart({"--out": tmp_path / "link"}, {"--cubes": tmp_path / "a"})


@pytest.mark.parametrize("text", ["gs://b/c", "s3:/b", "https://x/y", "/vsicurl/http://x", "a\0b"])
def test_only_paths_of_this_machine(text):
    with pytest.raises(ValueError, match="--cubes .*: expected a path on this machine"):
        files.local("--cubes", text)


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_path_is_not_the_current_folder(text):
    with pytest.raises(ValueError, match="--cubes: expected a path, found none"):
        files.local("--cubes", text)


def test_a_path_is_a_path():
    assert str(files.local("--cubes", "a:b/c d")) == "a:b/c d"
