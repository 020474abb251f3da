"""Scores by block and by province: whether the map is as good everywhere."""

from typing import Any

import numpy as np

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation import intervals
from cropmap_jax.evaluation.scored import Scored

Row = dict[str, Any]
UNKNOWN = "not stated"


def table(
    data: Dataset, split: str, scored: Scored, step: int, matrices: np.ndarray | None
) -> dict[str, Any]:
    """F1 of each block and province, at one point of the curve; JSON-ready.

    Args:
      data: the dataset.
      split: which is scored.
      scored: the run's own method.
      step: number of the point.
      matrices: int64 [blocks, classes + 1, classes + 1], confusion of the map by block; None: there
        is no one map, or it is not known by block.

    Returns:
      {"step": lead_days and as_of, "blocks": rows, "provinces": rows}; a row has name, provinces,
      blocks, cubes, annotated, f1 by crop ({"value", "reason"}), mean (the mean of those) and
      accuracy ({"value", "reason"}).
    """
    cubes = np.unique(data.split(split).cube)
    names = sorted({data.cubes[i]["block"] for i in cubes})
    columns = scored.plan.of_step(step)
    counts = scored.resampled["pixels"].by_group()[:, columns]
    if len(names) == 1:
        counts = counts.sum(0, keepdims=True)
        matrices = None if matrices is None else matrices.sum(0, keepdims=True)
    crops = [scored.names[scored.plan.columns[k][1]] for k in columns]
    of_block = {
        name: [data.cubes[i] for i in cubes if data.cubes[i]["block"] == name] for name in names
    }
    provinces: dict[str, list[int]] = {}
    blocks = []
    for number, name in enumerate(names):
        own = _provinces(of_block[name])
        provinces.setdefault(" and ".join(own), []).append(number)
        blocks.append(
            {"name": name, "provinces": own, "blocks": 1, "cubes": len(of_block[name])}
            | _scores(crops, counts[number], None if matrices is None else matrices[number])
        )
    whole = [
        {
            "name": name,
            "provinces": [name],
            "blocks": len(own),
            "cubes": sum(len(of_block[names[i]]) for i in own),
        }
        | _scores(crops, counts[own].sum(0), None if matrices is None else matrices[own].sum(0))
        for name, own in sorted(provinces.items())
    ]
    return {"step": scored.plan.steps[step].to_json(), "blocks": blocks, "provinces": whole}


def _provinces(cubes: list[Row]) -> list[str]:
    return sorted({cube.get("province") or UNKNOWN for cube in cubes})


def _scores(crops: list[str], counts: np.ndarray, matrix: np.ndarray | None) -> Row:
    """Args: counts int [crops, 4]; matrix int [classes + 1, classes + 1]."""
    f1 = intervals.scores(counts.astype(float))["f1"]
    each: dict[str, dict[str, Any]] = {}
    for crop, value, (tp, fp, fn, tn) in zip(crops, f1.tolist(), counts.tolist(), strict=True):
        why = None
        if not np.isfinite(value):
            why = "nothing known is of it" if not tp + fn else "all that is known is of it"
            why = why if tp + fp + fn + tn else "nothing known was seen"
        each[crop] = {"value": value if np.isfinite(value) else None, "reason": why}
    values = [one["value"] for one in each.values() if one["value"] is not None]
    total = 0 if matrix is None else int(matrix.sum())
    right = float(np.trace(matrix) / total) if matrix is not None and total else None
    without = "there is no one map of all classes"
    if matrix is not None:
        without = "nothing known was seen as of its date"
    return {
        # Each crop has its own window, so its own unseen ground: the most that was seen.
        "annotated": int(counts.sum(1).max(initial=0)),
        "f1": each,
        "mean": {
            "value": float(np.mean(values)) if values else None,
            "reason": None if values else "no crop has an F1 here",
            "of": len(values),
        },
        "accuracy": {
            "value": right,
            "reason": None if right is not None else without,
        },
    }
