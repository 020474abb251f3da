"""A finished map, read back: its cubes, their pixels, and where a point lies.

Each place counts once. Where cubes lie on grids of different coordinate systems and overlap, as
where two UTM zones meet, a pixel belongs to the cube that comes first by name: pixels of later
cubes whose centre lies in an earlier cube are not *owned*, and count nowhere.
"""

import csv
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import pyproj
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import files, geotiffs
from cropmap_jax.geo import names as names_lib
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.mapping import metadata, products

_OVERLAP_PX = 0.01
"""Pixels by which cubes of one CRS may overlap from rounding."""
_WORLD = pyproj.CRS(4326)


@dataclasses.dataclass(frozen=True, eq=False)
class MapCube:
    """One cube's map.

    Args:
      cube_id: name of its folder.
      path: of its crop.tif.
      geobox: its grid.
      footprint: its outline in degrees.
      before: earlier cubes that share ground with it.
    """

    cube_id: str
    path: pathlib.Path
    geobox: GeoBox
    footprint: shapely.Polygon
    before: tuple["MapCube", ...] = ()

    @property
    def pixel_ha(self) -> float:
        """Hectares of a pixel."""
        return float(self.geobox.affine.a) ** 2 / 1e4

    def read(self) -> np.ndarray:
        """Its pixels, uint8 [H, W].

        Raises:
          ValueError: the raster is damaged; names it.
        """
        with geotiffs.open_geotiff(self.path) as raster:
            found: np.ndarray = raster.read(1)
        return found

    def confidence(self) -> np.ndarray:
        """Confidence in percent, uint8 [H, W], IGNORE where there is none.

        Raises:
          ValueError: the raster is damaged or of another size; names it.
        """
        path = self.path.with_name(metadata.CONFIDENCE)
        with geotiffs.open_geotiff(path) as raster:
            found: np.ndarray = raster.read(1)
        if found.shape != tuple(self.geobox.shape):
            raise ValueError(f"{path}: expected the size of {self.path.name}, found another")
        return found

    def owned(self) -> np.ndarray:
        """Which of its pixels no earlier cube has, bool [H, W]."""
        out = np.ones(tuple(self.geobox.shape), bool)
        if not self.before:
            return out
        rows, cols = np.indices(out.shape)
        x, y = _centres(self.geobox, rows, cols)
        for other in self.before:
            out &= ~other.holds(x, y, _crs(self.geobox))
        return out

    def holds(self, x: np.ndarray, y: np.ndarray, crs: pyproj.CRS) -> np.ndarray:
        """Whether places of another CRS lie on its grid, bool of their shape."""
        row, col = self.place(x, y, crs)
        height, width = self.geobox.shape
        found: np.ndarray = (row >= 0) & (row < height) & (col >= 0) & (col < width)
        return found

    def place(self, x: np.ndarray, y: np.ndarray, crs: pyproj.CRS) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of places, whole numbers as float, outside the grid too."""
        own = _crs(self.geobox)
        if crs != own:
            x, y = _transformer(crs, own).transform(x, y)
        b = ~self.geobox.affine
        return np.floor(b.d * x + b.e * y + b.f), np.floor(b.a * x + b.b * y + b.c)

    def lonlat(self, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude of the centres of pixels, in degrees."""
        x, y = _centres(self.geobox, rows, cols)
        lon, lat = _transformer(_crs(self.geobox), _WORLD).transform(x, y)
        return np.asarray(lon), np.asarray(lat)


def _centres(geobox: GeoBox, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a = geobox.affine
    rows, cols = rows + 0.5, cols + 0.5
    return a.a * cols + a.b * rows + a.c, a.d * cols + a.e * rows + a.f


def _crs(geobox: GeoBox) -> pyproj.CRS:
    return _as_crs(geobox.crs.to_wkt() if geobox.crs else "")


@functools.lru_cache(maxsize=64)
def _as_crs(wkt: str) -> pyproj.CRS:
    return pyproj.CRS(wkt)


@functools.lru_cache(maxsize=64)
def _transformer(source: pyproj.CRS, target: pyproj.CRS) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


@dataclasses.dataclass(frozen=True, eq=False)
class FinishedMap:
    """All of a map.

    Args:
      folder: where it lies.
      names: of its pixel values, in the legend's order; none of these and no data come last.
      titles: the same for people.
      colours: "#rrggbb" of each.
      cubes: sorted by name.
      as_of: ISO date of the prediction.
      masked_ha: hectares that a mask left out.
      left_out: names of folders with a map's raster and no metadata.
    """

    folder: pathlib.Path
    names: tuple[str, ...]
    titles: tuple[str, ...]
    colours: tuple[str, ...]
    cubes: tuple[MapCube, ...]
    as_of: str
    masked_ha: float
    left_out: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What a reader should know, a line each."""
        if not self.left_out:
            return []
        where = names_lib.folders(self.left_out)
        return [f"{where} without {metadata.METADATA}: left out; predict again completes the map"]

    @property
    def no_data(self) -> int:
        """Position of no data in `names`; all before it are classes."""
        return len(self.names) - 1

    def classes(self, pixels: np.ndarray, path: pathlib.Path) -> np.ndarray:
        """Positions in `names` of pixel values, int64 of the same shape.

        Raises:
          ValueError: a value that is none of the legend; names the file.
        """
        table = np.full(256, -1)
        table[: self.no_data - 1] = np.arange(self.no_data - 1)
        table[NONE_OF_THESE], table[IGNORE] = self.no_data - 1, self.no_data
        found: np.ndarray = table[pixels]
        if (found < 0).any():
            raise ValueError(
                f"{path}: expected pixel values of {len(self.names) - 2} classes, "
                f"{NONE_OF_THESE} or {IGNORE}, found {pixels[found < 0][0]}"
            )
        return found


def open_map(folder: str | os.PathLike[str], flag: str = "--map") -> FinishedMap:
    """Opens a map that `predict` finished.

    Args:
      folder: its --out.
      flag: what to name in an error.

    Raises:
      ValueError: no folder, no map, one that is not finished, or metadata or rasters that cannot
        be read; names them.
    """
    root = files.local(flag, folder)
    if not root.is_dir():
        raise ValueError(f"{flag} {root}: expected the folder of a map, found none")
    found = sorted(path.parent for path in root.glob(f"*/{metadata.METADATA}"))
    found = [path for path in found if not path.name.startswith(".")]
    if not found:
        raise ValueError(
            f"{flag} {root}: expected a map that predict wrote, found no <cube>/{metadata.METADATA}"
        )
    if not (root / products.SUMMARY).is_file():
        raise ValueError(
            f"{flag} {root}: expected a finished map, found no {products.SUMMARY}; run predict "
            f"again to finish it"
        )
    described = [metadata.read_metadata(path) for path in found]
    names = tuple(described[0]["area"])
    for path, one in zip(found, described, strict=True):
        if tuple(one["area"]) != names or one["settings"] != described[0]["settings"]:
            raise ValueError(
                f"{path / metadata.METADATA}: expected classes and settings as in "
                f"{found[0].name}, found others; one folder holds one map"
            )
    cubes = _link([_open_cube(path) for path in found])
    return FinishedMap(
        root,
        names,
        _titles(root / products.SUMMARY, names),
        _colours(cubes[0].path, len(names)),
        tuple(cubes),
        described[0]["settings"]["as_of"],
        sum(one["masked"]["hectares"] for one in described if "masked" in one),
        tuple(sorted(_without_metadata(root))),
    )


def _without_metadata(root: pathlib.Path) -> set[str]:
    found = {path.parent for path in root.glob(f"*/{metadata.CROP}")}
    return {p.name for p in found if p.name[0] != "." and not (p / metadata.METADATA).exists()}


def _open_cube(folder: pathlib.Path) -> MapCube:
    path = folder / metadata.CROP
    with geotiffs.open_geotiff(path) as raster:
        if raster.crs is None or raster.count != 1 or raster.dtypes[0] != "uint8":
            raise ValueError(f"{path}: expected one band of uint8 with a CRS, found another raster")
        affine = Affine(*tuple(raster.transform)[:6])
        geobox = GeoBox(raster.shape, affine, raster.crs.to_wkt())
    outline = geobox.extent.to_crs("EPSG:4326", resolution=1000.0).geom
    return MapCube(folder.name, path, geobox, outline)


def _link(cubes: list[MapCube]) -> list[MapCube]:
    """The cubes, each knowing the earlier ones that share ground with it."""
    tree = shapely.STRtree([cube.footprint for cube in cubes])
    later, earlier = tree.query([cube.footprint for cube in cubes], predicate="intersects")
    before: dict[int, list[int]] = {}
    for i, j in zip(later.tolist(), earlier.tolist(), strict=True):
        if j < i and _share(cubes[i], cubes[j]):
            before.setdefault(i, []).append(j)
    return [
        dataclasses.replace(cube, before=tuple(cubes[j] for j in sorted(before.get(i, ()))))
        for i, cube in enumerate(cubes)
    ]


def _share(one: MapCube, other: MapCube) -> bool:
    """Whether two cubes whose outlines touch share pixels."""
    if one.geobox.crs != other.geobox.crs:
        return True
    a, b = one.geobox.boundingbox, other.geobox.boundingbox
    across = min(a.right, b.right) - max(a.left, b.left)
    down = min(a.top, b.top) - max(a.bottom, b.bottom)
    return bool(min(across, down) > _OVERLAP_PX * float(one.geobox.affine.a))


def _titles(path: pathlib.Path, names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            found = {row["class"]: row["title"] for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise ValueError(f"{path}: expected the table that predict writes ({error})") from error
    return tuple(found.get(name) or name for name in names)


def _colours(path: pathlib.Path, count: int) -> tuple[str, ...]:
    with geotiffs.open_geotiff(path) as raster:
        try:
            table = raster.colormap(1)
        except ValueError:  # it has none
            table = {}
    values = [*range(count - 2), NONE_OF_THESE]
    found = ["#" + bytes(table.get(v, (136, 136, 136, 255))[:3]).hex() for v in values]
    return (*found, "#ffffff")


class Digests:
    """Hashes of a map's pixels, which say whether it is the one that a sample was drawn from."""

    def __init__(self) -> None:
        self.cubes: dict[str, str] = {}

    def add(self, cube: MapCube, pixels: np.ndarray) -> None:
        """Takes the pixels of a cube, uint8 [H, W]."""
        digest = hashlib.sha256(json.dumps(list(cube.geobox.affine)[:6]).encode())
        code = _crs(cube.geobox).to_epsg() or _crs(cube.geobox).to_wkt()
        digest.update(f"{code} {pixels.shape}".encode())
        digest.update(np.ascontiguousarray(pixels).data)
        self.cubes[cube.cube_id] = digest.hexdigest()[:16]

    def whole(self) -> str:
        """One hash of all cubes; 16 hex digits."""
        return hashlib.sha256(json.dumps(sorted(self.cubes.items())).encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Located:
    """Where points lie on a map.

    Args:
      cube: int [n], position in `FinishedMap.cubes`; -1 outside the map.
      row, col: int [n].
    """

    cube: np.ndarray
    row: np.ndarray
    col: np.ndarray

    def by_cube(self) -> Iterator[tuple[int, np.ndarray]]:
        """(cube, the points in it) of every cube that has any."""
        for number in np.unique(self.cube[self.cube >= 0]):
            yield int(number), np.flatnonzero(self.cube == number)


def locate(found: FinishedMap, lon: np.ndarray, lat: np.ndarray) -> Located:
    """The pixels that points lie in; of cubes that overlap, the one that owns the place.

    Args:
      found: the map.
      lon, lat: float [n], degrees.
    """
    out = Located(*(np.full(len(lon), -1) for _ in range(3)))
    # Outlines are of straight lines between few vertices: near the edge the grid decides.
    tree = shapely.STRtree([shapely.buffer(cube.footprint, 1e-3) for cube in found.cubes])
    point, cube = tree.query(shapely.points(lon, lat), predicate="intersects")
    for number in np.unique(cube):
        one, near = found.cubes[number], point[cube == number]
        near = near[(out.cube[near] < 0) & one.holds(lon[near], lat[near], _WORLD)]
        row, col = one.place(lon[near], lat[near], _WORLD)
        out.cube[near], out.row[near], out.col[near] = number, row.astype(int), col.astype(int)
    return out
