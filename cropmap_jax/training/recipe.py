"""What a checkpoint needs to be used again: network, legend, scaling, window, loss.

The recipe is stored in every checkpoint. Fine-tuning inherits it, evaluation and prediction run
from it alone.
"""

import dataclasses

import jax.numpy as jnp

from cropmap_jax.geo import legend
from cropmap_jax.models import DualUNet3D
from cropmap_jax.training import losses, parallel
from cropmap_jax.training.scaling import Scaling

TRUNK_FIELDS = ("width", "levels", "num_periods", "use_validity", "norm")
HEAD_FIELDS = ("head", "head_width")
_DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How inputs become probabilities.

    Args:
      model: keyword arguments of `DualUNet3D`: TRUNK_FIELDS, HEAD_FIELDS and "dtype" by name.
      legend: the classes of the output channels, in order.
      scaling: physical ranges of the inputs.
      period_kind: what one period of the window is, e.g. "month".
      loss: "sigmoid" or "softmax".
      lead_days: lead that training asked for, in days.
      pixel_m: side of the pixels trained on, metres; None in checkpoints that do not say.
    """

    model: dict
    legend: legend.Legend
    scaling: Scaling
    period_kind: str
    loss: str
    lead_days: int
    pixel_m: float | None = None

    def __post_init__(self):
        expected = {*TRUNK_FIELDS, *HEAD_FIELDS, "dtype"}
        if set(self.model) != expected:
            raise ValueError(
                f"config.model: expected {sorted(expected)}, found {sorted(self.model)}"
            )
        if self.model["dtype"] not in _DTYPES:
            raise ValueError(
                f"config.model.dtype: expected one of {', '.join(_DTYPES)}, "
                f"found {self.model['dtype']!r}"
            )
        if self.loss not in losses.LOSSES:
            raise ValueError(
                f"config.loss: expected one of {', '.join(losses.LOSSES)}, found {self.loss!r}"
            )

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
          remat: compute the inside of each level anew for the gradient.
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
        return value | {"scaling": dataclasses.asdict(self.scaling)}

    @classmethod
    def from_json(cls, value: dict) -> "Recipe":
        """Reads what `to_json` wrote."""
        scaling = Scaling(**{k: tuple(v) for k, v in value["scaling"].items()})
        classes = legend.Legend.from_json(value["legend"], "checkpoint's legend")
        return cls(**(value | {"legend": classes, "scaling": scaling}))

    def check_dataset(self, data) -> None:
        """Demands a dataset whose legend, periods and pixel size are those of the recipe.

        Raises:
          ValueError: says what differs.
        """
        if data.legend != self.legend:
            raise ValueError(
                f"{data.path}: expected the checkpoint's legend {self.legend.name!r} "
                f"({', '.join(self.legend.names)}), found {data.legend.name!r} "
                f"({', '.join(data.legend.names)})"
            )
        if data.period_kind != self.period_kind:
            raise ValueError(
                f"{data.path}: expected periods of a {self.period_kind} as in training, found "
                f"{data.period_kind}"
            )
        if self.pixel_m is not None and data.pixel_m != self.pixel_m:
            raise ValueError(
                f"{data.path}: expected pixels of {self.pixel_m:g} m as in training, found "
                f"{data.pixel_m:g} m"
            )
