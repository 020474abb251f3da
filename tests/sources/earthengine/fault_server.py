"""A loopback server that answers `image:computePixels` at once, and fails as it is told to.

It looks at no expression: every value is a function of its band's name and of the place of its
pixel's centre, so that a wrong tile, shift, flip, band order or period shows. `expected` gives the
same values. It tests how we ask, not what Earth Engine would answer.

    with FaultServer(latency_s=0.2, faults=[Fault("429", share=0.1)]) as server:
        ...  # ask server.url
        server.set(faults=[Fault("memory", above=100_000)])
        server.counts()["requests"]

In a process of its own, which outlives a client that is killed (`FaultProcess` starts it):

    python fault_server.py --port 0 --state FILE

FILE then holds {"url": ..., "pid": ...} as soon as it listens, and the counts too once it was
stopped. Over HTTP: GET /_counts, GET /_log, POST /_settings (fields of `Settings`; those left out
stay), POST /_reset (forgets what was counted), POST /_stop.
"""

import argparse
import collections
import dataclasses
import functools
import http.server
import importlib.util
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request

from fault_answers import (  # noqa: F401  all of it is to be had here
    BROKEN,
    ERRORS,
    MAX_BANDS,
    MAX_BYTES,
    MAX_SIDE_PX,
    NODATA,
    RESTRICTED,
    TOKEN_ERRORS,
    VALUES,
    WHOLE,
    Ask,
    Fault,
    Pool,
    Settings,
    dtype_of,
    expected,
    is_sensor_band,
    key_of,
)


class Refused(Exception):
    """An error answer: HTTP status, the status's name and the message."""


class Books:
    """What was asked and answered, safe between threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.reset()

    def reset(self):
        with self.lock:
            self.numbers = collections.Counter()
            self.by_key, self.whole = collections.Counter(), collections.Counter()
            self.outcomes = collections.Counter()
            self.log, self.projects = [], set()
            self.in_flight = self.most_in_flight = self.authorised = self.values = self.bytes = 0
            self.answering = 0

    def begin(self, on, key, values) -> Ask:
        with self.lock:
            self.numbers[on] += 1
            if on != "pixels":
                return Ask(on, key, values, self.numbers[on], self.numbers[on])
            self.by_key[key] += 1
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            return Ask(on, key, values, self.numbers[on], self.by_key[key])

    def answer(self):
        """Bytes are about to go: who has read them and then asks for the counts finds them in."""
        with self.lock:
            self.answering += 1

    def end(self, ask, outcome, sent=0):
        with self.lock:
            self.answering -= 1
            self.outcomes[outcome] += 1
            self.log.append([ask.number, ask.on, ask.key, outcome])
            if ask.on == "pixels":
                self.in_flight -= 1
            if sent:
                self.whole[ask.key] += 1
                self.values += ask.values
                self.bytes += sent

    def read(self) -> dict:
        """JSON-ready; keys are those of `key_of`.

        "whole": right and sent to the last byte, slowly or not, which a client that was killed may
        yet not have read. "outcomes": "whole", the faults' kinds, a refusal's status, "gone".
        "projects": [on, X-Goog-User-Project] as sent. "authorised": requests with a token.
        """
        until = time.monotonic() + 0.2
        while self.answering > 0 and time.monotonic() < until:
            time.sleep(0.001)
        with self.lock:
            return {
                "requests": self.numbers["pixels"],
                "other": {on: n for on, n in self.numbers.items() if on != "pixels"},
                "by_key": dict(self.by_key),
                "whole": dict(self.whole),
                "outcomes": dict(self.outcomes),
                "most_in_flight": self.most_in_flight,
                "values": self.values,
                "bytes": self.bytes,
                "authorised": self.authorised,
                "projects": [list(pair) for pair in sorted(self.projects)],
            }


@functools.cache
def _ee_file(name: str) -> bytes:
    """A file that the earthengine-api wheel ships for its own tests."""
    folder = importlib.util.find_spec("ee").submodule_search_locations[0]
    return (pathlib.Path(folder) / "tests" / name).read_bytes()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave together

    def log_message(self, *args):
        pass

    def do_GET(self):
        self._guarded(self._get)

    def do_POST(self):
        self._guarded(self._post)

    def _guarded(self, answer):
        self.server.last_asked = time.monotonic()
        try:
            answer()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _get(self):
        path = self.path.partition("?")[0]
        if path == "/_counts":
            return self._json(200, self.server.books.read())
        if path == "/_log":
            with self.server.books.lock:
                log = list(self.server.books.log)
            return self._json(200, log)
        if path == "/$discovery/rest":
            # The wheel's document is of v1alpha; the library asks for v1.
            return self._other("discovery", _ee_file("cloud_api_discovery_document.json"))
        if re.fullmatch(r"/v1\w*/projects/[^/]+/algorithms", path):
            return self._other("algorithms", _ee_file("algorithms.json"))
        return self._error(404, "NOT_FOUND", f"the fault server does not answer GET {path}")

    def _post(self):
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("the client was killed while it asked")
        path = self.path.partition("?")[0]
        if path == "/_settings":
            self.server.settings = self.server.settings.changed(**json.loads(body))
            return self._json(200, {})
        if path == "/_reset":
            self.server.books.reset()
            return self._json(200, {})
        if path == "/_stop":
            self._json(200, {})
            return threading.Thread(target=self.server.shutdown).start()
        if path == "/token":
            token = {"access_token": self.server.settings.token or "t", "expires_in": 3600}
            return self._other("token", json.dumps(token | {"token_type": "Bearer"}).encode())
        if re.fullmatch(r"/v1\w*/projects/[^/]+/value:compute", path):
            self._wait(time.monotonic(), self.server.settings.latency_s)
            return self._other("value", self.server.value())
        if re.fullmatch(r"/v1\w*/projects/[^/]+/image:computePixels", path):
            return self._pixels(json.loads(body))
        return self._error(404, "NOT_FOUND", f"the fault server does not answer POST {path}")

    # Answers

    def _other(self, on, content):
        """Discovery, algorithms, token: the content, or a fault."""
        ask = self.server.books.begin(on, self.path, 0)
        fault = self._fault(ask)
        self.server.books.answer()
        try:
            if on != "token":
                self._check_token(on)
            if fault and fault.kind in TOKEN_ERRORS:
                status, error, text = TOKEN_ERRORS[fault.kind]
                self._json(status, {"error": error, "error_description": text})
            elif fault:
                self._fail(fault, content)
            else:
                self._send(200, content.replace(b"v1alpha", b"v1"), "application/json")
        except Refused as refused:
            self._error(*refused.args)
        finally:
            self.server.books.end(ask, fault.kind if fault else on)

    def _pixels(self, asked):
        began = time.monotonic()
        settings = self.server.settings
        try:
            grid, bands = asked["grid"], tuple(asked["bandIds"])
            size = grid["dimensions"]
            key = key_of(grid, bands)
        except (KeyError, IndexError, TypeError) as error:
            text = f"the fault server needs grid and bandIds in full; missing: {error}"
            return self._error(400, "INVALID_ARGUMENT", text)
        values = size["width"] * size["height"] * len(bands)
        ask = self.server.books.begin("pixels", key, values)
        outcome, sent, refused, content = "gone", 0, None, None
        try:
            fault = self._fault(ask)
            self._check_token("pixels")
            self._check_limits(size, bands, settings)
            if asked.get("fileFormat") != "NPY":
                raise Refused(400, "INVALID_ARGUMENT", "the fault server answers NPY only")
            if fault and fault.kind == "wrong_size":
                grid = {**grid, "dimensions": {**size, "height": size["height"] - 1}}
            if not fault or fault.kind not in ERRORS:
                content = self.server.pool.npy(grid, bands, settings)
        except Refused as error:
            refused = error
        self._wait(began, settings.latency_s)
        self.server.books.answer()
        try:
            if refused:
                outcome = str(refused.args[0])
                self._error(*refused.args)
            elif fault:
                self._fail(fault, content)
                outcome = fault.kind
                sent = len(content) if outcome in WHOLE else 0
            else:
                self._send(200, content)
                outcome, sent = "whole", len(content)
        finally:
            self.server.books.end(ask, outcome, sent)
            if content is not None:
                self.server.pool.give_back(content)

    def _wait(self, began, latency_s):
        time.sleep(max(0.0, began + latency_s - time.monotonic()))

    def _fault(self, ask) -> Fault | None:
        settings = self.server.settings
        for index, fault in enumerate(settings.faults):
            if fault.applies(ask, settings.seed, index):
                return fault
        return None

    def _check_token(self, on):
        books, token = self.server.books, self.server.settings.token
        given = self.headers.get("Authorization")
        with books.lock:
            books.authorised += given is not None
            if "X-Goog-User-Project" in self.headers:
                books.projects.add((on, self.headers["X-Goog-User-Project"]))
        if token is not None and given != f"Bearer {token}":
            raise Refused(*ERRORS["401"])

    def _check_limits(self, size, bands, settings):
        """The service's own limits, worded as the service words them where that is known."""
        total = size["width"] * size["height"] * dtype_of(bands, settings).itemsize
        if total > MAX_BYTES:  # github.com/google/Xee/issues/50
            text = f"Total request size ({total} bytes) must be less than or equal to {MAX_BYTES}"
            raise Refused(400, "INVALID_ARGUMENT", text + " bytes.")
        if max(size.values()) > MAX_SIDE_PX:
            text = f"Pixel grid dimensions ({size['width']}x{size['height']}) must be less than or"
            raise Refused(400, "INVALID_ARGUMENT", f"{text} equal to {MAX_SIDE_PX}.")
        if len(bands) > MAX_BANDS:
            raise Refused(400, "INVALID_ARGUMENT", f"Too many bands: {len(bands)} > {MAX_BANDS}.")
        limit = settings.max_in_flight
        if limit is not None and self.server.books.in_flight > limit:
            raise Refused(*ERRORS["429"])

    def _fail(self, fault, content):
        kind, half = fault.kind, memoryview(content or b"")[: len(content or b"") // 2]
        if kind in ERRORS:
            self._error(*ERRORS[kind], retry_after=fault.retry_after)
        elif kind == "short":
            self._send(200, half)
        elif kind == "truncated":
            self._send(200, half, length=len(content))
            self.close_connection = True
        elif kind == "slow":
            self._send(200, content, seconds=fault.seconds)
        elif kind == "restricted":
            self._send(200, content, headers=(RESTRICTED,))
        elif kind == "redirect":
            self._send(302, b"", headers=(("Location", "http://192.0.2.1/outside"),))
        elif kind == "wrong_size":
            self._send(200, content)
        else:  # hang, dropped
            if kind == "hang":
                time.sleep(fault.seconds)
            self.close_connection = True
            # Linger 0: closing resets, as a lost connection does.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

    def _error(self, status, name, message, retry_after=None):
        found = re.match(r"/v1\w*/projects/([^/]+)", self.path)
        message = message.replace("{project}", found[1] if found else "")
        headers = () if retry_after is None else (("Retry-After", f"{retry_after:g}"),)
        error = {"error": {"code": status, "message": message, "status": name}}
        self._send(status, json.dumps(error).encode(), "application/json", headers)

    def _json(self, status, value):
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(
        self,
        status,
        content,
        kind="application/octet-stream",
        headers=(),
        length=None,
        seconds=0.0,
    ):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        pieces = 10 if seconds else 1
        step = -(-len(content) // pieces) or 1
        for start in range(0, len(content), step):
            self.wfile.write(memoryview(content)[start : start + step])
            self.wfile.flush()
            time.sleep(seconds / pieces)
        self.wfile.flush()


# Servers


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, port, settings):
        super().__init__(("127.0.0.1", port), _Handler)
        self.settings, self.books, self.pool = settings, Books(), Pool()
        self.last_asked = time.monotonic()

    def value(self) -> bytes:
        """The answer to value:compute, whatever is asked."""
        return json.dumps({"result": list(self.settings.value)}).encode()

    def handle_error(self, request, client_address):
        # A client that went away, or was sent away, is what this server is for.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class FaultServer:
    """The server in a thread of this process: a context manager. Keywords: fields of `Settings`."""

    def __init__(self, port: int = 0, **fields):
        self._server = _Server(port, Settings().changed(**fields))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.daemon = True
        self.url = self._server.url

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    @property
    def settings(self) -> Settings:
        return self._server.settings

    def set(self, **fields):
        """Changes settings; those left out stay."""
        self._server.settings = self._server.settings.changed(**fields)

    def reset(self):
        """Forgets what was counted."""
        self._server.books.reset()

    def counts(self) -> dict:
        """See `Books.read`."""
        return self._server.books.read()

    def log(self) -> list:
        """[number, on, key, outcome] of every request, in the order they ended."""
        return list(self._server.books.log)


class FaultProcess:
    """The same in a process of its own, told and asked over HTTP: a context manager."""

    def __init__(self, state_file: pathlib.Path, port: int = 0, wait_s: float = 30.0, **fields):
        state_file = pathlib.Path(state_file)
        state_file.unlink(missing_ok=True)
        command = [sys.executable, __file__, "--port", str(port), "--state", str(state_file)]
        self.process = subprocess.Popen(command, start_new_session=True)
        until = time.monotonic() + wait_s
        while not state_file.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the fault server did not start: {command}")
            time.sleep(0.01)
        self.url = json.loads(state_file.read_text())["url"]
        self.settings = Settings()
        self.set(**fields)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)

    def set(self, **fields):
        """Changes settings; those left out stay."""
        self.settings = self.settings.changed(**fields)
        _call(f"{self.url}/_settings", dataclasses.asdict(self.settings))

    def reset(self):
        """Forgets what was counted."""
        _call(f"{self.url}/_reset", {})

    def counts(self) -> dict:
        """See `Books.read`."""
        return _call(f"{self.url}/_counts")

    def log(self) -> list:
        """[number, on, key, outcome] of every request, in the order they ended."""
        return _call(f"{self.url}/_log")


def _call(url: str, value=None):
    data = None if value is None else json.dumps(value).encode()
    # No proxy: the environment's must not see loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, data), timeout=30) as answer:
        return json.load(answer)


def main():
    """Serves until SIGTERM, SIGINT, POST /_stop or idle; then writes its counts to the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", type=pathlib.Path, required=True)
    parser.add_argument("--idle_s", type=float, default=900, help="stops if not asked")
    arguments = parser.parse_args()
    server = _Server(arguments.port, Settings())

    def write(**more):
        part = arguments.state.with_name(arguments.state.name + ".part")
        part.write_text(json.dumps({"url": server.url, "pid": os.getpid(), **more}))
        part.replace(arguments.state)

    def stop(*_):
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    def watch():
        if time.monotonic() - server.last_asked > arguments.idle_s:
            stop()

    # Called at every turn of serve_forever: who started this may have been killed with its client.
    server.service_actions = watch
    write()
    server.serve_forever(0.05)
    write(counts=server.books.read())


if __name__ == "__main__":
    main()
