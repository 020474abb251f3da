"""Loss and F1 over the validation split, while a network trains."""

import contextlib
from typing import Any

import grain
import jax
import numpy as np

from cropmap_jax.data import sampling
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.data.examples import Batch, Facts
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo import legend
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.training import checkpoints, parallel, steps
from cropmap_jax.training.recipe import Recipe

AHEAD = 2
"""Batches on their way to the devices."""


class Validation:
    """Loss and macro-F1 over the validation split, each chip once, without augmentation.

    A pixel that several chips hold, in a dataset built with an overlap, counts as often as chips
    hold it; one that no sensor has seen in the window does not count. F1 is of classes that have
    both positives and negatives: where there is none of them, there is no macro-F1.

    Args:
      data: the dataset; without a "validation" split there is nothing to do.
      recipe: network, legend, scaling and loss.
      config: how training draws as-of dates, and crops or pixels: a step takes no more pixels than
        one of training reads, or one chip.
      batch_size: examples of a training step of all processes, a multiple of the number of devices.
      accumulate: parts that training takes a device's share of a batch in.

    Raises:
      ValueError: a cube without a harvest date, or without a period before its as-of date; a file
        of the split that is damaged.
    """

    def __init__(
        self,
        data: Dataset,
        recipe: Recipe,
        config: SamplingConfig,
        batch_size: int,
        accumulate: int = 1,
    ):
        table = data.chips.get("validation")
        chosen = np.flatnonzero(() if table is None else table.annotated > 0)
        self._batches = None
        if len(chosen):
            # What is wrong with it is found out now rather than after an epoch.
            chips = _Chips(data, chosen, config, recipe.num_periods)
            # Of sampled pixels the step sees little around each: chips are many of them.
            size = _batch_size(batch_size, accumulate, config.side, data.chip)
            self._batches = _batches(data, chips, size, recipe.num_periods, recipe.sensors)
        self._step = parallel.data_parallel(steps.make_validation_step(recipe))

    def __call__(self, state: steps.State) -> dict[str, float]:
        """Scores a state that is replicated over the local devices; undefined scores are left out.

        Returns:
          "validation/loss" where a pixel is known, and `checkpoints.SCORE`, the macro-F1.
        """
        if self._batches is None:
            return {}
        variables = state.get("ema") or {k: state[k] for k in ("params", "batch_stats")}
        totals: Any = None
        waiting: Any = None
        with contextlib.closing(iter(self._batches)) as batches:
            for batch in batches:
                # The sums of a batch are fetched when the next one is on its way.
                ready, waiting = waiting, self._step(variables, batch)
                totals = _add(totals, ready)
        totals = _add(totals, waiting)
        scores = {}
        if totals["weight"] > 0:
            scores["validation/loss"] = float(totals["loss"] / totals["weight"])
        positives = totals["hits"] + totals["misses"]
        # Without a negative, to predict the class everywhere would have an F1 of 1.
        defined = (positives > 0) & (totals["negatives"] > 0)
        if defined.any():
            both = totals["hits"] + positives + totals["false_alarms"]
            f1 = 2 * totals["hits"][defined] / both[defined]
            scores[checkpoints.SCORE] = float(f1.mean())
        return scores


class _Chips:
    """Which windows are read: example `i` is the i-th chip; the last one again where none is left.

    One as-of date for all chips of a cube: the last that training draws, or its median harvest
    less the lead.
    """

    def __init__(self, data: Dataset, chosen: np.ndarray, config: SamplingConfig, num_periods: int):
        self._chosen, self._cubes = chosen, data.chips["validation"].cube
        self._windows: dict[int, tuple[np.ndarray, Facts]] = {}
        for index in np.unique(self._cubes[chosen]):
            if config.as_of:
                as_of, harvest = config.as_of[1], 0
            else:
                harvest = int(np.median(sampling.harvest_days(data, index)))
                as_of = harvest - config.lead_days
            self._windows[index] = sampling.window(data, index, as_of, num_periods, harvest)

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, number: int) -> sampling.Draw:
        chip = int(self._chosen[min(number, len(self) - 1)])
        return sampling.Draw(chip, *self._windows[self._cubes[chip]])


class _MakeBatch(sampling.MakeBatch):
    """Batch number to batch; what is short of the last one is filled with unknown pixels.

    So it is neither lost nor doubled, and every process makes as many batches as any other.
    """

    _sampler: _Chips

    def map(self, element: Any) -> Batch:
        """Makes the batch of a number: this process's share of it."""
        batch, (index, count) = super().map(element), self._shard
        share = self._batch_size // count
        left = len(self._sampler) - int(element) * self._batch_size - index * share
        batch["label"][max(0, left) :] = legend.IGNORE
        return batch


def _batch_size(batch_size: int, accumulate: int, crop: int | None, chip: int) -> int:
    """Whole chips of a step, over all processes, that are no more pixels than training takes."""
    devices = parallel.process_count() * parallel.local_devices()
    share = batch_size // (devices * accumulate)
    if crop:
        share = share * crop**2 // chip**2
    return devices * max(1, share)


def _batches(
    data: Dataset, chips: _Chips, size: int, num_periods: int, sensors: tuple[Sensor, ...]
) -> grain.IterDataset:
    """This process's part of every batch, on the devices; made ahead, again in every iteration."""
    shard = (parallel.process_index(), parallel.process_count())
    # Whole chips, nothing dropped: of how training draws, the window is all that is left.
    config = SamplingConfig(num_periods, sensors)
    make = _MakeBatch(chips, data.source("validation"), config, data.chip, size, shard)
    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=AHEAD)
    made = grain.MapDataset.range(-(-len(chips) // size)).map(make).to_iter_dataset(options)
    return grain.experimental.ThreadPrefetchIterDataset(
        made.map(parallel.put), prefetch_buffer_size=AHEAD
    )


def _add(totals: Any, sums: Any) -> Any:
    """Adds sums that the devices may still be computing; float64, since counts outgrow int32."""
    if sums is None:
        return totals
    sums = jax.tree.map(np.float64, parallel.unreplicate(sums))
    return sums if totals is None else jax.tree.map(np.add, totals, sums)
