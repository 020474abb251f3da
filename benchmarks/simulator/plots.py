"""Pictures of real and simulated landscapes next to each other."""

import pathlib
from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from benchmarks.simulator import monthly, speckle
from cropmap_jax.geo.sensors import SENSORS

REAL, OTHER, SIMULATED = "#444444", "#1b7837", "#d95f02"
_LABELS = {"NDVI": "NDVI", "VV": "VV, dB", "VH": "VH, dB"}
_LIMITS = {"NDVI": (0.0, 1.0), "VV": (-18.0, -4.0), "VH": (-26.0, -9.0)}


def monthly_curves(
    references: Mapping[str, pd.DataFrame],
    simulated: pd.DataFrame,
    crops: Sequence[str],
    path: pathlib.Path,
) -> None:
    """A grid of crops x (NDVI, VV, VH): the first reference that has the crop as a line with a band
    of one standard deviation between parcels, other references dashed, simulated in colour."""
    shown = sorted(simulated.month.unique()) or [1, 12]
    figure, axes = plt.subplots(
        len(crops), 3, figsize=(11, 1.9 * len(crops) + 0.9), sharex=True, layout="constrained"
    )
    axes = np.atleast_2d(axes)
    for row, crop in zip(axes, crops, strict=True):
        for axis, variable in zip(row, _LABELS, strict=True):
            first = True
            for name, table in references.items():
                curve = _curve(table, crop, variable, shown)
                if curve is None:
                    continue
                _draw_real(axis, curve, f"{name} ({int(curve.n.max())})", first)
                first = False
            curve = _curve(simulated, crop, variable, shown)
            if curve is not None:
                label = f"simulated ({int(curve.n.max())})"
                look = {"color": SIMULATED, "lw": 2, "marker": "o", "ms": 3.5}
                axis.plot(curve.month, curve["mean"], label=label, **look)
            axis.set_ylim(*_LIMITS[variable])
            axis.set_ylabel(_LABELS[variable])
            axis.set_title(crop.replace("_", " "), fontsize=10, loc="left")
            axis.grid(color="#dddddd", lw=0.6)
            if axis.get_legend_handles_labels()[0]:
                axis.legend(fontsize=7, frameon=False, loc="best")
    for axis in axes[-1]:
        axis.set_xticks(shown, [monthly.month_name(m)[:3] for m in shown], fontsize=8)
    figure.suptitle("Class means by month; in brackets the number of parcels", fontsize=11)
    _save(figure, path)


def _draw_real(axis, curve: pd.DataFrame, label: str, first: bool) -> None:
    if not first:
        axis.plot(curve.month, curve["mean"], color=OTHER, lw=1.2, ls="--", label=label)
        return
    spread = curve.sd_between.fillna(0)
    low, high = curve["mean"] - spread, curve["mean"] + spread
    axis.fill_between(curve.month, low, high, color=REAL, alpha=0.15, lw=0)
    axis.plot(curve.month, curve["mean"], color=REAL, lw=1.5, label=label)


def _curve(table: pd.DataFrame, crop: str, variable: str, months: Sequence[int]):
    rows = table[(table.crop == crop) & (table.variable == variable)]
    rows = rows[rows.month.isin(months) & np.isfinite(rows["mean"])].sort_values("month")
    return rows if len(rows) else None


def missing_bars(
    real: Mapping[str, pd.DataFrame], simulated: pd.DataFrame, path: pathlib.Path
) -> None:
    """Shares of missing S2 by calendar month (tables of `missing.by_month`), and of images that
    are whole, partly there or lost."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 3.6), layout="constrained", width_ratios=(3, 1.4)
    )
    tables = {**real, "simulated": simulated}
    width = 0.8 / len(tables)
    greys = dict(zip(real, ("#444444", "#888888", "#bbbbbb", "#dddddd"), strict=False))
    for i, (name, table) in enumerate(tables.items()):
        at = table.index.to_numpy() + (i - (len(tables) - 1) / 2) * width
        colour = SIMULATED if name == "simulated" else greys.get(name, "#dddddd")
        left.bar(at, table.share, width, color=colour, label=name)
    left.set(xlabel="month", ylabel="share of pixels missing", ylim=(0, 1))
    left.set_xticks(range(1, 13), [monthly.month_name(m) for m in range(1, 13)])
    left.legend(fontsize=8, frameon=False)
    left.set_title("Sentinel-2 missing from monthly composites", fontsize=10, loc="left")
    # Points are no images: of the French parcels nothing can be said about pieces.
    images = [name for name in tables if "parcels" not in name]
    below = np.zeros(len(images))
    for state, colour in (("whole", "#2166ac"), ("partly", "#92c5de"), ("lost", "#b2182b")):
        share = np.array([np.average(tables[n][state], weights=tables[n].n) for n in images])
        right.barh(images, share, left=below, color=colour, label=state)
        below += share
    right.set(xlabel="share of images", xlim=(0, 1))
    right.legend(fontsize=8, frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.4, 1.0))
    _save(figure, path)


def speckle_panels(
    real: Mapping[str, Mapping[str, speckle.Speckle]],
    simulated: Mapping[str, Mapping[str, speckle.Speckle]],
    path: pathlib.Path,
) -> None:
    """Cumulative distribution of ENL over windows and dates, and the correlation by distance.

    Args:
      real, simulated: name -> band -> statistics.
    """
    figure, axes = plt.subplots(2, 2, figsize=(11, 6), layout="constrained", sharex="col")
    styles = ("-", "--", ":", "-.")
    for row, band in zip(axes, SENSORS["s1"].bands, strict=True):
        for i, (name, bands) in enumerate([*real.items(), *simulated.items()]):
            ours, one = i >= len(real), bands[band]
            style = styles[(i - len(real) if ours else i) % len(styles)]
            look = {"color": SIMULATED if ours else REAL, "ls": style, "lw": 2.2 if ours else 1.2}
            row[0].ecdf(1 / one.cv2, label=f"{name}: {one.enl:.1f}", **look)
            along = (np.array(one.along_x) + np.array(one.along_y)) / 2
            row[1].plot((0, *speckle.LAGS), (1, *along), marker="o", ms=3.5, label=name, **look)
        row[0].set(xscale="log", xlim=(1, 3000), ylabel=f"{band}: share of windows and dates")
        row[0].grid(color="#dddddd", lw=0.6)
        row[0].legend(fontsize=8, frameon=False, title="median ENL", title_fontsize=8, loc=4)
        row[1].axhline(0, color="#aaaaaa", lw=0.8)
        row[1].set(ylabel=f"{band}: correlation")
        row[1].legend(fontsize=8, frameon=False)
    axes[1, 0].set_xlabel("equivalent number of looks (ENL) of a window of 7 x 7 pixels, up to")
    axes[1, 1].set_xlabel("distance, pixels of 10 m")
    axes[1, 1].set_xticks((0, *speckle.LAGS))
    _save(figure, path)


def _save(figure, path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
