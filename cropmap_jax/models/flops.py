"""How much arithmetic a network does: to tell how near a step comes to what a device can do."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import SingleDeviceSharding

from cropmap_jax.models import contract
from cropmap_jax.models.initialise import variable_shapes
from cropmap_jax.models.variables import cpu, input_shapes


def count_flops(
    network: nn.Module, bands: Mapping[str, int], height: int, width: int, train: bool = False
) -> int:
    """Counts a network's floating-point operations for one chip, as XLA does before it optimises.

    Nothing is compiled. A multiplication and an addition are two; what a convolution would take
    from its zero padding does not count, normalisation and activation do. The loss and the
    optimiser are left out: hardly any arithmetic.

    Args:
        network: the network; rematerialised, what it computes twice counts twice.
        bands: number of bands by sensor.
        height: of the chip in pixels; a multiple of the network's `size_multiple`.
        width: of the chip in pixels; the same.
        train: whether to count the gradients to all parameters too.

    Returns:
        The number of operations; 0 where JAX_PLATFORMS leaves out the CPU, which counts.

    Example:
        >>> count_flops(DualUNet3D({"s1": 2, "s2": 10}), {"s1": 2, "s2": 10}, 64, 64)
    """
    # Statistics averaged over devices would need the devices, and take no arithmetic.
    if hasattr(network, "axis_name"):
        network = network.clone(axis_name=None)
    variables = variable_shapes(network, bands)
    inputs = input_shapes(network, bands, height, width)

    def forward(params: Any, rest: Any, *inputs: Any) -> tuple[Any, Any]:
        state = {"params": params, **rest}
        if not train:
            return network.apply(state, *inputs, train=False)
        rngs = {"dropout": jax.random.key(0)}
        return network.apply(state, *inputs, train=True, mutable=list(rest), rngs=rngs)

    def gradient(params: Any, rest: Any, *inputs: Any) -> Any:
        def logits(params: Any) -> Any:
            return forward(params, rest, *inputs)

        found, pull, updates = jax.vjp(logits, params, has_aux=True)
        # That of the logits, which XLA does not know to be one: what it could leave out counts.
        cotangent = jax.lax.optimization_barrier(jnp.ones_like(found))
        return pull(cotangent), updates

    rest = {k: v for k, v in variables.items() if k != "params"}
    arguments = (variables["params"], rest)
    with contract.running(network):
        return _count(gradient if train else forward, *arguments, *inputs)


def _count(function: Callable[..., Any], *arguments: Any) -> int:
    # For the CPU whatever the device: the arithmetic is the same, and JAX has XLA count on none of
    # the devices that come as plug-ins.
    if (device := cpu()) is None:
        return 0
    place = SingleDeviceSharding(device)
    there = jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=place), arguments
    )
    cost = jax.jit(function).lower(*there).cost_analysis()
    return round(float((cost or {}).get("flops", 0)))
