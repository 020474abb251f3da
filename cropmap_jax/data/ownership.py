"""Which files in a folder of datasets `build` wrote: only those are replaced or removed."""

import os
import pathlib
import re
import shutil

from cropmap_jax.data import dataset_files
from cropmap_jax.geo import files

UNFINISHED = "incomplete."


def _foreign(folder: pathlib.Path, deep: bool = False) -> str:
    """The first thing in a folder that `build` does not write; "" if there is none."""
    if folder.is_symlink() or not folder.is_dir():
        return folder.name
    for path in sorted(folder.rglob("*") if deep else folder.iterdir()):
        ours = path.name in _FILES or re.fullmatch(dataset_files.FILE, path.name)
        if not (path.is_file() and ours or deep and path.is_dir() and not path.is_symlink()):
            return path.name
    return ""


_FILES = (dataset_files.INFO, dataset_files.FEATURES, dataset_files.METADATA)


def check_replaceable(final: pathlib.Path) -> None:
    """Requires that nothing lies where a dataset shall be, or a dataset and nothing else."""
    found = _foreign(final) if os.path.lexists(final) else ""
    if found:
        raise ValueError(
            f"{final}: found {found}, which build did not write; expected another --name or "
            f"--data_dir, or that moved away"
        )


def remove_unfinished(final: pathlib.Path) -> None:
    """Removes what builds that were killed left next to a dataset.

    One that was killed between moving the old dataset aside and naming the new one left none: the
    old one is put back.
    """
    for path in sorted(final.parent.iterdir()):
        ours = path.name.startswith(UNFINISHED) or files.unfinished(path) == final.name
        if not ours or _foreign(path, deep=True):
            continue
        if path.suffix == ".old" and not os.path.lexists(final):
            path.rename(final)
        elif path.name.startswith(UNFINISHED):
            shutil.rmtree(path, ignore_errors=True)
        else:
            files.remove_left(path)
