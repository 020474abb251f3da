import concurrent.futures
import datetime as dt
import json
import logging
import pathlib
import pickle
import traceback
import warnings

import ee
import numpy as np
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from ee import deprecation, oauth
from fault_server import Fault, expected

from cropmap_jax.sources.earthengine import auth, client, errors

REFRESH, SECRET, TOKEN = "1//refresh-of-a-user", "secret-of-a-client", "ya29.token-of-an-hour"
PROJECT = "ee-somebody"
ADDRESS = "robot@ee-somebody.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def private_key():
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, fault_server, guard):
    """A home without credentials; tokens come from the fault server, which is all there is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(oauth, "TOKEN_URI", f"{fault_server.url}/token")
    monkeypatch.setattr(deprecation, "deprecated_assets", {})
    fault_server.set(token=TOKEN)
    guard.only(fault_server.url)
    return tmp_path


@pytest.fixture
def user_file(home):
    return written(
        home / ".config/earthengine/credentials",
        {"refresh_token": REFRESH, "client_secret": SECRET, "client_id": "somebody"},
    )


@pytest.fixture
def adc_file(home):
    return written(
        home / ".config/gcloud/application_default_credentials.json",
        {
            "type": "authorized_user",
            "refresh_token": REFRESH,
            "client_secret": SECRET,
            "client_id": "somebody",
            "quota_project_id": "another-project",
        },
    )


@pytest.fixture
def service_file(home, private_key, fault_server):
    return written(
        home / "robot.json",
        {
            "type": "service_account",
            "client_email": ADDRESS,
            "private_key": private_key,
            "token_uri": f"{fault_server.url}/token",
        },
    )


def written(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def changed(path, **fields):
    """Writes a JSON file again; fields that are None go."""
    info = json.loads(path.read_text()) | fields
    return written(path, {name: value for name, value in info.items() if value is not None})


def fails(*arguments, **options):
    """The text of the AuthError, which says what to do and is one that a client stops for."""
    with pytest.raises(auth.AuthError) as error:
        auth.initialise(*arguments, **options)
    assert isinstance(error.value, ValueError) and isinstance(error.value, errors.Fatal)
    return str(error.value)


def asked(server):
    return server.counts()["other"]


# What works


def test_anonymous_on_loopback(fault_server):
    fault_server.set(token=None)
    access = auth.initialise(PROJECT, fault_server.url + "/", "anonymous")
    assert access.base_url == fault_server.url
    assert access.project_path == "projects/ee-somebody"
    assert access.pixels_url == f"{fault_server.url}/v1/projects/ee-somebody/image:computePixels"
    graph = ee.Image.constant(1).add(ee.Image("A/B")).serialize(for_cloud_api=True)
    assert "Image.add" in graph
    assert fault_server.counts()["authorised"] == 0


@pytest.mark.parametrize("kind", ["user", "application_default", "named", "service"])
def test_credentials_are_found_and_used(
    kind, fault_server, user_file, adc_file, service_file, monkeypatch
):
    if kind == "named":
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_file))
    given = {"service": str(service_file), "named": "application_default"}.get(kind, kind)
    where = {"user": user_file, "application_default": adc_file}.get(kind, service_file)
    access = auth.initialise(PROJECT, fault_server.url, given)
    assert access.credentials.startswith(str(where))
    with access.session() as session:
        answer = session.get(f"{access.base_url}/v1/{access.project_path}/algorithms", timeout=5)
    assert answer.status_code == 200
    # One exchange serves all. Asked for: the check, discovery (which ee builds on twice), ours;
    # and, the first time in a process, ee's own list of algorithms. The project that the
    # credentials name is not asked for, and discovery is asked without any, as ee does it.
    counts = asked(fault_server)
    assert counts.pop("algorithms") in (2, 3)
    assert counts == {"token": 1, "discovery": 2}
    assert fault_server.counts()["projects"] == [["algorithms", PROJECT]]


def test_initialize_alone_would_ask_another_address(fault_server, guard):
    fault_server.set(token=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ee.Initialize(credentials=None, url=fault_server.url, project=PROJECT)
    assert guard.refused == [("storage.googleapis.com", None)]
    guard.refused.clear()


def test_ee_may_ask_the_endpoint_only_and_knows_no_credentials(fault_server, user_file):
    access = auth.initialise(PROJECT, fault_server.url, "user")
    transport = auth._Transport(access)
    for url in ("https://storage.googleapis.com/x", fault_server.url + "0/v1", "http://127.0.0.1"):
        with pytest.raises(auth.AuthError, match="which ee requested"):
            transport.request(url)
    assert ee.data._get_state().credentials is None


def test_redirections_are_not_followed(fault_server, guard):
    fault_server.set(token=None)
    access = auth.initialise(PROJECT, fault_server.url, "anonymous")
    fault_server.set(faults=[Fault("redirect", on="algorithms")])
    with access.session() as session, pytest.raises(requests.TooManyRedirects):
        session.get(f"{access.base_url}/v1/{access.project_path}/algorithms", timeout=5)
    assert guard.refused == []


def test_a_session_uses_no_password_of_netrc_and_no_proxy(fault_server, home, monkeypatch):
    fault_server.set(token=None)
    written(home / ".netrc", "machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    auth.initialise(PROJECT, fault_server.url, "anonymous")
    assert fault_server.counts()["authorised"] == 0


def test_threads_that_need_a_token_wait_for_one_exchange(fault_server, user_file):
    access = auth.initialise(PROJECT, fault_server.url, "user")
    fault_server.reset()
    access._auth._credentials.expiry = dt.datetime(2020, 1, 1)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        tokens = list(pool.map(lambda _: access._auth.token(), range(16)))
    assert tokens == [TOKEN] * 16
    assert asked(fault_server) == {"token": 1}


# Bad input


@pytest.mark.parametrize("project", ["", None, "projects/ee-x", "My Project", 7])
def test_no_project_or_no_id_of_one(project, fault_server):
    text = fails(project, fault_server.url, "anonymous")
    assert text.startswith("project: expected the id of a Google Cloud project")
    assert (repr(project) if project else "found none") in text
    assert fault_server.counts()["other"] == {}


@pytest.mark.parametrize(
    "endpoint",
    [
        "fast",
        "http://earthengine.googleapis.com",
        "https://earthengine.googleapis.com.example.org",
        "https://example.org/googleapis.com",
        "https://a@b.googleapis.com",
        "https://badgoogleapis.com",
        "https://127.0.0.1.example.org",
        "https://127.0.0.1:port",
        "ftp://127.0.0.1",
        "",
    ],
)
def test_credentials_go_to_no_other_endpoint(endpoint):
    assert "endpoint: expected standard, high-volume, https" in fails(PROJECT, endpoint, "user")


def test_the_names_of_endpoints():
    assert auth.base_url_of("standard") == "https://earthengine.googleapis.com"
    assert auth.base_url_of("high-volume") == "https://earthengine-highvolume.googleapis.com"
    assert auth.base_url_of("http://[::1]:8000/") == "http://[::1]:8000"


def test_anonymous_is_for_loopback():
    assert "which is for servers on this machine" in fails(PROJECT, "standard", "anonymous")


def test_no_credentials_names_where_they_were_looked_for(home, fault_server, monkeypatch):
    text = fails(PROJECT, fault_server.url)
    assert f"looked for {home}/.config/earthengine/credentials" in text
    assert "`earthengine authenticate" in text
    text = fails(PROJECT, fault_server.url, "application_default")
    assert "GOOGLE_APPLICATION_CREDENTIALS, not set" in text
    assert f"{home}/.config/gcloud/application_default_credentials.json" in text
    assert "`gcloud auth application-default login" in text
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such.json")
    text = fails(PROJECT, fault_server.url, "application_default")
    assert "/no/such.json (which GOOGLE_APPLICATION_CREDENTIALS names)" in text
    text = fails(PROJECT, fault_server.url, "/no/robot.json")
    assert "found '/no/robot.json', and there is no such file" in text
    for nothing in ("", None):
        assert "found nothing" in fails(PROJECT, fault_server.url, nothing)
    assert asked(fault_server) == {}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("not json " + SECRET, "it is not JSON"),
        ("[1]", "expected a JSON object, found list"),
        ({"installed": {"client_secret": SECRET}}, "found an OAuth client"),
        ({"type": "authorized_user", "refresh_token": REFRESH}, "found type 'authorized_user'"),
        ({"type": SECRET}, "found no type that is known"),
        ({}, "found no type that is known"),
    ],
)
def test_files_that_are_no_service_accounts(content, words, home, fault_server):
    path = written(home / "file.json", content)
    text = fails(PROJECT, fault_server.url, str(path))
    assert text.startswith(f"{path}: ") and words in text and "What to do:" in text
    assert SECRET not in text and REFRESH not in text


def test_service_account_files_that_were_damaged(service_file, home, fault_server, private_key):
    def fails_with(**fields):
        return fails(PROJECT, fault_server.url, str(changed(service_file, **fields)))

    assert "it lacks private_key." in fails_with(private_key=None)
    cut = private_key[: len(private_key) // 2]
    text = fails_with(private_key=cut)
    assert "its private_key is not a key that can be read" in text
    assert cut[40:80] not in text
    text = fails_with(private_key=private_key, token_uri="https://example.org/token")
    assert "token_uri: expected https://oauth2.googleapis.com/token, found 'https://ex" in text
    directory = home / "folder"
    directory.mkdir()
    assert "it cannot be read" in fails(PROJECT, fault_server.url, str(directory))


def test_user_and_default_files_that_lack_something(user_file, adc_file, fault_server):
    changed(user_file, refresh_token=None)
    assert "it holds no refresh token" in fails(PROJECT, fault_server.url)
    changed(adc_file, client_id=None)
    text = fails(PROJECT, fault_server.url, "application_default")
    assert "it lacks client_id." in text
    changed(adc_file, type="external_account")
    text = fails(PROJECT, fault_server.url, "application_default")
    assert "expected credentials of type 'authorized_user' or 'service_account'" in text


@pytest.mark.parametrize("kind", ["user", "application_default", "service"])
def test_an_expired_or_revoked_grant(kind, fault_server, user_file, adc_file, service_file):
    fault_server.set(faults=[Fault("invalid_grant", on="token")])
    text = fails(PROJECT, fault_server.url, {"service": str(service_file)}.get(kind, kind))
    assert "no token (invalid_grant): expired, revoked or not valid." in text
    remedy = {
        "user": "`earthengine authenticate --force`",
        "application_default": "`gcloud auth application-default login",
        "service": "make another key",
    }
    assert remedy[kind] in text


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("not_registered", "register project ee-somebody: console.cloud.google.com/earth-engine"),
        ("api_disabled", "enable the Earth Engine API for project ee-somebody"),
        ("403", "check that project 'ee-somebody' is the right one"),
        ("401", "What to do: run `earthengine authenticate --force`"),
    ],
)
@pytest.mark.parametrize("on", ["algorithms", "discovery"])
def test_what_the_service_refuses_is_explained(kind, words, on, fault_server, user_file):
    fault_server.set(faults=[Fault(kind, on=on)])
    text = fails(PROJECT, fault_server.url)
    assert text.startswith(f"{fault_server.url}, project ee-somebody: {kind[:3]}"[:-3])
    assert words in text


def test_other_errors_say_nothing_about_credentials():
    access = auth.Access("http://127.0.0.1:1", PROJECT, "anonymous")
    for status, message in [
        (400, "User memory limit exceeded."),
        (404, "Image asset 'projects/a/assets/b' not found."),
        (400, "Image.load: no asset 'a' of project b, or not found."),
        (500, "Project: invalid"),
        (429, "Too many concurrent aggregations."),
        (403, "Rate Limit Exceeded"),
        (500, "An internal error has occurred"),
    ]:
        assert auth.explain(status, message, access) is None
    text = auth.explain(404, "Project 'ee-somebody' not found or deleted.", access)
    assert "check that project 'ee-somebody' is the right one" in text


def test_a_token_that_ends_in_the_middle_stops_the_client(fault_server, user_file):
    access = auth.initialise(PROJECT, fault_server.url)
    access._auth._credentials.expiry = dt.datetime(2020, 1, 1)
    fault_server.set(faults=[Fault("invalid_grant", on="token")])
    with access.session() as session, pytest.raises(errors.Fatal, match="--force"):
        session.post(access.pixels_url, json={}, timeout=5)
    # No answer from the issuer may pass: that is a lost connection as any other.
    fault_server.set(faults=[Fault("dropped", on="token")])
    with access.session() as session, pytest.raises(requests.ConnectionError, match="no answer"):
        session.post(access.pixels_url, json={}, timeout=5)


def test_an_endpoint_that_does_not_answer_or_fails(fault_server, monkeypatch):
    monkeypatch.setattr("googleapiclient.http.time.sleep", lambda seconds: None)
    fault_server.set(token=None)
    for on in ("algorithms", "discovery"):
        fault_server.set(faults=[Fault("503", on=on)])
        with pytest.raises(ConnectionError, match="it failed: .*currently unavailable"):
            auth.initialise(PROJECT, fault_server.url, "anonymous")
        fault_server.set(faults=[Fault("dropped", on=on)])
        with pytest.raises(ConnectionError, match="no connection.*is this machine online"):
            auth.initialise(PROJECT, fault_server.url, "anonymous")
    assert asked(fault_server)["discovery"] == 4 + 4  # repeated three times


def test_ee_can_be_used_after_a_failure(fault_server, offline_ee):
    fault_server.set(token=None, faults=[Fault("403", on="algorithms")])
    fails(PROJECT, fault_server.url, "anonymous")
    assert "A/B" in ee.Image("A/B").add(1).serialize()


# Secrets


def everything(error):
    """All texts that a log or a debugger's summary would show of an exception."""
    texts = traceback.format_exception(error)
    while error is not None:
        texts += [str(error), repr(error), repr(getattr(error, "__dict__", ""))]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


@pytest.mark.parametrize("kind", ["user", "application_default", "service", "broken"])
@pytest.mark.parametrize(
    "fault",
    [
        None,
        ("invalid_grant", "token"),
        ("500", "token"),
        ("403", "algorithms"),
        ("401", "discovery"),
    ],
)
def test_credentials_are_nowhere_to_be_read(
    kind, fault, fault_server, user_file, adc_file, service_file, private_key, home, caplog, capfd,
    monkeypatch,
):  # fmt: skip
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    caplog.set_level(logging.DEBUG)
    files = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    if kind == "broken":
        cut = changed(service_file, private_key=private_key[:900])
        files[cut] = cut.read_bytes()
    if fault is not None:
        fault_server.set(faults=[Fault(fault[0], on=fault[1])])
    given = str(service_file) if kind in ("service", "broken") else kind
    texts = []
    try:
        access = auth.initialise(PROJECT, fault_server.url, given)
        texts += [repr(access), str(access), repr(access.session().__dict__)]
        for what in (access, access._auth):
            with pytest.raises(TypeError, match="credentials are not stored"):
                pickle.dumps(what)
        assert fault is None and kind != "broken"
    except (auth.AuthError, ConnectionError) as error:
        assert fault is not None or kind == "broken"
        texts.append(everything(error))
    texts += [caplog.text, *capfd.readouterr()]
    secrets = [REFRESH, SECRET, TOKEN, *private_key.splitlines()[1:-1]]
    assert not [secret for secret in secrets for text in texts if secret in text]
    # Nothing was written, and nothing was changed.
    assert files == {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_an_answer_that_quotes_the_token_is_blanked(fault_server, user_file):
    access = auth.initialise(PROJECT, fault_server.url)
    text = auth.explain(401, f"Bearer {TOKEN} is not valid\n" + "x" * 2000, access)
    assert "[token] is not valid" in text and TOKEN not in text
    assert len(text) < 1000


def test_nothing_here_reads_the_credentials_of_the_machine(home):
    assert pathlib.Path(oauth.get_credentials_path()).is_relative_to(home)


def test_the_client_asks_with_it(fault_server, service_file):
    access = auth.initialise(PROJECT, fault_server.url, str(service_file))
    asks = client.Client(access.base_url, access.project, access.session(), attempts=1)
    affine = {"scaleX": 10.0, "shearX": 0.0, "translateX": 500_000.0}
    affine |= {"shearY": 0.0, "scaleY": -10.0, "translateY": 5_600_000.0}
    size = {"width": 4, "height": 3}
    grid = {"dimensions": size, "affineTransform": affine, "crsCode": "EPSG:32631"}
    found = asks.fetch({}, ["p00_B2", "p00_B3"], grid)
    wanted = expected(grid, ["p00_B2", "p00_B3"])
    np.testing.assert_array_equal(found, np.stack([wanted["p00_B2"], wanted["p00_B3"]], -1))
    access._auth._credentials.expiry = dt.datetime(2020, 1, 1)
    fault_server.set(faults=[Fault("invalid_grant", on="token")])
    with pytest.raises(errors.Fatal, match="invalid_grant.*\n.*make another key"):
        asks.fetch({}, ["p00_B2"], grid)
