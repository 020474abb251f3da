"""The recipe that every checkpoint carries."""

import dataclasses
import json

import pytest
from training import small_data, small_runs

from cropmap_jax.geo.legend import EUCROPMAP
from cropmap_jax.models import count_parameters, variable_shapes
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.train_config import check_same_config

RECIPE = small_runs.make_recipe()


def test_a_recipe_comes_back_from_json_as_it_was():
    recipe = Recipe(
        small_runs.MODEL, EUCROPMAP, {"s1": (-20.0, 0.0), "s2": (0.0, 0.5)}, "dekad", "softmax", 60
    )
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_the_network_is_that_of_the_recipe():
    network = small_runs.make_recipe(classes=EUCROPMAP, width=4, levels=3).network(True)
    assert (network.num_classes, network.width, network.levels) == (21, 4, 3)
    assert network.freeze_trunk_statistics
    assert not RECIPE.network().freeze_trunk_statistics
    assert network.bands == (("s1", 2), ("s2", 10))
    deep = small_runs.make_recipe(levels=3)
    assert (deep.size_multiple, deep.halo) == (8, 16)
    assert RECIPE.num_periods == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: small_runs.make_recipe(depth=3),
            "config.model.depth: no such setting; .*expected one of",
        ),
        (lambda: small_runs.make_recipe(dtype="float16"), "config.model.dtype: .* found 'float16'"),
        (
            lambda: small_runs.make_recipe("dice"),
            "config.loss: .*sigmoid, softmax, softmax_none, found 'dice'",
        ),
        (lambda: small_runs.make_recipe(width=0), "config.model.width: .*from 1 to 4096, found 0"),
        (lambda: small_runs.make_recipe(levels=10**9), "config.model.levels: .*from 0 to 8, found"),
        (lambda: small_runs.make_recipe(num_periods=True), "num_periods: .*whole.* found True"),
        (lambda: small_runs.make_recipe(use_validity=1), "use_validity: expected one of True, Fal"),
        (lambda: small_runs.make_recipe(norm="layer"), "norm: .*batch, group, found 'layer'"),
        # Each within its range, together 2 x 4096² x 120 x 4^8 parameters, about 3e14.
        (
            lambda: small_runs.make_recipe(width=4096, levels=8),
            "config.model: expected at most 2e.09 parameters, found 3e.14",
        ),
    ],
)
def test_settings_that_do_not_exist_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_largest_network_is_counted_as_flax_counts_it():
    recipe = small_runs.make_recipe(width=8, levels=2, num_periods=6)
    counted = count_parameters(variable_shapes(recipe.network(), recipe.bands)["params"])
    # As `DualUNet3D.check_arguments` has it: within the head, the inputs and the norms of it.
    assert 2 * 8**2 * (6 + 120 * 4**2) == pytest.approx(counted, rel=0.15)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("model",), None, "recipe.model: expected settings by name, found None"),
        (
            ("model", "name"),
            "triple_unet",
            "recipe.model.name: expected a network among dual_unet3d",
        ),
        (("model", "width"), 10**9, "recipe.model.width: .* found 1000000000"),
        (("model", "width"), 2.0, "recipe.model.width: .* found 2.0"),
        (("model", "dtype"), ["float32"], r"recipe.model.dtype: .* found \['float32'\]"),
        (("scaling", "s1"), 3, "recipe.scaling.s1: expected a list of 2 values, found 3"),
        (("scaling", "s2", 1), float("nan"), "recipe.scaling.s2: expected a number .* found nan"),
        (("scaling", "s2", 0), float("-inf"), "recipe.scaling.s2: expected a number .* found -inf"),
        (("scaling", "s2", 0), 1.0, "recipe.scaling.s2: expected low < high, found 1.0, 1.0"),
        (("period_kind",), "year", "recipe.period_kind: expected month, dekad or .*found 'year'"),
        (("lead_days",), 10**11, "recipe.lead_days: .*from -366 to 366, found 100000000000"),
        (("pixel_m",), 0, "recipe.pixel_m: expected a number above 0 .* found 0"),
        (("legend",), [], r"recipe.legend: expected settings by name, found \[\]"),
        (("legend", "classes"), {}, "recipe.legend.classes: expected a list of values, found {}"),
        (("legend", "classes", 1, "code"), float("inf"), r"legend.classes\[1\].code: .* found inf"),
        (("legend", "classes", 1, "name"), None, r"legend.classes\[1\].name: .* found None"),
        (("legend", "classes", 0, "colour"), "red", "recipe.legend: .*found 'red'"),
        (("legend", "none_of_these"), 7, "recipe.legend.none_of_these: .* found 7"),
        (("more",), 7, "recipe.more: no such setting; did you mean recipe.model?"),
    ],
)
def test_a_stored_recipe_that_is_damaged_is_refused_by_the_path_in_it(path, value, message):
    stored = json.loads(json.dumps(RECIPE.to_json()))
    inside = stored
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    with pytest.raises(ValueError, match=f"{message}") as raised:
        Recipe.from_json(stored)
    assert str(raised.value).startswith("recipe.") and len(str(raised.value)) < 400


def test_a_recipe_of_an_earlier_version_is_read():
    """It named neither its network nor its sensors: there was one, and they were two."""
    stored = json.loads(json.dumps(RECIPE.to_json()))
    del stored["model"]["name"], stored["sensors"]
    stored["scaling"]["s1_db"] = stored["scaling"].pop("s1")
    assert Recipe.from_json(stored) == RECIPE
    assert RECIPE.model["name"] == "dual_unet3d"


def test_a_dataset_of_another_legend_or_period_is_refused():
    data = small_runs.make_data()
    RECIPE.check_dataset(data)
    with pytest.raises(ValueError, match=r"legend 'eucropmap' .* found 'small' \(rye, pea, oats\)"):
        small_runs.make_recipe(classes=EUCROPMAP).check_dataset(data)
    with pytest.raises(ValueError, match="expected periods of a month .* found dekad"):
        RECIPE.check_dataset(dataclasses.replace(data, period_kind="dekad"))
    assert data.legend == small_data.LEGEND


def test_a_run_that_an_earlier_version_began_has_the_same_settings():
    config = {"model": RECIPE.model, "sensors": ["s1", "s2"], "epochs": 2}
    config |= {"scaling": RECIPE.to_json()["scaling"], "scratch": RECIPE.model}
    meta = json.loads(json.dumps({"recipe": RECIPE.to_json(), "config": config, "stage": "x"}))
    older = json.loads(json.dumps(meta))
    for part in (older["recipe"], older["config"]):
        del part["sensors"], part["model"]["name"]
        part["scaling"]["s1_db"] = part["scaling"].pop("s1")
    del older["config"]["scratch"]["name"]
    check_same_config(older, meta, "W")
    older["config"]["epochs"] = 3
    with pytest.raises(ValueError, match="found config.epochs: was 3, now 2$"):
        check_same_config(older, meta, "W")
