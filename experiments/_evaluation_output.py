"""What `evaluate` writes and prints of what it scored."""

import pathlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it takes seconds to import
    from cropmap_jax.evaluation.scoring import Run


_CONFUSION = "confusion.json"
"""What the JSON of a confusion matrix would be called: its pictures are."""


def of_one_date(run: "Run", scored: list[Any], file: str) -> tuple[dict[str, Any], list[str], str]:
    """Scores of one date for each crop.

    Args:
      run: what was scored.
      scored: a `scored.Scored` per method.
      file: name of the JSON, whose pictures are called alike.

    Returns:
      Parts of the JSON, notes, and what to print.
    """
    from cropmap_jax.evaluation import confusion, evaluate, figures, partial, report
    from cropmap_jax.evaluation.scored import CHOSEN

    rows, means, unknown = [], [], []
    for one in scored:
        tallies = one.found.tallies
        own = evaluate.score_rows(one.method, one.names, tallies, one.leads, one.thresholds)
        position = {name: i for i, name in enumerate(one.names)}
        for row in own:
            if row["rule"] == evaluate.RULES[CHOSEN]:
                found = one.resampled[row["unit"]].figures(position[row["crop"]], row["reason"])
                row["intervals"] = figures.to_json(found)
        rows += own
        for _, tally in one.found.maps:
            # Classes that do not exclude each other answer one by one: their map has no such rows.
            rows += tally.rows(one.method, one.names, one.leads) if tally.exclusive else []
        if len(one.names) > 1:
            means += [_mean(one, unit) for unit in one.units]
        unknown += _partial(one)
    matrices = _confusions(run, scored)
    parts = {
        "scores": rows,
        "macro": means,
        "intervals": scored[0].intervals(),
        "confusion": matrices,
    }
    printed = [report.score_table(rows)]
    printed += [_means_table(means)] if means else []
    printed += [confusion.table(one) for one in matrices if one["reason"] is None]
    if unknown:
        parts["partial"] = unknown
        printed.append(partial.table(unknown))
    words = scored[0].intervals()["words"]
    noted = [f"{words}; in the JSON, of thresholds that were chosen"]
    noted += [one["reason"] for one in matrices if one["reason"] and "unit" not in one]
    noted += _learnt_note(run, scored[0].names)
    return parts, _score_notes(run, scored[0], 0) + noted, "\n\n".join(printed)


def of_a_curve(run: "Run", scored: list[Any], file: str) -> tuple[dict[str, Any], list[str], str]:
    """Scores as of several dates; arguments and result as `of_one_date`."""
    from cropmap_jax.evaluation import confusion, figure_pictures, lead_time, learnt_dates

    learnt = learnt_dates.ends(run.restored, run.data)
    inside = (
        None if learnt is None else learnt_dates.of_columns(run.plan, run.data, run.split, learnt)
    )
    found = lead_time.curve(scored, inside)
    for unit in scored[0].units:
        name = picture_name(file, unit)
        run.written.claim(name)
        figure_pictures.lead_time(found, unit, run.out / name)
    last = max(step for step, _ in run.plan.columns)
    matrices = _confusions(run, scored)
    found["confusion"] = matrices
    printed = [lead_time.table(found)]
    latest = run.plan.steps[last].to_json()
    printed += [
        confusion.table(one)
        for one in matrices
        if one["reason"] is None and {key: one[key] for key in latest} == latest
    ]
    noted = [scored[0].intervals()["words"], *lead_time.notes(found)]
    noted += [one["reason"] for one in matrices if one["reason"] and "unit" not in one]
    noted += _learnt_note(run, scored[0].names)
    noted += _score_notes(run, scored[0], last)
    return found, noted, "\n\n".join(printed)


def _learnt_note(run: "Run", names: list[str]) -> list[str]:
    """Of dates that training never drew."""
    from cropmap_jax.evaluation import learnt_dates

    learnt = learnt_dates.ends(run.restored, run.data)
    if not learnt:
        return []
    inside = learnt_dates.of_columns(run.plan, run.data, run.split, learnt)
    found = learnt_dates.note(run.plan, names, inside)
    return [found] if found else []


def names(run: "Run", file: str, curve: bool) -> list[str]:
    """Files that are written, or may be; all are claimed before anything is scored.

    Args:
      run: what will be scored.
      file: name of the JSON.
      curve: whether there is a picture of it.
    """
    from cropmap_jax.evaluation import map_scores
    from cropmap_jax.evaluation.split_tally import UNITS

    plan, found = run.plan, [file]
    if curve:
        found += [picture_name(file, unit) for unit in UNITS]
    own = plan.of_step(max(step for step, _ in plan.columns))
    whole = len(own) == len(plan.crops)
    if whole and map_scores.tally_for(True, run.data, plan.crops, plan.dates[:, own]):
        found += of_a_map()
    return found


def of_a_map() -> list[str]:
    """Pictures of confusion, of every unit."""
    from cropmap_jax.evaluation.split_tally import UNITS

    return [picture_name(_CONFUSION, unit) for unit in UNITS]


def picture_name(file: str, unit: str) -> str:
    """Of a JSON called so: its picture of pixels, or of fields."""
    return f"{pathlib.Path(file).stem}{'' if unit == 'pixels' else f'-{unit}'}.png"


def _score_notes(run: "Run", first, step: int) -> list[str]:
    """Notes of the run's own method, of one step; those of other methods would be the same."""
    from cropmap_jax.evaluation import notes

    own = run.plan.of_step(step)
    when = f" at {run.plan.steps[step].name}" if len(run.plan.steps) > 1 else ""
    return notes.score_notes(
        run.split,
        [f"{first.names[run.plan.columns[k][1]]}{when}" for k in own],
        [first.found.tallies[k] for k in own],
        [first.leads[k] for k in own],
        [first.thresholds[k] for k in own],
        run.restored.recipe.sensors,
    )


def _mean(one, unit: str) -> dict[str, Any]:
    from cropmap_jax.evaluation import evaluate, figures
    from cropmap_jax.evaluation.scored import CHOSEN

    found, kept = one.resampled[unit].macro(range(len(one.names)))
    crops = [one.names[i] for i in kept]
    row = {"method": one.method, "unit": unit, "rule": evaluate.RULES[CHOSEN], "crops": crops}
    return row | figures.to_json(found)


def _means_table(means: list[dict[str, Any]]) -> str:
    """Macro means with their intervals; of thresholds that were chosen."""
    from cropmap_jax.evaluation import confusion
    from cropmap_jax.evaluation.intervals import Figure

    wide = max(8, *(len(row["method"]) for row in means)) + 1
    lines = ["macro means over crops, thresholds as chosen, with 95 % intervals"]
    for row in means:
        cells = "; ".join(
            f"{title} {confusion.words(Figure(**row[name]))}"
            for title, name in (("F1", "f1"), ("recall", "recall"), ("precision", "precision"))
        )
        lines.append(f"{row['method']:{wide}}{row['unit']:8}{len(row['crops'])} crops: {cells}")
    return "\n".join(lines)


def _partial(one) -> list[dict[str, Any]]:
    """Rows of `partial.describe`, of pixels at the thresholds that were chosen."""
    from cropmap_jax.evaluation import partial

    unknown = one.found.unknown
    if not unknown:
        return []
    rows = []
    for k, (_, position) in enumerate(one.plan.columns):
        counted = (int(n[k]) for n in (unknown.seen, unknown.mapped, unknown.unseen))
        row = {"crop": one.names[position], "method": one.method}
        threshold = {"threshold": one.thresholds[k].value}
        described = partial.describe(one.resampled["pixels"].counts(k), *counted)
        rows.append(row | threshold | described)
    return rows


def _confusions(run: "Run", scored: list[Any]) -> list[dict[str, Any]]:
    """Entries of "confusion"; draws those of the run's own method as of the last step."""
    from cropmap_jax.evaluation import confusion, figure_pictures

    out: list[dict[str, Any]] = []
    for one in scored:
        for first, tally in one.found.maps:
            step = run.plan.steps[run.plan.columns[first][0]]
            for unit in one.units:
                matrix = tally.confusion(unit, one.found.groups_of_pixels, one.groups)
                row = {"method": one.method, "unit": unit} | step.to_json()
                row |= confusion.summary(matrix, one.names, one.unit, tally.exclusive)
                out.append(row | {"without_image": tally.unseen[unit]})
    if not out:
        whole = len(run.plan.crops) == len(run.data.legend)
        why = confusion.NO_MAP if whole else "no confusion matrix: it is of --crop all"
        return [{"reason": why}]
    own = [row for row in out if row["method"] == scored[0].method and row["reason"] is None]
    for row in own:
        if all(row[key] == own[-1][key] for key in ("lead_days", "as_of")):
            name = picture_name(_CONFUSION, row["unit"])
            run.written.claim(name)
            when = row["as_of"] or f"{row['lead_days']} days before harvest"
            accuracy = row["overall_accuracy"]["value"]
            title = f"{row['unit']} of {run.split}, {when}: overall accuracy {accuracy:.3f}"
            figure_pictures.confusion(row, title, run.out / name)
    return out
