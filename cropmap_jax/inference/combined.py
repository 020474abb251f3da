"""Several predictors as one: the weighted mean of their log-probabilities."""

from collections.abc import Sequence

import numpy as np

from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference import pixels as pixel_lib
from cropmap_jax.inference.pools import Pool
from cropmap_jax.inference.predictors import Example, Predictor


class CombinedPredictor:
    """Asks several predictors about the same chips; a `Predictor`.

    Each pixel is answered by the members that have seen it, by their weights, see `Pool`. A member
    whose sensors show nothing of a pixel has no part in it, as alone it would not map it. Chips
    have the largest halo of all, so each member sees at least as much as it would alone.

    Args:
      members: the predictors, none with models per group of dates.
      weights: of each, not negative, at least one above 0.
      sensors: of all members together.
      classes: how many the legend has.
      pool: how their answers become one; by default each class alone.
      apart: answer with the members' own probabilities behind the one, as further classes.
    """

    per_group = False

    def __init__(
        self,
        members: Sequence[Predictor],
        weights: Sequence[float],
        sensors: Sequence[Sensor],
        classes: int,
        pool: Pool | None = None,
        apart: bool = False,
    ):
        self.sensors = tuple(sensors)
        self.halo = max(member.halo for member in members)
        self.batch_size = min(member.batch_size for member in members)
        self._members, self._weights = tuple(members), tuple(map(float, weights))
        self._classes, self._pool, self._apart = classes, pool or Pool(), apart
        self._everywhere = all(set(m.sensors) == set(self.sensors) for m in members)

    def predict(self, examples: list[Example], group: int = 0) -> list[np.ndarray]:
        """Probabilities float32 [H, W, classes], or [H, W, (1 + members) x classes] if apart."""
        del group
        shapes = [example["wanted"].shape for example in examples]
        totals: list[np.ndarray | float] = [0.0] * len(examples)
        seen = [np.zeros((*shape, 1)) for shape in shapes]
        alone: list[list[np.ndarray]] = [[] for _ in examples]
        for member, weight in zip(self._members, self._weights, strict=True):
            if not weight and not self._apart and self._everywhere:
                continue
            answers = member.predict(examples)
            for i, (example, answer) in enumerate(zip(examples, answers, strict=True)):
                there = self._there(member, weight, example)
                # Where a member has seen nothing, its answer may be anything.
                totals[i] = totals[i] + np.where(there > 0, there * self._pool.evidence(answer), 0)
                seen[i] += there
                if self._apart:
                    alone[i].append(answer)
        out = []
        for total, weights, own in zip(totals, seen, alone, strict=True):
            mean = self._pool.probability(total / np.where(weights > 0, weights, 1))
            found = np.where(weights > 0, mean, 0).astype(np.float32)
            out.append(np.concatenate([found, *own], -1))
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
