"""The ground: all classes on one map, unknown ground, blocks and places, as tables of the page."""

from collections.abc import Mapping
from typing import Any

from cropmap_jax.reporting import summary, words
from cropmap_jax.reporting.content import Report
from cropmap_jax.reporting.tables import Cell, Table

View = dict[str, Any]


def legend(report: Report, titles: words.Titles) -> View:
    """Confusion, of pixels and of fields."""
    about = report["one_date"]
    found = [row for row in about["confusion"] if not row["reason"]]
    return {
        "dates": words.as_of(about["dates"]),
        "rule": about["rule"],
        "reason": about["reason"] or (None if found else "nothing that is annotated was seen"),
        "items": [_confusion(row, titles) for row in found],
    }


def _confusion(row: Mapping[str, Any], titles: words.Titles) -> View:
    names = [titles(name) for name in row["classes"]]
    matrix = Table(
        f"Confusion of {row['unit']}: rows are what grows there, columns what the map shows; "
        f"shaded by share of the row",
        ["Known to be", *names],
    )
    for name, values in zip(names, row["matrix"], strict=True):
        total = sum(values)
        matrix.add(
            name,
            *(Cell(f"{n:,}", shade=round(10 * n / total) if total else None) for n in values),
        )
    each = Table(
        f"Accuracy of each class, of {row['unit']}",
        ["Class", "Producer's accuracy (found)", "User's accuracy (right)", "F1", "Known",
         "Shown, of known"],
    )  # fmt: skip
    for one in row["per_class"]:
        mark = each.mark(one["reason"])
        values = [one["producers_accuracy"], one["users_accuracy"], one["f1"]]
        each.add(
            titles(one["crop"]),
            *(
                Cell(form(value), mark if value is None else "")
                for form, value in zip(
                    (words.percent, words.percent, words.score), values, strict=True
                )
            ),
            Cell(f"{one['annotated']:,}"),
            Cell(f"{one['mapped']:,}"),
        )
    totals = Table(
        f"The whole map, of {row['unit']}", ["Score", f"Value, with its 95{words.PERCENT} interval"]
    )
    for title, key, form in (
        ("Overall accuracy", "overall_accuracy", words.share),
        ("Mean F1 of the crops", "macro_f1", words.figure),
        ("Cohen's kappa", "kappa", words.figure),
    ):
        totals.add(title, totals.figure(row[key], form))
    return {
        "unit": row["unit"],
        "rule": row["rule"],
        "without_image": row["without_image"],
        "matrix": matrix,
        "each": each,
        "totals": totals,
    }


def unknown(report: Report, titles: words.Titles) -> Table | None:
    """What partial annotation leaves open."""
    step = report["step"]
    rows = [(one, one["points"][step].get("partial")) for one in summary.curves(report)]
    if not any(found for _, found in rows):
        return None
    table = Table(
        f"Known and unknown ground, {words.step(summary.named_steps(report)[step])}",
        ["Crop", "Known, of ground seen", "Unknown ground shown as it",
         "Precision on known ground", "Precision on all ground, between"],
    )  # fmt: skip
    for one, found in rows:
        if not found:
            continue
        mark, bounds = table.mark(found["reason"]), found["precision_bounds"]
        shares = (found["annotated_share"], found["unknown_mapped_share"])
        between = words.DASH if bounds is None else f"{bounds[0]:.2f} and {bounds[1]:.2f}"
        table.add(
            titles(one["crop"]),
            *(Cell(words.percent(v), mark if v is None else "") for v in shares),
            Cell(words.score(found["precision"]), mark if found["precision"] is None else ""),
            Cell(between, mark if bounds is None else ""),
        )
    return table


def blocks(report: Report, titles: words.Titles) -> View:
    """Whether the map is as good in every block and province."""
    found = report["blocks"]
    when = words.step(found["step"])
    blocks = Table(
        f"Block by block: F1 of pixels {when}",
        ["Block", "Province", "Known pixels", "Map of all classes: right", "Mean F1",
         *(titles(name) for name in found["blocks"][0]["f1"])],
    )  # fmt: skip
    for row in found["blocks"]:
        blocks.add(row["name"], words.listed(row["provinces"]), *_of_place(blocks, row))
    out: View = {"blocks": blocks, "provinces": None, "single": len(found["blocks"]) == 1}
    stated = [row for row in found["provinces"] if row["provinces"] != ["not stated"]]
    if stated and len(found["provinces"]) < len(found["blocks"]):
        provinces = Table(
            f"Province by province: F1 of pixels {when}",
            ["Province", "Blocks", "Known pixels", "Map of all classes: right", "Mean F1",
             *(titles(name) for name in found["blocks"][0]["f1"])],
        )  # fmt: skip
        for row in found["provinces"]:
            provinces.add(row["name"], Cell(f"{row['blocks']}"), *_of_place(provinces, row))
        out["provinces"] = provinces
    return out


def _percent(one: Mapping[str, Any]) -> str:
    return words.percent(one["value"])


def _value(one: Mapping[str, Any]) -> str:
    return words.score(one["value"])


def _of_place(table: Table, row: Mapping[str, Any]) -> list[Cell]:
    return [
        Cell(f"{row['annotated']:,}"),
        table.figure(row["accuracy"], _percent),
        table.figure(row["mean"], _value, shaded=True),
        *(table.figure(one, _value, shaded=True) for one in row["f1"].values()),
    ]


def maps(report: Report, titles: words.Titles) -> View:
    """The places, with what is said of each step."""
    found = report["maps"]
    key = [
        {
            "number": number,
            "title": one["title"],
            "colour": one["colour"],
            "pattern": one["pattern"],
        }
        for number, one in enumerate(report["crops"], 1)
    ]
    return {
        "key": key,
        "ramp": found["confidence"],
        "calibrated": found["calibrated"],
        "left_out": found["left_out"],
        "places": [_place(one, titles) for one in found["places"]],
    }


def _place(one: Mapping[str, Any], titles: words.Titles) -> View:
    crop = None if one["crop"] is None else titles(one["crop"])
    steps = []
    for row in one["steps"]:
        when = words.step(row)
        if crop and row["lead_days"] is not None:
            when = f"{words.count(row['lead_days'], 'day')} before the harvest of {crop}"
        steps.append(
            dict(row)
            | {
                "name": when,
                "short": words.short_step(row),
                "when": words.date(row["date"]) if row["date"] else None,
                "says": _says(row),
                "absent": [titles(name) for name in row.get("not_planted", ())],
            }
        )
    facts = [
        f"{words.length(one['width_m'])} by {words.length(one['height_m'])}",
        one["where"],
        *([one["province"]] if one["province"] else []),
        f"block {one['block']}",
        f"season {one['season']}",
        f"{words.percent(one['annotated'] / one['pixels'])} of the ground is known",
    ]
    if crop and one["harvest"]:
        facts.append(f"{crop}, the main crop here, is harvested from {words.date(one['harvest'])}")
    if one["every"] > 1:
        facts.append(f"pictures show one of {one['every']} pixels along each side")
    marks = [dict(mark) | {"number": mark["class"] + 1} for mark in one["marks"]]
    return dict(one) | {"facts": facts, "steps": steps, "marks": marks}


def _says(row: Mapping[str, Any]) -> str | None:
    """What a step shows, in a sentence."""
    if row["reason"]:
        return None
    if row["right"] is None:
        return "No known ground here was seen by then."
    of = " of crops that are planted by then" if row["not_planted"] else ""
    text = f"Of the known pixels{of}, {words.percent(row['right'])} are right"
    sure = [
        f"{words.percent(row[key])} where {name}"
        for name, key in (("right", "sure_right"), ("wrong", "sure_wrong"))
        if row[key] is not None
    ]
    if sure:
        text += f"; mean confidence: {', '.join(sure)}"
    return text + "."
