"""Where requests, and the credentials with them, may go: Google over https, or this machine."""

import ipaddress
import urllib.parse

from cropmap_jax.sources.earthengine import service
from cropmap_jax.sources.earthengine.errors import AuthError


def base_url_of(endpoint: str) -> str:
    """The URL of an endpoint, without a slash at its end.

    Raises:
      AuthError: a URL to which credentials must not be sent.
    """
    url = service.ENDPOINTS.get(endpoint, str(endpoint)).rstrip("/")
    if not is_trusted(url) or urllib.parse.urlsplit(url).path:
        raise AuthError(
            f"endpoint: expected {', '.join(service.ENDPOINTS)}, https://<...>.googleapis.com or"
            f" http on loopback, found {endpoint!r}"
        )
    return url


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_trusted(url: str) -> bool:
    """Whether credentials may be sent there: Google over https, or this machine."""
    try:
        parts = urllib.parse.urlsplit(url)
        parts.port  # noqa: B018  raises where it is no number
    except ValueError:
        return False
    if parts.username is not None or parts.query or parts.fragment:
        return False
    if parts.scheme == "https" and (parts.hostname or "").endswith(".googleapis.com"):
        return True
    return parts.scheme in ("http", "https") and is_loopback(url)
