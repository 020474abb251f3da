"""Exports cubes: many requests at once, each response kept, cubes made of complete ones.

One thread, the caller's, decides and records; others only wait for the service or make cubes.
What is kept, and when, so that the process may be killed at any moment:

  1. a response's pixels are a file before the manifest has a row of it;
  2. a cube is a folder, whole, before the manifest calls it so, and the key in its item is a
     digest of what it was made of;
  3. the files of its pieces go last.

Whatever was done but not yet recorded is found by its key in the next run. What is in memory
does not grow with the number of cubes: at most `window` of them are begun and not done.
"""

import collections
import contextlib
import dataclasses
import os
import pathlib
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from cropmap_jax.sources import missing
from cropmap_jax.sources import survey as survey_lib
from cropmap_jax.sources.earthengine import options as options_lib
from cropmap_jax.sources.earthengine import pieces, service, workers
from cropmap_jax.sources.earthengine.errors import Busy, Fatal, TooLarge
from cropmap_jax.sources.earthengine.stopping import INTERRUPT, Pause, interrupts
from cropmap_jax.sources.earthengine.summary import Summary
from cropmap_jax.sources.earthengine.workers import Crew, Event, Graphs, Work
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.manifest_rows import FAILED, FLAGGED, SPLIT, CubeRow, PieceRow
from cropmap_jax.sources.targets import Target

DRAIN_S = 10.0
"""How long a run that stops waits for responses to requests that are out: they are paid for."""
_MAKERS = 4
_FEWEST_IN_A_ROW = 25
_OF_A_CUBE = (Busy, TooLarge, ValueError)
"""Errors that fail one cube; all others end the run."""


def run(
    targets: Sequence[Target],
    options: options_lib.Options,
    graphs: Graphs,
    client: workers.Fetcher,
    manifest: Manifest,
    cubes_dir: str | os.PathLike[str],
    progress: Callable[..., Iterable[CubeRow]] = lambda iterable, **_: iterable,
    max_gb: float | None = None,
    *,
    in_flight: int = service.MAX_IN_FLIGHT,
    window: int | None = None,
    limits: pieces.Limits | None = None,
    thresholds: missing.Thresholds | None = None,
    pause: Pause | None = None,
    drain_s: float = DRAIN_S,
) -> Summary:
    """Makes every cube that is not there yet; resumes where an earlier run stopped.

    A cube that fails is noted in the manifest and the others continue; only when very many fail in
    a row does the run stop. A request that is too much is split, and requests like it are split
    before they are sent once such ones keep failing.

    Args:
      targets: the cubes; see `targets.Target`.
      options: of their pixels.
      graphs: see `workers.Graphs`.
      client: sends requests, for any number of threads.
      manifest: of `cubes_dir`.
      cubes_dir: folder of cubes.
      progress: wraps an iterable, called with `total`, `unit` and `desc`.
      max_gb: 1e9 bytes of pixels, uncompressed, that this run may request; None for any number.
      in_flight: requests open at once.
      window: cubes begun and not done, at most; twice `in_flight` if None.
      limits: of one request; those of the service if None.
      thresholds: what flags a cube; `service.THRESHOLDS` if None.
      pause: the client's `sleep`, so that its waits end when the run stops.
      drain_s: how long responses to requests that are out are waited for when the run stops.

    Returns:
      What was done.

    Raises:
      ValueError: two targets of one id; a folder that is there but was made of something else.
      Fatal: no request can succeed, or very many cubes failed in a row.
      OSError: no space or no permission.
      KeyboardInterrupt: after draining.
      In all these cases what was finished is kept.
    """
    began = time.monotonic()
    folder = pathlib.Path(cubes_dir)
    # Only the deque holds what is to be done: a cube that is done leaves nothing in memory.
    found, kept = workers.survey(targets, options, manifest, folder)
    total = len(found)
    survey_lib.note(found, manifest)
    todo = collections.deque(Work(o.target, o.key, o.there, o.old, o.kept) for o in found)
    growing = {one.target.cube_id for one in found if one.old is not None}
    del found
    manifest.clean()
    limit = None if max_gb is None else max_gb * 1e9
    thresholds = thresholds or service.THRESHOLDS
    work = workers.Jobs(options, graphs, client, manifest, folder, limits, thresholds)
    export = _Export(
        work, todo, growing, in_flight, window or 2 * in_flight, limit, Summary(kept=kept)
    )
    try:
        with interrupts(work.events):
            for _ in progress(export.outcomes(), total=total, unit="cube", desc="export"):
                pass
    except BaseException:
        work.stopping.set()
        if pause is not None:
            pause.end()
        export.drain(drain_s)
        raise
    finally:
        export.close()
    summary = export.summary
    summary.left = total - summary.whole - summary.flagged - len(summary.failed)
    summary.seconds = time.monotonic() - began
    return summary


@dataclasses.dataclass(eq=False)
class _Export:
    """What is out and what is next: only the caller's thread knows it, and decides."""

    jobs: workers.Jobs
    todo: collections.deque[Work]
    growing: set[str]
    in_flight: int
    window: int
    max_bytes: float | None
    summary: Summary

    def __post_init__(self) -> None:
        # To be fetched.
        self.ready: collections.deque[tuple[Work, pieces.Piece]] = collections.deque()
        self.open = self.fetching = self.making = self.requested_bytes = 0
        self.full, self.failed_in_a_row = False, 0
        self.manifest = self.jobs.manifest
        self.fetchers = Crew(self.in_flight, self.jobs.do)
        self.makers = Crew(_MAKERS, self.jobs.do)

    def outcomes(self) -> Iterator[CubeRow]:
        """Cubes as they are made or given up."""
        while True:
            self._begin()
            if not self.fetching and not self.making:
                return
            yield from self._handle(self._collect())

    def _begin(self) -> None:
        """Starts what may be started; cubes that are begun come first."""
        while self.fetching < self.in_flight and not self.full:
            if self.ready:
                work, piece = self.ready[0]
                after = self.summary.bytes + self.requested_bytes + piece.nbytes
                if self.max_bytes is not None and after > self.max_bytes:
                    self.full = True
                    return
                self.ready.popleft()
                self.requested_bytes += piece.nbytes
                self._send(Event(workers.FETCH, work, piece))
            elif self.todo and self.open < self.window:
                self.open += 1
                work = self.todo.popleft()
                self._send(Event(workers.MAKE if work.there else workers.OPEN, work, None))
            else:
                return

    def _send(self, job: Event) -> None:
        if job.kind == workers.MAKE:
            self.making += 1
            self.makers.queue.put(job)
        else:
            self.fetching += 1
            self.fetchers.queue.put(job)

    def _collect(self, timeout: float | None = None) -> list[Event]:
        """What has come back; waits for the first."""
        events = [self.jobs.events.get(timeout=timeout)]
        with contextlib.suppress(queue.Empty):
            while len(events) < 1000:
                events.append(self.jobs.events.get_nowait())
        for event in events:
            if event.kind == workers.MAKE:
                self.making -= 1
            elif event.kind != INTERRUPT:
                self.fetching -= 1
            if event.piece is not None:
                self.requested_bytes -= event.piece.nbytes
        return events

    def _record(self, events: list[Event]) -> None:
        """One transaction for all that has come back: each costs a write to the disk."""
        rows: list[PieceRow] = []
        for event in events:
            if event.error is None and event.kind != workers.MAKE:
                rows += event.value
            elif event.piece is not None and isinstance(event.error, TooLarge):
                event.value = pieces.split(event.piece)
                if event.value:
                    rows.append(workers.row_of(event.piece, SPLIT))
        if rows:
            self.manifest.add_pieces(rows)
        for row in rows:
            self.jobs.count(row)

    def _handle(self, events: list[Event]) -> Iterator[CubeRow]:
        self._record(events)
        for event in events:  # before anything else: no cube counts as failed because of it
            if event.error is not None and not isinstance(event.error, _OF_A_CUBE):
                raise event.error
        for event in events:
            if event.kind == workers.MAKE:
                row = event.value if event.error is None else self._fail(event.work, event.error)
            else:
                row = self._handle_piece(event)
            if row is not None:
                yield self._end(row)

    def _handle_piece(self, event: Event) -> CubeRow | None:
        """Takes up what came back of a cube; its row if it has failed and nothing is out."""
        work, piece = event.work, event.piece
        parts: list[pieces.Piece] = []
        work.waiting -= piece is not None
        if piece is not None and event.error is None:
            work.done.append(piece)
            self.summary.answered += 1
            self.summary.bytes += piece.nbytes
        elif piece is not None and isinstance(event.error, TooLarge) and event.value:
            self.summary.split += 1
            parts = event.value
        elif event.error is not None:
            work.reason = work.reason or _reason(event)
            # What was not sent never is.
            before = len(self.ready)
            self.ready = collections.deque(x for x in self.ready if x[0] is not work)
            work.waiting -= before - len(self.ready)
        else:
            self.summary.reused += len(work.done)
            parts = work.todo
        if work.reason:
            return self._fail(work) if work.waiting == 0 else None
        work.waiting += len(parts)
        self.ready.extendleft((work, part) for part in reversed(parts))
        if work.waiting == 0:
            self._send(Event(workers.MAKE, work, None))
        return None

    def _fail(self, work: Work, error: BaseException | None = None) -> CubeRow:
        row = CubeRow(work.target.cube_id, work.key, FAILED, {}, work.reason or str(error))
        self.manifest.mark(row)
        return row

    def _end(self, row: CubeRow) -> CubeRow:
        """Counts a cube that is made or given up."""
        self.open -= 1
        if row.state == FAILED:
            self.summary.failed[row.cube] = row.reason
            self.failed_in_a_row += 1
            if self.failed_in_a_row >= max(_FEWEST_IN_A_ROW, self.in_flight):
                raise Fatal(
                    f"{self.failed_in_a_row} cubes in a row failed, the last, {row.cube}, because: "
                    f"{row.reason}; fix that, or wait, and run the same command again"
                )
            return row
        self.failed_in_a_row = 0
        self.summary.appended += row.cube in self.growing
        if row.state == FLAGGED:
            self.summary.flagged += 1
        else:
            self.summary.whole += 1
        return row

    def drain(self, seconds: float) -> None:
        """Waits for what is out and keeps what comes; `stopping` is set."""
        until = time.monotonic() + seconds
        # The error that stopped the run is the one to report.
        with contextlib.suppress(queue.Empty, OSError, ValueError):
            while self.fetching or self.making:
                self._record(self._collect(max(0.0, until - time.monotonic())))

    def close(self) -> None:
        """Lets all threads go; one that still waits for a response will not keep it."""
        self.jobs.stopping.set()
        self.jobs.abandoned.set()
        self.fetchers.close()
        self.makers.close()


def _reason(event: Event) -> str:
    if event.piece is None:
        return str(event.error)
    piece = event.piece
    what = f"{piece.sensor}, {workers.size_of(piece)} pixels, period {piece.first}"
    small = "; it cannot be split further" if isinstance(event.error, TooLarge) else ""
    return f"{what}: {event.error}{small}"
