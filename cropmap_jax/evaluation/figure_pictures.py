"""Pictures of curves and confusion matrices, from what `lead_time.curve` and `confusion.summary`
say."""

import io
import math
import pathlib
import warnings
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cropmap_jax.evaluation import report
from cropmap_jax.evaluation.lead_time import MACRO

# Okabe & Ito's palette (jfly.uni-koeln.de/color), which colour-blind readers can tell apart.
_F1, _PRECISION, _RECALL, _OTHER = "#0072b2", "#d55e00", "#009e73", ("#cc79a7", "#e69f00", "0.4")
_LONGEST = 22


def lead_time(found: dict[str, Any], unit: str, path: pathlib.Path) -> None:
    """Draws the curves of the first method, a panel per crop and one for their mean.

    F1 of other methods is there as well, without intervals.

    Args:
      found: from `lead_time.curve`.
      unit: "pixels" or "fields".
      path: PNG to write.

    Raises:
      OSError: it cannot be written; names it.
    """
    with plt.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        _save(_curves(found, unit), path)


def _curves(found: dict[str, Any], unit: str) -> Figure:
    methods = list(dict.fromkeys(one["method"] for one in found["curves"]))
    panels = [MACRO] if found["macro"] else []
    panels += found["crops"]
    across = min(3, len(panels))
    down = math.ceil(len(panels) / across)
    size = (4.3 * across + 0.4, 3.3 * down + 1.0)
    fig, grid = plt.subplots(
        down, across, figsize=size, layout="constrained", sharex=True, sharey=True, squeeze=False
    )
    for ax, name in zip(grid.flat, panels, strict=False):
        _panel(ax, found, unit, name, methods)
    for number in range(len(panels), down * across):
        grid.flat[number].set_visible(False)
        grid.flat[number - across].tick_params(labelbottom=True)
    # On the axis of the last visible panel of each column.
    by_date = found["axis"]["kind"] == "as_of"
    fig.supxlabel("as-of date" if by_date else "days before harvest →", fontsize=10)
    fig.supylabel(f"score of {unit}, 0 to 1", fontsize=10)
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=_F1, marker="o", lw=2, label=f"F1, {methods[0]}"),
        Patch(color=_F1, alpha=0.2, label="its 95 % interval"),
        Line2D([], [], color=_PRECISION, lw=1, ls="--", label="precision"),
        Line2D([], [], color=_RECALL, lw=1, ls="-.", label="recall"),
        Line2D([], [], color="0.6", lw=0.8, ls=":", label=f"F1 of {found['goal']}"),
    ]
    if any(point.get("learnt") is False for one in found["curves"] for point in one["points"]):
        label = "as of a date that training never drew"
        handles.append(Line2D([], [], color=_F1, marker="o", mfc="white", lw=0, label=label))
    handles += [
        Line2D([], [], color=_OTHER[i % len(_OTHER)], lw=1.2, marker=".", label=f"F1, {name}")
        for i, name in enumerate(methods[1:])
    ]
    _legend(fig, handles)
    return fig


def _legend(fig: Figure, handles: list[Line2D | Patch]) -> None:
    """A legend above the panels, as wide as the figure allows; the figure grows by its height."""
    width, height = fig.get_size_inches()
    for columns in range(5, 0, -1):
        legend = fig.legend(
            handles=handles, loc="outside upper center", ncols=columns, fontsize=8.5, frameon=False
        )
        box = legend.get_window_extent()
        if box.width <= width * fig.dpi or columns == 1:
            break
        legend.remove()
    fig.set_size_inches(max(width, box.width / fig.dpi), height + box.height / fig.dpi)


def _panel(ax: Axes, found: dict[str, Any], unit: str, name: str, methods: list[str]) -> None:
    kind, values = found["axis"]["kind"], found["axis"]["values"]
    x = np.array(values, "datetime64[D]" if kind == "as_of" else float)
    ax.axhline(found["goal"], color="0.6", lw=0.8, ls=":")
    count = ""
    for number, method in enumerate(methods):
        points = _points(found, method, unit, name)
        if points is None:
            continue
        f1 = _series(points, "f1", "value")
        if number:
            ax.plot(x, f1, color=_OTHER[(number - 1) % len(_OTHER)], lw=1.2, marker=".")
            continue
        low, high = _series(points, "f1", "low"), _series(points, "f1", "high")
        ax.fill_between(x, low, high, color=_F1, alpha=0.2, lw=0)
        # A single point between two without an interval has no area.
        ax.vlines(x, low, high, color=_F1, alpha=0.35, lw=1.5)
        ax.plot(x, _series(points, "precision", "value"), color=_PRECISION, lw=1, ls="--")
        ax.plot(x, _series(points, "recall", "value"), color=_RECALL, lw=1, ls="-.")
        ax.plot(x, f1, color=_F1, lw=2, marker="o", ms=4)
        never = np.array([point.get("learnt") is False for point in points])
        ax.plot(x[never], f1[never], color=_F1, lw=0, marker="o", ms=4, mfc="white")
        count = _count(points, unit)
        for at, point in zip(x, points, strict=True):
            if point["f1"]["value"] is None:
                absent = (point["f1"]["reason"] or "").startswith("no image")
                text = "no image yet" if absent else "no score"
                ax.text(at, 0.03, text, rotation=90, fontsize=7, color="0.4", ha="center")
    ax.set_title(f"{_short(name)}{count}", fontsize=9.5)
    ax.set_ylim(-0.02, 1.02)
    ax.grid(alpha=0.25, lw=0.6)
    ax.tick_params(labelsize=8)
    if kind == "as_of":
        ax.xaxis.set_major_formatter(mdates.ConciseDateFormatter(ax.xaxis.get_major_locator()))
    else:
        margin = 0.05 * (x.max() - x.min()) + 1
        ax.set_xlim(x.max() + margin, x.min() - margin)
        if len(x) <= 8:
            ax.set_xticks(x)


def _points(found: dict[str, Any], method: str, unit: str, name: str) -> list[Any] | None:
    """The points of a panel; None where a method or unit has none."""
    rows = found["macro"] if name == MACRO else found["curves"]
    for one in rows:
        if (one["method"], one["unit"]) == (method, unit) and one.get("crop", MACRO) == name:
            points: list[Any] = one["points"]
            return points
    return None


def _series(points: list[Any], score: str, key: str) -> np.ndarray:
    return np.array([np.nan if p[score][key] is None else p[score][key] for p in points], float)


def _count(points: list[Any], unit: str) -> str:
    """How much is annotated: of the crop, and other."""
    there = [p for p in points if p.get("tp") is not None]
    if not there:
        return ""
    own, other = there[-1]["tp"] + there[-1]["fn"], there[-1]["fp"] + there[-1]["tn"]
    return f"\n{own:,} {unit} of it, {other:,} others"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def confusion(found: dict[str, Any], title: str, path: pathlib.Path) -> None:
    """Draws a confusion matrix: colours are shares of the truth, numbers are counts.

    Args:
      found: from `confusion.summary`.
      title: above it.
      path: PNG to write.

    Raises:
      OSError: it cannot be written; names it.
    """
    with plt.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        _save(_matrix(found, title), path)


def _matrix(found: dict[str, Any], title: str) -> Figure:
    matrix = np.array(found["matrix"], float)
    true = matrix.sum(1, keepdims=True)
    share = np.divide(matrix, true, out=np.full(matrix.shape, np.nan), where=true > 0)
    names = [_short(name.replace("_", " ")) for name in found["classes"]]
    side = 0.72 * len(names) + 2.6
    fig, ax = plt.subplots(figsize=(side + 1.2, side), layout="constrained")
    colours = plt.get_cmap("Blues").with_extremes(bad="#f2f2f2")
    shown = ax.imshow(share, cmap=colours, vmin=0, vmax=1)
    for (row, col), count in np.ndenumerate(matrix):
        if count:
            ink = "white" if share[row, col] > 0.55 else "black"
            ax.text(col, row, f"{int(count):,}", ha="center", va="center", color=ink, fontsize=7.5)
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(labelsize=8.5)
    ax.set_xlabel("mapped as")
    ax.set_ylabel("annotated as")
    fig.colorbar(shown, ax=ax, shrink=0.8, label="share of what is annotated (row)")
    ax.set_title(title, fontsize=9.5)
    return fig


def _save(fig: Figure, path: pathlib.Path) -> None:
    png = io.BytesIO()
    fig.savefig(png, format="png", dpi=110)
    plt.close(fig)
    report.write(path, png.getvalue())
