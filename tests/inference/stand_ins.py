"""Functions that stand in for networks."""

from collections.abc import Callable

import numpy as np

from cropmap_jax.geo.sensors import SENTINEL


class StandIn:
    """A function of examples as a `Predictor`; remembers which examples it was given.

    Args:
      function: examples to probabilities.
      halo, batch_size, per_group, sensors: of the predictor.
    """

    def __init__(
        self,
        function: Callable[[list], list],
        halo: int = 16,
        batch_size: int = 2,
        per_group: bool = False,
        sensors=SENTINEL,
    ):
        self._function = function
        self.halo, self.batch_size = halo, batch_size
        self.per_group, self.sensors = per_group, sensors
        self.batches: list[list[tuple[int, int]]] = []
        self.groups: list[int] = []
        self.wanted: list[int] = []

    def predict(self, examples: list, group: int = 0) -> list[np.ndarray]:
        assert 0 < len(examples) <= self.batch_size
        self.batches.append([e["wanted"].shape for e in examples])
        self.groups.append(group)
        self.wanted += [int(e["wanted"].sum()) for e in examples]
        return self._function(examples)
