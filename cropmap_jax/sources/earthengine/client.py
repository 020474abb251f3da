"""Requests pixels and small tables from Earth Engine over its REST API.

Plain HTTP with the session that `auth` makes, instead of `ee.data`: here a request has a time
limit, is counted once, and is repeated only where repeating can help. It needs no `ee`.

The back-off is a loop of our own: with tenacity 9.2 it took 34 lines instead of 23, as Retry-After,
the limit on it and the kind of the last error are ours all the same.

Nothing about the credentials is logged, kept in an error or shown.
"""

import dataclasses
import json
import random
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import requests
import urllib3
from numpy.typing import DTypeLike

from cropmap_jax.geo import progress
from cropmap_jax.sources.earthengine import decode, service
from cropmap_jax.sources.earthengine.endpoints import base_url_of
from cropmap_jax.sources.earthengine.errors import (
    Busy,
    ServiceError,
    TooLarge,
    refused,
)

CONNECT_S = 30.0
TIMEOUT_S = 330.0
"""Longer than the five minutes after which the service itself gives up on a computation, so that it
is the service that says so, and the piece is split rather than repeated.

Source: developers.google.com/earth-engine/guides/processing_environments.
"""
FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 64.0
"""The first wait before a request is repeated is up to the one, doubled each time to the other."""
LONGEST_RETRY_AFTER_S = 600.0
"""A service that names a longer wait than this is not waited for."""
QUOTA_STATUS, RESTRICTED = "x-earth-engine-quota-status", "parallelism_restricted=true"
"""Sent with responses to a project that has used up its month of noncommercial compute.

Source: ee/data.py of earthengine-api 1.7.
"""
_CHUNK = 2**18
_JSON_ROOM = 64 * 2**20
_Read = Callable[[bytearray], Any]


@dataclasses.dataclass(frozen=True)
class Counts:
    """What a client has done so far.

    Args:
      requests: sent, repeated ones too.
      retries: of those, how many repeated one before.
      bytes: of responses' bodies as they came over the wire, broken ones too.
      seconds: for which requests were open, summed over all of them.
      most_open: the most requests that were open at once.
      restricted: the service has reported that the project's monthly compute is used up, and
        that it may therefore do less at once.
    """

    requests: int = 0
    retries: int = 0
    bytes: int = 0
    seconds: float = 0.0
    most_open: int = 0
    restricted: bool = False


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
            the middle of a response takes up to twice as long.
          sleep: waits so many seconds; `threading.Event().wait` makes a wait that can be ended.
          rng: draws the waits.

        Raises:
          ValueError: an endpoint, project or number that cannot be.
        """
        self.endpoint = base_url_of(endpoint)
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
            # Without credentials only a server of the user's own is reached: never through a proxy,
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
        self._lock, self._open = threading.Lock(), 0
        self._counts = dataclasses.asdict(Counts())

    @property
    def counts(self) -> Counts:
        """What was done so far."""
        with self._lock:
            return Counts(**self._counts)

    def fetch(
        self,
        expression: Mapping[str, Any] | str,
        bands: Sequence[str],
        grid: Mapping[str, Any],
        dtype: DTypeLike = np.int16,
    ) -> np.ndarray:
        """The pixels of an image.

        Args:
          expression: graph of the image, JSON-ready as `template.encode` gives it, or its JSON.
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
        more = {"fileFormat": "NPY", "bandIds": list(bands), "grid": grid}
        room = shape[0] * shape[1] * fields.itemsize + decode.HEADER_ROOM
        body = _body(expression, more)
        pixels: np.ndarray = self._call(
            "image:computePixels", body, room, lambda data: decode.pixels(data, shape, fields)
        )
        return pixels

    def compute(self, expression: Mapping[str, Any] | str) -> Any:
        """A small value: a number, a list, a table.

        Args:
          expression: graph of the value, as in `fetch`.

        Returns:
          The value as JSON has it.

        Raises:
          Busy, TooLarge, Fatal: as `fetch`.
        """
        return self._call("value:compute", _body(expression, {}), _JSON_ROOM, decode.value)

    def _call(self, method: str, content: bytes, room: int, read: _Read) -> Any:
        """Sends until there is a response, a refusal for good, or no attempt left."""
        url = f"{self.endpoint}/v1/projects/{self.project}/{method}"
        for attempt in range(self._attempts):
            outcome = self._once(url, content, room, read, repeated=attempt > 0)
            # Raised here and not where it was caught: an error of the HTTP library, which would
            # hang on to it, holds the request with the token in its header.
            if not isinstance(outcome, Busy):
                if isinstance(outcome, ServiceError):
                    raise outcome
                return outcome
            if (outcome.retry_after or 0) > LONGEST_RETRY_AFTER_S:
                raise Busy(
                    f"{outcome}; it asks to wait {outcome.retry_after:.0f} s: run this again later"
                )
            if attempt + 1 < self._attempts:
                # Full jitter: threads that failed together do not come back together.
                # Source: aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter.
                ceiling = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt)
                seconds = (outcome.retry_after or 0) + self._rng.uniform(0, ceiling)
                with progress.waiting(f"Earth Engine is busy, again in {seconds:.0f} s"):
                    self._sleep(seconds)
        kind = TooLarge if outcome.about_size else Busy
        raise kind(f"{outcome}; given up after {self._attempts} attempts")

    def _once(self, url: str, content: bytes, room: int, read: _Read, repeated: bool) -> Any:
        """One request: what `read` makes of the response, or the error that it was, not raised."""
        self._pace()
        with self._slots:
            began = time.monotonic()
            with self._lock:
                self._open += 1
                self._add(requests=1, retries=int(repeated))
                self._counts["most_open"] = max(self._counts["most_open"], self._open)
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
        """The body of a response, or why there is none."""
        headers = {"Content-Type": "application/json", "X-Goog-User-Project": self.project}
        try:
            # A redirect would lead somewhere else than to the address that was requested.
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
                        self._counts["restricted"] = True
                data = self._read(response, room, until)
        except (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
            return Busy(f"no whole response from {self.endpoint} within {self._timeout_s:g} s")
        except ServiceError as error:
            return error  # the session has no credentials to sign with
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            return Busy(f"the connection to {self.endpoint} failed: {_cause(error)}")
        if response.status_code == 200 or isinstance(data, ServiceError):
            return data
        return refused(response.status_code, response.headers, bytes(data))

    def _read(
        self, response: requests.Response, room: int, until: float
    ) -> bytearray | ServiceError:
        """Reads a response as it comes; Busy if it is longer than `room`, TimeoutError if late."""
        chunks, length = [], 0
        try:
            # One read of the socket at a time, so that a trickle is noticed.
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                chunks.append(chunk)
                length += len(chunk)
                if length > room:
                    return Busy(
                        f"a response of more than {room} bytes, which is not what was requested"
                    )
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
            with progress.waiting(f"at most {self._per_second:g} requests a second"):
                self._sleep(wait)

    def _add(self, **more: float) -> None:
        """Adds to the counts; the lock is held."""
        for name, value in more.items():
            self._counts[name] += value


def _body(expression: Mapping[str, Any] | str, more: Mapping[str, Any]) -> bytes:
    """JSON of a request; an expression that is JSON already is not read and written again."""
    if not isinstance(expression, str):
        expression = _compact(expression)
    rest = f",{_compact(more)[1:]}" if more else "}"
    return f'{{"expression":{expression}{rest}'.encode()


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _cause(error: BaseException) -> str:
    """The name of the innermost error: HTTP libraries wrap it several times.

    Only its name, since its text may hold the address of a proxy with its password.
    """
    while True:
        wrapped = [getattr(error, "reason", None), *error.args, error.__cause__]
        inner = next((value for value in wrapped if isinstance(value, BaseException)), None)
        if inner is None:
            return type(error).__name__
        error = inner
