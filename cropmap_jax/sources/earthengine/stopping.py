"""How an export stops: waits that end, and Ctrl-C between two answers."""

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

    def __init__(self):
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
def interrupts(events: queue.SimpleQueue) -> Iterator[None]:
    """Ctrl-C becomes an event, so that it never falls between an answer and its being written down.

    A second one interrupts at once. Outside the main thread signals are left as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def tell(number, frame):
        signal.signal(signal.SIGINT, before)
        events.put(Event(INTERRUPT, None, None, error=KeyboardInterrupt()))

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, tell)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
