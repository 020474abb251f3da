"""From records to batches: as-of windows, crops, and what augmentation does to each example.

All that is random is drawn on the host with a generator of its own per (seed, epoch, index); pixels
stay as they are stored until they are on the device, where `augment.augment` turns them and
`scaling.scale` makes physical units, masks and zeros of them. Missing is the no-data value all the
way.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np

from cropmap_jax.data import checks, dataset, pixel_sampling, sampling
from cropmap_jax.data.examples import Example, Record
from cropmap_jax.data.sampling import SamplingConfig, harvest_days
from cropmap_jax.geo import as_of_windows, periods
from cropmap_jax.geo.sensors import Sensor

MOST_EXAMPLES = 10**8
"""Of an epoch, whose order is kept in memory."""


def make_example(
    data: dataset.Dataset,
    record: Record,
    as_of: int,
    num_periods: int,
    harvest: int = 0,
    sensors: Sequence[Sensor] | None = None,
) -> Example:
    """One chip as a prediction on `as_of` sees it.

    Args:
      data: the dataset, for planting dates.
      record: one record of the data source.
      as_of: exclusive date, days since 1970-01-01.
      num_periods: periods of the window.
      harvest: harvest start that the lead counts to, 0 where unknown.
      sensors: whose pixels are wanted; those of the dataset if None.

    Returns:
      pixels by sensor as stored, [T, H, W, bands] (no-data where missing), label uint8 [H, W],
      day_of_year int32 [T], lead int32 in days and planted float32 [classes]; see `examples`.

    Raises:
      ValueError: no period of the cube has ended by then.
    """
    index = int(record["cube_index"])
    chosen, facts = sampling.window(data, index, as_of, num_periods, harvest)
    pixels = {
        sensor.name: as_of_windows.take_window(record[sensor.name], chosen, sensor.nodata)
        for sensor in (data.sensors if sensors is None else sensors)
    }
    return {"pixels": pixels, "label": record["label"], **facts}


def check_dates(data: dataset.Dataset, config: SamplingConfig, cubes: np.ndarray) -> None:
    """Requires that each as-of date that may be drawn leaves a cube at least one period to see.

    Raises:
      ValueError: names the first cube without a harvest date or without a usable period.
    """
    for index in np.unique(cubes):
        if config.as_of:
            first = config.as_of[0]
        else:
            first = int(harvest_days(data, index).min()) - config.lead_days
        first -= config.as_of_jitter
        where = f"cube {data.cubes[index]['id']}"
        as_of_windows.as_of_window(data.periods(index), first, config.num_periods, where)


def choose_chips(
    table: dataset.Chips, empty_ratio: float, seed: int, where: str = "dataset"
) -> np.ndarray:
    """Indices of chips to train on: all annotated ones, and some without annotation.

    Raises:
      ValueError: no chip is annotated; begins with `where`.
    """
    known = np.flatnonzero(table.annotated > 0)
    if not len(known):
        raise ValueError(f"{where}: expected annotated chips, found none among {len(table)}")
    empty = np.flatnonzero(table.annotated == 0)
    keep = min(len(empty), round(empty_ratio * len(known)))
    drawn = np.random.default_rng(seed).choice(empty, keep, replace=False)
    return np.sort(np.concatenate([known, drawn])).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class TrainingInput:
    """Batches of training examples, and how many there are.

    Args:
      make: from the number of a batch to the batch.
      steps: batches in all epochs together.
      steps_per_epoch: batches per epoch (a fraction where the batch does not divide an epoch).
      num_threads: that make batches, ahead of the loop.
    """

    make: sampling.MakeBatch | pixel_sampling.MakePixelBatch
    steps: int
    steps_per_epoch: float
    num_threads: int

    def after(self, step: int) -> grain.IterDataset:
        """The batches after the first `step`, which are not read; each is a `Batch`.

        A run that is resumed after so many steps sees what it would have seen, also with another
        number of processes.
        """
        options = grain.ReadOptions(num_threads=self.num_threads, prefetch_buffer_size=4)
        return grain.MapDataset.range(step, self.steps).map(self.make).to_iter_dataset(options)

    @property
    def batches(self) -> grain.DatasetIterator:
        """A new iterator over all batches."""
        return iter(self.after(0))


def training_input(
    data: dataset.Dataset,
    config: SamplingConfig,
    batch_size: int,
    epochs: int,
    seed: int,
    split: str = "train",
    num_threads: int = 2,
    shard: tuple[int, int] = (0, 1),
) -> TrainingInput:
    """Shuffled, augmented batches of a split; the same for the same seed, epoch and index.

    Batches cross from one epoch to the next, so that no chip is dropped at their ends; only the
    last batch of all, if it is not full, is left out.

    Args:
      data: the dataset.
      config: how examples are drawn.
      batch_size: examples of a batch, over all processes.
      epochs: how often each chip is drawn from.
      seed: of the order and of all draws.
      split: which is read.
      num_threads: that make batches, ahead of the loop.
      shard: (index, count) of the process: it gets that part of each batch.

    Raises:
      ValueError: no annotated pixel, a crop larger than the chip, fewer examples than one batch, or
        an as-of date that may be drawn but leaves some cube nothing to see.
    """
    if config.crop and config.crop > data.chip:
        raise ValueError(
            f"config.crop: expected at most {data.chip} (the chips of {data.path}), "
            f"found {config.crop}"
        )
    table = data.split(split)
    if config.unit == "pixels":
        used = table.annotated > 0
        if config.weak_share and table.weak is not None:
            used |= table.weak > 0
        if config.unknown_share and config.context is not None:
            used |= data.unknown_pixels(split) > 0
        check_dates(data, config, table.cube[used])
        total = config.steps_per_epoch * epochs
        if total > checks.MOST:
            raise ValueError(
                f"config.steps_per_epoch: expected at most {checks.MOST} steps in all, found "
                f"{total}"
            )
        batches = pixel_sampling.make_pixel_batches(data, split, config, batch_size, seed, shard)
        return TrainingInput(batches, total, config.steps_per_epoch, num_threads)
    chosen = choose_chips(table, config.empty_ratio, seed, f"{data.path}, split {split}")
    check_dates(data, config, table.cube[chosen])
    per_epoch = len(chosen) * config.crops_per_chip
    steps = per_epoch * epochs // batch_size
    if per_epoch > MOST_EXAMPLES or steps > checks.MOST:
        raise ValueError(
            f"config.crops_per_chip: expected at most {MOST_EXAMPLES} examples in an epoch and "
            f"{checks.MOST} steps in all, found {per_epoch} ({len(chosen)} chips of {data.path}) "
            f"and {steps}"
        )
    if steps < 1:
        raise ValueError(
            f"config.batch_size: expected at most {per_epoch * epochs} ({len(chosen)} chips of "
            f"{data.path}, {epochs} epochs), found {batch_size}"
        )
    source = data.source(split)
    every = np.repeat(chosen, config.crops_per_chip)
    sampler = sampling.ExampleSampler(data, table, source, config, every, seed)
    weak = config.weak_share > 0 and table.has_weak
    make = sampling.MakeBatch(sampler, source, config, data.chip, batch_size, shard, weak)
    return TrainingInput(make, steps, per_epoch / batch_size, num_threads)


def as_of_dates(
    data: dataset.Dataset,
    crops: Sequence[int],
    lead_days: int,
    as_of: int | None = None,
    split: str | None = None,
) -> np.ndarray:
    """The as-of date of every cube and crop for evaluation.

    Args:
      data: the dataset.
      crops: class indices.
      lead_days: days before the crop's harvest start.
      as_of: one date for all, days since 1970-01-01, instead of the calendar.
      split: only require dates for the cubes of this split.

    Returns:
      int32 [cubes, len(crops)], days since 1970-01-01.

    Raises:
      ValueError: a crop without a harvest date in any place.
    """
    if as_of is not None:
        return np.full((len(data.cubes), len(crops)), as_of, np.int32)
    dates = data.harvest[:, list(crops)]
    wanted = [split is None or c["split"] == split for c in data.cubes]
    lacking = [
        data.legend.names[c] for c, col in zip(crops, dates[wanted].T, strict=True) if not col.all()
    ]
    if lacking:
        raise ValueError(
            f"{data.path}: found no harvest date for {', '.join(lacking)}; expected a calendar "
            f"(--harvest at ingest), or --as_of DATE"
        )
    return (dates - lead_days).astype(np.int32)


def cube_records(data: dataset.Dataset, split: str) -> Iterator[tuple[int, list[Record]]]:
    """(cube index, records of all its chips), cube by cube in order."""
    table, source = data.split(split), data.source(split)
    for index in np.unique(table.cube):
        yield int(index), [source[int(i)] for i in np.flatnonzero(table.cube == index)]


def parse_as_of(value: Any, where: str) -> tuple[int, int] | None:
    """Reads (first, last) ISO dates from a config, or nothing.

    Raises:
      ValueError: not two dates in order.
    """
    if not value:
        return None
    if len(value) != 2:
        raise ValueError(f"{where}: expected (first, last) dates, found {value}")
    first, last = (periods.to_day(periods.parse_date(v, where)) for v in value)
    if last < first:
        raise ValueError(f"{where}: expected first <= last, found {tuple(value)}")
    return first, last
