"""Trains a few steps with SGD and writes losses and state: `on_devices.py OUT.npz COUNT`.

A script of its own, because the number of devices is settled when jax starts. Known pixels are
spread as unevenly as they can be: the first examples have all of them, the last none.
"""

import sys

import jax
import numpy as np
from training import small_runs

from cropmap_jax.geo.cube import NODATA
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.training import optim, parallel, steps

STEPS, BATCH, SIZE = 3, 8, 4


def make_batch(rng: np.random.Generator) -> dict:
    shape = (BATCH, 2, SIZE, SIZE)
    s1 = rng.integers(-2500, 1000, (*shape, 2)).astype(np.int16)
    s2 = rng.integers(0, 10_000, (*shape, 10)).astype(np.int16)
    # Brighter from example to example, so that the statistics of two devices differ.
    s2 = s2 // np.arange(BATCH, 0, -1, dtype=np.int16)[:, None, None, None, None]
    s1[rng.random(s1.shape) < 0.2] = NODATA
    s2[rng.random(s2.shape) < 0.2] = NODATA
    label = rng.choice(np.array([0, 1, 2, 254], np.uint8), (BATCH, SIZE, SIZE))
    share = np.linspace(1, 0, BATCH)[:, None, None]
    label[rng.random(label.shape) >= share] = IGNORE
    planted = rng.integers(0, 2, (BATCH, 3)).astype(np.float32)
    return {"s1": s1, "s2": s2, "label": label, "planted": planted}


def main(out: str, count: int) -> None:
    if jax.local_device_count() != count:
        raise SystemExit(f"expected {count} devices, found {jax.local_device_count()}")
    recipe = small_runs.make_recipe()
    rates = (optim.schedule("constant", rate, STEPS) for rate in (0.1, 0.3))
    optimizer = optim.make_optimizer("sgd", *rates)
    variables = steps.init_variables(recipe, 1)
    opt_state = jax.device_get(optimizer.init(variables["params"]))
    state = {"step": np.zeros((), np.int32), "opt_state": opt_state} | variables
    step = parallel.data_parallel(steps.make_train_step(recipe, optimizer), donate=True)
    validate = parallel.data_parallel(steps.make_validation_step(recipe))
    state, losses, rng = parallel.replicate(state), [], np.random.default_rng(0)
    for _ in range(STEPS):
        state, metrics = step(state, parallel.shard(make_batch(rng)))
        losses.append(np.asarray(metrics["loss"]))
    kept = {k: state[k] for k in ("params", "batch_stats")}
    sums = parallel.unreplicate(validate(kept, parallel.shard(make_batch(rng))))
    spread = {f"spread{name}": np.ptp(leaf, 0) for name, leaf in small_runs.leaves(kept).items()}
    first = small_runs.leaves(parallel.unreplicate(kept))
    np.savez(
        out, losses=np.stack(losses), **first, **spread, **{f"sum/{k}": v for k, v in sums.items()}
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
