"""What a run reports of itself: its devices at the start, its speed, and a trace on request."""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from cropmap_jax.data import few_fields
from cropmap_jax.data.dataset import NO_WEAK, Dataset
from cropmap_jax.data.input_pipeline import TrainingInput
from cropmap_jax.models import count_parameters
from cropmap_jax.models.flops import count_flops
from cropmap_jax.training import parallel
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.train_config import TrainConfig


class Meter:
    """Speed of training between two moments: compiling, validating and saving do not count.

    Args:
      batch_size: examples of a step, over all devices.
      unit: what an example is, "chips" or "pixels".
    """

    def __init__(self, batch_size: int, unit: str = "chips"):
        self._batch_size, self.unit = batch_size, unit
        self._began: tuple[float, int] | None = None
        self._waited = 0.0

    @property
    def idle(self) -> bool:
        """Whether it was never started."""
        return self._began is None

    def start(self, step: int) -> None:
        """Begins to measure after `step` steps, which the devices have finished."""
        self._began, self._waited = (time.monotonic(), step), 0.0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Measures a wait for data."""
        before = time.monotonic()
        yield
        self._waited += time.monotonic() - before

    def read(self, step: int) -> dict[str, float]:
        """Speed since `start`, or since the last reading; empty if no step was measured.

        Returns:
          "chips_per_second", or "pixels_per_second"; "step_ms", milliseconds of a step; "waiting",
          share of the time in which the loop waited for data (at most so long did the devices: they
          may have been busy).
        """
        if self._began is None or step <= self._began[1]:
            return {}
        seconds = max(time.monotonic() - self._began[0], 1e-9)
        steps, waited = step - self._began[1], self._waited
        self.start(step)
        return {
            f"{self.unit}_per_second": steps * self._batch_size / seconds,
            "step_ms": 1000 * seconds / steps,
            "waiting": waited / seconds,
        }


class Tracer:
    """Writes a trace of some steps for Perfetto and TensorBoard; the first ones are left out.

    Args:
      steps: how many; 0 for none.
      folder: where it is written.
    """

    FIRST = 3  # earlier ones compile and fill the queues

    def __init__(self, steps: int, folder: str | os.PathLike[str]):
        self._steps, self._folder = steps, pathlib.Path(folder)
        self._done, self._on = 0, False

    def begin(self) -> None:
        """To be called before each step."""
        if self._steps and self._done == self.FIRST:
            jax.profiler.start_trace(str(self._folder), create_perfetto_trace=True)
            self._on = True

    def end(self, metrics: dict[str, Any]) -> bool:
        """To be called after each step with its metrics; returns whether it wrote the trace."""
        self._done += 1
        last = self._on and self._done == self.FIRST + self._steps
        if last:
            jax.block_until_ready(metrics)
            self.close()
        return last

    def close(self) -> None:
        """Writes what there is, if there is any."""
        if self._steps and self._done <= self.FIRST:
            print(
                f"no trace: expected more than {self.FIRST} steps, found {self._done}", flush=True
            )
        if self._on:
            self._on = False
            try:
                jax.profiler.stop_trace()
            except (RuntimeError, OSError) as error:
                # The run is worth more than the trace of it.
                print(f"no trace: {self._folder} could not be written ({error})", flush=True)
                return
            traces = sorted(self._folder.rglob("perfetto_trace.json.gz"))
            if traces:
                print(f"trace: {traces[-1]}; open it at ui.perfetto.dev", flush=True)


def describe(
    data: Dataset,
    recipe: Recipe,
    train_config: TrainConfig,
    source: TrainingInput,
    params: dict[str, Any],
    step: int,
    priors: np.ndarray | None = None,
) -> str:
    """What is trained, on what, and how long: a few lines for the terminal."""
    parameters = count_parameters(params)
    sampling, network = train_config.sampling, recipe.network()
    side = (sampling.side or data.chip) - 2 * (sampling.context or 0)
    flops = train_config.batch_size * count_flops(network, recipe.bands, side, side, train=True)
    devices, processes = jax.local_devices(), parallel.process_count()
    everywhere = processes * len(devices)
    share = f"{train_config.batch_size // everywhere} a device"
    if train_config.accumulate > 1:
        share += f" in {train_config.accumulate} parts"
    if train_config.remat:
        share += ", rematerialised"
    kept = "" if recipe.model["dtype"] == "float32" else ", parameters float32"
    seen = ", ".join(sensor.name for sensor in recipe.sensors)
    lines = [
        f"{train_config.stage}: {recipe.model['name']} on {seen}; {parameters:,} parameters, "
        f"{recipe.model['dtype']}{kept}, {recipe.loss} loss",
        f"{everywhere} x {devices[0].device_kind}"
        + (f" in {processes} processes" if processes > 1 else "")
        + f", batch {train_config.batch_size} {sampling.unit} ({share})"
        + (f", {flops / 1e9:,.3g} GFLOP a step" if flops else ""),
        f"{source.steps:,} steps ({train_config.epochs} epochs of {source.steps_per_epoch:.4g})"
        + (f", resuming after step {step:,}" if step else ""),
    ]
    lines += [f"note: {note}" for note in few_fields.notes(data)]
    if sampling.weak_share and not data.split("train").has_weak:
        lines.append(f"note: config.weak_share {sampling.weak_share:g}: {NO_WEAK}")
    if train_config.unknown.used:
        lines.append(f"note: {train_config.unknown.describe(data.legend.names, priors)}")
    annotated = int(data.split("train").annotated.sum())
    if sampling.unit == "pixels" and annotated < train_config.batch_size:
        lines.append(
            f"note: train has {annotated:,} annotated pixels: a batch of "
            f"{train_config.batch_size:,} holds some of them several times"
        )
    if never := data.never_annotated("train"):
        lines.append(f"note: no annotated pixel of {', '.join(never)} in train: it is not learnt")
    return "\n".join(lines)
