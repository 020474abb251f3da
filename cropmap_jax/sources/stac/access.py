"""How files of a catalogue are read: tokens, GDAL's settings, and why one could not be read.

Tokens come from the environment or from the catalogue's own service, live in memory, and are
neither stored nor logged.
"""

import concurrent.futures
import contextlib
import datetime as dt
import email.utils
import logging
import os
import pathlib
import re
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import rasterio
import rasterio.errors

from cropmap_jax.sources.stac import formats
from cropmap_jax.sources.stac.errors import Refused, Unreachable, clean
from cropmap_jax.sources.stac.options import Catalogue

GDAL = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    # The header of a COG in one request.
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_HTTP_VERSION": "2",
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_TIMEOUT": "120",
    "GDAL_HTTP_MAX_RETRY": "4",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "PROJ_NETWORK": "OFF",
}
"""For COGs over HTTP. Source: gdal.org/user/configoptions, developmentseed.org/titiler
(performance tuning)."""
FRESH = {"CPL_VSIL_CURL_NON_CACHED": "/vsicurl/"}
"""For another attempt: GDAL 3.10 otherwise remembers a file that could not be opened, whatever the
reason, and does not ask again. It costs a request more, so not for the first."""
TIMEOUT_S = 30
_RENEW_S = 300
"""A token that ends within so many seconds is not used to begin with."""
_PROBES = 16
_S3 = "/vsis3/"
_AZURE = ".blob.core.windows.net"
"""What shared access signatures are for. Source: learn.microsoft.com, Azure Storage, endpoints."""
_ARCHIVE = re.compile(r"/vsizip/\{(.*)\}/")
NO_IMAGE = 415
"""HTTP's "unsupported media type"."""
_KEY = "PC_SDK_SUBSCRIPTION_KEY"
"""Environment variable with a subscription key of Planetary Computer, as its own library reads."""


def quiet() -> None:
    """Keeps libraries from logging addresses, which may hold tokens; errors are raised anyway."""
    for name in ("odc.loader", "rasterio", "urllib3", "pystac_client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # `image_driver` refuses such a file by name.
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)


def session() -> Any:
    """Requests with repetitions after 429 and 5xx, and Retry-After heeded."""
    import requests
    import urllib3

    retry = urllib3.Retry(
        total=5, connect=2, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None, raise_on_status=False,
    )  # fmt: skip
    out = requests.Session()
    for scheme in ("http://", "https://"):
        out.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retry, pool_maxsize=_PROBES))
    return out


class Access:
    """Access to the files of one catalogue.

    Args:
      options: how it is granted.
      reads: whether files will be read, not the catalogue alone.

    Raises:
      ValueError: an environment variable that is missing.
    """

    def __init__(self, options: Catalogue, reads: bool = True):
        self._options = options
        self._lock = threading.Lock()
        self._session = session()
        self._sas, self._until = "", dt.datetime.min.replace(tzinfo=dt.UTC)
        own = urlsplit(options.catalogue).hostname  # None of a folder
        self._hosts = {*options.token_hosts, *filter(None, [own])}
        if options.signing == "bearer":
            self._bearer()
        if options.signing == "s3" and reads:
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                if not os.environ.get(name):
                    raise ValueError(f"{name}: expected S3 keys in the environment, found none")

    def _bearer(self) -> str:
        token = os.environ.get(self._options.token, "").strip()
        if not token:
            raise ValueError(
                f"{self._options.token}: expected a token in this environment variable, found none"
            )
        return token

    def headers(self, href: str) -> dict[str, str]:
        """Headers of a request for a file or to the catalogue.

        Raises:
          ValueError: a token would travel in the open, or to a host that it is not meant for.
        """
        if self._options.signing != "bearer" or not href.startswith("http"):
            return {}
        self._check_safe(href)
        return {"Authorization": f"Bearer {self._bearer()}"}

    def sign(self, href: str) -> str:
        """The address that a file is read from.

        Raises:
          ValueError: as `headers`.
          Unreachable: the service that gives tokens does not answer.
          Refused: it gives none.
        """
        if self._options.signing == "public_s3" and href.startswith(_S3):
            bucket, _, key = href.removeprefix(_S3).partition("/")
            return f"https://{bucket}.{self._options.token}/{quote(key)}"
        if self._options.signing == "bearer" and href.startswith("http"):
            self._check_safe(href)
        if self._options.signing != "sas" or not href.startswith("http") or "?" in href:
            return href
        host = urlsplit(href).hostname or ""
        if not (host.endswith(_AZURE) or host in self._hosts):
            return href  # it needs none, or `token_hosts` names it
        return f"{href}?{self._token()}"

    def _check_safe(self, href: str) -> None:
        """Requires an address at which only those read the token whom it is meant for."""
        parts = urlsplit(href)
        host = parts.hostname
        if host not in self._hosts:
            raise ValueError(
                f"{parts.scheme}://{host}: the catalogue links to this host, which is not its own; "
                f"expected it among token_hosts of {self._options.collection!r} if the token of "
                f"{self._options.token} may be sent there"
            )
        if parts.scheme == "http" and host not in ("127.0.0.1", "localhost", "::1"):
            raise ValueError(
                f"{parts.scheme}://{host}: expected https with signing 'bearer', found http"
            )

    def renew(self) -> bool:
        """Forgets a token that was refused; whether there may be another one."""
        with self._lock:
            self._until = dt.datetime.min.replace(tzinfo=dt.UTC)
        return self._options.signing == "sas"

    def _token(self) -> str:
        import requests

        with self._lock:
            now = dt.datetime.now(dt.UTC)
            if now + dt.timedelta(seconds=_RENEW_S) < self._until:
                return self._sas
            where = f"{_short(self._options.token)}: a token for {self._options.collection}"
            key = os.environ.get(_KEY)
            headers = {"Ocp-Apim-Subscription-Key": key} if key else {}
            try:
                reply = self._session.get(self._options.token, headers=headers, timeout=TIMEOUT_S)
            except requests.RequestException as error:
                raise Unreachable(f"{where}: no answer ({clean(type(error).__name__)})") from None
            if reply.status_code in (400, 401, 403, 404):
                raise Refused(f"{where}: refused with {reply.status_code}; check s1/s2.token")
            try:
                value = reply.json()
                self._sas = str(value["token"])
                # Until when is named as Planetary Computer does; a token without is short-lived.
                until = str(value.get("msft:expiry") or (now + dt.timedelta(minutes=10)))
                self._until = dt.datetime.fromisoformat(until.replace("Z", "+00:00"))
            except (ValueError, KeyError, TypeError):
                raise Unreachable(f"{where}: answered {reply.status_code}, no token") from None
            return self._sas

    @contextlib.contextmanager
    def env(self, again: bool = False) -> Iterator[None]:
        """GDAL's settings while files are read, `again` after an attempt that failed."""
        more = dict(FRESH) if again else {}
        if self._options.signing == "bearer":
            # Not a header of our own: that one would follow a redirection to another host.
            more |= {"GDAL_HTTP_AUTH": "BEARER", "GDAL_HTTP_BEARER": self._bearer()}
        if self._options.signing == "s3":
            # odc-loader hands none of S3's settings to its threads: GDAL reads the environment.
            os.environ["AWS_S3_ENDPOINT"] = self._options.token
            os.environ.setdefault("AWS_VIRTUAL_HOSTING", "FALSE")
        with rasterio.Env(**GDAL, **more):
            yield

    def probe(self, hrefs: Iterable[str]) -> dict[str, tuple[int, float]]:
        """Asks for the first bytes of files.

        Returns:
          {href: (HTTP status, seconds that the server wants to be left alone)}; 404 for a path
          without a file, `NO_IMAGE` for what is there but no GeoTIFF or JPEG 2000, 0 where nothing
          can be said.
        """
        found = list(dict.fromkeys(hrefs))
        with concurrent.futures.ThreadPoolExecutor(_PROBES) as pool:
            return dict(zip(found, pool.map(self._probe, found), strict=True))

    def _probe(self, href: str) -> tuple[int, float]:
        import requests

        if self._options.signing == "public_s3":
            href = self.sign(href)
        archive = _ARCHIVE.match(href)
        if archive and not os.path.isfile(archive[1]):
            return 404, 0.0
        if href.startswith("/vsi"):
            return 0, 0.0
        if not href.startswith("http"):
            return _look_at(pathlib.Path(href)), 0.0
        headers = {"Range": f"bytes=0-{formats.MAGIC_BYTES - 1}", **self.headers(href)}
        try:
            # Without repetitions: what it says now is what is to be known.
            with requests.get(
                self.sign(href), headers=headers, timeout=TIMEOUT_S, stream=True
            ) as reply:
                status = reply.status_code
                if status in (200, 206):
                    head = next(reply.iter_content(formats.MAGIC_BYTES), b"")
                    status = status if formats.is_image(head) else NO_IMAGE
                return status, _seconds(reply.headers.get("Retry-After"))
        except requests.RequestException:
            return 0, 0.0


def _look_at(path: pathlib.Path) -> int:
    if not path.is_file():
        return 404
    try:
        with path.open("rb") as file:
            return 200 if formats.is_image(file.read(formats.MAGIC_BYTES)) else NO_IMAGE
    except OSError:
        return 0


def _short(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.hostname}" if parts.hostname else "config"


def _seconds(retry_after: str | None) -> float:
    if not retry_after:
        return 0.0
    with contextlib.suppress(ValueError):
        return min(60.0, max(0.0, float(retry_after)))
    with contextlib.suppress(TypeError, ValueError):
        date = email.utils.parsedate_to_datetime(retry_after)
        return min(60.0, max(0.0, (date - dt.datetime.now(dt.UTC)).total_seconds()))
    return 0.0
