"""A picture of a sample: where its points lie on the ground that was mapped."""

import io
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Polygon

from cropmap_jax.geo import files
from cropmap_jax.mapping.map_folder import FinishedMap

MOST_PANELS = 12
_NEAR = 0.05
"""Degrees: cubes that lie no further apart share a panel."""


def draw(path: pathlib.Path, found: FinishedMap, lon: np.ndarray, lat: np.ndarray) -> None:
    """Draws points over the outlines of the cubes; areas that lie far apart get a panel each.

    No class is shown, so that who interprets points may see it.

    Args:
      path: PNG to write.
      found: the map.
      lon, lat: float [n], degrees.

    Raises:
      OSError: names the file.
    """
    outlines = np.array([cube.footprint for cube in found.cubes], object)
    groups = _groups(outlines)
    largest = np.argsort(-np.bincount(groups), kind="stable")[:MOST_PANELS]
    across = min(4, len(largest))
    down = -(-len(largest) // across)
    side = 6.0 if len(largest) == 1 else 3.0
    fig, axes = plt.subplots(
        down, across, figsize=(side * across, side * down + 0.6), layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for ax in axes.ravel()[len(largest) :]:
        ax.axis("off")
    for ax, group in zip(axes.ravel(), sorted(largest), strict=False):
        _panel(ax, outlines[groups == group], lon, lat)
    count = int(groups.max()) + 1
    shown = f", {len(largest)} of {count} areas shown" if count > len(largest) else ""
    fig.suptitle(f"Sample of {len(lon):,} points{shown}", fontsize=11, x=0.01, ha="left")
    png = io.BytesIO()
    fig.savefig(png, format="png", dpi=110, metadata={"Software": None})
    plt.close(fig)
    files.write_bytes(path, png.getvalue())


def _groups(outlines: np.ndarray) -> np.ndarray:
    """Which group of neighbours each cube is of, int [n]."""
    around = shapely.buffer(outlines, _NEAR / 2, quad_segs=1)
    left, right = shapely.STRtree(around).query(around, predicate="intersects")
    links = scipy.sparse.coo_array((np.ones(len(left)), (left, right)), (len(outlines),) * 2)
    found: np.ndarray = scipy.sparse.csgraph.connected_components(links, directed=False)[1]
    return found


def _panel(ax: Axes, outlines: np.ndarray, lon: np.ndarray, lat: np.ndarray) -> None:
    patches = [Polygon(shapely.get_coordinates(one)) for one in outlines]
    ax.add_collection(PatchCollection(patches, facecolor="0.95", edgecolor="0.75", lw=0.4))
    left, bottom, right, top = shapely.total_bounds(outlines)
    inside = (lon >= left) & (lon <= right) & (lat >= bottom) & (lat <= top)
    ax.plot(lon[inside], lat[inside], "o", ms=2.5, color="#0072b2", mew=0)
    edge = 0.03 * max(right - left, top - bottom)
    ax.set(xlim=(left - edge, right + edge), ylim=(bottom - edge, top + edge))
    ax.set_aspect(1 / np.cos(np.radians((bottom + top) / 2)))
    ax.ticklabel_format(useOffset=False)
    ax.locator_params(nbins=3)
    ax.tick_params(labelsize=7)
    ax.set_title(f"{int(inside.sum())} points", fontsize=8.5)
