"""Outlines of fields over a map, and what the map says of each field."""

import functools
import os
import pathlib
from typing import Any

import numpy as np
import pyproj
import shapely

from cropmap_jax.geo import extras
from cropmap_jax.mapping import field_votes, metadata

MOST = 4000
"""Outlines that are drawn at once; of more, none is, until the view is nearer."""
_FILES = ("fields.gpkg", "fields.parquet", "fields.geoparquet", "fields.fgb")
_OWN_COLUMNS = 8
_MAP_COLUMNS = {
    "map_crop": "Class",
    "map_confidence": "Confidence",
    "map_second": "Second class",
    "map_second_confidence": "Its probability",
    "map_hectares": "Hectares",
    "map_remark": "Remark",
}
_TEXT = 80


def of_map(folder: pathlib.Path) -> pathlib.Path | None:
    """The fields that `predict --fields` wrote next to a map; None where there are none."""
    return next((folder / name for name in _FILES if (folder / name).is_file()), None)


class Outlines:
    """Fields of a file.

    Args:
      file: GeoPackage, GeoParquet or FlatGeobuf.
      layer: which one, of a file with several.
      flag: what to name in an error.
      folder: of the map whose sums of the fields are read; None where the file is of none.

    Raises:
      ValueError: packages that are missing, or a file without fields; names it.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        layer: str = "",
        flag: str = "--fields",
        folder: pathlib.Path | None = None,
    ):
        extras.require("fields", f"{flag} {os.fspath(file)}")
        from cropmap_jax.mapping import parcels  # it needs the packages of an extra

        found = parcels.read(file, layer, flag)
        placed = found.placed(pyproj.CRS(4326).to_wkt())
        self._shapes, self._tree, self._folder = placed.shapes, placed.tree, folder
        self._frame = found.frame.drop(columns=found.frame.geometry.name)

    def __len__(self) -> int:
        return len(self._shapes)

    def near(self, box: tuple[float, float, float, float], most: int = MOST) -> dict[str, Any]:
        """Outlines in a rectangle of degrees, as GeoJSON; none where they are more than `most`.

        Args:
          box: west, south, east and north.
          most: of them.
        """
        hits = np.sort(self._tree.query(shapely.box(*box)))
        shown = hits if len(hits) <= most else hits[:0]
        rounded = shapely.set_precision(self._shapes[shown], 1e-6, mode="pointwise")
        features = [
            {"type": "Feature", "id": int(i), "properties": {}, "geometry": _geometry(shape)}
            for i, shape in zip(shown, rounded, strict=True)
        ]
        return {"type": "FeatureCollection", "features": features, "found": len(hits)}

    def at(self, lon: float, lat: float) -> int | None:
        """The first field at a place; None where there is none."""
        hits = self._tree.query(shapely.Point(lon, lat), predicate="intersects")
        return int(hits.min()) if len(hits) else None

    def describe(self, number: int) -> dict[str, Any]:
        """What is known of a field: `rows` of (name, text), and `probabilities` by class."""
        row = self._frame.iloc[number]
        rows = []
        for name, title in _MAP_COLUMNS.items():
            if name in row.index and not _missing(row[name]):
                rows.append([title, _text(row[name], name.endswith("confidence"))])
        own = [name for name in row.index if not str(name).startswith("map_")]
        for name in own[:_OWN_COLUMNS]:
            if not _missing(row[name]):
                rows.append([str(name)[:_TEXT], _text(row[name])])
        return {"number": number, "rows": rows, "probabilities": self.probabilities(number)}

    def probabilities(self, number: int) -> dict[str, float]:
        """Mean probability by class over a field's pixels; {} where the map keeps none."""
        names, shares = self._shares
        if not names or not np.isfinite(shares[number]).all():
            return {}
        found = zip(names, shares[number], strict=True)
        return {name: round(float(share), 4) for name, share in found}

    @functools.cached_property
    def _shares(self) -> tuple[list[str], np.ndarray]:
        """Names of classes, *none of these* last, and float64 [N, classes + 1]; NaN without any."""
        if self._folder is None:
            return [], np.zeros((0, 0))
        cubes = sorted(path.parent for path in self._folder.glob(f"*/{metadata.METADATA}"))
        cubes = [cube for cube in cubes if (cube / field_votes.VOTES).is_file()]
        if not cubes:
            return [], np.zeros((0, 0))
        described = [metadata.read_metadata(cube) for cube in cubes]
        names = list(described[0]["lead_days"])
        allowed = [np.array([name not in one["excluded"] for name in names]) for one in described]
        votes, _, _ = field_votes.merge(zip(cubes, allowed, strict=True), len(self), len(names))
        with np.errstate(invalid="ignore"):
            shares = votes.sums / (votes.sums.sum(1, keepdims=True))
        return [*names, "none_of_these"], shares


def _geometry(shape: shapely.Geometry) -> dict[str, Any]:
    found: dict[str, Any] = shapely.geometry.mapping(shape)
    return found


def _missing(value: Any) -> bool:
    return value is None or value != value or str(value) in ("", "NaT", "<NA>")


def _text(value: Any, share: bool = False) -> str:
    if share:
        return f"{100 * float(value):.0f} %"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text[:_TEXT]
