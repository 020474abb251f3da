"""Runs `evaluate` many times in one process, on a dataset and a checkpoint that are not on disk.

    python tests/experiments/evaluate_in_memory.py RUNS

RUNS is JSON: {name: {"flags": [...], "data": name, "trained": name}}; what each printed, and how it
ended, is printed as JSON. There is no network either: compiling one would take longest.
"""

import contextlib
import dataclasses
import io
import json
import pathlib
import sys

import numpy as np
from absl.testing import flagsaver
from inference.stand_ins import StandIn
from training import small_data, small_runs
from training.small_data import Ground

from cropmap_jax.data import dataset
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.inference import predictors
from cropmap_jax.product import keeping
from cropmap_jax.training import checkpoints
from experiments import _cli, evaluate

LABEL = np.full((8, 8), IGNORE, np.uint8)
LABEL[:3], LABEL[5:] = 0, 1


def make(labels: dict, name: str, seen=slice(None), pixel: float = 10.0) -> small_data.InMemory:
    """A cube of 8 x 8 pixels per split, side by side; a sensor sees columns `seen` of test."""
    fields = (LABEL % 2 + 1).astype(np.uint32)
    grounds = [Ground(split, label, fields) for split, label in labels.items()]
    data = small_data.make_dataset(grounds)
    for i, row in enumerate(data.cubes):
        row["transform"] = [pixel, 0.0, 500_000.0 + 8 * pixel * i, 0.0, -pixel, 6_000_000.0]
    hidden = np.ones(8, bool)
    hidden[seen] = False
    for record in data.records["test"]:
        record["s1"][:, :, hidden] = record["s2"][:, :, hidden] = -32768
    # What a dataset is called and where it lies is all that is used of its folder.
    return dataclasses.replace(data, fingerprint=name, path=pathlib.Path("data/cubes/small/1.0.0"))


SPLITS = ("train", "validation", "test")
DATA = {
    "whole": make(dict.fromkeys(SPLITS, LABEL), "whole"),
    "half": make(dict.fromkeys(SPLITS, LABEL), "half", slice(0, 4)),
    "dark": make(dict.fromkeys(SPLITS, LABEL), "dark", slice(0)),
    "one": make(dict.fromkeys(SPLITS, np.where(LABEL, IGNORE, LABEL)), "one"),
    "blank": make(dict.fromkeys(SPLITS, LABEL) | {"test": LABEL * 0 + IGNORE}, "blank"),
    "swapped": make(dict.fromkeys(("test", "validation", "train"), LABEL), "swapped"),
    "alone": make({"test": LABEL}, "alone"),
    "other": make(dict.fromkeys(("validation", "train", "test"), LABEL), "other"),
    "coarse": make(dict.fromkeys(SPLITS, LABEL), "coarse", pixel=20.0),
}


def load(workdir, which):
    """A checkpoint of the dataset that the run names."""
    name = pathlib.Path(workdir).name
    periods = {"num_periods": 3} if name == "longer" else {}
    recipe = dataclasses.replace(small_runs.make_recipe(**periods), pixel_m=10.0)
    if name == "foreign":
        others = [dataclasses.replace(one, name=f"{one.name}s") for one in recipe.legend.classes]
        legend = dataclasses.replace(recipe.legend, name="theirs", classes=tuple(others))
        recipe = dataclasses.replace(recipe, legend=legend)
    where = {"data_dir": "data", "dataset": "cubes/small"}
    trained = DATA[RUN["trained"]] if RUN["trained"] else None
    if name == "learnt":
        trained = DATA["swapped"]
    known = (trained.fingerprint, tuple(trained.ground)) if trained else ()
    # Runs are told apart by what they have learnt: "copy" is the same as that of --workdir.
    params = {} if name in ("run", "copy") else {name: np.zeros(1)}
    return checkpoints.Restored(params, {}, recipe, where, 3, "finetune", *known)


def open_dataset(data_dir, name, fold=None):
    return DATA[RUN["data"]]


def make_predictor(restored, batch_size, full_batches=False):
    """Says of every pixel that it is the first class with 0.6, the others with 0.2.

    The run "better" knows what the upper rows are, and the lower ones.
    """
    shares = np.array([0.6, 0.2, 0.2], np.float32)
    if "better" not in restored.params:
        return StandIn(lambda es: [np.tile(shares, (*e["wanted"].shape, 1)) for e in es])

    def know(examples):
        out = [np.tile(shares, (*e["wanted"].shape, 1)) for e in examples]
        for one in out:
            one[len(one) // 2 :, :, :2] = [0.2, 0.6]
        return out

    return StandIn(know, halo=0)


predictors.NetworkPredictor = make_predictor
checkpoints.load, dataset.open_dataset = load, open_dataset
keeping.refresh = lambda *_: "model card: none, since no network is there"
results = {}
for name, RUN in json.loads(sys.argv[1]).items():
    sys.argv = ["evaluate", *RUN["flags"]]
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with flagsaver.flagsaver(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            _cli.run(evaluate.main)
        except SystemExit as stop:
            code = stop.code or 0
    results[name] = {"code": code, "out": out.getvalue(), "err": err.getvalue()}
print(json.dumps(results))
