"""Do probabilities mean what they say? Sums over pixels, in memory that does not grow with them.

For a map as of one date (`MapReliability`, classes that exclude each other) and crop by crop, each
as of its own date (`CropReliability`). Cubes are added as they come, and sums of several processes,
folds or seeds can be added up. `to_json` has what a report shows; see docs/calibration.md.

Sources: expected calibration error of the most probable class: Guo et al. 2017 (ICML); of each
class, and their mean: Nixon et al. 2019 (CVPR workshops). Brier score: Brier 1950, Monthly Weather
Review 78; over all classes, 0 to 2. Others: see `histograms`.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from cropmap_jax.evaluation import conformal, dated
from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.evaluation.dated import Outputs
from cropmap_jax.evaluation.histograms import Histogram, Row
from cropmap_jax.geo.legend import NONE_OF_THESE

SURELY = 1e-6
"""What a probability of 0 counts as in a log loss."""


@dataclasses.dataclass
class Sets:
    """How often conformal sets hold the truth, and how large they are; sums of weights.

    Attributes:
      covered, size, empty, weight: of all pixels.
    """

    covered: float = 0.0
    size: float = 0.0
    empty: float = 0.0
    weight: float = 0.0

    def add(self, inside: np.ndarray, right: np.ndarray, weight: np.ndarray) -> None:
        """Adds sets bool [N, columns], the true column int [N] and weights float [N]."""
        sizes = inside.sum(1)
        self.covered += float(weight @ inside[np.arange(len(right)), right])
        self.size += float(weight @ sizes)
        self.empty += float(weight @ (sizes == 0))
        self.weight += float(weight.sum())

    def merge(self, other: "Sets") -> None:
        """Adds another's sums."""
        for one in dataclasses.fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def to_json(self) -> Row:
        """Shares: `covered` and `empty` of pixels, mean `size`; None where there is no pixel."""
        parts = {"covered": self.covered, "size": self.size, "empty": self.empty}
        return {k: v / self.weight if self.weight else None for k, v in parts.items()}


class MapReliability:
    """Of maps: all classes as of one date, exclusive ones.

    A pixel counts as 1 / sqrt(pixels of its field), as in fitting; `ece_pixels` counts pixels
    alike. Pixels of a class that is not planted by the date are left out: no map shows it.

    Args:
      outputs: of the run; exclusive.
      thresholds: by stated coverage, from `conformal.threshold`; empty for no sets.
    """

    def __init__(self, outputs: Outputs, thresholds: Mapping[float, float | None] | None = None):
        if not outputs.exclusive:
            raise ValueError("expected exclusive classes, found classes that do not exclude others")
        self.outputs, self.thresholds = outputs, dict(thresholds or {})
        self.top, self.alike = Histogram(), Histogram()
        self.blocks: dict[str, Histogram] = {}
        self.sets: dict[float, dict[str, Sets]] = {level: {} for level in self.thresholds}
        self.loss = self.brier = 0.0

    def add(
        self,
        prediction: CubePrediction,
        block: str,
        possible: np.ndarray | None = None,
        weight: float = 1.0,
    ) -> None:
        """Adds a cube, predicted as of one date for all classes.

        Args:
          prediction: the cube.
          block: where it lies.
          possible: bool [classes], which are planted by then; None for all.
          weight: of its pixels, e.g. how many crops have this date.
        """
        found = dated.pixels_of(prediction)
        truth = np.where(found.label == NONE_OF_THESE, self.outputs.classes, found.label)
        there = np.ones(self.outputs.classes, bool) if possible is None else possible
        kept = np.append(there, self.outputs.has_none)[truth]
        given = prediction.probability[found.rows[kept], found.cols[kept]]
        self.add_rows(
            self.outputs.whole(given, there),
            truth[kept],
            found.weight[kept] * weight,
            block,
            np.append(there, True)[: self.outputs.columns],
            weight,
        )

    def add_rows(
        self,
        whole: np.ndarray,
        truth: np.ndarray,
        weight: np.ndarray,
        block: str,
        possible: np.ndarray,
        alike: float = 1.0,
    ) -> None:
        """Adds pixels.

        Args:
          whole: float32 [N, columns], from `Outputs.whole`.
          truth: int [N], column.
          weight: float [N].
          block: where they lie.
          possible: bool [columns] or [N, columns].
          alike: weight of each where pixels count alike.
        """
        if not len(truth):
            return
        most, rows = whole.argmax(1), np.arange(len(truth))
        said, so = whole[rows, most], most == truth
        self.top.add(said, so, weight)
        self.alike.add(said, so, np.full(len(truth), alike))
        self.blocks.setdefault(block, Histogram()).add(said, so, weight)
        right = whole[rows, truth].astype(np.float64)
        self.loss -= float(weight @ np.log(np.clip(right, SURELY, 1)))
        square = (whole.astype(np.float64) ** 2).sum(1) - 2 * right + 1
        self.brier += float(weight @ square)
        for level, t in self.thresholds.items():
            inside = conformal.sets(whole, t, possible)
            self.sets[level].setdefault(block, Sets()).add(inside, truth, weight)

    def merge(self, other: "MapReliability") -> None:
        """Adds another's sums, of the same run."""
        self.top.merge(other.top)
        self.alike.merge(other.alike)
        self.loss, self.brier = self.loss + other.loss, self.brier + other.brier
        for name, own in other.blocks.items():
            self.blocks.setdefault(name, Histogram()).merge(own)
        for level, by_block in other.sets.items():
            for name, sets in by_block.items():
                self.sets.setdefault(level, {}).setdefault(name, Sets()).merge(sets)

    def to_json(self) -> Row:
        """What a report shows, JSON-ready; values without any pixel are None."""
        total = self.top.total
        curve, area = self.top.abstention()
        return {
            "weight": total,
            "accuracy": float(self.top.true.sum() / total) if total else None,
            "confidence": float(self.top.said.sum() / total) if total else None,
            "ece": self.top.error(),
            "ece_pixels": self.alike.error(),
            "ece_of_blocks": {name: own.error() for name, own in sorted(self.blocks.items())},
            "log_loss": self.loss / total if total else None,
            "brier": self.brier / total if total else None,
            "diagram": self.top.diagram(),
            "abstention": curve,
            "aurc": area,
            "sets": [self._of_level(level) for level in sorted(self.sets)],
        }

    def _of_level(self, level: float) -> Row:
        every = Sets()
        for own in self.sets[level].values():
            every.merge(own)
        blocks = {name: own.to_json()["covered"] for name, own in sorted(self.sets[level].items())}
        stated = {"stated": level, "threshold": self.thresholds.get(level)}
        return stated | every.to_json() | {"covered_of_blocks": blocks}


class CropReliability:
    """Crop by crop, each as of its own date: is this pixel of this crop?

    Args:
      names: of the crops.
      none: whether pixels of none of these are asked about; not where exclusive classes have no
        probability for them.
    """

    def __init__(self, names: Sequence[str], none: bool = True):
        self.names, self._none = tuple(names), none
        self.crops = [Histogram() for _ in names]
        self.loss, self.brier = np.zeros(len(self.names)), np.zeros(len(self.names))

    def add(self, prediction: CubePrediction, crops: Sequence[int]) -> None:
        """Adds a cube.

        Args:
          prediction: its last axis is the crops, each as of its own date.
          crops: their class indices.
        """
        found = dated.pixels_of(prediction)
        for i, crop in enumerate(crops):
            own = prediction.seen[found.rows, found.cols, i]
            if not self._none:
                own &= found.label != NONE_OF_THESE
            given = prediction.probability[found.rows[own], found.cols[own], i]
            self.add_rows(i, given, found.label[own] == crop, found.weight[own])

    def add_rows(self, i: int, given: np.ndarray, so: np.ndarray, weight: np.ndarray) -> None:
        """Adds pixels of crop number i: probability float [N], whether it is so, weight."""
        self.crops[i].add(given, so, weight)
        right = np.where(so, given, 1 - given.astype(np.float64))
        self.loss[i] -= float(weight @ np.log(np.clip(right, SURELY, 1)))
        self.brier[i] += float(weight @ (1 - right) ** 2)

    def merge(self, other: "CropReliability") -> None:
        """Adds another's sums, of the same crops."""
        for own, more in zip(self.crops, other.crops, strict=True):
            own.merge(more)
        self.loss, self.brier = self.loss + other.loss, self.brier + other.brier

    def to_json(self) -> Row:
        """By name of each crop what a report shows; and the mean of their errors."""
        crops = {name: self._of(i) for i, name in enumerate(self.names)}
        errors = [row["ece"] for row in crops.values() if row["ece"] is not None]
        return {"ece": float(np.mean(errors)) if errors else None, "crops": crops}

    def _of(self, i: int) -> Row:
        own = self.crops[i]
        curve, area = own.precision_recall()
        total = own.total
        return {
            "weight": total,
            "share": float(own.true.sum() / total) if total else None,
            "said": float(own.said.sum() / total) if total else None,
            "ece": own.error(),
            "log_loss": float(self.loss[i] / total) if total else None,
            "brier": float(self.brier[i] / total) if total else None,
            "diagram": own.diagram(),
            "precision_recall": curve,
            "average_precision": area,
        }
