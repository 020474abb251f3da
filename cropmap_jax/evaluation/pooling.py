"""Scores of a cross-validation: counts summed over folds, and the spread between folds."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from cropmap_jax.evaluation.map_scores import NONE
from cropmap_jax.evaluation.metrics import Counts

Row = dict[str, Any]
KEY = ("crop", "method", "unit", "rule")
COUNTS = ("tp", "fp", "fn", "tn")
SCORES = ("precision", "recall", "f1")


def pool(folds: Sequence[Sequence[Row]]) -> list[Row]:
    """Pools the rows that `evaluate` wrote of every fold.

    Counts add up, and scores are of the sums: a mean over folds would give a fold of few pixels
    the weight of one of many. Thresholds that were chosen are each fold's own.

    Args:
      folds: rows of each fold, as of `evaluate.score_rows`.

    Returns:
      A row per crop, method, unit and rule: counts, scores, `without_image`, `lead_days`,
      `thresholds` of the folds, and `folds`, per score its value in each fold (None where it has
      none), mean and standard deviation of those that have one.
    """
    found: dict[tuple[str, ...], list[Row | None]] = {}
    for number, rows in enumerate(folds):
        for row in rows:
            key = tuple(row[name] for name in KEY)
            found.setdefault(key, [None] * len(folds))[number] = row
    return [_pooled(key, own) for key, own in found.items()]


def _pooled(key: tuple[str, ...], own: list[Row | None]) -> Row:
    rows = [row for row in own if row]
    counts = Counts(**{name: sum(row[name] for row in rows) for name in COUNTS})
    leads = [row["lead_days"] for row in rows if row["lead_days"]]
    return (
        dict(zip(KEY, key, strict=True))
        | {"thresholds": [row["threshold"] if row else None for row in own]}
        | counts.scores()
        | {
            "without_image": sum(row["without_image"] for row in rows),
            "lead_days": [min(a for a, _ in leads), max(b for _, b in leads)] if leads else None,
            "folds": {name: _spread(row[name] if row else None for row in own) for name in SCORES},
        }
    )


def _spread(values: Iterable[float | None]) -> Row:
    each = list(values)
    there = [value for value in each if value is not None]
    return {
        "each": each,
        "mean": statistics.mean(there) if there else None,
        "sd": statistics.stdev(there) if len(there) > 1 else None,
    }


def macro(pooled: Sequence[Row]) -> list[Row]:
    """Mean F1 over the crops that have one, per method, unit and rule.

    Args:
      pooled: from `pool`.

    Returns:
      Rows of method, unit, rule, `macro_f1` of the pooled counts, `crops`, how many have an F1,
      and `folds`, the same in each fold as in `pool`. Where none of these is scored as a class of
      its own, `macro_f1_with_none` counts it too.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in pooled:
        groups.setdefault(tuple(row[name] for name in KEY[1:]), []).append(row)
    out = []
    for key, rows in groups.items():
        crops = [row for row in rows if row["crop"] != NONE]
        each = zip(*(row["folds"]["f1"]["each"] for row in crops), strict=True)
        out.append(
            dict(zip(KEY[1:], key, strict=True))
            | {
                "macro_f1": _mean(row["f1"] for row in crops),
                "crops": sum(row["f1"] is not None for row in crops),
                "folds": _spread(_mean(values) for values in each),
            }
        )
        if len(rows) > len(crops):
            out[-1]["macro_f1_with_none"] = _mean(row["f1"] for row in rows)
    return out


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return statistics.mean(there) if there else None


def table(pooled: Sequence[Row], means: Sequence[Row]) -> str:
    """Fixed-width table of pooled scores and their spread; "-" where no value is."""
    wide = max([15, *(len(row["crop"]) for row in pooled)]) + 1
    method = max([8, *(len(row["method"]) for row in pooled)]) + 1
    head = f"{'crop':{wide}}{'method':{method}}{'unit':8}{'rule':8}"
    head += f"{'precision':>10}{'recall':>8}{'F1':>8}{'n':>10}  F1 of folds"
    lines = [head]
    for row in pooled:
        n = sum(row[name] for name in COUNTS)
        lines.append(
            f"{row['crop']:{wide}}{row['method']:{method}}{row['unit']:8}{row['rule']:8}"
            f"{_number(row['precision']):>10}{_number(row['recall']):>8}{_number(row['f1']):>8}"
            f"{n:10,d}  {_of_folds(row['folds']['f1'])}"
        )
    for row in means:
        name = f"mean of {row['crops']}"
        lines.append(
            f"{name:{wide}}{row['method']:{method}}{row['unit']:8}{row['rule']:8}"
            f"{'':18}{_number(row['macro_f1']):>8}{'':10}  {_of_folds(row['folds'])}"
        )
        if "macro_f1_with_none" in row:
            lines[-1] += f"; with none of these {_number(row['macro_f1_with_none'])}"
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _of_folds(spread: Row) -> str:
    each = " ".join(_number(value) for value in spread["each"])
    return f"{_number(spread['mean'])} ± {_number(spread['sd'])} ({each})"
