"""A kept baseline in memory, and where a workdir keeps it.

Apart from `storage`, so that who runs a network need not wait for scikit-learn to be imported.
"""

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from cropmap_jax.training.checkpoints import Restored

if TYPE_CHECKING:
    from cropmap_jax.baselines.recipe import BaselineRecipe

FOLDER = "baseline"


def folder(workdir: str | os.PathLike[str]) -> pathlib.Path:
    """Where a workdir keeps a baseline."""
    return pathlib.Path(workdir).absolute() / FOLDER


@dataclasses.dataclass(frozen=True)
class Kept(Restored):
    """A baseline read for use; where a `Restored` is expected, it is one without a network.

    Args:
      recipe: with what it is used.
      model: the classifier.
      digest: SHA-256 of its file.
      unseen_bands: by sensor the indices of bands that were missing throughout in training.
      trained: pixels by class, seconds and versions of libraries.
    """

    recipe: "BaselineRecipe"
    model: Any = None
    digest: str = ""
    unseen_bands: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    trained: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """What tells it from another baseline of the same recipe."""
        return {"model": np.frombuffer(bytes.fromhex(self.digest), np.uint8)}
