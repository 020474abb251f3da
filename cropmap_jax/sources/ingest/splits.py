"""Parts of a raster: how `--split` cuts one raster into cubes of different splits."""

import dataclasses
import re

import numpy as np
from odc.geo.geobox import GeoBox

from cropmap_jax.geo import grid, splits

_FORMS = (
    "train | validation | test, columns:train=0-52,test=53-62, rows:..., or "
    "blocks[:SIZE_PX][:train=0.7,validation=0.15,test=0.15][:seed=0]"
)
_MOST_BLOCKS = 20_000
"""Each is a cube, a folder of its own."""
_RANGE = re.compile(r"^\s*([a-z]+)\s*=\s*(\d+)\s*-\s*(\d+)\s*$")


@dataclasses.dataclass(frozen=True)
class Part:
    """A rectangle of the raster that becomes one cube: rows and columns in pixels, half open."""

    cube_id: str
    block: str
    split: str
    rows: slice
    cols: slice


def parse_split(text: str, name: str, geobox: GeoBox) -> tuple[list[Part], list[str]]:
    """Cuts a raster as `--split` describes.

    Blocks of parts carry the split (or the place) in their name, so that no block is in two.

    Args:
      text: the flag.
      name: base of the cube ids.
      geobox: grid of the whole raster.

    Returns:
      Parts that share no pixel, and notes on what is left out.

    Raises:
      ValueError: names the flag, what was found and what was expected.
    """
    form, _, rest = text.partition(":")
    if form in splits.SPLITS and not rest:
        whole = (slice(0, n) for n in geobox.shape)
        return [Part(name, grid.block_id(geobox), form, *whole)], []
    if form in ("columns", "rows") and rest:
        return _ranges(text, form, rest, name, geobox)
    if form == "blocks":
        return _blocks(text, rest, name, geobox), []
    raise ValueError(f"--split {text!r}: expected {_FORMS}")


def split_map(parts: list[Part], shape: tuple[int, int]) -> np.ndarray:
    """int8 [H, W]: index of the split a pixel belongs to, -1 where it is in no part."""
    out = np.full(shape, -1, np.int8)
    for part in parts:
        out[part.rows, part.cols] = splits.SPLITS.index(part.split)
    return out


def _ranges(
    text: str, form: str, rest: str, name: str, geobox: GeoBox
) -> tuple[list[Part], list[str]]:
    height, width = geobox.shape
    length = width if form == "columns" else height
    spans = []
    for word in rest.split(","):
        match = _RANGE.match(word)
        if not match or match[1] not in splits.SPLITS:
            raise ValueError(
                f"--split {text!r}: expected {', '.join(splits.SPLITS)}, each with an inclusive "
                f"range like train=0-52, found {word!r}"
            )
        first, last = int(match[2]), int(match[3])
        if not first <= last < length:
            raise ValueError(
                f"--split {text!r}: expected {form} 0-{length - 1} from low to high, found {word!r}"
            )
        spans.append((first, last + 1, match[1]))
    spans.sort()
    for (a, b, one), (c, d, other) in zip(spans, spans[1:], strict=False):
        if c < b:
            raise ValueError(
                f"--split {text!r}: expected ranges that share no {form}, found {one}={a}-{b - 1} "
                f"and {other}={c}-{d - 1}"
            )
    block, parts = grid.block_id(geobox), []
    seen: dict[str, int] = {}
    for first, end, split in spans:
        k = seen[split] = seen.get(split, -1) + 1
        span, whole = slice(first, end), slice(0, height if form == "columns" else width)
        rows, cols = (whole, span) if form == "columns" else (span, whole)
        cube_id = name if len(spans) == 1 else f"{name}-{split}-{k}"
        parts.append(Part(cube_id, f"{block}-{split}", split, rows, cols))
    return parts, _gaps(spans, form, length)


def _gaps(spans: list[tuple[int, int, str]], form: str, length: int) -> list[str]:
    edges = [0, *(edge for a, b, _ in spans for edge in (a, b)), length]
    gaps = [f"{a}-{b - 1}" for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]
    return [f"{form} {', '.join(gaps)} are in no part of --split and left out"] if gaps else []


def _blocks(text: str, rest: str, name: str, geobox: GeoBox) -> list[Part]:
    pixel = geobox.resolution.x
    size, fractions, seed = max(1, round(grid.BLOCK_M / pixel)), dict(splits.FRACTIONS), 0
    for word in (w.strip() for w in rest.split(":") if w.strip()):
        try:
            if word.isdigit():
                size = int(word)
            elif word.startswith("seed="):
                seed = int(word.removeprefix("seed="))
            else:
                pairs = (pair.split("=") for pair in word.split(","))
                fractions = {key.strip(): float(value) for key, value in pairs}
        except ValueError:
            raise ValueError(f"--split {text!r}: expected {_FORMS}, found {word!r}") from None
    if size < 1 or any(not 0 <= share <= 1 for share in fractions.values()):
        raise ValueError(f"--split {text!r}: expected a positive size and shares from 0 to 1")
    count = len(_cells(geobox.shape.y, size)) * len(_cells(geobox.shape.x, size))
    if count > _MOST_BLOCKS:
        raise ValueError(
            f"--split {text!r}: expected at most {_MOST_BLOCKS} blocks, found {count} of {size} "
            f"pixels a side; larger blocks are fewer"
        )
    cells = [
        ((row, rows), (col, cols))
        for row, rows in enumerate(_cells(geobox.shape.y, size))
        for col, cols in enumerate(_cells(geobox.shape.x, size))
    ]
    parts = []
    for (row, rows), (col, cols) in cells:
        try:
            split = splits.assign_split(f"{name}:{row}:{col}", fractions, seed)
        except ValueError as error:
            raise ValueError(f"--split {text!r}: {error}") from error
        own = geobox[rows, cols]
        # Named by its corner in metres: the same ground has the same block in every season, and
        # `build` then refuses to have it in two splits.
        corner = f"x{round(own.affine.c)}-y{round(own.affine.f)}"
        cube_id = name if len(cells) == 1 else f"{name}-r{row}-c{col}"
        parts.append(Part(cube_id, f"{grid.block_id(own)}-{corner}", split, rows, cols))
    return parts


def _cells(length: int, size: int) -> list[slice]:
    """Cuts a length into cells; a rest shorter than half a cell goes to the last one."""
    count = max(1, (length + size // 2) // size)
    edges = [i * size for i in range(count)] + [length]
    return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]
