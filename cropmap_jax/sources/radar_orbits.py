"""Which Sentinel-1 orbits are used for a cube: one direction, and one order for all periods."""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from cropmap_jax.geo.periods import Period, to_day
from cropmap_jax.sources.sentinel1 import DAY_MS

COMPLETE = 0.99
"""Share of a grid's area that a complete orbit covers; footprints are outlines, not pixels."""


def choose_orbits(
    table: Sequence[Sequence[Any]], periods: Sequence[Period]
) -> tuple[str, tuple[int, ...]]:
    """The pass direction and the order of orbits that see a cube most completely.

    An orbit is complete in a period if the scenes of one of its days together cover `COMPLETE` of
    the grid. The direction is the one with the most periods in which some orbit is complete, then
    with more of the grid covered, then with more periods that have a scene, then ascending; its
    orbits are sorted in the same way, then by number. The order of the table does not matter.

    Args:
      table: a row per scene: time in milliseconds since 1970 UTC, relative orbit, "ASCENDING" or
        "DESCENDING", satellite, share of the grid's area in the scene's footprint.
      periods: P periods, the same.

    Returns:
      "ascending" or "descending", and relative orbit numbers; ("ascending", ()) where no scene is.

    Raises:
      ValueError: something else than such a table.
    """
    _check(table)
    seen: dict[tuple[str, int], dict[int, float]] = {}
    for time, orbit, direction, _, share in sorted(map(tuple, table)):
        days = seen.setdefault((direction.lower(), int(orbit)), {})
        day = int(time // DAY_MS)
        days[day] = days.get(day, 0.0) + share
    covered = {key: _covered(days, periods) for key, days in seen.items()}
    best = {
        direction: [max(shares) for shares in zip(*rows, strict=True)]
        for direction in ("ascending", "descending")
        if (rows := [c for (d, _), c in covered.items() if d == direction])
    }
    if not best:
        return "ascending", ()
    direction = min(best, key=lambda d: (*_rank(best[d]), d))
    orbits = [orbit for d, orbit in covered if d == direction]
    return direction, tuple(sorted(orbits, key=lambda o: (*_rank(covered[direction, o]), o)))


def _check(table: Any) -> None:
    kinds = (numbers.Real, numbers.Real, str, str, numbers.Real)
    for row in table if isinstance(table, list) else [table]:
        whole = isinstance(row, (list, tuple)) and len(row) == len(kinds)
        if not whole or not all(isinstance(v, k) for v, k in zip(row, kinds, strict=True)):
            raise ValueError(
                f"orbits: expected rows of a time, orbit, direction, satellite and share from the "
                f"service, found {row!r}"
            )


def _covered(days: Mapping[int, float], periods: Sequence[Period]) -> list[float]:
    """Share of the grid that the best day of each period covers; -1 where no day has a scene."""
    return [
        max(
            (min(s, 1.0) for d, s in days.items() if to_day(p.start) <= d < to_day(p.end)),
            default=-1,
        )
        for p in periods
    ]


def _rank(covered: Sequence[float]) -> tuple[int, float, int]:
    """Sorts the most complete first; shares are rounded, so that noise in areas decides nothing."""
    complete = sum(share >= COMPLETE for share in covered)
    total = round(sum(max(share, 0.0) for share in covered), 2)
    return -complete, -total, -sum(share >= 0 for share in covered)
