"""Groups of cubes fetched by the workers of a scheduler.

A worker opens the catalogue itself, with tokens of its own environment, and writes cubes; what is
to be noted of them comes back, and the manifest is written by the process of the command alone.
"""

import contextlib
import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from cropmap_jax import scheduling
from cropmap_jax.geo import cube_io, files
from cropmap_jax.sources.manifest_rows import FAILED, CubeRow, PieceRow
from cropmap_jax.sources.stac import options as options_lib
from cropmap_jax.sources.stac.errors import Unreachable
from cropmap_jax.sources.stac.groups import Group, group
from cropmap_jax.sources.stac.source import Source
from cropmap_jax.sources.stac.summary import Summary
from cropmap_jax.sources.survey import Todo

if TYPE_CHECKING:
    from cropmap_jax.sources.stac.fetch import Fetching


class Notes:
    """Keeps what a worker would note in the manifest."""

    def __init__(self) -> None:
        self.cubes: list[CubeRow] = []
        self.pieces: list[PieceRow] = []

    def mark(self, row: CubeRow) -> None:
        """As `Manifest.mark`."""
        self.cubes.append(row)

    def add_pieces(self, rows: Iterable[PieceRow]) -> None:
        """As `Manifest.add_pieces`."""
        self.pieces.extend(rows)


@dataclasses.dataclass(frozen=True)
class Made:
    """What a worker did of a group.

    Args:
      cubes, pieces: rows for the manifest, in order.
      gone: ids of items whose files are not there.
      bytes: of pixels, as in `RunSummary`.
      files: that were read.
    """

    cubes: list[CubeRow]
    pieces: list[PieceRow]
    gone: set[str]
    bytes: int
    files: int


def fetch_group(
    own: Group,
    options: options_lib.Options,
    threads: int,
    folder: pathlib.Path,
    holder: str | None = None,
) -> Made:
    """Fetches a group: on a worker, as long as the command holds the folder.

    Raises:
      Refused: access that no repetition grants.
      OSError: no space or no permission.
    """
    from cropmap_jax.sources.stac import fetch

    todo = _todo(own, folder)
    source, notes = _opened(_Options(options, threads)), Notes()
    before, summary = source.files, Summary()
    work = fetch.Fetching(options, source, notes, folder, summary, None, holder=holder)
    for _ in work.rows(todo):
        pass
    return Made(notes.cubes, notes.pieces, summary.gone, summary.bytes, source.files - before)


def _todo(own: Group, folder: pathlib.Path) -> list[Todo]:
    """The cubes of a group, also after a worker that was lost finished some, which nobody noted.

    Those are made again with the others, and stay until then: what an item records of scenes is of
    the whole group. One that has grown is kept, since what it grew from is gone.
    """
    # Of a worker that was lost between moving a cube aside and putting the new one there.
    cube_io.recover(folder, {one.target.cube_id for one in own.todo})
    out = []
    for one in own.todo:
        path = folder / one.target.cube_id
        info = cube_io.read_info(path) if path.exists() else None
        made = info if info is not None and info.source.get("key") == one.key else None
        if one.old is not None:
            # Not by the key alone: periods that had not ended are made again under the same one.
            there = made is not None and made.source != one.old.source
            one = dataclasses.replace(one, there=there, old=dataclasses.replace(one.old, path=path))
        elif made is not None:
            one = dataclasses.replace(one, old=made)  # nothing of it is kept
        out.append(one)
    return out


@dataclasses.dataclass(frozen=True, eq=False)
class _Options:
    """Options that tables cannot be a key by."""

    options: options_lib.Options
    threads: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Options) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    @functools.cached_property
    def _text(self) -> str:
        value = dataclasses.asdict(self.options)
        return json.dumps([value, self.threads], sort_keys=True, default=str)


@functools.lru_cache(maxsize=1)
def _opened(key: _Options) -> Source:
    """A catalogue, opened once for each worker and run."""
    return Source(key.options, key.threads)


def rows(
    work: "Fetching", todo: Sequence[Todo], scheduler: scheduling.Scheduler, threads: int, most: int
) -> Iterator[CubeRow]:
    """Cubes as groups of them come back from the workers.

    Args:
      work: notes what comes back.
      todo: cubes that are not there.
      scheduler: of the workers.
      threads: files that each worker reads at once.
      most: so many cubes in a row may fail.

    Raises:
      As `fetch.run`.
    """
    folder = work.folder.absolute()

    holder = files.holder(folder)

    def tasks() -> Iterator[tuple[Group, options_lib.Options, int, pathlib.Path, str]]:
        for own in group(todo):
            if work.is_enough():
                return
            yield own, work.options, threads, folder, holder

    in_a_row = 0
    with contextlib.closing(
        scheduler.run(fetch_group, tasks(), lambda task: _name(task[0]))
    ) as ended:
        for done in ended:
            work.note(made := _made(work, done))
            for row in made.cubes:
                yield row
                in_a_row = in_a_row + 1 if row.state == FAILED else 0
                if in_a_row >= most:
                    raise Unreachable(
                        f"{in_a_row} cubes in a row failed, the last because: {row.reason}; fix "
                        f"that, or wait, and run the same command again"
                    )
    # Of workers that were killed: first what is the only copy of a cube.
    cube_io.recover(folder, {one.target.cube_id for one in todo})
    files.tidy(folder, {one.target.cube_id for one in todo})


def _made(work: "Fetching", done: scheduling.Done) -> Made:
    """What came back; failures of a group that could not begin or was too much for every worker."""
    if isinstance(done.error, (scheduling.WorkersLost, Unreachable)):
        rows = [work.failed(one, str(done.error)) for one in done.task[0].todo]
        return Made(rows, [], set(), 0, 0)
    made: Made = done.result()
    return made


def _name(own: Group) -> str:
    more = f" and {len(own.todo) - 1} next to it" if len(own.todo) > 1 else ""
    return f"{own.todo[0].target.cube_id}{more}"
