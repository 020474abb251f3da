"""As of which dates a run has learnt: of others it has seen no example, and may know little.

Training draws harvest starts of the legend minus its lead, or dates of a range. What a network sees
of a date is the window that it leaves: the window's last period says what was learnt.
"""

from typing import Any

import numpy as np

from cropmap_jax import runs
from cropmap_jax.data import input_pipeline, sampling
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation.as_of_plan import Plan
from cropmap_jax.geo import as_of_windows, periods

End = tuple[int, int]
"""Month and day on which a window ends, of any year: that is all that a network sees of a date."""


def ends(restored: Any, data: Dataset) -> frozenset[End] | None:
    """Ends of the windows that training drew from.

    Args:
      restored: the run, with `config` and `dataset`; of combined runs what any member drew.
      data: the dataset that is scored.

    Returns:
      None where it cannot be told: the run learnt from another dataset, or there are no dates.
    """
    each = [ends(one, data) for one in runs.parts_of(restored).values()]
    if each:
        known = [one for one in each if one is not None]
        return frozenset().union(*known) if len(known) == len(each) else None
    config = restored.config
    if restored.dataset != data.fingerprint or "train" not in data.chips:
        return None
    jitter = int(config.get("as_of_jitter") or 0)
    earlier = max(int(config.get("max_lead_days") or 0) - restored.recipe.lead_days, 0)
    given = input_pipeline.parse_as_of(tuple(config.get("as_of") or ()), "config.as_of")
    found: set[End] = set()
    for cube in np.unique(data.split("train").cube):
        spans = data.periods(int(cube))
        if given:
            drawn = [given]
        elif data.harvest[cube].any():
            days = np.unique(sampling.harvest_days(data, int(cube))) - restored.recipe.lead_days
            drawn = [(int(day) - earlier, int(day)) for day in days]
        else:
            return None
        for first, last in drawn:
            begin = as_of_windows.last_period(spans, first - jitter)
            for index in range(max(begin, 0), as_of_windows.last_period(spans, last + jitter) + 1):
                found.add(_end(spans, index))
    return frozenset(found)


def of_columns(plan: Plan, data: Dataset, split: str, learnt: frozenset[End]) -> list[bool]:
    """Whether each column's windows are among those that training drew from, in every cube."""
    inside = np.ones(len(plan.columns), bool)
    for cube in np.unique(data.split(split).cube):
        spans = data.periods(int(cube))
        own = [as_of_windows.last_period(spans, int(date)) for date in plan.dates[cube]]
        inside &= [index >= 0 and _end(spans, index) in learnt for index in own]
    return inside.tolist()


def _end(spans: np.ndarray, index: int) -> End:
    day = periods.from_day(int(spans[index, 1]))
    return day.month, day.day


def note(plan: Plan, names: list[str], inside: list[bool]) -> str | None:
    """What lies outside, in words; None if nothing does.

    Args:
      plan: the columns.
      names: of the plan's crops.
      inside: of each column, from `of_columns`.
    """
    outside: dict[str, list[str]] = {}
    for there, (step, position) in zip(inside, plan.columns, strict=True):
        if not there:
            outside.setdefault(names[position], []).append(plan.steps[step].name)
    if not outside:
        return None
    if len(plan.steps) == 1:
        where = ", ".join(outside)
    else:
        where = "; ".join(f"{name} at {', '.join(steps)}" for name, steps in outside.items())
    return (
        f"some of these dates are outside the range seen in training, so that the run may know "
        f"little there (config.max_lead_days or config.as_of widens what it draws): {where}"
    )
