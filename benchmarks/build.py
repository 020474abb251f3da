"""How fast a dataset is built from cubes, and whether its memory grows with their number.

    python -m benchmarks.build --json build.json

Cubes are drawn at random into a temporary folder; each build runs in a process of its own, whose
peak memory is told when it ends. Counted as bytes are those of the pixels of the cubes, int16 and
uint8 as they are stored, before compression; time begins when everything is imported.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time

from benchmarks import drawn, report


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The flags; those of the process where `argv` is None."""
    parser = report.make_parser("build", __doc__)
    parser.add_argument("--cubes", type=int, nargs=2, default=(16, 96), help="few and many")
    parser.add_argument("--side", type=int, default=128, help="of a cube in pixels")
    parser.add_argument("--months", type=int, default=12, help="periods of a cube")
    parser.add_argument("--runs", type=int, default=3, help="of each number of cubes")
    args = parser.parse_args(argv)
    if args.quick:
        args.cubes, args.runs, args.side, args.months = (1, 2), 1, 64, 2
    return args


def main(argv: list[str] | None = None) -> None:
    """Builds datasets of few and of many cubes, and prints rates and memory."""
    args = parse(argv)
    with tempfile.TemporaryDirectory() as scratch:
        for count in args.cubes:
            drawn.draw_cubes(f"{scratch}/cubes{count}", count, args.side, args.months)
        found: dict[int, list[dict]] = {count: [] for count in args.cubes}
        for run in range(args.runs):
            for count in args.cubes:  # alternating: what else runs here hits both
                found[count].append(build(f"{scratch}/cubes{count}", f"{scratch}/{count}.{run}"))
    pixels = args.side**2 * (args.months * 24 + 1)
    rows, figures = [], {"bytes_per_cube": pixels}
    for count, runs in found.items():
        rate = report.spread([count / r["seconds"] for r in runs])
        memory = report.spread([r["peak_mb"] for r in runs])
        rows.append([f"{count} cubes", rate["median"], rate["q1"], rate["q3"]])
        rows[-1] += [rate["median"] * pixels / 1e6, count * pixels / 1e6, memory["median"]]
        figures[count] = {"cubes/s": rate, "peak MB": memory}
    header = ["", "cubes/s", "q1", "q3", "MB/s", "MB in all", "peak memory, MB"]
    text = (
        f"cubes of {args.side} px, {args.months} periods; {args.runs} runs\n\n"
        f"{report.table(header, rows)}"
    )
    report.finish("build", args, text, figures)


def build(cubes: str, data_dir: str) -> dict:
    """Builds a dataset in a process of its own.

    Args:
      cubes: folder of cubes.
      data_dir: folder that the dataset is written to.

    Returns:
      {"seconds": of the build without imports, "peak_mb": resident memory at most}.

    Raises:
      RuntimeError: the process failed; holds the end of what it said.
    """
    command = [sys.executable, "-m", "benchmarks.build", "--child", cubes, data_dir]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, error = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: {error.decode()[-2000:]}")
    return json.loads(out.splitlines()[-1])


def child(cubes: str, data_dir: str) -> None:
    """What that process does; prints its result as one line of JSON."""
    import resource

    from cropmap_jax.data import cube_builder

    begin = time.perf_counter()
    cube_builder.build(drawn.Drawn, "default", cubes, data_dir)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mb": peak}), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
