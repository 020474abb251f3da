"""A random forest on exactly the pixels and windows that the network sees."""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from cropmap_jax.data import input_pipeline
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation.as_of_groups import window_groups
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference.predictors import Example

TREES = 300
MAX_PIXELS = 200_000


def pixel_features(pixels: Mapping[str, np.ndarray], sensors: Sequence[Sensor]) -> np.ndarray:
    """Every band of every period in its unit, NaN missing.

    Args:
      pixels: [T, ..., C] by sensor, as stored.
      sensors: whose pixels are used, in this order.

    Returns:
      float32 [..., T * bands of all sensors].
    """
    parts = []
    for one in sensors:
        values = np.moveaxis(one.decode(pixels[one.name]), 0, -2)
        *pixel, periods, bands = values.shape
        parts.append(values.reshape(*pixel, periods * bands))
    return np.concatenate(parts, axis=-1)


def training_pixels(
    data: Dataset,
    split: str,
    num_periods: int,
    dates: np.ndarray,
    seed: int,
    sensors: Sequence[Sensor] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """All known pixels of a split as of one date per cube, at most MAX_PIXELS of them, drawn.

    Args:
      data, split, num_periods: of which split, and from how many periods.
      dates: int [cubes], as-of date of each cube.
      seed: of the draw.
      sensors: whose pixels are used; those of the dataset if None.

    Returns:
      float32 [N, features] and uint8 [N] labels (254 for none of these).

    Raises:
      ValueError: no pixel of the split is annotated.
    """
    features, labels = [], []
    table, sensors = data.split(split), data.sensors if sensors is None else sensors
    share = min(1.0, MAX_PIXELS / max(int(table.annotated.sum()), 1))
    rng = np.random.default_rng(seed)
    for index, records in input_pipeline.cube_records(data, split):
        height, width = data.cubes[index]["shape"]
        fresh = np.ones((height + data.chip, width + data.chip), bool)
        for record in records:
            row, col = int(record["row"]), int(record["col"])
            # A pixel in the overlap of two chips counts once.
            place = fresh[row : row + data.chip, col : col + data.chip]
            known = (record["label"] != IGNORE) & place
            place[:] = False
            known &= rng.random(known.shape) < share
            if known.any():
                example = input_pipeline.make_example(
                    data, record, int(dates[index]), num_periods, sensors=sensors
                )
                features.append(pixel_features(example["pixels"], sensors)[known])
                labels.append(record["label"][known])
    if not labels:
        raise ValueError(f"{data.path}: expected annotated pixels in split {split}, found none")
    return np.concatenate(features), np.concatenate(labels)


class Forests:
    """A random forest per group of as-of dates; none-of-these is a class of its own.

    A `Predictor` that sees each pixel alone, and speaks of wanted pixels only.

    Args:
      data: the dataset.
      split: which split to learn from.
      num_periods: periods of the window.
      dates: int [cubes, crops], as-of date of each cube and crop.
      seed: of the forests.
      trees: of each forest; TREES if None.
      sensors: whose pixels are used; those of the dataset if None.

    Raises:
      ValueError: no pixel of the split is annotated.
    """

    halo = 0
    batch_size = 32
    per_group = True

    def __init__(
        self,
        data: Dataset,
        split: str,
        num_periods: int,
        dates: np.ndarray,
        seed: int = 0,
        trees: int | None = None,
        sensors: Sequence[Sensor] | None = None,
    ):
        self.sensors = tuple(data.sensors if sensors is None else sensors)
        self._classes = len(data.legend)
        self._models = []
        for group in window_groups(data, dates):
            own = dates[:, group[0]]
            pixels, labels = training_pixels(data, split, num_periods, own, seed, self.sensors)
            forest = RandomForestClassifier(trees or TREES, random_state=seed, n_jobs=-1)
            # Threads help while it learns; handing a cube's few known pixels to them costs more.
            self._models.append(forest.fit(pixels, labels).set_params(n_jobs=1))

    def predict(self, examples: list[Example], group: int = 0) -> list[np.ndarray]:
        """Probabilities float32 [H, W, classes] of each example; 0 where it is not wanted."""
        # Pixels that nobody wants can be 25 times as many.
        values = np.concatenate([self._wanted_features(example) for example in examples])
        probability = np.zeros((len(values), self._classes), np.float32)
        # Pixels without any value say nothing; the forest would still guess.
        there = np.isfinite(values).any(-1)
        if there.any():
            model = self._models[group]
            known = model.classes_ < self._classes
            found = np.zeros((int(there.sum()), self._classes), np.float32)
            found[:, model.classes_[known]] = model.predict_proba(values[there])[:, known]
            probability[there] = found
        out, ends = [], np.cumsum([example["wanted"].sum() for example in examples])
        for example, part in zip(examples, np.split(probability, ends[:-1]), strict=True):
            whole = np.zeros((*example["wanted"].shape, self._classes), np.float32)
            whole[example["wanted"]] = part
            out.append(whole)
        return out

    def _wanted_features(self, example: Example) -> np.ndarray:
        wanted = {name: values[:, example["wanted"]] for name, values in example["pixels"].items()}
        return pixel_features(wanted, self.sensors)
