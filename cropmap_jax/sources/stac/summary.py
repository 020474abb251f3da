"""The result of a run of a fetch, in figures and in words."""

import dataclasses

from cropmap_jax.sources.run_summary import RunSummary


@dataclasses.dataclass
class Summary(RunSummary):
    """What a run did; `bytes` are those of the pixels on the cubes' grids.

    Args:
      files: that were read, of one band of one scene each.
      gone: items whose files are not there.
    """

    files: int = 0
    gone: set[str] = dataclasses.field(default_factory=set)

    def text(self) -> str:
        """A few lines for the terminal."""
        rate = self.files / self.seconds if self.seconds else 0.0
        lines = [
            self.of_cubes(),
            f"{self.files:,d} files read in part, {rate:.1f}/s, {self.bytes / 1e9:.2f} GB of "
            f"pixels",
        ]
        if self.gone:
            some = ", ".join(sorted(self.gone)[:3]) + (" ..." if len(self.gone) > 3 else "")
            lines.append(
                f"{len(self.gone):,d} items are in the catalogue but not their files, left out: "
                f"{some}"
            )
        if self.failed:
            first = next(iter(self.failed.items()))
            lines.append(f"failed: {first[0]}: {first[1]}")
        return "\n".join(lines + self.of_the_rest())
