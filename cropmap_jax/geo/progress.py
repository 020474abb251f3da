"""Progress bars of all commands: what is done, what is left, and why it waits."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

_HIDDEN = False
# Again from one thread: a bar that is garbage closes itself at any moment.
_LOCK = threading.RLock()
_BARS: list[tqdm] = []
_REASONS: dict[int, str] = {}


def hide() -> None:
    """No bars from here on, in this process and its forks."""
    global _HIDDEN
    _HIDDEN = True


class _Bar(tqdm):  # type: ignore[misc]
    """A bar that `waiting` can write on; a line now and then where output goes to a file."""

    def __init__(self, *args: Any, **settings: Any):
        terminal = sys.stderr.isatty()
        defaults = {"mininterval": 0.2 if terminal else 10.0, "dynamic_ncols": terminal}
        settings["disable"] = bool(settings.get("disable", False)) or _HIDDEN
        super().__init__(*args, **defaults | settings)
        if not self.disable:
            with _LOCK:
                _BARS.append(self)

    def close(self) -> None:
        with _LOCK, contextlib.suppress(ValueError):
            _BARS.remove(self)
        super().close()


def bar(iterable: Any = None, **settings: Any) -> tqdm:
    """A tqdm bar on stderr.

    Args:
      iterable: what it counts; None: `update` does.
      **settings: of tqdm: total, unit, desc, initial, disable.
    """
    return _Bar(iterable, **settings)


@contextlib.contextmanager
def waiting(reason: str) -> Iterator[None]:
    """Shows why nothing happens, on the bar of this moment, until the block ends.

    Of threads that wait at the same time, the one that began last is shown, and how many there are.

    Args:
      reason: a few words without secrets, such as "the service answers 429, 8 s".
    """
    key = threading.get_ident()
    _note(key, reason)
    try:
        yield
    finally:
        _note(key, None)


def _note(key: int, reason: str | None) -> None:
    with _LOCK:
        _REASONS.pop(key, None)
        if reason is not None:
            _REASONS[key] = reason
        if not _BARS:
            return
        texts = list(_REASONS.values())
        more = f" ({len(texts)} requests)" if len(texts) > 1 else ""
        text = f"waiting: {texts[-1]}{more}" if texts else ""
        # Only a wait that begins is drawn at once; into a file no more lines than the bar's own.
        shown = _BARS[-1]
        shown.set_postfix_str(text, refresh=sys.stderr.isatty())
