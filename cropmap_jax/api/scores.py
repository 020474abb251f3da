"""Scores of a model as arrays with names."""

import dataclasses
import datetime as dt
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from cropmap_jax.api.datasets import Dataset
from cropmap_jax.evaluation import as_of_plan, lead_time, scoring
from cropmap_jax.inference import smoothing
from cropmap_jax.runs import calibration
from cropmap_jax.runs.calibration import Stored
from cropmap_jax.training.checkpoints import Restored

MACRO = "macro mean"
_SCORES = ("f1", "recall", "precision")
_COUNTS = ("tp", "fp", "fn", "tn", "without_image", "threshold")


@dataclasses.dataclass(frozen=True)
class Scores:
    """How well a model finds its crops.

    Args:
      table: dimensions `unit` (pixels, fields), `crop` (and "macro mean") and `lead_days` or
        `as_of`; `f1`, `recall`, `precision`, each with its 95 % interval as `f1_low`, `f1_high`;
        counts `tp`, `fp`, `fn`, `tn`, `without_image`; `threshold`. NaN where there is none.
      text: the same as `experiments.evaluate` prints it.
      notes: for people, a line each.
      raw: JSON-ready, see `cropmap_jax.evaluation.lead_time`.
    """

    table: xr.Dataset
    text: str
    notes: tuple[str, ...]
    raw: dict[str, Any]

    def __str__(self) -> str:
        return "\n".join([self.text, *(f"note: {note}" for note in self.notes)])


def evaluate(
    restored: Restored,
    calibrated: Stored | None,
    data: Dataset | None,
    split: str,
    crops: Sequence[str] | None,
    lead_days: int | Sequence[int] | None,
    as_of: dt.date | str | None,
    until: dt.date | str | None,
    smooth: int,
    threshold_split: str | None,
    allow_training_ground: bool,
    batch_size: int,
) -> Scores:
    """See `Model.evaluate`."""
    restored = calibration.with_ground(restored, calibrated)
    opened = scoring.open_data(
        restored, *(() if data is None else (data.data_dir, data.name, data.fold))
    )
    chooser = threshold_split
    chooser = chooser or next((s for s in ("validation", "train") if s in opened.chips), None)
    for one in (split, chooser or split):
        opened.split(one)
    names = opened.legend.names if crops is None else crops
    classes = [opened.legend.index(name) for name in names]
    if until is not None and (lead_days is not None or as_of is not None):
        raise ValueError("until: expected neither lead_days nor as_of with it, found one")
    wanted = [lead_days] if isinstance(lead_days, int) else lead_days
    leads = [restored.recipe.lead_days]
    if wanted is not None:
        leads = as_of_plan.parse_leads([str(lead) for lead in wanted], "lead_days")
    if as_of is not None and len(leads) > 1:
        raise ValueError("lead_days: expected one with as_of, one date for all, found several")
    dates = scoring.Dates(leads, str(as_of or ""), str(until or ""), dashes="")
    looked = scoring.looked(split, chooser, False)
    _, noted = scoring.check_ground(restored, opened, split, chooser, allow_training_ground, False)
    plan, late = scoring.plan_dates(
        dates, opened, classes, restored.recipe.num_periods, split, looked
    )
    run = scoring.Run(
        restored, opened, split, chooser, plan, {}, False, batch_size, 0,
        smoothing.find(smooth, restored.recipe.sensors, "smooth"), False, 0, pathlib.Path(),
        calibrated=calibrated,
    )  # fmt: skip
    scored, _ = scoring.score(run)
    found = lead_time.curve(scored)
    notes = [*noted, *late, found["intervals"]["words"], *lead_time.notes(found)]
    return Scores(_table(found), lead_time.table(found), tuple(notes), found)


def _table(found: dict[str, Any]) -> xr.Dataset:
    kind, values = found["axis"]["kind"], found["axis"]["values"]
    rows = [(one["unit"], one["crop"], one["points"]) for one in found["curves"]]
    rows += [(one["unit"], MACRO, one["points"]) for one in found["macro"]]
    units = list(dict.fromkeys(unit for unit, _, _ in rows))
    crops = list(dict.fromkeys(crop for _, crop, _ in rows))
    axis = values if kind == "lead_days" else np.array(values, "datetime64[ns]")
    about = {"long_name": "days before harvest", "units": "days"}
    about = about if kind == "lead_days" else {"long_name": "date of the prediction"}
    out = xr.Dataset(coords={"unit": units, "crop": crops, kind: (kind, axis, about)})
    columns = [f"{score}{end}" for score in _SCORES for end in ("", "_low", "_high")]
    for name in (*columns, *_COUNTS):
        out[name] = ("unit", "crop", kind), np.full((len(units), len(crops), len(values)), np.nan)
        score, _, end = name.partition("_")
        if score in _SCORES:
            ends = {"low": ", lower end of its 95 % interval", "high": ", upper end"}
            out[name].attrs = {"long_name": {"f1": "F1"}.get(score, score) + ends.get(end, ""),
                               "units": "1"}  # fmt: skip
        else:
            out[name].attrs = {"units": "1"}
    for unit, crop, points in rows:
        at = units.index(unit), crops.index(crop)
        for i, point in enumerate(points):
            for score in _SCORES:
                for key, end in (("value", ""), ("low", "_low"), ("high", "_high")):
                    _put(out[f"{score}{end}"], (*at, i), point[score][key])
            for name in _COUNTS:
                _put(out[name], (*at, i), point.get(name))
    return out


def _put(array: xr.DataArray, at: tuple[int, ...], value: float | None) -> None:
    if value is not None:
        array.values[at] = value
