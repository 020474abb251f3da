"""A network of a user's own: a module that --import names, no file of the library edited."""

import os
import pathlib
import runpy
import subprocess
import sys

import numpy as np
import pytest
from ml_collections import ConfigDict
from training import small_runs

from cropmap_jax import models
from cropmap_jax.inference import predictors
from cropmap_jax.models import registry
from cropmap_jax.runs import finetuning, training
from cropmap_jax.training import checkpoints, loop, steps
from experiments import _cli

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
NETWORK = """
import jax.numpy as jnp
from flax import linen as nn

from cropmap_jax import models


class Pointwise(nn.Module):
    num_classes: int
    num_periods: int
    width: int = 4
    head_width: int = 3

    @nn.compact
    def __call__(self, pixels, valid, day_of_year, train=False):
        x = jnp.concatenate([pixels[name] for name in sorted(pixels)], axis=-1)
        x = jnp.moveaxis(x, 1, 3)
        x = x.reshape(*x.shape[:3], -1)
        x = jnp.sin(nn.Dense(self.width, name="trunk")(x))
        days = jnp.sin(day_of_year / 58.0)[:, None, None, :]
        x = x + nn.Dense(self.width, name="season")(days)
        return Head(self.num_classes, self.head_width, name="head")(x)


class Head(nn.Module):
    num_classes: int
    width: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.num_classes)(nn.relu(nn.Dense(self.width)(x)))


models.register("pointwise", Pointwise)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with the user's module, from which the commands are run."""
    (tmp_path / "own_networks.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.delitem(sys.modules, "own_networks", raising=False)
    return tmp_path


def load(stage: str, model: dict) -> ConfigDict:
    """A user's config: that of the library, but for the network."""
    config = runpy.run_path(str(CHECKOUT / "configs" / f"{stage}.py"))["get_config"]()
    config.model = ConfigDict(model)
    config.update({"batch_size": 2, "epochs": 1, "data_dir": "D", "dataset": "cubes"})
    return config


def run(config, stage, recipe, variables, workdir):
    plan = training.make_train_config(config, stage, recipe)
    return loop.train(small_runs.make_data(), recipe, plan, variables, workdir)


def test_it_trains_is_fine_tuned_and_predicts(own, capsys):
    _cli.import_modules(["own_networks"])
    data = small_runs.make_data()
    config = load("pretrain", {"name": "pointwise", "num_periods": 2, "width": 5})
    training.check(config, str(own / "W"), "pretrain")
    recipe = training.make_recipe(config, data)
    variables = steps.init_variables(recipe, 0, {"s2": [3]})
    assert run(config, "pretrain", recipe, variables, own / "W")["epoch"] == 2 / 2.5  # of two steps
    assert "pretrain: pointwise on s1, s2; " in capsys.readouterr().out

    config = load("finetune", {"head_width": 9})
    config.update({"init_from": str(own / "W"), "freeze_trunk_statistics": False})
    training.check(config, str(own / "W2"), "finetune")
    recipe, variables, _ = finetuning.from_checkpoint(config, data, str(own / "W2"))
    trained = checkpoints.load(own / "W").variables["params"]
    assert (recipe.model["name"], recipe.model["width"], recipe.model["head_width"]) == (
        ("pointwise", 5, 9)
    )
    for name in ("trunk", "season"):
        np.testing.assert_array_equal(variables["params"][name]["kernel"], trained[name]["kernel"])
    run(config, "finetune", recipe, variables, own / "W2")

    restored = checkpoints.load(own / "W2")
    assert restored.config["model"] == restored.recipe.model == recipe.model
    assert (restored.recipe.size_multiple, restored.recipe.halo) == (1, 0)
    with pytest.raises(ValueError, match="^config.freeze_trunk_statistics: expected False"):
        steps.make_train_step(recipe, None, freeze_trunk_statistics=True)
    assert predictors.NetworkPredictor(restored, 2).recipe == recipe


def test_another_network_is_no_trunk_to_fine_tune(own):
    _cli.import_modules(["own_networks"])
    data = small_runs.make_data()
    config = load("pretrain", {"num_periods": 2, "width": 2, "levels": 0})
    recipe = training.make_recipe(config, data)
    run(config, "pretrain", recipe, steps.init_variables(recipe, 0), own / "W")
    config = load("finetune", {"name": "pointwise", "width": 3})
    config.init_from = str(own / "W")
    message = "^config.model.name: expected 'dual_unet3d', found 'pointwise' .expected is what"
    with pytest.raises(ValueError, match=message):
        finetuning.from_checkpoint(config, data, str(own / "W2"))


def test_another_list_of_sensors_is_no_trunk_to_fine_tune(own):
    data = small_runs.make_data()
    config = load("pretrain", {"num_periods": 2, "width": 2, "levels": 0})
    recipe = training.make_recipe(config, data)
    run(config, "pretrain", recipe, steps.init_variables(recipe, 0), own / "W")
    config = load("finetune", {})
    config.init_from = str(own / "W")
    for sensors in (("s1",), ("s2", "s1"), ("s1", "s2", "s3")):
        config.sensors = sensors
        message = (
            r"^--config.sensors: expected \('s1', 's2'\), what the checkpoint was trained with"
        )
        with pytest.raises(ValueError, match=message):
            finetuning.from_checkpoint(config, data, str(own / "W2"))


def test_a_checkpoint_of_a_network_that_is_not_imported_says_so(own):
    _cli.import_modules(["own_networks"])
    data = small_runs.make_data()
    config = load("pretrain", {"name": "pointwise", "num_periods": 2})
    recipe = training.make_recipe(config, data)
    run(config, "pretrain", recipe, steps.init_variables(recipe, 0), own / "W")
    registry._registered.clear()
    message = "recipe.model.name: expected a network among .*found 'pointwise'; .*--impo"
    with pytest.raises(ValueError, match=message):
        checkpoints.load(own / "W")
    assert models.names() == ("dual_unet3d", "pixel_series")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("nowhere", None, "^--import: expected a Python module, found none of the name 'nowhere'"),
        ("nowhere.inside", None, "^--import: .*found none of the name 'nowhere.inside'"),
        ("module.inside", "", "^--import: .*found none of the name 'module.inside'"),
        ("module.py", "", "^--import: expected the name of a Python module.*found 'module.py'"),
        ("a/module", "", "^--import: expected the name of a Python module.*found 'a/module'"),
        ("", "", "^--import: expected the name of a Python module.*found ''"),
        ("module", "import nowhere", "^--import module: .*module.py, line 1: ModuleNotFoundError"),
        ("module", "import sys\nsys.exit(3)", "^--import module: .*module.py, line 2: SystemExit"),
        ("module", "\nx = (", "^--import module: .*module.py, line 2: SyntaxError"),
        ("module", "\n\n1 / 0", "^--import module: .*module.py, line 3: ZeroDivisionError: divis"),
    ],
)
def test_a_module_that_cannot_be_imported_costs_one_line(
    tmp_path, monkeypatch, name, text, message
):
    if text is not None:
        (tmp_path / "module.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "module", raising=False)
    with pytest.raises(ValueError, match=message) as raised:
        _cli.import_modules([name])
    assert "\n" not in str(raised.value)


def test_the_flag_may_be_repeated(tmp_path):
    """The first module is imported, the second is not there."""
    (tmp_path / "own.py").write_text("print('own was imported')\n")
    flags = ["--workdir=W", "--cubes=C", "--as_of=2022-06-01", "--out=O"]
    found = subprocess.run(
        [sys.executable, "-m", "experiments.predict", *flags, "--import", "own", "--import=other"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 1 and found.stdout == "own was imported\n"
    assert found.stderr.startswith("error: --import: expected a Python module, found none of the")
    assert found.stderr.count("\n") == 1


def test_ranges_of_sensors_that_a_run_leaves_out_do_not_matter():
    data = small_runs.make_data()
    config = load("pretrain", {"num_periods": 2, "width": 2, "levels": 0})
    config.sensors = ("s2",)
    config.scaling.s2 = (0.0, 0.5)
    assert training.make_recipe(config, data).scaling == {"s2": (0.0, 0.5)}
    config.scaling = ConfigDict({"s3": (0.0, 1.0)})
    with pytest.raises(ValueError, match="^--config.scaling.s3: no such setting"):
        training.make_recipe(config, data)
