"""Checkpoints: state and recipe, written together or not at all (orbax).

The input is a function of the seed and the step (see `input_pipeline`), and the state holds the
step: neither a data iterator nor a generator of random numbers has a state of its own.
"""

import contextlib
import dataclasses
import logging
import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from cropmap_jax.models import dual_unet3d
from cropmap_jax.models.initialise import variable_shapes
from cropmap_jax.training.recipe import TRUNK_FIELDS, Recipe


@dataclasses.dataclass(frozen=True)
class Restored:
    """A checkpoint read for use: parameters, batch statistics, recipe, config and step.

    `dataset` is the fingerprint of the dataset trained on, `cubes` its `Dataset.ground`; both are
    empty where the checkpoint does not say.
    """

    params: dict
    batch_stats: dict
    recipe: Recipe
    config: dict
    step: int
    stage: str
    dataset: str = ""
    cubes: tuple[dict, ...] = ()

    @property
    def variables(self) -> dict:
        """What `DualUNet3D.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def folder(workdir) -> pathlib.Path:
    """Where a run keeps its checkpoints."""
    return pathlib.Path(workdir).absolute() / "checkpoints"


@contextlib.contextmanager
def _reading(where):
    """Turns what the libraries raise about a damaged checkpoint into one line that names it."""
    try:
        yield
    except (KeyError, TypeError, ValueError, OSError) as error:
        # Orbax reads arrays side by side and waits for the first that fails; of the others, asyncio
        # would print a traceback each when the command ends.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        reason = (str(error).splitlines() or [repr(error)])[0][:200]
        raise ValueError(
            f"{where}: expected a whole checkpoint, found one that cannot be read ({reason}); "
            f"without this folder, the checkpoint before it counts"
        ) from error


LAST, BEST = "last", "best"
SCORE = "validation/macro_f1"
"""What the best checkpoint has most of."""


def _score(metrics: dict) -> float:
    return metrics[SCORE]


class Checkpointer:
    """Saves and restores a run; keeps the last `keep` checkpoints, and the best one.

    With several processes, each calls the same methods in the same order; process 0 writes.

    Args:
      workdir: the run's folder.
      meta: JSON-ready: recipe, config, stage.
      keep: number of last checkpoints kept.
    """

    def __init__(self, workdir, meta: dict, keep: int = 2):
        self._meta = meta
        best = managers.BestN(
            get_metric_fn=_score, n=1, reverse=False, keep_checkpoints_without_metrics=False
        )
        kept = managers.AnyPreservationPolicy([managers.LatestN(keep), best])
        options = ocp.CheckpointManagerOptions(
            preservation_policy=kept, best_fn=_score, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(folder(workdir), options=options)

    @property
    def latest(self) -> int | None:
        """Step of the last whole checkpoint."""
        return self._manager.latest_step()

    def save(self, step: int, state: dict, scores: dict | None = None) -> None:
        """Saves (in the background) a host copy of the state.

        Args:
          step: steps done.
          state: tree of numpy arrays.
          scores: of the validation of this very state; None where there was none.
        """
        if step == self.latest:
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.PyTreeSave(state), meta=ocp.args.JsonSave(self._meta)
            ),
            metrics=scores or None,
        )

    def restore(self, state: dict) -> tuple[int, dict]:
        """Restores the last checkpoint into the shape of `state`.

        Returns:
          (step, state).

        Raises:
          ValueError: it cannot be read.
        """
        step = self.latest
        args = ocp.args.Composite(
            state=ocp.args.PyTreeRestore(
                state, restore_args=ocp.checkpoint_utils.construct_restore_args(state)
            ),
        )
        with _reading(self._manager.directory / str(step)):
            return step, self._manager.restore(step, args=args)["state"]

    def meta(self) -> dict:
        """The meta data of the last checkpoint.

        Raises:
          ValueError: it cannot be read.
        """
        with _reading(self._manager.directory / str(self.latest)):
            return _meta(self._manager, self.latest)

    def close(self) -> None:
        """Waits for background writes."""
        self._manager.wait_until_finished()
        self._manager.close()


def load(workdir, which: str = LAST) -> Restored:
    """Reads a checkpoint of a run for evaluation, prediction or a head swap.

    Args:
      workdir: the run's folder.
      which: "last", "best" (by SCORE on the validation split) or the number of a step.

    Raises:
      ValueError: no such checkpoint there, or one that cannot be read.
    """
    where = folder(workdir)
    if not where.is_dir():
        raise ValueError(f"{workdir}: expected a run's workdir with checkpoints/, found none")
    with _open(where) as m:
        step = _find(m, str(which), where)
        with _reading(where / str(step)):
            meta = _meta(m, step)
            recipe = Recipe.from_json(meta["recipe"])
            shapes = _shapes(recipe)
            restored = m.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeRestore(
                        shapes,
                        restore_args=jax.tree.map(lambda _: ocp.RestoreArgs(np.ndarray), shapes),
                        partial_restore=True,
                    )
                ),
            )["state"]
    _check_shapes(restored, shapes, f"{where}/{step}")
    return Restored(
        restored["params"],
        restored["batch_stats"],
        recipe,
        meta["config"],
        step,
        meta["stage"],
        meta.get("dataset", ""),
        tuple(meta.get("cubes", ())),
    )


def begun(workdir) -> tuple[Recipe, dict] | None:
    """Recipe and config of the run that a workdir holds; None before its first checkpoint.

    Args:
      workdir: the run's folder, or where it will be.

    Raises:
      ValueError: the last checkpoint cannot be read.
    """
    where = folder(workdir)
    if not where.is_dir():
        return None
    with _open(where) as m:
        step = m.latest_step()
        if step is None:
            return None
        with _reading(where / str(step)):
            meta = _meta(m, step)
            return Recipe.from_json(meta["recipe"]), meta["config"]


def _open(where) -> ocp.CheckpointManager:
    """For reading only: nothing there is cleaned up or changed."""
    options = ocp.CheckpointManagerOptions(read_only=True, best_fn=_score)
    return ocp.CheckpointManager(where, options=options)


def _meta(manager: ocp.CheckpointManager, step: int) -> dict:
    return manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore()))["meta"]


def _find(manager: ocp.CheckpointManager, which: str, where) -> int:
    """The step of the checkpoint asked for."""
    steps = manager.all_steps()
    if not steps:
        raise ValueError(f"{where}: expected a whole checkpoint, found none")
    if which == LAST:
        return manager.latest_step()
    if which == BEST:
        scored = {step: manager.metrics(step) for step in steps}
        scored = {step: _score(scores) for step, scores in scored.items() if scores}
        if not scored:
            raise ValueError(
                f"{where}: expected a checkpoint with a score for 'best', found none: the dataset "
                f"had no annotated validation split; 'last' or one of {_listed(steps)} is there"
            )
        # Of equals the later one, as when old ones are deleted.
        return max(scored, key=lambda step: (scored[step], step))
    if not which.isdigit() or int(which) not in steps:
        raise ValueError(
            f"{where}: expected checkpoint 'last', 'best' or one of {_listed(steps)}, "
            f"found {which!r}"
        )
    return int(which)


def _listed(steps) -> str:
    return ", ".join(map(str, sorted(steps)))


def _shapes(recipe: Recipe) -> dict:
    """Shapes of params and batch statistics that the recipe's network has."""
    shapes = variable_shapes(recipe.network())
    return {"params": shapes["params"], "batch_stats": shapes.get("batch_stats", {})}


def _check_shapes(found: dict, expected: dict, where: str) -> None:
    a, b = (
        {jax.tree_util.keystr(k): v.shape for k, v in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (found, expected)
    )
    for name in sorted(set(a) | set(b)):
        if a.get(name) != b.get(name):
            raise ValueError(
                f"{where}: expected {name} of shape {b.get(name)}, found {a.get(name)}"
            )


def check_trunk(pretrained: Recipe, wanted: Recipe, where: str) -> None:
    """Demands the same trunk and period kind on both sides of a head swap.

    Args:
      pretrained: recipe of the checkpoint.
      wanted: of the new network; its model has what the config says, where it says anything.
      where: the checkpoint's workdir.

    Raises:
      ValueError: names every field that differs, as config.model.FIELD.
    """
    differ = [
        (f"config.model.{k}", pretrained.model[k], wanted.model[k])
        for k in TRUNK_FIELDS
        if pretrained.model[k] != wanted.model[k]
    ]
    if pretrained.period_kind != wanted.period_kind:
        differ.append(("the dataset's periods", pretrained.period_kind, wanted.period_kind))
    if differ:
        listed = "; ".join(f"{name}: expected {a!r}, found {b!r}" for name, a, b in differ)
        raise ValueError(f"{listed} (expected is what the checkpoint in {where} was trained with)")


def swap_head(pretrained: dict, fresh: dict) -> tuple[dict, list[str]]:
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
        for path, leaf in jax.tree_util.tree_leaves_with_path(old.pop(dual_unet3d.HEAD, {})):
            name = "/".join(str(k.key) for k in path)
            dropped.append(f"{kind}/{dual_unet3d.HEAD}/{name} {list(leaf.shape)}")
        head = {dual_unet3d.HEAD: new.pop(dual_unet3d.HEAD)} if dual_unet3d.HEAD in new else {}
        _check_shapes(old, new, f"head swap, {kind} of the trunk")
        joined[kind] = old | head
    return joined, dropped
