"""Pictures of field data: where which crop was annotated, which block is in which split."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely
from affine import Affine
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import cube_io, grid
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, Legend
from cropmap_jax.geo.tiles import Tile, outlines
from cropmap_jax.ground_truth import map_axes, polygons
from cropmap_jax.ground_truth.names import UNKNOWN
from cropmap_jax.ground_truth.settings import NONE

# Okabe & Ito's palette (jfly.uni-koeln.de/color), which also differ in lightness.
_SPLIT_COLOURS = {"train": "#0072b2", "validation": "#e69f00", "test": "#cc79a7"}
_TITLES = {NONE: "None of these", UNKNOWN: "Unknown"}
# Darker than in labels, where they are a background: here they are dots on white.
_GREYS = {NONE: "#8c8c8c", UNKNOWN: "#ffffff"}
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
    places = map_axes.together(places)
    view = map_axes.view(places)
    fig, axes = map_axes.panels(len(seasons), view)
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
        map_axes.finish(ax, view, provinces, title, places[own])
        handles = [
            Line2D([], [], ls="", marker="o", ms=6, mfc=colours[name], mec="0.2", mew=0.5,
                   label=f"{titles[name]}  {counts[name]:,d}")
            for name in colours if name in counts
        ]  # fmt: skip
        map_axes.add_legend(fig, ax, handles)
    map_axes.save(fig, path)


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
    rings = map_axes.together(_block_corners(blocks))
    view = map_axes.view(rings.reshape(-1, 2))
    fig, (ax,) = map_axes.panels(1, view)
    handles = []
    for split, colour in _SPLIT_COLOURS.items():
        squares = rings[[t.split == split for t in blocks]]
        # The edge keeps a block visible on the map of a large country.
        style: dict[str, Any] = {"facecolor": colour, "edgecolor": colour, "lw": 0.8, "zorder": 3}
        ax.add_collection(PolyCollection(list(squares), **style))
        own = [t for t in tiles if t.split == split]
        pixels = sum(t.crops[n]["pixels"] for t in own for n in legend.names if n in t.crops)
        label = (
            f"{split}: {_number(len(squares), 'block')}, {_number(len(own), 'tile')}, "
            f"{(fields.split == split).sum():,d} fields and points, {pixels:,d} px of crops"
        )
        handles.append(Patch(facecolor=colour, label=label))
    title = f"Blocks of {grid.BLOCK_M / 1000:g} km by split"
    map_axes.finish(ax, view, provinces, title, rings.reshape(-1, 2))
    map_axes.add_legend(fig, ax, handles)
    map_axes.save(fig, path)


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
    fig, axes = map_axes.subplots(len(shown), 5.6, 6.0, extra=0.8)
    seen: set[int] = set()
    for ax, tile in zip(axes, shown, strict=True):
        with rasterio.open(out / tile.label) as raster:
            label = raster.read(1)
        seen |= set(np.unique(label).tolist())
        _draw_tile(ax, tile, label, fields, legend)
    titles = {i: c.title for i, c in enumerate(legend.classes)}
    titles |= {NONE_OF_THESE: _TITLES[NONE], IGNORE: _TITLES[UNKNOWN]}
    table = _colours(legend)
    handles: list[Artist] = [
        Patch(facecolor=table[i] / 255, edgecolor="0.5", label=titles[i]) for i in sorted(seen)
    ]
    handles.append(Line2D([], [], color="black", lw=0.9, label="Field"))
    handles.append(Line2D([], [], color="black", ls="", marker="+", label="Point"))
    handles.append(
        Line2D([], [], color="0.5", lw=0.9, ls="--", marker="+", label="Of unknown crop")
    )
    fig.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=8.5, frameon=False)
    fig.suptitle("Labels and outlines of fields, tiles with the most classes", fontsize=11)
    map_axes.save(fig, path)


def _number(count: int, what: str) -> str:
    return f"{count:,d} {what}{'s' if count != 1 else ''}"


def _variety(tile: Tile) -> tuple[int, float]:
    pixels = [amounts["pixels"] for amounts in tile.crops.values()]
    return sum(1 for n in pixels if n > 0), sum(pixels)


def _colours(legend: Legend) -> np.ndarray:
    """uint8 [256, 3]; unknown is white."""
    table = np.full((256, 3), 255, np.uint8)
    for value, rgba in cube_io.colour_table(legend).items():
        table[value] = rgba[:3] if rgba[3] else 255
    return table


def _draw_tile(
    ax: Axes, tile: Tile, label: np.ndarray, fields: geopandas.GeoDataFrame, legend: Legend
) -> None:
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
        lines = map_axes.lines(shapes[own & ~point])
        ax.add_collection(LineCollection(lines, lw=0.9, zorder=3, **style))
        at = shapely.get_coordinates(shapes[own & point])
        ax.scatter(at[:, 0], at[:, 1], marker="+", color=style["color"], s=16, lw=0.6)
    ax.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
    place = f"{tile.province}, {tile.split}" if tile.province else tile.split
    ax.set_title(f"{tile.tile_id}\n{place}", fontsize=9)
    row, col = np.nonzero(label != IGNORE)
    labelled = np.stack([box.left + col * grid.PIXEL_M, box.top - row * grid.PIXEL_M], 1)
    map_axes.bar(ax, extent, 1.0, labelled)


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
    corners: np.ndarray = shapely.get_coordinates(outlines(boxes))
    return corners.reshape(-1, 5, 2)
