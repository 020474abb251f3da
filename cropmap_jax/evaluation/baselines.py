"""A random forest on exactly the pixels and windows that the network sees."""

from collections.abc import Callable

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from cropmap_jax.data import input_pipeline
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation import predictions
from cropmap_jax.geo import cube
from cropmap_jax.geo.legend import IGNORE

TREES = 300
MAX_PIXELS = 200_000


def pixel_features(example: dict) -> np.ndarray:
    """float32 [H, W, T * 12]: every band of every period in dB and reflectance, NaN missing."""
    parts = []
    for sensor in ("s1", "s2"):
        values = np.moveaxis(cube.decode(example["pixels"][sensor], sensor), 0, 2)
        parts.append(values.reshape(*values.shape[:2], -1))
    return np.concatenate(parts, axis=-1)


def training_pixels(
    data: Dataset, split: str, num_periods: int, dates: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """All known pixels of a split as of one date per cube, at most MAX_PIXELS of them, drawn.

    Args:
      dates: int [cubes], as-of date of each cube.

    Returns:
      float32 [N, features] and uint8 [N] labels (254 for none of these).

    Raises:
      ValueError: no pixel of the split is annotated.
    """
    features, labels = [], []
    table = data.split(split)
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
                example = input_pipeline.make_example(data, record, int(dates[index]), num_periods)
                features.append(pixel_features(example)[known])
                labels.append(record["label"][known])
    if not labels:
        raise ValueError(f"{data.path}: expected annotated pixels in split {split}, found none")
    return np.concatenate(features), np.concatenate(labels)


def forests(
    data: Dataset,
    split: str,
    num_periods: int,
    dates: np.ndarray,
    seed: int = 0,
    trees: int | None = None,
) -> Callable[[list[dict], int], list[np.ndarray]]:
    """Trains a random forest per group of as-of dates; none-of-these is a class of its own.

    Args:
      data: the dataset.
      split: which split to learn from.
      num_periods: periods of the window.
      dates: int [cubes, crops], as-of date of each cube and crop.
      seed: of the forests.
      trees: of each forest; TREES if None.

    Returns:
      Function of examples and group, like `predictors.Predictor`: probabilities [H, W, classes]
      of each example, 0 where the label is unknown.
    """
    models = []
    for group in predictions.date_groups(dates):
        features, labels = training_pixels(data, split, num_periods, dates[:, group[0]], seed)
        forest = RandomForestClassifier(trees or TREES, random_state=seed, n_jobs=-1)
        # Threads help while it learns; handing a cube's few known pixels to them costs more.
        models.append(forest.fit(features, labels).set_params(n_jobs=1))
    classes = len(data.legend)

    def predict(examples: list[dict], group: int = 0) -> list[np.ndarray]:
        values = [pixel_features(example) for example in examples]
        # Pixels without any value say nothing; the forest would still guess. Nor does it speak of
        # unknown pixels: nothing scores them, and they can be 25 times as many.
        there = [
            np.isfinite(v).any(-1) & (e["label"] != IGNORE)
            for v, e in zip(values, examples, strict=True)
        ]
        out = [np.zeros((*v.shape[:2], classes), np.float32) for v in values]
        pixels = np.concatenate([v[t] for v, t in zip(values, there, strict=True)])
        if len(pixels):
            model = models[group]
            probability = np.zeros((len(pixels), classes), np.float32)
            known = model.classes_ < classes
            probability[:, model.classes_[known]] = model.predict_proba(pixels)[:, known]
            parts = np.split(probability, np.cumsum([t.sum() for t in there])[:-1])
            for array, place, part in zip(out, there, parts, strict=True):
                array[place] = part
        return out

    return predict
