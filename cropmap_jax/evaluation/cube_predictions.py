"""Predictions over whole cubes of a dataset, as `predict` would map them on the same dates."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np
from scipy import ndimage

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation.as_of_groups import Job, Views
from cropmap_jax.geo import as_of_windows, legend, periods
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.inference import engine, smoothing
from cropmap_jax.inference.dataset_source import DatasetSource
from cropmap_jax.inference.engine import Engine, Request
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.inference.smoothing import Running, Smoothing
from cropmap_jax.inference.tiling import PART_PX

CHUNK_BYTES = 64 * 2**20
"""Of results of neighbouring cubes that are under way together, so that a date is done in one go.

A larger cube is under way alone.
"""
_RGB = ("B4", "B3", "B2")

Shown = Callable[[int, np.ndarray], bool]
"""Number of a cube and its label, uint8 [H, W], to whether somebody will look at its picture."""


@dataclasses.dataclass(frozen=True)
class CubePrediction:
    """What was predicted over one cube, next to what is known.

    Args:
      index: index into `Dataset.cubes`.
      cube_id: its id.
      probability: float32 [H, W, crops], each crop as of its own date; NaN where nothing was
        wanted or seen.
      as_of: int [crops], the dates of the prediction, days since 1970-01-01.
      window_end: int [crops], end of the last period used.
      label: uint8 [H, W].
      fields: uint32 [H, W].
      rgb: per crop float32 [H, W, 3], reflectance B4 B3 B2, the latest clear value in its window;
        NaN where there is none. Empty if nobody looks at the cube.
      seen: bool [H, W, crops], wanted pixels where any sensor has any value in the crop's window.
      sensors: per crop the sensors with a value in some annotated pixel.
      gap: per crop the days by which the last period with a value in some annotated pixel ends
        before the window does; 0 where there is none.
    """

    index: int
    cube_id: str
    probability: np.ndarray
    as_of: np.ndarray
    window_end: np.ndarray
    label: np.ndarray
    fields: np.ndarray
    rgb: list[np.ndarray]
    seen: np.ndarray
    sensors: list[frozenset[str]]
    gap: list[int]


def predict_dataset(
    predictor: Predictor,
    split: str,
    data: Dataset,
    num_periods: int,
    crops: list[int],
    dates: np.ndarray,
    shown: Shown = lambda index, label: True,
    smoothed: Smoothing | None = None,
    unknown: bool = False,
    only: Collection[int] | None = None,
    near: int = 0,
) -> Iterator[CubePrediction]:
    """Predicts every cube of a split, neighbours one after the other.

    Cubes of the same season give each other pixels, whatever their split, as they do in a map;
    labels of other splits are not read.

    Args:
      predictor: a network or a baseline. Crops whose windows are the same in every cube form a
        group, see `as_of_groups.window_groups`.
      split: which split.
      data: the dataset.
      num_periods: periods of the window.
      crops: class indices to keep.
      dates: int32 [cubes, crops], as-of date of each.
      shown: called once for each cube, in their order in the dataset. Of a cube that nobody looks
        at only annotated pixels are wanted, and no images made: with few known fields that is most
        of the time.
      smoothed: how probabilities are smoothed, as `predict` does; None: not at all.
      unknown: all pixels are wanted, whoever looks.
      only: numbers of the cubes that are predicted; None for all of the split.
      near: pixels around what is annotated that are wanted too, where nobody looks.

    Yields:
      One `CubePrediction` per cube.

    Raises:
      ValueError: an as-of date before the end of a cube's first period; a damaged file.
    """
    source = DatasetSource(data, split)
    plans = []
    for index in np.unique(data.split(split).cube).tolist():
        if only is not None and index not in only:
            continue
        label = source.label(index)
        look = shown(index, label)
        wanted = None if look or unknown else np.packbits(_around(label != legend.IGNORE, near))
        plans.append(_Plan(index, look, wanted))
    views = Views(data, predictor, num_periods, crops, dates, [plan.index for plan in plans])
    bands = sum(len(one.bands) for one in predictor.sensors)
    across = engine.parts_across(len(crops), num_periods, bands, predictor.halo)
    chunks = list(_chunks(_ordered(plans, data, across), data, len(crops)))
    running = smoothing.over(Engine(source, predictor), smoothed, predictor.sensors)
    for chunk in chunks:
        for plan, job in _by_view(chunk, views):
            for request in _requests(plan, job):
                running.expect(request)
    for chunk in chunks:
        opened = {
            plan.index: _Opened(plan, source, data, crops, dates[plan.index]) for plan in chunk
        }
        for plan, job in _by_view(chunk, views):
            opened[plan.index].predict(running, job, _requests(plan, job), predictor.sensors)
        for one in opened.values():
            yield one.result


@dataclasses.dataclass(frozen=True)
class _Plan:
    """A cube that is to be predicted.

    Args:
      index: number of the cube.
      look: whether somebody looks at it.
      wanted: the wanted pixels, bits of bool [H, W]; None for all.
    """

    index: int
    look: bool
    wanted: np.ndarray | None


def _around(known: np.ndarray, near: int) -> np.ndarray:
    """bool [H, W], these pixels and those up to so many rows and columns away."""
    square = np.ones((3, 3), bool)
    return ndimage.binary_dilation(known, square, iterations=near) if near else known


def _ordered(plans: list[_Plan], data: Dataset, parts_across: int) -> list[_Plan]:
    """Cubes in strips as wide as that, so that neighbours follow each other."""

    def key(plan: _Plan) -> tuple[str, int, float, float]:
        row = data.cubes[plan.index]
        pixel, _, x, _, _, y = row["transform"]
        return row["crs"], int(x // (parts_across * PART_PX * pixel)), -y, x

    return sorted(plans, key=key)


def _chunks(plans: Iterable[_Plan], data: Dataset, crops: int) -> Iterator[list[_Plan]]:
    """Cubes that follow each other, as many as CHUNK_BYTES hold."""
    chunk: list[_Plan] = []
    total = 0
    for plan in plans:
        height, width = data.cubes[plan.index]["shape"]
        # Probability, seen and, where somebody looks, an image per crop; label and fields.
        size = height * width * (crops * (4 + 1 + 12 * plan.look) + 1 + 4)
        if chunk and total + size > CHUNK_BYTES:
            yield chunk
            chunk, total = [], 0
        chunk.append(plan)
        total += size
    if chunk:
        yield chunk


def _by_view(chunk: list[_Plan], views: Views) -> Iterator[tuple[_Plan, Job]]:
    """What is to be predicted of some cubes, view by view, each in the order of the cubes."""
    together: dict[engine.View, list[tuple[_Plan, Job]]] = {}
    for plan in chunk:
        for job in views.jobs(plan.index):
            together.setdefault(job.view, []).append((plan, job))
    for own in together.values():
        yield from own


def _requests(plan: _Plan, job: Job) -> Iterator[Request]:
    """The pieces of a cube that hold wanted pixels."""
    group = job.view.mosaic_group
    whole, mask = group.tiling.boxes[job.number], None
    if plan.wanted is not None:
        height, width = whole.shape
        mask = np.unpackbits(plan.wanted, count=height * width).reshape(height, width)
    for box in group.pieces(job.number):
        if mask is None:
            yield Request(job.view, box)
        elif mask[box.inside(whole)].any():
            yield Request(job.view, box, np.packbits(mask[box.inside(whole)]))


class _Opened:
    """The prediction of a cube, view by view.

    Args:
      plan: what is to be predicted.
      source: of its annotation.
      data: the dataset.
      crops: class indices.
      as_of: int [crops].
    """

    def __init__(
        self,
        plan: _Plan,
        source: DatasetSource,
        data: Dataset,
        crops: list[int],
        as_of: np.ndarray,
    ):
        self._crops, self._look = crops, plan.look
        label = source.label(plan.index)
        shape = (*label.shape, len(crops))
        blank = np.full((*label.shape, 3), np.nan, np.float32)
        self.result = CubePrediction(
            index=plan.index,
            cube_id=data.cubes[plan.index]["id"],
            probability=np.full(shape, np.nan, np.float32),
            as_of=np.asarray(as_of),
            window_end=np.zeros(len(crops), np.int64),
            label=label,
            fields=source.fields(plan.index),
            rgb=[blank] * len(crops) if plan.look else [],
            seen=np.zeros(shape, bool),
            sensors=[frozenset[str]()] * len(crops),
            gap=[0] * len(crops),
        )

    def predict(
        self, running: Running, job: Job, requests: Iterable[Request], sensors: Sequence[Sensor]
    ) -> None:
        """Predicts the crops that share a view."""
        whole = job.view.mosaic_group.tiling.boxes[job.number]
        columns = job.columns(self._crops)
        found: set[str] = set()
        there = np.zeros(len(job.window.indices), bool)
        rgb = np.full((*whole.shape, 3), np.nan, np.float32) if self._look else None
        for request in requests:
            here = request.box.inside(whole)
            known = self.result.label[here] != legend.IGNORE
            probability = running.probability(request)[..., columns]
            values = running.pixels(request)
            seen = np.zeros(known.shape, bool)
            for one in sensors:
                valid = values[one.name] != one.nodata
                sight = valid.any(axis=(0, 3))
                seen |= sight
                if (sight & known).any():
                    found.add(one.name)
                there |= valid.any(-1)[:, known].any(-1)
                if rgb is not None and set(_RGB) <= set(one.bands):
                    rgb[here] = _latest_rgb(values[one.name], one)
            seen &= request.mask()
            for position, values_of_crop in zip(
                job.crops, np.moveaxis(probability, -1, 0), strict=True
            ):
                self.result.probability[(*here, position)] = values_of_crop
                self.result.seen[(*here, position)] = seen
        self._note(job, frozenset(found), there, rgb)

    def _note(
        self, job: Job, sensors: frozenset[str], there: np.ndarray, rgb: np.ndarray | None
    ) -> None:
        spans, last = job.window.spans, np.flatnonzero(there)
        empty = len(there) - 1 - int(last[-1]) if len(last) else 0
        for position in job.crops:
            self.result.window_end[position] = job.window.end
            self.result.sensors[position] = sensors
            self.result.gap[position] = int(spans[-1, 1] - spans[-1 - empty, 1])
            if rgb is not None:
                self.result.rgb[position] = rgb


def _latest_rgb(stored: np.ndarray, sensor: Sensor) -> np.ndarray:
    """float32 [H, W, 3], the latest value of all three bands; NaN where there is none.

    Args:
      stored: [T, H, W, C] of the sensor.
      sensor: one that has the bands.
    """
    bands = [sensor.bands.index(name) for name in _RGB]
    rgb = np.full((*stored.shape[1:3], 3), np.nan, np.float32)
    for image in stored[..., bands]:
        clear = (image != sensor.nodata).all(-1)
        rgb[clear] = sensor.decode(image[clear])
    return rgb


def by_method(prediction: CubePrediction, methods: int) -> list[CubePrediction]:
    """The predictions of several methods that were made together.

    Args:
      prediction: with the crops of the first method, those of the second, and so on.
      methods: how many there are.
    """
    count = prediction.probability.shape[-1] // methods
    return [columns(prediction, first, first + count) for first in range(0, methods * count, count)]


def columns(prediction: CubePrediction, first: int, end: int) -> CubePrediction:
    """The prediction of some of the crops that were predicted together, from `first` to `end`."""
    own = slice(first, end)
    return dataclasses.replace(
        prediction,
        probability=prediction.probability[..., own],
        as_of=prediction.as_of[own],
        window_end=prediction.window_end[own],
        rgb=prediction.rgb[own],
        seen=prediction.seen[..., own],
        sensors=prediction.sensors[own],
        gap=prediction.gap[own],
    )


def leads(data: Dataset, prediction: CubePrediction, crops: list[int]) -> list[int | None]:
    """Effective lead in days per crop: harvest start minus window end; None without a date."""
    out = []
    for i, crop in enumerate(crops):
        harvest = int(data.harvest[prediction.index, crop])
        start, end = periods.from_day(harvest), periods.from_day(prediction.window_end[i])
        out.append(as_of_windows.effective_lead(start, end) if harvest else None)
    return out
