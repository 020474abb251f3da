"""What the report says first, in sentences: how early, how reliably, compared with what."""

from collections.abc import Mapping, Sequence
from typing import Any

from cropmap_jax.reporting import words
from cropmap_jax.reporting.content import Report

Curve = Mapping[str, Any]


def curves(report: Report, method: str | None = None, unit: str = "pixels") -> list[Curve]:
    """The curves of a method, the run's own if None, in the order of the legend."""
    own = method or report["settings"]["method"]
    return [
        one for one in report["curve"]["curves"] if one["method"] == own and one["unit"] == unit
    ]


def means(report: Report, method: str, unit: str = "pixels") -> Curve | None:
    """The macro mean of a method; of a single crop its own curve; None where there is none."""
    found = [
        one
        for one in report["curve"]["macro"] or report["curve"]["curves"]
        if one["method"] == method and one["unit"] == unit
    ]
    return found[0] if found else None


def others(report: Report) -> list[str]:
    """Methods beside the run's own."""
    own = report["settings"]["method"]
    return [m for m in dict.fromkeys(c["method"] for c in report["curve"]["curves"]) if m != own]


def subject(report: Report) -> str:
    """What was scored: "the neural network"."""
    return _the(report["settings"]["method"])


def headline(report: Report) -> str:
    """How many crops are mapped well, and when."""
    titles, goal = words.Titles(report["crops"]), report["curve"]["goal"]
    steps = report["curve"]["axis"]["values"]
    found = curves(report)
    early = [one for one in found if _at(one["earliest"]) is not None]
    whole = words.count(len(found), "crop")
    if not early:
        return _none_early(found, titles, goal)
    order = {value: number for number, value in enumerate(steps)}
    early.sort(key=lambda one: order[_at(one["earliest"])])
    each = [f"{titles(one['crop'])} ({_when(report, one)})" for one in early]
    if len(found) == 1:
        return (
            f"{_capital(titles(early[0]['crop']))} is mapped well, with an F1 score of {goal} or "
            f"more, from {_when(report, early[0]).removeprefix('as of ')} on."
            if early[0]["earliest"]["holds"]
            else f"{_capital(titles(early[0]['crop']))} reaches an F1 score of {goal} "
            f"{_when(report, early[0])}."
        )
    verb = "is" if len(early) == 1 else "are"
    return (
        f"{len(early)} of {whole} {verb} mapped well, with an F1 score of {goal} or more: "
        f"{words.listed(each, 12)}."
    )


def _none_early(found: Sequence[Curve], titles: words.Titles, goal: float) -> str:
    """That no crop reaches the goal; of crops without any score, why there is none."""
    alone = len(found) == 1
    who = _capital(titles(found[0]["crop"])) if alone else f"Not one of {len(found)} crops"
    figures = [point["f1"] for one in found for point in one["points"]]
    if all(one["value"] is None for one in figures):
        reasons = [one["reason"] for one in figures if one["reason"]]
        why = f": {reasons[-1]}" if reasons else ""
        return f"{who} has {'no' if alone else 'an'} F1 score here{why}."
    verb = "does not reach" if alone else "reaches"
    return f"{who} {verb} an F1 score of {goal} at any point that was looked at."


def _at(earliest: Mapping[str, Any]) -> Any:
    return earliest.get("lead_days", earliest.get("as_of"))


def _when(report: Report, one: Curve) -> str:
    value, kind = _at(one["earliest"]), report["curve"]["axis"]["kind"]
    return words.step({kind: value}) + (
        "" if one["earliest"]["holds"] else ", but not at every later point"
    )


def sureness(one: Curve, kind: str, goal: float) -> str:
    """How sure it is that a crop is mapped well, in words."""
    earliest = one["earliest"]
    if _at(earliest) is None:
        return words_of_failure(one, goal)
    if earliest["surely"] is not None:
        return f"sure {words.step({kind: earliest['surely']})}"
    spans = [point["f1"]["low"] for point in one["points"]]
    if all(low is None for low in spans):
        return "how sure is not known: there is no interval"
    return f"not sure: the interval reaches below {goal} at every point"


def words_of_failure(one: Curve, goal: float) -> str:
    """Why a crop never reaches the goal."""
    there = [p for p in one["points"] if p["f1"]["value"] is not None]
    if not there:
        reasons = [p["f1"]["reason"] for p in one["points"] if p["f1"]["reason"]]
        return f"no score: {reasons[-1] if reasons else 'nothing was scored'}"
    best = max(there, key=lambda p: p["f1"]["value"])
    return f"never {goal}; at most {words.score(best['f1']['value'])}, {words.step(best)}"


def comparison(report: Report) -> str:
    """One honest sentence about other methods."""
    if report.get("compare"):
        return str(report["compare"]["sentence"])
    rivals, step = others(report), report["step"]
    if not rivals:
        return (
            "Nothing else was scored on the same ground, so it is not known whether a simple "
            "method, such as a random forest, does as well; evaluate --baseline forest tells."
        )
    own = _f1(report, report["settings"]["method"], step)
    each = [(m, f1) for m in rivals if (f1 := _f1(report, m, step)) and f1["value"] is not None]
    if not own or own["value"] is None or not each:
        return "Other methods were scored, but there is no score of both to compare here."
    name, best = max(each, key=lambda row: row[1]["value"])
    return _verdict(report, own, name, best)


def _verdict(report: Report, own: Mapping[str, Any], name: str, best: Mapping[str, Any]) -> str:
    point = report["curve"]["curves"][0]["points"][report["step"]]
    what = "mean F1" if report["curve"]["macro"] else "F1"
    figures = f"{what} {words.figure(own)} against {words.figure(best)}, {words.step(point)}"
    us, them = subject(report), _the(name)
    if best["value"] >= own["value"]:
        return (
            f"{_capital(us)} does not beat the best of the other methods, {them}: {figures}. What "
            f"scores higher is what to use, unless something else speaks for {us}."
        )
    apart = own["low"] is not None and best["high"] is not None and own["low"] > best["high"]
    if apart:
        return f"{_capital(us)} is better than the best of the other methods, {them}: {figures}."
    return (
        f"{_capital(us)} scores higher than the best of the other methods, {them}, but it is not "
        f"shown to be better: {figures}; the two intervals overlap or are missing."
    )


def beaten(report: Report) -> bool:
    """Whether the run is not better than the best of the others."""
    found = report.get("compare")
    if found:
        return found.get("best") not in (None, found.get("reference"))
    own = _f1(report, report["settings"]["method"], report["step"])
    each = [_f1(report, m, report["step"]) for m in others(report)]
    values = [one["value"] for one in each if one and one["value"] is not None]
    return bool(own and own["value"] is not None and values and max(values) >= own["value"])


def _f1(report: Report, method: str, step: int) -> Mapping[str, Any] | None:
    found = means(report, method)
    return found["points"][step]["f1"] if found else None


def _the(method: str) -> str:
    name = words.method(method)
    # Names of folders take no article, and "dates" has a comma.
    return f"the {name}" if method in words.METHODS and method != "dates" else name


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def overall(report: Report) -> str:
    """How right a map of the whole legend is, and what its confidence is worth."""
    every = [row for row in report["one_date"]["confusion"] if row["unit"] == "pixels"]
    found = [row for row in every if not row["reason"]]
    if not found:
        why = report["one_date"]["reason"] or next((row["reason"] for row in every), None)
        return "There is no one map of all crops to score" + (f": {why}." if why else ".")
    own = found[0]["overall_accuracy"]
    text = (
        f"On a map of all crops, {words.as_of(report['one_date']['dates'])}, "
        f"{words.share(own)} of the labelled pixels are mapped correctly."
    )
    shown = report["reliability"]["map"]
    if shown:
        last = shown.get("after") or shown["before"]
        if last["confidence"] is not None and last["ece"] is not None:
            text += (
                f" Per field, for crops already planted, mean confidence is "
                f"{words.percent(last['confidence'])} and accuracy "
                f"{words.percent(last['accuracy'])}: it is {_leaning(last)}."
            )
    return text


def _leaning(row: Mapping[str, Any]) -> str:
    gap = row["confidence"] - row["accuracy"]
    if row["ece"] < 0.05:
        return f"about as sure as it should be (calibration error {words.score(row['ece'])})"
    how = "too sure" if gap > 0 else "less sure than it could be"
    return f"{how} (calibration error {words.score(row['ece'])})"


def cautions(report: Report) -> list[str]:
    """What weighs most, in sentences."""
    settings, out = report["settings"], []
    if settings.get("trained_on"):
        out.append(
            "Some of this ground was trained on: the scores are not those of ground that was held "
            "out, and are too high."
        )
    elif settings.get("trained_on") is None:
        out.append("It is not recorded where the run was trained, so leakage cannot be ruled out.")
    intervals = report["curve"]["intervals"]
    if intervals["unit"] == "field":
        out.append(
            "All of the scored ground lies in one place: intervals are about other fields of this "
            "place, and nothing here says how good the map is elsewhere."
        )
    elif intervals["groups"] < 10:
        out.append(
            f"The scored ground lies in {words.count(intervals['groups'], 'block')} of about "
            f"10 km only: intervals are wide, and other regions may differ."
        )
    step = report["step"]
    unlearnt = [
        one for one in curves(report) if any(p.get("learnt") is False for p in one["points"])
    ]
    if unlearnt:
        out.append(
            "Training never drew some of the dates that are scored here (marked in the tables): "
            "scores of these dates may be low for that reason alone."
        )
    if not any("partial" in one["points"][step] for one in curves(report)):
        out.append(
            "Scores are of ground whose crop is known. Most ground on a map is not: how much of it "
            "is wrongly shown as a crop is not part of these scores; evaluate --unknown bounds it."
        )
    if settings.get("threshold_split") not in (None, "validation"):
        out.append(
            f"Thresholds were chosen on the {settings['threshold_split']} ground, which was "
            f"learnt from."
            if settings["threshold_split"] == "train"
            else f"Thresholds were chosen on {settings['threshold_split']}."
        )
    return out


def named_steps(report: Report) -> Sequence[Mapping[str, Any]]:
    """The points of the curve: lead_days and as_of of each."""
    kind = report["curve"]["axis"]["kind"]
    return [{kind: value} for value in report["curve"]["axis"]["values"]]
