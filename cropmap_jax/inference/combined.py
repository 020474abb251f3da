"""Several predictors as one: the weighted mean of their probabilities."""

from collections.abc import Sequence

import numpy as np

from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference import pixels as pixel_lib
from cropmap_jax.inference.predictors import Example, Predictor


class CombinedPredictor:
    """Asks several predictors about the same chips; a `Predictor`.

        p = sum_m w_m p_m / sum_m w_m,  over the members m that have seen the pixel

    A member whose sensors show nothing of a pixel has no part in it, as alone it would not map it.
    Chips have the largest halo of all, so each member sees at least as much as it would alone.

    Args:
      members: the predictors, none with models per group of dates.
      weights: of each, not negative, at least one above 0.
      sensors: of all members together.
      classes: how many the legend has.
      apart: answer with the members' own probabilities behind the mean, as further classes.
    """

    per_group = False

    def __init__(
        self,
        members: Sequence[Predictor],
        weights: Sequence[float],
        sensors: Sequence[Sensor],
        classes: int,
        apart: bool = False,
    ):
        self.sensors = tuple(sensors)
        self.halo = max(member.halo for member in members)
        self.batch_size = min(member.batch_size for member in members)
        self._members, self._weights = tuple(members), tuple(map(float, weights))
        self._classes, self._apart = classes, apart
        self._everywhere = all(set(m.sensors) == set(self.sensors) for m in members)

    def predict(self, examples: list[Example], group: int = 0) -> list[np.ndarray]:
        """Probabilities float32 [H, W, classes], or [H, W, (1 + members) x classes] if apart."""
        del group
        shapes = [example["wanted"].shape for example in examples]
        totals = [np.zeros((*shape, self._classes)) for shape in shapes]
        seen = [np.zeros((*shape, 1)) for shape in shapes]
        alone: list[list[np.ndarray]] = [[] for _ in examples]
        for member, weight in zip(self._members, self._weights, strict=True):
            if not weight and not self._apart and self._everywhere:
                continue
            answers = member.predict(examples)
            for i, (example, answer) in enumerate(zip(examples, answers, strict=True)):
                there = self._there(member, weight, example)
                # Where a member has seen nothing, its answer may be anything.
                totals[i] += np.where(there > 0, there * answer.astype(np.float64), 0)
                seen[i] += there
                if self._apart:
                    alone[i].append(answer)
        out = []
        for total, weights, own in zip(totals, seen, alone, strict=True):
            mean = np.divide(total, weights, out=np.zeros_like(total), where=weights > 0)
            out.append(np.concatenate([mean.astype(np.float32), *own], -1))
        return out

    def _there(self, member: Predictor, weight: float, example: Example) -> np.ndarray:
        """float64 [H, W, 1], the member's weight where its sensors have seen a pixel."""
        if self._everywhere:
            return np.full((*example["wanted"].shape, 1), weight)
        # Of pixels that only members without weight have seen, these are all there is to ask.
        least = float(np.finfo(np.float32).tiny)
        sight = pixel_lib.seen(example["pixels"], member.sensors)
        there: np.ndarray = np.where(sight, max(weight, least), 0.0)[..., None]
        return there
