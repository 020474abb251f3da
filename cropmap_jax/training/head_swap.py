"""Swapping the head: the trunk of a network that was trained, under the head of a new one."""

from typing import Any

import jax

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
