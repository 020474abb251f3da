"""The picture of a comparison: differences of F1 with their intervals, crop by crop."""

import io
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cropmap_jax.evaluation import comparison, report

# Okabe & Ito's palette (jfly.uni-koeln.de/color), which colour-blind readers can tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "0.35")
_MARKERS = "osD^vP"
_LONGEST = 22


def draw(found: Mapping[str, Any], path: pathlib.Path) -> None:
    """Draws pixels, and fields where there are any; right of 0 the reference is better.

    Args:
      found: from `comparison.compare`.
      path: PNG to write.

    Raises:
      OSError: it cannot be written; names it.
    """
    with plt.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        png = io.BytesIO()
        fig = _figure(found)
        fig.savefig(png, format="png", dpi=110)
        plt.close(fig)
    report.write(path, png.getvalue())


def _figure(found: Mapping[str, Any]) -> Figure:
    units = list(dict.fromkeys(row["unit"] for row in found["differences"]))
    crops = [None, *dict.fromkeys(row["crop"] for row in found["differences"] if row["crop"])]
    others = comparison.others_of(found)
    high = (0.2 + 0.15 * len(others)) * len(crops) + 1.7
    fig, axes = plt.subplots(
        1, len(units), figsize=(4.4 * len(units) + 1.4, high), layout="constrained",
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    for ax, unit in zip(axes[0], units, strict=True):
        for number, method in enumerate(others):
            _series(ax, found, unit, crops, method, number, len(others))
        ax.axvline(0, color="0.2", lw=1)
        ax.axhline(0.5, color="0.8", lw=0.8)
        ax.set_title(f"F1 of {unit}", fontsize=10)
        ax.grid(axis="x", alpha=0.25, lw=0.6)
        ax.tick_params(labelsize=8.5)
    left, right = axes[0, 0].get_xlim()
    room = max(0.02, 0.15 * (right - left))  # 0 lies within, so that both sides are seen
    axes[0, 0].set_xlim(min(left, -room), max(right, room))
    names = [comparison.MACRO, *(_short(str(crop)) for crop in crops[1:])]
    axes[0, 0].set_yticks(range(len(crops)), names)
    axes[0, 0].set_ylim(len(crops) - 0.5, -0.5)
    reference = _short(found["reference"])
    fig.supxlabel(
        f"← the other is better      F1 of {reference} minus that of the other      "
        f"{reference} is better →",
        fontsize=9,
    )
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(
        handles, labels, loc="outside upper center", ncols=3, fontsize=8.5, frameon=False,
        title=f"95 % intervals over {_many(found)}; white: no interval", title_fontsize=8,
    )  # fmt: skip
    return fig


def _many(found: Mapping[str, Any]) -> str:
    how = found["intervals"]
    kind = "blocks" if how["unit"] == "block" else "fields and squares of one block"
    return f"{how['groups']} {kind}"


def _series(
    ax: Axes,
    found: Mapping[str, Any],
    unit: str,
    crops: list[str | None],
    method: str,
    number: int,
    methods: int,
) -> None:
    """One method: a mark and its interval for each crop."""
    colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
    below = 0.2 * (number - (methods - 1) / 2) / (0.2 + 0.15 * methods)
    label = f"against {_short(method)}"
    ax.plot([], [], color=colour, marker=marker, lw=1.6, ms=5, label=label)
    for at, crop in enumerate(crops):
        row = comparison.difference(found, method, unit, crop)
        if row is None or row["value"] is None:
            ax.text(0, at + below, "no F1 ", fontsize=7, color="0.4", va="center", ha="right")
            continue
        sure = row["low"] is not None
        if sure:
            ax.plot([row["low"], row["high"]], np.full(2, at + below), color=colour, lw=1.6)
        face = colour if sure else "white"
        size = 6.5 if crop is None else 5
        ax.plot(row["value"], at + below, color=colour, marker=marker, ms=size, mfc=face, lw=0)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
