"""Which ground is to be mapped: the cubes of a folder, checked and joined to sheets."""

import dataclasses
import datetime as dt
import hashlib
import math
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import scipy.sparse
import shapely
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import calendars, cube, cube_io, periods, splits, windows
from cropmap_jax.inference.tiling import Box, Tiling, bounds
from cropmap_jax.training.recipe import Recipe

_MATCH_PX = 1e-3
"""Grids that are this far apart count as aligned: a hundredth of a metre, from rounding."""
_SIZE = 1e-3
"""Pixels whose sizes differ by this share are of one size: a seventh of a pixel across a chip."""
MOST_DAYS = 366
"""Images that ended longer ago than this show nothing of the season of the as-of date."""


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
        """The lattice of a grid, counted from its upper left corner."""
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
class MapCube:
    """A cube to map: its id, its folder, a hash of its item and where it lies on its lattice."""

    cube_id: str
    path: pathlib.Path
    digest: str
    place: Box


@dataclasses.dataclass(frozen=True)
class MosaicGroup:
    """A sheet and the cubes that it consists of.

    Args:
      lattice: its pixel grid.
      cubes: in the order of the sheet's boxes.
      top, left: the sheet's upper left corner on the lattice.
      sheet: its parts.
    """

    lattice: Lattice
    cubes: tuple[MapCube, ...]
    top: int
    left: int
    sheet: Tiling

    def inputs(self, number: int) -> str:
        """Hash of everything that the map of one cube is made from.

        That is every chip that reaches into it, and each cube that lies in one of them. A cube next
        door that comes, goes or changes makes another hash.
        """
        own = self.sheet.boxes[number]
        digest = hashlib.sha256()
        for part in self.sheet.covering(own):
            chip = self.sheet.chip(part)
            digest.update(repr(tuple(chip.shift(-own.top, -own.left))).encode())
            for other in self.sheet.cubes(chip):
                box = self.sheet.boxes[other].shift(-own.top, -own.left)
                digest.update(f"{self.cubes[other].digest} {tuple(box)}".encode())
        return digest.hexdigest()[:32]

    def ordered(self, parts_across: int) -> Iterator[int]:
        """Numbers of the cubes in strips as wide as that, so that neighbours follow each other."""
        width = parts_across * self.sheet.cell((0, 0)).right
        boxes = self.sheet.boxes
        key = [(box.left // width, box.top, box.left) for box in boxes]
        yield from sorted(range(len(boxes)), key=key.__getitem__)

    def pieces(self, number: int) -> Iterator[Box]:
        """One cube, part by part."""
        box = self.sheet.boxes[number]
        for part in self.sheet.parts(box):
            yield self.sheet.cell(part).common(box)


def survey(
    cubes_dir: str | os.PathLike, recipe: Recipe, as_of: dt.date, season: str | None = None
) -> list[MosaicGroup]:
    """What is to be mapped of a folder: `find_cubes`, and `join` of what that found."""
    infos = find_cubes(cubes_dir, recipe, as_of, season)
    return join(infos, recipe.num_periods, as_of)


def find_cubes(
    cubes_dir: str | os.PathLike, recipe: Recipe, as_of: dt.date, season: str | None = None
) -> list[cube.CubeInfo]:
    """Reads every cube's item and checks that the checkpoint can map the cubes together.

    Args:
      cubes_dir: folder of cubes.
      recipe: the checkpoint's; says which periods it takes and which classes it knows.
      as_of: exclusive date of the prediction.
      season: which cubes to map; None where all are of one season.

    Raises:
      ValueError: no cubes, several seasons and none named, shared ground, periods of another kind
        or pixels of another size than in training, pixels of several sizes, an as-of date before a
        cube's first period has ended, before any of its classes is planted, or more than a year
        after the last image of all.
    """
    infos = _of_season(cube_io.list_cubes(cubes_dir), cubes_dir, season)
    _check_overlap(infos)
    for info in infos:
        _check(info, recipe, as_of)
    _check_pixels(infos, recipe)
    _check_age(infos, as_of)
    return infos


def join(infos: list[cube.CubeInfo], num_periods: int, as_of: dt.date) -> list[MosaicGroup]:
    """Joins the cubes that touch, share a grid and see one window.

    Args:
      infos: what `find_cubes` found.
      num_periods: periods of the window.
      as_of: exclusive date of the prediction.
    """
    seen = [_window(info, num_periods, as_of) for info in infos]
    whole = _join_windows(set(seen))
    lattices: list[Lattice] = []
    together: dict[tuple, list[MapCube]] = {}
    for info, window in zip(infos, seen, strict=True):
        number, place = _find_lattice(lattices, info.geobox)
        item = hashlib.sha256((info.path / cube_io.ITEM).read_bytes()).hexdigest()
        made = MapCube(info.cube_id, info.path, item[:32], place)
        together.setdefault((number, whole[window]), []).append(made)
    return [
        _ground(lattices[number], cubes)
        for (number, _), group in together.items()
        for cubes in _touching(group)
    ]


def _of_season(infos: list[cube.CubeInfo], where, season: str | None) -> list[cube.CubeInfo]:
    seasons = sorted({info.season for info in infos})
    if season is None and len(seasons) == 1:
        return infos
    if season not in seasons:
        found = "none" if season is None else repr(season)
        raise ValueError(
            f"--season: expected one of {', '.join(repr(s) for s in seasons)} (the seasons of the "
            f"cubes in {where}), found {found}"
        )
    return [info for info in infos if info.season == season]


def _check_overlap(infos: list[cube.CubeInfo]) -> None:
    # One CRS at a time: where two UTM zones meet, their tiles cannot but overlap.
    for crs in {str(info.geobox.crs) for info in infos}:
        own = [info for info in infos if str(info.geobox.crs) == crs]
        found = splits.find_overlap([i.cube_id for i in own], [i.geobox for i in own])
        if found:
            raise ValueError(
                f"cubes {found[0]} and {found[1]}: expected no shared ground, found "
                f"{found[2]:.0f} m²; one place can be mapped once"
            )


def _check(info: cube.CubeInfo, recipe: Recipe, as_of: dt.date) -> None:
    where = f"cube {info.cube_id}"
    kind = periods.period_kind(info.periods)
    if kind != recipe.period_kind:
        raise ValueError(
            f"{where}: expected periods of a {recipe.period_kind} as in training, found {kind}"
        )
    excluded = unplanted(info, recipe, as_of)
    if len(excluded) == len(recipe.legend):
        raise ValueError(
            f"{where}: as-of {as_of} lies before the planting of every class; expected "
            f"{min(excluded.values())} or later"
        )
    _window(info, recipe.num_periods, as_of)


def _window(info: cube.CubeInfo, num_periods: int, as_of: dt.date) -> tuple:
    """The window of a cube as ((start, end), ...), without what lies before the cube begins."""
    spans, where = periods.to_days(info.periods), f"cube {info.cube_id}"
    chosen = windows.window_indices(spans, periods.to_day(as_of), num_periods, where)
    return tuple(tuple(int(day) for day in spans[i]) for i in chosen if i != windows.MISSING)


def _check_pixels(infos: list[cube.CubeInfo], recipe: Recipe) -> None:
    first, wanted = infos[0], recipe.pixel_m
    for info in infos:
        size, known = info.geobox.affine.a, first.geobox.affine.a
        if not math.isclose(size, known, rel_tol=_SIZE):
            raise ValueError(
                f"cubes {first.cube_id} and {info.cube_id}: expected pixels of one size, found "
                f"{known:g} m and {size:g} m; map them separately, each with a network of its own"
            )
        if wanted is not None and not math.isclose(size, wanted, rel_tol=_SIZE):
            raise ValueError(
                f"cube {info.cube_id}: expected pixels of {wanted:g} m as in training, found "
                f"{size:g} m; resample the images, or train on cubes of that size"
            )


def _check_age(infos: list[cube.CubeInfo], as_of: dt.date) -> None:
    newest = max(infos, key=lambda info: info.periods[-1].end)
    end = newest.periods[-1].end
    if (as_of - end).days > MOST_DAYS:
        raise ValueError(
            f"--as_of {as_of}: expected a date within a year of the last image, found cubes whose "
            f"images end by {end} (cube {newest.cube_id})"
        )


def unplanted(info: cube.CubeInfo, recipe: Recipe, as_of: dt.date) -> dict[str, dt.date]:
    """Classes that cannot stand in the field on the as-of date, and when they are planted."""
    dates = {name: calendars.planting(info.harvest, name) for name in recipe.legend.names}
    return {name: date for name, date in dates.items() if date and date > as_of}


def _join_windows(found: set[tuple]) -> dict[tuple, tuple]:
    """Maps each window to the longest that ends like it: a cube may begin later than its peers."""
    longest: list[tuple] = []
    joined = {}
    for window in sorted(found, key=len, reverse=True):
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
    return len(lattices) - 1, lattices[-1].place(geobox)


def _touching(cubes: list[MapCube]) -> Iterator[list[MapCube]]:
    """Groups of cubes that share an edge or a corner, directly or through others."""
    corners = np.array([cube.place for cube in cubes])
    shapes = shapely.box(corners[:, 1], corners[:, 0], corners[:, 3], corners[:, 2])
    left, right = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    links = scipy.sparse.coo_array((np.ones(len(left)), (left, right)), (len(cubes),) * 2)
    count, member = scipy.sparse.csgraph.connected_components(links, directed=False)
    groups: list[list[MapCube]] = [[] for _ in range(count)]
    for made, number in zip(cubes, member, strict=True):
        groups[number].append(made)
    yield from groups


def _ground(lattice: Lattice, cubes: list[MapCube]) -> MosaicGroup:
    top, left = bounds([cube.place for cube in cubes])[:2]
    sheet = Tiling([cube.place.shift(-top, -left) for cube in cubes])
    return MosaicGroup(lattice, tuple(cubes), top, left, sheet)
