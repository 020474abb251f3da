"""Optimisers: one rate for the trunk and one for the head, from `config.learning_rate`."""

from typing import Any

import jax
import optax

from cropmap_jax.data import checks
from cropmap_jax.models import HEAD

GROUPS = ("trunk", "head")
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine")


def param_labels(params: dict[str, Any]) -> dict[str, Any]:
    """A tree like `params` whose leaves are "head" under that name, and "trunk" elsewhere.

    Raises:
      ValueError: there are none of a head.
    """
    if HEAD not in params:
        raise ValueError(f"parameters: expected {HEAD!r} among them, found {sorted(params)}")
    label = {name: "head" if name == HEAD else "trunk" for name in params}
    return {name: jax.tree.map(lambda _, n=name: label[n], params[name]) for name in params}


def schedule(kind: str, rate: float, steps: int, warmup: int = 0) -> optax.Schedule:
    """Learning rate by step: "constant", or "cosine" down to zero; after a linear warm-up.

    Raises:
      ValueError: unknown kind, or a warm-up as long as the run.
    """
    checks.choice("config.schedule", kind, SCHEDULES)
    if not 0 <= warmup < max(steps, 1):
        raise ValueError(f"config.warmup_steps: expected 0 to {steps - 1}, found {warmup}")
    if kind == "constant":
        main = optax.constant_schedule(rate)
    else:
        main = optax.cosine_decay_schedule(rate, max(steps - warmup, 1))
    if not warmup:
        return main
    return optax.join_schedules([optax.linear_schedule(0.0, rate, warmup), main], [warmup])


def make_optimizer(
    name: str,
    trunk: optax.Schedule,
    head: optax.Schedule,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """The optimiser, with the trunk's and the head's own schedule, via `optax.multi_transform`.

    Args:
      name: one of OPTIMIZERS.
      trunk, head: learning rate by step.
      eps: Adam's epsilon.
      weight_decay: of AdamW, times the learning rate; of kernels alone, not of biases and scales.

    Raises:
      ValueError: unknown name, or a decay that the optimiser does not have.
    """
    checks.choice("config.optimizer", name, OPTIMIZERS)
    if weight_decay and name != "adamw":
        raise ValueError(
            f"config.weight_decay: expected 0 with config.optimizer {name!r} (adamw has one), "
            f"found {weight_decay}"
        )

    def one(rate: optax.Schedule) -> optax.GradientTransformation:
        if name == "adamw":
            return optax.adamw(rate, eps=eps, weight_decay=weight_decay, mask=_kernels)
        return optax.adam(rate, eps=eps) if name == "adam" else optax.sgd(rate)

    return optax.multi_transform({"trunk": one(trunk), "head": one(head)}, param_labels)


def _kernels(params: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
