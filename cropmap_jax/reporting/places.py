"""Maps of some places as of several dates: which places, which dates, and their pictures."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyproj
from scipy import ndimage

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation import cube_predictions
from cropmap_jax.evaluation.as_of_plan import Step
from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.geo import periods
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE
from cropmap_jax.inference.dataset_source import DatasetSource
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.inference.smoothing import Smoothing
from cropmap_jax.mapping import decision
from cropmap_jax.reporting import pictures

MOST_PX = 160
"""Longest side of a picture; of larger cubes every second, third, ... pixel is shown."""
LARGEST_PX = 1000
"""Longest side of a cube that is shown: all of it is predicted, as of every date."""
MARKS = 24
"""Fields that bear the number of their class."""

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A place to show.

    Args:
      cube: its number in the dataset.
      crop: the class that most of its annotated pixels with a harvest date are of; None: no class.
    """

    cube: int
    crop: int | None


def choose(data: Dataset, split: str, most: int) -> tuple[list[Chosen], str | None]:
    """Places to show: of each block the cube of most classes, then of most annotated pixels.

    Blocks take turns, so that places lie apart.

    Args:
      data: the dataset.
      split: which is scored.
      most: how many.

    Returns:
      The places, and what was left out, in words.
    """
    source, found = DatasetSource(data, split), []
    large = 0
    table = data.split(split)
    for index in np.unique(table.cube[table.annotated > 0]).tolist():
        if max(data.cubes[index]["shape"]) > LARGEST_PX:
            large += 1
            continue
        label = source.label(index)
        counts = np.bincount(label[label < len(data.legend)], minlength=len(data.legend))
        dated = np.where(data.harvest[index] > 0, counts, 0)
        main = int(dated.argmax()) if dated.any() else None
        found.append((Chosen(index, main), (counts > 0).sum(), (label != IGNORE).sum()))
    blocks: dict[str, list[Chosen]] = {}
    for one, *_ in sorted(found, key=lambda f: (-f[1], -f[2], f[0].cube)):
        blocks.setdefault(data.cubes[one.cube]["block"], []).append(one)
    turns = [(turn, name, one) for name in sorted(blocks) for turn, one in enumerate(blocks[name])]
    kept = [one for _, _, one in sorted(turns, key=lambda t: t[:2])[:most]]
    left = len(found) - len(kept)
    words = []
    if left > 0:
        words.append(f"{left} further place{'s' * (left > 1)} with known fields")
    if large:
        words.append(f"{large} larger than {LARGEST_PX} pixels a side")
    return kept, "; ".join(words) or None


def dates_of(data: Dataset, chosen: Sequence[Chosen], steps: Sequence[Step]) -> np.ndarray:
    """As-of date of each place and step, int64 [places, steps]; 0 where there is none.

    A lead counts from the harvest of the place's main crop: a map shows all classes as of one date.
    """
    out = np.zeros((len(chosen), len(steps)), np.int64)
    for row, one in enumerate(chosen):
        harvest = 0 if one.crop is None else int(data.harvest[one.cube, one.crop])
        for col, step in enumerate(steps):
            if step.as_of is not None:
                out[row, col] = step.as_of
            elif harvest:
                out[row, col] = harvest - (step.lead_days or 0)
    return out


@dataclasses.dataclass(frozen=True)
class Maps:
    """How maps are made.

    Args:
      predictor: as `predict` uses it.
      data, split, num_periods: what to predict, and from how many periods.
      steps: points of the slider, in the order of time.
      exclusive, none_of_these: of the run, see `decision.Rule`.
      smoothed: as scores are.
      confidence: colours of confidence, `pictures.LEVELS` of them.
    """

    predictor: Predictor
    data: Dataset
    split: str
    num_periods: int
    steps: Sequence[Step]
    exclusive: bool
    none_of_these: bool
    smoothed: Smoothing | None
    confidence: list[str]

    def draw(self, chosen: Sequence[Chosen]) -> list[Row]:
        """Predicts the places and draws them, in their order; see `content` for what a row is."""
        data, steps, classes = self.data, self.steps, len(self.data.legend)
        if not chosen:
            return []
        dates = dates_of(data, chosen, steps)
        first = np.array([data.periods(one.cube)[0, 1] for one in chosen])
        # A date without any image is not asked about: the first image's is, and not shown.
        asked = np.maximum(dates, first[:, None])
        rows = np.broadcast_to(asked[:1], (len(data.cubes), len(steps))).copy()
        rows[[one.cube for one in chosen]] = asked
        found = cube_predictions.predict_dataset(
            self.predictor, self.split, data, self.num_periods,
            list(range(classes)) * len(steps), np.repeat(rows, classes, 1),
            smoothed=self.smoothed, only={one.cube for one in chosen},
        )  # fmt: skip
        drawn = {}
        for prediction in found:
            at = next(i for i, one in enumerate(chosen) if one.cube == prediction.index)
            drawn[at] = self._place(chosen[at], prediction, dates[at], int(first[at]))
        return [drawn[i] for i in range(len(chosen))]

    def _place(self, one: Chosen, prediction: CubePrediction, dates: np.ndarray, first: int) -> Row:
        data, classes = self.data, len(self.data.legend)
        cube, legend = data.cubes[one.cube], data.legend
        height, width = prediction.label.shape
        every = -(-max(height, width) // MOST_PX)
        thin = (slice(None, None, every),) * 2
        small = prediction.label[thin]
        pixel = float(cube["transform"][0])
        harvest = 0 if one.crop is None else int(data.harvest[one.cube, one.crop])
        each = cube_predictions.by_method(prediction, len(self.steps))
        light = np.concatenate([p.rgb[0][np.isfinite(p.rgb[0])] for p in each])
        low, high = np.percentile(light, (2, 98)).tolist() if len(light) else (0.0, 0.3)
        steps = []
        for step, date, own in zip(self.steps, dates.tolist(), each, strict=True):
            row: Row = step.to_json() | {"date": None, "reason": None}
            if not date:
                row["reason"] = "no harvest date is known here"
            elif date < first:
                row["date"] = periods.from_day(date).isoformat()
                row["reason"] = "no image yet"
            else:
                row |= self._step(one.cube, own, date, thin)
                row["image"] = pictures.photograph(own.rgb[0][thin], low, high)
            steps.append(row)
        return {
            "id": cube["id"],
            "block": cube["block"],
            "province": cube.get("province") or None,
            "season": cube["season"],
            "where": _where(cube),
            "width_m": width * pixel,
            "height_m": height * pixel,
            "width": small.shape[1],
            "height": small.shape[0],
            "every": every,
            "crop": None if one.crop is None else legend.names[one.crop],
            "harvest": periods.from_day(harvest).isoformat() if harvest else None,
            "annotated": int((prediction.label != IGNORE).sum()),
            "pixels": height * width,
            "known": pictures.classes(small, classes, NONE_OF_THESE),
            "marks": _marks(small, classes),
            "steps": steps,
        }

    def _step(self, index: int, own: CubePrediction, date: int, thin: tuple[slice, slice]) -> Row:
        planting = self.data.planting[index]
        possible = (planting == 0) | (planting <= date)
        seen = np.asarray(own.seen.any(axis=-1))
        label = own.label
        row: Row = {
            "date": periods.from_day(date).isoformat(),
            "window_end": periods.from_day(int(own.window_end[0])).isoformat(),
            "seen": float(seen.mean()),
        }
        if not possible.any():
            return row | {"reason": "no crop of the legend is planted yet"}
        if not seen.any():
            return row | {"reason": "no image shows this place"}
        given = np.where(seen[..., None], own.probability, np.nan)
        # 0.5 is what predict takes by default where classes do not exclude each other.
        crop, sure = decision.decide(given, possible, self.exclusive, 0.5, self.none_of_these)
        classes = len(self.data.legend)
        # Bare ground can be taken for no crop: fields that are sown later are not counted.
        there = np.append(possible, True)[np.minimum(label, classes)]
        known = (label != IGNORE) & (crop != IGNORE) & there
        return row | {
            "prediction": pictures.classes(crop[thin], classes, NONE_OF_THESE),
            "confidence": pictures.confidence(sure[thin], self.confidence, IGNORE),
            "right": float((crop == label)[known].mean()) if known.any() else None,
            "sure": float(sure[crop != IGNORE].mean()) / decision.PERCENT,
            "sure_right": _mean(sure[known & (crop == label)]),
            "sure_wrong": _mean(sure[known & (crop != label)]),
            "not_planted": [
                n for n, there in zip(self.data.legend.names, possible, strict=True) if not there
            ],
        }


def _mean(percent: np.ndarray) -> float | None:
    return float(percent.mean()) / decision.PERCENT if percent.size else None


def _marks(label: np.ndarray, classes: int) -> list[Row]:
    """Where the numbers of classes are written: in the widest part of the largest known fields."""
    found = []
    for index in np.unique(label[label < classes]).tolist():
        areas, count = ndimage.label(label == index)
        # A frame of nothing, so that the edge of the picture counts as an edge.
        depth = ndimage.distance_transform_edt(np.pad(label == index, 1))[1:-1, 1:-1]
        if not count:
            continue
        for row, col in ndimage.maximum_position(depth, areas, np.arange(1, count + 1)):
            found.append((float(depth[row, col]), index, int(row), int(col)))
    found = [one for one in sorted(found, reverse=True) if one[0] >= 2][:MARKS]
    most = 0.07 * max(label.shape)
    return [
        {"class": i, "x": col + 0.5, "y": row + 0.5, "size": round(min(most, 2 * deep), 1)}
        for deep, i, row, col in found
    ]


def _where(cube: Row) -> str:
    """The centre, for people: "36.62° N, 45.10° E"."""
    pixel, _, left, _, down, top = cube["transform"]
    height, width = cube["shape"]
    to_degrees = pyproj.Transformer.from_crs(cube["crs"], "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(left + width * pixel / 2, top + height * down / 2)
    if not (math.isfinite(lon) and math.isfinite(lat)):
        return "unknown"
    return f"{abs(lat):.2f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.2f}° {'E' if lon >= 0 else 'W'}"
