"""Strata of a map: how many of its pixels are which class in which province, and a draw of them."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.mapping.map_folder import Digests, FinishedMap, Located, MapCube

if TYPE_CHECKING:  # it needs the packages of an extra
    from cropmap_jax.mapping.province_grid import Provinces

OUTSIDE = "outside all provinces"


@dataclasses.dataclass(frozen=True, eq=False)
class Counts:
    """What a map holds.

    Args:
      provinces: their names, what lies outside of all last; one without a name where there are
        none.
      pixels: int64 [provinces, classes], see `FinishedMap.names`.
      hectares: float64 of the same shape.
      shared_ha: hectares that lie in several cubes, each counted once.
      confidence: float64 [classes], mean from 0 to 1; NaN where there is no pixel, or nobody asked.
      digests: of the pixels.
      by_cube: int64 [cubes, classes], pixels of each.
    """

    provinces: tuple[str, ...]
    pixels: np.ndarray
    hectares: np.ndarray
    shared_ha: float
    confidence: np.ndarray
    digests: Digests
    by_cube: np.ndarray


class Counting:
    """Counts a map, cube by cube.

    Args:
      found: the map.
      provinces: None for one without a name.
      with_confidence: whether to read the rasters of confidence, too.
    """

    def __init__(
        self, found: FinishedMap, provinces: "Provinces | None", with_confidence: bool = False
    ):
        self._map, self._provinces, self._with = found, provinces, with_confidence
        self._names = (*provinces.names, OUTSIDE) if provinces else ("",)
        shape = len(self._names), len(found.names)
        self._pixels, self._hectares = np.zeros(shape, np.int64), np.zeros(shape)
        self._sums, self._seen = np.zeros(shape[1]), np.zeros(shape[1])
        self._shared, self._digests = 0.0, Digests()
        self._by_cube: list[np.ndarray] = []

    def run(self) -> Iterator[None]:
        """Counts; yields after each cube.

        Raises:
          ValueError: names a raster that is damaged, or holds a value that is no class.
        """
        for cube in self._map.cubes:
            pixels = cube.read()
            self._digests.add(cube, pixels)
            owned = cube.owned()
            self._shared += float((~owned).sum()) * cube.pixel_ha
            cells = self._map.classes(pixels, cube.path)
            if self._with:
                self._add_confidence(cube, cells, owned)
            cells = cells + province_of(cube, self._provinces) * len(self._map.names)
            count = np.bincount(cells[owned], minlength=self._pixels.size)
            count = count.reshape(self._pixels.shape)
            self._pixels += count
            self._hectares += count * cube.pixel_ha
            self._by_cube.append(count.sum(0))
            yield

    def _add_confidence(self, cube: MapCube, classes: np.ndarray, owned: np.ndarray) -> None:
        percent = cube.confidence()
        there = owned & (percent != IGNORE)
        count = len(self._sums)
        self._sums += np.bincount(classes[there], percent[there] / 100.0, minlength=count)
        self._seen += np.bincount(classes[there], minlength=count)

    @property
    def counts(self) -> Counts:
        """What was counted."""
        with np.errstate(invalid="ignore"):
            confidence = self._sums / self._seen
        return Counts(
            self._names,
            self._pixels,
            self._hectares,
            self._shared,
            confidence,
            self._digests,
            np.array(self._by_cube),
        )


def province_of(cube: MapCube, provinces: "Provinces | None") -> np.ndarray:
    """Province of each pixel of a cube, int64 [H, W]; 0 where there are none."""
    if provinces is None:
        return np.zeros(tuple(cube.geobox.shape), np.int64)
    return provinces.grid(cube.geobox)


@dataclasses.dataclass(frozen=True)
class Stratum:
    """Pixels to draw from.

    Args:
      code: short and without meaning, so that who interprets a point does not see the map's class.
      map_class: position in `FinishedMap.names`.
      province: position in `Counts.provinces`; None where classes are whole strata.
      pixels: how many there are.
      hectares: their area.
    """

    code: str
    map_class: int
    province: int | None
    pixels: int
    hectares: float


def make_strata(
    counts: Counts, no_data: int, by_province: bool, with_no_data: bool, seed: int
) -> list[Stratum]:
    """Strata of all classes that occur, in each province if so wanted.

    Args:
      counts: of the map.
      no_data: position of no data in its names.
      by_province: whether a province and a class make a stratum.
      with_no_data: whether ground without a prediction is one, too.
      seed: of the order of the codes.
    """
    classes = no_data + 1 if with_no_data else no_data
    cells: list[tuple[int | None, int]] = [(None, c) for c in range(classes)]
    if by_province:
        cells = [(p, c) for p in range(len(counts.provinces)) for c in range(classes)]
    found = []
    for province, one in cells:
        rows = slice(None) if province is None else slice(province, province + 1)
        pixels = int(counts.pixels[rows, one].sum())
        if pixels:
            found.append((one, province, pixels, float(counts.hectares[rows, one].sum())))
    order = np.random.default_rng([seed, 0]).permutation(len(found)) + 1
    width = len(str(len(found)))
    return [Stratum(f"s{n:0{width}}", *one) for n, one in zip(order, found, strict=True)]


class Drawing:
    """Draws pixels of each stratum without replacement, each with the same chance.

    A stratum's pixels are numbered through all cubes; which numbers are drawn is decided first, and
    the cubes are then read one by one.

    Args:
      found: the map.
      provinces: that the strata speak of; None where they do not.
      strata: from `make_strata`.
      sizes: int [H], how many of each.
      seed: of the draw.
    """

    def __init__(
        self,
        found: FinishedMap,
        provinces: "Provinces | None",
        strata: Sequence[Stratum],
        sizes: np.ndarray,
        seed: int,
    ):
        self._map, self._provinces, self._strata = found, provinces, strata
        self._seed = seed
        self._wanted = [
            np.sort(
                np.random.default_rng([seed, 1, number]).choice(
                    one.pixels, int(size), replace=False, shuffle=False
                )
            )
            for number, (one, size) in enumerate(zip(strata, sizes, strict=True))
        ]
        self._found: list[tuple[int, int, np.ndarray, np.ndarray]] = []

    def run(self) -> Iterator[None]:
        """Finds the pixels; yields after each cube.

        Raises:
          ValueError: names a raster that is damaged.
        """
        passed = np.zeros(len(self._strata), np.int64)
        for number, cube in enumerate(self._map.cubes):
            index = self._index(cube)
            counts = np.bincount(index[index >= 0], minlength=len(self._strata))
            for h in np.flatnonzero(counts):
                first, last = np.searchsorted(self._wanted[h], [passed[h], passed[h] + counts[h]])
                if last > first:
                    own = np.flatnonzero(index == h)[self._wanted[h][first:last] - passed[h]]
                    row, col = np.divmod(own, index.shape[1])
                    self._found.append((number, int(h), row, col))
            passed += counts
            yield

    def _index(self, cube: MapCube) -> np.ndarray:
        """Which stratum each pixel of a cube is of, int [H, W]; -1 for none."""
        classes = self._map.classes(cube.read(), cube.path)
        province = province_of(cube, self._provinces)
        count = len(self._provinces.names) + 1 if self._provinces else 1
        table = np.full((count, len(self._map.names)), -1)
        for h, one in enumerate(self._strata):
            rows = slice(None) if one.province is None else one.province
            table[rows, one.map_class] = h
        index: np.ndarray = np.where(cube.owned(), table[province, classes], -1)
        return index

    def points(self) -> tuple[Located, np.ndarray]:
        """The pixels drawn, in a random order, and the stratum of each, int [n]."""
        parts = [np.concatenate(part) for part in zip(*map(_spread, self._found), strict=True)]
        order = np.random.default_rng([self._seed, 2]).permutation(len(parts[0]))
        cube, stratum, row, col = (part[order] for part in parts)
        return Located(cube, row, col), stratum


def _spread(part: tuple[int, int, np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
    cube, stratum, row, col = part
    return np.full(len(row), cube), np.full(len(row), stratum), row, col
