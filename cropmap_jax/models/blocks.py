"""Building blocks of the networks, in the forms that XLA compiles well on the CPU as on the GPU.

Every kernel parameter keeps its natural shape, `[*window, channels_in, channels_out]`; only the
arithmetic is rearranged. The tests hold each form equal to the plain `jax.lax` one.
"""

import math
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from flax import linen as nn

Array = jax.Array

MAX_GROUPS = 8

# Output channels a pixel, from which on a convolution is a product (`python -m benchmarks.blocks`).
PRODUCT_RATIO = 4

# PyTorch's defaults: eps 1e-5, and momentum 0.1 for the *new* value, which Flax calls 0.9.
# Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html
NORM_EPSILON = 1e-5
BATCH_NORM_MOMENTUM = 0.9


def fan_in(kernel_shape: tuple[int, ...], transposed: bool = False) -> int:
    """Counts the inputs of one output value, as PyTorch's initialisation does.

    Args:
        kernel_shape: [*window, C, D].
        transposed: whether it is a transposed convolution, whose fan-in PyTorch takes from its
            output channels D.

    Returns:
        The number of values.
    """
    *window, channels, features = kernel_shape
    return math.prod(window) * (features if transposed else channels)


def torch_uniform(inputs: int) -> nn.initializers.Initializer:
    """Makes PyTorch's default initializer of convolutions: uniform in +-1/sqrt(inputs).

    PyTorch draws kernels from `kaiming_uniform(a=sqrt(5))`, whose bound is
    `sqrt(6 / ((1 + a**2) * inputs)) = 1/sqrt(inputs)`, and biases from the same interval.

    Args:
        inputs: the fan-in.

    Returns:
        An initializer `(key, shape, dtype) -> array`, for the kernel and for the bias.

    Source: `_ConvNd.reset_parameters` of torch/nn/modules/conv.py, PyTorch 2.13; He et al. 2015,
        arXiv:1502.01852.
    """
    bound = 1 / math.sqrt(inputs)

    def init(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def conv2d(x: Array, kernel: Array) -> Array:
    """Convolves images, with stride 1 and zero padding that keeps height and width.

    Where there are far fewer pixels than output channels, as in a U-Net's bottleneck, it is a
    matrix product over patches: XLA's convolution on the CPU turns the kernel around for the
    gradient, though it is larger than the images, and at 2 x 2 pixels takes fifty times as long.
    A program for images of any size (`jax.export`) cannot choose, and convolves.

    Args:
        x: [B, H, W, C], float.
        kernel: [kh, kw, C, D], the dtype of `x`; kh and kw odd.

    Returns:
        [B, H, W, D], the dtype of `x`.
    """
    batch, height, width, channels = x.shape
    kh, kw, _, features = kernel.shape
    pixels = batch * height * width
    if jax.export.is_symbolic_dim(pixels) or PRODUCT_RATIO * pixels > features:
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    padded = jnp.pad(x, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)))
    shifts = [padded[:, i : i + height, j : j + width] for i in range(kh) for j in range(kw)]
    return jnp.concatenate(shifts, axis=-1) @ kernel.reshape(kh * kw * channels, features)


def conv3d(x: Array, kernel: Array) -> Array:
    """Convolves time series of images 3 x 3 x 3, zero padded by 1 in time, height and width.

    Each period is concatenated with its two neighbours along the channels and convolved in 2-D,
    because XLA's 3-D convolution on the CPU is several times slower.

    Args:
        x: [B, T, H, W, C], float.
        kernel: [3, kh, kw, C, D], the dtype of `x`.

    Returns:
        [B, T, H, W, D], the dtype of `x`.
    """
    batch, periods, height, width, channels = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)))
    neighbours = jnp.concatenate([padded[:, i : i + periods] for i in range(3)], axis=-1)
    _, kh, kw, _, features = kernel.shape
    kernel2d = kernel.transpose(1, 2, 0, 3, 4).reshape(kh, kw, 3 * channels, features)
    y = conv2d(neighbours.reshape(batch * periods, height, width, 3 * channels), kernel2d)
    return y.reshape(batch, periods, height, width, features)


def time_conv(x: Array, kernel: Array) -> Array:
    """Convolves over the whole length of time, which removes that axis: one dense layer a pixel.

    Args:
        x: [B, T, H, W, C], float.
        kernel: [T, 1, 1, C, D], the dtype of `x`.

    Returns:
        [B, H, W, D], the dtype of `x`.
    """
    return jnp.einsum("bthwc,tcd->bhwd", x, kernel[:, 0, 0])


def upsample(x: Array, kernel: Array) -> Array:
    """Doubles height and width by a 2 x 2 transposed convolution of stride 2.

    The windows do not overlap, so it is a dense layer to 4 D channels followed by depth-to-space.

    Args:
        x: [B, H, W, C], float.
        kernel: [2, 2, C, D], the dtype of `x`; `kernel[i, j]` makes the pixels `[i::2, j::2]`.

    Returns:
        [B, 2H, 2W, D], the dtype of `x`.
    """
    batch, height, width, _ = x.shape
    y = jnp.einsum("bhwc,ijcd->bhiwjd", x, kernel)
    return y.reshape(batch, 2 * height, 2 * width, kernel.shape[-1])


def max_pool(x: Array) -> Array:
    """Halves height and width, keeping the maximum of every 2 x 2 window.

    The gradient goes to the first maximum of a window, as in PyTorch.

    Args:
        x: [B, H, W, C], float; H and W even.

    Returns:
        [B, H/2, W/2, C], the dtype of `x`.
    """
    batch, height, width, channels = x.shape
    pairs = x.reshape(batch, height, width // 2, 2, channels)
    x = _larger(pairs[:, :, :, 0], pairs[:, :, :, 1])
    pairs = x.reshape(batch, height // 2, 2, width // 2, channels)
    return _larger(pairs[:, :, 0], pairs[:, :, 1])


def _larger(x: Array, y: Array) -> Array:
    # Not `jnp.maximum`, nor `max` over an axis: their gradients ask which input equals the result,
    # and where XLA recomputes the input, rounded otherwise, none does: the gradient is lost, or
    # is 0/0. A choice between the two always takes one.
    return jnp.where(x >= y, x, y)


class Conv(nn.Module):
    """Convolution with PyTorch's initialisation: one of the functions above plus its parameters.

    Attributes:
        features: number of output channels.
        kernel_size: window: (kh, kw) for `conv2d`, (3, kh, kw) for `conv3d`, (T, 1, 1) for
            `time_conv`, (2, 2) for `upsample`.
        function: one of the functions above.
        use_bias: whether a bias is added.
        dtype: compute dtype; parameters are float32.
    """

    features: int
    kernel_size: tuple[int, ...]
    function: Any = conv2d
    use_bias: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (*self.kernel_size, x.shape[-1], self.features)
        init = torch_uniform(fan_in(shape, transposed=self.function is upsample))
        kernel = self.param("kernel", init, shape)
        y = self.function(x.astype(self.dtype), kernel.astype(self.dtype))
        if self.use_bias:
            # In float32 at least, as then are the sums over all pixels that are its gradient.
            wide = jnp.promote_types(jnp.float32, self.dtype)
            y = y.astype(wide) + self.param("bias", init, (self.features,)).astype(wide)
        converted: Array = y.astype(self.dtype)
        return converted


class ConvNormRelu(nn.Module):
    """Convolution, normalisation, ReLU.

    Batch norm has PyTorch's settings. Group norm is for batches too small for it; it has as many
    groups as the largest divisor of its channels up to 8.

    Attributes:
        features: number of output channels.
        kernel_size: as in `Conv`.
        function: as in `Conv`.
        use_bias: whether the convolution has a bias.
        norm: "batch" or "group".
        use_running_average: whether batch norm takes its running statistics, and leaves them as
            they are; else it takes the batch's, and updates them.
        axis_name: mapped axis over which the batch's statistics are averaged, if any.
        dtype: compute dtype; parameters and statistics are float32.
    """

    features: int
    kernel_size: tuple[int, ...] = (3, 3)
    function: Any = conv2d
    use_bias: bool = False
    norm: str = "batch"
    use_running_average: bool = True
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = Conv(
            self.features, self.kernel_size, self.function, self.use_bias, self.dtype, name="conv"
        )(x)
        norm: nn.Module
        if self.norm == "group":
            groups = max(n for n in range(1, MAX_GROUPS + 1) if self.features % n == 0)
            norm = nn.GroupNorm(groups, epsilon=NORM_EPSILON, dtype=self.dtype, name="norm")
        else:
            # Flax keeps a running average of the biased variance, PyTorch of the unbiased one,
            # n/(n-1) times larger for n values per channel: felt only at a few pixels a batch.
            norm = nn.BatchNorm(
                self.use_running_average,
                momentum=BATCH_NORM_MOMENTUM,
                epsilon=NORM_EPSILON,
                dtype=self.dtype,
                axis_name=self.axis_name,
                name="norm",
            )
        return nn.relu(norm(x))
