"""Loss and F1 over the validation split, while a network trains."""

from collections.abc import Iterator

import jax
import numpy as np

from cropmap_jax.geo import legend, windows
from cropmap_jax.training import input_pipeline, parallel, steps
from cropmap_jax.training.dataset import Dataset
from cropmap_jax.training.recipe import Recipe


class Validation:
    """Loss and macro-F1 over the validation split, each chip once, without augmentation.

    Args:
      data: the dataset; without a "validation" split there is nothing to do.
      recipe: network, legend, scaling and loss.
      loading: how training draws as-of dates.
      batch_size: chips per step of all processes, a multiple of the number of devices.

    Raises:
      ValueError: a cube without a harvest date, or without a period before its as-of date.
    """

    def __init__(
        self, data: Dataset, recipe: Recipe, loading: input_pipeline.Loading, batch_size: int
    ):
        self._data, self._recipe = data, recipe
        self._loading, self._batch_size = loading, batch_size
        table = data.chips.get("validation")
        self._chosen = np.flatnonzero(table.annotated > 0) if table is not None else []
        if len(self._chosen):
            # Found out now rather than after an epoch.
            for index in np.unique(table.cube[self._chosen]):
                spans, where = data.periods(index), f"cube {data.cubes[index]['id']}"
                windows.window_indices(spans, self._as_of(index)[0], recipe.num_periods, where)
        self._step = parallel.data_parallel(steps.make_validation_step(recipe))

    def __call__(self, state) -> dict[str, float]:
        """Scores a state that is replicated over the local devices; empty without chips."""
        if not len(self._chosen):
            return {}
        variables = {k: state[k] for k in ("params", "batch_stats")}
        totals, waiting = None, None
        for batch in self._batches():
            # The sums of a batch are fetched when the next one is on its way.
            ready, waiting = waiting, self._step(variables, batch)
            totals = _add(totals, ready)
        totals = _add(totals, waiting)
        hits = totals["hits"]
        wrong = totals["misses"] + totals["false_alarms"]
        present = hits + totals["misses"] > 0
        f1 = 2 * hits / np.maximum(2 * hits + wrong, 1)
        return {
            "validation/loss": float(totals["loss"] / max(totals["weight"], 1e-6)),
            "validation/macro_f1": float(f1[present].mean()) if present.any() else 0.0,
        }

    def _batches(self) -> Iterator[dict]:
        """This process's part of every batch, on the devices: as many batches as any other's."""
        count, index = parallel.process_count(), parallel.process_index()
        source, size = self._data.source("validation"), self._batch_size // count
        mine = self._chosen[index::count]
        for first in range(0, -(-len(self._chosen) // count), size):
            examples = [self._example(source[int(i)]) for i in mine[first : first + size]]
            if not examples:
                example = self._example(source[int(self._chosen[0])])
                examples = [example | {"label": np.full_like(example["label"], legend.IGNORE)}]
            yield parallel.put(stack(examples, size))

    def _example(self, record: dict) -> dict:
        as_of, harvest = self._as_of(int(record["cube_index"]))
        periods = self._recipe.num_periods
        return input_pipeline.make_example(self._data, record, as_of, periods, harvest)

    def _as_of(self, index: int) -> tuple[int, int]:
        """One date for all chips of a cube: the last that training draws, or the median harvest."""
        loading = self._loading
        if loading.as_of:
            return loading.as_of[1], 0
        harvest = int(np.median(input_pipeline.harvest_days(self._data, index)))
        return harvest - loading.lead_days, harvest


def _add(totals, sums):
    """Adds sums that may still be in the making; float64, since counts outgrow int32."""
    if sums is None:
        return totals
    sums = jax.tree.map(np.float64, parallel.unreplicate(sums))
    return sums if totals is None else jax.tree.map(np.add, totals, sums)


def stack(examples: list[dict], size: int) -> dict:
    """Stacks examples to a batch of `size`; what is short is filled with unknown pixels.

    So an uneven last batch is neither lost nor doubled: its filling has no weight.
    """
    batch = {k: np.stack([e[k] for e in examples]) for k in examples[0]}
    short = size - len(examples)
    if short:
        batch = {k: np.concatenate([v, np.repeat(v[-1:], short, 0)]) for k, v in batch.items()}
        batch["label"][len(examples) :] = legend.IGNORE
    return batch
