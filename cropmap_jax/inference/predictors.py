"""What makes probabilities of windows: a checkpoint's network, and the interface of any other."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypedDict

import jax
import numpy as np

from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference import pixel_steps
from cropmap_jax.inference.pixels import Pixels, bands_first
from cropmap_jax.training import parallel, steps
from cropmap_jax.training.checkpoints import Restored


class Example(TypedDict):
    """What a predictor is given of a chip.

    There is neither a lead nor what is planted: these differ between the cubes of a chip.

    Args:
      pixels: [T, H, W, C] by sensor, as stored, the sensor's nodata where missing.
      day_of_year: int32 [T], the middle of each period; 0 before the first cube begins.
      wanted: bool [H, W], the pixels whose probability will be used.
    """

    pixels: Pixels
    day_of_year: np.ndarray
    wanted: np.ndarray


class Predictor(Protocol):
    """Anything that maps windows to probabilities: a network, a forest, or several together."""

    @property
    def sensors(self) -> Sequence[Sensor]:
        """The sensors whose pixels it takes."""

    @property
    def halo(self) -> int:
        """Pixels around a part that it sees too, and over which chips are blended; 0 for none."""

    @property
    def batch_size(self) -> int:
        """How many examples it takes at once, at most."""

    @property
    def per_group(self) -> bool:
        """Whether groups of as-of dates have models of their own."""

    def predict(self, examples: list[Example], group: int = 0) -> list[np.ndarray]:
        """Probabilities of examples.

        Args:
          examples: at most `batch_size`, of any shapes.
          group: number of the group of as-of dates, of no meaning unless `per_group`.

        Returns:
          float32 [H, W, classes] of each example; of pixels that are not wanted, anything.
        """


class NetworkPredictor:
    """Runs a checkpoint over batches of chips; one network serves every group.

    Args:
      restored: the checkpoint.
      batch_size: chips per step; rounded up to a multiple of the local devices.
      full_batches: fill every batch up to that size. Batches of another size are another program,
        whose last digit may differ (2e-6 was seen): a map that is resumed wants
        the same one throughout, an evaluation of few chips wants no filling.
    """

    per_group = False

    def __init__(self, restored: Restored, batch_size: int, full_batches: bool = False):
        recipe, devices = restored.recipe, parallel.local_devices()
        self.recipe = recipe
        self.sensors, self.halo = recipe.sensors, recipe.halo
        self.batch_size = -(-batch_size // devices) * devices
        self._full_batches = full_batches
        step = steps.make_predict_step(recipe)
        self._one_by_one = pixel_steps.applies(recipe.context)
        if self._one_by_one and recipe.context is not None:
            nodata = {sensor.name: sensor.nodata for sensor in recipe.sensors}
            within = steps.make_predict_step(recipe, recipe.context)
            strips = pixel_steps.in_strips(within, nodata, recipe.context)
            self._step = self._by_band = parallel.data_parallel(strips, split=True)
        else:
            self._step = parallel.data_parallel(step, split=True)
            self._by_band = parallel.data_parallel(pixel_steps.from_bands(step), split=True)
        self._variables = parallel.replicate(restored.variables)

    def predict(self, examples: list[Example], group: int = 0) -> list[np.ndarray]:
        """See `Predictor.predict`.

        Examples are padded to the next multiple that the network takes, and no further:
        normalisation over a whole chip would see mostly padding in a narrow cube.
        """
        del group
        out: dict[int, np.ndarray] = {}
        shapes = [e["wanted"].shape for e in examples]
        for shape in sorted(set(shapes)):
            same = [i for i, s in enumerate(shapes) if s == shape]
            size = parallel.local_devices() if self._one_by_one else self.batch_size
            begun = []
            for start in range(0, len(same), size):
                numbers = same[start : start + size]
                begun.append((numbers, self._begin([examples[i] for i in numbers])))
            for numbers, running in begun:
                probabilities = parallel.unshard(running)
                for i, probability in zip(numbers, probabilities, strict=False):
                    out[i] = probability[: shape[0], : shape[1]]
        return [out[i] for i in range(len(examples))]

    def _begin(self, examples: list[Example]) -> jax.Array:
        """Begins a step on examples of one shape, without waiting for it."""
        multiple = self.recipe.size_multiple
        height, width = (-(-n // multiple) * multiple for n in examples[0]["wanted"].shape)
        last = len(examples) - 1
        filled = [examples[min(i, last)] for i in range(self._size_for(len(examples)))]
        padded = [pad(e["pixels"], self.sensors, height, width) for e in filled]
        # As they lie in memory: the device turns them around faster.
        lying = [[bands_first(p[one.name]) for p in padded] for one in self.sensors]
        by_band = all(values is not None for sensor in lying for values in sensor)
        pixels = {}
        for one, values in zip(self.sensors, lying, strict=True):
            if by_band:
                pixels[one.name] = np.stack([v for v in values if v is not None])
            elif self._one_by_one:
                pixels[one.name] = np.stack([np.moveaxis(p[one.name], -1, 1) for p in padded])
            else:
                pixels[one.name] = np.stack([p[one.name] for p in padded])
        batch = {"pixels": pixels, "day_of_year": np.stack([e["day_of_year"] for e in filled])}
        step = self._by_band if by_band else self._step
        running: jax.Array = step(self._variables, parallel.shard(batch))
        return running

    def _size_for(self, count: int) -> int:
        """Smallest batch that is compiled for and holds `count` examples.

        Cubes of few chips are common: filling their batches up would be most of the work, a
        compilation for every number of chips too. So sizes double.
        """
        full = self._full_batches and not self._one_by_one
        size = self.batch_size if full else parallel.local_devices()
        while size < count:
            size *= 2
        return min(size, self.batch_size)


def pad(
    pixels: Mapping[str, np.ndarray], sensors: Sequence[Sensor], height: int, width: int
) -> Pixels:
    """Pixels [T, H, W, C] by sensor with missing ones added below and to the right.

    Args:
      pixels: of a chip, no higher or wider than wanted.
      sensors: whose pixels.
      height, width: wanted, in pixels.
    """
    out = {}
    for one in sensors:
        values = pixels[one.name]
        missing = (height - values.shape[1], width - values.shape[2])
        if not any(missing):
            out[one.name] = values
            continue
        around = ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0))
        out[one.name] = np.pad(values, around, constant_values=one.nodata)
    return out
