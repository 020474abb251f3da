"""The server: the page, its tiles and its numbers, and nothing else.

No address holds a path. Layers and dates are positions in a list, files of the page names in a
table; what is not in them does not exist.
"""

import mimetypes
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import fastapi
from fastapi.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cropmap_jax.viewer import tiles
from cropmap_jax.viewer.view import STATIC, View

FILES = {
    "": "index.html",
    "app.css": "app.css",
    "boot.js": "boot.js",
    "app.js": "app.js",
    "charts.js": "charts.js",
    "here.js": "here.js",
    "layers.js": "layers.js",
    "panel.js": "panel.js",
    "served.js": "served.js",
    "maplibre-gl.mjs": "vendor/maplibre-gl.mjs",
    "maplibre-gl-worker.mjs": "vendor/maplibre-gl-worker.mjs",
    "maplibre-gl.css": "vendor/maplibre-gl.css",
    "LICENSE-maplibre.txt": "vendor/maplibre-gl.LICENSE.txt",
}
"""Address of each file of the page, and where it lies in the package."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # Nothing of it in another site's page.
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript"}
_HIDDEN = re.compile(r"\d{1,3}(,\d{1,3}){0,255}")

Longitude = Annotated[float, fastapi.Query(ge=-360, le=360)]
Latitude = Annotated[float, fastapi.Query(ge=-90, le=90)]
Number = Annotated[int, fastapi.Path(ge=0, le=10_000)]


class Guard:
    """Refuses requests for another host, and sets the headers of every answer.

    A page of another site can let its own name point to this machine; its requests then name that
    site as the host ("DNS rebinding").

    Args:
      app: what answers.
      hosts: names that this server goes by; () for any.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]):
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        if self._hosts and _host(scope) not in self._hosts:
            refused = Response("expected another host", 421, media_type="text/plain")
            await refused(scope, receive, _with_headers(send))
            return
        await self._app(scope, receive, _with_headers(send))


def _host(scope: Scope) -> str:
    """Host that a request names, without its port."""
    found = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    return re.sub(r":\d*$", "", found[0]).lower() if len(found) == 1 else ""


def _with_headers(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            more = [(k.encode(), v.encode()) for k, v in _HEADERS.items()]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sending


def make_app(view: View, hosts: tuple[str, ...] = LOOPBACK) -> ASGIApp:
    """The server of a view.

    Args:
      view: what it shows.
      hosts: names that it goes by; () for any.
    """
    # Without its own pages of documentation, which would fetch scripts from elsewhere.
    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    _add_files(app)
    _add_tiles(app, view)
    _add_numbers(app, view)

    @app.exception_handler(ValueError)
    def explain(_: fastapi.Request, error: ValueError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 500)

    return Guard(app, hosts)


def _add_files(app: fastapi.FastAPI) -> None:
    def add(address: str, name: str) -> None:
        path = STATIC / name
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"

        @app.get(f"/{address}")
        def file() -> Response:
            # Another release of the page must not find parts of this one.
            return Response(
                path.read_bytes(), media_type=kind, headers={"cache-control": "no-cache"}
            )

    for address, name in FILES.items():
        add(address, name)


def _add_tiles(app: fastapi.FastAPI, view: View) -> None:
    @app.get("/tiles/{layer}/{number}/{z}/{x}/{y}.png")
    def tile(layer: str, number: Number, z: int, x: int, y: int, hide: str = "") -> Response:
        if not (0 <= z <= tiles.MAX_ZOOM and 0 <= x < 2**z and 0 <= y < 2**z):
            raise fastapi.HTTPException(404)
        if hide and not _HIDDEN.fullmatch(hide):
            raise fastapi.HTTPException(422)
        kept = {"cache-control": "private, max-age=86400"}
        data = draw(view, layer, number, (z, x, y), frozenset(map(int, hide.split(",")))
                    if hide else frozenset())  # fmt: skip
        return Response(data, media_type="image/png", headers=kept)


def draw(
    view: View, layer: str, number: int, at: tuple[int, int, int], hidden: frozenset[int]
) -> bytes:
    """A tile as PNG.

    Args:
      view: what is shown.
      layer: crop, confidence, since or image.
      number: position of the date, or of the period of an image; 0 of since when.
      at: zoom, column and row.
      hidden: pixel values that are not drawn.

    Raises:
      fastapi.HTTPException: there is no such layer or date.
      ValueError: a raster that is damaged; names it.
    """
    dates = len(view.shown.dates)
    if layer in ("crop", "confidence") and number < dates:
        one = view.one(number)
        found = one.sampler.tile(getattr(one, layer), *at)
        palette = tiles.confidence_palette()
        if layer == "crop":
            palette = tiles.class_palette(view.shown.classes, hidden)
    elif layer == "since" and view.since is not None and number == 0:
        found = view.one(dates - 1).sampler.tile(view.since, *at)
        palette = tiles.colours_palette(tiles.since_colours(dates))
    elif layer == "image" and view.images is not None and number < len(view.images.periods):
        found = view.one(dates - 1).sampler.tile(view.images.layer(number), *at)
        palette = None
    else:
        raise fastapi.HTTPException(404)
    return tiles.EMPTY if found is None else tiles.png(found, palette)


def _add_numbers(app: fastapi.FastAPI, view: View) -> None:
    fresh = {"cache-control": "no-store"}

    def check(number: int) -> None:
        if number >= len(view.shown.dates):
            raise fastapi.HTTPException(404)

    @app.get("/view.json")
    def description() -> JSONResponse:
        return JSONResponse(view.description, headers=fresh)

    @app.get("/pixel/{number}.json")
    def pixel(number: Number, lon: Longitude, lat: Latitude) -> JSONResponse:
        check(number)
        return JSONResponse(view.pixel(number, lon, lat), headers=fresh)

    @app.get("/means/{number}.json")
    def means(number: Number) -> JSONResponse:
        check(number)
        keeper = view.means(number)
        found: dict[str, Any] = {"state": "none"} if keeper is None else keeper.ask()
        return JSONResponse(found, headers=fresh)

    @app.get("/fields/{number}.json")
    def fields(
        number: Number, west: Longitude, south: Latitude, east: Longitude, north: Latitude
    ) -> JSONResponse:
        check(number)
        found = view.outlines(number)
        if found is None or west > east or south > north:
            raise fastapi.HTTPException(404)
        return JSONResponse(found.near((west, south, east, north)), headers=fresh)
