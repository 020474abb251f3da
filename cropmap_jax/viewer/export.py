"""A map as one HTML file that needs no server: the same page, with all that it asks for inside.

Pixels are those of tiles at the zoom whose pixels are no larger than the map's, so that none is
lost; they are packed as they are, and coloured by the page. Nothing is fetched: its
Content-Security-Policy allows the page's own scripts and styles, by their hashes, and nothing else.
"""

import base64
import hashlib
import html
import io
import json
import math
import pathlib
import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from cropmap_jax.geo import files
from cropmap_jax.viewer import pieces, tiles
from cropmap_jax.viewer.tiles import Layer
from cropmap_jax.viewer.view import STATIC, View

LIMIT_MB = 20
"""Of a page: what browsers open without a pause, and mail carries."""
_SCRIPTS = ("charts.js", "layers.js", "here.js", "panel.js", "app.js", "embedded.js")
"""In the order in which one uses the other."""
_ABOUT_BYTES = 1.4
"""Of the page per pixel of the map and date, as simulated maps take; most of it is confidence."""
_PROGRAM_BYTES = 1.8e6
_MARK = b'content="cropmap_jax experiments.view"'


def write(view: View, out: pathlib.Path) -> int:
    """Writes the page.

    Args:
      view: what it shows.
      out: the file; such a page that is there is replaced.

    Returns:
      Bytes of the page.

    Raises:
      ValueError: the map is too large, and what fits; or another file has that name.
      OSError: names the file.
    """
    _check_ours(out)
    _check_size(view)
    page = render(view).encode()
    if len(page) > LIMIT_MB * 1e6:
        raise ValueError(_too_large(view, len(page)))
    files.write_bytes(out, page)
    return len(page)


def _check_ours(out: pathlib.Path) -> None:
    """Requires no file of that name, or a page that this made."""
    if not out.parent.is_dir():
        raise ValueError(f"--export {out}: expected a folder to write into, found none")
    if not out.exists():
        return
    if out.is_file():
        with open(out, "rb") as file:
            if _MARK in file.read(1000):
                return
    raise ValueError(
        f"--export {out}: found a file that experiments.view did not write; expected another name, "
        f"or that file moved away"
    )


def _pixels(view: View) -> int:
    cubes = view.shown.map(len(view.shown.dates) - 1).cubes
    return sum(math.prod(tuple(cube.geobox.shape)) for cube in cubes)


def _check_size(view: View) -> None:
    """Refuses what is far too large before it is read: twice and more of the limit."""
    estimate = _ABOUT_BYTES * _pixels(view) * len(view.shown.dates)
    if estimate > 3 * LIMIT_MB * 1e6:
        raise ValueError(_too_large(view, estimate))


def _too_large(view: View, size: float) -> str:
    dates = len(view.shown.dates)
    fits = (LIMIT_MB * 1e6 - _PROGRAM_BYTES) / _ABOUT_BYTES / dates
    pixel = float(view.one(dates - 1).found.cubes[0].geobox.affine.a)
    kilometres = fits * pixel**2 / 1e6
    of = "one map" if dates == 1 else f"each of {dates} maps"
    fewer = "" if dates == 1 else ", or the folder of one date"
    return (
        f"--export: expected a map that fits into {LIMIT_MB} MB, found one of about "
        f"{size / 1e6:.0f} MB; about {kilometres:,.0f} km² ({fits / 1e6:.1f} million pixels) of "
        f"{of} fit; export a smaller map{fewer}, or serve it (without --export)"
    )


def render(view: View) -> str:
    """The page, of any size."""
    program = "\n".join(_module(name) for name in _SCRIPTS)
    library = _as_global((STATIC / "vendor/maplibre-gl.mjs").read_text(encoding="utf-8"))
    licence = (STATIC / "vendor/maplibre-gl.LICENSE.txt").read_text(encoding="utf-8")
    styles = [(STATIC / name).read_text("utf-8") for name in ("vendor/maplibre-gl.css", "app.css")]
    scripts = [_in_script(library), _in_script(program)]
    worker = _in_script((STATIC / "vendor/maplibre-gl-worker.mjs").read_text(encoding="utf-8"))
    data = json.dumps(_data(view), separators=(",", ":")).replace("<", "\\u003c")
    head = [
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts, styles)}">',
        *(f"<style>{style}</style>" for style in styles),
        f'<script type="application/json" id="data">{data}</script>',
        f'<script type="text/plain" id="worker">{worker}</script>',
        *(f'<script type="module">{script}</script>' for script in scripts),
    ]
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    page = re.sub(
        r'<link rel="stylesheet"[^>]*>\n|<script type="module"[^>]*></script>\n', "", page
    )
    credit = f"<details><summary>Licence of MapLibre GL JS</summary><pre>{html.escape(licence)}"
    page = page.replace(
        '<a href="LICENSE-maplibre.txt">MapLibre GL JS</a>.</p>',
        f"MapLibre GL JS.</p>{credit}</pre></details>",
    )
    # What goes in holds backslashes, which a pattern's replacement would read.
    return page.replace("</head>", "\n".join(head) + "\n</head>", 1)


def _policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_hash, scripts))}",
            f"style-src {' '.join(map(_hash, styles))}",
            "img-src data: blob:",
            # The library makes a worker from a text of the page; from a file, by way of these.
            "connect-src blob:",
            "worker-src blob: data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _module(name: str) -> str:
    """A script of the page without what it imports and exports: they share one module."""
    text = (STATIC / name).read_text(encoding="utf-8")
    text = re.sub(r"^import .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^export ", "", text, flags=re.MULTILINE)
    return f"// {name}\n{text}"


def _as_global(text: str) -> str:
    """MapLibre's module, setting a global in the place of its exports."""
    found = re.search(r"export\s*\{([^}]*)\}\s*;?\s*$", text)
    if not found:
        raise ValueError("vendor/maplibre-gl.mjs: expected its exports at the end, found none")
    names = [part.split(" as ") for part in found[1].split(",")]
    pairs = ",".join(f"{pair[-1].strip()}:{pair[0].strip()}" for pair in names)
    return f"{text[: found.start()]}globalThis.maplibregl={{{pairs}}};"


def _in_script(text: str) -> str:
    """A script that its element's end tag cannot end early."""
    return re.sub(r"</(script)", r"<\\/\1", text, flags=re.IGNORECASE).replace("<!--", "<\\!--")


def _data(view: View) -> dict[str, Any]:
    """All that `embedded.js` reads."""
    dates = len(view.shown.dates)
    last = view.one(dates - 1)
    zoom = _zoom(view)
    rectangles = _rectangles(last.sampler.places, zoom)
    described = dict(view.description) | {"exported": True}
    out: dict[str, Any] = {"zoom": zoom, "rectangles": rectangles, "dates": [], "images": []}
    for number in range(dates):
        one, keeper = view.one(number), view.means(number)
        found: dict[str, Any] = {
            name: [_packed(_area(view, number, layer, zoom, r)) for r in rectangles]
            for name, layer in (("crop", one.crop), ("confidence", one.confidence))
        }
        state = keeper.wait() if keeper is not None else {}
        out["dates"].append(found | {"means": state.get("means")})
    if view.since is not None:
        layer = view.since
        out["since"] = [_packed(_area(view, dates - 1, layer, zoom, r)) for r in rectangles]
    if view.images is not None and view.images.has_colour:
        period = _last_period(view.images.periods, view.shown.dates[-1])
        layer = view.images.layer(period)
        out["images"] = [_photo(_area(view, dates - 1, layer, zoom, r)) for r in rectangles]
        described["image"] = {"periods": [list(view.images.periods[period])]}
    fields = view.outlines(dates - 1)
    if fields is not None:
        found = fields.near(view.shown.bounds, most=len(fields))
        for feature in found["features"]:
            told = fields.describe(feature["id"])
            feature["properties"] = {k: told[k] for k in ("rows", "probabilities")}
        out["outlines"] = found
    return out | {"view": described}


def _zoom(view: View) -> int:
    """The zoom whose pixels are as small as the map's, or smaller."""
    cube = view.one(len(view.shown.dates) - 1).found.cubes[0]
    _, v = pieces.to_square(np.zeros(1), np.array([cube.footprint.centroid.y]))
    pixel = float(cube.geobox.affine.a)
    return next((z for z in range(20) if pieces.metres(z, float(v[0])) <= pixel), 20)


def _rectangles(places: pieces.Places, zoom: int) -> list[dict[str, int]]:
    """Rectangles of pixels of a zoom around pieces that touch."""
    world = tiles.SIZE * 2**zoom
    boxes = [places.box(i) * world for i in range(len(places.pieces))]
    whole = [[*np.floor(b[:2]).astype(int) - 1, *np.ceil(b[2:]).astype(int) + 1] for b in boxes]
    joined: list[list[int]] = []
    for box in whole:
        own = [int(v) for v in box]
        # Joining may bring it into touch with others.
        while near := [one for one in joined if _touch(one, own)]:
            joined = [one for one in joined if one not in near]
            lows = [min(one[i] for one in [*near, own]) for i in (0, 1)]
            highs = [max(one[i] for one in [*near, own]) for i in (2, 3)]
            own = [*lows, *highs]
        joined.append(own)
    names = ("left", "top", "width", "height")
    return [dict(zip(names, (a, b, c - a, d - b), strict=True)) for a, b, c, d in sorted(joined)]


def _touch(one: list[int], other: list[int]) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _area(view: View, number: int, layer: Layer, zoom: int, place: dict[str, int]) -> np.ndarray:
    found = view.one(number).sampler.area(layer, zoom, **place)
    if found is not None:
        return found
    return np.full((place["height"], place["width"], layer.bands), layer.fill, np.uint8)


def _packed(pixels: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(pixels.tobytes(), 9)).decode()


def _photo(pixels: np.ndarray) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(out, "WEBP", quality=80, method=4)
    return base64.b64encode(out.getvalue()).decode()


def _last_period(periods: Sequence[tuple[str, str]], date: str) -> int:
    return max(sum(end <= date for _, end in periods) - 1, 0)
