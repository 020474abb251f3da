"""A server of files on this machine, with range requests, a STAC API of them, and faults on demand.

with RangeServer(folder) as server:
    server.url + "/files/..."     the files of the folder
    server.url + "/api"           a STAC API: root, collections, search with pages
    server.url + "/token"         a token, as Planetary Computer gives it
"""

import http.server
import json
import pathlib
import threading
import time
import urllib.parse


class RangeServer:
    """Serves a folder; a context manager.

    Args:
      folder: what it serves.

    Attributes:
      faults: {substring of a path: [statuses or "cut", each used once]}.
      gone: substrings of paths that answer 404.
      token_uses: how many requests a token is good for; None where files need none.
      every: each so many requests for a file get a fault: 429, 503 or half a response; 0 for none.
      requests: paths that were asked for, with their method and range.
    """

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.faults: dict[str, list] = {}
        self.gone: set[str] = set()
        self.token_uses: int | None = None
        self.requests: list[tuple[str, str, str]] = []
        self.tokens = 0
        self._uses = 0
        self.every = self._count = 0
        self.bearer = ""
        self.lock = threading.Lock()

    def __enter__(self):
        outer = self

        class Handler(_Handler):
            server_of = outer

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def fault(self, path: str):
        """The next fault of a path, or None."""
        with self.lock:
            for part, left in self.faults.items():
                if part in path and left:
                    return left.pop(0)
            if self.every and path.endswith(".tif"):
                self._count += 1
                if self._count % self.every == 0:
                    return (429, 503, "cut")[self._count // self.every % 3]
        return None

    def allowed(self, query: dict, headers) -> bool:
        """Whether the token of a request is there and not used up."""
        if self.bearer:
            return headers.get("Authorization") == f"Bearer {self.bearer}"
        if self.token_uses is None:
            return True
        with self.lock:
            self._uses += 1
            fresh = query.get("sig") == [str(self.tokens)]
            return fresh and self._uses <= self.token_uses

    def new_token(self) -> str:
        with self.lock:
            self.tokens += 1
            self._uses = 0
            return f"sig={self.tokens}"


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Clients that hang up are no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A body that waits for the receipt of its headers comes 40 ms later.
    disable_nagle_algorithm = True
    wbufsize = -1
    server_of: RangeServer

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(json.loads(body or b"{}"))

    def _answer(self, body=None):
        server, parts = self.server_of, urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(parts.query)
        with server.lock:
            server.requests.append((self.command, parts.path, self.headers.get("Range", "")))
        fault = server.fault(parts.path)
        if isinstance(fault, int):
            more = {"Retry-After": "0"} if fault == 429 else {}
            self._send(fault, b"not now", more)
        elif parts.path.startswith("/api"):
            self._json(_api(server, parts.path.removeprefix("/api").strip("/"), query, body))
        elif parts.path == "/token":
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
            self._json({"token": server.new_token(), "msft:expiry": now})
        else:
            self._file(parts.path.removeprefix("/files/"), query, fault)

    def _file(self, name, query, fault):
        server = self.server_of
        path = (server.folder / name).resolve()
        if not server.allowed(query, self.headers):
            self._send(403, b"no")
        elif any(part in name for part in server.gone) or not path.is_file():
            self._send(404, b"no such file")
        else:
            data = path.read_bytes()
            if path.suffix == ".json":
                data = data.replace(b"{SERVER}", server.url.encode())
            self._ranged(data, fault)

    def _ranged(self, data, fault):
        asked = self.headers.get("Range", "")
        status, more = 200, {"Accept-Ranges": "bytes"}
        if asked.startswith("bytes="):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            first, last = int(first), min(int(last or len(data) - 1), len(data) - 1)
            if first >= len(data):
                self._send(416, b"")
                return
            more["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            status, data = 206, data[first : last + 1]
        if fault == "cut":
            self.close_connection = True
        self._send(status, data, more, cut=fault == "cut")

    def _json(self, value):
        if value is None:
            self._send(404, b'{"code": "NotFoundError", "description": "no"}')
        else:
            self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status, data, more=None, cut=False):
        self.send_response(status)
        for key, value in (more or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)


# A STAC API ---------------------------------------------------------------------------------------

_CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
]


def _link(rel, href, **more):
    return {"rel": rel, "href": href, "type": "application/json", **more}


def _api(server, path, query, body):
    base = f"{server.url}/api"
    if path == "":
        links = [_link("self", base), _link("root", base), _link("data", f"{base}/collections")]
        links += [_link("search", f"{base}/search", method="POST")]
        return {
            "type": "Catalog", "stac_version": "1.0.0", "id": "served", "description": "served",
            "conformsTo": _CONFORMS, "links": links,
        }  # fmt: skip
    names = sorted(p.parent.name for p in server.folder.rglob("collection.json"))
    if path == "collections":
        found = [_collection(server, name) for name in names]
        return {"collections": found, "links": [_link("self", f"{base}/collections")]}
    if path.startswith("collections/"):
        name = path.removeprefix("collections/")
        return _collection(server, name) if name in names else None
    if path == "search":
        return _search(server, body or {k: v[0] for k, v in query.items()})
    return None


def _collection(server, name):
    (file,) = server.folder.rglob(f"{name}/collection.json")
    value = json.loads(file.read_text())
    return value | {"links": [_link("self", f"{server.url}/api/collections/{name}")]}


def _search(server, asked):
    west, south, east, north = asked["bbox"]
    first, last = asked["datetime"].split("/")
    found = []
    for name in asked["collections"]:
        for file in sorted(server.folder.rglob(f"{name}/*/*/*.json")):
            item = json.loads(file.read_text())
            box, when = item["bbox"], item["properties"]["datetime"]
            apart = box[0] > east or box[2] < west or box[1] > north or box[3] < south
            if not apart and first <= when <= last:
                place = file.parent.relative_to(server.folder).as_posix()
                for asset in item["assets"].values():
                    href = asset["href"].removeprefix("./")
                    asset["href"] = f"{server.url}/files/{place}/{href}"
                item["links"] = []
                found.append(item)
    start, limit = int(asked.get("token", 0)), int(asked.get("limit", 10))
    links = []
    if start + limit < len(found):
        links = [_link("next", f"{server.url}/api/search", method="POST",
                       body={**asked, "token": str(start + limit)})]  # fmt: skip
    page = found[start : start + limit]
    return {"type": "FeatureCollection", "features": page, "links": links}
