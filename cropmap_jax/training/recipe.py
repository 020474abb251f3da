"""What a checkpoint needs to be used again: network, legend, scaling, window, loss.

The recipe is stored in every checkpoint. Fine-tuning inherits it, evaluation and prediction run
from it alone. How a run learns (rates, epochs, batches) is none of it: that is `TrainConfig`.
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flax import linen as nn

from cropmap_jax import models
from cropmap_jax.data import checks
from cropmap_jax.geo import indices as indices_lib
from cropmap_jax.geo import legend
from cropmap_jax.geo import sensors as sensors_lib
from cropmap_jax.geo.sensors import SENTINEL, Sensor
from cropmap_jax.training import losses, parallel, scaling
from cropmap_jax.training import statistics as statistics_lib

if TYPE_CHECKING:  # a recipe is used without any dataset, and without what reads one
    from cropmap_jax.data.dataset import Dataset


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How inputs become probabilities: all that a checkpoint's weights mean something with.

    Its counterpart is `TrainConfig`, how they are learnt: that may change from one run to the next,
    and nobody who uses the weights needs it.

    Args:
      model: {"name", "num_periods", "dtype", **the network's own arguments}; see
        `cropmap_jax.models.registry`. What is left out has the network's default, and a model
        without a name is a "dual_unet3d".
      legend: the classes of the output channels, in order.
      scaling: by sensor, the physical range of its values that maps to [0, 1].
      period_kind: what one period of the window is, e.g. "month".
      loss: one of `losses.LOSSES`.
      lead_days: requested lead in training, in days.
      pixel_m: side of the pixels trained on, metres; None in checkpoints that do not record it.
      backscatter: what the radar pixels trained on measure, one of `sensors.BACKSCATTER`; None
        where it is not known, or no radar is among the sensors.
      sensors: whose pixels the network takes.
      indices: names of `geo.indices`, computed from their bands and given to the network with them.
      statistics: by sensor, (mean, std) of its bands and indices over the training pixels, each a
        [periods][bands + indices] tuple, None where no pixel has a value; what the inputs are
        standardised with, in place of `scaling`. None: they are not.
    """

    model: dict[str, Any]
    legend: legend.Legend
    scaling: scaling.Scaling
    period_kind: str
    loss: str
    lead_days: int
    pixel_m: float | None = None
    sensors: tuple[Sensor, ...] = SENTINEL
    indices: tuple[str, ...] = ()
    statistics: dict[str, Any] | None = None
    backscatter: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", models.complete(self.model, "config.model"))
        scaling.check(self.scaling, self.sensors, "config.scaling")
        check_rest(dataclasses.asdict(self), "config")
        found = indices_lib.find(self.indices, self.sensors, "config.indices")
        object.__setattr__(self, "indices", tuple(index.name for index in found))
        if self.statistics is not None:
            checked = statistics_lib.check(self.statistics, self.num_periods, self.bands, "config")
            object.__setattr__(self, "statistics", checked)

    @property
    def bands(self) -> dict[str, int]:
        """Number of bands, and of indices made of them, by sensor."""
        found = self.found_indices
        return {
            sensor.name: len(sensor.bands) + len(indices_lib.of_sensor(found, sensor))
            for sensor in self.sensors
        }

    @property
    def found_indices(self) -> tuple[indices_lib.Index, ...]:
        """The indices that the network is given."""
        return tuple(indices_lib.INDICES[name] for name in self.indices)

    @property
    def outputs(self) -> int:
        """Outputs of the network: the classes, and none of these where the loss has it."""
        return len(self.legend) + self.none_of_these

    @property
    def exclusive(self) -> bool:
        """Whether its classes exclude each other, see `losses.Loss`."""
        return losses.LOSSES[self.loss].exclusive

    @property
    def none_of_these(self) -> bool:
        """Whether probabilities of its classes leave a rest, that of none-of-these."""
        return losses.LOSSES[self.loss].none_of_these

    @property
    def num_periods(self) -> int:
        """Periods of the window."""
        return int(self.model["num_periods"])

    @property
    def size_multiple(self) -> int:
        """Height and width of inputs are multiples of this."""
        return models.size_multiple(self.network())

    @property
    def context(self) -> int | None:
        """Pixels around a pixel that its logits depend on; None: more than can be said."""
        sides = self.neighbourhood
        return None if sides is None else max(sides) // 2

    @property
    def neighbourhood(self) -> tuple[int, ...] | None:
        """Sides of the squares whose means the network is given; None: it is given images."""
        return models.neighbourhood(self.network())

    @property
    def halo(self) -> int:
        """Pixels around a tile that the network is to see in a map."""
        return models.halo(self.network())

    def network(self, freeze_trunk_statistics: bool = False, remat: bool = False) -> nn.Module:
        """The network, with batch norm synchronised over devices in training.

        Args:
          freeze_trunk_statistics: keep the trunk's batch-norm statistics as they are.
          remat: recompute the inside of each level for the gradient.

        Raises:
          ValueError: one of these is requested of a network that cannot do it.
        """
        return models.make(
            self.model,
            self.outputs,
            self.bands,
            axis_name=parallel.axis(),
            freeze_trunk_statistics=freeze_trunk_statistics,
            remat=remat,
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready description that `from_json` reads back."""
        value = dataclasses.asdict(self) | {"legend": self.legend.to_json()}
        ranges = {name: list(both) for name, both in self.scaling.items()}
        value |= {
            "scaling": ranges,
            "sensors": [sensor.to_json() for sensor in self.sensors],
            "indices": list(self.indices),
        }
        # What is not used is not stored: such a recipe is what it was before there were any.
        unused = [name for name in ("indices", "statistics", "backscatter") if not value[name]]
        return {k: v for k, v in value.items() if k not in unused}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Recipe":
        """Reads what `to_json` wrote.

        Raises:
          ValueError: names the part that is missing or wrong, as recipe.PART.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        optional = ["pixel_m", "sensors", "indices", "statistics", "backscatter"]
        checks.keys("recipe", value, [n for n in names if n not in optional], optional)
        models.check(value["model"], "recipe.model")
        check_rest(value, "recipe")
        found = sensors_lib.from_json(value.get("sensors"), "recipe.sensors")
        ranges = value["scaling"]
        if isinstance(ranges, dict) and "s1_db" in ranges:  # of earlier versions
            ranges = {name.removesuffix("_db"): both for name, both in ranges.items()}
        scaling.check(ranges, found, "recipe.scaling")
        check_legend(value["legend"], "recipe.legend")
        ranges = {sensor: tuple(both) for sensor, both in ranges.items()}
        classes = legend.Legend.from_json(value["legend"], "recipe.legend")
        checks.values("recipe.indices", value.get("indices", []))
        indices_lib.find(value.get("indices", []), found, "recipe.indices")
        return cls(**(value | {"legend": classes, "scaling": ranges, "sensors": found}))

    def check_dataset(self, data: "Dataset") -> None:
        """Requires a dataset whose legend, sensors, periods and pixel size are the recipe's.

        Raises:
          ValueError: says what differs.
        """
        if data.legend != self.legend:
            raise ValueError(
                f"{data.path}: expected the checkpoint's legend {self.legend.name!r} "
                f"({', '.join(self.legend.names)}), found {data.legend.name!r} "
                f"({', '.join(data.legend.names)})"
            )
        self.check_sensors(data.sensors, str(data.path))
        if data.period_kind != self.period_kind:
            raise ValueError(
                f"{data.path}: expected periods of a {self.period_kind} as in training, found "
                f"{data.period_kind}"
            )
        if not same_pixels(self.pixel_m, data.pixel_m):
            raise ValueError(
                f"{data.path}: expected pixels of {self.pixel_m:.10g} m as in training, found "
                f"{data.pixel_m:.10g} m"
            )

    def check_sensors(self, found: Sequence[Sensor], where: str) -> None:
        """Requires pixels of every sensor that the network takes, stored as in training.

        Args:
          found: of a dataset or a cube.
          where: which one, for the message.

        Raises:
          ValueError: names the sensor that is missing or differs.
        """
        known = {sensor.name: sensor for sensor in found}
        for sensor in self.sensors:
            if known.get(sensor.name) != sensor:
                other = known.get(sensor.name)
                raise ValueError(
                    f"{where}: expected sensor {sensor.name!r} ({sensor.describe()}) as in "
                    f"training, found {other.describe() if other else ', '.join(known) or 'none'}"
                )


def same_pixels(trained: float | None, found: float | None) -> bool:
    """Whether two sides of pixels in metres are one size, as within a dataset; None: not known."""
    return trained is None or found is None or math.isclose(trained, found, rel_tol=1e-6)


def check_backscatter(value: Mapping[str, Any], name: str = "recipe") -> None:
    """Requires a known backscatter, or none."""
    if value.get("backscatter") is not None:
        checks.choice(f"{name}.backscatter", value["backscatter"], sensors_lib.BACKSCATTER)


def check_rest(value: Mapping[str, Any], name: str) -> None:
    """Requires the single values of a recipe."""
    checks.choice(f"{name}.loss", value["loss"], losses.LOSSES)
    checks.whole(f"{name}.lead_days", value["lead_days"], *checks.LEAD_DAYS)
    if value.get("pixel_m") is not None:
        checks.real(f"{name}.pixel_m", value["pixel_m"], 0, 100_000, above=True)
    check_backscatter(value, name)
    checks.text(f"{name}.period_kind", value["period_kind"])
    if not re.fullmatch(r"month|dekad|[1-9]\d{0,3} days", value["period_kind"]):
        raise ValueError(
            f"{name}.period_kind: expected month, dekad or a number of days, "
            f"found {value['period_kind']!r}"
        )


def check_legend(value: Any, name: str) -> None:
    """Requires the types of a stored legend; `Legend` checks its values."""
    checks.keys(name, value, ("name", "classes"), ("none_of_these",))
    checks.text(f"{name}.name", value["name"])
    checks.values(f"{name}.classes", value["classes"])
    checks.values(f"{name}.none_of_these", value.get("none_of_these", ()))
    for i, code in enumerate(value.get("none_of_these", ())):
        checks.whole(f"{name}.none_of_these[{i}]", code, -checks.MOST)
    for i, one in enumerate(value["classes"]):
        where = f"{name}.classes[{i}]"
        checks.keys(where, one, ("code", "name", "title", "colour"))
        checks.whole(f"{where}.code", one["code"], -checks.MOST)
        for field in ("name", "title", "colour"):
            checks.text(f"{where}.{field}", one[field])
