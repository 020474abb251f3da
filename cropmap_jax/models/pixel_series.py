"""A network that looks at each pixel alone: dense layers over its whole series.

At 10 m a field shows its crop by its course more than by its shape, and a few hundred fields are
too few to learn shapes from. As 1 x 1 convolutions the dense layers map whole tiles.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cropmap_jax.models import arguments, registry
from cropmap_jax.models.contract import HEAD
from cropmap_jax.models.dropout import Dropout

Array = jax.Array

YEAR_DAYS = 365.2425
"""Length of the mean Gregorian year."""


class PixelSeries(nn.Module):
    """Dense layers over all periods, bands and flags of a pixel, for every pixel alike.

    Inputs of each period are, for each side in `neighbourhood`, the mean of each band over the
    square of so many pixels around the pixel, of what is there in it (a side of 1: the pixel
    itself), with the indices of these means, and for each sensor a flag whether the square of the
    first side holds anything. A layer that all periods share may come first, then layers over all
    of them; these are also given, with `dates`, the season in which the window ends, as sine and
    cosine: the same image in May and in August may mean different crops.

    Attributes:
        num_classes: number of outputs.
        num_periods: periods of the window, any number.
        bands: ((sensor, number of bands), ...); indices count as bands.
        embed: units of a layer that each period passes alone, the same for all; 0: none.
        width: units of each hidden layer over all periods.
        depth: these layers.
        dropout: probability that a hidden unit is dropped while training.
        neighbourhood: sides in pixels, odd, of the squares whose means are inputs.
        dates: whether the season of the window's last period is an input.
        dtype: compute dtype.
        axis_name: mapped axis that a batch is spread over in training, or None.
    """

    num_classes: int
    num_periods: int
    bands: tuple[tuple[str, int], ...]
    embed: int = 0
    width: int = 256
    depth: int = 2
    dropout: float = 0.2
    neighbourhood: tuple[int, ...] = (1,)
    dates: bool = False
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @property
    def halo(self) -> int:
        """Pixels around a tile that a map gives it: what it sees of them."""
        return max(self.neighbourhood) // 2

    @staticmethod
    def check_arguments(settings: Mapping[str, Any], where: str) -> None:
        """Requires its own arguments to be in their ranges.

        Raises:
            ValueError: names the argument, after `where`.
        """
        arguments.whole(f"{where}.embed", settings["embed"], 0, 65536)
        arguments.whole(f"{where}.width", settings["width"], 1, 65536)
        arguments.whole(f"{where}.depth", settings["depth"], 1, 100)
        if not 0 <= settings["dropout"] < 1:
            raise ValueError(
                f"{where}.dropout: expected a number from 0 to below 1, found {settings['dropout']}"
            )
        registry.check_neighbourhood(tuple(settings["neighbourhood"]), f"{where}.neighbourhood")

    def without_bands(
        self, params: Mapping[str, Any], unseen: Mapping[str, list[int]]
    ) -> dict[str, Any]:
        """Parameters that do not answer to some bands.

        Args:
            params: of this network.
            unseen: {sensor: indices of bands}.

        Returns:
            A tree like `params`; the weights of the bands are 0.
        """
        rows, start = [], 0
        for sensor, count in self.bands:
            for _ in self.neighbourhood:
                rows += [start + band for band in unseen.get(sensor, [])]
                start += count
        inputs = start + len(self.bands)
        repeats = 1 if self.embed else self.num_periods
        name = "embed" if self.embed else "layer_0"
        kernel = np.array(params[name]["kernel"])
        for t in range(repeats):
            kernel[[t * inputs + row for row in rows]] = 0
        return {**params, name: {**params[name], "kernel": kernel}}

    @nn.compact
    def __call__(
        self,
        pixels: Mapping[str, Array],
        valid: Mapping[str, Array],
        day_of_year: Array | None,
        train: bool = False,
    ) -> Array:
        """Computes the logits.

        Args:
            pixels: {sensor: [B, T, H, W, sides x bands]}, float, scaled; 0 where missing.
            valid: the same shapes, 1 where not missing; in between where examples are mixed.
            day_of_year: int32 [B, T], of which the last matters, and only with `dates`.
            train: whether units are dropped, which needs `rngs={"dropout": key}`.

        Returns:
            [B, H, W, num_classes], logits, float32 at least.

        Raises:
            ValueError: pixels are of other sensors, periods or bands.
        """
        self._check(pixels)
        inputs = [pixels[sensor] for sensor, _ in self.bands]
        inputs += [
            valid[sensor][..., :count].max(-1, keepdims=True) for sensor, count in self.bands
        ]
        x = jnp.moveaxis(jnp.concatenate(inputs, axis=-1), 1, 3).astype(self.dtype)
        if self.embed:
            x = nn.relu(_PerPeriod(self.embed, self.dtype, name="embed")(x))
        x = x.reshape(*x.shape[:3], -1)
        if self.dates and day_of_year is not None:
            season = _season(day_of_year[:, -1])[:, None, None].astype(x.dtype)
            x = jnp.concatenate([x, jnp.broadcast_to(season, (*x.shape[:3], 2))], axis=-1)
        for i in range(self.depth):
            x = nn.relu(nn.Dense(self.width, dtype=self.dtype, name=f"layer_{i}")(x))
            x = Dropout(self.dropout, self.axis_name)(x, train)
        logits: Array = nn.Dense(self.num_classes, dtype=self.dtype, name=HEAD)(x)
        return logits.astype(jnp.promote_types(jnp.float32, self.dtype))

    def _check(self, pixels: Mapping[str, Array]) -> None:
        if sorted(pixels) != sorted(dict(self.bands)):
            raise ValueError(
                f"PixelSeries: pixels are of {sorted(pixels)}, expected {sorted(dict(self.bands))}"
            )
        for sensor, count in self.bands:
            shape = pixels[sensor].shape
            count *= len(self.neighbourhood)
            if len(shape) != 5 or shape[1] != self.num_periods or shape[4] != count:
                raise ValueError(
                    f"PixelSeries: {sensor} has shape {shape}, expected "
                    f"[B, {self.num_periods}, H, W, {count}]"
                )


class _PerPeriod(nn.Module):
    """A dense layer that each period passes alone, [..., T, C] to [..., T, units].

    As `nn.Dense`, but that the bias is the weights of an input that is 1: added apart from the
    product, XLA on the CPU fuses it with the reshape that follows, into a loop that it cannot
    vectorise and that takes longer than the product.
    """

    units: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (x.shape[-1], self.units)
        kernel = self.param("kernel", nn.linear.default_kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.units,))
        both = jnp.concatenate([kernel, bias[None]]).astype(self.dtype)
        out: Array = jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1) @ both
        return out


def _season(day_of_year: Array) -> Array:
    """[B, 2]: sine and cosine of the day of the year [B]."""
    angle = day_of_year.astype(jnp.float32) * (2 * np.pi / YEAR_DAYS)
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1)


NETWORK = PixelSeries
