"""Errors of the service: what may pass, what is too much for one request, what stays wrong."""

import contextlib
import datetime as dt
import email.utils
import http.client
import json
import re
from collections.abc import Mapping


class ServiceError(Exception):
    """The service did not give what was requested; the message says why and what to do."""


class Busy(ServiceError):
    """What may pass: too many requests, a fault of the service, a broken connection or response.

    Args:
      message: what happened.
      retry_after: seconds that the service wants the client to wait; None if it names none.
      about_size: whether it names memory, time or number, so that a smaller request may succeed
        where waiting did not help.
    """

    def __init__(self, message: str, retry_after: float | None = None, about_size: bool = False):
        super().__init__(message)
        self.retry_after, self.about_size = retry_after, about_size


class TooLarge(ServiceError):
    """Too much memory, time or data for one request: to be split, not repeated."""


class Fatal(ServiceError):
    """No request like this one can succeed: credentials, project, quota, asset, expression."""


class AuthError(Fatal, ValueError):
    """Credentials, project or endpoint do not allow what was requested; the text says what to do.

    No text holds any part of the credentials. Repeating the request cannot help.
    """


_TOO_LARGE = re.compile(
    r"memory (limit|capacity) exceeded|out of memory|timed out|deadline exceeded|too many (?!req)"
    r"|too large|aborted after accumulating"
    r"|(request size|grid dimensions|number of bands)\b.*must be less",
    re.IGNORECASE,
)
"""How the service reports that a request is too large, most often with status 400.

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
    """What a response other than 200 means.

    Args:
      status: HTTP status.
      headers: of the response; its Retry-After is used.
      body: the service's JSON, or whatever a server on the way sent.

    Returns:
      Busy, TooLarge or Fatal; not raised.
    """
    text = message_of(body) or http.client.responses.get(status, "no reason given")
    reply = f"Earth Engine answered {status}: {text}"
    wait = _seconds(headers.get("Retry-After"))
    passing = status in (408, 425, 429) or status >= 500
    about_size = _TOO_LARGE.search(text) is not None
    for pattern, passes, advice in _ADVICE:
        if pattern.search(text):
            return Busy(f"{reply} ({advice})", wait) if passes else Fatal(f"{reply} ({advice})")
    if passing:
        return Busy(reply, wait, about_size)
    if about_size:
        return TooLarge(f"{reply} (request less at once)")
    report = "the service does not take this request: please report it"
    return Fatal(f"{reply} ({_BY_STATUS.get(status, report)})")


def message_of(body: bytes) -> str:
    """The message in an error's JSON on one line, else the beginning of the text."""
    text = body.decode(errors="replace")
    try:
        text = str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        text = re.sub(r"<[^>]*>", " ", text)[:200]
    # A server that echoes the request must not put the token in front of the user.
    # Those of users begin with ya29., those that a service account signs itself with eyJ.
    text = re.sub(r"Bearer\s+\S+|\b(ya29\.|eyJ)\S+", "[token]", text)
    return " ".join(text.split())[:500].rstrip(".")


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header, seconds or a date, as seconds from now; None if it is neither."""
    if retry_after is None:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(retry_after))
    try:
        date = email.utils.parsedate_to_datetime(retry_after)
        return max(0.0, (date - dt.datetime.now(dt.UTC)).total_seconds())
    except (TypeError, ValueError):  # a date without a zone, or none
        return None
