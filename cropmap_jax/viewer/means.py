"""Means of the images over each mapped class, computed once and kept.

They are taken over at most 400 pieces of ground, spread evenly over the map: a country's worth of
cubes would take an hour, and would say the same.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from cropmap_jax.geo import files
from cropmap_jax.viewer.images import Images, to_list
from cropmap_jax.viewer.tiles import Layer, Sampler

PIECES = 400
"""Of at most 512 x 512 pixels, that means are taken over."""
_FORMAT = 1
_LEAST = 20
"""Pixels of a class in a period below which there is no mean."""

Means = dict[str, Any]
"""`pixels` by class value, and `curves` by key and class value, a number for each period."""


def compute(
    sampler: Sampler,
    crop: Layer,
    images: Images,
    values: list[int],
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Means:
    """Means of curves over the pixels of each class of a map.

    Of decibels the mean is that of the power, as composites are made.

    Args:
      sampler: of the map.
      crop: its classes.
      images: its cubes.
      values: pixel values of the classes.
      progress: told how many pieces of how many are done.

    Raises:
      ValueError: a raster that is damaged; names it.
    """
    places = sampler.places
    ids = [cube.cube_id for cube in places.cubes]
    known = [n for n, piece in enumerate(places.pieces) if ids[piece.cube] in images.infos]
    chosen = [known[i] for i in np.linspace(0, len(known) - 1, min(PIECES, len(known))).astype(int)]
    length, table = len(images.periods), np.full(256, len(values))
    table[values] = np.arange(len(values))
    sums = {c.key: np.zeros((2, length, len(values) + 1)) for c in images.curves}
    pixels = np.zeros(len(values) + 1, np.int64)
    for done, number in enumerate(chosen):
        progress(done, len(chosen))
        piece = places.pieces[number]
        classes = table[crop.read(piece)[..., 0]].ravel()
        pixels += np.bincount(classes, minlength=len(values) + 1)
        found = images.curves_of(ids[piece.cube], piece.window)
        for curve in images.curves:
            if curve.key in found:
                one = found[curve.key].reshape(length, -1)
                one = 10 ** (one / 10) if images.mean_power(curve) else one
                _add(sums[curve.key], one, classes)
    out: dict[str, dict[str, list[float | None]]] = {}
    for curve in images.curves:
        total, count = sums[curve.key]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(count >= _LEAST, total / count, np.nan)
            mean = 10 * np.log10(mean) if images.mean_power(curve) else mean
        out[curve.key] = {str(v): to_list(mean[:, i]) for i, v in enumerate(values)}
    return {
        "pixels": {str(v): int(pixels[i]) for i, v in enumerate(values)},
        "curves": out,
        "pieces": len(chosen),
        "of_pieces": len(places.pieces),
    }


def _add(sums: np.ndarray, values: np.ndarray, classes: np.ndarray) -> None:
    """Adds values [periods, pixels] to sums and counts by class, [2, periods, classes + 1]."""
    for period, row in enumerate(values):
        there = np.isfinite(row)
        size = sums.shape[2]
        sums[0, period] += np.bincount(classes[there], row[there], size)
        sums[1, period] += np.bincount(classes[there], minlength=size)


class Keeper:
    """Computes means once, in a thread of its own, and keeps them in the user's cache.

    Args:
      make: computes them; it is told where to say how far it is.
      key: what they depend on; the same key gives what was kept.
    """

    def __init__(self, make: Callable[[Callable[[int, int], None]], Means], key: str):
        digest = hashlib.sha256(f"{_FORMAT} {key}".encode()).hexdigest()[:32]
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self._file = pathlib.Path(home) / "cropmap_jax" / "viewer" / f"{digest}.json"
        self._make, self._lock = make, threading.Lock()
        self._thread: threading.Thread | None = None
        self._state: dict[str, Any] = {"state": "computing", "done": 0, "of": 0}

    def ask(self) -> dict[str, Any]:
        """The means, how far they are, or why there are none.

        Returns:
          {"state": "ready", "means": ...}, {"state": "computing", "done": ..., "of": ...} or
          {"state": "failed", "why": ...}.
        """
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
        self._thread.join(0.2)
        return self._state

    def wait(self) -> dict[str, Any]:
        """As `ask`, when they are there."""
        self.ask()
        if self._thread is not None:
            self._thread.join()
        return self._state

    def _run(self) -> None:
        try:
            self._state = {"state": "ready", "means": self._read() or self._compute()}
        except (ValueError, OSError) as error:
            self._state = {"state": "failed", "why": str(error)}

    def _read(self) -> Means | None:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) and "curves" in found else None

    def _compute(self) -> Means:
        def told(done: int, of: int) -> None:
            self._state = {"state": "computing", "done": done, "of": of}

        found = self._make(told)
        # Without a cache they are computed again next time.
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(self._file, json.dumps(found).encode())
        return found
