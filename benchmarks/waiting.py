"""How long a training step must be for training not to wait for its data.

    python -m benchmarks.waiting
    python -m benchmarks.waiting --data_dir DIR --dataset cubes/NAME

Runs the real loop with the smallest network on random crops of several sizes: the loader reads as
much for each of them, the step becomes short. Network and loader share the processors if there is
no other device.
"""

import argparse
import contextlib
import io
import json
import pathlib
import tempfile

import numpy as np

from benchmarks import loader, report
from cropmap_jax.training import dataset, input_pipeline, loop, steps
from cropmap_jax.training.plan import Plan
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.scaling import Scaling


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = report.make_parser("waiting", __doc__)
    parser.add_argument("--data_dir", help="folder of datasets; default: build one")
    parser.add_argument("--dataset", default="cubes", help="<kind> or <kind>/<name>, with a train")
    parser.add_argument("--cubes", type=int, default=64, help="cubes to draw, of 128 x 128 px")
    parser.add_argument("--crops", type=int, nargs="+", default=(4, 8, 12, 16, 24, 32))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=128, help="for each size, at least")
    args = parser.parse_args(argv)
    if args.quick:
        args.cubes, args.crops, args.batch, args.steps = 1, (4,), 2, 16
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        data_dir, name = args.data_dir, args.dataset
        if data_dir is None:
            data_dir, name = loader.draw_dataset(scratch, args.cubes, 12)
        data = dataset.open_dataset(data_dir, name)
        for crop in args.crops:
            rows.append(train(data, crop, args, f"{scratch}/run{crop}"))
    header = ["crop, px", "step, ms", "waiting, %", "q1", "q3", "chips/s"]
    cells = [
        [str(r["crop"]), r["step_ms"]["median"]]
        + [100 * r["waiting"][k] for k in ("median", "q1", "q3")]
        + [r["chips_per_second"]["median"]]
        for r in rows
    ]
    text = f"batch {args.batch}, width 1, dropout of input 0.1\n\n{report.table(header, cells)}"
    report.finish("waiting", args, text, {"runs": rows})


def train(data: dataset.Dataset, crop: int, args: argparse.Namespace, workdir: str) -> dict:
    """Medians and quartiles of what the loop logs every eight steps, the first ones left out."""
    model = {"width": 1, "levels": 0, "num_periods": 6, "use_validity": True, "norm": "group"}
    model |= {"head": "linear", "head_width": 1, "dtype": "float32"}
    recipe = Recipe(model, data.legend, Scaling(), data.period_kind, "sigmoid", lead_days=30)
    ends = [int(end) for end in data.periods(0)[:, 1]]
    loading = input_pipeline.Loading(
        as_of=(ends[min(5, len(ends) - 1)], ends[-1]),
        crop=crop,
        crops_per_chip=-(-args.steps * args.batch // len(data.split("train"))),
        **loader.DROPPED,
    )
    plan = Plan(
        stage="pretrain",
        epochs=1,
        batch_size=args.batch,
        seed=0,
        loading=loading,
        optimizer="sgd",
        learning_rates={"trunk": 1e-4, "head": 1e-4},
        schedule="constant",
        warmup_steps=0,
        class_weights="none",
        freeze_trunk_statistics=False,
        checkpoint_every=0,
        log_every=8,
        keep=1,
        config={},
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        loop.train(data, recipe, plan, steps.init_variables(recipe, 0), workdir)
    lines = pathlib.Path(workdir, "metrics.jsonl").read_text().splitlines()
    found = [r for r in map(json.loads, lines) if "waiting" in r][1:]
    keys = ("step_ms", "waiting", "chips_per_second")
    return {"crop": crop} | {k: report.spread(np.array([r[k] for r in found])) for k in keys}


if __name__ == "__main__":
    main()
