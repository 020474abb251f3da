"""`skops.io`, imported without the array libraries that scikit-learn can compute on as well.

When it is imported, skops goes through all modules of scikit-learn for names of estimators. Among
them are wrappers of PyTorch, Dask and CuPy (`sklearn.externals.array_api_compat`), which hold none,
but import what they wrap: most of the seconds that a command with a forest takes to start. What a
process has not imported yet is out of sight meanwhile, as it would be on a machine without it.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["skops"]

_WRAPPED = ("cupy", "dask.array", "torch")


@contextlib.contextmanager
def _out_of_sight() -> Iterator[None]:
    modules: dict[str, Any] = sys.modules
    hidden = [name for name in _WRAPPED if name not in modules]
    modules.update(dict.fromkeys(hidden))  # Python's sign for a module that is not there
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]


with _out_of_sight():
    import skops.io
