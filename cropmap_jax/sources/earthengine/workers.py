"""Jobs that an export does in threads: opening a cube, fetching a piece, making a cube.

`download` decides which is done when.
"""

import contextlib
import dataclasses
import hashlib
import pathlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from cropmap_jax.geo import cube, cube_io
from cropmap_jax.sources import appending, sentinel1, verify
from cropmap_jax.sources import missing as missing_lib
from cropmap_jax.sources import survey as survey_lib
from cropmap_jax.sources.earthengine import assembly, pieces, service
from cropmap_jax.sources.earthengine import options as options_lib
from cropmap_jax.sources.earthengine.errors import ServiceError
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.manifest_rows import DONE, SPLIT, CubeRow, PieceRow
from cropmap_jax.sources.targets import Target

_LEARN_AFTER = 5
"""After so many requests of one shape that were too large, and fewer that were answered, others of
that shape are split before they are sent."""

Graphs = Callable[..., Sequence[Any]]
"""(target, sensor) -> (expression, digest, band names) or those and facts for the cube's source.

With a third argument, the number of the first period that the graph is to be of: facts are of all.
The expression is JSON-ready, or JSON; facts are a JSON-ready mapping, e.g. the orbits chosen.
Called in several threads; may send requests, and raise what the client raises.
"""
OPEN, FETCH, MAKE = "open", "fetch", "make"
"""Kinds of jobs."""


class Fetcher(Protocol):
    """What sends requests: `client.Client`, for any number of threads."""

    def fetch(
        self, expression: Mapping[str, Any] | str, bands: Sequence[str], grid: Mapping[str, Any]
    ) -> np.ndarray:
        """The pixels of an image, int16 [H, W, bands]."""


@dataclasses.dataclass(eq=False)
class Work:
    """A cube in the making."""

    target: Target
    key: str
    there: bool = False  # the folder is, but the manifest does not know
    old: cube.CubeInfo | None = None  # the cube that is there and grows
    kept: int = 0  # how many of its periods stay
    first: dict[str, int] = dataclasses.field(default_factory=dict)  # sensor -> period fetched
    graphs: dict[str, Any] = dataclasses.field(default_factory=dict)  # sensor -> expression
    made_of: dict[str, Any] = dataclasses.field(default_factory=dict)  # for the cube's source
    done: list[pieces.Piece] = dataclasses.field(default_factory=list)  # whose files are there
    waiting: int = 0  # pieces that are not
    todo: list[pieces.Piece] = dataclasses.field(default_factory=list)  # to be fetched, once opened
    reason: str = ""  # why it failed


def survey(
    targets: Iterable[Target],
    options: options_lib.Options,
    manifest: Manifest | None,
    folder: pathlib.Path,
) -> tuple[list[survey_lib.Todo], int]:
    """Cubes to be made or appended to, and how many are there; as `sources.survey.survey`."""
    return survey_lib.survey(
        targets, lambda target: assembly.cube_key(target, options), manifest, folder,
        lambda info, target: assembly.what_differs(info, target, options), "export",
    )  # fmt: skip


@dataclasses.dataclass(eq=False)
class Event:
    """A job that has come back."""

    kind: str  # of OPEN, FETCH, MAKE, or `stopping.INTERRUPT`
    work: Work
    piece: pieces.Piece | None  # only with FETCH
    value: Any = None  # rows for the manifest, or parts of a piece that was too large
    error: BaseException | None = None


class Stopped(Exception):
    """The run stops: a job that was not begun, or came back too late."""


@dataclasses.dataclass(eq=False)
class Jobs:
    """Does jobs, in any thread, and reports them in `events`.

    Args:
      options: of the cubes' pixels.
      graphs: see `Graphs`.
      client: sends requests.
      manifest: of the folder.
      folder: of cubes.
      limits: of one request.
      thresholds: what flags a cube.
    """

    options: options_lib.Options
    graphs: Graphs
    client: Fetcher
    manifest: Manifest
    folder: pathlib.Path
    limits: pieces.Limits | None
    thresholds: missing_lib.Thresholds

    def __post_init__(self) -> None:
        self.outcomes = self.manifest.shape_counts()  # by sensor and shape: answered, too large
        self.stopping, self.abandoned = threading.Event(), threading.Event()
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def count(self, row: PieceRow) -> None:
        """Learns of a piece that was answered or split."""
        counts = self.outcomes.setdefault((row.sensor, row.shape), {DONE: 0, SPLIT: 0})
        counts[row.state] += 1

    def do(self, job: Event) -> None:
        """Does a job; whatever comes of it is an event."""
        try:
            if self.stopping.is_set():
                raise Stopped
            if job.kind == MAKE:
                job.value = self._make(job.work)
            elif job.piece is None:
                job.value = self._open(job.work)
            else:
                job.value = self._fetch(job.work, job.piece)
        except Exception as error:
            # Without its traceback, whose frames hold the pixels.
            job.error = error.with_traceback(None) if isinstance(error, ServiceError) else error
        self.events.put(job)

    def _open(self, work: Work) -> list[PieceRow]:
        """Finds what of a cube is to be fetched; rows of what is found or split on the way."""
        target = work.target
        digests: dict[str, str] = {}
        facts: dict[str, Any] = {}
        rows: list[PieceRow] = []
        stack: list[pieces.Piece] = []
        counted = self.options.s2.count
        verify.check_grid(target.geobox, target.cube_id)
        for sensor in assembly.sensors_of(self.options):
            if work.old is not None and sensor in pieces.MAPS:
                continue  # it is there
            first, made = self._graph(work, sensor)
            expression, digests[sensor], bands, *more = made
            work.first[sensor], rest = first, appending.rest_of(target, first)
            expected = pieces.bands_of(sensor, range(len(rest.periods)), counted)
            if tuple(bands) != expected:
                raise ValueError(
                    f"{target.cube_id}: expected a graph of {sensor} with bands {expected[0]} .. "
                    f"{expected[-1]} ({len(expected)}), found {', '.join(bands[:3])} ({len(bands)})"
                )
            work.graphs[sensor] = expression
            facts |= {sensor: dict(more[0])} if more else {}
            stack += pieces.pieces_of(rest, {sensor: digests[sensor]}, self.limits, counted)
        work.made_of = {"graphs": digests} | ({"facts": facts} if facts else {})
        work.todo = []
        stack.reverse()
        while stack:
            piece = stack.pop()
            row = self.manifest.piece(piece.key)
            if self._found(piece, row, rows):
                work.done.append(piece)
                continue
            parts = pieces.split(piece) if self._is_too_large(piece, row) else None
            if parts:
                stack += parts[::-1]
                if row is None or row.state != SPLIT:
                    rows.append(row_of(piece, SPLIT))
            else:
                work.todo.append(piece)
        return rows

    def _graph(self, work: Work, sensor: str) -> tuple[int, Sequence[Any]]:
        """The first period to be fetched of a sensor, and the graph from there on."""
        target, first, radar = work.target, work.kept, service.RADAR.name
        if first and sensor == radar:
            with contextlib.suppress(ValueError):  # no satellite in the new periods: all missing
                sentinel1.usable(self.options.s1.platforms, target.periods[first:])
                made = self.graphs(target, sensor, first)
                if work.old and appending.same_orbits(work.old, sensor, made[3]):
                    return first, made
            return 0, self.graphs(target, sensor)
        return first, self.graphs(target, sensor, first) if first else self.graphs(target, sensor)

    def _found(self, piece: pieces.Piece, row: PieceRow | None, rows: list[PieceRow]) -> bool:
        """Whether the pixels of a piece are there, as of an earlier run."""
        file = self.manifest.piece_file(piece.key)
        if (row is not None and row.state != DONE) or not file.exists():
            return False
        pixels = self.manifest.load(piece.key, row.sha256 if row else None)
        if pixels is None or pixels.shape != shape_of(piece) or pixels.dtype != pieces.DTYPE:
            return False
        if row is None:  # Killed between the file and its row.
            sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
            rows.append(row_of(piece, DONE, bytes=pixels.nbytes, sha256=sha256))
        return True

    def _is_too_large(self, piece: pieces.Piece, row: PieceRow | None) -> bool:
        if row is not None and row.state == SPLIT:
            return True
        counts = self.outcomes.get((piece.sensor, size_of(piece)), {DONE: 0, SPLIT: 0})
        return counts[SPLIT] >= _LEARN_AFTER and counts[SPLIT] > counts[DONE]

    def _fetch(self, work: Work, piece: pieces.Piece) -> list[PieceRow]:
        began = time.monotonic()
        where = pieces.grid_of(piece, work.target.geobox)
        pixels = self.client.fetch(work.graphs[piece.sensor], piece.bands, where)
        seconds = time.monotonic() - began
        if pixels.shape != shape_of(piece) or pixels.dtype != pieces.DTYPE:
            expected = f"{pieces.DTYPE} {list(shape_of(piece))}"
            raise ValueError(f"expected {expected}, found {pixels.dtype} {list(pixels.shape)}")
        if self.abandoned.is_set():
            raise Stopped
        sha256 = self.manifest.store(piece.key, pixels)
        return [row_of(piece, DONE, bytes=pixels.nbytes, sha256=sha256, seconds=seconds)]

    def _make(self, work: Work) -> CubeRow:
        """Makes a cube of its pieces, unless it is there; checks and records it."""
        target = work.target
        path = self.folder / target.cube_id
        if not work.there:
            growth = assembly.Growth(work.old, work.kept, work.first) if work.old else None
            made = assembly.assemble(
                target, work.done, self.manifest, self.options, work.made_of, work.key, growth
            )
            cube_io.write_cube(made, self.folder, overwrite=work.old is not None)
        labelled = self.options.label.kind != "none"
        row = survey_lib.finish(
            path, survey_lib.Todo(target, work.key), self.manifest, service.SENSORS,
            self.thresholds, labelled, "export",
        )  # fmt: skip
        self.manifest.drop(target.cube_id)
        return row


class Crew:
    """Threads that do jobs.

    Daemons, not threads of concurrent.futures: one that waits for a response holds up no exit.
    """

    def __init__(self, count: int, do: Callable[[Event], None]):
        self.queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._do, self._count = do, count
        for _ in range(count):
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while (job := self.queue.get()) is not None:
            self._do(job)
            del job  # which holds a cube's graphs: else until the next job comes

    def close(self) -> None:
        for _ in range(self._count):
            self.queue.put(None)


def row_of(piece: pieces.Piece, state: str, **more: Any) -> PieceRow:
    """A piece as the manifest has it."""
    return PieceRow(piece.key, piece.cube_id, piece.sensor, size_of(piece), state, **more)


def size_of(piece: pieces.Piece) -> str:
    """Its periods x height x width, as text."""
    return f"{len(piece.periods)}x{piece.height}x{piece.width}"


def shape_of(piece: pieces.Piece) -> tuple[int, int, int]:
    """Of its pixels: height, width, bands."""
    return piece.height, piece.width, len(piece.bands)
