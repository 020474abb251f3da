"""One door to what a workdir holds: a network's checkpoint, or a kept baseline."""

import os

from cropmap_jax.baselines import storage
from cropmap_jax.baselines.predictor import BaselinePredictor
from cropmap_jax.baselines.storage import Kept
from cropmap_jax.inference import predictors
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.training import checkpoints, steps
from cropmap_jax.training.checkpoints import Restored

NETWORK = "network"
"""What the method of a checkpoint is called in tables."""


def open_run(workdir: str | os.PathLike[str], which: str = checkpoints.LAST) -> Restored:
    """Reads the run of a workdir.

    Args:
      workdir: the run's folder.
      which: checkpoint of a network, see `checkpoints.load`; a baseline has one state.

    Returns:
      The checkpoint, or a `Kept` baseline.

    Raises:
      ValueError: neither is there, both are, or it cannot be read.
    """
    kept = storage.folder(workdir)
    if not kept.exists():
        return checkpoints.load(workdir, which)
    if checkpoints.folder(workdir).exists():
        raise ValueError(
            f"{workdir}: expected checkpoints/ or {storage.FOLDER}/, found both; move one away"
        )
    if which != checkpoints.LAST:
        raise ValueError(
            f"--checkpoint: expected '{checkpoints.LAST}' for a baseline ({kept}), found {which!r}"
        )
    return storage.load(workdir)


def method_of(run: Restored) -> str:
    """What its method is called in tables: "network", "forest", ..."""
    return str(run.recipe.model["name"]) if isinstance(run, Kept) else NETWORK


def predictor_of(run: Restored, batch_size: int, full_batches: bool = False) -> Predictor:
    """A run's predictor; for the arguments, which are a network's, see `NetworkPredictor`."""
    if not isinstance(run, Kept):
        return predictors.NetworkPredictor(run, batch_size, full_batches)
    recipe = run.recipe
    return BaselinePredictor(
        recipe.features(), [run.model], len(recipe.legend), recipe.sensors, recipe.dtype
    )


def unused_bands(run: Restored) -> dict[str, list[int]]:
    """Per sensor the indices of bands that it makes no use of, since training never saw them."""
    if isinstance(run, Kept):
        return run.unseen_bands
    return steps.unused_bands(run.recipe, run.params)
