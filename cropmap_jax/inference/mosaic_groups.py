"""Mosaic groups: cubes that touch, share a pixel grid and see one window are predicted as one.

A group is made from a plain description of cubes, which a folder of cubes gives as well as a
dataset does: so both are cut and blended alike.
"""

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import scipy.sparse
import shapely
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.geo import as_of_windows, cube, periods
from cropmap_jax.inference.tiling import Box, Tiling, bounds

_MATCH_PX = 1e-3
"""Grids that are this far apart count as aligned: a hundredth of a metre, from rounding."""

Spans = tuple[tuple[int, int], ...]
"""(start, end) of periods, days since 1970-01-01."""


@dataclasses.dataclass(frozen=True)
class Lattice:
    """A pixel grid without an end.

    Args:
      crs: its CRS.
      pixel: side of a pixel in units of the CRS.
      x, y: a corner where four pixels meet; rows and columns count from there.
    """

    crs: CRS
    pixel: float
    x: float
    y: float

    @classmethod
    def of(cls, geobox: GeoBox) -> "Lattice":
        """The lattice of a grid, counted from its upper left corner.

        Raises:
          ValueError: it has no CRS.
        """
        if geobox.crs is None:
            raise ValueError("grid: expected one with a CRS, found none")
        return cls(geobox.crs, geobox.affine.a, geobox.affine.c, geobox.affine.f)

    def place(self, geobox: GeoBox) -> Box | None:
        """Where a grid lies on the lattice; None if it is another lattice's."""
        a = geobox.affine
        if geobox.crs != self.crs or not math.isclose(a.a, self.pixel, rel_tol=1e-7):
            return None
        col, row = (a.c - self.x) / self.pixel, (self.y - a.f) / self.pixel
        if max(abs(col - round(col)), abs(row - round(row))) > _MATCH_PX:
            return None
        height, width = geobox.shape
        return Box(0, 0, height, width).shift(round(row), round(col))


@dataclasses.dataclass(frozen=True, slots=True)
class CubeGrid:
    """All that decides with which others a cube is predicted.

    Args:
      cube_id: its id; no two cubes have the same.
      geobox: its grid.
      periods: all of them, contiguous.
      digest: hash of what the cube is made of; "" where nobody compares.
    """

    cube_id: str
    geobox: GeoBox
    periods: Spans
    digest: str = ""


def describe(info: cube.CubeInfo, digest: str = "") -> CubeGrid:
    """The description of a cube that lies in a folder."""
    return CubeGrid(info.cube_id, info.geobox, _spans(periods.to_days(info.periods)), digest)


def describe_row(data: Dataset, index: int) -> CubeGrid:
    """The description of a cube of a dataset, by its number in `Dataset.cubes`."""
    row = data.cubes[index]
    geobox = GeoBox(tuple(row["shape"]), Affine(*row["transform"]), row["crs"])
    return CubeGrid(row["id"], geobox, _spans(data.periods(index)))


def _spans(days: np.ndarray) -> Spans:
    return tuple((int(start), int(end)) for start, end in days)


@dataclasses.dataclass(frozen=True, slots=True)
class GroupCube:
    """A cube of a mosaic group.

    Args:
      cube_id, digest: of its description.
      place: where it lies on the group's lattice.
      window: which of its own periods are seen.
    """

    cube_id: str
    digest: str
    place: Box
    window: as_of_windows.Window


@dataclasses.dataclass(frozen=True, eq=False)
class MosaicGroup:
    """Cubes that are predicted as one. Each group equals itself alone, so it can be a key.

    Args:
      lattice: its pixel grid.
      cubes: in the order of the tiling's boxes.
      top, left: its upper left corner on the lattice.
      tiling: its parts.
      window: the longest of the cubes' windows, which begins where the others are missing.
    """

    lattice: Lattice
    cubes: tuple[GroupCube, ...]
    top: int
    left: int
    tiling: Tiling
    window: as_of_windows.Window

    def inputs(self, number: int, around: int = 0) -> str:
        """Hash of everything that the map of one cube is made from.

        That is every chip that reaches into it, and each cube that lies in one of them. A cube next
        door that comes, goes or changes makes another hash.

        Args:
          number: of the cube.
          around: pixels beyond it that decide on it, too.
        """
        own = self.tiling.boxes[number]
        digest = hashlib.sha256()
        for part in self.tiling.covering(own.grow(around)):
            chip = self.tiling.chip(part)
            digest.update(repr(tuple(chip.shift(-own.top, -own.left))).encode())
            for other in self.tiling.cubes(chip):
                box = self.tiling.boxes[other].shift(-own.top, -own.left)
                digest.update(f"{self.cubes[other].digest} {tuple(box)}".encode())
        return digest.hexdigest()[:32]

    def excerpt(self, numbers: Iterable[int], around: int = 0) -> "MosaicGroup":
        """A group of all cubes that decide on the maps of some, which are made alike of both.

        Args:
          numbers: of the cubes.
          around: pixels beyond them that decide on them, too.
        """
        near: set[int] = set()
        for number in numbers:
            near.update(self.tiling.around(self.tiling.boxes[number].grow(around)))
        kept = sorted(near)
        cubes = tuple(self.cubes[number] for number in kept)
        return dataclasses.replace(self, cubes=cubes, tiling=self.tiling.only(kept))

    def ordered(self, parts_across: int) -> Iterator[int]:
        """Numbers of the cubes in strips as wide as that, so that neighbours follow each other."""
        width = parts_across * self.tiling.cell((0, 0)).right
        boxes = self.tiling.boxes
        key = [(box.left // width, box.top, box.left) for box in boxes]
        yield from sorted(range(len(boxes)), key=key.__getitem__)

    def pieces(self, number: int) -> Iterator[Box]:
        """One cube, part by part."""
        box = self.tiling.boxes[number]
        for part in self.tiling.parts(box):
            piece = self.tiling.cell(part).common(box)
            if piece is not None:
                yield piece


def join(cubes: Sequence[CubeGrid], num_periods: int, as_of: int, halo: int) -> list[MosaicGroup]:
    """Joins the cubes that touch, share a grid and see one window.

    Args:
      cubes: of one season; those of one CRS do not overlap.
      num_periods: periods of the window.
      as_of: exclusive date of the prediction, days since 1970-01-01.
      halo: pixels that a predictor sees around a part.

    Raises:
      ValueError: names the first cube of which no period has ended by the as-of date.
    """
    # Cubes have few lists of periods between them: each window is made once.
    seen: dict[Spans, as_of_windows.Window] = {}
    for one in cubes:
        if one.periods not in seen:
            days, where = np.array(one.periods), f"cube {one.cube_id}"
            seen[one.periods] = as_of_windows.as_of_window(days, as_of, num_periods, where)
    spans = {key: _spans(window.spans) for key, window in seen.items()}
    longest = _join_windows(set(spans.values()))
    by_spans = {spans[key]: window for key, window in seen.items()}
    lattices: list[Lattice] = []
    together: dict[tuple[int, Spans], list[GroupCube]] = {}
    for one in cubes:
        number, place = _find_lattice(lattices, one.geobox)
        made = GroupCube(one.cube_id, one.digest, place, seen[one.periods])
        together.setdefault((number, longest[spans[one.periods]]), []).append(made)
    return [
        _group(lattices[number], touching, by_spans[window], halo)
        for (number, window), own in together.items()
        for touching in _touching(own)
    ]


def _join_windows(found: Iterable[Spans]) -> dict[Spans, Spans]:
    """Maps each window to the longest that ends like it: a cube may begin later than its peers."""
    longest: list[Spans] = []
    joined = {}
    for window in sorted(found, key=lambda spans: (-len(spans), spans)):
        same = (w for w in longest if w[len(w) - len(window) :] == window)
        joined[window] = next(same, window)
        if joined[window] is window:
            longest.append(window)
    return joined


def _find_lattice(lattices: list[Lattice], geobox: GeoBox) -> tuple[int, Box]:
    for number, lattice in enumerate(lattices):
        place = lattice.place(geobox)
        if place:
            return number, place
    lattices.append(Lattice.of(geobox))
    height, width = geobox.shape
    return len(lattices) - 1, Box(0, 0, height, width)


def _touching(cubes: list[GroupCube]) -> Iterator[list[GroupCube]]:
    """Groups of cubes that share an edge or a corner, directly or through others."""
    corners = np.array([one.place for one in cubes])
    shapes = shapely.box(corners[:, 1], corners[:, 0], corners[:, 3], corners[:, 2])
    left, right = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    links = scipy.sparse.coo_array((np.ones(len(left)), (left, right)), (len(cubes),) * 2)
    count, member = scipy.sparse.csgraph.connected_components(links, directed=False)
    groups: list[list[GroupCube]] = [[] for _ in range(count)]
    for made, number in zip(cubes, member, strict=True):
        groups[number].append(made)
    yield from groups


def _group(
    lattice: Lattice, cubes: list[GroupCube], window: as_of_windows.Window, halo: int
) -> MosaicGroup:
    top, left = bounds([one.place for one in cubes])[:2]
    tiling = Tiling([one.place.shift(-top, -left) for one in cubes], halo_px=halo)
    return MosaicGroup(lattice, tuple(cubes), top, left, tiling, window)
