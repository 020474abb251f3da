"""Starting from few fields: 20 more that `visit` would name, against 20 at random.

    python -m benchmarks.label_review visits --data_dir DIR --dataset isrc --out DIR [--draws 3]

Of the training fields of a simulated world, 8 of each class are known; all others are the pool, and
what grows there is known too, to nobody but the simulator. A model of configs/review.py learns from
the known fields and predicts the pool as of a date; `review.visits` names 20 of it. Then
configs/pixel_series/finetune.py is trained with the known fields, with these 20 as well, or with 20
at random, and scored on the test split. What has finished is not repeated.
"""

import functools
import json
import pathlib
import runpy
import statistics
import subprocess
import sys

import numpy as np

from benchmarks import report
from benchmarks.label_review import runs
from cropmap_jax.data import dataset, few_fields
from cropmap_jax.evaluation import cube_predictions
from cropmap_jax.geo import periods
from cropmap_jax.mapping import decision
from cropmap_jax.review import cross_fit, pieces, reviewed, setup, visits
from cropmap_jax.review.reviewed import Field

KNOWN, LISTED, RANDOM = "the known fields", "20 of the list", "20 at random"


def pool(data, config: dict, as_of: int) -> list[Field]:
    """Training fields that nobody knows, as a model of those that are known sees them."""
    made = setup.make(config, data, np.full(len(data.cubes), as_of))
    predictor = cross_fit.train(data, "the known fields", made)
    whole, classes = data.few.whole, list(range(len(data.legend)))
    dates = np.full((len(whole.cubes), len(classes)), as_of)
    found = []
    for one in cube_predictions.predict_dataset(
        predictor, "train", whole, made.num_periods, classes, dates, lambda index, label: False
    ):
        shares = decision.shares(one.probability, np.ones(len(classes), bool), cross_fit.RULE)
        shares[np.isnan(one.probability).any(-1)] = np.nan
        found += pieces.cut(one.index, 0, one.label, one.fields, shares, 0)
    known = few_fields.known(data, "train")
    every = reviewed.gather(whole, found)
    return [f for f in every if not any((p.cube, p.field) in known for p in f.pieces)]


def candidates(data, fields: list[Field], as_of: int) -> visits.Candidates:
    """What `visits` asks of fields."""
    hectares = np.array([field.pixels for field in fields]) * data.pixel_m**2 / 1e4
    probability = np.stack([field.mean for field in fields])
    days, places = [], []
    for field, own in zip(fields, probability, strict=True):
        piece, crop = field.pieces[0], int(own[:-1].argmax())
        harvest = int(data.harvest[piece.cube, crop])
        days.append(harvest - as_of if harvest else np.nan)
        a, _, x, _, e, y = data.cubes[piece.cube]["transform"][:6]
        # Zones lie side by side: some hundreds of kilometres apart will do.
        zone = 1e6 * int(data.cubes[piece.cube]["crs"].rpartition(":")[2][-2:])
        places.append([zone + x + a * piece.left, y + e * piece.top])
    return visits.Candidates(probability, hectares, np.array(days), np.array(places))


def choose(args, data, draw: int) -> dict[str, list]:
    """(cube, id) of the pieces of the fields that are added, by how they are chosen."""
    config = runpy.run_path(args.config)["get_config"]().to_dict()
    as_of = periods.to_day(periods.parse_date(args.as_of, "--as_of"))
    fields = pool(data, config, as_of)
    found = candidates(data, fields, as_of)
    ripe = np.flatnonzero(~(found.days_left < args.least_days))
    part = visits.Candidates(*(getattr(found, name)[ripe] for name in (
        "probability", "hectares", "days_left", "places")))  # fmt: skip
    listed = ripe[visits.choose(part, args.count)]
    drawn = np.random.default_rng(draw).choice(len(fields), args.count, replace=False)
    print(f"draw {draw}: a pool of {len(fields)} fields, {len(ripe)} not harvested", flush=True)
    return {
        title: [[p.cube, p.field] for i in own for p in fields[i].pieces]
        for title, own in ((LISTED, listed), (RANDOM, drawn))
    }


def train(args: list[str]) -> None:
    """Trains with some fields more, by `finetune`; run in a process of its own.

    Args:
      args: workdir, data_dir, dataset, fields per class, draw, and the fields as JSON.
    """
    workdir, data_dir, name, per_class, draw, more = args
    by_cube: dict[int, list[int]] = {}
    for cube, field in json.loads(more):
        by_cube.setdefault(cube, []).append(field)
    added = {cube: np.array(own) for cube, own in by_cube.items()}
    open_dataset = dataset.open_dataset

    def opened(*given, **view):
        return few_fields.with_more(open_dataset(*given, **view), "train", added)

    dataset.open_dataset = opened
    given = {"data_dir": data_dir, "dataset": name, "from_scratch": True, "seed": draw}
    given |= {"fields_per_class": per_class, "fields_draw": draw}
    sys.argv = ["finetune", f"--config={runs.CONFIG}", f"--workdir={workdir}"]
    sys.argv += [f"--config.{flag}={value}" for flag, value in given.items()]
    runpy.run_module("experiments.finetune", run_name="__main__", alter_sys=True)


def _score(args, title: str, draw: int, more: list) -> dict[str, float]:
    """F1 with some fields more; trains and scores if need be."""
    name = title.replace(" ", "_")
    workdir = pathlib.Path(args.out).absolute() / "runs" / f"{name}-{draw}"
    scores = workdir / "evaluation" / "test" / "all.json"
    if not scores.exists():
        words = [str(workdir), args.data_dir, args.dataset, str(args.per_class), str(draw)]
        code = "import sys; from benchmarks.label_review import visits; visits.train(sys.argv[1:])"
        done = subprocess.run(
            [sys.executable, "-c", code, *words, json.dumps(more)], capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"error: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return runs.score(workdir, pathlib.Path(args.data_dir), args.dataset, draw, trained=True)


def main(argv: list[str]) -> dict:
    """Chooses, trains; prints and returns the figures."""
    parser = report.make_parser("label_review visits", __doc__)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--config", default="configs/review.py")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--per_class", type=int, default=8)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--as_of", default="2022-06-01")
    parser.add_argument("--least_days", type=int, default=7)
    parser.add_argument("--chosen", action="store_true", help="print the lists, train nothing")
    args = parser.parse_args(argv)
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    scores: dict[str, list] = {}
    for draw in range(args.draws):
        chosen = _chosen(args, out / f"chosen-{draw}.json", draw)
        if args.chosen:
            continue
        for title, more in (chosen | {KNOWN: []}).items():
            scores.setdefault(title, []).append(_score(args, title, draw, more))
            print(f"draw {draw}: {title}: {scores[title][-1]}", flush=True)
    text = _table(scores) if scores else ""
    return report.finish("label_review visits", args, text, {"scores": scores})


def _chosen(args, file: pathlib.Path, draw: int) -> dict[str, list]:
    if not file.is_file():
        data = dataset.open_dataset(args.data_dir, args.dataset, None, args.per_class, draw)
        file.write_text(json.dumps(choose(args, data, draw)))
    found: dict[str, list] = json.loads(file.read_text())
    return found


def _table(scores: dict[str, list]) -> str:
    rows = []
    mean = functools.partial(statistics.mean)
    for title, own in scores.items():
        row = [title]
        for unit in runs.UNITS:
            values = [one[unit] for one in own]
            gaps = [a[unit] - b[unit] for a, b in zip(own, scores[RANDOM], strict=True)]
            row.append(f"{mean(values):.3f} ({min(values):.3f}-{max(values):.3f})")
            row.append(f"{mean(gaps):+.3f} ({min(gaps):+.3f} to {max(gaps):+.3f})")
        rows.append(row)
    header = ["trained with"]
    for unit in runs.UNITS:
        header += [f"F1 of {unit}", "against random"]
    return report.table(header, rows)
