"""From a report to what its page shows: tables, charts and sentences, no HTML."""

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from cropmap_jax.reporting import charts, page_ground, page_trust, summary, words
from cropmap_jax.reporting.content import Report
from cropmap_jax.reporting.tables import Cell, Table

MOST_RIVALS = 3
"""Other methods in a chart: more lines could not be told apart."""
MOST_CHARTS = 24
"""Crops with a chart of their own; of all there are tables."""
UNLEARNT = "training never drew such dates"

View = dict[str, Any]


def view(report: Report) -> View:
    """All that the template needs."""
    titles = words.Titles(report["crops"])
    settings = report["settings"]
    return {
        "title": f"Crop map report: {settings['dataset']}",
        "created": words.date(report["created"]),
        "subject": summary.subject(report),
        "settings": settings,
        # None: nobody knows.
        "held_out": settings.get("trained_on") == [],
        "goal": report["curve"]["goal"],
        "headline": summary.headline(report),
        "overall": summary.overall(report),
        "comparison": summary.comparison(report),
        "beaten": summary.beaten(report),
        "cautions": summary.cautions(report),
        "notes": report["notes"],
        "intervals": report["curve"]["intervals"]["words"],
        "step": words.step(summary.named_steps(report)[report["step"]]),
        "in_short": _in_short(report, titles),
        "early": _early(report, titles),
        "curves": _curves(report, titles),
        "fields": _early(report, titles, "fields"),
        "rivals": _rivals(report),
        "compare": _compare(report, titles),
        "legend": page_ground.legend(report, titles),
        "trust": page_trust.trust(report, titles),
        "unknown": page_ground.unknown(report, titles),
        "blocks": page_ground.blocks(report, titles),
        "maps": page_ground.maps(report, titles),
        "provenance": _provenance(report),
    }


def _in_short(report: Report, titles: words.Titles) -> Table:
    """How early each crop is mapped well, and how reliably."""
    kind, goal, step = report["curve"]["axis"]["kind"], report["curve"]["goal"], report["step"]
    when = words.step(summary.named_steps(report)[step])
    table = Table(
        f"Crops of the legend: when the map is good, and how good it is {when}",
        ["Crop", f"F1 of {goal} from", "How sure", "F1", "Recall: found", "Precision: right"],
    )
    for one in summary.curves(report):
        point, earliest = one["points"][step], one["earliest"]
        first = earliest.get("lead_days", earliest.get("as_of"))
        good = "never" if first is None else words.short_step({kind: first})
        if first is not None and kind == "lead_days":
            good += " before"
        if first is not None and not earliest["holds"]:
            good += ", but not at every later point"
        table.add(
            titles(one["crop"]), good, summary.sureness(one, kind, goal),
            table.figure(point["f1"], also=_unlearnt(point)),
            table.figure(point["recall"], _value, alone=True),
            table.figure(point["precision"], _value, alone=True),
        )  # fmt: skip
    return table


def _value(one: Mapping[str, Any]) -> str:
    return words.score(one["value"])


def _unlearnt(point: Mapping[str, Any]) -> str | None:
    return UNLEARNT if point.get("learnt") is False else None


def _early(report: Report, titles: words.Titles, unit: str = "pixels") -> Table | None:
    """F1 of every crop at every point."""
    found = summary.curves(report, unit=unit)
    if not found:
        return None
    ahead = "days before harvest" if report["curve"]["axis"]["kind"] == "lead_days" else "date"
    table = Table(
        f"F1 of {unit} with its 95 % interval, by {ahead}; the stronger the shade, the better",
        ["Crop", *(words.short_step(one) for one in summary.named_steps(report))],
    )
    for one in found:
        cells = [table.figure(p["f1"], also=_unlearnt(p), shaded=True) for p in one["points"]]
        table.add(titles(one["crop"]), *cells)
    mean = summary.means(report, report["settings"]["method"], unit)
    if mean and report["curve"]["macro"]:
        cells = []
        for point in mean["points"]:
            also = point["reason"] if point["f1"]["value"] is not None else None
            cells.append(table.figure(point["f1"], also=also, shaded=True))
        table.add("Mean of the crops", *cells)
    return table


def _axis(report: Report) -> tuple[charts.Axis, list[float]]:
    """The axis of time, and where its points lie."""
    kind, values = report["curve"]["axis"]["kind"], report["curve"]["axis"]["values"]
    if kind == "lead_days":
        at = [float(v) for v in values]
        span = max(at) - min(at) or 1.0
        ends = (max(at) + span * 0.04, min(at) - span * 0.04)
        return charts.Axis("days before harvest", *ends, [(v, f"{v:g}") for v in at]), at
    days = [dt.date.fromisoformat(v) for v in values]
    at = [float(day.toordinal()) for day in days]
    every = -(-len(at) // 6)
    ticks = [(a, f"{d.day} {d:%b}") for a, d in list(zip(at, days, strict=True))[::every]]
    span = at[-1] - at[0] or 1.0
    title = f"as of, {days[0].year}" + (
        f" to {days[-1].year}" if days[0].year < days[-1].year else ""
    )
    return charts.Axis(title, at[0] - span * 0.04, at[-1] + span * 0.04, ticks), at


def _curves(report: Report, titles: words.Titles) -> View:
    """A chart per crop, and its numbers."""
    axis, at = _axis(report)
    rivals = summary.others(report)[:MOST_RIVALS]
    found = summary.curves(report)
    items: list[View] = []
    for one in found[:MOST_CHARTS]:
        series = [
            charts.Series("F1, with its 95 % interval", _points(one, at, "f1"), 0, _spans(one, at)),
            charts.Series("precision", _points(one, at, "precision"), 1),
            charts.Series("recall", _points(one, at, "recall"), 2),
        ]
        for number, rival in enumerate(rivals):
            theirs = [c for c in summary.curves(report, rival) if c["crop"] == one["crop"]]
            if theirs:
                name = f"F1 of {words.method(rival)}"
                series.append(charts.Series(name, _points(theirs[0], at, "f1"), 3 + number))
        title = titles(one["crop"])
        chart = charts.chart(
            f"{title}: scores over time", _in_words(one), axis,
            dataclasses.replace(charts.UNIT, title="score"), series, goal=report["curve"]["goal"],
        )  # fmt: skip
        items.append({"name": title, "chart": chart, "table": _numbers(one, title)})
    return {
        "items": items,
        "key": items[0]["chart"]["series"] if items else [],
        "left_out": [titles(one["crop"]) for one in found[MOST_CHARTS:]],
        "rivals_left_out": [words.method(m) for m in summary.others(report)[MOST_RIVALS:]],
    }


def _points(one: Mapping[str, Any], at: Sequence[float], name: str) -> list[charts.Point]:
    return [(x, p[name]["value"]) for x, p in zip(at, one["points"], strict=True)]


def _spans(one: Mapping[str, Any], at: Sequence[float]) -> list[tuple[float, float, float]]:
    return [
        (x, p["f1"]["low"], p["f1"]["high"])
        for x, p in zip(at, one["points"], strict=True)
        if p["f1"]["low"] is not None
    ]


def _in_words(one: Mapping[str, Any]) -> str:
    parts = [
        f"F1 {words.figure(p['f1'])} {words.step(p)}"
        for p in one["points"]
        if p["f1"]["value"] is not None
    ]
    return "; ".join(parts) or "There is no F1 at any point."


def _numbers(one: Mapping[str, Any], title: str) -> Table:
    """All numbers of a chart."""
    table = Table(
        f"{title}: scores of pixels",
        ["When", "As-of date", "Last image to harvest", "F1", "Recall", "Precision",
         "Threshold", "Right", "Wrongly shown", "Missed", "No image"],
    )  # fmt: skip
    for point in one["points"]:
        lead = point["effective_lead_days"]
        gap = words.DASH if lead is None else _days(lead)
        counted = [
            Cell(words.DASH if point[name] is None else f"{point[name]:,}")
            for name in ("tp", "fp", "fn", "without_image")
        ]
        threshold = point["threshold"]
        table.add(
            words.step(point).capitalize(), words.dates(point["dates"]), gap,
            table.figure(point["f1"], also=_unlearnt(point)), table.figure(point["recall"]),
            table.figure(point["precision"]),
            Cell(words.score(threshold), table.mark(point["threshold_reason"])), *counted,
        )  # fmt: skip
    return table


def _days(pair: Sequence[int]) -> str:
    least, most = pair
    return words.count(least, "day") if least == most else f"{least} to {most} days"


def _rivals(report: Report) -> Table | None:
    """Mean F1 of every method at every point."""
    methods = [report["settings"]["method"], *summary.others(report)]
    if len(methods) == 1:
        return None
    what = "Mean F1 of the crops" if report["curve"]["macro"] else "F1"
    table = Table(
        f"{what}, of pixels, with its 95 % interval",
        ["Method", *(words.short_step(one) for one in summary.named_steps(report))],
    )
    for method in methods:
        one = summary.means(report, method)
        if one:
            cells = [table.figure(p["f1"], also=_lacking(p)) for p in one["points"]]
            table.add(words.method(method), *cells)
    return table


def _lacking(point: Mapping[str, Any]) -> str | None:
    return point.get("reason") if point["f1"]["value"] is not None else None


def _compare(report: Report, titles: words.Titles) -> View | None:
    """Paired differences, where `evaluate --compare` found some; see `comparison`."""
    found = report.get("compare")
    if not found:
        return None
    own = words.method(found["reference"])
    when = words.step(found)
    scores = Table(f"F1 of each method, {when}", ["Method", "Unit", "Mean F1"])
    for row in found.get("methods", ()):
        scores.add(row.get("words") or words.method(row["method"]), row["unit"],
                   scores.figure(row["macro_f1"]))  # fmt: skip
    differences = Table(
        f"F1 of {own} minus that of the other, on the same ground, {when}: above 0, {own} is ahead",
        ["Other method", "Unit", "Crop", "Difference", "Better"],
    )
    alone = len(report["curve"]["crops"]) == 1  # whose mean is itself
    for row in found.get("differences", ()):
        if row.get("score", "f1") != "f1" or (alone and row["crop"] is None):
            continue
        crop = "mean of the crops" if row["crop"] is None else titles(row["crop"])
        better = "not shown" if row["better"] is None else words.method(row["better"])
        differences.add(
            words.method(row["method"]), row["unit"], crop,
            differences.figure(row, _signed), better,
        )  # fmt: skip
    notes = list(found.get("notes", ()))
    intervals = (found.get("intervals") or {}).get("words")
    return {
        "scores": scores if scores.rows else None,
        "differences": differences if differences.rows else None,
        "intervals": None if intervals in notes else intervals,
        "notes": notes,
    }


def _signed(one: Mapping[str, Any]) -> str:
    def text(value: float) -> str:
        return f"{value:+.3f}".replace("-", "−")

    if one["value"] is None:
        return words.DASH
    if one["low"] is None or one["high"] is None:
        return text(one["value"])
    return f"{text(one['value'])} ({text(one['low'])} to {text(one['high'])})"


def _provenance(report: Report) -> View:
    settings, found = report["settings"], report["provenance"]
    rows = [
        ("Dataset", settings["dataset"]),
        ("Fingerprint of the dataset", settings["fingerprint"]),
        ("Folder of the dataset", found["folder"]),
        ("Split that is scored", settings["split"]),
        ("Split that chose thresholds", settings["threshold_split"] or "none"),
        ("Fold", "none" if settings["fold"] is None else settings["fold"]),
        ("Run", found["workdir"]),
        ("Method", words.method(settings["method"])),
        ("Checkpoint, training steps", f"{settings['step']:,}"),
        ("Smoothing", f"{settings['smooth']} pixels" if settings.get("smooth") else "none"),
        ("Calibration", report["reliability"]["calibration"] or "none"),
        *((f"Version of {name}", version) for name, version in found["versions"].items()),
        ("Report made on", words.date(report["created"])),
    ]
    config = [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in sorted(found["config"].items())
    ]
    return {
        "rows": [(name, str(value)) for name, value in rows],
        "command": found["command"],
        "config": config,
    }
