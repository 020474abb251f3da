import contextlib
import errno
import multiprocessing
import os
import sqlite3

import numpy as np
import pytest

from cropmap_jax.geo import files
from cropmap_jax.sources import manifest as manifest_lib
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.manifest_rows import (
    DONE,
    FAILED,
    PLANNED,
    SPLIT,
    WHOLE,
    CubeRow,
    PieceRow,
)


@pytest.fixture
def book(tmp_path):
    with Manifest(tmp_path) as opened:
        yield opened


def _piece(key="k", cube="a", state=DONE, sensor="s2", **more):
    return PieceRow(key, cube, sensor, "2x16x16", state, **more)


def test_what_was_written_is_there_when_it_is_opened_again(tmp_path):
    cube = CubeRow("a", "key", WHOLE, {"s1": {"2018-01-01": 0.25}, "label": 1.0}, "", "2026-01-01")
    piece = _piece(bytes=10, sha256="ff", seconds=1.5, at="2026-01-01")
    with Manifest(tmp_path) as book:
        book.mark(cube)
        book.add_pieces([piece])
        book.note("orbits/a", {"orbits": [88, 161]})
    with Manifest(tmp_path) as book:
        assert book.cube("a") == cube and list(book.cubes()) == [cube]
        assert book.piece("k") == piece and book.pieces("a") == [piece]
        assert book.noted("orbits/a") == {"orbits": [88, 161]}
        assert (book.cube("b"), book.piece("l"), book.noted("x")) == (None, None, None)


def test_rows_are_added_all_or_none(book):
    with pytest.raises(sqlite3.IntegrityError):
        book.add_pieces([_piece("k"), _piece("l", cube=None)])
    assert book.piece("k") is None
    book.add_pieces([_piece("k")])  # and the manifest can still be used
    assert book.piece("k").at


def test_a_plan_keeps_cubes_of_the_same_key_and_only_those(book):
    for name in "ab":
        book.mark(CubeRow(name, "old", FAILED, {}, "why"))
    book.plan([("a", "old"), ("b", "new"), ("c", "new")])
    assert [(r.cube, r.key, r.state, r.reason) for r in book.cubes()] == [
        ("a", "old", FAILED, "why"),
        ("b", "new", PLANNED, ""),
        ("c", "new", PLANNED, ""),
    ]


def test_cubes_come_in_order_however_many(book, monkeypatch):
    monkeypatch.setattr(manifest_lib, "_MANY", 3)
    names = [f"c{i}" for i in range(8)]
    book.plan((name, "k") for name in reversed(names))
    assert [row.cube for row in book.cubes()] == names


def test_pieces_are_counted_by_shape_and_timed_by_sensor(book):
    book.add_pieces(
        [_piece(str(i), seconds=2.0, bytes=5) for i in range(3)]
        + [_piece("x", state=SPLIT), _piece("y", sensor="s1", seconds=1.0, bytes=1)]
        + [_piece("z", bytes=5)]  # found after a kill: not timed
    )
    assert book.shape_counts() == {
        ("s2", "2x16x16"): {DONE: 4, SPLIT: 1},
        ("s1", "2x16x16"): {DONE: 1, SPLIT: 0},
    }
    assert book.timings() == {"s2": (3, 6.0, 15), "s1": (1, 1.0, 1)}


def test_pixels_are_stored_whole_or_not_at_all(book, monkeypatch):
    pixels = np.arange(12, dtype=np.int16).reshape(2, 3, 2)
    sha256 = book.store("k", pixels)
    np.testing.assert_array_equal(book.load("k", sha256), pixels)
    np.testing.assert_array_equal(book.load("k"), pixels)
    assert book.load("k", "0" * 64) is None and book.load("other") is None
    book.piece_file("k").write_bytes(book.piece_file("k").read_bytes()[:-1])
    assert book.load("k") is None

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"l\.npy: could not be written \(No space left") as raised:
        book.store("l", pixels)
    assert raised.value.errno == errno.ENOSPC
    assert [file.name for file in book.pieces_dir.iterdir()] == ["k.npy"]


def test_what_a_killed_run_left_is_cleaned_and_what_is_needed_is_not(book):
    book.plan([("made", "k"), ("begun", "k")])
    book.mark(CubeRow("made", "k", WHOLE, {}))
    book.add_pieces([_piece("1", "made"), _piece("2", "begun")])
    for name in ("1.npy", "2.npy", "3.npy", "4.part"):
        (book.pieces_dir / name).touch()
    book.clean()
    # 3: stored just before the process was killed, and not written down.
    assert sorted(f.name for f in book.pieces_dir.iterdir()) == ["2.npy", "3.npy"]
    book.drop("begun")
    assert sorted(f.name for f in book.pieces_dir.iterdir()) == ["3.npy"]
    assert book.piece("2").state == DONE


def _try(folder, answers):
    try:
        with Manifest(folder):
            answers.put("opened")
    except ValueError as error:
        answers.put(str(error))


def test_one_process_writes_at_a_time(tmp_path):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()

    def other():
        process = context.Process(target=_try, args=(tmp_path, answers))
        process.start()
        answer = answers.get(timeout=60)
        process.join(60)
        return answer

    with Manifest(tmp_path) as book:
        said = other()
        assert f"--cubes {tmp_path}: in use by " in said and f"process {os.getpid()}" in said
        book.note("still", "works")
    assert other() == "opened"


def test_no_other_command_writes_cubes_meanwhile(tmp_path):
    with files.Lock(tmp_path, "--cubes"):
        with pytest.raises(ValueError, match="--cubes .*: in use by .*another folder"):
            Manifest(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [files.Lock.NAME]
    with Manifest(tmp_path):
        with pytest.raises(ValueError, match="in use by"), files.Lock(tmp_path, "--cubes"):
            pass
    assert [path.name for path in tmp_path.iterdir()] == [".export"]


def test_a_manifest_that_another_program_has_open_is_one_line(tmp_path):
    with Manifest(tmp_path) as book:
        path = book.path
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ValueError, match=r"manifest\.sqlite: another program has it open"):
            Manifest(tmp_path)
    with Manifest(tmp_path):  # and nothing was left locked
        pass


def test_a_full_disk_is_an_oserror_and_what_was_there_stays(book):
    book.mark(CubeRow("a", "k", WHOLE, {}))
    pages = book._db.execute("PRAGMA page_count").fetchone()[0]
    book._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(OSError, match="could not be written .*full.*free some space") as raised:
        book.add_pieces(_piece(str(i) * 60) for i in range(1000))
    assert raised.value.errno == errno.ENOSPC
    assert book.cube("a").state == WHOLE and book.pieces("a") == []


def test_a_damaged_manifest_says_what_to_do(tmp_path):
    with Manifest(tmp_path) as book:
        path = book.path
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(ValueError, match=r"manifest.sqlite: damaged .*move the folder .export"):
        Manifest(tmp_path)


def test_a_manifest_of_another_version_is_refused(tmp_path):
    with Manifest(tmp_path) as book:
        book._db.execute("PRAGMA user_version=7")
    with pytest.raises(ValueError, match="expected a manifest of version 1, found 7"):
        Manifest(tmp_path)
