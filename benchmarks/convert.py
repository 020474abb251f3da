"""How fast converted networks are on the CPU, next to this library's own prediction, in one run.

    python -m benchmarks.convert --workdir W --side 128 --json convert.json

The same made-up pixels go to the run itself (as maps are made, from stored int16), to its
StableHLO in jax and to its ONNX in onnxruntime, in turn; times are of the processor. One thread
each: onnxruntime is told so, jax by XLA_FLAGS=--xla_cpu_multi_thread_eigen=false and taskset -c 0.
"""

import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks import report
from cropmap_jax import runs
from cropmap_jax.product import comparing, exporting, program

OWN = "this library"


def forms(workdir: str, batch: int, side: int) -> tuple[dict[str, Callable], dict[str, int]]:
    """What answers, by name, each from the same pixels; and bytes of the files."""
    run = runs.open_run(workdir)
    made = program.of_run(run, None)
    multiple = made.recipe.size_multiple
    side = -(-side // multiple) * multiple
    arrays = comparing.sample(made, (batch, side, side), 0)
    own, examples = runs.predictor_of(run, batch), comparing.examples(made, arrays)
    found: dict[str, Callable] = {OWN: lambda: np.stack(own.predict(examples))}
    sizes = {}
    for to in exporting.FORMATS:
        data = exporting.write(made, to, {"name": "benchmark"})
        runner = exporting.open_runner(data, to, threads=1)
        found[to] = lambda runner=runner: runner(arrays)
        sizes[to] = len(data)
    return found, sizes


def measure(found: dict[str, Callable], rounds: int) -> tuple[dict, dict]:
    """Answers, and processor seconds of each form, in turn; the first turn, which compiles, is not
    timed."""
    answers = {name: form() for name, form in found.items()}
    times: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, form in found.items():
            start = time.process_time()
            form()
            times[name].append(time.process_time() - start)
    return answers, times


def main(argv: list[str]) -> None:
    parser = report.make_parser("convert", __doc__)
    parser.add_argument("--workdir", required=True, help="folder of a network's run")
    parser.add_argument("--side", type=int, default=128, help="of the images, in pixels")
    parser.add_argument("--batch", type=int, default=1, help="images at once")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args(argv)
    side, rounds = (16, 1) if args.quick else (args.side, args.rounds)
    found, sizes = forms(args.workdir, args.batch, side)
    answers, times = measure(found, rounds)
    own, rows = report.spread(times[OWN])["median"], []
    for name, seconds in times.items():
        spread = report.spread(seconds)
        apart = float(np.nanmax(np.abs(answers[name] - answers[OWN])))
        quartiles = f"{1e3 * spread['q1']:.1f}-{1e3 * spread['q3']:.1f}"
        megabytes = sizes[name] / 1e6 if name in sizes else "-"
        rows.append(
            [name, 1e3 * spread["median"], quartiles, spread["median"] / own, apart, megabytes]
        )
    header = ["form", "ms", "quartiles", "x own time", "largest difference", "MB"]
    text = f"{args.batch} x {side} x {side} px, {rounds} rounds in turn, medians\n\n"
    report.finish(
        "convert", args, text + report.table(header, rows), {"header": header, "rows": rows}
    )


if __name__ == "__main__":
    main(sys.argv[1:])
