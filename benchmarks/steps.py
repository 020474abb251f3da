"""What `train_step` and `predict_step` share: forms of one step, timed in turn."""

import argparse
import time

from benchmarks import networks, report
from cropmap_jax.models.flops import count_flops

DTYPES = ("float32", "bfloat16")


def parse(argv: list[str] | None, name: str, text: str) -> argparse.Namespace:
    """The flags of both benchmarks."""
    parser = report.make_parser(name, text)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--periods", type=int, default=6)
    parser.add_argument("--side", type=int, default=64, help="of a chip, in pixels")
    parser.add_argument("--width", type=int, default=32, help="of the network")
    parser.add_argument("--rounds", type=int, default=10, help="steps of each form, in turn")
    parser.add_argument("--compile", action="store_true", help="torch.compile too (takes minutes)")
    parser.add_argument(
        "--dtypes", nargs="+", choices=DTYPES, default=DTYPES, help="that both compute in"
    )
    parser.add_argument("--ours", action="store_true", help="ours alone: PyTorch is not needed")
    args = parser.parse_args(argv)
    if args.quick:
        args.batch, args.periods, args.side, args.width, args.rounds = 2, 2, 16, 2, 1
    return args


def main(args: argparse.Namespace, name: str, train: bool) -> dict:
    """Times all forms of a step in turn; prints and returns the figures, in seconds and FLOP/s.

    Args:
      args: the flags.
      name: of the benchmark.
      train: a training step, else inference.
    """
    sizes = networks.Sizes(args.batch, args.periods, args.side, args.width)
    precision = "" if args.ours else networks.settle_torch()
    forms = make_forms(args, sizes, train)
    for form in forms.values():
        form.step()  # compiles
    losses = {name: form.step() for name, form in forms.items()}
    times: dict[str, list[float]] = {name: [] for name in forms}
    for i in range(args.rounds):
        # Each form follows another one as often as it is followed by it.
        for key in sorted(forms, reverse=bool(i % 2)):
            began = time.perf_counter()
            forms[key].step()
            times[key].append(time.perf_counter() - began)
    recipe = networks.make_recipe(sizes)
    flops = args.batch * count_flops(recipe.network(), recipe.bands, args.side, args.side, train)
    side = 64 if args.quick else 8192 if networks.jax.default_backend() == "gpu" else 2048
    dtypes = {form.dtype for form in forms.values()}
    peaks = {dtype: networks.matrix_peak(dtype, side) for dtype in dtypes}
    figures = {
        key: report.spread(times[key])
        | {
            "dtype": form.dtype,
            "share_of_peak": flops / report.spread(times[key])["median"] / peaks[form.dtype],
            "loss_after_two_steps": losses[key],
        }
        for key, form in forms.items()
    }
    rivals = {
        dtype: [v["median"] for k, v in figures.items() if v["dtype"] == dtype and "PyTorch" in k]
        for dtype in dtypes
    }
    for v in figures.values():
        best = min(rivals[v["dtype"]], default=None)
        v["ratio"] = best / v["median"] if best else None
    peak = ", ".join(f"{k} {v / 1e9:,.0f}" for k, v in sorted(peaks.items()))
    text = (
        f"{networks.device()}; batch {args.batch} x {args.periods} x {args.side} x {args.side} px, "
        f"width {args.width}, {flops / 1e9:,.1f} GFLOP a step; {args.rounds} rounds in turn, "
        f"medians; peak of a matrix product in GFLOP/s: {peak}"
    )
    text = "\n\n".join(filter(None, (text, precision, _table(figures, args.batch))))
    return report.finish(name, args, text, {"forms": figures, "flops": flops, "peaks": peaks})


def _table(figures: dict, batch: int) -> str:
    columns = ["ms", "quartiles", "chips/s", "x best PyTorch", "of peak", "loss"]
    rows = {
        key: {
            "ms": 1000 * v["median"],
            "quartiles": f"{1000 * v['q1']:,.0f}-{1000 * v['q3']:,.0f}",
            "chips/s": batch / v["median"],
            "x best PyTorch": v["ratio"],
            "of peak": f"{v['share_of_peak']:.0%}",
            "loss": v["loss_after_two_steps"],
        }
        for key, v in figures.items()
    }
    columns = [c for c in columns if any(row[c] is not None for row in rows.values())]
    return report.table(
        ["form", *columns], [[k, *(r[c] for c in columns)] for k, r in rows.items()]
    )


def make_forms(args: argparse.Namespace, sizes, train: bool) -> dict:
    """The forms by name, none of them compiled yet.

    Args:
      args: the flags.
      sizes: `networks.Sizes` of chips and network.
      train: a training step, else inference.

    Raises:
      SystemExit: PyTorch is not installed, and not left out by a flag.
    """
    forms = {f"ours, {dtype}": networks.ours(sizes, dtype, train) for dtype in args.dtypes}
    if args.ours:
        return forms
    if networks.torch is None:
        raise SystemExit("error: PyTorch is not installed; expected it, or --ours")
    for dtype in args.dtypes:
        for layout, channels_last in (("", False), (", channels last", True)):
            key = f"PyTorch, {dtype}{layout}"
            forms[key] = networks.theirs(sizes, dtype, train, channels_last, compiled=False)
        if args.compile:
            key = f"PyTorch, {dtype}, channels last, compiled"
            forms[key] = networks.theirs(sizes, dtype, train, channels_last=True, compiled=True)
    return forms
