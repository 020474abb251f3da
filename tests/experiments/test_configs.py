"""Every config trains a step, network and batch cut down, or describes a world or field data."""

import dataclasses
import json
import pathlib
import runpy

import making
import pytest
from ml_collections import ConfigDict

from cropmap_jax import models, runs
from cropmap_jax.baselines import keeping
from cropmap_jax.data import builders, cube_builder, dataset
from cropmap_jax.ground_truth import settings
from cropmap_jax.review import setup
from cropmap_jax.runs import training
from cropmap_jax.sources.simulator import sites
from cropmap_jax.training import head_swap, loop, steps

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"
FILES = sorted(p for p in CONFIGS.rglob("*.py") if p.name != "__init__.py")
WORLDS = [p for p in FILES if p.name == "simulate.py"]
FIELD_DATA = [p for p in FILES if p.name.startswith("prepare_")]
EXPORTS = [p for p in FILES if p.name.startswith(("export_", "fetch_"))]
BASELINES = [p for p in FILES if p.parent.name == "baselines" or p.match("demo/forest.py")]
REVIEWS = [p for p in FILES if p.name == "review.py"]
RECIPES = [p for p in FILES if p not in WORLDS + FIELD_DATA + EXPORTS + BASELINES + REVIEWS]


def load(file, *argument) -> ConfigDict:
    return runpy.run_path(str(file))["get_config"](*argument)


def model_of(config: ConfigDict) -> dict:
    """Settings of the network, without a checkpoint."""
    given = {k: v for k, v in config.model.to_dict().items() if v is not None}
    return config.scratch.to_dict() | given if "scratch" in config else given


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("configs")
    making.make_cubes(root / "cubes", ("train",), size=(64, 32))
    builder = builders.load_builder("cubes")
    cube_builder.build(builder, "small", root / "cubes", root / "data", chip=32)
    return dataset.open_dataset(root / "data", "cubes/small")


@pytest.mark.parametrize("world", ("europe", "iran"))
@pytest.mark.parametrize("file", WORLDS, ids=lambda f: str(f.relative_to(CONFIGS)))
def test_every_world_can_be_simulated(file, world):
    found = sites.Settings(**load(file, world).to_dict())
    assert found.world == world and sites.list_sites(found)


@pytest.mark.parametrize("file", FIELD_DATA, ids=lambda f: str(f.relative_to(CONFIGS)))
def test_every_config_of_field_data_can_be_read(file):
    config = load(file)
    config.source = "somewhere"
    value = config.to_dict()
    assert settings.read(value).layers


@pytest.mark.parametrize("file", REVIEWS, ids=lambda f: str(f.relative_to(CONFIGS)))
def test_every_config_of_a_review_can_be_read(data, file):
    config = load(file)
    config.data_dir = "somewhere"
    setup.check(config.to_dict())
    made = setup.make(config.to_dict(), data)
    assert made.num_periods == len(making.PERIODS) and len(made.dates) == len(data.cubes)


@pytest.mark.parametrize("file", RECIPES, ids=lambda f: str(f.relative_to(CONFIGS)))
def test_every_config_trains_a_step(data, file, tmp_path):
    config = load(file)
    # With the network's real depth, which settles what crops may be.
    training.make_train_config(
        config, "pretrain", training.make_recipe(config, data, model_of(config))
    )
    config.model.width = 2
    for model in (config.model, config.get("scratch", {})):
        if model.get("levels"):
            model.levels = 0
    config.update({"batch_size": 2, "crops_per_chip": 1, "epochs": 1, "as_of": ()})
    config.steps_per_epoch = 1
    recipe = training.make_recipe(config, data, model_of(config))
    plan = training.make_train_config(config, "pretrain", recipe)
    if config.standardise:
        recipe = training.standardised(recipe, plan, data, str(tmp_path))
    record = loop.train(data, recipe, plan, steps.init_variables(recipe, 0), tmp_path)
    assert record["epoch"] == 1 and 0 < record["loss"] < 3
    assert (tmp_path / "checkpoints" / "1").is_dir()


def test_a_network_with_radar_inherits_the_backscatter_of_its_dataset(data):
    rtc = dataclasses.replace(data, backscatter="gamma0_rtc")
    config = load(RECIPES[0])
    found = training.make_recipe(config, rtc, model_of(config))
    assert found.backscatter == "gamma0_rtc"
    assert type(found).from_json(json.loads(json.dumps(found.to_json()))) == found
    assert "backscatter" not in training.make_recipe(config, data, model_of(config)).to_json()
    config.sensors = ("s2",)
    assert training.make_recipe(config, rtc, model_of(config)).backscatter is None


@pytest.mark.parametrize("file", BASELINES, ids=lambda f: str(f.relative_to(CONFIGS)))
def test_every_baseline_is_trained_and_kept(data, file, tmp_path):
    config = load(file).to_dict() | {"data_dir": "data", "most_pixels": 200}
    smaller = {"trees": 2, "rounds": 2}
    for name in smaller.keys() & config["arguments"].keys():
        config["arguments"][name] = smaller[name]
    keeping.check(config)
    assert keeping.train(data, config, tmp_path)
    assert runs.method_of(runs.open_run(tmp_path)) == file.stem == config["method"]
    assert not keeping.train(data, config, tmp_path)


@pytest.mark.parametrize(
    ("pretrain", "finetune"),
    [
        ("pretrain.py", "finetune.py"),
        ("tiny/pretrain.py", "tiny/finetune.py"),
        ("demo/pretrain.py", "demo/finetune.py"),
        ("real/pretrain_belgium.py", "real/finetune_tervuren.py"),
    ],
)
def test_what_is_pretrained_can_be_fine_tuned(data, pretrain, finetune):
    pretrain, finetune = load(CONFIGS / pretrain), load(CONFIGS / finetune)
    before = training.make_recipe(pretrain, data)
    # With the checkpoint or without, it is the same network but for its head.
    after = training.make_recipe(finetune, data, model_of(finetune))
    head_swap.check_trunk(before, after, "W")
    assert before.scaling == after.scaling and before.model["dtype"] == after.model["dtype"]


def test_fine_tuning_leaves_the_trunk_to_the_checkpoint():
    model = load(CONFIGS / "finetune.py").model.to_dict()
    given = {name for name, value in model.items() if value is not None}
    assert given == {"head", "head_width"}
    assert model.keys() - given == {
        *models.trunk_arguments(models.complete({"num_periods": 6})),
        "dtype",
    }


def test_the_recipes_are_those_of_the_seed():
    pretrain, finetune = load(CONFIGS / "pretrain.py"), load(CONFIGS / "finetune.py")
    assert (pretrain.epochs, pretrain.batch_size, pretrain.dataset) == (11, 16, "eucropmap")
    assert (finetune.epochs, finetune.batch_size, finetune.dataset) == (5, 16, "isrc")
    assert finetune.learning_rate.to_dict() == {"trunk": 1e-5, "head": 1e-4}
    assert (pretrain.model.head, finetune.model.head) == ("linear", "conv")
    assert pretrain.model.width == 32 and pretrain.model.num_periods == 6
    assert finetune.freeze_trunk_statistics and not pretrain.freeze_trunk_statistics
