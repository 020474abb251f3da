"""What makes probabilities of windows: a checkpoint's network."""

import numpy as np

from cropmap_jax.geo import legend
from cropmap_jax.geo.sensors import SENTINEL, Sensor
from cropmap_jax.training import parallel, steps
from cropmap_jax.training.checkpoints import Restored
from cropmap_jax.training.validation import stack


class Predictor:
    """Runs a checkpoint over batches of chips.

    Args:
      restored: the checkpoint.
      batch_size: chips per step, a multiple of the number of local devices.
      full_batches: fill every batch up to that size. Batches of another size are another program,
        whose last digit may differ (2e-6 was seen): a map that is resumed wants
        the same one throughout, an evaluation of few chips wants no filling.
    """

    def __init__(self, restored: Restored, batch_size: int, full_batches: bool = False):
        self.recipe = restored.recipe
        self._batch_size = batch_size
        self._full_batches = full_batches
        self._step = parallel.data_parallel(steps.make_predict_step(restored.recipe), split=True)
        self._variables = parallel.replicate(restored.variables)

    def __call__(self, examples: list[dict], group: int = 0) -> list[np.ndarray]:
        """Probabilities float32 [H, W, classes] of each example; one network serves every group.

        Examples of any height and width are padded to the next multiple that the network takes, and
        no further: normalisation over a whole chip would see mostly padding in a narrow cube.
        """
        out: list = [None] * len(examples)
        shapes = [e["label"].shape for e in examples]
        for shape in sorted(set(shapes)):
            same = [i for i, s in enumerate(shapes) if s == shape]
            for start in range(0, len(same), self._batch_size):
                numbers = same[start : start + self._batch_size]
                padded = [self._pad(examples[i]) for i in numbers]
                batch = parallel.shard(stack(padded, self._size_for(len(padded))))
                probabilities = parallel.unshard(self._step(self._variables, batch))
                for i, probability in zip(numbers, probabilities, strict=False):
                    out[i] = probability[: shape[0], : shape[1]]
        return out

    def _size_for(self, count: int) -> int:
        """Smallest batch that is compiled for and holds `count` examples.

        Cubes of few chips are common: filling their batches up would be most of the work, a
        compilation for every number of chips too. So sizes double.
        """
        size = self._batch_size if self._full_batches else parallel.local_devices()
        while size < count:
            size *= 2
        return min(size, self._batch_size)

    def _pad(self, example: dict) -> dict:
        multiple = self.recipe.size_multiple
        height, width = (-(-n // multiple) * multiple for n in example["label"].shape)
        return crop_example(example, height, width, self.recipe.sensors)


def crop_example(
    example: dict, height: int, width: int, sensors: tuple[Sensor, ...] = SENTINEL
) -> dict:
    """Cuts or pads (as missing and unknown) an example at its lower and right edges."""

    def fit(array: np.ndarray, axis: int, fill) -> np.ndarray:
        index = (slice(None),) * axis
        array = array[(*index, slice(height), slice(width))]
        pad = [(0, 0)] * array.ndim
        pad[axis] = (0, height - array.shape[axis])
        pad[axis + 1] = (0, width - array.shape[axis + 1])
        return np.pad(array, pad, constant_values=fill)

    pixels = {
        sensor.name: fit(example["pixels"][sensor.name], 1, sensor.nodata) for sensor in sensors
    }
    return {**example, "pixels": pixels, "label": fit(example["label"], 0, legend.IGNORE)}
