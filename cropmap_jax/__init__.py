"""Crop maps from Sentinel-1 and Sentinel-2 time series, at least one month before harvest."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cropmap_jax.api import Cube, Dataset, Model, fit, load, read_cube

__version__ = "0.2.0"
__all__ = ["Cube", "Dataset", "Model", "fit", "load", "read_cube"]


def __getattr__(name: str) -> Any:
    # What needs none of it, such as a command's --help, does not wait for jax and xarray.
    if name in __all__:
        import importlib

        value = getattr(importlib.import_module("cropmap_jax.api"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
