"""Opens a scheduler by its text, and the one that runs every task in this process."""

import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cropmap_jax.geo import extras

MOST_LOCAL = 1024
"""Worker processes on this machine."""


class Done(NamedTuple):
    """A task that has ended.

    Args:
      task: as it was given.
      value: what the function returned; None after an error.
      error: what it raised, or how its workers were lost; None where all went well.
    """

    task: Any
    value: Any
    error: Exception | None

    def result(self) -> Any:
        """The value.

        Raises:
          Exception: the error, if there is one.
        """
        if self.error is not None:
            raise self.error
        return self.value


class Scheduler:
    """Runs tasks in this process, one after the other, each when it is asked for.

    Attributes:
      workers: how many tasks run at the same time, as far as is known now.
      text: what it is, for people.
    """

    @property
    def workers(self) -> int:
        return 1

    @property
    def text(self) -> str:
        return "this process"

    @property
    def is_here(self) -> bool:
        """Whether tasks run in this process."""
        return True

    def require(
        self,
        writes: Mapping[str, str | os.PathLike[str]] | None = None,
        reads: Mapping[str, str | os.PathLike[str]] | None = None,
        modules: Sequence[str] = (),
    ) -> None:
        """Checks that every worker, also one that comes later, sees the same files as this process.

        Args:
          writes: {flag: folder that is there and that tasks write into}. A hidden file lies in each
            until the scheduler is closed.
          reads: {flag: file or folder that tasks read}.
          modules: what workers import before their first task, such as those of --import.

        Raises:
          Unfit: names the worker, and the folder, file or module that it lacks.
        """

    def run(
        self,
        function: Callable[..., Any],
        tasks: Iterable[Any],
        name: Callable[[Any], str] = str,
    ) -> Generator[Done, None, None]:
        """Runs a function on tasks and yields each as it ends.

        Close it, or leave the scheduler, to drop what is left. In this process tasks end in their
        order; elsewhere in any.

        Args:
          function: of a module, so that a worker can import it. What it returns and raises is
            pickled.
          tasks: a tuple is its arguments; anything else its one argument. Taken a few at a time: as
            many as keep the workers busy.
          name: of a task, for errors.

        Raises:
          Unfit: a worker that came later has another version or does not see the same files.
          OSError: the scheduler is gone.
        """
        for task in tasks:
            try:
                value = function(*task) if isinstance(task, tuple) else function(task)
            except Exception as error:
                yield Done(task, None, error)
            else:
                yield Done(task, value, None)


@contextlib.contextmanager
def open_scheduler(text: str = "", flag: str = "--scheduler") -> Iterator[Scheduler]:
    """Opens a scheduler; a context manager.

    Args:
      text: "" for this process, which imports nothing of Dask; "local:N" for N worker processes on
        this machine; else a Dask scheduler that runs: its address, such as tcp://host:8786, or the
        file that `dask scheduler --scheduler-file` wrote.
      flag: where the text comes from, for messages.

    Raises:
      ValueError: a text that is none of these; no scheduler answers there; a worker that cannot do
        the work (`Unfit`).
      KeyboardInterrupt: a signal asked this process to end; tasks that have not begun are dropped,
        worker processes on this machine have ended.
    """
    if not text:
        yield Scheduler()
        return
    kind, colon, rest = text.partition(":")
    local = kind == "local" and bool(colon)
    if local and not (rest.isascii() and rest.isdigit() and 1 <= int(rest) <= MOST_LOCAL):
        raise ValueError(
            f"{flag}: expected local:N with 1 to {MOST_LOCAL} processes, found {text!r}"
        )
    file = not local and "://" not in text
    if file and not os.path.isfile(text):
        raise ValueError(
            f"{flag}: expected local:N, the address of a Dask scheduler such as tcp://host:8786, "
            f"or the file that `dask scheduler --scheduler-file` writes, found {text!r}"
        )
    extras.require("dask", flag)
    from cropmap_jax.scheduling import cluster

    if local:
        opened = cluster.on_this_machine(int(rest), flag)
    else:
        opened = cluster.connected(text, file, flag)
    with opened as scheduler:
        yield scheduler
