"""Packages that only some commands need: the extras of setup.cfg, and an error that names them."""

import importlib.util
import os
import shlex

from cropmap_jax.geo import installed

EXTRAS = {
    "dask": ("cryptography", "dask", "distributed"),
    "earthengine": ("ee", "google.auth", "requests", "urllib3"),
    "fields": ("geopandas", "jdatetime", "openpyxl", "pandas", "pyarrow", "pyogrio"),
    "netcdf": ("h5netcdf", "h5py", "xarray"),
    "onnx": ("jax2onnx", "onnx", "onnxruntime"),
    "stac": ("odc.stac", "pystac_client", "requests", "urllib3"),
    "view": ("fastapi", "starlette", "uvicorn"),
    "xarray": ("xarray",),
}
"""Extra -> the modules that the library imports from its packages."""


def require(extra: str, what: str) -> None:
    """Checks that an extra is installed, without importing any of it.

    Called where a command begins, before what imports the extra's modules.

    Args:
      extra: a key of `EXTRAS`.
      what: what needs it, as the error begins.

    Raises:
      ValueError: names the modules that are missing and the command that installs them.
    """
    missing = [module for module in EXTRAS[extra] if not _found(module)]
    if missing:
        names = ", ".join(missing)
        raise ValueError(f"{what} needs {names}: {command(extra)}")


def command(extra: str) -> str:
    """The command that installs an extra, as it is typed from the current folder.

    Of an installed wheel pip adds the extra to what is there and looks for cropmap_jax nowhere
    else. A checkout is named by its folder, whether it was installed (`pip install -e .`) or only
    imported from: its extras may be newer than what pip knows of it.

    Args:
      extra: a key of `EXTRAS`.
    """
    checkout = installed.checkout()
    if checkout is None:
        return f"pip install {shlex.quote(f'cropmap_jax[{extra}]')}"
    here = os.path.realpath(os.curdir) == os.path.realpath(checkout)
    return f"pip install -e {shlex.quote(f'{os.curdir if here else checkout}[{extra}]')}"


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it lies in
        return False
