"""Ends quietly where nobody reads any more what a command prints, as of `cropmap --help | head`."""

import contextlib
import os
import select
import sys

CLOSED = 141
"""The exit code then, which is that of a program that SIGPIPE (13) ends: 128 + 13."""
_STREAMS = (1, 2)


def are_closed() -> list[int]:
    """Which of the standard output and the standard error nobody reads any more."""
    found = []
    for stream in _STREAMS:
        asked = select.poll()
        asked.register(stream, 0)
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in asked.poll(0)):
            found.append(stream)
    return found


@contextlib.contextmanager
def end_quietly():
    """Exits with CLOSED where what is inside prints to nobody; another broken pipe is an error."""
    try:
        try:
            yield
        except SystemExit:
            _flush()
            raise
        _flush()
    except BrokenPipeError:
        closed = are_closed()
        if not closed:
            raise
        # What is left in the buffers goes nowhere, or Python would complain as it ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in closed:
            os.dup2(nowhere, stream)
        os.close(nowhere)
        sys.exit(CLOSED)


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()
