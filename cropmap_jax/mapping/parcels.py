"""The parcels of `predict --fields`: read, checked, and put onto the grid of a map."""

import dataclasses
import functools
import hashlib
import os
import pathlib
from typing import Any

import geopandas
import numpy as np
import pyproj
import shapely
from pyproj.exceptions import ProjError

from cropmap_jax.geo import files
from cropmap_jax.ground_truth import polygons, vectors

SUFFIXES = (".gpkg", ".parquet", ".geoparquet", ".fgb")
"""GeoPackage, GeoParquet and FlatGeobuf: one file each, UTF-8, with a CRS of its own."""


@dataclasses.dataclass(frozen=True, eq=False)
class Placed:
    """Parcels in the CRS of a grid.

    Args:
      shapes: object [N], valid polygons, empty where a parcel has none.
      middles: float64 [N, 2], a point within each, NaN where there is none.
      tree: of the shapes.
    """

    shapes: np.ndarray
    middles: np.ndarray
    tree: shapely.STRtree


class Parcels:
    """Polygons that get one class each.

    Args:
      frame: as they were given, with CRS.
      lonlat: object [N], the same in degrees, None where a parcel has no place on Earth.
      suffix: of the file they are from.

    Attributes:
      frame, suffix: as given.
      hectares: float64 [N], area on the ellipsoid; 0 where there is no polygon.
      digest: hash of all that decides which pixels are whose.
    """

    def __init__(self, frame: geopandas.GeoDataFrame, lonlat: np.ndarray, suffix: str):
        self.frame, self.suffix = frame, suffix
        shapes = np.array(frame.geometry.values, object)
        lonlat = np.array(lonlat, object)
        lost = ~np.isin(shapely.get_type_id(shapes), (3, 6)) | shapely.is_missing(lonlat)
        shapes[lost] = lonlat[lost] = None
        lonlat = polygons.repair(lonlat)[0]
        self.hectares = polygons.ground_area_ha(lonlat)
        # In degrees, what crosses 180 degrees has been put together.
        self._crs = pyproj.CRS(4326) if frame.crs.is_geographic else frame.crs
        self._shapes = lonlat if frame.crs.is_geographic else polygons.repair(shapes)[0]
        digest = hashlib.sha256(frame.crs.to_wkt().encode())
        for shape in shapely.to_wkb(self._shapes):
            digest.update(shape)
        self.digest = digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.frame)

    @functools.lru_cache(maxsize=8)  # noqa: B019 - lives as long as the parcels do
    def placed(self, crs: str) -> Placed:
        """The parcels in another CRS.

        Args:
          crs: WKT.
        """
        same = pyproj.CRS(crs) == self._crs
        shapes = self._shapes if same else polygons.project(self._shapes, self._crs, crs)
        good = np.isfinite(shapely.bounds(shapes)).all(1)
        shapes = np.where(good, shapes, shapely.Polygon())
        middles = np.full((len(shapes), 2), np.nan)
        some = ~shapely.is_empty(shapes)
        middles[some] = shapely.get_coordinates(shapely.point_on_surface(shapes[some]))
        return Placed(shapes, middles, shapely.STRtree(shapes))


def read(path: str | os.PathLike[str], layer: str = "", flag: str = "--fields") -> Parcels:
    """Reads parcels, with all their columns.

    Args:
      path: GeoPackage, GeoParquet or FlatGeobuf.
      layer: which one, of a file with several.
      flag: what to name in an error.

    Raises:
      ValueError: names the flag and the file: there is none, it cannot be read, has several layers
        and none is named, no CRS, or no polygon.
    """
    name = f"{flag} {os.fspath(path)}"
    found = files.local(flag, path)
    suffix = found.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"{name}: expected a GeoPackage, GeoParquet or FlatGeobuf ({', '.join(SUFFIXES)}), "
            f"found {suffix or 'no ending'!r}; ogr2ogr converts others"
        )
    if not found.is_file():
        raise ValueError(f"{name}: expected a file, found none")
    file = vectors.File(found, name, flag, layer=layer)
    info = _inspect(file, flag)
    if not _has_crs(info["crs"]):
        raise ValueError(
            f"{name}: expected parcels in a geographic or projected coordinate system, found "
            f"{str(info['crs'] or 'none')[:60]!r}; set it where the file was made"
        )
    frame, features = vectors.read_whole(file, info)
    lonlat = features.geometry.copy()
    lonlat[list(features.strays)] = None  # no places on Earth
    parcels = Parcels(frame, lonlat, suffix)
    if not parcels.hectares.any():
        kinds = sorted({str(kind) for kind in frame.geom_type.dropna()}) or ["none"]
        raise ValueError(f"{name}: expected polygons, found no area ({', '.join(kinds)[:200]})")
    return parcels


def _inspect(file: vectors.File, flag: str) -> dict[str, Any]:
    try:
        return vectors.inspect(file)
    except ValueError as error:
        several = "expected one layer" in str(error) and ", " in str(error).rpartition("found ")[2]
        if several and not file.layer:
            raise ValueError(f"{error}; choose one with {flag}_layer") from error
        raise


def _has_crs(given: object) -> bool:
    try:
        crs = pyproj.CRS(given) if given else None
    except ProjError:
        return False
    return crs is not None and (crs.is_geographic or crs.is_projected)


def output_name(suffix: str) -> str:
    """Name of the file that the parcels of a map are written to, in the format they came in."""
    return pathlib.PurePath("fields").with_suffix(suffix).name
