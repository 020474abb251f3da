"""What every provider does before and after it makes cubes: which are there, and are they right?"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from cropmap_jax.geo import cube, cube_io
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.sources import missing as missing_lib
from cropmap_jax.sources import verify
from cropmap_jax.sources.manifest import Manifest
from cropmap_jax.sources.manifest_rows import FLAGGED, WHOLE, CubeRow
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
    """

    target: Target
    key: str
    there: bool = False


def survey(
    keyed: Iterable[tuple[Target, str]],
    manifest: Manifest,
    folder: pathlib.Path,
    what_differs: Callable[[cube.CubeInfo, Target], str],
    verb: str,
) -> tuple[list[Todo], int]:
    """Cubes to be made, and how many are there; sends no request and changes nothing.

    Args:
      keyed: targets with their keys.
      manifest: of the folder.
      folder: of cubes.
      what_differs: what of a cube that is there is not as it is requested now, in words.
      verb: what the command does, for messages: "export" or "fetch".

    Raises:
      ValueError: two targets of one id, or a folder that is there but was made of something else.
    """
    todo: list[Todo] = []
    kept, seen, wrong = 0, set(), []
    for target, key in keyed:
        if target.cube_id in seen:
            raise ValueError(f"targets: expected different ids, found {target.cube_id!r} twice")
        seen.add(target.cube_id)
        path, row = folder / target.cube_id, manifest.cube(target.cube_id)
        there = os.path.lexists(path)
        if there and row and row.key == key and row.state in (WHOLE, FLAGGED):
            kept += 1
            continue
        if there:
            info = _info_of(path, verb)
            if info.source.get("key") != key:
                wrong.append(f"{path}: {what_differs(info, target)}")
        todo.append(Todo(target, key, there))
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ValueError(
            f"expected cubes made of the same as is requested now, found {wrong[0]}{more}; {verb} "
            f"into another folder, or delete what is to be {_PAST[verb]} again"
        )
    return todo, kept


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
