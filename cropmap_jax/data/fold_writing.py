"""What `build` adds to a dataset that has folds: maps of folds, and pixels of each by chip."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cropmap_jax.data import chips, cube_set, fold_maps
from cropmap_jax.data.examples import Record
from cropmap_jax.data.read_plan import Piece
from cropmap_jax.geo import cube_io, folds, splits
from cropmap_jax.geo.cube import CubeInfo
from cropmap_jax.geo.folds import UNUSED, Rule
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE


class FoldsToWrite:
    """Folds of a dataset that is being built.

    Args:
      rule: how ground is divided.
      infos: the cubes, on disk.
      from_label: whether connected components of the label count as fields where none are given.

    Raises:
      ValueError: a rule that does not suit the cubes, or a cube that is damaged.
    """

    def __init__(self, rule: Rule, infos: Sequence[CubeInfo], from_label: bool):
        if rule.by == "field" and not from_label and not any(info.has_fields for info in infos):
            raise ValueError(
                f"{rule}: expected cubes with fields, found none: they are labelled by a map; "
                f"expected --by block or checkerboard"
            )

        def read(number: int) -> tuple[np.ndarray, np.ndarray]:
            # Checksums are compared when the pixels are read.
            with cube_io.open_cube(cube_set.folder_of(infos[number])) as reader:
                label, fields = reader.label(), reader.fields()
            if from_label and not infos[number].has_fields:
                fields = splits.connected_fields(label)
            return label, fields

        self._count = rule.count
        self._maps = fold_maps.fold_maps(rule, infos, read)
        self._shapes = [info.shape for info in infos]
        self._last: tuple[int, np.ndarray] | None = None
        self.metadata: dict[str, Any] = rule.to_json()
        """JSON-ready; `count` adds to its "pixels"."""
        self.metadata |= {"maps": self._maps, "pixels": [[] for _ in range(rule.count)]}

    def _map(self, cube: int) -> np.ndarray:
        """uint8 [H, W] of a cube; the last one stays in memory."""
        if self._last is None or self._last[0] != cube:
            found = folds.decode(self._maps[cube], self._shapes[cube], self._count, f"cube {cube}")
            self._last = cube, found
        return self._last[1]

    def label(self, piece: Piece, label: np.ndarray) -> np.ndarray:
        """The label of a piece's window, uint8; unknown where it is in no fold."""
        own = self._map(piece.index)[piece.window.rows, piece.window.cols]
        return np.where(own == UNUSED, np.uint8(IGNORE), label)

    def components(self, cube: int, label: np.ndarray) -> np.ndarray:
        """Field ids of a cube whose label alone shows them, uint32 [H, W]; cut at folds."""
        return fold_maps.cut_components(label, self._map(cube))

    def count(self, cube: int, example: Record, classes: int) -> None:
        """Adds the annotated pixels of a chip, by fold."""
        label = example["label"]
        place = example["row"], example["col"], len(label)
        own = chips.cut(self._map(cube), *place, UNUSED)
        kinds = [*range(classes), NONE_OF_THESE]
        for fold, table in enumerate(self.metadata["pixels"]):
            found = np.bincount(label[own == fold], minlength=256)
            table.append(found[kinds].tolist())
