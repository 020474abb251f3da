"""Crop calendars: candidate seasons per crop, and which harvest date governs a pixel.

A crop may have several candidate seasons in one province (spring and winter onion): all are kept
until an attribute of the field decides. `"*"` stands for every class of the legend, as in
EUCROPMAP cubes, which have one date for all.
"""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cropmap_jax.geo.periods import from_day, parse_date, to_day

ANY_CROP = "*"
SHORTEST_DAYS, LONGEST_DAYS = 60, 400
"""From the end of planting to harvest; a season outside of that is noted, as perhaps mistyped.

Source: Allen et al. (1998), FAO Irrigation and Drainage Paper 56, table 11: apart from radish (35
to 40 days) all field crops stand 60 days or more, and apart from sugarcane (up to 720), pineapple
(790), bananas and trees none stands longer than a year.
"""


@dataclasses.dataclass(frozen=True)
class Season:
    """One candidate season of a crop: harvest [start, end] and, where known, planting end.

    `planting` is the last day of the planting period: from then on the crop is in the ground.

    Raises:
      ValueError: harvest not after planting, or harvest end before harvest start.
    """

    harvest_start: dt.date
    harvest_end: dt.date | None = None
    planting: dt.date | None = None
    season: str = ""

    def __post_init__(self) -> None:
        if self.planting and self.planting >= self.harvest_start:
            raise ValueError(
                f"season {self.season!r}: expected harvest after planting {self.planting}, "
                f"found {self.harvest_start}"
            )
        if self.harvest_end and self.harvest_end < self.harvest_start:
            raise ValueError(
                f"season {self.season!r}: expected harvest end on or after {self.harvest_start}, "
                f"found {self.harvest_end}"
            )


Calendar = Mapping[str, tuple[Season, ...]]
"""Candidate seasons by crop name (or ANY_CROP) in one place and year."""


def to_json(calendar: Calendar) -> dict[str, list[dict[str, str | None]]]:
    """The `cropmap:harvest` property: {crop: [{season, planting, harvest_start, harvest_end}]}."""

    def row(season: Season) -> dict[str, str | None]:
        dates = {k: getattr(season, k) for k in ("planting", "harvest_start", "harvest_end")}
        return {"season": season.season} | {k: v and v.isoformat() for k, v in dates.items()}

    return {crop: [row(s) for s in seasons] for crop, seasons in calendar.items()}


def from_json(value: Mapping[str, Any], where: str) -> dict[str, tuple[Season, ...]]:
    """Reads what `to_json` wrote.

    Raises:
      ValueError: names `where` and the date or key that is wrong.
    """

    def season(crop: str, row: Mapping[str, Any]) -> Season:
        at = f"{where}: harvest of {crop!r}"
        if not row.get("harvest_start"):
            raise ValueError(f"{at}: expected 'harvest_start', found {dict(row)}")
        start = parse_date(row["harvest_start"], at)
        end, planting = (
            parse_date(row[key], at) if row.get(key) else None
            for key in ("harvest_end", "planting")
        )
        try:
            return Season(start, end, planting, row.get("season", ""))
        except ValueError as error:
            raise ValueError(f"{at}: {error}") from error

    return {crop: tuple(season(crop, row) for row in rows) for crop, rows in value.items()}


def harvest_start(calendar: Calendar, crop: str) -> dt.date | None:
    """Earliest harvest start among the candidate seasons of `crop`, None without a calendar."""
    seasons = calendar.get(crop) or calendar.get(ANY_CROP) or ()
    return min((s.harvest_start for s in seasons), default=None)


def planting(calendar: Calendar, crop: str) -> dt.date | None:
    """Earliest planting end among the candidate seasons; None if any of them is unknown."""
    seasons = calendar.get(crop) or calendar.get(ANY_CROP) or ()
    dates = [s.planting for s in seasons if s.planting is not None]
    return min(dates) if dates and len(dates) == len(seasons) else None


def harvest_table(
    calendars: Sequence[Calendar],
    places: Sequence[str],
    groups: Sequence[str],
    crops: Sequence[str],
) -> np.ndarray:
    """Harvest start per cube and crop, with the median over places where a place has none.

    Every pixel of a cube, positive or negative, is judged for crop c at c's date, so a date is
    needed even where c has no calendar: then it is the earliest of the other cubes of its place,
    else c's median over the places (provinces) of the same group (agricultural year) that have one.

    Args:
      calendars: one per cube.
      places: province of each cube; each place counts once in the median, with its earliest date.
      groups: season of each cube; medians are taken within it.
      crops: class names.

    Returns:
      int32 [cubes, crops], days since 1970-01-01; 0 where no place has a date.
    """
    table = np.zeros((len(calendars), len(crops)), np.int32)
    for i, calendar in enumerate(calendars):
        for j, crop in enumerate(crops):
            date = harvest_start(calendar, crop)
            table[i, j] = to_day(date) if date else 0
    group_of, place_of = np.asarray(groups), np.asarray(places)
    for group in np.unique(group_of):
        rows = np.flatnonzero(group_of == group)
        for j in range(len(crops)):
            dated, bare = rows[table[rows, j] > 0], rows[table[rows, j] == 0]
            if len(dated) == 0 or len(bare) == 0:
                continue
            earliest: dict[str, int] = {}
            for place, day in zip(place_of[dated], table[dated, j], strict=True):
                earliest[place] = min(day, earliest.get(place, day))
            median = int(np.median(list(earliest.values())))
            table[bare, j] = [earliest.get(place, median) for place in place_of[bare]]
    return table


def planting_table(calendars: Sequence[Calendar], crops: Sequence[str]) -> np.ndarray:
    """Earliest planting end per cube and crop.

    Returns:
      int32 [cubes, crops], days since 1970-01-01; 0 (long past) where it is not known, so that
      nothing is left out without a reason.
    """
    dates = [[planting(calendar, crop) for crop in crops] for calendar in calendars]
    days = [[to_day(d) if d else 0 for d in row] for row in dates]
    return np.array(days, np.int32).reshape(-1, len(crops))


def describe(day: int) -> str:
    """ISO date of a table entry, or "unknown"."""
    return from_day(day).isoformat() if day else "unknown"
