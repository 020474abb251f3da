"""Predictions over whole cubes of a dataset: windows as of a date, chips stitched back together."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from cropmap_jax.geo import chips, cube, legend, periods, windows
from cropmap_jax.training import input_pipeline, parallel, steps
from cropmap_jax.training.checkpoints import Restored
from cropmap_jax.training.dataset import Dataset
from cropmap_jax.training.loop import stack


@dataclasses.dataclass(frozen=True)
class CubePrediction:
    """What was predicted over one cube, beside what is known.

    Args:
      index: index into `Dataset.cubes`.
      cube_id: its id.
      probability: float32 [H, W, crops], each crop as of its own date.
      as_of: int [crops], the dates asked for, days since 1970-01-01.
      window_end: int [crops], end of the last period used.
      label: uint8 [H, W].
      fields: uint32 [H, W].
      rgb: float32 [H, W, 3] reflectance B4 B3 B2, the latest clear value that the first crop's
        window holds; NaN where there is none.
    """

    index: int
    cube_id: str
    probability: np.ndarray
    as_of: np.ndarray
    window_end: np.ndarray
    label: np.ndarray
    fields: np.ndarray
    rgb: np.ndarray


class Predictor:
    """Runs a checkpoint over batches of chips.

    Args:
      restored: the checkpoint.
      batch_size: chips per step, a multiple of the number of local devices.
    """

    def __init__(self, restored: Restored, batch_size: int):
        self.recipe = restored.recipe
        self._batch_size = batch_size
        self._step = parallel.data_parallel(steps.make_predict_step(restored.recipe))
        self._variables = parallel.replicate(restored.variables)

    def __call__(self, examples: list[dict], group: int = 0) -> np.ndarray:
        """Probabilities float32 [len(examples), H, W, classes]."""
        out = []
        for start in range(0, len(examples), self._batch_size):
            group = examples[start : start + self._batch_size]
            batch = parallel.shard(stack(group, self._batch_size))
            probabilities = parallel.unshard(self._step(self._variables, batch))
            out.append(probabilities[: len(group)])
        return np.concatenate(out)


def date_groups(dates: np.ndarray) -> list[np.ndarray]:
    """Positions of the crops that share their as-of dates in every cube.

    Args:
      dates: int [cubes, crops].
    """
    columns, member = np.unique(dates, axis=1, return_inverse=True)
    return [np.flatnonzero(member.ravel() == g) for g in range(columns.shape[1])]


def predict_dataset(
    predict, split: str, data: Dataset, num_periods: int, crops: list[int], dates: np.ndarray
) -> Iterator[CubePrediction]:
    """Predicts every cube of a split.

    Args:
      predict: (examples, group) -> probabilities [N, H, W, classes]; a `Predictor` or a
        baseline. Crops with the same dates in every cube form a group, see `date_groups`.
      split: which split.
      data: the dataset.
      num_periods: periods of the window.
      crops: class indices to keep.
      dates: int32 [cubes, crops], as-of date of each.

    Yields:
      One `CubePrediction` per cube.

    Raises:
      ValueError: an as-of date before the end of a cube's first period.
    """
    for index, records in input_pipeline.cube_records(data, split):
        height, width = data.cubes[index]["shape"]
        probability = np.full((height, width, len(crops)), np.nan, np.float32)
        as_of = dates[index]
        for group, own in enumerate(date_groups(dates)):
            date = int(as_of[own[0]])
            examples = [
                input_pipeline.make_example(data, record, date, num_periods) for record in records
            ]
            stitcher = chips.Stitcher(height, width, len(data.legend))
            for record, chip in zip(records, predict(examples, group), strict=True):
                stitcher.add(chip, int(record["row"]), int(record["col"]))
            probability[..., own] = stitcher.result()[..., np.asarray(crops)[own]]
        spans = data.periods(index)
        ends = [windows.window_indices(spans, int(d), num_periods)[-1] for d in as_of]
        yield CubePrediction(
            index=index,
            cube_id=data.cubes[index]["id"],
            probability=probability,
            as_of=np.asarray(as_of),
            window_end=spans[ends, 1],
            label=_assemble(records, "label", (height, width), legend.IGNORE),
            fields=_assemble(records, "fields", (height, width), 0),
            rgb=_latest_rgb(data, records, int(as_of[0]), num_periods, (height, width)),
        )


def _assemble(records: list[dict], key: str, shape: tuple[int, int], fill) -> np.ndarray:
    out = np.full(shape, fill, records[0][key].dtype)
    for record in records:
        row, col, chip = int(record["row"]), int(record["col"]), record[key]
        rows, cols = min(chip.shape[0], shape[0] - row), min(chip.shape[1], shape[1] - col)
        out[row : row + rows, col : col + cols] = chip[:rows, :cols]
    return out


def _latest_rgb(data, records, as_of: int, num_periods: int, shape) -> np.ndarray:
    bands = [cube.S2_BANDS.index(b) for b in ("B4", "B3", "B2")]
    images = []
    for record in records:
        window = input_pipeline.make_example(data, record, as_of, num_periods)["s2"][..., bands]
        rgb = np.full(window.shape[1:], np.nan, np.float32)
        for image in window:
            clear = (image != cube.NODATA).all(-1)
            rgb[clear] = image[clear] / cube.S2_SCALE
        images.append({"row": record["row"], "col": record["col"], "rgb": rgb})
    out = np.full((*shape, 3), np.nan, np.float32)
    for c in range(3):
        channel = [i | {"rgb": i["rgb"][..., c]} for i in images]
        out[..., c] = _assemble(channel, "rgb", shape, np.nan)
    return out


def leads(data: Dataset, prediction: CubePrediction, crops: list[int]) -> list[int | None]:
    """Effective lead in days per crop: harvest start minus window end; None without a date."""
    out = []
    for i, crop in enumerate(crops):
        harvest = int(data.harvest[prediction.index, crop])
        start, end = periods.from_day(harvest), periods.from_day(prediction.window_end[i])
        out.append(windows.effective_lead(start, end) if harvest else None)
    return out
