"""Verification of a map's cubes: rasters against checksums, once for each state of a file."""

import contextlib
import json
import os
import pathlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cropmap_jax.geo import cube, cube_io, files
from cropmap_jax.inference.mosaic_groups import MosaicGroup

NAME = ".predict.verified.json"

State = list[Any]
"""What a file, or a cube's files, looked like: names, sizes, times."""


def verify(
    out: pathlib.Path,
    groups: list[MosaicGroup],
    infos: Mapping[str, cube.CubeInfo],
    beside: pathlib.Path | None = None,
) -> dict[str, State]:
    """Compares the rasters of the cubes with the checksums in their items.

    A file that has the size and the times that it had when it was last found whole is not read.

    Args:
      out: folder of the map, in which `save` wrote what was verified; it need not be there.
      groups: mosaic groups of the cubes.
      infos: of each cube, by id.
      beside: folder of another map of the same cubes, whose record counts as well.

    Returns:
      The state of each cube's files, by id, for `save`.

    Raises:
      ValueError: names the file that is missing or damaged.
    """
    found, changed = {}, []
    known = [_known(folder / NAME) for folder in (out, beside) if folder is not None]
    for made in (made for group in groups for made in group.cubes):
        folder = infos[made.cube_id].folder
        state = [_state(file) for file in (folder / cube_io.ITEM, *sorted(folder.glob("*.tif")))]
        if all(one.get(made.cube_id) != state for one in known):
            changed.append(infos[made.cube_id])
        found[made.cube_id] = state
    threads = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        # In order: of several that are damaged, the first one is named.
        for _ in threads.map(cube_io.verify_checksums, changed):
            pass
    finally:
        threads.shutdown(cancel_futures=True)
    return found


def save(out: pathlib.Path, found: dict[str, State]) -> None:
    """Writes what `verify` found; where that cannot be written, it is verified again next time."""
    with contextlib.suppress(OSError):
        files.write_bytes(out / NAME, json.dumps(found).encode())


def _known(file: pathlib.Path) -> dict[str, Any]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _state(file: pathlib.Path) -> State:
    try:
        found = file.stat()
    except OSError:  # a link to nowhere: verified, and so found missing, in any case
        return [file.name]
    # The time of change too: that of modification can be set to what it was.
    return [file.name, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
