"""Several runs as one: what they must have in common, and what follows for all of them."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cropmap_jax.data import checks
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.training import checksums, former_settings
from cropmap_jax.training import recipe as recipe_lib
from cropmap_jax.training.checkpoints import Restored
from cropmap_jax.training.recipe import Recipe

STAGE = NAME = "combined"
_OF_ONE_RUN = ("seed", "data_dir", "init_from", "init_step")
"""Settings that may differ between runs of one kind."""


@dataclasses.dataclass(frozen=True)
class CombinedRecipe(Recipe):
    """What members have in common; whatever takes a recipe takes this one, and checks the same.

    `model` is {"name", "num_periods", "members": their recipes, JSON-ready}; sensors are those of
    all members, in the order in which they first appear; there is no scaling.
    """

    halo_px: int = 0
    context_px: int | None = None

    def __post_init__(self) -> None:
        checks.keys("config.model", self.model, ("name", "num_periods", "members"))

    @property
    def size_multiple(self) -> int:
        """Any size will do: each member pads as it needs."""
        return 1

    @property
    def context(self) -> int | None:
        """Pixels around a pixel that its probabilities depend on; None: more than can be said."""
        return self.context_px

    @property
    def halo(self) -> int:
        """Pixels around a tile that it is to see in a map: the most of what members are to see."""
        return self.halo_px


@dataclasses.dataclass(frozen=True)
class Combined(Restored):
    """Several runs read for use; where a `Restored` is expected, it is one of its own.

    Its config names the dataset on which it was weighed; its `cubes` are those of all members.

    Args:
      recipe: what they have in common.
      members: the runs by name, in order.
      weights: of each, not negative, of sum 1.
      how: how the weights were found, JSON-ready.
    """

    recipe: CombinedRecipe
    members: dict[str, Restored] = dataclasses.field(default_factory=dict)
    weights: tuple[float, ...] = ()
    how: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """What tells it from others of the same recipe."""
        own = {name: one.variables for name, one in self.members.items()}
        return {"weights": np.array(self.weights), "members": own}


def digest(run: Restored) -> str:
    """SHA-256 of what a run has learnt: a network's arrays, a baseline's model.

    Its recipe has a checksum of its own, next to it, and may gain settings in later versions.
    """
    return checksums.digest(run.variables)


def kinds(members: Mapping[str, Restored]) -> list[int]:
    """Number of each member's kind, from 0: runs of one kind differ in their seed alone.

    What a run was pretrained with is of a kind as well, and where it lies is not: only whether
    there was a pretraining counts.
    """
    known: dict[str, int] = {}
    found = []
    # An earlier version's run lacks settings that another one has.
    there = {name for one in members.values() for name in one.config}
    for one in members.values():
        # What an earlier version's run does not record tells nothing apart.
        left_out = ("statistics", "backscatter")
        recipe = {k: v for k, v in one.recipe.to_json().items() if k not in left_out}
        config = former_settings.with_former(one.config, there)
        config = {k: v for k, v in config.items() if k not in _OF_ONE_RUN}
        own = [recipe, config, bool(one.config.get("init_from")), one.dataset]
        key = json.dumps(own, sort_keys=True, default=str)
        found.append(known.setdefault(key, len(known)))
    return found


def names_of(workdirs: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Names of members: the last part of their paths, and as many before it as tell them apart."""
    parts = [os.path.abspath(path).strip(os.sep).split(os.sep) for path in workdirs]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["-".join(one[-count:]) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{name}-{i}" for i, name in enumerate(names)]


def combine(
    members: Mapping[str, Restored],
    weights: Sequence[float],
    config: dict[str, Any],
    how: dict[str, Any] | None = None,
) -> Combined:
    """Puts runs together that have what it takes.

    Args:
      members: the runs by name, at least two.
      weights: of each, not negative, of sum 1.
      config: data_dir, dataset and fold on which it is weighed.
      how: how the weights were found; under "ground" the cubes that they were found on.

    Raises:
      ValueError: names the member that differs from the first one, and how.
    """
    recipe = make_recipe({name: one.recipe for name, one in members.items()})
    runs = list(members.values())
    for name, one in members.items():
        if not one.cubes:
            raise ValueError(
                f"--workdirs: {name}: expected a run that records where it was trained, found one "
                f"that does not: which ground is held out could not be told"
            )
    return Combined(
        params={},
        batch_stats={},
        recipe=recipe,
        config=config,
        step=0,
        stage=STAGE,
        dataset="+".join(sorted({one.dataset for one in runs})),
        cubes=_ground(members, (how or {}).get("ground", ())),
        members=dict(members),
        weights=tuple(map(float, weights)),
        how=how or {},
    )


def make_recipe(recipes: Mapping[str, Recipe]) -> CombinedRecipe:
    """What runs have in common.

    Raises:
      ValueError: they are fewer than two, or differ; names the first that differs from the first.
    """
    if len(recipes) < 2:
        raise ValueError(
            f"--workdirs: expected two runs or more, found {len(recipes)}; `evaluate` and "
            f"`predict` take the workdir of one as it is"
        )
    (first, own), *others = recipes.items()
    for name, other in others:
        _check_same(first, own, name, other)
    sizes = [one.pixel_m for one in recipes.values() if one.pixel_m is not None]
    kinds = {one.backscatter for one in recipes.values() if one.backscatter is not None}
    if len(kinds) > 1:
        raise ValueError(
            f"--workdirs: expected runs that were trained on radar backscatter of one kind, found "
            f"{' and '.join(sorted(kinds))}"
        )
    contexts = [one.context for one in recipes.values()]
    known = [context for context in contexts if context is not None]
    return CombinedRecipe(
        model={
            "name": NAME,
            "num_periods": own.num_periods,
            "members": [one.to_json() for one in recipes.values()],
        },
        legend=own.legend,
        scaling={},
        period_kind=own.period_kind,
        loss=_loss(recipes),
        lead_days=own.lead_days,
        pixel_m=sizes[0] if sizes else None,
        sensors=_sensors(recipes),
        backscatter=kinds.pop() if kinds else None,
        halo_px=max(one.halo for one in recipes.values()),
        context_px=max(known) if len(known) == len(contexts) else None,
    )


def _check_same(first: str, own: Recipe, name: str, other: Recipe) -> None:
    """Requires the same classes, windows and pixels of two members."""
    if other.model["name"] == NAME:
        raise ValueError(
            f"--workdirs: {name}: expected a network or a baseline, found combined runs; name "
            f"their members instead"
        )
    listed = [f"{one.legend.name!r} ({', '.join(one.legend.names)})" for one in (own, other)]
    if own.legend != other.legend:
        raise ValueError(
            f"--workdirs: {name}: expected the legend of {first}, {listed[0]}, found {listed[1]}"
        )
    if not recipe_lib.same_pixels(own.pixel_m, other.pixel_m):
        raise ValueError(
            f"--workdirs: {name}: expected pixels of {own.pixel_m:.10g} m as in {first}, found "
            f"{other.pixel_m:.10g} m"
        )
    for what, mine, theirs in (
        ("periods of a", own.period_kind, other.period_kind),
        ("a window of periods:", own.num_periods, other.num_periods),
        ("a lead in days of", own.lead_days, other.lead_days),
    ):
        if mine != theirs:
            raise ValueError(
                f"--workdirs: {name}: expected {what} {mine} as in {first}, found {theirs}"
            )


def _loss(recipes: Mapping[str, Recipe]) -> str:
    """The loss whose probabilities the mean's are like.

    Where none of these is a class of its own, or each class is asked about alone, a probability is
    that of the class among all annotated ground, and so is the mean of both kinds; that mean says
    of each class what it says, and no longer that classes exclude each other. Softmax without none
    of these answers another question, how likely a class is where it must be one of them.
    """
    losses = {one.loss for one in recipes.values()}
    if len(losses) == 1:
        return losses.pop()
    knowing = {name: one for name, one in recipes.items() if one.none_of_these or not one.exclusive}
    if len(knowing) == len(recipes):
        return "sigmoid"
    name = next(name for name in recipes if name not in knowing)
    other = next(iter(knowing))
    raise ValueError(
        f"--workdirs: {name}: expected a loss that knows none of these, as that of {other} "
        f"({recipes[other].loss}), found {recipes[name].loss}, whose probabilities are of ground "
        f"that must be one of the classes; combine it with its like"
    )


def _sensors(recipes: Mapping[str, Recipe]) -> tuple[Sensor, ...]:
    """The sensors of all members, each once."""
    known: dict[str, tuple[str, Sensor]] = {}
    for name, one in recipes.items():
        for sensor in one.sensors:
            other, same = known.setdefault(sensor.name, (name, sensor))
            if same != sensor:
                raise ValueError(
                    f"--workdirs: {name}: expected sensor {sensor.name!r} ({same.describe()}) as "
                    f"in {other}, found {sensor.describe()}"
                )
    return tuple(sensor for _, sensor in known.values())


def _ground(
    members: Mapping[str, Restored], weighed: Sequence[dict[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """The cubes of all members; where not all have a cube, its "stage" says whose it is.

    What the weights were found on and no member knows is there as well, with "stage" weights.
    """
    owners: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for name, one in members.items():
        for cube in one.cubes:
            owners.setdefault(_key(cube), (cube, []))[1].append(name)
    found = []
    for cube, own in owners.values():
        stage = [cube["stage"]] if cube.get("stage") else []
        if len(set(own)) < len(members):
            stage.append(", ".join(dict.fromkeys(own)))
        found.append(cube | ({"stage": " of ".join(stage)} if stage else {}))
    return (*found, *(cube | {"stage": "weights"} for cube in weighed if _key(cube) not in owners))


def _key(cube: dict[str, Any]) -> str:
    return json.dumps(cube, sort_keys=True)
