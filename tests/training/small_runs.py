"""The smallest recipe and config that have everything: two sensors, batch norm, trunk and head."""

import json
import pathlib

import jax
import numpy as np
import orbax.checkpoint as ocp
from training import small_data
from training.small_data import Ground

from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.sensors import SENTINEL
from cropmap_jax.training import checkpoints, scaling
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.train_config import TrainConfig

MODEL = {
    "width": 2,
    "levels": 0,
    "num_periods": 2,
    "use_validity": True,
    "norm": "batch",
    "head": "conv",
    "head_width": 2,
    "dtype": "float32",
}


def make_recipe(loss: str = "sigmoid", classes=small_data.LEGEND, **model) -> Recipe:
    return Recipe(MODEL | model, classes, scaling.default(SENTINEL), "month", loss, lead_days=30)


def make_train_config(**changes) -> TrainConfig:
    """Five steps in two epochs over the five training chips of `make_data`."""
    settings = {
        "stage": "finetune",
        "epochs": 2,
        "batch_size": 2,
        "seed": 0,
        "sampling": SamplingConfig(num_periods=2),
        "optimizer": "adam",
        "learning_rates": {"trunk": 0.01, "head": 0.1},
        "schedule": "cosine",
        "warmup_steps": 1,
        "class_weights": "none",
        "freeze_trunk_statistics": True,
        "checkpoint_every": 2,
        "log_every": 1,
        "keep": 2,
        "config": {"epochs": 2, "as_of": ()},
    }
    return TrainConfig(**(settings | changes))


def make_data() -> small_data.InMemory:
    """Five training and three validation chips; which pixels are known differs from one to the
    next."""
    rng = np.random.default_rng(0)
    states = np.array([0, 1, 2, 254, IGNORE, IGNORE], np.uint8)
    splits = ["train"] * 5 + ["validation"] * 3
    return small_data.make_dataset([Ground(s, rng.choice(states, (8, 8))) for s in splits])


def leaves(tree) -> dict[str, np.ndarray]:
    """{path: array} of a tree."""
    with_path = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in with_path}


def saved(workdir, step: int) -> dict[str, np.ndarray]:
    """Everything that a checkpoint holds of the state, as arrays."""
    folder = checkpoints.folder(workdir) / str(step)
    return leaves(ocp.PyTreeCheckpointer().restore(folder / "state"))


def assert_equal(a: dict, b: dict) -> None:
    """Bit for bit."""
    assert a.keys() == b.keys() and a
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert a[name].tobytes() == b[name].tobytes(), name


def records(workdir) -> list[dict]:
    """Lines of metrics.jsonl, without what depends on the clock."""
    lines = (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines()
    clock = {"chips_per_second", "pixels_per_second", "step_ms", "waiting"}
    return [{k: v for k, v in json.loads(s).items() if k not in clock} for s in lines]
