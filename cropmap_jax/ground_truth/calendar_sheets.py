"""The sheets of a workbook of crop calendars: rows of a province and its days."""

import contextlib
import itertools
import pathlib
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple
from xml.etree import ElementTree

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from cropmap_jax.ground_truth import seasons
from cropmap_jax.ground_truth.audit_log import AuditLog
from cropmap_jax.ground_truth.names import nearest, normalise
from cropmap_jax.ground_truth.provinces import known_places, place_key
from cropmap_jax.ground_truth.settings import COLUMNS, CropCalendar, Settings

DATES = COLUMNS[1:]
_Cells = tuple[object, ...]
# What reading a file raises that is no workbook, or half of one.
_UNREADABLE = (
    InvalidFileException, zipfile.BadZipFile, zlib.error, ElementTree.ParseError, KeyError,
    ValueError, OSError, EOFError,
)  # fmt: skip


class Row(NamedTuple):
    """A row of a sheet: where it is (file, sheet, row and province), its place and its days."""

    where: str
    sheet: str
    place: str
    days: dict[str, seasons.MonthDay | None]


def read_rows(
    settings: Settings, calendar: CropCalendar, names: Collection[str], log: AuditLog
) -> Iterator[Row] | None:
    """The rows of the sheets that the layers name, one after the other.

    Args:
      settings: of the field data.
      calendar: of theirs, with a workbook.
      names: of the sheets.
      log: takes sheets and rows that are left out, and sheets that no layer names.

    Returns:
      None if the workbook cannot be read.
    """
    cells = _read_cells(settings, calendar.file, names, log)
    if cells is None:
        return None
    _compare_sheets(settings, calendar.file, names, list(cells), log)
    places = known_places(settings)
    return itertools.chain.from_iterable(
        _rows_of_sheet(name, cells[name], settings, calendar, places, log)
        for name in names
        if name in cells
    )


def _read_cells(
    settings: Settings, file: str, names: Collection[str], log: AuditLog
) -> dict[str, list[_Cells]] | None:
    """{sheet of the workbook: its rows}, without rows for sheets that no layer names."""
    path = pathlib.Path(settings.source) / file
    where = f"{file} (config.calendar.file)"
    if not path.is_file():
        others = [p.name for p in path.parent.glob("*.xls*")] if path.parent.is_dir() else []
        log.problems.append(f"{where}: expected a workbook, found none{nearest(path.name, others)}")
        return None
    try:
        with warnings.catch_warnings():
            # Of styles and validation rules, which do not matter here.
            warnings.simplefilter("ignore")
            cells: dict[str, list[_Cells]] = {}
            with contextlib.closing(openpyxl.load_workbook(path, True, data_only=True)) as book:
                for sheet in book.worksheets:
                    # Some programs write a size that is too small.
                    sheet.reset_dimensions()
                    own = sheet.title.strip()
                    cells[own] = list(sheet.iter_rows(values_only=True)) if own in names else []
            return cells
    except _UNREADABLE as error:
        log.problems.append(f"{where}: expected a workbook in .xlsx, found: {error}")
        return None


def _compare_sheets(
    settings: Settings, file: str, names: Collection[str], titles: list[str], log: AuditLog
) -> None:
    for name in names:
        if name not in titles:
            keys = [k for k, layer in settings.layers.items() if name in layer.sheets]
            log.problems.append(
                f"{file}: expected a sheet {name!r} (config.layers.{keys[0]}.sheets), found "
                f"{', '.join(titles)}{nearest(name, titles)}"
            )
    unused = [title for title in titles if title not in names]
    if unused:
        log.notes.append(f"{file}: sheets that no layer names: {', '.join(unused)}")


def _rows_of_sheet(
    sheet: str,
    rows: list[_Cells],
    settings: Settings,
    calendar: CropCalendar,
    places: dict[str, str] | None,
    log: AuditLog,
) -> Iterator[Row]:
    """The rows of a sheet that can be read."""
    at = f"{calendar.file}, sheet {sheet!r}"
    filled = [(n, row) for n, row in enumerate(rows, 1) if any(normalise(cell) for cell in row)]
    if not filled:
        log.problems.append(f"{at}: expected a row of titles, found an empty sheet")
        return
    try:
        columns = _find_columns(filled[0][1], calendar.columns, at)
    except ValueError as error:
        log.problems.append(str(error))
        return
    for number, row in filled[1:]:
        cells = {c: row[i] if i < len(row) else None for c, i in columns.items()}
        if not any(normalise(cell) for cell in cells.values()):
            continue
        where = f"{at}, row {number}"
        try:
            province, place = _find_place(cells.pop("province", None), settings, places, where)
            days = {
                c: seasons.parse_month_day(cell, calendar.system, f"{where}, {calendar.columns[c]}")
                for c, cell in cells.items()
            }
        except ValueError as error:
            log.problems.append(str(error))
            continue
        label = f"{where}, {province}" if province else where
        yield Row(label, sheet, place, dict.fromkeys(DATES) | days)


def _find_columns(row: _Cells, titles: Mapping[str, str], where: str) -> dict[str, int]:
    """{one of COLUMNS: its index}; columns whose title is "" are not looked for.

    Raises:
      ValueError: names the column that is missing and the nearest title.
    """
    found = [normalise(cell) for cell in row]
    folded = [title.casefold() for title in found]
    columns = {}
    for column, title in titles.items():
        if title and normalise(title).casefold() not in folded:
            raise ValueError(
                f"{where}: expected a column {title!r} (config.calendar.columns.{column}), found "
                f"{', '.join(t for t in found if t)}{nearest(title, [t for t in found if t])}"
            )
        if title:
            columns[column] = folded.index(normalise(title).casefold())
    return columns


def _find_place(
    cell: object, settings: Settings, places: dict[str, str] | None, where: str
) -> tuple[str, str]:
    """Name of the province of a row, and the key under which its fields look for it.

    Raises:
      ValueError: no province, or one that the provinces layer does not know.
    """
    name = normalise(cell)
    if settings.provinces is None:
        return name, ""
    if not name:
        raise ValueError(f"{where}: expected a province, found none")
    if places is not None and place_key(name) not in places:
        raise ValueError(
            f"{where}: expected a province of {settings.provinces.files}, found "
            f"{name!r}{nearest(name, places.values())}"
        )
    return name, place_key(name)
