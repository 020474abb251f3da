"""A quick look at a map: one picture per mosaic, drawn from a downsampled copy of it."""

import contextlib
import io
import pathlib
from collections.abc import Callable, Iterator, Sequence
from unicodedata import bidirectional

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import rasterio
import rasterio.errors
from matplotlib import font_manager, patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend as Key
from matplotlib.patches import Patch
from matplotlib.text import Text
from rasterio.enums import Resampling
from rasterio.windows import Window

from cropmap_jax.geo import cube_io, files
from cropmap_jax.geo.legend import IGNORE, Legend
from cropmap_jax.inference.tiling import Box
from cropmap_jax.mapping import summary

Extent = tuple[float, float, float, float]
"""Left, right, bottom and top, as matplotlib takes them."""
Paint = Callable[[np.ndarray, Box | None], np.ndarray]
"""(pixels of a mosaic, the part of it, None for all) -> their colours, uint8 [H, W, 4]."""
MAX_PX = 2000
"""Longest side of what is read, whatever the size of the map."""
SPARSE = 0.25
"""Share of a mosaic's rectangle below which its areas are drawn one by one: most would be white."""
MOST_AREAS = 12
"""How many areas are drawn one by one."""
SPARSER = 0.1
"""The same where there are more areas than that, of which only the largest are drawn."""
PANEL_IN = 2.3
"""Side in inches of an area that is drawn by itself."""
SAME_SCALE = 3.0
"""How many times as long as the smallest the largest area may be, to be drawn at its scale."""


def draw(
    path: pathlib.Path,
    vrt: pathlib.Path,
    classes: Legend,
    found: summary.Tally,
    as_of: str,
    areas: Sequence[Box] = (),
) -> None:
    """Draws a crop map with the classes that occur in it, coordinates and a scale bar.

    Areas that lie far apart, which would be dots on one map, or most of it white, get a panel each,
    the largest of them if they are many.

    Args:
      path: PNG to write.
      vrt: the mosaic, in a CRS whose unit is a metre.
      classes: its legend.
      found: what it holds.
      as_of: exclusive ISO date of the prediction, for the title.
      areas: boxes around the mosaic groups, in pixels from its upper left corner.

    Raises:
      ValueError: names a raster that is damaged.
      OSError: names the file that cannot be written.
    """
    title = f"Crops as of {as_of}\n{summary.describe_dates(found)}"
    handles = _handles(classes, found)
    save(path, vrt, lambda image, _: _colours(image, classes), handles, title, areas)


def save(
    path: pathlib.Path,
    vrt: pathlib.Path,
    paint: Paint,
    handles: Sequence[Patch],
    title: str,
    areas: Sequence[Box] = (),
) -> None:
    """Draws a mosaic, with coordinates and a scale bar.

    Args:
      path, vrt, areas: as of `draw`.
      paint: gives pixels their colours.
      handles: of the legend.
      title: of the picture.

    Raises:
      ValueError, OSError: as `draw`.
    """
    fig = _panels(vrt, paint, areas) if _sparse(vrt, areas) else _one(vrt, paint)
    legend = fig.legend(
        handles=list(handles), loc="outside right center", fontsize=8.5, frameon=False
    )
    heading = fig.suptitle(title, fontsize=11, x=0.01, ha="left")
    _make_room(fig, legend, heading)
    buffer = io.BytesIO()
    fig.savefig(buffer, dpi=130, bbox_inches="tight", metadata={"Software": None})
    plt.close(fig)
    files.write_bytes(path, buffer.getvalue())


def _make_room(fig: Figure, legend: Key, heading: Text) -> None:
    """Enlarges a figure, which is as large as its maps, by what is written around them."""
    renderer = fig.canvas.get_renderer()  # type: ignore[attr-defined]
    beside, above = (one.get_window_extent(renderer) for one in (legend, heading))
    width, height = fig.get_size_inches()
    height = max(height, beside.height / fig.dpi) + above.height / fig.dpi
    fig.set_size_inches(width + beside.width / fig.dpi, height)


def _sparse(vrt: pathlib.Path, areas: Sequence[Box]) -> bool:
    with rasterio.open(vrt) as raster:
        whole: int = raster.height * raster.width
    limit = SPARSE if len(areas) <= MOST_AREAS else SPARSER
    return len(areas) > 1 and sum(map(_pixels, areas)) < limit * whole


def _pixels(box: Box) -> int:
    height, width = box.shape
    return height * width


def _panels(vrt: pathlib.Path, paint: Paint, areas: Sequence[Box]) -> Figure:
    """A figure with a panel per area, all at one scale unless some would be dots at it."""
    largest = sorted(areas, key=_pixels, reverse=True)[:MOST_AREAS]
    largest = sorted(largest, key=lambda area: (area.top, area.left))
    across = min(4, len(largest))
    down = -(-len(largest) // across)
    # Titles above the panels, the name of the CRS below them.
    size = (PANEL_IN + 0.1) * across, (PANEL_IN + 0.3) * down + 0.3
    fig, axes = plt.subplots(down, across, figsize=size, layout="compressed", squeeze=False)
    for ax in axes.ravel()[len(largest) :]:
        ax.axis("off")
    read = [read_mosaic(vrt, area) for area in largest]
    spans = np.array([max(e[1] - e[0], e[3] - e[2]) for _, e, _ in read])
    together = spans.max() <= SAME_SCALE * spans.min()
    if together:
        spans[:] = spans.max()
    for ax, area, span, (image, extent, _) in zip(axes.ravel(), largest, spans, read, strict=False):
        ax.imshow(paint(image, area), extent=extent, interpolation="nearest")
        x, y = (extent[0] + extent[1]) / 2, (extent[2] + extent[3]) / 2
        view = x - span / 2, x + span / 2, y - span / 2, y + span / 2
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{x / 1000:.1f} km east, {y / 1000:.1f} km north", fontsize=8)
        _scale_bar(ax, view, span, 1.0)
    shown = f", {len(largest)} of {len(areas)} areas" if len(largest) < len(areas) else ""
    fig.supxlabel(f"{read[0][2]}{shown}{'' if together else ', scales differ'}", fontsize=9)
    return fig


def _one(vrt: pathlib.Path, paint: Paint) -> Figure:
    """A figure of the whole mosaic."""
    image, extent, crs = read_mosaic(vrt)
    width, height = extent[1] - extent[0], extent[3] - extent[2]
    km = max(width, height) >= 2000
    unit = 1000.0 if km else 1.0
    # A map of any shape fits: at most 9 inches across or 8 high, and never a mere thread.
    across = float(np.clip(8 * width / height, 1.0, 9))
    down = float(np.clip(9 * height / width, 1.0, 8))
    fig, ax = plt.subplots(figsize=(across + 0.9, down + 0.7), layout="constrained")
    left, right, bottom, top = (bound / unit for bound in extent)
    shown = left, right, bottom, top
    ax.imshow(paint(image, None), extent=shown, interpolation="nearest")
    ax.set_xlabel(f"{'km' if km else 'm'} east, {crs}")
    ax.set_ylabel(f"{'km' if km else 'm'} north")
    ax.ticklabel_format(useOffset=False, style="plain")
    ax.locator_params(axis="x", nbins=max(1, int(across / 1.3)))
    ax.locator_params(axis="y", nbins=max(1, int(down / 0.8)))
    ax.tick_params(labelsize=8)
    if across < 2:
        ax.tick_params(axis="x", labelrotation=90)
    _scale_bar(ax, shown, width, unit)
    return fig


def read_mosaic(vrt: pathlib.Path, box: Box | None = None) -> tuple[np.ndarray, Extent, str]:
    """Pixels [at most MAX_PX, ...], where they lie in metres, and the CRS's name.

    Args:
      vrt: the mosaic.
      box: part of it, in pixels from its upper left corner; None for all.

    Raises:
      ValueError: names the mosaic if a raster of it is damaged.
    """
    # With several threads it is chance which of two cubes fills a row that both are rounded to.
    one_thread = rasterio.Env(VRT_NUM_THREADS="1")
    with _naming_the_file(vrt), one_thread, rasterio.open(vrt) as raster:
        box = box or Box(0, 0, raster.height, raster.width)
        window = Window.from_slices((box.top, box.bottom), (box.left, box.right))
        factor = max(1.0, max(window.height, window.width) / MAX_PX)
        shape = tuple(max(1, round(n / factor)) for n in (window.height, window.width))
        image = raster.read(1, window=window, out_shape=shape, resampling=Resampling.nearest)
        left, bottom, right, top = raster.window_bounds(window)
        code = raster.crs.to_epsg()
    return image, (left, right, bottom, top), f"EPSG:{code}" if code else "local"


@contextlib.contextmanager
def _naming_the_file(vrt: pathlib.Path) -> Iterator[None]:
    """Names the damaged one of the rasters that a mosaic joins; rasterio reports "Read failed"."""
    try:
        yield
    except rasterio.errors.RasterioError as error:
        cause: BaseException = error
        while cause.__cause__:
            cause = cause.__cause__
        raise ValueError(
            f"{vrt}: expected whole rasters in the folders of the cubes, found a damaged one "
            f"({str(cause)[:300]}); remove that folder, and run the same command again"
        ) from error


def _colours(image: np.ndarray, classes: Legend) -> np.ndarray:
    table = np.zeros((256, 4), np.uint8)
    for value, rgba in cube_io.colour_table(classes).items():
        table[value] = rgba
    table[IGNORE] = (255, 255, 255, 0)
    colours: np.ndarray = table[image]
    return colours


def _handles(classes: Legend, found: summary.Tally) -> list[Patch]:
    colours = [*(rgba[:3] for rgba in cube_io.colour_table(classes).values()), (0, 0, 0)]
    apart = summary.one_lead(found) is None
    handles = []
    # What is masked comes last, where there is some, and is white as no data is.
    for row, rgb in zip(found.rows(classes), colours, strict=False):
        if row["class"] in (summary.NO_DATA, summary.MASKED):
            if row["pixels"]:
                handles.append(Patch(facecolor="white", edgecolor="0.5", label=row["title"]))
        elif row["pixels"]:
            share = f"{row['share']:.1%}" if row["share"] >= 0.001 else "< 0.1%"
            red, green, blue = (c / 255 for c in rgb)
            label = f"{_drawable(row['title'], row['class'])}  {share}"
            if apart and row["last_image"]:
                label += f"\n{row['last_image']}"
            handles.append(Patch(facecolor=(red, green, blue), edgecolor="0.5", label=label))
    return handles


def _drawable(title: str, name: str) -> str:
    """The title, or the class's name where the font cannot write it: Persian would be drawn letter
    by letter and from the left, Chinese as boxes."""
    text = summary.one_line(title)
    known = font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap()
    if any(ord(c) not in known or bidirectional(c) in ("R", "AL") for c in text):
        text = name
    # A dollar would begin mathematics, a leading underscore hides a label.
    return f"{'' if text[:1] != '_' else ' '}{text}".replace("$", r"\$")


def _round_length(metres: float) -> float:
    """The largest of 1, 2, 5, 10, 20, ... that is no longer."""
    power = 10 ** np.floor(np.log10(metres))
    return float(max(step * power for step in (1, 2, 5) if step * power <= metres * (1 + 1e-9)))


def _scale_bar(ax: Axes, extent: Extent, width_m: float, unit: float) -> None:
    """A bar of at most a third of the picture's width, in its lower left corner."""
    length = _round_length(width_m / 3)
    left, right, bottom, top = extent
    x, y = left + 0.03 * (right - left), bottom + 0.06 * (top - bottom)
    label = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    outline = [patheffects.withStroke(linewidth=6, foreground="white")]
    ends = ([x, x + length / unit], [y, y])
    ax.plot(*ends, color="black", lw=4, solid_capstyle="butt", path_effects=outline)
    back = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}
    ax.annotate(
        label, (x, y), xytext=(1, 7), textcoords="offset points", fontsize=8, bbox=back, va="bottom"
    )
    ax.set(xlim=(left, right), ylim=(bottom, top))
