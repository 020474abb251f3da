"""As of which dates a run has learnt: of others it has seen no example, and may know little."""

from typing import Any

import numpy as np

from cropmap_jax.data import input_pipeline, sampling
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation.as_of_plan import Plan
from cropmap_jax.geo import as_of_windows, periods


def span(restored: Any, data: Dataset) -> tuple[int, int] | None:
    """First and last as-of date that training drew, days since 1970-01-01.

    Args:
      restored: the run, with `config` and `dataset`.
      data: the dataset that is scored.

    Returns:
      None where it cannot be told: the run learnt from another dataset, or records no dates.
    """
    config = restored.config
    if restored.dataset != data.fingerprint or "train" not in data.chips:
        return None
    jitter = int(config.get("as_of_jitter") or 0)
    given = input_pipeline.parse_as_of(tuple(config.get("as_of") or ()), "config.as_of")
    if given:
        return given[0] - jitter, given[1] + jitter
    cubes = np.unique(data.split("train").cube)
    if not data.harvest[cubes].any(1).all():
        return None
    days = np.concatenate([sampling.harvest_days(data, int(cube)) for cube in cubes])
    lead = restored.recipe.lead_days
    return int(days.min()) - lead - jitter, int(days.max()) - lead + jitter


def of_columns(plan: Plan, data: Dataset, split: str, learnt: tuple[int, int]) -> list[bool]:
    """Whether each column's windows are among those that training drew from, in every cube.

    Dates count by the window that they leave: a day more or less in the same period is none.
    """
    inside = np.ones(len(plan.columns), bool)
    for cube in np.unique(data.split(split).cube):
        spans = data.periods(int(cube))
        first, last = (as_of_windows.last_period(spans, day) for day in learnt)
        own = [as_of_windows.last_period(spans, int(date)) for date in plan.dates[cube]]
        inside &= (np.array(own) >= first) & (np.array(own) <= last)
    return inside.tolist()


def note(plan: Plan, names: list[str], inside: list[bool], learnt: tuple[int, int]) -> str | None:
    """What lies outside, in words; None if nothing does.

    Args:
      plan: the columns.
      names: of the plan's crops.
      inside: of each column, from `of_columns`.
      learnt: from `span`.
    """
    outside: dict[str, list[str]] = {}
    for there, (step, position) in zip(inside, plan.columns, strict=True):
        if not there:
            outside.setdefault(names[position], []).append(plan.steps[step].name)
    if not outside:
        return None
    first, last = map(periods.from_day, learnt)
    if len(plan.steps) == 1:
        where = ", ".join(list(outside)[:8])
    else:
        where = "; ".join(f"{name} at {', '.join(steps)}" for name, steps in outside.items())
    return (
        f"training drew as-of dates from {first} to {last}; outside these, where the run has seen "
        f"no example and may know little: {where} (config.as_of or config.as_of_jitter widens them)"
    )
