"""All that is counted of a split in one pass over its cubes: pixels, fields, groups, maps.

A *column* is a crop as of its own dates: several dates of one crop are several columns, and those
that share a window share what is predicted.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation import cube_predictions
from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.evaluation.groups import Counts, Groups
from cropmap_jax.evaluation.map_scores import MapTally
from cropmap_jax.evaluation.metrics import CropTally
from cropmap_jax.evaluation.partial import Unknown
from cropmap_jax.evaluation.whole_fields import Sums
from cropmap_jax.geo.legend import IGNORE
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.inference.smoothing import Smoothing

UNITS = ("pixels", "fields")

OnCube = Callable[[CubePrediction], None]
Span = tuple[int, int] | None
"""Smallest and largest effective lead in days, None without a harvest date."""


@dataclasses.dataclass
class Method:
    """What is counted of one method.

    Args:
      columns: class index of each column.
      thresholds: float [columns, rules] at which groups are counted; None: they are not.
      maps: of some columns in a row, (first column, tally): the map that they make.
      unknown: counts ground that is not annotated; all pixels must be predicted for that.
      on_cube: called with the prediction of each cube.

    Attributes:
      tallies: of each column.
      counts: by unit int64 [groups, columns, rules, 4], see `groups.Counts`; empty without
        thresholds. Set by `tally`.
      groups_of_pixels: the group of each number that pixels were added with. Set by `tally`.
      order: int64 [groups], see `Groups.order`. Set by `tally`.
    """

    columns: list[int]
    thresholds: np.ndarray | None = None
    maps: Sequence[tuple[int, MapTally]] = ()
    unknown: Unknown | None = None
    on_cube: OnCube | None = None
    counts: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    groups_of_pixels: np.ndarray | None = None
    order: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.tallies = [CropTally() for _ in self.columns]
        self._sums = Sums(self.columns)
        self._grouped = None if self.thresholds is None else Counts(self.thresholds)

    def add(
        self,
        prediction: CubePrediction,
        number: np.ndarray,
        group: np.ndarray,
        sensors: Sequence[Sensor],
    ) -> None:
        """Adds a cube.

        Args:
          prediction: of the columns.
          number, group: int64 [H, W], from `Groups.add`.
          sensors: that the network takes.
        """
        label, probability, seen = prediction.label, prediction.probability, prediction.seen
        for i, crop in enumerate(self.columns):
            self.tallies[i].add_pixels(probability[..., i], label, crop, seen[..., i])
            _note_images(self.tallies[i], prediction, i, sensors)
        self._sums.add(number, label, probability, seen)
        known = label != IGNORE
        if self._grouped is not None:
            truth = label[known][:, None] == np.array(self.columns)
            self._grouped.add(group[known], probability[known], truth, seen[known])
        for first, one in self.maps:
            own = cube_predictions.columns(prediction, first, first + one.classes)
            one.add(own, group)
        if self.unknown:
            self.unknown.add(prediction)
        if self.on_cube:
            self.on_cube(prediction)

    def finish(self, groups: Groups) -> None:
        """Adds whole fields, after all cubes."""
        member = groups.pieces.members()
        whole, of = self._sums.whole(member), groups.of_fields(member)
        positive = whole.hits > 0.5 * whole.size
        self.groups_of_pixels, self.order = groups.members(member), groups.order(member)
        for i, tally in enumerate(self.tallies):
            there = whole.size[:, i] > 0
            unseen = int((~there).sum())
            tally.add_fields(whole.mean[there, i], positive[there, i], unseen)
        for first, one in self.maps:
            one.finish(whole.columns(first, first + one.classes), groups.cubes(member), of)
        if self._grouped is not None and self.thresholds is not None:
            count, fields = groups.count(member), Counts(self.thresholds)
            fields.add(of, whole.mean.astype(np.float32), positive, whole.size > 0)
            self.counts = {
                "pixels": self._grouped.total(self.groups_of_pixels, count),
                "fields": fields.total(np.arange(count), count),
            }


def tally(
    predictor: Predictor,
    split: str,
    data: Dataset,
    num_periods: int,
    dates: np.ndarray,
    methods: Sequence[Method],
    shown: cube_predictions.Shown = lambda index, label: False,
    smoothed: Smoothing | None = None,
) -> tuple[list[Span], Groups]:
    """Predicts a split once and counts it for several methods that one predictor asks together.

    Args:
      predictor: whose answers are the probabilities of all classes by the first method, then by the
        second, and so on, see `CombinedPredictor`.
      split, data, num_periods: what to predict, and from how many periods.
      dates: int [cubes, columns] as-of dates.
      methods: of the same columns; they are filled.
      shown, smoothed: see `cube_predictions.predict_dataset`.

    Returns:
      Of each column its effective leads; and the groups of the split.
    """
    columns, classes = methods[0].columns, len(data.legend)
    leads: list[list[int]] = [[] for _ in columns]
    groups = Groups(data, split)
    found = cube_predictions.predict_dataset(
        predictor,
        split,
        data,
        num_periods,
        [method * classes + crop for method in range(len(methods)) for crop in columns],
        np.tile(dates, (1, len(methods))),
        shown,
        smoothed,
        unknown=any(one.unknown for one in methods),
    )
    for together in found:
        number, group = groups.add(together.index, together.label, together.fields)
        each = cube_predictions.by_method(together, len(methods))
        for prediction, own in zip(each, methods, strict=True):
            own.add(prediction, number, group, predictor.sensors)
        for i, lead in enumerate(cube_predictions.leads(data, each[0], columns)):
            if lead is not None:
                leads[i].append(lead)
    for own in methods:
        own.finish(groups)
    return [(min(s), max(s)) if s else None for s in leads], groups


def _note_images(
    tally: CropTally, prediction: CubePrediction, i: int, sensors: Sequence[Sensor]
) -> None:
    """Adds to a column's tally which images of a cube its scores rest on."""
    seen, name = prediction.sensors[i], prediction.cube_id
    tally.sensors |= seen
    for sensor in {one.name for one in sensors} - seen if seen else ():
        tally.lacking.setdefault(sensor, []).append(name)
    if prediction.gap[i]:
        tally.gaps[name] = prediction.gap[i]
