"""Periods of a user's observations, from dates.csv."""

import csv
import datetime as dt
import pathlib

import numpy as np

from cropmap_jax.geo.periods import Period, parse_date
from cropmap_jax.sources.ingest import satellites


def span(start: dt.date, end: dt.date, where: str) -> Period:
    """A period.

    Raises:
      ValueError: names where an end is not after its start.
    """
    try:
        return Period(start, end)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def read_dates(
    file: pathlib.Path,
) -> tuple[dict[str, tuple[Period, ...]], dict[str, tuple[float, ...]]]:
    """Periods of each sensor, and offsets of its observations where there is a column of them.

    Columns are `sensor,start[,end][,s2_offset]`. Both are empty where there is no such file; an
    offset that is left empty is NaN.

    Raises:
      ValueError: names the file and line, what was found and what was expected.
    """
    if not file.is_file():
        return {}, {}
    sensors = [product.sensor.name for product in satellites.products()]
    owners = {p.offset_key: p.sensor.name for p in satellites.products() if p.offset_key}
    columns, rows = _read_rows(file, tuple(owners))
    spans: dict[str, list[Period]] = {}
    offsets: dict[str, list[float]] = {owners[key]: [] for key in owners if key in columns}
    for number, row in enumerate(rows, start=2):
        where = f"{file}: line {number}"
        sensor = (row["sensor"] or "").strip().lower()
        if sensor not in sensors:
            raise ValueError(
                f"{where}: expected sensor {' or '.join(sensors)}, found {row['sensor']!r}; a "
                f"module that registers another one is named by --import"
            )
        start = parse_date(row["start"] or "", where)
        end = (row.get("end") or "").strip()
        last = parse_date(end, where) if end else start + dt.timedelta(days=1)
        spans.setdefault(sensor, []).append(span(start, last, where))
        for key, owner in owners.items():
            offset = _offset((row.get(key) or "").strip(), key, where)
            if sensor == owner and owner in offsets:
                offsets[owner].append(offset)
            elif sensor != owner and not np.isnan(offset) and offset != 0:
                raise ValueError(
                    f"{where}: expected no {key} in a row of {sensor}, found {offset:g}"
                )
    return (
        {sensor: tuple(own) for sensor, own in spans.items()},
        {sensor: tuple(own) for sensor, own in offsets.items()},
    )


def _read_rows(
    file: pathlib.Path, optional: tuple[str, ...]
) -> tuple[list[str], list[dict[str, str | None]]]:
    """Names of the columns, in lower case, and the rows by them."""
    wanted = "".join(["sensor,start", *(f"[,{name}]" for name in ("end", *optional))])
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            columns = [name.strip().lower() for name in reader.fieldnames or []]
            rows = [dict(zip(columns, row.values(), strict=False)) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: expected a CSV with {wanted} ({error})") from error
    if not {"sensor", "start"} <= set(columns) <= {"sensor", "start", "end", *optional}:
        raise ValueError(f"{file}: expected columns {wanted}, found {','.join(columns) or 'none'}")
    return columns, rows


def _offset(text: str, key: str, where: str) -> float:
    try:
        value = float(text) if text else np.nan
    except ValueError:
        value = np.inf
    if np.isinf(value) or (text and np.isnan(value)):
        raise ValueError(f"{where}: expected a number as {key}, such as -1000, found {text!r}")
    return value
