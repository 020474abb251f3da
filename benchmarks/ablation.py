"""What each part of the recipe of pixel_series is worth: it is trained without, part by part.

    python -m benchmarks.ablation --data_dir DIR --dataset isrc --out RUNS

Every run is `experiments.finetune` with configs/pixel_series/finetune.py from scratch and a setting
changed. The score is the macro-F1 on the validation split that training ends with (of the most
probable class, one date a cube); differences are paired by seed. Runs that have finished are not
repeated.
"""

import json
import pathlib
import statistics
import subprocess
import sys

from benchmarks import report

CONFIG = "configs/pixel_series/finetune.py"
PARTS = {
    "all of it": (),
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
    "without mixup": ("mixup=0.0",),
    "without label smoothing": ("label_smoothing=0.0",),
    "without weight decay": ("weight_decay=0.0",),
    "without the average of weights": ("ema=0.0",),
    "pixels by place": ("draw_by=place",),
    "sigmoid": ("loss=sigmoid",),
    "as-of dates moved by 15 days": ("as_of_jitter=15",),
}
"""What is left out or changed: settings of the config."""


def train(args, flags: tuple[str, ...], seed: int, workdir: pathlib.Path) -> dict:
    """The last metrics of a run; trains it if need be.

    Raises:
      SystemExit: training failed.
    """
    command = [sys.executable, "-m", "experiments.finetune", f"--config={args.config}"]
    command += [f"--workdir={workdir}", f"--config.seed={seed}", "--config.from_scratch=True"]
    command += [f"--config.data_dir={args.data_dir}", f"--config.dataset={args.dataset}"]
    done = subprocess.run(
        command + [f"--config.{flag}" for flag in flags], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"error: {workdir.name}: {done.stderr.strip().splitlines()[-1]}")
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return next(row for row in reversed(found) if "validation/macro_f1" in row)


def main(argv: list[str]) -> dict:
    """Trains each; prints and returns mean, deviation and difference of macro-F1."""
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
    scores: dict[str, list[float]] = {name: [] for name in dict.fromkeys(["all of it", *names])}
    for seed in range(args.seeds):
        for name, own in scores.items():
            folder = f"{name.replace(' ', '_').replace(',', '')}-{seed}"
            row = train(args, PARTS[name], seed, pathlib.Path(args.out) / folder)
            own.append(row["validation/macro_f1"])
            print(f"seed {seed}: {name}: {own[-1]:.3f}", flush=True)
    whole, rows = scores["all of it"], []
    for name, own in scores.items():
        gaps = [a - b for a, b in zip(own, whole, strict=True)]
        spread = statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else 0.0
        mean = f"{statistics.mean(own):.3f}"
        rows.append([name, mean, f"{statistics.mean(gaps):+.3f}", f"{spread:.3f}"])
    header = ["", "macro-F1", "difference", "standard error"]
    text = f"{args.dataset}, {args.seeds} seeds\n\n{report.table(header, rows)}"
    return report.finish("ablation", args, text, {"scores": scores})


if __name__ == "__main__":
    main(sys.argv[1:])
