"""The training loop: runs, logs, validates, checkpoints; resumes where it was interrupted."""

import contextlib
import dataclasses
import json
import pathlib
import signal
import time

import jax
import numpy as np
from tqdm import tqdm

from cropmap_jax.models import count_parameters
from cropmap_jax.training import checkpoints, input_pipeline, losses, optim, parallel, steps
from cropmap_jax.training.dataset import Dataset
from cropmap_jax.training.metric_log import MetricLog
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.validation import Validation


class Diverged(ValueError):
    """The loss, its gradient or the state is no longer finite."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything a run needs besides data, recipe and initial variables.

    Args:
      stage: "pretrain" or "finetune".
      epochs, batch_size, seed: of the training input; the batch is that of all local devices.
      loading: how examples are drawn.
      optimizer: "adam" or "sgd".
      learning_rates: peak rate of "trunk" and "head".
      schedule, warmup_steps: shape of both rates over the run.
      class_weights: "none" or "balanced".
      freeze_trunk_statistics: keep the trunk's batch-norm statistics as they are.
      checkpoint_every: steps between checkpoints; 0: once per epoch.
      log_every: steps between records.
      keep: number of checkpoints kept.
      config: the run's config, stored, and compared when a run goes on.
    """

    stage: str
    epochs: int
    batch_size: int
    seed: int
    loading: input_pipeline.Loading
    optimizer: str
    learning_rates: dict[str, float]
    schedule: str
    warmup_steps: int
    class_weights: str
    freeze_trunk_statistics: bool
    checkpoint_every: int
    log_every: int
    keep: int
    config: dict

    def __post_init__(self):
        for name in ("epochs", "batch_size", "log_every", "keep", "checkpoint_every", "seed"):
            least = 0 if name in ("checkpoint_every", "seed") else 1
            if getattr(self, name) < least:
                raise ValueError(
                    f"config.{name}: expected at least {least}, found {getattr(self, name)}"
                )


def train(data: Dataset, recipe: Recipe, plan: Plan, variables: dict, workdir) -> dict:
    """Trains, or goes on training, in a workdir.

    Args:
      data: dataset with a "train" split; "validation" is evaluated after each epoch if present.
      recipe: network, legend, scaling and loss.
      plan: the rest.
      variables: initial {"params", "batch_stats"}, used when the workdir holds no checkpoint.
      workdir: folder for checkpoints, metrics.jsonl and tensorboard.

    Returns:
      The last record of metrics.

    Raises:
      ValueError: a workdir of a different config, or a plan that does not fit the data.
      Diverged: loss, gradient or state not finite; the last good checkpoint stays.
      KeyboardInterrupt: SIGINT or SIGTERM, after a checkpoint was saved.
    """
    check_chip(data, recipe)
    source = input_pipeline.training_input(
        data, plan.loading, plan.batch_size, plan.epochs, plan.seed
    )
    validation = Validation(data, recipe, plan.loading, plan.batch_size)
    optimizer = make_optimizer(plan, source.steps)
    meta = {"recipe": recipe.to_json(), "config": plan.config, "stage": plan.stage}
    meta["dataset"] = data.fingerprint
    # JSON turns tuples into lists: compare like with like.
    meta = json.loads(json.dumps(meta))
    weights = class_weights(plan, data)
    step_function = parallel.data_parallel(
        steps.make_train_step(recipe, optimizer, weights, plan.freeze_trunk_statistics),
        donate=True,
    )
    state = {
        "step": np.zeros((), np.int32),
        "params": variables["params"],
        "batch_stats": variables["batch_stats"],
        "opt_state": jax.device_get(optimizer.init(variables["params"])),
    }
    workdir = pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    checkpointer = checkpoints.Checkpointer(workdir, meta, plan.keep)
    with contextlib.closing(checkpointer):
        step = 0
        if checkpointer.latest is not None:
            check_same_config(checkpointer.meta(), meta, workdir)
            step, state = checkpointer.restore(state, source.batches)
        _print_start(recipe, plan, source, step, variables["params"])
        log = MetricLog(workdir, step)
        with contextlib.closing(log):
            if step == source.steps:
                return log.last
            run = _Run(plan, source, checkpointer, log, validation)
            return run.go(parallel.replicate(state), step, step_function)


def check_chip(data: Dataset, recipe: Recipe) -> None:
    """Demands chips that the network can halve `levels` times; validation runs on whole ones.

    Raises:
      ValueError: names the dataset, its chip and the multiple.
    """
    if data.chip % recipe.size_multiple:
        raise ValueError(
            f"{data.path}: expected chips of a multiple of {recipe.size_multiple} pixels (2 to the "
            f"power of model.levels), found {data.chip}"
        )


def make_optimizer(plan: Plan, total_steps: int):
    """The plan's optimiser, with both schedules over the whole run."""
    rates = {
        group: optim.schedule(plan.schedule, rate, total_steps, plan.warmup_steps)
        for group, rate in plan.learning_rates.items()
    }
    return optim.make_optimizer(plan.optimizer, rates["trunk"], rates["head"])


def class_weights(plan: Plan, data: Dataset):
    """float32 [classes] weights of the plan, or None.

    Raises:
      ValueError: unknown kind.
    """
    if plan.class_weights not in ("none", "balanced"):
        raise ValueError(
            f"config.class_weights: expected 'none' or 'balanced', found {plan.class_weights!r}"
        )
    if plan.class_weights == "none":
        return None
    return losses.balanced_weights(data.split("train").pixels.sum(0)[: len(data.legend)])


def check_same_config(found: dict, expected: dict, workdir) -> None:
    """Refuses to go on with a run under another config.

    Raises:
      ValueError: shows every setting that differs.
    """
    a, b = _flatten(found), _flatten(expected)
    # The same dataset may have moved; that it is the same, its fingerprint tells.
    for settings in (a, b):
        settings.pop(".config.data_dir", None)
    differ = [
        f"{k}: was {a.get(k)!r}, now {b.get(k)!r}" for k in sorted({*a, *b}) if a.get(k) != b.get(k)
    ]
    if differ:
        raise ValueError(
            f"{workdir}: holds a run with other settings; expected the same ones or another "
            f"--workdir; found {'; '.join(differ[:8])}"
        )


def _flatten(tree, prefix: str = "") -> dict:
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for name, t in tree.items() for k, v in _flatten(t, f"{prefix}.{name}").items()}


def _print_start(recipe, plan, source, step, params) -> None:
    devices = jax.local_devices()
    print(
        f"{plan.stage}: {count_parameters(params):,} parameters, {recipe.model['dtype']}, "
        f"{len(devices)} x {devices[0].device_kind}, batch {plan.batch_size}, "
        f"{source.steps} steps ({plan.epochs} epochs of {source.steps_per_epoch:.4g})"
        + (f", going on after step {step}" if step else ""),
        flush=True,
    )


class _Run:
    """The loop's moving parts."""

    def __init__(self, plan, source, checkpointer, log, validation):
        self._plan, self._source = plan, source
        self._checkpointer, self._log, self._validation = checkpointer, log, validation
        self._stop = False
        self._pending: list[dict] = []
        self._record: dict = {}

    def go(self, state, step: int, step_function) -> dict:
        """Runs from `step` to the end."""
        total = self._source.steps
        every = self._plan.checkpoint_every
        self._since = (time.monotonic(), step)
        with self._signals(), tqdm(total=total, initial=step, unit="step", **_bar()) as bar:
            while step < total and not self._stop:
                batch = parallel.shard(next(self._source.batches))
                state, metrics = step_function(state, batch)
                step += 1
                self._pending.append(metrics)
                epoch_ends = self._epoch(step) > self._epoch(step - 1)
                saves = step % every == 0 if every else epoch_ends
                # Before saving too: a checkpoint after a loss that is not finite would be useless.
                if step % self._plan.log_every == 0 or epoch_ends or saves or step == total:
                    self._flush(step, bar)
                if epoch_ends or step == total:
                    self._validate(state, step)
                if saves or step == total:
                    self._save(state, step)
                bar.update()
            if step < total:
                self._flush(step, bar)
                self._save(state, step)
                raise KeyboardInterrupt(f"stopped after step {step}")
        return self._record

    def _epoch(self, step: int) -> int:
        return int(step / self._source.steps_per_epoch + 1e-9)

    def _flush(self, step: int, bar) -> None:
        """Fetches the steps since the last flush; the only place where the loop waits for them."""
        values = [jax.device_get(jax.tree.map(lambda x: x[0], m)) for m in self._pending]
        first = step - len(values)
        self._pending = []
        for i, value in enumerate(values):
            bad = [k for k, v in value.items() if not np.isfinite(v)]
            if bad:
                raise self._diverged(first + i + 1, f"{bad[0]} is {value[bad[0]]}")
        if not values:
            return
        then, at = self._since
        self._since = (time.monotonic(), step)
        rate = (step - at) * self._plan.batch_size / max(self._since[0] - then, 1e-9)
        self._record = {
            "epoch": step / self._source.steps_per_epoch,
            "loss": float(np.mean([v["loss"] for v in values])),
            "grad_norm": float(np.mean([v["grad_norm"] for v in values])),
            "chips_per_second": rate,
        }
        for group, peak in self._plan.learning_rates.items():
            rates = optim.schedule(
                self._plan.schedule, peak, self._source.steps, self._plan.warmup_steps
            )
            self._record[f"learning_rate/{group}"] = float(rates(step - 1))
        self._log.write(step, self._record)
        bar.set_postfix(loss=f"{self._record['loss']:.4f}", chips_s=f"{rate:.1f}", refresh=False)

    def _diverged(self, step: int, what: str) -> Diverged:
        latest = self._checkpointer.latest
        kept = (
            "there is no checkpoint" if latest is None else f"last good checkpoint: step {latest}"
        )
        return Diverged(
            f"step {step}: {what}; stopped; {kept}; expected finite values: try a lower learning "
            f"rate in another --workdir"
        )

    def _validate(self, state, step: int) -> None:
        scores = self._validation(state)
        if scores:
            self._record |= scores
            self._log.write(step, scores)

    def _save(self, state, step: int) -> None:
        state = parallel.unreplicate(state)
        # A loss that is finite says nothing about the update that it led to.
        for path, leaf in jax.tree_util.tree_leaves_with_path(state):
            if not np.isfinite(leaf).all():
                raise self._diverged(step, f"state{jax.tree_util.keystr(path)} is not finite")
        self._checkpointer.save(step, state, self._source.batches)

    @contextlib.contextmanager
    def _signals(self):
        """The first SIGINT or SIGTERM asks the loop to save and stop; a second one acts at once."""

        def ask(number, _):
            self._stop = True
            signal.signal(number, previous[number])

        previous = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                previous[number] = signal.signal(number, ask)
        except ValueError:  # not in the main thread
            pass
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _bar() -> dict:
    return {"desc": "train", "mininterval": 0.5, "smoothing": 0.1}
