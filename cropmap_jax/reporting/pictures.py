"""Small pictures for a page: colours and patterns that the colour-blind can tell, as data URLs."""

import base64
import io

import numpy as np
from PIL import Image

# Okabe & Ito's palette (jfly.uni-koeln.de/color) without black, which letters are in.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
PATTERNS = ("plain", "stripes", "dots", "bars")
"""The first seven classes are plain, the next seven striped, and so on."""
NONE_COLOUR, UNKNOWN_COLOUR = "#c4c4c4", "#ffffff"
LEVELS = 21
"""Of confidence: 0, 5, ..., 100 %."""


def look(index: int) -> tuple[str, str]:
    """Colour and pattern of a class.

    Args:
      index: of the class in its legend.
    """
    return COLOURS[index % len(COLOURS)], PATTERNS[index // len(COLOURS) % len(PATTERNS)]


def classes(shown: np.ndarray, number: int, none: int) -> str:
    """A map of classes.

    Args:
      shown: uint8 [H, W], class index; `none`; anything else is unknown.
      number: how many classes there are.
      none: what stands for none of these.

    Returns:
      A PNG as a data URL.
    """
    rows, cols = np.indices(shown.shape)
    # Entry 0 is unknown, 1 none of these, then plain classes; white parts of patterns are unknown.
    entry = np.zeros(shown.shape, np.uint8)
    entry[shown == none] = 1
    palette = [UNKNOWN_COLOUR, NONE_COLOUR, *COLOURS]
    for index in np.unique(shown[shown < number]).tolist():
        _, pattern = look(index)
        inked = {
            "plain": np.ones(shown.shape, bool),
            "stripes": (rows + cols) % 4 < 2,
            "dots": (rows % 3 != 0) | (cols % 3 != 0),
            "bars": rows % 3 != 0,
        }[pattern]
        entry[(shown == index) & inked] = 2 + index % len(COLOURS)
    return _png(entry, palette)


def confidence(percent: np.ndarray, palette: list[str], nothing: int) -> str:
    """A map of percent, from the first colour of a palette to its last.

    Args:
      percent: uint8 [H, W], 0 to 100, or `nothing`.
      palette: LEVELS colours "#rrggbb".
      nothing: what stands for no prediction.
    """
    level = np.rint(percent.astype(float) / 100 * (LEVELS - 1)).astype(np.int64)
    entry = np.where(percent == nothing, 0, 1 + np.clip(level, 0, LEVELS - 1)).astype(np.uint8)
    return _png(entry, [UNKNOWN_COLOUR, *palette])


def photograph(rgb: np.ndarray, low: float, high: float) -> str:
    """A natural-colour image.

    Args:
      rgb: float [H, W, 3], reflectance; NaN where there is none: light grey.
      low, high: what is black, and white.

    Returns:
      A JPEG as a data URL: a third of a PNG's size, and nobody measures in it.
    """
    scaled = np.clip((rgb - low) / max(high - low, 1e-6), 0, 1)
    pixels = np.where(np.isfinite(scaled), scaled, 0.85)
    image = Image.fromarray(np.rint(255 * pixels).astype(np.uint8), "RGB")
    return _url(image, "JPEG", quality=72)


def _png(entry: np.ndarray, palette: list[str]) -> str:
    image = Image.fromarray(entry, "P")
    image.putpalette(bytes.fromhex("".join(colour[1:] for colour in palette)))
    return _url(image, "PNG", optimize=True)


def _url(image: Image.Image, form: str, **options: object) -> str:
    data = io.BytesIO()
    image.save(data, form, **options)
    return f"data:image/{form.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"
