"""What `build` adds to a dataset that has folds: maps of folds, and pixels of each by chip."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from cropmap_jax.data import chips, cube_set, fold_maps
from cropmap_jax.data.examples import Record
from cropmap_jax.data.read_plan import Piece
from cropmap_jax.geo import cube_io, folds, splits
from cropmap_jax.geo.cube import CubeInfo
from cropmap_jax.geo.folds import UNUSED, Rule
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, WEAK_NONE


class FoldsToWrite:
    """Folds of a dataset that is being built.

    Args:
      rule: how ground is divided.
      infos: the cubes, on disk.
      from_label: whether connected components of the label count as fields where none are given.
      weak: from an open cube to the pixels that only its land-cover map knows, bool [H, W], or
        None. Each goes where the nearest annotated pixel of its cube goes, if there is one.

    Raises:
      ValueError: a rule that does not suit the cubes, or a cube that is damaged.
    """

    def __init__(
        self,
        rule: Rule,
        infos: Sequence[CubeInfo],
        from_label: bool,
        weak: Callable[[cube_io.CubeReader], np.ndarray | None] | None = None,
    ):
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
        self._maps = dict(enumerate(fold_maps.fold_maps(rule, infos, read)))
        self._shapes = {number: info.shape for number, info in enumerate(infos)}
        if weak:
            for number, info in enumerate(infos):
                with cube_io.open_cube(cube_set.folder_of(info)) as reader:
                    own = weak(reader)
                if own is not None:
                    where = f"cube {info.cube_id}"
                    found = folds.decode(self._maps[number], info.shape, rule.count, where)
                    self._maps[number] = folds.encode(_with_nearest(found, own))
        self._last: tuple[int, np.ndarray] | None = None
        self.metadata: dict[str, Any] = rule.to_json()
        """JSON-ready; `count` adds to its "pixels"."""
        self.metadata |= {
            "maps": list(self._maps.values()),
            "pixels": [[] for _ in range(rule.count)],
        }
        if weak:
            self.metadata["weak"] = [[] for _ in range(rule.count)]

    def of(self, cubes: Sequence[int]) -> "FoldsToWrite":
        """The folds of some cubes, by number, in which nothing was counted yet."""
        out = copy.copy(self)
        out._maps = {number: self._maps[number] for number in cubes}
        out._shapes = {number: self._shapes[number] for number in cubes}
        out._last = None
        names = [name for name in ("pixels", "weak") if name in self.metadata]
        out.metadata = {name: [[] for _ in range(self._count)] for name in names}
        return out

    def counted(self) -> dict[str, Any]:
        """What `count` has added to the metadata."""
        names = ("pixels", "weak")
        return {name: self.metadata[name] for name in names if name in self.metadata}

    def add(self, counted: dict[str, Any]) -> None:
        """Adds what those of some cubes have `counted`; in the order of chips."""
        for name, tables in counted.items():
            for own, more in zip(self.metadata[name], tables, strict=True):
                own += more

    def _map(self, cube: int) -> np.ndarray:
        """uint8 [H, W] of a cube; the last one stays in memory."""
        if self._last is None or self._last[0] != cube:
            found = folds.decode(self._maps[cube], self._shapes[cube], self._count, f"cube {cube}")
            self._last = cube, found
        return self._last[1]

    def used(self, piece: Piece) -> np.ndarray:
        """Which pixels of a piece's window are in a fold, bool."""
        own = self._map(piece.index)[piece.window.rows, piece.window.cols]
        used: np.ndarray = own != UNUSED
        return used

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
            if "weak" in self.metadata:
                self.metadata["weak"][fold].append(int(found[WEAK_NONE]))


def _with_nearest(found: np.ndarray, weak: np.ndarray) -> np.ndarray:
    """A map of folds in which weak pixels are in the fold of the nearest annotated one."""
    if (found == UNUSED).all():
        return found
    nearest = ndimage.distance_transform_edt(
        found == UNUSED, return_distances=False, return_indices=True
    )
    return np.where(weak & (found == UNUSED), found[tuple(nearest)], found)
