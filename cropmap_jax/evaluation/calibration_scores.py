"""Scores of probabilities before and after a calibration, as numbers, table and picture."""

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from cropmap_jax.evaluation import conformal
from cropmap_jax.evaluation.calibrating import Found
from cropmap_jax.evaluation.dated import Sample
from cropmap_jax.evaluation.reliability import CropReliability, MapReliability
from cropmap_jax.geo import files

Scores = dict[str, Any]
"""{"map": `MapReliability.to_json` or None where classes do not exclude each other, "crops":
`CropReliability.to_json`}."""
BEFORE, AFTER = "before", "after"
# Okabe & Ito's palette (jfly.uni-koeln.de/color), which colour-blind readers can tell apart.
_COLOURS = {BEFORE: "#d55e00", AFTER: "#0072b2"}
_CYCLE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
_STYLES = ("-", "--", ":", "-.")


def thresholds_of(found: Found, sample: Sample) -> dict[float, float | None]:
    """Of conformal sets, by stated coverage, from rows that their calibration has not seen.

    Empty where classes do not exclude each other: there is no one true class to hold.
    """
    if not sample.outputs.exclusive:
        return {}
    right = found.held_out[np.arange(len(sample)), sample.truth].astype(np.float64)
    return {
        level: conformal.threshold(1 - right, sample.weight, sample.field, level)
        for level in conformal.COVERAGES
    }


def score(
    sample: Sample,
    whole: np.ndarray,
    crops: Sequence[str],
    blocks: Sequence[str],
    thresholds: Mapping[float, float | None] | None = None,
) -> Scores:
    """Scores rows.

    Args:
      sample: the rows.
      whole: float32 [N, columns], what is said about them.
      crops: names of the classes.
      blocks: names of the blocks that rows number.
      thresholds: of conformal sets.
    """
    outputs, shown = sample.outputs, None
    if outputs.exclusive:
        shown = MapReliability(outputs, thresholds)
        crowd = np.array([len(own) for own in sample.groups])
        for block in np.unique(sample.block):
            for group in range(len(sample.groups)):
                own = (sample.block == block) & (sample.group == group)
                none = np.ones((int(own.sum()), outputs.columns - outputs.classes), bool)
                shown.add_rows(
                    whole[own],
                    sample.truth[own],
                    sample.weight[own],
                    blocks[block],
                    np.concatenate([sample.possible[own], none], 1),
                    float(crowd[group]),
                )
    each = CropReliability(crops)
    for group, members in enumerate(sample.groups):
        own = sample.group == group
        for crop in members:
            # A date counts in the weights as often as it has crops, and here each has its own.
            weight = sample.weight[own] / len(members)
            each.add_rows(crop, whole[own, crop], sample.truth[own] == crop, weight)
    return {"map": None if shown is None else shown.to_json(), "crops": each.to_json()}


def summary(scores: Scores) -> dict[str, Any]:
    """The few numbers of scores that are kept with a calibration."""
    shown, crops = scores["map"], scores["crops"]
    out: dict[str, Any] = {
        "ece_of_crops": crops["ece"],
        "ece_of_crop": {name: row["ece"] for name, row in crops["crops"].items()},
    }
    if shown is None:
        return out
    keys = ("ece", "ece_pixels", "accuracy", "confidence", "log_loss", "brier", "aurc")
    return {key: shown[key] for key in keys} | out


def table(before: Scores, after: Scores) -> str:
    """Before and after, a line each; "-" where no value is."""
    wide = max([20, *(len(name) for name in after["crops"]["crops"])]) + 2
    lines = [f"{'':{wide}}{'ECE':>16}{'log loss':>18}{'Brier':>18}"]

    def line(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
        cells = [
            f"{_number(was.get(key))} -> {_number(now.get(key))}"
            for key in ("ece", "log_loss", "brier")
        ]
        return f"{name[: wide - 1]:{wide}}{cells[0]:>16}{cells[1]:>18}{cells[2]:>18}".rstrip()

    if after["map"] is not None:
        was, now = before["map"], after["map"]
        lines.append(line("class shown", was, now))
        cell = f"{_number(was['ece_pixels'])} -> {_number(now['ece_pixels'])}"
        lines.append(f"{'  all pixels alike':{wide}}{cell:>16}")
    for name, now in after["crops"]["crops"].items():
        lines.append(line(name, before["crops"]["crops"][name], now))
    cell = f"{_number(before['crops']['ece'])} -> {_number(after['crops']['ece'])}"
    lines.append(f"{'mean of crops':{wide}}{cell:>16}")
    if after["map"] is not None:
        was, now = before["map"], after["map"]
        lines.append(
            f"accuracy {_number(now['accuracy'])}, confidence {_number(was['confidence'])} -> "
            f"{_number(now['confidence'])}"
        )
        for row in now["sets"]:
            lines.append(
                f"sets said to hold the truth {row['stated']:.0%}: hold it {row['covered']:.1%}, "
                f"{row['size']:.2f} classes on average, {row['empty']:.1%} empty"
            )
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def draw(
    path: pathlib.Path, titles: Mapping[str, str], split: str, before: Scores, after: Scores
) -> None:
    """Draws reliability, abstention, precision and recall, and errors by crop.

    Args:
      path: PNG to write.
      titles: of the crops, by name.
      split: which split, for the title.
      before, after: its scores.

    Raises:
      OSError: names the file.
    """
    with plt.rc_context(
        {"font.size": 9, "axes.grid": True, "grid.alpha": 0.3, "text.usetex": False}
    ):
        figure, axes = plt.subplots(2, 2, figsize=(10, 8.5), constrained_layout=True)
        both = {BEFORE: before, AFTER: after}
        _reliability(axes[0, 0], both)
        _abstention(axes[0, 1], both)
        _precision_recall(axes[1, 0], titles, after)
        _errors(axes[1, 1], titles, both)
        figure.suptitle(_plain(f"Probabilities on {split}, before and after calibration"))
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=120)
        plt.close(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, data.getvalue())


def _reliability(axes: Axes, both: Mapping[str, Scores]) -> None:
    """Of the class shown; of all crops where there is no one class."""
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, label="as it should be")
    for name, scores in both.items():
        if scores["map"] is not None:
            rows, error = scores["map"]["diagram"], scores["map"]["ece"]
            label = f"{name}: error {_number(error)}"
            axes.plot(*_points(rows), "o-", color=_COLOURS[name], label=label, markersize=4)
            continue
        for i, row in enumerate(scores["crops"]["crops"].values()):
            # matplotlib leaves what begins with "_" out of the legend.
            label = f"{name}: mean error {_number(scores['crops']['ece'])}" if not i else "_"
            axes.plot(*_points(row["diagram"]), color=_COLOURS[name], alpha=0.6, label=label)
    axes.set(xlabel="probability that is said", ylabel="share that is so", xlim=(0, 1), ylim=(0, 1))
    axes.set_title("Reliability: points hold a tenth of the weight each")
    axes.legend(loc="upper left")


def _points(rows: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    return [row["said"] for row in rows], [row["true"] for row in rows]


def _abstention(axes: Axes, both: Mapping[str, Scores]) -> None:
    axes.set_title("Accuracy of what is kept, least sure pixels left out first")
    axes.set(xlabel="share of pixels kept", ylabel="accuracy", xlim=(0, 1))
    if both[AFTER]["map"] is None:
        axes.text(0.5, 0.5, "classes do not exclude each other", ha="center")
        return
    for name, scores in both.items():
        rows = scores["map"]["abstention"]
        label = f"{name}: area under the error {_number(scores['map']['aurc'])}"
        style = "--" if name == BEFORE else "-"
        kept, right = [r["kept"] for r in rows], [r["accuracy"] for r in rows]
        axes.plot(kept, right, style, color=_COLOURS[name], label=label)
    axes.legend(loc="lower left")


def _precision_recall(axes: Axes, titles: Mapping[str, str], after: Scores) -> None:
    axes.set_title("Precision and recall of each crop, after")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    for i, (name, row) in enumerate(after["crops"]["crops"].items()):
        if not row["precision_recall"]:
            continue
        curve = row["precision_recall"]
        label = f"{_plain(titles.get(name, name))} {_number(row['average_precision'])}"
        colour = _CYCLE[i % len(_CYCLE)]
        style = _STYLES[(i // len(_CYCLE)) % len(_STYLES)]
        recall, precision = [r["recall"] for r in curve], [r["precision"] for r in curve]
        axes.plot(recall, precision, style, color=colour, label=label, linewidth=1.2)
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(loc="lower left", fontsize=8, title="average precision")


def _errors(axes: Axes, titles: Mapping[str, str], both: Mapping[str, Scores]) -> None:
    names = list(both[AFTER]["crops"]["crops"])
    at = np.arange(len(names))
    for name, shift in ((BEFORE, -0.2), (AFTER, 0.2)):
        rows = both[name]["crops"]["crops"]
        values = [rows[crop]["ece"] or 0 for crop in names]
        axes.barh(at + shift, values, 0.38, color=_COLOURS[name], label=name)
    axes.set_yticks(at, [_plain(titles.get(name, name)) for name in names])
    axes.invert_yaxis()
    axes.set(xlabel="expected calibration error of each crop, as of its own date")
    axes.set_title("Error by crop")
    axes.legend(loc="best")


def _plain(title: str) -> str:
    """One short line; a `$` begins no formula, and matplotlib hides what begins with "_"."""
    line = " ".join("".join(c if c.isprintable() else " " for c in title).split())
    short = line[:59] + "…" if len(line) > 60 else line
    return short.lstrip("_").replace("$", r"\$")
