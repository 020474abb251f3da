"""What the tests of Earth Engine may use: servers on loopback, `ee` without a service, a guard."""

import ipaddress
import os
import socket

import fault_server as servers
import pytest


class Outside(AssertionError):
    """A connection, or a look-up of a name, that leads out of this machine."""


class Guard:
    """Which connections are let through, and which were tried.

    Attributes:
      allowed: (host, port) that may be connected to; None for every loopback address.
      refused: what else was tried. The test fails at its end if there is any, so that code which
        swallows the exception is found out too.
    """

    def __init__(self):
        self.allowed = None
        self.refused = []

    def only(self, url: str):
        """From now on lets through nothing but this loopback URL."""
        host, _, port = url.partition("://")[2].partition("/")[0].rpartition(":")
        self.allowed = {(host, int(port))}

    def check(self, address):
        """Raises Outside unless the address, a socket's, may be connected to."""
        if not isinstance(address, tuple):
            return  # a Unix socket
        host, port = address[0], address[1]
        if _is_loopback(host) and (self.allowed is None or (host, port) in self.allowed):
            return
        self.refused.append((host, port))
        raise Outside(f"a connection to {host}:{port}; allowed: {self.allowed or 'loopback'}")

    def check_name(self, host):
        """Raises Outside unless the name needs no look-up: an address is checked when connected."""
        if host in (None, "", b"") or _is_address(host):
            return
        self.refused.append((host, None))
        raise Outside(f"a look-up of {host}")


def _is_loopback(host) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host) -> bool:
    try:
        ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host)
    except ValueError:
        return host in ("localhost", b"localhost")
    return True


@pytest.fixture(autouse=True)
def guard(monkeypatch):
    """Every test here: connecting or looking up anything but loopback fails the test.

    `guard.only(server.url)` narrows it to one server. Threads are covered, other processes are not.
    """
    guard = Guard()
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    sendto, look_up = socket.socket.sendto, socket.getaddrinfo

    def checked_connect(self, address):
        guard.check(address)
        return connect(self, address)

    def checked_connect_ex(self, address):
        guard.check(address)
        return connect_ex(self, address)

    def checked_sendto(self, data, *where):
        guard.check(where[-1])
        return sendto(self, data, *where)

    def checked_look_up(host, *rest, **options):
        guard.check_name(host)
        return look_up(host, *rest, **options)

    monkeypatch.setattr(socket.socket, "connect", checked_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", checked_connect_ex)
    monkeypatch.setattr(socket.socket, "sendto", checked_sendto)
    monkeypatch.setattr(socket, "getaddrinfo", checked_look_up)
    # A proxy of the environment would be the one connection, and hide where it leads.
    for name in list(os.environ):
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name)
    yield guard
    assert not guard.refused, f"connections out of this machine were tried: {guard.refused}"


@pytest.fixture
def fault_server():
    """A `FaultServer` in this process; `fault_server.set(faults=[...])`."""
    with servers.FaultServer() as server:
        yield server


@pytest.fixture
def fault_process(tmp_path):
    """A `FaultProcess`: the same in a process of its own, which outlives a killed client."""
    with servers.FaultProcess(tmp_path / "fault_server.json") as server:
        yield server


@pytest.fixture(scope="session")
def offline_ee():
    """`ee`, ready to build graphs: its list of algorithms is the one that its wheel ships.

    The server is gone when the fixture is there: what evaluates a graph fails.
    """
    import ee
    from ee import deprecation

    # Not empty: looked up already. Otherwise Initialize asks storage.googleapis.com.
    deprecation.deprecated_assets = {"": None}
    with servers.FaultServer() as server:
        ee.Initialize(credentials=None, url=server.url, project="test")
    return ee
