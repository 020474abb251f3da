"""What a checkpoint needs to be used again: network, legend, scaling, window, loss.

The recipe is stored in every checkpoint. Fine-tuning inherits it, evaluation and prediction run
from it alone.
"""

import dataclasses
import math
import re
from collections.abc import Sequence

import jax.numpy as jnp

from cropmap_jax.data import checks
from cropmap_jax.geo import legend
from cropmap_jax.geo import sensors as sensors_lib
from cropmap_jax.geo.sensors import SENTINEL, Sensor
from cropmap_jax.models import DualUNet3D
from cropmap_jax.training import losses, parallel, scaling

TRUNK_FIELDS = ("width", "levels", "num_periods", "use_validity", "norm")
HEAD_FIELDS = ("head", "head_width")
_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

MOST_PARAMETERS = 2 * 10**9
"""Of a network: 8 GB, and Adam's moments twice that; the seed's has 62 million."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How inputs become probabilities.

    Args:
      model: keyword arguments of `DualUNet3D`: TRUNK_FIELDS, HEAD_FIELDS and "dtype" by name.
      legend: the classes of the output channels, in order.
      scaling: by sensor, the physical range of its values that maps to [0, 1].
      period_kind: what one period of the window is, e.g. "month".
      loss: "sigmoid" or "softmax".
      lead_days: lead that training asked for, in days.
      pixel_m: side of the pixels trained on, metres; None in checkpoints that do not record it.
      sensors: whose pixels the network takes.
    """

    model: dict
    legend: legend.Legend
    scaling: scaling.Scaling
    period_kind: str
    loss: str
    lead_days: int
    pixel_m: float | None = None
    sensors: tuple[Sensor, ...] = SENTINEL

    def __post_init__(self):
        _check_model(self.model, "config.model")
        scaling.check(self.scaling, self.sensors, "config.scaling")
        _check_rest(dataclasses.asdict(self), "config")

    @property
    def num_periods(self) -> int:
        """Periods of the window."""
        return self.model["num_periods"]

    @property
    def size_multiple(self) -> int:
        """Height and width of inputs are multiples of this."""
        return 2 ** self.model["levels"]

    def network(self, freeze_trunk_statistics: bool = False, remat: bool = False) -> DualUNet3D:
        """The network, with batch norm synchronised over devices in training.

        Args:
          freeze_trunk_statistics: keep the trunk's batch-norm statistics as they are.
          remat: recompute the inside of each level for the gradient.
        """
        return DualUNet3D(
            num_classes=len(self.legend),
            axis_name=parallel.axis(),
            freeze_trunk_statistics=freeze_trunk_statistics,
            remat=remat,
            **(self.model | {"dtype": _DTYPES[self.model["dtype"]]}),
        )

    def to_json(self) -> dict:
        """A JSON-ready description that `from_json` reads back."""
        value = dataclasses.asdict(self) | {"legend": self.legend.to_json()}
        ranges = {name: list(both) for name, both in self.scaling.items()}
        return value | {
            "scaling": ranges,
            "sensors": [sensor.to_json() for sensor in self.sensors],
        }

    @classmethod
    def from_json(cls, value: dict) -> "Recipe":
        """Reads what `to_json` wrote.

        Raises:
          ValueError: names the part that is missing or wrong, as recipe.PART.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        optional = ["pixel_m", "sensors"]
        checks.keys("recipe", value, [n for n in names if n not in optional], optional)
        _check_model(value["model"], "recipe.model")
        _check_rest(value, "recipe")
        found = sensors_lib.from_json(value.get("sensors"), "recipe.sensors")
        ranges = value["scaling"]
        if isinstance(ranges, dict) and "s1_db" in ranges:  # of earlier versions
            ranges = {name.removesuffix("_db"): both for name, both in ranges.items()}
        scaling.check(ranges, found, "recipe.scaling")
        _check_legend(value["legend"], "recipe.legend")
        ranges = {sensor: tuple(both) for sensor, both in ranges.items()}
        classes = legend.Legend.from_json(value["legend"], "recipe.legend")
        return cls(**(value | {"legend": classes, "scaling": ranges, "sensors": found}))

    def check_dataset(self, data) -> None:
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
                    f"{where}: expected sensor {sensor.name!r} ({_short(sensor)}) as in training, "
                    f"found {_short(other) if other else ', '.join(known) or 'none'}"
                )


def _short(sensor: Sensor) -> str:
    return (
        f"{' '.join(sensor.bands)}; {sensor.unit}, stored as {sensor.dtype} x {sensor.scale:g}, "
        f"no data {sensor.nodata}"
    )


def same_pixels(trained: float | None, found: float | None) -> bool:
    """Whether two sides of pixels in metres are one size, as within a dataset; None: not known."""
    return None in (trained, found) or math.isclose(trained, found, rel_tol=1e-6)


def _check_model(model, name: str) -> None:
    """Requires every setting of the network, each in its range, and a network that fits memory."""
    checks.keys(name, model, (*TRUNK_FIELDS, *HEAD_FIELDS, "dtype"))
    for field, least, most in (
        ("width", 1, 4096),
        ("levels", 0, 8),
        ("num_periods", 1, 1000),
        ("head_width", 1, 4096),
    ):
        checks.whole(f"{name}.{field}", model[field], least, most)
    checks.switch(f"{name}.use_validity", model["use_validity"])
    checks.choice(f"{name}.norm", model["norm"], ("batch", "group"))
    checks.choice(f"{name}.head", model["head"], ("linear", "conv"))
    checks.choice(f"{name}.dtype", model["dtype"], _DTYPES)
    # Two branches: the convolution over time, and a U-Net whose level i has 2^i width channels and
    # 48.5 times their square of weights, its bottleneck as many again.
    width, levels = model["width"], model["levels"]
    about = 2 * width**2 * (model["num_periods"] + 120 * 4**levels)
    if about > MOST_PARAMETERS:
        raise ValueError(
            f"{name}: expected at most {MOST_PARAMETERS:.0e} parameters, found {about:.0e} (width "
            f"{width}, levels {levels}, num_periods {model['num_periods']})"
        )


def _check_rest(value: dict, name: str) -> None:
    """Requires the single values of a recipe."""
    checks.choice(f"{name}.loss", value["loss"], losses.LOSSES)
    checks.whole(f"{name}.lead_days", value["lead_days"], *checks.LEAD_DAYS)
    if value.get("pixel_m") is not None:
        checks.real(f"{name}.pixel_m", value["pixel_m"], 0, 100_000, above=True)
    checks.text(f"{name}.period_kind", value["period_kind"])
    if not re.fullmatch(r"month|dekad|[1-9]\d{0,3} days", value["period_kind"]):
        raise ValueError(
            f"{name}.period_kind: expected month, dekad or a number of days, "
            f"found {value['period_kind']!r}"
        )


def _check_legend(value, name: str) -> None:
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
