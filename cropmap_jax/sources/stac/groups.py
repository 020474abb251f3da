"""Cubes that are fetched together: neighbours of the same periods, which lie in the same files."""

import collections
import dataclasses
from collections.abc import Sequence

from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import grid
from cropmap_jax.sources.survey import Todo

GROUP_TILES = 4
"""Tiles a side: 512 pixels, half a block of most Sentinel-2 COGs (512 to 1024 pixels), which are
read whole in any case."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Cubes that are fetched together.

    Args:
      todo: cubes of one grid and the same periods, of which the same are there.
      box: a grid that holds them all.
    """

    todo: tuple[Todo, ...]
    box: GeoBox

    def window(self, one: Todo) -> tuple[slice, slice]:
        """Rows and columns of a cube in `box`."""
        a, b, px = self.box.affine, one.target.geobox.affine, grid.PIXEL_M
        row, col = round((a.f - b.f) / px), round((b.c - a.c) / px)
        height, width = one.target.geobox.shape
        return slice(row, row + height), slice(col, col + width)

    @property
    def kept(self) -> int:
        """How many periods of each cube are there and stay."""
        return self.todo[0].kept

    @property
    def crs(self) -> str:
        """E.g. "EPSG:32639"."""
        code = self.box.crs.to_epsg() if self.box.crs else None
        return f"EPSG:{code}"


def group(todo: Sequence[Todo]) -> list[Group]:
    """Groups of cubes, of tiles of one square of `GROUP_TILES` x `GROUP_TILES`."""
    found = collections.defaultdict(list)
    side = grid.TILE_M * GROUP_TILES
    for one in todo:
        target = one.target
        a = target.geobox.affine
        place = (str(target.geobox.crs), int(a.c // side), int(-((-a.f) // side)))
        found[place, target.periods, one.kept].append(one)
    return [Group(tuple(own), _box(own)) for own in found.values()]


def _box(todo: Sequence[Todo]) -> GeoBox:
    boxes = [one.target.geobox for one in todo]
    edges = [box.boundingbox for box in boxes]
    left, top = min(e.left for e in edges), max(e.top for e in edges)
    right, bottom = max(e.right for e in edges), min(e.bottom for e in edges)
    px = grid.PIXEL_M
    shape = (round((top - bottom) / px), round((right - left) / px))
    return GeoBox(shape, Affine(px, 0, left, 0, -px, top), boxes[0].crs)
