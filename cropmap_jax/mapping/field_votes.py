"""What the pixels of a map say of parcels: sums of probabilities, one cube after the other.

A map is written cube by cube, and parcels cross cubes. So each cube keeps the sums of the parcels
that it touches next to its rasters (`VOTES`), and sums of cubes are added when all are there.
Probabilities are counted in whole millionths: however many cubes a parcel lies in, and in whatever
order they are added, the sum is the same.
"""

import dataclasses
import io
import pathlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox

from cropmap_jax.ground_truth import polygons

if TYPE_CHECKING:  # it needs the packages of an extra
    from cropmap_jax.mapping.parcels import Parcels, Placed

VOTES = "fields.npz"
"""File next to the rasters in the folder of a cube's map."""
UNIT = 2**20
"""Of probabilities: a float32 holds no more digits near 1 than this by a factor of 16."""
_COUNTS = 4


@dataclasses.dataclass(frozen=True)
class Tallies:
    """Sums over the pixels of parcels.

    Args:
      sums: int64 [N, classes + 1], of `decision.shares` in 1 / `UNIT`.
      pixels: int64 [N], how many pixels these are of.
      unseen, masked: int64 [N], pixels without an image, and those that the mask leaves out.
      shared: int64 [N], pixels that lie in another parcel, too.
    """

    sums: np.ndarray
    pixels: np.ndarray
    unseen: np.ndarray
    masked: np.ndarray
    shared: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """int64 [N], all pixels."""
        found: np.ndarray = self.pixels + self.unseen + self.masked
        return found


class Votes:
    """The sums of one cube, as they are counted.

    A parcel's pixels are those whose centre lies inside. Of a parcel without any in a piece of
    ground, the pixel at a point within it is kept apart: it counts where no piece has one.

    Args:
      parcels: all of them.
      classes: number of classes.
    """

    def __init__(self, parcels: "Parcels", classes: int):
        self._parcels, self._width = parcels, classes + 1 + _COUNTS
        self._rows: dict[tuple[int, bool], np.ndarray] = {}

    def add(
        self, geobox: GeoBox, found: np.ndarray, nothing: np.ndarray, masked: np.ndarray
    ) -> None:
        """Counts a piece of ground; no pixel may come twice.

        Args:
          geobox: its grid.
          found: float32 [H, W, classes + 1], see `decision.shares`.
          nothing: bool [H, W], where nothing was seen.
          masked: bool [H, W], what the mask leaves out.
        """
        if geobox.crs is None:
            raise ValueError("grid: expected one with a CRS, found none")
        placed = self._parcels.placed(geobox.crs.to_wkt())
        near = np.sort(placed.tree.query(geobox.extent.geom))
        if not len(near):
            return
        values = np.zeros((*nothing.shape, self._width), np.int64)
        gone = (nothing | masked)[..., None]
        values[..., :-_COUNTS] = np.where(gone, 0, np.rint(found.astype(np.float64) * UNIT))
        values[..., -4] = ~gone[..., 0]
        values[..., -3] = nothing & ~masked
        values[..., -2] = masked
        insides = [
            (int(near[i]), window, inside)
            for i, window, inside in polygons.insides(placed.shapes[near], geobox)
        ]
        claims = np.zeros(nothing.shape, np.int32)
        for _, window, inside in insides:
            claims[window] += inside
        small = np.setdiff1d(near, [parcel for parcel, *_ in insides])
        for parcel, row, col in _middles(placed, small, geobox):
            self._count((parcel, True), values[row, col])
        values[..., -1] = claims > 1
        for parcel, window, inside in insides:
            self._count((parcel, False), values[window][inside].sum(0))

    def _count(self, key: tuple[int, bool], values: np.ndarray) -> None:
        self._rows[key] = self._rows.get(key, 0) + values

    def to_bytes(self) -> bytes:
        """What `VOTES` holds: the same bytes for the same sums."""
        keys = sorted(self._rows)
        rows = np.array([self._rows[key] for key in keys], np.int64).reshape(-1, self._width)
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            parcel=np.array([parcel for parcel, _ in keys], np.int64),
            middle=np.array([middle for _, middle in keys], bool),
            rows=rows,
        )
        return buffer.getvalue()


def _middles(placed: "Placed", which: np.ndarray, geobox: GeoBox) -> Iterable[tuple[int, int, int]]:
    """(parcel, row, column) of those whose point within lies on the grid."""
    a, (height, width) = geobox.affine, geobox.shape
    x, y = placed.middles[which].T
    with np.errstate(invalid="ignore"):
        col, row = np.floor((x - a.c) / a.a), np.floor((y - a.f) / a.e)
        there = (col >= 0) & (col < width) & (row >= 0) & (row < height)
    for parcel, r, c in zip(which[there], row[there], col[there], strict=True):
        yield int(parcel), int(r), int(c)


def merge(
    folders: Iterable[tuple[pathlib.Path, np.ndarray]], parcels: int, classes: int
) -> tuple[Tallies, np.ndarray, np.ndarray]:
    """Adds the sums of all cubes.

    Args:
      folders: of each cube's map, and which classes can be there, bool [classes].
      parcels: how many there are.
      classes: how many there are.

    Returns:
      The sums; bool [N, classes], which classes could be shown in some of a parcel's cubes; bool
      [N], parcels without a pixel centre inside, which the pixel at a point within decides on.

    Raises:
      ValueError: names a file that cannot be read, or holds something else.
    """
    width = classes + 1 + _COUNTS
    total = np.zeros((2, parcels, width), np.int64)
    possible = np.zeros((parcels, classes), bool)
    for folder, allowed in folders:
        parcel, middle, rows = _read(folder / VOTES, parcels, width)
        np.add.at(total, (middle.astype(np.intp), parcel), rows)
        possible[parcel] |= allowed
    tallies = [_tallies(rows) for rows in total]
    narrow = (tallies[0].inside == 0) & (tallies[1].inside > 0)
    chosen = np.where(narrow[:, None], total[1], total[0])
    return _tallies(chosen), possible, narrow


def _tallies(rows: np.ndarray) -> Tallies:
    return Tallies(rows[:, :-_COUNTS], *rows[:, -_COUNTS:].T)


def _read(
    file: pathlib.Path, parcels: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as found:
            parcel, middle, rows = found["parcel"], found["middle"], found["rows"]
        whole = rows.shape == (len(parcel), width) and middle.shape == parcel.shape
        if not whole or (len(parcel) and (parcel.min() < 0 or parcel.max() >= parcels)):
            raise ValueError(f"found sums of {rows.shape}")
    except Exception as error:  # numpy and zipfile raise whatever they meet
        raise ValueError(
            f"{file}: expected the sums of this map's parcels, found something else ({error}); "
            f"remove that folder, and run the same command again"
        ) from error
    return parcel, middle, rows
