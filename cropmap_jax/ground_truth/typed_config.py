"""A dataclass made from a table of a config, whose keys and types are checked."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def make(cls: type[T], value: object, where: str) -> T:
    """An instance of a dataclass from a mapping.

    Raises:
      ValueError: a key that it does not have, or one missing.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: expected a table, found {value!r}")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    wrong = sorted(set(value) - set(fields))
    if wrong:
        raise ValueError(f"{where}: expected keys among {', '.join(fields)}, found {wrong[0]!r}")
    for name, field in fields.items():
        needed = field.default is field.default_factory is dataclasses.MISSING
        if needed and not value.get(name):
            raise ValueError(f"{where}.{name}: expected a value, found none")
    # ConfigDict turns lists of a command line into tuples, but a config may hold lists.
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    for name, found in given.items():
        _check_type(found, fields[name].type, f"{where}.{name}")
    return cls(**given)


def _check_type(value: Any, expected: Any, where: str) -> None:
    """Requires a value of an annotation's type, and of tables and lists what they hold.

    Raises:
      ValueError: names the key.
    """
    if isinstance(expected, types.UnionType):
        if value is not None:
            _check_type(value, typing.get_args(expected)[0], where)
        return
    kind, inside = typing.get_origin(expected) or expected, typing.get_args(expected)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    good = {
        int: number and (isinstance(value, int) or not math.isfinite(value)),
        float: number,
        bool: isinstance(value, bool),
        str: isinstance(value, str),
        tuple: isinstance(value, tuple),
        Mapping: isinstance(value, Mapping),
    }.get(kind, True)
    if not good:
        name = {tuple: "a list", Mapping: "a table", str: "text", int: "a whole number"}
        name |= {float: "a number", bool: "True or False"}
        raise ValueError(f"{where}: expected {name[kind]}, found {value!r}")
    if kind is tuple and ... not in inside and len(value) != len(inside):
        raise ValueError(f"{where}: expected {len(inside)} values, found {value!r}")
    if kind is tuple:
        for i, one in enumerate(value):
            _check_type(one, inside[0], f"{where}[{i}]")
    # The days of a calendar are checked where they are read.
    elif kind is Mapping and typing.get_origin(inside[1]) is None:
        for key, one in value.items():
            _check_type(one, inside[1], f"{where}.{key}")
