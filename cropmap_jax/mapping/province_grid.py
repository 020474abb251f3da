"""Provinces of a user's file on the grid of a map."""

import functools
import hashlib
import os

import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import antimeridian, files
from cropmap_jax.ground_truth import coordinates, polygons, vectors
from cropmap_jax.ground_truth.names import normalise
from cropmap_jax.ground_truth.provinces import place_key

_USUAL = ("province", "provinces", "name", "region", "district", "county")


class Provinces:
    """Polygons with names.

    Args:
      names: of each.
      shapes: object [N], valid polygons in degrees.

    Attributes:
      names, shapes: as given.
      digest: hash of both.
    """

    def __init__(self, names: tuple[str, ...], shapes: np.ndarray):
        self.names, self.shapes = names, shapes
        digest = hashlib.sha256("\n".join(names).encode())
        for shape in shapely.to_wkb(shapes):
            digest.update(shape)
        self.digest = digest.hexdigest()[:16]

    def grid(self, geobox: GeoBox) -> np.ndarray:
        """Which province the centre of each pixel lies in.

        Args:
          geobox: the grid.

        Returns:
          int64 [H, W], position in `names`; `len(names)` outside of all. Of provinces that overlap
          the first.
        """
        placed, tree = self._placed(geobox.crs.to_wkt() if geobox.crs else "")
        outline = shapely.box(*geobox.boundingbox.bbox)
        near = np.sort(tree.query(outline, predicate="intersects"))
        # A province has thousands of vertices, few of which lie near.
        shapes = shapely.intersection(placed[near], outline)
        found = polygons.rasterise(shapes, (near + 1).astype(np.uint32), geobox).astype(np.int64)
        return np.where(found > 0, found - 1, len(self.names))

    @functools.lru_cache(maxsize=8)  # noqa: B019 - lives as long as the provinces do
    def _placed(self, crs: str) -> tuple[np.ndarray, shapely.STRtree]:
        shapes = polygons.project(self.shapes, coordinates.WORLD, crs)
        good = np.isfinite(shapely.bounds(shapes)).all(1)
        shapes = polygons.repair(np.where(good, shapes, shapely.Polygon()))[0]
        return shapes, shapely.STRtree(shapes)


def read(path: str | os.PathLike[str], column: str = "", flag: str = "--provinces") -> Provinces:
    """Reads provinces; features of one name are one province.

    Args:
      path: GeoPackage, Shapefile, GeoJSON, or another file of vectors with a CRS.
      column: that holds the names; "" for the only one, or the one that is called province or name.
      flag: what to name in an error.

    Raises:
      ValueError: names the flag and the file: it cannot be read, has no such column, or a feature
        without a name or a polygon.
    """
    name = f"{flag} {os.fspath(path)}"
    found = files.local(flag, path)
    if not found.exists():
        raise ValueError(f"{name}: expected a file, found none")
    file = vectors.File(found, name, flag)
    info = vectors.inspect(file)
    column = column or _choose([str(field) for field in info["fields"]], name, flag)
    key = f"{flag}_column"
    features = vectors.read(vectors.File(found, name, flag, columns={key: column}), info)
    shapes = antimeridian.cut(polygons.repair(features.geometry)[0])
    parts: dict[str, list[shapely.Geometry]] = {}
    names: dict[str, str] = {}
    for row, (value, shape) in enumerate(zip(features.values[key], shapes, strict=True)):
        title = normalise(value)
        if not title or row in features.strays or shape is None or shapely.area(shape) == 0:
            what = "a polygon" if title else f"a name in {column!r}"
            raise ValueError(f"{name}, feature {row + 1}: expected {what}, found none")
        names.setdefault(place_key(title), title)
        parts.setdefault(place_key(title), []).append(shape)
    joined = [shapely.union_all(own) if len(own) > 1 else own[0] for own in parts.values()]
    return Provinces(tuple(names.values()), np.array(joined, object))


def _choose(fields: list[str], name: str, flag: str) -> str:
    usual = [f for wanted in _USUAL for f in fields if normalise(f).casefold() == wanted]
    if len(fields) == 1 or usual:
        return (usual or fields)[0]
    raise ValueError(
        f"{name}: expected {flag}_column to say which column holds the names, found columns "
        f"{', '.join(fields)[:300] or 'none'}"
    )
