"""How long a checkpoint holds training up, how long it takes to write, and to read again.

    python -m benchmarks.checkpoint --json checkpoint.json

The state is the seed network's with Adam (parameters, statistics and two moments: 0.75 GB), on the
devices as a step leaves it. Before training goes on, the loop copies it to the host ("fetch"),
looks whether all of it is finite ("check") and hands it over ("save", as far as that blocks);
"held up" is their sum, and "sums" what SHA-256 takes of it, as a part of "save". "written" is from
the beginning of "save" until the checkpoint lies whole on the disk. Behind "raw" is what the disk
does with the same bytes in one file.
"""

import os
import pathlib
import sys
import tempfile
import time

import jax
import numpy as np

from benchmarks import networks, report
from cropmap_jax.training import checkpoints, checksums, optim, parallel, steps

HELD_UP = ("fetch", "check", "save")


def main(argv: list[str]) -> dict:
    """Times a checkpoint in several rounds; prints and returns the figures, in seconds."""
    parser = report.make_parser("checkpoint", __doc__)
    parser.add_argument("--width", type=int, default=32, help="of the network")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", help="where to write; default: the folder of temporary files")
    args = parser.parse_args(argv)
    if args.quick:
        args.width, args.rounds = 2, 1
    recipe = networks.make_recipe(networks.Sizes(width=args.width))
    variables = steps.init_variables(recipe, 0)
    optimizer = optim.make_optimizer("adam", *2 * [lambda _: 1e-4])
    state = {"step": np.zeros((), np.int32), **variables}
    state["opt_state"] = jax.device_get(optimizer.init(variables["params"]))
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    names = (*HELD_UP, "held up", "sums", "written", "read", "raw write", "raw read")
    times: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        for i in range(args.rounds):
            _once(pathlib.Path(folder) / str(i), state, recipe, times)
            _raw(pathlib.Path(folder) / "raw", state, times)
    figures = {name: report.spread(values) for name, values in times.items()}
    rows = [
        [name, 1000 * v["median"], f"{1000 * v['q1']:,.0f}-{1000 * v['q3']:,.0f}"]
        + [size / v["median"] / 1e9]
        for name, v in figures.items()
    ]
    text = f"state of {size / 1e9:.3g} GB, {args.rounds} rounds, medians\n\n"
    text += report.table(["what", "ms", "quartiles", "GB/s"], rows)
    return report.finish("checkpoint", args, text, figures | {"bytes": size})


def _once(workdir, state: dict, recipe, times: dict) -> None:
    meta = {"recipe": recipe.to_json(), "config": {}, "stage": "pretrain"}
    checkpointer = checkpoints.Checkpointer(workdir, meta)
    # Anew for each round: jax keeps what it once fetched.
    on_devices = jax.block_until_ready(parallel.replicate(state))
    # From here on as `training.loop` saves.
    marks = [time.perf_counter()]
    fetched = parallel.unreplicate(on_devices)
    marks.append(time.perf_counter())
    finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fetched))
    marks.append(time.perf_counter())
    checkpointer.save(1, fetched)
    marks.append(time.perf_counter())
    checkpointer.close()
    times["written"].append(time.perf_counter() - marks[2])
    for name, took in zip(HELD_UP, np.diff(marks), strict=True):
        times[name].append(took)
    times["held up"].append(marks[-1] - marks[0])
    began = time.perf_counter()
    checksums.digest(fetched)
    times["sums"].append(time.perf_counter() - began)
    checkpointer = checkpoints.Checkpointer(workdir, meta)
    began = time.perf_counter()
    _, found = checkpointer.restore(state)
    times["read"].append(time.perf_counter() - began)
    checkpointer.close()
    leaves = zip(jax.tree.leaves(state), jax.tree.leaves(found), strict=True)
    if not (finite and all(np.array_equal(a, b) for a, b in leaves)):
        raise SystemExit("error: the checkpoint does not hold what was saved")


def _raw(path: pathlib.Path, state: dict, times: dict) -> None:
    began = time.perf_counter()
    with open(path, "wb") as file:
        for leaf in jax.tree.leaves(state):
            file.write(np.ascontiguousarray(leaf).data)
        file.flush()
        os.fsync(file.fileno())
    times["raw write"].append(time.perf_counter() - began)
    began = time.perf_counter()
    path.read_bytes()
    times["raw read"].append(time.perf_counter() - began)
    path.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
