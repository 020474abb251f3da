"""One door to what a workdir holds: a network's checkpoint, a baseline, or several combined."""

import os
import pathlib

from cropmap_jax.baselines import kept
from cropmap_jax.baselines.kept import Kept
from cropmap_jax.baselines.predictor import BaselinePredictor
from cropmap_jax.inference import predictors
from cropmap_jax.inference.combined import CombinedPredictor
from cropmap_jax.inference.pools import Pool
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.runs import combined_storage
from cropmap_jax.runs.combined import Combined
from cropmap_jax.training import checkpoints, steps
from cropmap_jax.training.checkpoints import Restored

NETWORK = "network"
"""What the method of a checkpoint is called in tables."""
COMBINED = "combined"
"""What the method of several together is."""


def folders(workdir: str | os.PathLike[str]) -> dict[str, pathlib.Path]:
    """Where a workdir keeps what it may hold, by what that is called in messages."""
    return {
        "the checkpoints": checkpoints.folder(workdir),
        "the baseline": kept.folder(workdir),
        "the combined runs": combined_storage.folder(workdir),
    }


def check_free(workdir: str | os.PathLike[str], own: str) -> None:
    """Requires that a workdir holds no run of another kind, which a second one would hide.

    Args:
      workdir: --workdir of what trains.
      own: what it may hold, a key of `folders`.

    Raises:
      ValueError: names what was found.
    """
    for what, path in folders(workdir).items():
        if what != own and path.exists():
            raise ValueError(
                f"--workdir {workdir}: expected a folder without {what} of others, found "
                f"{path}; choose another"
            )


def open_run(workdir: str | os.PathLike[str], which: str = checkpoints.LAST) -> Restored:
    """Reads the run of a workdir.

    Args:
      workdir: the run's folder.
      which: checkpoint of a network, see `checkpoints.load`; others have one state.

    Returns:
      The checkpoint, a `Kept` baseline, or `Combined` runs.

    Raises:
      ValueError: none is there, several are, or it cannot be read.
    """
    there = [path for path in folders(workdir).values() if path.exists()]
    if len(there) > 1:
        names = " or ".join(f"{path.name}/" for path in there)
        many, rest = ("both", "one") if len(there) == 2 else ("all", "two")
        raise ValueError(f"{workdir}: expected {names}, found {many}; move {rest} away")
    if not there or there[0] == checkpoints.folder(workdir):
        return checkpoints.load(workdir, which)
    is_baseline = there[0] == kept.folder(workdir)
    if which != checkpoints.LAST:
        what = "a baseline" if is_baseline else "combined runs"
        raise ValueError(
            f"--checkpoint: expected '{checkpoints.LAST}' for {what} ({there[0]}), found {which!r}"
        )
    if not is_baseline:
        return combined_storage.load(workdir, open_run)
    from cropmap_jax.baselines import storage  # scikit-learn takes seconds to import

    return storage.load(workdir)


def method_of(run: Restored) -> str:
    """What its method is called in tables: "network", "forest", ..., "combined"."""
    if isinstance(run, Combined):
        return COMBINED
    return str(run.recipe.model["name"]) if isinstance(run, Kept) else NETWORK


def parts_of(run: Restored) -> dict[str, Restored]:
    """The members of combined runs by name; of any other run none."""
    return dict(run.members) if isinstance(run, Combined) else {}


def predictor_of(
    run: Restored, batch_size: int, full_batches: bool = False, apart: bool = False
) -> Predictor:
    """A run's predictor.

    Args:
      run: what `open_run` read.
      batch_size, full_batches: of networks, see `NetworkPredictor`.
      apart: of combined runs, each member's own probabilities too, see `CombinedPredictor`.
    """
    if isinstance(run, Combined):
        members = [predictor_of(one, batch_size, full_batches) for one in run.members.values()]
        classes = len(run.recipe.legend)
        pool = Pool(run.recipe.exclusive, run.recipe.none_of_these)
        return CombinedPredictor(members, run.weights, run.recipe.sensors, classes, pool, apart)
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
    if not isinstance(run, Combined):
        return steps.unused_bands(run.recipe, run.params)
    found = {}
    for sensor in run.recipe.sensors:
        takers = [one for one in run.members.values() if sensor in one.recipe.sensors]
        each = [set(unused_bands(one).get(sensor.name, ())) for one in takers]
        found[sensor.name] = sorted(set.intersection(*each))
    return found
