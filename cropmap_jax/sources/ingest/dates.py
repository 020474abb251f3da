"""Periods of a user's observations, from dates.csv."""

import csv
import datetime as dt
import pathlib

import numpy as np

from cropmap_jax.geo import cube
from cropmap_jax.geo.periods import Period, parse_date

_COLUMNS = ("sensor", "start", "end", "s2_offset")
_SENSORS = tuple(cube.BANDS)


def span(start: dt.date, end: dt.date, where: str) -> Period:
    """A period.

    Raises:
      ValueError: names where an end is not after its start.
    """
    try:
        return Period(start, end)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def read_dates(file: pathlib.Path) -> tuple[dict[str, tuple[Period, ...]], tuple | None]:
    """Periods by sensor from `sensor,start[,end][,s2_offset]`, and the offsets of S2 if any.

    Empty and None where there is no such file; an offset that is left empty is NaN.

    Raises:
      ValueError: names the file and line, what was found and what was expected.
    """
    if not file.is_file():
        return {}, None
    spans: dict[str, list[Period]] = {}
    offsets: list[float] = []
    wanted = "sensor,start[,end][,s2_offset]"
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            columns = [name.strip().lower() for name in reader.fieldnames or []]
            rows = [dict(zip(columns, row.values(), strict=False)) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: expected a CSV with {wanted} ({error})") from error
    if not {"sensor", "start"} <= set(columns) <= set(_COLUMNS):
        raise ValueError(f"{file}: expected columns {wanted}, found {','.join(columns) or 'none'}")
    for number, row in enumerate(rows, start=2):
        where = f"{file}: line {number}"
        sensor = (row["sensor"] or "").strip().lower()
        if sensor not in _SENSORS:
            raise ValueError(f"{where}: expected sensor s1 or s2, found {row['sensor']!r}")
        start = parse_date(row["start"], where)
        end = (row.get("end") or "").strip()
        last = parse_date(end, where) if end else start + dt.timedelta(days=1)
        spans.setdefault(sensor, []).append(span(start, last, where))
        offset = _offset((row.get("s2_offset") or "").strip(), where)
        if sensor == "s2":
            offsets.append(offset)
        elif not np.isnan(offset) and offset != 0:
            raise ValueError(f"{where}: expected no s2_offset in a row of s1, found {offset:g}")
    return {sensor: tuple(rows) for sensor, rows in spans.items()}, (
        tuple(offsets) if "s2_offset" in columns else None
    )


def _offset(text: str, where: str) -> float:
    try:
        value = float(text) if text else np.nan
    except ValueError:
        value = np.inf
    if np.isinf(value) or (text and np.isnan(value)):
        raise ValueError(f"{where}: expected a number as s2_offset, such as -1000, found {text!r}")
    return value
