"""The result of a run of an export, in figures and in words."""

import dataclasses

from cropmap_jax.sources.run_summary import RunSummary


@dataclasses.dataclass
class Summary(RunSummary):
    """What a run did.

    Args:
      answered: requests that were answered.
      split: requests that were too much, and were sent in parts.
      reused: responses to an earlier run.
    """

    answered: int = 0
    split: int = 0
    reused: int = 0

    def text(self) -> str:
        """A few lines for the terminal."""
        rate = self.answered / self.seconds if self.seconds else 0.0
        requests = (
            f"{self.answered:,d} requests answered, {self.bytes / 1e9:.2f} GB, {rate:.1f}/s; "
            f"{self.split:,d} split, {self.reused:,d} responses of an earlier run used"
        )
        return "\n".join([self.of_cubes(), requests, *self.of_the_rest()])
