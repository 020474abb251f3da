"""Checkpoints: state and recipe, written together or not at all (orbax).

The input is a function of the seed and the step (see `input_pipeline`), and the state holds the
step: neither a data iterator nor a generator of random numbers has a state of its own.

The meta data hold a SHA-256 of each part of the state and of themselves, compared whenever a
checkpoint is read: a disk that flips a bit changes no weight without a word.
"""

import contextlib
import dataclasses
import errno
import functools
import logging
import os
import pathlib
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from cropmap_jax.geo import files, indices
from cropmap_jax.models import BrokenNetwork, UnknownNetwork, variable_shapes
from cropmap_jax.training import checksums, parallel
from cropmap_jax.training.recipe import Recipe

Folder = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class Restored:
    """A checkpoint read for use: parameters and batch statistics (or their moving averages, if the
    run kept them), recipe, config and step.

    `dataset` is the fingerprint of the dataset trained on. `cubes` is the ground that the network
    has learnt from or was chosen by: `Dataset.ground` of that dataset, and with "stage" the
    training and validation cubes of the runs that it began from.
    """

    params: dict[str, Any]
    batch_stats: dict[str, Any]
    recipe: Recipe
    config: dict[str, Any]
    step: int
    stage: str
    dataset: str = ""
    cubes: tuple[dict[str, Any], ...] = ()

    @property
    def variables(self) -> dict[str, Any]:
        """What a network's `apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def folder(workdir: Folder) -> pathlib.Path:
    """Where a run keeps its checkpoints."""
    return pathlib.Path(workdir).absolute() / "checkpoints"


class Earlier(ValueError):
    """A checkpoint of an earlier version, which has no checksums."""


@contextlib.contextmanager
def _reading(where: Folder) -> Iterator[None]:
    """Turns what the libraries raise about a damaged checkpoint into one line that names it."""
    _quiet()
    try:
        yield
    except Earlier:
        raise
    except (UnknownNetwork, indices.UnknownIndex) as error:  # the checkpoint may be whole
        raise type(error)(f"{where}: {error}") from error
    except BrokenNetwork as error:  # likewise
        raise BrokenNetwork(f"{where}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, OSError, RecursionError) as error:
        # Orbax reads arrays side by side and waits for the first that fails; of the others, asyncio
        # would print a traceback each when the command ends.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        reason = (str(error).splitlines() or [repr(error)])[0][:200]
        raise ValueError(
            f"{where}: expected a whole checkpoint, found one that cannot be read ({reason}); "
            f"without this folder, the checkpoint before it counts"
        ) from error


@functools.cache
def _quiet() -> None:
    """Keeps orbax and tensorstore from printing, in threads of their own, what they also raise.

    Of a checkpoint that cannot be written or read they log the traceback in each thread that it
    passes, and tensorstore then complains of an event loop that has ended, once for each array that
    it gave up: until the process ends, so this holds as long.
    """
    hook = sys.unraisablehook

    def without_closed_loops(raised: Any) -> None:
        if str(raised.exc_value) != "Event loop is closed":
            hook(raised)

    sys.unraisablehook = without_closed_loops
    logging.getLogger("absl").addFilter(_is_worth_showing)


def _is_worth_showing(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR or f"{os.sep}orbax{os.sep}" not in record.pathname


LAST, BEST = "last", "best"
SCORE = "validation/macro_f1"
"""What the best checkpoint has most of."""


def _score(metrics: dict[str, Any]) -> float:
    return float(metrics[SCORE])


class Checkpointer:
    """Saves and restores a run; keeps the last `keep` checkpoints, and the best one.

    With several processes, each calls the same methods in the same order; process 0 writes.

    Args:
      workdir: the run's folder.
      meta: JSON-ready: recipe, config, stage, dataset, cubes.
      keep: number of last checkpoints kept.

    Raises:
      OSError: the folder cannot be made.
    """

    def __init__(self, workdir: Folder, meta: dict[str, Any], keep: int = 2):
        self._meta, self._failed = meta, False
        where = folder(workdir)
        try:
            where.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.not_written(where, error) from error
        _quiet()
        best = managers.BestN(
            get_metric_fn=_score, n=1, reverse=False, keep_checkpoints_without_metrics=False
        )
        kept = managers.AnyPreservationPolicy([managers.LatestN(keep), best])
        options = ocp.CheckpointManagerOptions(
            preservation_policy=kept, best_fn=_score, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(where, options=options)

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def latest(self) -> int | None:
        """Step of the last whole checkpoint."""
        step: int | None = self._manager.latest_step()
        return step

    def save(self, step: int, state: dict[str, Any], scores: dict[str, Any] | None = None) -> None:
        """Saves (in the background) a host copy of the state.

        Args:
          step: steps done.
          state: tree of numpy arrays.
          scores: of the validation of this very state; None where there was none.

        Raises:
          OSError: no space or no permission, for this checkpoint or for the one before, whose
            writing ends here; those that were whole stay so.
        """
        if step == self.latest:
            return
        with self._writing("the checkpoint before"):
            self._manager.wait_until_finished()  # old ones are removed then
        with self._writing(f"checkpoint {step}"):
            self._check_space(state)
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeSave(state),
                    meta=ocp.args.JsonSave(checksums.seal(self._meta, step, state, scores)),
                ),
                metrics=scores if scores and SCORE in scores else None,
            )

    def _check_space(self, state: dict[str, Any]) -> None:
        """Finds a full disk before orbax does, which reports it from a dozen threads."""
        needed = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(state))
        free = shutil.disk_usage(self._manager.directory).free
        if free < needed:
            raise OSError(errno.ENOSPC, f"{needed / 1e6:,.1f} MB needed, {free / 1e6:,.1f} MB free")

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        """Turns what goes wrong while checkpoints are written into one line."""
        where = self._manager.directory
        try:
            yield
        except (OSError, ValueError) as error:  # tensorstore reports a full disk as a ValueError
            self._failed = True
            if parallel.process_index() == 0:
                for unfinished in pathlib.Path(where).glob("*.orbax-checkpoint-tmp*"):
                    shutil.rmtree(unfinished, ignore_errors=True)
            reason = getattr(error, "strerror", None) or str(error).partition("\n")[0][:200]
            if "RESOURCE_EXHAUSTED" in reason:
                reason = "no space left"
            whole = [p.name for p in pathlib.Path(where).glob("*") if p.name.isdigit()]
            kept = (
                f"whole checkpoints: steps {_listed(map(int, whole))}"
                if whole
                else "there is no earlier one"
            )
            raise OSError(
                f"{where}: {what} could not be written ({reason}); {kept}; free some space and run "
                f"the same command again to resume"
            ) from error

    def restore(self, state: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Restores the last checkpoint into the shape of `state`.

        Returns:
          (step, state).

        Raises:
          ValueError: it cannot be read, or is not what was saved.
        """
        step = self._last()
        args = ocp.args.Composite(
            state=ocp.args.PyTreeRestore(
                state, restore_args=ocp.checkpoint_utils.construct_restore_args(state)
            ),
        )
        with _reading(self._manager.directory / str(step)):
            meta = _meta(self._manager, step)
            restored = self._manager.restore(step, args=args)["state"]
            checksums.check_state(restored, meta)
        return step, restored

    def meta(self) -> dict[str, Any]:
        """The meta data of the last checkpoint.

        Raises:
          ValueError: it cannot be read.
        """
        step = self._last()
        with _reading(self._manager.directory / str(step)):
            return _meta(self._manager, step)

    def _last(self) -> int:
        if (step := self.latest) is None:
            raise ValueError(f"{self._manager.directory}: expected a whole checkpoint, found none")
        return step

    def close(self) -> None:
        """Waits for background writes.

        Raises:
          OSError: as `save`, unless that has reported it.
        """
        if self._failed:
            with contextlib.suppress(OSError, ValueError):
                self._manager.close()
            return
        with self._writing("the last checkpoint"):
            self._manager.wait_until_finished()
            self._manager.close()


def load(workdir: Folder, which: str = LAST) -> Restored:
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
            shapes = _shapes(recipe, meta)
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
            check_shapes(restored, shapes, "state")
            checksums.check_state(restored, meta)
    used = restored.get("ema", restored)
    return Restored(
        used["params"],
        used["batch_stats"],
        recipe,
        meta["config"],
        step,
        meta["stage"],
        meta["dataset"],
        tuple(meta["cubes"]),
    )


def ancestors(restored: Restored) -> list[dict[str, Any]]:
    """The ground that a run has learnt from before it began, when it begins from a checkpoint.

    Returns:
      Training and validation cubes of the checkpoint's `cubes`, each with the "stage" of the run
      that they are of.
    """
    return [
        {"stage": restored.stage} | cube
        for cube in restored.cubes
        if cube["split"] in ("train", "validation")
    ]


def begun(workdir: Folder) -> tuple[Recipe, dict[str, Any]] | None:
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


def _open(where: Folder) -> ocp.CheckpointManager:
    """For reading only: nothing there is cleaned up or changed."""
    with _reading(where):
        return ocp.CheckpointManager(where, options=ocp.CheckpointManagerOptions(read_only=True))


def _meta(manager: ocp.CheckpointManager, step: int) -> dict[str, Any]:
    """The meta data of a checkpoint, checked; see `seals`."""
    args = ocp.args.Composite(meta=ocp.args.JsonRestore())
    meta: dict[str, Any] = manager.restore(step, args=args)["meta"]
    if isinstance(meta, dict) and "recipe" in meta and "sha256" not in meta:
        raise Earlier(
            f"{manager.directory / str(step)}: expected a checkpoint with checksums, found one of "
            f"an earlier version without; train again in another --workdir"
        )
    checksums.check_meta(meta, step)
    return meta


def _find(manager: ocp.CheckpointManager, which: str, where: pathlib.Path) -> int:
    """The step of the requested checkpoint."""
    steps: list[int] = sorted(manager.all_steps())
    if not steps:
        raise ValueError(f"{where}: expected a whole checkpoint, found none")
    if which == LAST:
        return steps[-1]
    if which == BEST:
        scored = {}
        for step in steps:
            with _reading(where / str(step)):
                scores = _meta(manager, step)["scores"]
            if scores and SCORE in scores:
                scored[step] = _score(scores)
        if not scored:
            raise ValueError(
                f"{where}: expected a checkpoint with a score for 'best', found none: no class "
                f"had both positives and negatives in a validation split; 'last' or one of "
                f"{_listed(steps)} is there"
            )
        # Of equals the later one, as when old ones are deleted.
        return max(scored, key=lambda step: (scored[step], step))
    if not which.isdigit() or int(which) not in steps:
        raise ValueError(
            f"{where}: expected checkpoint 'last', 'best' or one of {_listed(steps)}, "
            f"found {which!r}"
        )
    return int(which)


def _listed(steps: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(steps)))


def _shapes(recipe: Recipe, meta: dict[str, Any]) -> dict[str, Any]:
    """Shapes of what is used: parameters and batch statistics, or their moving averages if they are
    kept."""
    shapes = variable_shapes(recipe.network(), recipe.bands)
    used = {"params": shapes["params"], "batch_stats": shapes.get("batch_stats", {})}
    return {"ema": used} if "ema" in meta["sha256"] else used


def check_shapes(found: dict[str, Any], expected: dict[str, Any], where: str) -> None:
    """Requires the same leaves of the same shapes in two trees of arrays.

    Raises:
      ValueError: names the first leaf that differs, after `where`.
    """
    a, b = (
        {jax.tree_util.keystr(k): v.shape for k, v in jax.tree_util.tree_leaves_with_path(tree)}
        for tree in (found, expected)
    )
    for name in sorted(set(a) | set(b)):
        if a.get(name) != b.get(name):
            raise ValueError(
                f"{where}: expected {name} of shape {b.get(name)}, found {a.get(name)}"
            )
