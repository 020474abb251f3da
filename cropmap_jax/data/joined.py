"""Records of several splits as those of one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cropmap_jax.data.examples import Pixels, Record, Source


class Joined:
    """Records of several sources, one after the other; a `Source`.

    Args:
      sources: at least one.
    """

    def __init__(self, sources: Sequence[Source]):
        self._sources = list(sources)
        self._ends = np.cumsum([len(source) for source in self._sources])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Record:
        source, own = self._find(index)
        return source[own]

    def label(self, index: int) -> np.ndarray:
        """As `Source.label`."""
        source, own = self._find(index)
        return source.label(own)

    def fields(self, index: int) -> np.ndarray:
        """As `Source.fields`."""
        source, own = self._find(index)
        return source.fields(own)

    def weak(self, index: int) -> np.ndarray:
        """As `Source.weak`."""
        source, own = self._find(index)
        return source.weak(own)

    def read_window(
        self, index: int, chosen: np.ndarray, pixels: Pixels, label: np.ndarray | None = None
    ) -> None:
        """As `Source.read_window`."""
        source, own = self._find(index)
        source.read_window(own, chosen, pixels, label)

    def gather(
        self,
        chips: np.ndarray,
        rows: np.ndarray,
        cols: np.ndarray,
        windows: np.ndarray,
        pixels: Pixels,
    ) -> None:
        """As `Source.gather`."""
        of = np.searchsorted(self._ends, chips, side="right")
        for number, source in enumerate(self._sources):
            own = np.flatnonzero(of == number)
            if not len(own):
                continue
            first = int(self._ends[number]) - len(source)
            part = {name: np.empty_like(out[own]) for name, out in pixels.items()}
            source.gather(chips[own] - first, rows[own], cols[own], windows[own], part)
            for name, values in part.items():
                pixels[name][own] = values

    def _find(self, index: int) -> tuple[Source, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"expected a record from 0 to {len(self) - 1}, found {index}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        return self._sources[number], index - int(self._ends[number]) + len(self._sources[number])
