"""What every provider does before and after it makes cubes: which are there, and are they right?"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from cropmap_jax.geo import cube, cube_io
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.sources import appending, verify
from cropmap_jax.sources import missing as missing_lib
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.manifest_rows import FLAGGED, GROWING, PLANNED, WHOLE, CubeRow
from cropmap_jax.sources.targets import Target


class Marks(Protocol):
    """What a cube is noted in, such as a manifest."""

    def mark(self, row: CubeRow) -> None:
        """Adds or replaces what is known of a cube."""


@dataclasses.dataclass(frozen=True)
class Todo:
    """A cube to be made.

    Args:
      target: what it is to be.
      key: digest of all that decides what is in it.
      there: the folder is there, whole, but the manifest does not know.
      old: the cube that is there and grows; None where there is none.
      kept: how many of its periods stay as they are.
    """

    target: Target
    key: str
    there: bool = False
    old: cube.CubeInfo | None = None
    kept: int = 0


def survey(
    targets: Iterable[Target],
    key_of: Callable[[Target], str],
    manifest: Manifest | None,
    folder: pathlib.Path,
    what_differs: Callable[[cube.CubeInfo, Target], str],
    verb: str,
) -> tuple[list[Todo], int]:
    """Cubes to be made or to be appended to, and how many are there; sends no request.

    Args:
      targets: the cubes.
      key_of: digest of all that decides what is in a target's cube.
      manifest: of the folder; None to look at the cubes alone, for a plan.
      folder: of cubes.
      what_differs: what of a cube that is there is not as it is requested now, in words.
      verb: what the command does, for messages: "export" or "fetch".

    Raises:
      ValueError: two targets of one id, or a folder that is there but was made of something else.
    """
    todo: list[Todo] = []
    whole, seen, wrong = 0, set(), []
    if manifest is not None:
        cube_io.recover(folder)
    for target in targets:
        if target.cube_id in seen:
            raise ValueError(f"targets: expected different ids, found {target.cube_id!r} twice")
        seen.add(target.cube_id)
        key, path = key_of(target), folder / target.cube_id
        row = manifest.cube(target.cube_id) if manifest else None
        if not os.path.lexists(path):
            todo.append(Todo(target, key))
            continue
        if row and row.key == key and row.state in (WHOLE, FLAGGED) and _over(target, row.at):
            whole += 1
            continue
        info = _info_of(path, verb)
        kept = appending.kept_periods(info, target, key_of)
        if kept is None:
            wrong.append(f"{path}: {what_differs(info, appending.as_long(target, info))}")
        elif kept < len(target.periods):
            todo.append(Todo(target, key, False, info, kept))
        elif manifest:
            todo.append(Todo(target, key, True))
        else:
            whole += 1
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ValueError(
            f"expected cubes made of the same as is requested now, found {wrong[0]}{more}; {verb} "
            f"into another folder, or delete what is to be {_PAST[verb]} again"
        )
    return todo, whole


def _over(target: Target, at: str) -> bool:
    """Whether all periods had ended when a cube was recorded, at an ISO time."""
    return at[:10] >= target.periods[-1].end.isoformat()


def note(todo: Iterable[Todo], manifest: Manifest) -> None:
    """Notes in the manifest what is to be made, and what is to be appended to."""
    todo = list(todo)
    for state, grows in ((PLANNED, False), (GROWING, True)):
        own = [one for one in todo if (one.old is not None) == grows]
        manifest.plan(((one.target.cube_id, one.key) for one in own), state)


def to_plan(todo: Sequence[Todo], whole: int, verb: str) -> tuple[list[Target], str]:
    """What is left of a plan's cubes, and what is there already, in words.

    Args:
      todo, whole: of `survey`.
      verb: what the command does, for messages.

    Returns:
      Targets, of cubes that grow with their new periods alone; lines, "" where nothing is there.
    """
    growing = [one for one in todo if one.old is not None]
    lines = []
    if whole:
        lines.append(f"there       {whole:,} cubes, which are not {_PAST[verb]} again")
    if growing:
        new = sum(len(one.target.periods) - one.kept for one in growing)
        kept = sum(one.kept for one in growing)
        lines.append(
            f"appended to {len(growing):,} of the cubes below: {new:,} periods are new, {kept:,} "
            f"are there"
        )
    if not todo:
        lines.append(f"nothing is left to be {_PAST[verb]}")
    rest = [appending.rest_of(one.target, one.kept) for one in todo]
    return rest, "".join(f"{line}\n" for line in lines)


_PAST = {"export": "exported", "fetch": "fetched"}


def _info_of(path: pathlib.Path, verb: str) -> cube.CubeInfo:
    try:
        return cube_io.read_info(path)
    except ValueError as error:
        raise ValueError(
            f"{error}; a cube is to be {_PAST[verb]} there: {verb} into another folder, or move "
            f"{path} away"
        ) from error


def finish(
    path: pathlib.Path,
    todo: Todo,
    manifest: Marks,
    sensors: Sequence[Sensor],
    thresholds: missing_lib.Thresholds,
    labelled: bool,
    verb: str,
) -> CubeRow:
    """Checks a cube that was written, and records it.

    Args:
      path: of the cube.
      todo: what it is to be.
      manifest: of its folder, or notes for it.
      sensors: of the cube.
      thresholds: what flags it.
      labelled: whether it is to have a label.
      verb: as of `survey`.

    Raises:
      ValueError: it is not what was requested; names the file.
    """
    try:
        missing = verify.check_cube(path, todo.target)
    except ValueError as error:
        raise ValueError(f"{error}; delete {path} to {verb} it again") from error
    reasons = missing_lib.flags(missing, sensors, thresholds, labelled)
    state = FLAGGED if reasons else WHOLE
    row = CubeRow(todo.target.cube_id, todo.key, state, missing, "; ".join(reasons))
    manifest.mark(row)
    return row
