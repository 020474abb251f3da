"""Checks of a network's arguments: a wrong one is an error of one line with name, value and range.

They may come from anybody's config or from a damaged checkpoint. Nothing is converted but lists,
which JSON has in place of tuples.
"""

import difflib
import math
from collections.abc import Iterable

LARGEST = 2**31 - 1
LONGEST_TEXT = 1000
LONGEST_LIST = 100


def whole(where: str, value: object, least: int, most: int) -> None:
    """Requires a whole number from `least` to `most`.

    Raises:
        ValueError: begins with `where`; says what was found and what was expected.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or not least <= value <= most:  # type: ignore[operator]
        raise ValueError(
            f"{where}: expected a whole number from {least} to {most}, found {shown(value)}"
        )


def choice(where: str, value: object, choices: Iterable[object]) -> None:
    """Requires one of some values, of the same type.

    Raises:
        ValueError: as `whole`.
    """
    choices = tuple(choices)
    if not any(type(value) is type(c) and value == c for c in choices):
        listed = ", ".join(map(str, choices))
        raise ValueError(f"{where}: expected one of {listed}, found {shown(value)}")


def of_kind(where: str, value: object, kind: type) -> None:
    """Requires a value of a kind: bool, int, float (also a whole number), or str.

    Raises:
        ValueError: as `whole`.
    """
    if kind is bool:
        choice(where, value, (True, False))
    elif kind is int:
        whole(where, value, -LARGEST, LARGEST)
    elif kind is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # Neither infinity nor nan is between two finite numbers.
        if not is_number or not -1e30 <= value <= 1e30:  # type: ignore[operator]
            raise ValueError(f"{where}: expected a finite number, found {shown(value)}")
    elif not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError(
            f"{where}: expected text of at most {LONGEST_TEXT} characters, found {shown(value)}"
        )


def list_of_kind(where: str, value: object, kind: type) -> None:
    """Requires a list or tuple of values of a kind.

    Raises:
        ValueError: as `whole`.
    """
    if not isinstance(value, list | tuple) or len(value) > LONGEST_LIST:
        raise ValueError(
            f"{where}: expected a list of at most {LONGEST_LIST} values, found {shown(value)}"
        )
    for i, one in enumerate(value):
        of_kind(f"{where}[{i}]", one, kind)


def parameters(where: str, about: float, most: float, of: str) -> None:
    """Requires a network that fits into memory.

    Args:
        where: the network's settings.
        about: number of parameters that they ask for, roughly.
        most: the largest number allowed.
        of: the settings that the number follows from, as text.

    Raises:
        ValueError: as `whole`.
    """
    if not math.isfinite(about) or about > most:
        raise ValueError(
            f"{where}: expected at most {most:.0e} parameters, found {about:.0e} ({of})"
        )


def unknown(where: str, name: object, known: Iterable[str], what: str = "setting") -> ValueError:
    """The error of a name that there is not, with the nearest that there is."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name)[:100], known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    return ValueError(f"{where}: no such {what}; {hint}expected one of {', '.join(known)}")


def shown(value: object) -> str:
    """A value as it is written in Python, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
