"""What the tests let workers do."""

import os
import pathlib
import signal
import time


class Odd(Exception):
    """Cannot be read again once it is pickled: it wants two arguments."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


def square(n):
    return n * n


def fail(n):
    if n == 1:
        raise ValueError("b.tif: expected 10 bands, found 9")
    if n == 2:
        raise OSError(28, "No space left on device", "c.tif")
    if n == 3:
        raise Odd("one", "two")
    return n


def die(n, folder):
    """Ends its worker: 2 always, 5 the first time."""
    first = pathlib.Path(folder) / f"{n}"
    if n == 2 or (n == 5 and not first.exists()):
        first.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def note(n, folder):
    """Says that it was begun; takes a while."""
    (pathlib.Path(folder) / f"{n}").touch()
    time.sleep(0.3)
    return n


def set_version(version):
    import cropmap_jax

    was, cropmap_jax.__version__ = cropmap_jax.__version__, version
    return was
