"""Access to the service: credentials, project and endpoint, checked before the first request.

Connections are made to the endpoint, and the issuer of tokens that the credentials name (for users
and service accounts oauth2.googleapis.com); nothing else. Two libraries would connect to others:

- `ee.Initialize` fetches a list of deprecated assets from storage.googleapis.com, but only while
  its own, `ee.deprecation.deprecated_assets`, is empty: it is given an entry first. What is lost is
  a warning when an asset is to be replaced.
- `google.auth`: its AuthorizedSession looks up, for a service account, where it may act, at
  iamcredentials.googleapis.com (2.62: "regional access boundary"), and google.auth.default looks
  up a cloud machine's metadata server. Neither is used.

`ee` serves to build graphs. All its requests go through this module's session and may go to the
endpoint alone; it is not given the credentials.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import ee
import googleapiclient.errors
import httplib2
import requests
from ee import deprecation

from cropmap_jax.sources.earthengine import credential_files, service
from cropmap_jax.sources.earthengine.endpoints import base_url_of, is_loopback, is_trusted
from cropmap_jax.sources.earthengine.errors import AuthError, message_of

ANONYMOUS = "anonymous"
"""No credentials: for servers on this machine only."""
PROJECT_HEADER = "X-Goog-User-Project"
TIMEOUT_S = (20.0, 330.0)
"""Of requests of `ee`: to connect, and between bytes. Earth Engine gives up after five minutes.

Source: developers.google.com/earth-engine/guides/usage.
"""


@dataclasses.dataclass(frozen=True)
class Access:
    """What a client needs for its requests.

    Args:
      base_url: without a slash at its end.
      project: Google Cloud project that pays and whose quota counts.
      credentials: where they came from, in words; never what they are.
    """

    base_url: str
    project: str
    credentials: str
    _auth: credential_files.Bearer | None = dataclasses.field(
        default=None, repr=False, compare=False
    )

    @property
    def project_path(self) -> str:
        """As in URLs: projects/<project>."""
        return f"projects/{self.project}"

    @property
    def pixels_url(self) -> str:
        """Where computePixels is posted."""
        return f"{self.base_url}/v1/{self.project_path}/image:computePixels"

    def session(self, connections: int = service.MAX_IN_FLIGHT) -> requests.Session:
        """A session that signs its requests, repeats none and follows no redirection.

        Args:
          connections: kept open at once, so many threads may use it.

        Its requests raise AuthError when no token can be had.
        """
        session = requests.Session()
        session.auth = self._auth
        session.headers[PROJECT_HEADER] = self.project
        session.max_redirects = 0
        # No proxy of the environment stands between two processes of one machine.
        session.trust_env = not is_loopback(self.base_url)
        adapter = requests.adapters.HTTPAdapter(
            pool_connections=1, pool_maxsize=connections, max_retries=0
        )
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not stored: call initialise where they are needed")


def initialise(project: str, endpoint: str = "high-volume", credentials: str = "user") -> Access:
    """Finds the credentials, checks them and the project at the endpoint, readies `ee`.

    Args:
      project: id of a Google Cloud project that is registered for Earth Engine.
      endpoint: "high-volume", "standard", an https URL of googleapis.com, or http on loopback.
      credentials: "user" (of `earthengine authenticate`), "application_default" (of gcloud or
        GOOGLE_APPLICATION_CREDENTIALS; not the metadata server of a cloud machine), the
        path of a service-account file, or "anonymous", on loopback only.

    Raises:
      AuthError: no or wrong credentials, no project, one that may not be used, another endpoint.
      ConnectionError: the endpoint does not answer, or fails.
    """
    base_url = base_url_of(endpoint)
    _check_project(project)
    if credentials == ANONYMOUS:
        if not is_loopback(base_url):
            raise AuthError(
                f"credentials: expected {credential_files.CHOICES} for {base_url}, found"
                f" {ANONYMOUS!r}, which is for servers on this machine"
            )
        access = Access(base_url, project, ANONYMOUS)
    else:
        bearer = credential_files.find(credentials, is_trusted)
        access = Access(base_url, project, bearer.where, bearer)
        _first_token(bearer)
    _ready_ee(access)
    return access


def _first_token(bearer: credential_files.Bearer) -> None:
    try:
        bearer.token()
    except requests.ConnectionError as error:
        raise ConnectionError(f"{error}; is this machine online?") from None


def _check_project(project: object) -> None:
    hint = (
        "the id of a Google Cloud project that is registered for Earth Engine, such as"
        " ee-yourname; console.cloud.google.com/earth-engine lists and registers them"
    )
    if not project:
        raise AuthError(f"project: expected {hint}; found none")
    # Ids, numbers, and ids with a domain: developers.google.com/earth-engine/cloud/assets.
    if not isinstance(project, str) or not re.fullmatch(r"[a-z0-9][-a-z0-9.:]{1,60}", project):
        raise AuthError(f"project: expected {hint}; found {project!r}")


# The service's refusals

_NO_PROJECT = re.compile(r"(invalid |user |consumer )?project\b.*(not found|invalid|deleted)", re.I)
_RATE = re.compile(r"rate.?limit|quota exceeded", re.I)


def explain(status: int, message: str, access: Access) -> str | None:
    """What a refusal means for credentials or project, and what to do; None if nothing.

    Args:
      status: of HTTP.
      message: of the error; the service's own words.
      access: that was used.
    """
    if status not in (401, 403) and not (status in (400, 404) and _NO_PROJECT.match(message)):
        return None
    if status == 403 and _RATE.search(message):
        return None
    found = _short(message, access)
    project = access.project
    lower = message.lower()
    if status == 401:
        do = access._auth.remedy if access._auth else "give credentials"
    elif "not registered" in lower or "not signed up" in lower:
        do = (
            f"register project {project}:"
            f" console.cloud.google.com/earth-engine/configuration?project={project}"
        )
    elif "has not been used in project" in lower or "is disabled" in lower:
        do = (
            f"enable the Earth Engine API for project {project}, then wait some minutes:"
            " console.cloud.google.com/apis/library/earthengine.googleapis.com"
            f"?project={project}"
        )
    else:
        do = (
            f"check that project {project!r} is the right one, that it exists, and that the account"
            f" of these credentials ({access.credentials}) has the roles Earth Engine Resource"
            " Viewer and Service Usage Consumer there"
        )
    return f"{access.base_url}, project {project}: {status}, {found}\n  What to do: {do}"


def _short(message: str, access: Access) -> str:
    """The service's words, kept short, without a token should they echo it."""
    if access._auth is not None:
        message = access._auth.blank(message)
    return " ".join(message.split())[:600]


_NO_LOOK_UP: Any = {"": None}


class _Transport:
    """Sends requests of `ee`, in the manner of httplib2.Http: our session, one endpoint."""

    def __init__(self, access: Access):
        self._access, self._session = access, access.session()

    def request(
        self,
        uri: str,
        method: str = "GET",
        body: str | bytes | None = None,
        headers: Mapping[str, Any] | None = None,
        **_: object,
    ) -> tuple[httplib2.Response, bytes]:
        if not uri.startswith(self._access.base_url + "/"):
            raise AuthError(
                f"endpoint: expected {self._access.base_url}, found {uri}, which ee requested"
            )
        # `ee` adds the project to all but discovery, which the service serves without only.
        headers = {PROJECT_HEADER: None, **(headers or {})}
        problem: Exception | None = None
        try:
            response = self._session.request(
                method, uri, data=body, headers=headers, timeout=TIMEOUT_S
            )
        except requests.Timeout:
            problem = TimeoutError("no answer in time")
        except requests.RequestException as error:
            problem = ConnectionError(type(error).__name__)
        # Raised here: as a context, the error would hold the request with the token. It is of a
        # kind that googleapiclient knows how to repeat.
        if problem is not None:
            raise problem
        if response.status_code >= 400:
            message = explain(response.status_code, message_of(response.content), self._access)
            if message:
                raise AuthError(message)
        fields = {name.lower(): value for name, value in response.headers.items()}
        fields["status"] = str(response.status_code)
        return httplib2.Response(fields), response.content


def _check(access: Access, transport: _Transport) -> None:
    """Requests the algorithms, which `ee` needs next, and which need the project's permission.

    `ee` keeps them for the whole process and would not notice another project's refusal.
    """
    url = f"{access.base_url}/v1/{access.project_path}/algorithms?prettyPrint=false"
    try:
        response, content = transport.request(url, headers={PROJECT_HEADER: access.project})
    except (ConnectionError, TimeoutError) as error:
        problem = f"no connection ({error}); is this machine online?"
    else:
        if response.status == 200:
            return
        problem = f"it failed: {response.status}, {_short(message_of(content), access)}"
    raise ConnectionError(f"{access.base_url}: {problem}")


def _ready_ee(access: Access) -> None:
    """Has `ee` build graphs and evaluate them here; it is left as it was where that fails early."""
    transport = _Transport(access)
    _check(access, transport)
    ee.data.reset()
    ee.data.setMaxRetries(3)
    if not deprecation.deprecated_assets:
        deprecation.deprecated_assets = _NO_LOOK_UP
    try:
        ee.Initialize(
            credentials=None,
            url=access.base_url,
            project=access.project,
            http_transport=transport,
        )
    except (ConnectionError, TimeoutError) as error:
        problem = f"no connection ({error}); is this machine online?"
    except (ee.EEException, googleapiclient.errors.Error) as error:
        problem = f"it failed: {_short(str(error), access)}; try again later"
    else:
        return
    raise ConnectionError(f"{access.base_url}: {problem}")
