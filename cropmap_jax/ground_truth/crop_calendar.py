"""Crop calendars: the candidate seasons of every crop, province and agricultural year."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import geopandas

from cropmap_jax.geo import calendars
from cropmap_jax.ground_truth import calendar_sheets, seasons
from cropmap_jax.ground_truth.audit_log import AuditLog
from cropmap_jax.ground_truth.calendar_sheets import DATES, Row
from cropmap_jax.ground_truth.provinces import known_places, place_key
from cropmap_jax.ground_truth.settings import CropCalendar, Settings, rows_of

LONG_HARVEST = 200
"""Days: a longer harvest is noted, since one of its two dates is probably wrong."""


_Years = dict[str, seasons.AgriculturalYear]
# {agricultural year: {(sheet, place_key of the province): candidate seasons}}
_Found = dict[str, dict[tuple[str, str], tuple[calendars.Season, ...]]]
_Days = Sequence[seasons.MonthDay | None]


@dataclasses.dataclass(frozen=True)
class Calendars:
    """The seasons of a workbook.

    Args:
      sheets: {crop: its sheets}, in the order of the legend.
      seasons: {agricultural year: {(sheet, place_key of the province): candidate seasons}}.
    """

    sheets: Mapping[str, tuple[str, ...]]
    seasons: Mapping[str, Mapping[tuple[str, str], tuple[calendars.Season, ...]]]

    def candidates(
        self, crop: str, province: str, season: str, chosen: Iterable[str] = ()
    ) -> tuple[calendars.Season, ...]:
        """Candidate seasons of a crop, each named after its sheet.

        Args:
          crop: class.
          province: as the provinces layer spells it, or nearly; "" without one.
          season: agricultural year.
          chosen: the only sheets that count, where an attribute has decided; none: all of them.

        Returns:
          None of them if no row of the crop's sheets has dates for the province.

        Raises:
          ValueError: an agricultural year of no layer.
        """
        if season not in self.seasons:
            raise ValueError(f"calendars: expected a season of {', '.join(self.seasons)}, found "
                             f"{season!r}")  # fmt: skip
        chosen = {sheet for sheet in chosen if sheet}
        own = [s for s in self.sheets.get(crop, ()) if not chosen or s in chosen]
        rows, place = self.seasons[season], place_key(province)
        return tuple(found for sheet in own for found in rows.get((sheet, place), ()))

    def calendar(
        self, province: str, season: str, chosen: Mapping[str, Iterable[str]] | None = None
    ) -> calendars.Calendar:
        """Candidate seasons of all classes that have any in a province and year.

        Args:
          province: as for `candidates`.
          season: agricultural year.
          chosen: {crop: sheets}, as for `candidates`.
        """
        chosen = chosen or {}
        found = {c: self.candidates(c, province, season, chosen.get(c, ())) for c in self.sheets}
        return {crop: own for crop, own in found.items() if own}


def read_calendars(settings: Settings, log: AuditLog) -> Calendars | None:
    """Reads the sheets that the layers of the config name.

    Args:
      settings: of the field data. Without provinces, all rows of a sheet are candidates.
      log: takes what is left out (a sheet, a row) and what is odd.

    Returns:
      The calendars; None without a workbook, or if it cannot be read.

    Raises:
      ValueError: names the key of the config that has no meaning: an agricultural year, the start
        of the year, the title of a column that has to be there.
    """
    calendar = settings.calendar
    if calendar is None:
        return None
    years = _years(settings, calendar)
    if calendar.dates:
        return _from_dates(settings, calendar, years, log)
    wanted = _crop_sheets(settings, log)
    names = dict.fromkeys(sheet for own in wanted.values() for sheet in own)
    rows = calendar_sheets.read_rows(settings, calendar, names, log)
    if rows is None:
        return None
    found: _Found = {season: {} for season in years}
    for row in rows:
        _add(row, years, calendar.system, found, log)
    return Calendars(wanted, found)


def _from_dates(
    settings: Settings, calendar: CropCalendar, years: _Years, log: AuditLog
) -> Calendars:
    """The calendars of a config that gives four days per season of a class, for every province.

    Raises:
      ValueError: names the class whose days are none, or in the wrong order.
    """
    places = known_places(settings) or {"": ""}
    found: _Found = {season: {} for season in years}
    for crop, given in calendar.dates.items():
        rows = rows_of(given)
        for number, days in enumerate(rows, 1):
            where = f"config.calendar.dates.{crop}"
            where += f", season {number}" if len(rows) > 1 else ""
            name = f"{crop} {number}" if len(rows) > 1 else crop
            own = [seasons.parse_month_day(day, calendar.system, where) for day in days]
            for season, year in years.items():
                known = _resolve(own, year, calendar.system, name, where)
                if known is None:
                    continue
                _note_long(known, own, where, log)
                _doubt(known, where, log)
                for place in places:
                    before = found[season].get((crop, place), ())
                    found[season][crop, place] = (*before, known)
    return Calendars({crop: (crop,) for crop in calendar.dates}, found)


def note_undated(fields: geopandas.GeoDataFrame, found: Calendars | None, log: AuditLog) -> None:
    """Notes which fields have no harvest date, by year, crop, province and chosen sheets.

    Args:
      fields: the table of fields and points, with `province`.
      found: of `read_calendars`; without it, there is nothing to note.
      log: gets a note each, and the count "fields without a harvest date".
    """
    if found is None or fields.empty:
        return
    own = fields[fields.crop.isin(list(found.sheets))]
    keys = ["season", "crop", "province", "sheets"]
    for (season, crop, province, sheets), rows in own.groupby(keys).indices.items():
        if not found.candidates(crop, province, season, sheets.split(";")):
            place = f" in {province}" if province else ""
            what = f"{crop} ({sheets})" if sheets else crop
            log.notes.append(f"{season}: no harvest date for {len(rows)} of {what}{place}")
            log.counts["fields without a harvest date"] += len(rows)


def _years(settings: Settings, calendar: CropCalendar) -> _Years:
    """The agricultural years of the layers; checks the other keys of the workbook on the way.

    Raises:
      ValueError: names the key of the config.
    """
    needed = {"planting_end", "harvest_start"} | ({"province"} if settings.provinces else set())
    for column in sorted(needed):
        if not calendar.columns[column]:
            raise ValueError(f"config.calendar.columns.{column}: expected a title, found none")
    # parse_year would name a season where the start is to blame.
    seasons.parse_month_day(calendar.year_start, calendar.system, "config.calendar.year_start")
    years = {}
    for key, layer in settings.layers.items():
        where = f"config.layers.{key}.season"
        start = calendar.year_start
        years[layer.season] = seasons.parse_year(layer.season, calendar.system, start, where)
    return years


def _crop_sheets(settings: Settings, log: AuditLog) -> dict[str, tuple[str, ...]]:
    """{crop: sheets of its layers}, crops in the order of the legend."""
    found: dict[str, list[str]] = {}
    for layer in settings.layers.values():
        for name in layer.names.values():
            found.setdefault(name, [])
        if layer.crop:
            found.setdefault(layer.crop, []).extend(layer.sheets)
    own = {c: tuple(dict.fromkeys(found[c])) for c in settings.classes_of.names if c in found}
    for crop in (c for c, sheets in own.items() if not sheets):
        log.notes.append(f"config.layers: no sheets for {crop}: it has no harvest dates")
    return own


def _add(row: Row, years: _Years, system: str, found: _Found, log: AuditLog) -> None:
    """Resolves a row in each agricultural year."""
    missing = [c for c in ("harvest_start", "planting_end") if row.days[c] is None]
    if missing:
        what = "harvest date" if missing[0] == "harvest_start" else "end of planting"
        log.notes.append(f"{row.where}: no {what}")
        return
    key, days = (row.sheet, row.place), [row.days[c] for c in DATES]
    for season, year in years.items():
        try:
            own = _resolve(days, year, system, row.sheet, row.where)
        except ValueError as error:
            _once(log.problems, str(error))
            continue
        if own is None:
            continue
        _note_long(own, days, row.where, log)
        _doubt(own, row.where, log)
        others = found[season].get(key, ())
        if own in others:
            continue
        if others:
            _once(log.notes, f"{row.where}: not the first row for its place with other dates, "
                                "all of them are candidates")  # fmt: skip
        found[season][key] = (*others, own)


def _resolve(
    days: _Days, year: seasons.AgriculturalYear, system: str, name: str, where: str
) -> calendars.Season | None:
    """`seasons.resolve` for days in the order of DATES."""
    start, end, harvest_start, harvest_end = days
    return seasons.resolve(start, end, harvest_start, harvest_end, year, system, name, where)


def _note_long(season: calendars.Season, days: _Days, where: str, log: AuditLog) -> None:
    """Notes a harvest that takes too long for both of its days, the last of DATES, to be right."""
    if season.harvest_end and (season.harvest_end - season.harvest_start).days > LONG_HARVEST:
        span = f"{days[-2]} to {days[-1]}"
        _once(log.notes, f"{where}: harvest from {span} is longer than {LONG_HARVEST} "
                            "days, one of the two is probably wrong")  # fmt: skip


def _doubt(season: calendars.Season, where: str, log: AuditLog) -> None:
    """Reports, once for each row, a season of an odd length."""
    odd = seasons.describe_odd(season, where)
    if odd and not any(line.startswith(f"{where}: ") for line in log.doubts):
        log.doubts.append(odd)


def _once(lines: list[str], line: str) -> None:
    if line not in lines:
        lines.append(line)
