"""How an export stops: waits that end, and Ctrl-C between two responses."""

import contextlib
import queue
import signal
import threading
from collections.abc import Iterator

from cropmap_jax.sources.earthengine.errors import Busy
from cropmap_jax.sources.earthengine.workers import Event

INTERRUPT = "interrupt"
"""Kind of the event that Ctrl-C is."""


class Pause:
    """Waits as `time.sleep` does, but not on when an export stops: give it to the client."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def __call__(self, seconds: float) -> None:
        """Waits.

        Raises:
          Busy: the export has stopped.
        """
        if self._ended.wait(seconds):
            raise Busy("the export was stopped")

    def end(self) -> None:
        """Ends this wait and all to come."""
        self._ended.set()


@contextlib.contextmanager
def interrupts(events: queue.SimpleQueue[Event]) -> Iterator[None]:
    """Ctrl-C becomes an event, so that it never falls between a response and its record.

    A second one interrupts at once. Outside the main thread signals are left as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def report(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        # It has no work: its error ends the run before any is looked at.
        events.put(Event(INTERRUPT, None, None, error=KeyboardInterrupt()))  # type: ignore[arg-type]

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, report)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
