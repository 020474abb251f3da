"""What a kept baseline needs to be used again, next to its model."""

import dataclasses
from typing import Any

from cropmap_jax.baselines import methods
from cropmap_jax.baselines.features import Features
from cropmap_jax.baselines.settings import Settings
from cropmap_jax.data import checks
from cropmap_jax.geo import legend
from cropmap_jax.geo import sensors as sensors_lib
from cropmap_jax.training import recipe as network_recipe
from cropmap_jax.training.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class BaselineRecipe(Recipe):
    """A `Recipe` without a network: whatever takes a recipe takes this one, and checks the same.

    `model` is {"name": the method, "num_periods", and the other `Settings`}; there is no scaling;
    its classes exclude each other, and none of these is one of them, as with the loss
    `softmax_none`.
    """

    def __post_init__(self) -> None:
        checks.keys("config.model", self.model, ("name", "num_periods", *_SETTINGS))
        checks.whole("config.num_periods", self.model["num_periods"], 1, 1000)
        object.__setattr__(self, "model", self._completed())
        network_recipe.check_rest(dataclasses.asdict(self), "config")
        self.features()

    def _completed(self) -> dict[str, Any]:
        found = self.settings()
        rest = {name: getattr(found, name) for name in _SETTINGS}
        return {"name": found.method, "num_periods": self.model["num_periods"], **rest}

    def settings(self) -> Settings:
        """How it has learnt."""
        rest = {name: self.model[name] for name in _SETTINGS}
        for name in ("indices", "means"):
            if rest[name] is not None:
                checks.values(f"config.{name}", rest[name])
                rest[name] = tuple(rest[name])
        return Settings(method=self.model["name"], **rest)

    def features(self) -> Features:
        """What its model takes."""
        return self.settings().features(self.sensors, self.num_periods)

    @property
    def size_multiple(self) -> int:
        """Any size will do."""
        return 1

    @property
    def context(self) -> int:
        """Pixels around a pixel that its features depend on."""
        return self.features().halo

    @property
    def halo(self) -> int:
        """Pixels around a tile that it is to see in a map."""
        return self.context

    @property
    def dtype(self) -> type:
        """Of the features that its model takes."""
        return methods.METHODS[self.model["name"]].dtype

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "BaselineRecipe":
        """Reads what `to_json` wrote.

        Raises:
          ValueError: names the part that is missing or wrong.
        """
        left_out = ("indices", "statistics", "backscatter")
        names = [field.name for field in dataclasses.fields(cls)]
        required = [name for name in names if name not in left_out]
        checks.keys("recipe", value, required, ["backscatter"])
        network_recipe.check_backscatter(value)
        network_recipe.check_legend(value["legend"], "recipe.legend")
        classes = legend.Legend.from_json(value["legend"], "recipe.legend")
        found = sensors_lib.from_json(value["sensors"], "recipe.sensors")
        return cls(**(value | {"legend": classes, "sensors": found, "scaling": {}}))


_SETTINGS = ("indices", "means", "dates", "draw_by", "most_pixels", "arguments")


def make_recipe(
    settings: Settings,
    num_periods: int,
    lead_days: int,
    data: Any,
    sensors: tuple[sensors_lib.Sensor, ...],
) -> BaselineRecipe:
    """The recipe of a baseline that learns from a dataset.

    Raises:
      ValueError: names the setting that cannot be.
    """
    rest = {name: getattr(settings, name) for name in _SETTINGS}
    return BaselineRecipe(
        model={"name": settings.method, "num_periods": num_periods, **rest},
        legend=data.legend,
        scaling={},
        period_kind=data.period_kind,
        loss="softmax_none",
        lead_days=lead_days,
        pixel_m=data.pixel_m,
        sensors=sensors,
        backscatter=data.backscatter if sensors_lib.has_radar(sensors) else None,
    )
