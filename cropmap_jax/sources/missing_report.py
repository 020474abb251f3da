"""What is missing of a folder of cubes: a table for the terminal, and a picture in the folder."""

import datetime as dt
import io
import os
import pathlib
from collections.abc import Callable, Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from cropmap_jax.geo import cube, files
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.sources import missing
from cropmap_jax.sources.manifest import Manifest

PICTURE = "missing.png"
# Okabe & Ito's palette (jfly.uni-koeln.de/color), also distinguishable by lightness.
_COLOURS = ("#0072b2", "#e69f00", "#cc79a7", "#56b4e9", "#d55e00")
_CLEAR_COLOUR = "#009e73"
_MOST_TICKS = 18


def claim_picture(book: Manifest, cubes_dir: str | os.PathLike[str]) -> None:
    """Notes that the folder's picture is this export's to replace and remove.

    Raises:
      ValueError: there is a file of that name in a folder that nothing was exported into yet.
    """
    path = pathlib.Path(cubes_dir) / PICTURE
    ours = book.noted(PICTURE) or next(book.cubes(), None) is not None
    if os.path.lexists(path) and not ours:
        raise ValueError(
            f"{path}: found a file that no export wrote, where its picture would be; expected "
            f"another folder, or that file moved away"
        )
    book.note(PICTURE, True)


def write_report(
    book: Manifest, cubes_dir: str | os.PathLike[str], sensors: Sequence[Sensor]
) -> str:
    """Draws `<cubes_dir>/missing.png`; returns the table for the terminal.

    Without a cube there is no picture, and one of an earlier run is removed.

    Args:
      book: manifest of the folder.
      cubes_dir: folder of cubes.
      sensors: of the cubes.

    Raises:
      OSError: no space or no permission; an earlier picture is kept then.
    """
    rows = list(book.cubes())
    path = pathlib.Path(cubes_dir) / PICTURE
    shares = missing.shares_by_month(rows, sensors)
    if not shares:
        path.unlink(missing_ok=True)
        return missing.table(rows, sensors)
    draw(shares, sensors, path)
    return f"{missing.table(rows, sensors)}\n{path} shows it."


def draw(shares: missing.Shares, sensors: Sequence[Sensor], path: str | os.PathLike[str]) -> None:
    """Draws the share of missing values per month, a panel per sensor, and the number of clear
    observations where it was counted: the middle and the spread over cubes.

    Args:
      shares: of `missing.shares_by_month`; at least one month.
      sensors: of the cubes.
      path: PNG to write, whole or not at all.

    Raises:
      OSError: no space or no permission.
    """
    months = list(shares)
    counted = any(cube.CLEAR in row for row in shares.values())
    panels = len(sensors) + counted
    width = min(14.0, max(5.0, 1.6 + 0.45 * len(months)))
    fig, grid = plt.subplots(
        panels, 1, figsize=(width, 0.8 + 1.9 * panels), sharex=True, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    axes = grid[:, 0]
    cubes = max(len(v) for row in shares.values() for v in row.values())
    fig.suptitle(f"Per month, up to {cubes:,d} cubes; lines: 10 % to 90 % of them", fontsize=10)
    for i, (ax, sensor) in enumerate(zip(axes, sensors, strict=False)):
        _bars(ax, shares, sensor.name, np.mean, _COLOURS[i % len(_COLOURS)])
        ax.set_ylim(0, 1)
        ax.set_title(f"{sensor.title}: values missing (mean)", loc="left", fontsize=10)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    if counted:
        _bars(axes[-1], shares, cube.CLEAR, np.median, _CLEAR_COLOUR)
        axes[-1].set_title("Sentinel-2: clear observations (median)", loc="left", fontsize=10)
        axes[-1].set_ylim(bottom=0)
    step = -(-len(months) // _MOST_TICKS)
    names = [dt.date.fromisoformat(f"{month}-01").strftime("%b\n%Y") for month in months]
    axes[-1].set_xticks(np.arange(len(months))[::step], names[::step], fontsize=8)
    try:
        _save(fig, pathlib.Path(path))
    finally:
        plt.close(fig)


def _bars(
    ax: Axes, shares: missing.Shares, key: str, middle: Callable[[np.ndarray], float], colour: str
) -> None:
    """A bar per month, and a line over the middle four fifths of the cubes."""
    own = [row.get(key, np.array([np.nan])) for row in shares.values()]
    at = np.arange(len(own))
    low, high = np.array([np.quantile(values, (0.1, 0.9)) for values in own]).T
    ax.bar(at, [middle(values) for values in own], 0.8, color=colour)
    ax.vlines(at, low, high, color="0.2", lw=1.5)
    ax.set_xlim(-0.6, len(own) - 0.4)
    ax.grid(axis="y", color="0.9")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _save(fig: Figure, path: pathlib.Path) -> None:
    stream = io.BytesIO()
    fig.savefig(stream, format="png", dpi=120)
    files.write_bytes(path, stream.getvalue())
