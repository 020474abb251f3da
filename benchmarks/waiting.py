"""How long a training step must be for training not to wait for its data.

    python -m benchmarks.waiting
    python -m benchmarks.waiting --data_dir DIR --dataset cubes/NAME
    python -m benchmarks.waiting --width 32 --json waiting.json

Runs the real loop with the smallest network on random crops of several sizes: the loader reads as
much for each of them, the step becomes short. With --width it is the seed's network of this width
instead, with Adam, on whole chips, for a few steps: what a user sees. Network and loader share the
processors if there is no other device.
"""

import argparse
import contextlib
import io
import json
import pathlib
import tempfile

import numpy as np

from benchmarks import loader, report
from cropmap_jax.data import dataset
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.training import loop, scaling, steps
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.train_config import TrainConfig

# Unless asked for others: flags of the smallest network, and of the seed's.
SMALLEST = {"cubes": 64, "crops": (4, 8, 12, 16, 24, 32), "batch": 16, "steps": 128}
SEED = {"cubes": 40, "crops": (64,), "batch": 8, "steps": 20}


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The flags; those of the process where `argv` is None."""
    parser = report.make_parser("waiting", __doc__)
    parser.add_argument("--data_dir", help="folder of datasets; default: build one")
    parser.add_argument("--dataset", default="cubes", help="<kind> or <kind>/<name>, with a train")
    parser.add_argument("--width", type=int, help="of the seed's network; default: the smallest")
    parser.add_argument("--cubes", type=int, help="cubes to draw, of 128 x 128 px")
    parser.add_argument("--crops", type=int, nargs="+", help="sides in pixels")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--steps", type=int, help="for each size, at least")
    parser.set_defaults(**SEED if parser.parse_args(argv).width else SMALLEST)
    args = parser.parse_args(argv)
    if args.quick:
        args.cubes, args.crops, args.batch, args.steps = 1, (16 if args.width else 4,), 2, 16
    return args


def main(argv: list[str] | None = None) -> None:
    """Trains on crops of each size, and prints steps and waiting."""
    args = parse(argv)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        data_dir, name = args.data_dir, args.dataset
        if data_dir is None:
            data_dir, name = loader.draw_dataset(scratch, args.cubes, 12)
        data = dataset.open_dataset(data_dir, name)
        for crop in args.crops:
            rows.append(train(data, crop, args, f"{scratch}/run{crop}", args.width))
    header = ["crop, px", "step, ms", "waiting, %", "q1", "q3", "chips/s"]
    cells = [
        [str(r["crop"]), r["step_ms"]["median"]]
        + [100 * r["waiting"][k] for k in ("median", "q1", "q3")]
        + [r["chips_per_second"]["median"]]
        for r in rows
    ]
    text = f"batch {args.batch}, width {args.width or 1}, dropout of input 0.1\n\n"
    text += report.table(header, cells)
    report.finish("waiting", args, text, {"runs": rows})


def train(data: dataset.Dataset, crop: int, args, workdir: str, width: int | None = None) -> dict:
    """Runs the loop for about `args.steps` steps.

    Args:
      data: with a "train" split.
      crop: side of the crops, in pixels.
      args: with `steps`, `batch` and `quick`.
      workdir: of the run.
      width: of the seed's network; None for the smallest network there is.

    Returns:
      {"crop"} and spreads of "step_ms", "waiting" (share of time) and "chips_per_second": of what
      the loop logs every eight steps, or every two of the seed's, the first ones left out.
    """
    model = {"width": 1, "levels": 0, "num_periods": 6, "use_validity": True, "norm": "group"}
    model |= {"head": "linear", "head_width": 1, "dtype": "float32"}
    if width:
        from benchmarks import networks  # not where memory is watched: it imports PyTorch

        model = networks.make_recipe(networks.Sizes(width=width)).model
        model |= {"levels": 1} if args.quick else {}  # four take long to compile
    recipe = Recipe(
        model, data.legend, scaling.default(SENTINEL), data.period_kind, "sigmoid", lead_days=30
    )
    ends = [int(end) for end in data.periods(0)[:, 1]]
    sampling = SamplingConfig(
        as_of=(ends[min(5, len(ends) - 1)], ends[-1]),
        crop=crop,
        crops_per_chip=-(-args.steps * args.batch // len(data.split("train"))),
        **loader.DROPPED,
    )
    train_config = TrainConfig(
        stage="pretrain",
        epochs=1,
        batch_size=args.batch,
        seed=0,
        sampling=sampling,
        optimizer="adam" if width else "sgd",
        learning_rates={"trunk": 1e-4, "head": 1e-4},
        schedule="constant",
        warmup_steps=0,
        class_weights="none",
        freeze_trunk_statistics=False,
        checkpoint_every=0,
        log_every=2 if width else 8,
        keep=1,
        config={},
    )
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        loop.train(data, recipe, train_config, steps.init_variables(recipe, 0), workdir)
    lines = pathlib.Path(workdir, "metrics.jsonl").read_text().splitlines()
    found = [r for r in map(json.loads, lines) if "waiting" in r][1:]
    keys = ("step_ms", "waiting", "chips_per_second")
    return {"crop": crop} | {k: report.spread(np.array([r[k] for r in found])) for k in keys}


if __name__ == "__main__":
    main()
