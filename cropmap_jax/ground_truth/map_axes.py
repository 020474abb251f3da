"""What every map in a report shares: its extent, outlines, degrees, scale bar, legend and file."""

import io
import math
import pathlib
import warnings
from collections.abc import Callable, Sequence

import geopandas
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pyproj
import shapely
from matplotlib import patheffects
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from cropmap_jax.geo import antimeridian, files

matplotlib.rcParams["text.parse_math"] = False  # names of crops are no formulas

View = tuple[float, float, float, float]
"""Left, right, bottom, top of what a map shows."""
_PANEL_IN = 7.0


def lines(shapes: np.ndarray) -> list[np.ndarray]:
    """Coordinates of all rings of polygons."""
    rings = shapely.get_parts(shapely.boundary(shapes))
    return [shapely.get_coordinates(ring) for ring in rings]


def together(lonlat: np.ndarray) -> np.ndarray:
    """Places [..., 2], on both sides of 180 degrees if that brings them nearer together."""
    east = lonlat.copy()
    east[..., 0] %= 360.0
    return min(lonlat, east, key=lambda own: np.ptp(own[..., 0]) if own.size else 0.0)


def view(lonlat: np.ndarray) -> View:
    """Left, right, bottom, top in degrees of a map that shows all of these places.

    At least 10 km, and never a mere strip.
    """
    if not len(lonlat):
        return -180.0, 180.0, -60.0, 80.0
    low, high = lonlat.min(0), lonlat.max(0)
    middle = (low + high) / 2
    stretch = np.array([_squeeze(middle[1]), 1.0])
    span = (high - low) * stretch * 1.12  # degrees of latitude
    span = np.maximum(span, max(0.1, 0.5 * span.max())) / stretch
    (left, bottom), (right, top) = middle - span / 2, middle + span / 2
    return left, right, max(bottom, -89.0), min(top, 89.0)


def _squeeze(latitude: float) -> float:
    """Length of a degree of longitude, in degrees of latitude."""
    return max(0.02, math.cos(math.radians(latitude)))


def panels(count: int, view: View) -> tuple[Figure, np.ndarray]:
    """A figure and `count` axes of the ground's shape."""
    left, right, bottom, top = view
    ratio = (top - bottom) / ((right - left) * _squeeze((bottom + top) / 2))
    width = _PANEL_IN * min(1.0, 1.2 / ratio)
    return subplots(count, width + 0.7, width * ratio + 1.6)


def subplots(
    count: int, width: float, height: float, extra: float = 0.0
) -> tuple[Figure, np.ndarray]:
    """A figure and `count` axes, two in a row.

    Args:
      count: of axes, may be 0.
      width, height: inches that each takes.
      extra: inches of height for what is around them all.
    """
    across = min(max(count, 1), 2)
    down = max(1, -(-count // across))
    size = width * across, height * down + extra
    fig, axes = plt.subplots(down, across, squeeze=False, figsize=size, layout="constrained")
    for ax in axes.ravel()[count:]:
        ax.axis("off")
    return fig, axes.ravel()[:count]


def finish(
    ax: Axes,
    view: View,
    provinces: geopandas.GeoDataFrame | None,
    title: str,
    places: np.ndarray,
) -> None:
    """Outlines, degrees, scale bar and title."""
    left, right, bottom, top = view
    if provinces is not None:
        # What is finer than a pixel of the picture is not seen.
        shapes = shapely.simplify(provinces.geometry.values, (right - left) / 4000)
        for turn in (0, 360) if right > 180 else (0,):
            moved = shapely.transform(shapes, lambda xy, t=turn: xy + [t, 0])
            borders = LineCollection(lines(moved), color="0.65", lw=0.6, zorder=1)
            ax.add_collection(borders, autolim=False)
    middle = (bottom + top) / 2
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect=1 / _squeeze(middle))
    for axis, (plus, minus) in ((ax.xaxis, "EW"), (ax.yaxis, "NS")):
        axis.set_major_locator(MaxNLocator(6))
        axis.set_major_formatter(FuncFormatter(degrees(plus, minus)))
    ax.tick_params(labelsize=8)
    ax.set_title(title, fontsize=10)
    _, _, metres = pyproj.Geod(ellps="WGS84").inv(left, middle, left + 0.01, middle)
    bar(ax, view, metres / 0.01, places)


def degrees(plus: str, minus: str) -> Callable[[float, object], str]:
    """A formatter of degrees, e.g. 51°E, for "E" and "W"."""

    def name(value: float, _: object) -> str:
        value = value if abs(value) <= 180 else float(antimeridian.wrap(np.array(value)))
        return f"{abs(value):g}°{(plus if value > 0 else minus) if value else ''}"

    return name


def bar(ax: Axes, view: View, metres: float, places: np.ndarray) -> None:
    """A scale bar of at most a fifth of the width, in the corner with the fewest places.

    Args:
      view: left, right, bottom, top.
      metres: per unit of x.
      places: [n, 2] of what it should not cover.
    """
    left, right, bottom, top = view
    longest = (right - left) * metres / 5
    power = 10.0 ** math.floor(math.log10(longest))
    length = max(step * power for step in (1, 2, 5) if step * power <= longest)
    x, y = (places.T - [[left], [bottom]]) / [[right - left], [top - bottom]]
    corners = [(east, north) for north in (False, True) for east in (False, True)]
    hidden = [
        ((x > 0.7 if east else x < 0.3) & (y > 0.88 if north else y < 0.12)).sum()
        for east, north in corners
    ]
    east, north = corners[int(np.argmin(hidden))]
    across = length / metres
    start = right - 0.03 * (right - left) - across if east else left + 0.03 * (right - left)
    height = bottom + (0.93 if north else 0.04) * (top - bottom)
    halo = [patheffects.withStroke(linewidth=6, foreground="white")]
    ends = [start, start + across], [height, height]
    ax.plot(*ends, color="black", lw=4, solid_capstyle="butt", path_effects=halo, zorder=5)
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    back = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}
    ax.annotate(
        label, (start, height), xytext=(1, 6), textcoords="offset points", fontsize=8, bbox=back,
        va="bottom", zorder=5,
    )  # fmt: skip


def add_legend(fig: Figure, ax: Axes, handles: Sequence[Artist]) -> None:
    """Beneath the axes, in as many columns as there is width for."""
    longest = max((len(str(h.get_label())) for h in handles), default=0)
    of_axes = ax.get_gridspec()
    width = fig.get_figwidth() / (of_axes.ncols if of_axes else 1)
    columns = int(np.clip(width / (0.5 + 0.08 * longest), 1, 4))  # inches of 8.5 points
    ax.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=columns,
        fontsize=8.5, frameon=False,
    )  # fmt: skip


def save(fig: Figure, path: pathlib.Path) -> None:
    """Writes a PNG, whole or not at all."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names in scripts that the font lacks are drawn as boxes; the report has them.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        fig.savefig(buffer, dpi=130, bbox_inches="tight", metadata={"Software": None})
    plt.close(fig)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, buffer.getvalue())
