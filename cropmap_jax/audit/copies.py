"""Images that are there twice, under any id, on any grid, wherever they claim to lie."""

import collections
import dataclasses
from collections.abc import Iterator

import numpy as np
from sklearn.neighbors import NearestNeighbors

from cropmap_jax.audit import signatures, textures
from cropmap_jax.audit.material import Key, Material, Patch, Progress, quiet

_MOST_FINGERPRINTS = 1 << 22
"""Kept in all, at 12 bytes each."""
_LEAST_SHARE = 32
"""One fingerprint of at least so many pixels."""
_MOST_NUMBERS = 1 << 26
"""Of signatures, at 2 bytes each."""
_LEAST_EQUAL = 4
"""Different pixels that two cubes have to have in common."""
_MOST_QUERIES = 20_000
_LEAST_MEANS = 10
"""That have to be there of a square."""
_AXES = 24
_NEIGHBOURS = 40
"""A square's nearest ones are those of its own patch that overlap it, 24 at most."""
_NEARER = 0.75
"""Distance of a copy, at most, in that of a square to those next to it: copies that were moved by
half a pixel had one below 0.4 in every cube tried, squares of other places 1.1 (median)."""
_PER_CUBE = 4
"""Pairs of squares whose textures are compared, for each cube."""
_MOST_CHECKED = 20_000


@dataclasses.dataclass(frozen=True)
class Copy:
    """Two cubes with the same images.

    Args:
      one, other: numbers of the cubes.
      pixels: about how many pixels have the very same values; 0: those that are alike.
      squares: pairs of squares that were found alike.
      likeness: correlation of their textures, the highest.
    """

    one: int
    other: int
    pixels: int
    squares: int = 0
    likeness: float = 1.0


class Marks:
    """Marks of all patches, from which copies are found.

    Args:
      material: what is audited.
    """

    def __init__(self, material: Material):
        self._material = material
        total = sum(place.shape[0] * place.shape[1] for place in material.places)
        self._one_in = max(_LEAST_SHARE, -(-total // _MOST_FINGERPRINTS))
        starts = sorted({int(day) for place in material.places for day in place.periods[:, 0]})
        self._period = {day: i for i, day in enumerate(starts)}
        self._sizes = [len(sensor.bands) * len(starts) for sensor in material.sensors]
        self._columns = [self._columns_of(place.periods) for place in material.places]
        room = _MOST_NUMBERS // sum(self._sizes) / max(len(material.keys), 1)
        self._step = 1 if room >= 25 else 2 if room >= 9 else 4
        self._each = max(1, -(-4 // max(int(room), 1))) if room < 4 else 1
        self._hashes: list[np.ndarray] = []
        self._cubes: list[np.ndarray] = []
        self._values: list[np.ndarray] = []
        self._squares: list[np.ndarray] = []
        self._keys: list[tuple[Key, int, int, int]] = []
        self._seen = 0

    def _columns_of(self, spans: np.ndarray) -> np.ndarray:
        """int [features of a cube], their numbers among all features."""
        at = np.array([self._period[int(day)] for day in spans[:, 0]])
        begin, found = 0, []
        for sensor, size in zip(self._material.sensors, self._sizes, strict=True):
            bands = len(sensor.bands)
            found.append((begin + at[:, None] * bands + np.arange(bands)).ravel())
            begin += size
        return np.concatenate(found)

    def add(self, patch: Patch) -> None:
        """Keeps the marks of a patch."""
        sensors = self._material.sensors
        hashes = signatures.fingerprints(patch, sensors, self._one_in)
        self._hashes.append(hashes)
        self._cubes.append(np.full(len(hashes), patch.cube, np.int32))
        self._seen += 1
        if self._seen % self._each:
            return
        size = patch.label.shape[0]
        if size < signatures.CELL:
            return
        height, width = self._material.places[patch.cube].shape
        inside = np.zeros((size, size), bool)
        inside[: height - patch.row, : width - patch.col] = True
        means, rows, cols = signatures.squares(patch, inside, sensors, self._step)
        if not len(rows):
            return
        values = np.full((len(rows), sum(self._sizes)), np.nan, np.float16)
        parts = [mean.reshape(len(rows), -1) for mean in means]
        values[:, self._columns[patch.cube]] = np.concatenate(parts, 1)
        # A square that is mostly missing looks like any other.
        kept = np.isfinite(values).sum(1) >= _LEAST_MEANS
        number = np.full(len(rows), len(self._keys))
        self._keys.append((patch.key, patch.cube, patch.row, patch.col))
        self._values.append(values[kept])
        self._squares.append(
            np.stack([np.full(len(rows), patch.cube), number, rows, cols], 1)[kept]
        )

    @property
    def empty(self) -> bool:
        """Whether no patch holds enough numbers to be recognised."""
        return not self._values and not any(len(own) for own in self._hashes)

    def equal(self, apart: set[tuple[int, int]]) -> list[Copy]:
        """Pairs of cubes in which pixels have the very same values.

        Args:
          apart: pairs (i < j) that lie on the same ground or touch: they are left out.
        """
        if not self._hashes:
            return []
        hashes, cubes = np.concatenate(self._hashes), np.concatenate(self._cubes)
        order = np.lexsort((cubes, hashes))
        hashes, cubes = hashes[order], cubes[order]
        first = np.ones(len(hashes), bool)
        first[1:] = (hashes[1:] != hashes[:-1]) | (cubes[1:] != cubes[:-1])
        hashes, cubes = hashes[first], cubes[first]
        changes = np.flatnonzero(hashes[1:] != hashes[:-1]) + 1
        starts = [0, *changes.tolist()] if len(hashes) else []
        counts: collections.Counter[tuple[int, int]] = collections.Counter()
        for begin, end in zip(starts, [*starts[1:], len(hashes)], strict=True):
            own = cubes[begin : min(end, begin + 16)].tolist()
            counts.update((own[a], own[b]) for a in range(len(own)) for b in range(a + 1, len(own)))
        return [
            Copy(i, j, count * self._one_in)
            for (i, j), count in sorted(counts.items())
            if count >= _LEAST_EQUAL and (i, j) not in apart
        ]

    def alike(
        self, apart: set[tuple[int, int]], progress: Progress = quiet, seed: int = 0
    ) -> list[Copy]:
        """Pairs of cubes with squares of the same texture: copies that were resampled.

        Args:
          apart: as for `equal`.
          progress: shows a bar.
          seed: of the choice of squares that are looked up, where there are many.
        """
        if not self._values or len(self._material.places) < 2:
            return []
        values, squares = np.concatenate(self._values), np.concatenate(self._squares)
        self._values.clear()
        if len(values) < 2:
            return []
        axes, centre, spread = _axes(values)
        reduced = _reduced(values, axes, centre, spread)
        queries = np.flatnonzero((squares[:, 2:] % signatures.SQUARE == 0).all(1))
        if len(queries) > _MOST_QUERIES:
            chosen = np.random.default_rng(seed).choice(len(queries), _MOST_QUERIES, replace=False)
            queries = queries[np.sort(chosen)]
        pairs = self._near(reduced, squares, queries, apart)
        found: dict[tuple[int, int], list[tuple[float, float]]] = {}
        kept: collections.OrderedDict[int, Patch] = collections.OrderedDict()
        for a, b in progress(pairs, unit="pair", desc="copies"):
            images = [self._image(squares[n], axes, centre, spread, kept) for n in (a, b)]
            if images[0].shape != images[1].shape:
                continue
            coarse, fine = textures.likeness(images[0], images[1])
            if coarse >= textures.ALIKE and fine >= textures.FINE:
                i, j = sorted((int(squares[a, 0]), int(squares[b, 0])))
                found.setdefault((i, j), []).append((coarse, fine))
        return [
            Copy(i, j, 0, len(own), max(coarse for coarse, _ in own))
            for (i, j), own in sorted(found.items())
            if len(own) > 1 or own[0][1] >= textures.SURE
        ]

    def _near(
        self,
        reduced: np.ndarray,
        squares: np.ndarray,
        queries: np.ndarray,
        apart: set[tuple[int, int]],
    ) -> list[tuple[int, int]]:
        """Pairs of squares of two cubes to compare, the most alike of every cube.

        Those count that are clearly nearer to each other than a square to one next to it.
        """
        number = min(_NEIGHBOURS, len(reduced))
        search = NearestNeighbors(n_neighbors=number).fit(reduced)
        distance, near = search.kneighbors(reduced[queries])
        of_cube: dict[int, list[tuple[float, int, int]]] = {}
        for query, far, own in zip(queries.tolist(), distance, near.tolist(), strict=True):
            cube = int(squares[query, 0])
            scale = _next_to(reduced, squares, query)
            for d, other in zip(far.tolist(), own, strict=True):
                second = int(squares[other, 0])
                if second == cube or (min(cube, second), max(cube, second)) in apart:
                    continue
                if d < _NEARER * scale:
                    of_cube.setdefault(cube, []).append((d / scale, query, other))
                break
        best = [one for rows in of_cube.values() for one in sorted(rows)[:_PER_CUBE]]
        chosen = {(min(a, b), max(a, b)) for _, a, b in sorted(best)[:_MOST_CHECKED]}
        return sorted(chosen)

    def _image(
        self,
        square: np.ndarray,
        axes: np.ndarray,
        centre: np.ndarray,
        spread: np.ndarray,
        kept: "collections.OrderedDict[int, Patch]",
    ) -> np.ndarray:
        """Components of the pixels of a square; `kept` holds the patches that were read last."""
        cube, number, row, col = square.tolist()
        if number not in kept:
            kept[number] = next(self._material.patches([self._keys[number]]))
            if len(kept) > 32:
                kept.popitem(last=False)
        patch, side = kept[number], signatures.SQUARE
        pixels = {k: v[:, row : row + side, col : col + side] for k, v in patch.pixels.items()}
        sensors, columns = self._material.sensors, self._columns[cube]
        return textures.components(pixels, sensors, columns, axes, centre, spread)


def _axes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Principal axes [features, axes] of standardised signatures, their mean and deviation."""
    count, total, square = np.zeros((3, values.shape[1]))
    for part in _parts(values):
        there = np.isfinite(part)
        count += there.sum(0)
        total += np.where(there, part, 0).sum(0)
    centre = total / np.maximum(count, 1)
    for part in _parts(values):
        square += (np.nan_to_num(part - centre) ** 2).sum(0)
    spread = np.sqrt(square / np.maximum(count, 1))
    # A feature that is the same everywhere tells nothing.
    spread = np.where(spread > 1e-6, spread, np.inf)
    cross = np.zeros((values.shape[1],) * 2)
    for part in _parts(values):
        rest = np.nan_to_num((part - centre) / spread)
        cross += rest.T @ rest
    _, vectors = np.linalg.eigh(cross)
    return vectors[:, ::-1][:, :_AXES], centre, spread


def _reduced(
    values: np.ndarray, axes: np.ndarray, centre: np.ndarray, spread: np.ndarray
) -> np.ndarray:
    """float32 [N, axes] of signatures, missing values at their mean."""
    rows = [np.nan_to_num((part - centre) / spread) @ axes for part in _parts(values)]
    return np.concatenate([row.astype(np.float32) for row in rows])


def _parts(values: np.ndarray, size: int = 4096) -> Iterator[np.ndarray]:
    """Yields rows of an array, some at a time, as float64."""
    for at in range(0, len(values), size):
        yield values[at : at + size].astype(np.float64)


def _next_to(reduced: np.ndarray, squares: np.ndarray, query: int) -> float:
    """Largest distance of a square to those a step away in its patch."""
    first, last = max(query - 64, 0), query + 65
    own = squares[first:last]
    same = (own[:, 1] == squares[query, 1]) & (np.arange(first, first + len(own)) != query)
    steps = np.abs(own[:, 2:] - squares[query, 2:]).sum(1)
    if not same.any():
        return float("inf")
    nearest = same & (steps == steps[same].min())
    return float(np.sqrt(((reduced[first:last][nearest] - reduced[query]) ** 2).sum(1).max()))
