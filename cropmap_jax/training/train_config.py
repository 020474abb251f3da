"""How a network is trained: what a run needs besides data, recipe and initial variables."""

import dataclasses
import json
import os
from typing import Any

import numpy as np
import optax

from cropmap_jax.data import checks
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.data.sampling import SamplingConfig
from cropmap_jax.models.registry import DEFAULT
from cropmap_jax.training import former_settings, losses, optim
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.unknown import Unknown


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How a network is learnt; what it is, and what its weights mean, is its `Recipe`.

    Args:
      stage: "pretrain" or "finetune".
      epochs, batch_size, seed: of the training input; the batch is that of all devices. With 0
        epochs a fine-tuning stores the network as it begins.
      sampling: how examples are drawn.
      optimizer: one of `optim.OPTIMIZERS`.
      learning_rates: peak rate of "trunk" and "head"; 0 keeps the trunk of a fine-tuning.
      schedule, warmup_steps: shape of both rates over the run.
      class_weights: "none" or "balanced".
      freeze_trunk_statistics: keep the trunk's batch-norm statistics as they are.
      checkpoint_every: steps between checkpoints; 0: once per epoch.
      log_every: steps between records.
      keep: number of last checkpoints kept.
      config: the run's config, stored, and compared when a run is resumed.
      accumulate: parts that a device takes its share of a batch in.
      remat: recompute the inside of the network's levels for the gradient.
      checkpoint_minutes: a checkpoint is saved at the latest after so long; 0: never for that.
      weight_decay: of adamw.
      label_smoothing: see `losses`.
      ema: decay per step of a moving average of parameters and batch statistics, which validation,
        evaluation and prediction then use; 0: none is kept.
      weak_weight: in the loss, of pixels that only a land-cover map says are none of the classes.
      unknown: what becomes of unknown pixels.

    Raises:
      ValueError: a setting of another type, or outside of its range.
    """

    stage: str
    epochs: int
    batch_size: int
    seed: int
    sampling: SamplingConfig
    optimizer: str
    learning_rates: dict[str, float]
    schedule: str
    warmup_steps: int
    class_weights: str
    freeze_trunk_statistics: bool
    checkpoint_every: int
    log_every: int
    keep: int
    config: dict[str, Any]
    accumulate: int = 1
    remat: bool = False
    checkpoint_minutes: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0
    weak_weight: float = 1.0
    unknown: Unknown = Unknown()

    def __post_init__(self) -> None:
        for name, least, most in (
            ("epochs", 0 if self.stage == "finetune" else 1, 10**6),
            ("batch_size", 1, 2**16),
            ("accumulate", 1, 2**16),
            ("seed", 0, 2**63 - 1),
            ("warmup_steps", 0, checks.MOST),
            ("checkpoint_every", 0, checks.MOST),
            ("log_every", 1, checks.MOST),
            ("keep", 1, 10**4),
        ):
            checks.whole(f"config.{name}", getattr(self, name), least, most)
        checks.real("config.checkpoint_minutes", self.checkpoint_minutes, 0, 10**6)
        checks.real("config.weight_decay", self.weight_decay, 0, 1000)
        checks.real("config.weak_weight", self.weak_weight, 0, 1000, above=True)
        for name in ("label_smoothing", "ema"):
            checks.real(f"config.{name}", getattr(self, name), 0, 1)
            if getattr(self, name) == 1:
                raise ValueError(f"config.{name}: expected a number below 1, found 1")
        checks.choice("config.optimizer", self.optimizer, optim.OPTIMIZERS)
        checks.choice("config.schedule", self.schedule, optim.SCHEDULES)
        checks.choice("config.class_weights", self.class_weights, ("none", "balanced"))
        for name in ("freeze_trunk_statistics", "remat"):
            checks.switch(f"config.{name}", getattr(self, name))
        checks.keys("config.learning_rate", self.learning_rates, optim.GROUPS)
        for group, rate in self.learning_rates.items():
            # A trunk that came from elsewhere may be left as it is; a drawn one has to learn.
            kept = group == "trunk" and self.stage == "finetune"
            checks.real(f"config.learning_rate.{group}", rate, 0, 3e38, above=not kept)

    def check_devices(self, processes: int, local_devices: int) -> None:
        """Requires a batch that devices, and the parts that each takes it in, divide.

        Raises:
          ValueError: says by what it must be divisible.
        """
        parts = processes * local_devices * self.accumulate
        if self.batch_size % parts:
            raise ValueError(
                f"config.batch_size: expected a multiple of {parts} ({processes} processes x "
                f"{local_devices} devices x config.accumulate {self.accumulate}), "
                f"found {self.batch_size}"
            )
        if self.sampling.mixup and self.batch_size // parts % 2:
            raise ValueError(
                f"config.batch_size: expected a multiple of {2 * parts}, since config.mixup mixes "
                f"pairs of examples, found {self.batch_size}"
            )

    def rates(self, total_steps: int) -> dict[str, optax.Schedule]:
        """Learning rate of each group, as functions of the step, over the whole run."""
        return {
            group: optim.schedule(self.schedule, rate, total_steps, self.warmup_steps)
            for group, rate in self.learning_rates.items()
        }

    def make_optimizer(self, total_steps: int) -> optax.GradientTransformation:
        """The optimiser, with both schedules over the whole run."""
        rates = self.rates(total_steps)
        return optim.make_optimizer(
            self.optimizer, rates["trunk"], rates["head"], weight_decay=self.weight_decay
        )

    def weights(self, data: Dataset) -> np.ndarray | None:
        """float32 [classes] weights of the classes in the loss, or None."""
        if self.class_weights == "none":
            return None
        return losses.balanced_weights(data.split("train").pixels.sum(0)[: len(data.legend)])


def check_same_config(
    found: dict[str, Any], expected: dict[str, Any], workdir: str | os.PathLike[str]
) -> None:
    """Refuses to resume a run under another config.

    Raises:
      ValueError: shows every setting that differs.
    """
    found = _as_now(found, expected)
    # Where the ground of the same dataset lies follows from its fingerprint; what else a checkpoint
    # says is of its step.
    a, b = (
        _flatten({k: v for k, v in m.items() if k in expected and k != "cubes"})
        for m in (found, expected)
    )
    # The same dataset may have moved; that it is the same, its fingerprint shows.
    for settings in (a, b):
        settings.pop(".config.data_dir", None)
    differ = [
        f"{k[1:]}: was {a.get(k)!r}, now {b.get(k)!r}"
        for k in sorted({*a, *b})
        if a.get(k) != b.get(k)
    ]
    if differ:
        raise ValueError(
            f"{workdir}: holds a run with other settings; expected the same ones or another "
            f"--workdir; found {'; '.join(differ)}"
        )


def _as_now(meta: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Meta data of a run begun by an earlier version, in the words of this one.

    Args:
      meta: of the run.
      now: of the run as it would begin now, which says which settings there are.
    """
    recipe, config = meta.get("recipe"), meta.get("config")
    if isinstance(recipe, dict):
        meta = meta | {"recipe": json.loads(json.dumps(Recipe.from_json(recipe).to_json()))}
    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        return meta
    settings = now.get("config", {})
    config = former_settings.with_former(config, settings)
    config["model"] = {"name": DEFAULT} | config["model"]
    if isinstance(config.get("scratch"), dict):
        config["scratch"] = {"name": DEFAULT} | config["scratch"]
    if "s1_db" in (ranges := config.get("scaling", {})):
        config["scaling"] = {name.removesuffix("_db"): both for name, both in ranges.items()}
    return meta | {"config": config}


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {k: v for name, t in tree.items() for k, v in _flatten(t, f"{prefix}.{name}").items()}
