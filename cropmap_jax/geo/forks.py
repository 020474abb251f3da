"""Runs commands one after the other, each in a process of its own, as `python -m` would.

Most of a short command is importing jax, three seconds: hundreds of commands share the imports of
the process that starts them. Each is a fork of it that has touched no device yet.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import pathlib
import runpy
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from cropmap_jax.geo import processes


class Ended(NamedTuple):
    """How a command ended: its exit code, and seconds of processor time, its workers' among them.

    On a machine that others use as well, these say more than seconds on the clock.
    """

    code: int
    cpu_seconds: float


def preload(modules: Iterable[str]) -> None:
    """Imports what commands share; none of it may look for a device.

    Args:
      modules: dotted names.
    """
    for name in modules:
        importlib.import_module(name)
    # What was imported is no garbage: without this every command looks through all of it again,
    # and so copies the pages that it shares with this process.
    gc.freeze()


def command(
    module: str,
    arguments: Sequence[str],
    log: pathlib.Path | None,
    before: Callable[[], object] = lambda: None,
) -> Ended:
    """Runs `python -m MODULE ARGUMENTS` to its end.

    Args:
      module: dotted name.
      arguments: flags.
      log: what it prints goes here; None: where this process prints.
      before: called first, in its process.

    Raises:
      KeyboardInterrupt: a signal ended this process; it was handed on and the command has ended.
    """

    def run() -> None:
        before()
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)

    return call(run, log)


def call(work: Callable[[], object], log: pathlib.Path | None) -> Ended:
    """Runs a function in a fork of this process, as `command` does.

    Args:
      work: what to run; what it returns is lost.
      log: what it prints goes here, and the traceback of what it raises; None: where this process
        prints.
    """
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    # While a process forks, Python prints what a handler raises, and goes on.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *processes.ENDING})
    child = os.fork()
    if not child:
        _child(work, log, parent, before)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return _wait(child)
    except KeyboardInterrupt as stop:
        # Its own process group: what reached this process has not reached it.
        asked = stop.exit_code - 128 if isinstance(stop, processes.Stopped) else signal.SIGINT
        # The signal may have come when the command had ended.
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, asked)
            _wait(child)
        raise


def _wait(child: int) -> Ended:
    _, status, used = os.wait4(child, 0)
    return Ended(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime)


def _child(
    work: Callable[[], object], log: pathlib.Path | None, parent: int, signals: Iterable[int]
) -> None:
    """Never returns: what called `call` would else run twice."""
    code = 1
    try:
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        _die_with(parent)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        if log is not None:
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 1)
            os.dup2(1, 2)
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except KeyboardInterrupt as stop:
        # Before the command could answer it; whoever started it says that it was stopped.
        code = stop.exit_code if isinstance(stop, processes.Stopped) else 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except (OSError, ValueError):  # a full disk, a reader that has gone
            code = code or 1
        finally:
            os._exit(code)


def _die_with(parent: int) -> None:
    """Asks the kernel to kill this process when its parent ends, however it does."""
    if sys.platform == "linux":
        set_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
