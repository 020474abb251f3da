"""Baselines as predictors: one model for all dates, or one for each group of dates."""

import concurrent.futures
import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cropmap_jax.baselines.features import Features
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference import pixels as pixel_lib
from cropmap_jax.inference.predictors import Example

BLOCK = 4096
"""Pixels that a model is asked about at once, by one thread."""
_TOGETHER = 8 * BLOCK
"""Pixels whose features are held at once: those of sparse examples are put together."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leaves out one warning of scikit-learn's, which a forest gives for each tree.

    While a tree is asked, scikit-learn empties the filters of warnings for a moment, and another
    thread that begins then finds that there are none, and says so. Answers are the same.
    """
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Warning | str, *rest: Any, **more: Any) -> None:
            if "sklearn.utils.parallel" not in str(message):
                shown(message, *rest, **more)

        warnings.showwarning = show
        yield


class BaselinePredictor:
    """Asks classifiers about pixels; a `Predictor`.

    None-of-these is a class of the classifiers and not of the answer. Classes that they have never
    seen have probability 0, and so have pixels without any value.

    Args:
      features: that the classifiers take.
      models: classifiers of scikit-learn, one for each group of as-of dates or one for all.
      classes: how many the legend has.
      sensors: whose pixels decide whether a pixel was seen.
      dtype: of the features that the classifiers take.
    """

    batch_size = 32

    def __init__(
        self,
        features: Features,
        models: Sequence[Any],
        classes: int,
        sensors: Sequence[Sensor],
        dtype: type = np.float32,
        per_group: bool = False,
    ):
        self.sensors, self.halo = tuple(sensors), features.halo
        self.per_group = per_group
        self._features, self._models = features, list(models)
        self._classes, self._dtype = classes, dtype

    def predict(self, examples: list[Example], group: int = 0) -> list[np.ndarray]:
        """Probabilities float32 [H, W, classes] of each example; 0 where it is not wanted."""
        model = self._models[group if self.per_group else 0]
        out = [
            np.zeros((*example["wanted"].shape, self._classes), np.float32) for example in examples
        ]
        for numbers, values in self._gather(examples):
            answers = self._ask(model, values)
            start = 0
            for number, there in numbers:
                count = int(there.sum())
                out[number][there] = answers[start : start + count]
                start += count
        return out

    def _gather(
        self, examples: list[Example]
    ) -> Iterator[tuple[list[tuple[int, np.ndarray]], np.ndarray]]:
        """Examples whose features are held together: (number, wanted and seen) each; features."""
        numbers: list[tuple[int, np.ndarray]] = []
        parts: list[np.ndarray] = []
        for number, example in enumerate(examples):
            there = example["wanted"] & pixel_lib.seen(example["pixels"], self.sensors)
            if not there.any():
                continue
            numbers.append((number, there))
            parts.append(self._features.compute(example["pixels"], example["day_of_year"], there))
            if sum(map(len, parts)) >= _TOGETHER:
                yield numbers, np.concatenate(parts)
                numbers, parts = [], []
        if numbers:
            yield numbers, np.concatenate(parts)

    def _ask(self, model: Any, values: np.ndarray) -> np.ndarray:
        """Probabilities float32 [N, classes of the legend].

        Blocks are asked about side by side, each by one thread: threads within a forest would add
        up its trees in another order every time.
        """
        out = np.zeros((len(values), self._classes), np.float32)
        known = model.classes_ < self._classes
        columns = model.classes_[known]

        def ask(start: int) -> None:
            block: np.ndarray = values[start : start + BLOCK].astype(self._dtype, copy=False)
            out[start : start + BLOCK, columns] = model.predict_proba(block)[:, known]

        starts = range(0, len(values), BLOCK)
        if len(starts) == 1:
            ask(0)
        else:
            with _quiet(), concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(ask, starts))
        return out
