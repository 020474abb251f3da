"""The builders of datasets, which lie in the `datasets` folder and not in this package."""

import importlib
import sys

from cropmap_jax.data.cube_builder import CubeDatasetBuilder
from cropmap_jax.geo import installed

DATASETS = ("cubes", "eucropmap", "isrc")
"""Kinds of datasets."""


def load_builder(dataset: str) -> type[CubeDatasetBuilder]:
    """The builder class of a kind, from the checkout's or the wheel's `datasets` folder.

    Args:
      dataset: one of DATASETS.
    """
    folder = str(installed.folder("datasets"))
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = importlib.import_module(f"{dataset}.{dataset}_dataset_builder")
    found: type[CubeDatasetBuilder] = module.Builder
    return found


def overlap_of(dataset: str, chip: int, overlap: int | None) -> int:
    """Pixels that neighbouring chips share: by default none, of isrc half a chip.

    Raises:
      ValueError: more than a chip has.
    """
    if overlap is None:
        overlap = chip // 2 if dataset == "isrc" else 0
    if not 0 <= overlap < chip:
        raise ValueError(f"--overlap: expected 0 to {chip - 1}, found {overlap}")
    return overlap
