"""Pictures of field data: where which crop was annotated, which block is in which split."""

import io
import math
import pathlib
import warnings
from collections.abc import Sequence

import geopandas
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pyproj
import rasterio
import shapely
from affine import Affine
from matplotlib import patheffects
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import antimeridian, cube_io, files, grid
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, Legend
from cropmap_jax.geo.tiles import Tile, outlines
from cropmap_jax.ground_truth import polygons
from cropmap_jax.ground_truth.settings import NONE, UNKNOWN

matplotlib.rcParams["text.parse_math"] = False  # names of crops are no formulas

# Okabe & Ito's palette (jfly.uni-koeln.de/color), also told apart by lightness.
_SPLIT_COLOURS = {"train": "#0072b2", "validation": "#e69f00", "test": "#cc79a7"}
_TITLES = {NONE: "None of these", UNKNOWN: "Unknown"}
# Darker than in labels, where they are a background: here they are dots on white.
_GREYS = {NONE: "#8c8c8c", UNKNOWN: "#ffffff"}
_PANEL_IN = 7.0
_MOST_DETAILS = 4
_DOT = {"alpha": 0.75, "edgecolors": "0.2", "zorder": 3}


def by_crop(
    fields: geopandas.GeoDataFrame,
    tiles: Sequence[Tile],
    provinces: geopandas.GeoDataFrame | None,
    legend: Legend,
    path: pathlib.Path,
) -> None:
    """Draws where each crop was annotated, a panel per season.

    Fields are far smaller than a dot of such a map: a dot stands for each.

    Args:
      fields: the table of fields and points, EPSG:4326.
      tiles: those that are kept.
      provinces: outlines to draw, EPSG:4326, or None.
      legend: for titles and colours.
      path: PNG to write.
    """
    seasons = sorted({*fields.season, *(t.season for t in tiles)}) or ["no season"]
    places = shapely.get_coordinates(shapely.point_on_surface(fields.geometry.values))
    places = _together(places)
    view = _view(places)
    fig, axes = _panels(len(seasons), view)
    colours = {c.name: c.colour for c in legend.classes} | _GREYS
    titles = {c.name: c.title for c in legend.classes} | _TITLES
    for ax, season in zip(axes, seasons, strict=True):
        own = (fields.season == season).to_numpy()
        counts = fields.crop[own].value_counts()
        # The rarest crop last, so that none lies hidden under another, nor under what is no crop.
        order = [n for n in (UNKNOWN, NONE) if n in counts]
        for name in order + [n for n in counts.index if n not in order]:
            at = places[own & (fields.crop == name).to_numpy()]
            size = {"s": 7, "lw": 0.15} if name in order else {"s": 14, "lw": 0.3}
            ax.scatter(*at.T, color=colours[name], **size, **_DOT)
        kinds = fields.kind[own].value_counts()
        numbers = (
            _number(kinds.get("polygon", 0), "field"),
            _number(kinds.get("point", 0), "point"),
            _number(sum(t.season == season for t in tiles), "tile"),
        )
        title = f"{season}: {', '.join(numbers)}"
        _finish(ax, view, provinces, title, places[own])
        handles = [
            Line2D([], [], ls="", marker="o", ms=6, mfc=colours[name], mec="0.2", mew=0.5,
                   label=f"{titles[name]}  {counts[name]:,d}")
            for name in colours if name in counts
        ]  # fmt: skip
        _legend(ax, handles)
    _save(fig, path)


def by_split(
    fields: geopandas.GeoDataFrame,
    tiles: Sequence[Tile],
    provinces: geopandas.GeoDataFrame | None,
    legend: Legend,
    path: pathlib.Path,
) -> None:
    """Draws the blocks of all seasons in the colours of their splits.

    Args:
      fields: the table of fields and points, EPSG:4326.
      tiles: those that are kept.
      provinces: outlines to draw, EPSG:4326, or None.
      legend: its classes' labelled pixels are counted per split.
      path: PNG to write.
    """
    blocks = list({t.block: t for t in tiles}.values())
    rings = _together(_block_corners(blocks))
    view = _view(rings.reshape(-1, 2))
    fig, (ax,) = _panels(1, view)
    handles = []
    for split, colour in _SPLIT_COLOURS.items():
        squares = rings[[t.split == split for t in blocks]]
        # The edge keeps a block visible on the map of a large country.
        style = {"facecolor": colour, "edgecolor": colour, "lw": 0.8, "zorder": 3}
        ax.add_collection(PolyCollection(squares, **style))
        own = [t for t in tiles if t.split == split]
        pixels = sum(t.crops[n]["pixels"] for t in own for n in legend.names if n in t.crops)
        label = (
            f"{split}: {_number(len(squares), 'block')}, {_number(len(own), 'tile')}, "
            f"{(fields.split == split).sum():,d} fields and points, {pixels:,d} px of crops"
        )
        handles.append(Patch(facecolor=colour, label=label))
    title = f"Blocks of {grid.BLOCK_M / 1000:g} km by split"
    _finish(ax, view, provinces, title, rings.reshape(-1, 2))
    _legend(ax, handles)
    _save(fig, path)


def detail(
    fields: geopandas.GeoDataFrame,
    tiles: Sequence[Tile],
    out: pathlib.Path,
    legend: Legend,
    path: pathlib.Path,
) -> None:
    """Draws the labels of the four tiles with the most classes, outlines of fields over them.

    Args:
      fields: the table of fields and points, EPSG:4326.
      tiles: those that are kept, their labels written.
      out: folder that the tiles' paths begin in.
      legend: of the labels.
      path: PNG to write.
    """
    shown = sorted(tiles, key=_variety, reverse=True)[:_MOST_DETAILS]
    across = 1 if len(shown) < 2 else 2
    down = max(1, -(-len(shown) // across))
    size = 5.6 * across, 6.0 * down + 0.8
    fig, axes = plt.subplots(down, across, squeeze=False, figsize=size, layout="constrained")
    seen: set[int] = set()
    for ax, tile in zip(axes.ravel(), shown, strict=False):
        with rasterio.open(out / tile.label) as raster:
            label = raster.read(1)
        seen |= set(np.unique(label).tolist())
        _draw_tile(ax, tile, label, fields, legend)
    for ax in axes.ravel()[len(shown) :]:
        ax.axis("off")
    titles = {i: c.title for i, c in enumerate(legend.classes)}
    titles |= {NONE_OF_THESE: _TITLES[NONE], IGNORE: _TITLES[UNKNOWN]}
    table = _colours(legend)
    handles = [
        Patch(facecolor=table[i] / 255, edgecolor="0.5", label=titles[i]) for i in sorted(seen)
    ]
    handles.append(Line2D([], [], color="black", lw=0.9, label="Field"))
    handles.append(Line2D([], [], color="black", ls="", marker="+", label="Point"))
    handles.append(
        Line2D([], [], color="0.5", lw=0.9, ls="--", marker="+", label="Of unknown crop")
    )
    fig.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=8.5, frameon=False)
    fig.suptitle("Labels and outlines of fields, tiles with the most classes", fontsize=11)
    _save(fig, path)


def _number(count: int, what: str) -> str:
    return f"{count:,d} {what}{'s' if count != 1 else ''}"


def _variety(tile: Tile) -> tuple:
    pixels = [amounts["pixels"] for amounts in tile.crops.values()]
    return sum(n > 0 for n in pixels), sum(pixels)


def _colours(legend: Legend) -> np.ndarray:
    """uint8 [256, 3]; unknown is white."""
    table = np.full((256, 3), 255, np.uint8)
    for value, rgba in cube_io.colour_table(legend).items():
        table[value] = rgba[:3] if rgba[3] else 255
    return table


def _draw_tile(ax, tile: Tile, label: np.ndarray, fields, legend: Legend) -> None:
    box = tile.geobox.boundingbox
    extent = box.left, box.right, box.bottom, box.top
    ax.imshow(_colours(legend)[label], extent=extent, interpolation="nearest")
    (ground,) = outlines([tile.geobox])
    # East of 180 degrees is west of it.
    turned = [shapely.transform(ground, lambda xy, t=t: xy + [t, 0]) for t in (-360, 0, 360)]
    near = fields.iloc[np.unique(fields.sindex.query(turned)[1])]
    near = near[near.season == tile.season]
    shapes = polygons.project(near.geometry.values, "EPSG:4326", str(tile.geobox.crs))
    unknown, point = (near.crop == UNKNOWN).to_numpy(), (near.kind == "point").to_numpy()
    for own, style in ((~unknown, {"color": "black"}), (unknown, {"color": "0.5", "ls": "--"})):
        lines = _lines(shapes[own & ~point])
        ax.add_collection(LineCollection(lines, lw=0.9, zorder=3, **style))
        at = shapely.get_coordinates(shapes[own & point])
        ax.scatter(*at.T, marker="+", color=style["color"], s=16, lw=0.6)
    ax.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
    place = f"{tile.province}, {tile.split}" if tile.province else tile.split
    ax.set_title(f"{tile.tile_id}\n{place}", fontsize=9)
    row, col = np.nonzero(label != IGNORE)
    labelled = np.stack([box.left + col * grid.PIXEL_M, box.top - row * grid.PIXEL_M], 1)
    _bar(ax, extent, 1.0, labelled)


def _lines(shapes: np.ndarray) -> list[np.ndarray]:
    """Coordinates of all rings of polygons."""
    rings = shapely.get_parts(shapely.boundary(shapes))
    return [shapely.get_coordinates(ring) for ring in rings]


def _block_corners(tiles: Sequence[Tile]) -> np.ndarray:
    """[tiles, 5, 2] degrees: rings of the blocks that hold tiles."""
    boxes = []
    for tile in tiles:
        x, y = (
            math.floor(value / grid.BLOCK_M) * grid.BLOCK_M
            for value in (tile.geobox.boundingbox.left, tile.geobox.boundingbox.bottom)
        )
        affine = Affine(grid.BLOCK_M, 0, x, 0, -grid.BLOCK_M, y + grid.BLOCK_M)
        boxes.append(GeoBox((1, 1), affine, tile.geobox.crs))
    return shapely.get_coordinates(outlines(boxes)).reshape(-1, 5, 2)


def _together(lonlat: np.ndarray) -> np.ndarray:
    """Places [..., 2], on both sides of 180 degrees if that brings them nearer together."""
    east = lonlat.copy()
    east[..., 0] %= 360.0
    return min(lonlat, east, key=lambda own: np.ptp(own[..., 0]) if own.size else 0.0)


def _view(lonlat: np.ndarray) -> tuple[float, float, float, float]:
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


def _panels(count: int, view) -> tuple:
    """A figure and `count` axes of the ground's shape."""
    left, right, bottom, top = view
    ratio = (top - bottom) / ((right - left) * _squeeze((bottom + top) / 2))
    width = _PANEL_IN * min(1.0, 1.2 / ratio)
    across = min(count, 2)
    down = -(-count // across)
    size = (width + 0.7) * across, (width * ratio + 1.6) * down
    fig, axes = plt.subplots(down, across, squeeze=False, figsize=size, layout="constrained")
    for ax in axes.ravel()[count:]:
        ax.axis("off")
    return fig, axes.ravel()[:count]


def _finish(ax, view, provinces, title: str, places: np.ndarray) -> None:
    """Outlines, degrees, scale bar and title."""
    left, right, bottom, top = view
    if provinces is not None:
        # What is finer than a pixel of the picture is not seen.
        shapes = shapely.simplify(provinces.geometry.values, (right - left) / 4000)
        for turn in (0, 360) if right > 180 else (0,):
            moved = shapely.transform(shapes, lambda xy, t=turn: xy + [t, 0])
            lines = LineCollection(_lines(moved), color="0.65", lw=0.6, zorder=1)
            ax.add_collection(lines, autolim=False)
    middle = (bottom + top) / 2
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect=1 / _squeeze(middle))
    for axis, (plus, minus) in ((ax.xaxis, "EW"), (ax.yaxis, "NS")):
        axis.set_major_locator(MaxNLocator(6))
        axis.set_major_formatter(FuncFormatter(_degrees(plus, minus)))
    ax.tick_params(labelsize=8)
    ax.set_title(title, fontsize=10)
    _, _, metres = pyproj.Geod(ellps="WGS84").inv(left, middle, left + 0.01, middle)
    _bar(ax, view, metres / 0.01, places)


def _degrees(plus: str, minus: str):
    def name(value: float, _) -> str:
        value = value if abs(value) <= 180 else float(antimeridian.wrap(value))
        return f"{abs(value):g}°{(plus if value > 0 else minus) if value else ''}"

    return name


def _bar(ax, view, metres: float, places: np.ndarray) -> None:
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


def _legend(ax, handles: list) -> None:
    """Beneath the axes, in as many columns as there is width for."""
    longest = max((len(h.get_label()) for h in handles), default=0)
    width = ax.figure.get_figwidth() / ax.get_gridspec().ncols
    columns = int(np.clip(width / (0.5 + 0.08 * longest), 1, 4))  # inches of 8.5 points
    ax.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=columns,
        fontsize=8.5, frameon=False,
    )  # fmt: skip


def _save(fig, path: pathlib.Path) -> None:
    """Writes a PNG, whole or not at all."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names in scripts that the font lacks are drawn as boxes; the report has them.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        fig.savefig(buffer, dpi=130, bbox_inches="tight", metadata={"Software": None})
    plt.close(fig)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, buffer.getvalue())
