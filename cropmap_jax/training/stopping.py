"""How a run stops early without losing work: a signal is noted, the loop saves and ends."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

from cropmap_jax.geo import processes


class Stopped(KeyboardInterrupt):
    """A signal stopped the run, and all that was done is saved."""

    def __init__(self, number: int | None, step: int, workdir: str | os.PathLike[str]):
        # Another process may have got the signal.
        name = signal.Signals(number).name if number else "a signal"
        super().__init__(f"stopped by {name} after step {step}, saved in {workdir}")
        self.exit_code = 128 + (number or signal.SIGTERM)


class StopSignal:
    """The signal that requested a run to stop.

    Attributes:
      number: of the signal; None where there was none.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Notes the first SIGINT, SIGTERM or SIGHUP in the block; a second one acts at once.

        What is ignored (by nohup) stays so.
        """
        previous: dict[int, Any] = {}

        def note(number: int, _: FrameType | None) -> None:
            self.number = number
            signal.signal(number, previous[number])

        numbers: tuple[int, ...] = (signal.SIGINT, *processes.ENDING)
        try:
            for number in numbers:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    previous[number] = signal.signal(number, note)
        except ValueError:  # not in the main thread
            pass
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
