"""Packages that only some commands need: the extras of setup.cfg, and an error that names them."""

import importlib.util

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
        raise ValueError(f"{what} needs {names}: pip install 'cropmap_jax[{extra}]'")


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it lies in
        return False
