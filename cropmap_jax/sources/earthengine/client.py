"""Asks Earth Engine for pixels and small tables over its REST API, and understands what it answers.

Plain HTTP with the session that `auth` makes, instead of `ee.data`: here a request has a time
limit, is counted once, and is repeated only where repeating can help. It needs no `ee`.

Nothing about the credentials is logged, kept in an error or shown.
"""

import dataclasses
import datetime as dt
import email.utils
import functools
import http.client
import io
import json
import random
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import requests
import urllib3

from cropmap_jax.sources.earthengine import service

CONNECT_S = 30.0
TIMEOUT_S = 330.0
"""Longer than the five minutes after which the service itself gives up on a computation, so that it
is the service that says so, and the piece is split rather than asked for again.

Source: developers.google.com/earth-engine/guides/processing_environments.
"""
FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 64.0
"""The first wait before a request is repeated is up to the one, doubled each time to the other."""
LONGEST_RETRY_AFTER_S = 600.0
"""A service that asks for a longer wait than this is not waited for."""
QUOTA_STATUS, RESTRICTED = "x-earth-engine-quota-status", "parallelism_restricted=true"
"""Sent with answers to a project that has used up its month of noncommercial compute.

Source: ee/data.py of earthengine-api 1.7.
"""
_CHUNK = 2**18
_HEADER_ROOM = 2**20
"""Bytes that an NPY file may have beyond its pixels: a header names every band."""
_JSON_ROOM = 64 * 2**20


@dataclasses.dataclass(frozen=True)
class Counts:
    """What a client has done so far.

    Args:
      requests: sent, repeated ones too.
      retries: of those, how many repeated one before.
      bytes: of answers' bodies as they came over the wire, broken ones too.
      seconds: for which requests were open, summed over all of them.
      most_open: the most requests that were open at once.
      restricted: the service has said that the project's monthly compute is used up, and that it
        may therefore do less at once.
    """

    requests: int = 0
    retries: int = 0
    bytes: int = 0
    seconds: float = 0.0
    most_open: int = 0
    restricted: bool = False


class ServiceError(Exception):
    """The service did not give what was asked for; the message says why and what to do."""


class Busy(ServiceError):
    """What may pass: too many requests, a fault of the service, a broken connection or answer.

    Args:
      message: what happened.
      retry_after: seconds that the service asks to wait; None if it does not.
      about_size: whether it speaks of memory, time or number, so that asking for less may help
        where waiting did not.
    """

    def __init__(self, message: str, retry_after: float | None = None, about_size: bool = False):
        super().__init__(message)
        self.retry_after, self.about_size = retry_after, about_size


class TooLarge(ServiceError):
    """Too much memory, time or data for one request: to be split, not repeated."""


class Fatal(ServiceError):
    """No request like this one can succeed: credentials, project, quota, asset, expression."""


_TOO_LARGE = re.compile(
    r"memory (limit|capacity) exceeded|out of memory|timed out|deadline exceeded|too many (?!req)"
    r"|too large|aborted after accumulating"
    r"|(request size|grid dimensions|number of bands)\b.*must be less",
    re.IGNORECASE,
)
"""How the service says that a request is too large, most often with status 400.

Sources: developers.google.com/earth-engine/guides/debugging ("Scaling errors"), and messages
quoted in github.com/google/Xee/issues/50 and /85, leftfield-geospatial/geedim/issues/10 and
gee-community/geemap/issues/1790.
"""
_NEW_CREDENTIALS = (
    "run `earthengine authenticate`, or name a service account's file that is valid, and start "
    "again; what is finished is kept"
)
# (what a message holds, whether it may pass, what to do), the first that fits. Sources:
# developers.google.com/earth-engine/guides/cost_controls for the daily limit; messages quoted in
# gee-community/geemap/issues/1092 (payload), healthysustainablecities/global-indicators/issues/547
# and gee-community/qgis-earthengine-plugin/issues/143 (registration), google/earthengine-community
# /issues/762 (API), nasaharvest/street2sat/pull/51 (permission), kubernetes/minikube/issues/17959
# (suspended), Open-ET/openet-ssebop/issues/74 (asset).
_ADVICE = tuple(
    (re.compile(pattern, re.IGNORECASE), passes, advice)
    for pattern, passes, advice in (
        (
            r"eecu|custom quota|per (day|month)\b|daily limit",
            False,
            "the project's quota is used up: wait until it is reset, have it raised in the Cloud "
            "console, or take a higher tier; what is finished is kept",
        ),
        (r"rate limit exceeded", True, "fewer requests at once may help"),
        (r"payload size", False, "the graph itself is too long: put fewer periods in a cube"),
        (
            r"not registered|not signed up",
            False,
            "register the project at code.earthengine.google.com/register, or name one that is",
        ),
        (
            r"has not been used in project|is disabled",
            False,
            "enable the Earth Engine API of the project in the Cloud console, or name another",
        ),
        (
            r"permission to use project",
            False,
            "name a project of your own, or be given roles/serviceusage.serviceUsageConsumer and "
            "roles/earthengine.viewer in this one",
        ),
        (r"suspended", False, "the project is suspended: see its Cloud console, or name another"),
        (
            r"asset\b.*not found|caller does not have access",
            False,
            "check the asset's id, and that these credentials may read it",
        ),
    )
)
_BY_STATUS = {
    401: f"the credentials were refused: {_NEW_CREDENTIALS}",
    403: "these credentials may not do this in this project: check both",
    404: "check the endpoint, the project and the ids of assets",
    413: "the graph itself is too long: put fewer periods in a cube",
}


def refused(status: int, headers: Mapping[str, str], body: bytes) -> ServiceError:
    """What an answer other than 200 means.

    Args:
      status: HTTP status.
      headers: of the answer; its Retry-After is used.
      body: the service's JSON, or whatever a server on the way sent.

    Returns:
      Busy, TooLarge or Fatal; not raised.
    """
    text = _message(body) or http.client.responses.get(status, "no reason given")
    said = f"Earth Engine answered {status}: {text}"
    wait = _seconds(headers.get("Retry-After"))
    passing = status in (408, 425, 429) or status >= 500
    about_size = _TOO_LARGE.search(text) is not None
    for pattern, passes, advice in _ADVICE:
        if pattern.search(text):
            return Busy(f"{said} ({advice})", wait) if passes else Fatal(f"{said} ({advice})")
    if passing:
        return Busy(said, wait, about_size)
    if about_size:
        return TooLarge(f"{said} (ask for less at once)")
    report = "the service does not take this request: please report it"
    return Fatal(f"{said} ({_BY_STATUS.get(status, report)})")


def _message(body: bytes) -> str:
    """The message in an error's JSON on one line, else the beginning of the text."""
    text = body.decode(errors="replace")
    try:
        text = str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        text = re.sub(r"<[^>]*>", " ", text)[:200]
    # A server that repeats the request must not put the token in front of the user.
    # Those of users begin with ya29., those that a service account signs itself with eyJ.
    text = re.sub(r"Bearer\s+\S+|\b(ya29\.|eyJ)\S+", "[token]", text)
    return " ".join(text.split())[:500].rstrip(".")


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header, seconds or a date, as seconds from now; None if it is neither."""
    try:
        return max(0.0, float(retry_after))
    except (TypeError, ValueError):
        pass
    try:
        date = email.utils.parsedate_to_datetime(retry_after)
        return max(0.0, (date - dt.datetime.now(dt.UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


class Client:
    """The service at one address for one project; any number of threads may use it at once."""

    def __init__(
        self,
        endpoint: str,
        project: str,
        session: requests.Session | None = None,
        *,
        max_in_flight: int = service.MAX_IN_FLIGHT,
        per_second: float | None = service.MAX_PER_SECOND,
        attempts: int = 6,
        timeout_s: float = TIMEOUT_S,
        sleep: Callable[[float], object] = time.sleep,
        rng: random.Random | None = None,
    ):
        """Connects to nothing yet.

        Args:
          endpoint: "high-volume", "standard" or a URL.
          project: Cloud project that the compute is counted on.
          session: signs requests, as `auth.Access.session` does; what it raises of `ServiceError`
            is raised on. None for a server on this machine, which needs no credentials.
          max_in_flight: requests open at once, over all threads.
          per_second: requests a second, after the first so many, which may go at once; None for
            any number.
          attempts: how often a request is sent at most.
          timeout_s: seconds for one request. Checked as bytes arrive: a connection that dies in
            the middle of an answer takes up to twice as long.
          sleep: waits so many seconds; `threading.Event().wait` makes a wait that can be ended.
          rng: draws the waits.

        Raises:
          ValueError: an endpoint, project or number that cannot be.
        """
        self.endpoint = _address(endpoint)
        self.project = project.removeprefix("projects/")
        if not re.fullmatch(r"[\w.:-]+", self.project):
            raise ValueError(f"project: expected a name like my-project-123, found {project!r}")
        for name, value in (
            ("max_in_flight", max_in_flight),
            ("per_second", per_second),
            ("attempts", attempts),
            ("timeout_s", timeout_s),
        ):
            if value is not None and not value > 0:
                raise ValueError(f"{name}: expected more than 0, found {value}")
        if session is None:
            session = requests.Session()
            # Without credentials only a server of the user's own is asked: never through a proxy,
            # and never with a password from .netrc.
            session.trust_env = False
        # As many connections as requests: with fewer, urllib3 would close some and open others.
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=max_in_flight, max_retries=0)
        session.mount(self.endpoint, adapter)
        self._session = session
        self._attempts, self._timeout_s = attempts, timeout_s
        self._sleep, self._rng = sleep, rng or random.Random()
        self._slots = threading.BoundedSemaphore(max_in_flight)
        self._per_second, self._due = per_second, 0.0
        self._lock, self._counts, self._open = threading.Lock(), Counts(), 0

    @property
    def counts(self) -> Counts:
        """What was done so far."""
        with self._lock:
            return self._counts

    def fetch(
        self, expression: Mapping, bands: Sequence[str], grid: Mapping, dtype=np.int16
    ) -> np.ndarray:
        """The pixels of an image.

        Args:
          expression: graph of the image, JSON-ready: `ee.serializer.encode(for_cloud_api=True)`.
          bands: of the image, in the order in which they are wanted.
          grid: dimensions, affineTransform and crsCode, as `pieces.grid_of` makes it.
          dtype: of all the bands.

        Returns:
          `dtype` [height, width, len(bands)].

        Raises:
          Busy: every attempt failed for a reason that may pass.
          TooLarge: too much for one request: split it.
          Fatal: no request like this can succeed.
        """
        size = grid["dimensions"]
        shape = (size["height"], size["width"])
        fields = np.dtype([(band, np.dtype(dtype)) for band in bands])
        body = {
            "expression": expression,
            "fileFormat": "NPY",
            "bandIds": list(bands),
            "grid": grid,
        }
        room = shape[0] * shape[1] * fields.itemsize + _HEADER_ROOM
        return self._call(
            "image:computePixels", body, room, lambda data: _pixels(data, shape, fields)
        )

    def compute(self, expression: Mapping):
        """A small value: a number, a list, a table.

        Args:
          expression: graph of the value, as in `fetch`.

        Returns:
          The value as JSON has it.

        Raises:
          Busy, TooLarge, Fatal: as `fetch`.
        """
        return self._call("value:compute", {"expression": expression}, _JSON_ROOM, _value)

    def _call(self, method: str, body: Mapping, room: int, read: Callable):
        """Sends until it is answered, refused for good, or all attempts are used up."""
        url = f"{self.endpoint}/v1/projects/{self.project}/{method}"
        content = json.dumps(body, separators=(",", ":")).encode()
        for attempt in range(self._attempts):
            answer = self._once(url, content, room, read, repeated=attempt > 0)
            # Raised here and not where it was caught: an error of the HTTP library, which would
            # hang on to it, holds the request with the token in its header.
            if not isinstance(answer, Busy):
                if isinstance(answer, ServiceError):
                    raise answer
                return answer
            if (answer.retry_after or 0) > LONGEST_RETRY_AFTER_S:
                raise Busy(
                    f"{answer}; it asks to wait {answer.retry_after:.0f} s: run this again later"
                )
            if attempt + 1 < self._attempts:
                # Full jitter: threads that failed together do not come back together.
                # Source: aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter.
                ceiling = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt)
                self._sleep((answer.retry_after or 0) + self._rng.uniform(0, ceiling))
        kind = TooLarge if answer.about_size else Busy
        raise kind(f"{answer}; given up after {self._attempts} attempts")

    def _once(self, url: str, content: bytes, room: int, read: Callable, repeated: bool):
        """One request: what `read` makes of the answer, or the error that it was, not raised."""
        self._pace()
        with self._slots:
            began = time.monotonic()
            with self._lock:
                self._open += 1
                self._add(requests=1, retries=int(repeated))
                most = max(self._counts.most_open, self._open)
                self._counts = dataclasses.replace(self._counts, most_open=most)
            try:
                data = self._send(url, content, room, began + self._timeout_s)
            finally:
                with self._lock:
                    self._open -= 1
                    self._add(seconds=time.monotonic() - began)
        if isinstance(data, ServiceError):
            return data
        try:
            return read(data)
        except ServiceError as error:
            return error

    def _send(self, url: str, content: bytes, room: int, until: float) -> bytearray | ServiceError:
        """The body of an answer, or why there is none."""
        headers = {"Content-Type": "application/json", "X-Goog-User-Project": self.project}
        try:
            # A redirect would lead somewhere else than to the address that was asked for.
            response = self._session.request(
                "POST",
                url,
                data=content,
                headers=headers,
                timeout=(min(CONNECT_S, self._timeout_s), self._timeout_s),
                stream=True,
                allow_redirects=False,
            )
            with response:
                if RESTRICTED in response.headers.get(QUOTA_STATUS, ""):
                    with self._lock:
                        self._counts = dataclasses.replace(self._counts, restricted=True)
                data = self._body(response, room, until)
        except (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
            return Busy(f"no whole answer from {self.endpoint} within {self._timeout_s:g} s")
        except ServiceError as error:
            return error  # the session has no credentials to sign with
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            return Busy(f"the connection to {self.endpoint} failed: {_cause(error)}")
        if response.status_code == 200 or isinstance(data, ServiceError):
            return data
        return refused(response.status_code, response.headers, data)

    def _body(
        self, response: requests.Response, room: int, until: float
    ) -> bytearray | ServiceError:
        """Reads an answer as it comes; Busy if it is longer than `room`, TimeoutError if late."""
        chunks, length = [], 0
        try:
            # One read of the socket at a time, so that a trickle is noticed.
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                chunks.append(chunk)
                length += len(chunk)
                if length > room:
                    return Busy(f"an answer of more than {room} bytes, which is not what was asked")
                if time.monotonic() > until:
                    raise TimeoutError
        finally:
            with self._lock:
                self._add(bytes=response.raw.tell())
        return bytearray().join(chunks)  # in which pixels can be changed

    def _pace(self) -> None:
        """Waits until another request may be sent.

        A burst of as many as a second allows goes at once: the service counts by the minute.
        """
        if self._per_second is None:
            return
        with self._lock:
            now = time.monotonic()
            self._due = max(self._due, now) + 1 / self._per_second
            wait = self._due - now - 1
        if wait > 0:
            self._sleep(wait)

    def _add(self, **more) -> None:
        """Adds to the counts; the lock is held."""
        sums = {name: getattr(self._counts, name) + value for name, value in more.items()}
        self._counts = dataclasses.replace(self._counts, **sums)


def _cause(error: BaseException) -> str:
    """The name of the innermost error: HTTP libraries wrap it several times.

    Only its name, since its text may hold the address of a proxy with its password.
    """
    while True:
        inner = [getattr(error, "reason", None), *error.args, error.__cause__]
        inner = next((value for value in inner if isinstance(value, BaseException)), None)
        if inner is None:
            return type(error).__name__
        error = inner


def _pixels(data: bytearray, shape: tuple[int, int], fields: np.dtype) -> np.ndarray:
    """Decodes NPY: a record per pixel with a field per band, to [H, W, bands]."""
    # numpy's own reading copies records field by field, which takes longer than receiving them.
    head = data.find(b"\n", 12) + 1
    try:
        found, fortran, dtype = _header(bytes(data[:head]))
    except (ValueError, EOFError) as error:
        raise Busy(f"an answer of {len(data)} bytes that is not a whole NPY file") from error
    if dtype != fields:
        raise Fatal(
            f"the image has {_fields(dtype)}; expected {_fields(fields)}: this is a fault of the "
            f"graph, please report it"
        )
    expected = head + shape[0] * shape[1] * fields.itemsize
    if found != shape or fortran or len(data) != expected:
        raise Busy(
            f"an answer of {len(data)} bytes with pixels {list(found)}; expected {expected} bytes "
            f"and {list(shape)}"
        )
    return np.frombuffer(data, fields[0], offset=head).reshape(*shape, len(fields))


@functools.lru_cache(maxsize=64)
def _header(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype that the beginning of an NPY file tells; most answers have the same.

    Source: numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
    """
    stream = io.BytesIO(head)
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        read = np.lib.format.read_array_header_1_0
    else:
        read = np.lib.format.read_array_header_2_0
    # A thousand bands need a longer header than numpy takes unasked.
    return read(stream, max_header_size=_HEADER_ROOM)


def _fields(dtype: np.dtype) -> str:
    """A record type in few words."""
    if not dtype.names:
        return f"one unnamed band of {dtype}"
    kinds = sorted({str(dtype[name]) for name in dtype.names})
    some = ", ".join(dtype.names[:4]) + (", ..." if len(dtype.names) > 4 else "")
    return f"{len(dtype.names)} bands of {'/'.join(kinds)} ({some})"


def _value(data: bytes):
    """The result in the JSON of `value:compute`."""
    try:
        return json.loads(data)["result"]
    except (ValueError, KeyError, TypeError) as error:
        raise Busy(f"an answer of {len(data)} bytes that is not a whole JSON value") from error


def _address(endpoint: str) -> str:
    """URL of an endpoint without a path; http only for this very machine."""
    url = service.ENDPOINTS.get(endpoint, endpoint).rstrip("/")
    parts = urllib.parse.urlsplit(url)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    plain = not (parts.path or parts.query or parts.username) and parts.hostname
    if not plain or parts.scheme not in (("https", "http") if local else ("https",)):
        raise ValueError(
            f"endpoint: expected {', '.join(service.ENDPOINTS)} or an https URL without a path, "
            f"found {endpoint!r}"
        )
    return url
