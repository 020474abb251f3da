"""Evaluation of one method over one split: tallies per crop, thresholds, rows for the table."""

from collections.abc import Callable

import numpy as np

from cropmap_jax.evaluation import inference
from cropmap_jax.evaluation.metrics import SEED_THRESHOLD, CropTally
from cropmap_jax.training.dataset import Dataset


def tally_split(
    predict: Callable,
    split: str,
    data: Dataset,
    num_periods: int,
    crops: list[int],
    dates: np.ndarray,
    on_cube: Callable | None = None,
    shown: Callable[[np.ndarray], bool] = lambda label: False,
) -> tuple[list[CropTally], list[tuple[int, int] | None]]:
    """Tallies every crop over every cube of a split.

    Args:
      predict: a network or a baseline, as `inference.predict_dataset` takes it.
      split: which split.
      data, num_periods: what to predict, and from how many periods.
      crops: class indices.
      dates: int [cubes, crops] as-of dates.
      on_cube: called with each `CubePrediction`.
      shown: whether a cube of this label is looked at, see `inference.predict_dataset`.

    Returns:
      Per crop its `CropTally`, and (smallest, largest) effective lead in days, None without a
      harvest date.
    """
    tallies = [CropTally() for _ in crops]
    seen: list[list[int]] = [[] for _ in crops]
    predictions = inference.predict_dataset(predict, split, data, num_periods, crops, dates, shown)
    for prediction in predictions:
        for i, crop in enumerate(crops):
            tallies[i].add(
                prediction.probability[..., i], prediction.label, prediction.fields, crop
            )
        for i, lead in enumerate(inference.leads(data, prediction, crops)):
            if lead is not None:
                seen[i].append(lead)
        if on_cube:
            on_cube(prediction)
    return tallies, [(min(s), max(s)) if s else None for s in seen]


def choose_thresholds(tallies: list[CropTally]) -> list[float | None]:
    """Per crop the threshold with the best pixel F1; None for a crop without positives."""
    return [t.pixels.best_threshold() if t.pixels.positives else None for t in tallies]


def score_rows(
    method: str,
    names: list[str],
    tallies: list[CropTally],
    leads: list[tuple[int, int] | None],
    chosen: list[float | None],
) -> list[dict]:
    """Rows of scores: per crop, for pixels and fields, at 0.35 and at the chosen threshold."""
    rows = []
    for name, tally, lead, threshold in zip(names, tallies, leads, chosen, strict=True):
        for unit in ("pixels", "fields"):
            for rule, value in (("fixed", SEED_THRESHOLD), ("chosen", threshold)):
                if value is None or not getattr(tally, unit).total:
                    continue
                rows.append(
                    {
                        "crop": name,
                        "method": method,
                        "unit": unit,
                        "rule": rule,
                        "threshold": value,
                        "lead_days": lead,
                    }
                    | getattr(tally, unit).counts(value).scores()
                )
    return rows
