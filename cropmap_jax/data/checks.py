"""Checks of single settings: a wrong one is an error of one line with its name, value and range.

The same checks stand at the door of a config and of a checkpoint. Nothing is converted: a number
that is given as text is an error, as is a boolean that is given as a number.
"""

import difflib
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

MOST = 2**31 - 1
"""The largest count: steps are counted in int32."""
LEAD_DAYS = (-366, 366)
"""Leads in days that may be requested: within a year of harvest."""


def whole(name: str, value: Any, least: int, most: int = MOST) -> None:
    """Requires a whole number from `least` to `most`.

    Raises:
      ValueError: says which setting, what was found and what was expected.
    """
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_whole or not least <= value <= most:
        bounds = f"of at least {least}" if most == MOST else f"from {least} to {most}"
        raise ValueError(f"{name}: expected a whole number {bounds}, found {shown(value)}")


def real(name: str, value: Any, least: float, most: float, above: bool = False) -> None:
    """Requires a finite number from `least` (or above it) to `most`.

    Raises:
      ValueError: as `whole`.
    """
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    # Neither infinity nor nan is between two finite numbers.
    if not is_real or not least <= value <= most or (above and value == least):
        start = f"above {least:g} and at most" if above else f"from {least:g} to"
        raise ValueError(f"{name}: expected a number {start} {most:g}, found {shown(value)}")


def choice(name: str, value: Any, choices: Iterable[Any]) -> None:
    """Requires one of some values, of the same type.

    Raises:
      ValueError: as `whole`.
    """
    choices = tuple(choices)
    if not any(type(value) is type(c) and value == c for c in choices):
        listed = ", ".join(map(str, choices))
        raise ValueError(f"{name}: expected one of {listed}, found {shown(value)}")


def switch(name: str, value: Any) -> None:
    """Requires a boolean.

    Raises:
      ValueError: as `whole`.
    """
    choice(name, value, (True, False))


def text(name: str, value: Any, most: int = 1000) -> None:
    """Requires text of at most so many characters.

    Raises:
      ValueError: as `whole`.
    """
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(
            f"{name}: expected text of at most {most} characters, found {shown(value)}"
        )


def keys(name: str, value: Any, expected: Iterable[str], optional: Iterable[str] = ()) -> None:
    """Requires a mapping with all expected keys, and no others but optional ones.

    Raises:
      ValueError: names the first that is missing or unknown, and the nearest that there is.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: expected settings by name, found {shown(value)}")
    known = {*expected, *optional}
    for key in value:
        if key not in known:
            raise ValueError(
                f"{name}.{shown(key).strip(chr(39))}: no such setting; {nearest(key, known, name)}"
            )
    for key in expected:
        if key not in value:
            raise ValueError(f"{name}.{key}: expected a setting, found none")


def values(name: str, value: Any, count: int | None = None) -> None:
    """Requires a list or tuple, of `count` values if given.

    Raises:
      ValueError: as `whole`.
    """
    if not isinstance(value, list | tuple) or count not in (None, len(value)):
        size = "" if count is None else f"{count} "
        raise ValueError(f"{name}: expected a list of {size}values, found {shown(value)}")


def nearest(name: Any, known: Iterable[str], prefix: str = "") -> str:
    """What a mistyped name may have meant: "did you mean A? expected one of A, B"."""
    names, dot = sorted(known), f"{prefix}." if prefix else ""
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {dot}{near[0]}? " if near else ""
    return f"{hint}expected one of {', '.join(names)}"


def shown(value: Any) -> str:
    """A value as it is written in Python, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
