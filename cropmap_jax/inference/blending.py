"""Probabilities of any piece of a sheet, blended from all chips that reach into it."""

from collections import deque
from collections.abc import Callable, Iterable

import numpy as np

from cropmap_jax.geo import cube, legend
from cropmap_jax.inference.cache import Cache
from cropmap_jax.inference.mosaic_groups import MosaicGroup
from cropmap_jax.inference.pixels import PixelReader
from cropmap_jax.inference.tiling import Box, Part

Predict = Callable[[list[dict]], list[np.ndarray]]
"""Examples (s1, s2, label) to float32 [H, W, classes] probabilities of each."""


class Blender:
    """Predicts every chip once, in batches of one shape, and blends them.

    Which pieces will be asked for, in which order, is known beforehand: so a batch can be filled
    with chips that are needed next, and a chip can be forgotten after its last use. Neither changes
    a chip's prediction.

    Args:
      grounds: the sheets.
      pieces: (sheet, box) in the order in which they will be asked for.
      reader: where pixels come from.
      predict: a network, or what stands in for one.
      batch_size: chips per batch.
      limit: bytes of probabilities to keep.
    """

    def __init__(
        self,
        grounds: list[MosaicGroup],
        pieces: Iterable[tuple[int, Box]],
        reader: PixelReader,
        predict: Predict,
        batch_size: int,
        limit: int,
    ):
        self._grounds, self._reader, self._predict = grounds, reader, predict
        self._batch_size = batch_size
        self._shelf = Cache(limit)
        self._ahead: dict[tuple[int, int], deque] = {}
        known = set()
        for number, box in pieces:
            sheet = grounds[number].sheet
            for part in sheet.covering(box):
                self._shelf.expect((number, part))
                if (number, part) not in known:
                    known.add((number, part))
                    chip = sheet.chip(part)
                    self._ahead.setdefault(chip.shape, deque()).append((number, part))
                    reader.expect(number, chip)

    def probability(self, number: int, box: Box) -> np.ndarray:
        """Blended probabilities of a box of a sheet.

        Returns:
          float32 [H, W, classes]; NaN where no value of either sensor is there in the window.

        Raises:
          ValueError: names a file that cannot be read.
        """
        sheet = self._grounds[number].sheet
        parts = sheet.covering(box)
        chips = self._chips(number, parts)
        reach = {part: sheet.chip(part).common(box) for part in parts}
        total = np.zeros(box.shape)
        for part, shared in reach.items():
            total[shared.inside(box)] += sheet.weights(part, shared)
        classes = next(iter(chips.values())).shape[-1]
        out = np.zeros((*box.shape, classes), np.float32)
        for part, shared in reach.items():
            here = shared.inside(box)
            share = (sheet.weights(part, shared) / total[here]).astype(np.float32)
            out[here] += share[..., None] * chips[part][shared.inside(sheet.chip(part))]
            self._shelf.used((number, part))
        return out

    def _chips(self, number: int, parts: list[Part]) -> dict[Part, np.ndarray]:
        # Kept here while they are blended: the shelf may let go of one for the next.
        held = {part: self._shelf.get((number, part)) for part in parts}
        missing: dict[tuple[int, int], list] = {}
        for part in (part for part, chip in held.items() if chip is None):
            shape = self._grounds[number].sheet.chip(part).shape
            missing.setdefault(shape, []).append((number, part))
        for shape, keys in missing.items():
            keys = self._fill(keys, self._ahead.get(shape, deque()))
            for start in range(0, len(keys), self._batch_size):
                batch = keys[start : start + self._batch_size]
                for key, chip in zip(batch, self._predict_chips(batch), strict=True):
                    self._shelf.put(key, (chip,))
                    if key[0] == number and key[1] in held:
                        held[key[1]] = (chip,)
        return {part: chip for part, (chip,) in held.items()}

    def _fill(self, keys: list, ahead: deque) -> list:
        """Adds chips of the same shape that will be asked for next, up to whole batches."""
        keys, room = list(keys), -len(keys) % self._batch_size
        while room and ahead:
            key = ahead.popleft()
            if key not in keys and key not in self._shelf and self._shelf.expected(key):
                keys.append(key)
                room -= 1
        return keys

    def _predict_chips(self, keys: list) -> list[np.ndarray]:
        examples, lost = [], []
        for number, part in keys:
            box = self._grounds[number].sheet.chip(part)
            pixels = self._reader.read(number, box)
            seen = [(pixels[sensor] != cube.NODATA).any(axis=(0, 3)) for sensor in cube.BANDS]
            lost.append(~(seen[0] | seen[1]))
            examples.append(
                {"pixels": pixels, "label": np.full(box.shape, legend.IGNORE, np.uint8)}
            )
        chips = []
        for probability, nothing in zip(self._predict(examples), lost, strict=True):
            chip = np.array(probability, np.float32)
            if np.isnan(chip[~nothing]).any():
                raise ValueError(
                    "--workdir: the network's probabilities are not numbers (NaN); expected a "
                    "checkpoint from before its training diverged"
                )
            chip[nothing] = np.nan
            chips.append(chip)
        return chips
