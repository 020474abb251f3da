"""What every benchmark does with its figures: a table for people, JSON for everything else.

Needs numpy alone, so that a benchmark runs wherever its own libraries do.
"""

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import pathlib
import platform
import sys
from collections.abc import Callable

import numpy as np

LIBRARIES = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "torch", "grain", "numpy", "onnxruntime",
    "jax2onnx",
)  # fmt: skip


def make_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A parser with the flags that all benchmarks share.

    Args:
      name: of the benchmark, as in `python -m benchmarks.NAME`.
      description: its docstring, shown as it is.
    """
    parser = argparse.ArgumentParser(
        prog=f"benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures here as well")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    return parser


def machine() -> dict:
    """Processor, cores, load and versions: without them a figure means nothing."""
    versions = {}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def spread(values) -> dict:
    """Median and quartiles of repeated measurements.

    Args:
      values: floats, at least one.

    Returns:
      {"median", "q1", "q3", "n"}.
    """
    values = np.asarray(values, np.float64)
    q1, median, q3 = np.percentile(values, (25, 50, 75))
    return {"median": float(median), "q1": float(q1), "q3": float(q3), "n": len(values)}


def table(header: list[str], rows: list[list]) -> str:
    """Aligns rows into a Markdown table; floats get three significant digits."""
    cells = [header, *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]

    def line(row: list[str]) -> str:
        padded = [row[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:]), ""])
    return "\n".join([line(cells[0]), rule, *(line(row) for row in cells[1:])])


def _cell(value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,d}" if isinstance(value, int) else str(value)


def run(name: str, args: argparse.Namespace, measure: Callable[[], tuple[str, dict]]) -> int:
    """Measures and prints; a mistake of the user's or of the machine's is one line.

    Args:
      name: of the benchmark.
      args: the parsed flags.
      measure: returns what is printed and the figures, see `finish`.

    Returns:
      The exit code.
    """
    try:
        text, figures = measure()
        finish(name, args, text, figures)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def finish(name: str, args: argparse.Namespace, text: str, figures: dict) -> dict:
    """Prints the machine and the table; writes the JSON if asked to; returns the figures.

    Args:
      name: of the benchmark.
      args: the parsed flags, `json` among them.
      text: what is printed.
      figures: what the JSON holds, besides the machine and the flags.
    """
    where = machine()
    versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items())
    print(
        f"{name}: {where['date'][:10]}, {where['processor']}, {where['cores']} cores, "
        f"load {where['load']}; Python {where['python']}, {versions}\n\n{text}"
    )
    if args.json:
        record = {"benchmark": name, "machine": where, "flags": vars(args), "figures": figures}
        path = pathlib.Path(args.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1, default=str) + "\n")
        print(f"\nwritten: {path}")
    return figures
