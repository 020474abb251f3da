"""Checksums of a checkpoint, kept with its step and scores in its metadata, and their check."""

import hashlib
import json
from typing import Any

import jax
import numpy as np

from cropmap_jax.data import checks
from cropmap_jax.training.recipe import Recipe

PARTS = ("recipe", "config", "stage", "dataset", "cubes", "step", "scores", "sha256")


def seal(
    meta: dict[str, Any], step: int, state: dict[str, Any], scores: dict[str, float] | None
) -> dict[str, Any]:
    """The meta data of a checkpoint, with its step, scores and a SHA-256 of each part of the state.

    Each is computed from the host's copy, while training waits.

    Args:
      meta: JSON-ready: recipe, config, stage, dataset, cubes.
      step: steps done.
      state: trees of numpy arrays by name.
      scores: of the validation of this state; None where there was none.
    """
    sealed: dict[str, Any] = {"dataset": "", "cubes": []} | meta
    sealed |= {"step": step, "scores": scores or {}}
    sealed = json.loads(json.dumps(sealed))  # as it will be read
    sealed["sha256"] = {part: digest(tree) for part, tree in state.items()}
    sealed["sha256"]["meta"] = _digest_of_meta(sealed)
    return sealed


def check_meta(meta: dict[str, Any], step: int) -> None:
    """Requires meta data as `seal` made them.

    Raises:
      ValueError: names the part that is missing, malformed or not what was sealed.
    """
    checks.keys("meta", meta, PARTS)
    Recipe.from_json(meta["recipe"])
    checks.choice("meta.stage", meta["stage"], ("pretrain", "finetune"))
    checks.text("meta.dataset", meta["dataset"])
    checks.values("meta.cubes", meta["cubes"])
    for name in ("config", "scores", "sha256"):
        if not isinstance(meta[name], dict):
            raise ValueError(f"meta.{name}: expected a dict, found {checks.shown(meta[name])}")
    if meta["step"] != step:
        raise ValueError(f"meta.step: expected {step}, found {checks.shown(meta['step'])}")
    found, expected = _digest_of_meta(meta), meta["sha256"].get("meta")
    if found != expected:
        raise ValueError(f"meta: expected SHA-256 {checks.shown(expected)}, found {found}")


def check_state(state: dict[str, Any], meta: dict[str, Any]) -> None:
    """Requires that what was read is what was saved.

    Args:
      state: some or all of the trees that were sealed, by name.
      meta: what `seal` returned.

    Raises:
      ValueError: names the tree that differs.
    """
    for part, tree in state.items():
        found, expected = digest(tree), meta["sha256"].get(part)
        if found != expected:
            raise ValueError(f"{part}: expected SHA-256 {checks.shown(expected)}, found {found}")


def digest(tree: Any) -> str:
    """SHA-256 of a tree of arrays: paths, dtypes, shapes and values of its leaves."""
    found = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.ascontiguousarray(leaf)
        found.update(f"{jax.tree_util.keystr(path)} {array.dtype} {np.shape(leaf)}\n".encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def _digest_of_meta(meta: dict[str, Any]) -> str:
    parts = {name: value for name, value in meta["sha256"].items() if name != "meta"}
    text = json.dumps(meta | {"sha256": parts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
