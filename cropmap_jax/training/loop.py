"""The training loop: runs, logs, validates, checkpoints; resumes where it was interrupted."""

import contextlib
import json
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import jax
import numpy as np
import optax

from cropmap_jax.data import input_pipeline
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.geo import files, progress
from cropmap_jax.training import parallel, steps
from cropmap_jax.training.checkpoints import Checkpointer, Folder
from cropmap_jax.training.losses import LOSSES
from cropmap_jax.training.metric_log import MetricLog, NoLog
from cropmap_jax.training.profiling import Meter, Tracer, describe
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.stopping import Stopped, StopSignal
from cropmap_jax.training.train_config import TrainConfig, check_same_config
from cropmap_jax.training.validation import Validation

AHEAD = 2
"""Batches on their way to the devices, and steps that the loop may be ahead of them."""


class Diverged(ValueError):
    """The loss, its gradient or the state is no longer finite."""


def train(
    data: Dataset,
    recipe: Recipe,
    train_config: TrainConfig,
    variables: steps.Variables,
    workdir: Folder,
    profile: int = 0,
    ancestors: Sequence[dict[str, Any]] = (),
) -> dict[str, float]:
    """Trains, or resumes training, in a workdir.

    With several processes each calls this with the same arguments; the workdir is a folder that
    all of them see, and process 0 writes there and keeps it locked.

    Args:
      data: dataset with a "train" split; "validation" is evaluated after each epoch if present.
      recipe: network, legend, scaling and loss.
      train_config: how it learns.
      variables: initial {"params", "batch_stats"}, used when the workdir holds no checkpoint.
      workdir: folder for checkpoints, metrics.jsonl, tensorboard and profile.
      profile: steps of which a trace is written.
      ancestors: `checkpoints.ancestors` of the checkpoint that `variables` came from; a run that
        is resumed keeps those that it began with.

    Returns:
      The last record of metrics.

    Raises:
      ValueError: a workdir of a different config, one that another process writes or that holds
        what no run wrote, or settings that do not fit the data.
      OSError: no space or no permission.
      Diverged: loss, gradient or state not finite; the last good checkpoint stays.
      Stopped: SIGINT, SIGTERM or SIGHUP, after a checkpoint was saved.
    """
    check_chip(data, recipe)
    train_config.check_devices(parallel.process_count(), parallel.local_devices())
    if train_config.sampling.weak_share and not LOSSES[recipe.loss].learns_none:
        able = [name for name, loss in LOSSES.items() if loss.learns_none]
        raise ValueError(
            f"config.weak_share: expected 0 with config.loss {recipe.loss!r}, which has no place "
            f"for none of these (expected {' or '.join(able)}), found "
            f"{train_config.sampling.weak_share}"
        )
    unknown = train_config.unknown
    unknown.check(recipe.loss, train_config.class_weights, train_config.accumulate)
    unknown.check_data(data)
    priors = unknown.class_priors(data)
    meta = _meta(data, recipe, train_config, ancestors)
    if not train_config.epochs:
        return _untrained(train_config, variables, meta, pathlib.Path(workdir))
    shard = (parallel.process_index(), parallel.process_count())
    source = input_pipeline.training_input(
        data,
        train_config.sampling,
        train_config.batch_size,
        train_config.epochs,
        train_config.seed,
        shard=shard,
    )
    validation = Validation(
        data, recipe, train_config.sampling, train_config.batch_size, train_config.accumulate
    )
    optimizer = train_config.make_optimizer(source.steps)
    train_step = steps.make_train_step(
        recipe,
        optimizer,
        train_config.weights(data),
        train_config.freeze_trunk_statistics,
        train_config.accumulate,
        train_config.remat,
        train_config.label_smoothing,
        train_config.ema,
        train_config.seed,
        train_config.weak_weight,
        unknown,
        priors,
    )
    state = _first_state(train_config, variables, optimizer)
    workdir = pathlib.Path(workdir)
    with _owned(workdir), Checkpointer(workdir, meta, train_config.keep) as checkpointer:
        step = checkpointer.latest or 0
        if step:
            found = checkpointer.meta()
            check_same_config(found, meta, workdir)
            meta["cubes"] = found["cubes"]  # those it began with too, in what it saves from now on
            _, state = checkpointer.restore(state)
        writes = parallel.process_index() == 0
        if writes:
            facts = (source, state["params"], step, priors)
            print(describe(data, recipe, train_config, *facts), flush=True)
        log = MetricLog(workdir, step) if writes else NoLog()
        if step == source.steps:
            return log.last
        tracer = Tracer(profile if writes else 0, workdir / "profile")
        with contextlib.closing(tracer):
            run = _Run(train_config, source, checkpointer, log, validation, tracer, workdir)
            step_function = parallel.data_parallel(train_step, donate=True)
            state = parallel.replicate(state)
            return run.run(state, step, step_function)


def _first_state(
    train_config: TrainConfig, variables: steps.Variables, optimizer: optax.GradientTransformation
) -> steps.State:
    state: steps.State = {"step": np.zeros((), np.int32), **variables}
    state["opt_state"] = jax.device_get(optimizer.init(variables["params"]))
    if train_config.ema:
        state["ema"] = jax.tree.map(np.array, dict(variables))
    return state


def _untrained(
    train_config: TrainConfig, variables: steps.Variables, meta: dict[str, Any], workdir: Folder
) -> dict[str, float]:
    """Stores a network as it begins: one of which no epoch is trained."""
    state = _first_state(train_config, variables, train_config.make_optimizer(1))
    workdir = pathlib.Path(workdir)
    with _owned(workdir), Checkpointer(workdir, meta, train_config.keep) as checkpointer:
        if checkpointer.latest is not None:
            check_same_config(checkpointer.meta(), meta, workdir)
        elif parallel.process_index() == 0:
            print("config.epochs 0: the network is stored as it begins, untrained", flush=True)
        checkpointer.save(0, state)
    return {"epoch": 0.0}


@contextlib.contextmanager
def _owned(workdir: pathlib.Path) -> Iterator[None]:
    """Keeps the workdir for this run: for its process 0, and the others with it.

    Raises:
      ValueError: another run writes it, or it holds what no run wrote.
      OSError: it cannot be written.
    """
    refused: ValueError | OSError | None = None
    with contextlib.ExitStack() as held:
        if parallel.process_index() == 0:
            try:
                held.enter_context(files.Lock(workdir, "--workdir"))
                files.Written(workdir, "train").claim(
                    "checkpoints", "metrics.jsonl", "tensorboard", "profile", flag="--workdir"
                )
            except (ValueError, OSError) as error:
                refused = error
        if parallel.any_process(refused is not None):
            raise refused or ValueError(f"--workdir {workdir}: process 0 reports why it is refused")
        yield


def _meta(
    data: Dataset, recipe: Recipe, train_config: TrainConfig, ancestors: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """What is stored with each checkpoint and its state, and must be the same to resume."""
    meta = {
        "recipe": recipe.to_json(),
        "config": train_config.config,
        "stage": train_config.stage,
        "dataset": data.fingerprint,
        "cubes": [*data.ground, *ancestors],
    }
    # JSON turns tuples into lists: compare like with like.
    stored: dict[str, Any] = json.loads(json.dumps(meta))
    return stored


def check_chip(data: Dataset, recipe: Recipe) -> None:
    """Requires chips of a size that the network takes; validation runs on whole ones.

    Raises:
      ValueError: names the dataset, its chip and the multiple.
    """
    if data.chip % recipe.size_multiple:
        raise ValueError(
            f"{data.path}: expected chips of a multiple of {recipe.size_multiple} pixels (what "
            f"the network {recipe.model['name']} takes), found {data.chip}"
        )


class _Run:
    """The loop's moving parts."""

    def __init__(
        self,
        config: TrainConfig,
        source: input_pipeline.TrainingInput,
        checkpointer: Checkpointer,
        log: MetricLog | NoLog,
        validation: Validation,
        tracer: Tracer,
        workdir: pathlib.Path,
    ):
        self._config, self._source, self._workdir = config, source, workdir
        self._checkpointer, self._log, self._validation = checkpointer, log, validation
        self._tracer, self._meter = tracer, Meter(config.batch_size, config.sampling.unit)
        self._signal = StopSignal()
        self._pending: list[steps.Metrics] = []
        self._record: dict[str, float] = {}
        self._saved = (0, time.monotonic())  # step and moment of the last checkpoint

    def run(
        self, state: steps.State, step: int, step_function: steps.TrainStep
    ) -> dict[str, float]:
        """Runs from `step` to the end."""
        total, config, every = self._source.steps, self._config, self._config.checkpoint_every
        agreed = parallel.Agreement(2, lag=AHEAD)
        ahead = grain.experimental.ThreadPrefetchIterDataset(
            self._source.after(step).map(parallel.put), prefetch_buffer_size=AHEAD
        )
        batches, stop = iter(ahead), False
        self._saved = (step, time.monotonic())
        with self._signal.noted(), _bar(total, step) as bar:
            while step < total and not stop:
                with self._meter.waiting():
                    batch = next(batches)
                self._tracer.begin()
                state, metrics = step_function(state, batch)
                if self._tracer.end(metrics):
                    self._meter.start(step + 1)
                step += 1
                self._keep_pace(metrics, step)
                ends = self._epoch(step) > self._epoch(step - 1) or step == total
                scores = None
                if ends:
                    self._flush(step, bar)
                    scores = self._validate(state, step)
                stop, due = agreed(self._signal.number is not None, self._is_due())
                # What all agreed on was due some steps ago, perhaps before the last checkpoint.
                due = due and step > self._saved[0] + AHEAD
                saves = step % every == 0 if every else ends
                saves = saves or bool(scores) or due or stop or step == total
                # Before saving too: a checkpoint after a loss that is not finite would be useless.
                if saves or step % config.log_every == 0:
                    self._flush(step, bar)
                if saves:
                    self._save(state, step, scores)
                bar.update()
        if step < total:
            raise Stopped(self._signal.number, step, self._workdir)
        return self._record

    def _keep_pace(self, metrics: steps.Metrics, step: int) -> None:
        """Notes what a step returned; waits for the one AHEAD before it, but for no later one."""
        if self._meter.idle:
            jax.block_until_ready(metrics)  # the first step compiles
            self._meter.start(step)
        self._pending.append(metrics)
        if len(self._pending) > AHEAD:
            jax.block_until_ready(self._pending[-1 - AHEAD])

    def _is_due(self) -> bool:
        minutes = self._config.checkpoint_minutes
        return minutes > 0 and time.monotonic() - self._saved[1] > 60 * minutes

    def _epoch(self, step: int) -> int:
        return int(step / self._source.steps_per_epoch + 1e-9)

    def _flush(self, step: int, bar: Any) -> None:
        """Fetches the steps since the last flush; here the loop waits for all of them."""
        values = [parallel.unreplicate(m) for m in self._pending]
        first = step - len(values)
        self._pending = []
        for i, value in enumerate(values):
            bad = [k for k, v in value.items() if not np.isfinite(v)]
            if bad:
                raise self._diverged(first + i + 1, f"{bad[0]} is {value[bad[0]]}")
        if not values:
            return
        speed = self._meter.read(step)
        # Of known pixels, however they are spread over batches; where there are none, 0.
        losses, weights = (
            np.array([v[key] for v in values], np.float64) for key in ("loss", "weight")
        )
        self._record = {
            "epoch": step / self._source.steps_per_epoch,
            "loss": float(losses @ weights / max(weights.sum(), 1e-6)),
            "grad_norm": float(np.mean([v["grad_norm"] for v in values])),
        } | speed
        for group, rate in self._config.rates(self._source.steps).items():
            self._record[f"learning_rate/{group}"] = float(rate(step - 1))
        self._log.write(step, self._record)
        shown = {"loss": f"{self._record['loss']:.4f}"}
        if speed:
            unit = self._meter.unit
            shown[f"{unit}/s"] = f"{speed[f'{unit}_per_second']:,.1f}"
            shown["step"] = f"{speed['step_ms']:.0f} ms"
            shown["waiting"] = f"{speed['waiting']:.1%}"
        bar.set_postfix(shown, refresh=False)

    def _diverged(self, step: int, what: str) -> Diverged:
        latest = self._checkpointer.latest
        kept = (
            "there is no checkpoint" if latest is None else f"last good checkpoint: step {latest}"
        )
        return Diverged(
            f"step {step}: {what}; stopped; {kept}; expected finite values: try a lower learning "
            f"rate in another --workdir"
        )

    def _validate(self, state: steps.State, step: int) -> dict[str, float]:
        scores = self._validation(state)
        if scores:
            self._record |= scores
            self._log.write(step, scores)
        self._meter.start(step)
        return scores

    def _save(self, state: steps.State, step: int, scores: dict[str, float] | None) -> None:
        state = parallel.unreplicate(state)
        # The update that a finite loss led to need not be finite.
        for path, leaf in jax.tree_util.tree_leaves_with_path(state):
            if not np.isfinite(leaf).all():
                raise self._diverged(step, f"state{jax.tree_util.keystr(path)} is not finite")
        self._checkpointer.save(step, state, scores)
        self._saved = (step, time.monotonic())
        self._meter.start(step)


def _bar(total: int, step: int) -> Any:
    return progress.bar(
        total=total,
        initial=step,
        desc="train",
        unit="step",
        smoothing=0.1,
        disable=parallel.process_index() > 0,
    )
