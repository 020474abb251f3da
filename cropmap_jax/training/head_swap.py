"""Swapping the head: the trunk of a network that was trained, under the head of a new one.

The new head starts as it was drawn, or *warm*: its outputs start as those of the old head that a
crosswalk of the two legends names (`geo.crosswalk`).
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from cropmap_jax.models import HEAD, trunk_arguments
from cropmap_jax.training import checkpoints
from cropmap_jax.training.recipe import Recipe, same_pixels


def check_trunk(pretrained: Recipe, wanted: Recipe, where: str) -> None:
    """Requires the same trunk, period kind and pixel size on both sides of a head swap.

    Args:
      pretrained: recipe of the checkpoint.
      wanted: of the new network; its model has what the config says, where it says anything.
      where: the checkpoint's workdir.

    Raises:
      ValueError: names every field that differs, as config.model.FIELD.
    """
    before, now = trunk_arguments(pretrained.model), trunk_arguments(wanted.model)
    # Arguments of another network are no others of this one.
    keys = before if before["name"] == now["name"] else ("name",)
    differ: list[tuple[str, object, object]] = [
        (f"config.model.{k}", before[k], now[k]) for k in keys if before[k] != now[k]
    ]
    if pretrained.sensors != wanted.sensors:
        names = [tuple(s.name for s in recipe.sensors) for recipe in (pretrained, wanted)]
        if names[0] == names[1]:
            wanted.check_sensors(pretrained.sensors, where)
        differ.append(("config.sensors", names[0], names[1]))
    if not same_pixels(pretrained.pixel_m, wanted.pixel_m):
        differ.append(("the dataset's pixels in metres", pretrained.pixel_m, wanted.pixel_m))
    if pretrained.period_kind != wanted.period_kind:
        differ.append(("the dataset's periods", pretrained.period_kind, wanted.period_kind))
    if differ:
        listed = "; ".join(f"{name}: expected {a!r}, found {b!r}" for name, a, b in differ)
        raise ValueError(f"{listed} (expected is what the checkpoint in {where} was trained with)")


def swap_head(
    pretrained: dict[str, Any], fresh: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Takes the trunk from one set of variables and the head from another.

    Args:
      pretrained: {"params", "batch_stats"} of the checkpoint.
      fresh: the same of the new network.

    Returns:
      The joined variables, and a description of every pretrained leaf that was dropped.

    Raises:
      ValueError: anything but the head differs.
    """
    dropped, joined = [], {}
    for kind in ("params", "batch_stats"):
        old, new = dict(pretrained.get(kind, {})), dict(fresh.get(kind, {}))
        for path, leaf in jax.tree_util.tree_leaves_with_path(old.pop(HEAD, {})):
            name = "/".join(str(k.key) for k in path)
            dropped.append(f"{kind}/{HEAD}/{name} {list(leaf.shape)}")
        head = {HEAD: new.pop(HEAD)} if HEAD in new else {}
        checkpoints.check_shapes(old, new, f"head swap, {kind} of the trunk")
        joined[kind] = old | head
    return joined, dropped


def warm_head(
    pretrained: dict[str, Any],
    joined: dict[str, Any],
    recipes: tuple[Recipe, Recipe],
    classes: Mapping[int, int],
) -> dict[str, Any]:
    """Variables whose head starts from the old one, output by output.

    The last layer of a head is the head itself or, if it has several, the one called "logits"; all
    others are taken over as they are. An output without a counterpart keeps its drawn weights.
    Several new classes that are parts of one old class share its probability, where classes exclude
    each other: their biases are lower by the logarithm of their number. What is none of the classes
    starts from what was none of the old ones.

    Args:
      pretrained: {"params", "batch_stats"} of the checkpoint.
      joined: of the new network, from `swap_head`.
      recipes: of the checkpoint, and of the new network.
      classes: from `geo.crosswalk.find`.

    Raises:
      ValueError: the losses read outputs in other ways, or the heads have other layers.
    """
    old, new = recipes
    if old.exclusive != new.exclusive:
        raise ValueError(
            f"--config.crosswalk: expected a loss that reads outputs as {old.loss} does, which the "
            f"checkpoint was trained with, found --config.loss={new.loss!r}"
        )
    pairs = dict(classes)
    if old.none_of_these and new.none_of_these:
        pairs[new.outputs - 1] = old.outputs - 1
    parts = Counter(pairs.values())
    lower = {i: np.log(parts[j]) if new.exclusive else 0.0 for i, j in pairs.items()}
    into, source = list(pairs), list(pairs.values())

    def taken(path: Any, drawn: Any) -> Any:
        keys = tuple(str(key.key) for key in path)
        before = _leaf(pretrained, keys)
        last = len(keys) == 3 or keys[-2] == "logits"
        shapes = (getattr(before, "shape", None), drawn.shape)
        same = shapes[0] is not None and (
            shapes[0][:-1] == shapes[1][:-1] if last else shapes[0] == shapes[1]
        )
        if not same:
            raise ValueError(
                "--config.crosswalk: expected a head of the layers of the checkpoint's "
                f"({'/'.join(keys[1:])} {shapes[0] or 'absent'}), found {shapes[1]}"
            )
        if not last:
            return before
        leaf = np.array(drawn)
        leaf[..., into] = np.asarray(before)[..., source]
        if keys[-1] == "bias":
            leaf[..., into] -= np.array([lower[i] for i in into], leaf.dtype)
        return leaf

    out = dict(joined)
    for kind in ("params", "batch_stats"):
        if HEAD in joined.get(kind, {}):
            head = jax.tree_util.tree_map_with_path(taken, {kind: {HEAD: joined[kind][HEAD]}})
            out[kind] = {**joined[kind], HEAD: head[kind][HEAD]}
    return out


def _leaf(tree: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return tree
