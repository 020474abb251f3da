"""A head that starts from the outputs of the old one."""

import dataclasses

import jax
import numpy as np
import pytest
from training import small_runs

from cropmap_jax.geo.legend import Legend, make_class
from cropmap_jax.training import head_swap, steps

OLD = Legend("old", tuple(make_class(i, i, n, "", "") for i, n in enumerate(("rape", "pulses"))))
NEW = Legend(
    "new",
    tuple(make_class(i, i, n, "", "") for i, n in enumerate(("pea", "canola", "lentil", "x"))),
)
CLASSES = {0: 1, 1: 0, 2: 1}
SERIES = {"name": "pixel_series", "num_periods": 2, "width": 5}


def make(legend, model, loss):
    recipe = small_runs.make_recipe(loss, legend)
    return dataclasses.replace(recipe, model=model)


def warm(old, new, classes=CLASSES):
    before, fresh = steps.init_variables(old, 1), steps.init_variables(new, 2)
    joined, _ = head_swap.swap_head(before, fresh)
    return before, joined, head_swap.warm_head(before, joined, (old, new), classes)


def batch(recipe):
    rng = np.random.default_rng(0)
    pixels = {
        s.name: rng.integers(-2000, 3000, (2, 2, 8, 8, len(s.bands))).astype(np.int16)
        for s in recipe.sensors
    }
    return {"pixels": pixels, "day_of_year": np.full((2, 2), 100, np.int32)}


@pytest.mark.parametrize("model", [SERIES, small_runs.MODEL])
@pytest.mark.parametrize("loss", ["softmax_none", "softmax", "sigmoid"])
def test_parts_of_a_class_share_its_probability(model, loss):
    old, new = make(OLD, model, loss), make(NEW, model, loss)
    before, _, variables = warm(old, new)
    seen = steps.inputs(batch(old), old)
    arguments = seen["pixels"], seen["valid"], seen["day_of_year"]
    a = np.asarray(old.network().apply(before, *arguments), np.float64)
    b = np.asarray(new.network().apply(variables, *arguments), np.float64)
    share = np.log(2) if loss != "sigmoid" else 0
    # The classes that are mapped, and none of these, in the order of the new outputs.
    expected = [a[..., 1] - share, a[..., 0], a[..., 1] - share]
    np.testing.assert_allclose(b[..., :3], np.stack(expected, -1), rtol=1e-5, atol=1e-5)
    if loss == "softmax_none":
        np.testing.assert_allclose(b[..., 4], a[..., 2], rtol=1e-5, atol=1e-5)


def test_what_has_no_counterpart_stays_as_it_was_drawn():
    old, new = make(OLD, SERIES, "sigmoid"), make(NEW, SERIES, "sigmoid")
    before, joined, variables = warm(old, new)
    for name, leaf in joined["params"]["head"].items():
        found = variables["params"]["head"][name]
        np.testing.assert_array_equal(found[..., 3], leaf[..., 3])
        np.testing.assert_array_equal(found[..., 0], before["params"]["head"][name][..., 1])
    trunks = [{k: v for k, v in x["params"].items() if k != "head"} for x in (before, variables)]
    jax.tree.map(np.testing.assert_array_equal, *trunks)
    fresh = steps.init_variables(new, 2)["params"]["head"]
    jax.tree.map(np.testing.assert_array_equal, joined["params"]["head"], fresh)  # left alone


def test_heads_and_losses_that_do_not_match_cost_one_line():
    linear = small_runs.MODEL | {"head": "linear"}
    with pytest.raises(ValueError, match="^--config.crosswalk: expected a head of the layers"):
        warm(make(OLD, linear, "sigmoid"), make(NEW, small_runs.MODEL, "sigmoid"))
    with pytest.raises(ValueError, match="^--config.crosswalk: expected a loss .* softmax does"):
        warm(make(OLD, SERIES, "softmax"), make(NEW, SERIES, "sigmoid"))
