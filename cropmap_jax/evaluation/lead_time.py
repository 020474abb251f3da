"""How good a map is so many days before harvest, or as of the dates of a season: the curve.

`curve` makes what `evaluate` writes as `lead_time.json`:

    schema        "lead_time/1"
    axis          {"kind": "lead_days" or "as_of", "values": [150, 120, ...] or ["2022-01-01",
                  ...]}, in the order of time
    intervals     how they are made, see `figures.describe`
    goal          the F1 that `earliest` is about
    crops         names, in the order of the legend
    curves        a list, per method, unit ("pixels", "fields") and crop:
      method, unit, crop
      points      one per value of the axis:
        lead_days, as_of        what was asked for; the other is null
        dates                   [first, last] as-of date over the cubes of the split, or null
        effective_lead_days     [least, most] days from the last image to harvest, or null
        threshold, threshold_reason
        tp, fp, fn, tn          counts of pixels or fields; null where there is no image yet
        learnt                  whether training drew such as-of dates; null where that is unknown
        without_image           annotated pixels or fields without any image in the window
        f1, recall, precision   {"value", "low", "high", "reason"} each, see `intervals.Figure`
        change                  F1 minus that of the point before, the same; null for the first
        partial                 with --unknown, see `partial.describe`; pixels only
        reason                  why there are no scores, in words; null if there are
      earliest    {"lead_days" or "as_of" of the first point with F1 >= goal, or null;
                  "holds": whether all later points have it too; "surely": the first point whose
                  interval begins at the goal or above, or null; "words"}
    macro         a list, per method and unit: points with lead_days, as_of, f1, recall, precision
                  (means over crops, with intervals), `crops` that were averaged, `lacking` (crops
                  that have an F1 at another point, but not here), `change` (null where the
                  point before is of other crops) and `reason`; earliest, of points that lack none
"""

from collections.abc import Sequence
from typing import Any

from cropmap_jax.evaluation import figures, intervals, partial
from cropmap_jax.evaluation.as_of_plan import Plan, Step
from cropmap_jax.evaluation.evaluate import undefined
from cropmap_jax.evaluation.intervals import Figure
from cropmap_jax.evaluation.scored import Scored
from cropmap_jax.geo import periods

GOAL = 0.8
"""F1 that a map should have: the curve says how early it does."""
SCHEMA = "lead_time/1"
MACRO = "macro mean"

Point = dict[str, Any]


def curve(scored: Sequence[Scored], learnt: Sequence[bool] | None = None) -> dict[str, Any]:
    """The curves of some methods, JSON-ready; see above.

    Args:
      scored: of each method, of one plan.
      learnt: of each column, from `learnt_dates.of_columns`; None where that is unknown.
    """
    plan = scored[0].plan
    steps, by_date = plan.steps, plan.steps[0].as_of is not None
    kind = "as_of" if by_date else "lead_days"
    curves, macro = [], []
    for one in scored:
        for unit in one.units:
            own = [_of_crop(one, unit, position, learnt) for position in range(len(plan.crops))]
            curves += own
            if len(plan.crops) > 1:
                macro.append(_macro(one, unit))
    return {
        "schema": SCHEMA,
        "axis": {"kind": kind, "values": [step.to_json()[kind] for step in steps]},
        "intervals": scored[0].intervals(),
        "goal": GOAL,
        "crops": scored[0].names,
        "curves": curves,
        "macro": macro,
    }


def _of_crop(
    scored: Scored, unit: str, position: int, learnt: Sequence[bool] | None
) -> dict[str, Any]:
    plan, resampled = scored.plan, scored.resampled[unit]
    points, before = [], None
    for number, step in enumerate(plan.steps):
        if (number, position) in plan.absent:
            points.append(_absent(step, plan.absent[number, position]))
            continue
        column = plan.columns.index((number, position))
        tally, threshold = scored.found.tallies[column], scored.thresholds[column]
        why = undefined(tally, unit)
        found = resampled.figures(column, why)
        dates = plan.dates[:, column]
        counts = resampled.counts(column)
        point = step.to_json() | {
            "dates": [periods.from_day(int(d)).isoformat() for d in (dates.min(), dates.max())],
            "effective_lead_days": scored.leads[column],
            "threshold": threshold.value,
            "threshold_reason": threshold.reason,
            **{name: getattr(counts, name) for name in ("tp", "fp", "fn", "tn")},
            "learnt": None if learnt is None else bool(learnt[column]),
            "without_image": tally.unseen[unit],
            **figures.to_json(found),
            "change": None if before is None else resampled.change(before, column).to_json(),
            "reason": why,
        }
        unknown = scored.found.unknown
        if unknown and unit == "pixels":
            own = (int(n[column]) for n in (unknown.seen, unknown.mapped, unknown.unseen))
            point["partial"] = partial.describe(counts, *own)
        points.append(point)
        before = column
    return {
        "method": scored.method,
        "unit": unit,
        "crop": scored.names[position],
        "points": points,
        "earliest": _earliest(plan.steps, points),
    }


def _absent(step: Step, why: str) -> Point:
    nothing = dict.fromkeys(("tp", "fp", "fn", "tn", "learnt", "without_image"))
    none = {"dates": None, "effective_lead_days": None, "threshold": None}
    scores = {name: Figure(None, reason=why).to_json() for name in figures.NAMES}
    rest = {"threshold_reason": None, **nothing, **scores, "change": None, "reason": why}
    return step.to_json() | none | rest


def _macro(scored: Scored, unit: str) -> dict[str, Any]:
    plan, resampled = scored.plan, scored.resampled[unit]
    found = [resampled.macro(plan.of_step(number)) for number in range(len(plan.steps))]
    have = [{plan.columns[column][1] for column in kept} for _, kept in found]
    every = set().union(*have)
    points: list[Point] = []
    before: tuple[list[int], set[int]] | None = None
    for step, (own, kept), there in zip(plan.steps, found, have, strict=True):
        # Means of other crops are no change.
        change = resampled.macro_change(before[0], kept) if before and before[1] == there else None
        before = kept, there
        lacking = [scored.names[i] for i in sorted(every - there)]
        why = f"mean of {len(there)} of {len(every)} crops: no F1 of {', '.join(lacking)}"
        points.append(
            step.to_json()
            | figures.to_json(own)
            | {
                "crops": [scored.names[i] for i in sorted(there)],
                "lacking": lacking,
                "change": None if change is None else change.to_json(),
                "reason": own["f1"].reason if not there else why if lacking else None,
            }
        )
    whole = [point if not point["lacking"] else _absent(step, "") for step, point in
             zip(plan.steps, points, strict=True)]  # fmt: skip
    return {
        "method": scored.method,
        "unit": unit,
        "points": points,
        "earliest": _earliest(plan.steps, whole),
    }


def _earliest(steps: Sequence[Step], points: Sequence[Point]) -> dict[str, Any]:
    """When the goal is reached, and in words."""
    values = [point["f1"]["value"] for point in points]
    lows = [point["f1"]["low"] for point in points]
    reached = [i for i, value in enumerate(values) if value is not None and value >= GOAL]
    sure = [i for i, low in enumerate(lows) if low is not None and low >= GOAL]
    kind = "as_of" if steps[0].as_of is not None else "lead_days"
    at = [step.to_json()[kind] for step in steps]
    there = [i for i, value in enumerate(values) if value is not None]
    if not there:
        reasons = [point["f1"]["reason"] for point in points if point["f1"]["reason"]]
        words = f"no F1: {reasons[-1] if reasons else 'no point has one of every crop'}"
        return {kind: None, "holds": None, "surely": None, "words": words}
    if not reached:
        best = max(there, key=lambda i: values[i])
        words = f"not reached: at most {values[best]:.2f}, {steps[best].words}"
        return {kind: None, "holds": None, "surely": None, "words": words}
    first = reached[0]
    holds = all(i in reached for i in there if i > first)
    words = steps[first].words
    if not holds:
        words += ", but not at all later points"
    if not sure:
        words += "; no whole interval lies above it"
    elif sure[0] == first:
        words += "; its whole interval lies above it"
    else:
        words += f"; with its whole interval {steps[sure[0]].words}"
    surely = at[sure[0]] if sure else None
    return {kind: at[first], "holds": holds, "surely": surely, "words": words}


# Tables -------------------------------------------------------------------------------------------

_PER_LINE = 5


def table(found: dict[str, Any]) -> str:
    """F1 with its interval, crop by crop, and when it reaches the goal.

    Args:
      found: from `curve`.
    """
    values, names = found["axis"]["values"], _names(found)
    ahead = "days before harvest" if found["axis"]["kind"] == "lead_days" else "as of"
    blocks = []
    for method, unit in dict.fromkeys((one["method"], one["unit"]) for one in found["curves"]):
        rows = [
            (one["crop"], one)
            for one in found["curves"]
            if (one["method"], one["unit"]) == (method, unit)
        ]
        rows += [
            (MACRO, one) for one in found["macro"] if (one["method"], one["unit"]) == (method, unit)
        ]
        wide = max(len(name) for name, _ in rows) + 2
        lines = [f"{method}, {unit}: F1 with its {intervals.LEVEL * 100:.0f} % interval, {ahead}"]
        for start in range(0, len(values), _PER_LINE):
            part = slice(start, start + _PER_LINE)
            lines.append(" " * wide + "".join(f"{name:>20}" for name in names[part]))
            for name, one in rows:
                cells = "".join(f"{_cell(point):>20}" for point in one["points"][part])
                lines.append(f"{name:{wide}}{cells}")
        lines.append(f"F1 of {found['goal']} is reached by")
        lines += [f"  {name:{wide}}{one['earliest']['words']}" for name, one in rows]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _names(found: dict[str, Any]) -> list[str]:
    """Of the points: "60 d", "2022-05-01"."""
    unit = " d" if found["axis"]["kind"] == "lead_days" else ""
    return [f"{value}{unit}" for value in found["axis"]["values"]]


def _cell(point: Point) -> str:
    f1 = point["f1"]
    if f1["value"] is None:
        return "no image yet" if (f1["reason"] or "").startswith("no image") else "-"
    star = "*" if point.get("lacking") else ""
    if f1["low"] is None:
        return f"{f1['value']:.2f}{star}"
    return f"{f1['value']:.2f}{star} ({f1['low']:.2f}-{f1['high']:.2f})"


def notes(found: dict[str, Any]) -> list[str]:
    """What the table leaves out, in words: missing values, and where later is surely worse."""
    out: dict[str, list[str]] = {}
    own = found["curves"][0]["method"]
    for one in found["curves"]:
        if one["method"] != own or one["unit"] != "pixels":
            continue
        for step, point in zip(_names(found), one["points"], strict=True):
            change = point["change"]
            if point["f1"]["value"] is None:
                out.setdefault(point["f1"]["reason"], []).append(f"{one['crop']} at {step}")
            elif point["f1"]["low"] is None:
                out.setdefault(point["f1"]["reason"], []).append(f"{one['crop']} at {step}")
            if change and change["high"] is not None and change["high"] < 0:
                why = "F1 of pixels is surely lower than at the point before"
                out.setdefault(why, []).append(f"{one['crop']} at {step}")
    lines = [f"{_few(where)}: {why}" for why, where in out.items()]
    for one in found["macro"]:
        lacking = [point for point in one["points"] if point["lacking"]]
        if one["method"] == own and one["unit"] == "pixels" and lacking:
            lines.append("*: the macro mean is of fewer crops there than at other points")
    return lines


def _few(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def plan_words(plan: Plan) -> str:
    """What was asked for, in words."""
    return ", ".join(step.name for step in plan.steps)
