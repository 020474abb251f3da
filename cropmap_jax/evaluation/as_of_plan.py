"""Which as-of dates are scored: one, several leads before harvest, or the dates of a season."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from cropmap_jax.data import input_pipeline
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.geo import periods

MAX_LEAD = 731
"""Days, two years."""


@dataclasses.dataclass(frozen=True)
class Step:
    """A point of the curve.

    Args:
      lead_days: days before each crop's harvest; None for one date.
      as_of: the date, days since 1970-01-01; None for a lead.
    """

    lead_days: int | None = None
    as_of: int | None = None

    @property
    def name(self) -> str:
        """For tables: "60 d", "2022-05-01"."""
        if self.as_of is not None:
            return periods.from_day(self.as_of).isoformat()
        return f"{self.lead_days} d"

    @property
    def words(self) -> str:
        """For sentences: "60 days before harvest", "as of 2022-05-01"."""
        if self.as_of is not None:
            return f"as of {self.name}"
        if self.lead_days == 0:
            return "on the day that harvest begins"
        if (self.lead_days or 0) < 0:
            days = -(self.lead_days or 0)
            return f"{days} day{'s' * (days != 1)} after harvest has begun"
        return f"{self.lead_days} day{'s' * (self.lead_days != 1)} before harvest"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready: lead_days, as_of; one of them is None."""
        return {"lead_days": self.lead_days, "as_of": None if self.as_of is None else self.name}


@dataclasses.dataclass(frozen=True)
class Plan:
    """Columns of crops as of dates.

    Args:
      steps: in the order of time.
      crops: class indices.
      columns: (number of the step, position of the crop) of each column, step by step.
      dates: int32 [cubes, columns], as-of dates.
      absent: why a step and crop has no column, in words.
    """

    steps: tuple[Step, ...]
    crops: list[int]
    columns: tuple[tuple[int, int], ...]
    dates: np.ndarray
    absent: dict[tuple[int, int], str] = dataclasses.field(default_factory=dict)

    @property
    def classes(self) -> list[int]:
        """Class index of each column."""
        return [self.crops[position] for _, position in self.columns]

    def of_step(self, step: int) -> list[int]:
        """Numbers of the columns of a step."""
        return [k for k, (own, _) in enumerate(self.columns) if own == step]


def single(crops: list[int], dates: np.ndarray, step: Step) -> Plan:
    """One date for each crop.

    Args:
      crops: class indices.
      dates: int32 [cubes, crops].
      step: what they are.
    """
    return Plan((step,), crops, tuple((0, i) for i in range(len(crops))), dates)


def parse_leads(values: Sequence[str], flag: str = "--lead_days") -> list[int]:
    """Leads in days, the earliest first.

    Raises:
      ValueError: something else than whole numbers of up to two years; of several, one that is
        negative or there twice.
    """
    leads: list[int] = []
    for text in values:
        try:
            lead = int(text)
        except ValueError:
            raise ValueError(f"{flag}: expected whole numbers of days, found {text!r}") from None
        least = -MAX_LEAD if len(values) == 1 else 0
        if not least <= lead <= MAX_LEAD:
            more = "two years" if least else "two years; one alone may be negative"
            raise ValueError(f"{flag}: expected {least} to {MAX_LEAD} ({more}), found {lead}")
        if lead in leads:
            raise ValueError(f"{flag}: expected different leads, found {lead} twice")
        leads.append(lead)
    if not leads:
        raise ValueError(f"{flag}: expected days before harvest, found none")
    return sorted(leads, reverse=True)


def for_leads(data: Dataset, crops: list[int], leads: Sequence[int], splits: Sequence[str]) -> Plan:
    """Several leads, of each crop before its own harvest.

    Args:
      data: the dataset.
      crops: class indices.
      leads: in days.
      splits: whose cubes are looked at; a lead before the first image of one of these is absent.

    Raises:
      ValueError: a crop without harvest date, or no lead after the first image for any crop.
    """
    steps = tuple(Step(lead_days=lead) for lead in leads)
    dates = [input_pipeline.as_of_dates(data, crops, lead) for lead in leads]
    return _plan(data, crops, steps, dates, splits, "--lead_days")


def for_season(
    data: Dataset, crops: list[int], until: int, split: str, splits: Sequence[str]
) -> Plan:
    """The ends of all periods of a season up to a date.

    Args:
      data: the dataset.
      crops: class indices.
      until: the date, days since 1970-01-01.
      split: which is scored: its cubes' periods count.
      splits: whose cubes are looked at.

    Raises:
      ValueError: cubes of several seasons, or no period that ends by then.
    """
    looked = np.unique(np.concatenate([data.split(one).cube for one in splits]))
    seasons = sorted({data.cubes[i]["season"] for i in looked})
    if len(seasons) > 1:
        raise ValueError(
            f"--until: expected cubes of one season, found {', '.join(seasons[:5])}; expected "
            f"--lead_days, which counts from each season's harvest"
        )
    cubes = np.unique(data.split(split).cube)
    ends = np.unique(np.concatenate([data.periods(int(i))[:, 1] for i in cubes]))
    kept = [int(end) for end in ends if end <= until]
    if not kept:
        raise ValueError(
            f"--until: expected a date from the end of the first period on "
            f"({periods.from_day(int(ends[0]))}), found {periods.from_day(until)}"
        )
    steps = tuple(Step(as_of=end) for end in kept)
    dates = [input_pipeline.as_of_dates(data, crops, 0, end) for end in kept]
    return _plan(data, crops, steps, dates, splits, "--until")


def _plan(
    data: Dataset,
    crops: list[int],
    steps: tuple[Step, ...],
    dates: list[np.ndarray],
    splits: Sequence[str],
    flag: str,
) -> Plan:
    looked = [(split, int(i)) for split in splits for i in np.unique(data.split(split).cube)]
    first = np.array([data.periods(i)[0, 1] for _, i in looked])
    columns, kept, absent = [], [], {}
    for number, own in enumerate(dates):
        for position in range(len(crops)):
            early = np.flatnonzero(own[[i for _, i in looked], position] < first)
            if len(early):
                split, index = looked[int(early[0])]
                date, end = (
                    periods.from_day(int(n)) for n in (own[index, position], first[early[0]])
                )
                absent[number, position] = (
                    f"no image yet in {len(early)} of {len(looked)} cubes (as of {date}, but the "
                    f"first period of {data.cubes[index]['id']} of {split} ends on {end})"
                )
            else:
                columns.append((number, position))
                kept.append(own[:, position])
    if not columns:
        raise ValueError(f"{flag}: expected a date after the first image, found {absent[0, 0]}")
    return Plan(steps, crops, tuple(columns), np.stack(kept, 1), absent)
