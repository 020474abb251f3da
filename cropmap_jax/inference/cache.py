"""A cache that evicts what is no longer needed, and never holds more than so many bytes."""

from collections import Counter, OrderedDict
from collections.abc import Hashable

import numpy as np


class Cache:
    """Arrays by key, each kept until it has been used as often as expected.

    Where that is too much to hold, the one that lay unused for longest goes first.

    Args:
      limit: bytes.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._held: OrderedDict[Hashable, tuple[np.ndarray, ...]] = OrderedDict()
        self._uses: Counter[Hashable] = Counter()
        self.size = 0

    def __contains__(self, key: Hashable) -> bool:
        return key in self._held

    def expect(self, key: Hashable) -> None:
        """Announces one use of a key."""
        self._uses[key] += 1

    def expected(self, key: Hashable) -> bool:
        """Whether a key will be used again."""
        return self._uses[key] > 0

    def uses(self, key: Hashable) -> int:
        """How often a key will still be used, as far as it was announced."""
        return self._uses[key]

    def get(self, key: Hashable) -> tuple[np.ndarray, ...] | None:
        """The arrays of a key, None if they are not held."""
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def put(self, key: Hashable, arrays: tuple[np.ndarray, ...]) -> None:
        """Holds arrays that are expected to be used; others are let go at once."""
        self._drop(key)
        if self._uses[key] <= 0:
            return
        self._held[key] = arrays
        self.size += _bytes(arrays)
        while self.size > self._limit:
            self._drop(next(iter(self._held)))

    def used(self, key: Hashable) -> None:
        """One of the announced uses is over."""
        self._uses[key] -= 1
        if self._uses[key] <= 0:
            del self._uses[key]
            self._drop(key)

    def _drop(self, key: Hashable) -> None:
        self.size -= _bytes(self._held.pop(key, ()))


def _bytes(arrays: tuple[np.ndarray, ...]) -> int:
    return sum(array.nbytes for array in arrays)
