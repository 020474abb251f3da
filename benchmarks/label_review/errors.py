"""Plants errors into simulated labels: which does `review_labels` find, and what is that worth?

    python -m benchmarks.label_review errors --cubes DIR --out DIR [--seeds 3]

Of the fields, 5 % get another class and 3 % are moved by two pixels. The suspects are compared with
these. Then configs/pixel_series/finetune.py is trained from scratch with the true labels, with the
errors, without all suspects, and with the suspects as somebody who visits them would leave them.
The test split, which is scored, has the true labels. What has finished is not repeated.
"""

import json
import pathlib
import shutil
import statistics

import geopandas
import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks import report
from benchmarks.commands import command
from benchmarks.label_review import planted, runs
from benchmarks.label_review.planted import Error, Key, World

LEARNT = ("train", "validation")
KINDS = ("label", "outline")
AT = (0.5, 1.0, 1.5, 2.0)
"""Suspects that are looked at, as multiples of the planted errors."""


def _errors(file: pathlib.Path, world: World, args) -> dict[Key, Error]:
    """The planted errors, drawn once."""
    if not file.is_file():
        drawn = planted.plan(world, args.mislabelled, args.shifted, args.seed)
        rows = [[*key, error.label, error.shift] for key, error in sorted(drawn.items())]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(rows))
    return {
        Key(block, field): Error(label, tuple(shift) if shift else None)
        for block, field, label, shift in json.loads(file.read_text())
    }


def _cubes(folder: pathlib.Path, *given) -> pathlib.Path:
    """Writes the cubes of a variant, unless they are all there."""
    if not (folder / "whole").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        planted.write(*given[:1], folder / "cubes", *given[1:])
        (folder / "whole").write_text("")
    return folder / "cubes"


def found_by(table: geopandas.GeoDataFrame, errors: dict[Key, Error]) -> dict[str, dict]:
    """Precision, recall and average precision of each kind, and of all suspects together."""
    keys = [Key(b, int(f)) for b, f in zip(table.block, table.field, strict=True)]
    truth = {
        "label": np.array([k in errors and errors[k].label is not None for k in keys]),
        "outline": np.array([k in errors and errors[k].shift is not None for k in keys]),
    }
    truth["all"] = truth["label"] | truth["outline"]
    out = {}
    for kind, wrong in truth.items():
        if kind == "all":
            score, suspect = -np.arange(len(table), dtype=float), table["rank"].notna().to_numpy()
        else:
            score = table[f"score_{kind}"].to_numpy()
            suspect = table.suspect.str.contains(kind).to_numpy()
        out[kind] = _scores(wrong, suspect, score)
        out[kind]["planted"] = sum(
            (e.label is not None, e.shift is not None)[KINDS.index(kind)] if kind != "all" else 1
            for e in errors.values()
        )
    out["confident learning"] = _scores(truth["label"], *_confident(table))
    return out


def _scores(wrong: np.ndarray, suspect: np.ndarray, score: np.ndarray) -> dict:
    hits, order = int((wrong & suspect).sum()), np.argsort(-score, kind="stable")
    curve = {}
    for times in AT:
        first = order[: round(times * wrong.sum())]
        curve[times] = [float(wrong[first].mean()), float(wrong[first].sum() / wrong.sum())]
    return {
        "suspects": int(suspect.sum()),
        "hits": hits,
        "wrong": int(wrong.sum()),
        "precision": hits / max(int(suspect.sum()), 1),
        "recall": hits / max(int(wrong.sum()), 1),
        "average_precision": float(average_precision_score(wrong, score)),
        "curve": curve,
    }


def _confident(table: geopandas.GeoDataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Suspects by confident learning, and the normalised margin that it orders by.

    Source: Northcutt, Jiang & Chuang 2021, doi:10.1613/jair.1.12125: the most probable class among
    those that reach the mean probability of their own fields.
    """
    names = [name for name in table.columns if name.startswith("p_") and name != "p_label"]
    values = table[names].to_numpy(float)
    label = np.array([names.index(f"p_{name}") for name in table.label])
    rows = np.arange(len(table))
    means = np.ones(len(names))
    for kind in np.unique(label):
        means[kind] = values[label == kind, kind].mean()
    confident = np.where(values >= means, values, -1.0)
    suspect = (confident.max(1) >= 0) & (confident.argmax(1) != label)
    others = values.copy()
    others[rows, label] = -1.0
    return suspect, others.max(1) - values[rows, label]


def _text(found: dict[str, dict]) -> str:
    header = ["", "planted", "suspects", "precision", "recall", "average precision"]
    header += [f"precision, recall at {times:g} n" for times in AT]
    rows = []
    for kind, one in found.items():
        cells = [kind, one.get("planted", one["wrong"]), one["suspects"]]
        cells += [f"{one[name]:.2f}" for name in ("precision", "recall", "average_precision")]
        rows.append(cells + [", ".join(f"{v:.2f}" for v in one["curve"][times]) for times in AT])
    return report.table(header, rows)


def main(argv: list[str]) -> dict:
    """Plants, reviews, trains; prints and returns the figures."""
    parser = report.make_parser("label_review errors", __doc__)
    parser.add_argument("--cubes", required=True, help="of a simulated world with field teams")
    parser.add_argument("--out", required=True)
    parser.add_argument("--mislabelled", type=float, default=0.05)
    parser.add_argument("--shifted", type=float, default=0.03)
    parser.add_argument("--seed", type=int, default=0, help="of the errors")
    parser.add_argument("--seeds", type=int, default=3, help="of trainings; 0: no training")
    parser.add_argument("--config", default="configs/review.py")
    args = parser.parse_args(argv)
    out, cubes = pathlib.Path(args.out).absolute(), pathlib.Path(args.cubes)
    world = planted.read(cubes)
    errors = _errors(out / "errors.json", world, args)
    wrong = planted.plant(world, errors)
    data_dir = out / "data"
    runs.build(_cubes(out / "planted", wrong), data_dir, "planted")
    review = out / "review" / "review.gpkg"
    if not review.is_file():
        given = [f"--config.data_dir={data_dir}", "--config.dataset=isrc/planted"]
        command(
            "review_labels",
            f"--config={args.config}",
            f"--out={review.parent}",
            "--max_pictures=0",
            *given,
        )
    table = geopandas.read_file(review, layer="fields")
    found = found_by(table, errors)
    text = f"{len(table)} fields, {len(errors)} errors\n\n{_text(found)}"
    gained = {}
    if args.seeds:
        print(text, flush=True)
        gained = _train(out, data_dir, world, wrong, errors, table, args.seeds)
        text += f"\n\n{_gained(gained)}"
    return report.finish("label_review errors", args, text, {"found": found, "gained": gained})


def _train(out, data_dir, world, wrong, errors, table, seeds: int) -> dict[str, list]:
    """F1 of each treatment of the labels, per seed."""
    listed = table[table["rank"].notna()]
    suspects = {Key(b, int(f)) for b, f in zip(listed.block, listed.field, strict=True)}
    left = {key: error for key, error in errors.items() if key not in suspects}
    variants = {
        "the true labels": ("true", world),
        "with the errors": ("errors", wrong),
        "without the suspects": ("dropped", planted.without(wrong, suspects)),
        "the suspects put right": ("corrected", planted.plant(world, left)),
    }
    for name, one in variants.values():
        scored = (out / f"runs/{name}-{s}/evaluation/test/all.json" for s in range(seeds))
        if not all(file.exists() for file in scored):
            runs.build(_cubes(out / name, one, LEARNT, world), data_dir, name)
    scores: dict[str, list] = {title: [] for title in variants}
    for seed in range(seeds):
        for title, (name, _) in variants.items():
            workdir = out / "runs" / f"{name}-{seed}"
            scores[title].append(runs.score(workdir, data_dir, f"isrc/{name}", seed))
            print(f"seed {seed}: {title}: {scores[title][-1]}", flush=True)
    return scores


def _gained(scores: dict[str, list]) -> str:
    """Mean F1 and its range over seeds, and the difference to training with the errors."""
    rows = []
    base = scores["with the errors"]
    for title, own in scores.items():
        row = [title]
        for unit in runs.UNITS:
            values = [one[unit] for one in own]
            gaps = [a[unit] - b[unit] for a, b in zip(own, base, strict=True)]
            row.append(f"{statistics.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})")
            row.append(f"{statistics.mean(gaps):+.3f} ({min(gaps):+.3f} to {max(gaps):+.3f})")
        rows.append(row)
    header = ["trained with"]
    for unit in runs.UNITS:
        header += [f"F1 of {unit}", "against the errors"]
    return report.table(header, rows)
