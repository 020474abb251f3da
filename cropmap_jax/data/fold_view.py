"""One fold of a dataset as a dataset of its own: pixels are shared, labels never.

The records hold every label. A view masks what is not of the split asked for: fold `k` is "test",
with three folds or more the next one is "validation", the others are "train".
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from cropmap_jax.data import dataset_files, masking
from cropmap_jax.data.chips import cut
from cropmap_jax.data.examples import Source
from cropmap_jax.geo import folds
from cropmap_jax.geo.folds import UNUSED, Rule

_KEPT_BYTES = 1 << 26
"""Of maps that are unpacked, all views of a dataset together; at least two maps."""


@dataclasses.dataclass(frozen=True, eq=False)
class Folds:
    """The folds of a dataset.

    Args:
      rule: how ground was divided.
      maps: of each cube, as `geo.folds.encode` writes them.
      shapes: (height, width) of each cube.
      pixels: int64 [folds, N, classes + 1], as `Chips.pixels`, of each fold in every chip.
      where: what an error names.
      weak: int64 [folds, N], as `Chips.weak`, of each fold in every chip; None without such pixels.
      validates: whether a fold of three or more is kept for validation in each view.
    """

    rule: Rule
    maps: Sequence[str]
    shapes: Sequence[tuple[int, int]]
    pixels: np.ndarray
    where: str
    weak: np.ndarray | None = None
    validates: bool = True

    def splits(self, fold: int) -> dict[str, tuple[int, ...]]:
        """Which folds each split holds when `fold` is tested.

        Raises:
          ValueError: there is no such fold.
        """
        count = self.rule.count
        if isinstance(fold, bool) or not isinstance(fold, int) or not 0 <= fold < count:
            raise ValueError(
                f"{self.where}: expected fold 0 to {count - 1} (--config.fold; --fold of "
                f"evaluate), found {fold!r}"
            )
        after = ((fold + 1) % count,) if count > 2 and self.validates else ()
        rest = tuple(k for k in range(count) if k not in (fold, *after))
        return {"train": rest} | ({"validation": after} if after else {}) | {"test": (fold,)}

    def map(self, cube: int) -> np.ndarray:
        """uint8 [H, W], the fold of each annotated or weak pixel of a cube; UNUSED elsewhere.

        Raises:
          ValueError: it is damaged.
        """
        found: np.ndarray = self._unpacked(cube)
        return found

    @functools.cached_property
    def _unpacked(self) -> Any:
        largest = max(height * width for height, width in self.shapes)

        @functools.lru_cache(maxsize=max(2, _KEPT_BYTES // largest))
        def unpack(cube: int) -> np.ndarray:
            where = f"{self.where}: folds/maps/{cube}"
            return folds.decode(self.maps[cube], self.shapes[cube], self.rule.count, where)

        return unpack

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the maps: the same for the same ground divided in the same way."""
        found = hashlib.sha256(str(self.rule.count).encode())
        for text in self.maps:
            found.update(b" " + text.encode())
        return found.hexdigest()


class InFolds(masking.Masked):
    """Records of a split of a view. What is annotated in other folds is unknown.

    Args:
      whole: the records of all chips.
      chosen: int [N], those of the split.
      places: int [N, 3], cube, row and column of each.
      chip: side of a chip in pixels.
      found: the folds of the dataset.
      kept: folds of the split.
    """

    def __init__(
        self,
        whole: Source,
        chosen: np.ndarray,
        places: np.ndarray,
        chip: int,
        found: Folds,
        kept: Sequence[int],
    ):
        super().__init__(whole, chosen)
        self._places, self._chip, self._folds = places, chip, found
        self._kept = np.zeros(UNUSED + 1, bool)
        self._kept[list(kept)] = True

    def weak(self, index: int) -> np.ndarray:
        """As `Source.weak`: of the folds of the split."""
        weak: np.ndarray = super().weak(index) & self.known(index)
        return weak

    def known(self, index: int) -> np.ndarray:
        """As `Masked.known`: what lies in the folds of the split."""
        cube, row, col = self._places[index].tolist()
        own = cut(self._folds.map(cube), row, col, self._chip, UNUSED)
        mask: np.ndarray = self._kept[own]
        return mask


def read(
    stored: dict[str, Any],
    shapes: Sequence[tuple[int, int]],
    chips: np.ndarray,
    weak: np.ndarray | None,
    where: str,
) -> Folds:
    """The folds that metadata describe.

    Args:
      stored: of the metadata, as its schema allows it.
      shapes: (height, width) of each cube.
      chips: int64 [N, classes + 1], annotated pixels of every chip.
      weak: int64 [N], as `Chips.weak`.
      where: what an error names.

    Raises:
      ValueError: tables that do not agree.
    """
    try:
        rule = Rule(stored["count"], stored["by"], stored["side"])
    except ValueError as error:
        raise ValueError(f"{where}: folds: {error}") from error
    if len(stored["maps"]) != len(shapes):
        raise ValueError(
            f"{where}: folds/maps: expected {len(shapes)}, one of each cube, found "
            f"{len(stored['maps'])}"
        )
    at = f"{where}: folds/pixels"
    pixels = dataset_files.table(stored["pixels"], (rule.count, *chips.shape), (0, 10**9), at)
    if (pixels.sum(0) != chips).any():
        chip = int((pixels.sum(0) != chips).any(1).argmax())
        raise ValueError(
            f"{at}: expected the pixels of chip {chip} in all folds to be {chips[chip].tolist()}, "
            f"found {pixels.sum(0)[chip].tolist()}"
        )
    if weak is None:
        return Folds(rule, stored["maps"], shapes, pixels, where)
    at = f"{where}: folds/weak"
    own = dataset_files.table(stored.get("weak"), (rule.count, len(weak)), (0, 10**9), at)
    if (own.sum(0) != weak).any():
        chip = int((own.sum(0) != weak).argmax())
        raise ValueError(
            f"{at}: expected the pixels of chip {chip} in all folds to be {weak[chip]}, found "
            f"{own.sum(0)[chip]}"
        )
    return Folds(rule, stored["maps"], shapes, pixels, where, own)
