"""What of an export is done, in a file that survives a crash at any moment.

SQLite in WAL mode with `synchronous=FULL`: what was committed is there after `kill -9` and after a
power cut. The folder of cubes is locked (`geo.files.Lock`) by the one process that writes it, and
the lock ends with the process, however it ends.

    <cubes>/.export/manifest.sqlite
    <cubes>/.export/pieces/<key>.npy   pixels that wait for the rest of their cube
"""

import contextlib
import dataclasses
import datetime as dt
import errno
import hashlib
import io
import json
import os
import pathlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from cropmap_jax.geo import files
from cropmap_jax.sources.manifest_rows import (
    DONE,
    FLAGGED,
    GROWING,
    PLANNED,
    SPLIT,
    WHOLE,
    CubeRow,
    PieceRow,
    cube_row,
)

FOLDER = ".export"
_VERSION = 1
_MANY = 500
_TABLES = """
CREATE TABLE pieces (
  key TEXT PRIMARY KEY, cube TEXT NOT NULL, sensor TEXT NOT NULL, shape TEXT NOT NULL,
  state TEXT NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, seconds REAL NOT NULL,
  at TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX pieces_of_cube ON pieces (cube);
CREATE TABLE cubes (
  cube TEXT PRIMARY KEY, key TEXT NOT NULL, state TEXT NOT NULL, missing TEXT NOT NULL,
  reason TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


class Manifest:
    """The manifest of a folder of cubes; any thread of the process may use it.

    A context manager: leaving it closes the file and frees the lock.
    """

    def __init__(self, cubes_dir: str | os.PathLike[str]):
        """Opens the manifest, or makes a new one.

        Args:
          cubes_dir: folder of cubes, made if absent.

        Raises:
          ValueError: another process writes into the folder; the file is damaged, or of another
            version.
          OSError: no space or no permission.
        """
        self.folder = pathlib.Path(cubes_dir) / FOLDER
        self.pieces_dir = self.folder / "pieces"
        self.path = self.folder / "manifest.sqlite"
        self._lock = threading.RLock()
        with contextlib.ExitStack() as held:
            held.enter_context(files.Lock(cubes_dir, "--cubes"))
            self.pieces_dir.mkdir(parents=True, exist_ok=True)
            with self._errors():
                self._db = sqlite3.connect(self.path, timeout=0, check_same_thread=False)
            held.callback(self._db.close)
            self._open()
            self._held = held.pop_all()

    def _open(self) -> None:
        with self._errors():
            self._db.isolation_level = None  # transactions begin where they are written here
            # Before WAL: the lock is then kept from the first look on, and no memory is shared,
            # which network file systems cannot do.
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            with self._writing():
                version = self._db.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:
                    for statement in _TABLES.split(";"):
                        self._db.execute(statement)
                    self._db.execute(f"PRAGMA user_version={_VERSION}")
        if version not in (0, _VERSION):
            raise ValueError(
                f"{self.path}: expected a manifest of version {_VERSION}, found {version}, of "
                f"another version of cropmap_jax"
            )

    def __enter__(self) -> "Manifest":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the lock; using the manifest after that is an error."""
        with self._lock:
            self._held.close()

    def piece_file(self, key: str) -> pathlib.Path:
        """Where the pixels of a piece are kept until its cube is made."""
        return self.pieces_dir / f"{key}.npy"

    # Files of pieces

    def store(self, key: str, pixels: np.ndarray) -> str:
        """Writes the pixels of a piece, whole or not at all; the sha256 of its file, hex.

        Raises:
          OSError: no space or no permission; nothing is left behind.
        """
        stream = io.BytesIO()
        np.save(stream, pixels, allow_pickle=False)
        data, file = stream.getbuffer(), self.piece_file(key)
        try:
            # On the disk before it has its name: a row must not outlive its file in a power cut
            files.write_bytes(file, data)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else error
            raise OSError(error.errno, _disk(file, reason)) from error
        return hashlib.sha256(data).hexdigest()

    def load(self, key: str, sha256: str | None = None) -> np.ndarray | None:
        """Pixels that `store` wrote; None where there is no file, or not this one, or half of it.

        Args:
          key: of the piece.
          sha256: of the file; None if it is not known, as of one that was stored just before the
            process was killed.
        """
        try:
            data = self.piece_file(key).read_bytes()
            if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
                return None
            pixels: np.ndarray = np.load(io.BytesIO(data), allow_pickle=False)
            return pixels
        except (FileNotFoundError, ValueError, EOFError):
            return None

    def drop(self, cube: str) -> None:
        """Removes the files of all pieces of a cube; their rows stay, for their timings."""
        for row in self.pieces(cube):
            self.piece_file(row.key).unlink(missing_ok=True)

    def clean(self) -> None:
        """Removes what a killed process left: halves of files, pieces of cubes that are there."""
        for file in self.pieces_dir.iterdir():
            row = self.piece(file.stem) if file.suffix == ".npy" else None
            cube = self.cube(row.cube) if row else None
            if file.suffix == ".part" or (cube and cube.state in (WHOLE, FLAGGED)):
                file.unlink(missing_ok=True)

    # Pieces

    def piece(self, key: str) -> PieceRow | None:
        """What is known of a piece; None if nothing."""
        rows = self._read("SELECT * FROM pieces WHERE key = ?", key)
        return PieceRow(*rows[0]) if rows else None

    def pieces(self, cube: str) -> list[PieceRow]:
        """All that is known of a cube's pieces, of every option ever tried."""
        return [PieceRow(*r) for r in self._read("SELECT * FROM pieces WHERE cube = ?", cube)]

    def add_pieces(self, rows: Iterable[PieceRow]) -> None:
        """Adds or replaces rows, all or none; `at` is now where it is ""."""
        names = [field.name for field in dataclasses.fields(PieceRow)][:-1]
        values = [(*(getattr(row, name) for name in names), row.at or _now()) for row in rows]
        with self._errors(), self._writing():
            marks = ",".join("?" * len(dataclasses.fields(PieceRow)))
            self._db.executemany(f"INSERT OR REPLACE INTO pieces VALUES ({marks})", values)

    def shape_counts(self) -> dict[tuple[str, str], dict[str, int]]:
        """{(sensor, shape): {DONE: n, SPLIT: n}} of all pieces."""
        out: dict[tuple[str, str], dict[str, int]] = {}
        sql = "SELECT sensor, shape, state, COUNT(*) FROM pieces GROUP BY sensor, shape, state"
        for sensor, shape, state, count in self._read(sql):
            out.setdefault((sensor, shape), {DONE: 0, SPLIT: 0})[state] = count
        return out

    def timings(self) -> dict[str, tuple[int, float, int]]:
        """{sensor: (requests timed, their seconds, their bytes)}, for a plan of the rest."""
        # Of those found after a kill it is not known how long they took: 0.
        sql = """SELECT sensor, COUNT(*), SUM(seconds), SUM(bytes) FROM pieces
          WHERE state = ? AND seconds > 0"""
        return {s: (n, t, b) for s, n, t, b in self._read(f"{sql} GROUP BY sensor", DONE)}

    # Cubes

    def cube(self, cube: str) -> CubeRow | None:
        """What is known of a cube; None if nothing."""
        rows = self._read("SELECT * FROM cubes WHERE cube = ?", cube)
        return cube_row(rows[0]) if rows else None

    def cubes(self) -> Iterator[CubeRow]:
        """All cubes, sorted by id, a few at a time."""
        last = ""
        sql = "SELECT * FROM cubes WHERE cube > ? ORDER BY cube LIMIT ?"
        while rows := self._read(sql, last, _MANY):
            yield from map(cube_row, rows)
            last = rows[-1][0]

    def plan(self, cubes: Iterable[tuple[str, str]], state: str = PLANNED) -> None:
        """Notes (id, key) of cubes that are to be made, all or none.

        Cubes of the same key keep their state; those of another one are planned again.

        Args:
          cubes: their ids and keys.
          state: PLANNED, or GROWING of cubes that are there and keep what is known of them.
        """
        sql = f"""INSERT INTO cubes VALUES (?, ?, ?, '{{}}', '', ?) ON CONFLICT (cube) DO UPDATE
          SET key = excluded.key, state = excluded.state, reason = '', at = excluded.at,
          missing = CASE excluded.state WHEN '{GROWING}' THEN missing ELSE '{{}}' END
          WHERE key != excluded.key"""
        with self._errors(), self._writing():
            self._db.executemany(sql, ((cube, key, state, _now()) for cube, key in cubes))

    def mark(self, row: CubeRow) -> None:
        """Adds or replaces what is known of a cube; `at` is now where it is ""."""
        missing = json.dumps(row.missing, sort_keys=True)
        value = (row.cube, row.key, row.state, missing, row.reason, row.at or _now())
        with self._errors(), self._writing():
            self._db.execute("INSERT OR REPLACE INTO cubes VALUES (?, ?, ?, ?, ?, ?)", value)

    # Notes

    def note(self, name: str, value: Any) -> None:
        """Keeps a JSON-ready value under a name: what was looked up once and must not change later,
        such as the orbits chosen for a cube."""
        text = json.dumps(value, sort_keys=True, allow_nan=False)
        with self._errors(), self._writing():
            self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, text))

    def noted(self, name: str) -> Any:
        """The value kept under a name; None if there is none."""
        rows = self._read("SELECT value FROM notes WHERE name = ?", name)
        return json.loads(rows[0][0]) if rows else None

    # SQLite

    def _read(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock, self._errors():
            return self._db.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction: all of it is there afterwards, or nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk rolls back by itself; there is nothing left to roll back then.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns SQLite's errors into ones that say what to do."""
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            if "locked" in text:
                raise ValueError(
                    f"{self.path}: another program has it open; wait for it, or give another folder"
                ) from error
            if "malformed" in text or "not a database" in text:
                raise ValueError(
                    f"{self.path}: damaged ({text}); move the folder {FOLDER} away: cubes that "
                    f"are whole are found again, only pieces of unfinished ones are lost"
                ) from error
            if isinstance(error, sqlite3.OperationalError):
                number = errno.ENOSPC if "full" in text else errno.EIO
                raise OSError(number, _disk(self.path, text)) from error
            raise


def _disk(file: pathlib.Path, reason: object) -> str:
    return (
        f"{file}: could not be written ({reason}); what was finished is kept: free some space or "
        f"check the disk, and run again"
    )
