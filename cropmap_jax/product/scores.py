"""The scores of a run as its evaluations left them: `WORKDIR/evaluation/<split>/*.json`.

What another state of the run scored is left out: a card speaks of what can be used.
"""

import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from cropmap_jax.geo import schemas

CHOSEN = "chosen"
MAP = "map"
"""The rule of rows that score what a map shows."""
UNITS = ("pixels", "fields")

Score = dict[str, Any]
"""Of one crop (or "macro mean") and unit: split, dataset, crop, unit, lead_days (asked for), as_of,
ahead (days, [least, most]; null for a mean), f1, recall and precision (figures: value, low, high,
reason), threshold, n (what was scored), map_f1 (of what a
map shows, null where it was not scored) and near (notes of the ground that is near to training)."""
MEAN = "macro mean"


# Notes of `evaluate`, also of earlier versions: what they scored stays.
_NEAR = (r"^\d+ of \d+ .*cubes.* within [\d,]+ m of ", r"^\d+ of \d+ blocks of .* hold ground of ")


def is_near(note: str) -> bool:
    """Whether a note says that ground that was scored lies next to ground of training."""
    return any(re.search(one, note) for one in _NEAR)


def when(row: Mapping[str, Any]) -> str:
    """When a score is of."""
    if row["as_of"]:
        return f"as of {row['as_of']}"
    lead = row["lead_days"]
    return "each at its own date" if lead is None else f"{lead} days before harvest"


def find(
    workdir: str | os.PathLike[str], step: int, digest: str
) -> tuple[list[Score], dict[str, list[str]]]:
    """All scores of a state of a run, and what is to be said about them.

    Args:
      workdir: the run's folder.
      step: of its checkpoint.
      digest: of what it has learnt, `runs.combined.digest`.

    Returns:
      Scores; and by split, words about their intervals and ground.
    """
    found: dict[tuple[Any, ...], tuple[float, Score]] = {}
    words: dict[str, dict[str, None]] = {}
    for file in sorted((pathlib.Path(workdir) / "evaluation").glob("*/*.json")):
        made = _read(file)
        if made is None or not _is_of(made["settings"], step, digest):
            continue
        when = file.stat().st_mtime
        rows = _of_curve(made) if "curves" in made else _of_one_date(made)
        for row in rows:
            key = tuple(row[k] for k in ("dataset", "split", "as_of", "lead_days", "crop", "unit"))
            if key not in found or found[key][0] < when:
                found[key] = (when, row)
        if rows:
            words.setdefault(rows[0]["split"], {}).update(dict.fromkeys(_words(made)))
    return [row for _, row in found.values()], {split: list(own) for split, own in words.items()}


def _read(file: pathlib.Path) -> dict[str, Any] | None:
    """An evaluation's JSON; None of anything else."""
    try:
        made: Any = schemas.read_json(file, "scores")
    except ValueError:
        return None
    if not isinstance(made, dict) or not isinstance(made.get("settings"), dict):
        return None
    # What a report or a comparison holds lies in these two as well.
    return made if "scores" in made or ("curves" in made and "axis" in made) else None


def _is_of(settings: dict[str, Any], step: int, digest: str) -> bool:
    if "digest" in settings:
        return bool(settings["digest"] == digest)
    return bool(settings.get("step") == step)  # of an earlier version


def _common(made: dict[str, Any]) -> Score:
    settings = made["settings"]
    return {
        "map_f1": None,
        "near": [note for note in made.get("notes", ()) if is_near(note)],
        "split": settings.get("split", "test"),
        "dataset": settings.get("dataset", ""),
        "calibrated": settings.get("calibrated"),
    }


def _of_one_date(made: dict[str, Any]) -> list[Score]:
    settings = made["settings"]
    own, common = settings.get("method"), _common(made)
    asked = {"lead_days": settings.get("lead_days"), "as_of": settings.get("as_of")}
    maps = {
        (row["crop"], row["unit"]): row["f1"]
        for row in made["scores"]
        if row["method"] == own and row["rule"] == MAP
    }
    out = []
    for row in made["scores"]:
        if row["method"] == own and row["rule"] == CHOSEN:
            figures = row.get("intervals") or {
                name: {"value": row[name], "low": None, "high": None, "reason": row["reason"]}
                for name in ("f1", "recall", "precision")
            }
            counted = sum(row[part] for part in ("tp", "fp", "fn", "tn"))
            what = {"crop": row["crop"], "unit": row["unit"], "threshold": row["threshold"]}
            what["map_f1"] = maps.get((row["crop"], row["unit"]))
            out.append(common | asked | what | figures | {"ahead": row["lead_days"], "n": counted})
    for row in made.get("macro", ()):
        if row["method"] == own:
            figures = {name: row[name] for name in ("f1", "recall", "precision")}
            what = {"crop": MEAN, "unit": row["unit"], "threshold": None, "of": len(row["crops"])}
            out.append(common | asked | what | figures | {"ahead": None, "n": None})
    return out


def _of_curve(made: dict[str, Any]) -> list[Score]:
    settings, out = made["settings"], []
    own, common = settings.get("method"), _common(made)
    curves = [(one["crop"], one) for one in made["curves"]]
    curves += [(MEAN, one) for one in made["macro"] or ()]
    for crop, one in curves:
        for point in one["points"] if one["method"] == own else ():
            what = {"crop": crop, "unit": one["unit"], "threshold": point.get("threshold")}
            asked = {"lead_days": point["lead_days"], "as_of": point["as_of"]}
            figures = {name: point[name] for name in ("f1", "recall", "precision")}
            parts = ("tp", "fp", "fn", "tn")
            counted = sum(point[part] for part in parts) if "tp" in point else None
            more: Score = {"ahead": point.get("effective_lead_days"), "n": counted}
            if crop == MEAN:
                more["of"] = len(point["crops"])
            out.append(common | asked | what | figures | more)
    return out


def _words(made: dict[str, Any]) -> list[str]:
    settings, found = made["settings"], []
    if words := (made.get("intervals") or {}).get("words"):
        found.append(words)
    if settings.get("trained_on"):
        found.append(
            f"shares {settings.get('hectares_trained_on', 0):,.0f} ha with ground that "
            f"was trained on: these scores are too good"
        )
    return found
