"""Calendars that cannot be right, or that leave no image to see."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cropmap_jax.audit.findings import Finding, named, plural
from cropmap_jax.audit.material import Material
from cropmap_jax.geo import as_of_windows, calendars

_LATE_DAYS = 62
"""Between the last image and the as-of date: two months without an image."""


def check_calendars(material: Material, num_periods: int, lead_days: int) -> list[Finding]:
    """Dates that cannot be right, or that leave no image to see.

    Args:
      material: what is audited.
      num_periods: periods of the window.
      lead_days: the as-of date is a harvest start minus this many days.
    """
    harvest, planting = material.harvest, material.planting
    if not harvest.any():
        return [
            Finding(
                "note",
                "dates",
                "no harvest date of any class",
                "give training a range of dates (config.as_of) and `evaluate` a date (--as_of)",
            )
        ]
    out = []
    never = _where(material.legend.names, ~harvest.any(0))
    if never:
        out.append(_finding(
            "note", f"no harvest date of {named(never)}", "add them to the calendar", None, material
        ))  # fmt: skip
    both = (harvest > 0) & (planting > 0)
    days = np.where(both, harvest - planting, 0)
    out.append(_finding(
        "warning", "harvest before planting ends", "correct the calendar: a crop that is not yet "
        "planted is left out of the loss", both & (days <= 0), material,
    ))  # fmt: skip
    doubt = both & (days > 0)
    doubt &= (days < calendars.SHORTEST_DAYS) | (days > calendars.LONGEST_DAYS)
    out.append(_finding(
        "note", f"fewer than {calendars.SHORTEST_DAYS} or more than {calendars.LONGEST_DAYS} days "
        f"from planting to harvest", "look at the calendar: few crops grow so fast or so slowly",
        doubt, material,
    ))  # fmt: skip
    as_of = harvest - lead_days
    count = np.zeros(harvest.shape, np.int64)
    late = np.zeros(harvest.shape, np.int64)
    for cube, place in enumerate(material.places):
        last = np.array([as_of_windows.last_period(place.periods, int(d)) for d in as_of[cube]])
        count[cube] = np.minimum(last + 1, num_periods)
        late[cube] = as_of[cube] - place.periods[np.maximum(last, 0), 1]
    dated = harvest > 0
    out.append(_finding(
        "warning", f"no image {lead_days} days before harvest",
        "export earlier periods, or correct the calendar: training refuses such dates",
        dated & (count == 0), material,
    ))  # fmt: skip
    out.append(_finding(
        "note", f"fewer than {num_periods} periods {lead_days} days before harvest",
        "export earlier periods: the window begins with missing ones",
        dated & (count > 0) & (count < num_periods), material,
    ))  # fmt: skip
    out.append(_finding(
        "warning", f"images that end more than {_LATE_DAYS} days before the as-of date",
        "export later periods, or correct the calendar: the real lead is that much longer",
        dated & (count > 0) & (late > _LATE_DAYS), material,
    ))  # fmt: skip
    return [one for one in out if one is not None]


def _finding(
    severity: str, what: str, advice: str, wrong: np.ndarray | None, material: Material
) -> Any:
    """A finding about some cubes and classes, None where it is about none of them."""
    if wrong is None:
        return Finding(severity, "dates", what, advice)
    if not wrong.any():
        return None
    classes = _where(material.legend.names, wrong.any(0))
    cubes = _where([place.cube_id for place in material.places], wrong.any(1))
    text = f"{what}: {named(classes)} in {plural(len(cubes), 'cube')} ({named(cubes)})"
    figures = {"classes": classes, "cubes": len(cubes)}
    return Finding(severity, "dates", text, advice, tuple(cubes), figures)


def _where(names: Sequence[str], chosen: Any) -> list[str]:
    return [names[int(i)] for i in np.flatnonzero(chosen)]
