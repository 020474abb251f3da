"""One training step and one prediction step, to be mapped over devices."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cropmap_jax.data.augment import augment
from cropmap_jax.data.examples import Batch
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.models import initial_variables
from cropmap_jax.training import losses, statistics
from cropmap_jax.training.objectives import Objective
from cropmap_jax.training.parallel import total
from cropmap_jax.training.recipe import Recipe
from cropmap_jax.training.scaling import scale
from cropmap_jax.training.unknown import Unknown

Variables = dict[str, Any]
"""What a network's `apply` takes: "params" and "batch_stats", trees of arrays."""
State = dict[str, Any]
"""What training carries from step to step: `Variables`, "opt_state" and "step", int32; and "ema",
moving averages of `Variables`, where they are kept."""
Metrics = dict[str, jax.Array]
"""Scalars of a training step or sums of a validation step, equal on all devices."""
TrainStep = Callable[[State, Batch], tuple[State, Metrics]]

_Gradient = Callable[[Any, Any, Batch, Any, jax.Array], tuple[Any, Any]]


def inputs(batch: Batch, recipe: Recipe, margin: int = 0) -> Batch:
    """A batch as stored, as the recipe's network takes it: scaled and masked, with indices.

    Args:
      batch: pixels [B, T, H, W, bands] by sensor.
      recipe: the recipe.
      margin: pixels at each edge that are neighbours of others, and not to be answered.
    """
    found = recipe.statistics and statistics.arrays(recipe.statistics)
    sides = recipe.neighbourhood or (1,)
    return scale(batch, recipe.sensors, recipe.scaling, recipe.found_indices, found, sides, margin)


def margin_of(batch: Batch) -> int:
    """Pixels at each edge of a batch that are seen and not labelled."""
    read = next(iter(batch["pixels"].values())).shape[3]
    margin: int = (read - batch["label"].shape[2]) // 2
    return margin


def mixed(batch: Batch) -> Batch:
    """Mixes the inputs of neighbouring examples, as `batch["mix"]` says (mixup).

    Args:
      batch: scaled, of an even number of examples; "mix" float32 [B] is each one's own share in
        its new inputs, the rest is of its neighbour 2k + 1 or 2k. Without it nothing is mixed.

    Returns:
      The batch with "others": "label" and "planted" of the neighbours, and "weak" and "unknown"
      where it has them.

    Source: Zhang et al. 2018, arXiv:1710.09412.
    """
    if "mix" not in batch:
        return batch
    own = batch["mix"]

    def neighbour(x: jax.Array) -> jax.Array:
        return x.reshape(-1, 2, *x.shape[1:])[:, ::-1].reshape(x.shape)

    def mix(x: jax.Array) -> jax.Array:
        share = own.reshape(-1, *(1,) * (x.ndim - 1))
        both: jax.Array = share * x + (1 - share) * neighbour(x)
        return both

    names = [name for name in ("label", "planted", "weak", "unknown") if name in batch]
    others = {name: neighbour(batch[name]) for name in names}
    inputs = {name: jax.tree.map(mix, batch[name]) for name in ("pixels", "valid")}
    return {**batch, **inputs, "others": others}


def _arguments(batch: Batch) -> tuple[Any, Any, Any]:
    return batch["pixels"], batch["valid"], batch["day_of_year"]


def init_variables(
    recipe: Recipe, seed: int, unseen: dict[str, list[int]] | None = None
) -> Variables:
    """Freshly drawn {"params", "batch_stats"} of the recipe's network, numpy float32.

    Args:
      recipe: network.
      seed: of the draw.
      unseen: indices of the bands per sensor that are missing throughout the training data. In a
        network with `without_bands` their weights start, and without a gradient stay, at 0: else
        random weights would answer when the band turns up in fine-tuning or prediction.
    """
    network = recipe.network()
    drawn = initial_variables(network, recipe.bands, seed)
    params = drawn["params"]
    # A dataset may hold more sensors than the network takes.
    unseen = {name: bands for name, bands in (unseen or {}).items() if name in recipe.bands}
    if unseen and hasattr(network, "without_bands"):
        params = network.without_bands(params, unseen)
    return {"params": params, "batch_stats": drawn.get("batch_stats", {})}


def unused_bands(recipe: Recipe, params: dict[str, Any]) -> dict[str, list[int]]:
    """Indices of bands by sensor whose weights are 0, since training never saw them.

    A network without `without_bands` counts as one that uses all.
    """
    network: Any = recipe.network()
    if not hasattr(network, "without_bands"):
        return {}

    def unused(sensor: str, band: int) -> bool:
        silent = network.without_bands(params, {sensor: [band]})
        pairs = zip(jax.tree.leaves(silent), jax.tree.leaves(params), strict=True)
        return all(a is b or np.array_equal(a, b) for a, b in pairs)

    return {
        sensor.name: [i for i in range(len(sensor.bands)) if unused(sensor.name, i)]
        for sensor in recipe.sensors
    }


def make_train_step(
    recipe: Recipe,
    optimizer: optax.GradientTransformation,
    class_weights: np.ndarray | None = None,
    freeze_trunk_statistics: bool = False,
    accumulate: int = 1,
    remat: bool = False,
    label_smoothing: float = 0.0,
    ema: float = 0.0,
    seed: int = 0,
    weak_weight: float = 1.0,
    treated: Unknown = Unknown(),  # noqa: B008  (it is frozen)
    priors: np.ndarray | None = None,
) -> TrainStep:
    """The step `(state, batch) -> (state, metrics)` on one device's share of the batch.

    The loss is the sum over all devices divided by the weight over all devices, and its gradient
    likewise: exact however unevenly the known pixels are spread. (With `treated` "pu" or "pnu" it
    is `positive_unlabelled.risk`, over all devices, too.)

    Args:
      recipe: network, scaling and loss.
      optimizer: of the parameters.
      class_weights: float32 [classes], see `losses`.
      freeze_trunk_statistics: keep the trunk's batch-norm statistics as they are.
      accumulate: parts that a device takes its share in, one after the other, to need less memory.
        The gradient is the same, but batch norm sees one part (of all devices) at a time.
      remat: see `DualUNet3D`: less memory for more time.
      label_smoothing: see `losses`.
      ema: decay per step of the moving average state["ema"] of parameters and batch statistics; 0:
        there is none.
      seed: of what the network draws, together with the step.
      weak_weight: in the loss, of pixels that only a land-cover map says are none of the classes:
        those of batch["weak"].
      treated: what becomes of unknown pixels.
      priors: float32 [classes], from `treated.class_priors`.

    Returns:
      Function of state {"step", "params", "batch_stats", "opt_state"} and a batch as the input
      pipeline makes it; metrics are "loss", its "weight" and "grad_norm", float32 scalars, equal
      on all devices.
    """
    network = recipe.network(freeze_trunk_statistics, remat)
    objective = Objective(recipe, class_weights, label_smoothing, weak_weight, treated, priors)

    def gradient(
        params: Any, batch_stats: Any, batch: Batch, weights: Any, key: jax.Array
    ) -> tuple[Any, tuple[jax.Array, Any]]:
        """New statistics; this device's share of the loss, and its gradient."""
        batch = mixed(inputs(augment(batch), recipe, margin_of(batch)))

        def loss(params: Any) -> tuple[jax.Array, Any]:
            variables = {"params": params, "batch_stats": batch_stats}
            logits, updates = network.apply(
                variables,
                *_arguments(batch),
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": key},
            )
            found = objective.share(logits, batch, weights)
            return found, updates.get("batch_stats", batch_stats)

        (share, batch_stats), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return batch_stats, (share, grads)

    gradient_of = _in_parts(gradient, accumulate) if accumulate > 1 else gradient

    def step(state: State, batch: Batch) -> tuple[State, Metrics]:
        batch = objective.marked(batch)
        # Known beforehand, so that no pass over the gradient divides by it.
        weights = total(objective.weights(batch))
        key = jax.random.fold_in(jax.random.key(seed % 2**32), state["step"])
        batch_stats, found = gradient_of(state["params"], state["batch_stats"], batch, weights, key)
        loss, grads = total(found)
        changes, opt_state = optimizer.update(grads, state["opt_state"], state["params"])
        new = {
            "step": state["step"] + 1,
            "params": optax.apply_updates(state["params"], changes),
            "batch_stats": batch_stats,
            "opt_state": opt_state,
        }
        if ema:
            now = {name: new[name] for name in ("params", "batch_stats")}
            new["ema"] = _averaged(state["ema"], now, ema, state["step"])
        # Behind a barrier, or XLA writes all the squares to memory, which Adam needs as well.
        leaves = jax.lax.optimization_barrier(jax.tree.leaves(grads))
        norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in leaves))
        metrics = {"loss": loss, "weight": objective.weight(weights), "grad_norm": norm}
        return new, metrics

    return step


def _averaged(average: Any, variables: Any, decay: float, step: jax.Array) -> Any:
    """Moving average of variables, over few steps at first: else it would hold the first ones.

    Source: the warm-up of `tf.train.ExponentialMovingAverage(num_updates=...)`.
    """
    done = step.astype(jnp.float32)
    now = jnp.minimum(decay, (1 + done) / (10 + done))
    return jax.tree.map(lambda a, v: now * a + (1 - now) * v, average, variables)


def _in_parts(gradient: _Gradient, parts: int) -> _Gradient:
    """`gradient` of a batch, from the sums over parts of it that are taken one after the other."""

    def in_parts(
        params: Any, batch_stats: Any, batch: Batch, weights: Any, key: jax.Array
    ) -> tuple[Any, Any]:
        split = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)
        keys = jax.random.split(key, parts)

        def add(carry: tuple[Any, Any], each: tuple[Batch, Any]) -> tuple[tuple[Any, Any], None]:
            part, key = each
            # One part after the other, or they would need as much memory as all at once.
            (batch_stats, so_far), part = jax.lax.optimization_barrier((carry, part))
            batch_stats, more = gradient(params, batch_stats, part, weights, key)
            return (batch_stats, jax.tree.map(jnp.add, so_far, more)), None

        nothing = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
        # XLA runs convolutions in loops many times slower on the CPU.
        unroll = parts if jax.default_backend() == "cpu" else 1
        sums, _ = jax.lax.scan(add, (batch_stats, nothing), (split, keys), unroll=unroll)
        return sums

    return in_parts


def make_predict_step(recipe: Recipe, margin: int = 0) -> Callable[[Variables, Batch], jax.Array]:
    """The step `(variables, batch) -> probabilities` float32 [B, h, w, classes].

    Args:
      recipe: network and scaling.
      margin: pixels at each edge that are given and not answered.
    """
    network: Any = recipe.network()
    activation = losses.LOSSES[recipe.loss].activation

    def step(variables: Variables, batch: Batch) -> jax.Array:
        batch = inputs(batch, recipe, margin)
        return activation(network.apply(variables, *_arguments(batch), train=False))

    return step


def make_validation_step(recipe: Recipe) -> Callable[[Variables, Batch], Metrics]:
    """The step `(variables, batch) -> sums` over all devices.

    Sums are "loss" and "weight" (scalars) and "hits", "misses", "false_alarms", "negatives" (int32
    [classes]) at probability 0.5, or of the most probable class where they exclude each other, over
    known pixels that some sensor has seen in the window.
    """
    network: Any = recipe.network()
    loss_function = losses.LOSSES[recipe.loss].function

    def step(variables: Variables, batch: Batch) -> Metrics:
        batch = inputs(batch, recipe)
        seen = [valid.any((1, 4)) for valid in batch["valid"].values()]
        batch["label"] = jnp.where(sum(seen) > 0, batch["label"], IGNORE)
        logits = network.apply(variables, *_arguments(batch), train=False)
        loss, weight = loss_function(logits, batch["label"], batch["planted"])
        label = batch["label"][..., None].astype(jnp.int32)
        classes = jnp.arange(len(recipe.legend))
        if recipe.exclusive:  # as a map shows them
            predicted = logits.argmax(-1, keepdims=True) == classes
        else:
            predicted = losses.LOSSES[recipe.loss].activation(logits) >= 0.5
        true = label == classes
        known = (label != IGNORE) & (batch["planted"][:, None, None, :] > 0)

        def count(mask: jax.Array) -> jax.Array:
            return jnp.sum(mask & known, axis=(0, 1, 2))

        sums = {
            "loss": loss,
            "weight": weight,
            "hits": count(true & predicted),
            "misses": count(true & ~predicted),
            "false_alarms": count(~true & predicted),
            "negatives": count(~true),
        }
        summed: Metrics = total(sums)
        return summed

    return step
