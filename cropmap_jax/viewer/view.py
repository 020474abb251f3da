"""All that the page asks for, whether it is served or put into a file."""

import dataclasses
import functools
import hashlib
import json
import pathlib
import threading
from typing import Any

import numpy as np
import pyproj
import shapely

from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.mapping import map_folder, metadata, products
from cropmap_jax.viewer import means, outlines, pieces, tiles
from cropmap_jax.viewer.images import Images
from cropmap_jax.viewer.outlines import Outlines
from cropmap_jax.viewer.pieces import Kept, Places
from cropmap_jax.viewer.shown import Shown
from cropmap_jax.viewer.tiles import Layer, Sampler

FORMAT = 1
"""Of what the page is told; page and server are of one release."""
_MOST_PLACES = 200
_JOIN_DEGREES = 2e-4
"""Cubes that lie nearer than about 20 m are one place."""


@dataclasses.dataclass(frozen=True)
class One:
    """A map that is open.

    Args:
      found: its cubes.
      sampler: reads them.
      crop, confidence: its layers.
      key: of what it holds; another map has another.
    """

    found: map_folder.FinishedMap
    sampler: Sampler
    crop: Layer
    confidence: Layer
    key: str


class View:
    """A map or a series with what belongs to it.

    Args:
      shown: the maps.
      cubes: folder of cubes; "" for none.
      fields: file of fields; "" for those that `predict --fields` wrote, where there are any.
      layer: of that file.

    Attributes:
      shown: as given.
      images: of the cubes; None without.
      notes: on what is missing, a line each.

    Raises:
      ValueError: as `Images` and `Outlines`.
    """

    def __init__(self, shown: Shown, cubes: str = "", fields: str = "", layer: str = ""):
        self.shown = shown
        self._lock = threading.Lock()
        self._whole, self._sparse = Kept(), Kept()
        self._ones: dict[int, One] = {}
        self._means: dict[int, means.Keeper] = {}
        self._fields_file = fields
        self._fields: dict[str, Outlines | None] = {}
        if fields:
            self._fields[fields] = Outlines(fields, layer)
        last = len(shown.dates) - 1
        self.images = Images(cubes, shown.map(last).cubes) if cubes else None
        self.notes = shown.map(last).notes + (list(self.images.notes) if self.images else [])
        self._has_fields = bool(self.outlines(last))

    def one(self, number: int) -> One:
        """The map of a date, opened where it is not yet."""
        with self._lock:
            if number not in self._ones:
                found = self.shown.map(number)
                places, key = Places(found.cubes), _key(found)
                self._ones[number] = One(
                    found,
                    Sampler(places, self._whole, self._sparse),
                    tiles.crop_layer(places, key),
                    tiles.confidence_layer(places, key),
                    key,
                )
            return self._ones[number]

    @functools.cached_property
    def since(self) -> Layer | None:
        """Since when the classes of the latest map have held; None where nothing says so."""
        if self.shown.since is None:
            return None
        one = self.one(len(self.shown.dates) - 1)
        return tiles.since_layer(
            one.sampler.places, one.key, self.shown.since_file, self.shown.dates
        )

    def outlines(self, number: int) -> Outlines | None:
        """Fields of a date; None where there are none, or the packages that read them lack."""
        if self._fields_file:
            return self._fields[self._fields_file]
        folder = self.shown.folder(number)
        file = outlines.of_map(folder)
        if file is None:
            return None
        with self._lock:
            if str(file) not in self._fields:
                try:
                    self.shown.check_inside(file)
                    self._fields[str(file)] = Outlines(file, flag="--map", folder=folder)
                except ValueError as error:
                    self.notes.append(f"fields are not shown: {error}")
                    self._fields[str(file)] = None
            return self._fields[str(file)]

    def means(self, number: int) -> means.Keeper | None:
        """Means of the images over the classes of a date; None without cubes."""
        images = self.images
        if images is None or not images.curves:
            return None
        one = self.one(number)
        with self._lock:
            if number not in self._means:
                values = [c.value for c in self.shown.classes]
                self._means[number] = means.Keeper(
                    lambda told: means.compute(one.sampler, one.crop, images, values, told),
                    f"{one.key} {images.key}",
                )
            return self._means[number]

    def pixel(self, number: int, lon: float, lat: float) -> dict[str, Any]:
        """What there is at a place, on a date.

        Returns:
          `value` of the class, None where the map is not; `confidence` in percent; `since`, the
          date from which on the class has held; `curves`, by key a number for each period;
          `field`, see `Outlines.describe`.

        Raises:
          ValueError: a raster that is damaged; names it.
        """
        one = self.one(number)
        out: dict[str, Any] = {"lon": lon, "lat": lat, "value": None, "confidence": None}
        out |= {"curves": {}, "field": None}
        place = map_folder.locate(one.found, np.array([lon]), np.array([lat]))
        cube, row, col = (int(v[0]) for v in (place.cube, place.row, place.col))
        if cube >= 0:
            at = pieces.Piece(cube, row, col, 1, 1)
            value = int(one.crop.read(at)[0, 0, 0])
            percent = int(one.confidence.read(at)[0, 0, 0])
            out["value"] = value
            out["confidence"] = None if percent == IGNORE else percent
            out["cube"] = cube_id = one.found.cubes[cube].cube_id
            if self.since is not None and number == len(self.shown.dates) - 1:
                held = int(self.since.read(at)[0, 0, 0])
                out["since"] = None if held == IGNORE else self.shown.dates[held]
            if self.images is not None:
                out["curves"] = self.images.series(cube_id, row, col)
        fields = self.outlines(number)
        field = fields.at(lon, lat) if fields is not None else None
        if fields is not None and field is not None:
            out["field"] = fields.describe(field)
        return out

    @functools.cached_property
    def description(self) -> dict[str, Any]:
        """What the page draws itself from, JSON-ready."""
        shown, images = self.shown, self.images
        last = self.one(len(shown.dates) - 1)
        one = metadata.read_metadata(last.found.cubes[0].path.parent)
        places = _places(last.found.cubes)
        return {
            "format": FORMAT,
            "name": shown.root.name,
            "token": self._token,
            "dates": shown.dates,
            "classes": [dataclasses.asdict(c) for c in shown.classes],
            "hectares": shown.hectares,
            "window": one["window"],
            "bounds": list(shown.bounds),
            "places": places[:_MOST_PLACES],
            "more_places": max(0, len(places) - _MOST_PLACES),
            "confidence": {
                "stops": [list(stop) for stop in tiles.CONFIDENCE_STOPS],
                "calibrated": "calibrated" in one,
            },
            "since": tiles.since_colours(len(shown.dates)) if self.since else None,
            "image": {"periods": [list(p) for p in images.periods]}
            if images is not None and images.has_colour
            else None,
            "fields": self._has_fields,
            "periods": [list(p) for p in images.periods] if images is not None else [],
            "curves": [
                {"key": c.key, "title": c.title, "unit": c.unit}
                for c in (images.curves if images is not None else ())
            ],
            "notes": self.notes,
        }

    @functools.cached_property
    def _token(self) -> str:
        """Of the files that tiles are made of: in their addresses, so that none is out of date."""
        digest = hashlib.sha256()
        for date, number in zip(self.shown.dates, range(len(self.shown.dates)), strict=True):
            file = self.shown.folder(number) / products.SUMMARY
            digest.update(f"{date} {file.stat().st_mtime_ns}".encode())
        digest.update(_key(self.shown.map(len(self.shown.dates) - 1)).encode())
        if self.images is not None:
            digest.update(self.images.key.encode())
        return digest.hexdigest()[:12]


def _key(found: map_folder.FinishedMap) -> str:
    """What a map is made of: its settings and the inputs of its cubes."""
    digest = hashlib.sha256(f"{found.as_of} {found.names}".encode())
    for cube in found.cubes:
        file = cube.path.with_name(metadata.METADATA)
        digest.update(file.read_bytes())
        digest.update(str(cube.path.stat().st_mtime_ns).encode())
    return digest.hexdigest()[:16]


def _places(cubes: tuple[map_folder.MapCube, ...]) -> list[dict[str, Any]]:
    """Areas of cubes that touch, the largest first: bounds in degrees, outline, hectares."""
    grown = [shapely.buffer(c.footprint, _JOIN_DEGREES, join_style="mitre") for c in cubes]
    joined = shapely.get_parts(shapely.union_all(grown))
    geod = pyproj.Geod(ellps="WGS84")
    out = []
    for shape in joined:
        outline = shapely.simplify(shapely.Polygon(shape.exterior), _JOIN_DEGREES)
        hectares = abs(geod.geometry_area_perimeter(outline)[0]) / 1e4
        rounded = shapely.set_precision(outline, 1e-6, mode="pointwise")
        out.append(
            {
                "bounds": [round(v, 6) for v in shape.bounds],
                "hectares": round(hectares, 1),
                "outline": json.loads(shapely.to_geojson(rounded)),
            }
        )
    return sorted(out, key=lambda place: -float(place["hectares"]))


STATIC = pathlib.Path(__file__).parent / "static"
"""Files of the page."""
