"""Which versions of libraries something was made with."""

import importlib.metadata
import platform

import cropmap_jax


def installed(*packages: str) -> dict[str, str]:
    """Versions of this library, of Python and of some packages; those that are not there are left
    out."""
    found = {"cropmap_jax": cropmap_jax.__version__, "python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
