"""Records whose pixels are shared and whose labels are not: what a view hides is unknown."""

from typing import Any

import numpy as np

from cropmap_jax.data.examples import Pixels, Record, Source
from cropmap_jax.geo.legend import IGNORE


class Masked:
    """Some records of a source, with part of their annotation; a `Source`.

    Args:
      whole: the records.
      chosen: int [N], which of them.
    """

    def __init__(self, whole: Source, chosen: np.ndarray):
        self._whole, self._chosen = whole, chosen

    def known(self, index: int) -> np.ndarray:
        """bool [H, W], which annotation of a record of the view may be seen."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Record:
        record = dict(self._whole[self._number(index)])
        mask = self.known(index)
        record["label"] = np.where(mask, record["label"], np.uint8(IGNORE))
        record["fields"] = np.where(mask, record["fields"], np.uint32(0))
        return record

    def label(self, index: int) -> np.ndarray:
        """As `Source.label`."""
        label = self._whole.label(self._number(index))
        return np.where(self.known(index), label, np.uint8(IGNORE))

    def weak(self, index: int) -> np.ndarray:
        """As `Source.weak`."""
        return self._whole.weak(self._number(index))

    def fields(self, index: int) -> np.ndarray:
        """As `Source.fields`."""
        fields = self._whole.fields(self._number(index))
        return np.where(self.known(index), fields, np.uint32(0))

    def read_window(
        self, index: int, chosen: np.ndarray, pixels: Pixels, label: np.ndarray | None = None
    ) -> None:
        """As `Source.read_window`."""
        self._whole.read_window(self._number(index), chosen, pixels, label)
        if label is not None:
            label[~self.known(index)] = IGNORE

    def gather(self, chips: np.ndarray, *places: Any) -> None:
        """As `Source.gather`: pixels, without a label."""
        self._whole.gather(self._chosen[chips], *places)

    def _number(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"expected a record from 0 to {len(self) - 1}, found {index}")
        return int(self._chosen[index])
