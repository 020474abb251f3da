"""Small reports, made by hand."""

import base64
import copy
import io

from PIL import Image

from cropmap_jax.reporting import content, pictures

LEADS = (90, 60, 30)


def figure(value, low=None, high=None, reason=None):
    if value is not None and low is None and reason is None:
        reason = "no interval: it is of one block alone"
    if value is None and reason is None:
        reason = "nothing was seen"
    return {"value": value, "low": low, "high": high, "reason": reason}


def _earliest(values):
    reached = [i for i, v in enumerate(values) if v is not None and v >= 0.8]
    first = reached[0] if reached else None
    holds = None if first is None else all(i in reached for i in range(first, len(values)))
    lead = None if first is None else LEADS[first]
    return {"lead_days": lead, "holds": holds, "surely": None, "words": ""}


def curve(crop, values, method="network", unit="pixels", wide=0.1):
    """A curve with F1 of the given values, and the same recall and precision."""
    points = []
    for lead, value in zip(LEADS, values, strict=True):
        f1 = figure(None, reason="no image yet") if value is None else figure(
            value, max(0.0, value - wide), min(1.0, value + wide)
        )  # fmt: skip
        points.append(
            {
                "lead_days": lead, "as_of": None, "dates": ["2022-05-04", "2022-05-04"],
                "effective_lead_days": [lead, lead + 3], "threshold": 0.35,
                "threshold_reason": None, "tp": 1, "fp": 2, "fn": 3, "tn": 4, "learnt": True,
                "without_image": 0, "f1": f1, "recall": f1, "precision": f1, "change": None,
                "reason": f1["reason"],
            }
        )  # fmt: skip
    return {
        "method": method, "unit": unit, "crop": crop, "points": points,
        "earliest": _earliest(values),
    }  # fmt: skip


def confusion(names, unit="pixels"):
    side = len(names) + 1
    matrix = [[10 if i == j else 1 for j in range(side)] for i in range(side)]
    per_class = [
        {
            "crop": name, "producers_accuracy": 0.9, "users_accuracy": 0.8, "f1": 0.85,
            "annotated": 10 + side - 1, "mapped": 10 + side - 1, "reason": None,
        }
        for name in (*names, "none_of_these")
    ]  # fmt: skip
    accuracy = figure(0.82, 0.7, 0.9)
    return {
        "method": "network", "unit": unit, "lead_days": None, "as_of": "2022-06-01",
        "classes": [*names, "none_of_these"], "matrix": matrix,
        "rule": "the most probable of all classes", "overall_accuracy": accuracy,
        "macro_f1": accuracy, "macro_f1_with_none": accuracy, "kappa": accuracy,
        "per_class": per_class, "reason": None, "without_image": 0,
    }  # fmt: skip


def reliability():
    diagram = [
        {"low": 0.4, "high": 0.6, "weight": 5.0, "said": 0.5, "true": 0.4},
        {"low": 0.8, "high": 1.0, "weight": 5.0, "said": 0.9, "true": 0.8},
    ]
    kept = [
        {"kept": 0.5, "accuracy": 0.8, "least": 0.8},
        {"kept": 1.0, "accuracy": 0.6, "least": 0.4},
    ]
    return {
        "weight": 10.0, "accuracy": 0.6, "confidence": 0.7, "ece": 0.1, "ece_pixels": 0.09,
        "ece_of_blocks": {}, "log_loss": 0.5, "brier": 0.4, "diagram": diagram,
        "abstention": kept, "aurc": 0.3, "sets": [],
    }  # fmt: skip


def picture(colour):
    data = io.BytesIO()
    Image.new("RGB", (6, 4), colour).save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


def place(name, crop):
    steps = []
    for i, lead in enumerate(LEADS):
        steps.append(
            {
                "lead_days": lead, "as_of": None, "date": "2022-05-04", "reason": None,
                "window_end": "2022-05-01", "seen": 1.0, "image": picture((9, 9, 9 + i)),
                "prediction": picture((i, 99, 9)), "confidence": picture((i, 9, 99)),
                "right": 0.5 + 0.1 * i, "sure": 0.6, "sure_right": 0.7, "sure_wrong": None,
                "not_planted": [],
            }
        )  # fmt: skip
    return {
        "id": name, "block": "b0", "province": "Fars", "season": "2022", "where": "30° N, 52° E",
        "width_m": 60.0, "height_m": 1280.0, "width": 6, "height": 4, "every": 1, "crop": crop,
        "harvest": "2022-06-03", "annotated": 12, "pixels": 24, "known": picture((1, 1, 1)),
        "marks": [{"class": 0, "x": 3.0, "y": 2.0, "size": 2.0}], "steps": steps,
    }  # fmt: skip


def block(name, province, crops):
    return {
        "name": name, "provinces": [province], "blocks": 1, "cubes": 2, "annotated": 40,
        "f1": {crop: {"value": 0.8, "reason": None} for crop in crops},
        "mean": {"value": 0.8, "reason": None, "of": len(crops)},
        "accuracy": {"value": 0.82, "reason": None},
    }  # fmt: skip


def make(scores=None, rivals=None, titles=None):
    """A report.

    Args:
      scores: F1 by crop, one per lead.
      rivals: the same by the name of another method.
      titles: of crops.
    """
    scores = scores or {"wheat": (0.5, 0.7, 0.9), "rice": (None, 0.3, 0.4)}
    methods = {"network": scores} | (rivals or {})
    curves, macro = [], []
    for method, own in methods.items():
        curves += [curve(crop, values, method) for crop, values in own.items()]
        if len(scores) > 1:
            last = [values[-1] for values in own.values() if values[-1] is not None]
            mean = curve("", (None, None, sum(last) / len(last) if last else None), method)
            for point in mean["points"]:
                point |= {"crops": list(scores), "lacking": []}
            macro.append(mean)
    legend = []
    for i, name in enumerate(scores):
        colour, pattern = pictures.look(i)
        title = (titles or {}).get(name, name.capitalize())
        own = {"name": name, "title": title, "colour": colour, "pattern": pattern}
        legend.append(own | {"scored": True})
    crops = list(scores)
    intervals = {"level": 0.95, "unit": "block", "groups": 12, "words": "95 % intervals: 12 blocks"}
    return copy.deepcopy(
        {
            "schema": content.SCHEMA,
            "created": "2026-11-29",
            "settings": {
                "workdir": "runs/a", "method": "network", "step": 2500, "dataset": "isrc/iran",
                "fingerprint": "0123abcd", "fold": None, "split": "test",
                "threshold_split": "validation", "lead_days": list(LEADS), "as_of": None,
                "until": None, "smooth": None, "trained_on": [],
            },
            "crops": legend,
            "step": 2,
            "curve": {
                "schema": "lead_time/1", "axis": {"kind": "lead_days", "values": list(LEADS)},
                "intervals": intervals, "goal": 0.8, "crops": crops, "curves": curves,
                "macro": macro, "confusion": [],
            },
            "one_date": {
                "dates": ["2022-06-01", "2022-06-01"], "rule": "the date that was asked for",
                "reason": None, "confusion": [confusion(crops), confusion(crops, "fields")],
            },
            "reliability": {"calibration": None, "map": {"before": reliability()}, "crops": None},
            "blocks": {
                "step": {"lead_days": 30, "as_of": None},
                "blocks": [block("b0", "Fars", crops), block("b1", "Yazd", crops)],
                "provinces": [block("Fars", "Fars", crops), block("Yazd", "Yazd", crops)],
            },
            "maps": {
                "axis": {"kind": "lead_days", "values": list(LEADS)}, "calibrated": False,
                "confidence": ["#000000", "#ffffff"],
                "places": [place("cube one", crops[0]), place("cube two", crops[0])],
                "left_out": None,
            },
            "provenance": {
                "command": "python -m experiments.evaluate --report", "workdir": "runs/a",
                "folder": "data/isrc/iran", "config": {"epochs": 3, "model": {"name": "unet"}},
                "versions": {"cropmap_jax": "1.0"},
            },
            "notes": ["a note"],
        }
    )  # fmt: skip
