"""The engine of scores and maps: probabilities of any area as of a date.

`evaluate` and `predict` differ in where pixels come from and in which pieces they want. All that
decides a probability is here and below: mosaic groups, parts, chips with their halo, blending.
"""

import dataclasses
from collections import deque

import jax
import numpy as np

from cropmap_jax.inference import pixels
from cropmap_jax.inference.ahead import Ahead
from cropmap_jax.inference.blending import blend
from cropmap_jax.inference.cache import Cache
from cropmap_jax.inference.mosaic_groups import MosaicGroup
from cropmap_jax.inference.pixels import PixelReader, Pixels, PixelSource
from cropmap_jax.inference.predictors import Example, Predictor
from cropmap_jax.inference.tiling import PART_PX, Box, Part

PIXEL_BYTES = CHIP_BYTES = 256 * 2**20
"""What is kept of pixels, and of probabilities, for chips and cubes next door."""
AHEAD_BYTES = 256 * 2**20
"""Pixels and probabilities of the batches under way ahead; one that is larger is not."""
MOST_AHEAD = 3
"""Batches under way ahead: one that is read, one that is predicted, one that is ready."""


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """A mosaic group as a predictor sees it. Each view equals itself alone, so it can be a key.

    Args:
      mosaic_group: the cubes.
      date_group: number of the group of as-of dates, for predictors with a model for each.
      classes: whose probabilities are kept, in this order; None for all.
    """

    mosaic_group: MosaicGroup
    date_group: int = 0
    classes: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
    """A piece of ground whose probabilities are wanted.

    Args:
      view: what is seen.
      box: pixels of the view's mosaic group.
      wanted: bool [H, W], at least one pixel of the box, packed by `np.packbits`; None for all.
    """

    view: View
    box: Box
    wanted: np.ndarray | None = None

    def mask(self) -> np.ndarray:
        """bool [H, W], the pixels that are wanted."""
        height, width = self.box.shape
        if self.wanted is None:
            return np.ones((height, width), bool)
        return np.unpackbits(self.wanted, count=height * width).reshape(height, width) > 0

    def parts(self) -> list[Part]:
        """The parts whose chips count in a wanted pixel, row by row."""
        tiling = self.view.mosaic_group.tiling
        parts = tiling.covering(self.box)
        if self.wanted is None:
            return parts
        mask = self.mask()
        reach = {part: tiling.reach(part).common(self.box) for part in parts}
        return [part for part, box in reach.items() if box and mask[box.inside(self.box)].any()]


_Key = tuple[View, Part]
_Kind = tuple[tuple[int, int], int]
"""Chips of one batch share it: their shape, and the group of dates."""


@dataclasses.dataclass(frozen=True)
class _Read:
    """Examples of a batch, and where each has a value of any sensor, bool [H, W]."""

    examples: list[Example]
    seen: list[np.ndarray]


class Engine:
    """Predicts every chip once, in batches of one shape, and blends them; a context manager.

    Which pieces will be requested, in which order, is announced beforehand: so a batch can be
    filled with chips that are needed next, batches can be read and predicted while the one before
    is used, and a chip can be forgotten after its last use. None of this changes a chip's
    prediction, and which chips share a batch does not depend on the time that anything takes.

    Args:
      source: where pixels come from.
      predictor: a network, or what stands in for one.
      pixel_bytes, chip_bytes: of pixels and of probabilities to keep.
      ahead_bytes: of batches that are read and predicted ahead, in threads of their own, which
        the source has to allow; 0 where nothing is.
    """

    def __init__(
        self,
        source: PixelSource,
        predictor: Predictor,
        pixel_bytes: int = PIXEL_BYTES,
        chip_bytes: int = CHIP_BYTES,
        ahead_bytes: int = 0,
    ):
        self._predictor = predictor
        self._reader = PixelReader(source, predictor.sensors, pixel_bytes)
        self._held = Cache(chip_bytes)
        self._requests: dict[_Key, list[Request]] = {}
        self._waiting: dict[_Kind, deque[_Key]] = {}
        self._order: deque[_Key] = deque()
        self._to_come: set[_Key] = set()
        self._ahead_bytes = ahead_bytes
        self._ahead = Ahead(self._read, self._make) if ahead_bytes else None
        self.predicted = 0

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        if self._ahead is not None:
            self._ahead.close()

    @property
    def size(self) -> int:
        """Bytes of pixels and probabilities that are kept now."""
        return self._held.size + self._reader.size

    def expect(self, request: Request) -> None:
        """Announces a request: `probability` and `pixels` of it will be called, once each."""
        view = request.view
        self._reader.expect(view.mosaic_group, request.box)
        for part in request.parts():
            key = (view, part)
            self._held.expect(key)
            if key not in self._requests:
                self._requests[key] = []
                chip = view.mosaic_group.tiling.chip(part)
                self._waiting.setdefault((chip.shape, view.date_group), deque()).append(key)
                self._reader.expect(view.mosaic_group, chip)
                if self._ahead is not None:
                    self._order.append(key)
                    self._to_come.add(key)
            self._requests[key].append(request)

    def pixels(self, request: Request) -> Pixels:
        """The window of a request's box, of the sensors of the predictor.

        Raises:
          ValueError: names a file that cannot be read.
        """
        return self._reader.read(request.view.mosaic_group, request.box)

    def probability(self, request: Request) -> np.ndarray:
        """Blended probabilities of an announced request.

        Returns:
          float32 [H, W, classes of the view]; NaN where no value of any sensor is there in the
          window, and where nothing is wanted.

        Raises:
          ValueError: names a file that cannot be read, or the flag that helps where memory is too
            small or probabilities are not numbers.
        """
        view, parts = request.view, request.parts()
        out = blend(view.mosaic_group.tiling, request.box, self._chips(view, parts))
        if request.wanted is not None:
            out[~request.mask()] = np.nan
        for part in parts:
            key = (view, part)
            self._held.used(key)
            if not self._held.expected(key):
                del self._requests[key]
        return out

    def _chips(self, view: View, parts: list[Part]) -> dict[Part, np.ndarray]:
        # Kept here while they are blended: the cache may let go of one for the next.
        found: dict[Part, np.ndarray] = {}
        for part in parts:
            held = self._held.get((view, part))
            if held is not None:
                found[part] = held[0]
        lacking = [(view, part) for part in parts if part not in found]
        if self._ahead is not None:
            self._begin()
            # Not for what was let go of: that would take all batches to their end.
            while self._ahead and not self._to_come.isdisjoint(lacking):
                keys, chips = self._ahead.next()
                self._begin()
                found |= self._keep(keys, chips, lacking)
        # Also what was let go of before its last use.
        missing: dict[_Kind, list[_Key]] = {}
        for key in lacking:
            if key[1] not in found:
                missing.setdefault(_kind(key), []).append(key)
        size = self._predictor.batch_size
        for kind, needed in missing.items():
            all_keys = self._fill(needed, self._waiting.get(kind, deque()))
            for start in range(0, len(all_keys), size):
                keys = all_keys[start : start + size]
                found |= self._keep(keys, self._make(keys, self._read(keys)), needed)
        return {part: found[part] for part in parts}

    def _keep(
        self, keys: list[_Key], chips: list[np.ndarray], lacking: list[_Key]
    ) -> dict[Part, np.ndarray]:
        """Keeps the chips of a batch, and returns those that are lacking."""
        self.predicted += len(keys)
        self._to_come.difference_update(keys)
        for key, chip in zip(keys, chips, strict=True):
            self._held.put(key, (chip,))
        return {key[1]: chip for key, chip in zip(keys, chips, strict=True) if key in lacking}

    def _begin(self) -> None:
        """Begins the batches that come next, as many as memory allows."""
        while self._ahead is not None and self._order and len(self._ahead) < MOST_AHEAD:
            key = self._order[0]
            waiting = self._waiting[_kind(key)]
            if not waiting or waiting[0] != key:  # it went into an earlier batch
                self._order.popleft()
                continue
            if (len(self._ahead) + 1) * self._bytes(key) > self._ahead_bytes:
                return
            keys = [waiting.popleft() for _ in range(min(self._predictor.batch_size, len(waiting)))]
            self._ahead.begin(keys)

    def _bytes(self, key: _Key) -> int:
        """Of a batch of such chips: their pixels twice, as the predictor stacks them."""
        view, (height, width) = key[0], _kind(key)[0]
        stored = sum(len(s.bands) * np.dtype(s.dtype).itemsize for s in self._predictor.sensors)
        depth = 2 * len(view.mosaic_group.window.indices) * stored
        return self._predictor.batch_size * height * width * depth

    def _fill(self, keys: list[_Key], ahead: deque[_Key]) -> list[_Key]:
        """Adds chips of the same shape that will be needed next, up to whole batches."""
        keys = list(keys)
        room = -len(keys) % self._predictor.batch_size
        while room and ahead:
            key = ahead.popleft()
            self._to_come.discard(key)
            if key not in keys and key not in self._held and self._held.expected(key):
                keys.append(key)
                room -= 1
        return keys

    def _read(self, keys: list[_Key]) -> _Read:
        """Examples of one shape and one group of dates."""
        examples, seen = [], []
        for key in keys:
            group = key[0].mosaic_group
            chip = group.tiling.chip(key[1])
            values = self._reader.read(group, chip)
            seen.append(pixels.seen(values, self._predictor.sensors))
            example = Example(
                pixels=values,
                day_of_year=group.window.day_of_year,
                wanted=self._wanted(key, chip),
            )
            examples.append(example)
        return _Read(examples, seen)

    def _make(self, keys: list[_Key], read: _Read) -> list[np.ndarray]:
        """Probabilities of the chips of a batch, NaN where nothing was seen."""
        chips = []
        answers = self._answers(read.examples, keys[0][0].date_group)
        for key, example, there, answer in zip(
            keys, read.examples, read.seen, answers, strict=True
        ):
            probability, classes = np.array(answer, np.float32), key[0].classes
            if np.isnan(probability[there & example["wanted"]]).any():
                raise ValueError(
                    "--workdir: the network's probabilities are not numbers (NaN); expected a "
                    "checkpoint from before its training diverged"
                )
            probability[~there] = np.nan
            chips.append(probability if classes is None else probability[..., list(classes)])
        return chips

    def _answers(self, examples: list[Example], date_group: int) -> list[np.ndarray]:
        """What the predictor answers; names the flag that helps where memory is too small."""
        try:
            return self._predictor.predict(examples, date_group)
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
                raise ValueError(
                    f"--batch_size {self._predictor.batch_size}: too little memory for a batch of "
                    f"so many chips; choose fewer"
                ) from error
            raise

    def _wanted(self, key: _Key, chip: Box) -> np.ndarray:
        """bool [H, W] of a chip: the wanted pixels in which it counts."""
        out = np.zeros(chip.shape, bool)
        reach = key[0].mosaic_group.tiling.reach(key[1])
        for request in self._requests[key]:
            shared = reach.common(request.box)
            if shared is not None:
                out[shared.inside(chip)] = request.mask()[shared.inside(request.box)]
        return out


def _kind(key: _Key) -> _Kind:
    return key[0].mosaic_group.tiling.chip(key[1]).shape, key[0].date_group


def parts_across(classes: int, num_periods: int, bands: int, halo: int) -> int:
    """How many parts a strip may be wide so that what its rows share stays in memory.

    Four rows are under way, with a column on either side and a batch that is predicted ahead.

    Args:
      classes: whose probabilities are kept.
      num_periods: periods of the window.
      bands: of all sensors.
      halo: of the predictor.
    """
    chip = (PART_PX + 2 * halo) ** 2 * classes * 4
    stored = PART_PX**2 * num_periods * bands * 2
    return max(1, min(CHIP_BYTES // chip, PIXEL_BYTES // stored) // 4 - 4)
