"""What a run that makes cubes did, whichever source it asks: in figures and in words."""

import dataclasses
from typing import Any


@dataclasses.dataclass
class RunSummary:
    """What every such run counts.

    Args:
      whole, flagged: cubes made; the flagged have much missing.
      failed: {cube's id: why} of those given up.
      kept: cubes that were there already.
      appended: those of the cubes made that were there, with fewer periods.
      left: cubes not made, because `max_gb` was reached.
      bytes: of the pixels that were read, uncompressed.
      seconds: that the run took.
    """

    whole: int = 0
    flagged: int = 0
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    kept: int = 0
    appended: int = 0
    left: int = 0
    bytes: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """What is the same for every source, for scripts."""
        names = [field.name for field in dataclasses.fields(RunSummary)]
        return {name: getattr(self, name) for name in names}

    def of_cubes(self) -> str:
        """The first line for the terminal."""
        grown = f", {self.appended:,d} of them by appending" if self.appended else ""
        return (
            f"{self.whole + self.flagged:,d} cubes made ({self.flagged:,d} flagged){grown}, "
            f"{self.kept:,d} were there, {len(self.failed):,d} failed"
        )

    def of_the_rest(self) -> list[str]:
        """The last lines: what is left to be done, and how."""
        lines = []
        if self.left:
            lines.append(
                f"stopped by max_gb with {self.left:,d} cubes left: run the same command again to "
                f"resume, with a larger max_gb or none to go further"
            )
        if self.failed:
            lines.append("failed cubes are tried again when the command is run again")
        return lines
