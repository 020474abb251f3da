"""What each part of the recipe of pixel_series is worth: it is trained without, part by part.

    python -m benchmarks.ablation --data_dir DIR --dataset isrc --out RUNS

Every run is `experiments.finetune` with configs/pixel_series/finetune.py from scratch and a setting
changed. The score is the mean F1 of all crops on the validation split, each at the threshold that
is best there, of pixels and of fields (`experiments.evaluate`): a little too good, on both sides of
a difference. Differences are paired by seed. Runs that have finished are not repeated.
"""

import pathlib
import statistics
import sys

from benchmarks import report
from benchmarks.accuracy import places
from benchmarks.commands import command

CONFIG = "configs/pixel_series/finetune.py"
UNITS = ("pixels", "fields")
WHOLE = "all of it"
PARTS = {
    WHOLE: (),
    "without dates": ("scratch.dates=False",),
    "without means of 3 x 3 and 7 x 7": ("scratch.neighbourhood=(1,)",),
    "without the shared layer": ("scratch.embed=0",),
    "without indices": ("indices=()",),
    "physical scaling": ("standardise=False",),
    "physical scaling, no indices": ("standardise=False", "indices=()"),
    "without period dropout": ("period_dropout=0.0",),
    "period dropout 0.1": ("period_dropout=0.1",),
    "period dropout 0.4": ("period_dropout=0.4",),
    "without dropout": ("scratch.dropout=0.0",),
    "mixup 0.3": ("mixup=0.3",),
    "without label smoothing": ("label_smoothing=0.0",),
    "without weight decay": ("weight_decay=0.0",),
    "without the average of weights": ("ema=0.0",),
    "pixels by place": ("draw_by=place",),
    "sigmoid": ("loss=sigmoid",),
    "as-of dates moved by 15 days": ("as_of_jitter=15",),
}
"""What is left out or changed: settings of the config."""


def run(args, flags: tuple[str, ...], seed: int, workdir: pathlib.Path) -> tuple[float, float]:
    """Mean F1 of pixels and of fields; trains and scores if need be.

    Raises:
      SystemExit: a command failed.
    """
    given = [f"--config.data_dir={args.data_dir}", f"--config.dataset={args.dataset}"]
    given += [f"--config.seed={seed}", "--config.from_scratch=True"]
    given += [f"--config.{flag}" for flag in flags]
    scores = workdir / "evaluation" / "validation" / "all.json"
    if not scores.exists():
        place = f"--workdir={workdir}"
        command("finetune", place, f"--config={args.config}", *given)
        command("evaluate", place, "--crop=all", "--split=validation", "--max_pictures=0")
    found = places.mean_f1(scores, UNITS)
    return found["pixels"], found["fields"]


def _gap(own: list[float], whole: list[float]) -> list[str]:
    """Mean, mean difference, and its standard error over seeds."""
    gaps = [a - b for a, b in zip(own, whole, strict=True)]
    error = statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else 0.0
    return [f"{statistics.mean(own):.3f}", f"{statistics.mean(gaps):+.3f}", f"{error:.3f}"]


def main(argv: list[str]) -> dict:
    """Trains each; prints and returns mean F1 and differences."""
    parser = report.make_parser("ablation", __doc__)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--out", required=True, help="folder of the runs")
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", help="some of them, separated by commas")
    args = parser.parse_args(argv)
    names = args.parts.split(",") if args.parts else list(PARTS)
    if unknown := [name for name in names if name not in PARTS]:
        raise SystemExit(f"error: --parts: expected some of {', '.join(PARTS)}, found {unknown[0]}")
    scores: dict[str, list[tuple[float, float]]] = {n: [] for n in dict.fromkeys([WHOLE, *names])}
    for seed in range(args.seeds):
        for name, own in scores.items():
            folder = f"{name.replace(' ', '_').replace(',', '')}-{seed}"
            own.append(run(args, PARTS[name], seed, pathlib.Path(args.out) / folder))
            print(f"seed {seed}: {name}: {own[-1][0]:.3f}, {own[-1][1]:.3f}", flush=True)
    rows = [
        [
            name,
            *(v for i in (0, 1) for v in _gap([x[i] for x in own], [x[i] for x in scores[WHOLE]])),
        ]
        for name, own in scores.items()
    ]
    header = ["", *(h for unit in UNITS for h in (f"F1 of {unit}", "difference", "standard error"))]
    text = f"{args.dataset}, {args.seeds} seeds\n\n{report.table(header, rows)}"
    return report.finish("ablation", args, text, {"scores": scores})


if __name__ == "__main__":
    main(sys.argv[1:])
