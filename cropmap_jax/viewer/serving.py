"""Runs the server until Ctrl-C, on an address of this machine."""

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable

import uvicorn

from cropmap_jax.viewer import app
from cropmap_jax.viewer.view import View

DEFAULT_PORT = 8750


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address.

    Args:
      host: name or address of this machine.
      port: 0 for any that is free.

    Raises:
      ValueError: another program has the port, it needs more rights, or the host is not of this
        machine; names the flag.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"--port: expected 0 to 65535, found {port}")
    try:
        found = socket.getaddrinfo(host or "127.0.0.1", port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ValueError(f"--host: expected an address of this machine, found {host!r}") from error
    family, kind, protocol, _, address = found[0]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(address)
        made.listen(128)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"--port {port}: in use by another program; expected a free one, such as "
                f"--port {port + 1 if port < 65535 else port - 1}, or --port 0 for any"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise ValueError(f"--port {port}: needs more rights; expected 1024 or more") from error
        raise ValueError(
            f"--host: expected an address of this machine, found {host!r} ({error.strerror})"
        ) from error
    return made


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def names(host: str) -> tuple[str, ...]:
    """Names that requests may call the server by; () for any, where it serves every address."""
    if is_loopback(host):
        return tuple({*app.LOOPBACK, _in_address(host)} - {""})
    try:
        if ipaddress.ip_address(host.strip("[]")).is_unspecified:
            return ()
    except ValueError:
        pass
    return (*app.LOOPBACK, _in_address(host.lower()))


def _in_address(host: str) -> str:
    """A host as an address has it: one of IPv6 in brackets."""
    return f"[{host.strip('[]')}]" if ":" in host else host


def serve(view: View, made: socket.socket, host: str, ready: Callable[[str], None]) -> None:
    """Serves a view until Ctrl-C.

    Args:
      view: what is shown.
      made: from `listen`.
      host: that it was made for.
      ready: told the address when it answers.
    """
    config = uvicorn.Config(
        app.make_app(view, names(host)),
        log_level="error",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = _Announcing(config, lambda: ready(address(made, host)))
    with contextlib.suppress(KeyboardInterrupt), contextlib.closing(made):
        server.run(sockets=[made])


def address(made: socket.socket, host: str) -> str:
    """What to open in a browser."""
    port = made.getsockname()[1]
    host = host or "127.0.0.1"
    if names(host) == ():
        host = "127.0.0.1"
    return f"http://{_in_address(host)}:{port}/"


class _Announcing(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]):
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()
