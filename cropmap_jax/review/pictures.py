"""A picture of a suspect: images with its outline, its NDVI next to that of its class, and why."""

import io
import pathlib
import warnings
from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.geo import files
from cropmap_jax.geo.sensors import Sensor
from cropmap_jax.geo.text import plain
from cropmap_jax.inference.tiling import Box
from cropmap_jax.review import outlines
from cropmap_jax.review.patches import Patch, Patches
from cropmap_jax.review.suspects import OUTLINE, Suspicion

AROUND_PX = 16
"""Of the ground around a field that its picture shows."""
_IMAGES = {"natural colour": ("B4", "B3", "B2"), "false colour": ("B8", "B4", "B3")}
_OWN, _SUGGESTED = "#0072b2", "#d55e00"

Curves = Mapping[tuple[str, str], np.ndarray]
"""By class and season of cubes, float64 [3, T]: 25th, 50th and 75th percentile of fields' NDVI."""


def curves(data: Dataset, judged: Sequence[Suspicion]) -> Curves:
    """How green the fields of each class are that look right, by season."""
    groups: dict[tuple[str, str], list[np.ndarray]] = {}
    for one in judged:
        if not one.kinds:
            row = data.cubes[one.field.pieces[0].cube]
            groups.setdefault((one.label, row["season"]), []).append(one.peak.curve)
    out = {}
    for key, own in groups.items():
        length = max(map(len, own))
        same = [curve for curve in own if len(curve) == length]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            out[key] = np.nanpercentile(np.stack(same), (25, 50, 75), axis=0)
    return out


def write(
    path: pathlib.Path, data: Dataset, patches: Patches, one: Suspicion, by_class: Curves
) -> None:
    """Writes the picture of a field.

    Raises:
      OSError: names the file.
    """
    png = io.BytesIO()
    with plt.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        fig = _draw(data, patches, one, by_class)
        fig.savefig(png, format="png", dpi=100, bbox_inches="tight")
        plt.close(fig)
    files.write_bytes(path, png.getvalue())


def _draw(data: Dataset, patches: Patches, one: Suspicion, by_class: Curves) -> Figure:
    piece = one.field.pieces[0]
    row = data.cubes[piece.cube]
    height, width = piece.own.shape
    whole = Box(0, 0, *row["shape"])
    box = Box(piece.top, piece.left, piece.top + height, piece.left + width).grow(AROUND_PX)
    box = box.common(whole) or whole
    patch = patches.of_box(piece.cube, box)
    own = np.zeros(box.shape, bool)
    top, left = piece.top - box.top, piece.left - box.left
    # A patch ends where its cube does, and so does this one.
    own[top : top + height, left : left + width] = piece.own
    images = _images(data, patch, one, own)
    fig, axes = plt.subplots(
        1,
        len(images) + 1,
        figsize=(3.4 * len(images) + 5.2, 3.9),
        layout="constrained",
        width_ratios=[1] * len(images) + [1.5],
        squeeze=False,
    )
    for ax, (title, image) in zip(axes[0], images, strict=False):
        _show(ax, title, image, own, one, data.pixel_m)
    _series(axes[0, -1], patch, one, row["season"], by_class)
    name = f"field {piece.field}, {plain(row['id'], 60)}: labelled {plain(one.label, 60)}"
    fig.suptitle(f"{name}\n{plain(one.reason, 200) or 'looks right'}", fontsize=10)
    return fig


def _images(
    data: Dataset, patch: Patch, one: Suspicion, own: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    """(title, float [h, w, 3]) of the period in which the field is greenest, or the clearest."""
    out = []
    for title, bands in _IMAGES.items():
        sensor = next((s for s in data.sensors if set(bands) <= set(s.bands)), None)
        if sensor is None:
            continue
        stack = patch.pixels[sensor.name][..., [sensor.bands.index(b) for b in bands]]
        when = _when(one, stack, own)
        out.append((f"{title}, from {patch.dates[when]}", _stretch(stack[when])))
    return out or [_first_band(data.sensors[0], patch)]


def _first_band(sensor: Sensor, patch: Patch) -> tuple[str, np.ndarray]:
    """Of a dataset without colours: the mean of a band over all periods, grey."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean = np.nanmean(patch.pixels[sensor.name][..., 0], 0)
    return f"{sensor.bands[0]}, mean of all periods", _stretch(np.repeat(mean[..., None], 3, -1))


def _when(one: Suspicion, stack: np.ndarray, own: np.ndarray) -> int:
    clear = (~np.isnan(stack).any(-1))[:, own].mean(1)
    curve = np.nan_to_num(one.peak.curve, nan=-1.0)
    return int(np.argmax(np.where(clear >= clear.max() - 0.05, curve, -2.0)))


def _stretch(image: np.ndarray) -> np.ndarray:
    """Values to display, band by band: 2nd to 98th percentile; missing is light grey."""
    out = np.full(image.shape, 0.85)
    for band in range(image.shape[-1]):
        values = image[..., band]
        there = np.isfinite(values)
        if there.any():
            low, high = np.percentile(values[there], (2, 98))
            out[..., band] = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    return np.where(np.isfinite(image), out, 0.85)


def _show(
    ax: Axes, title: str, image: np.ndarray, own: np.ndarray, one: Suspicion, pixel_m: float
) -> None:
    height, width = own.shape
    extent = (0.0, width * pixel_m, height * pixel_m, 0.0)
    ax.imshow(image, extent=extent, interpolation="nearest")
    _outline(ax, own, pixel_m, "white", "-")
    if OUTLINE in one.kinds:
        _outline(ax, outlines.move(own, one.shift.rows, one.shift.cols), pixel_m, _SUGGESTED, "--")
    ax.set_title(title, fontsize=9)
    ax.set_xlabel("m east", fontsize=8)
    ax.set_ylabel("m south", fontsize=8)
    ax.tick_params(labelsize=7)


def _outline(ax: Axes, own: np.ndarray, pixel_m: float, colour: str, style: str) -> None:
    """Draws the edges between a mask's pixels and others."""
    padded = np.pad(own, 1)
    down = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])
    right = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    lines = [((c, r), (c + 1, r)) for r, c in down] + [((c, r), (c, r + 1)) for r, c in right]
    segments = np.array(lines, float).reshape(-1, 2, 2) * pixel_m
    ax.add_collection(LineCollection(list(segments), colors=colour, linestyles=style, lw=1.2))


def _series(ax: Axes, patch: Patch, one: Suspicion, season: str, by_class: Curves) -> None:
    days = patch.days.astype("datetime64[D]")
    shown = [(one.label, _OWN)]
    shown += [(one.suggested, _SUGGESTED)] if "label" in one.kinds else []
    for name, colour in shown:
        found = by_class.get((name, season))
        if found is not None and found.shape[1] == len(days):
            ax.fill_between(days, found[0], found[2], color=colour, alpha=0.2, lw=0)
            ax.plot(
                days, found[1], color=colour, lw=1.2, label=f"{plain(name, 30)}: half of fields"
            )
    ax.plot(days, one.peak.curve, "k.-", lw=1.8, label="this field, median")
    ax.set_title("NDVI by period", fontsize=9)
    ax.set_ylabel("NDVI, -1 to 1", fontsize=8)
    ax.tick_params(labelsize=7)
    ax.tick_params(axis="x", rotation=45)
    ax.legend(fontsize=7)
