"""One method scored over a split as of the dates of a plan: what curves and tables are made of."""

import dataclasses
import functools

from cropmap_jax.evaluation import figures, split_tally
from cropmap_jax.evaluation.as_of_plan import Plan
from cropmap_jax.evaluation.evaluate import Chosen
from cropmap_jax.evaluation.figures import Resampled
from cropmap_jax.evaluation.split_tally import Method, Span

CHOSEN = 1
"""Which of the rules ("fixed", "chosen") the chosen threshold is, in `groups.Counts`."""


@dataclasses.dataclass
class Scored:
    """A method, scored.

    Args:
      method: its name.
      plan: of which columns.
      names: of the plan's crops.
      found: what was counted.
      thresholds: of each column.
      leads: effective leads of each column.
      unit: what a group is, "block" or "field".
    """

    method: str
    plan: Plan
    names: list[str]
    found: Method
    thresholds: list[Chosen]
    leads: list[Span]
    unit: str

    @functools.cached_property
    def resampled(self) -> dict[str, Resampled]:
        """By unit ("pixels", "fields"), at the chosen thresholds."""
        return {
            unit: Resampled(self.found.counts[unit][:, :, CHOSEN], self.unit) for unit in self.units
        }

    @property
    def units(self) -> list[str]:
        """Pixels, and fields where there are any."""
        fields = any(t.fields.total + t.unseen["fields"] for t in self.found.tallies)
        return list(split_tally.UNITS) if fields else ["pixels"]

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return self.resampled["pixels"].groups

    def intervals(self) -> dict[str, object]:
        """How intervals are made, JSON-ready."""
        return figures.describe(self.unit, self.groups)
