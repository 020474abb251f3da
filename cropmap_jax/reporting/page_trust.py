"""How far probabilities can be trusted: tables and charts of the page."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from cropmap_jax.reporting import charts, summary, words
from cropmap_jax.reporting.content import Report
from cropmap_jax.reporting.tables import Cell, Table

View = dict[str, Any]
SHORT = 0.02
"""Of coverage: what sets may lack of what they state before it is said in words."""


def trust(report: Report, titles: words.Titles) -> View:
    """Whether probabilities mean what they say."""
    found = report["reliability"]
    out: View = {"calibration": found["calibration"], "sets": None, "crops": None}
    out |= {"charts": [], "tables": [], "found": [], "reason": _no_map(report)}
    named = {"before": "as predicted", "after": "after calibration"}
    shown = {named[key]: row for key, row in (found["map"] or {}).items() if row["diagram"]}
    if shown:
        out["charts"] = [_reliability(shown), _abstention(shown)]
        out["tables"] = [_errors(shown)]
        last = list(shown.values())[-1]
        out["found"] = _found(shown, last["sets"])
        if last["sets"]:
            out["sets"] = _sets(last["sets"])
    if found["crops"] and found["crops"]["crops"]:
        out["crops"] = _crop_errors(report, found["crops"]["crops"], titles)
    return out


def _no_map(report: Report) -> str:
    """Why there is no reliability of a map, where there is none."""
    if report["one_date"]["reason"]:
        return str(report["one_date"]["reason"])
    if report["reliability"]["map"] is None:
        return "the classes of this run do not exclude each other"
    return "no known ground was seen"


def _found(shown: Mapping[str, Mapping[str, Any]], sets: Sequence[Mapping[str, Any]]) -> list[str]:
    """What calibration changed, and where sets promise too much, in sentences."""
    out = []
    errors = [row["ece"] for row in shown.values()]
    if len(errors) == 2 and None not in errors:
        before, after = errors
        worse = after > before
        out.append(
            f"On this ground, calibration makes the error {'larger' if worse else 'smaller'}: "
            f"{_fine(before)} before, {_fine(after)} after."
        )
    short = [row for row in sets if row["covered"] is not None]
    short = [row for row in short if row["covered"] < row["stated"] - SHORT]
    if short:
        each = [f"{words.percent(r['covered'])} for {words.percent(r['stated'])}" for r in short]
        out.append(
            f"Sets hold the true class less often here than they state: {words.listed(each)}."
        )
    return out


def _reliability(shown: Mapping[str, Mapping[str, Any]]) -> View:
    axis = dataclasses.replace(charts.UNIT, title="confidence that the map states")
    series = [
        charts.Series(name, [(p["said"], p["true"]) for p in row["diagram"]], style)
        for style, (name, row) in enumerate(shown.items())
    ]
    said = "; ".join(
        f"{name}: stated {words.percent(p['said'])}, right {words.percent(p['true'])}"
        for name, row in shown.items()
        for p in row["diagram"]
    )
    table = Table(
        "Stated confidence and what came true; each row holds about a tenth of the known ground",
        ["Which", "Stated confidence, mean", "From", "To", "Right"],
    )
    for name, row in shown.items():
        for p in row["diagram"]:
            values = (p["said"], p["low"], p["high"], p["true"])
            table.add(name, *(Cell(words.percent(value)) for value in values))
    title = "Reliability: on the line, the map is right as often as it says"
    y = dataclasses.replace(charts.UNIT, title="share that is right")
    size = (340.0, 330.0)
    chart = charts.chart(title, said, axis, y, series, diagonal=True, size=size)
    return {"name": title, "chart": chart, "table": table, "key": chart["series"]}


def _abstention(shown: Mapping[str, Mapping[str, Any]]) -> View:
    axis = dataclasses.replace(charts.UNIT, title="share of known ground that is kept")
    series = [
        charts.Series(
            name, [(p["kept"], p["accuracy"]) for p in row["abstention"]], style, marked=False
        )
        for style, (name, row) in enumerate(shown.items())
    ]
    table = Table(
        "Accuracy where the least sure ground is left out",
        ["Which", "Ground kept", "Confidence from", "Right"],
    )
    for name, row in shown.items():
        for share in (0.25, 0.5, 0.75, 0.9, 1.0):
            p = _nearest(row, share)
            values = (p["kept"], p["least"], p["accuracy"])
            table.add(name, *(Cell(words.percent(value)) for value in values))
    title = "Leaving out what is unsure: how right the rest is"
    said = "; ".join(
        f"{name}: {words.percent(row['abstention'][-1]['accuracy'])} right of all, "
        f"{words.percent(_nearest(row, 0.5)['accuracy'])} of the surer half"
        for name, row in shown.items()
    )
    y = dataclasses.replace(charts.UNIT, title="share that is right")
    chart = charts.chart(title, said, axis, y, series, size=(340.0, 330.0))
    return {"name": title, "chart": chart, "table": table, "key": chart["series"]}


def _nearest(row: Mapping[str, Any], share: float) -> Mapping[str, Any]:
    found: Mapping[str, Any] = min(row["abstention"], key=lambda p: abs(p["kept"] - share))
    return found


def _errors(shown: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(
        "How far confidence and truth lie apart, on the map of all classes",
        ["Which", "Right", "Stated confidence, mean", "Expected calibration error",
         "The same, all pixels alike"],
    )  # fmt: skip
    for name, row in shown.items():
        table.add(
            name, Cell(words.percent(row["accuracy"])), Cell(words.percent(row["confidence"])),
            Cell(_fine(row["ece"])), Cell(_fine(row["ece_pixels"])),
        )  # fmt: skip
    return table


def _fine(value: float | None) -> str:
    return words.DASH if value is None else f"{value:.3f}"


def _sets(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(
        "Sets of classes that are said to hold the true one",
        ["Stated", "Hold it", "Classes in a set, mean", "Empty sets"],
    )
    for row in rows:
        why = None if row["covered"] is not None else "no known ground was seen"
        size = words.DASH if row["size"] is None else f"{row['size']:.2f}"
        table.add(
            words.percent(row["stated"]), Cell(words.percent(row["covered"]), table.mark(why)),
            Cell(size), Cell(words.percent(row["empty"])),
        )  # fmt: skip
    return table


def _crop_errors(
    report: Report, crops: Mapping[str, Mapping[str, Any]], titles: words.Titles
) -> Table:
    when = words.step(summary.named_steps(report)[report["step"]])
    table = Table(
        f"Probabilities of each crop by itself, {when}"
        f"{', after calibration' if report['reliability']['calibration'] else ''}",
        ["Crop", "Share that is it", "Probability, mean", "Expected calibration error",
         "Average precision"],
    )  # fmt: skip
    for name, row in crops.items():
        why = None if row["weight"] else "no known ground was seen"
        none = why or (None if row["average_precision"] is not None else "nothing known is of it")
        table.add(
            titles(name), Cell(words.percent(row["share"]), table.mark(why)),
            Cell(words.percent(row["said"])), Cell(_fine(row["ece"])),
            Cell(words.score(row["average_precision"]), table.mark(none)),
        )  # fmt: skip
    return table
