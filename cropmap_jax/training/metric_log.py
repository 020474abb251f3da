"""Scalars of a run: one JSON line per record, and TensorBoard."""

import json
import os
import pathlib
import socket
import struct
import sys
import time
from types import ModuleType
from typing import Any

from cropmap_jax.geo import files


class MetricLog:
    """Appends scalars to `metrics.jsonl` and to TensorBoard event files.

    Args:
      workdir: the run's folder.
      resume_step: lines of later steps are removed: they belong to work that was lost.

    Attributes:
      last: scalars of `resume_step`, empty where there are none.

    Raises:
      ValueError: a `metrics.jsonl` of something else.
      OSError: no space or no permission.
    """

    def __init__(self, workdir: str | os.PathLike[str], resume_step: int = 0):
        self._path = pathlib.Path(workdir) / "metrics.jsonl"
        self.last: dict[str, float] = {}
        if self._path.exists():
            kept = [r for r in read(workdir) if r["step"] <= resume_step]
            files.write_bytes(self._path, "".join(json.dumps(r) + "\n" for r in kept).encode())
            for record in [r for r in kept if r["step"] == resume_step]:
                self.last |= {k: v for k, v in record.items() if k != "step"}
        self._board = _Board(pathlib.Path(workdir) / "tensorboard", resume_step + 1)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Writes one record of floats.

        Raises:
          OSError: no space or no permission.
        """
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step} | scalars) + "\n")
        except OSError as error:
            raise _not_appended(self._path, error) from error
        self._board.write(step, scalars)


class _Board:
    """A file of TensorBoard's, appended to here and now.

    The writer of tensorboardX does it in a thread of its own, which at a full disk ends with a
    traceback and leaves the next write waiting forever.

    Args:
      folder: of such files, one for each start.
      first_step: what an interrupted run wrote of it and of later ones is not shown.

    Source: TFRecord, www.tensorflow.org/tutorials/load_data/tfrecord.
    """

    def __init__(self, folder: pathlib.Path, first_step: int):
        board = _tensorboard()
        self._event, self._scalar = board.proto.event_pb2.Event, board.summary.scalar
        self._checksum = board.record_writer.masked_crc32c
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._path = folder / name
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise _not_appended(folder, error) from error
        log = board.proto.event_pb2.SessionLog
        self._append(
            self._event(file_version="brain.Event:2"),
            self._event(step=first_step, session_log=log(status=log.START)),
        )

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Writes one event for each scalar."""
        self._append(
            *(self._event(step=step, summary=self._scalar(k, v)) for k, v in scalars.items())
        )

    def _append(self, *events: Any) -> None:
        records: list[bytes] = []
        for event in events:
            event.wall_time = time.time()
            data = event.SerializeToString()
            size = struct.pack("<Q", len(data))
            sums = (struct.pack("<I", self._checksum(part)) for part in (size, data))
            records += [size, next(sums), data, next(sums)]
        try:
            with self._path.open("ab") as file:
                file.write(b"".join(records))
        except OSError as error:
            raise _not_appended(self._path, error) from error


def _not_appended(path: pathlib.Path, error: OSError) -> OSError:
    return OSError(
        f"{path}: could not be written ({error.strerror or error}); the checkpoints are whole; "
        f"free some space and run the same command again to resume"
    )


class NoLog:
    """Stands in for `MetricLog` in processes that do not write."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Does nothing."""


def _tensorboard() -> Any:
    """The module tensorboardX, kept from importing PyTorch: two seconds of every start."""
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None: absent
    loaded = modules.setdefault("torch", None)
    try:
        import tensorboardX
        import tensorboardX.proto.event_pb2
        import tensorboardX.record_writer
        import tensorboardX.summary
    finally:
        if loaded is None:
            del modules["torch"]
    return tensorboardX


def read(workdir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Records of `metrics.jsonl`; a last line cut short by a kill is skipped.

    Raises:
      ValueError: a line that is no record of a run.
    """
    path, records = pathlib.Path(workdir) / "metrics.jsonl", []
    lines = path.read_bytes().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines):
                break
            record = None
        if not isinstance(record, dict) or type(record.get("step")) is not int:
            raise ValueError(
                f'{path}, line {number}: expected a record of a run like {{"step": 1, ...}}, found '
                f"{line[:60].decode(errors='replace')!r}"
            )
        records.append(record)
    return records
