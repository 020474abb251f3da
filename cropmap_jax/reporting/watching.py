"""Reliability, counted while a split is predicted for something else."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation import cube_predictions
from cropmap_jax.evaluation.as_of_plan import Plan
from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.evaluation.dated import Outputs
from cropmap_jax.evaluation.reliability import CropReliability, MapReliability
from cropmap_jax.evaluation.split_tally import OnCube
from cropmap_jax.runs.calibration import Stored
from cropmap_jax.training.checkpoints import Restored


class Watcher:
    """Counts how far probabilities can be trusted, as cubes are predicted.

    Crop by crop at one step of the curve, as it is scored; and of the map of one date, without the
    calibration of the run, and with it where there is one.

    Args:
      restored, data: the run and the dataset.
      stored: its calibration, or None.
    """

    def __init__(self, restored: Restored, data: Dataset, stored: Stored | None):
        recipe = restored.recipe
        self._data, self._stored = data, stored
        self._outputs = Outputs(len(recipe.legend), recipe.exclusive, recipe.none_of_these)
        self._crops: CropReliability | None = None
        self._maps: dict[str, MapReliability] = {}

    def of_crops(self, plan: Plan, step: int) -> OnCube:
        """What watches the curve: crops of a step."""
        own = plan.of_step(step)
        crops = [plan.classes[k] for k in own]
        names = [self._data.legend.names[crop] for crop in crops]
        none = self._outputs.has_none or not self._outputs.exclusive
        watched = self._crops = CropReliability(names, none)

        def look(found: CubePrediction) -> None:
            part = cube_predictions.columns(found, own[0], own[-1] + 1)
            watched.add(part, crops)

        return look

    def of_map(self, found: CubePrediction) -> None:
        """Watches the map of one date: all classes."""
        if not self._outputs.exclusive:
            return
        each: dict[str, tuple[CubePrediction, Mapping[float, float | None]]] = {
            "before": (found, {})
        }
        if self._stored:
            # Without the correction of shares: annotated pixels show what annotation shows.
            plain = self._stored.among_annotated.calibration
            after = dataclasses.replace(found, probability=plain(found.probability))
            each["after"] = (after, self._stored.thresholds)
        planting = self._data.planting[found.index]
        possible = (planting == 0) | (planting <= found.as_of[0])
        block = self._data.cubes[found.index]["block"]
        for name, (prediction, thresholds) in each.items():
            if name not in self._maps:
                self._maps[name] = MapReliability(self._outputs, thresholds)
            self._maps[name].add(prediction, block, possible)

    def to_json(self) -> dict[str, Any]:
        """See `content`."""
        return {
            "calibration": self._stored.describe() if self._stored else None,
            "map": {name: one.to_json() for name, one in self._maps.items()} or None,
            "crops": self._crops.to_json() if self._crops else None,
        }
