"""Files and folders that are whole or not there."""

import contextlib
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

_UNFINISHED = re.compile(r"\..+\.\d+\.(part|old)")


def write_bytes(path: pathlib.Path, data: bytes) -> None:
    """Writes a file under a hidden name and renames it.

    Raises:
      OSError: names the file; the one that was there stays.
    """
    with replacing(path) as part, open(part, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a hidden name to write a file or a folder under; it takes its place when all is done.

    Raises:
      OSError: names the path; what was there stays, and nothing else is left.
    """
    part = path.parent / f".{path.name}.{os.getpid()}.part"
    old = part.with_suffix(".old")
    try:
        yield part
        # A folder cannot be renamed onto another: that one is moved aside first. Killed in
        # between, there is none, never half of one.
        if path.is_dir():
            path.rename(old)
        part.rename(path)
    except OSError as error:
        if old.exists() and not path.exists():
            old.rename(path)
        reason = error.strerror or error
        raise OSError(
            error.errno, f"{path}: could not be written ({reason}); nothing was kept"
        ) from error
    finally:
        _remove(part)
        _remove(old)


def tidy(folder: pathlib.Path) -> None:
    """Removes what runs that were killed left unfinished in a folder."""
    for path in folder.iterdir():
        if _UNFINISHED.fullmatch(path.name):
            _remove(path)


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
