"""How training examples are drawn, and how batches are made of them."""

import dataclasses
import functools
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import grain
import numpy as np

from cropmap_jax.data import checks, dataset, pixel_index
from cropmap_jax.data.examples import Batch, Facts, Pixels, Source
from cropmap_jax.geo import as_of_windows, legend
from cropmap_jax.geo.sensors import SENTINEL, Sensor

UNITS = ("chips", "pixels")
"""What `config.sampling` may name."""
LEAD_UNKNOWN = -(10**6)
"""Lead in days where there is no harvest date."""
LEGEND, ANNOTATED = "legend", "annotated"
DATES_OF = (LEGEND, ANNOTATED)
"""What `config.dates_of` may name."""

# What a generator is for comes before its seed: numpy fills a short seed up with zeros, so without
# it the draws of place 0 would be those of the epoch's order.
_ORDER, _EXAMPLE = 1, 2


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How training examples are drawn.

    Args:
      num_periods: periods of the window.
      sensors: whose pixels are read.
      lead_days: the as-of date is a harvest start of the legend minus this many days.
      max_lead_days: above 0, the lead is drawn for each example from lead_days to this, so that
        earlier dates of the season are learnt, too; none that would leave no period to see.
      as_of: (first, last) dates, days since 1970-01-01: the as-of date is drawn from this range
        instead, for datasets without a calendar.
      crop: side of the random crop in pixels, None for whole chips.
      crops_per_chip: draws from each chip in an epoch.
      empty_ratio: chips without annotation kept, as a multiple of those with.
      augment: flips and rotations by quarter turns.
      period_dropout: probability that a period of a sensor goes missing.
      sensor_dropout: probability that one of the sensors goes missing whole.
      unit: "chips", or "pixels": annotated pixels with what the network needs around them.
      draw_by: of pixels, one of `pixel_index.INDEXES`.
      steps_per_epoch: of pixels, batches that count as an epoch.
      context: of pixels, how many around each are read and not labelled; None: a crop is read that
        holds the pixel, and is labelled as a whole.
      as_of_jitter: days that an as-of date may be moved by, either way.
      mixup: of examples, see `training.steps.mixed`: shares are drawn from Beta(mixup, mixup).
      weak_share: share of the drawn pixels that only a land-cover map says are none of the classes;
        above 0 all such pixels of crops and chips are examples, too. 0: they are unknown.
      unknown_share: share of the drawn pixels that are unknown instead; 0: none. Crops and chips
        hold unknown pixels as it is.
      dates_of: whose harvests as-of dates are drawn from: "legend", those of all classes; or
        "annotated", that of the annotated class alone (the original system's way, by which the
        season gives the crop away). Where no class is annotated, it is the legend's all the same.

    Raises:
      ValueError: a probability outside [0, 1), or a count or a ratio that is too small.
    """

    num_periods: int = 6
    sensors: tuple[Sensor, ...] = SENTINEL
    lead_days: int = 30
    max_lead_days: int = 0
    as_of: tuple[int, int] | None = None
    crop: int | None = None
    crops_per_chip: int = 1
    empty_ratio: float = 0.0
    augment: bool = True
    period_dropout: float = 0.0
    sensor_dropout: float = 0.0
    unit: str = "chips"
    draw_by: str = "field"
    steps_per_epoch: int = 500
    context: int | None = None
    as_of_jitter: int = 0
    mixup: float = 0.0
    weak_share: float = 0.0
    unknown_share: float = 0.0
    dates_of: str = LEGEND

    @property
    def extra_lead(self) -> int:
        """Days that an as-of date may come before the one of `lead_days`."""
        return self.max_lead_days - self.lead_days if self.max_lead_days else 0

    @property
    def side(self) -> int | None:
        """Side in pixels of what is read for an example; None: a whole chip."""
        return self.crop if self.context is None else 2 * self.context + 1

    def __post_init__(self) -> None:
        checks.whole("config.model.num_periods", self.num_periods, 1, 1000)
        checks.whole("config.lead_days", self.lead_days, *checks.LEAD_DAYS)
        check_max_lead("config", self.lead_days, self.max_lead_days, self.as_of)
        checks.whole("config.crops_per_chip", self.crops_per_chip, 1, 10**6)
        if self.crop is not None:
            checks.whole("config.crop", self.crop, 1, 2**16)
        checks.choice("config.sampling", self.unit, UNITS)
        checks.choice("config.draw_by", self.draw_by, pixel_index.INDEXES)
        checks.whole("config.steps_per_epoch", self.steps_per_epoch, 1, 10**6)
        checks.whole("config.as_of_jitter", self.as_of_jitter, 0, 366)
        checks.real("config.mixup", self.mixup, 0, 100)
        checks.real("config.empty_ratio", self.empty_ratio, 0, 10**6)
        checks.switch("config.augment", self.augment)
        for name in ("period_dropout", "sensor_dropout", "weak_share"):
            checks.real(f"config.{name}", getattr(self, name), 0, 1)
            if getattr(self, name) == 1:
                raise ValueError(f"config.{name}: expected a number below 1, found 1")
        checks.choice("config.dates_of", self.dates_of, DATES_OF)
        if self.dates_of == ANNOTATED and self.as_of:
            raise ValueError(
                f"config.dates_of: expected 'legend' with config.as_of, whose dates are of no "
                f"class; found {self.dates_of!r}"
            )


def check_max_lead(where: str, lead_days: int, max_lead_days: int, as_of: Any) -> None:
    """Requires a longest lead that leads can be drawn up to, or 0 for none.

    Raises:
      ValueError: begins with `where`, the config.
    """
    name = f"{where}.max_lead_days"
    checks.whole(name, max_lead_days, 0, checks.LEAD_DAYS[1])
    if max_lead_days and max_lead_days < lead_days:
        raise ValueError(
            f"{name}: expected 0, or at least {where}.lead_days ({lead_days}), "
            f"found {max_lead_days}"
        )
    if max_lead_days and as_of:
        raise ValueError(
            f"{name}: expected 0 where {where}.as_of gives the dates, found {max_lead_days}"
        )


def first_dates(data: dataset.Dataset) -> np.ndarray:
    """int64 [cubes], the earliest as-of date that leaves a period to see, days since 1970-01-01."""
    return np.array([int(data.periods(cube)[0, 1]) for cube in range(len(data.cubes))], np.int64)


def earlier(
    dates: np.ndarray, first: np.ndarray, days: int, rng: np.random.Generator
) -> np.ndarray:
    """Moves as-of dates back by 0 to `days` days, but not to where nothing could be seen.

    Args:
      dates: int [N], days since 1970-01-01.
      first: int [N], see `first_dates`; a date that comes before it already is left.
      days: 0 draws nothing.
      rng: drawn from.
    """
    if not days:
        return dates
    moved: np.ndarray = np.maximum(
        dates - rng.integers(0, days + 1, len(dates)), np.minimum(first, dates)
    )
    return moved


def harvest_days(data: dataset.Dataset, index: int) -> np.ndarray:
    """Harvest starts of a cube, one per class that has one, days since 1970-01-01.

    Raises:
      ValueError: no class has one.
    """
    days: np.ndarray = data.harvest[index]
    if not days.any():
        raise ValueError(
            f"cube {data.cubes[index]['id']}: found no harvest date for any class; "
            f"expected a calendar, or config.as_of (first, last)"
        )
    return days[days > 0]


def window(
    data: dataset.Dataset, index: int, as_of: int, num_periods: int, harvest: int = 0
) -> tuple[np.ndarray, Facts]:
    """The window that a prediction for a cube on `as_of` may see, and its facts.

    Args:
      data: the dataset.
      index: number of the cube.
      as_of: exclusive date, days since 1970-01-01.
      num_periods: periods of the window.
      harvest: harvest start that the lead counts to, 0 where unknown.

    Returns:
      int [num_periods], indices of the window's periods, and day_of_year, lead and planted.

    Raises:
      ValueError: no period of the cube has ended by then.
    """
    where = f"cube {data.cubes[index]['id']}"
    found = as_of_windows.as_of_window(data.periods(index), as_of, num_periods, where)
    return found.indices, {
        "day_of_year": found.day_of_year,
        "lead": np.int32(harvest - found.end if harvest else LEAD_UNKNOWN),
        "planted": (data.planting[index] <= as_of).astype(np.float32),
    }


def random_corner(label: np.ndarray, size: int, rng: np.random.Generator) -> tuple[int, int]:
    """Row and column of a random `size` x `size` square; one that holds an annotated pixel, if any.

    Where few fields are known, a uniform draw would mostly return squares without a label.

    Args:
      label: uint8 [H, W], no side below `size`.
    """
    height, width = label.shape
    known = np.flatnonzero(label != legend.IGNORE)
    if len(known):
        y, x = divmod(int(rng.choice(known)), width)
    else:
        y, x = int(rng.integers(height)), int(rng.integers(width))
    row = int(rng.integers(max(y - size + 1, 0), min(y, height - size) + 1))
    col = int(rng.integers(max(x - size + 1, 0), min(x, width - size) + 1))
    return row, col


def drop(pixels: Pixels, sensors: tuple[Sensor, ...], keep: np.ndarray) -> None:
    """Makes periods missing, in place; an example of which no value would be left stays as it is.

    Args:
      pixels: by sensor, [T, H, W, bands] as stored.
      sensors: the sensors, in the order of `keep`.
      keep: bool [sensors, T], the periods that stay.
    """
    kept = (
        (pixels[sensor.name][t] != sensor.nodata).any()
        for sensor, periods in zip(sensors, keep, strict=True)
        for t in np.flatnonzero(periods)
    )
    if any(kept):
        for sensor, periods in zip(sensors, keep, strict=True):
            pixels[sensor.name][~periods] = sensor.nodata


class Crop(NamedTuple):
    """A square of a chip: the whole chip's label, uint8 [H, W], and its upper left corner."""

    label: np.ndarray
    row: int
    col: int


@dataclasses.dataclass
class Draw:
    """Which example is read, and what is done to it.

    Args:
      chip: index of its record.
      window: int [T], indices of its periods, from `window`.
      facts: of the example.
      crop: what of the chip is taken; None: the whole chip.
      keep: bool [sensors, T], the periods that stay; None: all.
    """

    chip: int
    window: np.ndarray
    facts: Facts
    crop: Crop | None = None
    keep: np.ndarray | None = None


class Sampler(Protocol):
    """Says which example is read at each place."""

    def __getitem__(self, number: int) -> Draw:
        """Example `number`."""


class ExampleSampler:
    """Draws training examples; each follows from seed, epoch and place in the epoch.

    Args:
      data: the dataset.
      table: chips of the split.
      source: records of the split.
      config: how examples are drawn.
      chosen: int [N], chips of an epoch; one that is there twice is drawn from twice.
      seed: of the order and of all draws.
    """

    def __init__(
        self,
        data: dataset.Dataset,
        table: dataset.Chips,
        source: Source,
        config: SamplingConfig,
        chosen: np.ndarray,
        seed: int,
    ):
        self._data, self._cubes = data, table.cube
        self._source, self._config = source, config
        self._chosen, self._seed = chosen, seed
        # Batches on their way lie in one epoch or in two. (A shuffle that needs no memory, as
        # grain's, takes as long for an index as the reading of its window.)
        self._order = functools.lru_cache(maxsize=2)(self._shuffled)

    def __getitem__(self, number: int) -> Draw:
        """Example `number`, counted over all epochs."""
        epoch, place = divmod(number, len(self._chosen))
        chip = int(self._order(epoch)[place])
        rng = np.random.default_rng((_EXAMPLE, self._seed, epoch, place))
        config, index = self._config, int(self._cubes[chip])
        as_of, harvest = self._draw_as_of(index, rng)
        crop = None
        if config.crop:
            label = self._source.label(chip)
            crop = Crop(label, *random_corner(label, config.crop, rng))
        if config.dates_of == ANNOTATED:
            own = self._annotated_harvest(index, chip, crop, rng)
            as_of, harvest = as_of + (own - harvest if own else 0), own or harvest
        draw = Draw(chip, *window(self._data, index, as_of, config.num_periods, harvest), crop)
        if config.augment:
            draw.facts["turn"] = np.int32(rng.integers(8))
        if config.period_dropout or config.sensor_dropout:
            draw.keep = self._draw_kept(rng)
        if config.mixup:
            draw.facts["mix"] = np.float32(rng.beta(config.mixup, config.mixup))
        return draw

    def _shuffled(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng((_ORDER, self._seed, epoch))
        order: np.ndarray = rng.permutation(self._chosen)
        return order

    def _draw_as_of(self, index: int, rng: np.random.Generator) -> tuple[int, int]:
        config = self._config
        if config.as_of:
            as_of, harvest = int(rng.integers(config.as_of[0], config.as_of[1] + 1)), 0
        else:
            # Drawn over the whole legend, annotated here or not: else the season would give the
            # crop away.
            harvest = int(rng.choice(harvest_days(self._data, index)))
            as_of = harvest - config.lead_days
            if config.extra_lead:
                first = int(self._data.periods(index)[0, 1])
                dates = earlier(np.array([as_of]), np.array([first]), config.extra_lead, rng)
                as_of = int(dates[0])
        if config.as_of_jitter:
            as_of += int(rng.integers(-config.as_of_jitter, config.as_of_jitter + 1))
        return as_of, harvest

    def _annotated_harvest(
        self, index: int, chip: int, crop: Crop | None, rng: np.random.Generator
    ) -> int:
        """Harvest start of one of the classes that are annotated in an example; 0: of none."""
        label = crop.label if crop else self._source.label(chip)
        if crop and (side := self._config.crop):
            label = label[crop.row : crop.row + side, crop.col : crop.col + side]
        days = self._data.harvest[index][np.unique(label[label < len(self._data.legend)])]
        days = days[days > 0]
        return int(rng.choice(days)) if len(days) else 0

    def _draw_kept(self, rng: np.random.Generator) -> np.ndarray:
        """bool [sensors, T]: which periods of each sensor stay."""
        config = self._config
        count = len(config.sensors)
        keep: np.ndarray = rng.random((count, config.num_periods)) >= config.period_dropout
        sensor, draw = rng.integers(count), rng.random()
        keep[sensor] &= draw >= config.sensor_dropout
        return keep


class MakeBatch(grain.transforms.Map):  # type: ignore[misc]  # grain has no types
    """Batch number to batch: windows are read from the file straight into the batch.

    Args:
      sampler: draws the examples of all batches in order.
      source: records of the split.
      config: how examples are drawn.
      chip: side of a chip in pixels.
      batch_size: examples of a batch, over all processes.
      shard: (index, count) of the process: it takes that part of each batch.
      weak: whether weak pixels are examples of none of the classes, see `Source.weak`.
    """

    def __init__(
        self,
        sampler: Sampler,
        source: Source,
        config: SamplingConfig,
        chip: int,
        batch_size: int,
        shard: tuple[int, int],
        weak: bool = False,
    ):
        self._sampler, self._source, self._config = sampler, source, config
        self._chip, self._batch_size, self._shard = chip, batch_size, shard
        self._thread, self._draws_weak = threading.local(), weak

    def map(self, element: Any) -> Batch:
        """Makes the batch of a number: this process's share of it."""
        # Neighbours stay together, whatever the number of processes: they may be mixed.
        own = share_of(self._batch_size, self._shard)
        first = int(element) * self._batch_size
        draws = [self._sampler[first + i] for i in range(own.start, own.stop)]
        # New arrays for each batch: a device may read from them for as long as it likes.
        side = self._config.crop or self._chip
        pixels = self._pixels((len(draws),), side)
        labels = np.empty((len(draws), side, side), np.uint8)
        for i, (draw, label) in enumerate(zip(draws, labels, strict=True)):
            out = {name: values[i] for name, values in pixels.items()}
            if draw.crop:
                self._read_crop(draw, draw.crop, out, label)
            else:
                self._source.read_window(draw.chip, draw.window, out, label)
            if draw.keep is not None:
                drop(out, self._config.sensors, draw.keep)
        batch = {"pixels": pixels, "label": labels, **_stack([draw.facts for draw in draws])}
        if self._draws_weak:
            batch["weak"] = np.stack([self._weak(draw, side) for draw in draws])
            labels[batch["weak"]] = legend.NONE_OF_THESE
        return batch

    def _weak(self, draw: Draw, side: int) -> np.ndarray:
        """bool [side, side], which pixels of an example are weak."""
        row, col = (draw.crop.row, draw.crop.col) if draw.crop else (0, 0)
        whole = self._source.weak(draw.chip)
        return whole[row : row + side, col : col + side]

    def _read_crop(self, draw: Draw, crop: Crop, out: Pixels, label: np.ndarray) -> None:
        if not hasattr(self._thread, "chip"):
            self._thread.chip = self._pixels((), self._chip)
        whole: Pixels = self._thread.chip
        self._source.read_window(draw.chip, draw.window, whole)
        rows, cols = (slice(at, at + len(label)) for at in crop[1:])
        for name, values in out.items():
            values[...] = whole[name][:, rows, cols]
        label[...] = crop.label[rows, cols]

    def _pixels(self, lead: tuple[int, ...], side: int) -> Pixels:
        shape = (*lead, self._config.num_periods, side, side)
        return {s.name: np.empty((*shape, len(s.bands)), s.dtype) for s in self._config.sensors}


def share_of(batch_size: int, shard: tuple[int, int]) -> slice:
    """The part of a batch that a process (index, count) takes."""
    index, count = shard
    return slice(index * batch_size // count, (index + 1) * batch_size // count)


def _stack(facts: Sequence[Facts]) -> Facts:
    return {key: np.stack([one[key] for one in facts]) for key in facts[0]}
