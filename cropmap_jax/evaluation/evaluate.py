"""Evaluation of one method over one split: tallies per crop, thresholds, rows for the table."""

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation import cube_predictions, split_tally
from cropmap_jax.evaluation.metrics import DEFAULT_THRESHOLD, CropTally
from cropmap_jax.evaluation.split_tally import UNITS, OnCube
from cropmap_jax.geo import as_of_windows, periods
from cropmap_jax.inference.predictors import Predictor
from cropmap_jax.inference.smoothing import Smoothing

RULES = ("fixed", "chosen")
"""Where thresholds come from."""
MAX_LATE_DAYS = 366
"""How long after its last period one date for all may lie."""


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A threshold, and why it is the default where nothing could be chosen."""

    value: float
    reason: str | None = None


def check_windows(
    data: Dataset, splits: Sequence[str], dates: np.ndarray, num_periods: int, flag: str = ""
) -> list[str]:
    """Checks that every cube has a period before, and images up to about, its as-of dates.

    Args:
      data: the dataset.
      splits: whose cubes are checked.
      dates: int [cubes, crops] as-of dates.
      num_periods: periods of the window.
      flag: what gave one date for all, "" for the calendar.

    Returns:
      Notes about cubes whose last period ends more than a period before an as-of date.

    Raises:
      ValueError: an as-of date before the end of a cube's first period, or a date given outright
        that lies more than MAX_LATE_DAYS after the end of its last one.
    """
    late: dict[str, tuple[int, dt.date]] = {}
    for index in np.unique(np.concatenate([data.split(split).cube for split in splits])):
        spans, name = data.periods(index), data.cubes[index]["id"]
        for date in np.unique(dates[index]):
            where = f"{flag or '--lead_days'}: cube {name}"
            as_of_windows.as_of_window(spans, int(date), num_periods, where)
        end = int(spans[-1, 1])
        gap = int(dates[index].max()) - end
        if flag and gap > MAX_LATE_DAYS:
            raise ValueError(
                f"{flag}: expected a date up to a year after the last image (cube {name}: "
                f"{periods.from_day(end)}), found {periods.from_day(dates[index].max())}"
            )
        if gap > end - int(spans[-1, 0]):
            late[name] = (gap, periods.from_day(end))
    if not late:
        return []
    name, (gap, last) = max(late.items(), key=lambda item: item[1][0])
    return [
        f"{len(late)} cube{'s' * (len(late) > 1)} without images for more than a period before the "
        f"as-of date; longest in {name}: its last one is of {last}, {gap} days before"
    ]


def tally_split(
    predictor: Predictor,
    split: str,
    data: Dataset,
    num_periods: int,
    crops: list[int],
    dates: np.ndarray,
    on_cube: OnCube | None = None,
    shown: cube_predictions.Shown = lambda index, label: False,
    smoothed: Smoothing | None = None,
) -> tuple[list[CropTally], list[tuple[int, int] | None]]:
    """Tallies every crop over every cube of a split.

    Args:
      predictor: a network or a baseline.
      split: which split.
      data, num_periods: what to predict, and from how many periods.
      crops: class indices.
      dates: int [cubes, crops] as-of dates.
      on_cube: called with each `CubePrediction`.
      shown, smoothed: see `cube_predictions.predict_dataset`.

    Returns:
      Per crop its `CropTally`, and (smallest, largest) effective lead in days, None without a
      harvest date.
    """
    (found,) = tally_methods(
        predictor, split, data, num_periods, crops, dates, [on_cube], shown, smoothed
    )
    return found


def tally_methods(
    predictor: Predictor,
    split: str,
    data: Dataset,
    num_periods: int,
    crops: list[int],
    dates: np.ndarray,
    on_cube: Sequence[OnCube | None],
    shown: cube_predictions.Shown = lambda index, label: False,
    smoothed: Smoothing | None = None,
) -> list[tuple[list[CropTally], list[tuple[int, int] | None]]]:
    """`tally_split` of several methods that one predictor asks together.

    Args:
      predictor: whose answers are the probabilities of all classes by the first method, then by the
        second, and so on, see `CombinedPredictor`.
      split, data, num_periods, crops, dates, shown, smoothed: as for `tally_split`.
      on_cube: of each method.

    Returns:
      What `tally_split` returns, of each method.
    """
    methods = [split_tally.Method(crops, on_cube=call) for call in on_cube]
    leads, _ = split_tally.tally(
        predictor, split, data, num_periods, dates, methods, shown, smoothed
    )
    return [(own.tallies, leads) for own in methods]


def choose_thresholds(tallies: list[CropTally], split: str) -> list[Chosen]:
    """Per crop the threshold with the best pixel F1; DEFAULT_THRESHOLD where none can be chosen.

    Args:
      tallies: of each crop.
      split: that they are of, for the reason.
    """
    out = []
    for tally in tallies:
        why = undefined(tally, "pixels")
        if why:
            out.append(Chosen(DEFAULT_THRESHOLD, f"{why} in {split}"))
        else:
            out.append(Chosen(tally.pixels.best_threshold()))
    return out


def no_thresholds(crops: list[int]) -> list[Chosen]:
    """Per crop the default, where there is no split to choose on."""
    return [Chosen(DEFAULT_THRESHOLD, "there is no validation or train split") for _ in crops]


def undefined(tally: CropTally, unit: str) -> str | None:
    """Why some scores of a crop have no value, in words; None if all may have one."""
    counted, unseen = getattr(tally, unit), tally.unseen[unit]
    one = f"annotated {unit.removesuffix('s')}" + (" with an image" if unseen else "")
    if not counted.total:
        return f"no {one}"
    if not counted.negatives:
        return f"every {one} is of this crop"
    if not counted.positives:
        return f"no {one} is of this crop"
    return None


def score_rows(
    method: str,
    names: list[str],
    tallies: list[CropTally],
    leads: list[tuple[int, int] | None],
    chosen: list[Chosen],
) -> list[dict[str, Any]]:
    """Rows of scores: per crop, for pixels and fields, at 0.35 and at the chosen threshold.

    Scores without a value are None, and `reason` says why; `without_image` counts annotated ground
    that is not scored since no sensor has seen it. Without any field there are no rows of fields.
    """
    rows = []
    for name, tally, lead, choice in zip(names, tallies, leads, chosen, strict=True):
        for unit in UNITS:
            if unit == "fields" and not tally.fields.total + tally.unseen["fields"]:
                continue
            for rule, threshold in zip(RULES, (Chosen(DEFAULT_THRESHOLD), choice), strict=True):
                rows.append(
                    {
                        "crop": name,
                        "method": method,
                        "unit": unit,
                        "rule": rule,
                        "threshold": threshold.value,
                        "threshold_reason": threshold.reason,
                        "lead_days": lead,
                    }
                    | getattr(tally, unit).counts(threshold.value).scores()
                    | {"without_image": tally.unseen[unit], "reason": undefined(tally, unit)}
                )
    return rows
