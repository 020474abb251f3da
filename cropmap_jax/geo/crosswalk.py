"""Crosswalks: which classes of one legend are, or are part of, classes of another.

A network that was pretrained on one map knows something of the crops of another legend: who knows
rape knows canola. A crosswalk says which, for the head of a new network (`training.head_swap`).
"""

import csv
import pathlib
from collections.abc import Mapping

from cropmap_jax.geo import files
from cropmap_jax.geo.legend import Legend

KNOWN: dict[tuple[str, str], dict[str, str]] = {
    ("eucropmap", "isrc"): {
        "canola": "rapeseed",
        "cotton": "other_industrial_crops",
        "lentils": "dry_pulses",
        "maize": "maize",
        "onion": "dry_pulses",
        "pea": "dry_pulses",
        "sugarbeet": "sugar_beet",
        "tomato": "dry_pulses",
    }
}
"""By the names of two legends {class of the second: the class of the first that holds it}.

EUCROPMAP's class 240 is dry pulses, vegetables and flowers, its class 230 other non-permanent
industrial crops, of which fibre crops are some (d'Andrimont et al. 2021,
doi:10.1016/j.rse.2021.112708, table 2).
"""
BUILT_IN = "built_in"
COLUMNS = ("class", "from")


def find(value: str, old: Legend, new: Legend, where: str) -> dict[int, int]:
    """The crosswalk that a setting names.

    Args:
      value: BUILT_IN: the table of `KNOWN`, or classes of the same names if the legends have the
        same name; else a CSV file with the columns class (of the new legend) and from (of the old
        one).
      old, new: legends.
      where: what to name in an error, e.g. "--config.crosswalk".

    Returns:
      {index of a class of the new legend: index of the old one's that it is or is part of}.

    Raises:
      ValueError: an unknown class, a class twice, an unreadable file, or legends without a table.
    """
    if value != BUILT_IN:
        return _indices(_read(files.local(where, value), where), old, new, f"{where} {value}")
    if old.name == new.name:
        return _indices({n: n for n in new.names if n in old.names}, old, new, where)
    table = KNOWN.get((old.name, new.name))
    if table is None:
        known = ", ".join(f"{a} to {b}" for a, b in KNOWN)
        raise ValueError(
            f"{where}: expected a CSV file with the columns {', '.join(COLUMNS)}, found {BUILT_IN} "
            f"for legends {old.name} to {new.name}; built in are {known}"
        )
    return _indices(table, old, new, where)


def _read(file: pathlib.Path, where: str) -> dict[str, str]:
    try:
        with open(file, encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            rows = list(reader)
            header = tuple(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{where} {file}: expected a CSV file, found none ({error})") from error
    if not set(COLUMNS) <= set(header):
        raise ValueError(
            f"{where} {file}: expected the columns {', '.join(COLUMNS)}, found "
            f"{', '.join(header) or 'none'}"
        )
    table: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        new, old = ((row[name] or "").strip() for name in COLUMNS)
        if not new or not old:
            raise ValueError(f"{where} {file}, line {number}: expected two classes, found {row}")
        if new in table:
            raise ValueError(f"{where} {file}, line {number}: expected {new} once, found it again")
        table[new] = old
    if not table:
        raise ValueError(f"{where} {file}: expected a line for some class, found none")
    return table


def _indices(table: Mapping[str, str], old: Legend, new: Legend, where: str) -> dict[int, int]:
    found: dict[int, int] = {}
    for name, source in table.items():
        try:
            here, there = new.index(name), old.index(source)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if here in found:
            raise ValueError(f"{where}: expected {new.names[here]} once, found it again")
        found[here] = there
    return found
