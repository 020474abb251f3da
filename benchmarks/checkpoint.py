"""How long a checkpoint holds training up, how long it takes to write, and to read again.

    python -m benchmarks.checkpoint --json checkpoint.json

The state is the seed network's with Adam (parameters, statistics and two moments: 0.75 GB), saved
as the training loop does. "blocked" is how long `save` takes before training goes on; "written"
is when the checkpoint lies whole on the disk. Behind "raw" is what the disk does with the same
bytes in one file.
"""

import os
import pathlib
import sys
import tempfile
import time

import jax
import numpy as np

from benchmarks import networks, report
from cropmap_jax.training import checkpoints, optim, steps


def main(argv: list[str]) -> dict:
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
    times = {"blocked": [], "written": [], "read": [], "raw write": [], "raw read": []}
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
    began = time.perf_counter()
    checkpointer.save(1, state)
    times["blocked"].append(time.perf_counter() - began)
    checkpointer.close()
    times["written"].append(time.perf_counter() - began)
    checkpointer = checkpoints.Checkpointer(workdir, meta)
    began = time.perf_counter()
    _, found = checkpointer.restore(state)
    times["read"].append(time.perf_counter() - began)
    checkpointer.close()
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(found), strict=True):
        if not np.array_equal(a, b):
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
