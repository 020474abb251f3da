"""What a training step costs: time and memory against batch, chip size and number of periods.

    python -m benchmarks.curves --json curves.json --png docs/pictures/cost_of_a_step.png

Each point is the seed network's training step in a process of its own, so that its peak of memory
is its own: of the device where it tells (GPU), else of the whole process. "kept GB" are the
activations that the forward pass keeps for the gradient, by their shapes. One setting varies, the
others stay at batch 8, 64 pixels and 6 periods. Two rows more show what rematerialisation and
accumulation in four parts save, and cost.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

from benchmarks import report

BASE = {"batch": 8, "side": 64, "periods": 6}
VARIED = {
    "batch": (1, 2, 4, 8, 16, 32),
    "side": (16, 32, 64, 96, 128),
    "periods": (1, 3, 6, 12, 24),
}
UNITS = {"batch": "chips a batch", "side": "pixels, side of a chip", "periods": "periods"}


def main(argv: list[str]) -> dict | None:
    """Measures all points; prints, draws and returns them. With --point prints that one alone."""
    parser = report.make_parser("curves", __doc__)
    parser.add_argument("--png", metavar="FILE", help="draw the curves here")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--width", type=int, default=32, help="of the network")
    parser.add_argument("--rounds", type=int, default=3, help="steps that are timed")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.point:
        return print(json.dumps(point(json.loads(args.point), args)))
    base, varied = BASE, VARIED
    extra = [{"remat": True}, {"accumulate": 4}]
    if args.quick:
        base, varied, extra = {"batch": 2, "side": 16, "periods": 2}, {"batch": (2,)}, []
        args.width, args.rounds = 2, 1
    wanted = [base | {key: value} for key, values in varied.items() for value in values]
    wanted = [w for i, w in enumerate(wanted + [base | e for e in extra]) if w not in wanted[:i]]
    found = []
    for settings in wanted:
        measure = point if args.quick else _in_its_own_process
        found.append(settings | measure(settings, args))
        print(f"  {settings}: {found[-1]['ms']:,.0f} ms", file=sys.stderr, flush=True)
    rows = [
        [name, f["batch"], f["side"], f["periods"], f["ms"], f["ms"] / f["batch"], f["gigabytes"]]
        + [f["kept_gigabytes"], f["compile_seconds"]]
        for f in found
        for name in [", ".join(k for k in ("remat", "accumulate") if k in f) or "plain"]
    ]
    header = ["form", "batch", "side", "periods", "ms", "ms a chip", "peak GB", "kept GB"]
    header += ["compiling, s"]
    if args.png and not args.quick:
        draw(found, varied, base, args.png)
    text = f"{found[0]['device']}, {args.dtype}, width {args.width}\n\n{report.table(header, rows)}"
    return report.finish("curves", args, text, {"points": found})


def point(settings: dict, args) -> dict:
    """Measures one point in this process.

    Args:
      settings: "batch", "side" (pixels) and "periods"; also "remat" and "accumulate" if used.
      args: the flags.

    Returns:
      {"ms": median of a step, "compile_seconds": of the first one, "gigabytes": memory at most,
      "kept_gigabytes": activations that the forward pass keeps for the gradient, "device"}.
    """
    from benchmarks import networks

    settings = dict(settings)
    forms = {key: settings.pop(key) for key in ("remat", "accumulate") if key in settings}
    sizes = networks.Sizes(width=args.width, **settings)
    form = networks.ours(sizes, args.dtype, train=True, **forms)
    began = time.perf_counter()
    form.step()
    compiling, times = time.perf_counter() - began, []
    for _ in range(args.rounds):
        began = time.perf_counter()
        form.step()
        times.append(time.perf_counter() - began)
    on_device = networks.jax.local_devices()[0].memory_stats()  # None on a CPU
    resident = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = on_device["peak_bytes_in_use"] if on_device else resident
    return {
        "ms": 1000 * report.spread(times)["median"],
        "compile_seconds": compiling,
        "gigabytes": memory / 1e9,
        "kept_gigabytes": networks.kept_for_gradient(sizes, args.dtype, **forms) / 1e9,
        "device": networks.device(),
    }


def _in_its_own_process(settings: dict, args) -> dict:
    command = [sys.executable, "-m", "benchmarks.curves", "--point", json.dumps(settings)]
    command += ["--dtype", args.dtype, "--width", str(args.width), "--rounds", str(args.rounds)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"error: {settings}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def draw(found: list[dict], varied: dict, base: dict, path: str) -> None:
    """Draws time and memory against each setting.

    Args:
      found: points as `main` gathers them.
      varied: the values of each setting.
      base: what the other settings stay at.
      path: of the PNG.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    figure, axes = plt.subplots(2, len(varied), figsize=(10, 5.5), sharex="col", sharey="row")
    for column, (key, values) in enumerate(varied.items()):
        others = {k: v for k, v in base.items() if k != key}
        points = [
            f for v in values for f in found if f.items() >= (others | {key: v}).items()
            if not {"remat", "accumulate"} & f.keys()
        ]  # fmt: skip
        x = [p[key] for p in points]
        for row, (name, label) in enumerate((("ms", "s a step"), ("gigabytes", "peak memory, GB"))):
            y = [p[name] / (1000 if name == "ms" else 1) for p in points]
            axes[row, column].plot(x, y, "o-", color="#1b6ca8")
            axes[row, column].set_xscale("log", base=2)
            if name == "ms":
                axes[row, column].set_yscale("log")
                axes[row, column].yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
                axes[row, column].yaxis.set_major_formatter("{x:g}")
                axes[row, column].yaxis.set_minor_formatter(ticker.NullFormatter())
            else:
                axes[row, column].set_ylim(0, 1.06 * max(f["gigabytes"] for f in found))
            axes[row, column].set_xticks(x, [str(v) for v in x])
            axes[row, column].grid(alpha=0.3, which="both")
            if not column:
                axes[row, column].set_ylabel(label)
        axes[1, column].set_xlabel(UNITS[key])
        fixed = ", ".join(f"{k} {v}" for k, v in others.items())
        axes[0, column].set_title(f"at {fixed}", fontsize=9)
    where = report.machine()
    where = f"{where['cores']} cores, {where['processor']}"
    if "(cpu)" not in found[0]["device"]:
        where = found[0]["device"]
    figure.suptitle(f"A training step of the seed's network on {where}")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main(sys.argv[1:])
