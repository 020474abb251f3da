"""A folder that is replaced is the old or the new one, whenever its writer is killed."""

import os
import signal

import making
import pytest

from cropmap_jax.geo import cube_io, files, hidden_names


def killed(work) -> None:
    """Runs in a child of this process, which is to kill itself."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def after(function):
    def call(*args):
        result = function(*args)
        die()
        return result

    return call


@pytest.mark.parametrize("moment", ["writing", "before", "exchanged", "moved_aside"])
def test_a_killed_replacement_leaves_a_whole_cube(tmp_path, monkeypatch, moment):
    old = making.make_cube("a", (16, 16), fields=False)
    new = making.make_cube("a", (16, 16), fields=False, seed=9)
    cube_io.write_cube(old, tmp_path)
    changes = {
        "writing": ("write_synced", die),
        "before": ("_exchange", die),
        "exchanged": ("_exchange", after(files._exchange)),
    }
    with monkeypatch.context() as patched:
        if moment == "moved_aside":  # where there is no exchange in one step
            patched.setattr(files, "_exchange", lambda *_: False)
            patched.setattr(files.pathlib.Path, "rename", after(files.pathlib.Path.rename))
        else:
            patched.setattr(files, *changes[moment])
        killed(lambda: cube_io.write_cube(new, tmp_path, overwrite=True))
    assert (tmp_path / "a").exists() == (moment != "moved_aside")
    cube_io.recover(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    found = cube_io.read_cube(tmp_path / "a", verify=True)
    assert (found.label == (new if moment == "exchanged" else old).label).all()
    assert (old.label != new.label).any()


def test_a_folder_replaced_without_an_exchange_is_the_new_one(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    for text in ("old", "new"):
        with files.replacing(tmp_path / "x") as part:
            part.mkdir()
            (part / "a").write_text(text)
    assert (tmp_path / "x" / "a").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_what_is_no_half_of_a_cube_is_left_where_it_is(tmp_path):
    (tmp_path / ".a.4711.part").mkdir()
    (tmp_path / ".a.4711.part" / "notes.txt").write_text("mine")
    (tmp_path / ".export").mkdir()
    cube_io.recover(tmp_path)
    cube_io.recover(tmp_path / "nowhere")
    assert {p.name for p in tmp_path.iterdir()} == {".a.4711.part", ".export"}


def test_the_only_copy_of_a_cube_is_not_removed_as_unfinished(tmp_path, monkeypatch):
    cube_io.write_cube(making.make_cube("a", (16, 16), fields=False), tmp_path)
    (tmp_path / "a").rename(tmp_path / ".a.1.old")
    monkeypatch.setattr(
        files, "write_synced", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
    )
    with pytest.raises(OSError, match="full"):
        cube_io.write_cube(making.make_cube("a", (16, 16), fields=False, seed=9), tmp_path)
    cube_io.recover(tmp_path)
    assert (tmp_path / "a" / "item.json").is_file()


def test_what_another_machine_is_writing_stays_and_its_only_copy_is_put_back(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(hidden_names, "_machine", lambda: "0123abcd")
        part, old = files.hidden(tmp_path / "a")
        other, _ = files.hidden(tmp_path / "b")
    for path in (part, other):
        path.mkdir()
        (path / "s1.tif").touch()
    cube_io.write_cube(making.make_cube("a", (16, 16), fields=False), tmp_path)
    (tmp_path / "a").rename(old)
    cube_io.recover(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"a", part.name, other.name}
    cube_io.read_cube(tmp_path / "a", verify=True)
    monkeypatch.setattr(hidden_names, "FORGOTTEN_S", -1)
    cube_io.recover(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
