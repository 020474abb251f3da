"""How much arithmetic a network does: to tell how near a step comes to what a device can do."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from cropmap_jax.models.blocks import Conv, upsample
from cropmap_jax.models.dual_unet3d import S1_CHANNELS, S2_CHANNELS, DualUNet3D


def count_flops(network: DualUNet3D, height: int, width: int, train: bool = False) -> int:
    """Counts the floating-point operations of the convolutions for one chip.

    A multiplication and an addition are two. Normalisation, activation and the optimiser are left
    out: they take time, but hardly any arithmetic. So is what rematerialisation computes twice.

    Args:
        network: the network.
        height: of the chip in pixels; a multiple of 2^levels.
        width: of the chip in pixels; a multiple of 2^levels.
        train: whether to count the gradients too: to the kernels, and to the inputs of all
            convolutions but the first of each branch, as much as the forward pass each.

    Returns:
        The number of operations.

    Example:
        >>> count_flops(DualUNet3D(), 64, 64)
        12946767872
    """
    forward = first = 0

    def count(layer, args, kwargs, context):
        nonlocal forward, first
        y = layer(*args, **kwargs)
        conv = context.module
        if isinstance(conv, Conv) and context.method_name == "__call__":
            kernel = conv.variables["params"]["kernel"].shape
            # The windows of an upsampling stand side by side: each is one pixel's of the input.
            pixels = args[0] if conv.function is upsample else y
            operations = 2 * math.prod(kernel) * math.prod(pixels.shape[:-1])
            forward += operations
            first += operations if "conv3d" in conv.path else 0
        return y

    shape = (1, network.num_periods, height, width)
    s1, s2 = (jax.ShapeDtypeStruct((*shape, c), jnp.float32) for c in (S1_CHANNELS, S2_CHANNELS))
    masks = (s1, s2) if network.use_validity else ()
    with nn.intercept_methods(count):
        jax.eval_shape(network.init, jax.random.key(0), s1, s2, *masks)
    return 3 * forward - first if train else forward
