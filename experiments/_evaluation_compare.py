"""What `evaluate --compare` does: other methods on the same pixels, and what to use."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments._evaluation_others import BARE, Other, find

if TYPE_CHECKING:  # it takes seconds to import
    from cropmap_jax.evaluation.scoring import Run

__all__ = ["BARE", "Other", "find", "names", "score", "write"]


def names(every: bool, crop: str) -> tuple[str, str]:
    """JSON and picture that are written."""
    stem = "compare" if every else f"compare-{crop}"
    return f"{stem}.json", f"{stem}.png"


def score(run: "Run", others: Sequence[Other], scored: Sequence[Any]) -> dict[str, Any]:
    """Scores the methods that the run is compared with.

    Args:
      run: what was scored already.
      others: from `_evaluation_others.find`.
      scored: a `scored.Scored` per method of the run itself, its own first.

    Returns:
      "compare" of the JSON.
    """
    from cropmap_jax.evaluation import as_of_plan, comparison, comparison_words, scoring
    from cropmap_jax.evaluation.scored import CHOSEN

    at, plan = scoring.reference_step(run), run.plan
    step, own = plan.steps[at], plan.of_step(at)
    columns = tuple((0, plan.columns[k][1]) for k in own)
    part = as_of_plan.Plan((step,), plan.crops, columns, plan.dates[:, own])
    names = [run.data.legend.names[crop] for crop in part.classes]
    each = [
        comparison.Entry(
            one.method, _words(run, one.method, number), _counts(one.found, own, CHOSEN)
        )
        for number, one in enumerate(scored)
    ]
    point = dataclasses.replace(run, plan=part, baselines={}, unknown=False, pictures=0)
    for other in others:
        counts = _counts(_tallied(point, other), list(range(len(own))), 0)
        each.append(comparison.Entry(other.method, other.words, counts))
    found = comparison.compare(each[0], each[1:], names, scored[0].unit) | step.to_json()
    found["sentence"] = comparison_words.sentence(found, run.split)
    found["notes"] += _notes(run, step, found)
    return found


def _words(run: "Run", method: str, number: int) -> str:
    if not number:
        return f"{method} of this run"
    if method in run.baselines:
        return f"{method}, trained for each as-of date"
    return f"member of this run: {method}"


def _counts(found, columns: list[int], rule: int) -> dict[str, Any]:
    """By unit the counts of some columns, groups in their own order."""
    return {unit: one[found.order][:, columns, rule] for unit, one in found.counts.items()}


def _tallied(run: "Run", other: Other):
    """Counts of a method at thresholds that are chosen for it."""
    import numpy as np

    from cropmap_jax.evaluation import scoring, split_tally

    predictor = other.make(run)
    (chosen,) = scoring.thresholds(run, predictor, [other.method])
    values = np.array([choice.value for choice in chosen])
    found = split_tally.Method(run.plan.classes, values[:, None])
    split_tally.tally(
        predictor, run.split, run.data, run.restored.recipe.num_periods, run.plan.dates, [found],
        smoothed=run.smoothed,
    )  # fmt: skip
    return found


def _notes(run: "Run", step, found: dict[str, Any]) -> list[str]:
    out = [found["intervals"]["words"]]
    if len(run.plan.steps) > 1:
        out.append(f"compared {step.words}, one point of the curve")
    if run.chooser == "train":
        out.append(
            "thresholds were chosen on train, which forests fit almost perfectly: theirs may be "
            "too high"
        )
    rows = [row for row in found["differences"] if row["low"] is not None]
    # Of one crop alone, the mean is itself, in pixels and in fields.
    if len({row["crop"] for row in rows if row["crop"] is not None}) > 1:
        out.append(
            f"even of equal methods 1 of 20 intervals at 95 % leaves out 0 by chance, and here are "
            f"{len(rows)}: look at the mean over crops first"
        )
    return out


def write(
    run: "Run", settings: dict[str, Any], found: dict[str, Any], files: tuple[str, str]
) -> str:
    """Writes the JSON and the picture; returns what to print.

    Args:
      run: which writes.
      settings: of the JSON.
      found: from `score`.
      files: from `names`.
    """
    from cropmap_jax.evaluation import comparison_picture, comparison_words, report

    json, picture = files
    comparison_picture.draw(found, run.out / picture)
    report.write_json(run.out / json, {"settings": settings, "compare": found})
    noted = "".join(f"\nnote: {note}" for note in found["notes"])
    paths = f"comparison: {run.out / json}\npicture: {run.out / picture}"
    return f"\n\n{comparison_words.table(found)}\n\n{found['sentence']}{noted}\n{paths}"
