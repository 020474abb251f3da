"""`DualUNet3D`: two U-Nets, one per sensor, that first convolve time away; and one head."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cropmap_jax.models.blocks import (
    Conv,
    ConvNormRelu,
    conv3d,
    max_pool,
    time_conv,
    upsample,
)
from cropmap_jax.models.heads import ConvHead, LinearHead

Array = jax.Array

# The top-level names of the parameters and of the batch statistics.
TRUNK = ("s1", "s2")
HEAD = "head"

S1_CHANNELS = 2  # VV, VH
S2_CHANNELS = 10  # B2 B3 B4 B5 B6 B7 B8 B8A B11 B12
LEVELS = 4  # of the seed's U-Net above its bottleneck: each halves height and width


def count_parameters(params: Mapping[str, Any]) -> int:
    """Counts the trainable values in a tree of parameters.

    Args:
        params: nested mapping whose leaves have a shape: arrays, or `jax.ShapeDtypeStruct`.

    Returns:
        The number of values.
    """
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


class DoubleConv(nn.Module):
    """Two 3 x 3 convolutions, each followed by normalisation and ReLU.

    Attributes:
        features: number of output channels of both.
        layer: makes a `ConvNormRelu`, with its normalisation and dtype settled.
    """

    features: int
    layer: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = self.layer(self.features, name="first")(x)
        return self.layer(self.features, name="second")(x)


class UNet(nn.Module):
    """2-D U-Net: level i (from 1) has 2^i times `width` channels, the bottleneck comes after.

    Attributes:
        width: half of the first level's channels.
        levels: number of levels above the bottleneck; each halves height and width.
        layer: makes a `ConvNormRelu`, with its normalisation and dtype settled.
        dtype: compute dtype.
        remat: whether the gradient recomputes the inside of each level instead of keeping it.

    Source: Ronneberger et al. 2015, arXiv:1505.04597 (here padded, with batch norm).
    """

    width: int
    levels: int
    layer: Callable[..., nn.Module]
    dtype: Any = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps [B, H, W, C] to [B, H, W, 2 width]; H and W are multiples of 2^levels."""
        double_conv = nn.remat(DoubleConv) if self.remat else DoubleConv
        skips = []
        for level in range(self.levels):
            x = double_conv(2 ** (level + 1) * self.width, self.layer, name=f"down{level}")(x)
            skips.append(x)
            x = max_pool(x)
        x = double_conv(2 ** (self.levels + 1) * self.width, self.layer, name="bottleneck")(x)
        for level in reversed(range(self.levels)):
            features = skips[level].shape[-1]
            x = Conv(features, (2, 2), upsample, dtype=self.dtype, name=f"upsample{level}")(x)
            x = jnp.concatenate([skips[level], x], axis=-1)
            x = double_conv(features, self.layer, name=f"up{level}")(x)
        return x


class Branch(nn.Module):
    """One sensor's part of the trunk: a 3-D convolution, one that removes time, then a U-Net.

    Attributes:
        width: channels of the 3-D convolutions.
        levels: levels of the U-Net.
        layer: makes a `ConvNormRelu`, with its normalisation and dtype settled.
        dtype: compute dtype.
        remat: as in `UNet`.
    """

    width: int
    levels: int
    layer: Callable[..., nn.Module]
    dtype: Any = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps [B, T, H, W, C] to [B, H, W, 2 width]."""

        def over_time(branch: Branch, x: Array) -> Array:
            layer, periods = branch.layer, x.shape[1]
            x = layer(branch.width, (3, 3, 3), conv3d, use_bias=True, name="conv3d")(x)
            return layer(branch.width, (periods, 1, 1), time_conv, use_bias=True, name="time_conv")(
                x
            )

        x = (nn.remat(over_time) if self.remat else over_time)(self, x)
        unet = UNet(self.width, self.levels, self.layer, self.dtype, self.remat, name="unet")
        return unet(x)


class DualUNet3D(nn.Module):
    """Maps time series of Sentinel-1 and Sentinel-2 to one logit per class and pixel.

    The defaults are the network of the European pretraining; `num_classes=8, head="conv"` makes
    that of fine-tuning. Parameters and batch statistics lie under the names in `TRUNK` and `HEAD`.

    Attributes:
        num_classes: number of classes.
        head: "linear" (1 x 1) or "conv" (3 x 3, normalisation, ReLU, 1 x 1).
        width: channels of the 3-D convolutions; the whole trunk scales with it.
        levels: levels of the U-Nets; H and W are multiples of 2^levels.
        num_periods: T, the length of the time series.
        use_validity: whether each sensor's validity mask is concatenated to its values.
        norm: "batch", or "group" for batches too small for batch norm.
        head_width: channels inside the "conv" head.
        freeze_trunk_statistics: whether the trunk's batch norm keeps to its running statistics,
            and leaves them as they are, in training too.
        axis_name: mapped axis over which batch norm averages its statistics in training, if any.
        dtype: compute dtype; parameters and statistics are float32.
        remat: whether the gradient recomputes what lies inside each level and before the
            U-Nets, instead of keeping it: less memory for more time.

    Example:
        >>> network = DualUNet3D(num_classes=8, head="conv")
        >>> variables = network.init(jax.random.key(0), s1, s2)
        >>> logits, updates = network.apply(variables, s1, s2, train=True, mutable="batch_stats")
    """

    num_classes: int = 21
    head: str = "linear"
    width: int = 32
    levels: int = LEVELS
    num_periods: int = 6
    use_validity: bool = False
    norm: str = "batch"
    head_width: int = 32
    freeze_trunk_statistics: bool = False
    axis_name: str | None = None
    dtype: Any = jnp.float32
    remat: bool = False

    def __post_init__(self) -> None:
        for field, choices in (("head", ("linear", "conv")), ("norm", ("batch", "group"))):
            if getattr(self, field) not in choices:
                raise ValueError(
                    f"DualUNet3D: {field} is {getattr(self, field)!r}, expected one of {choices}"
                )
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        s1: Array,
        s2: Array,
        s1_valid: Array | None = None,
        s2_valid: Array | None = None,
        train: bool = False,
    ) -> Array:
        """Computes the logits.

        Args:
            s1: [B, T, H, W, 2], float, scaled VV and VH; 0 where missing. H and W are multiples
                of 2^levels (16).
            s2: [B, T, H, W, 10], float, scaled B2 ... B12; 0 where missing.
            s1_valid: shape of `s1`, bool or float, 1 where not missing; unused unless
                `use_validity`.
            s2_valid: the same for `s2`.
            train: whether batch norm takes the batch's statistics and updates its own.

        Returns:
            [B, H, W, num_classes], logits (no sigmoid), float32 at least.

        Raises:
            ValueError: a shape is not as above, or a mask is missing.
        """
        self._check_inputs(s1, s2, s1_valid, s2_valid)
        layer = partial(ConvNormRelu, norm=self.norm, axis_name=self.axis_name, dtype=self.dtype)
        trunk_layer = partial(layer, use_running_average=self.freeze_trunk_statistics or not train)
        features = []
        for name, values, valid in (("s1", s1, s1_valid), ("s2", s2, s2_valid)):
            if self.use_validity:
                values = jnp.concatenate([values, valid.astype(values.dtype)], axis=-1)
            branch = Branch(self.width, self.levels, trunk_layer, self.dtype, self.remat, name=name)
            features.append(branch(values.astype(self.dtype)))
        x = jnp.concatenate(features, axis=-1)
        if self.head == "linear":
            head = LinearHead(self.num_classes, self.dtype, name=HEAD)
        else:
            head_layer = partial(layer, use_running_average=not train)
            head = ConvHead(self.num_classes, self.head_width, head_layer, self.dtype, name=HEAD)
        return head(x).astype(jnp.promote_types(jnp.float32, self.dtype))

    def _check_inputs(
        self, s1: Array, s2: Array, s1_valid: Array | None, s2_valid: Array | None
    ) -> None:
        """Raises a ValueError that says what was found and what is expected."""
        if s1.ndim != 5 or s1.shape[1] != self.num_periods or s1.shape[4] != S1_CHANNELS:
            raise ValueError(
                f"DualUNet3D: s1 has shape {s1.shape}, expected "
                f"[B, {self.num_periods}, H, W, {S1_CHANNELS}]"
            )
        height, width = s1.shape[2:4]
        multiple = 2**self.levels
        if height % multiple or width % multiple or not height or not width:
            raise ValueError(
                f"DualUNet3D: H x W is {height} x {width}, expected multiples of {multiple}"
            )
        if s2.shape != (*s1.shape[:4], S2_CHANNELS):
            raise ValueError(
                f"DualUNet3D: s2 has shape {s2.shape}, expected {(*s1.shape[:4], S2_CHANNELS)}"
            )
        if not self.use_validity:
            return
        for name, values, valid in (("s1_valid", s1, s1_valid), ("s2_valid", s2, s2_valid)):
            if valid is None or valid.shape != values.shape:
                found = "missing" if valid is None else f"of shape {valid.shape}"
                raise ValueError(
                    f"DualUNet3D(use_validity=True): {name} is {found}, expected {values.shape}"
                )
