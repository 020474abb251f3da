"""Combined runs on disk: a workdir with `combined/`, written whole or not at all.

    WORKDIR/combined/combined.json      members, weights, how these were found, SHA-256 of all of it
    WORKDIR/combined/members/NAME/      a copy of what each member's workdir holds

Members are copied (a network's checkpoint takes a few times the bytes of its parameters, a kept
baseline those of its model): so the folder can be moved, and stays what was weighed when a
member is trained on, moved or deleted. What is read is compared with the member that was weighed.
"""

import hashlib
import json
import os
import pathlib
import platform
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

import cropmap_jax
from cropmap_jax.baselines import kept
from cropmap_jax.baselines.kept import Kept
from cropmap_jax.data import checks
from cropmap_jax.geo import files
from cropmap_jax.runs import combined as combined_lib
from cropmap_jax.runs.combined import Combined
from cropmap_jax.training import checkpoints
from cropmap_jax.training.checkpoints import Restored

FOLDER, META, MEMBERS = "combined", "combined.json", "members"
_PARTS = ("format", "members", "weights", "how", "config", "provenance", "sha256")
_MEMBER = ("name", "workdir", "method", "step", "sha256")
_FORMAT = 2
"""1 held weights of a mean of probabilities; they are not those of a mean of their logarithms."""
_SUM = 1e-6
"""How far the sum of the weights may be from 1."""


def folder(workdir: str | os.PathLike[str]) -> pathlib.Path:
    """Where a workdir keeps combined runs."""
    return pathlib.Path(workdir).absolute() / FOLDER


def describe(
    run: Combined, workdirs: Mapping[str, str], methods: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The members of combined runs, JSON-ready.

    Args:
      run: the combined runs.
      workdirs: of each member, as it was given.
      methods: of each member, see `opening.method_of`.
    """
    return [
        {
            "name": name,
            "workdir": workdirs[name],
            "method": methods[name],
            "step": one.step,
            "sha256": combined_lib.digest(one),
        }
        for name, one in run.members.items()
    ]


def save(
    workdir: str | os.PathLike[str], run: Combined, members: list[dict[str, Any]], command: str
) -> None:
    """Copies the members and writes weights next to them.

    Args:
      workdir: the folder of the combined runs.
      run: what is written.
      members: from `describe`.
      command: that found the weights.

    Raises:
      OSError: no space or no permission; nothing is left behind then.
    """
    whole: dict[str, Any] = {
        "format": _FORMAT,
        "members": members,
        "weights": list(run.weights),
        "how": run.how,
        "config": run.config,
        "provenance": {
            "command": command,
            "cropmap_jax": cropmap_jax.__version__,
            "jax": jax.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    whole = json.loads(json.dumps(whole, allow_nan=False))  # as it will be read
    folder(workdir).parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(folder(workdir)) as part:
        part.mkdir()
        for described in members:
            one = run.members[described["name"]]
            _copy(described["workdir"], one, part / MEMBERS / described["name"])
        text = json.dumps(whole | {"sha256": _digest(whole)}, indent=1)
        files.write_synced(part / META, text.encode())


def _copy(workdir: str, run: Restored, to: pathlib.Path) -> None:
    """Copies the state of a run that was read, and no other checkpoint."""
    if isinstance(run, Kept):
        shutil.copytree(kept.folder(workdir), to / kept.FOLDER)
        return
    step = str(run.step)
    shutil.copytree(checkpoints.folder(workdir) / step, checkpoints.folder(to) / step)


def load(
    workdir: str | os.PathLike[str], open_member: Callable[[pathlib.Path], Restored]
) -> Combined:
    """Reads combined runs.

    Args:
      workdir: the folder of the combined runs.
      open_member: reads the run of a member.

    Raises:
      ValueError: names the file or the member that is missing, damaged or not what was weighed.
    """
    meta, members = read_meta(workdir), {}
    for described in meta["members"]:
        where = folder(workdir) / MEMBERS / described["name"]
        found = open_member(where)
        if combined_lib.digest(found) != described["sha256"]:
            raise ValueError(
                f"{where}: expected the run that was weighed (SHA-256 {described['sha256']}), "
                f"found another; copy it again, or run combine again with another --workdir"
            )
        members[described["name"]] = found
    return combined_lib.combine(members, meta["weights"], meta["config"], meta["how"])


def read_meta(workdir: str | os.PathLike[str]) -> dict[str, Any]:
    """What is written about the members, checked.

    Raises:
      ValueError: names the file and what is wrong with it.
    """
    file = folder(workdir) / META
    try:
        meta: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        checks.keys("meta", meta, _PARTS)
        checks.choice("meta.format", meta["format"], (_FORMAT,))
        found = _digest({name: value for name, value in meta.items() if name != "sha256"})
        if found != meta["sha256"]:
            raise ValueError(f"expected SHA-256 {checks.shown(meta['sha256'])}, found {found}")
        checks.values("meta.members", meta["members"])
        checks.values("meta.weights", meta["weights"], len(meta["members"]))
        for i, one in enumerate(meta["members"]):
            checks.keys(f"meta.members[{i}]", one, _MEMBER)
            for name in ("name", "sha256", "workdir"):
                checks.text(f"meta.members[{i}].{name}", one[name], 4096)
            if one["name"] in ("", ".", "..") or os.sep in one["name"]:
                raise ValueError(f"meta.members[{i}].name: expected a name, found a path")
        for i, weight in enumerate(meta["weights"]):
            checks.real(f"meta.weights[{i}]", weight, 0, 1)
        if abs(sum(meta["weights"]) - 1) > _SUM:
            raise ValueError(f"meta.weights: expected a sum of 1, found {sum(meta['weights']):g}")
        for name in ("how", "config"):
            if not isinstance(meta[name], dict):
                raise ValueError(f"meta.{name}: expected a dict, found {checks.shown(meta[name])}")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0][:200]
        raise ValueError(
            f"{file}: expected the weights of combined runs, found a file that cannot be read "
            f"({reason}); run combine again with another --workdir"
        ) from error
    return meta


def finished(
    workdir: str | os.PathLike[str], members: list[dict[str, Any]], config: dict[str, Any]
) -> bool:
    """Whether a workdir holds the very runs that would be combined, weighed on the same data.

    Args:
      workdir: the folder of the combined runs.
      members: from `describe`; where their workdirs lie makes no difference.
      config: on which dataset they are weighed, and how; where that lies makes no difference.

    Raises:
      ValueError: it holds others, or cannot be read.
    """
    if not folder(workdir).exists():
        return False
    meta = read_meta(workdir)

    def known(described: list[dict[str, Any]]) -> set[str]:
        return {one["sha256"] for one in described}

    both = dict.fromkeys((*config, *meta["config"]))
    differ = [k for k in both if k != "data_dir" and meta["config"].get(k) != config.get(k)]
    if known(meta["members"]) != known(members):
        differ.insert(0, "members")
    if differ:
        raise ValueError(
            f"--workdir {workdir}: holds combined runs that differ ({', '.join(differ)}); expected "
            f"the same, or another --workdir"
        )
    return True


def _digest(meta: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()
