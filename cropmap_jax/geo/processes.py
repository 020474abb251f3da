"""Processes that end with the one that started them, and commands that end on a signal in one line.

However a command ends, also by SIGKILL, nothing that it started outlives it: workers of a pool
watch a pipe whose other end only their starter holds, and a command that is run as a child is
killed by the kernel.
"""

import concurrent.futures
import concurrent.futures.process
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

ENDING = (signal.SIGTERM, signal.SIGHUP)
"""What requests a process to end: a scheduler, and a terminal that was closed."""


class Stopped(KeyboardInterrupt):
    """A signal requested this process to end; `exit_code` is what a shell expects of it."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and SIGHUP raise `Stopped` in the block, as Ctrl-C raises KeyboardInterrupt.

    Cleanup runs then, and none of them is lost (`none_lost`). Outside of the main thread, and where
    they are ignored (nohup), signals are left as they are.
    """

    def stop(number: int, _: FrameType | None) -> None:
        raise Stopped(number)

    with none_lost(), _handler(ENDING, stop):
        yield


@contextlib.contextmanager
def none_lost() -> Iterator[None]:
    """Signals that end a process are answered in the block whatever Python is at when they come.

    What their handlers raise in a finaliser, a callback of a weak reference or one of the garbage
    collector Python prints and drops. jax has one of the last kind: it is the first to run when
    the collector, in which imports spend much of their time, has ended, and so answers whatever
    came meanwhile. Here the same signal is sent again a moment later.
    """
    before = sys.unraisablehook

    def hook(lost: Any) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            before(lost)
            return
        number = getattr(lost.exc_value, "exit_code", 128 + signal.SIGINT) - 128
        again = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


_AGAIN_S = 0.05
"""Seconds until a signal comes again that was lost."""


@contextlib.contextmanager
def _handler(
    numbers: Sequence[int], handler: Callable[[int, FrameType | None], object]
) -> Iterator[None]:
    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


# Workers ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Signals wait until the block has ended, for what may not be left half started.

    Processes and threads that are started in it inherit that SIGINT is blocked: a terminal sends
    Ctrl-C to all, only their starter answers it.
    """
    late: list[int] = []
    try:
        with _handler((signal.SIGINT, *ENDING), lambda number, _: late.append(number)):
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                yield
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
    finally:  # also where the block has failed
        for number in late:
            signal.raise_signal(number)


class _Pool(concurrent.futures.ProcessPoolExecutor):
    def submit(self, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        with deferred():  # workers are started here
            return super().submit(*args, **kwargs)


@contextlib.contextmanager
def pool(workers: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """Worker processes that end with the block and with this process, however either ends.

    When the block raises, work is dropped where it is, not brought to its end.

    Args:
      workers: how many processes.

    Raises:
      OSError: a worker ended before its work did.
    """
    # Spawned, not forked: a caller may have started threads of its own, and a forked worker would
    # hold the pipe's other end.
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    executor = _Pool(workers, mp_context=context, initializer=_end_with, initargs=(reader,))
    try:
        yield executor
    except BaseException as error:
        writer.close()  # here the workers end
        if isinstance(error, concurrent.futures.process.BrokenProcessPool):
            raise OSError(
                "a worker process ended before its work did, often for lack of memory; fewer "
                "workers need less"
            ) from error
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        writer.close()
        reader.close()


def _end_with(pipe: Connection) -> None:
    """Ends this process when the other end of the pipe is closed, or was already."""

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            pipe.recv()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# Commands -----------------------------------------------------------------------------------------
