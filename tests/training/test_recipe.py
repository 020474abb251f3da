"""The recipe that every checkpoint carries."""

import dataclasses
import json

import pytest
from training import small_data, small_runs

from cropmap_jax.geo.legend import EUCROPMAP
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.scaling import Scaling

RECIPE = small_runs.make_recipe()


def test_a_recipe_comes_back_from_json_as_it_was():
    recipe = Recipe(
        small_runs.MODEL, EUCROPMAP, Scaling((-20.0, 0.0), (0.0, 0.5)), "dekad", "softmax", 60
    )
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_the_network_is_that_of_the_recipe():
    network = small_runs.make_recipe(classes=EUCROPMAP, width=4, levels=3).network(True)
    assert (network.num_classes, network.width, network.levels) == (21, 4, 3)
    assert network.freeze_trunk_statistics
    assert not RECIPE.network().freeze_trunk_statistics
    assert small_runs.make_recipe(levels=3).size_multiple == 8
    assert RECIPE.num_periods == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small_runs.make_recipe(depth=3), "config.model: expected .* found .*'depth'"),
        (lambda: small_runs.make_recipe(dtype="float16"), "config.model.dtype: .* found 'float16'"),
        (lambda: small_runs.make_recipe("dice"), "config.loss: .*sigmoid, softmax, found 'dice'"),
    ],
)
def test_settings_that_do_not_exist_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_dataset_of_another_legend_or_period_is_refused():
    data = small_runs.make_data()
    RECIPE.check_dataset(data)
    with pytest.raises(ValueError, match=r"legend 'eucropmap' .* found 'small' \(rye, pea, oats\)"):
        small_runs.make_recipe(classes=EUCROPMAP).check_dataset(data)
    with pytest.raises(ValueError, match="expected periods of a month .* found dekad"):
        RECIPE.check_dataset(dataclasses.replace(data, period_kind="dekad"))
    assert data.legend == small_data.LEGEND
