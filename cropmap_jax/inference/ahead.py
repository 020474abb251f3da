"""Batches that are read and predicted ahead, while what came before is used."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

_Keys = TypeVar("_Keys")
_Read = TypeVar("_Read")
_Made = TypeVar("_Made")


class Ahead(Generic[_Keys, _Read, _Made]):
    """Two threads, one that reads and one that predicts, and the batches that they work on.

    Batches begin, and are handed out, in the order in which they are asked for, whatever the
    threads do: results depend on nothing else.

    Args:
      read: of the keys of a batch, what `make` takes; runs in the first thread.
      make: of that, the result; runs in the second one.
    """

    def __init__(self, read: Callable[[_Keys], _Read], make: Callable[[_Keys, _Read], _Made]):
        self._read, self._make = read, make
        self._threads = [ThreadPoolExecutor(1, name) for name in ("read", "predict")]
        self._begun: deque[tuple[_Keys, Future[_Made]]] = deque()

    def __len__(self) -> int:
        return len(self._begun)

    def begin(self, keys: _Keys) -> None:
        """Begins a batch."""
        reader, maker = self._threads
        read = reader.submit(self._read, keys)
        made = maker.submit(lambda: self._make(keys, read.result()))
        self._begun.append((keys, made))

    def next(self) -> tuple[_Keys, _Made]:
        """The batch that began first; waits for it, and raises what reading or predicting raised.

        Raises:
          IndexError: none has begun.
        """
        keys, made = self._begun.popleft()
        return keys, made.result()

    def close(self) -> None:
        """Drops what has not begun, and waits for what has."""
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)
        self._begun.clear()
        for thread in self._threads:
            thread.shutdown()
