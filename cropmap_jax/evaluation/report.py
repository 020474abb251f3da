"""What people read and look at: a table of scores, JSON, and a picture per cube."""

import io
import json
import os
import pathlib
import re
import warnings
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cropmap_jax.data.dataset import Dataset
from cropmap_jax.evaluation import cube_predictions
from cropmap_jax.evaluation.cube_predictions import CubePrediction
from cropmap_jax.geo import as_of_windows, files, periods
from cropmap_jax.geo.legend import IGNORE, NONE_OF_THESE, Legend

SCORES = ("accuracy", "recall", "true_negative_rate", "precision", "f1")
# Okabe & Ito's palette (jfly.uni-koeln.de/color), which colour-blind readers can tell apart.
_OUTCOMES = (
    ("not scored", "#f2f2f2"),
    ("true negative", "#bdbdbd"),
    ("true positive", "#009e73"),
    ("false positive", "#d55e00"),
    ("false negative", "#0072b2"),
)


def score_table(rows: list[dict[str, Any]]) -> str:
    """Fixed-width table: one line per crop, method, unit and threshold; "-" where no value is.

    `n` is what was scored, `no image` what is annotated and was not seen, hence not scored.
    """
    wide = max([15, *(len(row["crop"]) for row in rows)]) + 1
    method = max([8, *(len(row["method"]) for row in rows)]) + 1
    header = f"{'crop':{wide}}{'method':{method}}{'unit':8}{'thr':>6}"
    header += "".join(f"{n:>11}" for n in ("accuracy", "recall", "tn rate", "precision", "F1"))
    leads = [as_of_windows.format_lead(row["lead_days"]) for row in rows]
    last = max(12, *map(len, leads)) + 2
    lines = [header + f"{'n':>9}{'no image':>10}{'lead':>{last}}"]
    for row, lead in zip(rows, leads, strict=True):
        values = "".join(f"{'-':>11}" if row[s] is None else f"{row[s]:11.3f}" for s in SCORES)
        n = row["tp"] + row["fp"] + row["fn"] + row["tn"]
        # The rule "map" has none: the most probable class is shown.
        threshold = "map" if row["threshold"] is None else f"{row['threshold']:.2f}"
        lines.append(
            f"{row['crop']:{wide}}{row['method']:{method}}{row['unit']:8}{threshold:>6}{values}"
            f"{n:9,d}{row['without_image']:10,d}{lead:>{last}}"
        )
    return "\n".join(lines)


def write_json(path: pathlib.Path, value: dict[str, Any]) -> None:
    """Writes JSON, whole or not at all.

    Raises:
      OSError: names the file.
    """
    write(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def write(path: pathlib.Path, data: bytes) -> None:
    """Writes a file, whole or not at all, into a folder that is made if need be.

    Raises:
      OSError: names the file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.not_written(path, error) from error
    files.write_bytes(path, data)


def file_name(cube_id: str, number: int) -> str:
    """Name of a cube's picture, without the ending: its id, where that is fit for a file.

    Args:
      cube_id: of any letters.
      number: of the cube, which keeps ids apart that would look alike.
    """
    name = re.sub(r"[^\w.-]+", "_", cube_id).lstrip(".")
    return name if name and name == cube_id and len(name) <= 50 else f"{name[:40]}-{number}"


def _text(title: str) -> str:
    """A title in one short line; matplotlib hides what begins with an underscore."""
    line = " ".join("".join(c if c.isprintable() else " " for c in title).split())
    return (line[:39] + "…" if len(line) > 40 else line).lstrip("_")


def picture(
    prediction: CubePrediction,
    position: int,
    crop: int,
    classes: Legend,
    threshold: float,
    pixel_m: float,
    lead: int | None,
    path: pathlib.Path,
) -> None:
    """Draws one cube and crop: image, known fields, probability, errors.

    Titles are shown as they are: a `$` begins no formula.

    Args:
      prediction: the cube.
      position: which of the predicted crops.
      crop: its class index.
      classes: the legend.
      threshold: at which probability counts as the crop.
      pixel_m: pixel size in metres.
      lead: days from the last image to harvest, None without a harvest date.
      path: PNG to write.

    Raises:
      OSError: it cannot be written; names it.
    """
    png = io.BytesIO()
    with plt.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        # The font that comes along has no Chinese; the file's name says which crop it is.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        fig = _draw(prediction, position, crop, classes, threshold, pixel_m, lead)
        fig.savefig(png, format="png", dpi=110, bbox_inches="tight")
        plt.close(fig)
    write(path, png.getvalue())


def _draw(
    prediction: CubePrediction,
    position: int,
    crop: int,
    classes: Legend,
    threshold: float,
    pixel_m: float,
    lead: int | None,
) -> Figure:
    height, width = prediction.label.shape
    # Panels as wide as the ground they show, within reason: cubes may be narrow strips.
    panel = np.clip(4.2 * width / height, 2.4, 6.5)
    size = (4 * panel + 1.6, min(4.2, panel * height / width) + 2.0)
    fig, axes = plt.subplots(1, 4, figsize=size, layout="constrained", sharey=True)
    extent = (0, width * pixel_m, height * pixel_m, 0)
    axes[0].imshow(_stretch(prediction.rgb[position]), extent=extent)
    axes[0].set_title("natural colour, latest clear")
    known, handles = _known(prediction.label, classes)
    axes[1].imshow(known, extent=extent, interpolation="nearest")
    axes[1].set_title("what is known")
    probability = prediction.probability[..., position]
    shown = axes[2].imshow(
        probability, extent=extent, vmin=0, vmax=1, cmap="cividis", interpolation="nearest"
    )
    axes[2].set_title("predicted")
    title = _text(classes.classes[crop].title)
    fig.colorbar(shown, ax=axes[2], shrink=0.8, label=f"probability of {title.lower()}")
    colours = ListedColormap([c for _, c in _OUTCOMES])
    outcome = _outcome(probability, prediction.label, crop, threshold)
    axes[3].imshow(
        outcome, extent=extent, cmap=colours, vmin=-0.5, vmax=4.5, interpolation="nearest"
    )
    axes[3].set_title(f"errors at {threshold:.2f}")
    _legend(axes[1], handles)
    _legend(axes[3], [Patch(facecolor=c, edgecolor="0.4", label=n) for n, c in _OUTCOMES])
    for ax in axes:
        ax.set_xlabel("m east")
        ax.tick_params(labelsize=8)
    axes[0].set_ylabel("m south")
    as_of = periods.from_day(prediction.as_of[position])
    ahead = (
        "no harvest date"
        if lead is None
        else f"last image {as_of_windows.describe_lead(lead, lead)}"
    )
    fig.suptitle(f"{_text(prediction.cube_id)}: {title}, as of {as_of}, {ahead}", fontsize=12)
    return fig


def _legend(ax: Axes, handles: list[Patch]) -> None:
    ax.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=7.5
    )


def _stretch(rgb: np.ndarray) -> np.ndarray:
    """Reflectance to display: 2nd to 98th percentile; missing is light grey."""
    finite = rgb[np.isfinite(rgb)]
    low, high = np.percentile(finite, (2, 98)) if finite.size else (0.0, 0.3)
    out = np.clip((rgb - low) / max(high - low, 1e-6), 0, 1)
    return np.where(np.isfinite(out), out, 0.85)


def _known(label: np.ndarray, classes: Legend) -> tuple[np.ndarray, list[Patch]]:
    image = np.full((*label.shape, 3), 242, np.uint8)
    handles = []
    for index in [int(i) for i in np.unique(label) if i != IGNORE]:
        none = index == NONE_OF_THESE
        colour = "#bdbdbd" if none else classes.classes[index].colour
        image[label == index] = list(bytes.fromhex(colour[1:]))
        title = "none of these" if none else _text(classes.classes[index].title)
        handles.append(Patch(facecolor=colour, edgecolor="0.4", label=title))
    if (label == IGNORE).any():
        handles.append(Patch(facecolor="#f2f2f2", edgecolor="0.4", label="unknown"))
    return image, handles


def _outcome(probability: np.ndarray, label: np.ndarray, crop: int, threshold: float) -> np.ndarray:
    shown, true = probability >= threshold, label == crop
    known = (label != IGNORE) & np.isfinite(probability)
    outcome = np.select([true & shown, ~true & shown, true & ~shown], [2, 3, 4], default=1)
    return np.where(known, outcome, 0)


class Album:
    """Draws the pictures of an evaluation: for each crop, the first cubes that hold it.

    Args:
      data: the dataset.
      crops: class indices, in the order of the predictions.
      thresholds: of each crop.
      limit: pictures per crop.
      folder: where they go, as <crop>/<cube>.png.
      written: record of what `evaluate` wrote there; a picture of somebody else's stays.
    """

    def __init__(
        self,
        data: Dataset,
        crops: list[int],
        thresholds: list[float],
        limit: int,
        folder: str | os.PathLike[str],
        written: files.Written | None = None,
    ):
        self._data, self._crops, self._thresholds = data, crops, thresholds
        self._left = [limit] * len(crops)
        self._chosen: dict[int, list[int]] = {}
        self._folder, self._written = pathlib.Path(folder), written
        self.drawn = 0

    def wants(self, index: int, label: np.ndarray) -> bool:
        """Chooses the crops that a cube is drawn for: those with pictures left and pixels in it.

        Args:
          index: number of the cube, whose prediction may be added later.
          label: uint8 [H, W].

        Returns:
          Whether there are any.
        """
        chosen = [
            i for i, crop in enumerate(self._crops) if self._left[i] > 0 and (label == crop).any()
        ]
        for i in chosen:
            self._left[i] -= 1
        self._chosen[index] = chosen
        return bool(chosen)

    def add(self, prediction: CubePrediction) -> None:
        """Draws a cube for each crop that `wants` chose it for."""
        cube = self._data.cubes[prediction.index]
        leads = cube_predictions.leads(self._data, prediction, self._crops)
        for i in self._chosen.pop(prediction.index, []):
            crop = self._crops[i]
            self.drawn += 1
            folder = self._data.legend.names[crop]
            name = f"{folder}/{file_name(prediction.cube_id, prediction.index)}.png"
            if self._written:
                self._written.claim(name)
            lead = leads[i]
            picture(
                prediction,
                i,
                crop,
                self._data.legend,
                self._thresholds[i],
                cube["transform"][0],
                None if lead is None else lead + prediction.gap[i],
                self._folder / name,
            )
