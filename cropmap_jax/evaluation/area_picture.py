"""The picture of areas: hectares as mapped and as estimated, with their intervals."""

import io
import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from cropmap_jax.evaluation import report
from cropmap_jax.evaluation.area_tables import Row

MOST_PANELS = 12
_LONGEST = 22
# Okabe & Ito's palette (jfly.uni-koeln.de/color), which colour-blind readers can tell apart.
_MAPPED, _ESTIMATED = "#bbbbbb", "#56b4e9"
_SPAN: dict[str, Any] = {"color": "0.1", "lw": 1.4, "marker": "|", "ms": 6}


def draw(path: pathlib.Path, rows: Sequence[Row], titles: dict[str, str], as_of: str) -> None:
    """Draws a panel of bars for all ground and one for each province, the largest if many.

    Args:
      path: PNG to write.
      rows: from `area_tables.areas`, or of mapped hectares alone.
      titles: of the classes, by name.
      as_of: of the map, for the title.

    Raises:
      OSError: names the file.
    """
    places: dict[str, list[Row]] = {}
    for row in rows:
        places.setdefault(row["province"], []).append(row)
    order = sorted(
        places, key=lambda name: (name != "", -sum(r["mapped_ha"] for r in places[name]))
    )
    shown = order[:MOST_PANELS]
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    high = 0.34 * len(places[shown[0]]) + 1.0
    with plt.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        fig, axes = plt.subplots(
            down, across, figsize=(4.6 * across, high * down + 0.8), layout="constrained",
            squeeze=False, sharey=True,
        )  # fmt: skip
        for ax in axes.ravel()[len(shown) :]:
            ax.axis("off")
        for ax, place in zip(axes.ravel(), shown, strict=False):
            _panel(ax, places[place], titles, place)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
        more = f", {len(shown)} of {len(order)} places" if len(order) > len(shown) else ""
        fig.suptitle(f"Hectares, map as of {as_of}{more}", fontsize=11, x=0.01, ha="left")
        png = io.BytesIO()
        fig.savefig(png, format="png", dpi=110, metadata={"Software": None})
        plt.close(fig)
    report.write(path, png.getvalue())


def _panel(ax: Axes, rows: list[Row], titles: dict[str, str], place: str) -> None:
    y = np.arange(len(rows))
    estimated = "estimated_ha" in rows[0]
    thick = 0.36 if estimated else 0.7
    ax.barh(
        y - thick / 2 * estimated, [row["mapped_ha"] for row in rows], thick, color=_MAPPED,
        label="mapped",
    )  # fmt: skip
    if estimated:
        values = [row["estimated_ha"] or 0.0 for row in rows]
        ax.barh(y + thick / 2, values, thick, color=_ESTIMATED, label="estimated")
        for at, row in zip(y, rows, strict=True):
            if row["low_ha"] is not None:
                ax.plot([row["low_ha"], row["high_ha"]], [at + thick / 2] * 2, **_SPAN)
        ax.plot([], [], **_SPAN, label="interval of 95 %")
    names = [str(titles.get(row["class"], row["class"])) for row in rows]
    ax.set_yticks(y, [name if len(name) <= _LONGEST else f"{name[:21]}…" for name in names])
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.set_xlim(left=0)
    ax.tick_params(labelsize=8.5)
    ax.grid(axis="x", alpha=0.25, lw=0.6)
    ax.set_title(place or "all ground", fontsize=10)
    ax.locator_params(axis="x", nbins=5)
