"""A map per date of a season, in one folder, and since when the last one's classes have held.

    <out>/<as-of date>/      a whole map each, as `predict` writes it
    <out>/since/             since when the class of the last map has held: `since_products`
    <out>/items/, collection.json    the maps as a STAC collection: `series_items`
    <out>/series.json        written last: what the series consists of

The dates are ends of the cubes' periods, so that each map has seen one period more than the one
before it. A later run adds the dates of periods that were appended to the cubes, and recomputes
what a changed cube decides.
"""

import contextlib
import dataclasses
import datetime as dt
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from cropmap_jax import runs
from cropmap_jax.geo import cube, files, periods
from cropmap_jax.inference import predictors
from cropmap_jax.mapping import crop_map, cubes, products, series_items, since, since_products
from cropmap_jax.mapping.options import Options
from cropmap_jax.training.recipe import Recipe

SERIES, SINCE = "series.json", "since"
FORMAT, VERSION = "cropmap_jax map series", 1
_OWNER = "predict_series"
_FLAG = "--series_from"


def find_dates(
    infos: Sequence[cube.CubeInfo], recipe: Recipe, last: dt.date, first: str = ""
) -> tuple[dt.date, ...]:
    """The as-of dates of a series: ends of periods, from the first that all cubes can be mapped at.

    Args:
      infos: the cubes, which `cubes.find_cubes` allows as of `last`.
      recipe: the checkpoint's, which decides on the classes.
      last: no date is later.
      first: an ISO date, before which no date is; how many dates, the last ones; "" for all.

    Raises:
      ValueError: a `first` that is neither, or after which there is no date.
    """
    begins = max(_first(info, recipe, last) for info in infos)
    ends = sorted({p.end for info in infos for p in info.periods if begins <= p.end <= last})
    if not first:
        return tuple(ends)
    if first.isascii() and first.isdigit():
        if not int(first):
            raise ValueError(f"{_FLAG}: expected a date, or 1 date or more, found {first!r}")
        return tuple(ends[-int(first) :])
    since_day = periods.parse_date(first, _FLAG)
    if since_day > last:
        raise ValueError(f"{_FLAG}: expected a date by --as_of {last}, found {since_day}")
    found = tuple(end for end in ends if end >= since_day)
    if not found:
        raise ValueError(
            f"{_FLAG}: expected a date by {ends[-1]}, the end of the last period by --as_of "
            f"{last}, found {since_day}"
        )
    return found


def _first(info: cube.CubeInfo, recipe: Recipe, last: dt.date) -> dt.date:
    """The first end of a period by which one of the classes is planted."""
    ends = [period.end for period in info.periods if period.end <= last]
    for end in ends:
        if len(cubes.unplanted(info, recipe, end)) < len(recipe.legend):
            return end
    raise ValueError(
        f"cube {info.cube_id}: expected the end of a period from planting to --as_of {last}, found "
        f"none"
    )


@dataclasses.dataclass(frozen=True)
class Result:
    """A finished series.

    Args:
      table: hectares by class and date, as lines for people.
      series: its record.
      since: virtual raster of the dates on each pixel grid.
      summary: CSV of the table.
      collection: of STAC.
      fields: the parcels with the dates; None where there are none.
    """

    table: str
    series: pathlib.Path
    since: list[pathlib.Path]
    summary: pathlib.Path
    collection: pathlib.Path
    fields: pathlib.Path | None


class Series:
    """Makes a series, or resumes one; a context manager that keeps the folder for itself.

    Args:
      options: what to map; `as_of` is the last date, `out` the folder of the series.
      first: see `find_dates`.
      predictor: stands in for the run's own, for tests.

    Attributes:
      dates: as-of dates, ascending.
      notes: for the reader, a line each.

    Raises:
      ValueError: as `crop_map.MapMaker` and `find_dates`; a folder that holds a map, or files of
        others under the names of the series'.
    """

    def __init__(
        self, options: Options, first: str = "", predictor: predictors.Predictor | None = None
    ):
        self._options, self._predictor = options, predictor
        self._out = pathlib.Path(options.out)
        last = periods.parse_date(options.as_of, "--as_of")
        recipe = runs.open_run(options.workdir, options.checkpoint).recipe
        self._infos = cubes.find_cubes(options.cubes, recipe, last, options.season)
        self._legend = recipe.legend
        self.dates = find_dates(self._infos, recipe, last, first.strip())
        self.notes = []
        if self.dates[-1] != last:
            self.notes.append(
                f"the last map is as of {self.dates[-1]}, when the last period by --as_of {last} "
                f"ended"
            )
        _check_no_map(self._out)
        self._done: crop_map.MapMaker | None = None

    def __enter__(self) -> "Series":
        with contextlib.ExitStack() as held:
            held.enter_context(files.Lock(self._out, "--out"))
            self._written = files.Written(self._out, _OWNER)
            self._written.claim(SERIES, SINCE, series_items.COLLECTION, series_items.ITEMS)
            files.tidy(self._out, {SERIES, series_items.COLLECTION, series_items.ITEMS})
            left = sorted(name for name in _listed(self._out) if name not in self._names())
            if left:
                self.notes.append(
                    f"{len(left)} maps of an earlier run are not part of this series, as their "
                    f"dates are not: {', '.join(left[:3])}{', ...' if len(left) > 3 else ''}"
                )
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def _names(self) -> list[str]:
        return [date.isoformat() for date in self.dates]

    @contextlib.contextmanager
    def maker(self, date: dt.date) -> Iterator[crop_map.MapMaker]:
        """What makes the map as of one of the dates; they are to be made in order."""
        options = dataclasses.replace(
            self._options, as_of=date.isoformat(), out=os.fspath(self._out / date.isoformat())
        )
        beside = None
        if self._done is not None:
            beside = self._out / self._done.as_of.isoformat()
        with crop_map.MapMaker(options, self._predictor, beside) as maker:
            if maker.stale:  # what was found with the maps that are replaced does not hold
                self._written.remove(SERIES)
            yield maker
            self._predictor = maker.predictor or self._predictor
            self._done = maker

    def finish(self, progress: Callable[..., Iterable[Any]] = lambda it, **_: it) -> Result:
        """Writes what spans the dates, once the maps of all of them are there.

        Args:
          progress: wraps an iterable, called with `total`, `unit` and `desc`.

        Raises:
          ValueError: names a map that is damaged.
          OSError: names what cannot be written.
        """
        if self._done is None:
            raise ValueError("series: expected the maps of all dates first")
        folder, names = self._out / SINCE, self._names()
        if _recorded(self._out / SERIES) != names:
            # Until the end there are dates of both series in the rasters.
            self._written.remove(SERIES)
        folder.mkdir(exist_ok=True)
        found = {}
        for info in progress(self._infos, total=len(self._infos), unit="cube", desc="since"):
            own = [self._out / name / info.cube_id for name in names]
            found[info.cube_id] = since.make_cube(folder, info, own, self.dates, self._legend)
        _remove_others(folder, set(found))
        groups = self._done.groups
        shown = since_products.write(
            self._out, folder, groups, self._legend, self.dates, found, self._done.limits.parcels
        )
        collection = series_items.write(
            self._out, groups, self._legend, self.dates, [p.name for p in shown.rasters]
        )
        relative = {path.stem.removeprefix("since_"): path for path in shown.rasters}
        record = {
            "format": FORMAT,
            "version": VERSION,
            "dates": names,
            "maps": {name: name for name in names},
            "since": {grid: f"{SINCE}/{path.name}" for grid, path in relative.items()},
            "since_table": f"{SINCE}/{shown.table.name}",
            "collection": series_items.COLLECTION,
        }
        if shown.fields:
            record["since_fields"] = f"{SINCE}/{shown.fields.name}"
        path = self._out / SERIES
        files.write_bytes(path, (json.dumps(record, indent=1) + "\n").encode())
        return Result(shown.text, path, shown.rasters, shown.table, collection, shown.fields)


def _recorded(path: pathlib.Path) -> Any:
    """Dates of the series that is there; None where none is, or it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found.get("dates") if isinstance(found, dict) else None


def _remove_others(folder: pathlib.Path, cube_ids: set[str]) -> None:
    """Removes dates of cubes that are not mapped any more, and what was left unfinished."""
    files.tidy(folder)
    for path in folder.iterdir():
        if path.name not in cube_ids and (path / since.RECORD).is_file():
            files.remove(path)


def _listed(out: pathlib.Path) -> list[str]:
    """Dates of which there is a map in a folder."""
    found = []
    for path in out.iterdir():
        with contextlib.suppress(ValueError):
            dt.date.fromisoformat(path.name)
            if (path / products.SUMMARY).is_file():
                found.append(path.name)
    return found


def _check_no_map(out: pathlib.Path) -> None:
    if (out / ".predict.written.json").exists() or (out / products.SUMMARY).exists():
        raise ValueError(
            f"--out {out}: expected the folder of a series, or a new one, found a map; choose "
            f"another --out with --series"
        )


def is_begun(folder: pathlib.Path) -> bool:
    """Whether a folder is that of a series, also of one that is not finished."""
    return (folder / f".{_OWNER}.written.json").exists() or (folder / SERIES).exists()


def check_no_series(out: str | os.PathLike[str]) -> None:
    """Requires a folder that holds no series: a map among its maps would belong to none.

    Raises:
      ValueError: it does.
    """
    if is_begun(pathlib.Path(out)):
        raise ValueError(
            f"--out {out}: expected the folder of a map, or a new one, found a series of maps; "
            f"give --series to add to it, or choose another --out"
        )
