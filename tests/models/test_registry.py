"""Networks by name, and what their settings may be."""

import json
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cropmap_jax import models
from cropmap_jax.models import flops, registry

BANDS = {"s1": 2, "s2": 10}


class Pointwise(nn.Module):
    """The smallest network: nothing but what is required, and arguments of every kind."""

    num_classes: int
    num_periods: int
    depth: int
    width: int = 4
    rate: float = 0.5
    wide: bool = False
    kind: str = "relu"
    head_widths: tuple = (8, 8)
    function: object = nn.relu

    @nn.compact
    def __call__(self, pixels, valid, day_of_year, train=False):
        x = jnp.concatenate([pixels[name] for name in sorted(pixels)], axis=-1).mean(1)
        x = nn.relu(nn.Dense(self.width, name="trunk")(x))
        return nn.Dense(self.num_classes, name="head")(x)


class Full(Pointwise):
    """One with all that a run can fill in."""

    bands: tuple = ()
    dtype: object = jnp.float32
    axis_name: str | None = None
    freeze_trunk_statistics: bool = False
    remat: bool = False
    size_multiple = 4
    halo = 7

    @staticmethod
    def check_arguments(arguments, where):
        if arguments["width"] > 100:
            raise ValueError(f"{where}.width: too wide")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    models.register("pointwise", Pointwise)
    models.register("full", Full)


MODEL = {"name": "pointwise", "num_periods": 6, "depth": 2}


def test_a_registered_network_is_made_with_its_arguments():
    network = models.make(MODEL | {"width": 7, "head_widths": [1, 2, 3]}, 3, BANDS, axis_name="d")
    assert type(network) is Pointwise and hash(network)
    assert (network.num_classes, network.num_periods, network.depth) == (3, 6, 2)
    assert (network.width, network.rate, network.head_widths) == (7, 0.5, (1, 2, 3))
    assert (models.size_multiple(network), models.halo(network)) == (1, 0)
    shapes = models.variable_shapes(network, BANDS)["params"]
    assert shapes["trunk"]["kernel"].shape == (12, 7) and shapes["head"]["kernel"].shape == (7, 3)
    assert not hasattr(network, "without_bands")


def test_what_the_run_knows_is_filled_in():
    settings = MODEL | {"name": "full", "dtype": "bfloat16"}
    network = models.make(settings, 3, BANDS, axis_name="d", remat=True)
    assert network.bands == (("s1", 2), ("s2", 10)) and network.dtype is jnp.bfloat16
    assert (network.axis_name, network.remat, network.freeze_trunk_statistics) == ("d", True, False)
    assert (models.size_multiple(network), models.halo(network)) == (4, 7)


@pytest.mark.parametrize("switch", ["remat", "freeze_trunk_statistics"])
def test_what_a_network_cannot_do_is_refused(switch):
    models.make(MODEL, 3, BANDS, **{switch: False})
    with pytest.raises(ValueError, match=f"^config.{switch}: expected False, since Pointwise has"):
        models.make(MODEL, 3, BANDS, **{switch: True})


def test_what_is_left_out_is_completed():
    own = {"width": 4, "rate": 0.5, "wide": False, "kind": "relu", "head_widths": (8, 8)}
    assert models.complete(MODEL) == {**MODEL, "dtype": "float32", **own}
    again = json.loads(json.dumps(models.complete(MODEL)))
    assert models.complete(again) == models.complete(MODEL)


def test_without_a_name_it_is_the_network_that_there_always_was():
    network = models.make({"num_periods": 3, "width": 2}, 5, BANDS)
    assert type(network) is models.DualUNet3D and network.bands == tuple(BANDS.items())
    assert models.complete({"num_periods": 3})["name"] == "dual_unet3d"
    assert models.make({"name": "dual_unet3d", "num_periods": 3, "width": 2}, 5, BANDS) == network


def test_arguments_of_the_head_begin_with_head():
    trunk = models.trunk_arguments(models.complete({"num_periods": 3}))
    assert set(trunk) == {"name", "num_periods", "width", "levels", "use_validity", "norm"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"name": "dual_unet"},
            ".name: expected a network among dual_unet3d, full, pixel_series, pointwise, fo",
        ),
        ({"name": "blocks"}, ".name: expected a network among .*found 'blocks'"),
        ({"name": "..data.checks"}, ".name: expected a network among"),
        ({"name": "os"}, ".name: .*a module that registers another one is named by --import"),
        ({"name": ["pointwise"]}, ".name: expected a network among"),
        ({"name": None}, ".name: expected a network among"),
        ({"widht": 3}, ".widht: no such setting; did you mean width?"),
        ({"function": "relu"}, ".function: no such setting"),
        ({"bands": {}}, ".bands: no such setting"),
        ({"num_classes": 3}, ".num_classes: no such setting"),
        ({"parent": 3}, ".parent: no such setting"),
        ({"depth": None}, ".depth: expected a whole number"),
        ({"width": 2.0}, ".width: expected a whole number"),
        ({"width": True}, ".width: expected a whole number"),
        ({"width": 10**400}, ".width: expected a whole number"),
        ({"rate": math.nan}, ".rate: expected a finite number, found nan"),
        ({"rate": 10**400}, ".rate: expected a finite number"),
        ({"rate": "1"}, ".rate: expected a finite number, found '1'"),
        ({"wide": 1}, ".wide: expected one of True, False, found 1"),
        ({"kind": 3}, ".kind: expected text"),
        ({"kind": "A" * 10**4}, ".kind: expected text of at most 1000"),
        ({"head_widths": 3}, ".head_widths: expected a list"),
        ({"head_widths": [3, "x"]}, r".head_widths\[1\]: expected a whole number"),
        ({"head_widths": [1] * 101}, ".head_widths: expected a list of at most 100"),
        ({"num_periods": 0}, ".num_periods: expected a whole number from 1 to 1000, found 0"),
        ({"dtype": "float64"}, ".dtype: expected one of float32, bfloat16, found 'float64'"),
        ({"dtype": "bfloat16"}, ".dtype: expected float32, all that Pointwise computes in"),
        ({"name": "full", "width": 101}, ".width: too wide"),
    ],
)
def test_settings_that_cannot_be_cost_one_line(changes, message):
    with pytest.raises(ValueError, match="^m" + message.replace("?", r"\?")) as raised:
        models.check(MODEL | changes, "m")
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


@pytest.mark.parametrize("model", [None, 3, "full", [], ["name"]])
def test_settings_are_by_name(model):
    with pytest.raises(ValueError, match="^m: expected settings by name, found"):
        models.check(model, "m")


@pytest.mark.parametrize("missing", ["num_periods", "depth"])
def test_what_has_no_default_is_required(missing):
    with pytest.raises(ValueError, match=f"^m.{missing}: expected a setting, found none"):
        models.check({k: v for k, v in MODEL.items() if k != missing}, "m")


def test_names_are_taken_once():
    assert models.names() == ("dual_unet3d", "full", "pixel_series", "pointwise")
    models.register("full", Full)  # again
    for name, taken in (("full", Pointwise), ("dual_unet3d", Full), ("blocks", Full)):
        with pytest.raises(ValueError, match=f"network '{name}': expected a new name"):
            models.register(name, taken)
    for name in ("", "my network", "a.b", 3):
        with pytest.raises(ValueError, match="expected a name of letters"):
            models.register(name, Full)


def test_a_network_has_classes_and_periods():
    class Without(nn.Module):
        num_classes: int = 3

    with pytest.raises(ValueError, match="'without': expected a field num_periods"):
        models.register("without", Without)
    with pytest.raises(ValueError, match="expected a network's class, a flax module"):
        models.register("function", lambda: 3)


VALUES = [None, "", "x", -1, 0, 10**9, math.nan, math.inf, [], {}, True, 1.5, [1, 2], "A" * 10**4]


@pytest.mark.parametrize("name", ["dual_unet3d", "pointwise", "full"])
def test_whatever_json_holds_is_refused_or_makes_a_network(name):
    """Nothing but a ValueError, and nothing large: the network is never run."""
    good = models.complete(MODEL | {"name": name} if name != "dual_unet3d" else {"num_periods": 6})
    made = 0
    for key in [*good, "parent", "__class__", "remat", ""]:
        for value in VALUES:
            settings = json.loads(json.dumps(good | {key: value}))
            try:
                network = models.make(settings, 3, BANDS)
            except ValueError:
                continue
            made += 1
            jax.eval_shape(lambda n=network: jnp.zeros(models.size_multiple(n)))
    assert made


def test_a_small_network_runs():
    network = models.make(MODEL, 3, BANDS)
    variables = models.initial_variables(network, BANDS, 0)
    pixels = {s: np.ones((2, 6, 5, 7, c), np.float32) for s, c in BANDS.items()}
    days = np.ones((2, 6), np.int32)
    assert network.apply(variables, pixels, pixels, days, train=False).shape == (2, 5, 7, 3)


class Broken(Pointwise):
    """Returns what it is told to, under whatever name."""

    returns: str = "logits"
    head: str = "head"

    @nn.compact
    def __call__(self, pixels, valid, day_of_year, train=False):
        if self.returns == "nothing":
            raise RuntimeError("no idea\nat all")
        x = jnp.concatenate([pixels[name] for name in sorted(pixels)], axis=-1).mean(1)
        logits = nn.Dense(self.num_classes, name=self.head)(x)
        if train:
            logits = logits + pixels["s3"]
        return {
            "logits": logits,
            "narrow": logits[..., 1:],
            "half": logits.astype(jnp.float16),
            "dict": {"logits": logits},
        }[self.returns]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"returns": "nothing"}, r"^network Broken: .*test_registry.py, line \d+: .*: no idea$"),
        ({"returns": "narrow"}, r"^network Broken: .* shape \(1, 1, 1, 3\), found \(1, 1, 1, 2\)$"),
        ({"returns": "dict"}, r"^network Broken: expected logits .* found dict$"),
        ({"returns": "half"}, "^network Broken: expected logits of float32 or .* found float16$"),
        ({"head": "out"}, "^network Broken: expected parameters under 'head', found out$"),
    ],
)
def test_a_network_that_breaks_the_contract_costs_one_line(arguments, message):
    network = Broken(3, 2, 1, **arguments)
    for function in (models.variable_shapes, lambda *a: models.initial_variables(*a, 0)):
        with pytest.raises(models.BrokenNetwork) as raised:
            function(network, BANDS)
        assert re.search(message, str(raised.value))


def test_what_a_network_raises_in_training_costs_one_line():
    network = Broken(3, 2, 1)
    assert flops.count_flops(network, BANDS, 4, 4) >= 0
    message = r"^network Broken: .*test_registry.py, line \d+: KeyError: 's3'$"
    with pytest.raises(models.BrokenNetwork, match=message):
        flops.count_flops(network, BANDS, 4, 4, train=True)


@pytest.mark.parametrize("value", ["x", 0.5, True, -1, 10**9, None])
def test_size_multiple_and_halo_are_whole_numbers(value):
    network = type("Odd", (Pointwise,), {"size_multiple": value, "halo": value})(3, 2, 1)
    for function in (models.size_multiple, models.halo):
        with pytest.raises(ValueError, match="^network Odd: .* expected a whole number from"):
            function(network)
