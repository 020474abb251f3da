"""The result of a run of a fetch, in figures and in words."""

import dataclasses


@dataclasses.dataclass
class Summary:
    """What a run did.

    Args:
      whole, flagged: cubes made; the flagged have much missing.
      failed: {cube's id: why} of those given up.
      kept: cubes that were there already.
      left: cubes not made, because `max_gb` was reached.
      files: that were read, of one band of one scene each.
      bytes: of their pixels on the cubes' grids, uncompressed.
      gone: items whose files are not there.
      seconds: that the run took.
    """

    whole: int = 0
    flagged: int = 0
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    kept: int = 0
    left: int = 0
    files: int = 0
    bytes: int = 0
    gone: set[str] = dataclasses.field(default_factory=set)
    seconds: float = 0.0

    def text(self) -> str:
        """A few lines for the terminal."""
        rate = self.files / self.seconds if self.seconds else 0.0
        lines = [
            f"{self.whole + self.flagged:,d} cubes made ({self.flagged:,d} flagged), "
            f"{self.kept:,d} were there, {len(self.failed):,d} failed",
            f"{self.files:,d} files read in part, {rate:.1f}/s, {self.bytes / 1e9:.2f} GB of "
            f"pixels",
        ]
        if self.gone:
            some = ", ".join(sorted(self.gone)[:3]) + (" ..." if len(self.gone) > 3 else "")
            lines.append(
                f"{len(self.gone):,d} items are in the catalogue but not their files, left out: "
                f"{some}"
            )
        if self.left:
            lines.append(
                f"stopped by max_gb with {self.left:,d} cubes left: run the same command again to "
                f"resume, with a larger max_gb or none to go further"
            )
        if self.failed:
            first = next(iter(self.failed.items()))
            lines.append(f"failed: {first[0]}: {first[1]}")
            lines.append("failed cubes are tried again when the command is run again")
        return "\n".join(lines)
