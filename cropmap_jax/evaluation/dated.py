"""All probabilities of annotated pixels, as of the date of every crop: what calibration looks at.

`evaluate` asks about each crop as of its own date. A calibration needs to know more: what all
classes say together on that date, since exclusive probabilities are rescaled together.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation import as_of_groups, cube_predictions
from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.inference.predictors import Predictor

MOST_ROWS = 400_000
"""Rows (annotated pixels times dates) that a calibration is fitted on; of more, every second,
third, ... pixel of each field."""


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What a run's probabilities are of.

    Args:
      classes: how many the legend has.
      exclusive, none_of_these: see `losses.Loss`.
    """

    classes: int
    exclusive: bool
    none_of_these: bool

    @property
    def has_none(self) -> bool:
        """Whether none of these is a column of its own."""
        return self.exclusive and self.none_of_these

    @property
    def columns(self) -> int:
        """Of `whole`."""
        return self.classes + self.has_none

    def whole(self, probability: np.ndarray, possible: np.ndarray | None = None) -> np.ndarray:
        """What counts of probabilities, as a map counts it (`decision.shares`).

        Args:
          probability: float32 [..., classes].
          possible: bool [classes], which can be there; None for all.

        Returns:
          float32 [..., columns], none of these last where it has a column; 0 where a class cannot
          be there. Exclusive ones add up to 1.
        """
        known = probability if possible is None else np.where(possible, probability, 0)
        if not self.exclusive:
            return np.asarray(known, np.float32)
        if self.has_none:
            rest = np.maximum(1 - probability.sum(-1, keepdims=True), 0)
            known = np.concatenate([known, rest], -1)
        total = np.maximum(known.sum(-1, keepdims=True), np.finfo(np.float32).tiny)
        shares: np.ndarray = (known / total).astype(np.float32)
        return shares


@dataclasses.dataclass(frozen=True)
class Dated:
    """A cube, predicted as of one date for all classes.

    Args:
      group: number of the group of crops whose date it is.
      crops: class indices of the group.
      prediction: probabilities of all classes.
      possible: bool [classes], which are planted by then.
    """

    group: int
    crops: tuple[int, ...]
    prediction: CubePrediction
    possible: np.ndarray


def by_date(
    predictor: Predictor, split: str, data: Dataset, num_periods: int, dates: np.ndarray
) -> Iterator[list[Dated]]:
    """Predicts every annotated pixel of a split as of every date that some crop has.

    Args:
      predictor: of a run; if it answers with more than the classes, these are not looked at.
      split: which split.
      data: the dataset.
      num_periods: periods of the window.
      dates: int [cubes, classes], as-of date of each class.

    Yields:
      For each cube one `Dated` per group of crops that share their windows in every cube.
    """
    classes = len(data.legend)
    groups = as_of_groups.window_groups(data, dates)
    wide = np.concatenate([np.repeat(dates[:, own[:1]], classes, 1) for own in groups], 1)
    columns = list(range(classes)) * len(groups)
    found = cube_predictions.predict_dataset(
        predictor, split, data, num_periods, columns, wide, lambda index, label: False
    )
    for together in found:
        each = cube_predictions.by_method(together, len(groups))
        planting = data.planting[together.index]
        yield [
            Dated(
                group,
                tuple(int(i) for i in own),
                one,
                # As `Cube.planted`: what has no date is there all year.
                (planting == 0) | (planting <= one.as_of[0]),
            )
            for group, (own, one) in enumerate(zip(groups, each, strict=True))
        ]


@dataclasses.dataclass(frozen=True)
class Pixels:
    """Annotated pixels of a cube that were seen.

    Args:
      rows, cols: int [N].
      label: int64 [N], class index or NONE_OF_THESE.
      field: int64 [N], number of the field within the cube, from 0. Annotated ground without a
        field is, class by class, as good as one.
      weight: float64 [N], so that all n pixels of a field count as sqrt(n) together, however many
        of them are looked at.
    """

    rows: np.ndarray
    cols: np.ndarray
    label: np.ndarray
    field: np.ndarray
    weight: np.ndarray


def pixels_of(prediction: CubePrediction, every: int = 1) -> Pixels:
    """The annotated pixels of a cube that were seen.

    Args:
      prediction: the cube.
      every: look at the first pixel of each field, and every so many after it.
    """
    rows, cols = np.nonzero((prediction.label != IGNORE) & prediction.seen.any(-1))
    label = prediction.label[rows, cols].astype(np.int64)
    ids = prediction.fields[rows, cols].astype(np.int64)
    _, field, sizes = np.unique(
        np.where(ids > 0, ids, -1 - label), return_inverse=True, return_counts=True
    )
    field = field.ravel()
    order = np.argsort(field, kind="stable")
    rank = np.empty(len(field), np.int64)
    rank[order] = np.arange(len(field)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = rank % every == 0
    rows, cols, label, field = rows[kept], cols[kept], label[kept], field[kept]
    weight = np.sqrt(sizes)[field] / np.bincount(field, minlength=len(sizes))[field]
    return Pixels(rows, cols, label, field, weight)


@dataclasses.dataclass(frozen=True)
class Sample:
    """Rows to fit on: one per annotated pixel and date.

    A pixel of a class that is not planted by a date has no row of that date.

    Args:
      outputs: what the columns are.
      probability: float32 [N, columns], from `Outputs.whole`.
      possible: bool [N, classes], which classes are planted by the date of the row.
      truth: int64 [N], class index, or `classes` for none of these.
      weight: float64 [N], see `Pixels`; a date counts as often as there are crops that have it.
      field: int64 [N], number of the field, from 0.
      block: int64 [N], number of the block, from 0.
      group: int64 [N], number of the date.
      groups: class indices of the crops that have each date.
    """

    outputs: Outputs
    probability: np.ndarray
    possible: np.ndarray
    truth: np.ndarray
    weight: np.ndarray
    field: np.ndarray
    block: np.ndarray
    group: np.ndarray
    groups: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.truth)

    def of(self, chosen: np.ndarray) -> "Sample":
        """Some of the rows."""
        return dataclasses.replace(
            self,
            probability=self.probability[chosen],
            possible=self.possible[chosen],
            truth=self.truth[chosen],
            weight=self.weight[chosen],
            field=self.field[chosen],
            block=self.block[chosen],
            group=self.group[chosen],
        )

    @property
    def fields(self) -> int:
        """How many fields there are."""
        return len(np.unique(self.field))

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return len(np.unique(self.block))

    def fields_of(self) -> np.ndarray:
        """int64 [classes + 1], fields with a pixel of each class, and of none of these."""
        pairs = np.unique(np.stack([self.field, self.truth]), axis=1)
        return np.bincount(pairs[1], minlength=self.outputs.classes + 1)


def gather(
    predictor: Predictor,
    outputs: Outputs,
    split: str,
    data: Dataset,
    num_periods: int,
    dates: np.ndarray,
    progress: Callable[[], None] = lambda: None,
) -> Sample:
    """The rows of a split.

    Args:
      predictor, split, data, num_periods, dates: see `by_date`.
      outputs: of the run.
      progress: called after each cube.
    """
    groups = as_of_groups.window_groups(data, dates)
    rows = int(data.split(split).annotated.sum()) * len(groups)
    every = max(1, -(-rows // MOST_ROWS))
    names = sorted({str(cube["block"]) for cube in data.cubes})
    # A split without any cube has no rows, of the same shape.
    parts: list[tuple[np.ndarray, ...]] = [
        (
            np.zeros((0, outputs.columns), np.float32),
            np.zeros((0, outputs.classes), bool),
            np.zeros(0, np.int64),
            np.zeros(0),
            *(np.zeros(0, np.int64) for _ in range(3)),
        )
    ]
    fields = 0
    for cube in by_date(predictor, split, data, num_periods, dates):
        block = names.index(str(data.cubes[cube[0].prediction.index]["block"]))
        most = 0
        for one in cube:
            part = _rows(one, outputs, every)
            most = max(most, int(part[4].max(initial=-1)) + 1)
            count = len(part[2])
            own = (part[4] + fields, np.full(count, block), np.full(count, one.group))
            parts.append((*part[:4], *own))
        fields += most
        progress()
    names_of = ("probability", "possible", "truth", "weight", "field", "block", "group")
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    of_crops = tuple(tuple(int(i) for i in own) for own in groups)
    return Sample(outputs, groups=of_crops, **dict(zip(names_of, columns, strict=True)))


def _rows(
    one: Dated, outputs: Outputs, every: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Probability, possible, truth, weight and field of a cube as of one date."""
    found = pixels_of(one.prediction, every)
    truth = np.where(found.label == NONE_OF_THESE, outputs.classes, found.label)
    kept = np.append(one.possible, outputs.has_none or not outputs.exclusive)[truth]
    given = one.prediction.probability[found.rows[kept], found.cols[kept]]
    return (
        outputs.whole(given, one.possible),
        np.broadcast_to(one.possible, (len(given), outputs.classes)),
        truth[kept],
        found.weight[kept] * len(one.crops),
        found.field[kept],
    )
