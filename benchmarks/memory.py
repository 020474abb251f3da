"""Whether training needs more memory with more steps, or with more cubes.

    python -m benchmarks.memory --json memory.json

Runs the real loop (reading, prefetching, logging, saving) with the smallest network on datasets of
several sizes, each in a process of its own, and notes its resident memory as the steps go by. The
files that are read lie in the system's page cache, which is not counted.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from benchmarks import report

CROP = 8  # pixels: short steps


def main(argv: list[str]) -> dict | None:
    """Runs each number of cubes; prints and returns the figures. With --point that one alone."""
    parser = report.make_parser("memory", __doc__)
    parser.add_argument("--cubes", type=int, nargs="+", default=(16, 64, 256))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--point", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.quick:
        args.cubes, args.steps, args.batch = (1,), 32, 2
    if args.point:
        return print(json.dumps(point(args)))
    found = []
    for cubes in args.cubes:
        command = [sys.executable, "-m", "benchmarks.memory", "--point", str(cubes)]
        command += ["--steps", str(args.steps), "--batch", str(args.batch)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"error: {cubes} cubes: {done.stderr.strip().splitlines()[-1]}")
        found.append(json.loads(done.stdout.splitlines()[-1]))
    marks = [args.steps // 10, args.steps // 2, args.steps]
    rows = [
        [str(f["cubes"]), f["megabytes_of_data"], f["step_ms"]]
        + [next(mb for step, mb in f["resident"] if step >= mark) for mark in marks]
        for f in found
    ]
    header = ["cubes", "MB of data", "step, ms", *(f"MB at step {mark}" for mark in marks)]
    text = f"batch {args.batch}, crops of {CROP} px, width 1\n\n{report.table(header, rows)}"
    return report.finish("memory", args, text, {"runs": found})


def point(args) -> dict:
    """Trains on `args.point` cubes in this process, and watches its memory.

    Returns:
      {"cubes", "megabytes_of_data", "step_ms": median, "resident": [(step, MB), ...]}.
    """
    from benchmarks import loader, waiting
    from cropmap_jax.data import dataset

    resident: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        data = dataset.open_dataset(*loader.draw_dataset(scratch, args.point, 12))
        workdir = pathlib.Path(scratch, "run")
        over = threading.Event()
        watcher = threading.Thread(target=_watch, args=(workdir, over, resident))
        watcher.start()
        try:
            speed = waiting.train(data, CROP, args, str(workdir))
        finally:
            over.set()
            watcher.join()
        size = sum(file.stat().st_size for file in data.path.glob("*array_record*"))
    return {
        "cubes": args.point,
        "megabytes_of_data": size / 1e6,
        "step_ms": speed["step_ms"]["median"],
        "resident": resident,
    }


def _watch(workdir: pathlib.Path, over: threading.Event, resident: list) -> None:
    """Notes (step, resident MB) whenever the loop has logged a step."""
    log, seen = workdir / "metrics.jsonl", 0
    while True:
        last = over.is_set()
        if log.is_file() and (lines := log.read_text().splitlines()):
            try:
                step = json.loads(lines[-1])["step"]
            except ValueError:  # half a line
                step = seen
            if step > seen:
                seen = step
                resident.append((step, _resident()))
        if last:
            return
        time.sleep(0.05)


def _resident() -> float:
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main(sys.argv[1:])
