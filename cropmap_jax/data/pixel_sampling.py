"""Batches of annotated pixels, with what the network needs around them, all drawn at once.

A batch follows from the seed and its number, and from nothing before it: a run that is resumed, or
that has another number of processes, sees the same.
"""

import threading
from collections.abc import Iterable
from typing import Any, NamedTuple

import grain
import numpy as np

from cropmap_jax.data import dataset, pixel_index, sampling
from cropmap_jax.data.examples import Batch, Pixels, Source
from cropmap_jax.data.pixel_index import DrawnPixels, PixelIndex
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo.legend import NONE_OF_THESE
from cropmap_jax.geo.sensors import Sensor

# What a generator is for comes before its seed, as in `sampling`.
_BATCH, _STATISTICS, _WEAK, _UNKNOWN = 3, 4, 5, 6
MOST_WINDOWS = 1 << 16
"""Windows of cubes and dates that are remembered: about a kilobyte each."""


class _Square(NamedTuple):
    """Upper left corners, int [N], and side in pixels of what is read of each chip."""

    row: np.ndarray
    col: np.ndarray
    side: int


class MakePixelBatch(grain.transforms.Map):  # type: ignore[misc]  # grain has no types
    """Batch number to batch.

    With `config.context`, the square of so many pixels around each drawn pixel is read, and the
    pixel alone is labelled; else a random crop that holds it, labelled as a whole.

    Args:
      data: the dataset.
      split: whose pixels are drawn.
      source: records of the split.
      index: of its annotated pixels.
      config: how examples are drawn.
      batch_size: examples of a batch, over all processes.
      seed: of all draws.
      shard: (index, count) of the process: it takes that part of each batch.
      weak: index of the pixels that `config.weak_share` of a batch are drawn from instead.
      unknown: of those that `config.unknown_share` of it are; not of crops, which hold some.
    """

    def __init__(
        self,
        data: dataset.Dataset,
        split: str,
        source: Source,
        index: PixelIndex,
        config: SamplingConfig,
        batch_size: int,
        seed: int,
        shard: tuple[int, int] = (0, 1),
        weak: PixelIndex | None = None,
        unknown: PixelIndex | None = None,
    ):
        self._data, self._source, self._index, self._weak = data, source, index, weak
        self._unknown = unknown
        self._cubes, self._config = data.split(split).cube, config
        self._batch_size, self._seed = batch_size, seed
        self._own = sampling.share_of(batch_size, shard)
        # Without a calendar the dates are the config's.
        self._dates = _Dates(data, () if config.as_of else np.unique(self._cubes))
        self._first = sampling.first_dates(data) if config.extra_lead else None
        self._known = _Windows(data, config.num_periods)

    def map(self, element: Any) -> Batch:
        """Makes the batch of a number: this process's share of it."""
        config, own = self._config, self._own
        rng = np.random.default_rng((_BATCH, self._seed, int(element)))
        # Everything is drawn for the whole batch, so that nothing depends on the shares.
        count = self._batch_size
        drawn, weak = self._with_others(self._index.draw(rng, count), int(element))
        dates, harvest = self._draw_dates(drawn, rng)
        square = self._draw_squares(drawn, rng)
        facts: dict[str, np.ndarray] = {}
        if config.augment and config.context is None:
            facts["turn"] = rng.integers(8, size=count).astype(np.int32)[own]
        if config.mixup:
            facts["mix"] = rng.beta(config.mixup, config.mixup, count).astype(np.float32)[own]
        keep = self._draw_kept(rng, count)[own]
        drawn = DrawnPixels(*(part[own] for part in drawn))
        square = _Square(square.row[own], square.col[own], square.side)
        windows, of_window = self._windows(drawn.chip, dates[own], harvest[own])
        pixels = self._read(drawn, square, windows)
        _drop(pixels, config.sensors, keep)
        label = self._labels(drawn, square)
        if self._weak is not None:
            facts["weak"] = self._weak_of(drawn, square, weak[own])
            label = np.where(facts["weak"], np.uint8(NONE_OF_THESE), label)
        return {"pixels": pixels, "label": label, **of_window, **facts}

    def _with_others(self, drawn: DrawnPixels, number: int) -> tuple[DrawnPixels, np.ndarray]:
        """Drawn pixels, some exchanged for weak and unknown ones; and bool [N], which are weak.

        Their generators are their own: all other draws are those of a batch without them.
        """
        config, at = self._config, (self._seed, number)
        drawn, weak = _exchanged(drawn, self._weak, config.weak_share, (_WEAK, *at))
        drawn, unknown = _exchanged(drawn, self._unknown, config.unknown_share, (_UNKNOWN, *at))
        return drawn, weak & ~unknown

    def statistics_pixels(self, count: int) -> Pixels:
        """Stored windows of `count` drawn pixels alone, [N, T, 1, 1, bands], nothing dropped."""
        rng = np.random.default_rng((_STATISTICS, self._seed))
        drawn = self._index.draw(rng, count)
        windows, _ = self._windows(drawn.chip, *self._draw_dates(drawn, rng))
        return self._read(drawn, _Square(drawn.row, drawn.col, 1), windows)

    def all_pixels(self, count: int) -> tuple[Pixels, DrawnPixels]:
        """Windows of `count` drawn pixels alone, unknown ones among them, and which these are."""
        rng = np.random.default_rng((_STATISTICS, self._seed))
        drawn, _ = self._with_others(self._index.draw(rng, count), 0)
        windows, _ = self._windows(drawn.chip, *self._draw_dates(drawn, rng))
        return self._read(drawn, _Square(drawn.row, drawn.col, 1), windows), drawn

    def _draw_dates(
        self, drawn: DrawnPixels, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """As-of dates, and the harvest starts that leads count to (0: none), days since 1970."""
        config, count = self._config, len(drawn.chip)
        harvest = np.zeros(count, np.int64)
        if config.as_of:
            as_of = rng.integers(config.as_of[0], config.as_of[1] + 1, count)
        else:
            harvest = self._dates.draw(self._cubes[drawn.chip], rng)
            if config.dates_of == sampling.ANNOTATED:
                own = self._annotated_harvest(drawn)
                harvest = np.where(own > 0, own, harvest)
            as_of = harvest - config.lead_days
            if self._first is not None:
                first = self._first[self._cubes[drawn.chip]]
                as_of = sampling.earlier(as_of, first, config.extra_lead, rng)
        if config.as_of_jitter:
            as_of = as_of + rng.integers(-config.as_of_jitter, config.as_of_jitter + 1, count)
        return as_of, harvest

    def _annotated_harvest(self, drawn: DrawnPixels) -> np.ndarray:
        """int64 [N], harvest starts of the classes that pixels are annotated as; 0 without one."""
        classes = len(self._data.legend)
        of = np.minimum(drawn.label, classes - 1).astype(np.int64)
        days = self._data.harvest[self._cubes[drawn.chip], of].astype(np.int64)
        found: np.ndarray = np.where(drawn.label < classes, days, 0)
        return found

    def _draw_squares(self, drawn: DrawnPixels, rng: np.random.Generator) -> _Square:
        config, side = self._config, self._config.side or self._data.chip
        if config.context is not None:
            return _Square(drawn.row - config.context, drawn.col - config.context, side)
        corners = []
        for at in (drawn.row, drawn.col):
            first, last = np.maximum(at - side + 1, 0), np.minimum(at, self._data.chip - side)
            corners.append(first + (rng.random(len(at)) * (last - first + 1)).astype(np.int64))
        return _Square(corners[0], corners[1], side)

    def _draw_kept(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """bool [count, sensors, T]: which periods of each sensor stay."""
        config = self._config
        sensors = len(config.sensors)
        shape = (count, sensors, config.num_periods)
        keep: np.ndarray = rng.random(shape, np.float32) >= config.period_dropout
        if config.sensor_dropout:
            sensor, draw = rng.integers(sensors, size=count), rng.random(count)
            keep[np.arange(count), sensor] &= (draw >= config.sensor_dropout)[:, None]
        return keep

    def _windows(
        self, chips: np.ndarray, as_of: np.ndarray, harvest: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """int [N, T] indices of the periods, and facts as of `sampling.window`."""
        return self._known.find(self._cubes[chips], as_of, harvest)

    def _read(self, drawn: DrawnPixels, square: _Square, windows: np.ndarray) -> Pixels:
        shape = (*windows.shape, square.side, square.side)
        pixels = {s.name: np.empty((*shape, len(s.bands)), s.dtype) for s in self._config.sensors}
        self._source.gather(drawn.chip, square.row, square.col, windows, pixels)
        return pixels

    def _weak_of(self, drawn: DrawnPixels, square: _Square, chosen: np.ndarray) -> np.ndarray:
        """bool [N, 1, 1] of the drawn pixels, or [N, side, side] of crops."""
        if self._config.context is not None:
            return chosen[:, None, None]
        corners = zip(drawn.chip.tolist(), square.row.tolist(), square.col.tolist(), strict=True)
        found = np.stack([
            self._source.weak(chip)[row : row + square.side, col : col + square.side]
            for chip, row, col in corners
        ])  # fmt: skip
        return found

    def _labels(self, drawn: DrawnPixels, square: _Square) -> np.ndarray:
        """uint8 [N, 1, 1] of the drawn pixels, or [N, side, side] of crops."""
        if self._config.context is not None:
            return drawn.label[:, None, None]
        out = np.empty((len(drawn.chip), square.side, square.side), np.uint8)
        for i, chip in enumerate(drawn.chip.tolist()):
            row, col = int(square.row[i]), int(square.col[i])
            whole = self._source.label(chip)
            out[i] = whole[row : row + square.side, col : col + square.side]
        return out


class _Windows:
    """Windows of cubes and dates, kept as rows of arrays: most batches have the same ones.

    Batches are made by several threads.
    """

    def __init__(self, data: dataset.Dataset, num_periods: int):
        self._data, self._periods = data, num_periods
        self._rows: dict[tuple[int, int, int], int] = {}
        self._kept: list[np.ndarray] = []
        self._names: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def find(
        self, cubes: np.ndarray, as_of: np.ndarray, harvest: np.ndarray
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """int [N, T] indices of the periods, and facts [N, ...] as of `sampling.window`."""
        keys = list(zip(cubes.tolist(), as_of.tolist(), harvest.tolist(), strict=True))
        with self._lock:
            new = dict.fromkeys(key for key in keys if key not in self._rows)
            if len(self._rows) + len(new) > MOST_WINDOWS:
                self._rows, self._kept, new = {}, [], dict.fromkeys(keys)
            if new:
                self._add(list(new))
            which = np.fromiter((self._rows[key] for key in keys), np.int64, len(keys))
            kept = self._kept
        indices, *facts = (part[which] for part in kept)
        return indices, dict(zip(self._names, facts, strict=True))

    def _add(self, keys: list[tuple[int, int, int]]) -> None:
        found = [sampling.window(self._data, c, d, self._periods, h) for c, d, h in keys]
        self._names = tuple(found[0][1])
        parts = [np.stack([indices for indices, _ in found])]
        parts += [np.stack([facts[name] for _, facts in found]) for name in self._names]
        if self._kept:
            parts = [np.concatenate(both) for both in zip(self._kept, parts, strict=True)]
        self._kept = parts
        self._rows.update(
            zip(keys, range(len(self._rows), len(self._rows) + len(keys)), strict=True)
        )


class _Dates:
    """Harvest starts of each cube, to draw from: those of the whole legend.

    Not of what is annotated, or else the season would give the crop away.
    """

    def __init__(self, data: dataset.Dataset, cubes: Iterable[int]):
        days = {int(cube): sampling.harvest_days(data, int(cube)) for cube in cubes}
        self._count = np.zeros(len(data.cubes), np.int64)
        self._days = np.zeros((len(data.cubes), max(map(len, days.values()), default=0)), np.int64)
        for cube, own in days.items():
            self._count[cube] = len(own)
            self._days[cube, : len(own)] = own

    def draw(self, cubes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """int64 [N], one of each cube."""
        chosen = (rng.random(len(cubes)) * self._count[cubes]).astype(np.int64)
        days: np.ndarray = self._days[cubes, chosen]
        return days


def _exchanged(
    drawn: DrawnPixels, index: PixelIndex | None, share: float, seed: tuple[int, ...]
) -> tuple[DrawnPixels, np.ndarray]:
    """Drawn pixels, a share of them exchanged for those of an index; and bool [N], which."""
    count = len(drawn.chip)
    if index is None:
        return drawn, np.zeros(count, bool)
    rng = np.random.default_rng(seed)
    chosen = rng.random(count) < share
    found = index.draw(rng, int(chosen.sum()))
    parts = [part.copy() for part in drawn]
    for part, new in zip(parts, found, strict=True):
        part[chosen] = new
    return DrawnPixels(*parts), chosen


def _drop(pixels: Pixels, sensors: tuple[Sensor, ...], keep: np.ndarray) -> None:
    """Makes periods missing, in place; an example of which no value would be left stays as it is.

    Args:
      pixels: by sensor, [N, T, h, w, bands] as stored.
      sensors: in the order of `keep`.
      keep: bool [N, sensors, T], the periods that stay.
    """
    if keep.all():
        return
    there = np.stack([(pixels[s.name] != s.nodata).any((2, 3, 4)) for s in sensors], 1)
    dropped = ~keep & (there & keep).any((1, 2))[:, None, None]
    for i, sensor in enumerate(sensors):
        pixels[sensor.name][dropped[:, i]] = sensor.nodata


def make_pixel_batches(
    data: dataset.Dataset,
    split: str,
    config: SamplingConfig,
    batch_size: int,
    seed: int,
    shard: tuple[int, int] = (0, 1),
) -> MakePixelBatch:
    """`MakePixelBatch` of a split, with the index that `config.draw_by` names.

    Pixels are drawn with replacement, as of dates of their own: a batch may be larger than a split.

    Raises:
      ValueError: no annotated pixel, or more than can be listed.
    """
    source = data.source(split)
    index = pixel_index.make(config.draw_by, data, split, source)
    drawn = config.weak_share and data.split(split).has_weak
    weak = pixel_index.WeakIndex(data, split, source) if drawn else None
    alone = config.unknown_share and config.context is not None
    unknown = pixel_index.UnknownIndex(data, split, source) if alone else None
    return MakePixelBatch(
        data, split, source, index, config, batch_size, seed, shard, weak, unknown
    )
