"""What an audit finds: one line each, how severe it is, and what to do about it."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

SEVERITIES = ("error", "warning", "note")
"""Leakage: what is scored was learnt from; what is likely wrong; what is good to know."""
_MOST_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Finding:
    """One finding.

    Args:
      severity: one of SEVERITIES; "error" is leakage and nothing else.
      check: name of the check, e.g. "copies".
      what: what was found, in one line with figures.
      advice: what to do, in one line.
      cubes: ids of the cubes that it is about, for the map.
      figures: JSON-ready.
    """

    severity: str
    check: str
    what: str
    advice: str
    cubes: tuple[str, ...] = ()
    figures: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return dataclasses.asdict(self) | {"cubes": list(self.cubes)}


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The most severe first; else in the order given."""
    return sorted(findings, key=lambda one: SEVERITIES.index(one.severity))


def named(names: Sequence[str], most: int = _MOST_NAMED) -> str:
    """The first few of a list of names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,d} more" if rest > 0 else "")


def plural(count: int, word: str) -> str:
    """ "1 field", "2 fields", "3 classes"."""
    many = f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{count:,d} {word if count == 1 else many}"
