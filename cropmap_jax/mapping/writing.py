"""Maps written in a thread of their own, while the next ones are predicted."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

LIMIT_BYTES = 64 * 2**20
"""Of maps that wait to be written; a larger one waits alone."""


class Writing:
    """Runs writers one after the other, in the order in which they come; a context manager.

    What is left when it is exited is written, also after an error or Ctrl-C: it is whole, and a run
    that resumes need not make it again.

    Args:
      limit: bytes of what may wait.
    """

    def __init__(self, limit: int = LIMIT_BYTES):
        self._limit = limit
        self._thread = ThreadPoolExecutor(1, "write")
        self._waiting: deque[tuple[Future[object], int]] = deque()

    def add(self, write: Callable[[], object], size: int) -> None:
        """Takes a writer; waits while those before it hold too much memory.

        Args:
          write: writes a map, whole or not at all.
          size: bytes that it holds.

        Raises:
          OSError: what an earlier writer raised.
        """
        while self._waiting and (
            self._waiting[0][0].done() or sum(n for _, n in self._waiting) + size > self._limit
        ):
            self._waiting.popleft()[0].result()
        self._waiting.append((self._thread.submit(write), size))

    def __enter__(self) -> "Writing":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._thread.shutdown()
        if kind is None:
            while self._waiting:
                self._waiting.popleft()[0].result()
