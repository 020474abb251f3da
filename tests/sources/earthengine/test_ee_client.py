import datetime as dt
import email.utils
import gzip
import http.server
import io
import json
import logging
import random
import subprocess
import sys
import threading
import time
from concurrent import futures

import numpy as np
import pytest
import requests
from fault_server import Fault, expected

from cropmap_jax.sources.earthengine import client, errors
from cropmap_jax.sources.earthengine.client import Client
from cropmap_jax.sources.earthengine.errors import Busy, Fatal, TooLarge

BANDS = ("p00_VV", "p00_VH", "p01_VV")
GRAPH = {"result": "0", "values": {"0": {"constantValue": 1}}}


def grid(height=4, width=6, x=500_000.0):
    return {
        "dimensions": {"width": width, "height": height},
        "affineTransform": {
            "scaleX": 10.0,
            "shearX": 0.0,
            "translateX": x,
            "shearY": 0.0,
            "scaleY": -10.0,
            "translateY": 5_000_000.0,
        },
        "crsCode": "EPSG:32631",
    }


def stacked(record):
    return np.stack([record[name] for name in record.dtype.names], axis=-1)


def npy(shape=(4, 6), bands=BANDS, dtype="<i2", order="C"):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(shape, [(band, dtype) for band in bands], order))
    return buffer.getvalue()


class Script(http.server.ThreadingHTTPServer):
    """Answers with what it is given, one after the other: (status, headers, body) or a function of
    the handler that gives one. The last answers for ever. `asked`: (path, headers, body)."""

    daemon_threads = True

    def __init__(self, *answers):
        self.answers, self.asked, self.connections = list(answers), [], 0
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request, address):
        self.connections += 1
        super().process_request(request, address)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        server.asked.append((self.path, self.headers, json.loads(body)))
        answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        status, headers, content = answer(self) if callable(answer) else answer
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)


def error(status, message, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, json.dumps({"error": {"code": status, "message": message}}).encode()


@pytest.fixture
def waits():
    return []


@pytest.fixture
def ask(waits):
    """A client of a server that notes its waits instead of waiting."""

    def make(server, **options):
        options = {"sleep": waits.append, "rng": random.Random(0), "timeout_s": 10} | options
        return Client(server.url, "my-project", **options)

    return make


def test_pixels_arrive_in_the_order_of_the_bands(fault_server, ask):
    found = ask(fault_server).fetch(GRAPH, BANDS[::-1], grid())
    assert found.flags.writeable and found.shape == (4, 6, 3) and found.dtype == np.int16
    np.testing.assert_array_equal(found, stacked(expected(grid(), BANDS[::-1])))
    with_label = ask(fault_server).fetch(GRAPH, ["label"], grid(), np.uint8)
    np.testing.assert_array_equal(with_label, stacked(expected(grid(), ["label"])))


def test_a_request_says_what_it_wants_and_who_pays(ask):
    with Script((200, {}, npy())) as server:
        ask(server).fetch(GRAPH, BANDS, grid())
        ((path, headers, body),) = server.asked
    assert path == "/v1/projects/my-project/image:computePixels"
    assert body == {
        "expression": GRAPH,
        "fileFormat": "NPY",
        "bandIds": list(BANDS),
        "grid": grid(),
    }
    assert headers["X-Goog-User-Project"] == "my-project"
    assert headers["Content-Type"] == "application/json"


def test_as_many_bands_as_the_service_allows(fault_server, ask):
    bands = [f"p{i:03d}_VV" for i in range(1024)]
    found = ask(fault_server).fetch(GRAPH, bands, grid(2, 2))
    np.testing.assert_array_equal(found, stacked(expected(grid(2, 2), bands)))


def test_a_table_is_computed(ask):
    with Script((200, {}, b'{"result": [1, [2, "DESCENDING"]]}')) as server:
        assert ask(server).compute(GRAPH) == [1, [2, "DESCENDING"]]
        ((path, _, body),) = server.asked
    assert path == "/v1/projects/my-project/value:compute" and body == {"expression": GRAPH}


def test_a_table_cut_short_is_asked_for_again(ask):
    with Script((200, {}, b'{"result": [1'), (200, {}, b'{"result": 7}')) as server:
        assert ask(server).compute(GRAPH) == 7


@pytest.mark.parametrize(
    "kind", ["429", "500", "503", "dropped", "truncated", "short", "wrong_size"]
)
def test_what_may_pass_is_asked_for_again(fault_server, ask, waits, kind):
    fault_server.set(faults=[Fault(kind, first=2)])
    one = ask(fault_server)
    found = one.fetch(GRAPH, BANDS, grid())
    np.testing.assert_array_equal(found, stacked(expected(grid(), BANDS)))
    assert (one.counts.requests, one.counts.retries) == (3, 2)
    assert fault_server.counts()["requests"] == 3
    assert len(waits) == 2 and 0 <= waits[0] <= 2 and 0 <= waits[1] <= 4


def test_attempts_are_bounded_and_waits_grow_to_a_ceiling(fault_server, ask, waits):
    fault_server.set(faults=[Fault("503")])
    with pytest.raises(Busy, match="503: The service is currently unavailable; given up after 9"):
        ask(fault_server, attempts=9, rng=Highest()).fetch(GRAPH, BANDS, grid())
    assert fault_server.counts()["requests"] == 9
    assert waits == [2, 4, 8, 16, 32, 64, 64, 64]


class Highest(random.Random):
    def uniform(self, a, b):
        assert a == 0  # full jitter
        return b


def test_retry_after_is_waited_for_and_more(ask, waits):
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=100)
    answers = [
        error(429, "Too Many Requests", Retry_After=30),
        error(429, "Too Many Requests", Retry_After=email.utils.format_datetime(later)),
        error(503, "Unavailable", Retry_After="soon"),
        (200, {}, npy()),
    ]
    with Script(*answers) as server:
        ask(server).fetch(GRAPH, BANDS, grid())
    assert 30 <= waits[0] <= 32 and 95 <= waits[1] <= 104 and waits[2] <= 8
    del waits[:]
    with Script(error(429, "Too Many Requests", Retry_After=3600)) as server:
        with pytest.raises(Busy, match="asks to wait 3600 s: run this again later"):
            ask(server).fetch(GRAPH, BANDS, grid())
        assert waits == [] and len(server.asked) == 1


@pytest.mark.parametrize("kind", ["memory", "timeout"])
def test_too_much_is_not_asked_for_twice(fault_server, ask, waits, kind):
    fault_server.set(faults=[Fault(kind, above=10)])
    one = ask(fault_server)
    with pytest.raises(TooLarge, match="request less at once"):
        one.fetch(GRAPH, BANDS, grid())
    assert one.counts.requests == 1 and waits == []
    assert one.fetch(GRAPH, BANDS, grid(1, 3)).shape == (1, 3, 3)


def test_what_speaks_of_size_and_does_not_pass_is_too_large(fault_server, ask):
    fault_server.set(faults=[Fault("429")])
    with pytest.raises(TooLarge, match="Too many concurrent aggregations; given up after 6"):
        ask(fault_server).fetch(GRAPH, BANDS, grid())
    assert fault_server.counts()["requests"] == 6


def test_what_speaks_of_the_number_of_requests_stays_busy(ask):
    with Script(
        error(429, "Too Many Requests: Request was rejected because of the rate")
    ) as server:
        with pytest.raises(Busy, match="429: Too Many Requests.*given up after 2"):
            ask(server, attempts=2).fetch(GRAPH, BANDS, grid())


@pytest.mark.parametrize("size", [(5000, 5000), (1, 32769)])
def test_the_services_own_limits_are_understood(fault_server, ask, size):
    with pytest.raises(TooLarge, match="must be less than or equal to"):
        ask(fault_server).fetch(GRAPH, BANDS, grid(*size))


@pytest.mark.parametrize(
    "kind, advice",
    [
        ("401", "run `earthengine authenticate`"),
        ("403", "name a project of your own"),
        ("not_registered", "register the project"),
        ("api_disabled", "enable the Earth Engine API"),
        ("quota", "quota is used up: wait until it is reset"),
        ("asset", "check the asset's id"),
        ("404", "check the endpoint, the project"),
        ("bad_expression", "please report it"),
    ],
)
def test_what_cannot_succeed_stops_at_once_and_says_what_to_do(fault_server, ask, kind, advice):
    fault_server.set(faults=[Fault(kind)])
    with pytest.raises(Fatal, match="^Earth Engine answered 4.*" + advice):
        ask(fault_server).fetch(GRAPH, BANDS, grid())
    assert fault_server.counts()["requests"] == 1


@pytest.mark.parametrize(
    "status, message, kind",
    [
        (400, "User memory limit exceeded.", TooLarge),
        (400, "Computation timed out.", TooLarge),
        (400, "Too many concurrent aggregations.", TooLarge),
        (400, "Total request size (56623104 bytes) must be less than or equal to 5.", TooLarge),
        (400, "Pixel grid dimensions (40818x1) must be less than or equal to 32768.", TooLarge),
        (400, "Number of bands (1236) must be less than or equal to 1024.", TooLarge),
        (400, "Collection query aborted after accumulating over 5000 elements.", TooLarge),
        (400, "Image.reduce: threshold must be less than or equal to 1.", Fatal),
        (400, "Request payload size exceeds the limit: 10485760 bytes.", Fatal),
        (429, "Too Many Requests: Request was rejected because the request rate", Busy),
        (
            429,
            "Quota exceeded for quota metric 'Number of read requests' and limit 'Number of read "
            "requests per minute per user' of service 'earthengine.googleapis.com'",
            Busy,
        ),
        (
            429,
            "Your usage exceeded the custom quota for 'earthengine.googleapis.com/"
            "daily_eecu_usage_time', which is adjustable by your administrator",
            Fatal,
        ),
        (403, "Daily Limit Exceeded. The quota will be reset at midnight", Fatal),
        (403, "User Rate Limit Exceeded", Busy),
        (403, "Permission denied: Consumer 'projects/x' has been suspended.", Fatal),
        (403, "Not signed up for Earth Engine or project is not registered.", Fatal),
        (503, "Earth Engine memory capacity exceeded.", Busy),
        (500, "An internal error has occurred", Busy),
        (504, "Deadline exceeded.", Busy),
        (302, "", Fatal),
    ],
)
def test_messages_of_the_service(status, message, kind):
    found = errors.refused(status, {}, error(status, message)[2])
    assert type(found) is kind and str(status) in str(found)
    assert message.rstrip(".") in str(found)


def test_an_error_page_is_shown_in_one_line():
    page = b"<html><title>502</title>\n<p>Bad   Gateway</p></html>" + b"x" * 5000
    found = errors.refused(502, {}, page)
    assert str(found).startswith("Earth Engine answered 502: 502 Bad Gateway")
    assert len(str(found)) < 300 and "\n" not in str(found)
    assert str(errors.refused(502, {}, b"")) == "Earth Engine answered 502: Bad Gateway"


@pytest.mark.parametrize("kind", ["hang", "slow"])
def test_a_request_ends_when_its_time_is_over(fault_server, ask, kind):
    # The slow body comes in ten parts: each in time, all together not.
    fault_server.set(faults=[Fault(kind, seconds=3.0)])
    began = time.monotonic()
    with pytest.raises(Busy, match="no whole response .* within 0.4 s; given up after 2 attempts"):
        ask(fault_server, timeout_s=0.4, attempts=2).fetch(GRAPH, BANDS, grid())
    assert time.monotonic() - began < 4


def test_no_more_requests_are_open_than_allowed_over_all_threads(fault_server, ask):
    fault_server.set(latency_s=0.03)
    one = ask(fault_server, max_in_flight=3)
    with futures.ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda i: one.fetch(GRAPH, BANDS, grid(x=float(i))), range(24)))
    assert len(found) == 24
    assert fault_server.counts()["most_in_flight"] == 3
    assert (one.counts.most_open, one.counts.requests) == (3, 24)
    assert one.counts.seconds >= 24 * 0.03


def test_a_waiting_request_leaves_its_place_to_others(ask):
    with Script(error(503, "Unavailable"), (200, {}, npy())) as server:
        inner = []

        def other_first(_):
            inner.append(one.fetch(GRAPH, BANDS, grid()))

        one = ask(server, max_in_flight=1, sleep=other_first)
        one.fetch(GRAPH, BANDS, grid())
    assert len(inner) == 1 and one.counts.requests == 3


def test_connections_are_used_again_by_as_many_threads_as_may_ask(ask):
    def late(_):
        time.sleep(0.01)
        return 200, {}, npy()

    with Script(late) as server:
        one = ask(server, max_in_flight=16)
        with futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: one.fetch(GRAPH, BANDS, grid()), range(96)))
        assert len(server.asked) == 96 and server.connections <= 16


def test_no_more_requests_a_second_than_the_service_allows(ask, waits):
    with Script((200, {}, npy())) as server:
        one = ask(server, per_second=1)
        for _ in range(3):
            one.fetch(GRAPH, BANDS, grid())
    # The first goes at once. Time does not pass while it notes its waits.
    assert len(waits) == 2 and 0 < waits[0] <= 1 and 1 < waits[1] <= 2


@pytest.mark.parametrize(
    "body, said",
    [
        (npy(dtype="<f8"), "3 bands of float64 .*expected 3 bands of int16"),
        (npy(bands=BANDS[::-1]), r"\(p01_VV, p00_VH, p00_VV\); expected .*\(p00_VV, p00_VH"),
        (npy(bands=BANDS[:2]), "the image has 2 bands"),
    ],
)
def test_other_bands_than_asked_for_are_a_fault_of_the_graph(ask, body, said):
    with Script((200, {}, body)) as server:
        with pytest.raises(Fatal, match=said):
            ask(server).fetch(GRAPH, BANDS, grid())


@pytest.mark.parametrize(
    "body",
    [npy((4, 5)), npy((6, 4)), npy(order="F"), npy() + b"\0", npy()[:-1], b"", b"<html>"],
)
def test_another_size_than_asked_for_is_not_taken(ask, body):
    with Script((200, {}, body)) as server:
        with pytest.raises(Busy, match="response of .* bytes.*given up after 2 attempts"):
            ask(server, attempts=2).fetch(GRAPH, BANDS, grid())


def test_an_answer_that_does_not_end_is_cut_off(ask):
    # 144 bytes of pixels, and a mebibyte for the header.
    with Script((200, {}, npy() + b"x" * 2**23)) as server:
        one = ask(server, attempts=1)
        with pytest.raises(Busy, match="a response of more than 1048720 bytes"):
            one.fetch(GRAPH, BANDS, grid())
    assert one.counts.bytes < 2**22


def test_pickles_are_never_read(ask):
    buffer = io.BytesIO()
    np.save(buffer, np.array([[print]], object), allow_pickle=True)
    with Script((200, {}, buffer.getvalue())) as server:
        with pytest.raises(Fatal, match="one unnamed band of object"):
            ask(server).fetch(GRAPH, BANDS, grid())


def test_bytes_are_counted_as_they_come_over_the_wire(ask):
    packed = gzip.compress(npy((64, 64)))
    with Script(error(500, "x"), (200, {"Content-Encoding": "gzip"}, packed)) as server:
        one = ask(server)
        assert one.fetch(GRAPH, BANDS, grid(64, 64)).shape == (64, 64, 3)
    assert one.counts.bytes == len(error(500, "x")[2]) + len(packed)


def test_a_redirect_is_not_followed(fault_server, ask):
    away = {"Location": fault_server.url + "/v1/projects/my-project/image:computePixels"}
    with Script((307, away, b"")) as server:
        with pytest.raises(Fatal, match="answered 307"):
            ask(server).fetch(GRAPH, BANDS, grid())
    assert fault_server.counts()["requests"] == 0


def test_a_project_in_restricted_mode_is_noticed(ask):
    said = {"X-Earth-Engine-Quota-Status": "tier=1;parallelism_restricted=true"}
    other = {"X-Earth-Engine-Quota-Status": "tier=1;parallelism_restricted=false"}
    with Script((200, other, npy()), (200, said, npy()), (200, {}, npy())) as server:
        one, seen = ask(server), []
        for _ in range(3):
            one.fetch(GRAPH, BANDS, grid())
            seen.append(one.counts.restricted)
    assert seen == [False, True, True]


def test_an_endpoint_that_nobody_serves(ask):
    with Script((200, {}, npy())) as server:
        pass
    with pytest.raises(Busy, match=r"failed: ConnectionRefusedError; given up after 2"):
        ask(server, attempts=2).fetch(GRAPH, BANDS, grid())


def reachable(value, seen=None):
    """Texts of all that hangs on an error: its arguments, its causes, their fields."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, type | type(json)):
        return
    seen.add(id(value))
    if isinstance(value, str | bytes):
        yield value if isinstance(value, str) else value.decode(errors="replace")
    elif isinstance(value, dict):
        for item in value.items():
            yield from reachable(item, seen)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from reachable(item, seen)
    elif isinstance(value, BaseException):
        for item in (value.args, vars(value), value.__cause__, value.__context__):
            yield from reachable(item, seen)
    elif isinstance(value, requests.PreparedRequest | requests.structures.CaseInsensitiveDict):
        yield from reachable(vars(value), seen)


def echo(handler):
    # With the word before it and without.
    given = handler.headers["Authorization"]
    return error(400, f"You sent Authorization: {given} and {given.split()[1]}, which is odd")


def drop(handler):
    handler.close_connection = True
    raise ConnectionAbortedError


# As users and as service accounts have them.
@pytest.mark.parametrize("token", ["ya29.secret-token", "eyJhbGciOi.secret.c2lnbmF0dXJl"])
@pytest.mark.parametrize("answer", [echo, drop, (200, {}, b"NUMPY")])
def test_credentials_are_neither_logged_nor_kept_in_an_error(ask, caplog, answer, token):
    caplog.set_level(logging.DEBUG)
    with Script(answer) as server:
        server.handle_error = lambda *_: None
        with pytest.raises(errors.ServiceError) as caught:
            ask(server, session=signed(token), attempts=2).fetch(GRAPH, BANDS, grid())
        assert server.asked[0][1]["Authorization"] == f"Bearer {token}"
    assert not [text for text in reachable(caught.value) if "secret" in text]
    assert "secret" not in caplog.text


class Signed(requests.auth.AuthBase):
    """Signs requests; without a token it says so, as `auth` does."""

    def __init__(self, token):
        self.token = token

    def __call__(self, request):
        if self.token is None:
            raise Fatal("credentials: expired")
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def signed(token):
    session = requests.Session()
    session.auth = Signed(token)
    return session


def test_credentials_that_expired_stop_it(fault_server, ask):
    with pytest.raises(Fatal, match="^credentials: expired$"):
        ask(fault_server, session=signed(None)).fetch(GRAPH, BANDS, grid())
    assert fault_server.counts()["requests"] == 0


@pytest.mark.parametrize(
    "endpoint",
    ["fast", "http://earthengine.googleapis.com", "https://x.org/v1", "https://u:p@x.org", ""],
)
def test_an_endpoint_that_cannot_be(endpoint):
    with pytest.raises(
        ValueError,
        match="^endpoint: expected standard, high-volume, https://<...>.googleapis.com or",
    ):
        Client(endpoint, "p")


@pytest.mark.parametrize(
    "options",
    [dict(max_in_flight=0), dict(attempts=0), dict(timeout_s=-1.0), dict(per_second=0)],
)
def test_numbers_that_cannot_be(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name}: expected more than 0, found"):
        Client("high-volume", "p", **options)


def test_names_of_endpoints_and_projects():
    one = Client("high-volume", "projects/my-project")
    assert one.endpoint == "https://earthengine-highvolume.googleapis.com"
    assert one.project == "my-project" and one.counts == client.Counts()
    assert Client("http://127.0.0.1:8000/", "p").endpoint == "http://127.0.0.1:8000"
    for project in ("", "a/b", "a b"):
        with pytest.raises(ValueError, match="^project: expected a name"):
            Client("standard", project)


def test_the_client_needs_no_ee():
    code = "import sys, cropmap_jax.sources.earthengine.client; sys.exit('ee' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
