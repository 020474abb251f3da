"""What makes probabilities of windows: a checkpoint's network, and the interface of any other."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypedDict

import numpy as np

from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference.pixels import Pixels
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
        self._step = parallel.data_parallel(steps.make_predict_step(recipe), split=True)
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
            for start in range(0, len(same), self.batch_size):
                numbers = same[start : start + self.batch_size]
                batch = parallel.shard(self._batch([examples[i] for i in numbers]))
                probabilities = parallel.unshard(self._step(self._variables, batch))
                for i, probability in zip(numbers, probabilities, strict=False):
                    out[i] = probability[: shape[0], : shape[1]]
        return [out[i] for i in range(len(examples))]

    def _batch(self, examples: list[Example]) -> dict[str, Any]:
        """Padded examples of one shape, the last one again where a batch is not full."""
        multiple = self.recipe.size_multiple
        height, width = (-(-n // multiple) * multiple for n in examples[0]["wanted"].shape)
        last = len(examples) - 1
        filled = [examples[min(i, last)] for i in range(self._size_for(len(examples)))]
        padded = [pad(e["pixels"], self.sensors, height, width) for e in filled]
        pixels = {one.name: np.stack([p[one.name] for p in padded]) for one in self.sensors}
        return {"pixels": pixels, "day_of_year": np.stack([e["day_of_year"] for e in filled])}

    def _size_for(self, count: int) -> int:
        """Smallest batch that is compiled for and holds `count` examples.

        Cubes of few chips are common: filling their batches up would be most of the work, a
        compilation for every number of chips too. So sizes double.
        """
        size = self.batch_size if self._full_batches else parallel.local_devices()
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
        around = ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0))
        out[one.name] = np.pad(values, around, constant_values=one.nodata)
    return out
