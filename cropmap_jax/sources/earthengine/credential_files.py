"""Credentials: where they are looked for, what is wrong with a file, and the tokens they give.

Nothing is written. No text that leaves this module holds a value of a file but its type and the
addresses that are public: a service account's name, where its tokens come from.

`google.auth` makes tokens of what is found. Its own search is not used: `google.auth.default` also
asks a cloud machine's metadata server, `load_credentials_from_file` is deprecated as it accepts
every type of credentials (some run a program or send a key to any address), and the errors of both
quote the file.
"""

import json
import os
import pathlib
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import google.auth.exceptions
import google.auth.transport.requests
import google.oauth2.credentials
import google.oauth2.service_account
import requests
from ee import oauth
from google.auth import _cloud_sdk

from cropmap_jax.sources.earthengine.errors import AuthError

USER, APPLICATION_DEFAULT = "user", "application_default"
CHOICES = f"{USER!r}, {APPLICATION_DEFAULT!r} or the path of a service-account file"
VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
SCOPES = (
    "https://www.googleapis.com/auth/earthengine",
    "https://www.googleapis.com/auth/cloud-platform",
)
"""What a token may do: read and compute, nothing of Drive or Cloud Storage.

Source: developers.google.com/earth-engine/reference/rest/v1/projects.image/computePixels.
"""
USER_REMEDY = (
    "run `earthengine authenticate --force` (on a machine without a browser with"
    " --auth_mode=notebook)"
)
ADC_REMEDY = f"run `gcloud auth application-default login --scopes={','.join(SCOPES)}`"
SERVICE_REMEDY = (
    "see whether the account and its key still exist and this machine's clock is right; make"
    " another key (Google Cloud console, IAM, service accounts, keys, JSON)"
)
SERVICE, AUTHORISED = "service_account", "authorized_user"


class Bearer(requests.auth.AuthBase):
    """Gives requests a valid token; threads that need a new one wait for a single exchange."""

    def __init__(self, credentials: google.oauth2.credentials.Credentials, where: str, remedy: str):
        self._credentials, self.where, self.remedy = credentials, where, remedy
        self._lock = threading.Lock()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token()}"
        return request

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not stored")

    def token(self) -> str:
        """A token that is good for minutes yet.

        Raises:
          AuthError: the issuer refuses; requests.ConnectionError: it does not answer.
        """
        with self._lock:
            problem = None if self._credentials.valid else self._refresh()
            token = self._credentials.token
        if problem is not None:
            raise problem
        return str(token)

    def blank(self, text: str) -> str:
        """The text without the token."""
        token = self._credentials.token
        return text.replace(token, "[token]") if token else text

    def _refresh(self) -> Exception | None:
        # The exceptions of google.auth carry request and response: they go no further, not
        # even as the context of ours, which is why ours is raised elsewhere.
        with requests.Session() as session:
            try:
                self._credentials.refresh(google.auth.transport.requests.Request(session))
                return None
            except google.auth.exceptions.TransportError:
                found = None
            except google.auth.exceptions.RefreshError as error:
                found = "" if error.retryable else _oauth_code(error)
            except Exception as error:  # a key that does not sign, a response that is not JSON
                found = type(error).__name__
        if not found:
            return requests.ConnectionError(f"{self.where}: no answer from the issuer of tokens")
        return AuthError(
            f"{self.where}: no token ({found}): expired, revoked or not valid.\n"
            f"  What to do: {self.remedy}"
        )


def _oauth_code(error: google.auth.exceptions.RefreshError) -> str:
    """The OAuth error, such as invalid_grant, and no more of the response.

    Source: RFC 6749, section 5.2, which lists the codes.
    """
    found = re.match(r"[a-z_]{3,40}(?=$|[:\s])", str(error.args[0]) if error.args else "")
    return found[0] if found else type(error).__name__


def find(credentials: str, trusted: Callable[[str], bool]) -> Bearer:
    """Reads the credentials; connects to nothing.

    Args:
      credentials: "user", "application_default" or a path.
      trusted: whether a service account's key may be used at this URL.

    Raises:
      AuthError: none there, or a file that does not hold what it should.
    """
    if credentials == USER:
        return _user()
    if credentials == APPLICATION_DEFAULT:
        return _application_default(trusted)
    path = pathlib.Path(credentials or "").expanduser()
    if not credentials or not path.exists():
        found = f"{str(credentials)!r}, and there is no such file" if credentials else "nothing"
        raise AuthError(f"credentials: expected {CHOICES}; found {found}")
    info = _read(path, SERVICE_REMEDY)
    if info.get("type") != SERVICE:
        raise AuthError(
            f"{path}: expected the JSON key of a service account (type {SERVICE!r}), found"
            f" {_kind(info)}.\n  What to do: {_other_kind(info)}"
        )
    return _service_account(path, info, trusted)


def _user() -> Bearer:
    path = pathlib.Path(oauth.get_credentials_path())
    if not path.exists():
        raise AuthError(
            f"no credentials for Earth Engine: looked for {path} (credentials={USER!r}).\n"
            f"  What to do: {USER_REMEDY}, or give {APPLICATION_DEFAULT!r} or the path of a"
            " service-account file"
        )
    info = _read(path, USER_REMEDY)
    if not info.get("refresh_token"):
        raise AuthError(f"{path}: it holds no refresh token.\n  What to do: {USER_REMEDY}")
    # As ee.oauth.get_credentials_arguments does. The project is given elsewhere.
    found = google.oauth2.credentials.Credentials(
        None,
        refresh_token=info["refresh_token"],
        token_uri=oauth.TOKEN_URI,
        client_id=info.get("client_id", oauth.CLIENT_ID),
        client_secret=info.get("client_secret", oauth.CLIENT_SECRET),
        scopes=info.get("scopes", oauth.SCOPES),
    )
    return Bearer(found, str(path), USER_REMEDY)


def _application_default(trusted: Callable[[str], bool]) -> Bearer:
    """As google.auth.default finds them, which would ask a metadata server next; this does not."""
    named = os.environ.get(VARIABLE)
    usual = pathlib.Path(_cloud_sdk.get_application_default_credentials_path())
    path = pathlib.Path(named) if named else usual
    if not path.exists():
        looked = f"{path} (which {VARIABLE} names)" if named else f"{VARIABLE}, not set, and {path}"
        raise AuthError(
            f"no application default credentials: looked for {looked}; a cloud machine's metadata"
            f" server is not asked.\n  What to do: {ADC_REMEDY}, or give {USER!r} or the path of a"
            " service-account file"
        )
    info = _read(path, ADC_REMEDY)
    if info.get("type") == SERVICE:
        return _service_account(path, info, trusted)
    if info.get("type") != AUTHORISED:
        raise AuthError(
            f"{path}: expected credentials of type {AUTHORISED!r} or {SERVICE!r}, found"
            f" {_kind(info)}.\n  What to do: {ADC_REMEDY}"
        )
    _require(info, ("refresh_token", "client_id", "client_secret"), path, ADC_REMEDY)
    found = google.oauth2.credentials.Credentials(
        None,
        refresh_token=info["refresh_token"],
        token_uri=oauth.TOKEN_URI,
        client_id=info["client_id"],
        client_secret=info["client_secret"],
    )
    return Bearer(found, str(path), ADC_REMEDY)


def _service_account(
    path: pathlib.Path, info: Mapping[str, Any], trusted: Callable[[str], bool]
) -> Bearer:
    _require(info, ("client_email", "private_key", "token_uri"), path, SERVICE_REMEDY)
    # A file from elsewhere could have the signed assertion sent anywhere.
    if not trusted(str(info["token_uri"])):
        raise AuthError(
            f"{path}: token_uri: expected https://oauth2.googleapis.com/token, found"
            f" {info['token_uri']!r}"
        )
    try:
        found = google.oauth2.service_account.Credentials.from_service_account_info(
            info, scopes=SCOPES
        )
    except Exception:  # the libraries below raise many kinds; their texts may quote the key
        found = None
    if found is None:
        raise AuthError(
            f"{path}: its private_key is not a key that can be read: was it cut or edited?\n"
            f"  What to do: {SERVICE_REMEDY}"
        )
    return Bearer(found, f"{path}, {info['client_email']}", SERVICE_REMEDY)


def _read(path: pathlib.Path, remedy: str) -> dict[str, Any]:
    """The JSON object that a file holds."""
    # What is caught here quotes the file (JSONDecodeError.doc is all of it): it is not even the
    # context of what is raised.
    info: Any = None
    problem = None
    try:
        info = json.loads(path.read_text())
    except OSError as error:
        problem = f"it cannot be read ({error.strerror})"
    except ValueError:
        problem = "it is not JSON"
    if problem is None and not isinstance(info, dict):
        problem = f"expected a JSON object, found {type(info).__name__}"
    if problem is not None:
        raise AuthError(f"{path}: {problem}.\n  What to do: {remedy}")
    found: dict[str, Any] = info
    return found


def _require(
    info: Mapping[str, Any], names: Sequence[str], path: pathlib.Path, remedy: str
) -> None:
    absent = [name for name in names if not info.get(name)]
    if absent:
        raise AuthError(f"{path}: it lacks {', '.join(absent)}.\n  What to do: {remedy}")


def _kind(info: Mapping[str, Any]) -> str:
    if {"installed", "web"} & info.keys():
        return "an OAuth client (installed or web)"
    kind = info.get("type")
    known = (SERVICE, AUTHORISED, "external_account", "impersonated_service_account")
    return f"type {kind!r}" if kind in known else "no type that is known"


def _other_kind(info: Mapping[str, Any]) -> str:
    if info.get("type") == AUTHORISED:
        return f"give {APPLICATION_DEFAULT!r}, with {VARIABLE} naming this file if need be"
    return "make a key: Google Cloud console, IAM, service accounts, keys, JSON"
