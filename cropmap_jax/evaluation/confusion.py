"""The whole legend at once: confusion, and what is said of it.

`summary` makes an entry of "confusion" in the JSON of `evaluate`:

    method, unit ("pixels", "fields"), lead_days, as_of (of the step; one is null)
    classes             names, none_of_these last
    matrix              [truth][mapped], counts
    rule                in words, what the map shows
    overall_accuracy    {"value", "low", "high", "reason"}: share that is mapped as what it is
    macro_f1            the same: mean F1 of the classes that are annotated, none of these left out
    macro_f1_with_none  the same, none of these included where it is annotated
    kappa               the same, Cohen's: (po - pe) / (1 - pe), pe from the margins
    per_class           a list: crop, producers_accuracy (recall), users_accuracy (precision), f1,
                        annotated, mapped, reason (why a value is null)
    without_image       annotated pixels or fields that are not counted
    reason              why there is no matrix, in words; null if there is one

Source: Congalton, A review of assessing the accuracy of classifications of remotely sensed data,
Remote Sensing of Environment 37 (1991); Cohen, A coefficient of agreement for nominal scales,
Educational and Psychological Measurement 20 (1960). Olofsson et al., Remote Sensing of Environment
148 (2014), advise against kappa, which says little beside overall accuracy: it is there since
reviewers ask for it.
"""

from typing import Any

import numpy as np

from cropmap_jax.evaluation import intervals
from cropmap_jax.evaluation.intervals import Figure
from cropmap_jax.evaluation.map_scores import NONE

RULES = {
    True: "the most probable of all classes and none of these",
    False: "the most probable class from 0.5 on, else none of these, as predict decides by default",
}
NO_MAP = (
    "no confusion matrix: each crop is predicted as of its own date, so there is no one map; "
    "--crop all --as_of DATE scores the map of one date"
)


def scores(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of confusion matrices; NaN where they have none.

    Args:
      matrix: [..., classes + 1, classes + 1] counts, truth first, none of these last.

    Returns:
      overall_accuracy, kappa, macro_f1, macro_f1_with_none, each [...], and recall, precision and
      f1, each [..., classes + 1]. F1 of a class that is not annotated has no value, and no part in
      means; a class that is annotated and never mapped has an F1 of 0.
    """
    matrix = np.asarray(matrix, float)
    total = matrix.sum((-2, -1))
    true, mapped = matrix.sum(-1), matrix.sum(-2)
    right = np.diagonal(matrix, axis1=-2, axis2=-1)

    def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        out = np.full(np.shape(b), np.nan)
        np.divide(a, b, out=out, where=b > 0)
        return out

    accuracy = ratio(right.sum(-1), total)
    chance = ratio((true * mapped).sum(-1), total**2)
    f1 = np.where(true > 0, ratio(2 * right, true + mapped), np.nan)

    def mean(values: np.ndarray) -> np.ndarray:
        there = np.isfinite(values)
        return ratio(np.where(there, values, 0).sum(-1), there.sum(-1).astype(float))

    return {
        "overall_accuracy": accuracy,
        # Where all is of one class and mapped as it, chance agrees as well: no value.
        "kappa": ratio(accuracy - chance, np.where(chance < 1, 1 - chance, 0.0)),
        "macro_f1": mean(f1[..., :-1]),
        "macro_f1_with_none": mean(f1),
        "recall": ratio(right, true),
        "precision": ratio(right, mapped),
        "f1": f1,
    }


def summary(
    by_group: np.ndarray, names: list[str], unit_of_groups: str, exclusive: bool
) -> dict[str, Any]:
    """What is said of a confusion matrix, JSON-ready; see above.

    Args:
      by_group: int64 [groups, classes + 1, classes + 1].
      names: of the classes.
      unit_of_groups: "block" or "field".
      exclusive: whether the method's classes exclude each other.
    """
    groups, matrix = len(by_group), by_group.sum(0)
    found = scores(matrix)
    flat = intervals.weights(groups) @ by_group.reshape(groups, -1).astype(float)
    drawn = scores(flat.reshape(-1, *matrix.shape))
    having = int((by_group.sum((1, 2)) > 0).sum())
    of_classes = int((by_group[:, :-1].sum((1, 2)) > 0).sum())
    nothing = None if matrix.sum() else "nothing that is annotated was seen"

    def figure(name: str, why: str, span: tuple[float, float] = (0.0, 1.0)) -> dict[str, Any]:
        value = None if np.isnan(found[name]) else float(found[name])
        there = of_classes if name.startswith("macro") else having
        common = (drawn[name], groups, there, unit_of_groups, nothing or why)
        return intervals.figure(value, *common, span=span).to_json()

    return {
        "classes": [*names, NONE],
        "matrix": matrix.tolist(),
        "rule": RULES[exclusive],
        "overall_accuracy": figure("overall_accuracy", ""),
        "macro_f1": figure("macro_f1", "no class of the legend is annotated"),
        "macro_f1_with_none": figure("macro_f1_with_none", ""),
        "kappa": figure("kappa", "all is of one class and mapped as it", (-1.0, 1.0)),
        "per_class": [_of_class(i, name, matrix, found) for i, name in enumerate((*names, NONE))],
        "reason": nothing,
    }


def _of_class(
    index: int, name: str, matrix: np.ndarray, found: dict[str, np.ndarray]
) -> dict[str, Any]:
    true, mapped = int(matrix[index].sum()), int(matrix[:, index].sum())
    values = {key: float(found[key][index]) for key in ("recall", "precision", "f1")}
    clean = {key: None if np.isnan(value) else value for key, value in values.items()}
    reasons = []
    if not true:
        reasons.append("nothing annotated is of it")
    if not mapped:
        reasons.append("nothing annotated is mapped as it")
    return {
        "crop": name,
        "producers_accuracy": clean["recall"],
        "users_accuracy": clean["precision"],
        "f1": clean["f1"],
        "annotated": true,
        "mapped": mapped,
        "reason": "; ".join(reasons) or None,
    }


def table(found: dict[str, Any]) -> str:
    """The matrix and its scores, fixed-width.

    Args:
      found: from `summary`, with `method` and `unit`.
    """
    names = found["classes"]
    wide = max(len("mapped as"), *(len(name) for name in names)) + 2
    cell = max(8, *(len(f"{n:,}") + 2 for row in found["matrix"] for n in row))
    # Columns are numbered: names would not fit above them.
    lines = [
        f"{found['method']}, {found['unit']}: confusion; rows are the truth, columns what is mapped"
    ]
    heads = "".join(f"{i + 1:>{cell}}" for i in range(len(names)))
    lines.append(f"{'':{wide + 4}}{heads}{'producer':>10}{'user':>8}{'F1':>8}")
    for i, (name, row, own) in enumerate(
        zip(names, found["matrix"], found["per_class"], strict=True)
    ):
        cells = "".join(f"{n:>{cell},}" for n in row)
        values = [own[key] for key in ("producers_accuracy", "users_accuracy", "f1")]
        producer, user, f1 = ("-" if v is None else f"{v:.3f}" for v in values)
        lines.append(f"{i + 1:>3} {name:{wide}}{cells}{producer:>10}{user:>8}{f1:>8}")
    figures = [
        (title, Figure(**found[key]))
        for title, key in (
            ("overall accuracy", "overall_accuracy"),
            ("macro-F1", "macro_f1"),
            ("kappa", "kappa"),
        )
    ]
    lines.append("; ".join(f"{title} {words(one)}" for title, one in figures))
    return "\n".join(lines)


def words(one: Figure) -> str:
    """A score with its interval for people."""
    if one.value is None:
        return f"- ({one.reason})"
    if one.low is None or one.high is None:
        return f"{one.value:.3f} ({one.reason})"
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
