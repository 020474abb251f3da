"""`DualUNet3D`: U-Nets, one per sensor, that first convolve time away; and one head."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cropmap_jax.models import arguments
from cropmap_jax.models.blocks import (
    Conv,
    ConvNormRelu,
    conv3d,
    max_pool,
    time_conv,
    upsample,
)
from cropmap_jax.models.contract import HEAD
from cropmap_jax.models.heads import ConvHead, LinearHead

Array = jax.Array

HALO_PX = 16
LEVELS = 4  # of the original U-Net above its bottleneck: each halves height and width
HEADS = ("linear", "conv")
NORMS = ("batch", "group")
MOST_PARAMETERS = 2 * 10**9
"""8 GB, and Adam's moments twice that; the original network has 62 million."""


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
        y: Array = self.layer(self.features, name="second")(x)
        return y


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
            last = layer(branch.width, (periods, 1, 1), time_conv, use_bias=True, name="time_conv")
            y: Array = last(x)
            return y

        x = (nn.remat(over_time) if self.remat else over_time)(self, x)
        unet = UNet(self.width, self.levels, self.layer, self.dtype, self.remat, name="unet")
        features: Array = unet(x)
        return features


class DualUNet3D(nn.Module):
    """Maps time series of several sensors to one logit per class and pixel.

    The defaults, with two bands of Sentinel-1 and ten of Sentinel-2, are the network of the
    European pretraining; `num_classes=8, head="conv"` makes that of fine-tuning. Parameters and
    batch statistics lie under the sensors' names and "head".

    A map gives a part `halo` pixels of its surroundings, 16. A pixel depends on others as far away
    as `reach`, 108 pixels with four levels, through the 3 x 3 convolutions of all levels: what a
    halo leaves out of that, chips of training lack too at their edges, and blending evens out.

    Attributes:
        bands: ((sensor, number of bands), ...), in the order of their features; or a mapping.
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
        >>> network = DualUNet3D({"s1": 2, "s2": 10}, num_classes=8, head="conv")
        >>> inputs = {"s1": s1, "s2": s2}, {"s1": s1_valid, "s2": s2_valid}, day_of_year
        >>> variables = network.init(jax.random.key(0), *inputs)
        >>> logits, updates = network.apply(variables, *inputs, train=True, mutable="batch_stats")
    """

    bands: tuple[tuple[str, int], ...]
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
        for field, choices in (("head", HEADS), ("norm", NORMS)):
            if getattr(self, field) not in choices:
                raise ValueError(
                    f"DualUNet3D: {field} is {getattr(self, field)!r}, expected one of {choices}"
                )
        # Hashable, and in an order that no mapping of jax's changes.
        pairs = self.bands.items() if isinstance(self.bands, Mapping) else self.bands
        object.__setattr__(self, "bands", tuple((str(s), int(n)) for s, n in pairs))
        if not self.bands or HEAD in dict(self.bands):
            raise ValueError(
                f"DualUNet3D: bands is {self.bands}, expected sensors, none of them {HEAD!r}"
            )
        super().__post_init__()

    @property
    def size_multiple(self) -> int:
        """What H and W must be multiples of: each level halves them."""
        return 1 << self.levels

    @property
    def halo(self) -> int:
        """Pixels around a part of a map that it is to see: as many as chips are blended over."""
        return HALO_PX

    @property
    def reach(self) -> int:
        """Farthest pixel, in rows or columns, that an output pixel depends on."""
        farthest = 0
        for pixel in range(self.size_multiple):
            first = pixel - 1 if self.head == "conv" else pixel
            last = pixel + 1 if self.head == "conv" else pixel
            # Two convolutions a level, up from the last layer to the bottleneck, and down again.
            first, last = first - 2, last + 2
            for _ in range(self.levels):
                first, last = first // 2 - 2, last // 2 + 2
            for _ in range(self.levels):
                first, last = 2 * first - 2, 2 * last + 1 + 2
            # And that over time and space.
            farthest = max(farthest, pixel - first + 1, last + 1 - pixel)
        return farthest

    @staticmethod
    def check_arguments(settings: Mapping[str, Any], where: str) -> None:
        """Requires arguments in their ranges, and a network that fits into memory.

        Raises:
            ValueError: begins with `where`, and says which argument is wrong.
        """
        for field, least, most in (("width", 1, 4096), ("levels", 0, 8), ("head_width", 1, 4096)):
            arguments.whole(f"{where}.{field}", settings[field], least, most)
        arguments.choice(f"{where}.norm", settings["norm"], NORMS)
        arguments.choice(f"{where}.head", settings["head"], HEADS)
        # Two branches: the convolution over time, and a U-Net whose level i has 2^i width channels
        # and 48.5 times their square of weights, its bottleneck as many again.
        width, levels, periods = (settings[k] for k in ("width", "levels", "num_periods"))
        about = 2 * width**2 * (periods + 120 * 4**levels)
        of = f"width {width}, levels {levels}, num_periods {periods}"
        arguments.parameters(where, about, MOST_PARAMETERS, of)

    def without_bands(
        self, params: Mapping[str, Any], unseen: Mapping[str, Sequence[int]]
    ) -> dict[str, Any]:
        """Parameters in which the weights that read some bands, and their masks, are 0.

        Args:
            params: of the network; left as they are.
            unseen: indices of the bands, by sensor.
        """
        # New dicts, but the same arrays.
        silent: dict[str, Any] = jax.tree.map(lambda leaf: leaf, dict(params))
        for sensor, indices in unseen.items():
            count = dict(self.bands)[sensor]
            masks = [count + band for band in indices] if self.use_validity else []
            layer = silent[sensor]["conv3d"]["conv"]
            kernel = np.array(layer["kernel"])
            kernel[..., [*indices, *masks], :] = 0
            layer["kernel"] = kernel
        return silent

    @nn.compact
    def __call__(
        self,
        pixels: Mapping[str, Array],
        valid: Mapping[str, Array] | None,
        day_of_year: Array | None,
        train: bool = False,
    ) -> Array:
        """Computes the logits.

        Args:
            pixels: {sensor: [B, T, H, W, bands]}, float, scaled; 0 where missing. H and W are
                multiples of 2^levels (16).
            valid: the same shapes, bool or float, 1 where not missing; unused unless
                `use_validity`.
            day_of_year: int32 [B, T]. Unused: the convolution over time knows the order of the
                periods, not their dates.
            train: whether batch norm takes the batch's statistics and updates its own.

        Returns:
            [B, H, W, num_classes], logits (no sigmoid), float32 at least.

        Raises:
            ValueError: a shape is not as above, or a mask is missing.
        """
        self._check_inputs(pixels, valid)
        layer = partial(ConvNormRelu, norm=self.norm, axis_name=self.axis_name, dtype=self.dtype)
        trunk_layer = partial(layer, use_running_average=self.freeze_trunk_statistics or not train)
        features = []
        for sensor, _ in self.bands:
            values = pixels[sensor]
            if self.use_validity and valid is not None:
                values = jnp.concatenate([values, valid[sensor].astype(values.dtype)], axis=-1)
            branch = Branch(
                self.width, self.levels, trunk_layer, self.dtype, self.remat, name=sensor
            )
            features.append(branch(values.astype(self.dtype)))
        x = jnp.concatenate(features, axis=-1)
        head: nn.Module
        if self.head == "linear":
            head = LinearHead(self.num_classes, self.dtype, name=HEAD)
        else:
            head_layer = partial(layer, use_running_average=not train)
            head = ConvHead(self.num_classes, self.head_width, head_layer, self.dtype, name=HEAD)
        logits: Array = head(x).astype(jnp.promote_types(jnp.float32, self.dtype))
        return logits

    def _check_inputs(self, pixels: Mapping[str, Array], valid: Mapping[str, Array] | None) -> None:
        """Raises a ValueError that says what was found and what is expected."""
        if sorted(pixels) != sorted(dict(self.bands)):
            raise ValueError(
                f"DualUNet3D: pixels are of {sorted(pixels)}, expected {sorted(dict(self.bands))}"
            )
        (first, count), *others = self.bands
        shape = pixels[first].shape
        if len(shape) != 5 or shape[1] != self.num_periods or shape[4] != count:
            raise ValueError(
                f"DualUNet3D: {first} has shape {shape}, expected "
                f"[B, {self.num_periods}, H, W, {count}]"
            )
        height, width = shape[2:4]
        multiple = self.size_multiple
        if height % multiple or width % multiple or not height or not width:
            raise ValueError(
                f"DualUNet3D: H x W is {height} x {width}, expected multiples of {multiple}"
            )
        for sensor, count in others:
            if pixels[sensor].shape != (*shape[:4], count):
                raise ValueError(
                    f"DualUNet3D: {sensor} has shape {pixels[sensor].shape}, expected "
                    f"{(*shape[:4], count)}"
                )
        if not self.use_validity:
            return
        for sensor, values in pixels.items():
            mask = None if valid is None else valid.get(sensor)
            if mask is None or mask.shape != values.shape:
                found = "missing" if mask is None else f"of shape {mask.shape}"
                raise ValueError(
                    f"DualUNet3D(use_validity=True): valid[{sensor!r}] is {found}, "
                    f"expected {values.shape}"
                )


NETWORK = DualUNet3D
