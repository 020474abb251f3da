"""Which cubes of a map's folder are mapped already, and which files `predict` did not write."""

import dataclasses
import os
import pathlib
from collections.abc import Collection, Iterator
from typing import Any

from cropmap_jax.mapping.field_votes import VOTES
from cropmap_jax.mapping.metadata import CONFIDENCE, CROP, METADATA, Settings, read_metadata


def find(
    out: pathlib.Path, wanted: dict[str, str], settings: Settings, overwrite: bool
) -> tuple[set[str], set[str]]:
    """Which cubes are mapped already.

    Args:
      out: folder of the map.
      wanted: `MosaicGroup.inputs` of each cube to map, by id.
      settings: of this run.
      overwrite: whether maps made with other settings are to be recomputed.

    Returns:
      Ids of the cubes whose maps still hold, and of those that have a map which does not.

    Raises:
      ValueError: a map of a cube that is not wanted, one made with other settings, or a folder of
        a cube's name that holds something else.
    """
    for name in wanted:
        if os.path.lexists(out / name) and not (out / name).is_dir():
            raise ValueError(
                f"{out / name}: expected a cube's map or no folder, found a file; move it away, or "
                f"choose another --out"
            )
    good, stale = set(), set()
    for folder in _maps(out, wanted):
        metadata = read_metadata(folder)
        differ = _differences(metadata["settings"], settings)
        if differ and not overwrite:
            dated = " (a map per date: --series)" if differ.startswith("as_of: ") else ""
            raise ValueError(
                f"{folder / METADATA}: made with other settings ({differ}); expected the same, "
                f"another --out{dated}, or --overwrite"
            )
        needed = (CROP, CONFIDENCE, *([VOTES] if settings.fields else []))
        complete = all((folder / name).is_file() for name in needed)
        if not differ and complete and metadata.get("inputs") == wanted[folder.name]:
            good.add(folder.name)
        else:
            _check_replaceable(folder)
            stale.add(folder.name)
    return good, stale


def _maps(out: pathlib.Path, wanted: Collection[str]) -> Iterator[pathlib.Path]:
    """Folders of maps of the cubes that are wanted; other folders than maps are skipped."""
    for folder in sorted(path for path in out.iterdir() if path.is_dir()):
        if folder.name.startswith("."):
            continue
        there = (folder / METADATA).is_file()
        if folder.name in wanted:
            if not there:
                raise ValueError(
                    f"{folder}: expected a cube's map or no folder, found neither; move it away, "
                    f"or choose another --out"
                )
            yield folder
        elif there and _is_map(folder):
            raise ValueError(
                f"{folder}: found the map of a cube that is not among those to map; expected "
                f"another --out, or that folder gone"
            )


def _is_map(folder: pathlib.Path) -> bool:
    try:
        read_metadata(folder)
    except ValueError:
        return False
    return True


def _check_replaceable(folder: pathlib.Path) -> None:
    """Requires a map's folder to hold a map's files only, and what GDAL writes next to a raster."""
    own = {CROP, CONFIDENCE, METADATA, VOTES} | {f"{name}.aux.xml" for name in (CROP, CONFIDENCE)}
    for path in sorted(folder.iterdir()):
        if path.name not in own or path.is_dir():
            raise ValueError(
                f"{path}: found in the folder of a map that is to be replaced, and not written by "
                f"predict; move it away, or choose another --out"
            )


def _differences(was: dict[str, Any], settings: Settings) -> str:
    now = dataclasses.asdict(settings)
    keys = [k for k in now if was.get(k) != now[k]]
    return ", ".join(f"{k}: was {was.get(k)}, now {now[k]}" for k in keys)
