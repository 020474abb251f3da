"""Predictions over whole cubes of a dataset: windows as of a date, chips stitched back together."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from cropmap_jax.data import chips, input_pipeline
from cropmap_jax.data.dataset import Dataset
from cropmap_jax.geo import cube, legend, periods, windows
from cropmap_jax.inference import predictors


@dataclasses.dataclass(frozen=True)
class CubePrediction:
    """What was predicted over one cube, next to what is known.

    Args:
      index: index into `Dataset.cubes`.
      cube_id: its id.
      probability: float32 [H, W, crops], each crop as of its own date; NaN where nothing was
        predicted or seen.
      as_of: int [crops], the dates asked for, days since 1970-01-01.
      window_end: int [crops], end of the last period used.
      label: uint8 [H, W].
      fields: uint32 [H, W].
      rgb: per crop float32 [H, W, 3], reflectance B4 B3 B2, the latest clear value in its window;
        NaN where there is none. Empty if nobody looks at the cube.
      seen: bool [H, W, crops], where any sensor has any value in the window of the crop.
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


def date_groups(dates: np.ndarray) -> list[np.ndarray]:
    """Positions of the crops that share their as-of dates in every cube.

    Args:
      dates: int [cubes, crops].
    """
    columns, member = np.unique(dates, axis=1, return_inverse=True)
    return [np.flatnonzero(member.ravel() == g) for g in range(columns.shape[1])]


def predict_dataset(
    predict,
    split: str,
    data: Dataset,
    num_periods: int,
    crops: list[int],
    dates: np.ndarray,
    shown: Callable[[np.ndarray], bool] = lambda label: True,
) -> Iterator[CubePrediction]:
    """Predicts every cube of a split.

    Args:
      predict: (examples, group) -> probabilities [H, W, classes] of each; a `Predictor` or a
        baseline. Examples hold no padding. Crops with the same dates in every cube form a group,
        see `date_groups`.
      split: which split.
      data: the dataset.
      num_periods: periods of the window.
      crops: class indices to keep.
      dates: int32 [cubes, crops], as-of date of each.
      shown: label uint8 [H, W] of a cube -> whether someone looks at the cube. If not, only chips
        with annotation are predicted, and no images made: with few known fields that is most of
        the time.

    Yields:
      One `CubePrediction` per cube.

    Raises:
      ValueError: an as-of date before the end of a cube's first period.
    """
    for index, records in input_pipeline.cube_records(data, split):
        height, width = data.cubes[index]["shape"]
        label = _assemble(records, "label", (height, width), legend.IGNORE)
        fields = _assemble(records, "fields", (height, width), 0)
        look = shown(label)
        if not look:
            records = [r for r in records if (r["label"] != legend.IGNORE).any()]
        probability = np.full((height, width, len(crops)), np.nan, np.float32)
        seen = np.zeros(probability.shape, bool)
        sensors, empty = [frozenset[str]()] * len(crops), [0] * len(crops)
        as_of = dates[index]
        for group, own in enumerate(date_groups(dates) if records else ()):
            date = int(as_of[own[0]])
            examples = _window(data, index, records, date, num_periods)
            stitcher = chips.Stitcher(height, width, len(data.legend))
            for record, chip in zip(records, predict(examples, group), strict=True):
                stitcher.add(chip, int(record["row"]), int(record["col"]))
            probability[..., own] = stitcher.result()[..., np.asarray(crops)[own]]
            sights = _sights(examples, records, (height, width))
            seen[..., own] = np.any(list(sights.values()), axis=0)[..., None]
            known = label != legend.IGNORE
            at_the_end = _empty_at_the_end(examples)
            for i in own:
                sensors[i] = frozenset(s for s, sight in sights.items() if (sight & known).any())
                empty[i] = at_the_end
        # As on a map, where no sensor has seen anything nothing is predicted.
        probability[~seen] = np.nan
        rgb = {
            int(date): _latest_rgb(data, records, int(date), num_periods, (height, width))
            for date in (np.unique(as_of) if look else ())
        }
        spans = data.periods(index)
        ends = [windows.window_indices(spans, int(d), num_periods)[-1] for d in as_of]
        yield CubePrediction(
            index=index,
            cube_id=data.cubes[index]["id"],
            probability=probability,
            as_of=np.asarray(as_of),
            window_end=spans[ends, 1],
            label=label,
            fields=fields,
            rgb=[rgb[int(date)] for date in as_of] if look else [],
            seen=seen,
            sensors=sensors,
            gap=[int(spans[e, 1] - spans[e - n, 1]) for e, n in zip(ends, empty, strict=True)],
        )


def _window(data: Dataset, index: int, records: list, date: int, num_periods: int) -> list[dict]:
    """A cube's chips as of a date, without what lies beyond its edges."""
    height, width = data.cubes[index]["shape"]
    return [
        predictors.crop_example(
            input_pipeline.make_example(data, record, date, num_periods),
            min(data.chip, height - int(record["row"])),
            min(data.chip, width - int(record["col"])),
        )
        for record in records
    ]


def _empty_at_the_end(examples: list[dict]) -> int:
    """How many periods at the end of the window are without a value in any annotated pixel."""
    there = False
    for example in examples:
        known = example["label"] != legend.IGNORE
        for sensor in cube.BANDS:
            there |= (example["pixels"][sensor] != cube.NODATA).any(-1)[:, known].any(-1)
    found = np.flatnonzero(there)
    return len(there) - 1 - int(found[-1]) if len(found) else 0


def _sights(examples: list[dict], records: list[dict], shape) -> dict[str, np.ndarray]:
    """Per sensor bool [H, W]: where it has any value in the window."""
    out = {}
    for sensor in cube.BANDS:
        parts = [
            {
                "row": r["row"],
                "col": r["col"],
                "seen": (e["pixels"][sensor] != cube.NODATA).any(axis=(0, 3)),
            }
            for e, r in zip(examples, records, strict=True)
        ]
        out[sensor] = _assemble(parts, "seen", shape, False)
    return out


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
        window = input_pipeline.make_example(data, record, as_of, num_periods)["pixels"]["s2"][
            ..., bands
        ]
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
