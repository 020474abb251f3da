"""Scalars of a run: one JSON line per record, and TensorBoard."""

import json
import pathlib
import sys


class MetricLog:
    """Appends scalars to `metrics.jsonl` and to TensorBoard event files.

    Args:
      workdir: the run's folder.
      resume_step: lines of later steps are removed: they belong to work that was lost.

    Attributes:
      last: scalars of `resume_step`, empty where there are none.
    """

    def __init__(self, workdir, resume_step: int = 0):
        self._path = pathlib.Path(workdir) / "metrics.jsonl"
        self.last: dict = {}
        if self._path.exists():
            kept = [r for r in read(workdir) if r["step"] <= resume_step]
            part = self._path.with_suffix(".part")
            part.write_text("".join(json.dumps(r) + "\n" for r in kept))
            part.rename(self._path)
            for record in [r for r in kept if r["step"] == resume_step]:
                self.last |= {k: v for k, v in record.items() if k != "step"}
        self._board = _tensorboard().SummaryWriter(
            str(pathlib.Path(workdir) / "tensorboard"), purge_step=resume_step + 1
        )

    def write(self, step: int, scalars: dict) -> None:
        """Writes one record of floats."""
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step} | scalars) + "\n")
        for name, value in scalars.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes TensorBoard's files."""
        self._board.close()


class NoLog:
    """Stands in for `MetricLog` in processes that do not write."""

    def __init__(self):
        self.last: dict = {}

    def write(self, step: int, scalars: dict) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


def _tensorboard():
    """The module tensorboardX, kept from importing PyTorch: two seconds of every start."""
    loaded = sys.modules.setdefault("torch", None)
    try:
        import tensorboardX
    finally:
        if loaded is None:
            del sys.modules["torch"]
    return tensorboardX


def read(workdir) -> list[dict]:
    """Records of `metrics.jsonl`; a last line cut short by a kill is passed over."""
    records = []
    for line in (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records
