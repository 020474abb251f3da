"""What is to be shown: one map of `predict`, or a series of them over a season."""

import csv
import dataclasses
import functools
import os
import pathlib
import threading
from collections.abc import Mapping
from typing import Any

from cropmap_jax.geo import files, periods, schemas
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.mapping import field_votes, map_folder, metadata, products, series, since
from cropmap_jax.mapping.map_folder import FinishedMap
from cropmap_jax.mapping.series import FORMAT, SERIES, VERSION

_PARTS = (metadata.CROP, metadata.CONFIDENCE, metadata.METADATA, field_votes.VOTES)
"""Of a cube's map."""


@dataclasses.dataclass(frozen=True)
class ShownClass:
    """A value of a map's pixels.

    Args:
      value: in `crop.tif`.
      name: of the class in the legend.
      title: for people.
      colour: "#rrggbb".
    """

    value: int
    name: str
    title: str
    colour: str


class Shown:
    """A map or a series, whose maps are opened when they are asked for.

    Args:
      folder: `--out` of predict.

    Attributes:
      root: the folder, resolved; nothing outside of it is read as a part of the map.
      dates: as-of dates, ascending; one of a single map.
      classes: of all maps, *none of these* last.
      hectares: by date and name of class, no data among them.
      since: folder of the rasters that say since when the latest map's classes have held; None
        where a series has none.

    Raises:
      ValueError: no map, a map that is not finished, a series that cannot be read, maps of
        different legends, or a part that lies outside the folder; names it.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        given = files.local("--map", folder)
        self.root = given.resolve()
        self.since: pathlib.Path | None = None
        if (given / SERIES).is_file():
            self._folders, self.since = _series(given)
        elif series.is_begun(given):
            raise ValueError(
                f"--map {given}: expected a finished series, found no {SERIES}; run predict "
                f"--series again to finish it, or show the folder of one date"
            )
        else:
            self._folders = {"": given}
        self._lock = threading.Lock()
        self._opened: dict[str, FinishedMap] = {}
        latest = self._open(list(self._folders)[-1])
        if "" in self._folders:
            self._folders = {latest.as_of: given}
            self._opened = {latest.as_of: latest}
        self.dates = list(self._folders)
        self.classes = _classes(latest)
        self.hectares = {date: self._areas(date) for date in self.dates}

    @property
    def is_series(self) -> bool:
        """Whether there is more than one map."""
        return len(self.dates) > 1

    def folder(self, number: int) -> pathlib.Path:
        """Folder of a date's map."""
        return self._folders[self.dates[number]]

    def map(self, number: int) -> FinishedMap:
        """The map of a date, by its position in `dates`.

        Raises:
          ValueError: as `map_folder.open_map`, or another legend than that of the latest date.
        """
        return self._open(self.dates[number])

    def _open(self, date: str) -> FinishedMap:
        with self._lock:
            if date not in self._opened:
                folder = self._folders[date]
                found = map_folder.open_map(folder)
                for cube in found.cubes:
                    for name in _PARTS:
                        self.check_inside(cube.path.with_name(name))
                if date and found.as_of != date:
                    raise ValueError(
                        f"--map {folder}: expected the map as of {date} that {SERIES} lists, found "
                        f"one as of {found.as_of}"
                    )
                if self._opened and _classes(found) != self.classes:
                    raise ValueError(
                        f"--map {folder}: expected the classes and colours of the series' latest "
                        f"map, found others"
                    )
                self._opened[date] = found
            return self._opened[date]

    def since_file(self, cube_id: str) -> pathlib.Path | None:
        """The raster of a cube that says since when; None where there is none.

        Raises:
          ValueError: it lies outside the folder.
        """
        path = self.since / cube_id / since.RASTER if self.since else None
        if path is None or not path.is_file():
            return None
        self.check_inside(path)
        return path

    def check_inside(self, path: pathlib.Path) -> None:
        """Requires a file in the map's folder.

        Raises:
          ValueError: it is a link that leaves it.
        """
        if not path.resolve().is_relative_to(self.root):
            raise ValueError(
                f"--map {path}: expected a file in the map's folder, found a link that leaves it"
            )

    def _areas(self, date: str) -> dict[str, float]:
        path = self._folders[date] / products.SUMMARY
        self.check_inside(path)
        try:
            with open(path, encoding="utf-8", newline="") as file:
                rows = {r["class"]: float(r["hectares"]) for r in csv.DictReader(file)}
        except FileNotFoundError as error:
            raise ValueError(
                f"--map {path.parent}: expected a finished map, found no {products.SUMMARY}; run "
                f"predict again to finish it"
            ) from error
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise ValueError(f"{path}: expected the table that predict writes ({error})") from error
        return rows

    @functools.cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east and north of the latest map, in degrees."""
        boxes = [cube.footprint.bounds for cube in self.map(len(self.dates) - 1).cubes]
        west, south, east, north = zip(*boxes, strict=True)
        return min(west), min(south), max(east), max(north)


def _classes(found: FinishedMap) -> tuple[ShownClass, ...]:
    """The classes of a map; no data, which is not shown, left out."""
    values = [*range(len(found.names) - 2), NONE_OF_THESE, IGNORE]
    rows = zip(values, found.names, found.titles, found.colours, strict=True)
    return tuple(ShownClass(*row) for row in rows)[:-1]


def _series(folder: pathlib.Path) -> tuple[dict[str, pathlib.Path], pathlib.Path | None]:
    """Folders of a series by date, in the order of the dates, and that of since when."""
    file = folder / SERIES
    found = schemas.read_json(file, "a series of maps")
    if not isinstance(found, Mapping) or found.get("format") != FORMAT:
        raise ValueError(f"{file}: expected format {FORMAT!r}, found {_format_of(found)}")
    if found.get("version") != VERSION:
        raise ValueError(
            f"{file}: expected version {VERSION}, found {schemas.show(found.get('version'))}; "
            f"a newer cropmap_jax reads it"
        )
    dates, maps = found.get("dates"), found.get("maps")
    if not isinstance(dates, list) or not dates or not isinstance(maps, Mapping):
        raise ValueError(f"{file}: expected dates and maps, found none")
    folders = {}
    for date in dates:
        if not isinstance(date, str) or not isinstance(maps.get(date), str):
            raise ValueError(f"{file}: expected a folder of each date, found none of {date!r:.80}")
        periods.parse_date(date, str(file))
        path = folder / maps[date]
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(
                f"{file}: expected folders in {folder}, found {maps[date]!r:.200}, which lies "
                f"outside of it"
            )
        if not path.is_dir():
            raise ValueError(f"{file}: expected the map of {date} in {path}, found no folder")
        folders[date] = path
    if list(folders) != sorted(folders) or len(folders) != len(dates):
        raise ValueError(f"{file}: expected dates in order, each once, found {dates!r:.200}")
    return folders, _since(folder, found.get("since"))


def _since(folder: pathlib.Path, mosaics: Any) -> pathlib.Path | None:
    """Folder of the mosaics that a series lists, next to which its cubes lie."""
    names = list(mosaics.values()) if isinstance(mosaics, Mapping) else []
    if not names or not isinstance(names[0], str):
        return None
    path = (folder / names[0]).parent
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"{folder / SERIES}: expected rasters in {folder}, found {names[0]!r:.200}, which lies "
            f"outside of it"
        )
    return path if path.is_dir() else None


def _format_of(found: Any) -> str:
    return repr(found.get("format"))[:80] if isinstance(found, Mapping) else "no object"
