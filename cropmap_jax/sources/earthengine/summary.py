"""The result of a run of an export, in figures and in words."""

import dataclasses


@dataclasses.dataclass
class Summary:
    """What a run did.

    Args:
      whole, flagged: cubes made; the flagged have much missing.
      failed: {cube's id: why} of those given up.
      kept: cubes that were there already.
      left: cubes not made, because `max_gb` was reached.
      answered: requests that were answered.
      bytes: of their pixels, uncompressed.
      split: requests that were too much, and were sent in parts.
      reused: responses to an earlier run.
      seconds: that the run took.
    """

    whole: int = 0
    flagged: int = 0
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    kept: int = 0
    left: int = 0
    answered: int = 0
    bytes: int = 0
    split: int = 0
    reused: int = 0
    seconds: float = 0.0

    def text(self) -> str:
        """A few lines for the terminal."""
        rate = self.answered / self.seconds if self.seconds else 0.0
        lines = [
            f"{self.whole + self.flagged:,d} cubes made ({self.flagged:,d} flagged), "
            f"{self.kept:,d} were there, {len(self.failed):,d} failed",
            f"{self.answered:,d} requests answered, {self.bytes / 1e9:.2f} GB, {rate:.1f}/s; "
            f"{self.split:,d} split, {self.reused:,d} responses of an earlier run used",
        ]
        if self.left:
            lines.append(
                f"stopped by max_gb with {self.left:,d} cubes left: run the same command again to "
                f"resume, with a larger max_gb or none to go further"
            )
        if self.failed:
            lines.append("failed cubes are tried again when the command is run again")
        return "\n".join(lines)
