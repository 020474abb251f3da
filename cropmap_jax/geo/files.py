"""Files and folders written whole or not at all; locks, and records of what a command wrote.

Four rules that every command keeps:

* what is written gets its name when it is whole (`write_bytes`; `replacing` for a folder, or for
  what others write);
* one process writes a folder at a time (`Lock`);
* only what a command wrote itself is replaced or removed (`Written`);
* what is read and what is written lie apart (`check_apart`), on this machine (`local`).
"""

import contextlib
import ctypes
import datetime as dt
import errno
import fcntl
import json
import os
import pathlib
import re
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Collection, Iterator, Mapping

from cropmap_jax.geo import hidden_names

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|/vsi")


# Whole or not there -------------------------------------------------------------------------------


def write_bytes(path: pathlib.Path, data: bytes | memoryview) -> None:
    """Writes a file under a hidden name and renames it.

    Raises:
      OSError: names the file; the one that was there stays.
    """
    with replacing(path) as part:
        write_synced(part, data)


def write_synced(path: pathlib.Path, data: bytes | memoryview) -> None:
    """Writes a file under its own name, and waits until it is on the disk.

    For files in a folder of `replacing`, which has no name yet: elsewhere use `write_bytes`.
    """
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def replacing(
    path: pathlib.Path, alone: bool = False, check: Callable[[], object] = lambda: None
) -> Iterator[pathlib.Path]:
    """Gives a hidden name to write a file or a folder under; it takes its place when all is done.

    The name is of this write alone: a process on another machine that writes the same, such as a
    worker that was taken for lost, does not meet it, and the last one to end is what is there.

    Args:
      path: where it belongs.
      alone: whether it is written in a hidden folder of its own: for a writer that leaves other
        files next to its own, as SQLite does.
      check: called when all is written and before it takes its place; what it raises keeps it from
        that, such as `check_held`.

    Raises:
      OSError: names the path; what was there stays, and nothing else is left.
    """
    part, old = hidden(path)
    made = part / path.name if alone else part
    try:
        if alone:
            part.mkdir()
        yield made
        check()
        _into_place(made, path, old)
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        if old.exists() and not path.exists():
            old.rename(path)  # also after Ctrl-C between the two renames
        remove(part)
        remove(old)


def _into_place(made: pathlib.Path, path: pathlib.Path, old: pathlib.Path) -> None:
    """Gives what is made its name; what has that name is moved aside, or takes the hidden one."""
    for tries_left in (2, 1, 0):
        try:
            if path.is_dir():
                if _exchange(made, path):
                    return
                # A folder cannot be renamed onto another: that one is moved aside first. Killed in
                # between, there is none, never half of one.
                remove(old)
                path.rename(old)
            made.rename(path)
            return
        except OSError as error:
            if not tries_left or error.errno not in _MEANWHILE:
                raise


_MEANWHILE = (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST)
"""What renaming says where another process has just put the same there, or moved it aside."""
_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux. Source: man7.org, rename(2)."""


def _exchange(a: pathlib.Path, b: pathlib.Path) -> bool:
    """Lets two paths change names in one step; False where the system cannot, as outside of Linux
    and on some network disks."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    done: int = rename(_HERE, os.fsencode(a), _HERE, os.fsencode(b), _EXCHANGE)
    return done == 0


def hidden(path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Where to write what becomes `path`, and to move what is there meanwhile: new names, which no
    other process has, on whatever machine."""
    return hidden_names.new(path)


def unfinished(path: pathlib.Path) -> str | None:
    """The name that `hidden` gave this path for, in any process; None if it is no such path."""
    return hidden_names.of(path)


def not_written(path: pathlib.Path, error: OSError) -> OSError:
    """The error of a file or folder that could not be written, with its name and the reason."""
    hint = "; free some space, or choose another disk" if error.errno in _FULL else ""
    reason = error.strerror or error
    return OSError(error.errno, f"{path}: could not be written ({reason}); nothing was kept{hint}")


_FULL = (errno.ENOSPC, errno.EDQUOT)


def tidy(folder: pathlib.Path, names: Collection[str] | None = None) -> None:
    """Removes what runs that were killed left unfinished in a folder; what a process is writing
    stays, see `hidden_names.is_left`.

    Args:
      folder: where.
      names: of what may have been left unfinished there; None where the whole folder is ours.
    """
    for path in folder.iterdir():
        name = unfinished(path)
        if name is not None and (names is None or name in names):
            remove_left(path)


def remove_left(path: pathlib.Path) -> None:
    """Removes what lies under a hidden name if nobody writes it any more; else leaves it.

    It is renamed first: should its writer live after all, it fails, and never gives its name to a
    folder of which half was removed.
    """
    name = unfinished(path)
    if name is None or not hidden_names.is_left(path):
        return
    own, _ = hidden(path.with_name(name))
    with contextlib.suppress(OSError):  # another process removes it, or may and we may not
        path.rename(own)
        remove(own)


def remove(path: pathlib.Path) -> None:
    """Removes a file, a link or a folder with all that is in it; what is not there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# One process at a time ----------------------------------------------------------------------------


class Lock:
    """Keeps a folder for this process; a context manager.

    The lock is the kernel's (`flock`) and ends with the process, however that ends; the file that
    carries it names its holder, and is removed when the lock is released.

    Args:
      folder: made if absent.
      what: what the folder is, for the message, e.g. "--cubes".

    Raises:
      ValueError: another process holds it (says which, on which machine and since when), it is a
        file, or something lies in it under the lock's name that is no lock.
      OSError: no space or no permission.
    """

    NAME = ".cropmap_jax.lock"

    def __init__(self, folder: str | os.PathLike[str], what: str):
        self._folder, self._what = pathlib.Path(folder), what
        self._path = self._folder / self.NAME
        self._file: int | None = None

    def __enter__(self) -> "Lock":
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise ValueError(
                f"{self._what} {self._folder}: expected a folder, found a file"
            ) from error
        except OSError as error:
            raise not_written(self._folder, error) from error
        while self._file is None:
            file = self._open()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(file, 4096).decode("utf-8", "replace").strip() or "another command"
                os.close(file)
                raise ValueError(
                    f"{self._what} {self._folder}: in use by {holder}; wait until that ends, "
                    f"or choose another folder"
                ) from None
            except OSError as error:  # a file system without locks
                os.close(file)
                raise not_written(self._path, error) from error
            if self._is_current(file):
                self._file = file
            else:
                os.close(file)  # its holder ended and removed it between our open and our lock
        now = dt.datetime.now().astimezone().isoformat(timespec="seconds")
        command = pathlib.Path(sys.argv[0]).stem if sys.argv else "python"
        who = f"{command} (process {os.getpid()} on {socket.gethostname()}, since {now})\n"
        os.ftruncate(self._file, 0)
        # On a full disk the lock holds all the same: it only cannot say whose it is.
        with contextlib.suppress(OSError):
            os.pwrite(self._file, who.encode(), 0)
        return self

    def _open(self) -> int:
        """Opens the file; never one that lies elsewhere too: what is in it would be lost."""
        try:
            kind = os.O_NOFOLLOW | os.O_NONBLOCK  # opening a pipe would wait for its other end
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | kind, 0o644)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise not_written(self._path, error) from error
        else:
            found = os.fstat(file)
            if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
                return file
            os.close(file)
        raise ValueError(
            f"{self._path}: expected a lock, found a folder, a link or the like; move it away"
        )

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.lstat(self._path))
        except FileNotFoundError:
            return False

    def __exit__(self, *_: object) -> None:
        if self._file is None:
            return
        if self._is_current(self._file):  # else it was removed, and the one there is another's
            self._path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = None


def holder(folder: str | os.PathLike[str]) -> str:
    """Which process holds a folder by `Lock`, since when, as its lock says; "" where none does.

    A process elsewhere that works for it compares this with what it was told: another one may have
    taken over.
    """
    try:
        return (pathlib.Path(folder) / Lock.NAME).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def check_held(folder: str | os.PathLike[str], by: str | None, flag: str) -> None:
    """Requires that who asked a process elsewhere for work still holds a folder: else another one
    writes it now.

    Args:
      folder: to write into.
      by: what `holder` said; None where this process holds it.
      flag: what chose the folder, for the message.

    Raises:
      ValueError: another one holds it, or nobody.
    """
    if by is None:
        return
    found = holder(folder)
    if found != by:
        raise ValueError(
            f"{flag} {folder}: expected to work for {by}, found it held by {found or 'nobody'}"
        )


# Whose it is --------------------------------------------------------------------------------------


class Written:
    """The record of what a command wrote into a folder: what it may replace or remove.

    Kept as JSON in the folder, under a hidden name. Each name is recorded before its file is
    written, so that a run that was killed leaves nothing that the next one would take for
    another's.

    Args:
      folder: an existing folder.
      command: who writes, e.g. "predict"; each command has its own record.

    Raises:
      ValueError: the record cannot be read.
    """

    def __init__(self, folder: str | os.PathLike[str], command: str):
        self._folder, self._command = pathlib.Path(folder), command
        self._path = self._folder / f".{command}.written.json"
        self._names: set[str] = set()
        if os.path.lexists(self._path):
            try:
                names = json.loads(self._path.read_text(encoding="utf-8"))
                if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
                    raise ValueError(f"found {type(names).__name__}")
                if not all(map(_is_inside, names)):
                    raise ValueError("found a path that is not of a file in the folder")
            except (OSError, ValueError, RecursionError) as error:
                raise ValueError(
                    f"{self._path}: expected a list of the files that {command} wrote ({error}); "
                    f"move it away, or choose another folder"
                ) from error
            self._names = set(names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def names(self) -> set[str]:
        """Paths relative to the folder, also of files that are gone by now."""
        return set(self._names)

    def claim(self, *names: str, flag: str = "--out") -> None:
        """Records files that are about to be written.

        Args:
          names: paths relative to the folder.
          flag: what chose the folder, for the message.

        Raises:
          ValueError: one is there and is not of this command; nothing is recorded then.
          OSError: the record cannot be written.
        """
        for name in names:
            if name not in self._names and os.path.lexists(self._folder / name):
                raise ValueError(
                    f"{flag} {self._folder}: found {name}, which {self._command} did not write; "
                    f"expected another folder, or that file moved away"
                )
        if not set(names) <= self._names:
            self._names |= set(names)
            self._save()

    def remove(self, name: str) -> None:
        """Removes a file or folder of this command; another's stays.

        The name stays in the record: it is ours to write again.
        """
        if name in self._names:
            remove(self._folder / name)

    def _save(self) -> None:
        write_bytes(self._path, (json.dumps(sorted(self._names), indent=0) + "\n").encode())


def _is_inside(name: str) -> bool:
    """Whether a path leads to something in the folder that it is relative to."""
    path = pathlib.PurePath(name)
    return bool(path.parts) and not path.is_absolute() and not {"..", "\0"} & {*path.parts, *name}


# Apart, and here ----------------------------------------------------------------------------------


def check_apart(
    outputs: Mapping[str, str | os.PathLike[str]], inputs: Mapping[str, str | os.PathLike[str]]
) -> None:
    """Requires that no output is an input, lies in one or holds one.

    Args:
      outputs, inputs: path by flag; empty paths are passed over.

    Raises:
      ValueError: names both flags and paths.
    """
    for flag, output in outputs.items():
        for other, given in inputs.items():
            if not os.fspath(output) or not os.fspath(given):
                continue
            a, b = pathlib.Path(output).resolve(), pathlib.Path(given).resolve()
            relation = (
                "is"
                if a == b
                else "lies in"
                if a.is_relative_to(b)
                else "holds"
                if b.is_relative_to(a)
                else None
            )
            if relation:
                raise ValueError(
                    f"{flag} {output}: {relation} {other} {given}; expected a folder apart from it"
                )


def local(flag: str, path: str | os.PathLike[str]) -> pathlib.Path:
    """A path of this machine.

    Raises:
      ValueError: a URL (s3://, gs://, http:// and the like), a path of GDAL's virtual systems, or
        none: an empty path would be the folder that the command happens to run in.
    """
    text = os.fspath(path)
    if not text.strip():
        raise ValueError(f"{flag}: expected a path, found none")
    if _SCHEME.match(text) or "\0" in text:
        raise ValueError(
            f"{flag} {text!r}: expected a path on this machine, found a URL or the like; copy "
            f"it here first, or mount it"
        )
    return pathlib.Path(text)
