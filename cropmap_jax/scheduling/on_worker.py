"""What runs on a worker: whether it can do the work, and the task itself."""

import contextlib
import dataclasses
import functools
import importlib
import os
import pickle
import socket
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import cropmap_jax


class Unfit(ValueError):
    """A worker that cannot do the work: another version, other files, more than one thread."""


class WorkersLost(OSError):
    """Several workers ended, one after the other, while they were at one task."""


@dataclasses.dataclass(frozen=True)
class Demands:
    """What every worker has to be.

    Args:
      version: of cropmap_jax.
      seen: (flag, path, size in bytes or -1) of files and folders that have to be there.
      modules: to import first.
      folder: in which tasks run, so that relative paths lead where they do in this process; where
        a worker has no such folder, it stays in its own.
    """

    version: str = cropmap_jax.__version__
    seen: tuple[tuple[str, str, int], ...] = ()
    modules: tuple[str, ...] = ()
    folder: str = ""


def seen(flag: str, path: str | os.PathLike[str]) -> tuple[str, str, int]:
    """A row of `Demands.seen` for what this process sees."""
    there = os.path.abspath(path)
    return flag, there, os.path.getsize(there) if os.path.isfile(there) else -1


def complaint(demands: Demands, dask_worker: Any = None) -> str | None:
    """What a worker lacks, in words; None where it lacks nothing.

    Args:
      demands: what it has to be.
      dask_worker: Dask's own worker; given by `Client.run`.
    """
    found = cropmap_jax.__version__
    if found != demands.version:
        return f"expected cropmap_jax {demands.version}, as in this process, found {found}"
    threads = dask_worker.state.nthreads if dask_worker is not None else 1
    if threads != 1:
        return (
            f"expected one thread a worker (dask worker --nworkers {threads} --nthreads 1), found "
            f"{threads}"
        )
    return _of_files(demands) or _of_modules(demands)


def _of_files(demands: Demands) -> str | None:
    for flag, path, size in demands.seen:
        lost = not os.path.exists(path)
        if lost or (size >= 0 and os.path.getsize(path) != size):
            shown = os.path.dirname(path) if os.path.basename(path).startswith(".") else path
            what = "does not see" if lost else "sees another file at"
            return f"{what} {flag} {shown}: expected a folder that all machines share"
        folder = os.path.dirname(path)
        if os.path.basename(path).startswith(".") and not os.access(folder, os.W_OK):
            return f"may not write into {flag} {folder}"
    return None


def _of_modules(demands: Demands) -> str | None:
    for name in demands.modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # a user's module may raise anything
            return (
                f"could not import {name} ({type(error).__name__}: {error}); expected it where the "
                f"worker's Python looks (PYTHONPATH)"
            )
    return None


class Outcome(NamedTuple):
    """What became of a task: its value, an error, or why this worker could not do it."""

    value: Any = None
    error: Exception | None = None
    unfit: str | None = None


def call(demands: Demands, function: Callable[..., Any], task: Any) -> Outcome:
    """Runs a task. What it raises is returned, so that Dask logs neither it nor its arguments."""
    lacks = _complaint(demands)
    if lacks:
        return Outcome(unfit=f"{where()}: {lacks}")
    try:
        with _in(demands.folder):
            return Outcome(function(*task) if isinstance(task, tuple) else function(task))
    except Exception as error:
        return Outcome(error=_sendable(error))


def _in(folder: str) -> contextlib.AbstractContextManager[None]:
    return contextlib.chdir(folder) if os.path.isdir(folder) else contextlib.nullcontext()


@functools.cache
def _complaint(demands: Demands) -> str | None:
    """Once for each worker process; one that was started again looks again."""
    import distributed

    return complaint(demands, distributed.get_worker())


def where() -> str:
    """This worker, for messages."""
    import distributed

    return f"worker {distributed.get_worker().address} on {socket.gethostname()}"


def _sendable(error: Exception) -> Exception:
    """The error as another process can read it.

    Those that are not a user's mistake or the machine's, which a command shows in one line, carry
    the traceback of the worker.
    """
    if not isinstance(error, (ValueError, OSError)):
        error.add_note(f"{where()}:\n{''.join(traceback.format_exception(error))}")
    try:
        if isinstance(pickle.loads(pickle.dumps(error)), type(error)):
            return error
    except Exception:  # whatever a class of its own raises
        pass
    if isinstance(error, ValueError):
        return ValueError(str(error))
    if isinstance(error, OSError):
        return OSError(str(error))
    other = RuntimeError(f"{type(error).__name__}: {error}")
    other.add_note(error.__notes__[-1])
    return other
