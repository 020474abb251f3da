"""Trains twenty steps in each way and writes losses and state to FOLDER/RUN-WAY.npz: the small
network by SGD and by Adam, and the per-pixel one with all that is drawn: dropout, mixup, weak
pixels; and an average.

    on_devices.py FOLDER HOST:PORT

The runs are forks of this process, which has imported jax for all of them and touched no device:
the number of devices is settled when one is. In float64, in which the order of a sum does not show
on any processor. Known pixels are spread as unevenly as they can be: the first examples have all of
them, the last none. "pu" is the per-pixel network with PNU.
"""

import dataclasses
import gc
import os
import pathlib
import sys
import traceback

import in_float64
import jax
import numpy as np
from training import small_runs

from cropmap_jax.data import sampling
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.training import optim, parallel, steps
from cropmap_jax.training.unknown import Unknown

STEPS, BATCH, SIZE = 20, 8, 4

# Peak rates of trunk and head.
RATES = {"sgd": (0.3, 1.0), "adam": (1e-4, 1e-4), "pixels": (0.1, 0.1), "pu": (1.0, 1.0)}
SAMPLED = ("pixels", "pu")
# Devices, and which of how many processes.
RUNS = {"one": (1,), "four": (4,), "first": (2, 2, 0), "second": (2, 2, 1)}
# Compiling takes longest. SGD shows a gradient that is a multiple of what it should be, Adam does
# not; what is drawn must depend neither on processes, nor on the devices of one.
PAIR = ("adam", "pixels", "pu")
WAYS = {"one": (*RATES,), "four": ("sgd", "pixels"), "first": PAIR, "second": PAIR}
# Validation is the same step whatever trained.
VALIDATED = ("sgd", "pixels")
PIXELS = {"name": "pixel_series", "num_periods": 2, "width": 8, "neighbourhood": (1, 3)}


def make_batch(rng: np.random.Generator) -> dict:
    shape = (BATCH, 2, SIZE, SIZE)
    s1 = rng.integers(-2500, 1000, (*shape, 2)).astype(np.int16)
    s2 = rng.integers(0, 10_000, (*shape, 10)).astype(np.int16)
    # Brighter from example to example, so that the statistics of two devices differ.
    s2 = s2 // np.arange(BATCH, 0, -1, dtype=np.int16)[:, None, None, None, None]
    # Something that can be learnt: the class goes by the last period's VV.
    label = np.digitize(s1[:, -1, :, :, 0], (-1600, -700, 200)).astype(np.uint8)
    label[label == 3] = NONE_OF_THESE
    for stored in (s1, s2):
        stored[rng.random(stored.shape) < 0.2] = -32768
    share = np.linspace(1, 0, BATCH)[:, None, None]
    label[rng.random(label.shape) >= share] = IGNORE
    planted = rng.integers(0, 2, (BATCH, 3)).astype(np.float32)
    days = np.full((BATCH, 2), 100, np.int32)
    return {"pixels": {"s1": s1, "s2": s2}, "day_of_year": days, "label": label, "planted": planted}


def part(batch: dict) -> dict:
    """This process's examples, as `training_input` deals them out."""
    own = sampling.share_of(BATCH, (parallel.process_index(), parallel.process_count()))
    return parallel.put(jax.tree.map(lambda v: v[own], batch))


def of_each_device(array: jax.Array) -> np.ndarray:
    """[devices, ...]: a replicated array as each local device holds it."""
    return np.stack([shard.data for shard in array.addressable_shards])


def make_recipe(way: str):
    if way not in SAMPLED:
        # The U-Nets of two sensors would be one beside the other.
        recipe = small_runs.make_recipe()
        ranges = {"s1": recipe.scaling["s1"]}
        return dataclasses.replace(recipe, scaling=ranges, sensors=recipe.sensors[:1])
    recipe = small_runs.make_recipe("softmax_none" if way == "pixels" else "sigmoid")
    return dataclasses.replace(recipe, model=PIXELS, indices=("ndvi",))


def trained(name: str) -> dict[str, np.ndarray]:
    """Losses, state and scores after twenty steps in the way of this name."""
    recipe, sampled = make_recipe(name), name in SAMPLED
    rates = (optim.schedule("constant", rate, STEPS) for rate in RATES[name])
    # With the usual epsilon of 1e-8 Adam divides rounding errors by rounding errors.
    optimizer = optim.make_optimizer("sgd" if sampled else name, *rates, eps=1e-4)
    variables = steps.init_variables(recipe, 1)
    opt_state = jax.device_get(optimizer.init(variables["params"]))
    state = {"step": np.zeros((), np.int32), "opt_state": opt_state} | variables
    extra = {}
    if sampled:
        state["ema"] = jax.tree.map(np.array, variables)
        extra = {"label_smoothing": 0.1, "ema": 0.9, "seed": 3, "weak_weight": 0.3}
    if name == "pu":
        # Large shares: the risk of negatives is below 0 again and again.
        extra |= {"treated": Unknown("pnu", eta=0.7, gamma=0.5), "priors": np.full(3, 0.8)}
    step = parallel.data_parallel(steps.make_train_step(recipe, optimizer, **extra), donate=True)
    state, losses, rng = parallel.replicate(state), [], np.random.default_rng(0)
    for _ in range(STEPS):
        batch = make_batch(rng)
        if sampled:
            batch["mix"] = rng.beta(0.5, 0.5, BATCH).astype(np.float32)
            batch["weak"] = (batch["label"] == IGNORE) & (rng.random(batch["label"].shape) < 0.3)
            batch["label"][batch["weak"]] = NONE_OF_THESE
        state, metrics = step(state, part(batch))
        losses.append(of_each_device(metrics["loss"]))
    kept = {k: state[k] for k in ("ema", "params", "batch_stats") if k in state}
    used = {k: kept[k] for k in ("params", "batch_stats")}
    sums = {}
    if name in VALIDATED:
        validate = parallel.data_parallel(steps.make_validation_step(recipe))
        sums = parallel.unreplicate(validate(used, part(make_batch(rng))))
    held = small_runs.leaves(jax.tree.map(of_each_device, kept))
    spread = {f"spread{name}": np.ptp(leaf, 0) for name, leaf in held.items()}
    first = small_runs.leaves(parallel.unreplicate(kept))
    return {"losses": np.stack(losses)} | first | spread | {f"sum/{k}": v for k, v in sums.items()}


def train(folder: pathlib.Path, run: str, address: str) -> None:
    devices, *processes = RUNS[run]
    jax.config.update("jax_num_cpu_devices", devices)
    if processes:
        parallel.start(address, *processes)
    if jax.local_device_count() != devices:
        raise SystemExit(f"expected {devices} devices, found {jax.local_device_count()}")
    with in_float64.float64():
        for way in WAYS[run]:
            np.savez(folder / f"{run}-{way}.npz", **trained(way))


def main(folder: str, address: str) -> None:
    gc.freeze()  # as the commands' forks
    children = {}
    for run in RUNS:
        if not (pid := os.fork()):
            code = 1
            try:
                train(pathlib.Path(folder), run, address)
                code = 0
            except BaseException:
                traceback.print_exc()
            os._exit(code)
        children[pid] = run
    for pid, run in children.items():
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            sys.exit(f"{run}: exit code {code}")


if __name__ == "__main__":
    main(*sys.argv[1:])
